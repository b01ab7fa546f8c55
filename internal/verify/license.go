package verify

import (
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/relmat/relmat/internal/manifest"
	"github.com/relmat/relmat/internal/objfile"
)

// licenseFile is a file of the package that holds a licence.
type licenseFile struct {
	entry *entry
	text  string
	// of are the vendors whose licence it is, by its words.
	of map[string]bool
}

func (s *subject) licenses() []licenseFile {
	var out []licenseFile
	for _, e := range s.entries {
		if e.regular() && !e.native && e.data != nil && !textFiles.MatchString(e.Path) && isLicense(e.Path) && len(strings.TrimSpace(string(e.data))) > 0 {
			out = append(out, licenseFile{e, string(e.data), vendorsIn(string(e.data))})
		}
	}
	return out
}

// vendorsIn are the vendors whose licence a text is.
func vendorsIn(text string) map[string]bool {
	of := map[string]bool{}
	for id, v := range vendorData.Vendors {
		of[id] = !slices.ContainsFunc(v.words, func(w *regexp.Regexp) bool { return !w.MatchString(text) })
	}
	return of
}

// license finds a package without licences, vendors' and distributions' files
// whose licence is not in it, and what may not be passed on.
func license(s *subject) []Finding {
	texts := s.licenses()
	out := s.ownLicense(texts)
	out = append(out, s.tools()...)
	out = append(out, s.vendorLicenses(texts)...)
	out = append(out, s.distributionLicenses(texts)...)
	return append(out, s.sourceLicenses(texts)...)
}

// ownLicense wants the licence of the project itself; of a package around what
// somebody else built, theirs.
func (s *subject) ownLicense(texts []licenseFile) []Finding {
	// What cannot be read or is not there at all other rules tell.
	if s.empty() || slices.ContainsFunc(s.entries, func(e *entry) bool { return e.Err != nil && isLicense(e.Path) }) {
		return nil
	}
	prebuilt := map[string]bool{}
	for _, e := range s.entries {
		if e.listed != nil && e.listed.Origin == manifest.Prebuilt && e.listed.From != "" {
			prebuilt[distOf(e.listed.From)] = true
		}
	}
	for _, t := range texts {
		l := t.entry.listed
		if l == nil || l.Origin == manifest.Source || l.Origin == manifest.Build || l.Origin == manifest.Prebuilt || prebuilt[distOf(l.From)] {
			return nil
		}
	}
	if !s.hasBuild() && len(texts) > 0 {
		return nil // a package of others' files alone, with their licences
	}
	f := Finding{
		Message: "holds no licence of the project: no file named LICENSE, COPYING, NOTICE or the like",
		Hint:    "pack the project's licence, as LICENSE",
	}
	if s.o.Target != nil {
		f.Hint = "pack the project's licence: {source: LICENSE, to: LICENSE} in the package's files"
	}
	return []Finding{f}
}

// tools finds programs of development kits.
func (s *subject) tools() []Finding {
	var out []Finding
	for _, e := range s.entries {
		if !e.regular() || !isTool(e.base()) {
			continue
		}
		if len(e.slices) == 0 || !slices.ContainsFunc(e.slices, func(n *native) bool { return n.Kind == objfile.Executable }) {
			continue
		}
		out = append(out, Finding{
			File: e.Path, Message: "is a tool of NVIDIA's development kit, which its licence gives for internal use only (CUDA EULA, 1.1.2)",
			Hint: "take it out",
		})
	}
	return out
}

// covered are the licence files of a vendor: those of the wheel that a file is
// from, and those that have the vendor's words.
func covered(id, dist string, texts []licenseFile) []licenseFile {
	var out []licenseFile
	for _, t := range texts {
		l := t.entry.listed
		if t.of[id] || l != nil && dist != "" && distOf(l.From) == dist && l.Role == "license" {
			out = append(out, t)
		}
	}
	return out
}

// distOf is the wheel's name of "nvidia-cublas 13.1.0.3".
func distOf(from string) string {
	name, _, _ := strings.Cut(from, " ")
	return name
}

// vendorLicenses wants the licence of each vendor, and the file in its list of
// what may be passed on.
func (s *subject) vendorLicenses(texts []licenseFile) []Finding {
	var out []Finding
	lacking := map[string][]string{}
	type key struct{ id, dist string }
	cache := map[key][]licenseFile{}
	for _, e := range s.entries {
		id := ""
		var listed *regexp.Regexp
		switch {
		case e.vendor != nil && e.regular() && !isDriver(e.base()):
			id, listed = e.vendor.Vendor, e.vendor.listed
			if strings.HasSuffix(strings.ToLower(e.base()), ".dll") {
				listed = e.vendor.listedDLL
			}
		case e.regular():
			if h := headerOf(e); h != nil {
				id, listed = h.Vendor, h.listed
			}
		}
		dist := ""
		if e.listed != nil && e.listed.Origin == manifest.Wheel {
			dist = distOf(e.listed.From)
		}
		v := vendorData.Vendors[id]
		if id == "" || v.NoText {
			continue
		}
		k := key{id, dist}
		found, ok := cache[k]
		if !ok {
			found = covered(id, dist, texts)
			cache[k] = found
		}
		if len(found) == 0 {
			lacking[id] = append(lacking[id], e.Path)
			continue
		}
		if v.Open {
			continue
		}
		name := listedName(plainName(e.base()))
		named := slices.ContainsFunc(found, func(t licenseFile) bool {
			return lists(t.text, name) || listed != nil && listed.MatchString(t.text)
		})
		if named {
			continue
		}
		out = append(out, Finding{
			Severity: warning, File: e.Path,
			Message:  fmt.Sprintf("is not in the list of what may be passed on by %s, in the copy that the package holds", v.Terms),
			Hint:     "look it up in the vendor's current terms, and allow it in the matrix with source and reason; or leave it to the users' system",
			Evidence: []string{text(found[0].entry.Path) + " does not name " + unlisted(e.base(), name)},
		})
	}
	for _, id := range slices.Sorted(maps.Keys(lacking)) {
		v := vendorData.Vendors[id]
		files := lacking[id]
		out = append(out, Finding{
			File: files[0], Message: fmt.Sprintf("%s of %s %s in the package without their licence", count(len(files), "file"), v.Name, plainCount(len(files), "is", "are")),
			Hint: "pack the licence file of the wheel that they are from (NAME.dist-info/licenses)", Evidence: evidence(files),
		})
	}
	return out
}

// unlisted is a file with the name that its licence would list.
func unlisted(base, name string) string {
	if base == name {
		return text(name)
	}
	return text(name) + " (" + text(base) + ")"
}

// lists tells whether a text has a file name as a word of its own, without
// case.
func lists(text, name string) bool {
	inName := func(c byte) bool { return isLetter(c) || '0' <= c && c <= '9' || c == '_' || c == '-' }
	for at := 0; ; {
		i := indexFold(text[at:], name)
		if i < 0 {
			return false
		}
		start, end := at+i, at+i+len(name)
		before := start == 0 || !inName(text[start-1]) && text[start-1] != '.'
		if before && (end == len(text) || !inName(text[end])) {
			return true
		}
		at = start + 1
	}
}

// indexFold is strings.Index without the case of ASCII letters.
func indexFold(text, name string) int {
	first := name[:1]
	for at := 0; at+len(name) <= len(text); at++ {
		i := strings.IndexAny(text[at:], strings.ToLower(first)+strings.ToUpper(first))
		if i < 0 || at+i+len(name) > len(text) {
			return -1
		}
		at += i
		if strings.EqualFold(text[at:at+len(name)], name) {
			return at
		}
	}
	return -1
}

// headerOf is the vendor's set to which a header file belongs, by its name and
// the notice at its start.
func headerOf(e *entry) *headerSet {
	if e.native {
		return nil
	}
	for i := range vendorData.Headers {
		h := &vendorData.Headers[i]
		if h.names.MatchString(e.base()) && h.text.Match(e.head) {
			return h
		}
	}
	return nil
}

// distributionLicenses wants the copyright file of each library of a
// distribution.
func (s *subject) distributionLicenses(texts []licenseFile) []Finding {
	var out []Finding
	told := map[string]bool{}
	for _, e := range s.entries {
		if !e.regular() {
			continue
		}
		if l := e.listed; l != nil && l.Origin == manifest.System {
			from := distOf(l.From)
			has := slices.ContainsFunc(texts, func(t licenseFile) bool {
				return t.entry.listed != nil && distOf(t.entry.listed.From) == from && t.entry.listed.Role == "license"
			})
			if !has {
				out = append(out, Finding{
					File: e.Path, Message: fmt.Sprintf("is of the distribution's package %s, whose copyright file is not in the package", text(l.From)),
					Hint: "pack /usr/share/doc/" + text(from) + "/copyright",
				})
			}
			continue
		}
		if e.system == nil || told[e.system.Project] || e.listed != nil && e.listed.Origin != manifest.Wheel {
			continue
		}
		if !mentioned(e.system.words, texts) {
			told[e.system.Project] = true
			out = append(out, Finding{
				Severity: warning, File: e.Path,
				Message: fmt.Sprintf("is %s (%s), and no licence file of the package mentions it", e.system.Project, e.system.License),
				Hint:    "pack its licence, or the copyright file of the distribution's package that it is from",
			})
		}
	}
	return out
}

// sourceLicenses wants the licences of the header trees that are known.
func (s *subject) sourceLicenses(texts []licenseFile) []Finding {
	var out []Finding
	for _, t := range vendorData.Sources {
		var first *entry
		n := 0
		for _, e := range s.entries {
			if e.regular() && t.path.MatchString(e.Path) {
				if first == nil {
					first = e
				}
				n++
			}
		}
		if first == nil || mentioned(t.words, texts) || first.listed != nil && first.listed.Origin == manifest.Wheel {
			continue
		}
		out = append(out, Finding{
			Severity: warning, File: path.Dir(first.Path),
			Message: fmt.Sprintf("holds headers of %s (%s), and no licence file of the package mentions it", t.Project, t.License),
			Hint:    "pack the licence that lies beside the headers in their source",
		})
	}
	return out
}

func mentioned(words []*regexp.Regexp, texts []licenseFile) bool {
	for _, w := range words {
		for _, t := range texts {
			if w.MatchString(t.entry.Path) || w.MatchString(t.text) {
				return true
			}
		}
	}
	return false
}
