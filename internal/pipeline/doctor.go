package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/relmat/relmat/internal/cuda"
	"github.com/relmat/relmat/internal/manifest"
	"github.com/relmat/relmat/internal/matrix"
	"github.com/relmat/relmat/internal/smoke"
	"github.com/relmat/relmat/internal/toolchain"
	"github.com/relmat/relmat/internal/toolkit"
)

// doctorTimeout is given to each program that the doctor asks.
const doctorTimeout = 10 * time.Second

// Diagnosis is what this host has for the targets, and what it lacks.
type Diagnosis struct {
	Host    string            `json:"host"`
	Device  manifest.Device   `json:"device"`
	Targets []TargetDiagnosis `json:"targets"`
}

// TargetDiagnosis is what this host has for one target.
type TargetDiagnosis struct {
	Target string `json:"target"`
	Triple string `json:"triple"`
	// NeedsHosts are the platforms that can build it where this host is none of
	// them; nothing is checked then.
	NeedsHosts []string `json:"needs_hosts,omitempty"`
	// Buildable tells that nothing blocks the build here.
	Buildable bool              `json:"buildable"`
	Checks    []toolchain.Check `json:"checks,omitempty"`
	// Crates are those of check-crates, where they were asked for.
	Crates []toolchain.Crate `json:"crates,omitempty"`
}

// Elsewhere tells whether only other hosts can build the target.
func (t TargetDiagnosis) Elsewhere() bool { return len(t.NeedsHosts) > 0 }

// Doctor looks at what this host has and lacks to build the targets. It changes
// nothing, neither here nor in the project; with crates it compiles those that
// the targets list into the state.
func (s *Session) Doctor(ctx context.Context, targets []string, crates bool) (*Diagnosis, error) {
	host := matrix.Host()
	rows, err := s.anywhere(targets, host)
	if err != nil {
		return nil, err
	}
	if crates && !slices.ContainsFunc(rows, func(r matrix.Row) bool { return len(r.CheckCrates) > 0 }) {
		return nil, fmt.Errorf("%s: no target of these lists crates to compile: check-crates: [NAME, ...]", s.File.Path)
	}
	limited, cancel := context.WithTimeout(ctx, doctorTimeout)
	defer cancel()
	d := &Diagnosis{Host: host.String(), Device: smoke.DetectDevice(limited)}
	doctor := &toolchain.Doctor{Host: host, Dir: s.Source, Timeout: doctorTimeout}
	for _, row := range rows {
		t := TargetDiagnosis{Target: row.Name, Triple: row.Triple}
		// A substitute is for who asks for it.
		substitute := len(targets) == 0 && row.On(host).IsSubstitute()
		if !slices.Contains(row.BuildHosts(), host) || substitute {
			t.NeedsHosts = releaseHosts(row)
			d.Targets = append(d.Targets, t)
			continue
		}
		row = row.On(host)
		t.Triple = row.Triple
		var b toolchain.Build
		if t.Checks, b, err = s.diagnose(ctx, doctor, row, d.Device); err != nil {
			return nil, err
		}
		if crates {
			if t.Crates, err = s.checkCrates(ctx, row, b); err != nil {
				return nil, err
			}
		}
		if err := ctx.Err(); err != nil {
			return nil, context.Cause(ctx)
		}
		t.Buildable = !slices.ContainsFunc(t.Checks, func(c toolchain.Check) bool { return c.Blocks })
		d.Targets = append(d.Targets, t)
	}
	return d, nil
}

// anywhere picks the rows that the patterns match on whatever host they are
// built, in the order of the file.
func (s *Session) anywhere(patterns []string, host matrix.Platform) ([]matrix.Row, error) {
	chosen := map[string]bool{}
	_, first := s.File.Select(patterns, host)
	for _, row := range s.File.Rows() {
		for _, h := range row.BuildHosts() {
			sel, err := s.File.Select(patterns, h)
			if err != nil {
				continue // it is first, or this host can make none of them
			}
			for _, r := range sel.Rows {
				chosen[r.Name] = true
			}
		}
	}
	if len(chosen) == 0 {
		return nil, first
	}
	return slices.DeleteFunc(s.File.Rows(), func(r matrix.Row) bool { return !chosen[r.Name] }), nil
}

// diagnose checks one target that this host should build.
func (s *Session) diagnose(ctx context.Context, doctor *toolchain.Doctor, row matrix.Row, device manifest.Device) ([]toolchain.Check, toolchain.Build, error) {
	tk, hostTk := s.findToolkits(row, doctor.Host)
	buildEnv, err := s.buildEnv(row, toolchain.Toolkits{Host: hostTk.home(), Target: tk.home()})
	if err != nil {
		return nil, toolchain.Build{}, err
	}
	b := toolchain.Build{Row: row, Env: buildEnv, Windows: s.windowsHost(ctx, row, buildEnv, doctor.Host, true)}
	if env, err := hostEnv(b.Env, row, doctor.Host, b.Windows); err == nil {
		b.Env = env // else a check below says what is wrong
	}
	for _, name := range s.File.ProgramsOf(row) {
		if p := s.File.Programs.Values[name].Package; !slices.Contains(b.Packages, p) {
			b.Packages = append(b.Packages, p)
		}
	}
	checks := doctor.Check(ctx, b)
	if c, ok := s.checkPins(); ok {
		checks = append(checks, c)
	}
	if c, ok := s.diagnoseSources(row); ok {
		checks = append(checks, c)
	}
	if toolchain.UsesHostCUDA(row, doctor.Host) {
		checks = append(checks, doctor.CheckHostCUDA(s.Env))
	}
	if row.Toolkit != "" {
		checks = append(checks, tk.checks...)
	}
	if nvcc, ok := s.nvcc(row, doctor.Host); ok {
		checks = append(checks, doctor.HostCompiler(ctx, b, nvcc))
	}
	if row.Toolkit != "" {
		checks = append(checks, doctor.Pip(ctx, s.pipEnv(), s.Python, tk.cached != nil && hostTk.cached != nil))
	}
	checks = append(checks, toolchain.Space{
		State: s.State, Cache: s.Cache, Allowance: toolchain.Allowance(row, tk.unpacked), Toolkit: tk.fetch,
	}.Check()...)
	if c, ok := s.checkRunner(ctx, row); ok {
		checks = append(checks, c)
	}
	checks = append(checks, s.checkSign(s.signing(row))...)
	return append(checks, s.checkDevice(row, device)...), b, nil
}

// checkRunner tells what runs the smoke test of a target whose programs this
// host does not run itself. It never blocks the build.
func (s *Session) checkRunner(ctx context.Context, row matrix.Row) (c toolchain.Check, ok bool) {
	if len(s.File.Smoke.Steps.Keys) == 0 {
		return c, false
	}
	name, tooOld, err := smoke.DetectRunner(ctx, row.Platform)
	var missing *smoke.MissingRunnerError
	switch {
	case errors.As(err, &missing):
		c = toolchain.Check{Name: cmp.Or(missing.Runner, "smoke test"), State: toolchain.StateMissing, Detail: err.Error(), Get: missing.Get}
	case err != nil:
		c = toolchain.Check{Name: "smoke test", State: toolchain.StateFailed, Detail: err.Error()}
	case name == "":
		return c, false
	default:
		program, version, _ := strings.Cut(name, " ")
		c = toolchain.Check{Name: program, State: toolchain.StateOK, Found: version, Detail: "it runs the smoke test"}
		if tooOld != "" {
			c.State, c.Detail = toolchain.StateTooOld, tooOld
		}
	}
	c.By = "smoke"
	return c, true
}

// checkPins reads the source's pins.
func (s *Session) checkPins() (c toolchain.Check, ok bool) {
	if len(s.File.Pins.Keys) == 0 {
		return c, false
	}
	c = toolchain.Check{Name: "pins", State: toolchain.StateOK, By: "pins"}
	values, err := s.File.ReadPins(s.Source)
	if err != nil {
		c.State, c.Detail, c.Blocks = toolchain.StateFailed, err.Error(), true
		return c, true
	}
	var said []string
	for _, name := range s.File.Pins.Keys {
		said = append(said, fmt.Sprintf("%s %.12s", name, values[name]))
	}
	c.Found = strings.Join(said, ", ")
	return c, true
}

// targetToolkit is what is there of a target's toolkit.
type targetToolkit struct {
	checks []toolchain.Check
	cached *toolkit.Toolkit
	// unpacked is the toolkit's size, fetch what bringing it takes; 0 where it
	// is in the cache.
	unpacked, fetch int64
}

func (t targetToolkit) home() string {
	if t.cached == nil {
		return ""
	}
	return t.cached.Home()
}

// hostConfig is the header in which the toolkit says what host compilers it
// takes.
func (t targetToolkit) hostConfig() string {
	if t.cached == nil {
		return ""
	}
	path := filepath.Join("include", "crt", "host_config.h")
	// The wheels of CUDA 12 have a directory of their own each.
	if found, err := filepath.Glob(filepath.Join(t.cached.Dir, "nvidia", "*", path)); err == nil && len(found) > 0 {
		return found[0]
	}
	return filepath.Join(t.cached.Home(), path)
}

// findToolkits looks for the toolkit of the row's platform and for that whose
// programs run on the host: one where the platforms are one. What is told of the
// first is then of both.
func (s *Session) findToolkits(row matrix.Row, host matrix.Platform) (tk, hostTk targetToolkit) {
	tk = s.findToolkit(row, row.Platform)
	if row.Toolkit == "" || host == row.Platform || !slices.Contains(s.toolkitPlatforms(row, host), host.String()) {
		return tk, tk
	}
	hostTk = s.findToolkit(row, host)
	tk.checks = append(tk.checks, hostTk.checks...)
	tk.unpacked += hostTk.unpacked
	tk.fetch += hostTk.fetch
	return tk, hostTk
}

// findToolkit looks for the toolkit's lock file, and for the toolkit of the
// platform in the cache; it fetches nothing.
func (s *Session) findToolkit(row matrix.Row, of matrix.Platform) (t targetToolkit) {
	if row.Toolkit == "" {
		return t
	}
	name, platform := row.Toolkit, of.String()
	c := toolchain.Check{Name: "toolkit lock", State: toolchain.StateOK, Path: s.lockPath(name), Needed: platform}
	lock, err := s.readLock(name, platform)
	if err != nil {
		c.State, c.Detail, c.Blocks = toolchain.StateFailed, err.Error(), true
		if _, serr := os.Stat(c.Path); errors.Is(serr, os.ErrNotExist) {
			c.State, c.Detail = toolchain.StateMissing, "there is no "+c.Path
		}
		c.Get = "relmat toolkit lock " + name
		t.checks = append(t.checks, c)
		return t
	}
	wheels := lock.Platforms[platform]
	c.Found = fmt.Sprintf("%d wheels", len(wheels))
	for _, w := range wheels {
		t.unpacked += w.Unpacked
	}
	in := toolchain.Check{Name: "toolkit", State: toolchain.StateOK, Found: "in the cache"}
	if release := s.File.Toolkits.Values[name].Release(); release != "" {
		in.Needed = "CUDA " + release
	}
	f := s.fetcher()
	if t.cached, err = f.Cached(name, lock, platform); err == nil {
		in.Path = t.cached.Home()
	} else {
		t.fetch = f.Need(wheels)
		in.State, in.Found, in.Get = toolchain.StateNote, "not fetched", "relmat toolkit fetch "+name
		in.Detail = "the build fetches it"
		if !errors.Is(err, os.ErrNotExist) {
			in.Detail = fmt.Sprintf("what is in the cache is not as it was laid out (%v); the build fetches it again", err)
		}
	}
	t.checks = append(t.checks, c, in)
	return t
}

// checkDevice tells what of the smoke test this host can run. It never blocks
// the build.
func (s *Session) checkDevice(row matrix.Row, device manifest.Device) []toolchain.Check {
	var steps []string
	for _, name := range s.File.Smoke.Steps.Keys {
		step := s.File.Smoke.Steps.Values[name]
		if step.Device == "cuda" && matrix.Matches(step.Targets, row.Name) {
			steps = append(steps, name)
		}
	}
	if len(steps) == 0 && row.Toolkit == "" {
		return nil
	}
	c := toolchain.Check{Name: "GPU", State: toolchain.StateNote, Found: "none", Detail: "no smoke step asks for one"}
	if len(device.GPUs) == 0 {
		if len(steps) > 0 {
			c.By = "device: cuda"
			c.Detail = fmt.Sprintf("no GPU with a working driver: nvidia-smi names none; the smoke test would not run %s", strings.Join(steps, ", "))
		}
		return []toolchain.Check{c}
	}
	name, driver := splitDevice(device.GPUs[0])
	c.State, c.Found = toolchain.StateOK, name
	if n := len(device.GPUs); n > 1 {
		c.Found = fmt.Sprintf("%s, %d in all", name, n)
	}
	if len(steps) > 0 {
		c.By, c.Detail = "device: cuda", "the smoke test would run "+strings.Join(steps, ", ")
	}
	checks := []toolchain.Check{c}
	if release := s.File.Toolkits.Values[row.Toolkit].Release(); release != "" {
		checks = append(checks, checkDriver(row.Platform.OS, release, driver))
	}
	return checks
}

// splitDevice takes a line of nvidia-smi apart: name, driver, compute
// capability.
func splitDevice(line string) (name, driver string) {
	parts := strings.Split(line, ",")
	if len(parts) < 3 {
		return line, ""
	}
	n := len(parts)
	return strings.TrimSpace(strings.Join(parts[:n-2], ",")), strings.TrimSpace(parts[n-2])
}

// checkDriver holds the driver against what programs of a CUDA release need.
func checkDriver(system, release, driver string) toolchain.Check {
	c := toolchain.Check{Name: "GPU driver", State: toolchain.StateOK, Found: driver, By: "CUDA " + release}
	have, ok := toolchain.ParseVersion(driver)
	if !ok {
		c.State, c.Detail = toolchain.StateUnknown, fmt.Sprintf("nvidia-smi names %q as its version", driver)
		return c
	}
	minimum, ok := cuda.MinimumDriver(release, system)
	if !ok {
		c.State, c.Detail = toolchain.StateUnknown, "relmat's table of drivers does not know this release"
		return c
	}
	c.Needed = minimum + " or newer"
	if oldest, _ := toolchain.ParseVersion(minimum); have.Compare(oldest) < 0 {
		c.State, c.Get = toolchain.StateTooOld, "https://www.nvidia.com/drivers"
		c.Detail = "what is built here would not run on this GPU"
		return c
	}
	shipped, ok := cuda.ToolkitDriver(release, system)
	switch newest, _ := toolchain.ParseVersion(shipped); {
	case !ok:
		c.Detail = fmt.Sprintf("runs machine code; whether it also compiles PTX of CUDA %s is not known: relmat's table has no driver that came with it", release)
	case have.Compare(newest) < 0:
		c.Detail = fmt.Sprintf("runs machine code, but may refuse PTX of CUDA %s, which came with driver %s", release, shipped)
	}
	return c
}
