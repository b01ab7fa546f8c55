package manifest

import (
	"fmt"
	"slices"
	"strings"
)

// Asset is a file of a release.
type Asset struct {
	Name    string `json:"name"`
	Package string `json:"package"`
	// Size is in bytes, SHA256 in lower-case hexadecimal.
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
	// Path is where the file lies before it is published.
	Path string `json:"-"`
}

// Part is what one target contributes to a release.
type Part struct {
	Target string `json:"target"`
	// Triple is the Rust target triple that it was built for, which a host may
	// have its own of; Row is the digest of the target's row of the matrix, as
	// 64 lower-case hexadecimal digits.
	Triple string  `json:"triple,omitempty"`
	Row    string  `json:"row,omitempty"`
	Assets []Asset `json:"assets"`
	// Keys are the stages' keys, by package and stage: "tinylm/archive".
	Keys     map[string]string `json:"keys"`
	Findings []Finding         `json:"findings,omitempty"`
	Smoke    []SmokeResult     `json:"smoke"`
	// Seconds is how long the stages took, by stage: "build".
	Seconds map[string]float64 `json:"seconds,omitempty"`
}

// ReleaseSchema is the version of release.json's form.
const ReleaseSchema = 1

// Release is what release.json says.
type Release struct {
	Schema  int    `json:"schema"`
	Project string `json:"project"`
	Version string `json:"version"`
	Tag     string `json:"tag"`
	// Commit is the checkout's; empty outside of git. CommitChecked tells that
	// it is the tag's and that the checkout was clean.
	Commit        string `json:"commit,omitempty"`
	CommitChecked bool   `json:"commit_checked"`
	// Partial tells that targets of the matrix are missing.
	Partial bool   `json:"partial"`
	Targets []Part `json:"targets"`
	// Notes say what users should know: steps of smoke tests that were not run.
	Notes []string `json:"notes,omitempty"`
}

// Assets returns the assets of all targets, by name.
func (r Release) Assets() []Asset {
	var all []Asset
	for _, t := range r.Targets {
		all = append(all, t.Assets...)
	}
	slices.SortFunc(all, func(a, b Asset) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// Status is what became of a step of a smoke test.
type Status string

// The statuses of a step. NotRun is not a pass: what the step needs is absent.
const (
	Passed Status = "passed"
	Failed Status = "failed"
	NotRun Status = "not run"
)

// StepResult is the outcome of one step of a smoke test.
type StepResult struct {
	Name    string  `json:"name"`
	Status  Status  `json:"status"`
	Reason  string  `json:"reason,omitempty"`
	Command string  `json:"command,omitempty"`
	Seconds float64 `json:"seconds,omitempty"`
	// Values are what the named groups of the step's expressions matched.
	Values map[string]string `json:"values,omitempty"`
	// Tail is the last of what a failed step wrote.
	Tail []string `json:"tail,omitempty"`
}

// Device is the hardware that a smoke test ran on.
type Device struct {
	CPU string `json:"cpu"`
	// GPUs are as nvidia-smi names them: "NVIDIA H100 80GB HBM3, 580.159.04, 9.0".
	GPUs []string `json:"gpus,omitempty"`
	// Emulator is what can run programs as an older CPU would, with its version:
	// "qemu-x86_64 7.2.22".
	Emulator string `json:"emulator,omitempty"`
	// Runner is what ran the programs of another platform than the host's, with
	// its version: "Wine 10.0".
	Runner string `json:"runner,omitempty"`
}

func (d Device) String() string {
	if d.Runner != "" {
		return d.CPU + ", under " + d.Runner
	}
	if len(d.GPUs) == 0 {
		return d.CPU + ", no GPU"
	}
	return d.CPU + "; GPU " + strings.Join(d.GPUs, "; ")
}

// SmokeResult is the outcome of a smoke test.
type SmokeResult struct {
	Package string       `json:"package"`
	Target  string       `json:"target"`
	Device  Device       `json:"device"`
	Steps   []StepResult `json:"steps"`
	// CPU says whether the programs are known to run on the CPUs that the target
	// promises; nil where it promises none.
	CPU *CPUProof `json:"cpu,omitempty"`
}

// CPUProof is the outcome of the steps on an emulated CPU of the target's
// level.
type CPUProof struct {
	// Level is a CPU level of the matrix, such as x86-64-v3.
	Level string `json:"level"`
	// Status is NotRun where nothing is proven, for the Reason.
	Status Status `json:"status"`
	Reason string `json:"reason,omitempty"`
	// Emulator is that of Device, Model the CPU by its name.
	Emulator string `json:"emulator,omitempty"`
	Model    string `json:"model,omitempty"`
	// Steps are the names of those that passed so.
	Steps   []string `json:"steps,omitempty"`
	Seconds float64  `json:"seconds,omitempty"`
}

// String is the proof in a few words.
func (p CPUProof) String() string {
	switch p.Status {
	case Passed:
		return fmt.Sprintf("proven at %s (%s, %s)", p.Level, p.Emulator, p.Model)
	case Failed:
		return "fails at " + p.Level
	}
	return fmt.Sprintf("not proven at %s: %s", p.Level, p.Reason)
}

// Count tells how many steps have the status.
func (r SmokeResult) Count(s Status) int {
	n := 0
	for _, step := range r.Steps {
		if step.Status == s {
			n++
		}
	}
	return n
}

// Summary says in a few words how the test went.
func (r SmokeResult) Summary() string {
	s := fmt.Sprintf("%d steps passed", r.Count(Passed))
	if n := r.Count(NotRun); n > 0 {
		s += fmt.Sprintf(", %d not run", n)
	}
	if n := r.Count(Failed); n > 0 {
		s += fmt.Sprintf(", %d failed", n)
	}
	s += " on " + r.Device.String()
	if r.CPU != nil {
		s += "; " + r.CPU.String()
	}
	return s
}
