// Package cuda holds what NVIDIA fixes and no file tells by itself: which
// libraries belong to the driver, which are loaded by name at run time and so
// stand in no NEEDED entry, and which are of one version or broken.
package cuda

import (
	_ "embed"
	"encoding/json"
	"path"
	"regexp"
	"slices"
	"strings"
)

//go:embed libraries.json
var librariesJSON []byte

// ByName is what one library loads by name.
type ByName struct {
	// Library is a pattern of path.Match for the file name.
	Library string `json:"library"`
	// Names are patterns of the libraries that it loads.
	Names []string `json:"names"`
	// Pattern is a regular expression for names that the library itself holds
	// as text, because they carry its exact version.
	Pattern string `json:"pattern"`
}

type table struct {
	Driver       []string `json:"driver"`
	LoadedByName []ByName `json:"loaded_by_name"`
	Beside       []struct {
		Library string   `json:"library"`
		Files   []string `json:"files"`
	} `json:"beside"`
	Families []struct {
		Name    string   `json:"name"`
		Members []string `json:"members"`
	} `json:"families"`
}

var libraries = mustParse(librariesJSON)

func mustParse(data []byte) table {
	var t table
	if err := json.Unmarshal(data, &t); err != nil {
		panic("cuda: libraries.json: " + err.Error())
	}
	for _, l := range t.LoadedByName {
		regexp.MustCompile(l.Pattern)
	}
	return t
}

// fold is a file name as its system compares it: that of a DLL in lower case.
func fold(name string) string {
	if low := strings.ToLower(name); strings.HasSuffix(low, ".dll") {
		return low
	}
	return name
}

// IsDriver tells whether the library belongs to the GPU's driver, which users
// have and no package may carry (CUDA EULA, Attachment A).
func IsDriver(name string) bool { return matchAny(libraries.Driver, fold(name)) }

// LoadedBy returns what the library with this file name loads by name. The
// patterns for DLLs are in lower case.
func LoadedBy(name string) []ByName {
	name = fold(name)
	var out []ByName
	for _, l := range libraries.LoadedByName {
		if ok, _ := path.Match(l.Library, name); ok {
			out = append(out, l)
		}
	}
	return out
}

// Beside returns the names of the files, no libraries, that the library with
// this file name reads out of its own directory.
func Beside(name string) []string {
	name = fold(name)
	var files []string
	for _, b := range libraries.Beside {
		if ok, _ := path.Match(b.Library, name); ok {
			files = append(files, b.Files...)
		}
	}
	return files
}

// FamilyOf names the family of libraries, such as cuDNN, to which the library
// with this file name belongs; empty for none. All members that a program loads
// must have one version.
func FamilyOf(name string) string {
	name = fold(name)
	for _, f := range libraries.Families {
		if matchAny(f.Members, name) {
			return f.Name
		}
	}
	return ""
}

func matchAny(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		ok, _ := path.Match(p, name)
		return ok
	})
}
