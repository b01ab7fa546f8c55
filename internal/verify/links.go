package verify

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"
)

// links finds a library that is stored once for each name of its chain of
// links, links that lead nowhere or out of the package, and links of which a
// system cannot make any.
func links(s *subject) []Finding {
	var out []Finding
	for _, e := range s.entries {
		if !e.isLink() || e.Name != "" {
			continue
		}
		if f, ok := s.badLink(e); ok {
			out = append(out, f)
		}
	}
	return append(out, s.chains()...)
}

func (s *subject) badLink(e *entry) (Finding, bool) {
	target := e.Link
	if !e.Hard {
		if path.IsAbs(target) || strings.Contains(target, `\`) || len(target) > 1 && target[1] == ':' {
			return Finding{
				File: e.Path, Message: fmt.Sprintf("is a link to %s, out of the package", text(target)),
				Hint: "link to a path in the package, relative to the link's directory, or pack the file itself",
			}, true
		}
		target = path.Join(path.Dir(e.Path), target)
	}
	target = path.Clean(target)
	if target == ".." || strings.HasPrefix(target, "../") {
		return Finding{
			File: e.Path, Message: fmt.Sprintf("is a link to %s, out of the package", text(e.Link)),
			Hint: "link to a path in the package, or pack the file itself",
		}, true
	}
	if why := s.leadsNowhere(e.Path, map[string]bool{}); why != "" {
		return Finding{
			File: e.Path, Message: fmt.Sprintf("is a link to %s, which %s", text(e.Link), why),
			Hint: "pack what it leads to, or take the link out",
		}, true
	}
	return Finding{}, false
}

// leadsNowhere follows links until a file or directory of the package, and says
// why there is none. seen are the paths on the way.
func (s *subject) leadsNowhere(p string, seen map[string]bool) string {
	const notThere = "is not there"
	p = path.Clean(p)
	switch {
	case p == ".":
		return ""
	case p == ".." || strings.HasPrefix(p, "../") || path.IsAbs(p):
		return notThere
	case seen[p]:
		return "leads in a circle"
	case len(seen) > 40: // as a kernel gives up
		return "leads in a circle, or through more than 40 links"
	}
	seen[p] = true
	// A directory on the way may be a link itself.
	parts := strings.Split(p, "/")
	for i := range parts {
		head := strings.Join(parts[:i+1], "/")
		e := s.byPath[head]
		if e == nil || !e.isLink() {
			continue
		}
		to := e.Link
		if !e.Hard {
			to = path.Join(path.Dir(head), to)
		}
		return s.leadsNowhere(path.Join(append([]string{to}, parts[i+1:]...)...), seen)
	}
	if s.byPath[p] != nil || slices.ContainsFunc(s.entries, func(e *entry) bool { return strings.HasPrefix(e.Path, p+"/") }) {
		return ""
	}
	return notThere
}

// chains finds files with the same content whose names are those of one chain:
// libx.so, libx.so.1, libx.so.1.2.
func (s *subject) chains() []Finding {
	type key struct{ dir, stem, sum string }
	groups := map[key][]*entry{}
	var order []key
	for _, e := range s.entries {
		stem := chainStem(e.base())
		if !e.regular() || e.Size == 0 || stem == "" || e.SHA256 == "" {
			continue
		}
		k := key{path.Dir(e.Path), stem, e.SHA256}
		if groups[k] == nil {
			order = append(order, k)
		}
		groups[k] = append(groups[k], e)
	}
	var out []Finding
	for _, k := range order {
		g := groups[k]
		if len(g) < 2 {
			continue
		}
		var names []string
		for _, e := range g {
			names = append(names, text(e.base()))
		}
		keep := names[0]
		for _, n := range g[0].slices {
			if n.Soname != "" {
				keep = path.Base(n.Soname)
			}
		}
		out = append(out, Finding{
			File: g[0].Path,
			Message: fmt.Sprintf("is stored %d times under the names of a chain of links: %s take %s in place of %s",
				len(g), strings.Join(names, ", "), sizeText(int64(len(g))*g[0].Size), sizeText(g[0].Size)),
			Hint: fmt.Sprintf("pack it once, as %s, under which it is loaded; the other names are for linkers", text(keep)),
		})
	}
	return out
}

// chainStem is the name of a library without its version, empty for other
// files.
func chainStem(name string) string {
	if stem, version, ok := strings.Cut(name, ".so"); ok && (version == "" || version[0] == '.' && strings.Trim(version, ".0123456789") == "") {
		return stem
	}
	if m := dylibName.FindStringSubmatch(name); m != nil {
		return m[1] + ".dylib"
	}
	return ""
}

var dylibName = regexp.MustCompile(`^(.+?)(\.\d+)*\.dylib$`)

func sizeText(n int64) string { return humanize.Bytes(uint64(max(n, 0))) }
