package inspect

import (
	"bytes"
	"cmp"
	"context"
	_ "embed"
	"encoding/json"
	"io"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/relmat/relmat/internal/fatbin"
	"github.com/relmat/relmat/internal/objfile"
)

//go:embed buildpaths.json
var buildPathsJSON []byte

// Leak is a string that looks like a path of the machine that built the file.
type Leak struct {
	// Path is the string, What tells what lies there.
	Path string `json:"path"`
	What string `json:"what"`
	// Section and Offset are where it stands first, the offset from the start
	// of the file; Count is how often it stands in the file.
	Section string `json:"section"`
	Offset  int64  `json:"offset"`
	Count   int    `json:"count"`
}

// maxLeaks bounds the different paths that are kept of a file.
const maxLeaks = 10000

const (
	blockSize = 256 << 10
	// before and after are how far a path may reach out of the block in which
	// its pattern stands.
	before = 1 << 10
	after  = 4 << 10
)

// pattern is a part of a path by which it is known.
type pattern struct {
	Text string `json:"text"`
	What string `json:"what"`
	// rooted patterns are the start of a path; drive ones follow a drive's
	// letter; others stand anywhere in it.
	rooted, drive bool
	// at is the place of the first separator in Text.
	at int
}

// patterns are found by a separator and the byte that follows it.
var patterns = mustPatterns(buildPathsJSON)

func mustPatterns(data []byte) (table [2][256][]pattern) {
	var t struct{ Root, Drive, Anywhere []pattern }
	if err := json.Unmarshal(data, &t); err != nil {
		panic("inspect: buildpaths.json: " + err.Error())
	}
	add := func(list []pattern, rooted, drive bool) {
		for _, p := range list {
			p.rooted, p.drive = rooted, drive
			p.at = bytes.IndexAny([]byte(p.Text), separators)
			sep := bytes.IndexByte([]byte(separators), p.Text[p.at])
			second := p.Text[p.at+1]
			table[sep][second] = append(table[sep][second], p)
		}
	}
	add(t.Drive, false, true) // first, for C:/Users/x has /Users/x in it
	add(t.Root, true, false)
	add(t.Anywhere, false, false)
	return table
}

const separators = `/\`

// regionsOf are the parts of a file that hold data and not code. A file without
// sections is one region.
func regionsOf(o *objfile.Object) []fatbin.Region {
	var regions []fatbin.Region
	for _, s := range o.Sections {
		if !s.Exec && s.Size > 0 {
			regions = append(regions, fatbin.Region{Name: s.Name, Offset: s.Offset, Size: s.Size})
		}
	}
	if len(o.Sections) == 0 {
		regions = append(regions, fatbin.Region{Offset: o.Offset, Size: o.Size})
	}
	return regions
}

// apart takes out what lies beyond the file and what regions share, so that no
// byte is read twice whatever the file says.
func apart(regions []fatbin.Region, size int64) []fatbin.Region {
	slices.SortStableFunc(regions, func(a, b fatbin.Region) int { return cmp.Compare(a.Offset, b.Offset) })
	var out []fatbin.Region
	end := int64(0)
	for _, r := range regions {
		stop := size
		if r.Size < size-r.Offset {
			stop = r.Offset + r.Size
		}
		start := max(r.Offset, end)
		if start >= stop {
			continue
		}
		out = append(out, fatbin.Region{Name: r.Name, Offset: start, Size: stop - start})
		end = stop
	}
	return out
}

// leaks looks for paths in all data of a file, on all processors.
func (s *surveyor) leaks(ctx context.Context, r io.ReaderAt, o *objfile.Object, size int64) (list []Leak, more int, err error) {
	found := map[string]*Leak{}
	var mu sync.Mutex
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(s.opts.Jobs)
	for _, region := range apart(regionsOf(o), size) {
		for at := int64(0); at < region.Size && ctx.Err() == nil; at += blockSize {
			group.Go(func() error {
				if ctx.Err() != nil {
					return ctx.Err()
				}
				buf := <-s.buffers
				defer func() { s.buffers <- buf }()
				if buf == nil {
					buf = make([]byte, before+blockSize+after)
				}
				lead := min(before, at)
				window := buf[:min(lead+blockSize+after, region.Size-at+lead)]
				if _, err := r.ReadAt(window, region.Offset+at-lead); err != nil {
					return err
				}
				scan(window, int(lead), int(min(lead+blockSize, int64(len(window)))), func(start, end int, what string) {
					mu.Lock()
					defer mu.Unlock()
					offset := region.Offset + at - lead + int64(start)
					text := string(window[start:end])
					l := found[text]
					switch {
					case l == nil && len(found) == maxLeaks:
						more++
						return
					case l == nil:
						l = &Leak{Path: text, What: what, Section: region.Name, Offset: offset}
						found[text] = l
					case offset < l.Offset:
						l.Section, l.Offset = region.Name, offset
					}
					l.Count++
				})
				return nil
			})
		}
	}
	if err := group.Wait(); err != nil {
		return nil, 0, err
	}
	for _, l := range found {
		list = append(list, *l)
	}
	slices.SortFunc(list, func(a, b Leak) int { return cmp.Compare(a.Offset, b.Offset) })
	return list, more, nil
}

// scan finds the paths whose pattern has its first separator in b[from:to]. A
// path that two patterns know is given once.
func scan(b []byte, from, to int, visit func(start, end int, what string)) {
	for n := range len(separators) {
		sep := separators[n]
		seen := 0 // what lies before it is part of a path that was given
		for i := from; i < to; i++ {
			j := bytes.IndexByte(b[i:to], sep)
			if j < 0 {
				break
			}
			i += j
			if i+1 >= len(b) {
				break
			}
			if i < seen {
				continue
			}
			for k := range patterns[n][b[i+1]] {
				p := &patterns[n][b[i+1]][k]
				start, ok := p.match(b, i)
				if !ok {
					continue
				}
				end := i + 1
				for end < len(b) && inPath(b[end]) {
					end++
				}
				visit(start, end, p.What)
				seen = end
				break
			}
		}
	}
}

// match tells whether the pattern stands with its separator at i, and where the
// path starts that it is part of.
func (p *pattern) match(b []byte, i int) (start int, ok bool) {
	first := i - p.at
	if first < 0 || !bytes.HasPrefix(b[first:], []byte(p.Text)) {
		return 0, false
	}
	// Something must follow: a bare "/tmp/" tells of no machine.
	if next := first + len(p.Text); next >= len(b) || !isWord(b[next]) {
		return 0, false
	}
	switch {
	case p.rooted:
		return first, startsPath(b[:first])
	case p.drive:
		// The letter, and nothing that would make it the end of a word.
		letter := first - 1
		return letter, letter >= 0 && isLetter(b[letter]) && (letter == 0 || !isWord(b[letter-1]))
	}
	for start = first; start > 0 && inPath(b[start-1]); start-- {
	}
	return start, true
}

// startsPath tells whether a path can start after before: not in the midst of
// a longer path, nor of a URL. It can after a compiler's flag, such as -I, and
// after file://.
func startsPath(before []byte) bool {
	if len(before) == 0 {
		return true
	}
	last := before[len(before)-1]
	if last == '/' {
		return bytes.HasSuffix(before, []byte("file://"))
	}
	if !isWord(last) {
		return true
	}
	start := len(before)
	for start > 0 && isWord(before[start-1]) {
		start--
	}
	return before[start] == '-' && start < len(before)-1 && isLetter(before[start+1]) &&
		(start == 0 || before[start-1] != '/')
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

// isWord tells whether the byte can be part of a name in a path.
func isWord(c byte) bool {
	return isLetter(c) || '0' <= c && c <= '9' || c == '.' || c == '_' || c == '-' || c == '+' || c == '~' || c == '@' || c == '%' || c >= 0x80
}

// inPath tells whether the byte can be part of a path. Spaces, quotes and
// colons, which may be, more often end one.
func inPath(c byte) bool {
	return isWord(c) || c == '/' || c == '\\' || c == '=' || c == '#' || c == '{' || c == '}' || c == '$'
}
