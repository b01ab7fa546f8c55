package objfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

const (
	elfPage  = 4096
	elfPages = 16
	// elfMaxString bounds one string, elfMaxStrings all strings of a file: names
	// may share their ends, so that a small file can hold any number of long ones.
	elfMaxString  = 64 << 10
	elfMaxStrings = 16 << 20
)

// elfSource reads a file by pages and keeps the last few of them: what is read
// of an ELF file are small things that lie together in a few places.
type elfSource struct {
	r       io.ReaderAt
	size    int64
	pages   [elfPages]elfPageData
	last    int // the page of the last answer
	next    int // the page to be replaced next
	strings int // bytes of the strings read so far
	text    []byte
}

type elfPageData struct {
	at   int64
	data []byte
}

// within says that n bytes from off are bytes of the file.
func (s *elfSource) within(off, n uint64) bool {
	size := uint64(max(s.size, 0))
	return off <= size && n <= size-off
}

// page returns the bytes from off to the end of its page; off is within the
// file. They are valid until the next call.
func (s *elfSource) page(off int64) ([]byte, error) {
	at := off &^ (elfPage - 1)
	for i := range s.pages {
		j := (s.last + i) % elfPages
		if p := &s.pages[j]; p.data != nil && p.at == at {
			s.last = j
			return p.data[off-at:], nil
		}
	}
	p := &s.pages[s.next]
	data, want := p.data, int(min(elfPage, s.size-at))
	if cap(data) < want {
		data = make([]byte, want)
	}
	data = data[:want]
	p.data = nil
	if n, err := s.r.ReadAt(data, at); n < len(data) {
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, fmt.Errorf("reading %d bytes at offset %#x: %w", len(data), at, err)
	}
	p.at, p.data = at, data
	s.last, s.next = s.next, (s.next+1)%elfPages
	return data[off-at:], nil
}

// read fills b from off; what names the bytes in an error.
func (s *elfSource) read(b []byte, off uint64, what string) error {
	if !s.within(off, uint64(len(b))) {
		return damagedELF("%s: %d bytes at offset %#x lie outside of the file of %d bytes", what, len(b), off, s.size)
	}
	for at := int64(off); len(b) > 0; {
		page, err := s.page(at)
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		n := copy(b, page)
		b, at = b[n:], at+int64(n)
	}
	return nil
}

// elfStrings is a string table: size bytes at off, which are within the file.
type elfStrings struct {
	off, size uint64
}

// str reads the string at index i of a table, up to its NUL.
func (s *elfSource) str(t elfStrings, i uint64, what string) (string, error) {
	if i >= t.size {
		return "", damagedELF("%s: its name is at %#x of a string table of %d bytes", what, i, t.size)
	}
	text := s.text[:0]
	for at, left := t.off+i, t.size-i; left > 0; {
		page, err := s.page(int64(at))
		if err != nil {
			return "", fmt.Errorf("%s: %w", what, err)
		}
		page = page[:min(uint64(len(page)), left)]
		end := bytes.IndexByte(page, 0)
		if end >= 0 {
			page = page[:end]
		}
		if len(text)+len(page) > elfMaxString {
			return "", fmt.Errorf("%s: its name is longer than the %d bytes that are read of one", what, elfMaxString)
		}
		text = append(text, page...)
		s.text = text
		if end >= 0 {
			if s.strings += len(text); s.strings > elfMaxStrings {
				return "", fmt.Errorf("%s: the names of this ELF file are together longer than the %d bytes that are read of them", what, elfMaxStrings)
			}
			return string(text), nil
		}
		at, left = at+uint64(len(page)), left-uint64(len(page))
	}
	return "", damagedELF("%s: its name at %#x does not end in the string table of %d bytes", what, i, t.size)
}

// damagedELF is the error of a file that breaks the format's rules. Names in it
// are quoted and cut: they are the file's, and may hold anything.
func damagedELF(format string, args ...any) error {
	return fmt.Errorf("damaged ELF file: "+format, args...)
}
