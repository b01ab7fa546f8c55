package matrix

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// Problem is one thing that is wrong with a targets.yaml.
type Problem struct {
	File string
	// Line and Column are 0 where it is no place in the text.
	Line, Column int
	// Path is the place in the file by its keys: targets.linux.triple.
	Path    string
	Message string
	// Hint says what is allowed or how to mend it.
	Hint string
	// Text is the line of the file.
	Text string
}

func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File + ": ")
	if p.Line > 0 {
		b.Reset()
		fmt.Fprintf(&b, "%s:%d:%d: ", p.File, p.Line, p.Column)
	}
	if p.Path != "" {
		b.WriteString(p.Path + ": ")
	}
	b.WriteString(p.Message)
	if p.Hint != "" {
		b.WriteString("; " + p.Hint)
	}
	if p.Text != "" {
		fmt.Fprintf(&b, "\n  %4d | %s", p.Line, p.Text)
	}
	return b.String()
}

// Error is everything that is wrong with a targets.yaml, in the order of the
// text.
type Error struct{ Problems []Problem }

func (e *Error) Error() string {
	parts := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		parts[i] = p.String()
	}
	return strings.Join(parts, "\n")
}

type problems struct {
	file  string
	lines []string
	list  []Problem
}

func (p *problems) add(n *yaml.Node, path, message, hint string) {
	pr := Problem{File: p.file, Line: 1, Column: 1, Path: path, Message: message, Hint: hint}
	if n != nil && n.Line > 0 {
		pr.Line, pr.Column = n.Line, n.Column
	}
	if pr.Line <= len(p.lines) {
		pr.Text = strings.Map(printable, strings.TrimRight(p.lines[pr.Line-1], " \t\r"))
	}
	p.list = append(p.list, pr)
}

func (p *problems) err() error {
	if len(p.list) == 0 {
		return nil
	}
	slices.SortStableFunc(p.list, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return &Error{Problems: p.list}
}

// printable replaces what would command a terminal.
func printable(r rune) rune {
	if unicode.IsControl(r) && r != '\t' {
		return utf8.RuneError
	}
	return r
}
