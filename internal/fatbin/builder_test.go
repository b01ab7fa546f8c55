package fatbin

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// entry is what the builder makes an entry's header and payload of; what is
// zero gets the value that fits.
type testEntry struct {
	kind         uint16
	version      uint16 // 0x0101
	header       uint32 // as long as name and options make it
	payload      uint64 // bytes in the file, padded to 8
	stored       uint64 // what the header says of payload
	compressed   uint32
	major, minor uint16
	sm           uint32
	name         string
	options      string // with a marker: see hasOptions
	hasOptions   bool
	flags        uint64
	original     uint64
	nested       []testEntry
}

// text writes the name and options behind the 64 bytes that every entry has.
func (e testEntry) text() (b []byte, nameAt, optionsAt uint32) {
	pad := func() {
		b = append(b, make([]byte, -len(b)&7)...)
	}
	if e.name != "" {
		nameAt = entrySize
		b = append(append(b, e.name...), 0)
		pad()
	}
	if e.hasOptions {
		optionsAt = entrySize + uint32(len(b))
		b = binary.LittleEndian.AppendUint32(b, optionsAt+8)
		b = binary.LittleEndian.AppendUint32(b, uint32(len(e.options)))
		b = append(append(b, e.options...), 0)
		pad()
	}
	return b, nameAt, optionsAt
}

// head is the header: size is what stands at 4, a header's size or a place in a
// blob.
func (e testEntry) head(size, options uint32, stored uint64) []byte {
	text, nameAt, optionsAt := e.text()
	if options != 0 {
		optionsAt = options
	}
	le := binary.LittleEndian
	b := make([]byte, entrySize)
	le.PutUint16(b, e.kind)
	le.PutUint16(b[2:], 0x0101)
	if e.version != 0 {
		le.PutUint16(b[2:], e.version)
	}
	le.PutUint32(b[4:], size)
	le.PutUint64(b[8:], stored)
	le.PutUint32(b[0x10:], e.compressed)
	le.PutUint32(b[0x14:], optionsAt)
	le.PutUint16(b[0x18:], e.minor)
	le.PutUint16(b[0x1a:], e.major)
	le.PutUint32(b[0x1c:], e.sm)
	le.PutUint32(b[0x20:], nameAt)
	le.PutUint32(b[0x24:], uint32(len(e.name)))
	le.PutUint64(b[0x28:], e.flags)
	le.PutUint64(b[0x38:], e.original)
	return append(b, text...)
}

func (e testEntry) bytes() []byte {
	padded := (e.payload + 7) &^ 7
	stored := padded
	if e.stored != 0 {
		stored = e.stored
	}
	var b []byte
	if e.kind == kindConcat {
		var table []byte
		var place uint32
		for _, n := range e.nested {
			table = append(table, n.head(place, 0, n.payload)...)
			place += uint32(n.payload)
		}
		b = e.head(uint32(entrySize+8+len(table)), entrySize, stored)
		b = binary.LittleEndian.AppendUint32(b, uint32(len(e.nested)))
		b = binary.LittleEndian.AppendUint32(b, uint32(8+len(table)))
		b = append(b, table...)
	} else {
		text, _, _ := e.text()
		b = e.head(uint32(entrySize+len(text)), 0, stored)
	}
	if e.header != 0 {
		binary.LittleEndian.PutUint32(b[4:], e.header)
		if more := int(e.header) - len(b); more > 0 && more < 1<<20 {
			b = append(b, make([]byte, more)...)
		}
	}
	// Not zeros: a reader that takes the payload for padding is found out.
	return append(b, bytes.Repeat([]byte{0xed}, int(padded))...)
}

func testContainer(entries ...testEntry) []byte {
	var body []byte
	for _, e := range entries {
		body = append(body, e.bytes()...)
	}
	return rawContainer(body, uint64(len(body)))
}

func rawContainer(body []byte, size uint64) []byte {
	b := []byte(magic)
	b = binary.LittleEndian.AppendUint16(b, 1)
	b = binary.LittleEndian.AppendUint16(b, containerSize)
	b = binary.LittleEndian.AppendUint64(b, size)
	return append(b, body...)
}

// cubin is an entry as nvcc writes the most: a compressed cubin.
func cubin(sm uint32, flags uint64) testEntry {
	return testEntry{kind: kindCubin, major: 1, minor: 8, sm: sm, flags: 0x11 | flagZstd | flags, payload: 40, compressed: 37, original: 100}
}

// imagesOf reads data as one section.
func imagesOf(t *testing.T, section string, data []byte, all bool) ([]Image, error) {
	t.Helper()
	images, err := Images(bytes.NewReader(data), []Region{{section, 0, int64(len(data))}}, Options{All: all})
	if err != nil && images != nil {
		t.Errorf("%d images together with the error %v", len(images), err)
	}
	return images, err
}

func offsets(images []Image) (all []int64) {
	for _, i := range images {
		all = append(all, i.Offset)
	}
	return all
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func zeros(n int) []byte { return make([]byte, n) }
