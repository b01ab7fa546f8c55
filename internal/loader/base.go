package loader

import (
	_ "embed"
	"encoding/json"
	"maps"
	"path"
	"slices"
	"strings"
)

//go:embed base.json
var baseJSON []byte

// linuxMachine is what glibc fixes for a machine when it is built.
type linuxMachine struct {
	// CacheFlags are the flags of its entries in ld.so.cache.
	CacheFlags uint32 `json:"cache_flags"`
	// Interp is ld.so's path.
	Interp string `json:"interp"`
	// Multiarch is the directory of Debian's layout under lib.
	Multiarch string `json:"multiarch"`
	// Lib is $LIB and Platform $PLATFORM; Dirs are the default directories of
	// all layouts.
	Lib      string   `json:"lib"`
	Platform string   `json:"platform"`
	Dirs     []string `json:"dirs"`
	// Hwcaps are the directories under glibc-hwcaps, the best first.
	Hwcaps []string `json:"hwcaps"`
}

type baseTable struct {
	Source    string                  `json:"source"`
	Libraries []string                `json:"libraries"`
	Known     []string                `json:"known"`
	Prefixes  []string                `json:"prefixes"`
	Machines  map[string]linuxMachine `json:"machines"`
	Hints     []struct {
		Library string `json:"library"`
		Hint    string `json:"hint"`
	} `json:"hints"`
}

var (
	baseTables = mustBase(baseJSON)
	linuxFacts = baseTables[Linux]
	baseSets   = makeSets(baseTables)
)

func mustBase(data []byte) map[string]baseTable {
	var t map[string]baseTable
	if err := json.Unmarshal(data, &t); err != nil {
		panic("loader: base.json: " + err.Error())
	}
	return t
}

func makeSets(tables map[string]baseTable) map[string]*BaseSet {
	sets := map[string]*BaseSet{}
	for name, t := range tables {
		b := &BaseSet{table: t, fold: name == Windows, names: map[string]bool{}, known: map[string]bool{}}
		for _, k := range t.Known {
			b.known[k] = true
		}
		b.put(t.Known)
		b.put(t.Libraries)
		sets[name] = b
	}
	return sets
}

// BaseSet are the libraries that every machine of a platform has.
type BaseSet struct {
	table    baseTable
	fold     bool
	names    map[string]bool
	known    map[string]bool
	patterns []string
}

// Base is the platform's base set: glibc's and gcc's run-time libraries and
// zlib on Linux; what Windows 10 and 11 have in their system directory, without
// the Visual C++ redistributable; macOS's shared cache. The set of an unknown
// platform is empty.
func Base(platform string) *BaseSet {
	if b := baseSets[platform]; b != nil {
		return b
	}
	return &BaseSet{}
}

// With is the set and more names or patterns of path.Match.
func (b *BaseSet) With(names ...string) *BaseSet {
	out := *b
	out.names = maps.Clone(b.names)
	if out.names == nil {
		out.names = map[string]bool{}
	}
	out.patterns = slices.Clone(b.patterns)
	out.put(names)
	return &out
}

func (b *BaseSet) put(names []string) {
	for _, n := range names {
		if b.fold {
			n = strings.ToLower(n)
		}
		if strings.ContainsAny(n, "*?[") {
			b.patterns = append(b.patterns, n)
		} else {
			b.names[n] = true
		}
	}
}

// Has tells whether the set has a library, by its name as files spell it: a
// file name on Linux and Windows, a path on macOS.
func (b *BaseSet) Has(name string) bool {
	if b.fold {
		name = strings.ToLower(name)
	}
	if b.names[name] || b.inPrefix(name) {
		return true
	}
	return slices.ContainsFunc(b.patterns, func(p string) bool {
		ok, _ := path.Match(p, name)
		return ok
	})
}

// Known tells whether Windows takes the DLL from its own copy, wherever else
// one of this name lies (Microsoft, "Dynamic-link library search order").
func (b *BaseSet) Known(name string) bool { return b.known[strings.ToLower(name)] }

// Source names where the set is from.
func (b *BaseSet) Source() string { return b.table.Source }

// inPrefix tells whether a path is one of macOS's own. Of those only what is
// named directly counts: under a run path the library may also lie elsewhere.
func (b *BaseSet) inPrefix(name string) bool {
	return slices.ContainsFunc(b.table.Prefixes, func(p string) bool { return strings.HasPrefix(name, p) })
}

// listed tells whether the set has the very name or a pattern for it.
func (b *BaseSet) listed(name string) bool {
	return b.names[name] || slices.ContainsFunc(b.patterns, func(p string) bool {
		ok, _ := path.Match(p, name)
		return ok
	})
}

// hint says what is to be done for a library that is missing.
func (b *BaseSet) hint(name string) string {
	if b.fold {
		name = strings.ToLower(name)
	}
	// The longest pattern is the one that fits best: debug libraries are named
	// as the others with one letter more.
	best, hint := 0, ""
	for _, h := range b.table.Hints {
		if ok, _ := path.Match(h.Library, name); ok && len(h.Library) > best {
			best, hint = len(h.Library), h.Hint
		}
	}
	return hint
}
