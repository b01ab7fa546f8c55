package toolchain

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/relmat/relmat/internal/matrix"
	"github.com/relmat/relmat/internal/proc"
)

// promptVariables are what a developer prompt has of vcvarsall.bat. An entry
// ending in * is a prefix.
var promptVariables = []string{
	"INCLUDE", "LIB", "LIBPATH", "EXTERNAL_INCLUDE", "DevEnvDir", "ExtensionSdkDir", "Framework*", "NETFXSDKDir", "Platform",
	"UCRTVersion", "UniversalCRTSdkDir", "VC*", "VisualStudioVersion", "VS*", "WindowsSDK*", "WindowsLibPath", "IFCPATH",
}

// prompt takes the compiler of the developer prompt in which relmat was started;
// nil if there is none. One for another target is an error: whoever opened it
// meant that compiler.
func (f MSVCFinder) prompt(target matrix.Platform) (*MSVC, error) {
	if proc.Getenv(f.Env, "VCINSTALLDIR") == "" {
		return nil, nil
	}
	m := &MSVC{Visual: VisualStudio{Path: filepath.Clean(proc.Getenv(f.Env, "VSINSTALLDIR"))}}
	if proc.Getenv(f.Env, "VSINSTALLDIR") == "" {
		m.Visual.Path = ""
	}
	for _, kv := range f.Env {
		name, value, ok := strings.Cut(kv, "=")
		if ok && allowedFold(promptVariables, name) && !allowedFold([]string{"VSCODE*", "VS_*"}, name) {
			m.Variables = slices.DeleteFunc(m.Variables, func(v Variable) bool { return strings.EqualFold(v.Name, name) })
			m.Variables = append(m.Variables, Variable{name, value})
		}
	}
	sortVariables(m.Variables)
	m.Dirs = filepath.SplitList(proc.Getenv(f.Env, "PATH"))
	const leave = "start relmat outside of it, or open the prompt for the target"
	if err := m.complete(""); err != nil {
		return nil, fmt.Errorf("this developer prompt %w; or %s", err, leave)
	}
	m.Dirs = nil // they are in PATH
	is := strings.ToLower(proc.Getenv(f.Env, "VSCMD_ARG_TGT_ARCH"))
	if is == "" { // Visual Studio's older batch files do not say
		is = strings.ToLower(filepath.Base(filepath.Dir(m.Cl)))
	}
	if want := msvcArch(target); is != want && !(is == "amd64" && want == "x64") {
		return nil, fmt.Errorf("this developer prompt is for %s, the target is for %s: %s", is, want, leave)
	}
	return m, nil
}

func allowedFold(list []string, name string) bool {
	for _, p := range list {
		if prefix, ok := strings.CutSuffix(p, "*"); ok && len(name) >= len(prefix) && strings.EqualFold(name[:len(prefix)], prefix) || strings.EqualFold(p, name) {
			return true
		}
	}
	return false
}
