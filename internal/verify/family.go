package verify

import (
	"bytes"
	"debug/elf"
	_ "embed"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/relmat/relmat/internal/cuda"
	"github.com/relmat/relmat/internal/objfile"
)

//go:embed families.json
var familiesJSON []byte

// family is what is known of a set of libraries that work together in one
// version alone. Who belongs to it, cuda.FamilyOf tells.
type family struct {
	Name string `json:"name"`
	// Why is what happens where versions are mixed.
	Why string `json:"why"`
	// Symbol is a pattern of the data symbols in which an ELF file exports its
	// version as major<<16 | minor<<8 | patch.
	Symbol string `json:"symbol"`
}

var families = mustFamilies(familiesJSON)

func mustFamilies(data []byte) map[string]family {
	var t struct {
		Families []family `json:"families"`
	}
	if err := json.Unmarshal(data, &t); err != nil {
		panic("verify: families.json: " + err.Error())
	}
	out := map[string]family{}
	for _, f := range t.Families {
		out[f.Name] = f
	}
	return out
}

// familyOf is the family of a file, empty for none.
func familyOf(n *native) string {
	if !n.loads() {
		return ""
	}
	name := plainName(n.entry.base())
	if f := cuda.FamilyOf(name); f != "" || n.Soname == "" {
		return f
	}
	return cuda.FamilyOf(plainName(path.Base(n.Soname)))
}

// libraryFamily finds sets of libraries of more than one version. The version
// is told by the manifest, by the wheels' own lists, by the file's name, by a
// symbol that it exports or by its version resource; and files of one set must
// export what the others import from them.
func libraryFamily(s *subject) []Finding {
	// A package may hold sets for several machines, or of several programs.
	sets := map[[2]string][]*native{}
	var order [][2]string
	for _, n := range s.natives {
		name := familyOf(n)
		if name == "" {
			continue
		}
		key := [2]string{name, n.Machine + " " + string(n.Format) + " " + path.Dir(n.entry.Path)}
		if sets[key] == nil {
			order = append(order, key)
		}
		sets[key] = append(sets[key], n)
	}
	var out []Finding
	for _, key := range order {
		f := families[key[0]]
		if f.Name == "" {
			f = family{Name: key[0], Why: "they are made to work together in one version alone"}
		}
		out = append(out, s.versions(f, sets[key])...)
		out = append(out, symbols(f, sets[key])...)
	}
	return out
}

// versions finds members whose version is not that of most. What tells it
// counts apart: a resource counts otherwise than a wheel does.
func (s *subject) versions(f family, members []*native) []Finding {
	by := map[string]map[string][]*native{}
	for _, n := range members {
		version, source := s.versionOf(f, n)
		if version == "" {
			continue
		}
		if by[source] == nil {
			by[source] = map[string][]*native{}
		}
		by[source][version] = append(by[source][version], n)
	}
	var out []Finding
	for _, source := range slices.Sorted(maps.Keys(by)) {
		all := slices.Sorted(maps.Keys(by[source]))
		most := all[0]
		for _, v := range all {
			if len(by[source][v]) > len(by[source][most]) {
				most = v
			}
		}
		for _, v := range all {
			if v == most {
				continue
			}
			first, rest := by[source][v][0], by[source][most]
			f := Finding{
				File:    first.entry.Path,
				Message: fmt.Sprintf("is %s %s, and %s beside it: %s", f.Name, v, areOf(len(rest), most), f.Why),
				Hint:    "take all of them from one wheel; look for a second copy in the toolkit or in the build's cache",
			}
			for _, n := range append(slices.Clone(by[source][v]), rest...) {
				version := v
				if slices.Contains(rest, n) {
					version = most
				}
				f.Evidence = append(f.Evidence, fmt.Sprintf("%s: %s by its %s", text(n.entry.base()), version, source))
			}
			f.Evidence = evidence(f.Evidence)
			out = append(out, f)
		}
	}
	return out
}

func areOf(n int, version string) string {
	if n == 1 {
		return "1 file is " + version
	}
	return fmt.Sprintf("%d files are %s", n, version)
}

// versionOf is the full version of a library, and what tells it.
func (s *subject) versionOf(f family, n *native) (version, source string) {
	if l := n.entry.listed; l != nil {
		if _, v, ok := strings.Cut(l.From, " "); ok {
			return v, "manifest"
		}
	}
	if s.o.Vendor != nil {
		if from, ok := s.o.Vendor(n.entry.SHA256); ok {
			if _, v, ok := strings.Cut(from, " "); ok {
				return v, "wheel"
			}
		}
	}
	if _, v, ok := strings.Cut(n.entry.base(), ".so."); ok && strings.Count(v, ".") >= 2 {
		return v, "file name"
	}
	switch n.Format {
	case objfile.ELF:
		if v := symbolVersion(f, n); v != "" {
			return v, "symbol"
		}
	case objfile.PE:
		if v := resourceVersion(n); v != "" {
			return v, "version resource"
		}
	}
	return "", ""
}

// symbolVersion reads the version out of a data symbol.
func symbolVersion(f family, n *native) string {
	if f.Symbol == "" || n.entry.disk == "" {
		return ""
	}
	ef, err := elf.Open(n.entry.disk)
	if err != nil {
		return ""
	}
	defer ef.Close()
	syms, err := ef.DynamicSymbols()
	if err != nil {
		return ""
	}
	for _, sym := range syms {
		if ok, _ := path.Match(f.Symbol, sym.Name); !ok || sym.Section == elf.SHN_UNDEF || elf.ST_TYPE(sym.Info) != elf.STT_OBJECT || sym.Size != 4 {
			continue
		}
		for _, p := range ef.Progs {
			if p.Type != elf.PT_LOAD || sym.Value < p.Vaddr || sym.Value-p.Vaddr+4 > p.Filesz {
				continue
			}
			var word [4]byte
			if _, err := p.ReadAt(word[:], int64(sym.Value-p.Vaddr)); err != nil {
				return ""
			}
			v := ef.ByteOrder.Uint32(word[:])
			return fmt.Sprintf("%d.%d.%d", v>>16, v>>8&0xff, v&0xff)
		}
	}
	return ""
}

// fixedInfo begins a VS_FIXEDFILEINFO (Microsoft, "VS_FIXEDFILEINFO
// structure"): signature and version of the structure.
var fixedInfo = []byte{0xbd, 0x04, 0xef, 0xfe, 0, 0, 1, 0}

// resourceVersion reads the file version out of a DLL's version resource.
func resourceVersion(n *native) string {
	const maxResources = 64 << 20
	for _, sec := range n.Sections {
		if sec.Name != ".rsrc" || sec.Size > maxResources || n.entry.disk == "" {
			continue
		}
		f, err := os.Open(n.entry.disk)
		if err != nil {
			return ""
		}
		defer f.Close()
		data := make([]byte, sec.Size)
		if _, err := f.ReadAt(data, sec.Offset); err != nil && !errors.Is(err, io.EOF) {
			return ""
		}
		i := bytes.Index(data, fixedInfo)
		if i < 0 || len(data) < i+16 {
			return ""
		}
		high, low := binary.LittleEndian.Uint32(data[i+8:]), binary.LittleEndian.Uint32(data[i+12:])
		return fmt.Sprintf("%d.%d.%d.%d", high>>16, high&0xffff, low>>16, low&0xffff)
	}
	return ""
}

// symbols finds members that import from another one what it does not export.
func symbols(f family, members []*native) []Finding {
	exports := map[string]map[string]bool{}
	for _, n := range members {
		if n.Format != objfile.ELF || n.Soname == "" {
			continue
		}
		if list := exported(n); list != nil {
			exports[n.Soname] = list
		}
	}
	var out []Finding
	for _, n := range members {
		if n.Format != objfile.ELF || n.entry.disk == "" {
			continue
		}
		ef, err := elf.Open(n.entry.disk)
		if err != nil {
			continue
		}
		imports, err := ef.ImportedSymbols()
		_ = ef.Close()
		if err != nil {
			continue
		}
		lacking := map[string][]string{}
		for _, sym := range imports {
			if list := exports[sym.Library]; list != nil && !list[sym.Name] {
				lacking[sym.Library] = append(lacking[sym.Library], text(sym.Name))
			}
		}
		for _, lib := range slices.Sorted(maps.Keys(lacking)) {
			names := lacking[lib]
			slices.Sort(names)
			out = append(out, Finding{
				File:     n.entry.Path,
				Message:  fmt.Sprintf("is of another %s version than the %s beside it, which lacks %s that it imports: %s", f.Name, lib, count(len(names), "symbol"), f.Why),
				Hint:     "take all of them from one wheel; look for a second copy in the toolkit or in the build's cache",
				Evidence: evidence(names),
			})
		}
	}
	return out
}

// exported are the names that a library defines, nil where they cannot be
// read.
func exported(n *native) map[string]bool {
	if n.entry.disk == "" {
		return nil
	}
	ef, err := elf.Open(n.entry.disk)
	if err != nil {
		return nil
	}
	defer ef.Close()
	syms, err := ef.DynamicSymbols()
	if err != nil {
		return nil
	}
	out := map[string]bool{}
	for _, sym := range syms {
		if sym.Section != elf.SHN_UNDEF {
			out[sym.Name] = true
		}
	}
	return out
}
