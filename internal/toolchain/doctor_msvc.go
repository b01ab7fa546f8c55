package toolchain

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/relmat/relmat/internal/proc"
)

// WindowsHost is what a Windows host has for targets of Microsoft's compiler.
type WindowsHost struct {
	// MSVC is the compiler, or Err says why there is none.
	MSVC *MSVC
	Err  error
	// Env is the environment in which relmat was started.
	Env []string
}

// msvc checks Microsoft's compiler and linker for the target's architecture, the
// Windows SDK, clang-cl where the build calls it, and what else of Windows gets
// into the way of a large build.
func (d *Doctor) msvc(ctx context.Context, b Build) []Check {
	c := d.compilerMSVC(b)
	checks := []Check{c}
	if b.Windows.MSVC != nil {
		checks = append(checks, Check{Name: "Windows SDK", State: StateOK, Found: b.Windows.MSVC.SDK, Needed: "any"})
	}
	if program := b.clangCL(); program != "" {
		clang := d.program(ctx, b.Env, want{name: "clang-cl", program: program, detail: "CC or CXX names it"})
		if clang.Bad() {
			clang.Get = d.component("clang-cl")
		}
		checks = append(checks, clang)
	}
	return append(checks, d.longPaths(ctx, b), defender())
}

// clangCL is the program that CC or CXX names, if it is clang-cl.
func (b Build) clangCL() string {
	for _, name := range []string{"CC", "CXX"} {
		program := proc.Getenv(b.Env, name)
		base := strings.ToLower(filepath.Base(strings.ReplaceAll(program, `\`, "/")))
		if strings.TrimSuffix(base, ".exe") == "clang-cl" {
			return program
		}
	}
	return ""
}

func (d *Doctor) compilerMSVC(b Build) Check {
	c := Check{Name: "MSVC", Needed: "any", State: StateOK}
	if m := b.Windows.MSVC; m != nil {
		c.Found, c.Path, c.Detail = m.Toolset, m.Visual.Path, m.Visual.Name
		if m.Visual.Prerelease {
			c.Detail += ", a prerelease: there is nothing else"
		}
		if strings.Contains(m.Argument, vcvarsVersion) {
			c.Detail += ", which first uses another toolset, that nvcc does not take"
		}
		if m.Prompt() {
			c.Detail = "of the developer prompt that this runs in"
		}
		return c
	}
	err := cmp.Or(b.Windows.Err, ErrNoMSVC)
	c.State, c.Detail, c.Blocks = StateFailed, err.Error(), true
	switch {
	case errors.Is(err, ErrNoMSVC):
		c.State = StateMissing
	case errors.Is(err, errSlow):
		c.State = StateTimedOut
	}
	if c.State == StateMissing {
		c.Get = d.component(b.Row.Platform.Arch)
	}
	if strings.Contains(c.Detail, known.Components["sdk"]) {
		c.Get = d.component("sdk")
	}
	return c
}

// component says how to get a component of Visual Studio: by its id, and by a
// command line that installs the Build Tools with it.
func (d *Doctor) component(key string) string {
	return strings.ReplaceAll(known.Tools["MSVC"].Get["any"], "{}", known.Components[key])
}

// longPaths tells whether paths of more than 260 characters work, as MSVC's own
// tools make them below Cargo's target directory. It is no more than a note:
// short ones may do.
func (d *Doctor) longPaths(ctx context.Context, b Build) Check {
	c := Check{Name: "long paths", State: StateNote, Found: "on", Needed: "on"}
	var off []string
	switch on, err := longPathsEnabled(); {
	case err != nil:
		c.Found, c.Detail = "unknown", "LongPathsEnabled cannot be read: "+err.Error()
	case !on:
		off = append(off, "Windows' LongPathsEnabled is off")
	}
	if a := d.ask(ctx, b.Env, "git", "config", "--get", "core.longpaths"); a.state != StateMissing && strings.TrimSpace(a.out) != "true" {
		off = append(off, "git's core.longpaths is off")
	}
	if len(off) > 0 {
		c.Found, c.Detail = "off", strings.Join(off, "; ")+"; a checkout and a state directory with short paths do without"
		c.Get = advice(known.Tools[c.Name].Get, d.Host, b.Env, "")
	}
	return c
}

// hostMSVC is HostCompiler for Microsoft's compiler, whose toolset 14.44 calls
// itself 1944 (_MSC_VER, Microsoft's C++ documentation).
func (d *Doctor) hostMSVC(b Build, takes Range, by string) Check {
	c := d.compilerMSVC(b)
	c.By = by
	if v, ok := ParseVersion(c.Found); ok && c.State == StateOK && takes != (Range{}) {
		c.Needed = msvcToolset(takes)
		d.within(&c, b, takes, v.mscVer(), fittingToolset(b.Row.Platform.Arch, takes))
		if found := b.Windows.MSVC.Found; c.Blocks && len(found) > 0 {
			c.Detail = "all there are: " + strings.Join(found, ", ")
		}
		if c.Blocks && b.Windows.MSVC.Prompt() {
			c.Get += "; or start relmat outside of this developer prompt, whose compiler it keeps to"
		}
	}
	c.Name = "nvcc's compiler"
	return c
}

// fittingToolset is what of Visual Studio's installer brings a toolset in the
// range for the architecture: the newest component that is known, or what to look
// for among them.
func fittingToolset(arch string, takes Range) string {
	var newest Version
	for name := range known.Toolsets {
		if v, ok := ParseVersion(name); ok && takes.Has(v.mscVer()) && v.Compare(newest) > 0 {
			newest = v
		}
	}
	if component := known.Toolsets[newest.Text][arch]; component != "" {
		return component
	}
	return "MSVC build tools of version " + msvcToolset(takes)
}

// msvcToolset spells a range of _MSC_VER by the toolset's version.
func msvcToolset(r Range) string {
	spell := func(n int) string { return fmt.Sprintf("14.%02d", n-1900) }
	switch {
	case r.Max == 0:
		return spell(r.Min) + " or newer"
	case r.Min == 0:
		return spell(r.Max) + " or older"
	}
	return spell(r.Min) + " to " + spell(r.Max)
}

// Explain is the error of a target whose compiler is not there: what is wrong,
// and how this host gets it.
func (d *Doctor) Explain(b Build) error {
	c := d.compilerMSVC(b)
	if !c.Blocks {
		return nil
	}
	if c.Get == "" {
		return fmt.Errorf("this host's Microsoft compiler: %w", b.Windows.Err)
	}
	return fmt.Errorf("this host's Microsoft compiler: %w; get it: %s", cmp.Or(b.Windows.Err, ErrNoMSVC), c.Get)
}
