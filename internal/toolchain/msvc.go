package toolchain

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/relmat/relmat/internal/matrix"
	"github.com/relmat/relmat/internal/proc"
)

// MSVC is Microsoft's compiler and linker for one target, with what they need in
// the environment.
type MSVC struct {
	// Visual is the installation; of a developer prompt its path alone is known.
	Visual VisualStudio `json:"visual_studio"`
	// Argument is what vcvarsall.bat was called with, such as amd64, or amd64
	// -vcvars_ver=14.44 for a toolset that the installation does not use first;
	// empty for a developer prompt.
	Argument string `json:"argument,omitempty"`
	// Variables are what vcvarsall.bat sets, without PATH, in the order of their
	// names.
	Variables []Variable `json:"variables"`
	// Dirs are what it puts into PATH.
	Dirs []string `json:"dirs,omitempty"`
	// Cl and Link are the programs, Toolset and SDK the versions: 14.44.35207 and
	// 10.0.26100.0.
	Cl      string `json:"cl"`
	Link    string `json:"link"`
	Toolset string `json:"toolset"`
	SDK     string `json:"sdk"`
	// Found are the toolsets of this host where nvcc takes none of them, each with
	// its installation.
	Found []string `json:"-"`
}

// Prompt tells that the compiler is that of the developer prompt in which relmat
// was started.
func (m *MSVC) Prompt() bool { return m.Argument == "" }

// linkerVariable is the variable by which Cargo finds the linker of a triple
// ("Configuration", The Cargo Book).
func linkerVariable(triple string) string {
	return "CARGO_TARGET_" + strings.ToUpper(strings.ReplaceAll(triple, "-", "_")) + "_LINKER"
}

// NeedsMSVC tells whether a build of the row on the host is one with Microsoft's
// compiler.
func NeedsMSVC(row matrix.Row, host matrix.Platform) bool {
	return host.OS == "windows" && strings.HasSuffix(row.Triple, "-msvc")
}

// MSVCFinder finds Microsoft's compiler on this host.
type MSVCFinder struct {
	Host matrix.Platform
	// Env is the environment in which relmat was started: a developer prompt
	// shows in it.
	Env []string
	// Cache is relmat's cache, in which answers of vcvarsall.bat are kept; empty
	// for none. ReadOnly only reads them.
	Cache    string
	ReadOnly bool
	// Takes is what nvcc takes of _MSC_VER; empty where no nvcc is known.
	Takes Range
	// Timeout is given to vcvarsall.bat, which takes seconds on a cold disk; two
	// minutes if it is 0.
	Timeout time.Duration
}

// Find finds the compiler for the target's architecture: that of a developer
// prompt, or of what Visual Studio's installer knows the newest installation that
// has a toolset which nvcc takes. Where nvcc takes none of them, it is the newest,
// and Found tells of them all.
func (f MSVCFinder) Find(ctx context.Context, target matrix.Platform) (*MSVC, error) {
	if m, err := f.prompt(target); m != nil || err != nil {
		return m, err
	}
	list, err := f.installations(ctx, target)
	if err != nil {
		return nil, err
	}
	found, lacks := toolsets(list, target)
	t, fits, ok := choose(found, f.Takes)
	if !ok {
		return nil, fmt.Errorf("%w that can be used: %s", ErrNoMSVC, strings.Join(lacks, "; "))
	}
	m, err := f.environment(ctx, t.of, vcvarsArgument(f.Host, target, t))
	if err != nil || fits {
		return m, err
	}
	for _, t := range found {
		m.Found = append(m.Found, t.version.Text+" in "+t.of.Path)
	}
	return m, nil
}

// vcvarsVersion is the option by which vcvarsall.bat takes another toolset than
// the installation's first.
const vcvarsVersion = " -vcvars_ver="

// vcvarsArgument says for which host and target vcvarsall.bat is called, and for
// which toolset ("Use the Microsoft C++ toolset from the command line",
// Microsoft's C++ documentation). Programs for Arm hosts came with Visual Studio
// 17.4; without them Windows emulates those for x64.
func vcvarsArgument(host, target matrix.Platform, t toolset) string {
	words := map[string]string{"x86_64": "amd64", "aarch64": "arm64"}
	from, to := words[host.Arch], words[target.Arch]
	if host.Arch == "aarch64" && !t.has("Hostarm64", msvcArch(target)) {
		from = "amd64"
	}
	argument := from + "_" + to
	if from == to {
		argument = to
	}
	if t.beside {
		argument += vcvarsVersion + t.version.minor()
	}
	return argument
}

// msvcArch is Microsoft's word for an architecture in names of directories and in
// VSCMD_ARG_TGT_ARCH.
func msvcArch(p matrix.Platform) string {
	if p.Arch == "aarch64" {
		return "arm64"
	}
	return "x64"
}

// Settings are the variables that a build of the row gets besides what
// vcvarsall.bat sets, so that Cargo, CMake and nvcc all use this compiler.
func (m *MSVC) Settings(row matrix.Row, host matrix.Platform, env []string) []Variable {
	vars := []Variable{
		// Not the link.exe of Git's MSYS, which may come first in PATH.
		{linkerVariable(row.Triple), m.Link},
		{"CMAKE_GENERATOR", "Ninja"},
	}
	suffix := ""
	if host.Arch != row.Platform.Arch { // CC alone would serve build scripts, too
		suffix = "_" + strings.ReplaceAll(row.Triple, "-", "_")
	}
	for _, name := range []string{"CC", "CXX"} {
		if proc.Getenv(env, name) == "" {
			vars = append(vars, Variable{name + suffix, "cl.exe"})
		}
	}
	if row.Toolkit != "" || row.CUDA.Architectures != "" {
		// nvcc reads NVCC_CCBIN like its option --compiler-bindir ("NVCC
		// Environment Variables", CUDA Compiler Driver NVCC), CMake CUDAHOSTCXX.
		for _, name := range []string{"CUDAHOSTCXX", "NVCC_CCBIN"} {
			vars = append(vars, Variable{name, m.Cl})
		}
	}
	return vars
}

// BuildEnv adds the compiler to a build's environment. What the matrix sets for
// the row stays as it is.
func (m *MSVC) BuildEnv(env []string, row matrix.Row, host matrix.Platform) []string {
	mine := func(name string) bool {
		return slices.ContainsFunc(row.Env.Keys, func(k string) bool { return sameName(k, name) })
	}
	for _, v := range append(slices.Clone(m.Variables), m.Settings(row, host, env)...) {
		if !mine(v.Name) {
			env = setenv(env, v.Name, v.Value)
		}
	}
	if mine("PATH") {
		return env
	}
	// The tools that Visual Studio brings besides its compiler serve where the
	// host has none of its own.
	var first, last []string
	for _, dir := range m.Dirs {
		if strings.Contains(strings.ToLower(filepath.ToSlash(dir)), "/commonextensions/microsoft/cmake/") {
			last = append(last, dir)
		} else {
			first = append(first, dir)
		}
	}
	for _, dir := range m.Visual.extras() {
		if !slices.ContainsFunc(last, func(d string) bool { return sameDir(d, dir) }) {
			last = append(last, dir)
		}
	}
	// cl.exe is not shadowed by another one either: its directory comes first.
	first = append([]string{filepath.Dir(m.Cl)}, slices.DeleteFunc(first, func(d string) bool { return sameDir(d, filepath.Dir(m.Cl)) })...)
	path := slices.Concat(first, filepath.SplitList(proc.Getenv(env, "PATH")), last)
	return setenv(env, "PATH", strings.Join(path, string(filepath.ListSeparator)))
}

func sameDir(a, b string) bool {
	return strings.EqualFold(filepath.Clean(a), filepath.Clean(b))
}

// complete checks that the environment has all that a build needs of it:
// vcvarsall.bat may print an error and still end with 0.
func (m *MSVC) complete(said string) error {
	get := func(name string) string { return variable(m.Variables, name) }
	var lacks []string
	for _, name := range []string{"INCLUDE", "LIB", "VCToolsInstallDir", "VCToolsVersion"} {
		if get(name) == "" {
			lacks = append(lacks, name)
		}
	}
	if len(lacks) > 0 {
		return fmt.Errorf("sets no %s%s; repair the installation with Visual Studio's installer", strings.Join(lacks, ", no "), said)
	}
	m.Toolset = get("VCToolsVersion")
	// vcvarsall.bat may fall back on another toolset than the one asked for.
	if _, asked, ok := strings.Cut(m.Argument, vcvarsVersion); ok && !strings.HasPrefix(m.Toolset+".", asked+".") {
		return fmt.Errorf("sets up toolset %s%s; repair toolset %s with Visual Studio's installer", m.Toolset, said, asked)
	}
	m.SDK = strings.Trim(get("WindowsSDKVersion"), `\ `)
	if get("WindowsSdkDir") == "" || m.SDK == "" {
		return fmt.Errorf("finds no Windows SDK%s; add component %s", said, known.Components["sdk"])
	}
	for name, into := range map[string]*string{"cl.exe": &m.Cl, "link.exe": &m.Link} {
		*into = ""
		for _, dir := range m.Dirs {
			// The linker is that beside the compiler: others bear its name.
			path := filepath.Join(dir, name)
			if isFile(path) && isFile(filepath.Join(dir, "cl.exe")) {
				*into = path
				break
			}
		}
		if *into == "" {
			return fmt.Errorf("puts no directory with %s into PATH%s; repair the installation with Visual Studio's installer", name, said)
		}
	}
	return nil
}

func variable(vars []Variable, name string) string {
	for _, v := range vars {
		if strings.EqualFold(v.Name, name) {
			return v.Value
		}
	}
	return ""
}

// sortVariables orders them by name, whatever its case.
func sortVariables(vars []Variable) {
	slices.SortFunc(vars, func(a, b Variable) int {
		return cmp.Compare(strings.ToUpper(a.Name), strings.ToUpper(b.Name))
	})
}
