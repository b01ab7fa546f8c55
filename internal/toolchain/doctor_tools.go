package toolchain

import (
	_ "embed"
	"encoding/json"
	"strings"

	"github.com/relmat/relmat/internal/matrix"
	"github.com/relmat/relmat/internal/proc"
)

//go:embed tools.json
var toolsJSON []byte

var known = mustTools(toolsJSON)

type toolTable struct {
	// Managers are package managers, in the order in which they are named where
	// a host has several.
	Managers []struct {
		Name    string `json:"name"`
		System  string `json:"system"`
		Program string `json:"program"`
	} `json:"managers"`
	Tools map[string]toolEntry `json:"tools"`
	// Components are Visual Studio's, by the architecture that they compile for.
	Components map[string]string `json:"components"`
	// Toolsets are the components of toolsets that can be installed beside a newer
	// one, by version and architecture.
	Toolsets map[string]map[string]string `json:"toolsets"`
	Minimums map[string]struct {
		Version string `json:"version"`
		By      string `json:"by"`
	} `json:"minimums"`
	Allowances struct {
		Cargo  int64 `json:"cargo"`
		Native int64 `json:"native"`
	} `json:"allowances"`
}

// toolEntry says how a tool is asked for its version, and how one gets it, one
// that is newer, or one that is older: by package manager, by operating system,
// or on any host.
type toolEntry struct {
	Args  []string          `json:"args"`
	Get   map[string]string `json:"get"`
	Newer map[string]string `json:"newer"`
	Older map[string]string `json:"older"`
}

func mustTools(data []byte) toolTable {
	var t toolTable
	if err := json.Unmarshal(data, &t); err != nil {
		panic("toolchain: tools.json: " + err.Error())
	}
	return t
}

// advice says how this host gets what a table of ways speaks of; {} in it is
// the word.
func advice(ways map[string]string, host matrix.Platform, env []string, word string) string {
	way := func(key string) (string, bool) {
		text, ok := ways[key]
		return strings.ReplaceAll(text, "{}", word), ok
	}
	for _, m := range known.Managers {
		if m.System != host.OS {
			continue
		}
		if _, err := proc.LookPath(m.Program, env); err != nil {
			continue
		}
		if text, ok := way(m.Name); ok {
			return text
		}
	}
	if text, ok := way(host.OS); ok {
		return text
	}
	text, _ := way("any")
	return text
}
