package verify

import (
	_ "embed"
	"encoding/json"
	"path"
	"regexp"
	"slices"
	"strings"
)

//go:embed vendors.json
var vendorsJSON []byte

// vendorTable is what is known of other people's files.
type vendorTable struct {
	Vendors   map[string]vendor `json:"vendors"`
	Libraries []vendorFile      `json:"libraries"`
	Headers   []headerSet       `json:"headers"`
	Tools     []string          `json:"tools"`
	Systems   []systemLibrary   `json:"systems"`
	Sources   []sourceTree      `json:"sources"`
	// Mangled is an expression for names with a digest, which is its group;
	// Python one for what every process of Python has loaded.
	Mangled string `json:"mangled"`
	Python  string `json:"python"`
}

// vendor is who makes files, and by which words its licence is known.
type vendor struct {
	Name  string `json:"name"`
	Terms string `json:"terms"`
	// Words are expressions that must all match the text of the licence.
	Words []string `json:"words"`
	words []*regexp.Regexp
	// Signed says that the vendor signs its files for Windows.
	Signed bool `json:"signed"`
	// NoText says that its licence need not lie beside its files.
	NoText bool `json:"no_text"`
	// Open says that the licence allows redistribution without a list of files.
	Open bool `json:"open"`
}

// vendorFile is a library of a vendor.
type vendorFile struct {
	Vendor string `json:"vendor"`
	// Files are patterns with one star, which stands for the version.
	Files []string `json:"files"`
	// Group names what carries the same version in its file names.
	Group string `json:"group"`
	// Dists are the wheels that bring it.
	Dists []string `json:"dists"`
	// Listed are words of the licence that cover the library under another name
	// than its own, ListedDLL those for DLLs.
	Listed    string `json:"listed"`
	ListedDLL string `json:"listed_dll"`
	// Bare says that the vendor's ELF file has no run path, Intact that its
	// dynamic strings lie where the linker put them. The vendor moves those of
	// others itself, with patchelf.
	Bare   bool `json:"bare"`
	Intact bool `json:"intact"`
	// who is the vendor's name.
	who               string
	listed, listedDLL *regexp.Regexp
}

// headerSet are header files of a vendor.
type headerSet struct {
	Vendor string `json:"vendor"`
	// Names is an expression for file names, Text one for the notice at the
	// start of the files.
	Names string `json:"names"`
	Text  string `json:"text"`
	// Listed are words of the licence that cover them all.
	Listed              string `json:"listed"`
	names, text, listed *regexp.Regexp
}

// systemLibrary is a library that distributions have, and that programs bundle.
type systemLibrary struct {
	Files   []string `json:"files"`
	Project string   `json:"project"`
	License string   `json:"license"`
	// Words are expressions of which one must match a licence file or its path.
	Words []string `json:"words"`
	words []*regexp.Regexp
}

// sourceTree is a tree of header files that packages carry for compilation at
// run time.
type sourceTree struct {
	Project string `json:"project"`
	License string `json:"license"`
	// Path is an expression for the paths of its files.
	Path  string   `json:"path"`
	Words []string `json:"words"`
	path  *regexp.Regexp
	words []*regexp.Regexp
}

var (
	vendorData    = mustVendors(vendorsJSON)
	mangledName   = regexp.MustCompile(vendorData.Mangled)
	pythonLibrary = regexp.MustCompile(vendorData.Python)
)

func mustVendors(data []byte) vendorTable {
	var t vendorTable
	if err := json.Unmarshal(data, &t); err != nil {
		panic("verify: vendors.json: " + err.Error())
	}
	for id, w := range t.Vendors {
		w.words = compileAll(w.Words)
		t.Vendors[id] = w
	}
	for i := range t.Libraries {
		l := &t.Libraries[i]
		l.who = t.Vendors[l.Vendor].Name
		if l.who == "" {
			panic("verify: vendors.json: no vendor " + l.Vendor)
		}
		l.listed, l.listedDLL = compile(l.Listed), compile(l.ListedDLL)
	}
	for i := range t.Headers {
		h := &t.Headers[i]
		h.names, h.text, h.listed = regexp.MustCompile(h.Names), regexp.MustCompile(h.Text), compile(h.Listed)
	}
	for i := range t.Systems {
		t.Systems[i].words = compileAll(t.Systems[i].Words)
	}
	for i := range t.Sources {
		t.Sources[i].path, t.Sources[i].words = regexp.MustCompile(t.Sources[i].Path), compileAll(t.Sources[i].Words)
	}
	return t
}

// compile is nil for an empty expression.
func compile(text string) *regexp.Regexp {
	if text == "" {
		return nil
	}
	return regexp.MustCompile(text)
}

func compileAll(list []string) []*regexp.Regexp {
	var out []*regexp.Regexp
	for _, e := range list {
		out = append(out, regexp.MustCompile(e))
	}
	return out
}

// plainName is a file name as its maker gives it: auditwheel and delvewheel
// write a digest into those of the libraries that they gather.
func plainName(name string) string {
	if m := mangledName.FindStringSubmatchIndex(name); m != nil {
		return name[:m[2]] + name[m[3]:]
	}
	return name
}

// vendorNamed is the table's library with a file name, nil where it knows none.
func vendorNamed(name string) *vendorFile {
	name = strings.ToLower(plainName(name))
	for i := range vendorData.Libraries {
		l := &vendorData.Libraries[i]
		if _, ok := l.star(name); ok {
			return l
		}
	}
	return nil
}

// star tells whether the library has the name, and what stands for the star.
func (l *vendorFile) star(name string) (string, bool) {
	name = strings.ToLower(name)
	for _, p := range l.Files {
		before, after, ok := strings.Cut(strings.ToLower(p), "*")
		if !ok {
			if name == before {
				return "", true
			}
			continue
		}
		if len(name) > len(before)+len(after) && strings.HasPrefix(name, before) && strings.HasSuffix(name, after) {
			star := name[len(before) : len(name)-len(after)]
			if strings.IndexFunc(star, func(r rune) bool { return (r < '0' || r > '9') && r != '.' && r != '_' }) < 0 {
				return star, true
			}
		}
	}
	return "", false
}

// vendorOf is the table's library that an entry is, by its name or, where it
// was renamed, by the name under which others need it.
func vendorOf(e *entry) *vendorFile {
	if !e.regular() {
		return nil
	}
	if v := vendorNamed(e.base()); v != nil {
		return v
	}
	for _, n := range e.slices {
		if n.Soname != "" {
			if v := vendorNamed(path.Base(n.Soname)); v != nil {
				return v
			}
		}
	}
	return nil
}

// distributed is the table's library of distributions that an entry
// is, nil for what it does not know.
func distributed(e *entry) *systemLibrary {
	if !e.regular() || !e.native {
		return nil
	}
	names := []string{e.base()}
	for _, n := range e.slices {
		if n.Soname != "" {
			names = append(names, path.Base(n.Soname))
		}
	}
	for i := range vendorData.Systems {
		l := &vendorData.Systems[i]
		for _, p := range l.Files {
			for _, name := range names {
				if ok, _ := path.Match(p, strings.ToLower(plainName(name))); ok {
					return l
				}
			}
		}
	}
	return nil
}

// listedName is a library's name without its version, as licences list it:
// libcublas.so of libcublas.so.13, cublas.dll of cublas64_13.dll.
func listedName(name string) string {
	if stem, _, ok := strings.Cut(name, ".so"); ok {
		return stem + ".so"
	}
	if m := dllVersion.FindStringSubmatch(name); m != nil {
		return m[1] + ".dll"
	}
	return name
}

var dllVersion = regexp.MustCompile(`(?i)^(.+?)(?:64|32)?(?:_[0-9_]+)?\.dll$`)

// isTool tells whether a file is a tool of a vendor's development kit, which
// its licence does not let anyone pass on.
func isTool(name string) bool {
	name = strings.TrimSuffix(strings.ToLower(name), ".exe")
	return slices.ContainsFunc(vendorData.Tools, func(p string) bool {
		ok, _ := path.Match(p, name)
		return ok
	})
}
