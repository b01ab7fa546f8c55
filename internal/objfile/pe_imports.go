package objfile

import (
	"bytes"
	"fmt"
)

const (
	// peLibraryLimit and peSymbolLimit bound what a file imports. Real files
	// have hundreds and thousands.
	peLibraryLimit = 1 << 14
	peSymbolLimit  = 1 << 20
	// peLibraryName bounds a name of a DLL; file names of Windows have up to 255
	// characters.
	peLibraryName = 1 << 10

	peImportSize = 20
	peDelaySize  = 32
	peDebugSize  = 28
)

// peImportWalk counts what was read, over both directories.
type peImportWalk struct {
	*peImage
	symbols int
}

// imports reads the import directory as the loader does: the list ends with an
// entry without name or addresses, whatever size the directory claims.
func (w *peImportWalk) imports() ([]Need, error) {
	at := uint64(w.directory[peImports].addr)
	if at == 0 {
		return nil, nil
	}
	var needs []Need
	for i := 0; ; i++ {
		if i == peLibraryLimit {
			return nil, fmt.Errorf("more than %d libraries", peLibraryLimit)
		}
		var b [peImportSize]byte
		if err := w.readAddr(b[:], at+uint64(i)*peImportSize); err != nil {
			return nil, fmt.Errorf("entry %d: %w", i+1, err)
		}
		lookup, name, addresses := peOrder.Uint32(b[:]), peOrder.Uint32(b[12:]), peOrder.Uint32(b[16:])
		if name == 0 || addresses == 0 {
			return needs, nil
		}
		// Old linkers leave the lookup table out.
		if lookup == 0 {
			lookup = addresses
		}
		need, err := w.need(uint64(name), uint64(lookup))
		if err != nil {
			return nil, fmt.Errorf("entry %d: %w", i+1, err)
		}
		needs = append(needs, need)
	}
}

// delayed reads the delay import directory. Its fields are relative to the
// image base where bit 0 of the attributes is set; else they are addresses in
// memory, as Visual C++ 6 wrote them for 32-bit programs.
func (w *peImportWalk) delayed() ([]Need, error) {
	at := uint64(w.directory[peDelay].addr)
	if at == 0 {
		return nil, nil
	}
	var needs []Need
	for i := 0; ; i++ {
		if i == peLibraryLimit {
			return nil, fmt.Errorf("more than %d libraries", peLibraryLimit)
		}
		var b [peDelaySize]byte
		if err := w.readAddr(b[:], at+uint64(i)*peDelaySize); err != nil {
			return nil, fmt.Errorf("entry %d: %w", i+1, err)
		}
		relative := peOrder.Uint32(b[:])&1 != 0
		name, lookup := uint64(peOrder.Uint32(b[4:])), uint64(peOrder.Uint32(b[16:]))
		if name == 0 {
			return needs, nil
		}
		if !relative {
			var err error
			if name, err = w.fromVA(name); err != nil {
				return nil, fmt.Errorf("entry %d: name: %w", i+1, err)
			}
			if lookup, err = w.fromVA(lookup); err != nil {
				return nil, fmt.Errorf("entry %d: import names: %w", i+1, err)
			}
		}
		need, err := w.need(name, lookup)
		if err != nil {
			return nil, fmt.Errorf("entry %d: %w", i+1, err)
		}
		needs = append(needs, need)
	}
}

// need reads a library's name, and counts its symbols in the table at lookup.
func (w *peImportWalk) need(nameAt, lookup uint64) (Need, error) {
	name, err := w.name(nameAt)
	if err != nil {
		return Need{}, fmt.Errorf("name: %w", err)
	}
	if name == "" {
		return Need{}, fmt.Errorf("the name at %#x is empty", nameAt)
	}
	need := Need{Name: name}
	width := 4
	if w.wide {
		width = 8
	}
	zero, buf := make([]byte, width), make([]byte, width)
	for ; ; lookup += uint64(width) {
		if err := w.readAddr(buf, lookup); err != nil {
			return Need{}, fmt.Errorf("symbols of %s: %w", name, err)
		}
		if bytes.Equal(buf, zero) {
			return need, nil
		}
		if w.symbols++; w.symbols > peSymbolLimit {
			return Need{}, fmt.Errorf("symbols of %s: more than %d in the file", name, peSymbolLimit)
		}
		if buf[width-1]&0x80 != 0 {
			need.Ordinals++
		} else {
			need.Symbols++
		}
	}
}

// exportName is the name in the export directory, under which the linker knew
// the file.
func (p *peImage) exportName() (string, error) {
	at := uint64(p.directory[peExports].addr)
	if at == 0 {
		return "", nil
	}
	var b [40]byte
	if err := p.readAddr(b[:], at); err != nil {
		return "", err
	}
	name := peOrder.Uint32(b[12:])
	if name == 0 {
		return "", nil
	}
	return p.name(uint64(name))
}

// codeView reads the path of the symbol file and the key of the link from the
// debug directory's CodeView entry (PE Format, "Debug Type"): RSDS with GUID
// and age. The loader never looks at it and tools leave it dangling, so that
// what cannot be read is not there.
func (p *peImage) codeView() (pdb, id string) {
	d := p.directory[peDebug]
	if d.addr == 0 {
		return "", ""
	}
	const limit = 64 // entries; linkers write up to ten
	for i := range min(d.size/peDebugSize, limit) {
		var b [peDebugSize]byte
		if p.readAddr(b[:], uint64(d.addr)+uint64(i)*peDebugSize) != nil {
			return "", ""
		}
		const codeView = 2
		if peOrder.Uint32(b[12:]) != codeView {
			continue
		}
		size, addr, offset := peOrder.Uint32(b[16:]), uint64(peOrder.Uint32(b[20:])), int64(peOrder.Uint32(b[24:]))
		read := func(buf []byte, at int) error { return p.readAddr(buf, addr+uint64(at)) }
		if addr == 0 {
			read = func(buf []byte, at int) error { return p.read(buf, offset+int64(at)) }
		}
		var head [24]byte
		if size < uint32(len(head)) || read(head[:], 0) != nil || string(head[:4]) != "RSDS" {
			continue
		}
		path := make([]byte, min(size-uint32(len(head)), peNameLimit))
		if read(path, len(head)) != nil {
			continue
		}
		path, _, _ = bytes.Cut(path, []byte{0})
		return string(path), pdbKey(head[4:20], peOrder.Uint32(head[20:]))
	}
	return "", ""
}

// pdbKey is the directory of a PDB on a symbol server: the GUID, whose first
// three fields are little-endian, then the age.
func pdbKey(guid []byte, age uint32) string {
	return fmt.Sprintf("%08X%04X%04X%X%X", peOrder.Uint32(guid), peOrder.Uint16(guid[4:]), peOrder.Uint16(guid[6:]), guid[8:16], age)
}

// hasCHPE says that the load configuration points to metadata of compiled
// hybrid code: ARM64EC code in a file for x86-64 (IMAGE_LOAD_CONFIG_DIRECTORY64
// in winnt.h, CHPEMetadataPointer).
func (p *peImage) hasCHPE() bool {
	at := uint64(p.directory[peLoadConfig].addr)
	if at == 0 || !p.wide {
		return false
	}
	const pointer = 200
	var b [pointer + 8]byte
	if p.readAddr(b[:4], at) != nil || peOrder.Uint32(b[:]) < uint32(len(b)) || p.readAddr(b[:], at) != nil {
		return false
	}
	return peOrder.Uint64(b[pointer:]) != 0
}
