package objfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// isPE says that a file begins as a PE image does, with MZ, or as a COFF object
// file. Objects have no magic number: the first header and section must be such
// as compilers write, which no other file's are by chance. head is the first 64
// bytes, or all.
func isPE(head []byte) bool {
	return bytes.HasPrefix(head, []byte("MZ")) || isCOFF(head) || isBigCOFF(head)
}

// readPE reads a PE image or a COFF object file (Microsoft, "PE Format"). The
// file is read as the loader of Windows reads it, which is more tolerant than
// the specification; what it would refuse is an error.
func readPE(r io.ReaderAt, size int64) (*Object, error) {
	reader := newPEReader(r, size)
	head := make([]byte, min(64, max(size, 0)))
	if err := reader.read(head, 0); err != nil {
		return nil, err
	}
	var o *Object
	var err error
	switch {
	case bytes.HasPrefix(head, []byte("MZ")):
		o, err = readPEImage(reader)
	case isBigCOFF(head):
		o, err = readCOFF(reader, parseBigHeader(head), coffBigHeader)
	case isCOFF(head):
		o, err = readCOFF(reader, parsePEHeader(head), peFileHeader)
	default:
		return nil, ErrFormat
	}
	if err != nil {
		return nil, fmt.Errorf("PE: %w", err)
	}
	return o, nil
}

func readPEImage(r *peReader) (*Object, error) {
	p, err := openPEImage(r)
	if err != nil {
		return nil, err
	}
	o := &Object{Format: PE, Kind: Executable, Bits: 32, Sections: p.sections, Size: r.size}
	if p.wide {
		o.Bits = 64
	}
	switch {
	case isPEStripped(p.sections):
		o.Kind = Debug
	case p.header.flags&peFileDLL != 0:
		o.Kind = Library
	}
	o.Machine, _ = peTable.machine(p.header.machine)
	if o.Machine == "x86_64" && p.hasCHPE() {
		o.Machine = "arm64ec"
	}
	o.PE = &PEInfo{Linker: fmt.Sprintf("%d.%d", p.linker[0], p.linker[1])}
	var windows bool
	if o.PE.Subsystem, windows = peTable.subsystem(p.subsystem); windows {
		o.Floors.Windows = fmt.Sprintf("%d.%d", p.version[0], p.version[1])
	}
	o.PE.PDB, o.BuildID = p.codeView()
	if o.Soname, err = p.exportName(); err != nil {
		return nil, fmt.Errorf("export directory: %w", err)
	}
	walk := peImportWalk{peImage: p}
	if o.Needs, err = walk.imports(); err != nil {
		return nil, fmt.Errorf("import directory: %w", err)
	}
	if o.DelayNeeds, err = walk.delayed(); err != nil {
		return nil, fmt.Errorf("delay import directory: %w", err)
	}
	for _, needs := range [][]Need{o.Needs, o.DelayNeeds} {
		for i := range needs {
			needs[i].APISet = matchDLL(peTable.APISets, needs[i].Name)
			o.PE.Debug = o.PE.Debug || matchDLL(peTable.DebugRuntimes, needs[i].Name)
		}
	}
	// A .NET program without imports is started by the runtime all the same.
	o.Static = o.Kind == Executable && len(o.Needs) == 0 && len(o.DelayNeeds) == 0 && p.directory[peCLR].addr == 0
	if o.Signature, err = p.signature(); err != nil {
		return nil, fmt.Errorf("signature: %w", err)
	}
	return o, nil
}

// coffBigHeader is the size of ANON_OBJECT_HEADER_BIGOBJ (winnt.h).
const coffBigHeader = 56

// coffBigClass is the class of /bigobj files, D1BAA1C7-BAEE-4BA9-AF20-FAF66AA4DCB8.
var coffBigClass = []byte("\xc7\xa1\xba\xd1\xee\xba\xa9\x4b\xaf\x20\xfa\xf6\x6a\xa4\xdc\xb8")

func isBigCOFF(head []byte) bool {
	return len(head) >= coffBigHeader && bytes.HasPrefix(head, []byte{0, 0, 0xff, 0xff}) && peOrder.Uint16(head[4:]) >= 2 && bytes.Equal(head[12:28], coffBigClass)
}

func parseBigHeader(b []byte) peHeader {
	return peHeader{
		machine:     peOrder.Uint16(b[6:]),
		sections:    int(min(peOrder.Uint32(b[44:]), 1<<31-1)),
		symbols:     int64(peOrder.Uint32(b[48:])),
		symbolCount: int64(peOrder.Uint32(b[52:])),
		symbolSize:  20,
	}
}

// isCOFF recognises an object file by its header, and the beginning of its
// first section's.
func isCOFF(head []byte) bool {
	if len(head) < peFileHeader+peSectionHeader {
		return false
	}
	h := parsePEHeader(head)
	// Only flags that say what was stripped, and 32-bit machine, are set.
	const flags = 0x0001 | 0x0004 | 0x0008 | 0x0100
	if !peTable.machines[h.machine].Object || h.sections == 0 || h.optionalSize != 0 || h.flags&^flags != 0 {
		return false
	}
	end := int64(peFileHeader + h.sections*peSectionHeader)
	if h.symbols == 0 && h.symbolCount != 0 || h.symbols != 0 && h.symbols < end {
		return false
	}
	s := head[peFileHeader:]
	offset := int64(peOrder.Uint32(s[20:]))
	return isCOFFName(s[:8]) && peOrder.Uint32(s[12:]) == 0 && (offset == 0 || offset >= end)
}

// isCOFFName says that a field holds printable characters, then NULs.
func isCOFFName(field []byte) bool {
	name := bytes.TrimRight(field, "\x00")
	for _, c := range name {
		if c <= ' ' || c > '~' {
			return false
		}
	}
	return len(name) > 0
}

func readCOFF(r *peReader, h peHeader, at int64) (*Object, error) {
	sections, err := readPESections(r, h, at, nil)
	if err != nil {
		return nil, err
	}
	if h.symbols != 0 && h.symbols+h.symbolCount*h.symbolSize > r.size {
		return nil, errors.New("the symbol table lies past the end of the file: it is cut off or damaged")
	}
	o := &Object{Format: PE, Kind: Relocated, Sections: sections, Size: r.size, PE: &PEInfo{}}
	o.Machine, o.Bits = peTable.machine(h.machine)
	return o, nil
}
