package isa_test

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/relmat/relmat/internal/isa"
)

// The types of properties, from <elf.h> of glibc and binutils.
const (
	stackSize   = 1
	needed      = 0xc0008002
	used        = 0xc0010002
	features    = 0xc0000002
	oldNeeded   = 0xc0008000
	arm64Branch = 0xc0000000
)

// property is one program property, padded for 64-bit (8) or 32-bit (4) files.
func property(order binary.ByteOrder, align int, kind uint32, data ...byte) []byte {
	b := make([]byte, 8, 24)
	order.PutUint32(b, kind)
	order.PutUint32(b[4:], uint32(len(data)))
	b = append(b, data...)
	for len(b)%align != 0 {
		b = append(b, 0)
	}
	return b
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func TestNeededX86(t *testing.T) {
	le, be := binary.ByteOrder(binary.LittleEndian), binary.ByteOrder(binary.BigEndian)
	const note = ".note.gnu.property"
	for name, c := range map[string]struct {
		desc            []byte
		order           binary.ByteOrder
		bits            int
		level, evidence string
	}{
		"nothing":              {nil, le, 64, "", ""},
		"baseline":             {property(le, 8, needed, 1, 0, 0, 0), le, 64, "x86-64", note},
		"v2":                   {property(le, 8, needed, 3, 0, 0, 0), le, 64, "x86-64-v2", note},
		"v3":                   {property(le, 8, needed, 7, 0, 0, 0), le, 64, "x86-64-v3", note},
		"v4 alone":             {property(le, 8, needed, 8, 0, 0, 0), le, 64, "x86-64-v4", note},
		"no bit":               {property(le, 8, needed, 0, 0, 0, 0), le, 64, "", ""},
		"32-bit":               {join(property(le, 4, features, 3, 0, 0, 0), property(le, 4, needed, 3, 0, 0, 0)), le, 32, "x86-64-v2", note},
		"big-endian":           {property(be, 8, needed, 0, 0, 0, 7), be, 64, "x86-64-v3", note},
		"used is not needed":   {property(le, 8, used, 15, 0, 0, 0), le, 64, "", ""},
		"an older numbering":   {property(le, 8, oldNeeded, 15, 0, 0, 0), le, 64, "", ""},
		"after others":         {join(property(le, 8, stackSize, 0, 0, 16, 0, 0, 0, 0, 0), property(le, 8, needed, 1, 0, 0, 0), property(le, 8, used, 7, 0, 0, 0)), le, 64, "x86-64", note},
		"two of them":          {join(property(le, 8, needed, 4, 0, 0, 0), property(le, 8, needed, 1, 0, 0, 0)), le, 64, "x86-64-v3", note},
		"an unknown level":     {property(le, 8, needed, 0x10, 0, 0, 0), le, 64, "", note + " asks for 0x10 of the x86 levels, which is not known"},
		"a known and unknown":  {property(le, 8, needed, 7, 0, 0, 0x80), le, 64, "", note + " asks for 0x80000000 of the x86 levels, which is not known"},
		"not padded":           {property(le, 4, needed, 1, 0, 0, 0), le, 64, "x86-64", note},
		"features of aarch64":  {property(le, 8, arm64Branch, 3, 0, 0, 0), le, 64, "", ""},
		"a property of size 0": {property(le, 8, 2), le, 64, "", ""},
	} {
		set, err := isa.NeededX86(c.desc, c.order, c.bits)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if level, evidence := set.Level(); level != c.level || evidence != c.evidence {
			t.Errorf("%s: got %q by %q, want %q by %q", name, level, evidence, c.level, c.evidence)
		}
	}
}

func TestNeededX86Damaged(t *testing.T) {
	le := binary.ByteOrder(binary.LittleEndian)
	huge := property(le, 8, features, 1, 0, 0, 0)
	copy(huge[4:], "\xff\xff\xff\xff")
	for name, c := range map[string]struct {
		desc []byte
		want string
	}{
		"half a header":    {make([]byte, 7), "7 bytes after the last property"},
		"cut off":          {property(le, 8, needed, 1, 0, 0, 0)[:10], "has 4 bytes, and 2 are left"},
		"huge":             {huge, "has 4294967295 bytes"},
		"two bytes":        {property(le, 8, needed, 1, 0), "has 2 bytes and not 4"},
		"rest after other": {append(property(le, 8, used, 1, 0, 0, 0), 1), "1 bytes after"},
	} {
		if set, err := isa.NeededX86(c.desc, le, 64); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %#x, %v; want an error with %q", name, set, err, c.want)
		}
	}
}

func FuzzNeededX86(f *testing.F) {
	f.Add(property(binary.LittleEndian, 8, needed, 7, 0, 0, 0), false, true)
	f.Add(property(binary.BigEndian, 4, features, 0, 0, 0, 3), true, false)
	f.Fuzz(func(t *testing.T, desc []byte, big, wide bool) {
		order, bits := binary.ByteOrder(binary.LittleEndian), 32
		if big {
			order = binary.BigEndian
		}
		if wide {
			bits = 64
		}
		set, err := isa.NeededX86(desc, order, bits)
		if err != nil && set != 0 {
			t.Fatalf("got %#x and %v", set, err)
		}
		if level, evidence := set.Level(); level != "" && evidence == "" || set == 0 && evidence != "" {
			t.Fatalf("%#x is level %q by %q", set, level, evidence)
		}
	})
}
