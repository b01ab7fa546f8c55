package verify_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/relmat/relmat/internal/verify"
)

// benchTree is the package that is measured: RELMAT_BENCH_PACKAGE, such as an
// unpacked package of 2 GB, or else a tree of this very test, which is real
// code, and of noise.
func benchTree(b *testing.B) string {
	b.Helper()
	if dir := os.Getenv("RELMAT_BENCH_PACKAGE"); dir != "" {
		return dir
	}
	exe, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	code, err := os.ReadFile(exe)
	if err != nil {
		b.Fatal(err)
	}
	dir := b.TempDir()
	for _, p := range []string{"bin/one", "bin/two", "lib/three", "lib/four"} {
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(p)), 0o755); err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, p), code, 0o755); err != nil {
			b.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "weights"), []byte(strings.Repeat(noise(1<<20), 200)), 0o644); err != nil {
		b.Fatal(err)
	}
	return dir
}

// BenchmarkRun verifies an unpacked package in turn with sha256sum, which reads
// each byte of it once: "of-sha256sum" below 1 is faster. The turns make load of
// the machine fall on both.
func BenchmarkRun(b *testing.B) {
	dir := benchTree(b)
	var ours, peer time.Duration
	var size int64
	for b.Loop() {
		start := time.Now()
		rep, err := verify.Run(b.Context(), verify.Options{Path: dir})
		if err != nil {
			b.Fatal(err)
		}
		ours += time.Since(start)
		size = rep.Bytes
		b.StopTimer()
		start = time.Now()
		if out, err := exec.Command("find", dir, "-type", "f", "-exec", "sha256sum", "{}", "+").CombinedOutput(); err != nil {
			b.Fatalf("%v\n%s", err, out)
		}
		peer += time.Since(start)
		b.StartTimer()
	}
	b.SetBytes(size)
	b.ReportMetric(ours.Seconds()/peer.Seconds(), "of-sha256sum")
}
