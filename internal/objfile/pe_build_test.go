package objfile

import (
	"bytes"
)

// peBuilder makes a PE image with one section at address 0x1000, whose bytes
// lie at 0x400 in the file.
type peBuilder struct {
	wide       bool
	machine    uint16
	flags      uint16
	base       uint64
	subsystem  uint16
	align      uint32
	data       []byte
	dirs       [peDirectories]peDirectory
	cert       []byte
	extraZeros uint32 // of virtual size beyond the bytes
}

const (
	peTestAddr   = 0x1000
	peTestOffset = 0x400
)

func newPE32() *peBuilder {
	return &peBuilder{machine: 0x14c, flags: 0x0102, base: 0x400000, subsystem: 3, align: 0x1000}
}

func newPE64() *peBuilder {
	return &peBuilder{wide: true, machine: 0x8664, flags: 0x2022, base: 0x180000000, subsystem: 2, align: 0x1000}
}

// add puts bytes into the section and gives their address.
func (b *peBuilder) add(data []byte) uint32 {
	for len(b.data)%8 != 0 {
		b.data = append(b.data, 0)
	}
	at := peTestAddr + uint32(len(b.data))
	b.data = append(b.data, data...)
	return at
}

func (b *peBuilder) text(s string) uint32 { return b.add(append([]byte(s), 0)) }

// thunks makes a table of imports by name, then by number. delta is added to
// the addresses of names.
func (b *peBuilder) thunks(names []string, ordinals []uint16, delta uint64) uint32 {
	var values []uint64
	for _, n := range names {
		hint := b.add(append([]byte{0, 0}, append([]byte(n), 0)...))
		values = append(values, uint64(hint)+delta)
	}
	top := uint64(1) << 31
	if b.wide {
		top = 1 << 63
	}
	for _, o := range ordinals {
		values = append(values, top|uint64(o))
	}
	var table []byte
	for _, v := range append(values, 0) {
		if b.wide {
			table = peOrder.AppendUint64(table, v)
		} else {
			table = peOrder.AppendUint32(table, uint32(v))
		}
	}
	return b.add(table)
}

type peTestImport struct {
	dll      string
	names    []string
	ordinals []uint16
	noLookup bool // leave OriginalFirstThunk out
}

func peWords(values ...uint32) []byte {
	var out []byte
	for _, v := range values {
		out = peOrder.AppendUint32(out, v)
	}
	return out
}

func (b *peBuilder) imports(list ...peTestImport) {
	var table []byte
	for _, i := range list {
		lookup := b.thunks(i.names, i.ordinals, 0)
		address := b.thunks(i.names, i.ordinals, 0)
		if i.noLookup {
			lookup = 0
		}
		table = append(table, peWords(lookup, 0, 0, b.text(i.dll), address)...)
	}
	table = append(table, make([]byte, peImportSize)...)
	b.dirs[peImports] = peDirectory{b.add(table), uint32(len(table))}
}

// delays adds delay imports, with addresses relative to the base or not.
func (b *peBuilder) delays(relative bool, list ...peTestImport) {
	var delta uint64
	attributes := uint32(1)
	if !relative {
		delta, attributes = b.base, 0
	}
	var table []byte
	for _, i := range list {
		names := b.thunks(i.names, i.ordinals, delta)
		d := uint32(delta)
		table = append(table, peWords(attributes, b.text(i.dll)+d, 0, names+d, names+d, 0, 0, 0)...)
	}
	table = append(table, make([]byte, peDelaySize)...)
	b.dirs[peDelay] = peDirectory{b.add(table), uint32(len(table))}
}

// codeView adds a debug directory with an entry of CodeView after another.
func (b *peBuilder) codeView(guid string, age uint32, pdb string) {
	record := append([]byte("RSDS"+guid), peWords(age)...)
	record = append(append(record, pdb...), 0)
	at := b.add(record)
	offset := at - peTestAddr + peTestOffset
	table := peWords(0, 0, 0, 12, 20, at, offset)
	table = append(table, peWords(0, 0, 0, 2, uint32(len(record)), at, offset)...)
	b.dirs[peDebug] = peDirectory{b.add(table), uint32(len(table))}
}

// certificate adds an entry to the certificate table.
func (b *peBuilder) certificate(kind uint16, data []byte) {
	entry := peWords(uint32(len(data)+8), uint32(kind)<<16|0x0200)
	entry = append(entry, data...)
	for len(entry)%8 != 0 {
		entry = append(entry, 0)
	}
	b.cert = append(b.cert, entry...)
}

func (b *peBuilder) bytes() []byte {
	raw := (len(b.data) + 511) &^ 511
	if len(b.cert) > 0 {
		b.dirs[peCertificate] = peDirectory{uint32(peTestOffset + raw), uint32(len(b.cert))}
	}
	var out bytes.Buffer
	dos := make([]byte, 64)
	copy(dos, "MZ")
	peOrder.PutUint32(dos[0x3c:], 64)
	out.Write(dos)
	out.WriteString("PE\x00\x00")
	optional := 96
	if b.wide {
		optional = 112
	}
	o := make([]byte, optional)
	peOrder.PutUint16(o, 0x10b)
	o[2], o[3] = 14, 44
	peOrder.PutUint32(o[28:], uint32(b.base))
	if b.wide {
		peOrder.PutUint16(o, 0x20b)
		peOrder.PutUint64(o[24:], b.base)
	}
	peOrder.PutUint32(o[32:], b.align)
	peOrder.PutUint32(o[36:], 512)
	peOrder.PutUint16(o[48:], 6)
	peOrder.PutUint16(o[50:], 1)
	peOrder.PutUint32(o[56:], 0x100000)
	peOrder.PutUint32(o[60:], peTestOffset)
	peOrder.PutUint16(o[68:], b.subsystem)
	peOrder.PutUint32(o[optional-4:], peDirectories)
	for _, d := range b.dirs {
		o = append(o, peWords(d.addr, d.size)...)
	}
	head := make([]byte, peFileHeader)
	peOrder.PutUint16(head, b.machine)
	peOrder.PutUint16(head[2:], 1)
	peOrder.PutUint16(head[16:], uint16(len(o)))
	peOrder.PutUint16(head[18:], b.flags)
	out.Write(head)
	out.Write(o)
	section := make([]byte, peSectionHeader)
	copy(section, ".rdata")
	peOrder.PutUint32(section[8:], uint32(len(b.data))+b.extraZeros)
	peOrder.PutUint32(section[12:], peTestAddr)
	peOrder.PutUint32(section[16:], uint32(raw))
	peOrder.PutUint32(section[20:], peTestOffset)
	peOrder.PutUint32(section[36:], 0x40000040)
	out.Write(section)
	out.Write(make([]byte, peTestOffset-out.Len()))
	out.Write(b.data)
	out.Write(make([]byte, raw-len(b.data)))
	out.Write(b.cert)
	return out.Bytes()
}
