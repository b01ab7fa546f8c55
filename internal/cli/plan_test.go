package cli

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/relmat/relmat/internal/pipeline"
	"github.com/relmat/relmat/internal/toolchain"
)

var update = flag.Bool("update", false, "write the golden files anew")

// relmat runs a command line in this process.
func relmat(t *testing.T, want int, args ...string) (stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	if code := Run(t.Context(), args, Streams{Out: &out, Err: &err, Env: os.Environ()}); code != want {
		t.Fatalf("relmat %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), code, want, out.String(), err.String())
	}
	return out.String(), err.String()
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != got {
		t.Errorf("%s is not what relmat says now; see the difference with -update and git diff:\n%s", path, got)
	}
}

// mlxcel is the path of a copy of the skeleton of mlxcel's checkout.
func mlxcel(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("testdata", "mlxcel"))); err != nil {
		t.Fatal(err)
	}
	return dir
}

// rootMatrix is the targets.yaml at the root of the repository: mlxcel's.
var rootMatrix = filepath.Join("..", "..", "targets.yaml")

func TestPlanOfMlxcel(t *testing.T) {
	source := mlxcel(t)
	out, _ := relmat(t, 0, "--config", rootMatrix, "--state", filepath.Join(source, ".relmat"), "plan", "--source", source)
	golden(t, "plan.golden", strings.ReplaceAll(out, source, "/mlxcel"))
	json, _ := relmat(t, 0, "--config", rootMatrix, "--state", filepath.Join(source, ".relmat"), "plan", "--source", source, "--json", "--target", "windows-*")
	golden(t, "plan.json.golden", strings.ReplaceAll(json, source, "/mlxcel"))
}

func TestPlanWithoutACheckout(t *testing.T) {
	out, _ := relmat(t, 0, "--config", rootMatrix, "plan", "--source", t.TempDir(), "--target", "linux-x86_64-*")
	for _, want := range []string{"cd '<source>'", "pin         mlx <source>", "MLX_CUDA_ARCHITECTURES='80;86;89;90a;100;120'"} {
		if !strings.Contains(out, want) {
			t.Errorf("the plan lacks %q:\n%s", want, out)
		}
	}
}

func TestPlanOfPinsThatDisagree(t *testing.T) {
	source := mlxcel(t)
	path := filepath.Join(source, "src", "lib", "mlxcel-core", "build.rs")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, bytes.Replace(text, []byte("0123456789abcdef"), []byte("ffff456789abcdef"), 1), 0o644); err != nil {
		t.Fatal(err)
	}
	_, stderr := relmat(t, 1, "--config", rootMatrix, "plan", "--source", source)
	for _, want := range []string{
		"pin mlx: its places disagree",
		"src/lib/mlx-cpp/CMakeLists.txt:4 says 0123456789abcdef",
		"src/lib/mlxcel-core/build.rs:1 says ffff456789abcdef",
	} {
		if !strings.Contains(stderr, want) {
			t.Errorf("the error lacks %q:\n%s", want, stderr)
		}
	}
}

func TestConfigSaysWhereValuesComeFrom(t *testing.T) {
	out, _ := relmat(t, 0, "--config", rootMatrix, "config", "--target", "linux-aarch64-cuda13-g*")
	golden(t, "config.golden", out)
}

// TestPlanRunsInAShell runs the build of a plan as it is printed: what its
// shell hands to cargo must be what relmat itself would.
func TestPlanRunsInAShell(t *testing.T) {
	source := mlxcel(t)
	bin := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(bin, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write("relmat", "#!/bin/sh\ncase \"$*\" in *--platform*) echo '/target kit';; *) echo '/tool kit';; esac\n")
	write("cargo", "#!/bin/sh\npwd\nfor a; do printf '[%s]\\n' \"$a\"; done\nprintf '%s\\n' \"$CARGO_ENCODED_RUSTFLAGS\" | tr '\\037' '|'\nprintenv CUDA_HOME CUDA_PATH MLX_CUDA_BIN_DIR TARGET CARGO_TARGET_DIR QUOTES PATH RUSTC_WRAPPER || true\n")
	plan := pipeline.TargetPlan{Target: "t", Platform: "windows-x86_64", Toolkit: "cuda13", Dir: source}
	host := pipeline.HostPlan{Platform: "linux-x86_64", Found: []string{"RELMAT_DELAY_LOAD"}}
	for _, v := range [][2]string{
		{"CUDA_HOME", pipeline.FromToolkit},
		{"CUDA_PATH", pipeline.FromToolkit},
		{"MLX_CUDA_BIN_DIR", pipeline.FromToolkit + "/bin/x 64"},
		{"TARGET", pipeline.FromTargetToolkit + "/bin"},
		{"CARGO_TARGET_DIR", "a b/c"},
		{"QUOTES", `it's "5 $HOME`},
		{"CARGO_ENCODED_RUSTFLAGS", "-C\x1flink-arg=-Wl,100%\x1f\\n"},
	} {
		host.Env = append(host.Env, variable(v[0], v[1]))
	}
	// Only a comment: this shell has no sccache.
	plan.CompilerCache = toolchain.CompilerCacheVariables("sccache")
	host.Build = []pipeline.BuildPlan{{Program: "p", Command: []string{"cargo", "rustc", "--", "-C", "link-arg=-Wl,-rpath,$ORIGIN/../lib", "", "it's"}}}
	script := "set -eu\n" + strings.Join(plan.Script(host, "targets.yaml"), "\n")
	if !strings.Contains(script, "\n# where sccache is installed, too:\n# export RUSTC_WRAPPER=sccache\n") {
		t.Errorf("the compiler cache is not told:\n%s", script)
	}
	if !strings.Contains(script, "\n# and, to what relmat finds there: RELMAT_DELAY_LOAD\n") {
		t.Errorf("it is not told what a host adds:\n%s", script)
	}
	got := shellOutput(t, script, bin)
	want := source + `
[rustc]
[--]
[-C]
[link-arg=-Wl,-rpath,$ORIGIN/../lib]
[]
[it's]
-C|link-arg=-Wl,100%|\n
/tool kit
/tool kit
/tool kit/bin/x 64
/target kit/bin
a b/c
it's "5 $HOME
/tool kit/bin:` + bin + ":/usr/bin:/bin\n"
	if got != want {
		t.Errorf("the shell runs\n%s\nwant\n%s\nof\n%s", got, want, script)
	}
}

func variable(name, value string) toolchain.Variable {
	return toolchain.Variable{Name: name, Value: value}
}

// shellOutput runs a script in a POSIX shell that sees bin and the system.
func shellOutput(t *testing.T, script, bin string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", script)
	cmd.Env = []string{"PATH=" + bin + ":/usr/bin:/bin", "HOME=/nowhere"}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, out, script)
	}
	return string(out)
}
