package matrix

import (
	_ "embed"
	"encoding/json"
)

//go:embed cpus.json
var cpusJSON []byte

// CPULevel is a set of instructions that a program may use, as the compilers
// call it.
type CPULevel struct {
	Name string `json:"name"`
	// Arch is the architecture in the word of target triples.
	Arch string `json:"arch"`
	// Rust is rustc's target-cpu, March the -march of GCC and Clang.
	Rust  string `json:"rust"`
	March string `json:"march"`
	// Since names the first CPUs that have it.
	Since string `json:"since"`
}

var cpuLevels = mustCPUs(cpusJSON)

func mustCPUs(data []byte) []CPULevel {
	var t struct {
		Levels []CPULevel `json:"levels"`
	}
	if err := json.Unmarshal(data, &t); err != nil {
		panic("matrix: cpus.json: " + err.Error())
	}
	return t.Levels
}

// CPULevels returns the table of CPU levels.
func CPULevels() []CPULevel { return cpuLevels }

// CPULevelOf returns the level of that name.
func CPULevelOf(name string) (CPULevel, bool) {
	for _, l := range cpuLevels {
		if l.Name == name {
			return l, true
		}
	}
	return CPULevel{}, false
}

// cpuNames lists the levels of an architecture; of all if it is empty.
func cpuNames(arch string) []string {
	var names []string
	for _, l := range cpuLevels {
		if arch == "" || l.Arch == arch {
			names = append(names, l.Name)
		}
	}
	return names
}
