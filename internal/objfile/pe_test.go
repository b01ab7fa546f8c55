package objfile

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func readPEBytes(t *testing.T, data []byte) *Object {
	t.Helper()
	if !isPE(data[:min(64, len(data))]) {
		t.Fatal("isPE does not know it")
	}
	o, err := readPE(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// peNeedText shows needs as name(symbols,ordinals), with * for an API set.
func peNeedText(needs []Need) string {
	var out []string
	for _, n := range needs {
		s := fmt.Sprintf("%s(%d,%d)", n.Name, n.Symbols, n.Ordinals)
		if n.APISet {
			s += "*"
		}
		out = append(out, s)
	}
	return strings.Join(out, " ")
}

// What is expected here is what llvm-readobj --file-headers --coff-imports
// --coff-debug-directory --sections and osslsigncode verify print.
func TestPEFilesOfOtherTools(t *testing.T) {
	o := openTestPE(t, "delay-signed.dll")
	want := &Object{
		Format: PE, Machine: "x86_64", Bits: 64, Kind: Library, Soname: "delay.dll",
		Needs: []Need{
			{Name: "api-ms-win-core-synch-l1-2-0.dll", Symbols: 1, APISet: true},
			{Name: "ordinals.dll", Symbols: 1, Ordinals: 2},
			{Name: "VCRUNTIME140D.dll", Symbols: 1},
		},
		DelayNeeds: []Need{{Name: "later.dll", Symbols: 2, Ordinals: 1}},
		Floors:     Floors{Windows: "6.2"},
		BuildID:    "F8565DC4EDCF17A54C4C44205044422E1",
		Signature:  Signature{Kind: "authenticode", Signer: "Größe & Söhne", Timestamped: true},
		Sections: []Section{
			{Name: ".text", Offset: 0x400, Size: 512, Addr: 0x1000, Exec: true, Alloc: true},
			{Name: ".rdata", Offset: 0x600, Size: 1024, Addr: 0x2000, Alloc: true},
			{Name: ".data", Offset: 0xa00, Size: 512, Addr: 0x3000, Alloc: true},
			{Name: ".pdata", Offset: 0xc00, Size: 512, Addr: 0x4000, Alloc: true},
			{Name: ".reloc", Offset: 0xe00, Size: 512, Addr: 0x5000, Alloc: true},
		},
		PE:   &PEInfo{Subsystem: "windows_gui", Linker: "14.0", PDB: `C:\build\delay.pdb`, Debug: true},
		Size: 7448,
	}
	if !reflect.DeepEqual(o, want) {
		t.Errorf("got  %+v %+v\nwant %+v %+v", o, o.PE, want, want.PE)
	}
	o = openTestPE(t, "arm64ec-signed.dll")
	if o.Machine != "arm64ec" || o.Kind != Library || o.PE.Subsystem != "windows_cui" {
		t.Errorf("got %+v %+v", o, o.PE)
	}
	if want := (Signature{Kind: "authenticode", Signer: "Größe & Söhne"}); o.Signature != want {
		t.Errorf("got %+v, want %+v", o.Signature, want)
	}
}

func openTestPE(t *testing.T, name string) *Object {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "pe", name))
	if err != nil {
		t.Fatal(err)
	}
	return readPEBytes(t, data)
}

func TestPEImports(t *testing.T) {
	list := []peTestImport{
		{dll: "KERNEL32.dll", names: []string{"Sleep", "ExitProcess"}},
		{dll: "WS2_32.dll", names: []string{"x"}, ordinals: []uint16{1, 3, 115}, noLookup: true},
		{dll: "API-MS-Win-crt-heap-l1-1-0.dll", ordinals: []uint16{0}},
		{dll: "ext-ms-win-ntuser-l1-1-0.dll", names: []string{"y"}},
		{dll: "api-client.dll"},
	}
	const want = "KERNEL32.dll(2,0) WS2_32.dll(1,3) API-MS-Win-crt-heap-l1-1-0.dll(0,1)* ext-ms-win-ntuser-l1-1-0.dll(1,0)* api-client.dll(0,0)"
	later := []peTestImport{
		{dll: "nvrtc64_130_0.dll", names: []string{"nvrtcVersion"}, ordinals: []uint16{2}},
		{dll: "cudnn64_9.dll", names: []string{"a", "b"}},
	}
	const wantLater = "nvrtc64_130_0.dll(1,1) cudnn64_9.dll(2,0)"
	for _, c := range []struct {
		name     string
		b        *peBuilder
		relative bool
	}{{"32 RVA", newPE32(), true}, {"32 VA", newPE32(), false}, {"64 RVA", newPE64(), true}, {"64 VA", peLowBase(), false}} {
		t.Run(c.name, func(t *testing.T) {
			c.b.imports(list...)
			c.b.delays(c.relative, later...)
			o := readPEBytes(t, c.b.bytes())
			if got := peNeedText(o.Needs); got != want {
				t.Errorf("needs: got %s, want %s", got, want)
			}
			if got := peNeedText(o.DelayNeeds); got != wantLater {
				t.Errorf("delay needs: got %s, want %s", got, wantLater)
			}
			if o.Static || o.PE.Debug || o.Signature != (Signature{Kind: "none"}) || o.Floors.Windows != "6.1" || o.PE.Linker != "14.44" {
				t.Errorf("got %+v %+v", o, o.PE)
			}
		})
	}
}

// peLowBase is a 64-bit image within the addresses of the old form of delay
// imports.
func peLowBase() *peBuilder {
	b := newPE64()
	b.base = 0x10000000
	return b
}

func TestPEKinds(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*peBuilder)
		want   string
	}{
		{"static", func(*peBuilder) {}, "i386 32 executable true windows_cui 6.1"},
		{"library", func(b *peBuilder) { b.flags |= peFileDLL }, "i386 32 library false windows_cui 6.1"},
		{"arm64", func(b *peBuilder) { b.wide, b.machine = true, 0xaa64 }, "aarch64 64 executable true windows_cui 6.1"},
		{"EFI", func(b *peBuilder) { b.subsystem = 10 }, "i386 32 executable true efi_application "},
		{"driver", func(b *peBuilder) { b.subsystem = 1 }, "i386 32 executable true native 6.1"},
		{"unknown", func(b *peBuilder) { b.subsystem, b.machine = 99, 0x200 }, "pe-512 32 executable true 99 "},
		{"ARM", func(b *peBuilder) { b.machine = 0x1c4 }, "arm 32 executable true windows_cui 6.1"},
		{".NET", func(b *peBuilder) { b.dirs[peCLR] = peDirectory{b.add(make([]byte, 72)), 72} }, "i386 32 executable false windows_cui 6.1"},
		{"delayed", func(b *peBuilder) { b.delays(true, peTestImport{dll: "a.dll"}) }, "i386 32 executable false windows_cui 6.1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newPE32()
			c.change(b)
			o := readPEBytes(t, b.bytes())
			got := fmt.Sprintf("%s %d %s %t %s %s", o.Machine, o.Bits, o.Kind, o.Static, o.PE.Subsystem, o.Floors.Windows)
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestPECodeView(t *testing.T) {
	b := newPE64()
	// The example of a symbol server's key in "SSQP Key Conventions" (.NET).
	guid := "\xf6\x72\x7b\x49\x0a\x39\xfc\x44\x87\x8e\x5a\x2d\x63\xb6\xcc\x4b"
	b.codeView(guid, 0x1a, `D:\a\lib.pdb`)
	o := readPEBytes(t, b.bytes())
	if o.PE.PDB != `D:\a\lib.pdb` || o.BuildID != "497B72F6390A44FC878E5A2D63B6CC4B1A" {
		t.Errorf("got %q %q", o.PE.PDB, o.BuildID)
	}
	b.dirs[peDebug].addr = 0x7fffffff // dangling: as good as none
	if o = readPEBytes(t, b.bytes()); o.PE.PDB != "" || o.BuildID != "" {
		t.Errorf("got %q %q", o.PE.PDB, o.BuildID)
	}
}

func TestPEDebugRuntimes(t *testing.T) {
	for name, want := range map[string]bool{
		"ucrtbased.dll": true, "VCRUNTIME140D.dll": true, "VCRUNTIME140_1D.dll": true, "MSVCP140D.dll": true,
		"msvcp140d_atomic_wait.dll": true, "msvcp140_1d.dll": true, "MSVCR120D.dll": true, "msvcr90d.dll": true, "vcruntime140_threadsd.dll": true,
		"ucrtbase.dll": false, "VCRUNTIME140.dll": false, "VCRUNTIME140_1.dll": false, "MSVCP140.dll": false,
		"msvcp140_atomic_wait.dll": false, "msvcp140_codecvt_ids.dll": false, "vcruntime140_threads.dll": false, "d3d12.dll": false, "msvcrt.dll": false,
	} {
		b := newPE64()
		b.imports(peTestImport{dll: name})
		if o := readPEBytes(t, b.bytes()); o.PE.Debug != want {
			t.Errorf("%s: got %t", name, o.PE.Debug)
		}
	}
}

// Zeros beyond a section's bytes end its tables, as in memory.
func TestPEZeroFilled(t *testing.T) {
	b := newPE32()
	name := b.text("a.dll")
	thunk := b.add(peWords(0x80000001, 0))
	for len(b.data) < 512-peImportSize {
		b.data = append(b.data, 0)
	}
	b.dirs[peImports] = peDirectory{peTestAddr + uint32(len(b.data)), 20}
	b.data = append(b.data, peWords(thunk, 0, 0, name, thunk)...)
	b.extraZeros = 0x1000
	if got := peNeedText(readPEBytes(t, b.bytes()).Needs); got != "a.dll(0,1)" {
		t.Errorf("got %s", got)
	}
}

func TestNotPE(t *testing.T) {
	for name, head := range map[string][]byte{
		"empty":   nil,
		"text":    []byte("L\x01 is how a text could begin, even if it seldom does, and go on"),
		"zeros":   make([]byte, 64),
		"machine": append([]byte{0x64, 0x86}, make([]byte, 62)...),
		"random":  []byte("\x64\x86\x03\x00\x12\x34\x56\x78\x00\x10\x00\x00\x10\x00\x00\x00\x00\x00\x00\x00\x01\x02\x03\x04\x05\x06\x07\x08aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
		"import":  append([]byte{0, 0, 0xff, 0xff, 0, 0, 0x64, 0x86}, make([]byte, 56)...),
	} {
		if isPE(head) {
			t.Errorf("%s: taken for a PE file", name)
		}
		if _, err := readPE(bytes.NewReader(head), int64(len(head))); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: got %v, want ErrFormat", name, err)
		}
	}
}
