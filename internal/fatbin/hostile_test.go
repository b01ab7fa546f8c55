package fatbin

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// bounded runs f and asks that it ends soon and takes little memory.
func bounded(t *testing.T, what string, f func() error) error {
	t.Helper()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	start := time.Now()
	err := f()
	took := time.Since(start)
	runtime.ReadMemStats(&after)
	if mem := (after.TotalAlloc - before.TotalAlloc) >> 20; mem > 400 || took > time.Minute {
		t.Errorf("%s: %d MiB, %v", what, mem, took)
	}
	return err
}

func TestTooManyImages(t *testing.T) {
	small := testEntry{kind: 2, sm: 90}.bytes()
	const million, enough = 1_000_000, maxImages + 1
	table := binary.LittleEndian.AppendUint32(nil, enough)
	table = binary.LittleEndian.AppendUint32(table, uint32(8+enough*len(small)))
	table = append(table, bytes.Repeat(small, enough)...)
	concat := append(testEntry{kind: kindConcat}.head(uint32(entrySize+len(table)), entrySize, 0), table...)
	for _, tt := range []struct {
		what, section string
		data          []byte
	}{
		{"one container", ".nv_fatbin", rawContainer(bytes.Repeat(small, million), uint64(million*len(small)))},
		{"many containers", ".data", bytes.Repeat(testContainer(testEntry{kind: 2, sm: 90}), million)},
		{"one concatenation", ".cask_resource", rawContainer(concat, uint64(len(concat)))},
		{"containers without entries", ".nv_fatbin", bytes.Repeat(rawContainer(nil, 0), 5*maxImages)},
	} {
		err := bounded(t, tt.what, func() error {
			_, err := imagesOf(t, tt.section, tt.data, false)
			return err
		})
		if !errors.Is(err, errTooMany) || !strings.Contains(err.Error(), "section "+tt.section+": more than 262144 images") {
			t.Errorf("%s in %s: %v", tt.what, tt.section, err)
		}
	}
	// As many as are allowed.
	most := bytes.Repeat(small, maxImages)
	images, err := imagesOf(t, ".nv_fatbin", rawContainer(most, uint64(len(most))), false)
	if err != nil || len(images) != maxImages {
		t.Errorf("%d images: %v", len(images), err)
	}
}

// TestAlmostContainers has containers each of which holds together up to its
// end: without a limit the time would grow with their square.
func TestAlmostContainers(t *testing.T) {
	const count = 200_000
	step := containerSize + entrySize
	data := make([]byte, 0, count*step+1)
	for i := range count {
		left := uint64((count-i)*step - containerSize + 1)
		data = append(data, rawContainer(nil, left)...)
		// The entry's payload is the next container's header.
		e := testEntry{kind: 2, sm: 90}.head(entrySize, 0, containerSize)
		data = append(data, e...)
	}
	data = append(data, 1)
	err := bounded(t, "almost containers", func() error {
		_, err := imagesOf(t, ".data", data, false)
		return err
	})
	if !errors.Is(err, errTooMany) {
		t.Error(err)
	}
}

// repeated is a large file that repeats a pattern.
type repeated struct{ pattern []byte }

func (r repeated) ReadAt(b []byte, off int64) (int, error) {
	at := int(off % int64(len(r.pattern)))
	n := copy(b, r.pattern[at:])
	for n < len(b) {
		n += copy(b[n:], r.pattern)
	}
	return len(b), nil
}

func TestLargeSections(t *testing.T) {
	const size = 24 << 20
	for what, pattern := range map[string]string{
		"zeros": "\x00", "magic numbers": magic, "the rare byte": "\xed", "half of the magic number": "\x50\xed\x55\x00",
		"headers of version 2": magic + "\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00",
	} {
		err := bounded(t, what, func() error {
			images, err := Images(repeated{bytes.Repeat([]byte(pattern), 64<<10)}, []Region{{".data", 0, size}}, Options{})
			if len(images) > 0 {
				t.Errorf("%s: %d images", what, len(images))
			}
			return err
		})
		if many := what == "magic numbers" || what == "headers of version 2"; errors.Is(err, errTooMany) != many || err != nil && !many {
			t.Errorf("%s: %v", what, err)
		}
	}
	if images, err := Images(repeated{zeros(64 << 10)}, []Region{{".nv_fatbin", 0, size}}, Options{}); err != nil || images != nil {
		t.Error(images, err)
	}
	// Where the file says that it is larger than it is.
	if _, err := Images(bytes.NewReader(zeros(1<<20)), []Region{{".data", 0, 1 << 62}}, Options{}); err == nil || !strings.Contains(err.Error(), "cut short") {
		t.Error(err)
	}
	if _, err := Images(bytes.NewReader(zeros(1<<20)), []Region{{".nv_fatbin", 0, 1 << 62}}, Options{}); err == nil || !strings.Contains(err.Error(), "cut short") {
		t.Error(err)
	}
}

// TestPlaces puts containers at every place around where one read ends and the
// next begins.
func TestPlaces(t *testing.T) {
	c := testContainer(cubin(90, 0))
	var borders []int
	at := 0
	for n := int64(hop); len(borders) < 12; n = grow(n) {
		at += int(n) - int(magicLen-1)
		borders = append(borders, at)
		for i := piece; i < int(n); i += piece {
			borders = append(borders, at-int(n)+i)
		}
	}
	data := make([]byte, slices.Max(borders)+4096)
	for i := range data {
		data[i] = byte(i % 7)
	}
	for _, border := range borders {
		for shift := -20; shift < 8; shift++ {
			place := border + shift
			saved := slices.Clone(data[place : place+len(c)])
			copy(data[place:], c)
			images, err := imagesOf(t, ".data", data, false)
			if err != nil || len(images) != 1 || images[0].Offset != int64(place+containerSize) {
				t.Errorf("at %d: %d, %v", place, offsets(images), err)
			}
			copy(data[place:], saved)
		}
	}
}

// TestScattered compares with the places at which containers were put.
func TestScattered(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, all := range []bool{false, true} {
		var data []byte
		var want []int64
		for range 300 {
			gap := make([]byte, random.IntN(1<<random.IntN(18)))
			for i := range gap {
				gap[i] = []byte(magic)[random.IntN(4)]
			}
			// Chance must not make the gaps end with a magic number.
			data = append(append(data, gap...), 1)
			e := cubin(90, 0)
			e.payload = uint64(40 + random.IntN(1<<random.IntN(16)))
			want = append(want, int64(len(data)+containerSize))
			data = append(data, testContainer(e)...)
		}
		section := ".ldata"
		if all {
			section = ".text"
		}
		images, err := imagesOf(t, section, data, all)
		if err != nil || !slices.Equal(offsets(images), want) {
			t.Errorf("%s: %d images of %d, %v", section, len(images), len(want), err)
		}
	}
}

// counter counts what is read.
type counter struct {
	io.ReaderAt
	calls, bytes int
}

func (c *counter) ReadAt(b []byte, off int64) (int, error) {
	c.calls++
	c.bytes += len(b)
	return c.ReaderAt.ReadAt(b, off)
}

// TestReadsHeadersOnly asks that payloads are not read.
func TestReadsHeadersOnly(t *testing.T) {
	var entries []testEntry
	for range 100 {
		e := cubin(90, 0)
		e.payload = 100_000
		entries = append(entries, e)
	}
	data := join(testContainer(entries...), testContainer(entries...))
	for _, section := range []string{".nv_fatbin", ".cask_resource", ".data"} {
		r := &counter{ReaderAt: bytes.NewReader(data)}
		images, err := Images(r, []Region{{section, 0, int64(len(data))}}, Options{})
		if err != nil || len(images) != 200 || r.calls > 202 || r.bytes > 202*hop {
			t.Errorf("%s: %d images, %v; %d calls for %d bytes of %d", section, len(images), err, r.calls, r.bytes, len(data))
		}
	}
}
