package pipeline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/relmat/relmat/internal/build"
	"github.com/relmat/relmat/internal/fsx"
	"github.com/relmat/relmat/internal/matrix"
	"github.com/relmat/relmat/internal/proc"
	"github.com/relmat/relmat/internal/progress"
	"github.com/relmat/relmat/internal/toolchain"
)

// InitOptions say where a first targets.yaml is made of what.
type InitOptions struct {
	// Source is a directory of the Cargo workspace; the working directory if
	// empty.
	Source string
	// To is the file to write; targets.yaml in Source if empty.
	To string
	// Env is the environment of this process.
	Env      []string
	Reporter *progress.Reporter
}

// InitResult is what was written.
type InitResult struct {
	Path           string   `json:"path"`
	Project        string   `json:"project"`
	VersionPackage string   `json:"version_package"`
	Programs       []string `json:"programs"`
	Targets        []string `json:"targets"`
	NativeCrates   []string `json:"native_crates,omitempty"`
	// Notes say what to look at before the first release.
	Notes []string `json:"notes,omitempty"`
}

// Init writes a first targets.yaml for a Cargo workspace. A file that is there
// stays as it is.
func Init(ctx context.Context, o InitOptions) (*InitResult, error) {
	source, err := filepath.Abs(o.Source)
	if err != nil {
		return nil, err
	}
	to := filepath.Join(source, "targets.yaml")
	if o.To != "" {
		if to, err = filepath.Abs(o.To); err != nil {
			return nil, err
		}
	}
	if err := absent(to); err != nil {
		return nil, err
	}
	env := toolchain.FilterEnv(o.Env, nil)
	if err := toolchain.Missing(toolchain.Tools(matrix.Row{}, env), env); err != nil {
		return nil, err
	}
	w, err := build.ReadWorkspace(ctx, source, env)
	if err != nil {
		return nil, err
	}
	triple, err := hostTriple(ctx, source, env)
	if err != nil {
		return nil, err
	}
	d, err := newDraft(w, triple)
	if err != nil {
		return nil, err
	}
	if d.Source, err = relativeSource(to, w.Root); err != nil {
		return nil, err
	}
	text, err := d.render(to)
	if err != nil {
		return nil, err
	}
	if err := absent(to); err != nil { // Cargo took its time
		return nil, err
	}
	if err := fsx.WriteFile(to, text, 0o644); err != nil {
		return nil, fmt.Errorf("writing the matrix: %w", err)
	}
	res := &InitResult{Path: to, Project: d.Project, VersionPackage: d.VersionPackage, NativeCrates: d.Native, Notes: d.notes}
	for _, p := range d.Programs {
		res.Programs = append(res.Programs, p.Name)
	}
	for _, t := range d.Targets {
		res.Targets = append(res.Targets, t.Name)
	}
	for _, n := range res.Notes {
		o.Reporter.Note("%s", n)
	}
	return res, nil
}

// absent is an error if there is something at path, a link to nowhere too.
func absent(path string) error {
	switch _, err := os.Lstat(path); {
	case err == nil:
		return fmt.Errorf("there is already a %s, which stays as it is; move it away, or name another file with --to", path)
	case errors.Is(err, fs.ErrNotExist):
		return nil
	default:
		return fmt.Errorf("looking for a matrix that is there already: %w", err)
	}
}

// hostTriple asks Cargo for which triple it builds where none is named.
func hostTriple(ctx context.Context, dir string, env []string) (string, error) {
	out, err := proc.Cmd{Path: "cargo", Args: []string{"-vV"}, Dir: dir, Env: env}.Output(ctx)
	if err != nil {
		return "", fmt.Errorf("asking Cargo for this host's target triple: %w", err)
	}
	for line := range strings.Lines(out) {
		if host, ok := strings.CutPrefix(line, "host: "); ok {
			return strings.TrimSpace(host), nil
		}
	}
	return "", fmt.Errorf("asking Cargo for this host's target triple: `cargo -vV` names no host")
}

// relativeSource is the workspace's root as seen from the matrix at to.
func relativeSource(to, root string) (string, error) {
	dir := filepath.Dir(to)
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		rel, err := filepath.Rel(real, root)
		if err == nil && filepath.IsLocal(rel) {
			return filepath.ToSlash(rel), nil
		}
	}
	// With "..", it is the path as it is written that counts, links and all.
	rel, err := filepath.Rel(dir, root)
	if err != nil {
		return "", fmt.Errorf("no relative path leads from %s to the Cargo workspace %s; name a file on the same drive with --to", dir, root)
	}
	return filepath.ToSlash(rel), nil
}

// render is the text of the draft, which loads.
func (d *draft) render(path string) ([]byte, error) {
	var b bytes.Buffer
	if err := draftTemplate.Execute(&b, d); err != nil {
		return nil, err
	}
	if _, err := matrix.Parse(path, b.Bytes()); err != nil {
		return nil, fmt.Errorf("what `cargo metadata` tells makes no matrix that loads; write it by hand, docs/targets.md explains every key: %v", err)
	}
	return b.Bytes(), nil
}

// licenses lists the files of a checkout's root that every package takes.
func licenses(root string) ([]string, error) {
	entries, err := os.ReadDir(root)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if licenseName.MatchString(e.Name()) && e.Type().IsRegular() {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}
