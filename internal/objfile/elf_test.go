package objfile_test

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/relmat/relmat/internal/objfile"
)

// elfSample is a file that the C compiler made for a test.
type elfSample struct {
	name string
	data []byte
}

// elfSamples are those of all tests; nobody writes to their bytes.
var elfSamples = sync.OnceValues(compileELF)

func linkELF(tb testing.TB) []elfSample {
	tb.Helper()
	samples, err := elfSamples()
	if err != nil {
		tb.Fatal("these tests need a C compiler, a linker and objcopy: ", err)
	}
	return samples
}

func oneELF(tb testing.TB, name string) []byte {
	tb.Helper()
	for _, s := range linkELF(tb) {
		if s.name == name {
			return slices.Clone(s.data)
		}
	}
	tb.Fatal("there is no sample ", name)
	return nil
}

const dlopenNote = `[{"soname":["libz.so.1","libz.so"],"feature":"zlib","description":"compressed files","priority":"recommended"},{"soname":["libq.so"]}]`

// elfSources are the files that the samples are compiled from.
func elfSources() map[string]string {
	var many strings.Builder
	for i := range 0xff00 {
		fmt.Fprintf(&many, ".section .s%d,\"a\"\n.byte 1\n", i)
	}
	functions := func(names ...string) string {
		return "int " + strings.Join(names, "(void) { return 1; }\nint ") + "(void) { return 1; }\n"
	}
	return map[string]string{
		"foo.c":    functions("foo"),
		"bar.c":    "int foo(void);\nint bar(void) { return foo(); }\n",
		"main.c":   "int bar(void);\nint foo(void);\nvoid _start(void) { bar(); foo(); for (;;) {} }\n",
		"alone.c":  "void _start(void) { for (;;) {} }\n",
		"interp.c": "const char interp[] __attribute__((section(\".interp\"))) = \"/lib/ld.so.9\";\n",
		"hello.cc": "#include <iostream>\n#include <string>\n" +
			"int main(int n, char **v) { try { std::cout << std::stoi(v[n - 1]) << std::endl; } catch (std::exception &e) { return 1; } }\n",
		"note.s": ".section .note.dlopen,\"a\",%note\n.balign 4\n.4byte 4, 2f-1f, 0x407c0c0a\n.asciz \"FDO\"\n" +
			"1: .asciz " + strconv.Quote(dlopenNote) + "\n2: .balign 4\n.section .note.GNU-stack,\"\",%progbits\n",
		"many.s":   many.String(),
		"libc.map": "GLIBC_2.4 { global: v4; };\nGLIBC_2.10 { global: v10; } GLIBC_2.4;\nGLIBC_PRIVATE { global: vp; };\nOTHER_9.9 { global: vo; };\n",
		"libc.c":   functions("v4", "v10", "vp", "vo"),
		"stdc.map": "GLIBCXX_3.4.9 { global: x9; };\nGLIBCXX_3.4.30 { global: x30; };\nCXXABI_1.3.13 { global: a; };\nCXXABI_TM_1 { global: tm; };\n",
		"stdc.c":   functions("x9", "x30", "a", "tm"),
		"versions.c": "int v4(void), v10(void), vp(void), vo(void), x9(void), x30(void), a(void), tm(void);\n" +
			"void _start(void) { v4(); v10(); vp(); vo(); x9(); x30(); a(); tm(); for (;;) {} }\n",
	}
}

// compileELF makes one ELF file of each kind that a package can hold.
func compileELF() (samples []elfSample, err error) {
	dir, err := os.MkdirTemp("", "objfile-test-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	for name, text := range elfSources() {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	type job struct{ name, command string }
	const program = "cc -nostdlib main.c libbar.so libfoo.so -Wl,--no-as-needed -o "
	const library = "cc -nostdlib -shared -fPIC foo.c -o "
	jobs := []job{
		{"libfoo.so", library + "libfoo.so -Wl,-soname,libfoo.so.1"},
		{"libbar.so", "cc -nostdlib -shared -fPIC bar.c libfoo.so -o libbar.so"},
		{"plain", program + "plain -no-pie"},
		{"pie", program + "pie -pie -fPIE"},
		{"rpath", program + "rpath -Wl,--disable-new-dtags,-rpath,$ORIGIN/../lib"},
		{"runpath", program + "runpath -Wl,--enable-new-dtags,-rpath,$ORIGIN/../lib"},
		{"rpath-of-two", program + "rpath-of-two -Wl,--disable-new-dtags,-rpath,/opt/one:$ORIGIN/two"},
		{"stripped", program + "stripped -s -Wl,-rpath,$ORIGIN"},
		{"old-pie", library + "old-pie interp.c"},
		{"libruns.so", library + "libruns.so interp.c -Wl,-soname,libruns.so.6"},
		{"static", "cc -nostdlib -static -no-pie alone.c -o static"},
		{"static-pie", "cc -nostdlib -static-pie -fPIE alone.c -o static-pie"},
		{"object.o", "cc -c foo.c -o object.o"},
		{"many.o", "cc -c many.s -o many.o"},
		{"build-id", library + "build-id -Wl,--build-id=0xC0FFEE1234567890"},
		{"no-build-id", library + "no-build-id -Wl,--build-id=none"},
		{"filter", library + "filter -Wl,-F,libreal.so.1,-f,visibility=hidden"},
		{"dlopen", library + "dlopen note.s"},
		{"hello", "c++ hello.cc -o hello"},
		{"libversions.so.6", "cc -nostdlib -shared -fPIC -Wl,--version-script=libc.map,-soname,libversions.so.6 libc.c -o libversions.so.6"},
		{"libstdc++.so.6", "cc -nostdlib -shared -fPIC -Wl,--version-script=stdc.map,-soname,libstdc++.so.6 stdc.c -o libstdc++.so.6"},
		{"versions", "cc -nostdlib versions.c libversions.so.6 libstdc++.so.6 -o versions"},
		{"with-debug", library + "with-debug -g"},
		{"with-debug.debug", "objcopy --only-keep-debug with-debug with-debug.debug"},
		{"pie.debug", "objcopy --only-keep-debug pie pie.debug"},
	}
	if runtime.GOARCH == "amd64" {
		for _, level := range []string{"baseline", "v2", "v3", "v4"} {
			name := "x86-64-" + level
			jobs = append(jobs, job{name, library + name + " -Wl,-z," + name})
		}
	}
	for _, j := range jobs {
		args := strings.Fields(j.command)
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Dir = dir
		if msg, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("%v: %w\n%s", cmd.Args, err, msg)
		}
		data, err := os.ReadFile(filepath.Join(dir, j.name))
		if err != nil {
			return nil, err
		}
		samples = append(samples, elfSample{j.name, data})
	}
	return samples, nil
}

func readELF(data []byte) (*objfile.Object, error) {
	objects, err := objfile.Read(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, err
	}
	return objects[0], nil
}

func mustReadELF(tb testing.TB, data []byte) *objfile.Object {
	tb.Helper()
	o, err := readELF(data)
	if err != nil {
		tb.Fatal(err)
	}
	return o
}

// TestELFAgreesWithReadelf compares every field that readelf knows too, in the
// samples, in what sstrip makes of them, and in files for other machines.
func TestELFAgreesWithReadelf(t *testing.T) {
	files := slices.Clone(linkELF(t))
	for name, spec := range elfSpecs() {
		if !spec.unloaded { // readelf then finds no dynamic section
			files = append(files, elfSample{name, spec.make().data})
		}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range append(files, elfSample{"this test", data}) {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			got, truth := mustReadELF(t, s.data), askReadelf(t, s.data)
			if got.Format != objfile.ELF || got.Offset != 0 || got.Size != int64(len(s.data)) {
				t.Errorf("it is %s at %d, of %d bytes", got.Format, got.Offset, got.Size)
			}
			bare, ok := withoutSections(s.data)
			if !ok {
				truth.compare(t, got)
				return
			}
			// readelf finds symbol versions by their section alone.
			short := askReadelf(t, bare)
			short.versions, short.floors = truth.versions, truth.floors
			truth.compare(t, got)
			short.compare(t, mustReadELF(t, bare))
		})
	}
}

// TestELFSamplesDiffer guards the test above: samples that all look alike
// would prove nothing. It has the fields that readelf leaves to its reader.
func TestELFSamplesDiffer(t *testing.T) {
	type want struct {
		kind   objfile.Kind
		static bool
		floors objfile.Floors
	}
	exe, lib := objfile.Executable, objfile.Library
	for name, w := range map[string]want{
		"libfoo.so":        {kind: lib},
		"plain":            {kind: exe},
		"pie":              {kind: exe},
		"old-pie":          {kind: exe},
		"libruns.so":       {kind: lib},
		"static":           {kind: exe, static: true},
		"static-pie":       {kind: exe, static: true},
		"object.o":         {kind: objfile.Relocated},
		"many.o":           {kind: objfile.Relocated},
		"with-debug":       {kind: lib},
		"with-debug.debug": {kind: objfile.Debug},
		"pie.debug":        {kind: objfile.Debug},
		"versions":         {kind: exe, floors: objfile.Floors{Glibc: "2.10", Glibcxx: "3.4.30", CXXABI: "1.3.13"}},
	} {
		got := mustReadELF(t, oneELF(t, name))
		if got.Kind != w.kind || got.Static != w.static || got.Floors != w.floors {
			t.Errorf("%s is %s, static %v, with floors %+v; want %+v", name, got.Kind, got.Static, got.Floors, w)
		}
	}
	if o := mustReadELF(t, oneELF(t, "hello")); o.Floors.Glibc == "" || o.Floors.Glibcxx == "" || o.Floors.CXXABI == "" {
		t.Errorf("a C++ program has the floors %+v", o.Floors)
	}
	if o := mustReadELF(t, oneELF(t, "build-id")); o.BuildID != "c0ffee1234567890" {
		t.Errorf("the build-id is %q", o.BuildID)
	}
	for level, want := range map[string]string{"baseline": "x86-64", "v2": "x86-64-v2", "v3": "x86-64-v3", "v4": "x86-64-v4"} {
		if runtime.GOARCH != "amd64" {
			continue
		}
		if o := mustReadELF(t, oneELF(t, "x86-64-"+level)); o.ISA != (objfile.ISA{Level: want, Evidence: ".note.gnu.property"}) {
			t.Errorf("a library for %s asks for %+v", level, o.ISA)
		}
	}
	if o := mustReadELF(t, oneELF(t, "object.o")); o.ISA != (objfile.ISA{}) {
		t.Errorf("an object that says nothing asks for %+v", o.ISA)
	}
	if n := len(mustReadELF(t, oneELF(t, "many.o")).Sections); n < 0xff00 {
		t.Errorf("an object of %d sections has %d", 0xff00, n)
	}
	wantNeeds := []objfile.Need{{Name: "libreal.so.1", How: "reexport"}}
	if o := mustReadELF(t, oneELF(t, "filter")); !reflect.DeepEqual(o.Needs, wantNeeds) {
		t.Errorf("a filter needs %+v", o.Needs)
	}
}

func TestELFDlopenNote(t *testing.T) {
	want := []objfile.Dlopen{
		{Sonames: []string{"libz.so.1", "libz.so"}, Feature: "zlib", Purpose: "compressed files", Priority: "recommended"},
		{Sonames: []string{"libq.so"}},
	}
	data := oneELF(t, "dlopen")
	bare, _ := withoutSections(data)
	for _, data := range [][]byte{data, bare} {
		if got := mustReadELF(t, data).Dlopen; !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
}

// withoutSections takes the section headers away, as sstrip does. The loader
// does without them; of an object and of a debug file nothing is left.
func withoutSections(data []byte) (bare []byte, ok bool) {
	f, err := elf.NewFile(bytes.NewReader(data))
	if err != nil || f.Type == elf.ET_REL {
		return nil, false
	}
	if s := f.Section(".text"); s != nil && s.Type == elf.SHT_NOBITS {
		return nil, false
	}
	bare = slices.Clone(data)
	if f.Class == elf.ELFCLASS64 {
		clear(bare[0x28:0x30]) // e_shoff
		clear(bare[0x3c:0x40]) // e_shnum, e_shstrndx
	} else {
		clear(bare[0x20:0x24])
		clear(bare[0x30:0x34])
	}
	return bare, true
}

// TestELFWithoutSectionsHasSegments leaves something to search in where the
// linker's parts are unknown.
func TestELFWithoutSectionsHasSegments(t *testing.T) {
	data := oneELF(t, "pie")
	bare, _ := withoutSections(data)
	f, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	var want []objfile.Section
	for _, p := range f.Progs {
		if p.Type == elf.PT_LOAD {
			want = append(want, objfile.Section{
				Name: fmt.Sprintf("PT_LOAD %d", len(want)), Offset: int64(p.Off), Size: int64(p.Filesz), Addr: p.Vaddr,
				Exec: p.Flags&elf.PF_X != 0, Alloc: true,
			})
		}
	}
	if got := mustReadELF(t, bare).Sections; !reflect.DeepEqual(got, want) || len(got) == 0 {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestOpenNamesTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notes.txt")
	if err := os.WriteFile(path, []byte("no program"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := objfile.Open(path)
	if !errors.Is(err, objfile.ErrFormat) || !strings.Contains(err.Error(), path) {
		t.Errorf("the error is %v", err)
	}
	if _, err := objfile.Open(path + ".missing"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the error of a missing file is %v", err)
	}
	if err := os.WriteFile(path, oneELF(t, "pie")[:100], 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := objfile.Open(path); err == nil || errors.Is(err, objfile.ErrFormat) || !strings.Contains(err.Error(), path) {
		t.Errorf("the error of half a file is %v", err)
	}
}

// failingDisk breaks after some bytes.
type failingDisk struct {
	data  []byte
	after int64
}

var errDisk = errors.New("the disk is broken")

func (f failingDisk) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > f.after {
		return 0, errDisk
	}
	return bytes.NewReader(f.data).ReadAt(p, off)
}

func TestELFReadErrorIsNotTakenForAnotherFormat(t *testing.T) {
	data := oneELF(t, "pie")
	for _, after := range []int64{0, 3, 8, 70, 1000, 5000, int64(len(data)) - 1} {
		_, err := objfile.Read(failingDisk{data, after}, int64(len(data)))
		if !errors.Is(err, errDisk) {
			t.Errorf("a disk that breaks after %d bytes gives %v", after, err)
		}
	}
	// A file that has become shorter since its size was asked for.
	if o, err := objfile.Read(bytes.NewReader(data[:5000]), int64(len(data))); err == nil {
		t.Errorf("a file that ends early gives %+v", o)
	}
}

// TestELFTruncated cuts files everywhere: their section headers stand at the
// end, so none of the pieces is whole.
func TestELFTruncated(t *testing.T) {
	for _, s := range linkELF(t) {
		for n := 0; n < len(s.data); n += 1 + n/64 {
			got, err := readELF(s.data[:n])
			if err == nil {
				t.Fatalf("%s: %d of %d bytes give %+v", s.name, n, len(s.data), got)
			}
			if n < 4 != errors.Is(err, objfile.ErrFormat) {
				t.Fatalf("%s: %d bytes give %v", s.name, n, err)
			}
		}
	}
}

// countingReader counts what is read.
type countingReader struct {
	data         []byte
	reads, bytes int
}

func (c *countingReader) ReadAt(p []byte, off int64) (int, error) {
	c.reads++
	c.bytes += len(p)
	return bytes.NewReader(c.data).ReadAt(p, off)
}

// TestELFReadsHeadersAlone holds the cost of a file of some megabytes.
func TestELFReadsHeadersAlone(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	r := &countingReader{data: data}
	if _, err := objfile.Read(r, int64(len(data))); err != nil {
		t.Fatal(err)
	}
	if r.reads > 20 || r.bytes > 64<<10 {
		t.Errorf("%d reads of %d bytes together, of a file of %d bytes", r.reads, r.bytes, len(data))
	}
}
