package inspect

import (
	"fmt"
	"path"
	"strings"
	"unicode/utf8"

	"github.com/relmat/relmat/internal/loader"
	"github.com/relmat/relmat/internal/objfile"
)

// nameWidth is that of the column of names in a tree.
const nameWidth = 26

// maxLines bounds the lines of a tree.
const maxLines = 100

// needs shows the libraries that a file needs, where each is found, and what
// those need in turn. Libraries of the system are only named.
func (p *picture) needs(r *Root, f *File, sl *Slice) {
	label := "needs"
	if sl.Tree == nil {
		var all []string
		for _, n := range append(sl.Needs[:len(sl.Needs):len(sl.Needs)], sl.DelayNeeds...) {
			all = append(all, text(n.Name))
		}
		p.rowText(label, strings.Join(all, ", "))
		return
	}
	node := sl.Tree.Nodes[r.at(f)]
	if node == nil {
		node = sl.Tree.Nodes[sl.Tree.Root]
	}
	if node == nil {
		return
	}
	t := tree{picture: p, root: r, tree: sl.Tree, direct: map[string]bool{}, shown: map[string]bool{node.Path: true}}
	for _, e := range node.Edges {
		t.direct[e.Path] = true
	}
	t.node(node, 0)
	if sl.Tree.Root != node.Path && len(t.lines) > 0 {
		t.lines = append(t.lines, p.paint(dim, middle("(as found when "+text(r.Rel(sl.Tree.Root))+" loads it)", width-labelWidth)))
	}
	p.row(label, t.lines...)
	system := systemNames(node, sl.Object)
	if system == "" {
		return
	}
	if len(t.lines) > 0 {
		p.rowText("", "and of the system: "+system)
		return
	}
	p.rowText(label, "only the system's: "+system)
}

// systemNames lists what every machine has, Windows' contracts by their number.
func systemNames(n *loader.Node, o *objfile.Object) string {
	var names []string
	sets := 0
	for _, e := range n.Edges {
		switch {
		case e.Class == loader.APISet:
			sets++
		case e.Class == loader.System && o.Format == objfile.MachO:
			names = append(names, text(path.Base(e.Name)))
		case e.Class == loader.System:
			names = append(names, text(e.Name))
		}
	}
	if len(names) > maxLines {
		names = append(names[:maxLines], fmt.Sprintf("%d more", len(names)-maxLines))
	}
	if sets > 0 {
		names = append(names, plural(sets, "API set")+" (api-ms-win-…)")
	}
	return strings.Join(names, ", ")
}

// tree is a dependency tree that is being shown.
type tree struct {
	*picture
	root *Root
	tree *loader.Tree
	// direct are the paths that the file itself needs: they are told of at the
	// first level, wherever else they are needed.
	direct map[string]bool
	shown  map[string]bool
	lines  []string
	cut    bool
}

// node shows what a file asks for: what is found, each with what it needs in
// turn, then what comes with the driver and what is missing.
func (t *tree) node(n *loader.Node, depth int) {
	var reasons []string
	others := map[string][]string{}
	for _, e := range n.Edges {
		switch e.Class {
		case loader.System, loader.APISet:
		case loader.Found:
			if depth > 0 && t.direct[e.Path] {
				continue
			}
			seen := t.shown[e.Path]
			t.edge(e, depth, seen)
			if next := t.tree.Nodes[e.Path]; next != nil && !seen {
				t.shown[next.Path] = true
				t.node(next, depth+1)
			}
		default:
			why := t.reason(e)
			if others[why] == nil {
				reasons = append(reasons, why)
			}
			others[why] = append(others[why], text(e.Name))
		}
	}
	for _, why := range reasons {
		t.group(why, others[why], depth)
	}
}

func (t *tree) add(lines ...string) {
	for _, l := range lines {
		if len(t.lines) >= maxLines {
			if !t.cut {
				t.lines = append(t.lines, "and more; --json has them all")
			}
			t.cut = true
			return
		}
		t.lines = append(t.lines, l)
	}
}

func indentOf(depth int) string { return strings.Repeat("  ", min(depth, 8)) }

// reason says what is the matter with a library that is not found.
func (t *tree) reason(e loader.Edge) string {
	s := "NOT FOUND"
	if e.Class == loader.Driver {
		s = "of the GPU's driver"
	} else if n := len(e.Searched); n == 1 {
		s += " in 1 directory"
	} else if n > 1 {
		s += fmt.Sprintf(" in %d directories", n)
	}
	if how := word(words.How, e.How); how != "" {
		s += " (" + how + ")"
	}
	if e.Hint != "" {
		s += "; " + text(e.Hint)
	}
	return s
}

// group shows libraries with which the same is the matter.
func (t *tree) group(why string, names []string, depth int) {
	color := ""
	if strings.HasPrefix(why, "NOT") {
		color = red
	}
	head, hint, _ := strings.Cut(why, "; ")
	for i, l := range wrap(head+": "+strings.Join(names, ", "), width-labelWidth-len(indentOf(depth))-2) {
		indent := indentOf(depth)
		if i > 0 {
			indent += "  "
		}
		t.add(indent + t.paint(color, l))
	}
	for _, l := range wrap(hint, width-labelWidth-len(indentOf(depth))-2) {
		t.add(indentOf(depth) + "  " + t.paint(dim, l))
	}
}

// edge is one library that is found: its name, and beside it where and why.
func (t *tree) edge(e loader.Edge, depth int, seen bool) {
	where := "see above"
	var why []string
	if !seen {
		p := t.root.near(e.Path)
		switch dir := path.Dir(p); {
		case dir != ".":
			where = "in " + text(dir)
		case t.root.Kind == "file":
			where = "beside it"
		default:
			where = "at the top"
		}
		if path.Base(p) != path.Base(e.Name) {
			where += " as " + text(path.Base(p))
		}
		if e.Via != "" {
			why = append(why, text(e.Via))
		}
	}
	if how := word(words.How, e.How); how != "" {
		why = append(why, how)
	}
	if len(why) > 0 {
		where += " (" + strings.Join(why, ", ") + ")"
	}
	if e.Hint != "" {
		where += "; " + text(e.Hint)
	}
	indent := indentOf(depth)
	name := indent + text(e.Name)
	if utf8.RuneCountInString(name) > nameWidth-1 {
		t.add(middle(name, width-labelWidth))
		name = ""
	}
	for _, l := range wrap(where, width-labelWidth-nameWidth) {
		t.add(pad(name, nameWidth) + t.paint(dim, l))
		name = ""
	}
}
