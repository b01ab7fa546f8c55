// Package build makes a target's programs with Cargo. It decides nothing about
// freshness: Cargo does, except where a native build hides from it. Which
// files were made is what Cargo says, never what a search of the tree finds.
package build

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/relmat/relmat/internal/fsx"
	"github.com/relmat/relmat/internal/matrix"
	"github.com/relmat/relmat/internal/proc"
	"github.com/relmat/relmat/internal/progress"
	"github.com/relmat/relmat/internal/toolchain"
)

// Program is one executable to make.
type Program struct {
	Name, Package, Bin string
	// RunPath is the DT_RPATH or LC_RPATH that it gets, its entries joined by
	// colons: $ORIGIN/../lib, @executable_path/../lib. Empty for none.
	RunPath string
}

// Options are what a build works on.
type Options struct {
	Row matrix.Row
	// Source is the directory of the Cargo workspace.
	Source string
	// TargetDir is the persistent CARGO_TARGET_DIR of this target.
	TargetDir string
	// Env is the whole environment, composed by package toolchain.
	Env []string
	// DelayLoad are libraries that the programs must load with delay.
	DelayLoad []toolchain.DelayLoad
	// Toolkit identifies the matrix's CUDA toolkit, and Pins are the source's pins, for
	// the native-cache marker.
	Toolkit  string
	Pins     map[string]string
	Programs []Program
	Log      string
	Task     *progress.Task
	// Secrets are blotted out of all output.
	Secrets []string
}

// Result is what Cargo made.
type Result struct {
	// Programs are the paths of the executables by the programs' names.
	Programs map[string]string
	// OutDirs are the OUT_DIRs of build scripts by crate: more than one where
	// the graph holds several versions of the crate, or builds of one.
	OutDirs map[string][]string
}

// Run builds every program of the target. A target all of whose programs
// somebody else built needs no Cargo.
func Run(ctx context.Context, o Options) (*Result, error) {
	if len(o.Programs) == 0 {
		return &Result{Programs: map[string]string{}, OutDirs: map[string][]string{}}, nil
	}
	tools := toolchain.Tools(o.Row, o.Env)
	if err := toolchain.Missing(tools, o.Env); err != nil {
		return nil, err
	}
	if err := fsx.Remove(o.Log); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	if err := o.purgeStaleNative(ctx, tools); err != nil {
		return nil, err
	}
	res := &Result{Programs: map[string]string{}, OutDirs: map[string][]string{}}
	for _, p := range o.Programs {
		if err := o.program(ctx, p, res); err != nil {
			return nil, fmt.Errorf("building %s: %w", p.Name, err)
		}
		if err := checkDelayLoad(res.Programs[p.Name], o.DelayLoad); err != nil {
			return nil, fmt.Errorf("building %s: %w", p.Name, err)
		}
	}
	return res, nil
}

func (o Options) cargo(args ...string) proc.Cmd {
	return proc.Cmd{Path: "cargo", Args: args, Dir: o.Source, Env: o.Env, Log: o.Log, Secrets: o.Secrets, Stderr: o.Task.Line}
}

// Args is the command line of cargo for the program.
func (o Options) Args(p Program) []string {
	// rustc and not build: what follows -- reaches only the program's own link,
	// so another layout relinks and rebuilds nothing. RUSTFLAGS would give
	// every crate a new OUT_DIR.
	args := []string{"rustc", "--package", p.Package, "--bin", p.Bin, "--profile", o.Row.Profile, "--target", o.Row.Triple}
	if o.Row.IsLocked() {
		args = append(args, "--locked")
	}
	if len(o.Row.Features) > 0 {
		args = append(args, "--features", strings.Join(o.Row.Features, ","))
	}
	args = append(args, "--message-format", "json-render-diagnostics")
	switch {
	case p.RunPath == "":
	case o.Row.Platform.OS == "macos":
		args = append(args, "--")
		for _, dir := range strings.Split(p.RunPath, ":") {
			args = append(args, "-C", "link-arg=-Wl,-rpath,"+dir)
		}
	default:
		// DT_RPATH and not DT_RUNPATH: it also serves the libraries' own
		// dlopen, as that of nvrtc for its builtins.
		args = append(args, "--", "-C", "link-arg=-Wl,--disable-new-dtags", "-C", "link-arg=-Wl,-rpath,"+p.RunPath)
	}
	return args
}

func (o Options) program(ctx context.Context, p Program, res *Result) error {
	// Build scripts of the target's own graph run for the target's directory;
	// the same crate may also be built for the host, for a proc macro.
	below := filepath.Join(o.TargetDir, o.Row.Triple) + string(filepath.Separator)
	var exe string
	c := o.cargo(o.Args(p)...)
	c.Stdout = func(line string) {
		m, ok := parseMessage(line)
		if !ok {
			o.Task.Line(line)
			return
		}
		switch {
		case m.Reason == "compiler-artifact" && m.Executable != "" && m.Target.Name == p.Bin && slices.Contains(m.Target.Kind, "bin") && crateName(m.PackageID) == p.Package:
			exe = m.Executable
		case m.Reason == "build-script-executed" && strings.HasPrefix(m.OutDir, below):
			crate := crateName(m.PackageID)
			if !slices.Contains(res.OutDirs[crate], m.OutDir) {
				res.OutDirs[crate] = append(res.OutDirs[crate], m.OutDir)
			}
		}
	}
	if err := c.Run(ctx); err != nil {
		return err
	}
	if exe == "" {
		return fmt.Errorf("cargo ended well but named no executable %s of package %s", p.Bin, p.Package)
	}
	res.Programs[p.Name] = exe
	return nil
}
