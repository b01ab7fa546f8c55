//go:build unix

package toolchain_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/relmat/relmat/internal/matrix"
	"github.com/relmat/relmat/internal/toolchain"
)

// mingwRow is a target for Windows as a host of another system builds it.
func mingwRow() matrix.Row {
	r := nativeRow()
	r.Platform, r.Triple, r.CompilerCache = matrix.Platform{OS: "windows", Arch: "x86_64"}, "x86_64-pc-windows-gnu", ""
	return r
}

func TestDoctorMinGW(t *testing.T) {
	const lld = `case $1 in -Wl,--version) echo 'LLD 19.1.7 (compatible with GNU linkers)';; *) echo 'Debian clang version 19.1.7';; esac`
	const ld = `case $1 in -Wl,--version) echo 'GNU ld (GNU Binutils) 2.40';; *) echo 'x86_64-w64-mingw32-gcc (GCC) 12-posix';; esac`
	whole := func() map[string]string {
		h := host(t)
		h["x86_64-w64-mingw32-gcc"], h["x86_64-w64-mingw32-g++"] = ld, say("x86_64-w64-mingw32-g++ (GCC) 12-posix")
		h["wrapper"] = lld
		delete(h, "c++") // it compiles nothing for Windows
		return h
	}
	const linker = "CARGO_TARGET_X86_64_PC_WINDOWS_GNU_LINKER=wrapper"
	tests := []struct {
		name string
		// lacks is taken from a whole host.
		lacks   string
		env     []string
		toolkit string
		source  bool
		// bad is the check that is not in order, says what it says.
		bad, says string
	}{
		{name: "whole", env: []string{linker, "CARGO_UNSTABLE_BUILD_STD=std"}, toolkit: "cuda", source: true},
		{name: "GNU ld", env: []string{"CARGO_UNSTABLE_BUILD_STD=std"}, toolkit: "cuda", source: true, bad: "MinGW linker", says: "it links with GNU ld (GNU Binutils) 2.40, whose programs import no library with delay"},
		{name: "GNU ld without CUDA", env: []string{"CARGO_UNSTABLE_BUILD_STD=std"}, source: true},
		{name: "no linker", lacks: "wrapper", env: []string{linker, "CARGO_UNSTABLE_BUILD_STD=std"}, toolkit: "cuda", source: true, bad: "MinGW linker", says: "apt install clang lld"},
		{name: "no C++", lacks: "x86_64-w64-mingw32-g++", env: []string{linker, "CARGO_UNSTABLE_BUILD_STD=std"}, source: true, bad: "MinGW C++ compiler", says: "apt install g++-mingw-w64-x86-64-posix"},
		{name: "C++ by a variable", lacks: "x86_64-w64-mingw32-g++", env: []string{linker, "CXX_x86_64_pc_windows_gnu=wrapper", "CARGO_UNSTABLE_BUILD_STD=std"}, source: true},
		{name: "no linker of the host", lacks: "cc", env: []string{linker, "CARGO_UNSTABLE_BUILD_STD=std"}, source: true, bad: "linker", says: "build scripts are linked with it"},
		{name: "no standard library", env: []string{linker}, source: true, bad: "rust target", says: "rustup target add x86_64-pc-windows-gnu"},
		{name: "no source of it", env: []string{linker, "CARGO_UNSTABLE_BUILD_STD=std"}, bad: "rust target", says: "has no source of it"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			scripts := whole()
			delete(scripts, tt.lacks)
			env, bin := fakes(t, scripts, tt.env...)
			if tt.source {
				sysroot := t.TempDir()
				fake(t, filepath.Join(bin, "rustc"), `case $1 in --print) echo '`+sysroot+`';; *) echo 'rustc 1.95.0 (59807616e 2026-04-14)';; esac`)
				library := filepath.Join(sysroot, "lib", "rustlib", "src", "rust", "library")
				if err := os.MkdirAll(library, 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(library, "Cargo.toml"), nil, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			row := mingwRow()
			row.Toolkit = tt.toolkit
			d := &toolchain.Doctor{Host: linux, Dir: t.TempDir()}
			var bad []string
			for _, c := range d.Check(t.Context(), toolchain.Build{Row: row, Env: env, Packages: []string{"p"}}) {
				if !c.Bad() {
					continue
				}
				bad = append(bad, c.Name)
				if said := c.Detail + " " + c.Get; c.Name == tt.bad && (!c.Blocks || !strings.Contains(said, tt.says)) {
					t.Errorf("%+v does not say %q", c, tt.says)
				}
			}
			if want := slices.DeleteFunc([]string{tt.bad}, func(s string) bool { return s == "" }); !slices.Equal(bad, want) {
				t.Errorf("not in order: %q, want %q", bad, want)
			}
		})
	}
}

// A build for MinGW calls other programs than the host's compiler.
func TestToolsMinGW(t *testing.T) {
	row := mingwRow()
	env, _ := fakes(t, map[string]string{"cargo": "", "cmake": "", "ninja": "", "c++": "", "cc": ""}, "CXX_x86_64_pc_windows_gnu=mingw-c++")
	got := map[string]bool{}
	for _, tool := range toolchain.Tools(row, env) {
		got[tool.Name] = true
	}
	want := []string{"cargo", "cc", "cmake", "mingw-c++", "ninja", "x86_64-w64-mingw32-gcc"}
	if names := slices.Sorted(maps.Keys(got)); !slices.Equal(names, want) {
		t.Errorf("the tools are %q, want %q", names, want)
	}
	err := toolchain.Missing(toolchain.Tools(row, env), env)
	if err == nil || !strings.Contains(err.Error(), "x86_64-w64-mingw32-gcc (Debian: g++-mingw-w64-x86-64-posix)") || !strings.Contains(err.Error(), "mingw-c++ (") {
		t.Errorf("the error is %v", err)
	}
}
