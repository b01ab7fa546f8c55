package incidents

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/relmat/relmat/internal/build"
	"github.com/relmat/relmat/internal/bundle"
	"github.com/relmat/relmat/internal/fsx"
	"github.com/relmat/relmat/internal/matrix"
	"github.com/relmat/relmat/internal/progress"
	"github.com/relmat/relmat/internal/toolchain"
)

// cargoProject writes a project whose build script makes a header that says the
// version, in its OUT_DIR.
func cargoProject(t *testing.T, dir, version string) {
	t.Helper()
	for name, text := range map[string]string{
		"Cargo.toml":  "[package]\nname = \"app\"\nversion = \"" + version + "\"\nedition = \"2021\"\nbuild = \"build.rs\"\n",
		"Cargo.lock":  "version = 4\n\n[[package]]\nname = \"app\"\nversion = \"" + version + "\"\n",
		"LICENSE":     "The app is in the public domain.\n",
		"src/main.rs": "fn main() { println!(\"app {}\", env!(\"CARGO_PKG_VERSION\")); }\n",
		"build.rs": `fn main() {
    let out = std::path::PathBuf::from(std::env::var("OUT_DIR").unwrap());
    std::fs::create_dir_all(out.join("include")).unwrap();
    std::fs::write(out.join("include/kernel.h"), std::env::var("CARGO_PKG_VERSION").unwrap()).unwrap();
}
`,
	} {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// staleArtifacts builds two versions into one persistent directory. What the
// first left there is newer by its time, as after a restored cache, and a search
// finds it; the package has the second's.
func staleArtifacts(t *testing.T) {
	dir := t.TempDir()
	f, err := matrix.Parse("targets.yaml", []byte(`
version: 1
project: {name: app, version-package: app}
programs: {app: {package: app}}
targets: {here: {triple: x86_64-unknown-linux-gnu, profile: dev}}
packages: {app: {asset: "app-{{.Target}}", programs: [app], files: [{out-dir: include, crate: app, to: include}, {source: LICENSE, to: LICENSE}]}}
`))
	if err != nil {
		t.Fatal(err)
	}
	row := f.Rows()[0]
	source, state := filepath.Join(dir, "source"), filepath.Join(dir, "state")
	target := filepath.Join(state, "cargo")
	vars, err := toolchain.Variables(row, row.Fields("1.0.0", "v1.0.0"), toolchain.Toolkits{}, target)
	if err != nil {
		t.Fatal(err)
	}
	made := func(version string) *build.Result {
		cargoProject(t, source, version)
		res, err := build.Run(t.Context(), build.Options{
			Row: row, Source: source, TargetDir: target, Log: filepath.Join(state, "build.log"),
			Env:      toolchain.BuildEnv(append(os.Environ(), "CARGO_NET_OFFLINE=true"), row, vars),
			Programs: []build.Program{{Name: "app", Package: "app", Bin: "app"}},
			Task:     progress.New(nil).Begin("here", "build", ""),
		})
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	old := made("0.9.0")
	later := time.Now().Add(time.Hour)
	stale := filepath.Join(old.OutDirs["app"][0], "include", "kernel.h")
	if err := os.Chtimes(stale, later, later); err != nil {
		t.Fatal(err)
	}
	res := made("1.0.0")

	// The trap: both are there, and the newest is the old one.
	found, err := filepath.Glob(filepath.Join(target, "*", "*", "build", "app-*", "out", "include", "kernel.h"))
	if err != nil || len(found) != 2 {
		t.Fatalf("a search finds %q, %v; want the files of both builds", found, err)
	}
	if data, err := os.ReadFile(stale); err != nil || string(data) != "0.9.0" {
		t.Fatalf("the newest file says %q, %v", data, err)
	}

	digests := fsx.OpenDigests(filepath.Join(state, "digests.json"))
	o := bundle.Options{
		Row: row, Name: "app", Package: f.Packages.Values["app"], Project: "app", Release: "1.0.0",
		Programs: res.Programs, Source: source, Digests: digests,
	}
	// What the search found is refused: nothing says which of them is meant.
	o.OutDirs = map[string][]string{"app": {old.OutDirs["app"][0], res.OutDirs["app"][0]}}
	if _, err := bundle.New(t.Context(), o); err == nil || !strings.Contains(err.Error(), "ambiguous") {
		t.Errorf("a package of both builds' files: %v", err)
	}
	o.OutDirs = res.OutDirs
	plan, err := bundle.New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	tree := filepath.Join(dir, "tree")
	if err := os.Mkdir(tree, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := plan.Write(t.Context(), tree, digests, &bytes.Buffer{}); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(filepath.Join(tree, "include", "kernel.h")); err != nil || string(data) != "1.0.0" {
		t.Errorf("the package's header says %q, %v", data, err)
	}
	if out, err := exec.Command(filepath.Join(tree, "bin", "app")).Output(); err != nil || string(out) != "app 1.0.0\n" {
		t.Errorf("the package's program says %q, %v", out, err)
	}
}
