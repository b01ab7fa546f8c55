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

// newest picks the newest installation that can be used.
func newest(list []VisualStudio, target matrix.Platform) (VisualStudio, error) {
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b VisualStudio) int {
		va, _ := ParseVersion(a.Version)
		vb, _ := ParseVersion(b.Version)
		return vb.Compare(va)
	})
	var why []string
	for _, vs := range list {
		err := vs.usable(target)
		if err == nil {
			return vs, nil
		}
		why = append(why, fmt.Sprintf("%s: %v", vs.Path, err))
	}
	return VisualStudio{}, fmt.Errorf("%w that can be used: %s", ErrNoMSVC, strings.Join(why, "; "))
}

func (vs VisualStudio) usable(target matrix.Platform) error {
	switch {
	case vs.Complete != nil && !*vs.Complete:
		return errors.New("its installation is not complete")
	case vs.Launchable != nil && !*vs.Launchable:
		return errors.New("it cannot be started; it may want a restart of the machine")
	case !isFile(vs.vcvarsall()):
		return fmt.Errorf("it has no %s", vs.vcvarsall())
	}
	if _, err := vs.toolset(); err != nil {
		return err
	}
	for _, host := range []string{"Hostx64", "Hostarm64", "Hostx86"} {
		if vs.hasTools(host, msvcArch(target)) {
			return nil
		}
	}
	return fmt.Errorf("its toolset has no compiler for %s", msvcArch(target))
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
func (vs VisualStudio) toolset() (string, error) {
	data, err := os.ReadFile(vs.toolsetFile())
	if err != nil {
		return "", err
	}
	v, ok := ParseVersion(string(data))
	if !ok {
		return "", fmt.Errorf("%s states no version, it says %q", vs.toolsetFile(), firstWords(string(data)))
	}
	return v.Text, nil
}

// hasTools tells whether the toolset has the compiler for the target that runs on
// the host: Hostx64, Hostarm64.
func (vs VisualStudio) hasTools(host, target string) bool {
	version, err := vs.toolset()
	return err == nil && isFile(filepath.Join(vs.Path, "VC", "Tools", "MSVC", version, "bin", host, target, "cl.exe"))
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
