package implib

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
)

const (
	archiveMagic = "!<arch>\n"
	memberHeader = 60
	// memberName is how long a name may be in a member's header, with the slash
	// that ends it.
	memberName = 16
)

// archive collects members that all have one name, as those of import
// libraries do.
type archive struct {
	name    string
	members [][]byte
	symbols []indexed
}

// indexed is a symbol that the member at an index defines.
type indexed struct {
	name   string
	member int
}

func (a *archive) add(data []byte, symbols ...string) {
	for _, s := range symbols {
		a.symbols = append(a.symbols, indexed{s, len(a.members)})
	}
	a.members = append(a.members, data)
}

// write writes both linker members, which hold the symbols in the order of the
// members and of the names, the long name, if it is one, and the members.
func (a *archive) write(w io.Writer) error {
	// The second linker member counts members from 1, in 16 bits.
	if len(a.members) > math.MaxUint16 {
		return fmt.Errorf("%s: %d members: an archive has at most %d", a.name, len(a.members), math.MaxUint16)
	}
	name := a.name + "/"
	var long []byte
	if len(name) > memberName {
		name, long = "/0", append([]byte(a.name), 0)
	}
	names := 0
	for _, s := range a.symbols {
		names += len(s.name) + 1
	}
	n := len(a.symbols)
	at := len(archiveMagic) + space(4+4*n+names) + space(4+4*len(a.members)+4+2*n+names)
	if long != nil {
		at += space(len(long))
	}
	offsets := make([]uint32, len(a.members))
	for i, m := range a.members {
		if uint64(at) > math.MaxUint32 {
			return fmt.Errorf("%s: the archive is larger than 4 GiB", a.name)
		}
		offsets[i] = uint32(at)
		at += space(len(m))
	}
	out := append([]byte(archiveMagic), member("/", 0, a.first(offsets))...)
	out = append(out, member("/", 0, a.second(offsets))...)
	if long != nil {
		out = append(out, member("//", 0, long)...)
	}
	for _, m := range a.members {
		out = append(out, member(name, 644, m)...)
	}
	_, err := w.Write(out)
	return err
}

func (a *archive) first(offsets []uint32) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(a.symbols)))
	for _, s := range a.symbols {
		b = binary.BigEndian.AppendUint32(b, offsets[s.member])
	}
	for _, s := range a.symbols {
		b = append(append(b, s.name...), 0)
	}
	return b
}

func (a *archive) second(offsets []uint32) []byte {
	order := binary.LittleEndian
	sorted := slices.Clone(a.symbols)
	slices.SortStableFunc(sorted, func(a, b indexed) int { return cmp.Compare(a.name, b.name) })
	b := order.AppendUint32(nil, uint32(len(offsets)))
	for _, o := range offsets {
		b = order.AppendUint32(b, o)
	}
	b = order.AppendUint32(b, uint32(len(sorted)))
	for _, s := range sorted {
		b = order.AppendUint16(b, uint16(s.member+1))
	}
	for _, s := range sorted {
		b = append(append(b, s.name...), 0)
	}
	return b
}

// space is what a member of size bytes takes; the next one begins at an even
// offset.
func space(size int) int { return memberHeader + size + size%2 }

// member is a header with its data: no time, no owner. mode is written as it is,
// in decimal digits that mean octal ones.
func member(name string, mode int, data []byte) []byte {
	b := append([]byte(name), strings.Repeat(" ", memberName-len(name))...) // bytes, not characters
	b = fmt.Appendf(b, "%-12d%-6d%-6d%-8d%-10d`\n", 0, 0, 0, mode, len(data))
	b = append(b, data...)
	if len(data)%2 != 0 {
		b = append(b, '\n')
	}
	return b
}
