package incidents

import (
	"bytes"
	"debug/pe"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
)

// peFile describes a program or library for Windows on x86_64, in as little as
// its loader and relmat read of it: no compiler for Windows is at hand.
type peFile struct {
	dll bool
	// imports are loaded at the start, delays at the first call.
	imports, delays []string
	// text is in its data.
	text string
	// signed adds an Authenticode signature.
	signed bool
}

const (
	peAddr   = 0x1000 // of the one section in memory
	peOffset = 0x400  // and in the file
)

// bytes lays out the file (Microsoft, "PE Format").
func (f peFile) bytes(t *testing.T) []byte {
	t.Helper()
	le := binary.LittleEndian
	var data []byte
	add := func(b []byte) uint32 {
		for len(data)%8 != 0 {
			data = append(data, 0)
		}
		at := peAddr + uint32(len(data))
		data = append(data, b...)
		return at
	}
	words := func(values ...uint32) (out []byte) {
		for _, v := range values {
			out = le.AppendUint32(out, v)
		}
		return out
	}
	name := func(s string) uint32 { return add(append([]byte(s), 0)) }
	// One function of each library, by its name.
	thunk := func() uint32 {
		hint := name("\x00\x00start")
		return add(le.AppendUint64(le.AppendUint64(nil, uint64(hint)), 0))
	}
	type directory struct{ at, size uint32 }
	var imports, delays, certificate directory
	var table []byte
	for _, dll := range f.imports {
		table = append(table, words(thunk(), 0, 0, name(dll), thunk())...)
	}
	if table != nil {
		table = append(table, make([]byte, 20)...)
		imports = directory{add(table), uint32(len(table))}
	}
	table = nil
	for _, dll := range f.delays {
		table = append(table, words(1, name(dll), 0, thunk(), thunk(), 0, 0, 0)...)
	}
	if table != nil {
		table = append(table, make([]byte, 32)...)
		delays = directory{add(table), uint32(len(table))}
	}
	name(f.text)
	raw := (len(data) + 511) &^ 511
	var signature []byte
	if f.signed {
		signature = authenticode(t)
		certificate = directory{uint32(peOffset + raw), uint32(len(signature))}
	}

	var out bytes.Buffer
	dos := make([]byte, 64)
	copy(dos, "MZ")
	le.PutUint32(dos[0x3c:], 64)
	out.Write(dos)
	out.WriteString("PE\x00\x00")
	flags := uint16(0x0022)
	if f.dll {
		flags |= 0x2000
	}
	head := make([]byte, 20)
	le.PutUint16(head, 0x8664)
	le.PutUint16(head[2:], 1)
	le.PutUint16(head[16:], 112+16*8)
	le.PutUint16(head[18:], flags)
	out.Write(head)
	o := make([]byte, 112+16*8)
	le.PutUint16(o, 0x20b)
	le.PutUint64(o[24:], 0x180000000)
	le.PutUint32(o[32:], 0x1000)
	le.PutUint32(o[36:], 512)
	le.PutUint16(o[40:], 6)
	le.PutUint16(o[48:], 6)
	le.PutUint32(o[56:], 0x100000)
	le.PutUint32(o[60:], peOffset)
	le.PutUint16(o[68:], 3)
	le.PutUint32(o[108:], 16)
	for i, d := range map[int]directory{1: imports, 4: certificate, 13: delays} {
		le.PutUint32(o[112+8*i:], d.at)
		le.PutUint32(o[116+8*i:], d.size)
	}
	out.Write(o)
	section := make([]byte, 40)
	copy(section, ".rdata")
	le.PutUint32(section[8:], uint32(len(data)))
	le.PutUint32(section[12:], peAddr)
	le.PutUint32(section[16:], uint32(raw))
	le.PutUint32(section[20:], peOffset)
	le.PutUint32(section[36:], 0x40000040)
	out.Write(section)
	out.Write(make([]byte, peOffset-out.Len()))
	out.Write(data)
	out.Write(make([]byte, raw-len(data)))
	out.Write(signature)
	return out.Bytes()
}

// authenticode is the table of certificates of a file that osslsigncode has
// signed. Whom it trusts, Windows decides; that it is there, relmat does.
func authenticode(t *testing.T) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "internal", "objfile", "testdata", "pe", "delay-signed.dll"))
	if err != nil {
		t.Fatal(err)
	}
	f, err := pe.NewFile(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	d := f.OptionalHeader.(*pe.OptionalHeader64).DataDirectory[pe.IMAGE_DIRECTORY_ENTRY_SECURITY]
	return data[d.VirtualAddress : d.VirtualAddress+d.Size]
}

// unsigned is what a tool leaves of a signed file that it writes anew: the
// directory of the signature is empty, and the signature gone.
func unsigned(t *testing.T, data []byte) []byte {
	t.Helper()
	f, err := pe.NewFile(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	d := f.OptionalHeader.(*pe.OptionalHeader64).DataDirectory[pe.IMAGE_DIRECTORY_ENTRY_SECURITY]
	if d.Size == 0 {
		t.Fatal("the file has no signature that could be lost")
	}
	out := bytes.Clone(data[:d.VirtualAddress])
	entry := int(binary.LittleEndian.Uint32(out[0x3c:])) + 24 + 112 + 8*pe.IMAGE_DIRECTORY_ENTRY_SECURITY
	clear(out[entry : entry+8])
	return out
}

// TestPEFile holds the builder against Go's own reader.
func TestPEFile(t *testing.T) {
	data := peFile{imports: []string{"KERNEL32.dll"}, delays: []string{"cublas64_13.dll"}, signed: true}.bytes(t)
	f, err := pe.NewFile(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if symbols, err := f.ImportedSymbols(); err != nil || len(symbols) != 1 || symbols[0] != "start:KERNEL32.dll" {
		t.Errorf("Go's reader sees the imports %q, %v", symbols, err)
	}
	if len(unsigned(t, data)) >= len(data) {
		t.Error("the signature is not gone")
	}
}
