package loader

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/relmat/relmat/internal/cuda"
	"github.com/relmat/relmat/internal/objfile"
)

// fold is a file name as the platform compares it.
func (s *session) fold(name string) string {
	if s.base.fold {
		return strings.ToLower(name)
	}
	return name
}

// loadByName follows one entry of cuda's table for a module.
func (s *session) loadByName(m *module, l cuda.ByName) error {
	for _, pattern := range l.Names {
		name, err := s.choose(m, pattern)
		if err != nil {
			return err
		}
		if err := s.link(m, name, "by-name"); err != nil {
			return err
		}
	}
	if l.Pattern == "" {
		return nil
	}
	names, looked, err := s.namesInside(m, l.Pattern)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := s.link(m, name, "by-name"); err != nil {
			return err
		}
	}
	if len(names) == 0 {
		hint := path.Base(m.path) + " holds no name like that"
		if !looked {
			hint = "it was not looked for: which name " + path.Base(m.path) + " loads stands in bytes that are not at hand"
		}
		return s.connect(m, l.Pattern, "by-name", hit{class: Missing, hint: hint})
	}
	return nil
}

// choose is the name that a pattern stands for: that of a module that is loaded
// already; else, of those where the module looks first, that of the module's own
// major version or, where none is, of the highest. Without any it is the
// pattern.
func (s *session) choose(m *module, pattern string) (string, error) {
	if !strings.ContainsAny(pattern, "*?[") {
		return pattern, nil
	}
	if err := s.spend(1 + len(s.modules)/8); err != nil {
		return "", err
	}
	for _, other := range s.modules {
		for _, n := range []string{other.obj.Soname, path.Base(other.path)} {
			if ok, _ := path.Match(pattern, path.Base(s.fold(n))); ok && n != "" {
				return path.Base(n), nil
			}
		}
	}
	names, err := s.rules.names(m, pattern)
	if err != nil || len(names) == 0 {
		return pattern, err
	}
	own := major(path.Base(m.path))
	return slices.MaxFunc(names, func(a, b string) int {
		if x, y := major(a) == own, major(b) == own; x != y {
			if x {
				return 1
			}
			return -1
		}
		if c := compareVersions(a, b); c != 0 {
			return c
		}
		return cmp.Compare(len(b), len(a))
	}), nil
}

// compareVersions compares the numbers after ".so." or in a name; a version
// that the other only makes more exact is equal to it.
func compareVersions(a, b string) int {
	x, y := numbers(a), numbers(b)
	for i := range min(len(x), len(y)) {
		if len(x[i]) != len(y[i]) {
			return cmp.Compare(len(x[i]), len(y[i]))
		}
		if c := cmp.Compare(x[i], y[i]); c != 0 {
			return c
		}
	}
	return 0
}

// major is the first number of a version: 9 of libcudnn.so.9.1, cudnn64_9.dll.
func major(name string) string {
	_, version, ok := strings.Cut(name, ".so.")
	if !ok {
		version = name[strings.LastIndexByte(name, '_')+1:]
	}
	if n := numbers(version); len(n) > 0 {
		return n[0]
	}
	return ""
}

func numbers(s string) []string {
	out := strings.FieldsFunc(s, func(r rune) bool { return r < '0' || r > '9' })
	for i, n := range out {
		out[i] = strings.TrimLeft(n, "0")
	}
	return out
}

// listMatch lists the names in a directory that a pattern fits.
func (s *session) listMatch(dir, pattern string, folded bool) []string {
	l, ok := s.view.(Lister)
	if !ok {
		return nil
	}
	names, err := l.List(dir)
	if err != nil {
		return nil
	}
	var out []string
	for _, n := range names {
		text := n
		if folded {
			text = strings.ToLower(n)
		}
		if ok, _ := path.Match(pattern, text); ok {
			out = append(out, n)
		}
	}
	return out
}

func (l *ldso) names(from *module, pattern string) ([]string, error) {
	sp, err := l.search(from)
	if err != nil {
		return nil, err
	}
	for _, dir := range sp.dirs {
		var names []string
		switch {
		case dir.cached:
			names = l.cache.match(pattern)
		case !dir.cwd:
			names = l.s.listMatch(dir.path, pattern, false)
		case l.s.opts.Dir != "":
			names = l.s.listMatch(join(l.s.opts.Dir, dir.path), pattern, false)
		}
		if len(names) > 0 {
			return names, nil
		}
	}
	return nil, nil
}

// maxName bounds a library's name inside of a file; the pieces of a scan
// overlap by as much.
const maxName = 256

// maxNames bounds how many names one library may hold.
const maxNames = 64

// namesInside finds the distinct names that a pattern fits in a module's data.
// Code and GPU code are left out. looked is false where the view does not have
// the bytes.
func (s *session) namesInside(m *module, pattern string) (names []string, looked bool, err error) {
	if h, ok := s.view.(Holder); ok {
		if names, ok := h.Held(m.real, pattern); ok {
			return names, true, nil
		}
	}
	o, ok := s.view.(Opener)
	if !ok {
		return nil, false, nil
	}
	f, err := o.Open(m.real)
	if err != nil {
		return nil, false, nil
	}
	defer f.Close()
	if names, err = namesIn(f, f.Size(), m.obj, pattern); err != nil {
		return nil, false, fmt.Errorf("%s: %w", m.real, err)
	}
	return names, true, nil
}

// Held reads from a native file the names of libraries that it loads and holds
// as text, for Entry.Held. file is its name; an object has another, its SONAME.
// It is nil for all that are not in cuda's table.
func Held(r io.ReaderAt, size int64, o *objfile.Object, file string) (map[string][]string, error) {
	var held map[string][]string
	for _, name := range []string{path.Base(file), path.Base(o.Soname)} {
		for _, l := range append(cuda.LoadedBy(name), cuda.LoadedBy(strings.ToLower(name))...) {
			if _, done := held[l.Pattern]; done || l.Pattern == "" {
				continue
			}
			names, err := namesIn(r, size, o, l.Pattern)
			if err != nil {
				return nil, err
			}
			if held == nil {
				held = map[string][]string{}
			}
			held[l.Pattern] = names
		}
	}
	return held, nil
}

func namesIn(r io.ReaderAt, size int64, o *objfile.Object, pattern string) ([]string, error) {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, fmt.Errorf("cuda's table of libraries: %w", err)
	}
	var names []string
	for _, span := range dataSpans(o, size) {
		if names, err = scan(r, span, re, names); err != nil {
			return nil, err
		}
	}
	slices.Sort(names)
	return names, nil
}

// dataSpans are the parts of a file that may hold names, each byte once: from
// its start up to its end.
func dataSpans(o *objfile.Object, size int64) [][2]int64 {
	var spans [][2]int64
	for _, sec := range o.Sections {
		if sec.Exec || !sec.Alloc || sec.Size <= 0 || sec.Offset < 0 || sec.Offset >= size || strings.Contains(sec.Name, "nv_fatb") {
			continue
		}
		spans = append(spans, [2]int64{sec.Offset, sec.Offset + min(sec.Size, size-sec.Offset)})
	}
	if len(o.Sections) == 0 {
		return [][2]int64{{0, size}}
	}
	slices.SortFunc(spans, func(a, b [2]int64) int { return cmp.Compare(a[0], b[0]) })
	out := spans[:0]
	for _, sp := range spans {
		if n := len(out); n > 0 && sp[0] <= out[n-1][1] {
			out[n-1][1] = max(out[n-1][1], sp[1])
			continue
		}
		out = append(out, sp)
	}
	return out
}

// scan adds the matches in one span to names.
func scan(r io.ReaderAt, span [2]int64, re *regexp.Regexp, names []string) ([]string, error) {
	// A search for the literal start keeps the expression off the rest.
	literal, _ := re.LiteralPrefix()
	buf := make([]byte, min(1<<20, span[1]-span[0]))
	for at := span[0]; at < span[1]; {
		piece := buf[:min(int64(len(buf)), span[1]-at)]
		if n, err := r.ReadAt(piece, at); err != nil && (!errors.Is(err, io.EOF) || n < len(piece)) {
			return nil, err
		}
		// What starts in the last bytes may go on in the next piece, and cut off
		// it would be another name. That piece sees it whole.
		step := len(piece)
		if at+int64(step) < span[1] {
			step -= maxName
		}
		for i := 0; i < step; i += max(len(literal), 1) {
			j := bytes.Index(piece[i:], []byte(literal))
			if j < 0 || i+j >= step {
				break
			}
			i += j
			window := piece[i:min(len(piece), i+maxName)]
			if loc := re.FindIndex(window); loc != nil && loc[0] == 0 && !slices.Contains(names, string(window[:loc[1]])) {
				if len(names) == maxNames {
					return nil, fmt.Errorf("more than %d names like %s", maxNames, re)
				}
				names = append(names, string(window[:loc[1]]))
			}
		}
		at += int64(step)
	}
	return names, nil
}
