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

// FileName is where the manifest lies, relative to the package's root; see
// Manifest.Name for packages of libraries.
const FileName = "manifest.json"

// Schema is the version of the manifest's form.
const Schema = 1

// Origin says where a file comes from.
type Origin string

// The origins of a file.
const (
	Build    Origin = "build"    // made by the project's build
	Prebuilt Origin = "prebuilt" // a program or library that somebody else built for the project
	Source   Origin = "source"   // out of the project's checkout
	Wheel    Origin = "wheel"    // out of a pinned wheel of the toolkit
	Host     Origin = "host"     // out of the CUDA toolkit of the machine that packed
	System   Origin = "system"   // out of a package of that machine's distribution
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
	// From says more of the origin, by name and version: the wheel
	// ("nvidia-cublas 13.1.0.3"), the host's toolkit ("CUDA 13.0.2") or the
	// package of its distribution ("libopenblas0-pthread 0.3.21+ds-4"). Of a file
	// of the build it is OutDirOf, or empty for what Cargo linked.
	From string `json:"from,omitempty"`
	// Role is program, library, license, or empty. A library that somebody else
	// built and that is released as a program has the role library.
	Role string `json:"role,omitempty"`
	// Why tells for a library what needs it.
	Why string `json:"why,omitempty"`
	// Signed is whose certificate signed a file of the project's own, by its
	// common name; empty for one that relmat did not sign.
	Signed string `json:"signed,omitempty"`
}

const outDir = "OUT_DIR of "

// OutDirOf is File.From of what the matrix takes out of the OUT_DIR of a crate's
// build script.
func OutDirOf(crate string) string { return outDir + crate }

// InOutDir tells whether a file comes out of a build script's OUT_DIR. The build
// has made it, or has only laid it there: nothing says which.
func (f File) InOutDir() bool { return f.Origin == Build && strings.HasPrefix(f.From, outDir) }

// HostLibrary is a library that the package needs and does not hold.
type HostLibrary struct {
	// Name is the file name under which it is loaded.
	Name string `json:"name"`
	// From is the vendor's wheel or toolkit that has it, as File.From.
	From string `json:"from,omitempty"`
	// Why tells what needs it.
	Why string `json:"why,omitempty"`
	// Package and Path are the package that holds it and where it lies when
	// that one is unpacked over this one; empty where users have it from
	// elsewhere.
	Package string `json:"package,omitempty"`
	Path    string `json:"path,omitempty"`
}

// Manifest describes a package.
type Manifest struct {
	Schema  int    `json:"schema"`
	Project string `json:"project"`
	Version string `json:"version"`
	Target  string `json:"target"`
	Triple  string `json:"triple"`
	Package string `json:"package"`
	// RuntimeOf are the packages over which this one, of libraries alone, is
	// unpacked.
	RuntimeOf []string `json:"runtime_of,omitempty"`
	// Programs are the paths of the programs by their names.
	Programs map[string]string `json:"programs"`
	// HostLibraries are the vendor's libraries that users have from elsewhere:
	// "runtime: host" and "runtime: split" of the matrix.
	HostLibraries []HostLibrary `json:"host_libraries,omitempty"`
	Files         []File        `json:"files"`
}

// Name is where the manifest lies in its package. That of a package of
// libraries has the package's name in it: it is unpacked over others, whose own
// manifests stay.
func (m Manifest) Name() string {
	if len(m.RuntimeOf) > 0 {
		return namedPrefix + m.Package + namedSuffix
	}
	return FileName
}

const namedPrefix, namedSuffix = "manifest-", ".json"

// IsName tells whether a path of a package is a manifest's.
func IsName(p string) bool {
	return p == FileName || !strings.Contains(p, "/") && len(p) > len(namedPrefix+namedSuffix) &&
		strings.HasPrefix(p, namedPrefix) && strings.HasSuffix(p, namedSuffix)
}

// Encode gives the manifest's bytes; the same manifest has the same bytes.
func (m Manifest) Encode() ([]byte, error) {
	m.Schema = Schema
	m.HostLibraries = slices.Clone(m.HostLibraries)
	slices.SortFunc(m.HostLibraries, func(a, b HostLibrary) int { return strings.Compare(a.Name, b.Name) })
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
	hosts := map[string]bool{}
	for _, l := range m.HostLibraries {
		if !clean(l.Name) || path.Base(l.Name) != l.Name || hosts[l.Name] || l.Path != "" && !clean(l.Path) {
			return m, fmt.Errorf("%s: library %q at %q is not allowed", FileName, l.Name, l.Path)
		}
		hosts[l.Name] = true
	}
	for name, p := range m.Programs {
		if !seen[p] {
			return m, fmt.Errorf("%s: program %s is at %q, which is no file of the package", FileName, name, p)
		}
	}
	return m, nil
}

// Lacks names the keys without which a manifest does not say what it is of.
func (m Manifest) Lacks() []string {
	var out []string
	for _, k := range []struct {
		name  string
		there bool
	}{
		{"project", m.Project != ""}, {"version", m.Version != ""}, {"target", m.Target != ""}, {"triple", m.Triple != ""}, {"package", m.Package != ""}, {"files", m.Files != nil},
	} {
		if !k.there {
			out = append(out, k.name)
		}
	}
	return out
}

// IsOurs tells of a JSON object whether it means to be a manifest of relmat's,
// however damaged: many programs have a manifest.json. Its schema is a number,
// or it has keys that others do not have together.
func IsOurs(data []byte) bool {
	var keys map[string]json.RawMessage
	if json.Unmarshal(data, &keys) != nil {
		return false
	}
	var number float64
	if schema, ok := keys["schema"]; ok && json.Unmarshal(schema, &number) == nil {
		return true
	}
	return keys["triple"] != nil && keys["package"] != nil && keys["files"] != nil
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
