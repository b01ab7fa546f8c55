package bundle

import (
	"cmp"
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/relmat/relmat/internal/cuda"
	"github.com/relmat/relmat/internal/loader"
	"github.com/relmat/relmat/internal/manifest"
	"github.com/relmat/relmat/internal/objfile"
)

// need is a library that the loader does not find in the package.
type need struct {
	// name is as the file by spells it, or a pattern of cuda's table; root is
	// the program or library with which by is loaded.
	name, how string
	by, root  *item
	searched  []string
	hint      string
	// others are further names that do as well.
	others []string
	// optional says that the program runs without it.
	optional bool
}

// closure adds every library that the native files of the package need at run
// time. It asks the loader's own rules of the package as it is so far, adds
// what they do not find, and asks again until nothing is missing. What they do
// not find although it is in the package is an error, as is what no source has.
func (b *builder) closure(ctx context.Context) error {
	for {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		needs, err := b.unmet()
		if err != nil {
			return err
		}
		added := false
		for _, n := range needs {
			ok, err := b.satisfy(ctx, n)
			if err != nil {
				return err
			}
			added = added || ok
		}
		switch {
		case added || b.moveDLLs(needs):
			continue
		}
		if err := b.incomplete(needs); err != nil {
			return err
		}
		return b.families()
	}
}

const (
	// packageDir is where the view has the package. Its lib is not the system's
	// /lib, in which every program finds its libraries.
	packageDir = "/package"
	// apartDir is where the view has the libraries that users have from
	// elsewhere: in no directory of the package, but in the loader's search path.
	apartDir = "/host"
)

// at is where the view has the file.
func (b *builder) at(it *item) string {
	if it.apart && b.runtime == "host" {
		return apartDir + "/" + it.name()
	}
	return packageDir + "/" + it.Path
}

// unmet asks the loader for all that the package's programs and libraries need,
// and returns what it does not find, in a fixed order.
func (b *builder) unmet() ([]need, error) {
	entries := map[string]loader.Entry{}
	items := map[string]*item{}
	var roots, libraries []*item
	program := ""
	for _, it := range b.items {
		objects, err := it.native()
		switch {
		case err != nil && it.Role == "":
			objects = nil // a damaged file that the matrix adds is not ours to judge here
		case err != nil:
			return nil, err
		}
		e := loader.Entry{Objects: objects}
		if len(objects) > 0 {
			e.File = it.src
		}
		at := b.at(it)
		entries[at], items[at] = e, it
		switch isProgram := it.Origin == manifest.Build || it.Origin == manifest.Prebuilt; {
		case len(objects) == 0:
		case it.Role == "program" || isProgram && it.Role == "library":
			roots = append(roots, it)
			if program == "" && it.Role == "program" {
				program = at
			}
		case it.Role == "" && it.kind() == objfile.Executable:
			roots = append(roots, it)
		case (it.Role == "" || it.Role == "library" && b.o.Row.Platform.OS == "macos") && (it.kind() == objfile.Library || it.kind() == objfile.Bundle):
			// Of macOS also those that wait for what loads them, see leftToLoader.
			libraries = append(libraries, it)
		}
	}
	view := loader.Files(entries)
	w := &walk{b: b, items: items, seen: map[string]bool{}}
	opts := b.loaderOptions()
	for _, it := range roots {
		tree, err := w.tree(view, it, opts)
		if err != nil {
			return nil, err
		}
		if err := w.delayed(view, tree, opts); err != nil {
			return nil, err
		}
	}
	// What the matrix adds and no program loads by itself, as plug-ins.
	opts.Executable = program
	for _, it := range libraries {
		if w.reached[b.at(it)] || it.objects[0].Format != formatOf[b.o.Row.Platform.OS] {
			continue
		}
		if _, err := w.tree(view, it, opts); err != nil {
			return nil, err
		}
	}
	return w.needs, nil
}

var formatOf = map[string]objfile.Format{"linux": objfile.ELF, "windows": objfile.PE, "macos": objfile.MachO}

func (b *builder) loaderOptions() loader.Options {
	platform := b.o.Row.Platform
	o := loader.Options{
		Platform: platform.OS, Machine: platform.Arch, ByName: true, HookDirs: b.layout.Hooks(),
		Base: loader.Base(platform.OS).With(b.o.Row.SystemLibraries...),
	}
	if b.runtime == "host" {
		o.Env = []string{apartDir}
	}
	if strings.HasPrefix(b.o.Row.CPU.Level, "x86-64") {
		o.CPU = b.o.Row.CPU.Level
	}
	return o
}

// walk gathers what trees lack.
type walk struct {
	b       *builder
	items   map[string]*item
	reached map[string]bool
	seen    map[string]bool
	needs   []need
}

// delayed looks at each DLL that is loaded at the first call as if it were the
// first: what is loaded before it depends on what the program does.
func (w *walk) delayed(view loader.View, tree *loader.Tree, opts loader.Options) error {
	opts.Executable = tree.Root
	for _, e := range tree.Nodes[tree.Root].Edges {
		if e.How != "delay" || e.Class != loader.Found {
			continue
		}
		if _, err := w.tree(view, w.items[e.Path], opts); err != nil {
			return err
		}
	}
	return nil
}

func (w *walk) tree(view loader.View, root *item, opts loader.Options) (*loader.Tree, error) {
	if opts.Executable == w.b.at(root) {
		opts.Executable = ""
	}
	tree, err := loader.Resolve(view, w.b.at(root), opts)
	if err != nil {
		return nil, err
	}
	if w.reached == nil {
		w.reached = map[string]bool{}
	}
	program := root
	if opts.Executable != "" {
		program = w.items[opts.Executable]
	}
	for _, p := range tree.Order {
		w.reached[p] = true
		node := tree.Nodes[p]
		for _, e := range node.Edges {
			if e.Class != loader.Missing {
				continue
			}
			n := need{name: e.Name, how: e.How, by: w.items[p], root: program, searched: searched(e), hint: e.Hint, optional: e.How == "weak"}
			if e.How == "dlopen" {
				for _, note := range node.Object.Dlopen {
					if len(note.Sonames) > 0 && note.Sonames[0] == e.Name {
						n.others, n.optional = note.Sonames[1:], note.Priority != "required"
					}
				}
			}
			if key := n.how + "\x00" + n.name + "\x00" + p; !w.seen[key] {
				w.seen[key] = true
				w.needs = append(w.needs, n)
			}
		}
	}
	return tree, nil
}

// searched are the directories at which the loader looked, those of the package
// relative to its root.
func searched(e loader.Edge) []string {
	var dirs []string
	for _, d := range e.Searched {
		if rel, ok := strings.CutPrefix(path.Clean(d)+"/", packageDir+"/"); ok {
			d = path.Clean("./" + rel)
		}
		dirs = append(dirs, d)
	}
	return dirs
}

// base is the file name of what is needed, as the platform compares it.
func (b *builder) base(name string) string {
	name = path.Base(strings.ReplaceAll(name, `\`, "/"))
	if b.o.Row.Platform.OS == "windows" {
		return strings.ToLower(name)
	}
	return name
}

// inPackage returns the library of that name, wherever it lies.
func (b *builder) inPackage(name string) *item {
	name = b.base(name)
	for _, it := range b.items {
		if ok, _ := path.Match(name, b.base(it.Path)); ok && (it.Role == "library" || it.kind() == objfile.Library) {
			return it
		}
	}
	return nil
}

// satisfy adds the library that is needed, if it is not in the package yet and
// a source has it.
func (b *builder) satisfy(ctx context.Context, n need) (added bool, err error) {
	for _, name := range append([]string{n.name}, n.others...) {
		if b.inPackage(name) != nil {
			return false, nil
		}
		f, err := b.find(ctx, name, n)
		if err != nil {
			return false, err
		}
		if f == nil {
			continue
		}
		it := b.item(*f, name, n)
		before := len(b.items)
		b.add(it)
		if err := b.collisions(); err != nil {
			return false, err
		}
		return len(b.items) > before, nil
	}
	return false, nil
}

// find asks the sources in their order.
func (b *builder) find(ctx context.Context, name string, n need) (*found, error) {
	for _, s := range b.sources {
		if n.optional && !s.pinned() {
			continue // only what the matrix has chosen is packed without need
		}
		list, err := s.find(ctx, b.base(name), n.by)
		if err != nil {
			return nil, err
		}
		if f := b.best(list, n.by); f != nil {
			return f, nil
		}
	}
	return nil, nil
}

// best chooses among libraries of which each would do: one that the platform's
// loader takes; of the major version of what loads it; of the same wheel; the
// newest; the first.
func (b *builder) best(list []found, by *item) *found {
	list = slices.DeleteFunc(slices.Clone(list), func(f found) bool { return !b.loads(f.src) })
	if len(list) == 0 {
		return nil
	}
	own := majorOf(by.name())
	slices.SortStableFunc(list, func(x, y found) int {
		return cmp.Or(
			-compareBool(majorOf(path.Base(x.name)) == own, majorOf(path.Base(y.name)) == own),
			-compareBool(x.dist != "" && x.dist == by.dist, y.dist != "" && y.dist == by.dist),
			-cuda.CompareVersions(versionOf(x.name), versionOf(y.name)),
		)
	})
	return &list[0]
}

func compareBool(x, y bool) int {
	switch {
	case x == y:
		return 0
	case x:
		return 1
	}
	return -1
}

// versionOf is the part of a library's name that is its version: 9.1 of
// libcudnn.so.9.1, 9 of cudnn64_9.dll.
func versionOf(name string) string {
	name = path.Base(name)
	if _, v, ok := strings.Cut(name, ".so."); ok {
		return v
	}
	name = strings.TrimSuffix(strings.ToLower(name), ".dll")
	if i := strings.LastIndexByte(name, '_'); i >= 0 && strings.Trim(name[i+1:], "0123456789") == "" {
		return name[i+1:]
	}
	return ""
}

func majorOf(name string) string {
	major, _, _ := strings.Cut(versionOf(name), ".")
	return major
}

// loads tells whether the platform's loader takes the file.
func (b *builder) loads(src string) bool {
	objects, err := objfile.Open(src)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(objects, func(o *objfile.Object) bool {
		return o.Format == formatOf[b.o.Row.Platform.OS] && o.Machine == b.o.Row.Platform.Arch
	})
}

// item makes a file of the package of what a source has.
func (b *builder) item(f found, name string, n need) item {
	it := item{
		src: f.src, dist: f.dist, notice: f.notice, vendor: f.vendor && !b.own[f.dist],
		File: manifest.File{Mode: "0644", Origin: f.origin, From: f.from, Role: "library", Why: why(n)},
	}
	// The loader asks by this name. Windows finds its files under any spelling,
	// and a pattern stands for the name that the library itself has.
	base := path.Base(strings.ReplaceAll(name, `\`, "/"))
	if b.o.Row.Platform.OS == "windows" {
		base = f.name
	} else if strings.ContainsAny(base, "*?[") {
		pattern := base
		base = f.name
		if objects, err := objfile.Open(f.src); err == nil {
			if ok, _ := path.Match(pattern, objects[0].Soname); ok {
				base = objects[0].Soname
			}
		}
	}
	it.Path = path.Join(path.Dir(b.layout.Place(base, f.inWheel)), base)
	it.apart = it.vendor && b.runtime != "bundle"
	return it
}

// hows say how a library is loaded, by loader.Edge's word.
var hows = map[string]string{
	"needed": "needed by", "weak": "used, if it is there, by", "reexport": "needed by", "upward": "needed by", "lazy": "needed at the first use by",
	"delay": "loaded at the first call by", "by-name": "loaded by name by", "dlopen": "loaded by name by",
}

func why(n need) string { return fmt.Sprintf("%s %s", cmp.Or(hows[n.how], "needed by"), n.by.name()) }

// moveDLLs puts DLLs beside the program that the layout has elsewhere, where
// only a program's own delay-load hook looks: what another DLL imports, Windows
// looks for beside the program, and a hook that finds nothing leaves the search
// to Windows.
func (b *builder) moveDLLs(needs []need) bool {
	if b.o.Row.Platform.OS != "windows" {
		return false
	}
	moved := false
	for _, n := range needs {
		it := b.inPackage(n.name)
		if it == nil || it.moved || it.Role != "library" || it.apart && b.runtime == "host" {
			continue
		}
		to := path.Join(path.Dir(n.root.Path), it.name())
		if to == it.Path || b.places[to] != nil {
			continue
		}
		delete(b.places, it.Path)
		it.Path, it.moved = to, true
		b.places[to] = it
		moved = true
	}
	return moved
}
