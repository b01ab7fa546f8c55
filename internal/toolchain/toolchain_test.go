package toolchain_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/relmat/relmat/internal/matrix"
	"github.com/relmat/relmat/internal/toolchain"
)

func TestFilterEnv(t *testing.T) {
	host := []string{
		"PATH=/usr/bin", "PATH=/bin", // as a child would see it, the last counts
		"HOME=/home/u", "RUSTUP_HOME=/r", "RUSTUP_TOOLCHAIN=stable", "CARGO_HOME=/c", "CC=clang", "https_proxy=http://p",
		"CARGO_NET_OFFLINE=true", "CARGO_HTTP_PROXY=p", "MINE=yes", "WITH_EQUALS=a=b=c",
		// Credentials and settings that change what is made.
		"GITHUB_TOKEN=ghp_1", "GH_TOKEN=ghp_2", "CARGO_REGISTRY_TOKEN=t", "AWS_SECRET_ACCESS_KEY=k", "SSH_AUTH_SOCK=/s",
		"RUSTFLAGS=-Copt-level=0", "CARGO_ENCODED_RUSTFLAGS=x", "CARGO_BUILD_TARGET=y", "CUDA_HOME=/usr/local/cuda", "CUDA_PATH=/x",
		"LD_LIBRARY_PATH=/x", "LD_PRELOAD=/x.so", "CFLAGS=-O0", "CUDAARCHS=52", "PATHS=/no", "XPATH=/no", "CARGO_PROFILE_RELEASE_LTO=true",
		"no equals sign",
	}
	got := toolchain.FilterEnv(host, []string{"MINE", "WITH_EQUALS", "ABSENT"})
	want := []string{
		"CARGO_HOME=/c", "CARGO_HTTP_PROXY=p", "CARGO_NET_OFFLINE=true", "CC=clang", "HOME=/home/u", "MINE=yes", "PATH=/bin",
		"RUSTUP_HOME=/r", "RUSTUP_TOOLCHAIN=stable", "WITH_EQUALS=a=b=c", "https_proxy=http://p",
	}
	if !slices.Equal(got, want) {
		t.Errorf("FilterEnv =\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// lastOf is what a child sees of env: the last entry of a name counts.
func lastOf(env []string) map[string]string {
	m := map[string]string{}
	for _, kv := range env {
		k, v, _ := strings.Cut(kv, "=")
		m[k] = v
	}
	return m
}

func row(t *testing.T, target string) matrix.Row {
	t.Helper()
	f, err := matrix.Parse("targets.yaml", []byte(`
version: 1
project: {name: p, version-package: p}
toolkits: {cu13: {lock: l.json, requirements: ["cuda-toolkit==13.0.2"]}}
programs: {p: {package: p}}
targets:
  x:
    triple: x86_64-unknown-linux-gnu
`+target+`
packages: {p: {asset: "p-{{.Target}}", programs: [p]}}
`))
	if err != nil {
		t.Fatal(err)
	}
	return f.Rows()[0]
}

func TestBuildEnv(t *testing.T) {
	host := []string{"PATH=/bin", "HOME=/h", "GITHUB_TOKEN=secret", "RUSTFLAGS=-Cdebuginfo=2", "CARGO_ENCODED_RUSTFLAGS=-Cdebuginfo=2", "CUDA_HOME=/usr/local/cuda", "CARGO_TARGET_DIR=/elsewhere", "NEEDED_KEY=k"}
	tests := []struct {
		name, target string
		want         map[string]string
	}{
		{"bare", "", map[string]string{
			"PATH": "/bin", "HOME": "/h", "CARGO_ENCODED_RUSTFLAGS": "", "CARGO_TARGET_DIR": "/t", "CARGO_TERM_COLOR": "never",
		}},
		{"flags and level", `    rustflags: ["-C", "link-arg=-Wl,-z,now"]
    cpu: {level: x86-64-v3, env: MARCH}
    env: {A: "1 2", HOME: /other}
    pass: [NEEDED_KEY]`, map[string]string{
			"PATH": "/bin", "HOME": "/other", "A": "1 2", "MARCH": "x86-64-v3", "NEEDED_KEY": "k",
			"CARGO_ENCODED_RUSTFLAGS": "-C\x1flink-arg=-Wl,-z,now\x1f-Ctarget-cpu=x86-64-v3",
			"CARGO_TARGET_DIR":        "/t", "CARGO_TERM_COLOR": "never",
		}},
		{"architectures", `    cuda: {architectures: "80-real;90a", env: ARCHS}`, map[string]string{
			"PATH": "/bin", "HOME": "/h", "ARCHS": "80-real;90a", "CARGO_ENCODED_RUSTFLAGS": "", "CARGO_TARGET_DIR": "/t", "CARGO_TERM_COLOR": "never",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := row(t, tt.target)
			got := lastOf(buildEnv(t, host, r, ""))
			if len(got) != len(tt.want) {
				t.Errorf("got %d variables, want %d: %q", len(got), len(tt.want), got)
			}
			for k, v := range tt.want {
				if have, ok := got[k]; !ok || have != v {
					t.Errorf("%s = %q (set: %t), want %q", k, have, ok, v)
				}
			}
			// The row must not be changed: it serves later builds too.
			if again := lastOf(buildEnv(t, host, r, "")); again["CARGO_ENCODED_RUSTFLAGS"] != got["CARGO_ENCODED_RUSTFLAGS"] {
				t.Errorf("a second call gives other flags: %q", again["CARGO_ENCODED_RUSTFLAGS"])
			}
		})
	}
}

func TestBuildEnvToolkit(t *testing.T) {
	home := filepath.Join("/cache", "nvidia", "cu13")
	host := []string{"PATH=/usr/bin", "CUDA_HOME=/usr/local/cuda", "CUDA_PATH=/usr/local/cuda"}
	got := lastOf(buildEnv(t, host, row(t, "    toolkit: cu13\n"+`    env: {CC: "{{.Toolkit}}/bin/cc"}`), home))
	for name, want := range map[string]string{
		"CUDA_HOME": home, "CUDA_PATH": home, "CC": home + "/bin/cc",
		// A build that looks for nvcc must find the toolkit's first.
		"PATH": filepath.Join(home, "bin") + string(filepath.ListSeparator) + "/usr/bin",
	} {
		if got[name] != want {
			t.Errorf("%s = %q, want %q", name, got[name], want)
		}
	}
}

// buildEnv composes the environment as the pipeline does.
func buildEnv(t *testing.T, host []string, r matrix.Row, home string) []string {
	t.Helper()
	vars, err := toolchain.Variables(r, r.Fields("1.0.0", "v1.0.0"), toolchain.Toolkits{Host: home, Target: home}, "/t")
	if err != nil {
		t.Fatal(err)
	}
	return toolchain.BuildEnv(host, r, vars)
}

// TestVariables has the order and the words of all that relmat sets.
func TestVariables(t *testing.T) {
	r := row(t, `    rustflags: [-g]
    toolkit: cu13
    cpu: {level: x86-64-v3, env: MARCH}
    cuda: {architectures: "80-real;90a", env: ARCHS}
    env: {TOOLS: "{{.Toolkit}}/bin", NAME: "{{.Project}}-{{.Version}}-{{.Target}}{{.Exe}}", PLAIN: "$HOME {x}"}`)
	vars, err := toolchain.Variables(r, r.Fields("1.2.3", "v1.2.3"), toolchain.Toolkits{Host: "/cu13", Target: "/cu13"}, "/t")
	want := []toolchain.Variable{
		{Name: "CUDA_HOME", Value: "/cu13"},
		{Name: "CUDA_PATH", Value: "/cu13"},
		{Name: "ARCHS", Value: "80-real;90a"},
		{Name: "MARCH", Value: "x86-64-v3"},
		{Name: "CARGO_ENCODED_RUSTFLAGS", Value: "-g\x1f-Ctarget-cpu=x86-64-v3"},
		{Name: "CARGO_TARGET_DIR", Value: "/t"},
		{Name: "CARGO_TERM_COLOR", Value: "never"},
		{Name: "TOOLS", Value: "/cu13/bin"},
		{Name: "NAME", Value: "p-1.2.3-x"},
		{Name: "PLAIN", Value: "$HOME {x}"},
	}
	if err != nil || !slices.Equal(vars, want) {
		t.Errorf("the variables are %q, %v, want %q", vars, err, want)
	}
}

// TestCPUWords has rustc's and the C++ compiler's word come from one level.
func TestCPUWords(t *testing.T) {
	for _, l := range matrix.CPULevels() {
		r := matrix.Row{}
		r.CPU = matrix.CPU{Level: l.Name, Env: "MARCH"}
		vars, err := toolchain.Variables(r, matrix.Fields{}, toolchain.Toolkits{}, "")
		if err != nil || vars[0] != (toolchain.Variable{Name: "MARCH", Value: l.March}) || vars[1].Value != "-Ctarget-cpu="+l.Rust {
			t.Errorf("%s gives %q, %v", l.Name, vars, err)
		}
		// A build whose C++ reads no variable has rustc's word alone.
		r.CPU.Env = ""
		if vars, err = toolchain.Variables(r, matrix.Fields{}, toolchain.Toolkits{}, ""); err != nil || vars[0].Value != "-Ctarget-cpu="+l.Rust {
			t.Errorf("%s without a variable gives %q, %v", l.Name, vars, err)
		}
	}
}

func TestVariablesError(t *testing.T) {
	// Only with a toolkit is the wrong half of the template looked at.
	r := row(t, `    env: {GOOD: "1", TOOLS: "{{if .Toolkit}}{{.Inputs.none}}{{end}}"}`)
	vars, err := toolchain.Variables(r, matrix.Fields{}, toolchain.Toolkits{Host: "/cu13", Target: "/cu13"}, "/t")
	if err == nil || vars != nil || !strings.HasPrefix(err.Error(), "env.TOOLS: template ") {
		t.Errorf("got %q, %v", vars, err)
	}
	if _, err := toolchain.Variables(r, matrix.Fields{}, toolchain.Toolkits{}, "/t"); err != nil {
		t.Errorf("without a toolkit: %v", err)
	}
}

func TestTools(t *testing.T) {
	names := func(target string, env ...string) string {
		var list []string
		for _, tool := range toolchain.Tools(row(t, target), env) {
			if tool.Get == "" {
				t.Errorf("tool %s does not say how to get it", tool.Name)
			}
			list = append(list, tool.Name)
		}
		return strings.Join(list, " ")
	}
	if got := names(""); got != "cargo" {
		t.Errorf("a build without native crates needs %q", got)
	}
	if got := names("    native: {crates: [n]}"); got != "cargo cmake ninja c++" {
		t.Errorf("a native build needs %q", got)
	}
	if got := names("    native: {crates: [n]}", "CXX=clang++-19"); got != "cargo cmake ninja clang++-19" {
		t.Errorf("a native build with CXX needs %q", got)
	}
}

func TestMissing(t *testing.T) {
	dir := t.TempDir()
	program(t, filepath.Join(dir, "cargo"), standIn{})
	if err := os.WriteFile(filepath.Join(dir, "ninja"), nil, 0o644); err != nil { // not executable
		t.Fatal(err)
	}
	env := []string{"PATH=" + dir, "PATHEXT=" + os.Getenv("PATHEXT")}
	tools := toolchain.Tools(row(t, "    native: {crates: [n]}"), env)
	if err := toolchain.Missing(tools[:1], env); err != nil {
		t.Errorf("cargo is there, got %v", err)
	}
	err := toolchain.Missing(tools, env)
	if err == nil {
		t.Fatal("no error though cmake, ninja and c++ are missing")
	}
	for _, want := range []string{"cmake (Debian: cmake", "ninja (Debian: ninja-build", "c++ (Debian: g++"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q: %v", want, err)
		}
	}
	if strings.Contains(err.Error(), "cargo") {
		t.Errorf("the error names cargo, which is there: %v", err)
	}
	// This process's PATH has a cargo; the build's environment decides.
	if err := toolchain.Missing(tools[:1], []string{"PATH=" + t.TempDir()}); err == nil {
		t.Error("cargo was found outside of the environment's PATH")
	}
}

func TestIdentity(t *testing.T) {
	dir := t.TempDir()
	program(t, filepath.Join(dir, "cargo"), standIn{Answers: []reply{{Args: []string{"-Vv"}, Stdout: "cargo 1.2.3\nrelease: 1.2.3\n"}}})
	program(t, filepath.Join(dir, "c++"), standIn{Answers: []reply{{Args: []string{"--version"}, Stdout: "c++ 14.2\nCopyright\n"}}})
	program(t, filepath.Join(dir, "broken"), standIn{Answers: []reply{{Stderr: "it is broken\n", Exit: 3}}})
	env := []string{"PATH=" + dir, "PATHEXT=" + os.Getenv("PATHEXT"), "SystemRoot=" + os.Getenv("SystemRoot")}
	got, err := toolchain.Identity(t.Context(), []toolchain.Tool{{Name: "cargo"}, {Name: "c++"}}, env)
	if want := []string{"cargo: cargo 1.2.3", "c++: c++ 14.2"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("Identity = %q, %v, want %q", got, err, want)
	}
	if _, err := toolchain.Identity(t.Context(), []toolchain.Tool{{Name: "broken"}}, env); err == nil || !strings.Contains(err.Error(), "it is broken") {
		t.Errorf("a compiler that does not run gives %v", err)
	}
}
