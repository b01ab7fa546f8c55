package build_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/relmat/relmat/internal/build"
	"github.com/relmat/relmat/internal/matrix"
	"github.com/relmat/relmat/internal/proc"
	"github.com/relmat/relmat/internal/progress"
	"github.com/relmat/relmat/internal/toolchain"
)

// The project has no dependencies, so nothing here needs the network. Its
// build script counts its runs outside of all that Cargo may remove.
var projectFiles = map[string]string{
	"Cargo.toml": "[package]\nname = \"tiny\"\nversion = \"0.3.0\"\nedition = \"2021\"\nbuild = \"build.rs\"\n\n[[bin]]\nname = \"tiny-app\"\npath = \"src/main.rs\"\n",
	"Cargo.lock": "version = 4\n\n[[package]]\nname = \"tiny\"\nversion = \"0.3.0\"\n",
	"build.rs": `use std::io::Write;
fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let out = std::path::PathBuf::from(std::env::var("OUT_DIR").unwrap());
    std::fs::create_dir_all(out.join("include")).unwrap();
    std::fs::write(out.join("include/made.h"), "made\n").unwrap();
    let runs = std::env::var("BUILD_SCRIPT_RUNS").unwrap();
    writeln!(std::fs::OpenOptions::new().create(true).append(true).open(runs).unwrap(), "run").unwrap();
}
`,
	"src/main.rs": "fn main() { println!(\"tiny {}\", env!(\"CARGO_PKG_VERSION\")); }\n",
}

type project struct {
	dir, runs, bin string
	host           []string
}

func newProject(t *testing.T) *project {
	t.Helper()
	if matrix.Host().OS != "linux" {
		t.Fatal("the tests of package build look at ELF files; run them on Linux")
	}
	p := &project{dir: t.TempDir(), bin: t.TempDir()}
	p.runs = filepath.Join(t.TempDir(), "runs")
	for name, text := range projectFiles {
		p.write(t, filepath.Join(p.dir, filepath.FromSlash(name)), text, 0o644)
	}
	// What the marker asks of the native tools is their version alone.
	p.tool(t, "cmake", "cmake version 4.0.0")
	p.tool(t, "ninja", "1.12")
	p.tool(t, "c++", "c++ 14.2.0")
	p.host = append(os.Environ(), "PATH="+p.bin+":"+os.Getenv("PATH"), "CARGO_NET_OFFLINE=true")
	return p
}

func (p *project) write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

func (p *project) tool(t *testing.T, name, version string) {
	t.Helper()
	p.write(t, filepath.Join(p.bin, name), "#!/bin/sh\necho '"+version+"'\n", 0o755)
}

func (p *project) options(t *testing.T, runPath, extra string) build.Options {
	t.Helper()
	f, err := matrix.Parse("targets.yaml", []byte(`
version: 1
project: {name: tiny, version-package: tiny}
pins: {dep: {places: [{file: dep.lock, pattern: 'dep (\d+)'}]}}
programs: {app: {package: tiny, bin: tiny-app}}
targets:
  x:
    triple: `+matrix.Host().Arch+`-unknown-linux-gnu
    profile: dev
    env: {BUILD_SCRIPT_RUNS: "`+p.runs+`"}
`+extra+`
packages: {tiny: {asset: "tiny-{{.Target}}", programs: [app]}}
`))
	if err != nil {
		t.Fatal(err)
	}
	row := f.Rows()[0]
	state := filepath.Join(p.dir, "state")
	vars, err := toolchain.Variables(row, row.Fields("0.3.0", "v0.3.0"), toolchain.Toolkits{}, filepath.Join(state, "cargo"))
	if err != nil {
		t.Fatal(err)
	}
	return build.Options{
		Row: row, Source: p.dir, TargetDir: filepath.Join(state, "cargo"), Log: filepath.Join(state, "build.log"),
		Env:      toolchain.BuildEnv(p.host, row, vars),
		Programs: []build.Program{{Name: "app", Package: "tiny", Bin: "tiny-app", RunPath: runPath}},
		Task:     progress.New(nil).Begin("x", "build", ""),
	}
}

func mustBuild(t *testing.T, o build.Options) *build.Result {
	t.Helper()
	res, err := build.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// scriptRuns is how often the build script ran.
func (p *project) scriptRuns(t *testing.T) int {
	t.Helper()
	data, err := os.ReadFile(p.runs)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return bytes.Count(data, []byte("\n"))
}

var dynamicPath = regexp.MustCompile(`\((RPATH|RUNPATH)\)\s+Library (?:rpath|runpath): \[(.*)\]`)

// runPaths reads the run paths of a program with readelf.
func runPaths(t *testing.T, exe string) []string {
	t.Helper()
	out, err := exec.Command("readelf", "-dW", exe).CombinedOutput()
	if err != nil {
		t.Fatalf("readelf: %v\n%s", err, out)
	}
	var paths []string
	for _, m := range dynamicPath.FindAllStringSubmatch(string(out), -1) {
		paths = append(paths, m[1]+"="+m[2])
	}
	return paths
}

func TestRunRealCargo(t *testing.T) {
	p := newProject(t)
	res := mustBuild(t, p.options(t, "$ORIGIN/../lib", ""))
	exe := res.Programs["app"]
	if out, err := exec.Command(exe).Output(); err != nil || string(out) != "tiny 0.3.0\n" {
		t.Fatalf("the program says %q, %v", out, err)
	}
	if got := runPaths(t, exe); !slices.Equal(got, []string{"RPATH=$ORIGIN/../lib"}) {
		t.Errorf("run paths are %q, want one DT_RPATH and no DT_RUNPATH", got)
	}
	if len(res.OutDirs) != 1 {
		t.Errorf("OutDirs = %q, want that of tiny alone", res.OutDirs)
	}
	if data, err := os.ReadFile(filepath.Join(res.OutDirs["tiny"][0], "include", "made.h")); err != nil || string(data) != "made\n" {
		t.Errorf("OUT_DIR of tiny holds %q, %v", data, err)
	}

	// Another layout relinks, and only that.
	again := mustBuild(t, p.options(t, "$ORIGIN/lib", ""))
	if got := runPaths(t, again.Programs["app"]); !slices.Equal(got, []string{"RPATH=$ORIGIN/lib"}) {
		t.Errorf("run paths are %q after the change", got)
	}
	if n := p.scriptRuns(t); n != 1 {
		t.Errorf("the build script ran %d times, want 1", n)
	}
	if !slices.Equal(again.OutDirs["tiny"], res.OutDirs["tiny"]) {
		t.Errorf("OUT_DIR moved from %s to %s", res.OutDirs["tiny"], again.OutDirs["tiny"])
	}
	if got := runPaths(t, mustBuild(t, p.options(t, "", "")).Programs["app"]); got != nil {
		t.Errorf("run paths are %q, want none", got)
	}
}

// TestNativeMarker changes one fact after the other: `cargo clean` must happen
// for each, which the build script's runs tell, and for nothing else.
func TestNativeMarker(t *testing.T) {
	p := newProject(t)
	runs := 0
	step := func(what string, purged bool, o build.Options) {
		t.Helper()
		mustBuild(t, o)
		if purged {
			runs++
		}
		if n := p.scriptRuns(t); n != runs {
			t.Errorf("%s: the build script ran %d times in all, want %d", what, n, runs)
			runs = n
		}
	}
	native := "    native: {crates: [tiny]}\n"
	step("first build", true, p.options(t, "", native))
	step("nothing changed", false, p.options(t, "", native))
	o := p.options(t, "", native)
	o.Toolkit = "digest"
	step("another toolkit", true, o)
	step("the same toolkit", false, o)
	p.tool(t, "c++", "c++ 15.1.0")
	step("another compiler", true, o)
	p.tool(t, "cmake", "cmake version 4.1.0")
	step("another CMake", true, o)

	withPin := func(value string) build.Options {
		o := p.options(t, "", "    native: {crates: [tiny], pins: [dep]}\n")
		o.Toolkit = "digest"
		o.Pins = map[string]string{"dep": value, "other": value}
		return o
	}
	step("a pin more", true, withPin("1"))
	step("another pin", true, withPin("2"))
	step("the same pin", false, withPin("2"))
	o.Pins = map[string]string{"dep": "2"}
	step("a pin less", true, o)
	o.Pins = map[string]string{"dep": "3"}
	step("another value of a pin that the target does not name", false, o)

	// A toolkit that the host has installed: another directory, and an update of
	// the one in place.
	installed := func(name, version string) build.Options {
		o := p.options(t, "", native)
		home := filepath.Join(p.dir, name)
		p.write(t, filepath.Join(home, "version.json"), `{"cuda": {"version": "`+version+`"}}`, 0o644)
		o.Env = append(o.Env, "CUDA_HOME="+home)
		return o
	}
	step("an installed toolkit", true, installed("cuda", "13.0.1"))
	step("the same installed toolkit", false, installed("cuda", "13.0.1"))
	step("its update", true, installed("cuda", "13.0.2"))
	step("another directory", true, installed("cuda2", "13.0.2"))
	moved := installed("cuda3", "13.0.2")
	moved.Toolkit = "digest"
	step("a toolkit of the matrix", true, moved)
	moved.Env = installed("cuda4", "13.0.2").Env
	step("which is told by its digest alone", false, moved)

	// Cargo itself does not see CUDA_ARCHS, since the build script never asks
	// for it.
	step("architectures", true, p.options(t, "", native+"    cuda: {architectures: \"90a\", env: CUDA_ARCHS}\n"))
}

// sink keeps the notes of a build.
type sink struct{ notes []string }

func (s *sink) Event(e progress.Event) {
	if e.Kind == progress.KindNote {
		s.notes = append(s.notes, e.Text)
	}
}

// TestNativeMaxAge ages the marker, which carries the time of the last build
// from nothing.
func TestNativeMaxAge(t *testing.T) {
	p := newProject(t)
	build := func(native string) (runs int, notes []string) {
		t.Helper()
		o := p.options(t, "", "    native: {crates: [tiny]"+native+"}\n")
		notesOf := &sink{}
		o.Task = progress.New(notesOf).Begin("x", "build", "")
		mustBuild(t, o)
		return p.scriptRuns(t), notesOf.notes
	}
	if n, notes := build(""); n != 1 || notes != nil {
		t.Fatalf("the first build runs the script %d times and notes %q", n, notes)
	}
	marker := filepath.Join(p.dir, "state", "cargo", matrix.Host().Arch+"-unknown-linux-gnu", ".relmat-native")
	now := time.Now()
	for _, tt := range []struct {
		name, native string
		age          time.Duration
		runs         int
		note         string
	}{
		{"old, without a limit", "", 9000 * time.Hour, 1, ""},
		{"old, within the limit", ", max-age: 168h", 167 * time.Hour, 1, ""},
		{"over the limit", ", max-age: 168h", 200 * time.Hour, 2, "the native builds of tiny are stale: they are 200h old, native.max-age is 168h"},
		{"from the future, as after a wrong clock", ", max-age: 168h", -48 * time.Hour, 2, ""},
		{"over a short limit", ", max-age: 30m", 40 * time.Minute, 3, "the native builds of tiny are stale: they are 40m old, native.max-age is 30m"},
	} {
		if err := os.Chtimes(marker, now.Add(-tt.age), now.Add(-tt.age)); err != nil {
			t.Fatal(err)
		}
		runs, notes := build(tt.native)
		if runs != tt.runs || strings.Join(notes, "\n") != tt.note {
			t.Errorf("%s: the script ran %d times in all, want %d; the notes are %q, want %q", tt.name, runs, tt.runs, notes, tt.note)
		}
	}
	// What was built anew is young again.
	if n, _ := build(", max-age: 30m"); n != 3 {
		t.Errorf("the build after that ran the script again: %d times in all", n)
	}
}

// A clean that fails leaves no marker, so the next run tries it again.
func TestMarkerIsGoneWhileItMayBeWrong(t *testing.T) {
	p := newProject(t)
	native := "    native: {crates: [tiny]}\n"
	o := p.options(t, "", native)
	mustBuild(t, o)
	markers, err := filepath.Glob(filepath.Join(o.TargetDir, "*", ".relmat-native"))
	if err != nil || len(markers) != 1 {
		t.Fatalf("markers: %q, %v", markers, err)
	}
	wrong := p.options(t, "", "    native: {crates: [no-such-crate]}\n")
	if _, err := build.Run(t.Context(), wrong); err == nil || !strings.Contains(err.Error(), "no-such-crate") {
		t.Fatalf("cleaning a crate that does not exist gives %v", err)
	}
	if _, err := os.Stat(markers[0]); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the marker is still there after a failed clean: %v", err)
	}
	mustBuild(t, o)
	if n := p.scriptRuns(t); n != 2 {
		t.Errorf("the build script ran %d times, want 2", n)
	}
}

func TestRunFails(t *testing.T) {
	t.Run("compiler error", func(t *testing.T) {
		p := newProject(t)
		p.write(t, filepath.Join(p.dir, "src", "main.rs"), "fn main() { let x: u8 = \"text\"; }\n", 0o644)
		o := p.options(t, "", "")
		p.write(t, o.Log, "of an earlier run\n", 0o644)
		_, err := build.Run(t.Context(), o)
		var perr *proc.Error
		if !errors.As(err, &perr) || !strings.Contains(err.Error(), "mismatched types") || perr.Log != o.Log {
			t.Fatalf("the error is %v", err)
		}
		log, err := os.ReadFile(o.Log)
		if err != nil || !strings.Contains(string(log), "mismatched types") || strings.Contains(string(log), "of an earlier run") {
			t.Errorf("the log holds %s, %v", log, err)
		}
	})
	t.Run("secrets stay out of the log", func(t *testing.T) {
		p := newProject(t)
		p.write(t, filepath.Join(p.dir, "src", "main.rs"), "compile_error!(\"hunter2-hunter2\");\nfn main() {}\n", 0o644)
		o := p.options(t, "", "")
		o.Secrets = []string{"hunter2-hunter2"}
		_, err := build.Run(t.Context(), o)
		log, lerr := os.ReadFile(o.Log)
		if err == nil || lerr != nil {
			t.Fatal(err, lerr)
		}
		if strings.Contains(err.Error()+string(log), "hunter2-hunter2") || !strings.Contains(string(log), "***") {
			t.Errorf("the secret is shown in %v or in the log", err)
		}
	})
	t.Run("lock file is not up to date", func(t *testing.T) {
		p := newProject(t)
		p.write(t, filepath.Join(p.dir, "Cargo.lock"), "version = 4\n", 0o644)
		if _, err := build.Run(t.Context(), p.options(t, "", "")); err == nil || !strings.Contains(err.Error(), "--locked") {
			t.Errorf("a lock file that must change gives %v", err)
		}
	})
	t.Run("tools are missing", func(t *testing.T) {
		p := newProject(t)
		o := p.options(t, "", "")
		o.Env = append(o.Env, "PATH="+t.TempDir())
		if _, err := build.Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "cargo (rustup.rs)") {
			t.Errorf("a host without cargo gives %v", err)
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		p := newProject(t)
		ctx, cancel := context.WithCancelCause(t.Context())
		why := errors.New("the user said so")
		cancel(why)
		if _, err := build.Run(ctx, p.options(t, "", "")); !errors.Is(err, why) {
			t.Errorf("a cancelled build gives %v", err)
		}
	})
}

func TestReadWorkspace(t *testing.T) {
	p := newProject(t)
	w, err := build.ReadWorkspace(t.Context(), p.dir, p.host)
	if err != nil {
		t.Fatal(err)
	}
	pkg, err := w.Package("tiny")
	if err != nil || pkg.Version != "0.3.0" || !pkg.HasBin("tiny-app") || pkg.HasBin("tiny") {
		t.Errorf("package tiny is %+v, %v", pkg, err)
	}
	empty := t.TempDir()
	if _, err := build.ReadWorkspace(t.Context(), empty, p.host); err == nil || !strings.Contains(err.Error(), empty) || !strings.Contains(err.Error(), "Cargo.toml") {
		t.Errorf("a directory without Cargo.toml gives %v", err)
	}
}

// A cargo that says something else than documented must not pass for one that
// built the program.
func TestRunJudgesWhatCargoSays(t *testing.T) {
	p := newProject(t)
	o := p.options(t, "", "")
	for _, tt := range []struct{ name, says, want string }{
		{"nothing", "", "named no executable tiny-app of package tiny"},
		{"another package", `{"reason":"compiler-artifact","package_id":"path+file:///x/other#0.1.0","target":{"name":"tiny-app","kind":["bin"]},"executable":"/x"}`, "named no executable"},
		{"a test of that name", `{"reason":"compiler-artifact","package_id":"path+file:///x/tiny#0.1.0","target":{"name":"tiny-app","kind":["test"]},"executable":"/x"}`, "named no executable"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p.write(t, filepath.Join(p.bin, "cargo"), "#!/bin/sh\ncat <<'END'\n"+tt.says+"\nEND\n", 0o755)
			if _, err := build.Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("the error is %v, want %q", err, tt.want)
			}
		})
	}
	t.Run("two versions of a crate", func(t *testing.T) {
		below := o.TargetDir + "/" + o.Row.Triple + "/release/build/dep-"
		p.write(t, filepath.Join(p.bin, "cargo"), "#!/bin/sh\ncat <<'END'\n"+
			`{"reason":"build-script-executed","package_id":"registry+https://x/index#dep@0.2.1","out_dir":"`+below+`1/out"}`+"\n"+
			`{"reason":"build-script-executed","package_id":"registry+https://x/index#dep@0.3.0","out_dir":"`+below+`2/out"}`+"\n"+
			`{"reason":"build-script-executed","package_id":"registry+https://x/index#dep@0.3.0","out_dir":"`+below+`2/out"}`+"\n"+
			`{"reason":"compiler-artifact","package_id":"path+file:///x/tiny#0.1.0","target":{"name":"tiny-app","kind":["bin"]},"executable":"/made"}`+"\nEND\n", 0o755)
		res, err := build.Run(t.Context(), o)
		if err != nil || !slices.Equal(res.OutDirs["dep"], []string{below + "1/out", below + "2/out"}) {
			t.Errorf("the result is %+v, %v", res, err)
		}
	})
	t.Run("a crate built for the host", func(t *testing.T) {
		p.write(t, filepath.Join(p.bin, "cargo"), "#!/bin/sh\ncat <<'END'\n"+
			`{"reason":"build-script-executed","package_id":"path+file:///x/tiny#0.1.0","out_dir":"`+o.TargetDir+`/debug/build/tiny-1/out"}`+"\n"+
			`{"reason":"compiler-artifact","package_id":"path+file:///x/tiny#0.1.0","target":{"name":"tiny-app","kind":["bin"]},"executable":"/made"}`+"\nEND\n", 0o755)
		res, err := build.Run(t.Context(), o)
		if err != nil || res.Programs["app"] != "/made" || len(res.OutDirs) != 0 {
			t.Errorf("the result is %+v, %v", res, err)
		}
	})
}
