package fatbin

import (
	"bytes"
	"errors"
	"io"
	"runtime"
	"sync"
)

// magic begins every container.
const (
	magic    = "\x50\xed\x55\xba"
	magicLen = int64(len(magic))
)

const (
	// hop is how much is read at a time where the next thing is expected at one
	// place: the end of one container and the start of the next lie together.
	hop = 512
	// piece is how much one processor core reads and looks through at a time.
	piece = 1 << 19
	// maxCores bounds the memory: more of them only wait for it.
	maxCores = 8
)

// window is the stretch of the file that was read last, up to data's length
// from start on.
type window struct {
	r     io.ReaderAt
	start int64
	data  []byte
	buf   []byte
	// first is where in data the first magic number begins, -1 if none does,
	// unsearched where nobody has looked.
	first int
}

const unsearched = -2

func (w *window) has(off, n int64) bool {
	return w.start <= off && off+n <= w.start+int64(len(w.data))
}

// at gives the n bytes at off, of a part that ends at end. They are good until
// the next call.
func (w *window) at(off, n, end int64) ([]byte, error) {
	if !w.has(off, n) {
		if err := w.read(off, min(max(hop, n), end-off)); err != nil {
			return nil, err
		}
	}
	from := off - w.start
	return w.data[from : from+n], nil
}

// find gives the place of the next magic number from off on that ends before
// end, or -1. The pieces that it reads grow, so that a search over much takes
// few calls, and one over little reads little.
func (w *window) find(off, end int64) (int64, error) {
	for n := int64(hop); end-off >= magicLen; n = grow(n) {
		if !w.has(off, magicLen) {
			if err := w.search(off, min(n, end-off)); err != nil {
				return 0, err
			}
		}
		from := int(off - w.start)
		i := w.first
		if i == unsearched || 0 <= i && i < from {
			if i = index(w.data[from:]); i >= 0 {
				i += from
			}
		}
		if i >= 0 {
			// The window may reach beyond end.
			if found := w.start + int64(i); found <= end-magicLen {
				return found, nil
			}
			return -1, nil
		}
		off = w.start + int64(len(w.data)) - (magicLen - 1)
	}
	return -1, nil
}

// skipZeros gives the place of the next byte from off on that is not zero, or
// end.
func (w *window) skipZeros(off, end int64) (int64, error) {
	for n := int64(hop); off < end; n = grow(n) {
		if !w.has(off, 1) {
			if err := w.read(off, min(n, end-off)); err != nil {
				return 0, err
			}
		}
		rest := w.data[off-w.start:]
		if i := len(rest) - len(bytes.TrimLeft(rest, "\x00")); i < len(rest) {
			return min(off+int64(i), end), nil
		}
		off += int64(len(rest))
	}
	return end, nil
}

// grow gives how much to read after n bytes.
func grow(n int64) int64 {
	return min(8*n, int64(piece*max(1, min(runtime.GOMAXPROCS(0), maxCores))))
}

func (w *window) read(off, n int64) error {
	if int64(cap(w.buf)) < n {
		w.buf = make([]byte, n)
	}
	w.data = nil
	data := w.buf[:n]
	if err := readFull(w.r, data, off); err != nil {
		return err
	}
	w.start, w.data, w.first = off, data, unsearched
	return nil
}

// search reads, and looks for the first magic number, in pieces on all cores.
func (w *window) search(off, n int64) error {
	if n <= piece {
		return w.read(off, n)
	}
	if int64(cap(w.buf)) < n {
		w.buf = make([]byte, n)
	}
	w.data = nil
	data := w.buf[:n]
	hits, errs := make([]int, (n+piece-1)/piece), make([]error, (n+piece-1)/piece)
	var wait sync.WaitGroup
	for i := range hits {
		wait.Go(func() {
			part := data[i*piece : min((i+1)*piece, len(data))]
			errs[i] = readFull(w.r, part, off+int64(i*piece))
			hits[i] = index(part)
		})
	}
	wait.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	w.start, w.data, w.first = off, data, first(data, hits)
	return nil
}

// first is the first magic number, where hits has each piece's own first.
func first(data []byte, hits []int) int {
	for i, hit := range hits {
		if hit >= 0 {
			return i*piece + hit
		}
		// One may lie across the border to the next piece.
		low := min((i+1)*piece, len(data)) - int(magicLen-1)
		if hit := index(data[max(low, 0):min(low+2*int(magicLen-1), len(data))]); hit >= 0 {
			return max(low, 0) + hit
		}
	}
	return -1
}

// dense is how many bytes index looks at one by one where the rare byte is not
// rare.
const dense = 256

// index is the place of the first magic number in data, or -1. Of its bytes 0xed
// is rare in code and in tables, so that most of data is passed over by
// IndexByte, several times faster than Index.
func index(data []byte) int {
	end := len(data) - 2
	for i := 1; i < end; i++ {
		skip := bytes.IndexByte(data[i:end], magic[1])
		if skip < 0 {
			return -1
		}
		i += skip
		stop := i + 1
		if skip < 16 {
			stop = min(i+dense, end)
		}
		for ; i < stop; i++ {
			if data[i] == magic[1] && data[i-1] == magic[0] && data[i+1] == magic[2] && data[i+2] == magic[3] {
				return i - 1
			}
		}
		i--
	}
	return -1
}

func readFull(r io.ReaderAt, data []byte, off int64) error {
	n, err := r.ReadAt(data, off)
	switch {
	case n == len(data):
		return nil
	case err == nil || errors.Is(err, io.EOF):
		return io.ErrUnexpectedEOF
	}
	return err
}
