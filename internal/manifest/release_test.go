package manifest_test

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/relmat/relmat/internal/manifest"
)

func TestDeviceString(t *testing.T) {
	for _, test := range []struct {
		device manifest.Device
		want   string
	}{
		{manifest.Device{CPU: "AMD EPYC 9654"}, "AMD EPYC 9654, no GPU"},
		{manifest.Device{CPU: "AMD EPYC 9654", GPUs: []string{"NVIDIA H100 80GB HBM3, 580.159.04, 9.0"}}, "AMD EPYC 9654; GPU NVIDIA H100 80GB HBM3, 580.159.04, 9.0"},
		{manifest.Device{CPU: "x", GPUs: []string{"one", "two"}}, "x; GPU one; two"},
	} {
		if got := test.device.String(); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}

func TestSmokeSummary(t *testing.T) {
	steps := func(of ...manifest.Status) (list []manifest.StepResult) {
		for _, s := range of {
			list = append(list, manifest.StepResult{Status: s})
		}
		return list
	}
	const p, f, n = manifest.Passed, manifest.Failed, manifest.NotRun
	for _, test := range []struct {
		steps []manifest.StepResult
		want  string
	}{
		{nil, "0 steps passed on CPU, no GPU"},
		{steps(p, p), "2 steps passed on CPU, no GPU"},
		{steps(p, n, p), "2 steps passed, 1 not run on CPU, no GPU"},
		{steps(p, f), "1 steps passed, 1 failed on CPU, no GPU"},
		{steps(n, p, n, f), "1 steps passed, 2 not run, 1 failed on CPU, no GPU"},
		{steps("some later status"), "0 steps passed on CPU, no GPU"},
	} {
		r := manifest.SmokeResult{Device: manifest.Device{CPU: "CPU"}, Steps: test.steps}
		if got := r.Summary(); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}

func TestReleaseAssets(t *testing.T) {
	r := manifest.Release{Targets: []manifest.Part{
		{Target: "windows", Assets: []manifest.Asset{{Name: "z.zip"}, {Name: "b.zip"}}},
		{Target: "linux", Assets: []manifest.Asset{{Name: "m.zip"}, {Name: "a.zip"}}},
	}}
	var names []string
	for _, a := range r.Assets() {
		names = append(names, a.Name)
	}
	if want := []string{"a.zip", "b.zip", "m.zip", "z.zip"}; !slices.Equal(names, want) {
		t.Errorf("got %q, want %q", names, want)
	}
	if r.Targets[0].Assets[0].Name != "z.zip" {
		t.Error("the order within a target has changed")
	}
	if got := (manifest.Release{}).Assets(); len(got) != 0 {
		t.Errorf("an empty release has %v", got)
	}
}

// TestReleaseJSON pins the form of release.json, which other programs read,
// and that a path of the release machine is not in it.
func TestReleaseJSON(t *testing.T) {
	r := manifest.Release{
		Schema: manifest.ReleaseSchema, Project: "tinylm", Version: "0.1.0", Tag: "v0.1.0", CommitChecked: false, Partial: true,
		Targets: []manifest.Part{{
			Target: "linux",
			Assets: []manifest.Asset{{Name: "a.zip", Package: "tinylm", Size: 7, SHA256: sumA, Path: "/home/someone/a.zip"}},
			Keys:   map[string]string{"tinylm/archive": "k"},
			Smoke: []manifest.SmokeResult{{
				Package: "tinylm", Target: "linux", Device: manifest.Device{CPU: "CPU"},
				Steps: []manifest.StepResult{
					{Name: "version", Status: manifest.Passed, Seconds: 0.5, Values: map[string]string{"version": "0.1.0"}},
					{Name: "generate-cuda", Status: manifest.NotRun, Reason: "no device"},
				},
			}},
		}},
	}
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "release.json", append(data, '\n'))
}
