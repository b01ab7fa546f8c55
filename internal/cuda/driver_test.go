package cuda

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestDrivers(t *testing.T) {
	tests := []struct{ release, system, minimum, toolkit string }{
		{"11.8", "linux", "450.80.02", "520.61.05"},
		{"12.6", "windows", "525", "560.76"},
		{"13.0", "linux", "580", "580.65.06"},
		{"13.0", "windows", "580", ""}, // NVIDIA no longer ships one with it
		{"13.9", "linux", "580", ""},   // nobody knows yet
		{"10.2", "linux", "", ""},
		{"13.0", "macos", "", ""},
		{"", "linux", "", ""},
	}
	for _, tt := range tests {
		minimum, ok := MinimumDriver(tt.release, tt.system)
		if minimum != tt.minimum || ok != (tt.minimum != "") {
			t.Errorf("MinimumDriver(%q, %q) = %q, %v, want %q", tt.release, tt.system, minimum, ok, tt.minimum)
		}
		toolkit, ok := ToolkitDriver(tt.release, tt.system)
		if toolkit != tt.toolkit || ok != (tt.toolkit != "") {
			t.Errorf("ToolkitDriver(%q, %q) = %q, %v, want %q", tt.release, tt.system, toolkit, ok, tt.toolkit)
		}
	}
}

// TestDriverTable holds the table against itself: later releases need later
// drivers, and none is older than its major version's oldest.
func TestDriverTable(t *testing.T) {
	number := func(s string) (n [3]int) {
		for i, part := range strings.SplitN(s, ".", 3) {
			v, err := strconv.Atoi(part)
			if err != nil {
				t.Errorf("%q is no version", s)
			}
			n[i] = v
		}
		return n
	}
	byNumber := func(a, b string) int { x, y := number(a), number(b); return slices.Compare(x[:], y[:]) }
	for _, system := range []string{"linux", "windows"} {
		last := "0"
		for _, release := range slices.SortedFunc(maps.Keys(drivers.Toolkit), byNumber) {
			driver, ok := ToolkitDriver(release, system)
			if !ok {
				continue
			}
			if byNumber(driver, last) <= 0 {
				t.Errorf("%s, %s: driver %s is not newer than %s of the release before", release, system, driver, last)
			}
			last = driver
			if minimum, ok := MinimumDriver(release, system); !ok || byNumber(driver, minimum) < 0 {
				t.Errorf("%s, %s: driver %s is older than its major version's oldest, %q", release, system, driver, minimum)
			}
		}
	}
}

// TestArchitecturesAreMeasured asks that no release stands in the table by hearsay.
func TestArchitecturesAreMeasured(t *testing.T) {
	var table struct {
		Measured map[string]string `json:"measured"`
	}
	if err := json.Unmarshal(architecturesJSON, &table); err != nil {
		t.Fatal(err)
	}
	if got, want := slices.Sorted(maps.Keys(table.Measured)), slices.Sorted(maps.Keys(architectures.Compiles)); !slices.Equal(got, want) {
		t.Errorf("measured are %q, the table has %q", got, want)
	}
	for release, how := range table.Measured {
		// The program names itself: V13.0.88 is of release 13.0.
		if m := regexp.MustCompile(`^(?:nvcc|ptxas) V([0-9]+\.[0-9]+)\.[0-9]+ --`).FindStringSubmatch(how); m == nil || m[1] != release {
			t.Errorf("%s was measured by %q", release, how)
		}
		numbers, _ := Compiles(release)
		if !slices.IsSortedFunc(numbers, func(a, b string) int { x, _ := strconv.Atoi(a); y, _ := strconv.Atoi(b); return x - y }) {
			t.Errorf("%s: %q is not sorted", release, numbers)
		}
	}
}
