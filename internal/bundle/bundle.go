// Package bundle gathers a package: the programs, every library that they need
// on a machine that has none, the headers and texts that the matrix names, and
// the licences of what others made.
package bundle

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/relmat/relmat/internal/fsx"
	"github.com/relmat/relmat/internal/manifest"
	"github.com/relmat/relmat/internal/matrix"
	"github.com/relmat/relmat/internal/toolkit"
)

// Version changes with what the stage makes of the same inputs.
const Version = 2

// Options are what a package is made of.
type Options struct {
	Row     matrix.Row
	Name    string
	Package matrix.Package
	Project string
	Release string // the project's version
	// Programs are the built executables by program name, OutDirs the OUT_DIRs
	// by crate.
	Programs map[string]string
	OutDirs  map[string][]string
	// Prebuilt are the programs that somebody else built.
	Prebuilt map[string]matrix.From
	// RuntimePackage is the package that holds the vendor's libraries of this
	// one, with "runtime: split".
	RuntimePackage string
	// Source is the project's checkout.
	Source string
	// Toolkit is nil for a target without one. Its libraries then come from the
	// toolkit of the host that the build's environment names.
	Toolkit *toolkit.Toolkit
	// Env is the environment of the build, as KEY=VALUE.
	Env     []string
	Digests *fsx.Digests
}

// Plan is a package before it is written.
type Plan struct {
	Manifest manifest.Manifest
	// Key identifies the plan's outcome.
	Key string
	// Notes are what whoever releases the package should know of it.
	Notes []string

	items []item
	// split are the vendor's libraries that another package holds, with their
	// licences.
	split []item
}

// New decides what the package holds. It reads every input, so what is missing
// is said before anything is written. A package of libraries alone is made by
// Runtime.
func New(ctx context.Context, o Options) (*Plan, error) {
	b, err := newBuilder(o)
	if err != nil {
		return nil, err
	}
	if err := b.programs(); err != nil {
		return nil, err
	}
	if err := b.addFiles(); err != nil {
		return nil, err
	}
	if err := b.closure(ctx); err != nil {
		return nil, err
	}
	if err := b.beside(); err != nil {
		return nil, err
	}
	if err := b.finish(ctx); err != nil {
		return nil, err
	}
	return b.plan()
}

// plan makes the plan of what was gathered.
func (b *builder) plan() (*Plan, error) {
	p := &Plan{Notes: b.notes}
	p.Manifest = manifest.Manifest{
		Project: b.o.Project, Version: b.o.Release, Target: b.o.Row.Name, Triple: b.o.Row.Triple, Package: b.o.Name,
		RuntimeOf: b.o.Package.RuntimeOf, Programs: b.programsAt,
	}
	for _, it := range b.items {
		switch {
		case !it.apart:
			p.items = append(p.items, *it)
		case b.runtime == "split":
			p.split = append(p.split, *it)
			if it.Role == "library" {
				p.Manifest.HostLibraries = append(p.Manifest.HostLibraries, manifest.HostLibrary{
					Name: it.name(), From: it.From, Why: it.Why, Package: b.o.RuntimePackage, Path: it.Path,
				})
			}
		case it.Role == "library":
			p.Manifest.HostLibraries = append(p.Manifest.HostLibraries, manifest.HostLibrary{Name: it.name(), From: it.From, Why: it.Why})
		}
	}
	slices.SortFunc(p.items, func(x, y item) int { return strings.Compare(x.Path, y.Path) })
	for _, it := range p.items {
		p.Manifest.Files = append(p.Manifest.Files, it.File)
	}
	data, err := p.Manifest.Encode()
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "bundle %d\n%s", Version, data))
	p.Key = hex.EncodeToString(sum[:])
	return p, nil
}

// Size is the sum of the package's files, in bytes.
func (p *Plan) Size() int64 {
	var n int64
	for _, f := range p.Manifest.Files {
		n += f.Size
	}
	return n
}

// Whole checks that the tree at dir, written earlier for a plan of the same
// key, has every file in its size.
func (p *Plan) Whole(dir string) error {
	for _, f := range append(slices.Clone(p.Manifest.Files), manifest.File{Path: p.Manifest.Name(), Size: -1}) {
		info, err := os.Lstat(filepath.Join(dir, filepath.FromSlash(f.Path)))
		if err != nil {
			return err
		}
		if info.Size() != f.Size && f.Size >= 0 || info.Size() == 0 && f.Size < 0 {
			return fmt.Errorf("%s has another size", f.Path)
		}
	}
	return nil
}

// addFiles adds what the matrix names for the target.
func (b *builder) addFiles() error {
	for i, files := range b.o.Package.Files {
		if !matrix.Matches(files.Targets, b.o.Row.Name) {
			continue
		}
		if err := b.files(files); err != nil {
			return fmt.Errorf("files[%d]: %w", i, err)
		}
	}
	return b.collisions()
}

// collisions says which sources would have one place.
func (b *builder) collisions() error {
	if len(b.errs) == 0 {
		return nil
	}
	return errors.New(strings.Join(b.errs, "\n"))
}
