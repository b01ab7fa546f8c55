package toolchain

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/relmat/relmat/internal/proc"
)

// vswhere is where Visual Studio's installer always puts the program that finds
// its installations.
func vswhere(env []string) string {
	dir := proc.Getenv(env, "ProgramFiles(x86)")
	if dir == "" {
		return "vswhere" // in PATH, perhaps
	}
	return filepath.Join(dir, "Microsoft Visual Studio", "Installer", "vswhere.exe")
}

// msvc checks Microsoft's compiler and linker for the target's architecture.
func (d *Doctor) msvc(ctx context.Context, b Build) Check {
	c := Check{Name: "MSVC", Needed: "any"}
	tool, component := known.Tools[c.Name], known.Components[b.Row.Platform.Arch]
	args := make([]string, len(tool.Args))
	for i, a := range tool.Args {
		args[i] = strings.ReplaceAll(a, "{}", component)
	}
	a := d.ask(ctx, b.Env, vswhere(b.Env), args...)
	c.State, c.Detail = a.state, a.detail
	c.Path = strings.TrimSpace(a.out)
	switch {
	case c.State == StateOK && c.Path == "":
		c.State, c.Detail = StateMissing, "Visual Studio's installer knows no installation with that component"
	case c.State == StateMissing:
		c.Detail = "there is no vswhere, which every Visual Studio brings"
	case c.State == StateOK:
		d.toolset(&c)
	}
	if c.Bad() {
		c.Get, c.Blocks = advice(tool.Get, d.Host, b.Env, component), true
	}
	return c
}

// toolset reads the version of the compiler that an installation uses first.
func (d *Doctor) toolset(c *Check) {
	file := filepath.Join(c.Path, "VC", "Auxiliary", "Build", "Microsoft.VCToolsVersion.default.txt")
	data, err := os.ReadFile(file)
	if err != nil {
		c.State, c.Detail = StateUnknown, err.Error()
		return
	}
	v, ok := ParseVersion(string(data))
	if !ok {
		c.State, c.Detail = StateUnknown, fmt.Sprintf("%s states no version, it says %q", file, firstWords(string(data)))
		return
	}
	c.Found = v.Text
}

// hostMSVC is HostCompiler for Microsoft's compiler, whose toolset 14.44 calls
// itself 1944 (_MSC_VER, Microsoft's C++ documentation).
func (d *Doctor) hostMSVC(ctx context.Context, b Build, takes Range, by string) Check {
	c := d.msvc(ctx, b)
	c.By = by
	if v, ok := ParseVersion(c.Found); ok && c.State == StateOK && takes != (Range{}) {
		c.Needed = msvcToolset(takes)
		d.within(&c, b, takes, 1900+v.at(1), fmt.Sprintf("14.%d", takes.Max-1900))
	}
	c.Name = "nvcc's compiler"
	return c
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
