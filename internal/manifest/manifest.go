// Package manifest is the list of what a package holds: every file with its
// size, digest, mode and origin. It travels inside the package, so that what a
// user has can be judged without the machine that made it.
package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// FileName is where the manifest lies, relative to the package's root.
const FileName = "manifest.json"

// Schema is the version of the manifest's form.
const Schema = 1

// Origin says where a file comes from.
type Origin string

// The origins of a file.
const (
	Build  Origin = "build"  // made by the project's build
	Source Origin = "source" // out of the project's checkout
	Wheel  Origin = "wheel"  // out of a pinned wheel of the toolkit
)

// File is one file of a package.
type File struct {
	// Path is relative to the package's root, with slashes.
	Path string `json:"path"`
	Size int64  `json:"size"`
	// SHA256 is in lower-case hexadecimal.
	SHA256 string `json:"sha256"`
	// Mode is 0644 or 0755, in octal.
	Mode   string `json:"mode"`
	Origin Origin `json:"origin"`
	// From says more of the origin: "nvidia-cublas 13.1.0.3".
	From string `json:"from,omitempty"`
	// Role is program, library, license, or empty.
	Role string `json:"role,omitempty"`
	// Why tells for a library what needs it.
	Why string `json:"why,omitempty"`
}

// Manifest describes a package.
type Manifest struct {
	Schema  int    `json:"schema"`
	Project string `json:"project"`
	Version string `json:"version"`
	Target  string `json:"target"`
	Triple  string `json:"triple"`
	Package string `json:"package"`
	// Programs are the paths of the programs by their names.
	Programs map[string]string `json:"programs"`
	Files    []File            `json:"files"`
}

// Encode gives the manifest's bytes; the same manifest has the same bytes.
func (m Manifest) Encode() ([]byte, error) {
	m.Schema = Schema
	m.Files = slices.Clone(m.Files)
	slices.SortFunc(m.Files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	err := enc.Encode(m)
	return b.Bytes(), err
}

// Decode reads a manifest and refuses one whose paths leave the package.
func Decode(data []byte) (Manifest, error) {
	var m Manifest
	if err := json.Unmarshal(data, &m); err != nil {
		return m, fmt.Errorf("%s: %w", FileName, err)
	}
	if m.Schema != Schema {
		return m, fmt.Errorf("%s: schema %d is unknown, this relmat reads %d", FileName, m.Schema, Schema)
	}
	seen := map[string]bool{}
	for _, f := range m.Files {
		if !clean(f.Path) || seen[f.Path] {
			return m, fmt.Errorf("%s: path %q is not allowed", FileName, f.Path)
		}
		seen[f.Path] = true
		if _, err := f.Perm(); err != nil {
			return m, fmt.Errorf("%s: %s: %w", FileName, f.Path, err)
		}
	}
	for name, p := range m.Programs {
		if !seen[p] {
			return m, fmt.Errorf("%s: program %s is at %q, which is no file of the package", FileName, name, p)
		}
	}
	return m, nil
}

// Perm returns the file's permissions.
func (f File) Perm() (fs.FileMode, error) {
	switch f.Mode {
	case "0644":
		return 0o644, nil
	case "0755":
		return 0o755, nil
	}
	return 0, errors.New("mode is neither 0644 nor 0755")
}

func clean(p string) bool {
	return p != "" && p != "." && path.Clean(p) == p && filepath.IsLocal(filepath.FromSlash(p)) && !strings.Contains(p, `\`)
}
