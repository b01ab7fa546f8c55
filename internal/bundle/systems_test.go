package bundle

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const windowsTarget = "x86_64-pc-windows-msvc, hosts: {linux-x86_64: {}}}"

const hookedLayout = "    layout: {style: mlx-windows}\n"

// TestClosureOfWindows follows imports and delay imports: API sets, known DLLs
// and the driver's are nobody's to pack, names are compared without case, and
// what the hook of the layout finds lies where it looks.
func TestClosureOfWindows(t *testing.T) {
	dir := t.TempDir()
	dll := func(name string, m image) {
		m.dll = true
		m.pe(t, filepath.Join(dir, name))
	}
	dll("cufft64_12.dll", image{needs: []string{"KERNEL32.dll"}})
	dll("cublasLt64_13.dll", image{text: "nvrtc64_130_0.dll"})
	dll("nvrtc64_130_0.dll", image{text: "nvrtc-builtins64_130.dll"})
	dll("nvrtc-builtins64_130.dll", image{})
	dll("nvrtc-builtins64_129.dll", image{})
	dll("MSVCP140.dll", image{})
	exe := image{
		needs:  []string{"kernel32.dll", "api-ms-win-crt-heap-l1-1-0.dll", "msvcp140.DLL", "nvcuda.dll"},
		delays: []string{"CUBLASLT64_13.dll", "cufft64_12.dll", "nvml.dll"},
	}.pe(t, filepath.Join(t.TempDir(), "prog.exe"))

	got, err := closureOf(t, exe, dir, windowsTarget, hookedLayout)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"bin/MSVCP140.dll needed by prog.exe",
		"bin/cufft64_12.dll loaded at the first call by prog.exe",
		"nvidia/cublas/bin/cublasLt64_13.dll loaded at the first call by prog.exe",
		"nvidia/cuda_nvrtc/bin/nvrtc-builtins64_130.dll loaded by name by nvrtc64_130_0.dll",
		"nvidia/cuda_nvrtc/bin/nvrtc64_130_0.dll loaded by name by cublasLt64_13.dll",
	}
	if !slices.Equal(got, want) {
		t.Errorf("closure = %q\nwant %q", got, want)
	}

	remove(t, filepath.Join(dir, "cufft64_12.dll"))
	remove(t, filepath.Join(dir, "MSVCP140.dll"))
	_, err = closureOf(t, exe, dir, windowsTarget, hookedLayout)
	for _, want := range []string{
		"cufft64_12.dll is loaded at the first call by prog.exe, and the shelf has it not",
		"msvcp140.DLL is needed by prog.exe", "part of the Visual C++ redistributable",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error lacks %q:\n%v", want, err)
		}
	}
}

// TestClosureOfImportedDLLs has a DLL import, which lies where the program's
// hook looks, another one of there: for what a DLL imports Windows does not ask
// the hook, and what the program has loaded before nobody knows.
func TestClosureOfImportedDLLs(t *testing.T) {
	dir := t.TempDir()
	image{dll: true}.pe(t, filepath.Join(dir, "cublasLt64_13.dll"))
	image{dll: true, needs: []string{"cublasLt64_13.dll"}}.pe(t, filepath.Join(dir, "cublas64_13.dll"))
	image{dll: true, needs: []string{"cublas64_13.dll", "cublasLt64_13.dll"}}.pe(t, filepath.Join(dir, "cusolver64_12.dll"))
	exe := image{delays: []string{"cublasLt64_13.dll", "cusolver64_12.dll"}}.pe(t, filepath.Join(t.TempDir(), "prog.exe"))
	got, err := closureOf(t, exe, dir, windowsTarget, hookedLayout)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"bin/cublas64_13.dll needed by cusolver64_12.dll",
		"bin/cublasLt64_13.dll loaded at the first call by prog.exe",
		"bin/cusolver64_12.dll loaded at the first call by prog.exe",
	}
	if !slices.Equal(got, want) {
		t.Errorf("closure = %q\nwant %q", got, want)
	}

	// A layout that has the libraries where no hook looks.
	_, err = closureOf(t, exe, dir, windowsTarget, "    layout: {programs: bin, libraries: lib}\n    files: [{source: prog.exe, to: bin/cublasLt64_13.dll}]\n")
	if err == nil || !strings.Contains(err.Error(), "cublasLt64_13.dll") {
		t.Errorf("a layout whose libraries are not found gives %v", err)
	}
}

// TestClosureOfGoProgram reads a program that another linker made.
func TestClosureOfGoProgram(t *testing.T) {
	dir := t.TempDir()
	code := write(t, filepath.Join(dir, "main.go"), "package main\nfunc main() { println(1) }\n")
	for system, target := range map[string]string{"windows": windowsTarget, "darwin": "aarch64-apple-darwin}"} {
		exe := filepath.Join(dir, system)
		cmd := exec.Command("go", "build", "-o", exe, code)
		cmd.Env = append(cmd.Environ(), "GOOS="+system, "CGO_ENABLED=0", "GOARCH="+map[string]string{"windows": "amd64", "darwin": "arm64"}[system])
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if got, err := closureOf(t, exe, dir, target, ""); err != nil || len(got) > 0 {
			t.Errorf("%s: the closure of a program that needs the system alone is %q, %v", system, got, err)
		}
	}
}

// TestClosureOfMacOS expands @rpath and its like; the shared cache's libraries
// stay out.
func TestClosureOfMacOS(t *testing.T) {
	dir := t.TempDir()
	image{install: "@rpath/liba.dylib", needs: []string{"@loader_path/libb.dylib", "/usr/lib/libSystem.B.dylib"}}.macho(t, filepath.Join(dir, "liba.dylib"))
	image{install: "@rpath/libb.dylib", needs: []string{"/System/Library/Frameworks/Metal.framework/Versions/A/Metal"}}.macho(t, filepath.Join(dir, "libb.dylib"))
	program := func(m image) string { return m.macho(t, filepath.Join(t.TempDir(), "prog")) }
	const target = "aarch64-apple-darwin}"

	exe := program(image{needs: []string{"@rpath/liba.dylib"}, rpaths: []string{"@executable_path/../lib"}})
	got, err := closureOf(t, exe, dir, target, "")
	if want := []string{"lib/liba.dylib needed by prog", "lib/libb.dylib needed by liba.dylib"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("closure = %q, %v\nwant %q", got, err, want)
	}
	for name, tt := range map[string]struct {
		m    image
		want string
	}{
		"no run path":      {image{needs: []string{"@rpath/liba.dylib"}}, "@rpath/liba.dylib is needed by prog, and is in the package at lib/liba.dylib, where it is not found"},
		"an absolute path": {image{needs: []string{"/opt/homebrew/lib/libopenblas.dylib"}, rpaths: []string{"@executable_path/../lib"}}, "asked for by an absolute path"},
		"a missing one":    {image{needs: []string{"@rpath/libnone.dylib"}, rpaths: []string{"@executable_path/../lib"}}, "@rpath/libnone.dylib is needed by prog, and the shelf has it not"},
	} {
		if _, err := closureOf(t, program(tt.m), dir, target, ""); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s gives %v, want %q", name, err, tt.want)
		}
	}
}

// TestClosureOfLibraryForMacOS packs what a library leaves it to its loader to
// find, as libmlx.dylib does, and says so.
func TestClosureOfLibraryForMacOS(t *testing.T) {
	dir := t.TempDir()
	image{install: "@rpath/liba.dylib", needs: []string{"@rpath/libb.dylib"}}.macho(t, filepath.Join(dir, "liba.dylib"))
	image{install: "@rpath/libb.dylib"}.macho(t, filepath.Join(dir, "libb.dylib"))
	main := image{install: "@rpath/libmain.dylib", needs: []string{"@rpath/liba.dylib"}}.macho(t, filepath.Join(t.TempDir(), "libmain.dylib"))
	row, p := parse(t, "aarch64-apple-darwin}", "    layout: {style: flat}\n")
	b, err := newBuilder(Options{Row: row, Name: "pkg", Package: p, Programs: map[string]string{"prog": main}})
	if err != nil {
		t.Fatal(err)
	}
	b.sources = []source{shelf{dir}}
	if err := b.programs(); err != nil {
		t.Fatal(err)
	}
	if err := b.closure(t.Context()); err != nil {
		t.Fatal(err)
	}
	if b.places["liba.dylib"] == nil || b.places["libb.dylib"] == nil || len(b.notes) == 0 || b.notes[0] != "prog needs @rpath/liba.dylib and has no run path to liba.dylib: a program that loads it needs one" {
		t.Errorf("the package has %v, the notes are %q", b.places, b.notes)
	}

	remove(t, filepath.Join(dir, "liba.dylib"))
	if b, err = newBuilder(Options{Row: row, Name: "pkg", Package: p, Programs: map[string]string{"prog": main}}); err != nil {
		t.Fatal(err)
	}
	b.sources = []source{shelf{dir}}
	if err := b.programs(); err != nil {
		t.Fatal(err)
	}
	if err := b.closure(t.Context()); err == nil || !strings.Contains(err.Error(), "@rpath/liba.dylib is needed by prog, and the shelf has it not") {
		t.Errorf("without the library: %v", err)
	}
}

// TestClosureOfOtherHosts takes nothing of this machine for a program of
// another.
func TestClosureOfOtherHosts(t *testing.T) {
	for _, target := range []string{windowsTarget, "aarch64-apple-darwin}", "riscv64gc-unknown-linux-gnu}"} {
		row, p := parse(t, target, "")
		b, err := newBuilder(Options{Row: row, Package: p})
		if err != nil || len(b.sources) != 0 {
			t.Errorf("%s has the sources %v, %v", target, b.sources, err)
		}
	}
}
