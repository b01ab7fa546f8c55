package toolchain_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/relmat/relmat/internal/toolchain"
)

// msvcHeader is what crt/host_config.h of CUDA 13.0 says of Microsoft's compiler.
const msvcHeader = `
#if _MSC_VER < 1910 || _MSC_VER >= 1950
#error -- unsupported Microsoft Visual Studio version! Only the versions between 2017 and 2022 (inclusive) are supported!
#endif
`

func checkOf(t *testing.T, checks []toolchain.Check, name string) toolchain.Check {
	t.Helper()
	i := slices.IndexFunc(checks, func(c toolchain.Check) bool { return c.Name == name })
	if i < 0 {
		t.Fatalf("no check %q among %+v", name, checks)
	}
	return checks[i]
}

func TestDoctorMSVC(t *testing.T) {
	header := filepath.Join(t.TempDir(), "host_config.h")
	put(t, header, msvcHeader)
	nvcc := toolchain.NVCC{Of: "toolkit cuda", Header: header}
	with := func(version string) []string { return toolset(version, "Hostx64", "x64") }
	noSDK := slices.DeleteFunc(with(toolsetVersion), func(l string) bool { return strings.Contains(l, "SDKVersion") })
	const get = `winget install Microsoft.VisualStudio.2022.BuildTools --override "--passive --wait --add Microsoft.VisualStudio.Workload.VCTools --includeRecommended --add Microsoft.VisualStudio.Component.`
	const fitting = "Visual Studio Installer, Modify, Individual components: Microsoft.VisualStudio.Component.VC.14.44.17.14.x86.x64; relmat then uses that toolset"
	tests := []struct {
		name       string
		list       []visual
		state      toolchain.State
		found, get string
		detail     string
		nvcc       toolchain.State
		nvccNeeded string
	}{
		{"found", []visual{{dir: "vs", version: "17.14"}}, toolchain.StateOK, toolsetVersion, "", "Visual Studio Build Tools 2022", toolchain.StateOK, "14.10 to 14.49"},
		{"prerelease", []visual{{dir: "vs", version: "17.14", prerelease: true}}, toolchain.StateOK, toolsetVersion, "", "a prerelease", toolchain.StateOK, "14.10 to 14.49"},
		{"none", nil, toolchain.StateMissing, "", get + `VC.Tools.x86.x64"`, "vswhere knows none", toolchain.StateMissing, "any"},
		{"no SDK", []visual{{dir: "vs", version: "17.14", batch: batchFile(noSDK...)}}, toolchain.StateFailed, "", get + `Windows11SDK.26100"`, "finds no Windows SDK", toolchain.StateFailed, "any"},
		{"failing", []visual{{dir: "vs", version: "17.14", batch: batchFile("exit /b 1")}}, toolchain.StateFailed, "", "", "exit status 1", toolchain.StateFailed, "any"},
		{"hanging", []visual{{dir: "vs", version: "17.14", batch: batchFile(":x", "goto x")}}, toolchain.StateTimedOut, "", "", "gave no answer", toolchain.StateTimedOut, "any"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, env := windowsHost(t, tt.list...)
			w := toolchain.WindowsHost{Env: env}
			limit := 20 * time.Second
			if tt.state == toolchain.StateTimedOut {
				limit = time.Second
			}
			w.MSVC, w.Err = toolchain.MSVCFinder{Host: winX64, Env: env, Timeout: limit}.Find(t.Context(), winX64)
			d := &toolchain.Doctor{Host: winX64, Dir: t.TempDir()}
			b := toolchain.Build{Row: msvcRow(), Env: env, Windows: w}
			checks := d.Check(t.Context(), b)
			c := checkOf(t, checks, "MSVC")
			if c.State != tt.state || c.Found != tt.found || c.Get != tt.get || c.Blocks != (tt.state != toolchain.StateOK) || !strings.Contains(c.Detail, tt.detail) {
				t.Errorf("the check is %+v", c)
			}
			if tt.state == toolchain.StateOK {
				if sdk := checkOf(t, checks, "Windows SDK"); sdk.Found != "10.0.26100.0" {
					t.Errorf("the SDK is %+v", sdk)
				}
			}
			for _, name := range []string{"long paths", "Defender"} {
				if c := checkOf(t, checks, name); c.State != toolchain.StateNote || c.Blocks {
					t.Errorf("%+v", c)
				}
			}
			if slices.ContainsFunc(checks, func(c toolchain.Check) bool { return c.Name == "C++ compiler" || c.Name == "linker" }) {
				t.Errorf("a build by MSVC is asked for another compiler: %+v", checks)
			}
			c = d.HostCompiler(t.Context(), b, nvcc)
			if c.Name != "nvcc's compiler" || c.State != tt.nvcc || c.Needed != tt.nvccNeeded {
				t.Errorf("nvcc's check is %+v", c)
			}
			if err := d.Explain(b); (err == nil) != (tt.state == toolchain.StateOK) || err != nil && (!errors.Is(err, w.Err) || !strings.Contains(err.Error(), tt.get)) {
				t.Errorf("it is explained as %v", err)
			}
			// A compiler that this nvcc does not take.
			if w.MSVC != nil {
				w.MSVC.Toolset = "14.50.1"
				if c := d.HostCompiler(t.Context(), b, nvcc); c.State != toolchain.StateTooNew || !c.Blocks || c.Get != fitting {
					t.Errorf("a newer toolset: %+v", c)
				}
			}
		})
	}
}

// TestDoctorToolsets has the doctor say which toolset of several nvcc gets, and
// where it takes none, which there are and what to install.
func TestDoctorToolsets(t *testing.T) {
	const installer = "Visual Studio Installer, Modify, Individual components: "
	tests := []struct {
		name, header string
		toolsets     []string
		arch         string
		state        toolchain.State
		detail, get  string
	}{
		{"beside", "_MSC_VER < 1910 || _MSC_VER >= 1950", []string{"14.50.35717", "14.44.35207"}, "x86_64", toolchain.StateOK, ", which first uses another toolset, that nvcc does not take", ""},
		{"none", "_MSC_VER < 1910 || _MSC_VER >= 1950", []string{"14.50.35717", "14.51.1"}, "x86_64", toolchain.StateTooNew, "all there are: 14.50.35717 in 18, 14.51.1 in 18", installer + "Microsoft.VisualStudio.Component.VC.14.44.17.14.x86.x64; relmat then uses that toolset"},
		{"none for Arm", "_MSC_VER < 1910 || _MSC_VER >= 1950", []string{"14.50.35717"}, "aarch64", toolchain.StateTooNew, "all there are: 14.50.35717 in 18", installer + "Microsoft.VisualStudio.Component.VC.14.44.17.14.ARM64; relmat then uses that toolset"},
		{"none of an older range", "_MSC_VER < 1910 || _MSC_VER >= 1940", []string{"14.44.35207"}, "x86_64", toolchain.StateTooNew, "all there are: 14.44.35207 in 18", installer + "Microsoft.VisualStudio.Component.VC.14.29.16.11.x86.x64; relmat then uses that toolset"},
		{"none that relmat knows a component of", "_MSC_VER < 1930 || _MSC_VER >= 1940", []string{"14.44.35207"}, "x86_64", toolchain.StateTooNew, "all there are: 14.44.35207 in 18", installer + "MSVC build tools of version 14.30 to 14.39; relmat then uses that toolset"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			target := map[string]string{"x86_64": "x64", "aarch64": "arm64"}[tt.arch]
			root, env := windowsHost(t, visual{
				dir: "18", version: "18.0", toolsets: tt.toolsets, tools: []string{"Hostx64/" + target},
				batch: batchFile(sideBySide(target, tt.toolsets...)...),
			})
			nvcc := toolchain.NVCC{Of: "toolkit cuda", Header: filepath.Join(root, "host_config.h")}
			put(t, nvcc.Header, "#if "+tt.header+"\n#error -- unsupported Microsoft Visual Studio version!\n#endif\n")
			r := msvcRow()
			r.Platform.Arch = tt.arch
			w := toolchain.WindowsHost{Env: env}
			w.MSVC, w.Err = toolchain.MSVCFinder{Host: winX64, Env: env, Timeout: 20 * time.Second, Takes: nvcc.TakesMSVC(env)}.Find(t.Context(), r.Platform)
			d := &toolchain.Doctor{Host: winX64, Dir: root}
			c := d.HostCompiler(t.Context(), toolchain.Build{Row: r, Env: env, Windows: w}, nvcc)
			detail := strings.ReplaceAll(c.Detail, root+string(filepath.Separator), "")
			if c.State != tt.state || c.Blocks != (tt.state != toolchain.StateOK) || !strings.HasSuffix(detail, tt.detail) || c.Get != tt.get {
				t.Errorf("the check is %+v", c)
			}
			// A matrix that lets nvcc take any compiler gets the newest.
			if got := nvcc.TakesMSVC(append(env, "NVCC_APPEND_FLAGS=-allow-unsupported-compiler")); got != (toolchain.Range{}) {
				t.Errorf("nvcc that takes any compiler takes %v", got)
			}
		})
	}
}

func TestDoctorClangCL(t *testing.T) {
	root, env := windowsHost(t, visual{dir: "vs", version: "17.14"})
	m, err := find(t, winX64, winX64, env, "")
	if err != nil {
		t.Fatal(err)
	}
	d := &toolchain.Doctor{Host: winX64, Dir: t.TempDir()}
	check := func() toolchain.Check {
		b := m.BuildEnv(append(toolchain.FilterEnv(env, nil), "CC=clang-cl.exe", "CXX=clang-cl.exe"), msvcRow(), winX64)
		return checkOf(t, d.Check(t.Context(), toolchain.Build{Row: msvcRow(), Env: b, Windows: toolchain.WindowsHost{MSVC: m}}), "clang-cl")
	}
	if c := check(); c.State != toolchain.StateMissing || !c.Blocks || !strings.Contains(c.Get, "--add Microsoft.VisualStudio.Component.VC.Llvm.Clang") {
		t.Errorf("without it: %+v", c)
	}
	// Visual Studio's own is found where it has no place in PATH.
	clang := filepath.Join(root, "vs", "VC", "Tools", "Llvm", "x64", "bin", "clang-cl.exe")
	if err := os.MkdirAll(filepath.Dir(clang), 0o755); err != nil {
		t.Fatal(err)
	}
	program(t, clang, standIn{Answers: []reply{{Args: []string{"--version"}, Stdout: "clang version 19.1.5\n"}}})
	d = &toolchain.Doctor{Host: winX64, Dir: t.TempDir()}
	if c := check(); c.State != toolchain.StateOK || c.Found != "19.1.5" {
		t.Errorf("with it: %+v", c)
	}
}
