package objfile

import (
	"bytes"
	_ "embed"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Mach-O as Apple's <mach-o/loader.h>, <mach-o/fat.h> and <mach/machine.h>
// define it, and as dyld and LLVM's object library check it.

//go:embed macho_tables.json
var machOJSON []byte

// machOFacts are the facts of Apple's headers. The keys are hexadecimal numbers,
// as 0x7; those of Subtypes are CPU type and subtype, as 0x7/0x3.
type machOFacts struct {
	Source   string
	Machines map[string]string
	Subtypes map[string]struct{ Machine, ISA, Note string }
	Kinds    map[string]Kind
	// Platforms are those of LC_BUILD_VERSION.
	Platforms map[string]string
	// Commands are the names of the load commands that are read.
	Commands map[string]string
}

var machOTables = mustTable[machOFacts](machOJSON)

// mustTable decodes an embedded table.
func mustTable[T any](data []byte) (table T) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&table); err != nil {
		panic("objfile: embedded table: " + err.Error())
	}
	return table
}

// named gives the name of a number, or the number with a prefix.
func named[S ~string](table map[string]S, prefix string, number uint32) S {
	if name, ok := table[fmt.Sprintf("%#x", number)]; ok {
		return name
	}
	return S(fmt.Sprintf("%s-%d", prefix, number))
}

// The magic numbers, as they stand at the file's start. A universal file's
// header is always big-endian.
var (
	machO32Big    = []byte{0xfe, 0xed, 0xfa, 0xce}
	machO64Big    = []byte{0xfe, 0xed, 0xfa, 0xcf}
	machO32Little = []byte{0xce, 0xfa, 0xed, 0xfe}
	machO64Little = []byte{0xcf, 0xfa, 0xed, 0xfe}
	machOFat      = []byte{0xca, 0xfe, 0xba, 0xbe}
	machOFat64    = []byte{0xca, 0xfe, 0xba, 0xbf}
)

const (
	// maxSlices bounds the slices of a universal file. Java's class files share
	// its magic number; what stands where a universal file has the number of its
	// slices is their version, at least 45 (Java 1.0.2). LLVM draws the line at
	// the same number.
	maxSlices = 42
	// maxCommandBytes, maxCommands and maxMachSections bound the load commands
	// of a slice; those of the largest real files take some 100 kB.
	maxCommandBytes = 4 << 20
	maxCommands     = 1 << 14
	maxMachSections = 1 << 14

	// cpuSubtypeMask leaves out the capability bits of a CPU subtype.
	cpuSubtypeMask = 0x00ffffff
)

var archiveMagic = []byte("!<arch>\n")

// isMachO tells by its first 8 bytes whether a file is a Mach-O file.
func isMachO(head []byte) bool {
	if thinOrder(head) != nil {
		return true
	}
	return isFat(head) && (bytes.HasPrefix(head, machOFat64) || binary.BigEndian.Uint32(head[4:]) <= maxSlices)
}

func isFat(head []byte) bool {
	return len(head) >= 8 && (bytes.HasPrefix(head, machOFat) || bytes.HasPrefix(head, machOFat64))
}

// thinOrder is the byte order of a file of one architecture, nil for others.
func thinOrder(head []byte) binary.ByteOrder {
	switch {
	case bytes.HasPrefix(head, machO32Little), bytes.HasPrefix(head, machO64Little):
		return binary.LittleEndian
	case bytes.HasPrefix(head, machO32Big), bytes.HasPrefix(head, machO64Big):
		return binary.BigEndian
	}
	return nil
}

// readMachO reads a Mach-O file of size bytes: one object, or one for each slice
// of a universal file in its order. An archive of objects for several
// architectures (a universal static library) is ErrFormat, as a plain one is.
func readMachO(r io.ReaderAt, size int64) ([]*Object, error) {
	head, err := readPart(r, 0, min(size, 8), size)
	if err == nil {
		if isFat(head) {
			objects, err := readFat(r, size, head)
			return objects, damaged("universal Mach-O", err)
		}
		var o *Object
		if o, err = readThin(r, 0, size); err == nil {
			return []*Object{o}, nil
		}
	}
	return nil, damaged("Mach-O", err)
}

func damaged(what string, err error) error {
	if err == nil || errors.Is(err, ErrFormat) {
		return err
	}
	return fmt.Errorf("damaged %s file: %w", what, err)
}

// readPart reads n bytes at offset of a file of size bytes. n is a number that
// the caller has bounded.
func readPart(r io.ReaderAt, offset, n, size int64) ([]byte, error) {
	if !fits(uint64(offset), uint64(n), size) {
		return nil, fmt.Errorf("%d bytes are needed at offset %d, but the file has %d: it is cut short; fetch it again", n, offset, size)
	}
	b := make([]byte, n)
	if got, err := r.ReadAt(b, offset); got < len(b) {
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, fmt.Errorf("reading %d bytes at offset %d: %w", n, offset, err)
	}
	return b, nil
}

// fits tells whether n bytes at offset lie within size bytes.
func fits(offset, n uint64, size int64) bool {
	return size >= 0 && offset <= uint64(size) && n <= uint64(size)-offset
}

// machOSlice is an entry of a universal file's table.
type machOSlice struct {
	cpu, subtype uint32
	offset, size uint64
}

func readFat(r io.ReaderAt, size int64, head []byte) ([]*Object, error) {
	count := binary.BigEndian.Uint32(head[4:])
	if count == 0 || count > maxSlices {
		return nil, fmt.Errorf("it counts %d slices; 1 to %d are possible", count, maxSlices)
	}
	entry, wide := int64(20), bytes.HasPrefix(head, machOFat64)
	if wide {
		entry = 32
	}
	entries, err := readPart(r, 8, int64(count)*entry, size)
	if err != nil {
		return nil, fmt.Errorf("table of slices: %w", err)
	}
	slices := make([]machOSlice, count)
	be := binary.BigEndian
	for i := range slices {
		b := entries[int64(i)*entry:]
		s := machOSlice{cpu: be.Uint32(b), subtype: be.Uint32(b[4:])}
		if wide {
			s.offset, s.size = be.Uint64(b[8:]), be.Uint64(b[16:])
		} else {
			s.offset, s.size = uint64(be.Uint32(b[8:])), uint64(be.Uint32(b[12:]))
		}
		slices[i] = s
		if !fits(s.offset, s.size, size) {
			return nil, fmt.Errorf("slice %d (%s) takes %d bytes at offset %d, but the file has %d: it is cut short; fetch it again",
				i, machineName(s.cpu, s.subtype), s.size, s.offset, size)
		}
		if s.offset < uint64(8+len(entries)) {
			return nil, fmt.Errorf("slice %d (%s) starts at offset %d, within the table of slices", i, machineName(s.cpu, s.subtype), s.offset)
		}
		for k, other := range slices[:i] {
			if s.offset < other.offset+other.size && other.offset < s.offset+s.size {
				return nil, fmt.Errorf("slices %d and %d overlap", k, i)
			}
		}
	}
	objects := make([]*Object, 0, count)
	for i, s := range slices {
		o, err := readSlice(r, s, size)
		if err != nil {
			return nil, fmt.Errorf("slice %d (%s): %w", i, machineName(s.cpu, s.subtype), err)
		}
		o.MachO.Universal = true
		objects = append(objects, o)
	}
	return objects, nil
}

func readSlice(r io.ReaderAt, s machOSlice, size int64) (*Object, error) {
	offset, length := int64(s.offset), int64(s.size)
	head, err := readPart(r, offset, min(length, 16), size)
	if err != nil {
		return nil, err
	}
	switch {
	case thinOrder(head) != nil:
		if len(head) >= 8 && thinOrder(head).Uint32(head[4:]) != s.cpu {
			return nil, fmt.Errorf("the CPU type of its own header is %d, that of the table of slices %d", thinOrder(head).Uint32(head[4:]), s.cpu)
		}
		return readThin(r, offset, length)
	case isMetallib(head):
		return readMetallibAt(r, offset, length)
	case bytes.HasPrefix(head, archiveMagic):
		return nil, fmt.Errorf("it is a static library: %w", ErrFormat)
	}
	return nil, fmt.Errorf("it starts with % x, which is no Mach-O file", head)
}

func machineName(cpu, subtype uint32) string {
	if special := machOTables.Subtypes[subtypeKey(cpu, subtype)]; special.Machine != "" {
		return special.Machine
	}
	return named(machOTables.Machines, "macho", cpu)
}

func subtypeKey(cpu, subtype uint32) string {
	return fmt.Sprintf("%#x/%#x", cpu, subtype&cpuSubtypeMask)
}
