package verify

import (
	"context"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/relmat/relmat/internal/loader"
	"github.com/relmat/relmat/internal/matrix"
	"github.com/relmat/relmat/internal/objfile"
)

// mount is where the loader's view has the package. Its own directories must
// not be taken for the system's: a package has a directory lib, too.
const mount = "/package"

// lookups is what the platform's loader finds of all that the files ask for.
type lookups struct {
	missing []missing
	drivers []driverNeed
	// cwd are the files whose run path depends on the current directory.
	cwd map[string]bool
	// left are the libraries that the package leaves to its users, by name.
	left map[string]bool
	// seen are the needs that are in missing already.
	seen map[[3]string]bool
}

// missing is a library that is found nowhere.
type missing struct {
	// Name is exact, where the package tells; else a pattern.
	Name string
	// How is as loader.Edge has it, By the file that asks, From the program
	// with which it is loaded, empty for By itself.
	How, By, From string
	Searched      []string
	Hint          string
	// Wheel is the requirement by which another wheel brings it; astray says
	// that the run path does not lead to where wheels are installed.
	Wheel  string
	astray bool
	// by is the file that asks. loose says that it was seen from a vendor's
	// library that nothing in the package is known to load.
	by    *entry
	loose bool
}

// driverNeed is a file that is not loaded without the GPU's driver.
type driverNeed struct{ By, Name string }

func (l *lookups) host() []string {
	if l == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(l.left))
}

// resolve asks the loader, for every program and for every library that no
// program loads, where each need is found: in the package alone, for nothing
// else of this machine is on another.
func (s *subject) resolve(ctx context.Context) error {
	s.lookups = &lookups{cwd: map[string]bool{}, left: map[string]bool{}, seen: map[[3]string]bool{}}
	entries := map[string]loader.Entry{}
	for _, e := range s.entries {
		switch {
		case e.Name != "" || e.Mode.IsDir():
		case e.Hard:
			entries[mount+"/"+e.Path] = loader.Entry{Link: mount + "/" + strings.TrimLeft(e.Link, "/")}
		case e.isLink():
			entries[mount+"/"+e.Path] = loader.Entry{Link: e.Link}
		default:
			var in loader.Entry
			for _, n := range e.slices {
				in.Objects = append(in.Objects, n.Object)
			}
			if len(in.Objects) > 0 {
				in.File = e.disk
			}
			entries[mount+"/"+e.Path] = in
		}
	}
	view := loader.Files(entries)
	reached := map[*objfile.Object]bool{}
	// What nothing else names comes first, so that each library is seen as what
	// loads it does.
	named := map[string]bool{}
	for _, n := range s.natives {
		for _, need := range append(n.Needs[:len(n.Needs):len(n.Needs)], n.DelayNeeds...) {
			named[strings.ToLower(path.Base(need.Name))] = true
		}
	}
	isNamed := func(n *native) bool {
		return named[strings.ToLower(n.entry.base())] || named[strings.ToLower(path.Base(n.Soname))]
	}
	programs := s.programs()
	if len(programs) == 0 {
		// A package around a library, such as mlx.dll: it stands for the program.
		for _, n := range s.natives {
			if n.loads() && n.entry.isBuild() && !isNamed(n) {
				programs = append(programs, n)
			}
		}
	}
	for _, n := range programs {
		if err := s.tree(ctx, view, n, nil, reached); err != nil {
			return err
		}
	}
	for _, alone := range []bool{true, false} {
		for _, n := range s.natives {
			if isNamed(n) == alone || !n.loads() || n.Kind == objfile.Executable || reached[n.Object] {
				continue
			}
			if err := s.tree(ctx, view, n, programs, reached); err != nil {
				return err
			}
		}
	}
	s.nameMissing()
	return nil
}

// maxTried bounds the programs with which a library is tried.
const maxTried = 16

// tree resolves one root. A library is tried with each program that could load
// it, since a program's run paths count for it too, and then alone.
func (s *subject) tree(ctx context.Context, view loader.View, n *native, programs []*native, reached map[*objfile.Object]bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	o := s.loaderOptions(n)
	var best *loader.Tree
	from := ""
	fewest := -1
	var failed error
	for _, p := range append([]*native{nil}, programs[:min(len(programs), maxTried)]...) {
		o.Executable = ""
		if p != nil {
			if p.Format != n.Format || p.Machine != n.Machine {
				continue
			}
			o.Executable = mount + "/" + p.entry.Path
		}
		t, err := loader.Resolve(view, mount+"/"+n.entry.Path, o)
		if err != nil {
			failed = err
			continue
		}
		if k := missingIn(t); fewest < 0 || k < fewest {
			best, fewest, from = t, k, ""
			if p != nil {
				from = p.entry.Path
			}
		}
		if fewest == 0 {
			break
		}
	}
	if best == nil {
		s.notProven = append(s.notProven, NotProven{What: "that " + text(n.entry.Path) + " finds its libraries", Why: failed.Error()})
		return nil
	}
	if from == "" && packagePath(best.Root) != n.entry.Path {
		from = n.entry.Path
	}
	for _, p := range best.Order {
		node := best.Nodes[p]
		first := !reached[node.Object]
		reached[node.Object] = true
		for _, e := range node.Edges {
			s.edge(n, node, e, from, first)
		}
	}
	return nil
}

func missingIn(t *loader.Tree) int {
	n := 0
	for _, node := range t.Nodes {
		for _, e := range node.Edges {
			if e.Class == loader.Missing && e.How != "weak" {
				n++
			}
		}
	}
	return n
}

func (s *subject) loaderOptions(n *native) loader.Options {
	o := loader.Options{Machine: n.Machine, ByName: true, HookDirs: s.hooks(), Base: loader.Base(n.os())}
	if s.wheel != nil && n.Format == objfile.PE {
		o.Env = s.addedDirectories()
	}
	if t := s.o.Target; t != nil {
		o.Base = o.Base.With(t.Row.SystemLibraries...)
		if strings.HasPrefix(t.Row.CPU.Level, "x86-64") {
			o.CPU = t.Row.CPU.Level
		}
	}
	return o
}

// addedDirectories are those of DLLs that a wheel adds to the search when it is
// imported, as delvewheel makes it: NAME.libs beside the packages.
func (s *subject) addedDirectories() []string {
	var out []string
	for _, e := range s.entries {
		dir := path.Dir(e.Path)
		if strings.HasSuffix(dir, ".libs") && !strings.Contains(dir, "/") && len(e.slices) > 0 && !slices.Contains(out, mount+"/"+dir) {
			out = append(out, mount+"/"+dir)
		}
	}
	return out
}

// hooks are where a Windows program's own delay-load hook looks: as the
// package's layout says or, without a matrix, as any layout of the table does,
// if the package has such a directory.
func (s *subject) hooks() map[string]string {
	if s.o.Target != nil {
		return s.o.Target.Package.LayoutOf().Hooks()
	}
	out := map[string]string{}
	for _, style := range []string{"mlx-windows"} {
		maps.Copy(out, matrix.Package{Layout: matrix.Layout{Style: style}}.LayoutOf().Hooks())
	}
	return out
}

// edge notes what matters of one need. first says that the node was not seen
// before: what another program finds otherwise is noted too.
func (s *subject) edge(root *native, node *loader.Node, e loader.Edge, from string, first bool) {
	by := packagePath(node.Path)
	if e.Cwd {
		s.lookups.cwd[by] = true
	}
	switch e.Class {
	case loader.Driver:
		if first && (e.How == "needed" || e.How == "reexport" || e.How == "upward") {
			s.lookups.drivers = append(s.lookups.drivers, driverNeed{by, e.Name})
		}
	case loader.Missing:
		if e.How == "weak" {
			return
		}
		if from == "" && by != root.entry.Path {
			from = root.entry.Path
		}
		m := missing{Name: e.Name, How: e.How, By: by, From: from, Searched: e.Searched, Hint: e.Hint, by: s.byPath[by], loose: root.Kind != objfile.Executable && !root.entry.isBuild()}
		key := [3]string{m.Name, m.By, m.How}
		if s.lookups.seen[key] {
			return
		}
		s.lookups.seen[key] = true
		s.lookups.missing = append(s.lookups.missing, m)
	}
}

// nameMissing makes patterns exact and sorts out what others bring.
func (s *subject) nameMissing() {
	var out []missing
	for _, m := range s.lookups.missing {
		if m.How == "by-name" {
			name, ok := s.exactName(m)
			if !ok {
				continue
			}
			m.Name = name
		}
		base := fileName(m.Name)
		// What loads such a library, and from where, nobody knows: it may well
		// find what lies in the package.
		if m.loose && s.fileNamed(base) != nil {
			continue
		}
		v := vendorNamed(base)
		if s.leftToUsers(base, v) {
			s.lookups.left[base] = true
			continue
		}
		if s.wheel != nil {
			if pythonLibrary.MatchString(base) {
				continue
			}
			if v != nil {
				for _, d := range v.Dists {
					if r := s.wheel.requires[d]; r != "" {
						m.Wheel, m.astray = r, !leadsToWheels(m)
					}
				}
			}
		}
		out = append(out, m)
	}
	s.lookups.missing = out
}

// fileNamed is the package's first file of that name, without case; nil where
// it has none.
func (s *subject) fileNamed(name string) *entry {
	for _, e := range s.entries {
		if !e.Mode.IsDir() && e.Name == "" && strings.EqualFold(e.base(), name) {
			return e
		}
	}
	return nil
}

// leftToUsers tells whether the package declares that users have a library from
// elsewhere: by name in a manifest or, without one, by the matrix's runtime,
// which is about vendors' libraries.
func (s *subject) leftToUsers(name string, v *vendorFile) bool {
	for _, m := range s.manifests {
		for _, l := range m.HostLibraries {
			if l.Name == name || strings.HasSuffix(strings.ToLower(name), ".dll") && strings.EqualFold(l.Name, name) {
				return true
			}
		}
	}
	t := s.o.Target
	return len(s.manifests) == 0 && t != nil && v != nil && (t.Package.Runtime == "host" || t.Package.Runtime == "split")
}

// leadsToWheels tells whether a file of a wheel looks for a library where
// NVIDIA's wheels are installed, beside its own.
func leadsToWheels(m missing) bool {
	if systemLoader(m.by) != "ld.so" {
		return true // there a hook or the importing program does
	}
	return slices.ContainsFunc(m.Searched, func(d string) bool { return strings.HasPrefix(path.Clean(d), mount+"/nvidia/") })
}

// fileName is the last element of a name as files spell it.
func fileName(name string) string { return path.Base(strings.ReplaceAll(name, `\`, "/")) }

// exactName is the name that a library loads where the table has a pattern: as
// the library itself spells it, else with the version of what belongs to it in
// the package. It is not ok where the library does not know the name: other
// versions of it do.
func (s *subject) exactName(m missing) (string, bool) {
	if strings.Contains(m.Name, `\`) { // an expression that nothing in the library matches
		s.notProven = append(s.notProven, NotProven{What: "what " + text(m.By) + " loads by name", Why: m.Hint})
		return "", false
	}
	if !strings.ContainsAny(m.Name, "*?[") {
		return m.Name, true
	}
	stem, _, _ := strings.Cut(m.Name, "*")
	if m.by == nil || m.by.disk == "" {
		return m.Name, true
	}
	dll := strings.HasSuffix(m.Name, ".dll")
	found, err := findStem(m.by.disk, strings.TrimSuffix(stem, "."), dll)
	if err != nil {
		return m.Name, true
	}
	if len(found) == 0 {
		return "", false
	}
	for _, name := range found {
		as := name
		if dll {
			as = strings.ToLower(name)
		}
		if ok, _ := path.Match(m.Name, as); ok && !strings.HasSuffix(name, ".") {
			return name, true
		}
	}
	return s.withVersion(m.Name), true
}

// withVersion makes a pattern exact: by a name that fits it and that another
// file needs, else by the version that other files of the same group have.
func (s *subject) withVersion(pattern string) string {
	var names []string
	for _, n := range s.natives {
		for _, need := range append(n.Needs[:len(n.Needs):len(n.Needs)], n.DelayNeeds...) {
			names = append(names, fileName(need.Name))
		}
	}
	for _, e := range s.entries {
		if e.regular() {
			names = append(names, e.base())
		}
	}
	for _, name := range names {
		as := name
		if strings.HasSuffix(pattern, ".dll") {
			as = strings.ToLower(name)
		}
		if ok, _ := path.Match(pattern, as); ok {
			return name
		}
	}
	want := vendorNamed(strings.Replace(pattern, "*", "0", 1))
	if want == nil || want.Group == "" || !strings.Contains(pattern, ".so.") {
		return pattern
	}
	known := map[string]int{}
	learn := func(name string) {
		v := vendorNamed(name)
		if v == nil || v.Group != want.Group || !strings.Contains(name, ".so.") {
			return
		}
		if star, ok := v.star(name); ok {
			known[star]++
		}
	}
	for _, name := range names {
		learn(name)
	}
	best := ""
	for _, star := range slices.Sorted(maps.Keys(known)) {
		if best == "" || known[star] > known[best] {
			best = star
		}
	}
	if best == "" {
		return pattern
	}
	return strings.Replace(pattern, "*", best, 1)
}
