package matrix

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
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
		pr.Text = quoted(strings.TrimRight(p.lines[pr.Line-1], " \t\r"), pr.Column)
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

const (
	// maxText is how many characters are shown of a line, before those that
	// stand before the place that is meant.
	maxText = 160
	before  = 60
)

// quoted is a line as it is shown: the part around a column, and escaped what
// would command a terminal or cannot be seen.
func quoted(line string, column int) string {
	var b strings.Builder
	from := 0
	if n := utf8.RuneCountInString(line); n > maxText {
		if from = min(max(column-1-before, 0), n-maxText); from > 0 {
			b.WriteString("…")
		}
	}
	at := 0
	for len(line) > 0 && at < from+maxText {
		r, size := utf8.DecodeRuneInString(line)
		char := line[:size]
		line = line[size:]
		if at++; at <= from {
			continue
		}
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, char[0])
		case r == '\t' || unicode.IsPrint(r):
			b.WriteString(char)
		default:
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		}
	}
	if len(line) > 0 {
		b.WriteString("…")
	}
	return b.String()
}
