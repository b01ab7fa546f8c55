package loader

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/relmat/relmat/internal/objfile"
)

// windows is the loader of Windows for unpackaged programs in safe search mode
// (Microsoft, "Dynamic-link library search order"): API sets, modules that are
// loaded already, known DLLs, the program's directory, the system directory,
// the current directory, PATH. What a DLL imports is searched as if the program
// imported it. Left out are manifests (side-by-side assemblies) and redirection
// by a .local file.
type windows struct {
	s     *session
	dir   string
	hooks []string
}

func newWindows(s *session) *windows {
	return &windows{
		s: s, dir: path.Dir(s.program.real),
		hooks: slices.Sorted(maps.Keys(s.opts.HookDirs)),
	}
}

// dllName is the base name under which Windows compares modules: in lower case,
// with .dll where it has no extension.
func dllName(name string) string {
	name = strings.ToLower(path.Base(strings.ReplaceAll(name, `\`, "/")))
	switch {
	case strings.HasSuffix(name, "."):
		return strings.TrimSuffix(name, ".") // a point says that there is none
	case !strings.Contains(name, "."):
		return name + ".dll"
	}
	return name
}

func (w *windows) register(m *module) {
	if n := strings.ToLower(path.Base(m.path)); w.s.byName[n] == nil {
		w.s.byName[n] = m
	}
}

// isAPISet tells names of contracts, which resolve to no file of that name.
func isAPISet(name string) bool {
	return strings.HasPrefix(name, "api-") || strings.HasPrefix(name, "ext-ms-")
}

func (w *windows) find(from *module, name, how string) (hit, error) {
	s := w.s
	dll := dllName(name)
	if isAPISet(dll) {
		return hit{class: APISet, via: "API set"}, nil
	}
	if m := s.byName[dll]; m != nil {
		return hit{module: m, class: m.class, via: again(m)}, nil
	}
	out := hit{class: Missing}
	if s.base.Known(dll) {
		out.class, out.via = System, "known DLL"
		if p, ok := s.foldPath(join(w.dir, dll)); ok {
			if _, real, err := s.view.Object(p); err == nil {
				out.hint = real + " is never loaded: Windows takes its own"
			}
		}
		return out, w.system(&out, from, dll)
	}
	type place struct{ dir, via string }
	var places []place
	if how == "delay" {
		for _, pattern := range w.hooks {
			if ok, _ := path.Match(pattern, dll); ok {
				places = append(places, place{w.hookDir(pattern), "delay-load hook for " + pattern})
			}
		}
	}
	places = append(places, place{w.dir, "executable's directory"}, place{"", "system directory"})
	if s.opts.Dir != "" {
		places = append(places, place{s.opts.Dir, "current directory"})
	}
	for _, d := range s.opts.Env {
		if d != "" {
			places = append(places, place{d, "PATH"})
		}
	}
	if how == "by-name" || how == "dlopen" {
		for _, pattern := range w.hooks {
			places = append(places, place{w.hookDir(pattern), "AddDllDirectory of the hook for " + pattern})
		}
	}
	for _, p := range places {
		if err := s.spend(1); err != nil {
			return hit{}, err
		}
		if p.via == "system directory" {
			if s.base.Has(dll) {
				out.class, out.via = System, p.via
			}
			if err := w.system(&out, from, dll); err != nil || out.class == System {
				return out, err
			}
			out.searched = append(out.searched, "system directory")
			continue
		}
		out.searched = append(out.searched, p.dir)
		if done := w.try(&out, from, join(p.dir, dll)); done {
			out.cwd = p.via == "current directory"
			if out.module != nil {
				out.class, out.via = Found, p.via
			}
			return out, nil
		}
	}
	return out, nil
}

func (w *windows) hookDir(pattern string) string {
	dir := strings.ReplaceAll(w.s.opts.HookDirs[pattern], `\`, "/")
	return path.Join(w.dir, dir)
}

// system looks for the file in the view's system directory, where it has one.
func (w *windows) system(out *hit, from *module, dll string) error {
	if w.s.opts.SystemDir == "" {
		return nil
	}
	sys := hit{}
	if w.try(&sys, from, join(w.s.opts.SystemDir, dll)) && sys.module != nil {
		out.module, out.class = sys.module, System
		if out.via == "" {
			out.via = "system directory"
		}
	}
	return nil
}

// try looks at one path. Windows takes the first file of the name, and gives up
// where that cannot be loaded.
func (w *windows) try(out *hit, from *module, p string) (done bool) {
	p, ok := w.s.foldPath(p)
	if !ok {
		return false
	}
	objects, real, err := w.s.view.Object(p)
	switch {
	case err != nil && (notThere(err) || err == errIsDir):
		return false
	case err != nil:
		out.hint, out.stopped = damage(p, err)+"; Windows stops there with error 193", true
		return true
	}
	obj := objects[0]
	if obj.Format != objfile.PE || !runsWith(obj.Machine, w.s.program.obj.Machine) {
		out.hint, out.stopped = fmt.Sprintf("%s is for %s (%s); Windows stops there with error 193", p, obj.Machine, obj.Format), true
		return true
	}
	out.module = w.s.load(from, p, real, obj)
	w.register(out.module)
	return true
}

// runsWith tells whether a DLL's code runs in a program's process: ARM64EC code
// and x64 code do so together (Microsoft, "Arm64EC").
func runsWith(dll, program string) bool {
	mixed := func(m string) bool { return m == "x86_64" || m == "arm64ec" }
	return dll == program || program == "arm64ec" && mixed(dll)
}

func (w *windows) names(from *module, pattern string) ([]string, error) {
	dirs := []string{w.dir}
	dirs = append(dirs, w.s.opts.Env...)
	for _, p := range w.hooks {
		dirs = append(dirs, w.hookDir(p))
	}
	for _, d := range dirs {
		if d, ok := w.s.foldPath(d); ok {
			if names := w.s.listMatch(d, pattern, true); len(names) > 0 {
				return names, nil
			}
		}
	}
	return nil, nil
}
