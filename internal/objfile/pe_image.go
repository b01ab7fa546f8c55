package objfile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sort"
)

// The data directories that are read (PE Format, "Optional Header Data
// Directories").
const (
	peExports     = 0
	peImports     = 1
	peCertificate = 4
	peDebug       = 6
	peLoadConfig  = 10
	peDelay       = 13
	peCLR         = 14

	peDirectories = 16
)

// Flags of the file and section headers (PE Format, "Characteristics" and
// "Section Flags").
const (
	peFileExecutable = 0x0002
	peFileDLL        = 0x2000

	peSectionCode        = 0x00000020
	peSectionInfo        = 0x00000200
	peSectionRemove      = 0x00000800
	peSectionDiscardable = 0x02000000
	peSectionExecute     = 0x20000000
)

const (
	peFileHeader    = 20
	peSectionHeader = 40
)

var peOrder = binary.LittleEndian

type peDirectory struct{ addr, size uint32 }

// peImage is a PE file as the loader of Windows lays it out in memory. Its
// addresses are relative to the image base (RVA).
type peImage struct {
	*peReader
	header     peHeader
	wide       bool // PE32+
	base       uint64
	headers    uint32 // SizeOfHeaders: these bytes are mapped at 0
	align      uint32 // SectionAlignment
	subsystem  uint16
	version    [2]uint16 // MajorSubsystemVersion, Minor
	linker     [2]byte
	directory  [peDirectories]peDirectory
	sections   []Section
	placements []pePlacement
}

// pePlacement is where bytes of the file stand in memory: at start come file
// bytes from offset on, then zeros up to end.
type pePlacement struct {
	start, end uint64
	offset     int64
	file       uint64
	code       bool
}

// peHeader is the COFF file header, or what stands for it in a /bigobj file.
type peHeader struct {
	machine      uint16
	sections     int
	symbols      int64 // offset of the symbol table, 0 for none
	symbolCount  int64
	symbolSize   int64
	optionalSize int
	flags        uint16
}

func parsePEHeader(b []byte) peHeader {
	return peHeader{
		machine:      peOrder.Uint16(b),
		sections:     int(peOrder.Uint16(b[2:])),
		symbols:      int64(peOrder.Uint32(b[8:])),
		symbolCount:  int64(peOrder.Uint32(b[12:])),
		symbolSize:   18,
		optionalSize: int(peOrder.Uint16(b[16:])),
		flags:        peOrder.Uint16(b[18:]),
	}
}

// openPEImage reads the headers of a file that begins with MZ.
func openPEImage(r *peReader) (*peImage, error) {
	var dos [64]byte
	if err := r.read(dos[:], 0); err != nil {
		return nil, fmt.Errorf("DOS header: %w", err)
	}
	at := int64(peOrder.Uint32(dos[0x3c:]))
	var head [4 + peFileHeader]byte
	if at == 0 || at > r.size-int64(len(head)) {
		return nil, errors.New("a DOS program (MZ), not one of Windows: it has no PE header")
	}
	if err := r.read(head[:], at); err != nil {
		return nil, fmt.Errorf("PE header: %w", err)
	}
	if string(head[:4]) != "PE\x00\x00" {
		switch string(head[:2]) {
		case "NE", "LE", "LX":
			return nil, fmt.Errorf("a program of 16-bit Windows, of OS/2 or a virtual device driver (%s): it has no PE header", head[:2])
		}
		return nil, errors.New("a DOS program (MZ), not one of Windows: it has no PE header")
	}
	p := &peImage{peReader: r, header: parsePEHeader(head[4:])}
	at += int64(len(head))
	if err := p.optionalHeader(at); err != nil {
		return nil, fmt.Errorf("optional header: %w", err)
	}
	var err error
	if p.sections, err = p.sectionTable(at + int64(p.header.optionalSize)); err != nil {
		return nil, err
	}
	return p, nil
}

func (p *peImage) optionalHeader(at int64) error {
	size := p.header.optionalSize
	if size < 96 {
		return fmt.Errorf("it has %d bytes, an image has at least 96", size)
	}
	b := make([]byte, min(size, 112+8*peDirectories))
	if err := p.read(b, at); err != nil {
		return err
	}
	directories := 96
	switch magic := peOrder.Uint16(b); magic {
	case 0x10b:
		p.base = uint64(peOrder.Uint32(b[28:]))
	case 0x20b:
		p.wide = true
		p.base = peOrder.Uint64(b[24:])
		directories = 112
	default:
		return fmt.Errorf("magic number %#x, neither PE32 (0x10b) nor PE32+ (0x20b)", magic)
	}
	if len(b) < directories {
		return fmt.Errorf("it has %d bytes, PE32+ needs at least %d", size, directories)
	}
	p.linker = [2]byte{b[2], b[3]}
	p.align = peOrder.Uint32(b[32:])
	p.version = [2]uint16{peOrder.Uint16(b[48:]), peOrder.Uint16(b[50:])}
	p.headers = peOrder.Uint32(b[60:])
	p.subsystem = peOrder.Uint16(b[68:])
	count := peOrder.Uint32(b[directories-4:])
	count = min(count, peDirectories)
	if need := directories + 8*int(count); len(b) < need {
		return fmt.Errorf("it has %d bytes, its %d data directories need %d", size, count, need)
	}
	for i := range int(count) {
		d := b[directories+8*i:]
		p.directory[i] = peDirectory{peOrder.Uint32(d), peOrder.Uint32(d[4:])}
	}
	return nil
}

// place adds a section to what is mapped. The loader cuts the offset down to
// whole sectors, and maps no bytes beyond the section's virtual size in pages.
func (p *peImage) place(addr, virtual uint32, offset int64, raw uint32, code bool) {
	if virtual == 0 {
		virtual = raw
	}
	if p.align >= pePage {
		offset &^= 511
		virtual = uint32(min((uint64(virtual)+pePage-1)&^(pePage-1), 1<<32-1))
	}
	file := uint64(min(raw, virtual))
	if offset == 0 {
		file = 0
	}
	p.placements = append(p.placements, pePlacement{uint64(addr), uint64(addr) + uint64(virtual), offset, file, code})
}

// placed ends the collection of placements: they are searched by address.
func (p *peImage) placed() {
	sort.SliceStable(p.placements, func(i, j int) bool { return p.placements[i].start < p.placements[j].start })
}

// find gives where an address lies: in the file at offset, or, where zeros,
// nowhere; n bytes from there on are alike.
func (p *peImage) find(addr uint64) (offset int64, n uint64, zeros, ok bool) {
	i := sort.Search(len(p.placements), func(i int) bool { return p.placements[i].start > addr })
	if i > 0 && addr < p.placements[i-1].end {
		s := p.placements[i-1]
		if in := addr - s.start; in < s.file {
			return s.offset + int64(in), s.file - in, false, true
		}
		return 0, s.end - addr, true, true
	}
	if addr < uint64(p.headers) {
		return int64(addr), uint64(p.headers) - addr, false, true
	}
	return 0, 0, false, false
}

// readAddr fills buf from an address of the image.
func (p *peImage) readAddr(buf []byte, addr uint64) error {
	for len(buf) > 0 {
		n, err := p.readPart(buf, addr)
		if err != nil {
			return err
		}
		buf, addr = buf[n:], addr+uint64(n)
	}
	return nil
}

// readPart fills the beginning of buf, at least one byte.
func (p *peImage) readPart(buf []byte, addr uint64) (int, error) {
	offset, n, zeros, ok := p.find(addr)
	if !ok {
		return 0, fmt.Errorf("address %#x lies in no section", addr)
	}
	part := buf[:min(n, uint64(len(buf)))]
	if zeros {
		clear(part)
		return len(part), nil
	}
	// The last sector of a file may be cut: what is there can be read.
	if left := p.size - offset; left > 0 && left < int64(len(part)) {
		part = part[:left]
	}
	return len(part), p.read(part, offset)
}

// name reads the string at an address.
func (p *peImage) name(addr uint64) (string, error) {
	return peCString(peLibraryName, func(at int, buf []byte) (int, error) {
		return p.readPart(buf, addr+uint64(at))
	})
}

// fromVA turns an address of memory into one of the image.
func (p *peImage) fromVA(va uint64) (uint64, error) {
	if va < p.base || va-p.base > 1<<32-1 {
		return 0, fmt.Errorf("address %#x lies outside of the image at %#x", va, p.base)
	}
	return va - p.base, nil
}
