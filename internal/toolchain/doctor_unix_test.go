//go:build unix

package toolchain_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/relmat/relmat/internal/matrix"
	"github.com/relmat/relmat/internal/toolchain"
)

// linux is a host, and the platform of most rows.
var linux = matrix.Platform{OS: "linux", Arch: "x86_64"}

// fakes puts shell scripts into a directory that is the whole PATH of the
// environment.
func fakes(t *testing.T, scripts map[string]string, more ...string) (env []string, bin string) {
	t.Helper()
	bin = t.TempDir()
	for name, script := range scripts {
		fake(t, filepath.Join(bin, name), script)
	}
	return append([]string{"PATH=" + bin, "HOME=" + bin}, more...), bin
}

func fake(t *testing.T, path, script string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	// A child that is forked meanwhile would hold the script open for writing,
	// and nobody could run it ("text file busy").
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
}

// say is a script that prints a line.
func say(line string) string { return "echo '" + line + "'" }

// host is a whole one: every tool is there and new enough.
func host(t *testing.T) map[string]string {
	t.Helper()
	sysroot := t.TempDir()
	if err := os.MkdirAll(filepath.Join(sysroot, "lib", "rustlib", "x86_64-unknown-linux-gnu", "lib"), 0o755); err != nil {
		t.Fatal(err)
	}
	return map[string]string{
		"cargo": `case $1 in metadata) echo '{"packages": [{"name": "p", "version": "1.2.3", "rust_version": "1.88"}, {"name": "q", "version": "0.1.0"}]}';;
			*) echo 'cargo 1.95.0 (f2d3ce0bd 2026-03-21)';; esac`,
		"rustc":   `case $1 in --print) echo '` + sysroot + `';; *) echo 'rustc 1.95.0 (59807616e 2026-04-14)';; esac`,
		"rustup":  say("1.88.0-x86_64-unknown-linux-gnu (default)"),
		"cmake":   say("cmake version 3.25.1"),
		"ninja":   say("1.11.1"),
		"c++":     say("c++ (Debian 12.2.0-14) 12.2.0"),
		"cc":      say("cc (Debian 12.2.0-14) 12.2.0"),
		"gcc":     say("gcc (Debian 12.2.0-14) 12.2.0"),
		"git":     say("git version 2.39.5"),
		"python3": say("pip 23.2.1 from /usr/lib/python3 (python 3.11)"),
		"sccache": say("sccache 0.8.2"),
		"apt-get": "exit 1",
	}
}

func nativeRow() matrix.Row {
	var r matrix.Row
	r.Name, r.Platform, r.Triple, r.Toolkit = "x", linux, "x86_64-unknown-linux-gnu", "cuda"
	r.Native.Crates = []string{"q"}
	r.CompilerCache = "sccache"
	r.CUDA.Architectures = "80"
	return r
}

func named(t *testing.T, checks []toolchain.Check, name string) toolchain.Check {
	t.Helper()
	i := slices.IndexFunc(checks, func(c toolchain.Check) bool { return c.Name == name })
	if i < 0 {
		t.Fatalf("no check %q among %+v", name, checks)
	}
	return checks[i]
}

func TestDoctorOnWholeHost(t *testing.T) {
	env, bin := fakes(t, host(t))
	d := &toolchain.Doctor{Host: linux, Dir: t.TempDir()}
	row := nativeRow()
	checks := d.Check(t.Context(), toolchain.Build{Row: row, Env: env, Packages: []string{"p", "q"}})
	var got strings.Builder
	for _, c := range checks {
		fmt.Fprintf(&got, "%s|%s|%s|%s|%s|%s|%s|%v\n", c.Name, c.State, c.Found, c.Needed, c.By, c.Get, c.Detail, c.Blocks)
	}
	want := `cargo|ok|1.95.0|1.88 or newer|rust-version|||false
rustc|ok|1.95.0|1.88 or newer|rust-version|||false
rust target|ok|installed|x86_64-unknown-linux-gnu||||false
source|ok|p 1.2.3|||||false
cmake|ok|3.25.1|3.24 or newer|CUDA_ARCHITECTURES|||false
ninja|ok|1.11.1|any||||false
C++ compiler|ok|12.2.0|any||||false
git|ok|2.39.5|any||||false
sccache|ok|0.8.2|any||||false
`
	if got.String() != want {
		t.Errorf("the checks are\n%s\nwant\n%s", got.String(), want)
	}
	// What the build would refuse to start without is among them.
	for _, tool := range toolchain.Tools(row, env) {
		if !slices.ContainsFunc(checks, func(c toolchain.Check) bool { return c.Path == filepath.Join(bin, tool.Name) }) {
			t.Errorf("%s is not looked at", tool.Name)
		}
	}
}

// TestDoctorOutcomes spoils one tool of a whole host.
func TestDoctorOutcomes(t *testing.T) {
	tests := []struct {
		name, tool, check, script string // no script: the tool is away
		state                     toolchain.State
		found, get, detail        string
		blocks                    bool
	}{
		{"found", "cmake", "cmake", say("cmake version 3.24.0-rc1"), toolchain.StateOK, "3.24.0", "", "", false},
		{"too old", "cmake", "cmake", say("cmake version 3.22.1"), toolchain.StateTooOld, "3.22.1", "https://apt.kitware.com", "", true},
		{"absent", "cmake", "cmake", "", toolchain.StateMissing, "", "apt install cmake", "", true},
		{"failing", "cmake", "cmake", "echo no such library >&2; exit 3", toolchain.StateFailed, "", "apt install cmake", "exit status 3: no such library", true},
		{"garbage", "cmake", "cmake", say("who knows?"), toolchain.StateUnknown, "", "", `states no version, it says "who knows?"`, false},
		{"nothing said", "cmake", "cmake", "exit 0", toolchain.StateUnknown, "", "", `it says ""`, false},
		{"much garbage", "cmake", "cmake", `printf '%0100d\n' 0`, toolchain.StateUnknown, "", "", strings.Repeat("0", 60) + "…", false},
		{"hanging", "cmake", "cmake", "exec /bin/sleep 60", toolchain.StateTimedOut, "", "apt install cmake", "gave no answer in", true},
		{"no compiler", "c++", "C++ compiler", "", toolchain.StateMissing, "", "apt install g++", "there is no c++", true},
		{"no cargo", "cargo", "cargo", "", toolchain.StateMissing, "", "https://rustup.rs", "", true},
		{"no cargo, no workspace", "cargo", "source", "", toolchain.StateUnknown, "", "", "only cargo can read it", false},
		{"old rustc", "rustc", "rustc", say("rustc 1.70.0 (90c541806 2023-05-31)"), toolchain.StateTooOld, "1.70.0", "rustup update", "", true},
		{"no rustc, no target", "rustc", "rust target", "", toolchain.StateUnknown, "", "", "only rustc can tell", false},
		{"other sysroot", "rustc", "rust target", say("/nowhere"), toolchain.StateMissing, "", "rustup target add x86_64-unknown-linux-gnu", "", true},
		{"damaged manifest", "cargo", "source", `case $1 in metadata) echo 'error: bad manifest' >&2; exit 101;; *) echo cargo 1.95.0;; esac`, toolchain.StateFailed, "", "--source DIR names a Cargo workspace", "bad manifest", true},
		{"metadata of no kind", "cargo", "source", say("cargo 1.95.0"), toolchain.StateFailed, "", "--source DIR names a Cargo workspace", "cargo metadata in", true},
		{"another workspace", "cargo", "source", `case $1 in metadata) echo '{"packages": []}';; *) echo cargo 1.95.0;; esac`, toolchain.StateFailed, "", "--source DIR names a Cargo workspace", `has no package "p"`, true},
		{"no git", "git", "git", "", toolchain.StateMissing, "", "apt install git", "a release asks it", false},
		{"no sccache", "sccache", "sccache", "", toolchain.StateMissing, "", "apt install sccache", "the build goes without it", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			scripts := host(t)
			delete(scripts, tt.tool)
			if tt.script != "" {
				scripts[tt.tool] = tt.script
			}
			env, _ := fakes(t, scripts)
			d := &toolchain.Doctor{Host: linux, Dir: t.TempDir()}
			if tt.state == toolchain.StateTimedOut {
				d.Timeout = 300 * time.Millisecond
			}
			c := named(t, d.Check(t.Context(), toolchain.Build{Row: nativeRow(), Env: env, Packages: []string{"p"}}), tt.check)
			if c.State != tt.state || c.Found != tt.found || c.Get != tt.get || c.Blocks != tt.blocks || !strings.Contains(c.Detail, tt.detail) || (tt.detail == "" && c.Detail != "") {
				t.Errorf("the check is %+v", c)
			}
		})
	}
}

func TestDoctorAsksOnce(t *testing.T) {
	scripts := host(t)
	log := filepath.Join(t.TempDir(), "log")
	scripts["ninja"] = `echo "asked in $PWD, RUSTUP_AUTO_INSTALL=$RUSTUP_AUTO_INSTALL" >> '` + log + `'; echo 1.11.1`
	env, _ := fakes(t, scripts)
	d := &toolchain.Doctor{Host: linux, Dir: t.TempDir()}
	for range 3 {
		d.Check(t.Context(), toolchain.Build{Row: nativeRow(), Env: env, Packages: []string{"p"}})
	}
	data, err := os.ReadFile(log)
	if want := "asked in " + d.Dir + ", RUSTUP_AUTO_INSTALL=0\n"; err != nil || string(data) != want {
		t.Errorf("%q, %v, want %q", data, err, want)
	}
}

func TestDoctorHowToGet(t *testing.T) {
	mac, windows := matrix.Platform{OS: "macos", Arch: "aarch64"}, matrix.Platform{OS: "windows", Arch: "x86_64"}
	tests := []struct {
		name     string
		host     matrix.Platform
		managers []string
		cmake    string
		compiler string
	}{
		{"Debian", linux, []string{"apt-get"}, "apt install cmake", "apt install g++"},
		{"Fedora", linux, []string{"dnf"}, "dnf install cmake", "dnf install gcc-c++"},
		{"another Linux", linux, nil, "https://cmake.org/download", "a C++ compiler of the system's packages, or CXX"},
		{"brew on Linux does not count", linux, []string{"brew"}, "https://cmake.org/download", "a C++ compiler of the system's packages, or CXX"},
		{"macOS with brew", mac, []string{"brew"}, "brew install cmake", "xcode-select --install"},
		{"macOS", mac, nil, "https://cmake.org/download", "xcode-select --install"},
		{"Windows", windows, []string{"winget"}, "winget install Kitware.CMake, or component Microsoft.VisualStudio.Component.VC.CMake.Project", "a C++ compiler of the system's packages, or CXX"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			scripts := map[string]string{}
			for _, m := range tt.managers {
				scripts[m] = "exit 1"
			}
			env, _ := fakes(t, scripts)
			d := &toolchain.Doctor{Host: tt.host, Dir: t.TempDir()}
			checks := d.Check(t.Context(), toolchain.Build{Row: nativeRow(), Env: env})
			if got := named(t, checks, "cmake").Get; got != tt.cmake {
				t.Errorf("cmake by %q, want %q", got, tt.cmake)
			}
			if got := named(t, checks, "C++ compiler").Get; got != tt.compiler {
				t.Errorf("the compiler by %q, want %q", got, tt.compiler)
			}
		})
	}
}

func TestDoctorRustToolchain(t *testing.T) {
	tests := []struct {
		name, file, text string
		env              []string
		rustup           string // what `rustup toolchain list` says; empty for no rustup
		check            string
		state            toolchain.State
		needed, by       string
		blocks           bool
	}{
		{"installed", "rust-toolchain.toml", "[toolchain]\nchannel = \"1.88.0\"\n", nil, "1.88.0-x86_64-unknown-linux-gnu", "cargo", toolchain.StateOK, "1.88.0 or newer", "rust-toolchain.toml", false},
		{"by name", "rust-toolchain.toml", "[toolchain]\nchannel = 'stable'\n", nil, "stable-x86_64-unknown-linux-gnu (default)", "cargo", toolchain.StateOK, "any", "", false},
		{"without channel", "rust-toolchain.toml", "[toolchain]\ncomponents = []\n", nil, "none", "cargo", toolchain.StateOK, "any", "", false},
		{"old file", "rust-toolchain", "1.96\n", nil, "1.96-x86_64-unknown-linux-gnu", "cargo", toolchain.StateTooOld, "1.96 or newer", "rust-toolchain", true},
		{"not installed", "rust-toolchain.toml", "[toolchain]\nchannel = \"1.88\"\n", nil, "1.88.0-x86_64-unknown-linux-gnu", "rust toolchain", toolchain.StateMissing, "1.88", "rust-toolchain.toml", false},
		{"and not by itself", "rust-toolchain.toml", "[toolchain]\nchannel = \"1.88\"\n", []string{"RUSTUP_AUTO_INSTALL=0"}, "stable", "rust toolchain", toolchain.StateMissing, "1.88", "rust-toolchain.toml", true},
		{"outweighed", "rust-toolchain.toml", "[toolchain]\nchannel = \"1.88\"\n", []string{"RUSTUP_TOOLCHAIN=stable"}, "stable", "cargo", toolchain.StateOK, "any", "", false},
		{"no rustup", "rust-toolchain.toml", "[toolchain]\nchannel = \"1.88\"\n", nil, "", "cargo", toolchain.StateOK, "1.88 or newer", "rust-toolchain.toml", false},
		{"a build of a day", "rust-toolchain.toml", "[toolchain]\nchannel = \"nightly-2026-01-01\"\n", nil, "nightly-2026-01-01-x86_64-unknown-linux-gnu", "cargo", toolchain.StateOK, "any", "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			scripts := host(t)
			scripts["cargo"] = `case $1 in metadata) echo '{"packages": [{"name": "p", "version": "1"}]}';; *) echo cargo 1.95.0;; esac`
			delete(scripts, "rustup")
			if tt.rustup != "" {
				scripts["rustup"] = say(tt.rustup)
			}
			env, _ := fakes(t, scripts, tt.env...)
			root := t.TempDir()
			if err := os.WriteFile(filepath.Join(root, tt.file), []byte(tt.text), 0o644); err != nil {
				t.Fatal(err)
			}
			dir := filepath.Join(root, "sub") // rustup looks in the directories above, too
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			d := &toolchain.Doctor{Host: linux, Dir: dir}
			c := named(t, d.Check(t.Context(), toolchain.Build{Row: nativeRow(), Env: env, Packages: []string{"p"}}), tt.check)
			if c.State != tt.state || c.Needed != tt.needed || c.By != tt.by || c.Blocks != tt.blocks {
				t.Errorf("the check is %+v", c)
			}
		})
	}
}

// TestDoctorLinker: without native builds only rustc needs a linker, which may
// be another than cc.
func TestDoctorLinker(t *testing.T) {
	tests := []struct {
		name   string
		spoil  func(t *testing.T, b *toolchain.Build, dir string)
		blocks bool
	}{
		{"none", func(*testing.T, *toolchain.Build, string) {}, true},
		{"by flags", func(_ *testing.T, b *toolchain.Build, _ string) { b.Row.Rustflags = []string{"-Clinker=lld"} }, false},
		{"by variable", func(_ *testing.T, b *toolchain.Build, _ string) {
			b.Env = append(b.Env, "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER=clang")
		}, false},
		{"by file", func(t *testing.T, _ *toolchain.Build, dir string) {
			fake(t, filepath.Join(dir, ".cargo", "config.toml"), "[target.x]\nlinker = 'clang'")
		}, false},
		{"by another file", func(t *testing.T, _ *toolchain.Build, dir string) {
			fake(t, filepath.Join(dir, ".cargo", "config.toml"), "[net]\noffline = true")
		}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			scripts := host(t)
			delete(scripts, "cc")
			env, _ := fakes(t, scripts)
			d := &toolchain.Doctor{Host: linux, Dir: t.TempDir()}
			b := toolchain.Build{Row: nativeRow(), Env: env, Packages: []string{"p"}}
			b.Row.Native.Crates = nil
			tt.spoil(t, &b, d.Dir)
			checks := d.Check(t.Context(), b)
			if c := named(t, checks, "linker"); c.State != toolchain.StateMissing || c.Blocks != tt.blocks {
				t.Errorf("the check is %+v", c)
			}
			if slices.ContainsFunc(checks, func(c toolchain.Check) bool { return c.Name == "cmake" }) {
				t.Error("cmake is asked for without a native build")
			}
		})
	}
}

func TestDoctorPip(t *testing.T) {
	const none = "echo 'No module named pip' >&2; exit 1"
	tests := []struct {
		name    string
		scripts map[string]string
		python  string
		cached  bool
		state   toolchain.State
		found   string
		blocks  bool
	}{
		{"python3", map[string]string{"python3": say("pip 24.0 from x (python 3.12)")}, "", false, toolchain.StateOK, "24.0", false},
		{"python", map[string]string{"python3": none, "python": say("pip 24.0 from x (python 3.12)")}, "", false, toolchain.StateOK, "24.0", false},
		{"named", map[string]string{"python3": none, "mine": say("pip 25.1 from x")}, "mine", false, toolchain.StateOK, "25.1", false},
		{"old", map[string]string{"python3": say("pip 20.0.2 from x (python 3.8)")}, "", false, toolchain.StateTooOld, "20.0.2", false},
		{"without pip", map[string]string{"python3": none}, "", false, toolchain.StateFailed, "", true},
		{"none", nil, "", false, toolchain.StateMissing, "", true},
		{"none, and none is needed", nil, "", true, toolchain.StateMissing, "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			env, _ := fakes(t, tt.scripts)
			d := &toolchain.Doctor{Host: linux, Dir: t.TempDir()}
			c := d.Pip(t.Context(), env, tt.python, tt.cached)
			if c.State != tt.state || c.Found != tt.found || c.Blocks != tt.blocks {
				t.Errorf("the check is %+v", c)
			}
		})
	}
}
