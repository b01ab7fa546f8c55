package loader

import (
	"fmt"
	"strings"
	"testing"

	"github.com/relmat/relmat/internal/objfile"
)

// world reads a tree of files from text, one a line:
//
//	PATH MACHINE [soname=X] [rpath=A:B] [runpath=A:B] [interp=X] [sdk=X] [NEED | HOW:NEED]...
//	PATH -> TARGET
//
// The format is the platform's; a machine of "text" is a file that is none.
func world(platform, text string) *FilesView {
	format := map[string]objfile.Format{Linux: objfile.ELF, Windows: objfile.PE, MacOS: objfile.MachO}[platform]
	entries := map[string]Entry{}
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) < 2 {
			continue
		}
		p := words[0]
		if words[1] == "->" {
			if len(words) > 2 {
				entries[p] = Entry{Link: words[2]}
			}
			continue
		}
		if words[1] == "text" {
			entries[p] = Entry{}
			continue
		}
		var objects []*objfile.Object
		for machine := range strings.SplitSeq(words[1], "+") {
			o := &objfile.Object{Format: format, Machine: machine, Bits: 64, Kind: objfile.Library}
			for _, w := range words[2:] {
				key, value, ok := strings.Cut(w, "=")
				if !ok {
					how, name, found := strings.Cut(w, ":")
					if !found {
						how, name = "", w
					}
					switch how {
					case "delay":
						o.DelayNeeds = append(o.DelayNeeds, objfile.Need{Name: name})
					case "dlopen":
						o.Dlopen = append(o.Dlopen, objfile.Dlopen{Sonames: strings.Split(name, ","), Feature: "extras", Priority: "recommended"})
					default:
						o.Needs = append(o.Needs, objfile.Need{Name: name, How: how})
					}
					continue
				}
				switch key {
				case "soname":
					o.Soname = value
				case "rpath":
					o.Rpath = strings.Split(value, ":")
				case "runpath":
					o.Runpath = strings.Split(value, ":")
				case "interp":
					o.Interp = value
				case "sdk":
					o.MachO = &objfile.MachOInfo{Platform: "macos", SDK: value}
				}
			}
			objects = append(objects, o)
		}
		entries[p] = Entry{Objects: objects}
	}
	return Files(entries)
}

// picture is a tree as text.
func picture(t *Tree) string {
	var b strings.Builder
	for _, p := range t.Order {
		fmt.Fprintf(&b, "%s\n", p)
		for _, e := range t.Nodes[p].Edges {
			fmt.Fprintf(&b, "  %s %s: %s", e.How, e.Name, e.Class)
			if e.Path != "" {
				fmt.Fprintf(&b, " %s", e.Path)
			}
			if e.Via != "" {
				fmt.Fprintf(&b, " [%s]", e.Via)
			}
			if e.Cwd {
				b.WriteString(" (current directory)")
			}
			if len(e.Searched) > 0 {
				fmt.Fprintf(&b, " searched %s", strings.Join(e.Searched, " "))
			}
			if e.Hint != "" {
				fmt.Fprintf(&b, "\n    %s", e.Hint)
			}
			b.WriteByte('\n')
		}
	}
	return b.String()
}

type tableCase struct {
	platform, files, root string
	opts                  Options
	// want are parts of the picture; the rules that they cite are beside them.
	want []string
}

func (c tableCase) run(t *testing.T) {
	t.Helper()
	tree, err := Resolve(world(c.platform, c.files), c.root, c.opts)
	if err != nil {
		t.Fatal(err)
	}
	got := picture(tree)
	for _, w := range c.want {
		if !strings.Contains(got, w+"\n") {
			t.Errorf("no line %q in\n%s", w, got)
		}
	}
}
