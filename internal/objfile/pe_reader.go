package objfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

const (
	pePage = 4 << 10
	// pePages are kept at once: descriptors, thunks and names lie apart and are
	// read in turn.
	pePages = 16
)

// peReader reads a file of known size in whole pages and keeps a few, so that
// walking a table entry by entry costs few reads.
type peReader struct {
	r     io.ReaderAt
	size  int64
	pages [pePages]struct {
		number int64 // counted from 1; 0 is an empty place
		data   []byte
	}
}

func newPEReader(r io.ReaderAt, size int64) *peReader {
	return &peReader{r: r, size: size}
}

// read fills buf from an offset in the file.
func (p *peReader) read(buf []byte, offset int64) error {
	if offset < 0 || offset > p.size || int64(len(buf)) > p.size-offset {
		return fmt.Errorf("bytes %#x+%#x lie past the end of the file of %d bytes: it is cut off or damaged", offset, len(buf), p.size)
	}
	for len(buf) > 0 {
		page, err := p.page(offset / pePage)
		if err != nil {
			return err
		}
		n := copy(buf, page[offset%pePage:])
		buf, offset = buf[n:], offset+int64(n)
	}
	return nil
}

// page gives the page of a number that lies in the file.
func (p *peReader) page(number int64) ([]byte, error) {
	slot := &p.pages[number%pePages]
	if slot.number == number+1 {
		return slot.data, nil
	}
	start := number * pePage
	length := int(min(pePage, p.size-start))
	if slot.data == nil {
		slot.data = make([]byte, pePage)
	}
	slot.number, slot.data = 0, slot.data[:length]
	n, err := p.r.ReadAt(slot.data, start)
	if n < length {
		if err == nil || errors.Is(err, io.EOF) {
			err = fmt.Errorf("the file ends at byte %d, before its size of %d", start+int64(n), p.size)
		}
		return nil, err
	}
	slot.number = number + 1
	return slot.data, nil
}

// peCString reads a string up to its NUL, of at most limit bytes.
func (p *peReader) cString(offset int64, limit int) (string, error) {
	return peCString(limit, func(at int, buf []byte) (int, error) {
		n := int(min(int64(len(buf)), p.size-offset-int64(at)))
		if n <= 0 {
			n = 1 // past the end: let read say so
		}
		return n, p.read(buf[:n], offset+int64(at))
	})
}

// peCString collects bytes up to a NUL. read fills a part of buf, at least one
// byte, from a position in the string.
func peCString(limit int, read func(at int, buf []byte) (int, error)) (string, error) {
	var out []byte
	var buf [64]byte
	for len(out) <= limit {
		n, err := read(len(out), buf[:])
		if err != nil {
			return "", err
		}
		if i := bytes.IndexByte(buf[:n], 0); i >= 0 {
			out = append(out, buf[:i]...)
			if len(out) > limit {
				break
			}
			return string(out), nil
		}
		out = append(out, buf[:n]...)
	}
	return "", fmt.Errorf("a name is longer than %d bytes", limit)
}
