package fsx

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// settled is how old a file's modification time must be for its digest to be
// remembered: within one tick of the file system's clock a second write would
// leave no trace.
const settled = 100 * time.Millisecond

// Digests computes SHA-256 digests of files and remembers them by path. A
// digest stands for a file as long as its size, modification time and inode
// are what they were; a cache that is lost or damaged only costs time.
type Digests struct {
	path string

	mu    sync.Mutex
	known map[string]digestEntry
	dirty bool
}

type digestEntry struct {
	Size   int64  `json:"size"`
	MTime  int64  `json:"mtime_ns"`
	Inode  uint64 `json:"inode"`
	SHA256 string `json:"sha256"`
}

// OpenDigests reads the cache file at path; an empty path keeps it in memory.
func OpenDigests(path string) *Digests {
	d := &Digests{path: path, known: map[string]digestEntry{}}
	if path == "" {
		return d
	}
	data, err := os.ReadFile(path)
	if err != nil || json.Unmarshal(data, &d.known) != nil || d.known == nil {
		d.known = map[string]digestEntry{}
	}
	return d
}

// File returns the SHA-256 of the regular file at path, in lower-case
// hexadecimal, and its size in bytes.
func (d *Digests) File(path string) (sum string, size int64, err error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", 0, err
	}
	f, err := os.Open(abs)
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", 0, err
	}
	if !info.Mode().IsRegular() {
		return "", 0, &fs.PathError{Op: "digest", Path: path, Err: fs.ErrInvalid}
	}
	now := entryOf(f, info)
	if sum, ok := d.recall(abs, now); ok {
		return sum, now.Size, nil
	}
	sum, n, err := hashReader(f)
	if err != nil {
		return "", 0, err
	}
	now.SHA256 = sum
	d.mu.Lock()
	defer d.mu.Unlock()
	// A file that grew under our hands is not remembered, nor a fresh one.
	if n == now.Size && time.Since(info.ModTime()) > settled {
		d.known[abs] = now
		d.dirty = true
	}
	return sum, n, nil
}

// entryOf describes an open file, without its digest.
func entryOf(f *os.File, info fs.FileInfo) digestEntry {
	return digestEntry{Size: info.Size(), MTime: info.ModTime().UnixNano(), Inode: inode(f, info)}
}

// recall returns the digest that was remembered for the file as it is now.
func (d *Digests) recall(abs string, now digestEntry) (string, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	old, ok := d.known[abs]
	now.SHA256 = old.SHA256
	return old.SHA256, ok && now == old && len(old.SHA256) == 2*sha256.Size
}

// Known returns the digest of an open file if it is remembered for the file as
// it is now. It reads nothing of the file, so that it can be asked before the
// bytes are used and again after.
func (d *Digests) Known(f *os.File) (sum string, ok bool) {
	abs, err := filepath.Abs(f.Name())
	if err != nil {
		return "", false
	}
	info, err := f.Stat()
	if err != nil {
		return "", false
	}
	return d.recall(abs, entryOf(f, info))
}

// Forget drops what is remembered of the file at path, which is hashed anew
// when it is asked for next.
func (d *Digests) Forget(path string) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, ok := d.known[abs]; ok {
		delete(d.known, abs)
		d.dirty = true
	}
}

// Save writes the cache back if it learned something, without the files that
// are gone.
func (d *Digests) Save() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.path == "" || !d.dirty {
		return nil
	}
	for path := range d.known {
		if _, err := os.Lstat(path); err != nil {
			delete(d.known, path)
		}
	}
	data, err := json.Marshal(d.known)
	if err != nil {
		return err
	}
	d.dirty = false
	return WriteFile(d.path, data, 0o644)
}

// SHA256File hashes the file at path without any cache.
func SHA256File(path string) (sum string, size int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	return hashReader(f)
}

func hashReader(r io.Reader) (string, int64, error) {
	h := sha256.New()
	n, err := io.CopyBuffer(h, onlyReader{r}, make([]byte, 1<<20))
	if err != nil {
		return "", 0, err
	}
	return hex.EncodeToString(h.Sum(nil)), n, nil
}

// onlyReader hides WriterTo, which would ignore the large buffer.
type onlyReader struct{ io.Reader }
