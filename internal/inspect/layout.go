package inspect

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/dustin/go-humanize"
)

// width is that of a terminal which nobody made wider.
const width = 80

// labelWidth is what stands before a block's text: two spaces, the label, and
// two more.
const labelWidth = 16

// picture lays text out for people.
type picture struct {
	w     *bufio.Writer
	color bool
}

func newPicture(w io.Writer, color bool) *picture {
	return &picture{w: bufio.NewWriter(w), color: color}
}

// The colours, by what they tell (ECMA-48, "SGR").
const (
	bold = "1"
	red  = "31"
	dim  = "2"
)

func (p *picture) paint(code, s string) string {
	if !p.color || code == "" || s == "" {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

func (p *picture) line(s string) { fmt.Fprintln(p.w, strings.TrimRight(s, " ")) }

// row prints lines under a label; none, and the label is left out too.
func (p *picture) row(label string, lines ...string) {
	for _, l := range lines {
		p.line(fmt.Sprintf("  %-*s%s", labelWidth-2, label, l))
		label = ""
	}
}

// text is a string of a file as a terminal can show it: nothing in it moves the
// cursor or hides what follows.
func text(s string) string {
	for _, r := range s {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return strings.Trim(strconv.Quote(s), `"`)
		}
	}
	return s
}

// middle takes out of the middle of a line what exceeds the width.
func middle(s string, width int) string {
	r := []rune(s)
	if len(r) <= width {
		return s
	}
	if width < 3 {
		return string(r[:max(width, 0)])
	}
	head := (width - 1) / 2
	return string(r[:head]) + "…" + string(r[len(r)-(width-1-head):])
}

// pad fills a cell up to the width, or shortens it.
func pad(s string, width int) string {
	s = middle(s, width)
	return s + strings.Repeat(" ", width-utf8.RuneCountInString(s))
}

// wrap breaks text between words; a word that is wider than a line loses its
// middle.
func wrap(s string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(s) {
		word = middle(word, width)
		if line != "" && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width {
			lines = append(lines, line)
			line = ""
		}
		line = strings.TrimPrefix(line+" "+word, " ")
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}

// rowText is a row whose text is wrapped.
func (p *picture) rowText(label, s string) { p.row(label, wrap(s, width-labelWidth)...) }

func size(n int64) string { return humanize.Bytes(uint64(max(n, 0))) }

// plural is a number with its noun.
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return humanize.Comma(int64(n)) + " " + noun + "s"
}

// table prints rows in columns. The widest column, which is named, gives way
// where they exceed the width.
func (p *picture) table(indent string, rows [][]string, gives int) {
	widths := make([]int, len(rows[0]))
	total := utf8.RuneCountInString(indent)
	for col := range widths {
		for _, row := range rows {
			widths[col] = max(widths[col], utf8.RuneCountInString(row[col]))
		}
		total += widths[col] + 2
	}
	if total -= 2; total > width {
		widths[gives] = max(8, widths[gives]-(total-width))
	}
	for i, row := range rows {
		cells := make([]string, len(row))
		for col, cell := range row {
			cells[col] = pad(cell, widths[col])
		}
		l := strings.TrimRight(indent+strings.Join(cells, "  "), " ")
		if i == 0 {
			l = p.paint(dim, l)
		}
		p.line(l)
	}
}
