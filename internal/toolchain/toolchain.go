// Package toolchain finds what a build needs on this host and composes the
// environment that it gets: an allow-list of the host's variables, what the
// matrix sets, and nothing else, so that no secret of a release reaches a
// build script and no setting of the host changes what is made.
package toolchain

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/relmat/relmat/internal/matrix"
	"github.com/relmat/relmat/internal/proc"
)

// hostVariables pass from the host to a build: what finds programs, the user's
// caches and the network, and what selects a compiler. An entry ending in * is
// a prefix.
var hostVariables = []string{
	"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "TEMP", "TMP",
	"CARGO_HOME", "RUSTUP_*", "RUSTC", "CARGO_HTTP_*", "CARGO_NET_*", "CARGO_BUILD_JOBS", "MAKEFLAGS",
	"CC", "CXX", "NINJA_STATUS",
	"SSL_CERT_FILE", "SSL_CERT_DIR", "http_proxy", "https_proxy", "no_proxy", "all_proxy",
	"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY",
	// Windows programs do not start, or find nothing, without these.
	"SystemRoot", "SystemDrive", "windir", "ComSpec", "PATHEXT", "USERPROFILE", "APPDATA", "LOCALAPPDATA",
	"ProgramData", "ProgramFiles", "ProgramFiles(x86)", "ProgramW6432", "CommonProgramFiles", "CommonProgramFiles(x86)", "CommonProgramW6432",
	"NUMBER_OF_PROCESSORS", "PROCESSOR_ARCHITECTURE", "PROCESSOR_ARCHITEW6432", "OS", "HOMEDRIVE", "HOMEPATH", "USERNAME",
}

// FilterEnv returns the entries of env whose names are in the allow-list or in
// more, sorted. Of a name that stands twice the last entry counts, as for
// os/exec.
func FilterEnv(env, more []string) []string {
	last := map[string]string{}
	for _, kv := range env {
		name, _, ok := strings.Cut(kv, "=")
		if !ok || !allowed(hostVariables, name) && !slices.ContainsFunc(more, func(m string) bool { return sameName(m, name) }) {
			continue
		}
		for other := range last { // Path and PATH are one on Windows
			if sameName(other, name) {
				delete(last, other)
			}
		}
		last[name] = kv
	}
	return slices.Sorted(maps.Values(last))
}

func allowed(list []string, name string) bool {
	return slices.ContainsFunc(list, func(p string) bool {
		if prefix, ok := strings.CutSuffix(p, "*"); ok {
			return len(name) >= len(prefix) && sameName(name[:len(prefix)], prefix)
		}
		return sameName(p, name)
	})
}

// Variable is a variable that relmat sets for a build.
type Variable struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Toolkits are what of CUDA a build gets.
type Toolkits struct {
	// Host is the directory of the toolkit whose programs run on the host that
	// builds, Target that of the toolkit for the target's platform: the same
	// where the platforms are. Both are empty where the row has no toolkit.
	Host, Target string
	// DelayLoad are the libraries of a Windows target's toolkit.
	DelayLoad []DelayLoad
}

// Variables are what relmat sets for the target's build, in the order in which
// later ones may speak of earlier ones. fields are those of the row's templates.
// PATH is not among them.
func Variables(row matrix.Row, fields matrix.Fields, tk Toolkits, targetDir string) ([]Variable, error) {
	var vars []Variable
	set := func(name, value string) { vars = append(vars, Variable{name, value}) }
	if tk.Host != "" {
		set("CUDA_HOME", tk.Host)
		set("CUDA_PATH", tk.Host)
	}
	if len(tk.DelayLoad) > 0 {
		set(DelayLoadVariable, encodeDelayLoad(tk.DelayLoad))
	}
	if row.CUDA.Architectures != "" {
		set(row.CUDA.Env, row.CUDA.Architectures)
	}
	flags := slices.Clone(row.Rustflags)
	if level, ok := matrix.CPULevelOf(row.CPU.Level); ok {
		// One word: most targets then need no separator in the variable.
		flags = append(flags, "-Ctarget-cpu="+level.Rust)
		if row.CPU.Env != "" {
			set(row.CPU.Env, level.March)
		}
	}
	// Set even when empty: it outweighs the flags of Cargo's configuration
	// files, which differ from host to host.
	set("CARGO_ENCODED_RUSTFLAGS", strings.Join(flags, "\x1f"))
	set("CARGO_TARGET_DIR", targetDir)
	set("CARGO_TERM_COLOR", "never")
	fields.Toolkit, fields.TargetToolkit = tk.Host, tk.Target
	for _, k := range row.Env.Keys {
		value, err := fields.Expand(row.Env.Values[k])
		if err != nil {
			return nil, fmt.Errorf("env.%s: %w", k, err)
		}
		set(k, value)
	}
	return vars, nil
}

// ToolkitPath is what of a toolkit comes first in the build's PATH: a build that
// looks for nvcc there must find the pinned one.
func ToolkitPath(home string) string { return filepath.Join(home, "bin") }

// ToolkitDirs are ToolkitPath and, of a toolkit for Windows, the directories of
// its DLLs: CUDA 13's installer has them in bin\x64, the wheels in bin\x86_64.
func ToolkitDirs(home string) []string {
	dirs := []string{ToolkitPath(home)}
	for _, name := range []string{"x64", "x86_64"} {
		dir := filepath.Join(home, "bin", name)
		if dlls, err := filepath.Glob(filepath.Join(dir, "*.dll")); err == nil && len(dlls) > 0 {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// BuildEnv composes the environment of the target's build out of that of this
// process and the variables that relmat sets.
func BuildEnv(host []string, row matrix.Row, vars []Variable) []string {
	env := FilterEnv(host, row.Pass)
	for _, v := range vars {
		if v.Name == "CUDA_HOME" {
			env = setenv(env, "PATH", strings.Join(append(ToolkitDirs(v.Value), proc.Getenv(env, "PATH")), string(filepath.ListSeparator)))
		}
		env = setenv(env, v.Name, v.Value)
	}
	return env
}

// Tool is a program that a build needs.
type Tool struct {
	Name string
	// Get says how to get it.
	Get string
}

// Tools lists what the build of the target calls.
func Tools(row matrix.Row, env []string) []Tool {
	tools := []Tool{{"cargo", "rustup.rs"}}
	if len(row.Native.Crates) > 0 {
		tools = append(
			tools,
			Tool{"cmake", "Debian: cmake; macOS: brew install cmake; Windows: winget install Kitware.CMake"},
			Tool{"ninja", "Debian: ninja-build; macOS: brew install ninja; Windows: winget install Ninja-build.Ninja"},
		)
	}
	switch {
	case isMinGW(row, runtime.GOOS):
		tools = append(tools, mingwOf(row, env).tools(row)...)
	case len(row.Native.Crates) > 0:
		tools = append(tools, Tool{compiler(env), "Debian: g++; macOS: xcode-select --install; Windows: see relmat doctor"})
	}
	return tools
}

func compiler(env []string) string {
	if cxx := proc.Getenv(env, "CXX"); cxx != "" {
		return cxx
	}
	if hasMSVC(env) {
		return "cl.exe"
	}
	return "c++"
}

// hasMSVC tells whether the environment is one of Microsoft's compiler.
func hasMSVC(env []string) bool { return proc.Getenv(env, "VCToolsVersion") != "" }

// Missing says which of the tools the environment's PATH lacks, or nil.
func Missing(tools []Tool, env []string) error {
	var lacks []string
	for _, t := range tools {
		if _, err := proc.LookPath(t.Name, env); err != nil {
			lacks = append(lacks, fmt.Sprintf("%s (%s)", t.Name, t.Get))
		}
	}
	if len(lacks) == 0 {
		return nil
	}
	return fmt.Errorf("this host lacks what the build needs: %s", strings.Join(lacks, ", "))
}

// Identity describes the compilers behind a native build, so that a change of
// them can be seen.
func Identity(ctx context.Context, tools []Tool, env []string) ([]string, error) {
	var ids []string
	for _, t := range tools {
		if hasMSVC(env) && strings.EqualFold(filepath.Base(t.Name), "cl.exe") { // it has no such option
			ids = append(ids, fmt.Sprintf("cl.exe: %s, Windows SDK %s", proc.Getenv(env, "VCToolsVersion"), proc.Getenv(env, "WindowsSDKVersion")))
			continue
		}
		arg := "--version"
		if t.Name == "cargo" {
			arg = "-Vv"
		}
		out, err := proc.Cmd{Path: t.Name, Args: []string{arg}, Env: env, Dir: os.TempDir()}.Output(ctx)
		if err != nil {
			return nil, err
		}
		first, _, _ := strings.Cut(out, "\n")
		ids = append(ids, t.Name+": "+first)
	}
	return ids, nil
}
