package archive_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"testing"

	"github.com/relmat/relmat/internal/archive"
)

// tight limits keep the fuzzer quick and must hold all the same.
var tight = archive.Limits{Bytes: 1 << 16, Entries: 50}

// tryExtract unpacks data, whatever it is: nothing may change outside of the
// destination, no limit may be passed, and no link of what was accepted may
// lead out.
func tryExtract(t *testing.T, format archive.Format, data []byte) {
	box := newSandbox(t)
	err := archive.Extract(t.Context(), save(t, format, data), box.dst, tight)
	box.check(t)
	size, count := 0, 0
	for _, n := range list(t, box.dst) {
		size += len(n.content)
		count++
	}
	if size > int(tight.Bytes)+1 {
		t.Errorf("%d bytes were unpacked", size)
	}
	if out := box.escapes(t); err == nil && len(out) > 0 {
		t.Errorf("links that lead out: %q", out)
	}
}

func seeds(f *testing.F, format archive.Format, add func([]byte)) {
	root := f.TempDir()
	lay(f, root, []node{
		{path: "bin/tool", content: "#!/bin/sh\n", mode: 0o755},
		{path: "a", content: "hello hello hello", mode: 0o644},
		{path: "empty/"},
		{path: "l", link: "bin/tool"},
	})
	data, err := os.ReadFile(pack(f, format, root, "pkg"))
	if err != nil {
		f.Fatal(err)
	}
	add(data)
	for _, h := range hostile {
		add(makers[format](f, h.entries))
	}
}

func FuzzExtractZip(f *testing.F) {
	seeds(f, archive.Zip, func(data []byte) { f.Add(data) })
	f.Fuzz(func(t *testing.T, data []byte) { tryExtract(t, archive.Zip, data) })
}

// FuzzExtractTar changes the tar inside of the gzip, where a changed byte is
// not caught by a checksum.
func FuzzExtractTar(f *testing.F) {
	seeds(f, archive.TarGz, func(data []byte) {
		zr, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			f.Fatal(err)
		}
		plain, err := io.ReadAll(zr)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(bytes.TrimRight(plain, "\x00"))
	})
	f.Fuzz(func(t *testing.T, data []byte) {
		var b bytes.Buffer
		zw, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = zw.Write(data)
		_, _ = zw.Write(make([]byte, 512-len(data)%512+1024)) // the end of a tar
		_ = zw.Close()
		tryExtract(t, archive.TarGz, b.Bytes())
	})
}

func FuzzExtractGzip(f *testing.F) {
	seeds(f, archive.TarGz, func(data []byte) { f.Add(data) })
	f.Fuzz(func(t *testing.T, data []byte) { tryExtract(t, archive.TarGz, data) })
}
