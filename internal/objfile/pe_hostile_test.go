package objfile

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestPEHostile(t *testing.T) {
	put32 := func(data []byte, at int, v uint32) []byte {
		peOrder.PutUint32(data[at:], v)
		return data
	}
	const (
		optional32 = 64 + 4 + peFileHeader
		section32  = optional32 + 96 + 8*peDirectories
	)
	plain := func() []byte { return newPE32().bytes() }
	for _, c := range []struct {
		name string
		data func() []byte
		want string // a part of the error
	}{
		{"MZ alone", func() []byte { return []byte("MZ") }, "DOS header"},
		{"DOS program", func() []byte { return append([]byte("MZ"), make([]byte, 1000)...) }, "a DOS program (MZ)"},
		{"no PE signature", func() []byte { return put32(plain(), 64, 0x12345678) }, "a DOS program (MZ)"},
		{"16-bit", func() []byte { return put32(plain(), 64, 'N'|'E'<<8) }, "(NE)"},
		{"header at 4 GiB", func() []byte { return put32(plain(), 0x3c, 1<<32-1) }, "no PE header"},
		{"no optional header", func() []byte { return put32(plain(), 64+4+16, 0) }, "at least 96"},
		{"ROM image", func() []byte { return put32(plain(), optional32, 0x107) }, "0x107"},
		{"small optional header", func() []byte { return put32(plain(), 64+4+16, 100) }, "data directories"},
		{"sections past the end", func() []byte { return plain()[:section32+10] }, "section table"},
		{"section bytes past the end", func() []byte { return put32(plain(), section32+16, 1<<31) }, "past the end"},
		{"imports nowhere", func() []byte { return put32(plain(), optional32+96+8, 0xfffffff0) }, "lies in no section"},
		{"delay imports nowhere", func() []byte { return put32(plain(), optional32+96+8*peDelay, 0x80000000) }, "delay import directory"},
		{"exports nowhere", func() []byte { return put32(plain(), optional32+96, 0x80000000) }, "export directory"},
		{"endless imports", endlessImports, "more than 16384 libraries"},
		{"endless delay imports", endlessDelays, "more than 16384 libraries"},
		{"endless symbols", endlessSymbols, "more than 1048576"},
		{"endless name", endlessName, "longer than 1024 bytes"},
		{"old addresses below the base", func() []byte {
			b := newPE32()
			b.dirs[peDelay].addr = b.add(peWords(0, 0x1000, 0, 0, 0, 0, 0, 0))
			return b.bytes()
		}, "outside of the image"},
		{"empty name", func() []byte {
			b := newPE32()
			b.imports(peTestImport{dll: ""})
			return b.bytes()
		}, "is empty"},
		{"bigobj of 2^31 sections", func() []byte { return bigObject(1 << 31) }, "more than 262144"},
		{"bigobj without them", func() []byte { return bigObject(1 << 17) }, "section table"},
		{"long names without end", longNames, "together"},
	} {
		t.Run(c.name, func(t *testing.T) {
			data := c.data()
			start := time.Now()
			o, err := readPE(bytes.NewReader(data), int64(len(data)))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %+v, %v; want an error about %q", o, err, c.want)
			}
			if errors.Is(err, ErrFormat) {
				t.Error("a damaged file is taken for one of another format")
			}
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}

func endlessImports() []byte {
	b := newPE32()
	name := b.text("a.dll")
	empty := b.add(make([]byte, 8))
	b.dirs[peImports].addr = b.add(bytes.Repeat(peWords(empty, 0, 0, name, empty), 20_000))
	return b.bytes()
}

func endlessDelays() []byte {
	b := newPE32()
	name := b.text("a.dll")
	empty := b.add(make([]byte, 8))
	b.dirs[peDelay].addr = b.add(bytes.Repeat(peWords(1, name, 0, empty, empty, 0, 0, 0), 20_000))
	return b.bytes()
}

// endlessSymbols has many libraries of one long table.
func endlessSymbols() []byte {
	b := newPE32()
	name := b.text("a.dll")
	table := b.add(append(bytes.Repeat([]byte{1}, 1<<20), 0, 0, 0, 0))
	b.dirs[peImports].addr = b.add(bytes.Repeat(peWords(table, 0, 0, name, table), 1000))
	return b.bytes()
}

func endlessName() []byte {
	b := newPE32()
	name := b.add(bytes.Repeat([]byte("a"), 10_000))
	b.dirs[peImports].addr = b.add(peWords(name, 0, 0, name, name, 0, 0, 0, 0, 0))
	return b.bytes()
}

func bigObject(sections uint32) []byte {
	out := peWords(0xffff0000, 0x86640002, 0)
	out = append(out, coffBigClass...)
	return append(out, peWords(0, 0, 0, 0, sections, 0, 0)...)
}

// longNames has many sections whose names are the ends of one string.
func longNames() []byte {
	const sections, length = 60_000, 4000
	out := make([]byte, peFileHeader)
	peOrder.PutUint16(out, 0x8664)
	peOrder.PutUint16(out[2:], sections)
	peOrder.PutUint32(out[8:], peFileHeader+sections*peSectionHeader)
	var section [peSectionHeader]byte
	copy(section[:], "/4")
	out = append(out, bytes.Repeat(section[:], sections)...)
	out = append(out, peWords(length+5)...)
	out = append(out, bytes.Repeat([]byte("a"), length)...)
	return append(out, 0)
}

// Each beginning of a file gives an answer or an error, too.
func TestPETruncated(t *testing.T) {
	b := newPE64()
	b.imports(peTestImport{dll: "a.dll", names: []string{"x"}})
	b.delays(true, peTestImport{dll: "b.dll", ordinals: []uint16{1}})
	b.certificate(peCertificateSigned, []byte("garbage!"))
	data := b.bytes()
	for n := range data {
		if o, err := readPE(bytes.NewReader(data[:n]), int64(n)); err == nil {
			t.Fatalf("%d bytes: got %+v", n, o)
		}
		// The size may promise more than there is.
		if o, err := readPE(bytes.NewReader(data[:n]), int64(len(data))); err == nil {
			t.Fatalf("%d bytes: got %+v", n, o)
		}
	}
}

type failingPE struct{ err error }

func (f failingPE) ReadAt([]byte, int64) (int, error) { return 0, f.err }

func TestPEReadError(t *testing.T) {
	want := errors.New("the disk is gone")
	if _, err := readPE(failingPE{want}, 1000); !errors.Is(err, want) {
		t.Errorf("got %v", err)
	}
}

// countingPE counts reads, of a file whose data is at both ends of many zeros.
type countingPE struct {
	io.ReaderAt
	bytes int
}

func (c *countingPE) ReadAt(p []byte, at int64) (int, error) {
	c.bytes += len(p)
	return c.ReaderAt.ReadAt(p, at)
}

func TestPEReadsHeadersOnly(t *testing.T) {
	b := newPE64()
	b.add(make([]byte, 32<<20))
	b.imports(peTestImport{dll: "a.dll", names: []string{"x"}})
	data := b.bytes()
	r := &countingPE{ReaderAt: bytes.NewReader(data)}
	if _, err := readPE(r, int64(len(data))); err != nil {
		t.Fatal(err)
	}
	if r.bytes > 64<<10 {
		t.Errorf("read %d bytes of %d", r.bytes, len(data))
	}
}

func FuzzPE(f *testing.F) {
	for _, relative := range []bool{true, false} {
		b := newPE32()
		b.imports(peTestImport{dll: "a.dll", names: []string{"x"}, ordinals: []uint16{1}})
		b.delays(relative, peTestImport{dll: "b.dll", names: []string{"y"}})
		b.codeView("0123456789abcdef", 1, "a.pdb")
		f.Add(b.bytes())
	}
	for _, name := range []string{"delay-signed.dll", "arm64ec-signed.dll"} {
		data, err := os.ReadFile(filepath.Join("testdata", "pe", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add(append(bigObject(1), make([]byte, peSectionHeader)...))
	f.Add(longNames()[:200])
	f.Fuzz(func(t *testing.T, data []byte) {
		o, err := readPE(bytes.NewReader(data), int64(len(data)))
		if (o == nil) == (err == nil) {
			t.Fatalf("got %v and %v", o, err)
		}
		if err != nil {
			return
		}
		if !isPE(data[:min(64, len(data))]) {
			t.Error("isPE does not know what readPE reads")
		}
		for _, s := range o.Sections {
			if s.Size != 0 && s.Offset+s.Size > int64(len(data)) {
				t.Errorf("section %+v lies past the end", s)
			}
		}
		for _, n := range append(o.Needs, o.DelayNeeds...) {
			if n.Name == "" || n.Symbols < 0 || n.Ordinals < 0 {
				t.Errorf("got %+v", n)
			}
		}
	})
}
