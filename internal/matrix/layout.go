package matrix

import (
	"cmp"
	_ "embed"
	"encoding/json"
	"maps"
	"path"
	"slices"
	"strings"
)

//go:embed layouts.json
var layoutsJSON []byte

// LayoutStyle is a layout of relmat's table.
type LayoutStyle struct {
	// Programs and Libraries are directories relative to the package's root.
	Programs  string `json:"programs"`
	Libraries string `json:"libraries"`
	// Places are the directories of libraries that do not lie in Libraries.
	Places []LayoutPlace `json:"places"`
	// AsInWheel keeps each library where its wheel has it.
	AsInWheel bool `json:"as_in_wheel"`
}

// LayoutPlace is where libraries of a name lie.
type LayoutPlace struct {
	// Match is a pattern of path.Match for the file name, without case.
	Match string `json:"match"`
	To    string `json:"to"`
}

var layoutStyles = mustLayouts(layoutsJSON)

func mustLayouts(data []byte) map[string]LayoutStyle {
	var t struct {
		Layouts map[string]LayoutStyle `json:"layouts"`
	}
	if err := json.Unmarshal(data, &t); err != nil {
		panic("matrix: layouts.json: " + err.Error())
	}
	return t.Layouts
}

func layoutNames() []string { return slices.Sorted(maps.Keys(layoutStyles)) }

// LayoutOf returns the package's layout with its defaults.
func (p Package) LayoutOf() Layout {
	l := p.Layout
	l.Style = cmp.Or(l.Style, "bin-lib")
	style := layoutStyles[l.Style]
	l.Programs = cmp.Or(l.Programs, style.Programs)
	l.Libraries = cmp.Or(l.Libraries, style.Libraries)
	l.Licenses = cmp.Or(l.Licenses, "licenses")
	return l
}

// Place is the path in the package of a library that lies at inWheel among the
// files of its wheel; empty if it comes from none.
func (l Layout) Place(name, inWheel string) string {
	style := layoutStyles[l.Style]
	if style.AsInWheel && inWheel != "" {
		return inWheel
	}
	for _, p := range style.Places {
		if ok, _ := path.Match(p.Match, strings.ToLower(name)); ok {
			return path.Join(p.To, name)
		}
	}
	return path.Join(l.Libraries, name)
}

// FromPrograms leads from the directory of the programs to that of the library
// which Place places, with slashes.
func (l Layout) FromPrograms(name, inWheel string) string {
	return relPath(l.Programs, path.Dir(l.Place(name, inWheel)))
}

// Places are the directories of libraries that do not lie in Libraries.
func (l Layout) Places() []LayoutPlace { return layoutStyles[l.Style].Places }

// Hooks are the places of the layout in which the program's own delay-load
// hook looks, relative to the directory of the programs.
func (l Layout) Hooks() map[string]string {
	hooks := map[string]string{}
	for _, p := range layoutStyles[l.Style].Places {
		hooks[p.Match] = relPath(l.Programs, p.To)
	}
	return hooks
}

// relPath leads from one directory of a package to another.
func relPath(from, to string) string {
	split := func(p string) []string {
		if p == "." || p == "" {
			return nil
		}
		return strings.Split(p, "/")
	}
	a, b := split(path.Clean(from)), split(path.Clean(to))
	for len(a) > 0 && len(b) > 0 && a[0] == b[0] {
		a, b = a[1:], b[1:]
	}
	parts := append(slices.Repeat([]string{".."}, len(a)), b...)
	if len(parts) == 0 {
		return "."
	}
	return strings.Join(parts, "/")
}
