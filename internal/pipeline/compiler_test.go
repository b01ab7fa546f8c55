package pipeline

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/relmat/relmat/internal/manifest"
	"github.com/relmat/relmat/internal/matrix"
	"github.com/relmat/relmat/internal/proc"
	"github.com/relmat/relmat/internal/toolchain"
	"github.com/relmat/relmat/internal/toolkit"
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
	s.Env = promptEnv(t, root, "14.44.1")
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
	if slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(n, "nvcc's compiler") }) {
		t.Errorf("a toolkit without host_config.h is asked what it takes: %q", names)
	}
	// What the installed nvcc takes is asked like that of a toolkit's.
	write(t, filepath.Join(root, "cuda", "include", "crt", "host_config.h"), msvcHeader)
	write(t, filepath.Join(root, "cuda", "version.json"), `{"cuda": {"version": "13.0.2"}}`)
	for version, state := range map[string]toolchain.State{"14.44.1": toolchain.StateOK, "14.50.35717": toolchain.StateTooNew} {
		s.Env = append(promptEnv(t, root, version), "CUDA_PATH="+filepath.Join(root, "cuda"))
		_, err = s.compilerEnv(t.Context(), row(t, s, "win"), toolchain.FilterEnv(s.Env, nil), windows)
		if refused := err != nil && strings.Contains(err.Error(), "nvcc of CUDA 13.0.2 by CUDA_PATH takes MSVC toolset 14.10 to 14.49, this host's is 14.50.35717"); refused != (state != toolchain.StateOK) {
			t.Errorf("with toolset %s: %v", version, err)
		}
		if checks, _, err = s.diagnose(t.Context(), doctor, row(t, s, "win"), manifest.Device{}); err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(checks, func(c toolchain.Check) bool { return c.Name == "nvcc's compiler" })
		if i < 0 || checks[i].State != state || checks[i].Blocks != (state != toolchain.StateOK) || checks[i].By != "CUDA 13.0.2 by CUDA_PATH" {
			t.Errorf("with toolset %s the doctor says %+v", version, checks)
		}
	}
}

// TestPreflightEnv has what a release asks before it builds be asked in the
// build's own environment: what the matrix sets is in it.
func TestPreflightEnv(t *testing.T) {
	root := t.TempDir()
	tools := filepath.Join(root, "tools")
	for _, name := range []string{"cargo", "cmake", "ninja", "my-c++"} {
		write(t, filepath.Join(tools, name), "")
		if err := os.Chmod(filepath.Join(tools, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	const rows = `
version: 1
project: {name: p, version-package: p}
toolkits: {cuda13: {lock: l.json, requirements: [r]}}
programs: {a: {package: p}}
targets:
  plain: {triple: x86_64-unknown-linux-gnu, native: {crates: [n]}}
  linux: {triple: x86_64-unknown-linux-gnu, native: {crates: [n]}, env: {PATH: "TOOLS", CXX: my-c++}}
  win: {triple: x86_64-pc-windows-msvc, toolkit: cuda13, native: {crates: [n]}, cuda: {architectures: "80", env: ARCHS}, env: {PATH: "TOOLS", CXX: my-c++}}
  all-the-same: {triple: x86_64-pc-windows-msvc, toolkit: cuda13, native: {crates: [n]}, env: {PATH: "TOOLS", CXX: my-c++, NVCC_APPEND_FLAGS: -allow-unsupported-compiler}}
packages: {p: {asset: "p-{{.Target}}", programs: [a]}}
`
	s, _ := open(t, strings.ReplaceAll(rows, "TOOLS", tools))
	linux, windows := matrix.Platform{OS: "linux", Arch: "x86_64"}, matrix.Platform{OS: "windows", Arch: "x86_64"}
	s.Env = []string{"PATH=" + root}
	if err := s.preflightCompiler(t.Context(), row(t, s, "plain"), linux); err == nil || !strings.Contains(err.Error(), "target plain: this host lacks what the build needs: cargo ") {
		t.Errorf("without the programs: %v", err)
	}
	if err := s.preflightCompiler(t.Context(), row(t, s, "linux"), linux); err != nil {
		t.Errorf("with the matrix's PATH and CXX: %v", err)
	}
	s.Env = promptEnv(t, root, "14.50.35717")
	layToolkit(t, s, "cuda13", "windows-x86_64", msvcHeader)
	if err := s.preflightCompiler(t.Context(), row(t, s, "win"), windows); err == nil || !strings.Contains(err.Error(), "nvcc of toolkit cuda13 takes MSVC toolset 14.10 to 14.49, this host's is 14.50.35717") {
		t.Errorf("with a compiler that nvcc refuses: %v", err)
	}
	if err := s.preflightCompiler(t.Context(), row(t, s, "all-the-same"), windows); err != nil {
		t.Errorf("with one that the matrix lets nvcc take: %v", err)
	}
}

// TestFinderKnowsNVCC has the search for Microsoft's compiler know what the nvcc
// of the row's toolkit takes, or that of the host's.
func TestFinderKnowsNVCC(t *testing.T) {
	s, _ := open(t, windowsRows)
	windows := matrix.Platform{OS: "windows", Arch: "x86_64"}
	takes := func(name string, env ...string) toolchain.Range {
		return s.msvcFinder(row(t, s, name), env, windows, true).Takes
	}
	if got := takes("win"); got != (toolchain.Range{}) {
		t.Errorf("without any toolkit it takes %v", got)
	}
	cuda := t.TempDir()
	write(t, filepath.Join(cuda, "bin", "nvcc.exe"), "")
	write(t, filepath.Join(cuda, "include", "crt", "host_config.h"), strings.ReplaceAll(msvcHeader, "1950", "1940"))
	s.Env = []string{"CUDA_PATH=" + cuda}
	if got := takes("win"); got != (toolchain.Range{Min: 1910, Max: 1939}) {
		t.Errorf("the host's nvcc takes %v", got)
	}
	if got := takes("win", "NVCC_APPEND_FLAGS=-allow-unsupported-compiler"); got != (toolchain.Range{}) {
		t.Errorf("an nvcc that is told to take all takes %v", got)
	}
	s, _ = open(t, strings.Replace(strings.Replace(windowsRows, "programs:", "toolkits: {cuda13: {lock: l.json, requirements: [r]}}\nprograms:", 1), "msvc,", "msvc, toolkit: cuda13,", 1))
	s.Env = []string{"CUDA_PATH=" + cuda}
	if got := takes("win"); got != (toolchain.Range{}) {
		t.Errorf("a toolkit that is not fetched takes %v", got)
	}
	layToolkit(t, s, "cuda13", "windows-x86_64", msvcHeader)
	if got := takes("win"); got != (toolchain.Range{Min: 1910, Max: 1949}) {
		t.Errorf("the toolkit's nvcc takes %v", got)
	}
}

// msvcHeader is what crt/host_config.h of CUDA 13.0 says of Microsoft's compiler.
const msvcHeader = `
#if _MSC_VER < 1910 || _MSC_VER >= 1950
#error -- unsupported Microsoft Visual Studio version! Only the versions between 2017 and 2022 (inclusive) are supported!
#endif
`

// promptEnv is the environment of a developer prompt whose compiler lies in the
// directory.
func promptEnv(t *testing.T, root, version string) []string {
	t.Helper()
	bin := filepath.Join(root, "bin", "Hostx64", "x64")
	write(t, filepath.Join(bin, "cl.exe"), "")
	write(t, filepath.Join(bin, "link.exe"), "")
	return []string{
		"PATH=" + bin, "VCINSTALLDIR=" + root, "VCToolsInstallDir=" + root, "VCToolsVersion=" + version, "INCLUDE=i", "LIB=l",
		"WindowsSdkDir=k", "WindowsSDKVersion=10.0.26100.0", "VSCMD_ARG_TGT_ARCH=x64",
	}
}

// layToolkit puts a toolkit that has the header alone into the cache, and its
// lock file beside the matrix.
func layToolkit(t *testing.T, s *Session, name, platform, header string) {
	t.Helper()
	wheel := toolkit.Wheel{Name: "w", Version: "1", File: "w-1-py3-none-any.whl", SHA256: strings.Repeat("0", 64), Size: 10, Unpacked: 100}
	lock := toolkit.Lock{
		Schema: toolkit.LockSchema, Requirements: s.File.Toolkits.Values[name].Requirements, Platforms: map[string][]toolkit.Wheel{platform: {wheel}},
	}
	if err := lock.Write(s.lockPath(name)); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(s.Cache, "toolkits", name+"-"+platform+"-"+toolkit.Digest(lock.Platforms[platform])[:16])
	write(t, filepath.Join(dir, "toolkit.json"), fmt.Sprintf(`{"layout": %d, "files": {}}`, toolkit.LayoutVersion))
	write(t, filepath.Join(dir, "nvidia", "cu13", "include", "crt", "host_config.h"), header)
}
