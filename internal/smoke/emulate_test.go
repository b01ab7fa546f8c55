package smoke_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/relmat/relmat/internal/manifest"
	"github.com/relmat/relmat/internal/matrix"
	"github.com/relmat/relmat/internal/progress"
	"github.com/relmat/relmat/internal/smoke"
)

// oldLevel is a level below that of the hosts on which this is tested, newLevel
// one that no emulator has.
var oldLevel, newLevel = map[string]string{"x86_64": "x86-64-v3", "aarch64": "neoverse-n1"}[matrix.Host().Arch],
	map[string]string{"x86_64": "x86-64-v4", "aarch64": "neoverse-v2"}[matrix.Host().Arch]

// atLevel is a matrix whose target promises a CPU level.
func atLevel(t *testing.T, level, text string) *matrix.File {
	t.Helper()
	f, err := matrix.Parse("targets.yaml", []byte(`
version: 1
project: {name: p, version-package: p}
programs: {prog: {package: p}, other: {package: p}}
targets: {here: {triple: `+matrix.Host().Arch+`-unknown-linux-gnu, cpu: {level: `+level+`}}}
packages: {pkg: {asset: "pkg-{{.Target}}", programs: [prog, other]}}
smoke: {steps: `+text+`}
`))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// emulated puts an emulator into the PATH that only acts as one: before the
// program it runs the given shell commands.
func emulated(t *testing.T, version, script string) {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	if version == "" {
		return
	}
	name := "qemu-" + matrix.Host().Arch
	write(t, filepath.Join(dir, name), `#!/bin/sh
if [ "$1" = --version ]; then echo "`+name+` version `+version+` (Debian 1:`+version+`)"; exit; fi
model=$2
shift 2
`+script+`
exec "$@"
`, 0o755)
}

func TestCPULevel(t *testing.T) {
	name := "qemu-" + matrix.Host().Arch
	const one = `{s: {program: prog, expect: {stdout: '^1$', stderr: '^$'}}}`
	tests := []struct {
		name, level, steps, version, script string
		status                              manifest.Status
		// says is in the reason, or in all of a proof.
		says string
	}{
		{"runs", oldLevel, one, "9.0.1", "", manifest.Passed, "proven at " + oldLevel + " (" + name + " 9.0.1, "},
		{"warnings of the emulator", oldLevel, one, "9.0.1", "echo '" + name + ": warning: it has no TSX' >&2", manifest.Passed, "proven at"},
		{"illegal instruction", oldLevel, one, "9.0.1", "kill -ILL $$", manifest.Failed, "signal: illegal instruction"},
		{"refuses to run", oldLevel, one, "9.0.1", "echo 'CPU ISA level is lower than required' >&2; exit 127", manifest.Failed, "it ended with exit code 127"},
		{"says something else", oldLevel, one, "9.0.1", "echo 2; exit 0", manifest.Failed, "its stdout does not match"},
		{"fault of the emulator", oldLevel, one, "9.0.1", "echo '" + name + ": unable to find CPU model' >&2; exit 1", manifest.NotRun, "unable to find CPU model"},
		{"crash of the emulator", oldLevel, one, "9.0.1", "kill -SEGV $$", manifest.NotRun, "segmentation fault"},
		{"no emulator", oldLevel, one, "", "", manifest.NotRun, "no " + name + " on this host"},
		{"old emulator", oldLevel, one, "5.2.0", "", manifest.NotRun, name + " 5.2.0 is older than 7."},
		{"level that cannot be emulated", newLevel, one, "9.0.1", "", manifest.NotRun, "QEMU "},
		{"another step's value", oldLevel, `{a: {program: prog, expect: {stdout: '(?P<x>.+)'}}, b: {program: prog, expect: {stdout: '(?P<x>.+)', same: {x: a}}}}`, "9.0.1", "", manifest.Passed, "proven at"},
		{"steps with a device are left out", oldLevel, `{a: {program: prog, expect: {stdout: '(?P<x>.+)'}}, b: {program: prog, device: cuda, expect: {stdout: '(?P<x>.+)', same: {x: a}}}}`, "9.0.1", "", manifest.Passed, "proven at"},
		{"a step after one with a device", oldLevel, `{a: {program: prog, device: cuda}, b: {program: prog}}`, "9.0.1", "exit 1", manifest.NotRun, "step a, which needs a device, was not run before it"},
		{"illegal instruction after a step with a device", oldLevel, `{a: {program: prog, device: cuda}, b: {program: prog}}`, "9.0.1", "kill -ILL $$", manifest.Failed, "signal: illegal instruction"},
		{"directories without what the steps made", oldLevel, one, "9.0.1", `ls "$HOME" "$TMPDIR" . | grep -x made && exit 9`, manifest.Passed, "proven at"},
		{"only steps with a device", oldLevel, `{a: {program: prog, device: cuda}}`, "9.0.1", "", manifest.NotRun, "every step of prog needs a device"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ownTemp(t)
			emulated(t, tt.version, tt.script)
			task, events := newTask(t)
			res, err := smoke.Run(t.Context(), smoke.Options{
				Archive: pkg{script: `echo 1; touch made "$HOME/made" "$TMPDIR/made"`}.pack(t), File: atLevel(t, tt.level, tt.steps), Task: task, Device: manifest.Device{GPUs: []string{"G"}},
			})
			if res.CPU == nil || res.CPU.Status != tt.status || res.CPU.Level != tt.level {
				t.Fatalf("the proof is %+v, %v; want %s at %s", res.CPU, err, tt.status, tt.level)
			}
			if all := res.CPU.String() + " " + res.CPU.Reason; !strings.Contains(all, tt.says) {
				t.Errorf("the proof says %q, want %q", all, tt.says)
			}
			var failed *smoke.Error
			switch {
			case tt.status != manifest.Failed && err != nil:
				t.Fatal(err)
			case tt.status == manifest.Failed && (!errors.As(err, &failed) || !strings.HasSuffix(failed.Step.Name, " at "+tt.level) || !strings.Contains(err.Error(), "-cpu ")):
				t.Errorf("the error is %v", err)
			case tt.status == manifest.NotRun && !strings.Contains(events.text(progress.KindWarn), tt.says):
				t.Errorf("the warnings are %q, want %q", events.text(progress.KindWarn), tt.says)
			}
			if s := res.Summary(); !strings.Contains(s, "; "+res.CPU.String()) {
				t.Errorf("the summary is %q", s)
			}
		})
	}
}

// A target without a level promises nothing that would be proven.
func TestNoCPULevel(t *testing.T) {
	ownTemp(t)
	emulated(t, "9.0.1", "exit 1")
	res, err := run(t, steps(t, `  steps: {s: {program: prog}}`), pkg{script: "exit 0"})
	if err != nil || res.CPU != nil || strings.Contains(res.Summary(), "proven") {
		t.Errorf("the result is %+v, %v", res, err)
	}
}

func TestDetectEmulator(t *testing.T) {
	emulated(t, "7.2.22", "")
	if d := smoke.DetectDevice(t.Context()); d.Emulator != "qemu-"+matrix.Host().Arch+" 7.2.22" {
		t.Errorf("the device is %+v", d)
	}
	// What does not answer is no emulator; the static one has another name.
	dir := os.Getenv("PATH")
	write(t, filepath.Join(dir, "qemu-"+matrix.Host().Arch), "#!/bin/sh\nexit 1\n", 0o755)
	write(t, filepath.Join(dir, "qemu-"+matrix.Host().Arch+"-static"), "#!/bin/sh\necho qemu version 8.0.0\n", 0o755)
	if d := smoke.DetectDevice(t.Context()); d.Emulator != "qemu-"+matrix.Host().Arch+"-static 8.0.0" {
		t.Errorf("the device is %+v", d)
	}
	t.Setenv("PATH", t.TempDir())
	if d := smoke.DetectDevice(t.Context()); d.Emulator != "" {
		t.Errorf("the device is %+v", d)
	}
}

// Every level of the matrix is either emulated or said not to be.
func TestEveryLevelIsKnown(t *testing.T) {
	for _, l := range matrix.CPULevels() {
		if l.Arch != matrix.Host().Arch || slices.Contains([]string{"apple-m1"}, l.Name) {
			continue
		}
		ownTemp(t)
		emulated(t, "99.0", "")
		task, _ := newTask(t)
		res, err := smoke.Run(t.Context(), smoke.Options{Archive: pkg{script: "echo 1"}.pack(t), File: atLevel(t, l.Name, `{s: {program: prog}}`), Task: task})
		if err != nil || res.CPU == nil || strings.Contains(res.CPU.Reason, "relmat knows no emulator") {
			t.Errorf("%s: %+v, %v", l.Name, res.CPU, err)
		}
	}
}
