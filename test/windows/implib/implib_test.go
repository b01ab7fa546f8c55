// Package implib_test has other people's linkers link with the import libraries
// that relmat makes, and Wine run the programs. It needs what
// scripts/windows-tools.sh installs.
package implib_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/relmat/relmat/internal/toolkit/implib"
)

const (
	dll = "every64_1.dll"
	// status is how main.c ends when all is as it should be.
	status = 23
)

// exportName is a line that not every llvm-readobj prints.
var exportName = regexp.MustCompile(`(?m)^Export name: .*\n`)

// tool runs a program that scripts/windows-tools.sh installs.
func tool(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) {
		t.Fatalf("%v: run scripts/windows-tools.sh", err)
	}
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}

func testdata(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// workspace has the DLL, relmat's import library of it, and main.c's object.
func workspace(t *testing.T, target, machine string, defines ...string) string {
	t.Helper()
	dir := t.TempDir()
	flags := []string{"--target=" + target, "-ffreestanding", "-fno-stack-protector", "-O1", "-c"}
	tool(t, dir, "clang-19", append(flags, "-o", "dll.obj", testdata(t, "dll.c"))...)
	tool(t, dir, "clang-19", append(append(flags, defines...), "-o", "main.obj", testdata(t, "main.c"))...)
	tool(t, dir, "llvm-lib-19", "/def:"+kernel32(t, dir), "/machine:"+machine, "/out:k32.lib")
	tool(t, dir, "lld-link-19", "/dll", "/def:"+testdata(t, "every.def"), "/entry:DllMainCRTStartup", "/nodefaultlib",
		"/out:"+dll, "/implib:lld.lib", "dll.obj", "k32.lib")
	l, err := implib.Of(filepath.Join(dir, dll))
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := l.Write(&b); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "every.lib"), b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// kernel32 is a definition of what the programs here call of it.
func kernel32(t *testing.T, dir string) string {
	t.Helper()
	const text = "LIBRARY kernel32.dll\nEXPORTS\nExitProcess\nGetTickCount\nLoadLibraryA\nFreeLibrary\nGetProcAddress\nGetLastError\nRaiseException\nLocalAlloc\nLocalFree\n"
	path := filepath.Join(dir, "k32.def")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestSymbols compares what the library says with llvm-readobj's list of the
// DLL's exports, and with the library that lld makes of the DLL's definition.
func TestSymbols(t *testing.T) {
	for target, machine := range map[string]string{"x86_64-pc-windows-msvc": "x64", "aarch64-pc-windows-msvc": "arm64"} {
		t.Run(machine, func(t *testing.T) {
			dir := workspace(t, target, machine)
			var exports []string
			for _, m := range regexp.MustCompile(`(?m)^ *Name: (\S+)$`).FindAllStringSubmatch(tool(t, dir, "llvm-readobj-19", "--coff-exports", dll), -1) {
				exports = append(exports, m[1])
			}
			symbols := regexp.MustCompile(`(?m)^Symbol: (\S+)$`)
			var imports []string
			members := exportName.ReplaceAllString(tool(t, dir, "llvm-readobj-19", "every.lib"), "")
			for _, m := range symbols.FindAllStringSubmatch(members, -1) {
				if name, ok := strings.CutPrefix(m[1], "__imp_"); ok {
					imports = append(imports, name)
				}
			}
			slices.Sort(exports) // llvm-readobj lists them by number
			if len(exports) != 5 || !slices.Equal(imports, exports) {
				t.Errorf("the library has %q, the DLL %q", imports, exports)
			}
			for _, want := range []string{"Type: data\nName type: name\nSymbol: __imp_state\n", "Type: code\nName type: name\nSymbol: __imp_ticks\nSymbol: ticks\n"} {
				if !strings.Contains(members, want) {
					t.Errorf("llvm-readobj does not say %q:\n%s", want, members)
				}
			}
			// lld's has the number without a name besides, and the thunk that it can.
			ours := strings.Fields(tool(t, dir, "llvm-nm-19", "--print-armap", "every.lib"))
			theirs := strings.Fields(tool(t, dir, "llvm-nm-19", "--print-armap", "lld.lib"))
			slices.Sort(ours)
			slices.Sort(theirs)
			theirs = slices.DeleteFunc(theirs, func(s string) bool { return strings.HasSuffix(s, "numbered") })
			if a, b := slices.Compact(ours), slices.Compact(theirs); !slices.Equal(a, b) {
				t.Errorf("the library has\n%q, lld's\n%q", a, b)
			}
		})
	}
}

// TestBytes holds that llvm-lib writes the same bytes, but for the hints, which
// a definition does not have.
func TestBytes(t *testing.T) {
	dir := workspace(t, "x86_64-pc-windows-msvc", "x64")
	const def = "LIBRARY every64_1.dll\nEXPORTS\na_function_with_a_name_that_is_longer_than_sixteen_characters\nadd\nnext\nstate DATA\nticks\n"
	if err := os.WriteFile(filepath.Join(dir, "names.def"), []byte(def), 0o644); err != nil {
		t.Fatal(err)
	}
	tool(t, dir, "llvm-lib-19", "/def:names.def", "/machine:x64", "/out:llvm.lib")
	ours, err := os.ReadFile(filepath.Join(dir, "every.lib"))
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := os.ReadFile(filepath.Join(dir, "llvm.lib"))
	if err != nil {
		t.Fatal(err)
	}
	if len(ours) != len(theirs) {
		t.Fatalf("%d bytes, llvm-lib writes %d", len(ours), len(theirs))
	}
	signature := []byte{0, 0, 0xff, 0xff, 0, 0, 0x64, 0x86}
	hints := map[int]bool{}
	for at := 0; ; {
		i := bytes.Index(ours[at:], signature)
		if i < 0 {
			break
		}
		hints[at+i+16], hints[at+i+17] = true, true
		at += i + len(signature)
	}
	if len(hints) != 2*5 {
		t.Errorf("%d short imports, want 5", len(hints)/2)
	}
	for i := range ours {
		if ours[i] != theirs[i] && !hints[i] {
			t.Errorf("byte %#x is %#x, llvm-lib writes %#x", i, ours[i], theirs[i])
		}
	}
}

// TestLink links one program with each linker and runs it.
func TestLink(t *testing.T) {
	const gnu = "x86_64-w64-mingw32"
	for name, c := range map[string]struct {
		target  string
		defines []string
		link    []string
		delayed bool
	}{
		"GNU ld":        {target: gnu, link: []string{gnu + "-gcc", "-o", "main.exe", "main.obj", "every.lib"}},
		"GNU ld by -l":  {target: gnu, link: []string{gnu + "-gcc", "-o", "main.exe", "main.obj", "-L.", "-levery"}},
		"lld for MinGW": {target: gnu, link: []string{"clang-19", "--target=" + gnu, "-fuse-ld=lld-19", "-o", "main.exe", "main.obj", "every.lib"}},
		"lld for MinGW, delayed": {target: gnu, defines: []string{"-DDELAYED"}, delayed: true, link: []string{
			"clang-19", "--target=" + gnu, "-fuse-ld=lld-19", "-o", "main.exe", "main.obj", "every.lib", "-ldelayimp", "-Wl,-Xlink=-delayload:" + dll,
		}},
		"lld-link": {target: "x86_64-pc-windows-msvc", link: []string{
			"lld-link-19", "/out:main.exe", "/entry:main", "/subsystem:console", "/nodefaultlib", "main.obj", "every.lib", "k32.lib",
		}},
		"lld-link, delayed": {target: "x86_64-pc-windows-msvc", defines: []string{"-DDELAYED"}, delayed: true, link: []string{
			"lld-link-19", "/out:main.exe", "/entry:main", "/subsystem:console", "/nodefaultlib", "/delayload:" + dll, "main.obj", "every.lib", "k32.lib", "helper.a", "/alternatename:__image_base__=__ImageBase",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := workspace(t, c.target, "x64", c.defines...)
			// MinGW's __delayLoadHelper2 stands for that of Visual C++'s delayimp.lib.
			helper := strings.TrimSpace(tool(t, dir, gnu+"-gcc", "-print-file-name=libmingwex.a"))
			if err := os.Symlink(helper, filepath.Join(dir, "helper.a")); err != nil {
				t.Fatal(err)
			}
			tool(t, dir, c.link[0], c.link[1:]...)
			imports := tool(t, dir, "llvm-readobj-19", "--coff-imports", "main.exe")
			ordinary := regexp.MustCompile(`(?m)^Import \{\s+Name: ` + dll).MatchString(imports)
			delayed := regexp.MustCompile(`(?m)^DelayImport \{\s+Name: ` + dll).MatchString(imports)
			if ordinary == c.delayed || delayed != c.delayed {
				t.Errorf("an ordinary import: %v, a delayed one: %v\n%s", ordinary, delayed, imports)
			}
			if got := run(t, dir); got != status {
				t.Errorf("it ends with %d, want %d", got, status)
			}
		})
	}
}

// run runs main.exe under Wine and returns how it ended.
func run(t *testing.T, dir string) int {
	t.Helper()
	cmd := exec.Command("wine", filepath.Join(dir, "main.exe"))
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) {
		t.Fatalf("%v: run scripts/windows-tools.sh, and put the directory that it prints into PATH", err)
	}
	if err != nil && cmd.ProcessState == nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if code := cmd.ProcessState.ExitCode(); code != status {
		t.Logf("wine says\n%s", out)
	}
	return cmd.ProcessState.ExitCode()
}
