package objfile

import (
	"debug/elf"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// elfMaxVersions bounds the symbol versions that are read of a file.
const elfMaxVersions = 1 << 16

// Both structures of symbol versions that are needed have 16 bytes, in 32-bit
// and in 64-bit files.
const elfVersionSize = 16

// versions reads the symbol versions that the file needs (Linux Standard Base
// Core, "Version Requirements") and the floors that follow.
func (f *elfFile) versions(o *Object, d elfDynamic) error {
	addr, ok := d.once[elf.DT_VERNEED]
	if !ok {
		return nil
	}
	count, ok := d.once[elf.DT_VERNEEDNUM]
	if !ok {
		return damagedELF("its dynamic section has DT_VERNEED and no DT_VERNEEDNUM")
	}
	off, left, err := f.offset(addr, "DT_VERNEED")
	if err != nil {
		return err
	}
	total := 0
	return f.chain(off, left, count, "DT_VERNEED", func(off, left uint64, c *elfFields) (next uint32, err error) {
		if v := c.u16(); v != 1 {
			return 0, damagedELF("DT_VERNEED: the version of an entry is %d, not 1", v)
		}
		count, name, aux := c.u16(), c.u32(), c.u32()
		library, err := f.str(d.strings, uint64(name), "DT_VERNEED")
		if err != nil {
			return 0, err
		}
		need := slices.IndexFunc(o.Needs, func(n Need) bool { return n.Name == library })
		what := fmt.Sprintf("versions of %.80q", library)
		if count > 0 && uint64(aux) > left {
			return 0, damagedELF("%s lie outside of their segment", what)
		}
		err = f.chain(off+uint64(aux), left-uint64(aux), uint64(count), what, func(_, _ uint64, c *elfFields) (uint32, error) {
			if total++; total > elfMaxVersions {
				return 0, fmt.Errorf("this ELF file needs more than the %d symbol versions that are read", elfMaxVersions)
			}
			c.u32() // hash
			flags := c.u16()
			c.u16() // index
			version, err := f.str(d.strings, uint64(c.u32()), what)
			if err != nil {
				return 0, err
			}
			if need >= 0 {
				o.Needs[need].Versions = append(o.Needs[need].Versions, version)
			}
			// The loader goes on without a version that only weak symbols ask for.
			if flags&uint16(elf.VER_FLG_WEAK) == 0 {
				o.Floors.raise(library, version)
			}
			return c.u32(), nil
		})
		return c.u32(), err
	})
}

// chain visits count structures, of which each says how far the next one is.
func (f *elfFile) chain(off, left, count uint64, what string, visit func(off, left uint64, c *elfFields) (next uint32, err error)) error {
	var b [elfVersionSize]byte
	for i := uint64(0); i < count; i++ {
		if left < elfVersionSize {
			return damagedELF("%s: entry %d of %d lies outside of its segment", what, i+1, count)
		}
		if err := f.read(b[:], off, what); err != nil {
			return err
		}
		next, err := visit(off, left, f.fields(b[:]))
		if err != nil {
			return err
		}
		// The loader stops at an entry without a next one, other tools count.
		switch last := i == count-1; {
		case last && next == 0:
			return nil
		case last:
			return damagedELF("%s: it goes on after the last of %d entries", what, count)
		case next == 0:
			return damagedELF("%s: it ends after %d of %d entries", what, i+1, count)
		case next < elfVersionSize:
			return damagedELF("%s: entries %d and %d overlap", what, i+1, i+2)
		case uint64(next) > left:
			return damagedELF("%s: entry %d of %d lies outside of its segment", what, i+2, count)
		}
		off, left = off+uint64(next), left-uint64(next)
	}
	return nil
}

var elfVersionNumber = regexp.MustCompile(`^[0-9]+(\.[0-9]+)*$`)

// raise takes a symbol version of a library into account.
func (f *Floors) raise(library, version string) {
	if since, ok := elfFacts.Since[version]; ok {
		f.Glibc = laterVersion(f.Glibc, since)
		return
	}
	for _, fact := range elfFacts.Floors {
		number, ok := strings.CutPrefix(version, fact.Prefix)
		if !ok || !strings.HasPrefix(library, fact.Library) || !elfVersionNumber.MatchString(number) {
			continue
		}
		floor := f.named(fact.Floor)
		*floor = laterVersion(*floor, number)
	}
}

// named is the floor that elf.json calls by the name.
func (f *Floors) named(name string) *string {
	switch name {
	case "glibc":
		return &f.Glibc
	case "glibcxx":
		return &f.Glibcxx
	case "cxxabi":
		return &f.CXXABI
	case "libgcc":
		return &f.Libgcc
	}
	panic("objfile: elf.json: no floor is called " + name)
}

// laterVersion is the later of two versions, numbers with points; any is
// later than none.
func laterVersion(a, b string) string {
	x, y := strings.Split(a, "."), strings.Split(b, ".")
	for i := 0; i < len(x) && i < len(y); i++ {
		p, q := strings.TrimLeft(x[i], "0"), strings.TrimLeft(y[i], "0")
		switch {
		case a == "" || len(p) < len(q) || len(p) == len(q) && p < q:
			return b
		case p != q:
			return a
		}
	}
	if len(y) > len(x) {
		return b
	}
	return a
}
