package toolchain

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/relmat/relmat/internal/matrix"
	"github.com/relmat/relmat/internal/proc"
)

// isMinGW tells whether a host of another system builds the row for Windows by
// MinGW's compilers.
func isMinGW(row matrix.Row, system string) bool {
	return strings.HasSuffix(row.Triple, "-windows-gnu") && system != "windows"
}

// mingw are the programs behind a build for MinGW's triple.
type mingw struct {
	// c and cxx compile for Windows, linker links for it; host links build
	// scripts, which run on this host.
	c, cxx, linker, host string
}

// mingwOf finds the programs as those who call them do: the crate cc by its
// variables ("External configuration via environment variables", its
// documentation), Cargo by the variable of the triple ("Configuration", The
// Cargo Book), and rustc by the name that the triple has for it.
func mingwOf(row matrix.Row, env []string) mingw {
	prefix := row.Platform.Arch + "-w64-mingw32-"
	word := strings.ReplaceAll(row.Triple, "-", "_")
	first := func(fallback string, names ...string) string {
		for _, name := range names {
			if v := proc.Getenv(env, name); v != "" {
				return v
			}
		}
		return fallback
	}
	compiler := func(name, fallback string) string {
		return first(prefix+fallback, name+"_"+row.Triple, name+"_"+word, "TARGET_"+name, name)
	}
	return mingw{
		c: compiler("CC", "gcc"), cxx: compiler("CXX", "g++"),
		linker: first(prefix+"gcc", "CARGO_TARGET_"+strings.ToUpper(word)+"_LINKER"), host: "cc",
	}
}

// tools lists them, each once.
func (m mingw) tools(row matrix.Row) []Tool {
	var list []Tool
	add := func(name, get string) {
		if !slices.ContainsFunc(list, func(t Tool) bool { return t.Name == name }) {
			list = append(list, Tool{name, get})
		}
	}
	add(m.host, "Debian: gcc")
	if len(row.Native.Crates) > 0 {
		add(m.c, "Debian: g++-mingw-w64-x86-64-posix")
		add(m.cxx, "Debian: g++-mingw-w64-x86-64-posix")
	}
	add(m.linker, "Debian: g++-mingw-w64-x86-64-posix, clang and lld; "+linkerVariable(row.Triple)+" names it")
	return list
}

// mingw lists the checks of a build for MinGW's triple on a host that is not
// Windows.
func (d *Doctor) mingw(ctx context.Context, b Build) []func() Check {
	m := mingwOf(b.Row, b.Env)
	var list []func() Check
	program := func(name, path, detail string) {
		list = append(list, func() Check { return d.program(ctx, b.Env, want{name: name, program: path, detail: detail}) })
	}
	program("linker", m.host, "build scripts are linked with it")
	if len(b.Row.Native.Crates) > 0 {
		program("MinGW C compiler", m.c, "")
		program("MinGW C++ compiler", m.cxx, "")
	}
	return append(list, func() Check { return d.mingwLinker(ctx, b, m.linker) })
}

// mingwLinker checks what links the programs. NVIDIA's libraries must be
// imported with delay, and of the linkers for MinGW lld alone does that.
func (d *Doctor) mingwLinker(ctx context.Context, b Build, linker string) Check {
	c := d.program(ctx, b.Env, want{name: "MinGW linker", program: linker})
	if c.Bad() || b.Row.Toolkit == "" {
		return c
	}
	a := d.ask(ctx, b.Env, linker, "-Wl,--version")
	switch {
	case strings.Contains(a.out, "LLD "):
		c.Found = firstWords(a.out)
	case strings.Contains(a.out, "GNU ld"):
		c.State, c.Blocks = StateFailed, true
		c.Detail = "it links with " + firstWords(a.out) + ", whose programs import no library with delay"
		c.Get = advice(known.Tools["MinGW linker"].Get, d.Host, b.Env, linkerVariable(b.Row.Triple))
	default:
		c.Detail = "whether its programs import libraries with delay is not known"
	}
	return c
}

// buildsStd tells whether Cargo is told to build the standard library itself
// ("build-std", Cargo's unstable features), and whether rustc's sysroot has the
// source for that.
func buildsStd(env []string, sysroot string) (asked, can bool) {
	if proc.Getenv(env, "CARGO_UNSTABLE_BUILD_STD") == "" {
		return false, false
	}
	_, err := os.Stat(filepath.Join(sysroot, "lib", "rustlib", "src", "rust", "library", "Cargo.toml"))
	return true, err == nil
}
