package objfile_test

import (
	"debug/elf"
	"encoding/binary"
)

// elfSpec describes an ELF file to be made byte by byte, for machines and for
// damage that no compiler at hand makes.
type elfSpec struct {
	wide                   bool
	order                  binary.ByteOrder
	typ                    elf.Type
	machine                elf.Machine
	interp                 string
	needed, filters        []string
	soname, rpath, runpath string
	flags1                 elf.DynFlag1
	versions               []elfVersions
	notes                  []elfNote
	noteAlign              int
	// unloaded leaves out the program headers, bare the section headers;
	// extended puts all counts into the first section header.
	unloaded, bare, extended bool
	// extra are sections of 16 bytes, padding so many bytes at the end.
	extra   int
	padding int
}

type elfVersions struct {
	library string
	names   []string // one with a leading ? is weak
}

type elfNote struct {
	name string
	typ  uint32
	desc []byte
}

// elfImage is a file that was made, and where its parts are.
type elfImage struct {
	elfSpec
	data []byte
	at   map[string]int
}

const elfBase = 0x10000

func (i *elfImage) put(size int, v uint64) {
	var b [8]byte
	switch size {
	case 2:
		i.order.PutUint16(b[:], uint16(v))
	case 4:
		i.order.PutUint32(b[:], uint32(v))
	case 8:
		i.order.PutUint64(b[:], v)
	}
	i.data = append(i.data, b[:size]...)
}

func (i *elfImage) word(v uint64) {
	if i.wide {
		i.put(8, v)
	} else {
		i.put(4, v)
	}
}

// set overwrites size bytes at off.
func (i *elfImage) set(off, size int, v uint64) {
	part := elfImage{elfSpec: i.elfSpec}
	part.put(size, v)
	copy(i.data[off:], part.data)
}

func (i *elfImage) pad(align int) {
	for len(i.data)%align != 0 {
		i.data = append(i.data, 0)
	}
}

// wordSize is the size of an address.
func (s elfSpec) wordSize() int {
	if s.wide {
		return 8
	}
	return 4
}

// elfSizes are the sizes of file, program and section header.
func (s elfSpec) elfSizes() (header, prog, section int) {
	if s.wide {
		return 64, 56, 64
	}
	return 52, 32, 40
}

type elfPart struct {
	name        string
	typ         elf.SectionType
	seg         elf.ProgType
	flags       elf.SectionFlag
	off, size   int
	align, link int // link is the section of the strings
}

// make lays the file out: headers, the parts, the section headers.
func (s elfSpec) make() *elfImage {
	i := &elfImage{elfSpec: s, at: map[string]int{}}
	header, prog, section := s.elfSizes()
	var parts []elfPart
	strings, sections := []byte{0}, []byte{0}
	type key struct {
		table *[]byte
		name  string
	}
	known := map[key]int{}
	name := func(table *[]byte, s string) uint64 {
		at, ok := known[key{table, s}]
		if !ok {
			at = len(*table)
			known[key{table, s}] = at
			*table = append(*table, s+"\x00"...)
		}
		return uint64(at)
	}
	begin := func(align int) int {
		i.pad(align)
		return len(i.data)
	}
	end := func(p elfPart, off int) {
		p.off, p.size = off, len(i.data)-off
		i.at[p.name] = off
		parts = append(parts, p)
	}
	segments := 0
	if !s.unloaded {
		segments = 2 // PT_LOAD and PT_DYNAMIC
		if s.interp != "" {
			segments++
		}
		if len(s.notes) > 0 {
			segments++
		}
	}
	i.data = make([]byte, header+segments*prog)
	if s.interp != "" {
		off := begin(1)
		i.data = append(i.data, s.interp+"\x00"...)
		end(elfPart{name: ".interp", typ: elf.SHT_PROGBITS, seg: elf.PT_INTERP, align: 1}, off)
	}
	if len(s.notes) > 0 {
		align := max(s.noteAlign, 4)
		off := begin(align)
		for _, n := range s.notes {
			i.put(4, uint64(len(n.name)+1))
			i.put(4, uint64(len(n.desc)))
			i.put(4, uint64(n.typ))
			i.data = append(i.data, n.name+"\x00"...)
			i.pad(align)
			i.data = append(i.data, n.desc...)
			i.pad(align)
		}
		end(elfPart{name: ".note", typ: elf.SHT_NOTE, seg: elf.PT_NOTE, align: align}, off)
	}
	if len(s.versions) > 0 {
		off := begin(8)
		for n, v := range s.versions {
			next := uint64(16 + 16*len(v.names))
			if n == len(s.versions)-1 {
				next = 0
			}
			i.put(2, 1)
			i.put(2, uint64(len(v.names)))
			i.put(4, name(&strings, v.library))
			i.put(4, 16)
			i.put(4, next)
			for m, version := range v.names {
				flags := uint64(0)
				if version[0] == '?' {
					version, flags = version[1:], uint64(elf.VER_FLG_WEAK)
				}
				i.put(4, 0)
				i.put(2, flags)
				i.put(2, uint64(2+m))
				i.put(4, name(&strings, version))
				if m == len(v.names)-1 {
					i.put(4, 0)
				} else {
					i.put(4, 16)
				}
			}
		}
		end(elfPart{name: ".gnu.version_r", typ: elf.SHT_GNU_VERNEED, align: 8, link: 1}, off)
	}
	type entry struct {
		tag   elf.DynTag
		value uint64
	}
	var dynamic []entry
	for _, n := range s.needed {
		dynamic = append(dynamic, entry{elf.DT_NEEDED, name(&strings, n)})
	}
	for _, n := range s.filters {
		dynamic = append(dynamic, entry{elf.DT_FILTER, name(&strings, n)})
	}
	for _, v := range []struct {
		tag  elf.DynTag
		text string
	}{{elf.DT_SONAME, s.soname}, {elf.DT_RPATH, s.rpath}, {elf.DT_RUNPATH, s.runpath}} {
		if v.text != "" {
			dynamic = append(dynamic, entry{v.tag, name(&strings, v.text)})
		}
	}
	off := begin(8)
	i.data = append(i.data, strings...)
	end(elfPart{name: ".dynstr", typ: elf.SHT_STRTAB, align: 8}, off)
	dynamic = append(dynamic, entry{elf.DT_STRTAB, uint64(elfBase + off)}, entry{elf.DT_STRSZ, uint64(len(strings))})
	if len(s.versions) > 0 {
		dynamic = append(dynamic, entry{elf.DT_VERNEED, uint64(elfBase + i.at[".gnu.version_r"])}, entry{elf.DT_VERNEEDNUM, uint64(len(s.versions))})
	}
	if s.flags1 != 0 {
		dynamic = append(dynamic, entry{elf.DT_FLAGS_1, uint64(s.flags1)})
	}
	off = begin(8)
	for _, d := range append(dynamic, entry{}) {
		if _, ok := i.at[d.tag.String()]; !ok {
			i.at[d.tag.String()] = len(i.data)
		}
		i.word(uint64(d.tag))
		i.word(d.value)
	}
	end(elfPart{name: ".dynamic", typ: elf.SHT_DYNAMIC, seg: elf.PT_DYNAMIC, flags: elf.SHF_WRITE, align: 8}, off)
	for range s.extra {
		off = begin(8)
		i.data = append(i.data, make([]byte, 16)...)
		end(elfPart{name: ".extra", typ: elf.SHT_PROGBITS, align: 8}, off)
	}
	for range s.padding {
		i.data = append(i.data, 0)
	}
	loaded := len(i.data)

	at := header
	program := func(typ elf.ProgType, off, size, align int) {
		i.at[typ.String()] = at
		p := elfImage{elfSpec: s}
		p.put(4, uint64(typ))
		if s.wide {
			p.put(4, uint64(elf.PF_R))
		}
		for _, v := range []int{off, elfBase + off, elfBase + off, size, size} {
			p.word(uint64(v))
		}
		if !s.wide {
			p.put(4, uint64(elf.PF_R))
		}
		p.word(uint64(align))
		copy(i.data[at:], p.data)
		at += prog
	}
	if !s.unloaded {
		program(elf.PT_LOAD, 0, loaded, 4096)
		for _, p := range parts {
			if p.seg != 0 {
				program(p.seg, p.off, p.size, p.align)
			}
		}
	}

	shoff, shnum := 0, 0
	if !s.bare {
		dynstr := 0
		for n, p := range parts {
			name(&sections, p.name)
			if p.name == ".dynstr" {
				dynstr = n + 1
			}
		}
		name(&sections, ".shstrtab")
		off = begin(1)
		i.data = append(i.data, sections...)
		end(elfPart{name: ".shstrtab", typ: elf.SHT_STRTAB, align: 1}, off)
		i.pad(8)
		shoff, shnum = len(i.data), len(parts)+1
		i.data = append(i.data, make([]byte, section)...)
		for _, p := range parts {
			i.at["header of "+p.name] = len(i.data)
			addr, flags := elfBase+p.off, p.flags|elf.SHF_ALLOC
			if p.name == ".shstrtab" {
				addr, flags = 0, 0
			}
			if p.typ == elf.SHT_DYNAMIC || p.typ == elf.SHT_GNU_VERNEED {
				p.link = dynstr
			}
			i.put(4, name(&sections, p.name))
			i.put(4, uint64(p.typ))
			i.word(uint64(flags))
			i.word(uint64(addr))
			i.word(uint64(p.off))
			i.word(uint64(p.size))
			i.put(4, uint64(p.link))
			i.put(4, uint64(len(s.versions)))
			i.word(uint64(p.align))
			entsize := 0
			if p.typ == elf.SHT_DYNAMIC {
				entsize = 2 * s.wordSize()
			}
			i.word(uint64(entsize))
		}
	}
	i.fileHeader(header, shoff, segments, shnum)
	return i
}

// fileHeader writes the file header, and the counts where they belong.
func (i *elfImage) fileHeader(header, shoff, phnum, shnum int) {
	h := elfImage{elfSpec: i.elfSpec}
	class, data := elf.ELFCLASS32, elf.ELFDATA2LSB
	if i.wide {
		class = elf.ELFCLASS64
	}
	if i.order == binary.BigEndian {
		data = elf.ELFDATA2MSB
	}
	h.data = append(h.data, elf.ELFMAG...)
	h.data = append(h.data, byte(class), byte(data), 1, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	_, prog, section := i.elfSizes()
	strndx := max(shnum-1, 0)
	if i.extended {
		size := shoff + 8 + 3*i.wordSize()
		link := size + i.wordSize()
		i.set(size, i.wordSize(), uint64(shnum))
		i.set(link, 4, uint64(strndx))
		i.set(link+4, 4, uint64(phnum))
		shnum, strndx, phnum = 0, 0xffff, 0xffff
	}
	phoff := header
	if phnum == 0 {
		phoff = 0
	}
	h.put(2, uint64(i.typ))
	h.put(2, uint64(i.machine))
	h.put(4, 1)
	h.word(elfBase)
	h.word(uint64(phoff))
	i.at["shoff"] = len(h.data)
	h.word(uint64(shoff))
	h.put(4, 0)
	h.put(2, uint64(header))
	i.at["phentsize"] = len(h.data)
	h.put(2, uint64(prog))
	h.put(2, uint64(phnum))
	h.put(2, uint64(section))
	h.put(2, uint64(shnum))
	h.put(2, uint64(strndx))
	copy(i.data, h.data)
}
