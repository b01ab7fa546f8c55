package verify

import (
	"bytes"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
)

const (
	blockSize = 1 << 20
	// maxFound bounds the different strings that a search keeps.
	maxFound = 64
	// maxString is how far a string is followed.
	maxString = 512
)

// eachBlock hands on a file's content in blocks, of which each but the last
// has the first bytes of the next behind it, as many as a string may have.
// start is how much of the block belongs to it alone.
func eachBlock(p string, visit func(offset int64, block []byte, own int) error) error {
	f, err := os.Open(p)
	if err != nil {
		return err
	}
	defer f.Close()
	buf := make([]byte, blockSize+maxString)
	for at := int64(0); ; at += blockSize {
		n, err := f.ReadAt(buf, at)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if n == 0 {
			return nil
		}
		if err := visit(at, buf[:n], min(n, blockSize)); err != nil {
			return err
		}
		if n < len(buf) {
			return nil
		}
	}
}

// findStem returns the different words in a file that begin with a stem;
// without case those of DLLs, as Windows compares them.
func findStem(p, stem string, dll bool) ([]string, error) {
	var found []string
	var folded []byte
	if dll {
		stem = strings.ToLower(stem)
	}
	err := eachBlock(p, func(_ int64, block []byte, own int) error {
		in := block
		if dll {
			folded = lower(folded[:0], block)
			in = folded
		}
		for i := 0; i < own; i++ {
			j := bytes.Index(in[i:], []byte(stem))
			if j < 0 || i+j >= own {
				break
			}
			i += j
			end := i
			for end < len(block) && isWord(block[end]) {
				end++
			}
			if word := string(block[i:end]); len(found) < maxFound && !slices.Contains(found, word) {
				found = append(found, word)
			}
		}
		return nil
	})
	return found, err
}

// lower appends ASCII letters in lower case and all else as it is.
func lower(to, from []byte) []byte {
	for _, c := range from {
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		to = append(to, c)
	}
	return to
}

func isWord(c byte) bool {
	return isLetter(c) || '0' <= c && c <= '9' || strings.IndexByte("._-+", c) >= 0
}
