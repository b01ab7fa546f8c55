package objfile

import (
	"bytes"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

//go:embed metallib_tables.json
var metallibJSON []byte

// metallibFacts are the facts of a metallib's header; see the source there.
type metallibFacts struct {
	Source string
	// Systems are the names of the target's operating systems; the keys are
	// hexadecimal numbers, as 0x81.
	Systems map[string]string
	// Sections are the names of the parts in the order of the header. They are
	// ours: the format has none.
	Sections []string
}

var metallibTables = mustTable[metallibFacts](metallibJSON)

var metallibMagic = []byte("MTLB")

const (
	metallibHeader = 88
	// metallibMac is the target platform that stands for macOS in files that do
	// not name their operating system.
	metallibMac = 0x8001
)

// isMetallib tells by its first 4 bytes whether a file is a library of Metal
// shaders.
func isMetallib(head []byte) bool { return bytes.HasPrefix(head, metallibMagic) }

// readMetallib reads the header of a library of Metal shaders of size bytes.
// Apple does not document the format; metallib_tables.json tells from where it
// is known. What the header does not tell for certain is left empty.
func readMetallib(r io.ReaderAt, size int64) (*Object, error) {
	o, err := readMetallibAt(r, 0, size)
	return o, damaged("metallib", err)
}

// readMetallibAt reads the one that takes size bytes at base.
func readMetallibAt(r io.ReaderAt, base, size int64) (*Object, error) {
	if size < metallibHeader {
		return nil, fmt.Errorf("it has %d bytes, less than a metallib's header", size)
	}
	h, err := readPart(r, base, metallibHeader, base+size)
	if err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	if said := le.Uint64(h[16:]); said != uint64(size) {
		// Metal refuses such a file too.
		return nil, fmt.Errorf("its header says %d bytes, but there are %d: it is cut short or something is appended; fetch it again", said, size)
	}
	o := &Object{
		Format: Metallib,
		Kind:   Shaders,
		MachO:  &MachOInfo{Version: fmt.Sprintf("%d.%d", le.Uint16(h[6:]), le.Uint16(h[8:]))},
		Offset: base,
		Size:   size,
	}
	platform, system := le.Uint16(h[4:]), h[11]
	major, minor := le.Uint16(h[12:]), le.Uint16(h[14:])
	switch name := metallibTables.Systems[fmt.Sprintf("%#x", system)]; {
	case name != "":
		o.MachO.Platform = name
		if name == "macos" && major != 0 {
			o.Floors.MacOS = fmt.Sprintf("%d.%d", major, minor)
		}
	case system == 0 && platform == metallibMac:
		o.MachO.Platform = "macos"
	}
	for i, name := range metallibTables.Sections {
		offset, length := le.Uint64(h[24+16*i:]), le.Uint64(h[32+16*i:])
		if !fits(offset, length, size) {
			return nil, fmt.Errorf("%s take %d bytes at offset %d, but the file has %d", name, length, offset, size)
		}
		if length != 0 && offset < metallibHeader {
			return nil, errors.New(name + " lie within the header")
		}
		o.Sections = append(o.Sections, Section{Name: name, Offset: base + int64(offset), Size: int64(length)})
	}
	return o, nil
}
