package loader

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/relmat/relmat/internal/objfile"
)

// dyld is macOS's dynamic linker: dyld(1), and dyld/Loader.cpp and
// dyld/DyldProcessConfig.cpp of its source. Left out are the variables for
// versioned libraries and image suffixes, cryptexes, Catalyst and simulators.
type dyld struct {
	s *session
	// stack are the modules from the one whose needs are looked for up to the
	// program: the run path stack.
	stack []*module
}

func newDyld(s *session) *dyld { return &dyld{s: s} }

// register makes a module satisfy its path and its install name, as
// JustInTimeLoader::matchesPath compares them.
func (d *dyld) register(m *module) { d.s.names(m, m.real) }

// loadDependents loads what a module needs, and then what each of these needs:
// their run path stacks are those of the first way that leads to them.
func (d *dyld) loadDependents(m *module) error {
	if m.chain {
		return nil
	}
	m.chain = true
	outer := d.stack
	if len(outer) == 0 {
		// What a program loads at run time has the loading module's stack.
		for c := m.loader; c != nil; c = c.loader {
			d.stack = append(d.stack, c)
		}
		slices.Reverse(d.stack)
	}
	d.stack = append(d.stack, m)
	defer func() { d.stack = outer }()
	if err := d.s.linkAll(m); err != nil {
		return err
	}
	for _, e := range m.node.Edges {
		next := d.s.byReal[e.Path]
		if next == nil || next.chain {
			continue
		}
		next.loader = m
		if err := d.loadDependents(next); err != nil {
			return err
		}
	}
	return nil
}

// candidate is a path at which dyld looks.
type candidate struct {
	path, via string
	cwd       bool
	// direct says that the file itself names the path.
	direct bool
}

func (d *dyld) find(from *module, name, how string) (hit, error) {
	s := d.s
	runtime := how == "dlopen" || how == "by-name"
	if m := s.byName[name]; m != nil {
		return hit{module: m, class: m.class, via: again(m)}, nil
	}
	if runtime && !strings.Contains(name, "/") {
		if m := s.byName["@rpath/"+name]; m != nil {
			return hit{module: m, class: m.class, via: again(m)}, nil
		}
	}
	if s.base.inPrefix(name) {
		return hit{class: System, via: "shared cache"}, nil
	}
	if len(d.stack) == 0 || d.stack[len(d.stack)-1] != from {
		var stack []*module
		for c := from; c != nil; c = c.loader {
			stack = append(stack, c)
		}
		slices.Reverse(stack)
		outer := d.stack
		d.stack = stack
		defer func() { d.stack = outer }()
	}
	candidates, err := d.candidates(from, name, runtime)
	if err != nil {
		return hit{}, err
	}
	out := hit{class: Missing}
	for _, c := range candidates {
		if err := s.spend(1); err != nil {
			return hit{}, err
		}
		out.cwd = out.cwd || c.cwd
		if c.cwd {
			if s.opts.Dir == "" {
				out.searched = append(out.searched, path.Dir(c.path))
				continue
			}
			c.path = join(s.opts.Dir, c.path)
		}
		if m := s.byName[c.path]; m != nil {
			out.module, out.class, out.via, out.hint = m, m.class, again(m), ""
			return out, nil
		}
		if d.try(&out, from, name, c.path) {
			out.class, out.via, out.hint = Found, c.via, ""
			return out, nil
		}
		if clean := path.Clean(c.path); s.base.listed(clean) || c.direct && s.base.inPrefix(clean) {
			out.class, out.via, out.hint = System, c.via+", shared cache", ""
			return out, nil
		}
		out.searched = append(out.searched, path.Dir(c.path))
	}
	return out, nil
}

// try looks at one path: a file that cannot be loaded is passed over.
func (d *dyld) try(out *hit, from *module, name, p string) bool {
	objects, real, err := d.s.view.Object(p)
	if err != nil {
		if !notThere(err) && out.hint == "" {
			out.hint = damage(p, err)
		}
		return false
	}
	machine := d.s.program.obj.Machine
	obj := slice(objects, machine)
	if obj == nil || obj.Format != objfile.MachO {
		if out.hint == "" {
			out.hint = fmt.Sprintf("%s is passed over: it has no code for %s", p, machine)
		}
		return false
	}
	out.module = d.s.load(from, p, real, obj)
	d.register(out.module)
	d.s.names(out.module, p)
	return true
}

// candidates are the paths for a name, in dyld's order: DYLD_LIBRARY_PATH, the
// name with its @ expanded, DYLD_FALLBACK_LIBRARY_PATH or, for programs of an
// older SDK, /usr/local/lib and /usr/lib.
func (d *dyld) candidates(from *module, name string, runtime bool) ([]candidate, error) {
	leaf := leafName(name)
	var out []candidate
	for _, dir := range d.s.opts.Env {
		out = append(out, candidate{path: join(dir, leaf), via: "DYLD_LIBRARY_PATH " + dir})
	}
	switch {
	case name == "@rpath" || strings.HasPrefix(name, "@rpath/"):
		list, err := d.rpaths(strings.TrimPrefix(name, "@rpath"))
		if err != nil {
			return nil, err
		}
		out = append(out, list...)
	case strings.HasPrefix(name, "@"):
		if p, ok := d.expand(name, from); ok {
			via, _, _ := strings.Cut(name, "/")
			out = append(out, candidate{path: p, via: via})
		}
	case strings.HasPrefix(name, "/"):
		out = append(out, candidate{path: name, via: "path", direct: true})
	case runtime:
		list, err := d.rpaths("/" + name)
		if err != nil {
			return nil, err
		}
		out = append(out, list...)
		out = append(
			out,
			candidate{path: "/usr/lib/" + name, via: "default directory /usr/lib"},
			candidate{path: name, via: "current directory", cwd: true},
		)
		return out, nil
	default:
		out = append(out, candidate{path: name, via: "current directory", cwd: true})
	}
	if runtime && strings.Contains(name, "/") {
		return out, nil
	}
	for _, dir := range d.fallback(from) {
		out = append(out, candidate{path: join(dir, leaf), via: "fallback directory " + dir})
	}
	return out, nil
}

// rpaths puts the tail of an @rpath name behind the run paths of the stack, the
// loading module's first.
func (d *dyld) rpaths(tail string) ([]candidate, error) {
	var out []candidate
	for _, m := range slices.Backward(d.stack) {
		if len(m.obj.Rpath) > maxEntries {
			return nil, fmt.Errorf("%s: LC_RPATH has more than %d entries", m.path, maxEntries)
		}
		for _, r := range m.obj.Rpath {
			if err := d.s.spend(1 + (2*len(r)+len(tail))/perText); err != nil {
				return nil, err
			}
			if len(r) > maxPath {
				continue
			}
			p, ok := d.expand(r, m)
			if !ok {
				if !strings.HasPrefix(r, "/") {
					continue // dyld takes no relative run paths
				}
				p = r
			}
			out = append(out, candidate{
				path: strings.TrimRight(p, "/") + tail,
				via:  fmt.Sprintf("LC_RPATH %s of %s", r, path.Base(m.path)),
			})
		}
	}
	return out, nil
}

// expand replaces @loader_path and @executable_path.
func (d *dyld) expand(name string, m *module) (string, bool) {
	for _, at := range [...]struct{ token, file string }{
		{"@loader_path", m.real}, {"@executable_path", d.s.program.real},
	} {
		rest, ok := strings.CutPrefix(name, at.token)
		if ok && (rest == "" || rest[0] == '/') {
			return strings.TrimRight(path.Dir(at.file), "/") + rest, true
		}
	}
	return "", false
}

// leafName is what DYLD_LIBRARY_PATH directories hold of a name: the file name,
// or the framework's partial path.
func leafName(name string) string {
	if i := strings.LastIndex(name, ".framework/"); i >= 0 {
		return name[strings.LastIndexByte(name[:i], '/')+1:]
	}
	return path.Base(name)
}

// fallback are the directories of last resort. Without the variable only
// programs built with an SDK before macOS 13 have some.
func (d *dyld) fallback(from *module) []string {
	if len(d.s.opts.Fallback) > 0 {
		return d.s.opts.Fallback
	}
	if from.obj.MachO == nil || from.obj.MachO.SDK == "" {
		return nil
	}
	major, _, _ := strings.Cut(from.obj.MachO.SDK, ".")
	if n, err := strconv.Atoi(major); err != nil || n >= 13 {
		return nil
	}
	return []string{"/usr/local/lib", "/usr/lib"}
}

func (d *dyld) names(from *module, pattern string) ([]string, error) {
	list, err := d.rpaths("/x")
	if err != nil {
		return nil, err
	}
	for _, c := range append(list, candidate{path: join(path.Dir(from.real), "x")}) {
		if names := d.s.listMatch(path.Dir(c.path), pattern, false); len(names) > 0 {
			return names, nil
		}
	}
	return nil, nil
}
