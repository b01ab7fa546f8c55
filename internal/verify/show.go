package verify

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/dustin/go-humanize"

	"github.com/relmat/relmat/internal/matrix"
)

const (
	// width is that of a terminal which nobody made wider.
	width = 80
	// maxNames bounds the files that are named for one finding.
	maxNames = 5
	// maxLines bounds the evidence that is shown of one.
	maxLines = 3
)

// The colours, by what they tell (ECMA-48, "SGR").
var colors = map[string]string{errorLevel: "31", warning: "33", note: "36", "allowed": "2", "rule": "1", "dim": "2", "good": "32"}

// picture lays a report out for people.
type picture struct {
	w     *bufio.Writer
	color bool
}

func (p *picture) paint(what, s string) string {
	if !p.color || s == "" {
		return s
	}
	return "\x1b[" + colors[what] + "m" + s + "\x1b[0m"
}

func (p *picture) line(s string) { fmt.Fprintln(p.w, strings.TrimRight(s, " ")) }

// wrapped prints text with a first and a following indent, broken between words.
func (p *picture) wrapped(what, first, next, s string) {
	indent := first
	line := ""
	flush := func() {
		if line != "" {
			p.line(indent + p.paint(what, line))
			indent, line = next, ""
		}
	}
	for _, word := range strings.Fields(s) {
		room := width - utf8.RuneCountInString(indent)
		if line != "" && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > room {
			flush()
		}
		line = strings.TrimPrefix(line+" "+middle(word, width-utf8.RuneCountInString(indent)), " ")
	}
	flush()
}

// middle takes out of the middle of a word what exceeds the width.
func middle(s string, room int) string {
	r := []rune(s)
	if len(r) <= room {
		return s
	}
	head := (room - 1) / 2
	return string(r[:head]) + "…" + string(r[len(r)-(room-1-head):])
}

// group is findings that say the same of several files, or of one file about
// several things.
type group struct {
	Finding
	files []groupFile
	items []string
}

type groupFile struct {
	path     string
	evidence []string
}

func groups(findings []Finding) []*group {
	var out []*group
	for _, f := range findings {
		i := slices.IndexFunc(out, func(g *group) bool {
			if g.Rule != f.Rule || g.Severity != f.Severity || g.Allowed != f.Allowed || g.Hint != f.Hint || g.Reason != f.Reason {
				return false
			}
			if f.joint != "" {
				return g.joint == f.joint && g.File == f.File
			}
			return g.joint == "" && g.Message == f.Message
		})
		if i < 0 {
			i = len(out)
			out = append(out, &group{Finding: f})
		}
		g := out[i]
		if f.joint != "" {
			g.items = append(g.items, f.item)
			g.Message = fmt.Sprintf(f.joint, strings.Join(g.items, ", "))
		}
		if f.File != "" && (f.joint == "" || len(g.files) == 0) {
			g.files = append(g.files, groupFile{f.File, f.Evidence})
		}
	}
	return out
}

// Show prints the report for people, 80 columns wide.
func (r *Report) Show(w io.Writer, color bool) error {
	p := &picture{w: bufio.NewWriter(w), color: color}
	head := text(r.Path) + ": " + r.Kind
	if r.Target != "" {
		head += " for " + text(r.Target)
	}
	p.wrapped("rule", "", "  ", head+", "+r.looked())
	heading := ""
	for _, g := range groups(r.Findings) {
		label := g.Severity
		if g.Allowed {
			label = "allowed"
		}
		if h := label + " " + g.Rule; h != heading {
			heading = h
			p.line("")
			p.line(p.paint(label, label) + "  " + p.paint("rule", g.Rule))
			if rule, ok := matrix.RuleOf(g.Rule); ok {
				p.wrapped("dim", "  ", "  ", "("+rule.What+")")
			}
		}
		p.group(g)
	}
	p.line("")
	p.summary(r)
	return p.w.Flush()
}

func (p *picture) group(g *group) {
	for i, f := range g.files {
		if i == maxNames {
			p.line(fmt.Sprintf("  and %d more files", len(g.files)-maxNames))
			break
		}
		p.line("  " + middle(text(f.path), width-2))
		if len(g.files) > 1 && len(f.evidence) > 0 {
			p.wrapped("dim", "      ", "        ", f.evidence[0])
		}
	}
	p.wrapped("", "    ", "    ", g.Message)
	if len(g.files) < 2 {
		for _, e := range g.Evidence[:min(len(g.Evidence), maxLines)] {
			p.wrapped("dim", "      ", "        ", e)
		}
		if len(g.Evidence) > maxLines {
			p.wrapped("dim", "      ", "        ", "and more; --json has it")
		}
	}
	if g.Allowed {
		p.wrapped("", "    allowed: ", "      ", g.Reason)
		return
	}
	p.wrapped("", "    mend: ", "      ", g.Hint)
}

func (r *Report) looked() string {
	return fmt.Sprintf("%s (%s native), %s", plural(r.Files, "file"), humanize.Comma(int64(r.Native)), humanize.Bytes(uint64(max(r.Bytes, 0))))
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return humanize.Comma(int64(n)) + " " + noun + "s"
}

// Summary counts the findings in one line.
func (r *Report) Summary() string {
	var parts []string
	for _, s := range []string{errorLevel, warning, note} {
		if n := r.Count(s); n > 0 || s != note {
			parts = append(parts, plural(n, s))
		}
	}
	allowed := 0
	for _, f := range r.Findings {
		if f.Allowed {
			allowed++
		}
	}
	if allowed > 0 {
		parts = append(parts, fmt.Sprintf("%d allowed", allowed))
	}
	return strings.Join(parts, ", ")
}

func (p *picture) summary(r *Report) {
	what := "good"
	switch {
	case r.Count(errorLevel) > 0:
		what = errorLevel
	case r.Count(warning) > 0:
		what = warning
	}
	p.line(p.paint(what, r.Summary()) + " in " + r.looked())
	if n := r.Needs.line(); n != "" {
		p.wrapped("", "all of it starts on: ", "  ", n)
	}
	if len(r.Host) > 0 {
		p.wrapped("", "left to the users' system: ", "  ", strings.Join(r.Host, ", "))
	}
	if len(r.Off) > 0 {
		p.wrapped("", "switched off: ", "  ", strings.Join(r.Off, ", "))
	}
	for _, n := range r.NotProven {
		p.wrapped("", "not proven: ", "  ", n.What+" ("+n.Why+")")
	}
}

// line says on which systems all files start.
func (n Needs) line() string {
	var out []string
	for _, v := range []struct{ what, version string }{
		{"glibc", n.Glibc}, {"libstdc++ with GLIBCXX", n.Libstdcxx}, {"macOS", n.MacOS}, {"Windows", n.Windows}, {"NVIDIA's driver", n.Driver},
	} {
		if v.version != "" {
			out = append(out, v.what+" "+v.version)
		}
	}
	if len(out) == 0 {
		return ""
	}
	return strings.Join(out, ", ") + " or newer"
}
