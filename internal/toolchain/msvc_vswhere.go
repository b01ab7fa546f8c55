package toolchain

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/relmat/relmat/internal/matrix"
	"github.com/relmat/relmat/internal/proc"
)

// VisualStudio is an installation of Visual Studio or of its Build Tools, in the
// words of vswhere ("microsoft/vswhere", README and wiki).
type VisualStudio struct {
	Path       string `json:"installationPath"`
	Version    string `json:"installationVersion,omitempty"`
	Name       string `json:"displayName,omitempty"`
	Prerelease bool   `json:"isPrerelease,omitempty"`
	// Complete and Launchable are not told by every vswhere.
	Complete   *bool `json:"isComplete,omitempty"`
	Launchable *bool `json:"isLaunchable,omitempty"`
}

// ErrNoMSVC tells that the host has no Visual Studio with the component.
var ErrNoMSVC = errors.New("no Visual Studio or Build Tools with a C++ compiler")

// ParseVSWhere reads what `vswhere -format json -utf8` prints.
func ParseVSWhere(data []byte) ([]VisualStudio, error) {
	data = bytes.TrimSpace(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")))
	if len(data) == 0 {
		return nil, nil
	}
	var list []VisualStudio
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, fmt.Errorf("its answer is not JSON of vswhere: %w", err)
	}
	for _, vs := range list {
		if vs.Path == "" || strings.ContainsAny(vs.Path, "\"\x00\r\n") {
			return nil, fmt.Errorf("its answer names an installation without a usable path: %q", vs.Path)
		}
	}
	return list, nil
}

// vswherePlaces are where vswhere may be: where Visual Studio's installer always
// puts it, the same on a 32-bit Windows, and where chocolatey and winget do.
func vswherePlaces(env []string) []string {
	var places []string
	for _, name := range []string{"ProgramFiles(x86)", "ProgramFiles"} {
		if dir := proc.Getenv(env, name); dir != "" {
			places = append(places, filepath.Join(dir, "Microsoft Visual Studio", "Installer", "vswhere.exe"))
		}
	}
	places = append(places, "vswhere.exe")
	if dir := proc.Getenv(env, "ProgramData"); dir != "" {
		places = append(places, filepath.Join(dir, "chocolatey", "bin", "vswhere.exe"))
	}
	return places
}

func findVSWhere(env []string) (string, error) {
	for _, place := range vswherePlaces(env) {
		if path, err := proc.LookPath(place, env); err == nil && isFile(path) {
			return path, nil
		}
	}
	return "", fmt.Errorf("%w: there is no vswhere.exe, which every Visual Studio since 2017 brings", ErrNoMSVC)
}

// installations asks vswhere for what has the compiler for the target. A
// prerelease counts where there is nothing else.
func (f MSVCFinder) installations(ctx context.Context, target matrix.Platform) ([]VisualStudio, error) {
	path, err := findVSWhere(f.Env)
	if err != nil {
		return nil, err
	}
	component := known.Components[target.Arch]
	for _, more := range [][]string{nil, {"-prerelease"}} {
		list, err := f.askVSWhere(ctx, path, component, more...)
		if err != nil {
			return nil, err
		}
		if len(list) > 0 {
			return list, nil
		}
	}
	return nil, fmt.Errorf("%w for %s: vswhere knows none with component %s", ErrNoMSVC, target.Arch, component)
}

// vswhereTimeout is ample: vswhere reads a few files.
const vswhereTimeout = 30 * time.Second

func (f MSVCFinder) askVSWhere(ctx context.Context, path, component string, more ...string) ([]VisualStudio, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, vswhereTimeout, errSlow)
	defer cancel()
	args := append(strings.Fields(strings.ReplaceAll(strings.Join(known.Tools["MSVC"].Args, " "), "{}", component)), more...)
	out, err := proc.Cmd{Path: path, Args: args, Env: FilterEnv(f.Env, nil), Dir: os.TempDir()}.Output(ctx)
	if err != nil {
		return nil, fmt.Errorf("asking vswhere for Visual Studio: %w", err)
	}
	list, err := ParseVSWhere([]byte(out))
	if err != nil {
		return nil, fmt.Errorf("asking %s for Visual Studio: %w", path, err)
	}
	return list, nil
}

// toolset is a compiler and linker of an installation, which can have several.
type toolset struct {
	of      VisualStudio
	version Version
	// beside tells that it is not the one that the installation uses first.
	beside bool
}

// toolsets lists those for the target of the installations that can be used: of
// the newest installation first, and of each the one that it uses first, then the
// others, the newest first. lacks says of the rest why it is none.
func toolsets(list []VisualStudio, target matrix.Platform) (found []toolset, lacks []string) {
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b VisualStudio) int {
		va, _ := ParseVersion(a.Version)
		vb, _ := ParseVersion(b.Version)
		return vb.Compare(va)
	})
	for _, vs := range list {
		err := vs.usable()
		if err != nil {
			lacks = append(lacks, fmt.Sprintf("%s: %v", vs.Path, err))
			continue
		}
		first, err := vs.toolset()
		switch {
		case err != nil:
		case toolset{of: vs, version: first}.compiles(target):
			found = append(found, toolset{of: vs, version: first})
		default:
			err = fmt.Errorf("its toolset has no compiler for %s", msvcArch(target))
		}
		if err != nil {
			lacks = append(lacks, fmt.Sprintf("%s: %v", vs.Path, err))
		}
		for _, v := range vs.toolsets() {
			t := toolset{of: vs, version: v, beside: true}
			if v.Text != first.Text && t.compiles(target) {
				found = append(found, t)
			}
		}
	}
	return found, lacks
}

// choose picks the first that nvcc takes; where it takes none, or there is no
// nvcc, the first of those that an installation uses first.
func choose(found []toolset, takes Range) (t toolset, fits, ok bool) {
	anything := takes == (Range{})
	for _, t := range found {
		if !anything && takes.Has(t.version.mscVer()) || anything && !t.beside {
			return t, true, true
		}
	}
	i := slices.IndexFunc(found, func(t toolset) bool { return !t.beside })
	if i < 0 {
		return toolset{}, false, false
	}
	return found[i], anything, true
}

// mscVer is what the compiler of a toolset defines as _MSC_VER: 1944 for 14.44
// ("Predefined macros", Microsoft's C++ documentation).
func (v Version) mscVer() int { return 1900 + v.at(1) }

// minor is the version up to its second number: 14.44.
func (v Version) minor() string { return fmt.Sprintf("%d.%02d", v.at(0), v.at(1)) }

// has tells whether the toolset has the compiler for the target that runs on the
// host: Hostx64, Hostarm64.
func (t toolset) has(host, target string) bool {
	return isFile(filepath.Join(t.of.Path, "VC", "Tools", "MSVC", t.version.Text, "bin", host, target, "cl.exe"))
}

// compiles tells whether it has a compiler for the target on any host.
func (t toolset) compiles(target matrix.Platform) bool {
	return slices.ContainsFunc([]string{"Hostx64", "Hostarm64", "Hostx86"}, func(host string) bool { return t.has(host, msvcArch(target)) })
}

func (vs VisualStudio) usable() error {
	switch {
	case vs.Complete != nil && !*vs.Complete:
		return errors.New("its installation is not complete")
	case vs.Launchable != nil && !*vs.Launchable:
		return errors.New("it cannot be started; it may want a restart of the machine")
	case !isFile(vs.vcvarsall()):
		return fmt.Errorf("it has no %s", vs.vcvarsall())
	}
	return nil
}

func (vs VisualStudio) vcvarsall() string {
	return filepath.Join(vs.Path, "VC", "Auxiliary", "Build", "vcvarsall.bat")
}

// toolsetFile names the toolset that an installation uses first ("Find VC",
// vswhere's wiki).
func (vs VisualStudio) toolsetFile() string {
	return filepath.Join(vs.Path, "VC", "Auxiliary", "Build", "Microsoft.VCToolsVersion.default.txt")
}

// toolset is the version of the compiler that an installation uses first.
func (vs VisualStudio) toolset() (Version, error) {
	data, err := os.ReadFile(vs.toolsetFile())
	if err != nil {
		return Version{}, err
	}
	v, ok := ParseVersion(string(data))
	if !ok {
		return Version{}, fmt.Errorf("%s states no version, it says %q", vs.toolsetFile(), firstWords(string(data)))
	}
	return v, nil
}

// toolsets are the versions of all of them, the newest first.
func (vs VisualStudio) toolsets() []Version {
	entries, _ := os.ReadDir(filepath.Join(vs.Path, "VC", "Tools", "MSVC"))
	var list []Version
	for _, e := range entries {
		if v, ok := ParseVersion(e.Name()); ok && v.Text == e.Name() {
			list = append(list, v)
		}
	}
	slices.SortFunc(list, func(a, b Version) int { return b.Compare(a) })
	return list
}

// extras are the directories of the programs that Visual Studio's installer
// brings with components of their own: CMake, Ninja, clang-cl.
func (vs VisualStudio) extras() []string {
	if vs.Path == "" {
		return nil
	}
	cmake := filepath.Join(vs.Path, "Common7", "IDE", "CommonExtensions", "Microsoft", "CMake")
	var dirs []string
	for _, dir := range []string{filepath.Join(cmake, "CMake", "bin"), filepath.Join(cmake, "Ninja"), filepath.Join(vs.Path, "VC", "Tools", "Llvm", "x64", "bin")} {
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
