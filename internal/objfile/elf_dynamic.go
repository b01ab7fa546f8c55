package objfile

import (
	"debug/elf"
	"fmt"
	"math"
	"slices"
	"strings"
)

const (
	elfMaxDynamic = 1 << 17
	elfMaxNeeds   = 1 << 16
	// elfMaxInterp is the longest path that Linux takes (PATH_MAX).
	elfMaxInterp = 4096
)

// checkSegments holds the segments against the file.
func (f *elfFile) checkSegments() error {
	for i := range f.progs {
		p := &f.progs[i]
		switch p.typ {
		case elf.PT_LOAD, elf.PT_DYNAMIC, elf.PT_INTERP, elf.PT_NOTE:
		default:
			continue
		}
		what := fmt.Sprintf("segment %d (%v)", i, p.typ)
		if !f.within(p.off, p.filesz) {
			return f.outside(what, p.off, p.filesz)
		}
		if p.typ != elf.PT_LOAD {
			continue
		}
		if p.filesz > p.memsz {
			return damagedELF("%s: %d bytes of the file do not fit into %d bytes of memory", what, p.filesz, p.memsz)
		}
		if p.memsz > math.MaxUint64-p.vaddr {
			return damagedELF("%s: %d bytes at address %#x go beyond the last address", what, p.memsz, p.vaddr)
		}
	}
	return nil
}

// segment is the only segment of a type, nil if there is none.
func (f *elfFile) segment(typ elf.ProgType) (*elfProg, error) {
	var found *elfProg
	for i := range f.progs {
		if p := &f.progs[i]; p.typ == typ {
			if found != nil {
				return nil, damagedELF("it has more than one segment %v", typ)
			}
			found = p
		}
	}
	return found, nil
}

func (f *elfFile) interp() (string, error) {
	p, err := f.segment(elf.PT_INTERP)
	if p == nil || err != nil {
		return "", err
	}
	if p.filesz > elfMaxInterp {
		return "", damagedELF("PT_INTERP: a path of %d bytes is longer than Linux takes, %d", p.filesz, elfMaxInterp)
	}
	return f.str(elfStrings{p.off, p.filesz}, 0, "PT_INTERP")
}

// offset finds where the bytes of an address lie in the file, and how many
// follow there.
func (f *elfFile) offset(addr uint64, what string) (off, left uint64, err error) {
	found := -1
	loaded := false
	for i := range f.progs {
		p := &f.progs[i]
		if p.typ != elf.PT_LOAD {
			continue
		}
		loaded = true
		if addr < p.vaddr || addr-p.vaddr >= p.memsz {
			continue
		}
		if found >= 0 {
			return 0, 0, damagedELF("%s is at address %#x, where segments %d and %d overlap", what, addr, found, i)
		}
		found = i
		if in := addr - p.vaddr; in < p.filesz {
			off, left = p.off+in, p.filesz-in
		}
	}
	if !loaded {
		// A file that is only linked with, and never loaded, may have sections alone.
		for i := range f.sections {
			s := &f.sections[i]
			if s.stored() && s.flags&elf.SHF_ALLOC != 0 && addr >= s.addr && addr-s.addr < s.size {
				return s.off + addr - s.addr, s.size - (addr - s.addr), nil
			}
		}
	}
	if left == 0 {
		return 0, 0, damagedELF("%s is at address %#x, of which the file has no bytes", what, addr)
	}
	return off, left, nil
}

// elfDynamic is what the dynamic section says (System V ABI, "Dynamic
// Section").
type elfDynamic struct {
	// once are the values that stand once.
	once map[elf.DynTag]uint64
	// needs are the entries that name a library to be loaded.
	needs []elfNeed
	// strings is set where an entry has a name.
	strings elfStrings
}

type elfNeed struct {
	tag  elf.DynTag
	name uint64
}

// dynamicSection finds the bytes of the dynamic section; size is 0 if there
// is none.
func (f *elfFile) dynamicSection() (off, size uint64, err error) {
	var section *elfSection
	for i := range f.sections {
		if s := &f.sections[i]; s.typ == elf.SHT_DYNAMIC && s.stored() {
			if section != nil {
				return 0, 0, damagedELF("it has more than one section of type SHT_DYNAMIC: %.80q and %.80q", section.name, s.name)
			}
			section = s
		}
	}
	p, err := f.segment(elf.PT_DYNAMIC)
	switch {
	case err != nil:
		return 0, 0, err
	case p == nil && section == nil:
		return 0, 0, nil
	case p == nil && len(f.progs) > 0:
		return 0, 0, damagedELF("section %.80q is a dynamic section, but no segment PT_DYNAMIC shows it to the loader", section.name)
	case p == nil:
		return section.off, section.size, nil
	case section != nil && section.off != p.off:
		return 0, 0, damagedELF("its dynamic section is at offset %#x by segment PT_DYNAMIC, and at %#x by section %.80q", p.off, section.off, section.name)
	case p.filesz == 0:
		return 0, 0, nil
	}
	// The loader goes by the address.
	at, left, err := f.offset(p.vaddr, "PT_DYNAMIC")
	if err != nil {
		return 0, 0, err
	}
	if at != p.off {
		return 0, 0, damagedELF("PT_DYNAMIC is at offset %#x, but its address %#x is at offset %#x", p.off, p.vaddr, at)
	}
	if p.filesz > left {
		return 0, 0, damagedELF("PT_DYNAMIC has %d bytes, of which %d are loaded", p.filesz, left)
	}
	return p.off, p.filesz, nil
}

func (f *elfFile) dynamic() (elfDynamic, error) {
	d := elfDynamic{once: map[elf.DynTag]uint64{}}
	off, size, err := f.dynamicSection()
	if size == 0 || err != nil {
		return d, err
	}
	named := false
	_, _, _, entry := f.sizes()
	var buf [16]byte
	for i := uint64(0); ; i++ {
		if (i+1)*uint64(entry) > size {
			return d, damagedELF("its dynamic section of %d bytes does not end with DT_NULL", size)
		}
		if i == elfMaxDynamic {
			return d, fmt.Errorf("this ELF file's dynamic section has more than the %d entries that are read", elfMaxDynamic)
		}
		if err := f.read(buf[:entry], off+i*uint64(entry), "dynamic section"); err != nil {
			return d, err
		}
		c := f.fields(buf[:entry])
		tag, value := elf.DynTag(c.word()), c.word()
		switch tag {
		case elf.DT_NULL:
			if named {
				d.strings, err = f.dynamicStrings(d)
			}
			return d, err
		case elf.DT_NEEDED, elf.DT_FILTER:
			// DT_AUXILIARY is passed over: its library may be absent, and real files
			// name none with it (ld -f, from a misplaced -fvisibility=hidden).
			if len(d.needs) == elfMaxNeeds {
				return d, fmt.Errorf("this ELF file needs more than the %d libraries that are read", elfMaxNeeds)
			}
			d.needs, named = append(d.needs, elfNeed{tag, value}), true
		case elf.DT_SONAME, elf.DT_RPATH, elf.DT_RUNPATH, elf.DT_STRTAB, elf.DT_STRSZ, elf.DT_FLAGS_1, elf.DT_VERNEED, elf.DT_VERNEEDNUM:
			if _, ok := d.once[tag]; ok {
				return d, damagedELF("its dynamic section has %v twice", tag)
			}
			d.once[tag] = value
			named = named || slices.Contains([]elf.DynTag{elf.DT_SONAME, elf.DT_RPATH, elf.DT_RUNPATH, elf.DT_VERNEED}, tag)
		}
	}
}

func (f *elfFile) dynamicStrings(d elfDynamic) (t elfStrings, err error) {
	addr, ok := d.once[elf.DT_STRTAB]
	if !ok {
		return t, damagedELF("its dynamic section has names and no DT_STRTAB")
	}
	size, ok := d.once[elf.DT_STRSZ]
	if !ok {
		return t, damagedELF("its dynamic section has names and no DT_STRSZ")
	}
	off, left, err := f.offset(addr, "DT_STRTAB")
	if err != nil {
		return t, err
	}
	if size > left {
		return t, damagedELF("DT_STRTAB has %d bytes, of which the file has %d", size, left)
	}
	return elfStrings{off, size}, nil
}

// linkage fills in what the dynamic section tells.
func (f *elfFile) linkage(o *Object, d elfDynamic) error {
	for _, n := range d.needs {
		name, err := f.str(d.strings, n.name, n.tag.String())
		if err != nil {
			return err
		}
		need := Need{Name: name}
		if n.tag == elf.DT_FILTER {
			// The loader loads it too, and offers its symbols as those of this file
			// ("Linker and Libraries Guide", Oracle, "Shared Object Filters").
			need.How = "reexport"
		}
		o.Needs = append(o.Needs, need)
	}
	for _, item := range []struct {
		tag elf.DynTag
		set func(string)
	}{
		{elf.DT_SONAME, func(v string) { o.Soname = v }},
		{elf.DT_RPATH, func(v string) { o.Rpath = strings.Split(v, ":") }},
		{elf.DT_RUNPATH, func(v string) { o.Runpath = strings.Split(v, ":") }},
	} {
		if at, ok := d.once[item.tag]; ok {
			v, err := f.str(d.strings, at, item.tag.String())
			if err != nil {
				return err
			}
			item.set(v)
		}
	}
	return f.versions(o, d)
}
