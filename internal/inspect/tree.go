package inspect

import (
	"context"
	"path"
	"path/filepath"
	"strings"

	"github.com/relmat/relmat/internal/loader"
	"github.com/relmat/relmat/internal/objfile"
)

// maxEdges bounds the work for all trees of a root; a tree that cannot be made
// counts as failedTree of them. A full CUDA toolkit has 2,000.
const (
	maxEdges   = 1 << 20
	failedTree = 1 << 16
)

// resolve finds what the files of a root need. Programs come first, then the
// libraries that no file of the root names, then the others: so that each file
// is seen as what loads it does.
func (s *surveyor) resolve(ctx context.Context, r *Root) error {
	view, err := s.view(r)
	if err != nil {
		return err
	}
	named := map[string]bool{}
	for _, f := range r.Files {
		for _, sl := range f.Slices {
			for _, n := range append(sl.Needs[:len(sl.Needs):len(sl.Needs)], sl.DelayNeeds...) {
				named[strings.ToLower(path.Base(n.Name))] = true
			}
		}
	}
	rank := func(f *File, sl *Slice) int {
		switch {
		case sl.Kind == objfile.Executable:
			return 0
		case !named[strings.ToLower(path.Base(f.Path))] && !named[strings.ToLower(path.Base(sl.Soname))]:
			return 1
		}
		return 2
	}
	left := maxEdges
	// seen are the nodes of the trees so far, by machine and path.
	type key struct{ machine, path string }
	type place struct {
		node *loader.Node
		root string
	}
	seen := map[key]place{}
	for n := range 3 {
		for _, f := range r.Files {
			for _, sl := range f.Slices {
				if rank(f, sl) != n || !loads(sl.Object) {
					continue
				}
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				at := r.at(f)
				if p, ok := seen[key{sl.Machine, at}]; ok {
					sl.Tree = &loader.Tree{Root: p.root, Nodes: map[string]*loader.Node{at: p.node}, Order: []string{at}}
					continue
				}
				if left <= 0 {
					sl.TreeErr = errTooMuch
					continue
				}
				tree, err := loader.Resolve(view, at, loader.Options{Machine: sl.Machine, ByName: true})
				if err != nil {
					sl.TreeErr = err
					left -= failedTree
					continue
				}
				sl.Tree = tree
				for p, node := range tree.Nodes {
					left -= 1 + len(node.Edges)
					if k := (key{sl.Machine, p}); seen[k].node == nil {
						seen[k] = place{node, tree.Root}
					}
				}
			}
		}
	}
	return nil
}

// loads tells whether a loader reads such a file.
func loads(o *objfile.Object) bool {
	switch o.Kind {
	case objfile.Executable, objfile.Library, objfile.Bundle:
	default:
		return false
	}
	switch o.Format {
	case objfile.ELF, objfile.PE, objfile.MachO:
		return o.Machine != "cuda"
	}
	return false
}

// mount is where the loader's view has an archive. Its own directories must not
// be taken for the system's: a package has a directory lib, too.
const mount = "/package"

// view is the files that a loader sees in a root: on the disk the whole
// machine, in an archive the archive.
func (s *surveyor) view(r *Root) (loader.View, error) {
	if r.onDisk() {
		view := loader.Disk("")
		dir := r.Path
		if r.Kind == "file" {
			dir = filepath.Dir(dir)
		}
		base, err := filepath.EvalSymlinks(dir)
		if err != nil {
			return nil, err
		}
		r.base, err = view.Path(base)
		return view, err
	}
	r.base = mount
	entries := map[string]loader.Entry{}
	for _, f := range r.Files {
		e := loader.Entry{Held: f.held}
		for _, sl := range f.Slices {
			e.Objects = append(e.Objects, sl.Object)
		}
		entries[r.at(f)] = e
	}
	for _, o := range r.Others {
		entries[path.Join(mount, o.Path)] = loader.Entry{}
	}
	for _, l := range r.Links {
		target := l.Target
		if l.Hard {
			target = path.Join(mount, target)
		}
		entries[path.Join(mount, l.Path)] = loader.Entry{Link: target}
	}
	return loader.Files(entries), nil
}

func (r *Root) onDisk() bool { return r.Kind == "file" || r.Kind == "directory" }

// at is where the view has a file.
func (r *Root) at(f *File) string { return path.Join(r.base, f.Path) }

// Name is how a file is told of: by its path in the root, or as it was given
// where it is the root.
func (r *Root) Name(f *File) string {
	if r.Kind == "file" {
		return filepath.ToSlash(r.Path)
	}
	return f.Path
}

// Rel is a path of a tree as the root's files are named: relative where it lies
// in the root, else as it is.
func (r *Root) Rel(p string) string {
	if p == r.base && p != "" {
		return "."
	}
	if rel, ok := strings.CutPrefix(p, strings.TrimSuffix(r.base, "/")+"/"); ok && r.base != "" {
		return rel
	}
	return p
}

// near is Rel for people, who would rather read ../lib than where that is; but
// not for the system's own directories.
func (r *Root) near(p string) string {
	if strings.HasPrefix(p, "/usr/") || strings.HasPrefix(p, "/lib") {
		return r.Rel(p)
	}
	rel, err := filepath.Rel(filepath.FromSlash(r.base), filepath.FromSlash(p))
	if rel = filepath.ToSlash(rel); err == nil && len(rel) < len(p) && !strings.HasPrefix(rel, "../../../") {
		return rel
	}
	return p
}
