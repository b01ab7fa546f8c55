package toolchain

import (
	"cmp"
	"regexp"
	"strconv"
	"strings"
)

// Version is what a program says of its version: the numbers, and the word in
// which they stood.
type Version struct {
	Numbers []int
	Text    string
}

// dotted is a version at the start of a word; what follows it, as in
// 1.97.0-nightly, does not count.
var dotted = regexp.MustCompile(`^v?([0-9]{1,9}(?:\.[0-9]{1,9}){0,5})(?:[^0-9A-Za-z_]|\.[A-Za-z]|[A-Za-z]|$)`)

// ParseVersion finds the version in what a program prints when it is asked for
// it: the first word of the first line that begins with a number and stands in
// no parentheses. Distributions put their own numbers in parentheses, before
// the version (gcc) or after it (cargo, git of Apple).
func ParseVersion(output string) (v Version, ok bool) {
	line := ""
	for l := range strings.Lines(output) {
		if line = strings.TrimSpace(l); line != "" {
			break
		}
	}
	for _, word := range strings.Fields(outside(line)) {
		m := dotted.FindStringSubmatch(word)
		if m == nil {
			continue
		}
		v.Text = m[1]
		for _, part := range strings.Split(m[1], ".") {
			n, err := strconv.Atoi(part)
			if err != nil {
				return Version{}, false
			}
			v.Numbers = append(v.Numbers, n)
		}
		return v, true
	}
	return Version{}, false
}

// outside is the line without what stands in parentheses.
func outside(line string) string {
	var b strings.Builder
	depth := 0
	for _, r := range line {
		switch {
		case r == '(':
			depth++
		case r == ')' && depth > 0:
			depth--
			b.WriteByte(' ')
		case depth == 0:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// Compare orders versions; what one does not state is 0.
func (v Version) Compare(other Version) int {
	for i := range max(len(v.Numbers), len(other.Numbers)) {
		if c := cmp.Compare(v.at(i), other.at(i)); c != 0 {
			return c
		}
	}
	return 0
}

// Major is the first number.
func (v Version) Major() int { return v.at(0) }

func (v Version) at(i int) int {
	if i < len(v.Numbers) {
		return v.Numbers[i]
	}
	return 0
}
