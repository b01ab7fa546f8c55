package toolkit

import (
	"fmt"
	"os"
	"path/filepath"
)

// Cached returns the toolkit of the platform as it lies in the cache, and
// changes nothing. The error wraps os.ErrNotExist where it was not fetched.
func (f Fetcher) Cached(name string, lock *Lock, platform string) (*Toolkit, error) {
	return open(f.dir(name, platform, Digest(lock.Platforms[platform])), platform)
}

// dir is the place of the toolkit that the digest identifies.
func (f Fetcher) dir(name, platform, digest string) string {
	return filepath.Join(f.Cache, "toolkits", fmt.Sprintf("%s-%s-%s", name, platform, digest[:16]))
}

// Need is the disk space, in bytes, that fetching the wheels takes: what they
// hold, those of them that are not in the cache yet, and what is left free.
func (f Fetcher) Need(wheels []Wheel) int64 {
	var need int64 = spare
	for _, w := range wheels {
		need += w.Unpacked
		if _, err := os.Stat(filepath.Join(f.wheelDir(), w.SHA256[:16]+"-"+w.File)); err != nil {
			need += w.Size
		}
	}
	return need
}
