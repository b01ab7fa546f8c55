package loader

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

// stat is what stands at a path, its last part not followed.
type stat struct {
	// link is the target, where it is a link.
	link string
	dir  bool
	// special says that it is neither file, directory nor link.
	special bool
}

const (
	// maxLinks is how many links Linux follows, path_resolution(7).
	maxLinks = 40
	// maxParts bounds the parts of a path, with those of the links in it: links
	// to long paths through links would else make millions.
	maxParts = 1024
)

var (
	// A loader goes on where a path cannot be opened, so that these count as
	// fs.ErrNotExist; ld.so then leaves out the rest of the list in hand.
	errLinks   = fmt.Errorf("too many levels of links: %w", fs.ErrNotExist)
	errTooLong = fmt.Errorf("the name is too long: %w", fs.ErrNotExist)
	errIsDir   = errors.New("is a directory")
	errSpecial = errors.New("is no regular file")
)

// walk follows an absolute path part by part as a kernel does. lookup tells
// what stands at a path whose directory has no links.
func walk(p string, lookup func(p string) (stat, error)) (real string, last stat, err error) {
	root := "/"
	// A drive of Windows, on such a machine.
	if len(p) >= 3 && p[1] == ':' && p[2] == '/' {
		root, p = p[:3], p[2:]
	}
	if !strings.HasPrefix(p, "/") {
		return "", stat{}, fmt.Errorf("path %q is not absolute", p)
	}
	real, last = root, stat{dir: true}
	rest := p
	links, parts := 0, 0
	for rest != "" {
		if parts++; parts > maxParts {
			return "", stat{}, errTooLong
		}
		var part string
		part, rest, _ = strings.Cut(rest, "/")
		switch {
		case part == "" || part == ".":
			if part == "." && !last.dir {
				return "", stat{}, notDir(p)
			}
			continue
		case !last.dir:
			return "", stat{}, notDir(p)
		case part == "..":
			if i := strings.LastIndexByte(real, '/'); i >= len(root) {
				real = real[:i]
			} else {
				real = root
			}
			continue
		}
		next := join(real, part)
		st, err := lookup(next)
		if err != nil {
			return "", stat{}, err
		}
		if st.link == "" {
			real, last = next, st
			continue
		}
		if links++; links > maxLinks {
			return "", stat{}, fmt.Errorf("%s: %w", p, errLinks)
		}
		rest = join(st.link, rest)
		if strings.HasPrefix(st.link, "/") {
			real = root
		}
		last = stat{dir: true}
	}
	if strings.HasSuffix(p, "/") && !last.dir {
		return "", stat{}, notDir(p)
	}
	return real, last, nil
}

func notDir(p string) error {
	return &fs.PathError{Op: "open", Path: p, Err: fs.ErrNotExist}
}

// walker remembers where directories lead, since a loader asks for many names
// in each.
type walker struct {
	lookup func(p string) (stat, error)
	dirs   map[string]dirResult
}

type dirResult struct {
	real string
	err  error
}

// walk is walk, for a path whose directory is likely to have been walked to.
func (w *walker) walk(p string) (real string, last stat, err error) {
	i := strings.LastIndexByte(p, '/')
	name := p[i+1:]
	if i <= 0 || name == "" || name == "." || name == ".." || p[i-1] == ':' {
		return walk(p, w.lookup)
	}
	dir := p[:i]
	r, ok := w.dirs[dir]
	if !ok {
		var st stat
		if r.real, st, r.err = walk(dir, w.lookup); r.err == nil && !st.dir {
			r.err = notDir(dir)
		}
		if len(w.dirs) >= maxStats {
			clear(w.dirs)
		}
		w.dirs[dir] = r
	}
	if r.err != nil {
		return "", stat{}, r.err
	}
	real = join(r.real, name)
	st, err := w.lookup(real)
	if err != nil || st.link == "" {
		return real, st, err
	}
	return walk(real, w.lookup)
}
