package githubtest

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// store keeps the bytes of assets, each in a file named by its id.
type store struct{ dir string }

func (s store) path(id int64) string { return filepath.Join(s.dir, fmt.Sprintf("asset-%d", id)) }

// keepError is an error of the disk and not of the client.
type keepError struct{ error }

// put takes the bytes of an asset and returns their SHA-256 in hex (empty
// without hash) and their number. What is not complete stays for drop.
func (s store) put(id int64, from io.Reader, discard, hash bool) (string, int64, error) {
	sum := sha256.New()
	var to []io.Writer
	if hash {
		to = append(to, sum)
	}
	if !discard {
		f, err := os.Create(s.path(id))
		if err != nil {
			return "", 0, keepError{err}
		}
		defer f.Close()
		to = append(to, keeping{f})
	}
	n, err := io.CopyBuffer(struct{ io.Writer }{io.MultiWriter(to...)}, struct{ io.Reader }{from}, make([]byte, 256<<10))
	if err != nil || !hash {
		return "", n, err
	}
	return hex.EncodeToString(sum.Sum(nil)), n, nil
}

// keeping marks the errors of its writer.
type keeping struct{ io.Writer }

func (k keeping) Write(p []byte) (int, error) {
	n, err := k.Writer.Write(p)
	if err != nil {
		err = keepError{err}
	}
	return n, err
}

func (s store) get(id int64) ([]byte, error) { return os.ReadFile(s.path(id)) }

func (s store) open(id int64) (*os.File, error) { return os.Open(s.path(id)) }

func (s store) drop(id int64) { os.Remove(s.path(id)) }
