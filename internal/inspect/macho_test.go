package inspect_test

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"github.com/relmat/relmat/internal/inspect"
)

// thinDylib makes a Mach-O library of one load command, LC_ID_DYLIB (Apple,
// <mach-o/loader.h>).
func thinDylib(cpu, subtype uint32, name string) []byte {
	le := binary.LittleEndian
	size := uint32(24+len(name)+8) &^ 7
	var b []byte
	for _, v := range []uint32{0xfeedfacf, cpu, subtype, 6, 1, size, 0, 0} {
		b = le.AppendUint32(b, v)
	}
	for _, v := range []uint32{0xd, size, 24, 2, 0x10000, 0x10000} {
		b = le.AppendUint32(b, v)
	}
	return append(b, append([]byte(name), make([]byte, int(size)-24-len(name))...)...)
}

// universal puts thin files into one (<mach-o/fat.h>).
func universal(slices ...[]byte) []byte {
	be := binary.BigEndian
	b := be.AppendUint32(nil, 0xcafebabe)
	b = be.AppendUint32(b, uint32(len(slices)))
	for i, s := range slices {
		cpu := binary.LittleEndian.Uint32(s[4:])
		for _, v := range []uint32{cpu, binary.LittleEndian.Uint32(s[8:]), uint32(4096 * (i + 1)), uint32(len(s)), 12} {
			b = be.AppendUint32(b, v)
		}
	}
	for i, s := range slices {
		b = append(b, make([]byte, 4096*(i+1)-len(b))...)
		b = append(b, s...)
	}
	return b
}

// TestUniversal wants an entry for each slice.
func TestUniversal(t *testing.T) {
	dir := t.TempDir()
	data := universal(thinDylib(0x01000007, 3, "@rpath/libx.dylib"), thinDylib(0x0100000c, 0, "@rpath/libx.dylib"))
	if err := os.WriteFile(filepath.Join(dir, "libx.dylib"), data, 0o644); err != nil {
		t.Fatal(err)
	}
	s := look(t, inspect.Options{Strings: true, All: true}, dir)
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	files := s.Report().Files
	if len(s.Roots[0].Files) != 1 || len(files) != 2 {
		t.Fatalf("%d files, %d in the report", len(s.Roots[0].Files), len(files))
	}
	for i, machine := range []string{"x86_64", "aarch64"} {
		f := files[i]
		if f.Path != "libx.dylib" || f.Machine != machine || f.Format != "macho" || f.Soname != "@rpath/libx.dylib" ||
			f.MachO == nil || !f.MachO.Universal || f.Offset != int64(4096*(i+1)) {
			t.Errorf("slice %d is %+v", i, f)
		}
	}
	golden(t, "universal.txt", picture(t, s), dir)
}
