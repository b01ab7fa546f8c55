package fatbin

import (
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// BenchmarkImages reads a file of 256 MiB, a container of 64 KiB after the
// other. times_faster is the ratio to one pass over its bytes.
func BenchmarkImages(b *testing.B) {
	var seed [32]byte
	random := rand.NewChaCha8(seed)
	e := cubin(90, 0)
	e.payload = 64<<10 - containerSize - entrySize
	container := testContainer(e)
	if _, err := random.Read(container[containerSize+entrySize:]); err != nil {
		b.Fatal(err)
	}
	path := filepath.Join(b.TempDir(), "images")
	const count = 4096
	out, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	for range count {
		if _, err := out.Write(container); err != nil {
			b.Fatal(err)
		}
	}
	if err := out.Close(); err != nil {
		b.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	size := int64(count * len(container))
	pass := func(b *testing.B) time.Duration {
		buf := make([]byte, 1<<20)
		best := time.Hour
		for range 5 {
			start := time.Now()
			for at := int64(0); at < size; at += int64(len(buf)) {
				if _, err := io.ReadFull(io.NewSectionReader(f, at, size-at), buf[:min(int64(len(buf)), size-at)]); err != nil {
					b.Fatal(err)
				}
			}
			best = min(best, time.Since(start))
		}
		return best
	}
	for _, bb := range []struct {
		name, section string
		// from hides the containers from a search: none begins at its magic number.
		from int64
		want int
	}{
		{"headers", ".nv_fatbin", 0, count},
		{"search", ".rodata", 0, count},
		{"search/nothing", ".rodata", 0, 0},
	} {
		b.Run(bb.name, func(b *testing.B) {
			regions := []Region{{bb.section, 0, size}}
			if bb.want == 0 {
				// The payloads alone, as long pieces without a magic number.
				regions = nil
				for i := range int64(count) {
					at := i * int64(len(container))
					regions = append(regions, Region{bb.section, at + containerSize, int64(len(container)) - containerSize})
				}
			}
			peer := pass(b)
			b.SetBytes(size)
			for b.Loop() {
				images, err := Images(f, regions, Options{All: true})
				if err != nil || len(images) != bb.want {
					b.Fatal(len(images), err)
				}
			}
			b.ReportMetric(float64(peer)/(float64(b.Elapsed())/float64(b.N)), "times_faster")
		})
	}
}
