package objfile

import (
	"bytes"
	"debug/elf"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/relmat/relmat/internal/isa"
)

const (
	elfMaxNotes = 1 << 16
	// elfMaxBuildID is far more than any hash, elfMaxNote bounds the other notes
	// together.
	elfMaxBuildID = 1 << 10
	elfMaxNote    = 256 << 10
)

// Types of notes, by the name of who defined them.
const (
	ntGNUBuildID  = 3          // GNU
	ntGNUProperty = 5          // GNU
	ntFDODlopen   = 0x407c0c0a // FDO
)

// elfNotes are the notes of a file that tell something about it.
type elfNotes struct {
	count, bytes int
	x86          isa.X86
}

// notes reads the notes that are loaded with the file, by sections where it
// has them: older linkers put notes of different alignment into one segment.
func (f *elfFile) notes(o *Object, debug bool) error {
	var n elfNotes
	for i := range f.sections {
		s := &f.sections[i]
		if s.typ != elf.SHT_NOTE || s.flags&elf.SHF_ALLOC == 0 || !s.stored() {
			continue
		}
		if err := f.noteList(o, &n, fmt.Sprintf("section %.80q", s.name), s.off, s.size, s.align); err != nil {
			return err
		}
	}
	for i := range f.progs {
		p := &f.progs[i]
		if len(f.sections) > 0 || debug || p.typ != elf.PT_NOTE {
			continue
		}
		if err := f.noteList(o, &n, fmt.Sprintf("segment %d (PT_NOTE)", i), p.off, p.filesz, p.align); err != nil {
			return err
		}
	}
	o.ISA.Level, o.ISA.Evidence = n.x86.Level()
	return nil
}

// noteList reads the notes in size bytes at off (System V ABI, "Note
// Section"). Fields are padded to 4 bytes, or to 8 where the list is.
func (f *elfFile) noteList(o *Object, n *elfNotes, where string, off, size, align uint64) error {
	if align != 8 {
		align = 4
	}
	pad := func(v uint64) uint64 { return (v + align - 1) &^ (align - 1) }
	for size > 0 {
		var head [16]byte
		if size < 12 {
			// The end may be padded, as the notes are.
			if err := f.read(head[:size], off, where); err != nil {
				return err
			}
			if bytes.Equal(head[:size], make([]byte, size)) {
				return nil
			}
			return damagedELF("%s: %d bytes after the last note", where, size)
		}
		if n.count++; n.count > elfMaxNotes {
			return fmt.Errorf("this ELF file has more than the %d notes that are read", elfMaxNotes)
		}
		if err := f.read(head[:12], off, where); err != nil {
			return err
		}
		c := f.fields(head[:12])
		nameSize, descSize, typ := uint64(c.u32()), uint64(c.u32()), c.u32()
		desc := pad(12 + nameSize)
		if desc > size && nameSize > 0 || descSize > size-min(desc, size) {
			return damagedELF("%s: a note with a name of %d and a description of %d bytes does not fit into the %d that are left",
				where, nameSize, descSize, size)
		}
		if nameSize == 4 {
			if err := f.read(head[12:], off+12, where); err != nil {
				return err
			}
			if err := f.note(o, n, where, string(head[12:]), typ, off+desc, descSize); err != nil {
				return err
			}
		}
		step := min(pad(desc+descSize), size)
		off, size = off+step, size-step
	}
	return nil
}

// note takes in one note.
func (f *elfFile) note(o *Object, n *elfNotes, where, name string, typ uint32, off, size uint64) error {
	most := elfMaxNote
	switch {
	case name == "GNU\x00" && typ == ntGNUBuildID && o.BuildID == "":
		most = elfMaxBuildID
	case name == "GNU\x00" && typ == ntGNUProperty && slices.Contains(elfFacts.X86, f.machine):
	case name == "FDO\x00" && typ == ntFDODlopen:
	default:
		return nil
	}
	if n.bytes += int(min(size, elfMaxNote)); size > uint64(most) || n.bytes > elfMaxNote {
		return fmt.Errorf("%s: a note of type %#x of %q with %d bytes: at most %d are read, and %d of all notes", where, typ, name[:3], size, most, elfMaxNote)
	}
	b := make([]byte, size)
	if err := f.read(b, off, where); err != nil {
		return err
	}
	switch typ {
	case ntGNUBuildID:
		o.BuildID = hex.EncodeToString(b)
	case ntGNUProperty:
		x86, err := isa.NeededX86(b, f.order, o.Bits)
		if err != nil {
			return damagedELF("%s: %w", where, err)
		}
		n.x86 |= x86
	case ntFDODlopen:
		var list []Dlopen
		if err := json.Unmarshal(bytes.TrimRight(b, "\x00"), &list); err != nil {
			return damagedELF("%s: the libraries that are loaded by dlopen should be a JSON array: %w", where, err)
		}
		o.Dlopen = append(o.Dlopen, list...)
	}
	return nil
}
