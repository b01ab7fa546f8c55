package objfile

import (
	"fmt"
	"io"
	"sort"
)

const (
	// peExportLimit bounds both tables of exports; an ordinal has 16 bits.
	peExportLimit = 1 << 16
	// peExportNames bounds a name of an export, decorated names of C++ included,
	// and a forwarder; peExportBytes all of them.
	peExportNames = 16 << 10
	peExportBytes = 32 << 20

	peExportSize = 40
)

// Exports is what a DLL offers to other programs (PE Format, "The .edata
// Section").
type Exports struct {
	// Machine is as Object's.
	Machine string
	// Library is the name in the directory, under which the linker knew the DLL.
	Library string
	// Symbols are in the order of their names, which is that of the file; those
	// without a name come last, by ordinal.
	Symbols []Export
}

// Export is one entry of an export table.
type Export struct {
	// Name is empty where only the number is exported.
	Name string
	// Ordinal is the number, biased by the table's base.
	Ordinal uint16
	// Hint is the index in the table of names, at which the loader looks first.
	Hint uint16
	// Forwarder names the export of another DLL that stands for this one, as
	// NTDLL.RtlAllocateHeap or OTHER.#12.
	Forwarder string
	// Data says that it lies in a section without code. A forwarder does not say
	// what it leads to, and counts as code.
	Data bool
}

// OpenExports reads the export table of the PE image at path; see ReadExports.
func OpenExports(path string) (*Exports, error) {
	f, size, err := openSized(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	x, err := ReadExports(f, size)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return x, nil
}

// ReadExports reads the export table of a PE image of size bytes; one without
// exports has no symbols. The error is ErrFormat for other files.
func ReadExports(r io.ReaderAt, size int64) (*Exports, error) {
	reader := newPEReader(r, size)
	var magic [2]byte
	if size < int64(len(magic)) {
		return nil, ErrFormat
	}
	if err := reader.read(magic[:], 0); err != nil {
		return nil, err
	}
	if string(magic[:]) != "MZ" {
		return nil, ErrFormat
	}
	p, err := openPEImage(reader)
	if err != nil {
		return nil, fmt.Errorf("PE: %w", err)
	}
	x := &Exports{}
	x.Machine, _ = peTable.machine(p.header.machine)
	if x.Machine == "x86_64" && p.hasCHPE() {
		x.Machine = "arm64ec"
	}
	if err := p.exports(x); err != nil {
		return nil, fmt.Errorf("PE: export directory: %w", err)
	}
	return x, nil
}

func (p *peImage) exports(x *Exports) error {
	at := uint64(p.directory[peExports].addr)
	if at == 0 {
		return nil
	}
	var b [peExportSize]byte
	if err := p.readAddr(b[:], at); err != nil {
		return err
	}
	field := func(offset int) uint32 { return peOrder.Uint32(b[offset:]) }
	if name := field(12); name != 0 {
		var err error
		if x.Library, err = p.name(uint64(name)); err != nil {
			return fmt.Errorf("name: %w", err)
		}
	}
	base, functions, names := field(16), field(20), field(24)
	if functions > peExportLimit || names > peExportLimit {
		return fmt.Errorf("%d addresses and %d names: more than %d are not read", functions, names, peExportLimit)
	}
	if functions > 0 && uint64(base)+uint64(functions)-1 > 1<<16-1 {
		return fmt.Errorf("ordinals from %d to %d: they have 16 bits", base, uint64(base)+uint64(functions)-1)
	}
	w := peExportWalk{peImage: p, base: uint16(base)}
	var err error
	if w.addresses, err = w.table(field(28), functions, 4); err != nil {
		return fmt.Errorf("addresses: %w", err)
	}
	pointers, err := w.table(field(32), names, 4)
	if err != nil {
		return fmt.Errorf("name pointers: %w", err)
	}
	indices, err := w.table(field(36), names, 2)
	if err != nil {
		return fmt.Errorf("ordinals: %w", err)
	}
	named := make([]bool, functions)
	for i := range int(names) {
		index := peOrder.Uint16(indices[2*i:])
		if uint32(index) >= functions {
			return fmt.Errorf("name %d: address %d of %d", i+1, int(index)+1, functions)
		}
		name, err := w.text(uint64(peOrder.Uint32(pointers[4*i:])))
		if err != nil {
			return fmt.Errorf("name %d: %w", i+1, err)
		}
		if name == "" {
			return fmt.Errorf("name %d is empty", i+1)
		}
		named[index] = true
		e, ok, err := w.export(index)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if !ok {
			continue
		}
		e.Name, e.Hint = name, uint16(i)
		x.Symbols = append(x.Symbols, e)
	}
	for i := range named {
		if named[i] {
			continue
		}
		e, ok, err := w.export(uint16(i))
		if err != nil {
			return fmt.Errorf("ordinal %d: %w", e.Ordinal, err)
		}
		if ok {
			x.Symbols = append(x.Symbols, e)
		}
	}
	return nil
}

type peExportWalk struct {
	*peImage
	base      uint16
	addresses []byte
	read      int // bytes of names
}

// table reads count entries of width bytes.
func (w *peExportWalk) table(at, count uint32, width int) ([]byte, error) {
	b := make([]byte, int(count)*width)
	return b, w.readAddr(b, uint64(at))
}

func (w *peExportWalk) text(at uint64) (string, error) {
	s, err := peCString(peExportNames, func(i int, buf []byte) (int, error) { return w.readPart(buf, at+uint64(i)) })
	if w.read += len(s); w.read > peExportBytes && err == nil {
		err = fmt.Errorf("the names have more than %d bytes together", peExportBytes)
	}
	return s, err
}

// export reads the entry at an index; one without address is not there. An
// address inside of the directory is that of a forwarder's name.
func (w *peExportWalk) export(index uint16) (e Export, ok bool, err error) {
	e.Ordinal = w.base + index
	addr := peOrder.Uint32(w.addresses[4*int(index):])
	if addr == 0 {
		return e, false, nil
	}
	if d := w.directory[peExports]; addr >= d.addr && addr-d.addr < d.size {
		e.Forwarder, err = w.text(uint64(addr))
		return e, true, err
	}
	e.Data = !w.isCode(uint64(addr))
	return e, true, nil
}

// isCode says that the section at an address holds code.
func (p *peImage) isCode(addr uint64) bool {
	i := sort.Search(len(p.placements), func(i int) bool { return p.placements[i].start > addr })
	return i > 0 && addr < p.placements[i-1].end && p.placements[i-1].code
}
