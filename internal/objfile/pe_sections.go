package objfile

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

const (
	// peSectionLimit is far above the 65,535 of all but /bigobj files, which
	// have one for each function.
	peSectionLimit = 1 << 18
	// peNameLimit holds for the name of a section, peNamesLimit for all of them.
	peNameLimit  = 4 << 10
	peNamesLimit = 16 << 20
)

// sectionTable reads the section headers of an image, and places them.
func (p *peImage) sectionTable(at int64) ([]Section, error) {
	sections, err := readPESections(p.peReader, p.header, at, func(b []byte) {
		code := peOrder.Uint32(b[36:])&(peSectionCode|peSectionExecute) != 0
		p.place(peOrder.Uint32(b[12:]), peOrder.Uint32(b[8:]), int64(peOrder.Uint32(b[20:])), peOrder.Uint32(b[16:]), code)
	})
	p.placed()
	return sections, err
}

// readPESections reads the section table at an offset; each sees every header.
func readPESections(r *peReader, h peHeader, at int64, each func([]byte)) ([]Section, error) {
	if h.sections > peSectionLimit {
		return nil, fmt.Errorf("%d sections: more than %d are not read", h.sections, peSectionLimit)
	}
	if need := int64(h.sections) * peSectionHeader; at > r.size || need > r.size-at {
		return nil, fmt.Errorf("section table: %d sections at %#x do not fit into the file of %d bytes: it is cut off or damaged", h.sections, at, r.size)
	}
	names := peNames{r: r, header: h}
	sections := make([]Section, h.sections)
	for i := range sections {
		var b [peSectionHeader]byte
		if err := r.read(b[:], at+int64(i)*peSectionHeader); err != nil {
			return nil, fmt.Errorf("section %d: %w", i+1, err)
		}
		name, err := names.section(b[:8])
		if err != nil {
			return nil, fmt.Errorf("name of section %d: %w", i+1, err)
		}
		flags := peOrder.Uint32(b[36:])
		s := Section{
			Name:  name,
			Addr:  uint64(peOrder.Uint32(b[12:])),
			Exec:  flags&(peSectionCode|peSectionExecute) != 0,
			Alloc: flags&(peSectionInfo|peSectionRemove) == 0 && (flags&peSectionDiscardable == 0 || !isPEDebugSection(name)),
		}
		// Without a pointer the size is that of zeros in memory.
		if offset := int64(peOrder.Uint32(b[20:])); offset != 0 {
			s.Offset, s.Size = offset, int64(peOrder.Uint32(b[16:]))
			if s.Size != 0 && (s.Offset > r.size || s.Size > r.size-s.Offset) {
				return nil, fmt.Errorf("section %d (%s): its bytes %#x+%#x lie past the end of the file of %d bytes: it is cut off or damaged",
					i+1, name, s.Offset, s.Size, r.size)
			}
		}
		sections[i] = s
		if each != nil {
			each(b[:])
		}
	}
	return sections, nil
}

// isPEStripped says that the code was taken out and only its place remains, as in
// the output of objcopy --only-keep-debug.
func isPEStripped(sections []Section) bool {
	code := false
	for _, s := range sections {
		if s.Exec && s.Size != 0 {
			return false
		}
		code = code || s.Exec
	}
	return code
}

// isPEDebugSection tells debug information, which a loader maps like all else but
// nothing uses at run time: DWARF's and CodeView's.
func isPEDebugSection(name string) bool {
	for _, prefix := range []string{".debug", ".zdebug", ".stab", ".gnu.debuglto_", ".gnu.linkonce.wi."} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// peNames reads names of sections; those of more than eight bytes stand in the
// string table behind the symbols (PE Format, "COFF String Table").
type peNames struct {
	r      *peReader
	header peHeader
	total  int
}

func (n *peNames) section(field []byte) (string, error) {
	name := string(bytes.TrimRight(field, "\x00"))
	if i := strings.IndexByte(name, 0); i >= 0 {
		name = name[:i]
	}
	offset, ok := coffStringOffset(name)
	if !ok || n.header.symbols == 0 {
		return name, nil
	}
	long, err := n.long(offset)
	if err != nil {
		return "", fmt.Errorf("%s: %w", strconv.Quote(name), err)
	}
	if n.total += len(long); n.total > peNamesLimit {
		return "", fmt.Errorf("the names of the sections have more than %d bytes together", peNamesLimit)
	}
	return long, nil
}

// coffStringOffset reads /123, or //AAAAAA for offsets of more than seven digits:
// six digits of base 64, the highest first (LLVM and binutils).
func coffStringOffset(name string) (int64, bool) {
	if digits, ok := strings.CutPrefix(name, "//"); ok && len(digits) == 6 {
		// Six digits are 36 bits; two more of zero before them make whole bytes.
		b, err := base64.StdEncoding.DecodeString("AA" + digits)
		if err != nil {
			return 0, false
		}
		var n int64
		for _, c := range b {
			n = n<<8 | int64(c)
		}
		return n, true
	}
	digits, ok := strings.CutPrefix(name, "/")
	if !ok || digits == "" || strings.Trim(digits, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	return n, err == nil
}

func (n *peNames) long(offset int64) (string, error) {
	table := n.header.symbols + n.header.symbolCount*n.header.symbolSize
	var b [4]byte
	if err := n.r.read(b[:], table); err != nil {
		return "", fmt.Errorf("string table: %w", err)
	}
	if size := int64(peOrder.Uint32(b[:])); offset < 4 || offset >= size {
		return "", errors.New("it lies outside of the string table")
	}
	return n.r.cString(table+offset, peNameLimit)
}
