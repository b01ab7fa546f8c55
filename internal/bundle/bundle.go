// Package bundle gathers a package: the programs, every library that they need
// on a machine that has none, the headers and texts that the matrix names, and
// the licences of what others made.
package bundle

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/relmat/relmat/internal/fsx"
	"github.com/relmat/relmat/internal/manifest"
	"github.com/relmat/relmat/internal/matrix"
	"github.com/relmat/relmat/internal/toolkit"
)

// Version changes with what the stage makes of the same inputs.
const Version = 1

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
	// Source is the project's checkout.
	Source string
	// Toolkit is nil for a target without one.
	Toolkit *toolkit.Toolkit
	Digests *fsx.Digests
}

// Plan is a package before it is written.
type Plan struct {
	Manifest manifest.Manifest
	// Key identifies the plan's outcome.
	Key   string
	items []item
}

// item is a file of the package and where it comes from.
type item struct {
	manifest.File
	src string
}

// RunPath is the run path that programs of the layout need to find their
// libraries, relative to themselves.
func RunPath(l matrix.Layout) string {
	rel, err := filepath.Rel(filepath.FromSlash(l.Programs), filepath.FromSlash(l.Libraries))
	if err != nil {
		rel = filepath.FromSlash(l.Libraries)
	}
	if rel == "." {
		return "$ORIGIN"
	}
	return "$ORIGIN/" + filepath.ToSlash(rel)
}

// New decides what the package holds. It reads every input, so what is missing
// is said before anything is written.
func New(ctx context.Context, o Options) (*Plan, error) {
	if o.Row.Platform.OS != "linux" {
		return nil, fmt.Errorf("packages for %s cannot be bundled yet; see docs/limits.md", o.Row.Platform.OS)
	}
	b := &builder{o: o, layout: o.Package.LayoutOf(), places: map[string]string{}}
	programs := map[string]string{}
	for _, name := range o.Package.Programs {
		exe, ok := o.Programs[name]
		if !ok {
			return nil, fmt.Errorf("program %s was not built", name)
		}
		at := path.Join(b.layout.Programs, name+o.Row.Platform.Exe())
		b.add(item{src: exe, File: manifest.File{Path: at, Mode: "0755", Origin: manifest.Build, Role: "program"}})
		programs[name] = at
	}
	if err := b.libraries(); err != nil {
		return nil, err
	}
	for i, files := range o.Package.Files {
		if !matrix.Matches(files.Targets, o.Row.Name) {
			continue
		}
		if err := b.files(files); err != nil {
			return nil, fmt.Errorf("files[%d]: %w", i, err)
		}
	}
	if err := b.digests(ctx); err != nil {
		return nil, err
	}
	if err := b.licenses(ctx); err != nil {
		return nil, err
	}
	if len(b.errs) > 0 {
		return nil, fmt.Errorf("%s", strings.Join(b.errs, "\n"))
	}
	slices.SortFunc(b.items, func(x, y item) int { return strings.Compare(x.Path, y.Path) })
	m := manifest.Manifest{
		Project: o.Project, Version: o.Release, Target: o.Row.Name, Triple: o.Row.Triple, Package: o.Name, Programs: programs,
	}
	for _, it := range b.items {
		m.Files = append(m.Files, it.File)
	}
	data, err := m.Encode()
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "bundle %d\n%s", Version, data))
	return &Plan{Manifest: m, Key: hex.EncodeToString(sum[:]), items: b.items}, nil
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
	for _, f := range append(slices.Clone(p.Manifest.Files), manifest.File{Path: manifest.FileName, Size: -1}) {
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

// Write makes the package's tree in the existing directory dir. Each file is
// hashed while it is copied: what changed since New is an error.
func (p *Plan) Write(ctx context.Context, dir string, count io.Writer) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(4)
	progress := &lockedWriter{w: count}
	for _, it := range p.items {
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			return it.write(dir, progress)
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	data, err := p.Manifest.Encode()
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, manifest.FileName), data, 0o644)
}

func (it item) write(dir string, count io.Writer) (err error) {
	dst := filepath.Join(dir, filepath.FromSlash(it.Path))
	if err := os.MkdirAll(filepath.Dir(dst), 0o755); err != nil {
		return err
	}
	mode, err := it.Perm()
	if err != nil {
		return err
	}
	in, err := os.Open(it.src)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(dst, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := out.Close(); err == nil {
			err = cerr
		}
	}()
	h := sha256.New()
	if _, err := io.CopyBuffer(io.MultiWriter(out, h, count), struct{ io.Reader }{in}, make([]byte, 1<<20)); err != nil {
		return fmt.Errorf("copying %s: %w", it.src, err)
	}
	if sum := hex.EncodeToString(h.Sum(nil)); sum != it.SHA256 {
		return fmt.Errorf("%s changed while the package was made", it.src)
	}
	return out.Chmod(mode)
}

type builder struct {
	o      Options
	layout matrix.Layout
	items  []item
	// places are the sources by path in the package.
	places map[string]string
	errs   []string
}

func (b *builder) add(it item) {
	if other, ok := b.places[it.Path]; ok {
		if other != it.src {
			b.errs = append(b.errs, fmt.Sprintf("%s and %s would both become %s in the package", other, it.src, it.Path))
		}
		return
	}
	if it.Path == manifest.FileName {
		b.errs = append(b.errs, fmt.Sprintf("%s: %s is the name of relmat's own list in the package; give it another with 'to'", it.src, it.Path))
		return
	}
	b.places[it.Path] = it.src
	b.items = append(b.items, it)
}

// noLibraries stands for the toolkit of a target that has none.
type noLibraries struct{}

func (noLibraries) Libraries(string) []toolkit.File { return nil }

func (b *builder) libraries() error {
	var programs []string
	for _, name := range b.o.Package.Programs {
		programs = append(programs, b.o.Programs[name])
	}
	var from libraries = noLibraries{}
	if b.o.Toolkit != nil {
		from = b.o.Toolkit
	}
	libs, err := closure(programs, from, append(slices.Clone(system[b.o.Row.Platform.OS]), b.o.Row.SystemLibraries...))
	if err != nil {
		return err
	}
	for _, l := range libs {
		b.add(item{src: l.Path, File: manifest.File{
			Path: path.Join(b.layout.Libraries, l.Name), Mode: "0644", Origin: manifest.Wheel,
			From: l.Dist + " " + l.Version, Role: "library", Why: l.Why,
		}})
	}
	if len(libs) == 0 {
		return nil
	}
	want := RunPath(b.layout)
	for i, exe := range programs {
		obj, err := openELF(exe)
		if err != nil {
			return err
		}
		if !slices.Contains(obj.Rpath, want) || len(obj.Runpath) > 0 {
			return fmt.Errorf("program %s has RPATH %q and RUNPATH %q, and needs RPATH %q alone to find its libraries; the build or a linker wrapper changes what relmat asked for",
				b.o.Package.Programs[i], strings.Join(obj.Rpath, ":"), strings.Join(obj.Runpath, ":"), want)
		}
	}
	return nil
}

// files adds an entry of the matrix: a file, or a directory with all below it.
func (b *builder) files(f matrix.Files) error {
	root, rel, origin, from := b.o.Source, f.Source, manifest.Source, ""
	switch {
	case f.OutDir != "":
		dirs := b.o.OutDirs[f.Crate]
		if len(dirs) > 1 {
			return fmt.Errorf("crate %s was built %d times, so its files are ambiguous: %s; give all programs the same features, and have one version of it in Cargo.lock",
				f.Crate, len(dirs), strings.Join(dirs, ", "))
		}
		if len(dirs) == 0 {
			var have []string
			for c := range b.o.OutDirs {
				have = append(have, c)
			}
			slices.Sort(have)
			return fmt.Errorf("no OUT_DIR of crate %q was named by Cargo; build scripts ran for %s", f.Crate, strings.Join(have, ", "))
		}
		root, rel, origin, from = dirs[0], f.OutDir, manifest.Build, "OUT_DIR of "+f.Crate
	case f.Toolkit != "":
		if b.o.Toolkit == nil {
			return fmt.Errorf("target %s has no toolkit; restrict the entry with targets", b.o.Row.Name)
		}
		root, rel, origin = b.o.Toolkit.Home(), f.Toolkit, manifest.Wheel
	}
	src := filepath.Join(root, filepath.FromSlash(rel))
	info, err := os.Stat(src)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		if len(f.Contains) > 0 || f.MinFiles > 1 {
			return fmt.Errorf("%s is a file, and contains or min-files describe a directory", src)
		}
		b.add(item{src: src, File: manifest.File{Path: f.To, Mode: modeOf(info), Origin: origin, From: from}})
		return nil
	}
	files := 0
	err = filepath.WalkDir(src, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if !d.Type().IsRegular() {
			return fmt.Errorf("%s is a %s; only regular files can be packed", p, d.Type())
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(src, p)
		if err != nil {
			return err
		}
		files++
		b.add(item{src: p, File: manifest.File{Path: path.Join(f.To, filepath.ToSlash(rel)), Mode: modeOf(info), Origin: origin, From: from}})
		return nil
	})
	if err != nil {
		return err
	}
	for _, c := range f.Contains {
		if st, err := os.Stat(filepath.Join(src, filepath.FromSlash(c))); err != nil || st.IsDir() {
			return fmt.Errorf("%s lacks %s, which the matrix says it contains", src, c)
		}
	}
	if files < max(f.MinFiles, 1) {
		return fmt.Errorf("%s holds %d files, the matrix wants at least %d", src, files, max(f.MinFiles, 1))
	}
	return nil
}

func modeOf(info fs.FileInfo) string {
	if info.Mode()&0o100 != 0 {
		return "0755"
	}
	return "0644"
}

// digests fills in sizes and digests, and recognises what a wheel brought
// although it came by way of the build.
func (b *builder) digests(ctx context.Context) error {
	if err := b.hash(ctx, b.items); err != nil {
		return err
	}
	for i := range b.items {
		it := &b.items[i]
		if b.o.Toolkit == nil {
			continue
		}
		if it.Origin == manifest.Wheel {
			f, ok := b.o.Toolkit.Lookup(it.src)
			if !ok {
				return fmt.Errorf("%s is of the toolkit but no wheel lists it", it.src)
			}
			if f.SHA256 != it.SHA256 {
				return fmt.Errorf("%s is not as %s %s brought it: the toolkit in the cache was changed; `relmat toolkit fetch --force` makes it anew", it.src, f.Dist, f.Version)
			}
			it.From = f.Dist + " " + f.Version
			continue
		}
		if f, ok := b.o.Toolkit.ByDigest(it.SHA256); ok && it.Size > 0 && it.Role == "" {
			it.Origin, it.From = manifest.Wheel, f.Dist+" "+f.Version
		}
	}
	return nil
}

func (b *builder) hash(ctx context.Context, items []item) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(4)
	for i := range items {
		g.Go(func() (err error) {
			if err := ctx.Err(); err != nil {
				return err
			}
			items[i].SHA256, items[i].Size, err = b.o.Digests.File(items[i].src)
			return err
		})
	}
	return g.Wait()
}

// licenses adds the licence files of every wheel that gave a file.
func (b *builder) licenses(ctx context.Context) error {
	if b.o.Toolkit == nil {
		return nil
	}
	dists := map[string]bool{}
	for _, it := range b.items {
		if it.Origin == manifest.Wheel {
			dist, _, _ := strings.Cut(it.From, " ")
			dists[dist] = true
		}
	}
	first := len(b.items)
	for dist := range dists {
		files := b.o.Toolkit.Licenses(dist)
		if len(files) == 0 {
			return fmt.Errorf("wheel %s has no licence file, so its files cannot be packed lawfully", dist)
		}
		for _, p := range files {
			f, _ := b.o.Toolkit.Lookup(p)
			b.add(item{src: p, File: manifest.File{
				Path: path.Join(b.layout.Licenses, dist, filepath.Base(p)), Mode: "0644",
				Origin: manifest.Wheel, From: dist + " " + f.Version, Role: "license",
			}})
		}
	}
	return b.hash(ctx, b.items[first:])
}

// lockedWriter lets copies that run at once count into one writer.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}
