package pipeline

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/relmat/relmat/internal/manifest"
	"github.com/relmat/relmat/internal/matrix"
	"github.com/relmat/relmat/internal/toolchain"
	"github.com/relmat/relmat/internal/toolkit"
)

const everywhere = `
version: 1
project: {name: p, version-package: p}
programs: {a: {package: p}}
toolkits: {cuda: {lock: cuda.lock.json, requirements: ["cuda-toolkit[nvcc]==13.0.2"]}}
pins:
  lib: {places: [{file: versions.txt, pattern: 'lib ([0-9a-f]+)'}]}
targets:
  linux: {triple: x86_64-unknown-linux-gnu, toolkit: cuda}
  arm: {triple: aarch64-unknown-linux-gnu}
  special: {triple: aarch64-unknown-linux-gnu, on-request: true}
  mac: {triple: aarch64-apple-darwin}
  win:
    triple: x86_64-pc-windows-msvc
    hosts: {linux-x86_64: {triple: x86_64-pc-windows-gnu}, windows-x86_64: {}}
packages: {p: {asset: "p-{{.Target}}", programs: [a]}}
smoke:
  steps:
    run: {program: a}
    gpu: {program: a, device: cuda, targets: [linux]}
`

func TestAnywhere(t *testing.T) {
	s, _ := open(t, everywhere)
	host := matrix.Platform{OS: "linux", Arch: "x86_64"}
	tests := []struct {
		patterns []string
		want     string // names, or a part of the error
	}{
		{nil, "linux arm mac win"},
		{[]string{"mac"}, "mac"},
		{[]string{"*a*"}, "arm mac"},
		{[]string{"special"}, "special"},
		{[]string{"special", "linux"}, "linux special"},
		{[]string{"spec*"}, "on request only"},
		{[]string{"mak"}, `did you mean "mac"?`},
		{[]string{"mac", "nothing"}, `"nothing" matches no target`},
		{[]string{"["}, "syntax error in pattern"},
	}
	for _, tt := range tests {
		rows, err := s.anywhere(tt.patterns, host)
		var names []string
		for _, r := range rows {
			names = append(names, r.Name)
		}
		got := strings.Join(names, " ")
		if err != nil {
			got = err.Error()
		}
		if got != tt.want && (err == nil || !strings.Contains(got, tt.want)) {
			t.Errorf("%q: %s, want %s", tt.patterns, got, tt.want)
		}
	}
}

func TestDoctorElsewhere(t *testing.T) {
	host := matrix.Host()
	other := matrix.Platform{OS: "windows", Arch: "aarch64"}
	s, _ := open(t, strings.Replace(everywhere, "linux-x86_64: {triple: x86_64-pc-windows-gnu}, windows-x86_64: {}", other.String()+": {}", 1))
	d, err := s.Doctor(t.Context(), []string{"win"})
	if err != nil {
		t.Fatal(err)
	}
	if d.Host != host.String() || len(d.Targets) != 1 {
		t.Fatalf("%+v", d)
	}
	if got := d.Targets[0]; !got.Elsewhere() || got.Buildable || len(got.Checks) > 0 || !slices.Equal(got.NeedsHosts, []string{other.String()}) {
		t.Errorf("%+v", got)
	}
}

func TestDoctorPins(t *testing.T) {
	s, _ := open(t, everywhere)
	if c, ok := s.checkPins(); !ok || c.State != toolchain.StateFailed || !c.Blocks || !strings.Contains(c.Detail, "versions.txt") {
		t.Errorf("without its file: %+v", c)
	}
	write(t, filepath.Join(s.Source, "versions.txt"), "lib 0123456789abcdef\n")
	if c, ok := s.checkPins(); !ok || c.State != toolchain.StateOK || c.Found != "lib 0123456789ab" {
		t.Errorf("%+v", c)
	}
	s, _ = open(t, minimal)
	if c, ok := s.checkPins(); ok {
		t.Errorf("a matrix without pins: %+v", c)
	}
}

func TestDoctorToolkit(t *testing.T) {
	s, _ := open(t, everywhere)
	linux := row(t, s, "linux")
	if tk := s.findToolkit(row(t, s, "arm"), matrix.Host()); tk.checks != nil || tk.home() != "" || tk.hostConfig() != "" {
		t.Errorf("a target without toolkit: %+v", tk)
	}
	tk := s.findToolkit(linux, linux.Platform)
	if len(tk.checks) != 1 || tk.checks[0].State != toolchain.StateMissing || !tk.checks[0].Blocks || tk.checks[0].Get != "relmat toolkit lock cuda" {
		t.Errorf("without a lock file: %+v", tk.checks)
	}
	wheel := toolkit.Wheel{Name: "w", Version: "1", File: "w-1-py3-none-any.whl", SHA256: strings.Repeat("0", 64), Size: 10, Unpacked: 100}
	lock := toolkit.Lock{Schema: toolkit.LockSchema, Requirements: []string{"other"}, Platforms: map[string][]toolkit.Wheel{"linux-x86_64": {wheel}}}
	if err := lock.Write(s.lockPath("cuda")); err != nil {
		t.Fatal(err)
	}
	tk = s.findToolkit(linux, linux.Platform)
	if len(tk.checks) != 1 || tk.checks[0].State != toolchain.StateFailed || !tk.checks[0].Blocks || !strings.Contains(tk.checks[0].Detail, "other requirements") {
		t.Errorf("with an old lock file: %+v", tk.checks)
	}
	lock.Requirements = s.File.Toolkits.Values["cuda"].Requirements
	if err := lock.Write(s.lockPath("cuda")); err != nil {
		t.Fatal(err)
	}
	tk = s.findToolkit(linux, linux.Platform)
	if len(tk.checks) != 2 || tk.checks[0].State != toolchain.StateOK || tk.checks[0].Found != "1 wheels" {
		t.Fatalf("%+v", tk.checks)
	}
	if c := tk.checks[1]; c.State != toolchain.StateNote || c.Blocks || c.Needed != "CUDA 13.0" || c.Get != "relmat toolkit fetch cuda" {
		t.Errorf("%+v", c)
	}
	if tk.unpacked != 100 || tk.fetch < 110 || tk.cached != nil {
		t.Errorf("%+v", tk)
	}
	// What was laid out once, and is damaged.
	dir := filepath.Join(s.Cache, "toolkits", "cuda-linux-x86_64-"+toolkit.Digest(lock.Platforms["linux-x86_64"])[:16])
	write(t, filepath.Join(dir, "toolkit.json"), "{")
	if tk = s.findToolkit(linux, linux.Platform); tk.cached != nil || !strings.Contains(tk.checks[1].Detail, "damaged") {
		t.Errorf("%+v", tk)
	}
	write(t, filepath.Join(dir, "toolkit.json"), `{"layout": 2, "files": {}}`)
	tk = s.findToolkit(linux, linux.Platform)
	if tk.cached == nil || tk.fetch != 0 || tk.checks[1].State != toolchain.StateOK || tk.home() != filepath.Join(dir, "nvidia") {
		t.Fatalf("%+v", tk)
	}
	for _, below := range []string{"", "cuda_nvcc"} { // of CUDA 12
		header := filepath.Join(dir, "nvidia", below, "include", "crt", "host_config.h")
		write(t, header, "")
		if got := tk.hostConfig(); got != header {
			t.Errorf("the header is %s, want %s", got, header)
		}
	}
}

func TestDoctorDevice(t *testing.T) {
	s, _ := open(t, everywhere)
	tests := []struct {
		name, target string
		gpus         []string
		want         []string
	}{
		{"none", "linux", nil, []string{"GPU note none: no GPU with a working driver: nvidia-smi names none; the smoke test would not run gpu"}},
		{"of no interest", "arm", []string{"X, 580.1, 9.0"}, nil},
		{"one", "linux", []string{"NVIDIA H100 80GB HBM3, 580.159.04, 9.0"}, []string{
			"GPU ok NVIDIA H100 80GB HBM3: the smoke test would run gpu", "GPU driver ok 580.159.04 580 or newer: ",
		}},
		{"two", "linux", []string{"A, B, 580.159.04, 9.0", "C, 580.159.04, 9.0"}, []string{
			"GPU ok A, B, 2 in all: the smoke test would run gpu", "GPU driver ok 580.159.04 580 or newer: ",
		}},
		{"older than the toolkit's", "linux", []string{"T4, 580.10, 7.5"}, []string{
			"GPU ok T4: the smoke test would run gpu",
			"GPU driver ok 580.10 580 or newer: runs machine code, but may refuse PTX of CUDA 13.0, which came with driver 580.65.06",
		}},
		{"too old", "linux", []string{"T4, 570.10, 7.5"}, []string{
			"GPU ok T4: the smoke test would run gpu", "GPU driver too-old 570.10 580 or newer: what is built here would not run on this GPU",
		}},
		{"garbage", "linux", []string{"No devices were found"}, []string{
			"GPU ok No devices were found: the smoke test would run gpu", `GPU driver unknown: nvidia-smi names "" as its version`,
		}},
	}
	for _, tt := range tests {
		var got []string
		for _, c := range s.checkDevice(row(t, s, tt.target), manifest.Device{GPUs: tt.gpus}) {
			if c.Blocks {
				t.Errorf("%s: %s blocks the build", tt.name, c.Name)
			}
			got = append(got, strings.Join(strings.Fields(fmt.Sprint(c.Name, " ", c.State, " ", c.Found, " ", c.Needed)), " ")+": "+c.Detail)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s:\n%s\nwant\n%s", tt.name, strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
		}
	}
	for release, want := range map[string]string{"13.9": "is not known", "10.2": "does not know this release"} {
		if c := checkDriver("linux", release, "999.1"); !strings.Contains(c.Detail, want) {
			t.Errorf("CUDA %s: %+v", release, c)
		}
	}
}

// What runs the smoke test of another platform's programs is told, and blocks
// no build.
func TestCheckRunner(t *testing.T) {
	s, _ := open(t, everywhere)
	t.Setenv("PATH", t.TempDir())
	if c, ok := s.checkRunner(t.Context(), row(t, s, "linux")); ok && matrix.Host() == row(t, s, "linux").Platform {
		t.Errorf("%+v", c)
	}
	c, ok := s.checkRunner(t.Context(), row(t, s, "win"))
	if !ok || c.Blocks || c.State != toolchain.StateMissing || !strings.Contains(c.Detail, "windows-x86_64") {
		t.Errorf("%+v", c)
	}
	// Nothing is said where nothing is tested.
	s, _ = open(t, everywhere[:strings.Index(everywhere, "smoke:")])
	if c, ok := s.checkRunner(t.Context(), row(t, s, "win")); ok {
		t.Errorf("%+v", c)
	}
}
