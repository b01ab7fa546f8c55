package verify

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

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
