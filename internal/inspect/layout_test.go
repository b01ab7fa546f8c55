package inspect

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestMiddle(t *testing.T) {
	for _, tt := range []struct {
		s     string
		width int
		want  string
	}{
		{"abcdef", 6, "abcdef"}, {"abcdefg", 6, "ab…efg"}, {"abcdefg", 3, "a…g"}, {"abc", 2, "ab"}, {"abc", 0, ""}, {"äöüßéè", 5, "äö…éè"}, {"", 4, ""},
	} {
		if got := middle(tt.s, tt.width); got != tt.want {
			t.Errorf("middle(%q, %d) is %q, want %q", tt.s, tt.width, got, tt.want)
		}
	}
}

func TestText(t *testing.T) {
	for in, want := range map[string]string{
		"plain äö": "plain äö", "a\x1b[1mb": `a\x1b[1mb`, "a\nb": `a\nb`, "\u202eabc": `\u202eabc`, "\xff": `\xff`, "": "", `a"b`: `a"b`,
	} {
		if got := text(in); got != want {
			t.Errorf("text(%q) is %q, want %q", in, got, want)
		}
	}
}

func TestWrapKeepsToTheWidth(t *testing.T) {
	long := strings.Repeat("word ", 50) + strings.Repeat("x", 300)
	for _, n := range []int{10, 33, 64} {
		for _, l := range wrap(long, n) {
			if utf8.RuneCountInString(l) > n {
				t.Errorf("%d columns in %d: %s", utf8.RuneCountInString(l), n, l)
			}
		}
	}
	if got := wrap("  ", 10); len(got) != 0 {
		t.Errorf("%q", got)
	}
}

func TestTableFits(t *testing.T) {
	var b bytes.Buffer
	p := newPicture(&b, false)
	p.table("  ", [][]string{{"FILE", "WHAT"}, {strings.Repeat("a/", 100), "shared library"}, {"b", "program"}}, 0)
	if err := p.w.Flush(); err != nil {
		t.Fatal(err)
	}
	for l := range strings.SplitSeq(b.String(), "\n") {
		if utf8.RuneCountInString(l) > width {
			t.Errorf("%d columns: %s", utf8.RuneCountInString(l), l)
		}
	}
}
