package loader

import (
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/relmat/relmat/internal/objfile"
)

// Entry is one file of a tree in memory: a link, a native file that was read
// already, or a file of the machine that is read when it is asked for.
type Entry struct {
	Objects []*objfile.Object
	// Link is the target of a link, relative to its directory or absolute.
	Link string
	// File is the machine's path of the bytes. Without it, libraries are not
	// searched for the names that they load, and Held has them.
	File string
	// Held are the names that the function Held has read from the bytes, by
	// pattern.
	Held map[string][]string
}

// FilesView is a tree in memory.
type FilesView struct {
	entries map[string]Entry
	dirs    map[string][]string
	mu      sync.Mutex
	walker  walker
	read    map[string]objectResult
}

var (
	_ View   = (*FilesView)(nil)
	_ Lister = (*FilesView)(nil)
	_ Opener = (*FilesView)(nil)
	_ Holder = (*FilesView)(nil)
)

// Files sees a tree in memory, by slash-separated paths from its root; they may
// begin with a slash. It may be used concurrently.
func Files(entries map[string]Entry) *FilesView {
	v := &FilesView{entries: map[string]Entry{}, dirs: map[string][]string{"/": nil}, read: map[string]objectResult{}}
	for _, p := range slices.Sorted(maps.Keys(entries)) {
		e := entries[p]
		p = path.Clean("/" + p)
		v.entries[p] = e
		for p != "/" {
			dir := path.Dir(p)
			_, there := v.dirs[dir]
			v.dirs[dir] = append(v.dirs[dir], path.Base(p))
			if there && dir != "/" {
				break
			}
			p = dir
		}
	}
	v.walker = walker{v.lookup, map[string]dirResult{}}
	for dir, names := range v.dirs {
		slices.Sort(names)
		v.dirs[dir] = slices.Compact(names)
	}
	return v
}

func (v *FilesView) lookup(p string) (stat, error) {
	if e, ok := v.entries[p]; ok {
		return stat{link: e.Link}, nil
	}
	if _, ok := v.dirs[p]; ok {
		return stat{dir: true}, nil
	}
	return stat{}, notDir(p)
}

func (v *FilesView) walk(p string) (string, stat, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.walker.walk(p)
}

// Object implements View.
func (v *FilesView) Object(p string) ([]*objfile.Object, string, error) {
	real, st, err := v.walk(p)
	if err != nil {
		return nil, "", err
	}
	if st.dir {
		return nil, real, errIsDir
	}
	e := v.entries[real]
	if len(e.Objects) > 0 {
		return e.Objects, real, nil
	}
	if e.File == "" {
		return nil, real, fmt.Errorf("%s: %w", p, objfile.ErrFormat)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	r, ok := v.read[real]
	if !ok {
		r.objects, r.err = objfile.Open(e.File)
		v.read[real] = r
	}
	return r.objects, real, r.err
}

// List implements Lister.
func (v *FilesView) List(dir string) ([]string, error) {
	real, st, err := v.walk(dir)
	if err != nil {
		return nil, err
	}
	if !st.dir {
		return nil, notDir(dir)
	}
	return v.dirs[real], nil
}

// Open implements Opener.
func (v *FilesView) Open(p string) (File, error) {
	real, _, err := v.walk(p)
	if err != nil {
		return nil, err
	}
	e := v.entries[real]
	if e.File == "" {
		return nil, &fs.PathError{Op: "open", Path: p, Err: fs.ErrNotExist}
	}
	return openFile(e.File)
}

// Held implements Holder.
func (v *FilesView) Held(real, pattern string) ([]string, bool) {
	names, ok := v.entries[real].Held[pattern]
	return names, ok
}

// foldPath finds the path as the view spells it, whose parts are compared without
// case, as Windows does. Where there are more, the first in order counts.
func (s *session) foldPath(p string) (string, bool) {
	l, ok := s.view.(Lister)
	if !ok {
		return p, true
	}
	p = path.Clean(p)
	real := "/"
	rest := strings.TrimPrefix(p, "/")
	if len(p) >= 3 && p[1] == ':' && p[2] == '/' {
		real, rest = p[:3], p[3:]
	}
	for rest != "" {
		var part string
		part, rest, _ = strings.Cut(rest, "/")
		name, ok := s.foldNames(l, real)[strings.ToLower(part)]
		if !ok {
			return "", false
		}
		real = join(real, name)
	}
	return real, true
}

// foldNames are a directory's names by what they are in lower case.
func (s *session) foldNames(l Lister, dir string) map[string]string {
	if names, ok := s.folded[dir]; ok {
		return names
	}
	list, err := l.List(dir)
	if err != nil {
		list = nil
	}
	names := make(map[string]string, len(list))
	for _, n := range list {
		if low := strings.ToLower(n); names[low] == "" {
			names[low] = n
		}
	}
	s.folded[dir] = names
	return names
}
