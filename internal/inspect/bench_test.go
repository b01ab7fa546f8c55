package inspect_test

import (
	"archive/zip"
	"context"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/relmat/relmat/internal/inspect"
)

// BenchmarkArchive compares a survey of an archive with unzip -t and tar t of
// the same file in turn: "x-unzip" and "x-tar" above 1 are faster. The goal is
// not to fall below 1/1.2.
func BenchmarkArchive(b *testing.B) {
	dir := b.TempDir()
	blob := filepath.Join(b.TempDir(), "blob")
	f, err := os.Create(blob)
	if err != nil {
		b.Fatal(err)
	}
	// Half as large when it is compressed, as GPU code.
	random := rand.NewChaCha8([32]byte{1})
	buf := make([]byte, 1<<20)
	for range 64 {
		_, _ = random.Read(buf)
		for i := range buf {
			buf[i] &= 0x0f
		}
		if _, err := f.Write(buf); err != nil {
			b.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
	for _, name := range []string{"liba.so", "libb.so", "libc.so", "libd.so"} {
		compile(b, filepath.Join(dir, name), `__asm__(".data\n.incbin \"`+blob+`\"\n");`, "-shared", "-fPIC")
	}
	for _, bench := range []struct {
		name, peer string
		args       []string
	}{{"a.zip", "unzip", []string{"-tq"}}, {"a.tar.gz", "tar", []string{"tzf"}}} {
		path := pack(b, dir, bench.name, zip.Deflate)
		b.Run(bench.name, func(b *testing.B) {
			info, err := os.Stat(path)
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(info.Size())
			var ours, theirs time.Duration
			for b.Loop() {
				start := time.Now()
				s, err := inspect.Look(context.Background(), []string{path}, inspect.Options{})
				if err != nil || s.Err() != nil || len(s.Roots[0].Files) != 4 {
					b.Fatal(err, s.Err())
				}
				ours += time.Since(start)
				b.StopTimer()
				start = time.Now()
				cmd := exec.Command(bench.peer, append(bench.args, path)...)
				cmd.Stdout = io.Discard
				if err := cmd.Run(); err != nil {
					b.Fatal(err)
				}
				theirs += time.Since(start)
				b.StartTimer()
			}
			b.ReportMetric(theirs.Seconds()/ours.Seconds(), "x-"+bench.peer)
		})
	}
}

// BenchmarkStrings is the rate at which data is searched for paths.
func BenchmarkStrings(b *testing.B) {
	blob := filepath.Join(b.TempDir(), "blob")
	data := make([]byte, 256<<20)
	_, _ = rand.NewChaCha8([32]byte{2}).Read(data)
	if err := os.WriteFile(blob, data, 0o644); err != nil {
		b.Fatal(err)
	}
	lib := filepath.Join(b.TempDir(), "lib.so")
	compile(b, lib, `__asm__(".data\n.incbin \"`+blob+`\"\n");`, "-shared", "-fPIC")
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		s, err := inspect.Look(context.Background(), []string{lib}, inspect.Options{Strings: true})
		if err != nil || s.Err() != nil {
			b.Fatal(err, s.Err())
		}
	}
}
