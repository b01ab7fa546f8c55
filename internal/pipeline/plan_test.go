package pipeline

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/relmat/relmat/internal/matrix"
)

// TestPlanOfRuntimes: a plan shows the vendor's libraries in the package that
// will have them.
func TestPlanOfRuntimes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "targets.yaml")
	const text = `version: 1
project: {name: app, version: 1.0.0}
programs: {app: {package: app}}
toolkits: {c: {lock: c.json, requirements: ["cuda-toolkit[nvcc]==13.0.2"]}}
targets:
  linux: {triple: x86_64-unknown-linux-gnu, toolkit: c}
packages:
  whole: {asset: "whole-{{.Target}}", programs: [app]}
  host: {asset: "host-{{.Target}}", programs: [app], runtime: host}
  split: {asset: "split-{{.Target}}", programs: [app], runtime: split}
  libraries: {asset: "libraries-{{.Target}}", runtime-of: [split]}
`
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := matrix.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	s := &Session{File: f, Config: Config{Source: t.TempDir()}}
	plans, err := s.Plan(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"whole": "bin/app lib/ licenses/", "host": "bin/app", "split": "bin/app licenses/", "libraries": "lib/ licenses/",
	}
	for _, p := range plans[0].Packages {
		var paths []string
		for _, f := range p.Files {
			paths = append(paths, f.Path)
		}
		if got := strings.Join(paths, " "); got != want[p.Package] {
			t.Errorf("%s: %s, want %s", p.Package, got, want[p.Package])
		}
	}
}
