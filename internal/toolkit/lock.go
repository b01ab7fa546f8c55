// Package toolkit makes CUDA toolkits out of NVIDIA's wheels: pinned by version
// and digest in a lock file, fetched through pip into the user's cache, and
// laid out so that nvcc and CMake take them for an installed toolkit.
package toolkit

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/relmat/relmat/internal/fsx"
)

// LockSchema is the version of the lock file's form.
const LockSchema = 1

// maxSize bounds a wheel and what it holds, so that sums of them are numbers;
// no index takes a file of 1 TiB.
const maxSize = 1 << 40

// Lock pins the wheels of a toolkit for every platform that needs them.
type Lock struct {
	Schema int `json:"schema"`
	// Requirements are what was resolved; a matrix that asks for others needs a
	// new lock.
	Requirements []string `json:"requirements"`
	// Platforms are the wheels by platform: "linux-x86_64".
	Platforms map[string][]Wheel `json:"platforms"`
}

// Wheel is a pinned wheel.
type Wheel struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	// File is the wheel's file name ("Binary distribution format", PyPA).
	File   string `json:"file"`
	SHA256 string `json:"sha256"`
	// Size and Unpacked are bytes, of the wheel and of what it holds.
	Size     int64 `json:"size"`
	Unpacked int64 `json:"unpacked"`
}

var (
	hexDigest = regexp.MustCompile(`^[0-9a-f]{64}$`)
	wheelFile = regexp.MustCompile(`^[A-Za-z0-9_.]+-[A-Za-z0-9_.!+]+(-[0-9][A-Za-z0-9_.]*)?-[A-Za-z0-9_.]+-[A-Za-z0-9_.]+-[A-Za-z0-9_.]+\.whl$`)
	distName  = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$`)
	version   = regexp.MustCompile(`^[A-Za-z0-9.!+_-]+$`)
)

// ReadLock reads and checks the lock file at path.
func ReadLock(path string) (*Lock, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: there is no such lock file; `relmat toolkit lock` writes it", path)
	}
	if err != nil {
		return nil, err
	}
	l, err := ParseLock(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return l, nil
}

// ParseLock checks the text of a lock file. What it holds ends in command
// lines and paths, so every word must have its form.
func ParseLock(data []byte) (*Lock, error) {
	var l Lock
	if err := json.Unmarshal(data, &l); err != nil {
		return nil, fmt.Errorf("not a lock file: %w; `relmat toolkit lock` writes it anew", err)
	}
	if l.Schema != LockSchema {
		return nil, fmt.Errorf("schema %d is unknown, this relmat reads %d", l.Schema, LockSchema)
	}
	for platform, wheels := range l.Platforms {
		for _, w := range wheels {
			switch {
			case !distName.MatchString(w.Name), !version.MatchString(w.Version),
				!wheelFile.MatchString(w.File), !hexDigest.MatchString(w.SHA256), w.Size <= 0, w.Size > maxSize, w.Unpacked < 0, w.Unpacked > maxSize:
				return nil, fmt.Errorf("%s: the entry of %q (%q) is damaged; `relmat toolkit lock` writes it anew", platform, w.Name, w.File)
			}
		}
	}
	return &l, nil
}

// Write puts the lock file at path.
func (l *Lock) Write(path string) error {
	data, err := json.MarshalIndent(l, "", "  ")
	if err != nil {
		return err
	}
	return fsx.WriteFile(path, append(data, '\n'), 0o644)
}

// Digest identifies the wheels of a platform and the way they are laid out.
func Digest(wheels []Wheel) string {
	h := sha256.New()
	fmt.Fprintf(h, "layout %d\n", LayoutVersion)
	for _, w := range wheels {
		fmt.Fprintf(h, "%s %s\n", w.SHA256, w.File)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// tags returns the platform tags of the wheel's file name, which is what pip
// must be told to take it on a host of another platform.
func (w Wheel) tags() []string {
	parts := strings.Split(strings.TrimSuffix(w.File, ".whl"), "-")
	return strings.Split(parts[len(parts)-1], ".")
}

// forCPython is the Python tag of wheels that one release of CPython takes.
var forCPython = regexp.MustCompile(`^cp(3)([0-9]+)$`)

// interpreter are the options by which pip takes a wheel for a CPython that is
// not its own: what a package needs of a wheel is not Python's.
func (w Wheel) interpreter() []string {
	parts := strings.Split(strings.TrimSuffix(w.File, ".whl"), "-")
	python, abi := parts[len(parts)-3], parts[len(parts)-2]
	m := forCPython.FindStringSubmatch(python)
	if m == nil {
		return nil
	}
	return []string{"--implementation", "cp", "--python-version", m[1] + "." + m[2], "--abi", abi}
}

// DefaultCache is the directory of toolkits and wheels: relmat's in the user's
// cache directory.
func DefaultCache() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no cache directory: %w; name one with --cache or RELMAT_CACHE", err)
	}
	return filepath.Join(dir, "relmat"), nil
}
