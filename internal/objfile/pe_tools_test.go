package objfile

import (
	"debug/pe"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"testing"
)

func peTool(t *testing.T, environment []string, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), append(environment, "LC_ALL=C")...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func openOne(t *testing.T, path string) *Object {
	t.Helper()
	objects, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(objects) != 1 || objects[0].Format != PE {
		t.Fatalf("%s: got %v", path, objects)
	}
	return objects[0]
}

// Programs of the Go linker against objdump, for the machines that Debian's
// reads, and against debug/pe. Compressed sections are left out: objdump gives
// them the size of what is in them, and then takes others for them.
func TestPEAgreesWithObjdump(t *testing.T) {
	dir := t.TempDir()
	source := filepath.Join(dir, "main.go")
	if err := os.WriteFile(source, []byte("package main\n\nfunc main() { println(\"hello\") }\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	for arch, machine := range map[string]string{"amd64": "x86_64", "386": "i386", "arm64": "aarch64"} {
		t.Run(arch, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(dir, arch+".exe")
			peTool(t, []string{"GOOS=windows", "GOARCH=" + arch, "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off"}, "go", "build", "-ldflags=-compressdwarf=false", "-o", path, source)
			o := openOne(t, path)
			if o.Machine != machine || o.Kind != Executable || o.Static || o.Signature.Kind != "none" {
				t.Errorf("got %s %s static %t signature %+v", o.Machine, o.Kind, o.Static, o.Signature)
			}
			compareDebugPE(t, path, o)
			if arch == "arm64" {
				return
			}
			compareObjdump(t, path, o)
			if arch != "amd64" {
				return
			}
			debug := filepath.Join(dir, arch+".debug")
			peTool(t, nil, "objcopy", "--only-keep-debug", path, debug)
			if d := openOne(t, debug); d.Kind != Debug || d.Static {
				t.Errorf("objcopy --only-keep-debug: got %s, static %t", d.Kind, d.Static)
			}
			compareSections(t, debug, openOne(t, debug))
		})
	}
}

func compareDebugPE(t *testing.T, path string, o *Object) {
	t.Helper()
	f, err := pe.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	symbols, err := f.ImportedSymbols() // symbol:library
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]int{}
	for _, s := range symbols {
		_, library, _ := strings.Cut(s, ":")
		want[library]++
	}
	got := map[string]int{}
	for _, n := range o.Needs {
		got[n.Name] += n.Symbols
	}
	if len(want) == 0 || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("imports: got %v, debug/pe says %v", got, want)
	}
	for i, s := range f.Sections {
		ours := o.Sections[i]
		if s.Name != ours.Name || uint64(s.VirtualAddress) != ours.Addr || int64(s.Size) != ours.Size && s.Offset != 0 || int64(s.Offset) != ours.Offset {
			t.Errorf("section %d: got %+v, debug/pe says %+v", i, ours, s.SectionHeader)
		}
	}
}

func compareObjdump(t *testing.T, path string, o *Object) {
	t.Helper()
	dump := peTool(t, nil, "objdump", "-p", path)
	field := func(name string) string {
		m := regexp.MustCompile(`(?m)^` + name + `\s+(\S+)`).FindStringSubmatch(dump)
		if m == nil {
			t.Fatalf("objdump -p shows no %s", name)
		}
		return m[1]
	}
	if want := field("MajorSubsystemVersion") + "." + field("MinorSubsystemVersion"); o.Floors.Windows != want {
		t.Errorf("Windows: got %s, want %s", o.Floors.Windows, want)
	}
	if want := field("MajorLinkerVersion") + "." + field("MinorLinkerVersion"); o.PE.Linker != want {
		t.Errorf("linker: got %s, want %s", o.PE.Linker, want)
	}
	if number := field("Subsystem"); number != "00000003" || o.PE.Subsystem != "windows_cui" {
		t.Errorf("subsystem: got %s, objdump says %s", o.PE.Subsystem, number)
	}
	if got, want := peNeedText(o.Needs), objdumpImports(dump); got != want {
		t.Errorf("imports: got %s, want %s", got, want)
	}
	compareSections(t, path, o)
}

// Lines of objdump -p for a symbol: its address, its hint or number, its name.
// From binutils 2.41 on the number and the hint have columns of their own.
var (
	objdumpName    = regexp.MustCompile(`(?m)^\s+[0-9a-f]+\s+(?:\d+|<none>\s+[0-9a-f]+) +[^\s<]\S*$`)
	objdumpOrdinal = regexp.MustCompile(`(?m)^\s+[0-9a-f]+\s+[0-9a-f]+ +<none>(?: +<none>)?$`)
)

func objdumpImports(dump string) string {
	var out []string
	for _, part := range strings.Split(dump, "DLL Name: ")[1:] {
		name, rest, _ := strings.Cut(part, "\n")
		rest, _, _ = strings.Cut(rest, "\n\n")
		names, ordinals := objdumpName.FindAllString(rest, -1), objdumpOrdinal.FindAllString(rest, -1)
		out = append(out, fmt.Sprintf("%s(%d,%d)", name, len(names), len(ordinals)))
	}
	return strings.Join(out, " ")
}

// compareSections compares with objdump -h. It shows the size without the
// padding of an image's section, and addresses with the image base.
func compareSections(t *testing.T, path string, o *Object) {
	t.Helper()
	line := regexp.MustCompile(`(?m)^ +\d+ (\S+) +([0-9a-f]+)  ([0-9a-f]+)  [0-9a-f]+  ([0-9a-f]+)  2\*\*\d+.*\n +(.*)$`)
	sections := line.FindAllStringSubmatch(peTool(t, nil, "objdump", "-h", path), -1)
	if len(sections) != len(o.Sections) {
		t.Fatalf("got %d sections, objdump %d", len(o.Sections), len(sections))
	}
	hex := func(s string) uint64 {
		n, err := strconv.ParseUint(s, 16, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	var base uint64
	for i, m := range sections {
		s := o.Sections[i]
		if i == 0 {
			base = hex(m[3]) - s.Addr
		}
		size, contents := int64(hex(m[2])), strings.Contains(m[5], "CONTENTS")
		if !contents {
			size = 0
		}
		padding := s.Size - size
		if s.Name != m[1] || s.Addr+base != hex(m[3]) || contents && s.Offset != int64(hex(m[4])) || padding < 0 || padding >= 512 ||
			s.Exec != strings.Contains(m[5], "CODE") || s.Alloc == strings.Contains(m[5], "DEBUGGING") && s.Name != ".comment" {
			t.Errorf("section %d: got %+v, objdump says %s", i, s, strings.Join(m[1:], " "))
		}
	}
}

// Object files of all three kinds, made by objcopy of what the C compiler made,
// with a symbol and a section for each function.
func TestCOFFAgreesWithObjdump(t *testing.T) {
	dir := t.TempDir()
	source := filepath.Join(dir, "x.c")
	text := "int zeros[100]; int data = 4; const char text[] = \"abc\";\n" +
		"int a_function_of_a_long_name(int x) { return x + 1; }\nint f(int x) { return x; }\n"
	if err := os.WriteFile(source, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	elf := filepath.Join(dir, "x.o")
	peTool(t, nil, "c++", "-x", "c", "-g", "-ffunction-sections", "-c", source, "-o", elf)
	for target, machine := range map[string]string{"pe-x86-64": "x86_64", "pe-bigobj-x86-64": "x86_64", "pe-i386": "i386"} {
		path := filepath.Join(dir, target+".obj")
		peTool(t, nil, "objcopy", "-O", target, elf, path)
		o := openOne(t, path)
		if o.Kind != Relocated || o.Machine != machine || o.Static || o.Floors.Windows != "" || o.Signature.Kind != "" {
			t.Errorf("%s: got %+v", target, o)
		}
		compareSections(t, path, o)
		if !hasSection(o, ".text.a_function_of_a_long_name") {
			t.Errorf("%s: the long name is missing", target)
		}
	}
}

func hasSection(o *Object, name string) bool {
	for _, s := range o.Sections {
		if s.Name == name {
			return true
		}
	}
	return false
}

// The images that the other tests build are such that objdump reads the same
// from them.
func TestPEBuilderAgreesWithObjdump(t *testing.T) {
	for name, b := range map[string]*peBuilder{"32": newPE32(), "64": newPE64()} {
		b.imports(
			peTestImport{dll: "KERNEL32.dll", names: []string{"Sleep", "ExitProcess"}},
			peTestImport{dll: "WS2_32.dll", names: []string{"x"}, ordinals: []uint16{1, 3, 115}},
		)
		path := filepath.Join(t.TempDir(), name+".exe")
		if err := os.WriteFile(path, b.bytes(), 0o666); err != nil {
			t.Fatal(err)
		}
		compareDump := objdumpImports(peTool(t, nil, "objdump", "-p", path))
		if got := peNeedText(openOne(t, path).Needs); got != compareDump {
			t.Errorf("%s: got %s, objdump says %s", name, got, compareDump)
		}
	}
}

func TestCOFFStringOffset(t *testing.T) {
	var wrong []string
	for name, want := range map[string]int64{
		"/4": 4, "/1234567": 1234567, "//AAAAAE": 4, "//AAmJaA": 10000000, "//////8": -1, "//______": -1,
		"/": -1, "/x": -1, ".text": -1, "/-4": -1, "//AAAA": -1,
	} {
		got, ok := coffStringOffset(name)
		if !ok {
			got = -1
		}
		if got != want {
			wrong = append(wrong, fmt.Sprintf("%s: got %d, want %d", name, got, want))
		}
	}
	sort.Strings(wrong)
	if wrong != nil {
		t.Error(strings.Join(wrong, "\n"))
	}
}
