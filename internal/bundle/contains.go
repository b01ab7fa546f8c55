package bundle

import (
	"bytes"
	"errors"
	"io"
	"os"
)

// contains tells whether a file holds a text, in whatever case.
func contains(file, text string) (bool, error) {
	f, err := os.Open(file)
	if err != nil {
		return false, err
	}
	defer f.Close()
	want := bytes.ToLower([]byte(text))
	// What begins at the end of a piece is seen whole in the next one.
	keep := len(want) - 1
	buf := make([]byte, max(1<<20, 2*len(want)))
	have := 0
	for {
		n, err := io.ReadFull(f, buf[have:])
		piece := buf[:have+n]
		for i := have; i < len(piece); i++ {
			if c := piece[i]; c >= 'A' && c <= 'Z' {
				piece[i] = c + 'a' - 'A'
			}
		}
		if bytes.Contains(piece, want) {
			return true, nil
		}
		switch {
		case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
			return false, nil
		case err != nil:
			return false, err
		}
		have = copy(buf, piece[len(piece)-keep:])
	}
}
