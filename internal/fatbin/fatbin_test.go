package fatbin

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// The values of flags and versions in these entries are those that nvcc 13.0
// and 13.5 wrote; docs/fatbin.md.
func TestEntry(t *testing.T) {
	for name, tt := range map[string]struct {
		entry testEntry
		want  Image
	}{
		"cubin": {
			testEntry{kind: 2, major: 1, minor: 8, sm: 80, flags: 0x11, payload: 11048},
			Image{Kind: Cubin, SM: 80, Compression: None, Stored: 11048, Size: 11048},
		},
		"cubin with zstd": {
			testEntry{kind: 2, major: 1, minor: 8, sm: 80, flags: 0x8011, payload: 1432, compressed: 1428, original: 11048},
			Image{Kind: Cubin, SM: 80, Compression: Zstd, Stored: 1428, Size: 11048},
		},
		"cubin with LZ4": {
			testEntry{kind: 2, major: 1, minor: 8, sm: 75, flags: 0x2011, payload: 8, compressed: 3, original: 9},
			Image{Kind: Cubin, SM: 75, Compression: LZ4, Stored: 3, Size: 9},
		},
		"unknown compression": {
			testEntry{kind: 2, sm: 75, flags: 0x11, payload: 8, compressed: 3, original: 9},
			Image{Kind: Cubin, SM: 75, Compression: "unknown", Stored: 3, Size: 9},
		},
		"sm_90a": {
			testEntry{kind: 2, sm: 90, flags: 0x108011, payload: 8, compressed: 8, original: 100},
			Image{Kind: Cubin, SM: 90, Suffix: "a", Compression: Zstd, Stored: 8, Size: 100},
		},
		"sm_100f with options": {
			testEntry{kind: 2, sm: 100, flags: 0x1200011, payload: 16, hasOptions: true, options: strings.Repeat("o", 36)},
			Image{Kind: Cubin, SM: 100, Suffix: "f", Compression: None, Stored: 16, Size: 16},
		},
		"-G": {
			testEntry{kind: 2, sm: 80, flags: 0x8013, payload: 16, compressed: 9, original: 10216, name: "k.cu"},
			Image{Kind: Cubin, SM: 80, Compression: Zstd, Stored: 9, Size: 10216, Debug: true},
		},
		"PTX": {
			testEntry{kind: 1, sm: 120, major: 9, minor: 5, flags: 0x208011, payload: 500, compressed: 494, original: 1325, name: "abcde.cu", hasOptions: true, options: " --generate-line-info "},
			Image{Kind: PTX, SM: 120, Suffix: "f", Compression: Zstd, Stored: 494, Size: 1325, PTXISA: "9.5"},
		},
		"PTX, not compressed, of a two-digit version": {
			testEntry{kind: 1, sm: 80, major: 10, minor: 12, flags: 0x11, payload: 1325, hasOptions: true},
			Image{Kind: PTX, SM: 80, Compression: None, Stored: 1328, Size: 1328, PTXISA: "10.12"},
		},
		"LTO-IR": {
			testEntry{kind: 8, sm: 75, major: 1, minor: 65, flags: 0x12011, payload: 2020, compressed: 2020, original: 2264, hasOptions: true, options: "-ftz=0"},
			Image{Kind: LTOIR, SM: 75, Compression: LZ4, Stored: 2020, Size: 2264},
		},
		"unknown kind": {
			testEntry{kind: 0x40, sm: 103, flags: 0x100011, payload: 8},
			Image{Kind: "0x0040", SM: 103, Suffix: "a", Compression: None, Stored: 8, Size: 8},
		},
		"long header": {
			testEntry{kind: 2, sm: 80, flags: 0x11, payload: 8, header: 4096},
			Image{Kind: Cubin, SM: 80, Compression: None, Stored: 8, Size: 8},
		},
		"no payload": {
			testEntry{kind: 2, sm: 80, flags: 0x11},
			Image{Kind: Cubin, SM: 80, Compression: None},
		},
	} {
		t.Run(name, func(t *testing.T) {
			tt.want.Section, tt.want.Offset = ".nv_fatbin", containerSize
			// A second entry shows that the first one's end was found.
			got, err := imagesOf(t, ".nv_fatbin", testContainer(tt.entry, cubin(75, 0)), false)
			if err != nil || len(got) != 2 || got[0] != tt.want {
				t.Errorf("got %+v, %v\nwant %+v and another", got, err, tt.want)
			}
		})
	}
}

func TestArch(t *testing.T) {
	for want, i := range map[string]Image{
		"sm_90a": {Kind: Cubin, SM: 90, Suffix: "a"}, "compute_120": {Kind: PTX, SM: 120}, "compute_100f": {Kind: PTX, SM: 100, Suffix: "f"},
		"lto_75": {Kind: LTOIR, SM: 75}, "sm_103": {Kind: "0x0040", SM: 103},
	} {
		if got := i.Arch(); got != want {
			t.Errorf("%+v is %s, want %s", i, got, want)
		}
		if got := (Group{Kind: i.Kind, SM: i.SM, Suffix: i.Suffix}).Arch(); got != want {
			t.Errorf("the group of %+v is %s, want %s", i, got, want)
		}
	}
}

// TestSections asks which sections are looked at, and that damage is an error
// where it cannot be chance.
func TestSections(t *testing.T) {
	good := testContainer(cubin(90, flagA))
	whole := join(zeros(24), good, zeros(8), testContainer(cubin(80, 0), cubin(86, 0)), zeros(40))
	among := join([]byte("text"), zeros(5), good, []byte("more text"), []byte(magic), good, []byte(magic))
	newer := slices.Clone(good)
	newer[4] = 2
	chain := testContainer(cubin(90, 0))
	chain[8]-- // ends inside of the payload
	longer := testContainer(cubin(90, 0))
	longer[9] = 1

	for _, tt := range []struct {
		section                      string
		whole, wholeAll              int
		among, newer, chain, allDone string // "" is an error
	}{
		{section: ".nv_fatbin", whole: 3, wholeAll: 3},
		{section: ".nv_fatb", whole: 3, wholeAll: 3},
		{section: "__nv_relfatbin", whole: 3, wholeAll: 3},
		{section: "__nv_rel", whole: 3, wholeAll: 3},
		{section: ".cask_resource", whole: 3, wholeAll: 3, among: "ok"},
		{section: ".cask_re", whole: 3, wholeAll: 3, among: "ok"},
		{section: ".data", whole: 3, wholeAll: 3, among: "ok", newer: "ok", chain: "ok"},
		{section: ".ldata", whole: 3, wholeAll: 3, among: "ok", newer: "ok", chain: "ok"},
		{section: ".rodata", whole: 3, wholeAll: 3, among: "ok", newer: "ok", chain: "ok"},
		{section: ".rdata", whole: 3, wholeAll: 3, among: "ok", newer: "ok", chain: "ok"},
		{section: ".eh_frame", wholeAll: 3, among: "ok", newer: "ok", chain: "ok"},
		{section: "", wholeAll: 3, among: "ok", newer: "ok", chain: "ok"},
	} {
		for _, c := range []struct {
			what  string
			data  []byte
			all   bool
			count int
			ok    bool
		}{
			{"whole", whole, false, tt.whole, true},
			{"whole, all", whole, true, tt.wholeAll, true},
			{"among others", among, true, 2, tt.among != ""},
			{"newer version", join(newer, good), true, 1, tt.newer != ""},
			{"chain not exact", join(chain, good), true, 1, tt.chain != ""},
			{"container too long", longer, true, 0, tt.chain != ""},
		} {
			images, err := imagesOf(t, tt.section, c.data, c.all)
			if (err == nil) != c.ok || c.ok && len(images) != c.count {
				t.Errorf("section %q, %s: %d images, %v; want %d, ok: %v", tt.section, c.what, len(images), err, c.count, c.ok)
			}
			if err != nil && !strings.HasPrefix(err.Error(), "section "+tt.section+", offset 0x") {
				t.Errorf("section %q, %s: the error does not say where: %v", tt.section, c.what, err)
			}
		}
	}
}

func TestErrors(t *testing.T) {
	const ending = "; the file is damaged or of a newer form than relmat knows"
	cut := func(b []byte, n int) []byte { return b[:n] }
	edit := func(e testEntry, f func(*testEntry)) []byte {
		f(&e)
		return testContainer(e)
	}
	base := testEntry{kind: 2, sm: 90, payload: 64}
	nested := []testEntry{{kind: 2, sm: 90, payload: 64, name: "k.cu"}, {kind: 1, sm: 80, major: 9, payload: 32, hasOptions: true, options: "-O1"}}
	concat := testEntry{kind: 0x100, flags: 0x8011, payload: 40, compressed: 33, original: 96, nested: nested}
	patch := func(b []byte, at int, v byte) []byte { b[at] = v; return b }
	for want, data := range map[string][]byte{
		"offset 0x0: 7f 45 4c 46 is neither a fat binary nor zeros":                                []byte("\x7fELF\x02\x01\x01"),
		"offset 0x8: 01 is neither a fat binary nor zeros":                                         append(zeros(8), 1),
		"offset 0x0: a container's header is cut off":                                              cut(testContainer(base), 15),
		"offset 0x0: a container of version 2 with a header of 16 bytes, where 1 and 16 are known": patch(testContainer(base), 4, 2),
		"offset 0x0: a container of version 1 with a header of 24 bytes, where 1 and 16 are known": patch(testContainer(base), 6, 24),
		"offset 0x0: a container of 128 bytes, where 127 are left":                                 cut(testContainer(base), 143),
		"offset 0x0: a container of 18446744073709551608 bytes, where 128 are left":                rawContainer(base.bytes(), 1<<64-8),
		"offset 0x10: an entry is cut off by its container's end":                                  rawContainer(base.bytes()[:63], 63),
		"offset 0x10: an entry of version 0x0102, where 0x0101 is known":                           edit(base, func(e *testEntry) { e.version = 0x0102 }),
		"offset 0x10: an entry's header of 63 bytes, where 128 are left":                           edit(base, func(e *testEntry) { e.header = 63 }),
		"offset 0x10: an entry's header of 4294967295 bytes, where 128 are left":                   edit(base, func(e *testEntry) { e.header = 1<<32 - 1 }),
		"offset 0x10: an image of 65 bytes, where 64 are left":                                     edit(base, func(e *testEntry) { e.stored = 65 }),
		"offset 0x10: an image of 18446744073709551615 bytes, where 64 are left":                   edit(base, func(e *testEntry) { e.stored = 1<<64 - 1 }),
		"offset 0x10: an image of 65 bytes, compressed, in 64":                                     edit(base, func(e *testEntry) { e.compressed = 65 }),
		"offset 0x10: an image that would be of 1099511627777 bytes":                               edit(base, func(e *testEntry) { e.original = 1<<40 + 1 }),
		"offset 0x10: an image for the architecture 0, which cannot be":                            edit(base, func(e *testEntry) { e.sm = 0 }),
		"offset 0x10: an image for the architecture 4294967295, which cannot be":                   edit(base, func(e *testEntry) { e.sm = 1<<32 - 1 }),
		"offset 0x51: an entry is cut off by its container's end":                                  edit(base, func(e *testEntry) { e.stored = 1 }),
		"offset 0x10: a concatenation without a table in its header":                               patch(testContainer(concat), 16+0x14, 0),
		"offset 0x10: a concatenation of 67 images in a table of 160 bytes, in a header of 224":    patch(testContainer(concat), 16+64, 67),
		"offset 0x10: a concatenation whose table is of 160 bytes, and its entries of 80":          patch(testContainer(concat), 16+64, 1),
		"offset 0x58: an entry of the kind 0x100 and version 0x0101 in a concatenation":            patch(patch(testContainer(concat), 16+72, 0), 16+73, 1),
		"offset 0x10: an image of 64 bytes at 255 in a concatenation of 96":                        patch(testContainer(concat), 16+72+4, 255),
		"offset 0x58: an entry of 320 bytes in a concatenation, where 152 are left":                patch(testContainer(concat), 16+72+0x24, 255),
		"offset 0xa0: an entry of a concatenation whose options lie 73 bytes behind it":            patch(testContainer(concat), 16+72+72+0x14, 73),
	} {
		_, err := imagesOf(t, ".nv_fatbin", data, false)
		if err == nil || err.Error() != "section .nv_fatbin, "+want+ending {
			t.Errorf("got  %v\nwant %s", err, want)
		}
		// Elsewhere the same only looked like a container.
		if images, err := imagesOf(t, ".rodata", data, true); err != nil || len(images) > 1 {
			t.Errorf("elsewhere: %v, %v; %s", images, err, want)
		}
	}
}

func TestRegions(t *testing.T) {
	data := join(testContainer(cubin(75, 0)), testContainer(cubin(80, 0)), testContainer(cubin(90, 0)))
	n := int64(len(data) / 3)
	read := func(regions ...Region) ([]Image, error) {
		return Images(bytes.NewReader(data), regions, Options{All: true})
	}
	for _, tt := range []struct {
		what    string
		regions []Region
		want    []int64
	}{
		{"none", nil, nil},
		{"empty ones", []Region{{".nv_fatbin", 0, 0}, {".x", 1 << 62, -1}}, nil},
		{"in any order", []Region{{".b", n, n}, {".a", 0, n}}, []int64{16, n + 16}},
		{"twice", []Region{{".a", 0, 3 * n}, {".b", 0, 3 * n}}, []int64{16, n + 16, 2*n + 16}},
		{"overlapping", []Region{{".a", 0, 2 * n}, {".b", n, 2 * n}}, []int64{16, n + 16, 2*n + 16}},
		{"one inside of the other", []Region{{".a", 0, 3 * n}, {".nv_fatbin", n, n}}, []int64{16, n + 16, 2*n + 16}},
		{"cut by the other", []Region{{".a", 1, 2*n - 1}, {".nv_fatbin", 2 * n, n}}, []int64{n + 16, 2*n + 16}},
		{"covered by the other", []Region{{".a", n, n}, {".nv_fatbin", 0, 3 * n}}, []int64{16, n + 16, 2*n + 16}},
	} {
		images, err := read(tt.regions...)
		if err != nil || !slices.Equal(offsets(images), tt.want) {
			t.Errorf("%s: at %d, %v; want %d", tt.what, offsets(images), err, tt.want)
		}
		for _, i := range images {
			if i.Section == ".a" && slices.ContainsFunc(tt.regions, func(r Region) bool {
				return r.Name == ".nv_fatbin" && r.Offset <= i.Offset && i.Offset < r.Offset+r.Size
			}) {
				t.Errorf("%s: %+v lies in .nv_fatbin", tt.what, i)
			}
		}
	}
	for want, region := range map[string]Region{
		"section .x lies outside of any file: offset -1, 8 bytes":                                 {".x", -1, 8},
		"section .x lies outside of any file: offset 9223372036854775807, 1 bytes":                {".x", 1<<63 - 1, 1},
		"section .x, offset 0x0, 1000 bytes: the file ends before it; it was cut short":           {".x", 0, 1000},
		"section .nv_fatbin, offset 0x180, 1000 bytes: the file ends before it; it was cut short": {".nv_fatbin", 384, 1000},
	} {
		if _, err := read(region); err == nil || err.Error() != want {
			t.Errorf("%+v: %v\nwant %s", region, err, want)
		}
	}
}

type brokenReader struct{ err error }

func (r brokenReader) ReadAt([]byte, int64) (int, error) { return 0, r.err }

func TestReadError(t *testing.T) {
	broken := errors.New("the disk is gone")
	for _, name := range []string{".nv_fatbin", ".data"} {
		for _, size := range []int64{100, 100 << 20} {
			_, err := Images(brokenReader{broken}, []Region{{name, 0, size}}, Options{})
			if !errors.Is(err, broken) || !strings.Contains(err.Error(), name) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if _, err := Images(brokenReader{io.EOF}, []Region{{".data", 0, 100}}, Options{}); !errors.Is(err, io.ErrUnexpectedEOF) && !strings.Contains(err.Error(), "cut short") {
		t.Error(err)
	}
}

func TestConcatenation(t *testing.T) {
	// As nvcc 13.5 --concat -lineinfo made it of four architectures.
	entry := testEntry{
		kind: 0x100, minor: 1, flags: 0x8011, payload: 4488, compressed: 4482, original: 70560,
		nested: []testEntry{
			{kind: 2, major: 1, minor: 8, sm: 100, flags: 0x1200011, payload: 17696, name: "abcde.cu", hasOptions: true, options: strings.Repeat("x", 40)},
			{kind: 2, major: 1, minor: 8, sm: 103, flags: 0x1100011, payload: 17696, name: "abcde.cu", hasOptions: true, options: strings.Repeat("x", 36)},
			{kind: 1, major: 9, minor: 5, sm: 120, flags: 0x11, payload: 17584, name: "a longer name.cu", hasOptions: true},
			{kind: 8, major: 1, minor: 67, sm: 121, flags: 0x1000013, payload: 17584},
		},
	}
	for _, section := range []string{".nv_fatbin", ".data"} {
		images, err := imagesOf(t, section, testContainer(cubin(75, 0), entry, cubin(80, 0)), false)
		if err != nil || len(images) != 6 {
			t.Fatalf("%+v, %v", images, err)
		}
		at := images[1].Offset
		want := []Image{
			{Kind: Cubin, SM: 100, Suffix: "f", Compression: Zstd, Size: 17696},
			{Kind: Cubin, SM: 103, Suffix: "a", Compression: Zstd, Size: 17696},
			{Kind: PTX, SM: 120, Compression: Zstd, Size: 17584, PTXISA: "9.5"},
			{Kind: LTOIR, SM: 121, Compression: Zstd, Size: 17584, Debug: true},
		}
		var stored int64
		for i := range want {
			want[i].Section, want[i].Offset = section, at
			stored += images[1+i].Stored
			if s := images[1+i].Stored; s < 1116 || s > 1125 {
				t.Errorf("image %d takes %d bytes of 4482", i, s)
			}
			want[i].Stored = images[1+i].Stored
		}
		if !reflect.DeepEqual(images[1:5], want) || stored != 4482 {
			t.Errorf("got  %+v\nwant %+v\n%d bytes", images[1:5], want, stored)
		}
	}
}
