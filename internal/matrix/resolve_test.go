package matrix_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/relmat/relmat/internal/matrix"
)

func inherit(t *testing.T) (f *matrix.File, text string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "inherit.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, string(data)), string(data)
}

func settings(f *matrix.File, r matrix.Row) []string {
	var lines []string
	for _, s := range f.Settings(r) {
		lines = append(lines, fmt.Sprintf("%s = %v (%s)", s.Key, s.Value, s.From))
	}
	return lines
}

// TestOrigins has every setting of a target come from the nearest of target,
// base, system, defaults and relmat itself.
func TestOrigins(t *testing.T) {
	f, text := inherit(t)
	for _, tt := range []struct {
		target string
		want   []string
	}{
		{"arm", []string{
			"triple = aarch64-unknown-linux-gnu (targets.arm)",
			"on-request = false (targets.arm)",
			"hosts = [linux-aarch64 linux-x86_64] (targets.arm)",
			"runner.labels = [self-hosted linux] (systems.linux)",
			"runner.timeout = 8h (targets.arm)",
			"features = [base] (targets.arm)",
			"profile = dist (defaults)",
			"locked = true (relmat)",
			"rustflags = [-g] (defaults)",
			"cpu.level = armv8-a (targets.arm)",
			"cpu.env = MARCH (defaults)",
			"toolkit = cuda13 (systems.linux)",
			"cuda.architectures = 80-real;90a (targets.arm)",
			"cuda.env = ARCHS (systems.linux)",
			"cuda.gates = [90a] (systems.linux)",
			"env.BY = base (targets.arm)",
			"env.DEFAULTS = 1 (defaults)",
			"env.SYSTEMS = 1 (systems.linux)",
			"env.BASE = 1 (targets.arm)",
			"pass = [DEFAULTS] (defaults)",
			"native.crates = [a b] (defaults)",
			"native.pins = [dep] (defaults)",
			"native.max-age = 168h (defaults)",
			"compiler-cache = sccache (systems.linux)",
			"archive = zip (relmat)",
		}},
		{"arm-gh200", []string{
			"triple = aarch64-unknown-linux-gnu (targets.arm)",
			"variant-of = arm (targets.arm-gh200)",
			"on-request = true (relmat)",
			"hosts = [linux-aarch64 linux-x86_64] (targets.arm)",
			"runner.labels = [self-hosted linux] (systems.linux)",
			"runner.timeout = 8h (targets.arm)",
			"features = [base] (targets.arm)",
			"profile = dist (defaults)",
			"locked = true (relmat)",
			"rustflags = [-g] (defaults)",
			"cpu.level = armv8-a (targets.arm)",
			"cpu.env = MARCH (defaults)",
			"toolkit = cuda13 (systems.linux)",
			"cuda.architectures = 90a-real (targets.arm-gh200)",
			"cuda.env = ARCHS (systems.linux)",
			"cuda.gates = [90a] (systems.linux)",
			"env.BY = own (targets.arm-gh200)",
			"env.DEFAULTS = 1 (defaults)",
			"env.SYSTEMS = 1 (systems.linux)",
			"env.BASE = 1 (targets.arm)",
			"env.OWN = 1 (targets.arm-gh200)",
			"pass = [DEFAULTS] (defaults)",
			"native.crates = [] (targets.arm-gh200)",
			"native.pins = [dep] (defaults)",
			"native.max-age = 168h (defaults)",
			"compiler-cache = sccache (systems.linux)",
			"archive = zip (relmat)",
		}},
		// Its system is that of its own triple, not of the base's.
		{"arm-windows", []string{
			"triple = aarch64-pc-windows-msvc (targets.arm-windows)",
			"variant-of = arm (targets.arm-windows)",
			"on-request = false (targets.arm-windows)",
			"hosts = [windows-aarch64] (targets.arm-windows)",
			"runner.timeout = 8h (targets.arm)",
			"features = [own] (targets.arm-windows)",
			"profile = dist (defaults)",
			"locked = false (targets.arm-windows)",
			"rustflags = [-g] (defaults)",
			"cpu.level = armv8-a (targets.arm)",
			"cpu.env = MARCH (defaults)",
			"toolkit = cuda13 (targets.arm-windows)",
			"cuda.architectures = 80-real;90a (targets.arm)",
			"cuda.env = ARCHS (targets.arm-windows)",
			"env.BY = base (targets.arm)",
			"env.DEFAULTS = 1 (defaults)",
			"env.BASE = 1 (targets.arm)",
			"pass = [DEFAULTS] (defaults)",
			"native.crates = [a b] (defaults)",
			"native.pins = [dep] (defaults)",
			"native.max-age = 168h (defaults)",
			"compiler-cache = ccache (defaults)",
			"archive = tar.gz (targets.arm-windows)",
		}},
		// A system of which the file says nothing.
		{"mac", []string{
			"triple = aarch64-apple-darwin (targets.mac)",
			"on-request = false (defaults)",
			"features = [defaults] (defaults)",
			"profile = dist (defaults)",
			"locked = true (relmat)",
			"rustflags = [-g] (defaults)",
			"cpu.env = MARCH (defaults)",
			"env.BY = defaults (defaults)",
			"env.DEFAULTS = 1 (defaults)",
			"pass = [DEFAULTS] (defaults)",
			"native.crates = [a b] (defaults)",
			"native.pins = [dep] (defaults)",
			"native.max-age = 168h (defaults)",
			"compiler-cache = ccache (defaults)",
			"archive = zip (relmat)",
		}},
	} {
		t.Run(tt.target, func(t *testing.T) {
			r := row(t, f, tt.target)
			if got := settings(f, r); !slices.Equal(got, tt.want) {
				t.Errorf("the settings are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
			}
			lines := strings.Split(text, "\n")
			for _, s := range f.Settings(r) {
				if (s.Line == 0) != (s.From == "relmat") {
					t.Errorf("%s comes from %s, line %d", s.Key, s.From, s.Line)
				}
				// The file has one setting a line, or a mapping of them.
				last := s.Key[strings.LastIndex(s.Key, ".")+1:]
				if s.Line > 0 && !strings.Contains(lines[s.Line-1], last+":") {
					t.Errorf("%s is said to stand on line %d: %s", s.Key, s.Line, lines[s.Line-1])
				}
			}
		})
	}
}

// TestSettingsAsJSON has every kind of value be what a script expects.
func TestSettingsAsJSON(t *testing.T) {
	f, _ := inherit(t)
	data, err := json.Marshal(f.Settings(row(t, f, "arm")))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`{"key":"on-request","value":false,"from":"targets.arm","line":32}`,
		`{"key":"runner.labels","value":["self-hosted","linux"],"from":"systems.linux","line":22}`,
		`{"key":"native.max-age","value":"168h","from":"defaults","line":12}`,
		`{"key":"hosts","value":["linux-aarch64","linux-x86_64"],"from":"targets.arm","line":37}`,
		`{"key":"env.BASE","value":"1","from":"targets.arm","line":38}`,
		`{"key":"locked","value":true,"from":"relmat"}`,
	} {
		if !strings.Contains(string(data), want) {
			t.Errorf("there is no %s in %s", want, data)
		}
	}
}

// TestOneTargetLeavesTheOthers resolves twice: nothing that one target takes
// may reach the defaults or another one.
func TestOneTargetLeavesTheOthers(t *testing.T) {
	f, _ := inherit(t)
	var first, second []string
	for _, r := range f.Rows() {
		first = append(first, settings(f, r)...)
	}
	slices.Reverse(f.Targets.Keys)
	rows := f.Rows()
	slices.Reverse(rows)
	for _, r := range rows {
		second = append(second, settings(f, r)...)
	}
	equal(t, "settings, resolved the other way round", second, first)
	equal(t, "env of the defaults", f.Defaults.Env.Keys, []string{"BY", "DEFAULTS"})
	equal(t, "env of the base", f.Targets.Values["arm"].Env.Keys, []string{"BY", "BASE"})
}

// TestVariantsAreOnRequest: a variant of a released target is never released
// by what it inherits, only by its own word.
func TestVariantsAreOnRequest(t *testing.T) {
	for _, tt := range []struct {
		name, defaults, system, base, own string
		want                              bool
	}{
		{"nobody says anything", "", "", "", "", true},
		{"the base says no", "", "", "on-request: false, ", "", true},
		{"the defaults say no", "on-request: false", "", "", "", true},
		{"the system says no", "", "on-request: false", "", "", true},
		{"it says no", "on-request: true", "on-request: true", "on-request: true, ", "on-request: false, ", false},
		{"it says yes", "", "", "on-request: false, ", "on-request: true, ", true},
	} {
		f := parse(t, `
version: 1
project: {name: p, version-package: p}
programs: {p: {package: p}}
defaults: {`+tt.defaults+`}
systems: {linux: {`+tt.system+`}}
targets:
  base: {`+tt.base+`triple: x86_64-unknown-linux-gnu}
  x: {`+tt.own+`variant-of: base}
packages: {p: {asset: "{{.Target}}", programs: [p]}}
`)
		if got := row(t, f, "x").IsOnRequest(); got != tt.want {
			t.Errorf("%s: on request is %v", tt.name, got)
		}
	}
}

func TestTripleOfTheDefaults(t *testing.T) {
	f := parse(t, `
version: 1
project: {name: p, version-package: p}
programs: {p: {package: p}}
defaults: {triple: x86_64-unknown-linux-gnu}
systems: {linux: {archive: tar.gz}, windows: {archive: zip, profile: windows}}
targets:
  a: {}
  b: {variant-of: a}
  c: {variant-of: a, triple: x86_64-pc-windows-msvc}
packages: {p: {asset: "{{.Target}}", programs: [p]}}
`)
	for name, want := range map[string][2]string{
		"a": {"linux-x86_64", "tar.gz"}, "b": {"linux-x86_64", "tar.gz"}, "c": {"windows-x86_64", "zip"},
	} {
		r := row(t, f, name)
		if got := [2]string{r.Platform.String(), r.Archive}; got != want {
			t.Errorf("target %s is %q, want %q", name, got, want)
		}
	}
}
