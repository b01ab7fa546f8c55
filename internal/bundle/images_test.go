package bundle

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
)

var little = binary.LittleEndian

// image is a PE or Mach-O file that a test puts together by hand: headers that
// say what is needed, and no code.
type image struct {
	machine uint16 // of PE; x86_64 where 0
	dll     bool
	needs   []string
	delays  []string
	// install and rpaths are of Mach-O files.
	install string
	rpaths  []string
	// text are bytes that the file holds besides.
	text string
}

// pe writes the image as a PE32+ file (Microsoft, "PE Format"): one section with
// the import directory and the directory of delay imports.
func (m image) pe(t *testing.T, file string) string {
	t.Helper()
	const addr, offset = 0x1000, 0x400
	var data []byte
	add := func(b []byte) uint32 {
		for len(data)%8 != 0 {
			data = append(data, 0)
		}
		at := addr + uint32(len(data))
		data = append(data, b...)
		return at
	}
	words := func(values ...uint32) (out []byte) {
		for _, v := range values {
			out = little.AppendUint32(out, v)
		}
		return out
	}
	thunks := func() uint32 {
		name := add(append([]byte{0, 0}, "call\x00"...))
		return add(append(little.AppendUint64(nil, uint64(name)), make([]byte, 8)...))
	}
	var imports, delays []byte
	for _, n := range m.needs {
		table := thunks()
		imports = append(imports, words(table, 0, 0, add([]byte(n+"\x00")), table)...)
	}
	for _, n := range m.delays {
		table := thunks()
		delays = append(delays, words(1, add([]byte(n+"\x00")), 0, table, table, 0, 0, 0)...)
	}
	var dirs [16][2]uint32
	if len(m.needs) > 0 {
		dirs[1] = [2]uint32{add(append(imports, make([]byte, 20)...)), uint32(len(imports) + 20)}
	}
	if len(m.delays) > 0 {
		dirs[13] = [2]uint32{add(append(delays, make([]byte, 32)...)), uint32(len(delays) + 32)}
	}
	add([]byte(m.text + "\x00"))
	for len(data)%0x200 != 0 {
		data = append(data, 0)
	}

	machine, flags := m.machine, uint16(0x22)
	if machine == 0 {
		machine = 0x8664
	}
	if m.dll {
		flags |= 0x2000
	}
	out := make([]byte, 0x80)
	copy(out, "MZ")
	little.PutUint32(out[60:], 0x80)
	out = append(out, "PE\x00\x00"...)
	out = little.AppendUint16(out, machine)
	out = little.AppendUint16(out, 1)
	out = append(out, words(0, 0, 0)...)
	out = little.AppendUint16(out, 112+16*8)
	out = little.AppendUint16(out, flags)
	out = little.AppendUint16(out, 0x20b)
	out = append(out, 14, 0)
	out = append(out, words(0, uint32(len(data)), 0, addr, addr)...)
	out = little.AppendUint64(out, 0x180000000)
	out = append(out, words(0x1000, 0x200, 6, 0, 6, 0, addr+uint32(len(data)+0xfff)&^0xfff, offset, 0)...)
	out = little.AppendUint16(out, 3)
	out = little.AppendUint16(out, 0)
	out = append(out, make([]byte, 4*8+4)...)
	out = append(out, words(16)...)
	for _, d := range dirs {
		out = append(out, words(d[0], d[1])...)
	}
	out = append(out, ".rdata\x00\x00"...)
	out = append(out, words(uint32(len(data)), addr, uint32(len(data)), offset, 0, 0, 0, 0x40000040)...)
	out = append(out, make([]byte, offset-len(out))...)
	return m.write(t, file, append(out, data...))
}

// macho writes the image as an arm64 Mach-O file (<mach-o/loader.h>).
func (m image) macho(t *testing.T, file string) string {
	t.Helper()
	var commands []byte
	n := uint32(0)
	command := func(number uint32, text string, fields ...uint32) {
		body := little.AppendUint32(nil, uint32(12+4*len(fields)))
		for _, f := range fields {
			body = little.AppendUint32(body, f)
		}
		body = append(body, text+"\x00"...)
		for (len(body)+8)%8 != 0 {
			body = append(body, 0)
		}
		commands = little.AppendUint32(commands, number)
		commands = little.AppendUint32(commands, uint32(8+len(body)))
		commands = append(commands, body...)
		n++
	}
	kind := uint32(2)
	if m.install != "" {
		kind = 6
		command(0xd, m.install, 2, 0x10000, 0x10000)
	}
	for _, need := range m.needs {
		command(0xc, need, 2, 0x10000, 0x10000)
	}
	for _, r := range m.rpaths {
		command(0x8000001c, r)
	}
	var out []byte
	for _, v := range []uint32{0xfeedfacf, 0x0100000c, 0, kind, n, uint32(len(commands)), 0, 0} {
		out = little.AppendUint32(out, v)
	}
	return m.write(t, file, append(append(out, commands...), m.text...))
}

func (image) write(t *testing.T, file string, data []byte) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}
