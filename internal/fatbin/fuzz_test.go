package fatbin

import (
	"bytes"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// FuzzImages asks of every answer that it lies in the file and does not change
// with where the file's bytes lie.
func FuzzImages(f *testing.F) {
	concat := testEntry{kind: kindConcat, flags: flagZstd, payload: 24, compressed: 20, original: 96, nested: []testEntry{
		{kind: 2, sm: 90, payload: 64, name: "k.cu"}, {kind: 1, sm: 80, major: 9, payload: 32, hasOptions: true, options: "-O1"},
	}}
	for _, data := range [][]byte{
		nil, []byte(magic), zeros(100),
		testContainer(cubin(90, flagA)),
		testContainer(testEntry{kind: 1, sm: 80, major: 9, payload: 9, hasOptions: true}, testEntry{kind: 8, sm: 75, payload: 8, name: "k.cu"}),
		join(testContainer(cubin(75, 0)), zeros(24), testContainer(cubin(80, flagF), concat)),
		join([]byte("x"), testContainer(concat), []byte(magic), testContainer()),
		rawContainer(cubin(75, 0).bytes(), 1<<64-8),
		testContainer(testEntry{kind: 2, sm: 80, stored: 1<<64 - 1}),
		testContainer(testEntry{kind: 0x40, sm: 80, header: 1<<32 - 1}),
	} {
		for section := range byte(4) {
			f.Add(section, data, uint16(len(data)/2))
		}
	}
	names := []string{".nv_fatbin", ".cask_resource", ".data", ".rodata"}
	f.Fuzz(func(t *testing.T, section byte, data []byte, shift uint16) {
		name := names[int(section)%len(names)]
		images, err := Images(bytes.NewReader(data), []Region{{name, 0, int64(len(data))}}, Options{All: true})
		if err != nil {
			if !strings.HasPrefix(err.Error(), "section "+name) || images != nil || strings.ContainsAny(err.Error(), "\n\x00") {
				t.Errorf("%d images and the error %q", len(images), err)
			}
		}
		var stored int64
		for _, i := range images {
			stored += i.Stored
			if i.Section != name || i.Offset < containerSize || i.Offset+entrySize > int64(len(data)) || i.Size < 0 || i.Size > maxSize || i.Stored < 0 || i.SM < 1 || i.Kind == "" || i.Compression == "" || (i.Kind == PTX) != (i.PTXISA != "") {
				t.Errorf("an impossible image: %+v in %d bytes", i, len(data))
			}
		}
		if !slices.IsSorted(offsets(images)) || stored > int64(len(data)) {
			t.Errorf("out of order, or larger than %d bytes: %+v", len(data), images)
		}
		count := 0
		for _, g := range Summarize(images) {
			count += g.Count
			stored -= g.Stored
		}
		if count != len(images) || stored != 0 {
			t.Errorf("the groups have %d images of %d and %d bytes less", count, len(images), stored)
		}
		Codes(images)
		moved, movedErr := Images(bytes.NewReader(join(zeros(int(shift)), data)), []Region{{name, int64(shift), int64(len(data))}}, Options{All: true})
		for i := range moved {
			moved[i].Offset -= int64(shift)
		}
		if (err == nil) != (movedErr == nil) || !reflect.DeepEqual(moved, images) {
			t.Errorf("%d bytes further: %+v, %v\nbefore: %+v, %v", shift, moved, movedErr, images, err)
		}
	})
}
