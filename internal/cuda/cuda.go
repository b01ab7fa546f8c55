// Package cuda holds what NVIDIA fixes and no file tells by itself: which
// libraries belong to the driver, and which are loaded by name at run time and
// so stand in no NEEDED entry.
package cuda

import (
	_ "embed"
	"encoding/json"
	"path"
	"regexp"
	"slices"
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

// IsDriver tells whether the library belongs to the GPU's driver, which users
// have and no package may carry (CUDA EULA, Attachment A).
func IsDriver(name string) bool { return matchAny(libraries.Driver, name) }

// LoadedBy returns what the library with this file name loads by name.
func LoadedBy(name string) []ByName {
	var out []ByName
	for _, l := range libraries.LoadedByName {
		if ok, _ := path.Match(l.Library, name); ok {
			out = append(out, l)
		}
	}
	return out
}

func matchAny(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		ok, _ := path.Match(p, name)
		return ok
	})
}
