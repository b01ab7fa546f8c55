package loader

import (
	"errors"
	"fmt"
	"path"

	"github.com/relmat/relmat/internal/cuda"
	"github.com/relmat/relmat/internal/objfile"
)

// module is a file that the loader has loaded.
type module struct {
	node *Node
	// path is the path by which it was found, real the one after links.
	path, real string
	obj        *objfile.Object
	// loader is the module that caused it to be loaded, nil for the program.
	loader *module
	class  Class
	// listed says that it is one of the session's modules: the interpreter is
	// loaded before anything asks for it.
	listed bool
	// dirs are the directories that ld.so searches for its needs.
	dirs  *searchPath
	chain bool // dyld has loaded what it needs
}

// hit is what a platform's rules say of one name.
type hit struct {
	module   *module
	class    Class
	via      string
	searched []string
	hint     string
	cwd      bool
	// stopped says that a file which cannot be loaded ended the search.
	stopped bool
}

// rules are a platform's.
type rules interface {
	// register makes a module satisfy its names.
	register(m *module)
	// find looks for what a module asks for.
	find(from *module, name, how string) (hit, error)
	// names lists what the view has for a pattern of path.Match, where the
	// module would look for it first.
	names(from *module, pattern string) ([]string, error)
}

// session is one process of the loader.
type session struct {
	view   View
	opts   Options
	rules  rules
	base   *BaseSet
	format objfile.Format
	// program is what is run, or stands for it.
	program *module
	modules []*module
	next    int
	byName  map[string]*module
	byReal  map[string]*module
	// folded are directories' names in lower case, see fold.
	folded map[string]map[string]string
	limit  int
	budget int
}

var errBudget = fmt.Errorf("more than %d places to look at: the run paths or needs are no real ones", maxLookups)

// perText is how many bytes of text that is kept weigh as much as a lookup, and
// perEdge how many lookups an edge.
const (
	perText = 32
	perEdge = 2
)

func (s *session) spend(n int) error {
	if s.budget -= n; s.budget < 0 {
		return errBudget
	}
	return nil
}

func (s *session) resolve(root string) (*Tree, error) {
	program := root
	if s.opts.Executable != "" {
		program = s.opts.Executable
	}
	if err := s.start(program); err != nil {
		return nil, err
	}
	top := s.program
	if program != root {
		if err := s.drain(); err != nil {
			return nil, err
		}
		m, err := s.open(root)
		if err != nil {
			return nil, err
		}
		if top = s.byReal[m.real]; top == nil {
			m.loader = s.program
			top = m
			if err := s.add(m, Found); err != nil {
				return nil, err
			}
		}
	}
	if err := s.drain(); err != nil {
		return nil, err
	}
	// What is loaded at run time comes after all that is loaded at the start.
	for i := 0; i < len(s.modules); i++ {
		if err := s.late(s.modules[i]); err != nil {
			return nil, err
		}
	}
	return s.tree(top), nil
}

// start loads the program and chooses the rules.
func (s *session) start(program string) error {
	m, err := s.open(program)
	if err != nil {
		return err
	}
	platform := s.opts.Platform
	if platform == "" {
		if platform, err = platformOf(m.obj); err != nil {
			return err
		}
	}
	if s.format, err = formatOf(platform); err != nil {
		return err
	}
	if m.obj.Format != s.format {
		return fmt.Errorf("%s is a file of format %s, and %s loads %s", program, m.obj.Format, platform, s.format)
	}
	if s.base = s.opts.Base; s.base == nil {
		s.base = Base(platform)
	}
	// The kernel tells the program's path without links.
	m.path = m.real
	s.program = m
	if err := s.add(m, Found); err != nil {
		return err
	}
	switch platform {
	case Linux:
		s.rules, err = newLdso(s)
	case Windows:
		s.rules = newWindows(s)
	default:
		s.rules = newDyld(s)
	}
	if err != nil {
		return err
	}
	s.rules.register(m)
	return nil
}

// open reads a root, which must be there.
func (s *session) open(p string) (*module, error) {
	objects, real, err := s.view.Object(p)
	if err != nil {
		return nil, err
	}
	obj := objects[0]
	if s.opts.Machine != "" {
		if obj = slice(objects, s.opts.Machine); obj == nil {
			return nil, fmt.Errorf("%s has no code for %s", p, s.opts.Machine)
		}
	} else if s.program != nil {
		if o := slice(objects, s.program.obj.Machine); o != nil {
			obj = o
		}
	}
	return &module{path: p, real: real, obj: obj}, nil
}

func slice(objects []*objfile.Object, machine string) *objfile.Object {
	for _, o := range objects {
		if o.Machine == machine {
			return o
		}
	}
	return nil
}

// add loads a module: from now on it satisfies what asks for it.
func (s *session) add(m *module, class Class) error {
	if m.listed {
		return nil
	}
	if len(s.modules) >= s.limit {
		return fmt.Errorf("more than %d files", s.limit)
	}
	m.listed = true
	m.class = class
	m.node = &Node{Path: m.real, Object: m.obj}
	s.byReal[m.real] = m
	s.modules = append(s.modules, m)
	if s.rules != nil {
		s.rules.register(m)
	}
	return nil
}

// drain loads what the modules need, breadth first.
func (s *session) drain() error {
	for ; s.next < len(s.modules); s.next++ {
		m := s.modules[s.next]
		if d, ok := s.rules.(*dyld); ok {
			if err := d.loadDependents(m); err != nil {
				return err
			}
			continue
		}
		if err := s.linkAll(m); err != nil {
			return err
		}
	}
	return nil
}

// linkAll finds what is loaded with the module.
func (s *session) linkAll(m *module) error {
	for _, need := range m.obj.Needs {
		if err := s.link(m, need.Name, howOf(need)); err != nil {
			return err
		}
	}
	return nil
}

func howOf(n objfile.Need) string {
	if n.How == "" {
		return "needed"
	}
	return n.How
}

// late finds what the module loads at run time.
func (s *session) late(m *module) error {
	for _, need := range m.obj.DelayNeeds {
		if err := s.link(m, need.Name, "delay"); err != nil {
			return err
		}
		if err := s.drain(); err != nil {
			return err
		}
	}
	if !s.opts.ByName {
		return nil
	}
	for _, note := range m.obj.Dlopen {
		if err := s.dlopen(m, note); err != nil {
			return err
		}
		if err := s.drain(); err != nil {
			return err
		}
	}
	for _, l := range cuda.LoadedBy(s.fold(path.Base(m.path))) {
		if err := s.loadByName(m, l); err != nil {
			return err
		}
		if err := s.drain(); err != nil {
			return err
		}
	}
	return nil
}

// link finds one name and adds the edge.
func (s *session) link(m *module, name, how string) error {
	h, err := s.find(m, name, how)
	if err != nil {
		return err
	}
	return s.connect(m, name, how, h)
}

func (s *session) find(m *module, name, how string) (hit, error) {
	h, err := s.rules.find(m, name, how)
	if err != nil {
		return hit{}, err
	}
	base := s.fold(path.Base(name))
	switch {
	case h.class == APISet:
	case cuda.IsDriver(base):
		h.class = Driver
	case h.class == Missing && !h.stopped && s.base.Has(name):
		h.class = System
	case h.class == Missing && h.hint == "":
		h.hint = s.base.hint(base)
	}
	return h, nil
}

// connect adds the edge, and the module where it is new.
func (s *session) connect(m *module, name, how string, h hit) error {
	if err := s.spend(perEdge + len(h.hint)/perText); err != nil {
		return err
	}
	e := Edge{Name: name, How: how, Class: h.class, Via: h.via, Hint: h.hint, Cwd: h.cwd}
	if h.class == Missing {
		e.Searched = h.searched
	}
	if h.module != nil {
		e.Path = h.module.real
		if err := s.add(h.module, h.class); err != nil {
			return err
		}
	}
	m.node.Edges = append(m.node.Edges, e)
	return nil
}

// dlopen follows one entry of a file's note: any of its names does.
func (s *session) dlopen(m *module, note objfile.Dlopen) error {
	var first hit
	for i, name := range note.Sonames {
		h, err := s.find(m, name, "dlopen")
		if err != nil {
			return err
		}
		if h.class != Missing {
			return s.connect(m, name, "dlopen", h)
		}
		if i == 0 {
			first = h
		}
	}
	if len(note.Sonames) == 0 {
		return nil
	}
	if note.Priority != "" && first.hint == "" {
		first.hint = note.Priority
		if note.Feature != "" {
			first.hint += ", for " + note.Feature
		}
	}
	return s.connect(m, note.Sonames[0], "dlopen", first)
}

// load makes a module of a file that the rules have found, or returns the one
// that it already is.
func (s *session) load(from *module, p, real string, obj *objfile.Object) *module {
	if m := s.byReal[real]; m != nil {
		return m
	}
	m := &module{path: p, real: real, obj: obj, loader: from}
	s.byReal[real] = m
	return m
}

// damage is why a loader does not take a file that is there.
func damage(p string, err error) string {
	if errors.Is(err, objfile.ErrFormat) {
		return p + " is not a native file"
	}
	return fmt.Sprintf("%s cannot be loaded: %v", p, err)
}

// tree is what the module at the top reaches, in the order of loading.
func (s *session) tree(top *module) *Tree {
	reached := map[string]bool{top.real: true}
	queue := []*module{top}
	for len(queue) > 0 {
		m := queue[0]
		queue = queue[1:]
		for _, e := range m.node.Edges {
			if e.Path != "" && !reached[e.Path] {
				reached[e.Path] = true
				queue = append(queue, s.byReal[e.Path])
			}
		}
	}
	t := &Tree{Root: top.real, Nodes: map[string]*Node{top.real: top.node}, Order: []string{top.real}}
	for _, m := range s.modules {
		if reached[m.real] && m != top {
			t.Nodes[m.real] = m.node
			t.Order = append(t.Order, m.real)
		}
	}
	return t
}
