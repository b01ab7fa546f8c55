package objfile

import (
	"bytes"
	"fmt"
)

// Section types whose bytes are zero and not in the file, and attributes
// (<mach-o/loader.h>).
const (
	sectionTypeMask     = 0xff
	sZeroFill           = 0x01
	sBigZeroFill        = 0x0c
	sThreadZeroFill     = 0x12
	sAttrPureCode       = 0x80000000
	sAttrSomeCode       = 0x00000400
	sAttrDebug          = 0x02000000
	maxSegmentNameBytes = 16
)

// segment reads the sections of LC_SEGMENT or LC_SEGMENT_64.
func (m *machO) segment(c []byte, wide bool) error {
	// A segment's header is: command, size, name[16], vmaddr, vmsize, fileoff,
	// filesize (4 or 8 bytes each), maxprot, initprot, nsects, flags.
	header, entry, word := 56, 68, 4
	if wide {
		header, entry, word = 72, 80, 8
	}
	if len(c) < header {
		return errCommandShort
	}
	number := func(b []byte, at int) uint64 {
		if wide {
			return m.order.Uint64(b[at:])
		}
		return uint64(m.order.Uint32(b[at:]))
	}
	fileOffset, fileSize := number(c, 24+2*word), number(c, 24+3*word)
	if !m.apart() && !fits(fileOffset, fileSize, m.size) {
		return fmt.Errorf("segment %s takes %d bytes at offset %d, but the file has %d: it is cut short; fetch it again",
			fixedText(c[8:]), fileSize, fileOffset, m.size)
	}
	count := uint64(m.order.Uint32(c[header-8:]))
	if count > uint64(len(c)-header)/uint64(entry) {
		return fmt.Errorf("segment %s counts %d sections, more than it has room for", fixedText(c[8:]), count)
	}
	if count+uint64(len(m.o.Sections)) > maxMachSections {
		return fmt.Errorf("more than %d sections", maxMachSections)
	}
	for i := range int(count) {
		// sectname[16], segname[16], addr, size (4 or 8 bytes each), offset, align,
		// reloff, nreloc, flags, and two or three reserved.
		b := c[header+i*entry:]
		flags := m.order.Uint32(b[48+2*word:])
		offset, size := uint64(m.order.Uint32(b[32+2*word:])), number(b, 32+word)
		s := Section{
			Name:  fixedText(b[16:]) + "," + fixedText(b),
			Addr:  number(b, 32),
			Exec:  flags&(sAttrPureCode|sAttrSomeCode) != 0,
			Alloc: flags&sAttrDebug == 0 && m.fileType != mhDSYM,
		}
		switch kind := flags & sectionTypeMask; {
		case kind == sZeroFill || kind == sBigZeroFill || kind == sThreadZeroFill, fileSize == 0, size == 0:
		case fits(offset, size, m.size):
			s.Offset, s.Size = m.base+int64(offset), int64(size)
		case !m.apart():
			return fmt.Errorf("section %s takes %d bytes at offset %d, but the file has %d", s.Name, size, offset, m.size)
		}
		m.o.Sections = append(m.o.Sections, s)
	}
	return nil
}

// fixedText is a name of at most 16 bytes, padded with zeros.
func fixedText(b []byte) string {
	name, _, _ := bytes.Cut(b[:maxSegmentNameBytes], []byte{0})
	return string(name)
}
