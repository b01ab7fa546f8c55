package smoke_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/relmat/relmat/internal/archive"
	"github.com/relmat/relmat/internal/manifest"
	"github.com/relmat/relmat/internal/matrix"
	"github.com/relmat/relmat/internal/progress"
	"github.com/relmat/relmat/internal/smoke"
)

// steps parses a matrix whose smoke section is the given YAML.
func steps(t *testing.T, text string) *matrix.File {
	t.Helper()
	triple := matrix.Host().Arch + "-unknown-linux-gnu"
	f, err := matrix.Parse("targets.yaml", []byte(`
version: 1
project: {name: p, version-package: p}
programs: {prog: {package: p}, other: {package: p}}
targets:
  here: {triple: `+triple+`}
  there: {triple: aarch64-pc-windows-msvc}
packages: {pkg: {asset: "pkg-{{.Target}}", programs: [prog, other]}}
smoke:
`+text))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// pkg describes a package whose program prog is a shell script.
type pkg struct {
	script string
	target string
	// manifest replaces the package's own.
	manifest string
	prefix   string
	format   archive.Format
}

// pack writes the package's archive.
func (p pkg) pack(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	write(t, filepath.Join(root, "bin", "prog"), "#!/bin/sh\n"+p.script, 0o755)
	text := p.manifest
	if text == "" {
		m := manifest.Manifest{
			Project: "p", Version: "1.2.3", Target: "here", Package: "pkg", Programs: map[string]string{"prog": "bin/prog"},
			Files: []manifest.File{{Path: "bin/prog", Mode: "0755", Origin: manifest.Build, Role: "program"}},
		}
		if p.target != "" {
			m.Target = p.target
		}
		data, err := m.Encode()
		if err != nil {
			t.Fatal(err)
		}
		text = string(data)
	}
	if text != "none" {
		write(t, filepath.Join(root, manifest.FileName), text, 0o644)
	}
	if p.format == "" {
		p.format = archive.Zip
	}
	path := filepath.Join(t.TempDir(), "pkg."+string(p.format))
	out, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if err := archive.Write(out, p.format, root, p.prefix, nil); err != nil {
		t.Fatal(err)
	}
	return path
}

func write(t *testing.T, file, text string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

// events are the remarks of a run.
type events struct{ list []progress.Event }

func (e *events) Event(ev progress.Event) { e.list = append(e.list, ev) }

func (e *events) text(kind progress.Kind) string {
	var lines []string
	for _, ev := range e.list {
		if ev.Kind == kind {
			lines = append(lines, ev.Text)
		}
	}
	return strings.Join(lines, "\n")
}

func newTask(t *testing.T) (*progress.Task, *events) {
	t.Helper()
	e := &events{}
	return progress.New(e).Begin("here", "smoke", ""), e
}

// ownTemp gives the test a directory for temporary files in which it can see
// what a run leaves.
func ownTemp(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	return dir
}

// left lists what is in dir.
func left(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func run(t *testing.T, file *matrix.File, p pkg) (manifest.SmokeResult, error) {
	t.Helper()
	task, _ := newTask(t)
	return smoke.Run(t.Context(), smoke.Options{Archive: p.pack(t), File: file, Tag: "v1", Task: task, Device: manifest.Device{CPU: "cpu"}})
}
