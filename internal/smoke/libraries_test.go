package smoke_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/relmat/relmat/internal/archive"
	"github.com/relmat/relmat/internal/manifest"
	"github.com/relmat/relmat/internal/matrix"
	"github.com/relmat/relmat/internal/smoke"
)

// withLibraries is the manifest of a package that leaves libraries to its users.
func withLibraries(t *testing.T, libraries ...manifest.HostLibrary) string {
	t.Helper()
	m := manifest.Manifest{
		Project: "p", Version: "1.2.3", Target: "here", Package: "pkg", Programs: map[string]string{"prog": "bin/prog"}, HostLibraries: libraries,
		Files: []manifest.File{{Path: "bin/prog", Mode: "0755", Origin: manifest.Build, Role: "program"}},
	}
	data, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

const printPath = `  steps: {s: {program: prog, expect: {stdout: '^(?P<path>.*)$'}}}`

// TestLibrariesOfHost gives the directories of the vendor's libraries to
// packages that leave them to their users, and to no others.
func TestLibrariesOfHost(t *testing.T) {
	ownTemp(t)
	file := steps(t, printPath)
	task, _ := newTask(t)
	options := func(p pkg) smoke.Options {
		p.script = `echo "$LD_LIBRARY_PATH"`
		return smoke.Options{
			Archive: p.pack(t), File: file, Tag: "v1", Task: task, Device: manifest.Device{CPU: "cpu"},
			Libraries: func(row matrix.Row) ([]string, error) { return []string{"/cuda/" + row.Name, "/cudnn"}, nil },
		}
	}
	declared := pkg{manifest: withLibraries(t, manifest.HostLibrary{Name: "libcudart.so.13"})}
	for name, tt := range map[string]struct {
		p    pkg
		want string
	}{"declared": {declared, "/cuda/here:/cudnn"}, "not declared": {pkg{}, ""}} {
		res, err := smoke.Run(t.Context(), options(tt.p))
		if err != nil {
			t.Fatal(err)
		}
		if got := res.Steps[0].Values["path"]; got != tt.want {
			t.Errorf("%s: the program sees %q, want %q", name, got, tt.want)
		}
	}
	o := options(declared)
	o.Libraries = func(matrix.Row) ([]string, error) { return nil, errors.New("no toolkit") }
	if _, err := smoke.Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "leaves the vendor's libraries to its users: no toolkit") {
		t.Errorf("a host without libraries gives %v", err)
	}
	o.Libraries = nil
	if _, err := smoke.Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "this test knows of none on this host") {
		t.Errorf("a test that knows of none gives %v", err)
	}
}

// TestLibrariesOfOtherPackage unpacks the package of libraries over the tested
// one, as users do.
func TestLibrariesOfOtherPackage(t *testing.T) {
	ownTemp(t)
	libs := func(prefix string) string {
		root := t.TempDir()
		write(t, filepath.Join(root, "lib", "libnccl.so.2"), "nccl", 0o644)
		m := manifest.Manifest{
			Target: "here", Package: "libs", RuntimeOf: []string{"pkg"}, Programs: map[string]string{},
			Files: []manifest.File{{Path: "lib/libnccl.so.2", Mode: "0644", Origin: manifest.Wheel, Role: "library"}},
		}
		data, err := m.Encode()
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(root, m.Name()), string(data), 0o644)
		path := filepath.Join(t.TempDir(), "libs.zip")
		out, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		if err := archive.Write(out, archive.Zip, root, prefix, nil); err != nil {
			t.Fatal(err)
		}
		return path
	}
	needs := withLibraries(t, manifest.HostLibrary{Name: "libnccl.so.2", Package: "libs", Path: "lib/libnccl.so.2"})
	task, said := newTask(t)
	run := func(over func(matrix.Row, string) (string, error)) (manifest.SmokeResult, error) {
		p := pkg{manifest: needs, prefix: "app", script: `echo "$LD_LIBRARY_PATH:$(cat "$(dirname "$0")/../lib/libnccl.so.2")"`}
		return smoke.Run(t.Context(), smoke.Options{Archive: p.pack(t), File: steps(t, printPath), Tag: "v1", Task: task, Over: over})
	}
	res, err := run(func(row matrix.Row, pkg string) (string, error) {
		if row.Name != "here" || pkg != "libs" {
			t.Errorf("asked for %s of %s", pkg, row.Name)
		}
		return libs("app"), nil
	})
	if err != nil || res.Steps[0].Values["path"] != ":nccl" {
		t.Errorf("%+v, %v", res, err)
	}
	for name, tt := range map[string]struct {
		over func(matrix.Row, string) (string, error)
		want string
	}{
		"another root": {func(matrix.Row, string) (string, error) { return libs("libs"), nil }, "package libs, unpacked over pkg, does not put libnccl.so.2 at lib/libnccl.so.2; give both packages the same root"},
		"not there":    {func(matrix.Row, string) (string, error) { return "", errors.New("it is not packed") }, "package pkg needs package libs: it is not packed"},
		"not asked":    {nil, "package pkg needs package libs: its archive is not at hand"},
	} {
		if _, err := run(tt.over); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s gives %v, want %q", name, err, tt.want)
		}
	}
	// By itself it has nothing to run.
	res, err = smoke.Run(t.Context(), smoke.Options{Archive: libs("libs"), File: steps(t, printPath), Tag: "v1", Task: task})
	if err != nil || res.Package != "libs" || len(res.Steps) != 0 || !strings.Contains(said.text("note"), "tested with pkg") {
		t.Errorf("the libraries alone: %+v, %v, %q", res, err, said.text("note"))
	}
}
