package objfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func mustFile(tb testing.TB, path string) []byte {
	tb.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func TestMachODamaged(t *testing.T) {
	le := func() *machoBuild { return newMacho() }
	patched := func(b []byte, at int, v ...uint32) []byte {
		for i, n := range v {
			binary.LittleEndian.PutUint32(b[at+4*i:], n)
		}
		return b
	}
	slice := le().bytes()
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"magic alone":           {[]byte{0xcf, 0xfa, 0xed, 0xfe}, "header: 28 bytes are needed"},
		"2^32-1 commands":       {patched(le().bytes(), 16, 1<<32-1, 8), "4294967295 load commands"},
		"2^32-1 bytes":          {patched(le().bytes(), 16, 1, 1<<32-1), "of 4294967295 bytes"},
		"commands cut":          {patched(le().bytes(), 16, 1, 1024), "cut short"},
		"more than there are":   {patched(le().add(0x99).bytes(), 16, 2, 8), "load command 1 of 2 lies behind"},
		"command of 0 bytes":    {patched(le().add(0x99).bytes(), 36, 0), "load command 0 (command-153) has 0 bytes"},
		"command of 7 bytes":    {patched(le().add(0x99).bytes(), 36, 7), "has 7 bytes"},
		"command too long":      {patched(le().add(0x99).bytes(), 36, 16), "has 16 bytes"},
		"short LC_UUID":         {le().add(0x1b, 0, 0).bytes(), "(LC_UUID): it is shorter"},
		"short LC_RPATH":        {le().add(0x8000001c).bytes(), "(LC_RPATH): it is shorter"},
		"short dylib":           {le().add(0x0c, 0, 0).bytes(), "(LC_LOAD_DYLIB): it is shorter"},
		"short version":         {le().add(0x32, 0, 0).bytes(), "(LC_BUILD_VERSION): it is shorter"},
		"short old version":     {le().add(0x24).bytes(), "(LC_VERSION_MIN_MACOSX): it is shorter"},
		"short signature":       {le().add(0x1d).bytes(), "(LC_CODE_SIGNATURE): it is shorter"},
		"short segment":         {le().add(0x19, make([]uint32, 14)...).bytes(), "(LC_SEGMENT_64): it is shorter"},
		"string in the header":  {le().add(0x8000001c, 8, 0x41414141).bytes(), "starts at byte 8"},
		"string behind the end": {le().add(0x8000001c, 1<<31, 0).bytes(), "starts at byte 2147483648"},
		"string without an end": {le().add(0x8000001c, 12, 0x41414141).bytes(), "no end"},
		"dylib in its header":   {le().add(0x0c, 12, 0, 0, 0, 0, 0).bytes(), "starts at byte 12"},
		"sections without room": {patched(le().segment("__TEXT", 0, 0).bytes(), 32+64, 1<<32-1), "counts 4294967295 sections"},
		"segment behind":        {le().segment("__TEXT", 1<<63, 1<<63).bytes(), "9223372036854775808 bytes at offset 9223372036854775808"},
		"segment too long":      {le().segment("__TEXT", 0, 1<<40).bytes(), "cut short"},
		"section behind":        {le().segment("__TEXT", 0, 8, sectionBuild{"__TEXT", "__text", 0, 1<<64 - 1, 1<<32 - 1, 0}).bytes(), "section __TEXT,__text takes 18446744073709551615 bytes"},
		"no slice":              {fat(false), "0 slices"},
		"slices cut":            {fat(false, fatSlice{data: slice}, fatSlice{data: slice})[:40], "table of slices: 40 bytes are needed"},
		"slice cut":             {fat(false, fatSlice{cpu: 0x0100000c, data: slice})[:40], "slice 0 (aarch64) takes 32 bytes"},
		"slice near 2^64":       {fat(true, fatSlice{offset: 1<<64 - 8, size: 16}), "takes 16 bytes at offset 18446744073709551608"},
		"slice of 2^64":         {fat(true, fatSlice{offset: 40, size: 1<<64 - 1}), "takes 18446744073709551615 bytes"},
		"slice is the file":     {fat(false, fatSlice{offset: 1, size: 20}), "within the table"},
		"overlapping": {
			append(fat(false, fatSlice{offset: 48, size: 32, cpu: 0x0100000c}, fatSlice{offset: 64, size: 32}), make([]byte, 100)...),
			"slices 0 and 1 overlap",
		},
		"another CPU":      {fat(false, fatSlice{cpu: 7, data: slice}), "slice 0 (i386): the CPU type of its own header is 16777228"},
		"universal within": {fat(false, fatSlice{cpu: 7, data: fat(false, fatSlice{cpu: 7, data: slice})}), "which is no Mach-O file"},
		"empty slice":      {fat(false, fatSlice{cpu: 7, offset: 28, size: 0}), "which is no Mach-O file"},
		"many wide slices": {[]byte{0xca, 0xfe, 0xba, 0xbf, 0, 15, 0x42, 0x40}, "counts 1000000 slices"},
	} {
		_, err := readBytes(c.data)
		if err == nil || !strings.HasPrefix(err.Error(), "damaged ") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want something of %q", name, err, c.want)
		}
	}
}

// zeros is a file of any size whose first bytes are head.
type zeros struct {
	head []byte
	read int
}

func (z *zeros) ReadAt(p []byte, off int64) (int, error) {
	clear(p)
	if off < int64(len(z.head)) {
		copy(p, z.head[off:])
	}
	z.read += len(p)
	return len(p), nil
}

// What a file counts must not decide how much is read or kept.
func TestMachOBounded(t *testing.T) {
	const size = 1 << 62
	header := func(count, length uint32) []byte {
		m := newMacho()
		return append(m.bytes()[:16], m.words(count, length, 0, 0)...)
	}
	many := newMacho()
	for range maxCommands {
		many.text(0x8000001c, "abc")
	}
	sections := newMacho()
	sections.segment("__TEXT", 0, 8, make([]sectionBuild, maxMachSections/2)...)
	sections.segment("__TEXT", 0, 8, make([]sectionBuild, maxMachSections/2)...)
	sections.segment("__TEXT", 0, 8, make([]sectionBuild, 1)...)
	slices := make([]fatSlice, maxSlices)
	for i := range slices {
		slices[i] = fatSlice{cpu: 0x0100000c, offset: uint64(4096 + i<<40), size: 1 << 40}
	}
	for name, head := range map[string][]byte{
		"commands":   header(maxCommands, maxCommandBytes),
		"bytes":      header(1, 1<<32-1),
		"rpaths":     many.bytes(),
		"sections":   sections.bytes(),
		"slices":     fat(true, slices...),
		"signature":  newMacho().add(0x1d, 1<<31, 1<<32-1).bytes(),
		"metallib":   binary.LittleEndian.AppendUint64(metallib(0, 0, 0, 0, 0)[:16], size),
		"a big blob": signed(blobs(slotsIdentity[3:], wrapped(nil))),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		z := &zeros{head: head}
		objects, err := Read(z, size)
		runtime.ReadMemStats(&after)
		if allocated := after.TotalAlloc - before.TotalAlloc; z.read > 5<<20 || allocated > 16<<20 {
			t.Errorf("%s: %d bytes read, %d allocated, error %v", name, z.read, allocated, err)
		}
		if name == "rpaths" && (err != nil || len(objects[0].Rpath) != maxCommands) {
			t.Errorf("%s: %v", name, err)
		}
		if name == "sections" && (err == nil || !strings.Contains(err.Error(), fmt.Sprintf("more than %d sections", maxMachSections))) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// brokenAt fails every read that reaches an offset.
type brokenAt struct {
	r  io.ReaderAt
	at int64
}

var errBroken = errors.New("the disk broke")

func (b brokenAt) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > b.at {
		return 0, errBroken
	}
	return b.r.ReadAt(p, off)
}

func TestMachOReadErrors(t *testing.T) {
	for _, path := range []string{"testdata/macho/program", "testdata/macho/universal64.o"} {
		data := mustFile(t, path)
		for at := int64(64); at < int64(len(data)); at += 97 {
			objects, err := Read(brokenAt{bytes.NewReader(data), at}, int64(len(data)))
			if err != nil && !errors.Is(err, errBroken) || err == nil && len(objects) == 0 {
				t.Fatalf("%s at %d: %v", path, at, err)
			}
		}
	}
	// A file that became shorter while it was read.
	data := mustFile(t, "testdata/macho/program")
	if _, err := Read(bytes.NewReader(data[:100]), int64(len(data))); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%v, want an unexpected end", err)
	}
}

// A file that is cut anywhere says so.
func TestMachOCut(t *testing.T) {
	for _, path := range []string{"testdata/macho/everything.dylib", "testdata/macho/bundle.so", "testdata/macho/universal.o"} {
		data := mustFile(t, path)
		for at := 8; at < len(data); at += 13 {
			if _, err := readBytes(data[:at]); err == nil || !strings.HasPrefix(err.Error(), "damaged ") {
				t.Fatalf("%s cut at %d: %v", path, at, err)
			}
		}
	}
}

func FuzzMachO(f *testing.F) {
	paths, err := filepath.Glob("testdata/macho/*")
	if err != nil || len(paths) == 0 {
		f.Fatal(len(paths), err)
	}
	for _, path := range paths {
		// Large seeds make the fuzzer slow, and what is read of them is little.
		if data := mustFile(f, path); isMachO(data) && len(data) < 5<<10 {
			f.Add(data)
		}
	}
	for _, order := range []byteOrder{binary.LittleEndian, binary.BigEndian} {
		f.Add(everyCommand(order, false).bytes())
		f.Add(everyCommand(order, true).bytes())
	}
	definite := mustFile(f, "testdata/macho/definite.cms")
	f.Add(signed(blobs([]uint32{0, 0x10000}, codeDirectory(0x20500, 0x10000, "id", "team"), wrapped(definite))))
	f.Add(fat(true, fatSlice{cpu: 0x01000017, data: metallib(0x8001, 0, 0x81, 14, 0)}, fatSlice{cpu: 0x0100000c, data: newMacho().bytes()}))
	f.Add(metallib(0x8001, 0, 0x81, 13, 5))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) < 8 || !isMachO(data) && !isMetallib(data) {
			return
		}
		objects, err := readBytes(data)
		if err != nil {
			if objects != nil {
				t.Fatalf("objects with error %v", err)
			}
			return
		}
		if len(objects) == 0 {
			t.Fatal("neither object nor error")
		}
		for _, o := range objects {
			checkObject(t, o, int64(len(data)))
		}
	})
}

// checkObject tells what must be so in every answer.
func checkObject(t *testing.T, o *Object, size int64) {
	t.Helper()
	inside := func(offset, n int64) bool { return offset >= 0 && n >= 0 && offset+n <= size }
	if !inside(o.Offset, o.Size) || o.MachO == nil || o.Kind == "" {
		t.Fatalf("%+v of %d bytes", o, size)
	}
	for _, s := range o.Sections {
		if !inside(s.Offset, s.Size) || s.Size != 0 && (s.Offset < o.Offset || s.Offset+s.Size > o.Offset+o.Size) {
			t.Fatalf("section %+v of %d bytes at %d", s, o.Size, o.Offset)
		}
	}
	for _, n := range o.Needs {
		if strings.Contains(n.Name, "\x00") || n.Compatibility == "" {
			t.Fatalf("%+v", n)
		}
	}
	switch o.Signature.Kind {
	case "", "none", "adhoc", "identity":
	default:
		t.Fatalf("%+v", o.Signature)
	}
}
