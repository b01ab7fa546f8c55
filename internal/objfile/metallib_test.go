package objfile

import (
	"encoding/binary"
	"encoding/hex"
	"reflect"
	"strings"
	"testing"
)

// metallib is a header with the four parts behind it, of 4 bytes each.
func metallib(platform uint16, kind, system byte, major, minor uint16) []byte {
	le := binary.LittleEndian
	b := []byte("MTLB")
	for _, v := range []uint16{platform, 2, 7} {
		b = le.AppendUint16(b, v)
	}
	b = le.AppendUint16(le.AppendUint16(append(b, kind, system), major), minor)
	b = le.AppendUint64(b, 88+16)
	for i := range uint64(4) {
		b = le.AppendUint64(le.AppendUint64(b, 88+4*i), 4)
	}
	return append(b, "aaaabbbbccccdddd"...)
}

func TestMetallib(t *testing.T) {
	for name, c := range map[string]struct {
		data            []byte
		platform, floor string
	}{
		"macOS":            {metallib(0x8001, 0, 0x81, 14, 0), "macos", "14.0"},
		"macOS with minor": {metallib(0x8001, 2, 0x81, 13, 5), "macos", "13.5"},
		"macOS, no system": {metallib(0x8001, 0, 0, 0, 0), "macos", ""},
		"iOS":              {metallib(0x0001, 0, 0x82, 17, 0), "ios", ""},
		"simulator":        {metallib(0x0001, 0, 0x87, 17, 0), "iossimulator", ""},
		"iOS, no system":   {metallib(0x0001, 0, 0, 0, 0), "", ""},
		"unknown":          {metallib(0x8001, 0, 0xff, 17, 0), "", ""},
	} {
		o := readOne(t, c.data)
		want := &Object{
			Format: Metallib, Kind: Shaders, Size: 104, Floors: Floors{MacOS: c.floor},
			MachO: &MachOInfo{Platform: c.platform, Version: "2.7"},
			Sections: []Section{
				{Name: "functions", Offset: 88, Size: 4},
				{Name: "public-metadata", Offset: 92, Size: 4},
				{Name: "private-metadata", Offset: 96, Size: 4},
				{Name: "bitcode", Offset: 100, Size: 4},
			},
		}
		if !reflect.DeepEqual(o, want) {
			t.Errorf("%s: %+v, want %+v", name, o, want)
		}
	}
}

// fakeSize is a reader of a header alone that has the size of the whole file.
type fakeSize struct{ head []byte }

func (f fakeSize) ReadAt(p []byte, off int64) (int, error) { return copy(p, f.head[off:]), nil }

// The headers of mlx.metallib in the wheels of mlx-metal 0.29.3 for macOS 13
// (built for 13.5), and of 0.32.4 for macOS 14.0 and 26 (26.2).
func TestMetallibOfWheels(t *testing.T) {
	for _, c := range []struct {
		size           int64
		version, floor string
		header         string
	}{
		{104692148, "2.7", "13.5", "4d544c4201800200070000810d000500b4793d06000000005800000000000000808d220000000000e08d220000000000cc7f020000000000ac0d250000000000c8cc01000000000074da260000000000409f160600000000"},
		{146876416, "2.7", "14.0", "4d544c4201800200070000810e0000000028c108000000005800000000000000cc822c000000000058832c00000000007e0c030000000000d68f2f0000000000001b020000000000d6aa31000000000090e36b0700000000"},
		{214156448, "2.9", "26.2", "4d544c4201800200090000811a000200a0c4c30c0000000058000000000000003b5f310000000000dd5f31000000000092b40300000000006f14350000000000084c0200000000007760370000000000305f400b00000000"},
	} {
		head, err := hex.DecodeString(c.header)
		if err != nil {
			t.Fatal(err)
		}
		objects, err := Read(fakeSize{head}, c.size)
		if err != nil {
			t.Fatal(err)
		}
		o := objects[0]
		if o.MachO.Platform != "macos" || o.MachO.Version != c.version || o.Floors.MacOS != c.floor || o.Size != c.size {
			t.Errorf("%+v %+v, want version %s, macOS %s", o, o.MachO, c.version, c.floor)
		}
		for i, s := range o.Sections[1:] {
			if before := o.Sections[i]; s.Offset != before.Offset+before.Size && i > 0 {
				t.Errorf("%+v does not follow %+v", s, before)
			}
		}
	}
}

func TestMetallibDamaged(t *testing.T) {
	good := metallib(0x8001, 0, 0x81, 14, 0)
	for at := 4; at < len(good); at++ {
		if _, err := readBytes(good[:at]); err == nil || !strings.HasPrefix(err.Error(), "damaged metallib file: ") {
			t.Fatalf("cut at %d: %v", at, err)
		}
	}
	if _, err := readBytes(append(good, 0)); err == nil || !strings.Contains(err.Error(), "appended") {
		t.Errorf("one byte more: %v", err)
	}
	for _, at := range []int{24, 32, 72, 80} {
		b := metallib(0x8001, 0, 0x81, 14, 0)
		binary.LittleEndian.PutUint64(b[at:], 1<<64-1)
		if _, err := readBytes(b); err == nil {
			t.Errorf("2^64-1 at %d: no error", at)
		}
	}
	binary.LittleEndian.PutUint64(good[24:], 4)
	if _, err := readBytes(good); err == nil || !strings.Contains(err.Error(), "within the header") {
		t.Errorf("functions in the header: %v", err)
	}
}

// Metal's compiler makes universal files of shaders as well.
func TestMetallibUniversal(t *testing.T) {
	data := fat(false, fatSlice{cpu: 0x01000017, data: metallib(0x8001, 0, 0x81, 14, 0)}, fatSlice{cpu: 0x0100000c, data: newMacho().bytes()})
	objects, err := readBytes(data)
	if err != nil {
		t.Fatal(err)
	}
	o := objects[0]
	if o.Format != Metallib || !o.MachO.Universal || o.Offset != 48 || string(data[o.Sections[3].Offset:][:o.Sections[3].Size]) != "dddd" {
		t.Errorf("%+v", o)
	}
}
