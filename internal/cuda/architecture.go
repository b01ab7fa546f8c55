package cuda

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

//go:embed architectures.json
var architecturesJSON []byte

var architectures = mustArchitectures(architecturesJSON)

type architectureTable struct {
	// Compiles are the architectures that nvcc knows, by the release's
	// major.minor.
	Compiles map[string][]string `json:"compiles"`
	GPUs     map[string]string   `json:"gpus"`
	Tegra    []string            `json:"tegra"`
}

func mustArchitectures(data []byte) architectureTable {
	var t architectureTable
	if err := json.Unmarshal(data, &t); err != nil {
		panic("cuda: architectures.json: " + err.Error())
	}
	return t
}

// Architecture is an entry of CMake's CUDA_ARCHITECTURES ("CUDA_ARCHITECTURES",
// CMake's documentation): 90, 90a, 100f, 80-real, 90-virtual.
type Architecture struct {
	// Number is the compute capability without its point, Suffix "a" or "f" for
	// code that runs on this architecture or its family alone.
	Number, Suffix string
	// Real and Virtual tell whether machine code and PTX are made.
	Real, Virtual bool
}

// Name is the architecture as nvcc calls it, without sm_: 90a.
func (a Architecture) Name() string { return a.Number + a.Suffix }

// IsTegra tells whether only Jetson modules have the architecture.
func (a Architecture) IsTegra() bool { return slices.Contains(architectures.Tegra, a.Number) }

// GPUs names what has the architecture; empty where the table does not know it.
func (a Architecture) GPUs() string { return architectures.GPUs[a.Number] }

var architecture = regexp.MustCompile(`^([1-9][0-9]{1,2})([af]?)(-real|-virtual)?$`)

// ParseArchitectures reads a list of architectures, separated by semicolons.
func ParseArchitectures(list string) ([]Architecture, error) {
	var all []Architecture
	machine, ptx := map[string]string{}, map[string]string{}
	for _, text := range strings.Split(list, ";") {
		a, err := parseArchitecture(text)
		if err != nil {
			return nil, err
		}
		for _, made := range []struct {
			what string
			is   bool
			by   map[string]string
		}{{"machine code", a.Real, machine}, {"PTX", a.Virtual, ptx}} {
			before, ok := made.by[a.Name()]
			switch {
			case !made.is:
				continue
			case ok && before == text:
				return nil, fmt.Errorf("%q stands twice; take one out", text)
			case ok:
				return nil, fmt.Errorf("%q and %q both make %s for %s; take one out", before, text, made.what, a.Name())
			}
			made.by[a.Name()] = text
		}
		all = append(all, a)
	}
	return all, nil
}

// firstWith is the first architecture that has a suffix ("GPU Feature List",
// NVCC documentation).
var firstWith = map[string]int{"a": 90, "f": 100}

func parseArchitecture(text string) (Architecture, error) {
	switch text {
	case "native", "all", "all-major":
		return Architecture{}, fmt.Errorf("%q depends on the build machine or on nvcc; name the architectures, such as 80-real;86;90a", text)
	case "":
		return Architecture{}, errors.New("an entry is empty; put one semicolon between architectures, as in 80-real;86;90a")
	}
	m := architecture.FindStringSubmatch(text)
	if m == nil {
		return Architecture{}, fmt.Errorf("%q is no architecture; write them like 80-real;86;90a", text)
	}
	if number, err := strconv.Atoi(m[1]); err != nil || number < firstWith[m[2]] {
		return Architecture{}, fmt.Errorf("%q does not exist, the first architecture with the suffix %s is %d; write %s", text, m[2], firstWith[m[2]], m[1]+m[3])
	}
	return Architecture{Number: m[1], Suffix: m[2], Real: m[3] != "-virtual", Virtual: m[3] != "-real"}, nil
}

// Compiles lists the architectures that nvcc of a release, as major.minor, can
// compile for; ok is false where that is not known.
func Compiles(release string) (numbers []string, ok bool) {
	numbers, ok = architectures.Compiles[release]
	return numbers, ok
}
