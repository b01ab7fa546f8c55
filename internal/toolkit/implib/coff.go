package implib

import "encoding/binary"

// Section flags and storage classes (PE Format).
const (
	sectionData  = 0x00000040 | 0x40000000 | 0x80000000 // initialized, readable, writable
	align2       = 0x00200000
	align4       = 0x00300000
	align8       = 0x00400000
	classExtern  = 2
	classStatic  = 3
	classSection = 104

	fileHeader    = 20
	sectionHeader = 40
)

// object is a COFF object file in small.
type object struct {
	machine  machine
	sections []section
	symbols  []symbol
}

type section struct {
	name  string // of up to eight bytes
	flags uint32
	data  []byte
	// fixups are offsets into data, and indices of the symbols whose addresses
	// relative to the image belong there.
	fixups []fixup
}

type fixup struct{ at, symbol uint32 }

type symbol struct {
	name    string
	section int16 // from 1; 0 is another object's
	class   byte
}

func (o object) bytes() []byte {
	order := binary.LittleEndian
	at := uint32(fileHeader + sectionHeader*len(o.sections))
	var headers, contents []byte
	for _, s := range o.sections {
		headers = append(headers, field(s.name)...)
		headers = order.AppendUint32(headers, 0) // virtual size
		headers = order.AppendUint32(headers, 0) // virtual address
		headers = order.AppendUint32(headers, uint32(len(s.data)))
		headers = order.AppendUint32(headers, at+uint32(len(contents)))
		contents = append(contents, s.data...)
		fixups := uint32(0)
		if len(s.fixups) > 0 {
			fixups = at + uint32(len(contents))
		}
		headers = order.AppendUint32(headers, fixups)
		headers = order.AppendUint32(headers, 0) // line numbers
		headers = order.AppendUint16(headers, uint16(len(s.fixups)))
		headers = order.AppendUint16(headers, 0)
		headers = order.AppendUint32(headers, s.flags)
		for _, f := range s.fixups {
			contents = order.AppendUint32(contents, f.at)
			contents = order.AppendUint32(contents, f.symbol)
			contents = order.AppendUint16(contents, o.machine.addr32NB)
		}
	}
	b := order.AppendUint16(nil, o.machine.number)
	b = order.AppendUint16(b, uint16(len(o.sections)))
	b = order.AppendUint32(b, 0) // time
	b = order.AppendUint32(b, at+uint32(len(contents)))
	b = order.AppendUint32(b, uint32(len(o.symbols)))
	b = order.AppendUint32(b, 0) // no optional header, no flags
	return append(append(append(b, headers...), contents...), o.table()...)
}

// table is the symbol table, with the strings behind it that it needs.
func (o object) table() []byte {
	order := binary.LittleEndian
	var b, strings []byte
	for _, s := range o.symbols {
		if len(s.name) > 8 {
			b = order.AppendUint32(b, 0)
			b = order.AppendUint32(b, uint32(4+len(strings)))
			strings = append(append(strings, s.name...), 0)
		} else {
			b = append(b, field(s.name)...)
		}
		b = order.AppendUint32(b, 0) // value
		b = order.AppendUint16(b, uint16(s.section))
		b = order.AppendUint16(b, 0) // type
		b = append(b, s.class, 0)
	}
	b = order.AppendUint32(b, uint32(4+len(strings)))
	return append(b, strings...)
}

// field is a name of up to eight bytes, filled with NULs.
func field(name string) []byte {
	var b [8]byte
	copy(b[:], name)
	return b[:]
}
