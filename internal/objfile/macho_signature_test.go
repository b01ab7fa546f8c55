package objfile

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

func message(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/macho/" + name + ".cms")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Slots of a super blob, and what lies in them (<Kernel/kern/cs_blobs.h>).
var (
	slotDirectory = []uint32{0}
	slotsIdentity = []uint32{0, 2, 0x1000, 0x10000}
)

func TestMachOSignature(t *testing.T) {
	const team = "ABCDE12345"
	requirements := []byte{0xfa, 0xde, 0x0c, 0x01, 0, 0, 0, 12, 0, 0, 0, 0}
	all := func(flags uint32, cms []byte) []byte {
		return blobs(slotsIdentity, codeDirectory(0x20500, flags, "org.example.x", team), requirements,
			codeDirectory(0x20500, flags, "other", ""), wrapped(cms))
	}
	const signer = "Developer ID Application: Exämple (ABCDE12345)"
	for name, c := range map[string]struct {
		file []byte
		want Signature
	}{
		"none":          {newMacho().bytes(), Signature{Kind: "none"}},
		"empty":         {newMacho().add(0x1d, 0, 0).bytes(), Signature{Kind: "none"}},
		"linker":        {signed(blobs(slotDirectory, codeDirectory(0x20400, 0x20002, "a.out", ""))), Signature{Kind: "adhoc", Identifier: "a.out"}},
		"codesign -s -": {signed(all(0x2, nil)), Signature{Kind: "adhoc", Identifier: "org.example.x", TeamID: team}},
		"old":           {signed(blobs(slotDirectory, codeDirectory(0x20001, 0x2, "old", ""))), Signature{Kind: "adhoc", Identifier: "old"}},
		"no identity":   {signed(all(0, nil)), Signature{Kind: "adhoc", Identifier: "org.example.x", TeamID: team}},
		"identity":      {signed(all(0, message(t, "definite"))), Signature{Kind: "identity", Signer: signer, Identifier: "org.example.x", TeamID: team}},
		"hardened": {
			signed(all(0x10000, message(t, "indefinite"))),
			Signature{Kind: "identity", Signer: signer, Identifier: "org.example.x", TeamID: team, Hardened: true},
		},
	} {
		if got := readOne(t, c.file).Signature; got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

func TestMachOSignatureDamaged(t *testing.T) {
	directory := codeDirectory(0x20500, 0, "id", "team")
	patched := func(b []byte, at int, v ...byte) []byte {
		b = bytes.Clone(b)
		copy(b[at:], v)
		return b
	}
	for name, c := range map[string]struct {
		signature []byte
		want      string
	}{
		"zeros":               {make([]byte, 64), "magic number 0x0"},
		"short":               {[]byte{0xfa, 0xde, 0x0c, 0xc0}, "lies outside"},
		"longer than it is":   {patched(blobs(slotDirectory, directory), 4, 0xff, 0xff, 0xff, 0xff), "4294967295 bytes"},
		"many blobs":          {patched(blobs(slotDirectory, directory), 8, 0, 0x10, 0, 0), "1048576 blobs"},
		"more blobs than fit": {patched(blobs(slotDirectory, directory), 8, 0, 0, 1, 0), "256 blobs"},
		"no directory":        {blobs([]uint32{2}, directory), "no code directory"},
		"directory elsewhere": {patched(blobs(slotDirectory, directory), 16, 0xff, 0xff, 0xff, 0xf0), "lies outside"},
		"not a directory":     {blobs(slotDirectory, wrapped(make([]byte, 60))), "magic number"},
		"short directory":     {blobs(slotDirectory, patched(patched(directory[:48], 4, 0, 0, 0, 48), 20, 0, 0, 0, 44)), "shorter than its version"},
		"identifier outside":  {blobs(slotDirectory, patched(directory, 20, 0xff)), "identifier: it starts"},
		"identifier endless":  {blobs(slotDirectory, append(patched(directory[:52], 4, 0, 0, 0, 60), "no end. "...)), "no end"},
		"team outside":        {blobs(slotDirectory, patched(directory, 48, 0x7f)), "team identifier: it starts"},
		"message elsewhere":   {blobs([]uint32{0, 0x10000}, directory, directory), "magic number"},
		"not a message":       {blobs([]uint32{0, 0x10000}, directory, wrapped([]byte("hello"))), "PKCS #7"},
		"message too long":    {blobs([]uint32{0, 0x10000}, directory, wrapped(make([]byte, 2<<20))), "at most"},
	} {
		_, err := readBytes(signed(c.signature))
		if err == nil || !strings.Contains(err.Error(), "code signature: ") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want something of %q", name, err, c.want)
		}
	}
	m := newMacho()
	if _, err := readBytes(m.add(0x1d, 1<<31, 1<<31).bytes()); err == nil || !strings.Contains(err.Error(), "cut short") {
		t.Errorf("a signature behind the end: %v", err)
	}
	if _, err := readBytes(m.add(0x1d, 0, 0).bytes()); err == nil || !strings.Contains(err.Error(), "second code signature") {
		t.Errorf("two signatures: %v", err)
	}
}
