package toolkit

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
)

// Cached returns the toolkit of the platform as it lies in the cache, and
// changes nothing. The error wraps os.ErrNotExist where it was not fetched.
func (f Fetcher) Cached(name string, lock *Lock, platform string) (*Toolkit, error) {
	return open(f.dir(name, platform, Digest(lock.Platforms[platform])), platform)
}

// dir is the place of the toolkit that the digest identifies.
func (f Fetcher) dir(name, platform, digest string) string {
	return filepath.Join(f.Cache, "toolkits", dirName(name, platform, digest))
}

// idDigits is how much of a SHA-256 the names in the cache carry.
const idDigits = 16

func dirName(name, platform, digest string) string {
	return fmt.Sprintf("%s-%s-%s", name, platform, digest[:idDigits])
}

// cacheName is the wheel's file name in the cache.
func (w Wheel) cacheName() string { return w.SHA256[:idDigits] + "-" + w.File }

// CacheNames are the names in the cache of all that a lock file names, for
// every platform: directories of toolkits and files of wheels.
func CacheNames(name string, lock *Lock) []string {
	var names []string
	for platform, wheels := range lock.Platforms {
		names = append(names, dirName(name, platform, Digest(wheels)))
		for _, w := range wheels {
			names = append(names, w.cacheName())
		}
	}
	return names
}

// What a toolkit's directory and a wheel are called in the cache.
var (
	toolkitDir  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]*-(linux|macos|windows)-(x86_64|aarch64)-[0-9a-f]{16}$`)
	cachedWheel = regexp.MustCompile(`^[0-9a-f]{16}-[^/]+\.whl$`)
)

// IsToolkitDir tells whether the cache gives such a name to a toolkit.
func IsToolkitDir(name string) bool { return toolkitDir.MatchString(name) }

// IsCachedWheel tells whether the cache gives such a name to a wheel.
func IsCachedWheel(name string) bool { return cachedWheel.MatchString(name) }

// Need is the disk space, in bytes, that fetching the wheels takes: what they
// hold, those of them that are not in the cache yet, and what is left free.
func (f Fetcher) Need(wheels []Wheel) int64 {
	var need int64 = spare
	for _, w := range wheels {
		need += w.Unpacked
		if _, err := os.Stat(filepath.Join(f.wheelDir(), w.cacheName())); err != nil {
			need += w.Size
		}
	}
	return need
}
