// Package dlltest makes DLLs for tests: what they export is there to be read
// and linked with, and nothing of it runs.
package dlltest

import (
	"encoding/binary"
	"slices"
	"strings"
)

// The machines of PE Format.
const (
	X86_64  = 0x8664
	AArch64 = 0xaa64
)

// Export is one export of a DLL.
type Export struct {
	// Name is empty for one by number alone.
	Name string
	// Ordinal counts from 1; what lies between two is a gap.
	Ordinal uint16
	// Forwarder is as OTHER.Name.
	Forwarder string
	// Data puts it into the section without code.
	Data bool
}

// Where the sections lie: in memory, and in the file.
const (
	textAddr, dataAddr, edataAddr = 0x1000, 0x2000, 0x3000
	textFile, dataFile, edataFile = 0x400, 0x600, 0x800
	optionalSize                  = 240
)

var order = binary.LittleEndian

// Build returns the bytes of a DLL that exports these, in the order of their
// names, as the loader needs it.
func Build(machine uint16, library string, exports []Export) []byte {
	edata := directory(library, exports)
	raw := (len(edata) + 511) &^ 511
	b := make([]byte, edataFile+raw)
	copy(b, "MZ")
	order.PutUint32(b[0x3c:], 64)
	copy(b[64:], "PE\x00\x00")
	h := b[68:]
	order.PutUint16(h, machine)
	order.PutUint16(h[2:], 3)
	order.PutUint16(h[16:], optionalSize)
	order.PutUint16(h[18:], 0x2022) // executable, large addresses, DLL
	o := h[20:]
	order.PutUint16(o, 0x20b)
	order.PutUint64(o[24:], 0x180000000)
	order.PutUint32(o[32:], 0x1000)
	order.PutUint32(o[36:], 0x200)
	order.PutUint16(o[48:], 6) // subsystem version
	order.PutUint32(o[56:], uint32(edataAddr+(raw+0xfff)&^0xfff))
	order.PutUint32(o[60:], textFile)
	order.PutUint16(o[68:], 3)
	order.PutUint32(o[108:], 16)
	order.PutUint32(o[112:], edataAddr)
	order.PutUint32(o[116:], uint32(len(edata)))
	s := o[optionalSize:]
	section(s, ".text", textAddr, 0x200, textFile, 0x60000020)
	section(s[40:], ".data", dataAddr, 0x200, dataFile, 0xc0000040)
	section(s[80:], ".edata", edataAddr, uint32(raw), edataFile, 0x40000040)
	b[textFile] = 0xc3 // ret
	copy(b[edataFile:], edata)
	return b
}

func section(b []byte, name string, addr, size, offset, flags uint32) {
	copy(b, name)
	order.PutUint32(b[8:], size)
	order.PutUint32(b[12:], addr)
	order.PutUint32(b[16:], size)
	order.PutUint32(b[20:], offset)
	order.PutUint32(b[36:], flags)
}

// directory is the export directory with its tables and strings.
func directory(library string, exports []Export) []byte {
	last := uint16(0)
	var named []Export
	for _, e := range exports {
		last = max(last, e.Ordinal)
		if e.Name != "" {
			named = append(named, e)
		}
	}
	slices.SortFunc(named, func(a, b Export) int { return strings.Compare(a.Name, b.Name) })
	addresses := 40
	names := addresses + 4*int(last)
	ordinals := names + 4*len(named)
	b := make([]byte, ordinals+2*len(named))
	text := func(s string) uint32 {
		at := uint32(edataAddr + len(b))
		b = append(append(b, s...), 0)
		return at
	}
	put := func(at int, v uint32) { order.PutUint32(b[at:], v) }
	put(12, text(library))
	put(16, 1)
	put(20, uint32(last))
	put(24, uint32(len(named)))
	put(28, edataAddr+uint32(addresses))
	put(32, edataAddr+uint32(names))
	put(36, edataAddr+uint32(ordinals))
	for _, e := range exports {
		addr := uint32(textAddr)
		switch {
		case e.Forwarder != "":
			addr = text(e.Forwarder)
		case e.Data:
			addr = dataAddr
		}
		put(addresses+4*int(e.Ordinal-1), addr)
	}
	for i, e := range named {
		put(names+4*i, text(e.Name))
		order.PutUint16(b[ordinals+2*i:], e.Ordinal-1)
	}
	return b
}
