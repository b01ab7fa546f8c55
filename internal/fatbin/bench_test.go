package fatbin

import (
	"bytes"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// BenchmarkImages reads a file of 256 MiB: containers of 64 KiB one behind the
// other, by their headers or by a search, and random bytes without any, which
// must all be looked through. times_faster is the ratio to one plain pass over
// the bytes.
func BenchmarkImages(b *testing.B) {
	const count = 4096
	random := rand.NewChaCha8([32]byte{})
	e := cubin(90, 0)
	e.payload = 64<<10 - containerSize - entrySize
	container := testContainer(e)
	noise := make([]byte, len(container))
	if _, err := random.Read(noise); err != nil {
		b.Fatal(err)
	}
	copy(container[containerSize+entrySize:], noise)
	for _, bb := range []struct {
		name, section string
		block         []byte
		want          int
	}{
		{"headers", ".nv_fatbin", container, count},
		{"search", ".rodata", container, count},
		{"search through all", ".eh_frame", noise, 0},
	} {
		b.Run(bb.name, func(b *testing.B) {
			path := filepath.Join(b.TempDir(), "file")
			if err := os.WriteFile(path, bytes.Repeat(bb.block, count), 0o600); err != nil {
				b.Fatal(err)
			}
			f, err := os.Open(path)
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
			size := int64(count * len(bb.block))
			peer := pass(b, f, size)
			b.SetBytes(size)
			for b.Loop() {
				images, err := Images(f, []Region{{bb.section, 0, size}}, Options{All: true})
				if err != nil || len(images) != bb.want {
					b.Fatal(len(images), err)
				}
			}
			b.ReportMetric(float64(peer)/(float64(b.Elapsed())/float64(b.N)), "times_faster")
		})
	}
}

// pass is the shortest time in which the file is read to its end.
func pass(b *testing.B, f io.ReaderAt, size int64) time.Duration {
	buf := make([]byte, 1<<20)
	best := time.Hour
	for range 5 {
		start := time.Now()
		r := io.NewSectionReader(f, 0, size)
		for left := size; left > 0; left -= int64(len(buf)) {
			if _, err := io.ReadFull(r, buf[:min(int64(len(buf)), left)]); err != nil {
				b.Fatal(err)
			}
		}
		best = min(best, time.Since(start))
	}
	return best
}
