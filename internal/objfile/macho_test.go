package objfile

import (
	"bytes"
	"debug/macho"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
)

// goBuilt are programs that Go's own linker made for macOS, by GOARCH.
var goBuilt = sync.OnceValues(func() (map[string][]byte, error) {
	dir, err := os.MkdirTemp("", "objfile-macho-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	for name, text := range map[string]string{"go.mod": "module hello\n", "main.go": "package main\n\nfunc main() { println(1) }\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	built := map[string][]byte{}
	for _, arch := range []string{"arm64", "amd64"} {
		cmd := exec.Command("go", "build", "-trimpath", "-o", arch, ".")
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOOS=darwin", "GOARCH="+arch, "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off", "GOTOOLCHAIN=local")
		if out, err := cmd.CombinedOutput(); err != nil {
			return nil, errors.New(cmd.String() + ": " + err.Error() + "\n" + string(out))
		}
		if built[arch], err = os.ReadFile(filepath.Join(dir, arch)); err != nil {
			return nil, err
		}
	}
	return built, nil
})

func buildGo(t *testing.T) map[string][]byte {
	t.Helper()
	built, err := goBuilt()
	if err != nil {
		t.Fatal(err)
	}
	return built
}

// Go's debug/macho is the second opinion on what Go's linker wrote. What it does
// not read, the source of that linker tells: cmd/link/internal/ld/macho.go and
// cmd/internal/codesign.
func TestMachOOfGo(t *testing.T) {
	for arch, data := range buildGo(t) {
		o := readOne(t, data)
		compareDebugMachO(t, o, data)
		machine := map[string]string{"arm64": "aarch64", "amd64": "x86_64"}[arch]
		if o.Format != MachO || o.Machine != machine || o.Bits != 64 || o.Kind != Executable || o.Static || o.Size != int64(len(data)) {
			t.Errorf("%s: %+v", arch, o)
		}
		if o.Interp != "/usr/lib/dyld" || o.MachO.Platform != "macos" || o.Floors.MacOS == "" || o.MachO.Universal {
			t.Errorf("%s: interpreter %q, macOS %q, %+v", arch, o.Interp, o.Floors.MacOS, o.MachO)
		}
		want := Signature{Kind: "adhoc", Identifier: "a.out"}
		if arch == "amd64" {
			want = Signature{Kind: "none"} // the linker signs where macOS insists
		}
		if o.Signature != want {
			t.Errorf("%s: signature %+v, want %+v", arch, o.Signature, want)
		}
	}
}

func compareDebugMachO(t *testing.T, o *Object, data []byte) {
	t.Helper()
	f, err := macho.NewFile(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	libraries, err := f.ImportedLibraries()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, n := range o.Needs {
		names = append(names, n.Name)
	}
	if len(names) == 0 || !reflect.DeepEqual(names, libraries) {
		t.Errorf("needs %q, want %q", names, libraries)
	}
	if len(o.Sections) == 0 || len(o.Sections) != len(f.Sections) {
		t.Fatalf("%d sections, want %d", len(o.Sections), len(f.Sections))
	}
	for i, s := range f.Sections {
		want := Section{Name: s.Seg + "," + s.Name, Addr: s.Addr, Exec: s.Flags&0x80000400 != 0, Alloc: s.Flags&0x02000000 == 0}
		if s.Flags&0xff != 1 && s.Size != 0 {
			want.Offset, want.Size = int64(s.Offset), int64(s.Size)
		}
		got := o.Sections[i]
		got.Offset -= o.Offset
		if got.Size == 0 {
			got.Offset = 0
		}
		if got != want {
			t.Errorf("section %+v, want %+v", got, want)
		}
	}
}

func TestMachOUniversal(t *testing.T) {
	built := buildGo(t)
	for _, wide := range []bool{false, true} {
		data := fat(wide,
			fatSlice{cpu: 0x01000007, subtype: 3, data: built["amd64"]},
			fatSlice{cpu: 0x0100000c, data: built["arm64"]})
		objects, err := readBytes(data)
		if err != nil {
			t.Fatal(err)
		}
		if len(objects) != 2 || objects[0].Machine != "x86_64" || objects[1].Machine != "aarch64" {
			t.Fatalf("%+v", objects)
		}
		for i, arch := range []string{"amd64", "arm64"} {
			o := objects[i]
			if !o.MachO.Universal || !bytes.Equal(data[o.Offset:o.Offset+o.Size], built[arch]) {
				t.Errorf("%s: %d bytes at %d, %+v", arch, o.Size, o.Offset, o.MachO)
			}
			compareDebugMachO(t, o, built[arch])
			alone := readOne(t, built[arch])
			for k, s := range o.Sections {
				if a := alone.Sections[k]; s.Size != 0 && s.Offset != a.Offset+o.Offset {
					t.Errorf("%s: section %s at %d, want %d", arch, s.Name, s.Offset, a.Offset+o.Offset)
				}
			}
			if o.Signature != alone.Signature || o.BuildID != alone.BuildID {
				t.Errorf("%s: %+v, want %+v", arch, o, alone)
			}
		}
	}
}

func TestMachOUniversalStaticLibraryIsNoNativeFile(t *testing.T) {
	if _, err := Open("testdata/macho/universal.a"); !errors.Is(err, ErrFormat) {
		t.Errorf("error %v, want ErrFormat", err)
	}
}

// A class file of every version of Java that there was, and more.
func TestMachOIsNotJava(t *testing.T) {
	for major := byte(45); major < 120; major++ {
		class := append([]byte{0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, major}, make([]byte, 100)...)
		if _, err := readBytes(class); !errors.Is(err, ErrFormat) {
			t.Fatalf("version %d: %v, want ErrFormat", major, err)
		}
	}
	preview := append([]byte{0xca, 0xfe, 0xba, 0xbe, 0xff, 0xff, 0, 65}, make([]byte, 100)...)
	if _, err := readBytes(preview); !errors.Is(err, ErrFormat) {
		t.Errorf("a preview version: %v, want ErrFormat", err)
	}
}

// everyCommand is a file with each load command that is read, and one that is
// not.
func everyCommand(order byteOrder, wide bool) *machoBuild {
	m := newMacho()
	m.order, m.wide, m.cpu = order, wide, 18
	m.dylib(0x0c, "/usr/lib/a.dylib", 0x00010203).
		dylib(0x80000018, "@rpath/weak.dylib", 0xffffffff).
		text(0x8000001c, "@loader_path/../lib").
		dylib(0x8000001f, "again.dylib", 0).
		dylib(0x80000023, "upward.dylib", 0).
		dylib(0x20, "lazy.dylib", 0).
		dylib(0x0d, "@rpath/me.dylib", 0x10000).
		text(0x8000001c, "").
		add(0x1b, 1, 2, 3, 4).
		add(0x24, 0x000a0d02, 0x000a0f00).
		text(0x0e, "/usr/lib/dyld").
		add(0x12345678, 1, 2)
	m.tail = []byte("0123456789abcdef")
	m.segment("__TEXT", 0, 16,
		sectionBuild{"__TEXT", "__text", 0x1000, 8, 4, 0x80000400},
		sectionBuild{"__DATA", "__bss", 0x2000, 1 << 20, 0, 1},
		sectionBuild{"__DATA", "__thread_bss", 0x3000, 1 << 20, 0, 0x12},
		sectionBuild{"__DWARF", "__a_name_of_16__", 0x4000, 16, 0, 0x02000000})
	return m
}

// Both byte orders and both word sizes, with all that a file can say.
func TestMachOCommands(t *testing.T) {
	for _, order := range []byteOrder{binary.LittleEndian, binary.BigEndian} {
		for _, wide := range []bool{false, true} {
			m := everyCommand(order, wide)
			o := readOne(t, m.bytes())
			want := &Object{
				Format: MachO, Machine: "ppc", Bits: 32, Kind: Library, Soname: "@rpath/me.dylib", Interp: "/usr/lib/dyld",
				Needs: []Need{
					{Name: "/usr/lib/a.dylib", Compatibility: "1.2.3"},
					{Name: "@rpath/weak.dylib", How: "weak", Compatibility: "65535.255.255"},
					{Name: "again.dylib", How: "reexport", Compatibility: "0.0.0"},
					{Name: "upward.dylib", How: "upward", Compatibility: "0.0.0"},
					{Name: "lazy.dylib", How: "lazy", Compatibility: "0.0.0"},
				},
				Rpath:     []string{"@loader_path/../lib", ""},
				Floors:    Floors{MacOS: "10.13.2"},
				Signature: Signature{Kind: "none"},
				MachO:     &MachOInfo{Platform: "macos", SDK: "10.15"},
				BuildID:   map[bool]string{true: "01000000020000000300000004000000", false: "00000001000000020000000300000004"}[order == byteOrder(binary.LittleEndian)],
				Sections: []Section{
					{Name: "__TEXT,__text", Offset: 4, Size: 8, Addr: 0x1000, Exec: true, Alloc: true},
					{Name: "__DATA,__bss", Addr: 0x2000, Alloc: true},
					{Name: "__DATA,__thread_bss", Addr: 0x3000, Alloc: true},
					{Name: "__DWARF,__a_name_of_16__", Size: 16, Addr: 0x4000},
				},
				Size: int64(len(m.bytes())),
			}
			if wide {
				want.Bits = 64
			}
			if !reflect.DeepEqual(o, want) {
				t.Errorf("%v, wide %t:\n%+v, want\n%+v", order, wide, o, want)
			}
		}
	}
}

// dylib_use_command of macOS 15's <mach-o/loader.h>.
func TestMachODylibUse(t *testing.T) {
	m := newMacho()
	for _, flags := range []uint32{0, 1, 2, 4, 8, 1 | 2, 2 | 4} {
		m.text(0x0c, "lib.dylib", 0x1a741800, 0x00020000, 0x00010000, flags)
	}
	m.text(0x80000018, "lib.dylib", 0x1a741800, 0x00020000, 0x00010000, 2)
	var got []string
	for _, n := range readOne(t, m.bytes()).Needs {
		if n.Name != "lib.dylib" || n.Compatibility != "1.0.0" {
			t.Errorf("%+v", n)
		}
		got = append(got, n.How)
	}
	if want := []string{"", "weak", "reexport", "upward", "", "weak", "reexport", "weak"}; !reflect.DeepEqual(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestMachOMachines(t *testing.T) {
	for _, c := range []struct {
		cpu, subtype uint32
		machine, isa string
	}{
		{7, 3, "i386", ""},
		{12, 9, "arm", ""},
		{18, 0, "ppc", ""},
		{0x01000012, 0, "ppc64", ""},
		{0x01000007, 3, "x86_64", ""},
		{0x01000007, 0x80000003, "x86_64", ""}, // CPU_SUBTYPE_LIB64
		{0x01000007, 8, "x86_64", "x86-64-v3"},
		{0x0100000c, 0, "aarch64", ""},
		{0x0100000c, 1, "aarch64", ""},
		{0x0100000c, 2, "arm64e", ""},
		{0x0100000c, 0x80000002, "arm64e", ""}, // with the version of its ABI
		{0x0200000c, 1, "arm64_32", ""},
		{99, 0, "macho-99", ""},
	} {
		m := newMacho()
		m.cpu, m.subtype = c.cpu, c.subtype
		if o := readOne(t, m.bytes()); o.Machine != c.machine || o.ISA.Level != c.isa {
			t.Errorf("%#x/%#x: %s %s, want %s %s", c.cpu, c.subtype, o.Machine, o.ISA.Level, c.machine, c.isa)
		}
	}
}

func TestMachOKinds(t *testing.T) {
	want := map[uint32]Kind{
		1: Relocated, 2: Executable, 3: Library, 4: Core, 5: Executable, 6: Library, 7: Library,
		8: Bundle, 9: Library, 10: Debug, 11: Bundle, 77: "macho-77",
	}
	for number, kind := range want {
		m := newMacho()
		m.fileType = number
		o := readOne(t, m.bytes())
		if o.Kind != kind || o.Static != (number == 2) {
			t.Errorf("%d: %s static %t, want %s", number, o.Kind, o.Static, kind)
		}
		if o := readOne(t, m.text(0x0e, "/usr/lib/dyld").bytes()); o.Static {
			t.Errorf("%d: static with a dynamic linker", number)
		}
	}
}

func TestMachOVersions(t *testing.T) {
	const mac, ios, catalyst = 1, 2, 6
	build := func(m *machoBuild, platform, minimum, sdk uint32) { m.add(0x32, platform, minimum, sdk, 0) }
	for name, c := range map[string]struct {
		build                func(m *machoBuild)
		platform, floor, sdk string
	}{
		"none":            {func(*machoBuild) {}, "", "", ""},
		"macOS":           {func(m *machoBuild) { build(m, mac, 0x000e0000, 0x001a0200) }, "macos", "14.0", "26.2"},
		"three parts":     {func(m *machoBuild) { build(m, mac, 0x000a0f07, 0x000b0001) }, "macos", "10.15.7", "11.0.1"},
		"iOS":             {func(m *machoBuild) { build(m, ios, 0x000e0000, 0x00110000) }, "ios", "", "17.0"},
		"old iOS":         {func(m *machoBuild) { m.add(0x25, 0x00070000, 0) }, "ios", "", ""},
		"tvOS":            {func(m *machoBuild) { m.add(0x2f, 0x00070000, 0) }, "tvos", "", ""},
		"watchOS":         {func(m *machoBuild) { m.add(0x30, 0x00070000, 0) }, "watchos", "", ""},
		"unknown":         {func(m *machoBuild) { build(m, 99, 0x000e0000, 0) }, "platform-99", "", ""},
		"both":            {func(m *machoBuild) { build(m, mac, 0x000b0000, 1<<16); build(m, catalyst, 0x000e0000, 2<<16) }, "macos", "11.0", "1.0"},
		"both, otherwise": {func(m *machoBuild) { build(m, catalyst, 0x000e0000, 2<<16); build(m, mac, 0x000b0000, 1<<16) }, "macos", "11.0", "1.0"},
	} {
		m := newMacho()
		c.build(m)
		o := readOne(t, m.bytes())
		if o.MachO.Platform != c.platform || o.Floors.MacOS != c.floor || o.MachO.SDK != c.sdk {
			t.Errorf("%s: %s %s, SDK %s, want %s %s, %s", name, o.MachO.Platform, o.Floors.MacOS, o.MachO.SDK, c.platform, c.floor, c.sdk)
		}
	}
}

// The headers of a stub and of symbols apart speak of bytes that are elsewhere.
func TestMachOApart(t *testing.T) {
	for _, fileType := range []uint32{9, 10} {
		m := newMacho()
		m.fileType = fileType
		m.add(0x1d, 1<<30, 4096).
			segment("__TEXT", 1<<20, 1<<20, sectionBuild{"__TEXT", "__text", 0x1000, 1 << 20, 1 << 20, 0})
		o := readOne(t, m.bytes())
		if len(o.Sections) != 1 || o.Sections[0].Size != 0 || o.Signature.Kind != "none" {
			t.Errorf("type %d: %+v %+v", fileType, o.Sections, o.Signature)
		}
	}
}

func TestMachOTables(t *testing.T) {
	for number, name := range machOTables.Commands {
		if !strings.HasPrefix(name, "LC_") || !strings.HasPrefix(number, "0x") {
			t.Errorf("%s: %s", number, name)
		}
	}
	if machOTables.Source == "" || metallibTables.Source == "" || len(metallibTables.Sections) != 4 {
		t.Error("a table lacks its source or its parts")
	}
}
