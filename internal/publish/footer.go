package publish

import "strings"

// The marks around what a release's notes end with; other marks than a
// promotion's, so that each is replaced by itself.
const (
	footerBegin = "<!-- relmat: footer -->"
	footerEnd   = "<!-- relmat: end of footer -->"
)

// withFooter ends notes with a footer, in place of the one that an earlier run
// put there. An empty footer takes that one out.
func withFooter(body, footer string) string {
	if before, rest, ok := strings.Cut(body, footerBegin); ok {
		if _, after, ok := strings.Cut(rest, footerEnd); ok {
			body = strings.TrimRight(before, "\r\n ") + strings.TrimRight(after, "\r\n ")
		}
	}
	if footer == "" {
		return body
	}
	if body = strings.TrimRight(body, "\r\n "); body != "" {
		body += "\n\n"
	}
	return body + footerBegin + "\n" + footer + "\n" + footerEnd + "\n"
}

// bodyOf is what the notes of a release are to be, whose notes are current; nil
// where they stay.
func bodyOf(w Wanted, current string) *string {
	if w.Footer == nil {
		return w.Notes
	}
	body := current
	if w.Notes != nil {
		body = *w.Notes
	}
	if body = withFooter(body, *w.Footer); w.Notes == nil && body == current {
		return nil
	}
	return &body
}
