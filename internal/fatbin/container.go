package fatbin

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"strconv"
)

// The sizes of a container's header and of the part of an entry's header that
// every entry has, in bytes.
const (
	containerSize = 16
	entrySize     = 64
)

// maxSize is the largest size of an image after decompression that is believed.
const maxSize = 1 << 40

// What an entry's kind and flags mean; docs/fatbin.md.
const (
	kindPTX    = 0x1
	kindCubin  = 0x2
	kindLTOIR  = 0x8
	kindConcat = 0x100

	flagDebug = 1 << 1
	flagLZ4   = 1 << 13
	flagZstd  = 1 << 15
	flagA     = 1 << 20
	flagF     = 1 << 21
)

var kinds = map[uint16]Kind{kindPTX: PTX, kindCubin: Cubin, kindLTOIR: LTOIR}

// damage is something that is no container, or no whole one.
type damage struct {
	offset int64
	what   string
}

func (d *damage) Error() string { return fmt.Sprintf("offset %#x: %s", d.offset, d.what) }

func damaged(offset int64, format string, args ...any) error {
	return &damage{offset, fmt.Sprintf(format, args...)}
}

// errTooMany ends what no real file asks for.
var errTooMany = fmt.Errorf("more than %d images of GPU code, or too much that looks like it; relmat reads no file with so many", maxImages)

// scanner collects the images of a file.
type scanner struct {
	window
	images []Image
	// budget is how many magic numbers, containers and entries may still be looked
	// at, so that many containers that all but hold together take no more time
	// than real ones.
	budget int
}

// section lists the images of one part of the file.
func (s *scanner) section(p part) error {
	var err error
	if p.trust == only {
		err = s.walk(p)
	} else {
		err = s.scan(p)
	}
	var broken *damage
	switch {
	case err == nil:
		return nil
	case errors.As(err, &broken):
		return fmt.Errorf("section %s, %w; the file is damaged or of a newer form than relmat knows", p.name, err)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("section %s, offset %#x, %d bytes: the file ends before it; it was cut short", p.name, p.start, p.end-p.start)
	}
	return fmt.Errorf("section %s: %w", p.name, err)
}

// walk goes from container to container where nothing else stands.
func (s *scanner) walk(p part) error {
	at := p.start
	for {
		var err error
		if at, err = s.skipZeros(at, p.end); err != nil || at == p.end {
			return err
		}
		b, err := s.at(at, min(magicLen, p.end-at), p.end)
		if err != nil {
			return err
		}
		if string(b) != magic {
			return damaged(at, "% x is neither a fat binary nor zeros", b)
		}
		if at, err = s.container(p, at); err != nil {
			return err
		}
	}
}

// scan finds containers among other things.
func (s *scanner) scan(p part) error {
	at := p.start
	for {
		var err error
		if at, err = s.find(at, p.end); err != nil || at < 0 {
			return err
		}
		if err := s.spend(); err != nil {
			return err
		}
		plausible, err := s.plausible(p, at)
		if err != nil {
			return err
		}
		if !plausible {
			at += magicLen
			continue
		}
		before := len(s.images)
		end, err := s.container(p, at)
		var broken *damage
		switch {
		case err == nil:
			at = end
		case p.trust == guess && errors.As(err, &broken):
			s.images = s.images[:before]
			at += magicLen
		default:
			return err
		}
	}
}

// plausible tells whether the magic number at a place is followed by what a
// container's header has there. By chance four bytes are the magic number, but
// hardly one of the next fields, too: among containers that is a newer form.
func (s *scanner) plausible(p part, at int64) (bool, error) {
	if p.end-at < containerSize {
		return false, nil
	}
	b, err := s.at(at, containerSize, p.end)
	if err != nil {
		return false, err
	}
	version, header := binary.LittleEndian.Uint16(b[4:]) == 1, binary.LittleEndian.Uint16(b[6:]) == containerSize
	return version && header || p.trust == mixed && (version || header), nil
}

// spend counts what has been looked at.
func (s *scanner) spend() error {
	if s.budget--; s.budget < 0 {
		return errTooMany
	}
	return nil
}

func (s *scanner) add(i Image) error {
	if len(s.images) == maxImages {
		return errTooMany
	}
	s.images = append(s.images, i)
	return nil
}

// container lists the images of the container at a place, and gives its end.
func (s *scanner) container(p part, at int64) (end int64, err error) {
	if err := s.spend(); err != nil {
		return 0, err
	}
	if p.end-at < containerSize {
		return 0, damaged(at, "a container's header is cut off")
	}
	b, err := s.at(at, containerSize, p.end)
	if err != nil {
		return 0, err
	}
	version, header, size := binary.LittleEndian.Uint16(b[4:]), binary.LittleEndian.Uint16(b[6:]), binary.LittleEndian.Uint64(b[8:])
	pos := at + containerSize
	switch {
	case version != 1 || header != containerSize:
		return 0, damaged(at, "a container of version %d with a header of %d bytes, where 1 and %d are known", version, header, containerSize)
	case size > uint64(p.end-pos):
		return 0, damaged(at, "a container of %d bytes, where %d are left", size, p.end-pos)
	}
	end = pos + int64(size)
	for pos < end {
		if pos, err = s.entry(p, pos, end); err != nil {
			return 0, err
		}
	}
	return end, nil
}

// header is an entry's.
type header struct {
	kind, version      uint16
	size               uint32 // of the header; in a concatenation the place in the blob
	stored             uint64
	compressed         uint32
	options            uint32
	minor, major       uint16
	sm                 uint32
	nameAt, nameLength uint32
	flags              uint64
	original           uint64
}

func parseHeader(b []byte) header {
	le := binary.LittleEndian
	return header{
		kind: le.Uint16(b), version: le.Uint16(b[2:]), size: le.Uint32(b[4:]), stored: le.Uint64(b[8:]),
		compressed: le.Uint32(b[0x10:]), options: le.Uint32(b[0x14:]), minor: le.Uint16(b[0x18:]), major: le.Uint16(b[0x1a:]),
		sm: le.Uint32(b[0x1c:]), nameAt: le.Uint32(b[0x20:]), nameLength: le.Uint32(b[0x24:]),
		flags: le.Uint64(b[0x28:]), original: le.Uint64(b[0x38:]),
	}
}

// entry lists what the entry at a place describes, and gives the place of the
// next one.
func (s *scanner) entry(p part, pos, end int64) (next int64, err error) {
	if err := s.spend(); err != nil {
		return 0, err
	}
	if end-pos < entrySize {
		return 0, damaged(pos, "an entry is cut off by its container's end")
	}
	b, err := s.at(pos, entrySize, p.end)
	if err != nil {
		return 0, err
	}
	h := parseHeader(b)
	left := uint64(end - pos)
	switch {
	case h.version != 0x0101:
		return 0, damaged(pos, "an entry of version %#04x, where 0x0101 is known", h.version)
	case h.size < entrySize || uint64(h.size) > left:
		return 0, damaged(pos, "an entry's header of %d bytes, where %d are left", h.size, left)
	case h.stored > left-uint64(h.size):
		return 0, damaged(pos, "an image of %d bytes, where %d are left", h.stored, left-uint64(h.size))
	case uint64(h.compressed) > h.stored:
		return 0, damaged(pos, "an image of %d bytes, compressed, in %d", h.compressed, h.stored)
	case h.original > maxSize:
		return 0, damaged(pos, "an image that would be of %d bytes", h.original)
	}
	next = pos + int64(h.size) + int64(h.stored)
	if h.kind == kindConcat {
		return next, s.concatenation(p, pos, h)
	}
	image, err := h.image(p, pos)
	if err != nil {
		return 0, err
	}
	image.Compression, image.Stored, image.Size = h.compression(), int64(h.stored), int64(h.stored)
	if h.compressed != 0 {
		image.Stored, image.Size = int64(h.compressed), int64(h.original)
	}
	return next, s.add(image)
}

func (h header) compression() Compression {
	switch {
	case h.compressed == 0:
		return None
	case h.flags&flagZstd != 0:
		return Zstd
	case h.flags&flagLZ4 != 0:
		return LZ4
	}
	return unknownCompression
}

// image is what the header says, but for sizes and compression.
func (h header) image(p part, pos int64) (Image, error) {
	if h.sm == 0 || h.sm > 9999 {
		return Image{}, damaged(pos, "an image for the architecture %d, which cannot be", h.sm)
	}
	i := Image{SM: int(h.sm), Section: p.name, Offset: pos, Debug: h.flags&flagDebug != 0}
	i.Kind = kinds[h.kind]
	if i.Kind == "" {
		i.Kind = Kind(fmt.Sprintf("%#04x", h.kind))
	}
	switch {
	case h.flags&flagA != 0:
		i.Suffix = "a"
	case h.flags&flagF != 0:
		i.Suffix = "f"
	}
	if i.Kind == PTX {
		i.PTXISA = strconv.Itoa(int(h.major)) + "." + strconv.Itoa(int(h.minor))
	}
	return i, nil
}

// concatenation lists the images that were compressed together. Their entries
// stand in the header, at its options: their count, the size of the table, and
// one after another, each as long as its name and options make it.
func (s *scanner) concatenation(p part, pos int64, outer header) error {
	at, limit := uint64(outer.options), uint64(outer.size)
	if at < entrySize || at+8 > limit {
		return damaged(pos, "a concatenation without a table in its header")
	}
	b, err := s.at(pos+int64(at), 8, p.end)
	if err != nil {
		return err
	}
	count, size := binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:])
	if uint64(size) > limit-at || uint64(size) < 8+entrySize*uint64(count) {
		return damaged(pos, "a concatenation of %d images in a table of %d bytes, in a header of %d", count, size, limit)
	}
	first, total, tableEnd := len(s.images), uint64(0), at+uint64(size)
	at += 8
	for range count {
		if err := s.spend(); err != nil {
			return err
		}
		h, length, err := s.nested(p, pos+int64(at), pos+int64(tableEnd))
		if err != nil {
			return err
		}
		image, err := h.image(p, pos)
		if err != nil {
			return err
		}
		if h.stored > maxSize || outer.original != 0 && uint64(h.size)+h.stored > outer.original {
			return damaged(pos, "an image of %d bytes at %d in a concatenation of %d", h.stored, h.size, outer.original)
		}
		image.Compression, image.Size = outer.compression(), int64(h.stored)
		if err := s.add(image); err != nil {
			return err
		}
		total += h.stored
		at += length
	}
	if at != tableEnd {
		return damaged(pos, "a concatenation whose table is of %d bytes, and its entries of %d", size, at+uint64(size)-tableEnd)
	}
	stored := outer.stored
	if outer.compressed != 0 {
		stored = uint64(outer.compressed)
	}
	share(s.images[first:], stored, total)
	return nil
}

// nested reads one entry of a concatenation, and how long it is: up to the end
// of its name and options and the zero byte behind them, padded to 8.
func (s *scanner) nested(p part, at, end int64) (h header, length uint64, err error) {
	if end-at < entrySize {
		return header{}, 0, damaged(at, "an entry of a concatenation is cut off")
	}
	b, err := s.at(at, entrySize, p.end)
	if err != nil {
		return header{}, 0, err
	}
	h = parseHeader(b)
	if h.version != 0x0101 || h.kind == kindConcat {
		return header{}, 0, damaged(at, "an entry of the kind %#x and version %#04x in a concatenation", h.kind, h.version)
	}
	length = entrySize
	if h.nameAt != 0 {
		length = max(length, padded(uint64(h.nameAt)+uint64(h.nameLength)))
	}
	if h.options != 0 {
		if int64(h.options) > end-at-8 {
			return header{}, 0, damaged(at, "an entry of a concatenation whose options lie %d bytes behind it", h.options)
		}
		if b, err = s.at(at+int64(h.options), 8, p.end); err != nil {
			return header{}, 0, err
		}
		length = max(length, padded(uint64(binary.LittleEndian.Uint32(b))+uint64(binary.LittleEndian.Uint32(b[4:]))))
	}
	if length > uint64(end-at) {
		return header{}, 0, damaged(at, "an entry of %d bytes in a concatenation, where %d are left", length, end-at)
	}
	return h, length, nil
}

// padded is the size of a text that ends at n, with its zero byte.
func padded(n uint64) uint64 { return (n + 1 + 7) &^ 7 }

// share divides what images take together by their sizes.
func share(images []Image, stored, total uint64) {
	var sum, given uint64
	for i := range images {
		sum += uint64(images[i].Size)
		upTo := stored
		if total != 0 {
			high, low := bits.Mul64(stored, sum)
			upTo, _ = bits.Div64(high, low, total)
		}
		images[i].Stored = int64(upTo - given)
		given = upTo
	}
}
