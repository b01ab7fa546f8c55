package verify

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/relmat/relmat/internal/matrix"
)

//go:embed content.json
var contentJSON []byte

// contentRule is a tree of files that is of use whole or not at all.
type contentRule struct {
	Project string `json:"project"`
	// When is an expression for paths; its one group is the directory that holds
	// the tree. Need are the paths that must then be in that directory.
	When string   `json:"when"`
	Need []string `json:"need"`
	Why  string   `json:"why"`
	when *regexp.Regexp
}

var contents = mustContent(contentJSON)

func mustContent(data []byte) []contentRule {
	var t struct {
		Trees []contentRule `json:"trees"`
	}
	if err := json.Unmarshal(data, &t); err != nil {
		panic("verify: content.json: " + err.Error())
	}
	for i := range t.Trees {
		t.Trees[i].when = regexp.MustCompile(t.Trees[i].When)
	}
	return t.Trees
}

// empty tells whether the package has no file and no link.
func (s *subject) empty() bool {
	return !slices.ContainsFunc(s.entries, func(e *entry) bool { return !e.Mode.IsDir() })
}

// requiredContent holds the package against what the matrix says that it
// holds, and trees of headers against what they are known to need.
func requiredContent(s *subject) []Finding {
	var out []Finding
	if s.empty() {
		out = append(out, Finding{Message: "holds no file at all", Hint: "look whether it is the right one, and what should have filled it"})
	}
	if t := s.o.Target; t != nil {
		out = append(out, s.matrixPrograms(t)...)
		for _, f := range t.Package.Files {
			if matrix.Matches(f.Targets, t.Row.Name) {
				out = append(out, s.matrixFiles(f)...)
			}
		}
	}
	for _, c := range contents {
		bases := map[string]bool{}
		var order []string
		for _, e := range s.entries {
			if m := c.when.FindStringSubmatch(e.Path); m != nil && e.regular() && !bases[m[1]] {
				bases[m[1]] = true
				order = append(order, m[1])
			}
		}
		for _, base := range order {
			var lacking []string
			for _, need := range c.Need {
				if s.byPath[base+need] == nil {
					lacking = append(lacking, base+need)
				}
			}
			if len(lacking) > 0 {
				out = append(out, Finding{
					File:    strings.TrimSuffix(base, "/"),
					Message: fmt.Sprintf("holds a part of %s without %s: %s", c.Project, text(lacking[0]), c.Why),
					Hint:    "pack the whole directory of headers, and say in the matrix what it contains", Evidence: evidence(lacking),
				})
			}
		}
	}
	return out
}

// matrixPrograms holds the package against the programs that it is made for.
// Where its manifest has one, the rule about manifests looks after it.
func (s *subject) matrixPrograms(t *Target) []Finding {
	var out []Finding
	for _, name := range slices.Sorted(maps.Keys(t.Programs)) {
		if s.manifest != nil && s.manifest.Programs[name] != "" {
			continue
		}
		p := t.Programs[name]
		message := ""
		switch e := s.byPath[p]; {
		case e == nil || e.Mode.IsDir():
			message = "is not in the package, and the matrix says that it holds program " + text(name)
		case e.regular() && e.Size == 0:
			message = "is empty, and the matrix says that it is program " + text(name)
		default:
			continue
		}
		out = append(out, Finding{File: p, Message: message, Hint: "make the package anew, or mend its programs and layout in the matrix"})
	}
	return out
}

// matrixFiles holds the package against one entry of its files.
func (s *subject) matrixFiles(f matrix.Files) []Finding {
	const hint = "look where the build left it: the matrix names it in the package's files"
	to := path.Clean(f.To)
	e := s.byPath[to]
	n := 0
	for _, other := range s.entries {
		if !other.Mode.IsDir() && other.Name == "" && strings.HasPrefix(other.Path, to+"/") || to == "." && !other.Mode.IsDir() {
			n++
		}
	}
	switch {
	case e != nil && !e.Mode.IsDir():
		if e.regular() && e.Size == 0 {
			return []Finding{{File: to, Message: "is empty, and the matrix says that the package holds it", Hint: hint}}
		}
		return nil
	case n == 0:
		return []Finding{{File: to, Message: "is not in the package, and the matrix says that it holds it", Hint: hint}}
	}
	var out []Finding
	var lacking []string
	for _, c := range f.Contains {
		if p := path.Join(to, c); s.byPath[p] == nil || s.byPath[p].Mode.IsDir() {
			lacking = append(lacking, p)
		}
	}
	slices.Sort(lacking)
	for _, p := range lacking {
		out = append(out, Finding{File: p, Message: fmt.Sprintf("is not in the package, and the matrix says that %s contains it", text(to)), Hint: hint})
	}
	if least := max(f.MinFiles, 1); n < least {
		out = append(out, Finding{File: to, Message: fmt.Sprintf("holds %s, and the matrix wants at least %d", count(n, "file"), least), Hint: hint})
	}
	return out
}
