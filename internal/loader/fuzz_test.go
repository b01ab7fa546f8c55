package loader

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/relmat/relmat/internal/objfile"
)

// cacheFile is an ld.so.cache with one entry, and one by CPU level.
func cacheFile() []byte {
	le := binary.LittleEndian
	b := append([]byte(cacheMagic), make([]byte, cacheHeader-len(cacheMagic)+2*cacheEntryLen)...)
	text := len(b)
	b = append(b, "liba.so.1\x00/d/liba.so.1\x00/d/glibc-hwcaps/x86-64-v3/liba.so.1\x00x86-64-v3\x00\x00\x00"...)
	at := func(s string) uint32 { return uint32(text + strings.Index(string(b[text:]), s)) }
	le.PutUint32(b[20:], 2)
	b[28] = 2
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	le.PutUint32(b[32:], uint32(len(b)))
	for i, e := range [][2]uint32{{at("/d/glibc"), 1 << 30}, {at("/d/liba"), 0}} {
		entry := b[cacheHeader+i*cacheEntryLen:]
		le.PutUint32(entry, 0x303)
		le.PutUint32(entry[4:], uint32(text))
		le.PutUint32(entry[8:], e[0])
		le.PutUint32(entry[20:], e[1])
	}
	ext := len(b)
	for _, v := range []uint32{cacheExtension, 1, 1, 0, uint32(ext + 24), 4, at("\x00x86-64-v3\x00") + 1} {
		b = le.AppendUint32(b, v)
	}
	return b
}

func TestParseCache(t *testing.T) {
	data := cacheFile()
	want := []cacheEntry{{"/d/glibc-hwcaps/x86-64-v3/liba.so.1", "x86-64-v3"}, {"/d/liba.so.1", ""}}
	check := func(name string, data []byte) {
		t.Helper()
		got, err := parseCache(data, 0x303)
		if err != nil || !slices.Equal(got["liba.so.1"], want) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	check("new", data)
	// Behind the older format, whose entries are 12 bytes; its offsets count from
	// the newer one's start.
	old := append([]byte(cacheMagicOld+"\x00\x01\x00\x00\x00"), make([]byte, 12)...)
	for len(old)%8 != 0 {
		old = append(old, 0)
	}
	check("old and new", append(old, data...))
	if got, err := parseCache(data, 0xa03); err != nil || len(got) != 0 {
		t.Errorf("another machine: %q, %v", got, err)
	}
	for name, change := range map[string]func([]byte) []byte{
		"short":      func(b []byte) []byte { return b[:40] },
		"magic":      func(b []byte) []byte { b[0] = 'x'; return b },
		"count":      func(b []byte) []byte { b[23] = 0xff; return b },
		"big-endian": func(b []byte) []byte { b[28] = 3; return b },
		"extensions": func(b []byte) []byte { return b[:len(b)-20] },
		"misplaced":  func(b []byte) []byte { b[35] = 0xff; return b },
	} {
		if got, err := parseCache(change(slices.Clone(data)), 0x303); err == nil {
			t.Errorf("%s: %q", name, got)
		}
	}
	for in, want := range map[string]string{
		"liba.so.1": "liba.so.1", "liba.so.010": "liba.so.10", "liba.so.00": "liba.so.0", "lib100.so.0": "lib100.so.0", "lib0a": "lib0a", "lib00a01": "lib0a1",
	} {
		if got := cacheKey(in); got != want {
			t.Errorf("%s: %s, not %s", in, got, want)
		}
	}
}

func FuzzCache(f *testing.F) {
	data := cacheFile()
	f.Add(data)
	f.Add(append([]byte(cacheMagicOld+"\x00\x00\x00\x00\x00"), data...))
	f.Add(data[:60])
	f.Fuzz(func(t *testing.T, data []byte) {
		entries, err := parseCache(data, 0x303)
		if err != nil {
			return
		}
		n := 0
		c := &ldCache{entries: entries}
		for name, list := range entries {
			n += len(list)
			c.lookup(name, []string{"x86-64-v4", "x86-64-v3"}, "x86-64-v3")
		}
		if n > len(data)/cacheEntryLen {
			t.Errorf("%d entries in %d bytes", n, len(data))
		}
	})
}

// FuzzResolve makes trees of all platforms from text, in the form of world, and
// resolves every file of them twice: the answer is the same, and whole.
func FuzzResolve(f *testing.F) {
	for _, c := range cases4fuzz {
		f.Add(c)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 4096 {
			return
		}
		for _, platform := range []string{Linux, Windows, MacOS} {
			view := world(platform, text)
			for p := range view.entries {
				opts := Options{ByName: true, MaxNodes: 50, HookDirs: map[string]string{"*": "../lib"}, Env: []string{"", "d"}, Dir: "/w"}
				tree, err := Resolve(view, p, opts)
				if err != nil {
					continue
				}
				again, err := Resolve(world(platform, text), p, opts)
				if err != nil || picture(again) != picture(tree) {
					t.Fatalf("%s: not the same twice: %v", p, err)
				}
				if len(tree.Order) != len(tree.Nodes) || tree.Order[0] != tree.Root {
					t.Fatalf("%s: order %v of %d nodes", p, tree.Order, len(tree.Nodes))
				}
				for at, n := range tree.Nodes {
					for _, e := range n.Edges {
						if e.Path != "" && tree.Nodes[e.Path] == nil || e.Class == Found && e.Path == "" || e.Class == Missing && e.Path != "" || at != n.Path {
							t.Fatalf("%s: %+v", at, e)
						}
					}
				}
			}
		}
	})
}

var cases4fuzz = []string{
	"bin/p x86_64 rpath=$ORIGIN/../lib:: a b ./c\nlib/a x86_64 soname=b b dlopen:x,y\nlib/b -> a\nlib/c i386",
	"p aarch64 rpath=@loader_path/lib:@executable_path @rpath/a weak:@rpath/b @loader_path/a /usr/lib/x\nlib/a aarch64+x86_64 soname=@rpath/b @rpath/a",
	"p.exe x86_64 A.dll delay:b.DLL kernel32\na.dll x86_64 P.exe\nlib/B.dll x86_64 api-ms-x\nlibcudnn.so.9 x86_64 runpath=${LIB}",
	"a -> b\nb -> a\nc -> /../c/d\nd/e x86_64 a b c",
}

// TestNamesInside reads names out of a library's data, also where pieces of the
// scan meet, and not out of its code.
func TestNamesInside(t *testing.T) {
	dir := t.TempDir()
	data := make([]byte, 3<<20)
	copy(data[100:], "libnvrtc-builtins.so.12.9\x00")            // code
	copy(data[1<<20+5000-3:], "libnvrtc-builtins.so.13.2\x00")   // across two pieces
	copy(data[1<<20+5000+100:], "libnvrtc-builtins.so.13.2\x00") // twice
	copy(data[3<<20-25:], "libnvrtc-builtins.so.13.0")           // at the end
	p := filepath.Join(dir, "libnvrtc.so.13")
	if err := os.WriteFile(p, data, 0o644); err != nil {
		t.Fatal(err)
	}
	o := &objfile.Object{Format: objfile.ELF, Machine: "x86_64", Bits: 64, Rpath: []string{"$ORIGIN"}, Sections: []objfile.Section{
		{Name: ".text", Offset: 0, Size: 5000, Exec: true, Alloc: true},
		{Name: ".rodata", Offset: 5000, Size: 2 << 20, Alloc: true},
		{Name: ".data", Offset: 4 << 10, Size: 1 << 62, Alloc: true},
		{Name: ".debug", Offset: 0, Size: 1 << 20},
	}}
	builtins := &objfile.Object{Format: objfile.ELF, Machine: "x86_64", Bits: 64}
	view := Files(map[string]Entry{
		"libnvrtc.so.13":            {Objects: []*objfile.Object{o}, File: p},
		"libnvrtc-builtins.so.13.0": {Objects: []*objfile.Object{builtins}},
	})
	tree, err := Resolve(view, "/libnvrtc.so.13", Options{ByName: true})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range tree.Nodes["/libnvrtc.so.13"].Edges {
		got = append(got, fmt.Sprint(e.How, " ", e.Name, " ", e.Class))
	}
	want := []string{"by-name libnvrtc-builtins.so.13.0 found", "by-name libnvrtc-builtins.so.13.2 missing"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, not %q", got, want)
	}
}
