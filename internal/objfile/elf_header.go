package objfile

import (
	"cmp"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"slices"
)

// The most headers that are read of a file. A header takes as much room in the
// file as it takes here, so that memory stays below the file's size.
const (
	elfMaxSections = 1 << 18
	elfMaxProgs    = 1 << 16
)

// elfFile is an ELF file's headers (System V ABI, "Object Files").
type elfFile struct {
	elfSource
	order   binary.ByteOrder
	wide    bool // 64-bit
	typ     elf.Type
	machine elf.Machine
	// progs and sections are the header tables.
	progs    []elfProg
	sections []elfSection
}

type elfProg struct {
	typ                              elf.ProgType
	flags                            elf.ProgFlag
	off, vaddr, filesz, memsz, align uint64
}

type elfSection struct {
	name            string
	typ             elf.SectionType
	flags           elf.SectionFlag
	addr, off, size uint64
	link            uint32
	info            uint32
	align           uint64
}

// stored says that the section takes room in the file.
func (s *elfSection) stored() bool {
	return s.typ != elf.SHT_NULL && s.typ != elf.SHT_NOBITS && s.size > 0
}

// elfFields reads the fields of a structure one after another.
type elfFields struct {
	b     []byte
	order binary.ByteOrder
	wide  bool
}

func (c *elfFields) u16() uint16 {
	v := c.order.Uint16(c.b)
	c.b = c.b[2:]
	return v
}

func (c *elfFields) u32() uint32 {
	v := c.order.Uint32(c.b)
	c.b = c.b[4:]
	return v
}

// word is a field that has the width of the file's addresses.
func (c *elfFields) word() uint64 {
	if !c.wide {
		return uint64(c.u32())
	}
	v := c.order.Uint64(c.b)
	c.b = c.b[8:]
	return v
}

func (f *elfFile) fields(b []byte) *elfFields { return &elfFields{b, f.order, f.wide} }

// sizes are the sizes in bytes of the file header and of an entry of the
// program header table, section header table and dynamic section.
func (f *elfFile) sizes() (header, prog, section, dynamic int) {
	if f.wide {
		return 64, 56, 64, 16
	}
	return 52, 32, 40, 8
}

// elfTables is where the header tables lie.
type elfTables struct {
	phoff, shoff   uint64
	phnum, shnum   uint64
	shstrndx       uint64
	phsize, shsize uint16
}

// headers reads the file header and both header tables.
func (f *elfFile) headers() error {
	var ident [elf.EI_NIDENT]byte
	if err := f.read(ident[:], 0, "file header"); err != nil {
		return err
	}
	switch elf.Class(ident[elf.EI_CLASS]) {
	case elf.ELFCLASS32:
	case elf.ELFCLASS64:
		f.wide = true
	default:
		return damagedELF("its class is %d, neither 1 (32-bit) nor 2 (64-bit)", ident[elf.EI_CLASS])
	}
	switch elf.Data(ident[elf.EI_DATA]) {
	case elf.ELFDATA2LSB:
		f.order = binary.LittleEndian
	case elf.ELFDATA2MSB:
		f.order = binary.BigEndian
	default:
		return damagedELF("its data encoding is %d, neither 1 (little-endian) nor 2 (big-endian)", ident[elf.EI_DATA])
	}
	if v := ident[elf.EI_VERSION]; v != byte(elf.EV_CURRENT) {
		return damagedELF("its version is %d, not 1", v)
	}
	header, _, _, _ := f.sizes()
	b := make([]byte, header)
	if err := f.read(b, 0, "file header"); err != nil {
		return err
	}
	c := f.fields(b[elf.EI_NIDENT:])
	f.typ, f.machine = elf.Type(c.u16()), elf.Machine(c.u16())
	if v := c.u32(); v != uint32(elf.EV_CURRENT) {
		return damagedELF("its version is %d, not 1", v)
	}
	c.word() // entry point
	t := elfTables{phoff: c.word(), shoff: c.word()}
	c.u32() // flags
	c.u16() // size of this header
	t.phsize, t.phnum = c.u16(), uint64(c.u16())
	t.shsize, t.shnum, t.shstrndx = c.u16(), uint64(c.u16()), uint64(c.u16())
	if err := f.extend(&t); err != nil {
		return err
	}
	if t.phnum == 0 && t.shnum == 0 {
		return damagedELF("it has neither program headers nor section headers")
	}
	if err := f.readProgs(t); err != nil {
		return err
	}
	return f.readSections(t)
}

// extend finds the counts that do not fit into the file header: they stand in
// the first section header.
func (f *elfFile) extend(t *elfTables) error {
	_, _, size, _ := f.sizes()
	if t.shoff == 0 {
		if t.shnum > 0 {
			return damagedELF("it promises %d section headers and says not where", t.shnum)
		}
		if t.phnum == 0xffff {
			return damagedELF("the number of its program headers should stand in the first section header, and it has none")
		}
		return nil
	}
	if int(t.shsize) != size {
		return damagedELF("a section header has %d bytes, not %d", t.shsize, size)
	}
	first, _, err := f.section(t.shoff)
	if err != nil {
		return err
	}
	if t.shnum == 0 {
		t.shnum = first.size
	}
	if t.shstrndx == uint64(elf.SHN_XINDEX) {
		t.shstrndx = uint64(first.link)
	}
	if t.phnum == 0xffff {
		t.phnum = uint64(first.info)
	}
	return nil
}

// table checks that a header table lies in the file.
func (f *elfFile) table(what string, off, count, size, most uint64) error {
	if count > uint64(f.size)/size || !f.within(off, count*size) {
		return damagedELF("%d %s headers at offset %#x lie outside of the file of %d bytes", count, what, off, f.size)
	}
	if count > most {
		return fmt.Errorf("this ELF file has %d %s headers, and at most %d are read", count, what, most)
	}
	return nil
}

func (f *elfFile) readProgs(t elfTables) error {
	if t.phnum == 0 {
		return nil
	}
	_, size, _, _ := f.sizes()
	if int(t.phsize) != size {
		return damagedELF("a program header has %d bytes, not %d", t.phsize, size)
	}
	if err := f.table("program", t.phoff, t.phnum, uint64(size), elfMaxProgs); err != nil {
		return err
	}
	f.progs = make([]elfProg, t.phnum)
	b := make([]byte, size)
	for i := range f.progs {
		if err := f.read(b, t.phoff+uint64(i*size), "program headers"); err != nil {
			return err
		}
		c, p := f.fields(b), &f.progs[i]
		p.typ = elf.ProgType(c.u32())
		if f.wide {
			p.flags = elf.ProgFlag(c.u32())
		}
		p.off, p.vaddr = c.word(), c.word()
		c.word() // physical address
		p.filesz, p.memsz = c.word(), c.word()
		if !f.wide {
			p.flags = elf.ProgFlag(c.u32())
		}
		p.align = c.word()
	}
	return nil
}

// section reads one section header, and where its name stands.
func (f *elfFile) section(off uint64) (s elfSection, name uint32, err error) {
	_, _, size, _ := f.sizes()
	var b [64]byte
	if err := f.read(b[:size], off, "section headers"); err != nil {
		return s, 0, err
	}
	c := elfFields{b[:size], f.order, f.wide}
	name = c.u32()
	s.typ = elf.SectionType(c.u32())
	s.flags = elf.SectionFlag(c.word())
	s.addr, s.off, s.size = c.word(), c.word(), c.word()
	s.link, s.info = c.u32(), c.u32()
	s.align = c.word()
	return s, name, nil
}

func (f *elfFile) readSections(t elfTables) error {
	if t.shnum == 0 {
		return nil
	}
	if err := f.table("section", t.shoff, t.shnum, uint64(t.shsize), elfMaxSections); err != nil {
		return err
	}
	var names elfStrings
	if t.shstrndx >= t.shnum {
		return damagedELF("the names of its %d sections should stand in section %d", t.shnum, t.shstrndx)
	}
	if t.shstrndx > 0 {
		s, _, err := f.section(t.shoff + t.shstrndx*uint64(t.shsize))
		if err != nil {
			return err
		}
		if s.typ != elf.SHT_STRTAB {
			return damagedELF("section %d, which should hold the names of sections, is %v", t.shstrndx, s.typ)
		}
		if !f.within(s.off, s.size) {
			return f.outside(fmt.Sprintf("section %d with the names of sections", t.shstrndx), s.off, s.size)
		}
		names = elfStrings{s.off, s.size}
	}
	f.sections = make([]elfSection, t.shnum)
	for i := range f.sections {
		s, name, err := f.section(t.shoff + uint64(i)*uint64(t.shsize))
		if err != nil {
			return err
		}
		// The first header is no section: it has the extended counts.
		if i > 0 && s.typ != elf.SHT_NULL && t.shstrndx > 0 {
			if s.name, err = f.str(names, uint64(name), fmt.Sprintf("section %d", i)); err != nil {
				return err
			}
		}
		if i > 0 && s.stored() && !f.within(s.off, s.size) {
			return f.outside(fmt.Sprintf("section %d (%.80q)", i, s.name), s.off, s.size)
		}
		f.sections[i] = s
	}
	f.sections[0].typ = elf.SHT_NULL
	return f.overlaps()
}

// overlaps finds sections that share bytes of the file.
func (f *elfFile) overlaps() error {
	var order []int
	sorted := true
	for i := range f.sections {
		if !f.sections[i].stored() {
			continue
		}
		if n := len(order); n > 0 && f.sections[i].off < f.sections[order[n-1]].off {
			sorted = false
		}
		order = append(order, i)
	}
	if !sorted {
		slices.SortStableFunc(order, func(a, b int) int {
			return cmp.Compare(f.sections[a].off, f.sections[b].off)
		})
	}
	for i := 1; i < len(order); i++ {
		a, b := &f.sections[order[i-1]], &f.sections[order[i]]
		if b.off-a.off < a.size {
			return damagedELF("sections %d (%.80q) and %d (%.80q) overlap at offset %#x", order[i-1], a.name, order[i], b.name, b.off)
		}
	}
	return nil
}

// outside is the error of bytes that lie outside of the file.
func (f *elfFile) outside(what string, off, size uint64) error {
	return damagedELF("%s: %d bytes at offset %#x lie outside of the file of %d bytes", what, size, off, f.size)
}
