package objfile

import (
	"bytes"
	"encoding/binary"
	"testing"
)

type byteOrder interface {
	binary.ByteOrder
	binary.AppendByteOrder
}

// machoBuild is a Mach-O file that a test puts together by hand.
type machoBuild struct {
	order        byteOrder
	wide         bool
	cpu, subtype uint32
	fileType     uint32
	commands     [][]byte
	// tail is what follows the load commands.
	tail []byte
}

// newMacho is an aarch64 dylib without load commands.
func newMacho() *machoBuild {
	return &machoBuild{order: binary.LittleEndian, wide: true, cpu: 0x0100000c, fileType: 6}
}

func (m *machoBuild) words(v ...uint32) []byte {
	var b []byte
	for _, n := range v {
		b = m.order.AppendUint32(b, n)
	}
	return b
}

// raw appends a load command of a body, filled up to 8 bytes.
func (m *machoBuild) raw(number uint32, body []byte) *machoBuild {
	for len(body)%8 != 0 {
		body = append(body, 0)
	}
	m.commands = append(m.commands, append(m.words(number, uint32(8+len(body))), body...))
	return m
}

func (m *machoBuild) add(number uint32, v ...uint32) *machoBuild { return m.raw(number, m.words(v...)) }

// text appends a command whose string follows the given fields.
func (m *machoBuild) text(number uint32, s string, fields ...uint32) *machoBuild {
	at := uint32(12 + 4*len(fields))
	return m.raw(number, append(m.words(append([]uint32{at}, fields...)...), s+"\x00"...))
}

func (m *machoBuild) dylib(number uint32, name string, compatibility uint32) *machoBuild {
	return m.text(number, name, 2, 0x00010000, compatibility)
}

// sectionBuild is a section for segment.
type sectionBuild struct {
	segment, name string
	addr, size    uint64
	offset, flags uint32
}

func fixed(s string) []byte { return append([]byte(s), make([]byte, 16-len(s))...) }

func (m *machoBuild) segment(name string, offset, size uint64, sections ...sectionBuild) *machoBuild {
	number := func(b []byte, v uint64) []byte {
		if m.wide {
			return m.order.AppendUint64(b, v)
		}
		return m.order.AppendUint32(b, uint32(v))
	}
	b := fixed(name)
	for _, v := range []uint64{0x1000, 0x1000, offset, size} {
		b = number(b, v)
	}
	b = append(b, m.words(7, 5, uint32(len(sections)), 0)...)
	for _, s := range sections {
		b = append(append(b, fixed(s.name)...), fixed(s.segment)...)
		b = number(number(b, s.addr), s.size)
		b = append(b, m.words(s.offset, 0, 0, 0, s.flags, 0, 0)...)
		if m.wide {
			b = append(b, 0, 0, 0, 0)
		}
	}
	if m.wide {
		return m.raw(0x19, b)
	}
	// A 32-bit command is a multiple of 4 only.
	m.commands = append(m.commands, append(m.words(1, uint32(8+len(b))), b...))
	return m
}

// tailAt is the offset at which the tail will stand once n more bytes of load
// commands are there.
func (m *machoBuild) tailAt(n int) uint32 { return uint32(len(m.bytes()) - len(m.tail) + n) }

func (m *machoBuild) bytes() []byte {
	magic := uint32(0xfeedface)
	if m.wide {
		magic = 0xfeedfacf
	}
	all := bytes.Join(m.commands, nil)
	b := m.words(magic, m.cpu, m.subtype, m.fileType, uint32(len(m.commands)), uint32(len(all)), 0)
	if m.wide {
		b = append(b, 0, 0, 0, 0)
	}
	return append(append(b, all...), m.tail...)
}

// fatSlice is a slice for fat. A zero offset is filled in.
type fatSlice struct {
	cpu, subtype uint32
	offset, size uint64
	data         []byte
}

// fat builds a universal file.
func fat(wide bool, slices ...fatSlice) []byte {
	be := binary.BigEndian
	b, entry := []byte{0xca, 0xfe, 0xba, 0xbe}, 20
	if wide {
		b[3], entry = 0xbf, 32
	}
	b = be.AppendUint32(b, uint32(len(slices)))
	var data []byte
	for _, s := range slices {
		if s.offset == 0 {
			s.offset, s.size = uint64(8+entry*len(slices)+len(data)), uint64(len(s.data))
			data = append(data, s.data...)
		}
		b = be.AppendUint32(be.AppendUint32(b, s.cpu), s.subtype)
		if wide {
			b = be.AppendUint64(be.AppendUint64(b, s.offset), s.size)
			b = be.AppendUint64(b, 0)
		} else {
			b = be.AppendUint32(be.AppendUint32(b, uint32(s.offset)), uint32(s.size))
			b = be.AppendUint32(b, 0)
		}
	}
	return append(b, data...)
}

// blobs builds a super blob of blobs by their slots.
func blobs(slots []uint32, all ...[]byte) []byte {
	be := binary.BigEndian
	var index, data []byte
	for i, b := range all {
		index = be.AppendUint32(be.AppendUint32(index, slots[i]), uint32(12+8*len(all)+len(data)))
		data = append(data, b...)
	}
	super := be.AppendUint32(nil, 0xfade0cc0)
	super = be.AppendUint32(super, uint32(12+len(index)+len(data)))
	super = be.AppendUint32(super, uint32(len(all)))
	return append(append(super, index...), data...)
}

func codeDirectory(version, flags uint32, identifier, team string) []byte {
	be := binary.BigEndian
	header := uint32(44)
	if version >= 0x20200 {
		header = 52
	}
	var b []byte
	for _, v := range []uint32{0, 0, version, flags, 0, header, 0, 0, 0, 0, 0} {
		b = be.AppendUint32(b, v)
	}
	if version >= 0x20200 {
		at := uint32(0)
		if team != "" {
			at = header + uint32(len(identifier)) + 1
		}
		b = be.AppendUint32(be.AppendUint32(b, 0), at)
	}
	b = append(b, identifier+"\x00"...)
	if team != "" {
		b = append(b, team+"\x00"...)
	}
	be.PutUint32(b, 0xfade0c02)
	be.PutUint32(b[4:], uint32(len(b)))
	return b
}

func wrapped(cms []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, 0xfade0b01)
	return append(binary.BigEndian.AppendUint32(b, uint32(8+len(cms))), cms...)
}

// signed is a dylib that carries a code signature.
func signed(signature []byte) []byte {
	m := newMacho()
	m.tail = signature
	return m.add(0x1d, m.tailAt(16), uint32(len(signature))).bytes()
}

func readBytes(b []byte) ([]*Object, error) { return Read(bytes.NewReader(b), int64(len(b))) }

func readOne(t *testing.T, b []byte) *Object {
	t.Helper()
	objects, err := readBytes(b)
	if err != nil {
		t.Fatal(err)
	}
	if len(objects) != 1 {
		t.Fatalf("%d objects, want one", len(objects))
	}
	return objects[0]
}
