//go:build unix

// The peer is coreutils.
package fsx_test

import (
	"crypto/rand"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/relmat/relmat/internal/fsx"
)

// BenchmarkSHA256File hashes a file of a library's size in turn with
// sha256sum and reports how many times as fast it is: "x-sha256sum" above 1 is
// faster. The turns make load of the machine fall on both.
func BenchmarkSHA256File(b *testing.B) {
	const size = 64 << 20
	path := filepath.Join(b.TempDir(), "file")
	data := make([]byte, size)
	_, _ = rand.Read(data)
	if err := os.WriteFile(path, data, 0o644); err != nil {
		b.Fatal(err)
	}
	var ours, peer time.Duration
	b.SetBytes(size)
	for b.Loop() {
		start := time.Now()
		sum, _, err := fsx.SHA256File(path)
		if err != nil {
			b.Fatal(err)
		}
		ours += time.Since(start)
		b.StopTimer()
		start = time.Now()
		want := sha256sum(b, path)
		peer += time.Since(start)
		if sum != want {
			b.Fatalf("digest %s, sha256sum says %s", sum, want)
		}
		b.StartTimer()
	}
	b.ReportMetric(peer.Seconds()/ours.Seconds(), "x-sha256sum")
}
