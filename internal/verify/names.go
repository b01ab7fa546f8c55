package verify

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// reserved are names that Windows keeps for devices, with any extension
// (Microsoft, "Naming Files, Paths, and Namespaces").
var reserved = regexp.MustCompile(`(?i)^(con|prn|aux|nul|conin\$|conout\$|com[1-9¹²³]|lpt[1-9¹²³])[ ]*(\..*)?$`)

const (
	// maxPath leaves of Windows' 260 characters a few for the directory into
	// which users unpack.
	maxPath = 240
	// maxPart is what Linux, macOS and Windows take for one name, in bytes.
	maxPart = 255
)

// names finds what not every system can unpack.
func names(s *subject) []Finding {
	var out []Finding
	add := func(severity, file, hint, format string, args ...any) {
		out = append(out, Finding{Severity: severity, File: file, Message: fmt.Sprintf(format, args...), Hint: hint})
	}
	folded := map[string]string{}
	seen := map[string]*entry{}
	collide := map[string]bool{}
	blocked := map[string]bool{}
	for _, e := range s.entries {
		if e.Name != "" {
			add("", text(short(e.Name)), "pack it under a relative name, with / between its parts", "leads out of the directory into which it is unpacked, or has a name that some system cannot have")
			continue
		}
		// Directories may stand there as often as they like.
		if other := seen[e.Path]; other != nil && (other.isNoDir() || e.isNoDir()) {
			add("", e.Path, "pack it once", "stands twice in the archive: what users have depends on their program")
		}
		seen[e.Path] = e
		// Unpackers refuse to go through a link, and cannot go through a file. Where
		// the two differ in capital letters they collide, which is told below.
		for dir := path.Dir(e.Path); dir != "."; dir = path.Dir(dir) {
			if over := s.byPath[dir]; over != nil && over.isNoDir() && !blocked[dir] {
				blocked[dir] = true
				add("", dir, "pack a directory of this name, or give one of the two another name",
					"is %s, and %s lies below it: it cannot be unpacked", over.kind(), text(e.Path))
			}
		}
		// Directories that the archive does not list collide, too.
		for p := e.Path; p != "."; p = path.Dir(p) {
			low := strings.ToLower(p)
			other, ok := folded[low]
			if !ok {
				folded[low] = p
				continue
			}
			if other != p && !collide[p] {
				collide[p] = true
				add("", p, "rename one of them", "differs from %s in capital letters alone: Windows and macOS have one file for both", text(other))
			}
		}
		for _, problem := range badParts(e.Path) {
			add("", e.Path, "rename it", "%s", problem)
		}
		if whole := path.Join(s.root, e.Path); utf8.RuneCountInString(whole) > maxPath {
			add(warning, e.Path, "shorten it: Windows takes 260 characters with the directory into which it is unpacked", "is a path of %d characters", utf8.RuneCountInString(whole))
		}
	}
	return out
}

// badParts says what is wrong with the parts of a path.
func badParts(p string) []string {
	var out []string
	for _, part := range strings.Split(p, "/") {
		switch {
		case reserved.MatchString(part):
			out = append(out, fmt.Sprintf("Windows keeps the name %s for a device", text(part)))
		case strings.TrimRight(part, ". ") != part:
			out = append(out, fmt.Sprintf("the name %q ends with a point or a space, which Windows drops", part))
		case strings.ContainsAny(part, `<>:"|?*\`) || strings.IndexFunc(part, func(r rune) bool { return r < 0x20 }) >= 0:
			out = append(out, fmt.Sprintf("Windows cannot have the name %q", part))
		case !utf8.ValidString(part):
			out = append(out, fmt.Sprintf("the name %q is not UTF-8: what users see depends on their system", part))
		case len(part) > maxPart:
			out = append(out, fmt.Sprintf("a name has %d bytes, and no system takes more than %d", len(part), maxPart))
		}
	}
	return slices.Compact(out)
}

// short keeps the start of a name that is too long to be one.
func short(name string) string {
	if len(name) > 200 {
		return name[:200] + "…"
	}
	return name
}
