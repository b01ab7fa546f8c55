package build

import (
	"context"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/relmat/relmat/internal/proc"
)

// Workspace is what `cargo metadata` tells of a project.
type Workspace struct {
	Root     string
	Packages []Package
}

// Package is a member of the workspace.
type Package struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Version string `json:"version"`
	// ManifestPath is its Cargo.toml.
	ManifestPath string `json:"manifest_path"`
	// RustVersion is the oldest Rust that it builds with; empty if it does not
	// say.
	RustVersion string `json:"rust_version"`
	// Features are those that it declares, with what each turns on.
	Features     map[string][]string `json:"features"`
	Dependencies []Dependency        `json:"dependencies"`
	Targets      []CargoTarget       `json:"targets"`
}

// Dependency is an entry of a package's dependencies.
type Dependency struct {
	Name string `json:"name"`
	// Kind is build or dev, or empty for one of the package itself.
	Kind string `json:"kind"`
}

// CargoTarget is what Cargo can make of a package: a library, a binary, a
// build script.
type CargoTarget struct {
	Name string   `json:"name"`
	Kind []string `json:"kind"`
	// SrcPath is its main source file.
	SrcPath string `json:"src_path"`
	// RequiredFeatures must be on for it to be built.
	RequiredFeatures []string `json:"required-features"`
}

// ReadWorkspace runs `cargo metadata` in dir.
func ReadWorkspace(ctx context.Context, dir string, env []string) (*Workspace, error) {
	out, err := proc.Cmd{
		Path: "cargo", Args: []string{"metadata", "--no-deps", "--format-version", "1"}, Dir: dir, Env: env,
	}.Output(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the Cargo workspace %s: %w", dir, err)
	}
	var meta struct {
		Packages []Package `json:"packages"`
		Root     string    `json:"workspace_root"`
	}
	if err := json.Unmarshal([]byte(out), &meta); err != nil {
		return nil, fmt.Errorf("reading the Cargo workspace %s: cargo metadata: %w", dir, err)
	}
	return &Workspace{Root: meta.Root, Packages: meta.Packages}, nil
}

// Package returns the member of that name.
func (w *Workspace) Package(name string) (Package, error) {
	var names []string
	for _, p := range w.Packages {
		if p.Name == name {
			return p, nil
		}
		names = append(names, p.Name)
	}
	return Package{}, fmt.Errorf("the Cargo workspace %s has no package %q; it has %s", w.Root, name, strings.Join(names, ", "))
}

// HasBin tells whether the package has a binary target of that name.
func (p Package) HasBin(name string) bool {
	for _, t := range p.Targets {
		if t.Name == name && slices.Contains(t.Kind, "bin") {
			return true
		}
	}
	return false
}

// message is a line of `cargo --message-format=json` ("External tools", The
// Cargo Book).
type message struct {
	Reason    string `json:"reason"`
	PackageID string `json:"package_id"`
	Target    struct {
		Name string   `json:"name"`
		Kind []string `json:"kind"`
	} `json:"target"`
	Executable string `json:"executable"`
	OutDir     string `json:"out_dir"`
	Success    bool   `json:"success"`
}

// parseMessage reads one line of cargo's stdout; ok is false for what a build
// script or rustc printed there.
func parseMessage(line string) (m message, ok bool) {
	if !strings.HasPrefix(line, "{") {
		return m, false
	}
	return m, json.Unmarshal([]byte(line), &m) == nil && m.Reason != ""
}

// crateName reads the package's name out of a package id ("Package ID
// Specifications", The Cargo Book): the fragment is name@version, or the
// version alone where the URL ends in the name.
func crateName(id string) string {
	url, fragment, ok := strings.Cut(id, "#")
	if !ok {
		return ""
	}
	if name, _, ok := strings.Cut(fragment, "@"); ok {
		return name
	}
	url, _, _ = strings.Cut(url, "?")
	return path.Base(url)
}
