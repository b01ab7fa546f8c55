package matrix_test

import (
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/relmat/relmat/internal/matrix"
)

func TestInheritance(t *testing.T) {
	f := parse(t, base(t))
	cuda, cpu, macos := row(t, f, "linux-cuda"), row(t, f, "linux-cpu"), row(t, f, "macos")

	equal(t, "a single value", macos.Profile, "dist")
	equal(t, "a single value of the target's own", macos.Archive, "tar.gz")
	equal(t, "a value that nobody sets", cuda.Archive, "zip")
	equal(t, "a list", cuda.Rustflags, []string{"-g"})
	equal(t, "names of a mapping that both have", cuda.Env.Keys, []string{"COMMON", "LEVEL", "EXTRA"})
	equal(t, "a value that the target overrides", cuda.Env.Values["LEVEL"], "high")
	equal(t, "a value that it leaves", cuda.Env.Values["COMMON"], "1")
	equal(t, "names of a mapping that only defaults have", cpu.Env.Keys, []string{"COMMON", "LEVEL"})
	equal(t, "the same value in another target", cpu.Env.Values["LEVEL"], "low")
	equal(t, "the defaults themselves", f.Defaults.Env.Values["LEVEL"], "low")
	equal(t, "features", cpu.Features, nil)
	equal(t, "the platform", macos.Platform, matrix.Platform{OS: "macos", Arch: "aarch64"})
}

func TestInheritedListsAreTakenWhole(t *testing.T) {
	text := edit(t, base(t), "    features: [cuda]\n", "    features: [cuda]\n    rustflags: [-O]\n    native: {crates: []}\n")
	r := row(t, parse(t, text), "linux-cuda")
	equal(t, "a list of the target's own", r.Rustflags, []string{"-O"})
	if r.Native.Crates == nil || len(r.Native.Crates) != 0 {
		t.Errorf("an empty list inherits: %q", r.Native.Crates)
	}
}

func TestInheritedStructuresAreTakenKeyByKey(t *testing.T) {
	text := edit(t, base(t), "  profile: dist\n", "  profile: dist\n  cuda: {env: ARCHS}\n")
	text = edit(t, text, "  linux:\n", "  linux:\n    cpu: {level: x86-64-v2, env: SHARED_MARCH}\n")
	text = edit(t, text, "    cpu: {level: x86-64-v3, env: DEMO_MARCH}\n", "    cpu: {level: x86-64-v3}\n")
	text = edit(t, text, `    cuda: {architectures: "80-real;90a", env: DEMO_ARCHS}`, `    cuda: {architectures: "80-real;90a"}`)
	r := row(t, parse(t, text), "linux-cuda")
	equal(t, "cpu", r.CPU, matrix.CPU{Level: "x86-64-v3", Env: "SHARED_MARCH"})
	equal(t, "cuda", r.CUDA, matrix.CUDA{Architectures: "80-real;90a", Env: "ARCHS", Gates: []string{"90a"}})
}

func TestTruthValues(t *testing.T) {
	for _, test := range []struct {
		name, defaults, own string
		onRequest, locked   bool
	}{
		{"nothing", "", "", false, true},
		{"defaults", "  on-request: true\n  locked: false\n", "", true, false},
		{"target", "", "    on-request: true\n    locked: false\n", true, false},
		{"target over defaults", "  on-request: true\n  locked: false\n", "    on-request: false\n    locked: true\n", false, true},
		{"capitals", "", "    on-request: True\n    locked: FALSE\n", true, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			text := edit(t, base(t), "  profile: dist\n", "  profile: dist\n"+test.defaults)
			text = edit(t, text, "    archive: tar.gz\n", "    archive: tar.gz\n"+test.own)
			r := row(t, parse(t, text), "macos")
			equal(t, "on-request", r.IsOnRequest(), test.onRequest)
			equal(t, "locked", r.IsLocked(), test.locked)
		})
	}
}

func TestTextKeepsItsSpelling(t *testing.T) {
	text := edit(t, base(t), `EXTRA: "2"`, `EXTRA: 13.0, HEX: 0x1f, SURE: yes, EXP: 1e3`)
	env := row(t, parse(t, text), "linux-cuda").Env.Values
	for name, want := range map[string]string{"EXTRA": "13.0", "HEX": "0x1f", "SURE": "yes", "EXP": "1e3"} {
		equal(t, name, env[name], want)
	}
}

func TestOrderIsTheFile(t *testing.T) {
	f := parse(t, base(t))
	var names []string
	for _, r := range f.Rows() {
		names = append(names, r.Name)
	}
	equal(t, "targets", names, []string{"linux-cuda", "linux-cpu", "macos"})
	equal(t, "programs", f.Programs.Keys, []string{"demo", "server"})
	equal(t, "steps", f.Smoke.Steps.Keys, []string{"version", "run"})
	if _, ok := f.Programs.Get("server"); !ok {
		t.Error("Get does not find what Keys name")
	}
	if _, ok := f.Programs.Get("none"); ok {
		t.Error("Get finds what is not there")
	}
}

func TestParseTriple(t *testing.T) {
	for triple, want := range map[string]matrix.Platform{
		"x86_64-unknown-linux-gnu":  {OS: "linux", Arch: "x86_64"},
		"aarch64-unknown-linux-gnu": {OS: "linux", Arch: "aarch64"},
		"x86_64-unknown-linux-musl": {OS: "linux", Arch: "x86_64"},
		"aarch64-apple-darwin":      {OS: "macos", Arch: "aarch64"},
		"x86_64-pc-windows-msvc":    {OS: "windows", Arch: "x86_64"},
	} {
		got, err := matrix.ParseTriple(triple)
		if err != nil || got != want {
			t.Errorf("%s is %v, %v", triple, got, err)
		}
	}
	for _, triple := range []string{"", "linux", "x86_64-linux", "-unknown-linux-gnu", "wasm32-unknown-unknown"} {
		if got, err := matrix.ParseTriple(triple); err == nil {
			t.Errorf("%q is %v", triple, got)
		}
	}
	equal(t, "text", matrix.Platform{OS: "linux", Arch: "x86_64"}.String(), "linux-x86_64")
	equal(t, "programs of Windows", matrix.Platform{OS: "windows"}.Exe(), ".exe")
	equal(t, "programs of Linux", matrix.Platform{OS: "linux"}.Exe(), "")
}

func TestLayout(t *testing.T) {
	f := parse(t, base(t))
	binLib := matrix.Layout{Style: "bin-lib", Programs: "bin", Libraries: "lib", Licenses: "licenses"}
	equal(t, "as written", f.Packages.Values["demo"].LayoutOf(), binLib)
	equal(t, "not written", matrix.Package{}.LayoutOf(), binLib)
	flat := matrix.Package{Layout: matrix.Layout{Programs: ".", Libraries: "."}}
	equal(t, "flat", flat.LayoutOf(), matrix.Layout{Style: "bin-lib", Programs: ".", Libraries: ".", Licenses: "licenses"})
	parse(t, edit(t, base(t), "{programs: bin, libraries: lib, licenses: licenses}", "{programs: ., libraries: .}"))
}

func TestLayoutPlaces(t *testing.T) {
	for _, test := range []struct{ style, name, inWheel, want string }{
		{"", "libcublas.so.13", "nvidia/cu13/lib/libcublas.so.13", "lib/libcublas.so.13"},
		{"flat", "cudart64_13.dll", "", "cudart64_13.dll"},
		{"wheels", "libcublas.so.13", "nvidia/cu13/lib/libcublas.so.13", "nvidia/cu13/lib/libcublas.so.13"},
		{"wheels", "libopenblas.so.0", "", "lib/libopenblas.so.0"},
		{"mlx-windows", "cublasLt64_13.dll", "nvidia/cu13/bin/x86_64/cublasLt64_13.dll", "nvidia/cublas/bin/cublasLt64_13.dll"},
		{"mlx-windows", "NVRTC64_130_0.dll", "", "nvidia/cuda_nvrtc/bin/NVRTC64_130_0.dll"},
		{"mlx-windows", "nvrtc-builtins64_130.dll", "", "nvidia/cuda_nvrtc/bin/nvrtc-builtins64_130.dll"},
		{"mlx-windows", "cudnn_ops64_9.dll", "", "nvidia/cudnn/bin/cudnn_ops64_9.dll"},
		{"mlx-windows", "cudart64_13.dll", "", "bin/cudart64_13.dll"},
	} {
		l := matrix.Package{Layout: matrix.Layout{Style: test.style}}.LayoutOf()
		equal(t, test.style+" "+test.name, l.Place(test.name, test.inWheel), test.want)
	}
	windows := matrix.Package{Layout: matrix.Layout{Style: "mlx-windows"}}.LayoutOf()
	equal(t, "hooks", windows.Hooks(), map[string]string{"cublas*.dll": "../nvidia/cublas/bin", "nvrtc*.dll": "../nvidia/cuda_nvrtc/bin", "cudnn*.dll": "../nvidia/cudnn/bin"})
	windows.Programs = "."
	equal(t, "hooks of programs at the root", windows.Hooks()["cudnn*.dll"], "nvidia/cudnn/bin")
}

func TestPackagesAndProgramsOfATarget(t *testing.T) {
	text := edit(t, base(t), "packages:\n", `packages:
  extra:
    asset: "extra-{{.Target}}"
    targets: ["linux-*"]
    programs: [server]
`)
	f := parse(t, text)
	equal(t, "packages of a target that a pattern matches", f.PackagesOf(row(t, f, "linux-cpu")), []string{"extra", "demo"})
	equal(t, "packages of another", f.PackagesOf(row(t, f, "macos")), []string{"demo"})
	equal(t, "programs, each once", f.ProgramsOf(row(t, f, "linux-cpu")), []string{"server", "demo"})
	equal(t, "name of the binary", f.BinName("server"), "demo-server")
	equal(t, "name of a binary that is the program's", f.BinName("demo"), "demo")
}

func TestInputName(t *testing.T) {
	equal(t, "from the address", matrix.Input{URL: "https://example.org/a/model.bin"}.Name(), "model.bin")
	equal(t, "as it says", matrix.Input{URL: "https://example.org/a/model.bin", As: "m.bin"}.Name(), "m.bin")
}

func TestMatches(t *testing.T) {
	for _, test := range []struct {
		patterns []string
		want     bool
	}{
		{nil, true},
		{[]string{}, true},
		{[]string{"linux-cuda"}, true},
		{[]string{"linux"}, false},
		{[]string{"linux-*"}, true},
		{[]string{"macos", "*cuda"}, true},
		{[]string{"linux-????"}, true},
		{[]string{"linux-c[pq]u*"}, false},
		{[]string{"["}, false},
	} {
		if got := matrix.Matches(test.patterns, "linux-cuda"); got != test.want {
			t.Errorf("%q gives %v", test.patterns, got)
		}
	}
}

// TestSample loads the file that the documentation points at.
func TestSample(t *testing.T) {
	path := filepath.Join("..", "..", "examples", "tinylm", "targets.yaml")
	f, err := matrix.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	abs, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "directory", f.Dir, abs)
	equal(t, "path", f.Path, path)
	cuda := row(t, f, "linux-x86_64-cuda13")
	equal(t, "cpu", cuda.CPU, matrix.CPU{Level: "x86-64-v3", Env: "TINYLM_CXX_MARCH"})
	equal(t, "crates", cuda.Native.Crates, []string{"tinylm-core"})
	equal(t, "on request", row(t, f, "linux-x86_64-cpu").IsOnRequest(), true)
	equal(t, "time", f.Smoke.Steps.Values["selfcheck"].Timeout, 2*time.Minute)
	asset, err := cuda.Fields("1.2.3", "v1.2.3").Expand(f.Packages.Values["tinylm"].Asset)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "asset", asset, "tinylm-1.2.3-linux-x86_64-cuda13")
}

func equal(tb testing.TB, what string, got, want any) {
	tb.Helper()
	if g, ok := got.([]string); ok {
		if w, _ := want.([]string); !slices.Equal(g, w) {
			tb.Errorf("%s: got %q, want %q", what, g, w)
		}
		return
	}
	if !reflect.DeepEqual(got, want) {
		tb.Errorf("%s: got %v, want %v", what, got, want)
	}
}
