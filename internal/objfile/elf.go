package objfile

import (
	"bytes"
	"debug/elf"
	_ "embed"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

//go:embed elf.json
var elfJSON []byte

var elfFacts = mustELFFacts(elfJSON)

type elfTable struct {
	Machines []struct {
		Number elf.Machine `json:"number"`
		Bits   int         `json:"bits"`
		Data   string      `json:"data"`
		Name   string      `json:"name"`
	} `json:"machines"`
	// X86 are the machines whose property note tells an x86 level.
	X86 []elf.Machine `json:"x86"`
	// Floors say which symbol versions are versions of which library: those that
	// start with Prefix, asked of a library whose name starts with Library.
	Floors []struct {
		Floor   string `json:"floor"`
		Prefix  string `json:"prefix"`
		Library string `json:"library"`
	} `json:"floors"`
	// Since are the symbol versions of glibc that are no number, and the version
	// that brought them.
	Since map[string]string `json:"since"`
}

func mustELFFacts(data []byte) elfTable {
	var t elfTable
	if err := json.Unmarshal(data, &t); err != nil {
		panic("objfile: elf.json: " + err.Error())
	}
	for _, fact := range t.Floors {
		new(Floors).named(fact.Floor)
	}
	return t
}

func isELF(head []byte) bool { return bytes.HasPrefix(head, []byte(elf.ELFMAG)) }

// readELF reads an ELF file (System V ABI, generic and processor supplements;
// Linux Standard Base, "Symbol Versioning").
//
// What the loader reads is read as the loader does, by program headers, and
// not by section headers, which it never looks at and which strip may have
// taken away. Sections of a file without section headers are its segments of
// type PT_LOAD, under the names "PT_LOAD 0", "PT_LOAD 1" and so on.
func readELF(r io.ReaderAt, size int64) (*Object, error) {
	f := &elfFile{elfSource: elfSource{r: r, size: size}}
	if err := f.headers(); err != nil {
		return nil, err
	}
	o := &Object{Format: ELF, Machine: f.machineName(), Bits: 32, Size: size, Sections: f.objectSections()}
	if f.wide {
		o.Bits = 64
	}
	if f.typ == elf.ET_CORE {
		// A core's segments and notes tell of the process, which may have been
		// too large to be written whole.
		o.Kind = Core
		return o, nil
	}
	debug := f.isDebug()
	var dyn elfDynamic
	if !debug && f.typ != elf.ET_REL {
		if err := f.checkSegments(); err != nil {
			return nil, err
		}
		var err error
		if o.Interp, err = f.interp(); err != nil {
			return nil, err
		}
		if dyn, err = f.dynamic(); err != nil {
			return nil, err
		}
		if err := f.linkage(o, dyn); err != nil {
			return nil, err
		}
	}
	if err := f.notes(o, debug); err != nil {
		return nil, err
	}
	kind, err := f.kind(o, dyn, debug)
	if err != nil {
		return nil, err
	}
	o.Kind = kind
	o.Static = kind == Executable && o.Interp == "" && len(o.Needs) == 0
	return o, nil
}

func (f *elfFile) machineName() string {
	data, bits := "little", 32
	if f.order == binary.BigEndian {
		data = "big"
	}
	if f.wide {
		bits = 64
	}
	for _, m := range elfFacts.Machines {
		if m.Number == f.machine && m.Bits == bits && m.Data == data {
			return m.Name
		}
	}
	return fmt.Sprintf("elf-%d", uint16(f.machine))
}

// kind tells what the file is for. A position-independent executable has a
// library's type. New linkers set DF_1_PIE in it; of older ones' files, that
// with an interpreter is an executable, unless it has a name for others to link
// with, as glibc's libc.so.6, which prints its version when it is run.
func (f *elfFile) kind(o *Object, dyn elfDynamic, debug bool) (Kind, error) {
	switch f.typ {
	case elf.ET_REL, elf.ET_EXEC, elf.ET_DYN:
	default:
		return "", damagedELF("its type is %d: neither an object, an executable, a library nor a core", uint16(f.typ))
	}
	switch {
	case debug:
		return Debug, nil
	case f.typ == elf.ET_REL:
		return Relocated, nil
	case f.typ == elf.ET_EXEC,
		dyn.once[elf.DT_FLAGS_1]&uint64(elf.DF_1_PIE) != 0,
		o.Interp != "" && o.Soname == "":
		return Executable, nil
	}
	return Library, nil
}

// isDebug tells a file that strip --only-keep-debug or -gsplit-dwarf made: it
// has symbols, and of what is loaded it has headers and notes alone. Its
// program headers, if any, are those of the file that it describes.
func (f *elfFile) isDebug() bool {
	dwarf, symbols, emptied := false, false, false
	for i := range f.sections {
		s := &f.sections[i]
		switch {
		case s.typ == elf.SHT_NULL:
		case s.flags&elf.SHF_ALLOC != 0:
			if s.typ != elf.SHT_NOBITS && s.typ != elf.SHT_NOTE {
				return false
			}
			emptied = emptied || s.typ == elf.SHT_NOBITS
		case s.typ == elf.SHT_SYMTAB:
			symbols = true
		case strings.HasPrefix(s.name, ".debug_"), strings.HasPrefix(s.name, ".zdebug_"):
			dwarf = true
		}
	}
	return dwarf || symbols && emptied
}

// objectSections are the sections that the object shows.
func (f *elfFile) objectSections() []Section {
	var sections []Section
	for i := range f.sections {
		s := &f.sections[i]
		if s.typ == elf.SHT_NULL {
			continue
		}
		out := Section{
			Name: s.name, Addr: s.addr,
			Exec: s.flags&elf.SHF_EXECINSTR != 0, Alloc: s.flags&elf.SHF_ALLOC != 0,
		}
		if s.stored() {
			out.Offset, out.Size = int64(s.off), int64(s.size)
		}
		sections = append(sections, out)
	}
	if len(f.sections) > 0 || f.typ == elf.ET_CORE {
		return sections
	}
	n := 0
	for i := range f.progs {
		p := &f.progs[i]
		if p.typ != elf.PT_LOAD {
			continue
		}
		// A segment that lies outside of the file is an error later on.
		if p.filesz > 0 && f.within(p.off, p.filesz) {
			sections = append(sections, Section{
				Name: fmt.Sprintf("PT_LOAD %d", n), Offset: int64(p.off), Size: int64(p.filesz), Addr: p.vaddr,
				Exec: p.flags&elf.PF_X != 0, Alloc: true,
			})
		}
		n++
	}
	return sections
}
