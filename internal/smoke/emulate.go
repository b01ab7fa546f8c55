package smoke

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/relmat/relmat/internal/cuda"
	"github.com/relmat/relmat/internal/manifest"
	"github.com/relmat/relmat/internal/matrix"
	"github.com/relmat/relmat/internal/proc"
)

//go:embed emulators.json
var emulatorsJSON []byte

type emulatorTable struct {
	// Emulators are the names of QEMU's programs for Linux by architecture.
	Emulators map[string]string `json:"emulators"`
	// Levels are by CPU level: the model of QEMU that has it and nothing more,
	// with the first version that translates all of it, or why there is none.
	Levels map[string]struct {
		Model string `json:"model"`
		Since string `json:"since"`
		Lacks string `json:"lacks"`
	} `json:"levels"`
}

var emulators = mustEmulators(emulatorsJSON)

func mustEmulators(data []byte) emulatorTable {
	var t emulatorTable
	if err := json.Unmarshal(data, &t); err != nil {
		panic("smoke: emulators.json: " + err.Error())
	}
	return t
}

// emulator is a QEMU that runs one program as another CPU would.
type emulator struct {
	path, name, version string
	// model is the CPU as QEMU's option -cpu names it.
	model string
}

var emulatorVersion = regexp.MustCompile(`version (\d+(?:\.\d+)*)`)

// findEmulator finds this host's QEMU for programs of the same architecture.
func findEmulator(ctx context.Context) (e emulator, ok bool) {
	if runtime.GOOS != "linux" {
		return e, false // QEMU runs programs of Linux on Linux alone
	}
	name := emulators.Emulators[matrix.Host().Arch]
	if name == "" {
		return e, false
	}
	for _, n := range []string{name, name + "-static"} {
		path, err := proc.LookPath(n, os.Environ())
		if err != nil {
			continue
		}
		out, err := proc.Cmd{Path: path, Args: []string{"--version"}, Env: os.Environ()}.Output(ctx)
		if err != nil {
			continue
		}
		if m := emulatorVersion.FindStringSubmatch(out); m != nil {
			return emulator{path: path, name: filepath.Base(path), version: m[1]}, true
		}
	}
	return e, false
}

func (e emulator) String() string { return e.name + " " + e.version }

// own tells whether a line of the standard error is QEMU's: what it cannot do
// by its own fault, or a warning that a model has more than QEMU translates.
func (e emulator) own(line string) (warning, fault bool) {
	for _, name := range []string{e.name, strings.TrimSuffix(e.name, "-static")} {
		if rest, ok := strings.CutPrefix(line, name+": "); ok {
			return strings.HasPrefix(rest, "warning: "), !strings.HasPrefix(rest, "warning: ")
		}
	}
	return false, false
}

// proveLevel runs the steps that passed once more, on a CPU that has the
// declared level and nothing beyond it. What cannot be run so is not proven; it
// fails where the program needs more than the level, or says something else
// there. The step that is returned is the one that failed.
func (t *tester) proveLevel(ctx context.Context, level string, passed []manifest.StepResult) (p manifest.CPUProof, failed manifest.StepResult) {
	p = manifest.CPUProof{Level: level, Status: manifest.NotRun}
	notProven := func(format string, args ...any) (manifest.CPUProof, manifest.StepResult) {
		p.Status, p.Reason = manifest.NotRun, fmt.Sprintf(format, args...)
		return p, failed
	}
	facts, known := emulators.Levels[level]
	switch {
	case t.runner != nil:
		return notProven("%s uses this host's CPU, and relmat knows no emulator for it", t.runner)
	case !known:
		return notProven("relmat knows no emulator for it")
	case facts.Lacks != "":
		return notProven("%s", facts.Lacks)
	}
	e, ok := findEmulator(ctx)
	if !ok {
		name := emulators.Emulators[matrix.Host().Arch]
		return notProven("no %s on this host; Linux distributions have it as qemu-user", name)
	}
	if cuda.CompareVersions(e.version, facts.Since) < 0 {
		return notProven("%s is older than %s, the first that translates all of it", e, facts.Since)
	}
	e.model = facts.Model
	p.Emulator, p.Model = e.String(), e.model
	// Steps are compared with each other as they were: some of them run on a GPU
	// and have no emulated result.
	emulated := *t
	emulated.emulator, emulated.values = &e, maps.Clone(t.values)
	if err := emulated.afresh(); err != nil {
		return notProven("%v", err)
	}
	skipped := ""
	programs, proven := map[string]bool{}, map[string]bool{}
	for _, r := range passed {
		step := t.o.File.Smoke.Steps.Values[r.Name]
		programs[step.Program] = true
		if step.Device != "" {
			skipped = r.Name
			continue
		}
		// Emulated code takes some ten to fifty times as long.
		limit := time.Minute + time.Duration(50*r.Seconds*float64(time.Second))
		step.Timeout = max(limit, stepTimeout(step))
		res := emulated.step(ctx, r.Name, step)
		if ctx.Err() != nil {
			return p, failed
		}
		p.Seconds += res.Seconds
		switch {
		case emulated.fault != "":
			return notProven("step %s: %s", r.Name, emulated.fault)
		case res.Status == manifest.Failed && skipped != "" && !emulated.illegal:
			return notProven("step %s: %s, and step %s, which needs a device, was not run before it", r.Name, res.Reason, skipped)
		case res.Status == manifest.Failed:
			res.Name += " at " + level
			res.Reason += fmt.Sprintf(" on a CPU of %s (%s, %s), and passed on this host's; give the whole build one level, cpu.level with cpu.env, and never -march=native", level, e, e.model)
			p.Status, p.Reason = manifest.Failed, res.Reason
			return p, res
		}
		proven[step.Program] = true
		p.Steps = append(p.Steps, r.Name)
		t.o.Task.Note("step %s passed at %s (%.1f s)", r.Name, level, res.Seconds)
	}
	for _, program := range slices.Sorted(maps.Keys(programs)) {
		if !proven[program] {
			return notProven("every step of %s needs a device, which an emulated program does not have", program)
		}
	}
	p.Status = manifest.Passed
	return p, failed
}

// afresh gives the steps directories in which none has run.
func (t *tester) afresh() error {
	dir := filepath.Dir(t.work)
	env := t.env
	t.env = nil
	for _, d := range []string{"work", "home", "tmp"} {
		if err := os.MkdirAll(filepath.Join(dir, "emulated", d), 0o755); err != nil {
			return err
		}
	}
	for _, kv := range env {
		name, value, _ := strings.Cut(kv, "=")
		if filepath.Dir(value) == dir {
			value = filepath.Join(dir, "emulated", filepath.Base(value))
		}
		t.env = append(t.env, name+"="+value)
	}
	t.work = filepath.Join(dir, "emulated", "work")
	t.fields.Work = t.work
	return nil
}

// emulate lets the emulator run the command. What it says of itself is not the
// program's: a warning is left out, and a fault is noted, since the step then
// proves nothing.
func (t *tester) emulate(cmd *proc.Cmd) {
	e := t.emulator
	t.fault, t.illegal = "", false
	cmd.Args = append([]string{"-cpu", e.model, cmd.Path}, cmd.Args...)
	cmd.Path = e.path
	program := cmd.Stderr
	cmd.Stderr = func(line string) {
		warning, fault := e.own(line)
		if fault {
			t.fault = line
		}
		if !warning {
			program(line)
		}
	}
}

func stepTimeout(s matrix.Step) time.Duration {
	if s.Timeout == 0 {
		return defaultTimeout
	}
	return s.Timeout
}
