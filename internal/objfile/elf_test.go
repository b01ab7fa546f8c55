package objfile_test

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/relmat/relmat/internal/objfile"
)

// sample is a file that the C compiler linked for a test.
type sample struct{ name, path string }

// linked are the samples of all tests; nobody writes to them.
var linked struct {
	samples []sample
	err     error
}

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "objfile-test-")
	if err != nil {
		panic(err)
	}
	linked.samples, linked.err = compile(dir)
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

func link(tb testing.TB) []sample {
	tb.Helper()
	if linked.err != nil {
		tb.Fatal("these tests need a C compiler and a linker: ", linked.err)
	}
	return linked.samples
}

// compile makes one ELF file of each kind that a package can hold. Nothing of
// them needs a C library, so that any compiler will do.
func compile(dir string) (samples []sample, err error) {
	for name, text := range map[string]string{
		"foo.c":   "int foo(void) { return 1; }\n",
		"bar.c":   "int foo(void);\nint bar(void) { return foo(); }\n",
		"main.c":  "int bar(void);\nint foo(void);\nvoid _start(void) { bar(); foo(); for (;;) {} }\n",
		"alone.c": "void _start(void) { for (;;) {} }\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	program := []string{"main.c", "libbar.so", "libfoo.so", "-Wl,--no-as-needed"}
	for _, s := range []struct {
		out  string
		args []string
	}{
		{"libfoo.so", []string{"-shared", "-fPIC", "-Wl,-soname,libfoo.so.1", "foo.c"}},
		{"libbar.so", []string{"-shared", "-fPIC", "bar.c", "libfoo.so"}},
		{"plain", program},
		{"rpath", append(slices.Clone(program), "-Wl,--disable-new-dtags", "-Wl,-rpath,$ORIGIN/../lib")},
		{"runpath", append(slices.Clone(program), "-Wl,--enable-new-dtags", "-Wl,-rpath,$ORIGIN/../lib")},
		{"rpath-of-two", append(slices.Clone(program), "-Wl,--disable-new-dtags", "-Wl,-rpath,/opt/one:$ORIGIN/two")},
		{"stripped", append(slices.Clone(program), "-s", "-Wl,-rpath,$ORIGIN")},
		{"static", []string{"-static", "alone.c"}},
		{"object.o", []string{"-c", "foo.c"}},
	} {
		cmd := exec.Command("cc", append([]string{"-nostdlib", "-o", s.out}, s.args...)...)
		cmd.Dir = dir
		if msg, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("%v: %w\n%s", cmd.Args, err, msg)
		}
		samples = append(samples, sample{s.out, filepath.Join(dir, s.out)})
	}
	return samples, nil
}

func readelf(tb testing.TB, args ...string) string {
	tb.Helper()
	cmd := exec.Command("readelf", args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	out, err := cmd.Output()
	if err != nil {
		tb.Fatalf("these tests need readelf of binutils: %v: %v", cmd.Args, err)
	}
	return string(out)
}

// truth is what readelf says of a file.
func truth(tb testing.TB, path string) (needed, rpath, runpath []string, soname, interp, kind string) {
	tb.Helper()
	dynamic := readelf(tb, "-dW", path)
	values := func(tag string) []string {
		var v []string
		for _, m := range regexp.MustCompile(`\(`+tag+`\)[^\[\n]*\[([^\]\n]*)\]`).FindAllStringSubmatch(dynamic, -1) {
			v = append(v, m[1])
		}
		return v
	}
	directories := func(tag string) []string {
		var dirs []string
		for _, v := range values(tag) {
			dirs = append(dirs, strings.Split(v, ":")...)
		}
		return dirs
	}
	if m := regexp.MustCompile(`Requesting program interpreter: ([^\]\n]+)\]`).FindStringSubmatch(readelf(tb, "-lW", path)); m != nil {
		interp = m[1]
	}
	if m := regexp.MustCompile(`Type:\s+(\w+)`).FindStringSubmatch(readelf(tb, "-hW", path)); m != nil {
		kind = "ET_" + m[1]
	}
	return values("NEEDED"), directories("RPATH"), directories("RUNPATH"), strings.Join(values("SONAME"), ""), interp, kind
}

func TestReadELFAgreesWithReadelf(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range append(link(t), sample{"this test", self}) {
		t.Run(s.name, func(t *testing.T) {
			got, err := objfile.OpenELF(s.path)
			if err != nil {
				t.Fatal(err)
			}
			needed, rpath, runpath, soname, interp, kind := truth(t, s.path)
			for _, list := range []struct {
				name      string
				got, want []string
			}{
				{"NEEDED", got.Needed, needed},
				{"RPATH", got.Rpath, rpath},
				{"RUNPATH", got.Runpath, runpath},
				{"SONAME", []string{got.Soname}, []string{soname}},
				{"interpreter", []string{got.Interp}, []string{interp}},
				{"type", []string{got.Type.String()}, []string{kind}},
			} {
				if !slices.Equal(list.got, list.want) {
					t.Errorf("%s is %q, readelf says %q", list.name, list.got, list.want)
				}
			}
		})
	}
}

// TestSamplesDiffer guards the test above: samples that all look alike would
// prove nothing.
func TestSamplesDiffer(t *testing.T) {
	want := map[string]objfile.ELF{
		"libfoo.so":    {Type: elf.ET_DYN, Soname: "libfoo.so.1"},
		"libbar.so":    {Type: elf.ET_DYN, Needed: []string{"libfoo.so.1"}},
		"rpath":        {Needed: []string{"libbar.so", "libfoo.so.1"}, Rpath: []string{"$ORIGIN/../lib"}},
		"runpath":      {Needed: []string{"libbar.so", "libfoo.so.1"}, Runpath: []string{"$ORIGIN/../lib"}},
		"rpath-of-two": {Needed: []string{"libbar.so", "libfoo.so.1"}, Rpath: []string{"/opt/one", "$ORIGIN/two"}},
		"static":       {},
		"object.o":     {Type: elf.ET_REL},
	}
	for _, s := range link(t) {
		w, ok := want[s.name]
		if !ok {
			continue
		}
		got, err := objfile.OpenELF(s.path)
		if err != nil {
			t.Fatal(err)
		}
		if w.Type != 0 && got.Type != w.Type || got.Soname != w.Soname ||
			!slices.Equal(got.Needed, w.Needed) || !slices.Equal(got.Rpath, w.Rpath) || !slices.Equal(got.Runpath, w.Runpath) {
			t.Errorf("%s: got %+v, want %+v", s.name, got, w)
		}
	}
}

func TestReadELFOfOtherFormats(t *testing.T) {
	for name, data := range map[string]string{
		"empty":          "",
		"three bytes":    elf.ELFMAG[:3],
		"text":           "#!/bin/sh\nexit 0\n",
		"PE":             "MZ\x90\x00\x03\x00\x00\x00",
		"Mach-O":         "\xcf\xfa\xed\xfe\x0c\x00\x00\x01",
		"almost":         "\x7fELG\x02\x01\x01\x00",
		"archive of ELF": "!<arch>\n" + elf.ELFMAG,
	} {
		if _, err := objfile.ReadELF(strings.NewReader(data)); !errors.Is(err, objfile.ErrNotELF) {
			t.Errorf("%s: the error is %v, want ErrNotELF", name, err)
		}
	}
}

func TestOpenELFNamesTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notes.txt")
	if err := os.WriteFile(path, []byte("no program"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := objfile.OpenELF(path)
	if !errors.Is(err, objfile.ErrNotELF) || !strings.Contains(err.Error(), path) {
		t.Errorf("the error is %v", err)
	}
	if _, err := objfile.OpenELF(path + ".missing"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the error of a missing file is %v", err)
	}
	// A directory can be opened, and fails when it is read.
	if _, err := objfile.OpenELF(filepath.Dir(path)); err == nil || errors.Is(err, objfile.ErrNotELF) {
		t.Errorf("the error of a directory is %v", err)
	}
}

// failing is a disk that breaks after some bytes.
type failing struct {
	data  []byte
	after int64
}

var errDisk = errors.New("the disk is broken")

func (f failing) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > f.after {
		return 0, errDisk
	}
	return bytes.NewReader(f.data).ReadAt(p, off)
}

func TestReadErrorIsNotTakenForAnotherFormat(t *testing.T) {
	data := read(t, link(t)[0].path)
	for _, after := range []int64{0, 3, 8, 70, 1000} {
		_, err := objfile.ReadELF(failing{data, after})
		if !errors.Is(err, errDisk) {
			t.Errorf("a disk that breaks after %d bytes gives %v", after, err)
		}
	}
}

// TestTruncated cuts files everywhere: their section headers stand at the end,
// so none of the pieces is whole.
func TestTruncated(t *testing.T) {
	for _, s := range link(t) {
		data := read(t, s.path)
		for n := 0; n < len(data); n += 1 + n/64 {
			got, err := objfile.ReadELF(bytes.NewReader(data[:n]))
			if err == nil {
				t.Fatalf("%s: %d of %d bytes give %+v", s.name, n, len(data), got)
			}
			if n < 4 != errors.Is(err, objfile.ErrNotELF) {
				t.Fatalf("%s: %d bytes give %v", s.name, n, err)
			}
		}
	}
}

// TestNoSectionHeaders takes the section headers away, as sstrip does. The
// loader does without them; this reader must not say that nothing is needed.
func TestNoSectionHeaders(t *testing.T) {
	for _, s := range link(t) {
		if s.name != "rpath" {
			continue
		}
		data := read(t, s.path)
		clear(data[0x28:0x30]) // e_shoff
		clear(data[0x3c:0x40]) // e_shnum, e_shstrndx
		path := filepath.Join(t.TempDir(), "bare")
		if err := os.WriteFile(path, data, 0o755); err != nil {
			t.Fatal(err)
		}
		if needed, _, _, _, _, _ := truth(t, path); len(needed) == 0 {
			t.Fatal("readelf finds no NEEDED entry: the test has destroyed too much")
		}
		if got, err := objfile.OpenELF(path); err == nil || !strings.Contains(err.Error(), "damaged") {
			t.Errorf("got %+v, %v; want an error", got, err)
		}
		return
	}
	t.Fatal("there is no sample to work on")
}

// TestNeededOutsideOfStrings has a NEEDED entry point nowhere: leaving it out
// would leave a library out of a package.
func TestNeededOutsideOfStrings(t *testing.T) {
	for _, s := range link(t) {
		if s.name != "rpath" {
			continue
		}
		data := read(t, s.path)
		f, err := elf.NewFile(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		dynamic := data[f.Section(".dynamic").Offset:]
		for f.ByteOrder.Uint64(dynamic) != uint64(elf.DT_NEEDED) {
			dynamic = dynamic[16:]
		}
		f.ByteOrder.PutUint64(dynamic[8:], 1<<40)
		if got, err := objfile.ReadELF(bytes.NewReader(data)); err == nil || !strings.Contains(err.Error(), "DT_NEEDED") {
			t.Errorf("got %+v, %v; want an error", got, err)
		}
		return
	}
	t.Fatal("there is no sample to work on")
}

func FuzzReadELF(f *testing.F) {
	for _, s := range link(f) {
		f.Add(read(f, s.path))
	}
	f.Add([]byte(elf.ELFMAG))
	// A header that promises the largest tables.
	header := make([]byte, 64)
	copy(header, elf.ELFMAG+"\x02\x01\x01")
	binary.LittleEndian.PutUint64(header[0x28:], 64)
	binary.LittleEndian.PutUint32(header[0x3a:], 0xffffffff)
	f.Add(header)
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := objfile.ReadELF(bytes.NewReader(data))
		if (got == nil) == (err == nil) {
			t.Fatalf("got %+v and %v", got, err)
		}
		if errors.Is(err, objfile.ErrNotELF) == bytes.HasPrefix(data, []byte(elf.ELFMAG)) {
			t.Fatalf("the first bytes are %q and the error is %v", data[:min(len(data), 4)], err)
		}
	})
}

func read(tb testing.TB, path string) []byte {
	tb.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	return data
}
