// Package isa tells which level of a CPU's instruction set a file asks for, by
// what the linker noted in it. Code is not disassembled: a function that only
// newer CPUs are sent to looks like any other.
package isa

import (
	_ "embed"
	"encoding/binary"
	"encoding/json"
	"fmt"
)

//go:embed levels.json
var levelsJSON []byte

var levels = mustLevels(levelsJSON)

type levelTable struct {
	// Needed is the type of the property GNU_PROPERTY_X86_ISA_1_NEEDED.
	Needed uint32 `json:"needed"`
	// Levels are the property's bits, from the lowest level to the highest.
	Levels []struct {
		Bit  uint   `json:"bit"`
		Name string `json:"name"`
	} `json:"levels"`
}

func mustLevels(data []byte) levelTable {
	var t levelTable
	if err := json.Unmarshal(data, &t); err != nil {
		panic("isa: levels.json: " + err.Error())
	}
	return t
}

// note is where the property stands.
const note = ".note.gnu.property"

// X86 is the set of levels that an x86 file needs: the bits of
// GNU_PROPERTY_X86_ISA_1_NEEDED (x86-64 psABI, "Program Property"), joined if a
// file has more of them.
type X86 uint32

// NeededX86 reads the description of a note of type NT_GNU_PROPERTY_TYPE_0 in
// an x86 file of 32 or 64 bits (Linux Extensions to gABI, "Program Property").
// It is 0 where the note does not tell the level: notes of features, such as
// IBT, and of what is used without being needed are passed over.
func NeededX86(desc []byte, order binary.ByteOrder, bits int) (X86, error) {
	// Each property is padded to the size of an address.
	align := bits / 8
	var needed X86
	for at := 0; at < len(desc); {
		rest := desc[at:]
		if len(rest) < 8 {
			return 0, fmt.Errorf("%s: %d bytes after the last property", note, len(rest))
		}
		kind, size := order.Uint32(rest), uint64(order.Uint32(rest[4:]))
		rest = rest[8:]
		if size > uint64(len(rest)) {
			return 0, fmt.Errorf("%s: property %#x has %d bytes, and %d are left of the note", note, kind, size, len(rest))
		}
		if kind == levels.Needed {
			if size != 4 {
				return 0, fmt.Errorf("%s: property %#x, the x86 level that is needed, has %d bytes and not 4", note, kind, size)
			}
			needed |= X86(order.Uint32(rest))
		}
		at += 8 + (int(size)+align-1)/align*align
	}
	return needed, nil
}

// Level is the lowest level that satisfies the set, and the evidence for it.
// Both are empty where no level is needed. A bit that the table does not know
// leaves the level empty, since it may stand for more than the highest level;
// the evidence says so.
func (x X86) Level() (level, evidence string) {
	unknown := x
	for _, l := range levels.Levels {
		if bit := X86(1) << l.Bit; x&bit != 0 {
			level, unknown = l.Name, unknown&^bit
		}
	}
	switch {
	case x == 0:
		return "", ""
	case unknown != 0:
		return "", fmt.Sprintf("%s asks for %#x of the x86 levels, which is not known", note, uint32(unknown))
	}
	return level, note
}
