package loader

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/relmat/relmat/internal/objfile"
)

// ldso is glibc's dynamic linker: elf/dl-load.c of glibc 2.43, ld.so(8). Left
// out are LD_PRELOAD, LD_AUDIT, DF_1_NODEFLIB, programs with more rights than
// their user, and the directories by CPU features that glibc 2.37 dropped.
type ldso struct {
	s       *session
	machine linuxMachine
	// lib is what $LIB stands for, dirs the default directories.
	lib   string
	dirs  []searchDir
	caps  []string
	cache *ldCache
}

// searchDir is a directory of a search path.
type searchDir struct {
	path string
	via  string
	// cwd says that the entry is relative, cached that it stands for ld.so.cache.
	cwd, cached bool
	// system says that the entry is the system's and not a file's.
	system bool
	// list numbers the list that the entry is from.
	list int
}

// searchPath is where ld.so looks for what one module needs, in order.
type searchPath struct {
	dirs  []searchDir
	lists int
	// paths are the directories alone, for what is missing.
	paths []string
}

func newLdso(s *session) (*ldso, error) {
	l := &ldso{s: s}
	obj := s.program.obj
	if strings.HasPrefix(path.Base(obj.Interp), "ld-musl") {
		return nil, fmt.Errorf("its interpreter is %s: %w", obj.Interp, ErrMusl)
	}
	l.machine = linuxFacts.Machines[obj.Machine]
	for _, c := range l.machine.Hwcaps {
		l.caps = append(l.caps, "glibc-hwcaps/"+c)
	}
	if i := slices.Index(l.machine.Hwcaps, s.opts.CPU); i >= 0 {
		l.caps = l.caps[i:]
	} else if s.opts.CPU != "" {
		l.caps = nil
	}
	l.caps = append(l.caps, "")
	if err := l.system(obj.Interp); err != nil {
		return nil, err
	}
	return l, nil
}

// system finds out where this system keeps its libraries: the place of the
// interpreter shows it, since distributions choose it when they build glibc.
func (l *ldso) system(interp string) error {
	s := l.s
	if interp == "" {
		interp = l.machine.Interp
	}
	dirs := l.machine.Dirs
	l.lib = l.machine.Lib
	if interp != "" {
		objects, real, err := s.view.Object(interp)
		if err == nil && l.fits(objects[0]) == "" {
			m := &module{path: interp, real: real, obj: objects[0], class: System}
			if m.real != s.program.real {
				s.byReal[real] = m
				s.names(m, interp)
			}
			if lib, d := layout(real, l.machine); lib != "" {
				l.lib, dirs = lib, d
			}
		}
	}
	for _, d := range dirs {
		l.dirs = append(l.dirs, searchDir{path: d, via: "default directory " + d, system: true})
	}
	cache, err := s.readCache("/etc/ld.so.cache", l.machine.CacheFlags)
	if err != nil {
		return err
	}
	l.cache = cache
	return nil
}

// layout tells $LIB and the default directories from the interpreter's real
// path: Debian's multiarch, /lib64 as glibc does by itself, or one /lib.
func layout(interp string, m linuxMachine) (lib string, dirs []string) {
	switch dir := path.Dir(interp); {
	case m.Multiarch != "" && path.Base(dir) == m.Multiarch:
		lib = "lib/" + m.Multiarch
		return lib, []string{"/" + lib, "/usr/" + lib, "/lib", "/usr/lib"}
	case path.Base(dir) == "lib64":
		return "lib64", []string{"/lib64", "/usr/lib64"}
	case path.Base(dir) == "lib":
		return "lib", []string{"/lib", "/usr/lib"}
	}
	return "", nil
}

// names makes a module satisfy a name, its own SONAME and its path, as
// _dl_lookup_map compares them. The first module of a name keeps it.
func (s *session) names(m *module, name string) {
	for _, n := range []string{name, m.obj.Soname, m.path} {
		if n != "" && s.byName[n] == nil {
			s.byName[n] = m
		}
	}
}

func (l *ldso) register(m *module) { l.s.names(m, m.path) }

func (l *ldso) find(from *module, name, _ string) (hit, error) {
	s := l.s
	if name == "" {
		return hit{class: Missing, hint: "the name is empty"}, nil
	}
	if m := s.byName[name]; m != nil {
		return hit{module: m, class: m.class, via: again(m)}, nil
	}
	if strings.Contains(name, "/") {
		return l.findPath(from, name)
	}
	sp, err := l.search(from)
	if err != nil {
		return hit{}, err
	}
	out := hit{class: Missing}
	left := -1
	for _, dir := range sp.dirs {
		if dir.list == left {
			continue
		}
		out.cwd = out.cwd || dir.cwd
		if dir.cwd && s.opts.Dir == "" {
			continue
		}
		tries := l.tries(dir, name)
		for _, try := range tries {
			if err := s.spend(1); err != nil {
				return hit{}, err
			}
			done, ends := l.try(&out, from, name, try.path)
			if ends {
				left = dir.list
			}
			if !done {
				continue
			}
			if out.module != nil {
				out.via = dir.via
				if try.cap != "" {
					out.via += ", " + try.cap
				}
				out.class = Found
				if dir.system && s.base.Has(name) {
					out.class = System
				}
			}
			return out, nil
		}
	}
	out.searched = sp.paths
	return out, nil
}

func again(m *module) string {
	if m.loader == nil {
		return "already loaded"
	}
	return "already loaded for " + path.Base(m.loader.path)
}

type attempt struct{ path, cap string }

// tries are the paths at which a name may stand in a directory.
func (l *ldso) tries(dir searchDir, name string) []attempt {
	if dir.cached {
		if p := l.cache.lookup(name, l.machine.Hwcaps, l.s.opts.CPU); p != "" {
			return []attempt{{path: p}}
		}
		return nil
	}
	base := dir.path
	if dir.cwd {
		base = join(l.s.opts.Dir, base)
	}
	out := make([]attempt, 0, len(l.caps))
	for _, c := range l.caps {
		out = append(out, attempt{join(join(base, c), name), c})
	}
	return out
}

// join puts a name behind a directory and leaves ".." as it is, which a link
// before it gives another meaning.
func join(dir, name string) string {
	switch {
	case name == "":
		return dir
	case dir == "":
		return name
	case strings.HasSuffix(dir, "/"):
		return dir + name
	}
	return dir + "/" + name
}

// try looks at one path. It is done where a file is there that ld.so takes, or
// at which it gives up; a file of another machine is passed over. What cannot
// be opened for another reason than its absence ends the list (open_path).
func (l *ldso) try(out *hit, from *module, name, p string) (done, ends bool) {
	objects, real, err := l.s.view.Object(p)
	switch {
	case err != nil && notThere(err):
		return false, errors.Is(err, errLinks) || errors.Is(err, errTooLong)
	case err != nil:
		out.hint, out.stopped = damage(p, err)+"; ld.so stops there", true
		return true, false
	}
	obj := objects[0]
	if obj.Format != objfile.ELF || obj.Kind == objfile.Relocated || obj.Kind == objfile.Core {
		out.hint, out.stopped = p+" is no ELF library; ld.so stops there", true
		return true, false
	}
	if why := l.fits(obj); why != "" {
		if out.hint == "" {
			out.hint = p + " is passed over: " + why
		}
		return false, false
	}
	out.hint = ""
	out.module = l.s.load(from, p, real, obj)
	l.s.names(out.module, name)
	return true, false
}

// fits says why a file is of no use to the program, if so.
func (l *ldso) fits(obj *objfile.Object) string {
	want := l.s.program.obj
	if obj.Format == want.Format && obj.Machine == want.Machine && obj.Bits == want.Bits {
		return ""
	}
	return fmt.Sprintf("it is for %s, %d bits", obj.Machine, obj.Bits)
}

// findPath opens a name that holds a slash, which ld.so takes for a path.
func (l *ldso) findPath(from *module, name string) (hit, error) {
	out := hit{class: Missing}
	p, ok := l.expand(name, from)
	if !ok || p == "" {
		out.hint = "its place holds a token that cannot be expanded"
		return out, nil
	}
	dir := path.Dir(p)
	if p[0] != '/' {
		out.cwd = true
		if l.s.opts.Dir == "" {
			out.searched = []string{dir}
			return out, nil
		}
		p = join(l.s.opts.Dir, p)
	}
	l.try(&out, from, name, p)
	if out.module != nil {
		out.class, out.via = Found, "path"
		return out, nil
	}
	out.searched = []string{dir}
	return out, nil
}

// search is the search path of a module, made once: the run paths with DT_RPATH
// of the loading module and of those that loaded it up to the program, unless
// the module has DT_RUNPATH; LD_LIBRARY_PATH; its own DT_RUNPATH; the cache;
// the default directories.
func (l *ldso) search(m *module) (*searchPath, error) {
	if m.dirs != nil {
		return m.dirs, nil
	}
	sp := &searchPath{}
	program := l.s.program
	if len(m.obj.Runpath) == 0 {
		seen := false
		for c := m; c != nil; c = c.loader {
			seen = seen || c == program
			if err := l.rpath(sp, c, m); err != nil {
				return nil, err
			}
		}
		if !seen {
			if err := l.rpath(sp, program, m); err != nil {
				return nil, err
			}
		}
	}
	if err := l.entries(sp, l.s.opts.Env, "LD_LIBRARY_PATH", "", program); err != nil {
		return nil, err
	}
	if err := l.entries(sp, m.obj.Runpath, "RUNPATH", "", m); err != nil {
		return nil, err
	}
	if l.cache != nil {
		sp.dirs = append(sp.dirs, searchDir{path: l.cache.path, via: "ld.so.cache", cached: true, system: true, list: -2})
	}
	sp.dirs = append(sp.dirs, l.dirs...)
	for _, d := range sp.dirs {
		p := d.path
		if p == "" {
			p = "."
		}
		sp.paths = append(sp.paths, p)
	}
	if err := l.s.spend(len(sp.dirs)); err != nil {
		return nil, err
	}
	m.dirs = sp
	return sp, nil
}

// rpath adds the DT_RPATH of c, which is ignored where c has a DT_RUNPATH.
func (l *ldso) rpath(sp *searchPath, c, m *module) error {
	if len(c.obj.Runpath) > 0 {
		return nil
	}
	of := ""
	if c != m {
		of = " of " + path.Base(c.path)
	}
	return l.entries(sp, c.obj.Rpath, "RPATH", of, c)
}

// entries adds one list, whose tokens are those of the module. Empty entries
// stand for the current directory, but a list that holds nothing else is none.
func (l *ldso) entries(sp *searchPath, list []string, kind, of string, m *module) error {
	if len(list) == 1 && list[0] == "" {
		return nil
	}
	if len(list) > maxEntries {
		return fmt.Errorf("%s: %s has more than %d entries", m.path, kind, maxEntries)
	}
	if err := l.s.spend(1); err != nil {
		return err
	}
	seen := make(map[string]bool, len(list))
	sp.lists++
	for _, entry := range list {
		d := searchDir{via: kind + " " + entry + of, list: sp.lists}
		if entry == "" {
			d.via = kind + " (empty entry: the current directory)" + of
		} else {
			p, ok := l.expand(entry, m)
			if !ok || p == "" {
				continue
			}
			if p = strings.TrimRight(p, "/"); p == "" {
				p = "/"
			}
			d.path = p
		}
		d.cwd = !strings.HasPrefix(d.path, "/")
		if err := l.s.spend(1 + (len(entry)+len(d.path))/perText); err != nil {
			return err
		}
		if !seen[d.path] {
			seen[d.path] = true
			sp.dirs = append(sp.dirs, d)
		}
	}
	return nil
}

// maxPath bounds an entry of a run path after expansion; Linux' PATH_MAX.
const maxPath = 4096

// expand replaces $ORIGIN, $LIB and $PLATFORM (_dl_dst_substitute). It is not
// ok where a token has no value: ld.so drops such an entry.
func (l *ldso) expand(text string, m *module) (string, bool) {
	if len(text) > maxPath {
		return "", false
	}
	if !strings.Contains(text, "$") {
		return text, true
	}
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] != '$' {
			b.WriteByte(text[i])
			continue
		}
		rest := text[i+1:]
		value, n := "", 0
		for _, token := range [...]struct{ name, value string }{
			{"ORIGIN", path.Dir(m.path)}, {"PLATFORM", l.machine.Platform}, {"LIB", l.lib},
		} {
			if n = tokenLen(rest, token.name); n > 0 {
				value = token.value
				break
			}
		}
		switch {
		case n == 0:
			b.WriteByte('$')
		case value == "" || b.Len() > maxPath:
			return "", false
		default:
			i += n
			if value == "/" && i+1 < len(text) && text[i+1] == '/' {
				continue
			}
			b.WriteString(value)
		}
	}
	return b.String(), true
}

// tokenLen is the length of a token after its dollar sign, in braces or not,
// and 0 where the text goes on as another word (is_dst).
func tokenLen(text, name string) int {
	if strings.HasPrefix(text, "{"+name+"}") {
		return len(name) + 2
	}
	if !strings.HasPrefix(text, name) {
		return 0
	}
	if len(text) > len(name) {
		c := text[len(name)]
		if c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' {
			return 0
		}
	}
	return len(name)
}
