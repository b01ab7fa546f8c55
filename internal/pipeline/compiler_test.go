package pipeline

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/relmat/relmat/internal/manifest"
	"github.com/relmat/relmat/internal/matrix"
	"github.com/relmat/relmat/internal/proc"
	"github.com/relmat/relmat/internal/toolchain"
)

const windowsRows = `
version: 1
project: {name: p, version-package: p}
programs: {a: {package: p}}
targets:
  win: {triple: x86_64-pc-windows-msvc, native: {crates: [n]}, cuda: {architectures: "80", env: ARCHS}}
  linux: {triple: x86_64-unknown-linux-gnu, native: {crates: [n]}}
packages: {p: {asset: "p-{{.Target}}", programs: [a]}}
`

// TestCompilerOfWindows has a build refused before it begins where Microsoft's
// compiler or NVIDIA's toolkit is not there.
func TestCompilerOfWindows(t *testing.T) {
	windows := matrix.Platform{OS: "windows", Arch: "x86_64"}
	s, _ := open(t, windowsRows)
	root := t.TempDir()
	s.Env = []string{"PATH=" + root, "SystemRoot=" + root}
	_, err := s.compilerEnv(t.Context(), row(t, s, "win"), s.Env, windows)
	if err == nil || !strings.Contains(err.Error(), "there is no vswhere.exe") || !strings.Contains(err.Error(), "--add Microsoft.VisualStudio.Component.VC.Tools.x86.x64") {
		t.Errorf("without Visual Studio: %v", err)
	}
	// A row of another compiler is left alone.
	if env, err := s.compilerEnv(t.Context(), row(t, s, "linux"), s.Env, windows); err != nil || !slices.Equal(env, s.Env) {
		t.Errorf("a row for Linux: %q, %v", env, err)
	}
	if env, err := s.compilerEnv(t.Context(), row(t, s, "win"), s.Env, matrix.Platform{OS: "linux", Arch: "x86_64"}); err != nil || !slices.Equal(env, s.Env) {
		t.Errorf("on Linux: %q, %v", env, err)
	}
	// A developer prompt brings the compiler; then the toolkit is missing.
	bin := filepath.Join(root, "bin", "Hostx64", "x64")
	write(t, filepath.Join(bin, "cl.exe"), "")
	write(t, filepath.Join(bin, "link.exe"), "")
	s.Env = []string{
		"PATH=" + bin, "VCINSTALLDIR=" + root, "VCToolsInstallDir=" + root, "VCToolsVersion=14.44.1", "INCLUDE=i", "LIB=l",
		"WindowsSdkDir=k", "WindowsSDKVersion=10.0.26100.0", "VSCMD_ARG_TGT_ARCH=x64",
	}
	if _, err = s.compilerEnv(t.Context(), row(t, s, "win"), s.Env, windows); err == nil || !strings.Contains(err.Error(), "no variable names a CUDA toolkit") {
		t.Errorf("without a toolkit: %v", err)
	}
	write(t, filepath.Join(root, "cuda", "bin", "nvcc.exe"), "")
	s.Env = append(s.Env, "CUDA_PATH="+filepath.Join(root, "cuda"))
	env, err := s.compilerEnv(t.Context(), row(t, s, "win"), toolchain.FilterEnv(s.Env, nil), windows)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"CC": "cl.exe", "LIB": "l", "CUDA_HOME": filepath.Join(root, "cuda"), "NVCC_CCBIN": filepath.Join(bin, "cl.exe"), "CMAKE_GENERATOR": "Ninja",
		"CARGO_TARGET_X86_64_PC_WINDOWS_MSVC_LINKER": filepath.Join(bin, "link.exe"),
	} {
		if got := proc.Getenv(env, name); got != want {
			t.Errorf("%s=%s, want %s", name, got, want)
		}
	}
	doctor := &toolchain.Doctor{Host: windows, Dir: s.Source}
	checks, _, err := s.diagnose(t.Context(), doctor, row(t, s, "win"), manifest.Device{})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range checks {
		names = append(names, c.Name+" "+string(c.State))
	}
	for _, want := range []string{"MSVC ok", "Windows SDK ok", "CUDA toolkit ok", "long paths note"} {
		if !slices.Contains(names, want) {
			t.Errorf("the doctor does not say %q: %q", want, names)
		}
	}
}
