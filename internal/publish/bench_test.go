package publish_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/relmat/relmat/internal/fsx"
	"github.com/relmat/relmat/internal/githubtest"
	"github.com/relmat/relmat/internal/publish"
)

// bigFile makes a file of n bytes that are not all the same.
func bigFile(b testing.TB, dir, name string, n int64) publish.File {
	b.Helper()
	path := filepath.Join(dir, name)
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	h := sha256.New()
	block := []byte(strings.Repeat(name+" 0123456789abcdef", 1<<12))
	for left := n; left > 0; {
		part := block[:min(int64(len(block)), left)]
		if _, err := io.MultiWriter(f, h).Write(part); err != nil {
			b.Fatal(err)
		}
		left -= int64(len(part))
	}
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
	return publish.File{Name: name, Path: path, Size: n, SHA256: hex.EncodeToString(h.Sum(nil))}
}

// remember returns digests, kept at cache, that know f.
func remember(tb testing.TB, cache string, f publish.File) *fsx.Digests {
	tb.Helper()
	when := time.Now().Add(-time.Hour) // a fresh file's digest is not remembered
	if err := os.Chtimes(f.Path, when, when); err != nil {
		tb.Fatal(err)
	}
	d := fsx.OpenDigests(cache)
	if sum, _, err := d.File(f.Path); err != nil || sum != f.SHA256 {
		tb.Fatal(sum, err)
	}
	if err := d.Save(); err != nil {
		tb.Fatal(err)
	}
	return d
}

// BenchmarkUpload sends 1.5 GB to a server that throws them away, over HTTP/2
// on the loopback interface. Memory is that of both sides, in one process.
func BenchmarkUpload(b *testing.B) {
	const size = 1500 << 20
	f := bigFile(b, b.TempDir(), "large.zip", size)
	digests := remember(b, "", f)
	b.SetBytes(size)
	b.ResetTimer()
	for i := range b.N {
		b.StopTimer()
		s := githubtest.New(b, githubtest.HTTP2(), githubtest.Discard(func(string, int64) string { return "sha256:" + f.SHA256 }))
		s.Repo("o/r").AddTag("v1", "")
		debug.FreeOSMemory()
		stop, peak := make(chan struct{}), make(chan uint64)
		go func() {
			var most uint64
			for tick := time.NewTicker(5 * time.Millisecond); ; {
				select {
				case <-tick.C:
					var m runtime.MemStats
					runtime.ReadMemStats(&m)
					most = max(most, m.Sys-m.HeapReleased)
				case <-stop:
					tick.Stop()
					peak <- most
					return
				}
			}
		}()
		b.StartTimer()
		start := time.Now()
		g := gh(b, s, "o/r")
		g.Digests = digests
		if _, err := g.Publish(b.Context(), publish.Wanted{Tag: "v1", Files: []publish.File{f}}, quietTask()); err != nil {
			b.Fatal(i, err)
		}
		took := time.Since(start)
		close(stop)
		most := <-peak
		b.ReportMetric(float64(size)/1e6/took.Seconds(), "MB/s-sent")
		b.ReportMetric(float64(most)/(1<<20), "MiB-memory")
		if proto := s.Requests()[0].Proto; proto != "HTTP/2.0" {
			b.Fatalf("it spoke %s", proto)
		}
	}
}

// BenchmarkParallel sends four assets at once and one after the other, to a
// server 50 ms away that takes 40 MB a second of each connection.
func BenchmarkParallel(b *testing.B) {
	dir := b.TempDir()
	var files []publish.File
	sums := map[string]string{}
	for i := range 4 {
		f := bigFile(b, dir, fmt.Sprintf("f%d.zip", i), 20<<20)
		files, sums[f.Name] = append(files, f), f.SHA256
	}
	once := func(parallel int) time.Duration {
		s := githubtest.New(b, githubtest.HTTP2(), githubtest.WithLink(githubtest.Link{Latency: 50 * time.Millisecond, Rate: 40e6}),
			githubtest.Discard(func(name string, _ int64) string { return "sha256:" + sums[name] }))
		s.Repo("o/r").AddTag("v1", "")
		g := gh(b, s, "o/r")
		g.Parallel = parallel
		start := time.Now()
		if _, err := g.Publish(b.Context(), publish.Wanted{Tag: "v1", Files: files}, quietTask()); err != nil {
			b.Fatal(err)
		}
		return time.Since(start)
	}
	for b.Loop() {
		one, four := once(1), once(4)
		b.ReportMetric(one.Seconds()/four.Seconds(), "times-as-fast")
	}
}
