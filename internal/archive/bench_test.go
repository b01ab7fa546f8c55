package archive_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/relmat/relmat/internal/archive"
)

// program makes a tree of what a package is made of: real code, which is this
// very test, and some text.
func program(b *testing.B) (root string, size int64) {
	b.Helper()
	exe, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	code, err := os.ReadFile(exe)
	if err != nil {
		b.Fatal(err)
	}
	root = b.TempDir()
	nodes := []node{
		{path: "bin/tool", content: string(code), mode: 0o755},
		{path: "lib/libtool.so", content: string(code[len(code)/2:]) + string(code[:len(code)/2]), mode: 0o755},
		{path: "LICENSE", content: strings.Repeat("Permission is hereby granted. ", 1000), mode: 0o644},
	}
	lay(b, root, nodes)
	for _, n := range nodes {
		size += int64(len(n.content))
	}
	return root, size
}

// stdZip and stdTarGz pack the tree with nothing but the standard library, at
// its default level, as does archive.Write.
func stdZip(w io.Writer, root string) error {
	zw := zip.NewWriter(w)
	if err := zw.AddFS(os.DirFS(root)); err != nil {
		return err
	}
	return zw.Close()
}

func stdTarGz(w io.Writer, root string) error {
	gw := gzip.NewWriter(w)
	tw := tar.NewWriter(gw)
	if err := tw.AddFS(os.DirFS(root)); err != nil {
		return err
	}
	if err := tw.Close(); err != nil {
		return err
	}
	return gw.Close()
}

// BenchmarkWrite packs a program in turn with the standard library and reports
// how many times as fast it is, and how many times as large its archive is:
// "x-std" above 1 is faster, "size-x-std" above 1 is larger. The turns make
// load of the machine fall on both.
func BenchmarkWrite(b *testing.B) {
	for format, std := range map[archive.Format]func(io.Writer, string) error{archive.Zip: stdZip, archive.TarGz: stdTarGz} {
		b.Run(string(format), func(b *testing.B) {
			root, size := program(b)
			var ours, peer time.Duration
			var mine, theirs bytes.Buffer
			b.SetBytes(size)
			for b.Loop() {
				mine.Reset()
				theirs.Reset()
				start := time.Now()
				if err := archive.Write(&mine, format, root, "", nil); err != nil {
					b.Fatal(err)
				}
				ours += time.Since(start)
				b.StopTimer()
				start = time.Now()
				if err := std(&theirs, root); err != nil {
					b.Fatal(err)
				}
				peer += time.Since(start)
				b.StartTimer()
			}
			b.ReportMetric(peer.Seconds()/ours.Seconds(), "x-std")
			b.ReportMetric(float64(mine.Len())/float64(theirs.Len()), "size-x-std")
		})
	}
}

// BenchmarkExtract unpacks a program in turn with unzip or tar: "x-peer" above
// 1 is faster.
func BenchmarkExtract(b *testing.B) {
	peers := map[archive.Format][]string{
		archive.Zip:   {"unzip", "-q", "-d"},
		archive.TarGz: {"tar", "-xzC"},
	}
	for format, args := range peers {
		b.Run(string(format), func(b *testing.B) {
			root, size := program(b)
			src := pack(b, format, root, "")
			var ours, peer time.Duration
			b.SetBytes(size)
			for i := 0; b.Loop(); i++ {
				b.StopTimer()
				one, two := filepath.Join(b.TempDir(), "one"), filepath.Join(b.TempDir(), "two")
				lay(b, one, []node{{path: "./"}})
				lay(b, two, []node{{path: "./"}})
				start := time.Now()
				if format == archive.Zip {
					tool(b, args[0], append(args[1:], two, src)...)
				} else {
					tool(b, args[0], append(args[1:], two, "-f", src)...)
				}
				peer += time.Since(start)
				b.StartTimer()
				start = time.Now()
				if err := archive.Extract(b.Context(), src, one, archive.DefaultLimits); err != nil {
					b.Fatal(err)
				}
				ours += time.Since(start)
			}
			b.ReportMetric(peer.Seconds()/ours.Seconds(), "x-peer")
		})
	}
}
