package cuda

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestGPUs holds the table against "CUDA GPU Compute Capability" (NVIDIA).
func TestGPUs(t *testing.T) {
	var got []string
	for _, g := range GPUs() {
		text := g.Capability()
		if g.Tegra {
			text += " Tegra"
		}
		if g.Names == "" {
			t.Errorf("%s has no name", text)
		}
		got = append(got, text)
	}
	want := []string{"7.5", "8.0", "8.6", "8.7 Tegra", "8.9", "9.0", "10.0", "10.3", "11.0 Tegra", "12.0", "12.1"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	GPUs()[0].SM = 1
	if GPUs()[0].SM != 75 {
		t.Error("the table can be changed from outside")
	}
}

// TestOn is by "Compatibility of Compute Capabilities" and "Family-Specific
// Features" of the CUDA Programming Guide.
func TestOn(t *testing.T) {
	for code, want := range map[Code]string{
		{Kind: Cubin, SM: 75}:               "7.5",
		{Kind: Cubin, SM: 70}:               "7.5",
		{Kind: Cubin, SM: 72}:               "", // Xavier
		{Kind: Cubin, SM: 60}:               "",
		{Kind: Cubin, SM: 80}:               "8.0 8.6 8.9",
		{Kind: Cubin, SM: 86}:               "8.6 8.9",
		{Kind: Cubin, SM: 87}:               "8.7", // Orin
		{Kind: Cubin, SM: 88}:               "",    // no GPU is known
		{Kind: Cubin, SM: 89}:               "8.9",
		{Kind: Cubin, SM: 90}:               "9.0",
		{Kind: Cubin, SM: 90, Suffix: "a"}:  "9.0",
		{Kind: Cubin, SM: 100}:              "10.0 10.3",
		{Kind: Cubin, SM: 100, Suffix: "a"}: "10.0",
		{Kind: Cubin, SM: 100, Suffix: "f"}: "10.0 10.3",
		{Kind: Cubin, SM: 101}:              "", // Thor, before CUDA 13.0
		{Kind: Cubin, SM: 101, Suffix: "f"}: "",
		{Kind: Cubin, SM: 103, Suffix: "f"}: "10.3",
		{Kind: Cubin, SM: 110}:              "11.0",
		{Kind: Cubin, SM: 110, Suffix: "f"}: "11.0",
		{Kind: Cubin, SM: 120}:              "12.0 12.1",
		{Kind: Cubin, SM: 120, Suffix: "a"}: "12.0",
		{Kind: Cubin, SM: 120, Suffix: "f"}: "12.0 12.1",
		{Kind: Cubin, SM: 121, Suffix: "a"}: "12.1",
		{Kind: Cubin, SM: 9000}:             "",
		{Kind: Cubin}:                       "",
		{Kind: "ltoir", SM: 75}:             "",
		{SM: 75}:                            "",
		{Kind: PTX, SM: 52}:                 "7.5 8.0 8.6 8.7 8.9 9.0 10.0 10.3 11.0 12.0 12.1",
		{Kind: PTX, SM: 87}:                 "8.7 8.9 9.0 10.0 10.3 11.0 12.0 12.1",
		{Kind: PTX, SM: 90}:                 "9.0 10.0 10.3 11.0 12.0 12.1",
		{Kind: PTX, SM: 90, Suffix: "a"}:    "9.0",
		{Kind: PTX, SM: 100, Suffix: "f"}:   "10.0 10.3",
		{Kind: PTX, SM: 120, Suffix: "f"}:   "12.0 12.1",
		{Kind: PTX, SM: 121}:                "12.1",
	} {
		way := map[CodeKind]Run{Cubin: Native, PTX: JIT}[code.Kind]
		var on []string
		for _, g := range GPUs() {
			switch run := code.On(g); run {
			case None:
			case way:
				on = append(on, g.Capability())
			default:
				t.Errorf("%+v runs on %s as %q", code, g.Capability(), run)
			}
		}
		if got := strings.Join(on, " "); got != want {
			t.Errorf("%+v runs on %q, want %q", code, got, want)
		}
	}
}

func TestPTXDriver(t *testing.T) {
	for _, tt := range []struct{ version, linux, windows string }{
		{"9.9", "", ""},
		{"9.5", "", ""}, // CUDA 13.5, of which no driver is known
		{"9.4", "615", "615"},
		{"9.2", "595.45.04", "595"},
		{"9.0", "580.65.06", "580"},
		{"8.8", "575.51.03", "576.02"},
		{"8.6", "570.26", "570.65"}, // CUDA 12.7 was not published; 12.8 came next
		{"8.5", "555.42.02", "555.85"},
		{"8.0", "525.60.13", "527.41"},
		{"7.8", "520.61.05", "520.06"},
		{"7.1", "455.23", "456.38"},
		{"7.0", "450.80.02", "452.39"},
		{"6.3", "450.80.02", "452.39"}, // the tables go back no further
		{"3.2", "450.80.02", "452.39"},
		{"", "", ""},
		{"10.0", "", ""},
	} {
		linux, windows := PTXDriver(tt.version, "linux"), PTXDriver(tt.version, "windows")
		if linux != tt.linux || windows != tt.windows {
			t.Errorf("PTX %q: %q and %q, want %q and %q", tt.version, linux, windows, tt.linux, tt.windows)
		}
	}
	if got := PTXDriver("9.0", "macos"); got != "" {
		t.Errorf("on macOS %q", got)
	}
}

func TestCover(t *testing.T) {
	for _, tt := range []struct {
		name   string
		codes  []Code
		want   string
		oldest Drivers
	}{
		{"nothing", nil, "", Drivers{}},
		{"LTO-IR", []Code{{Kind: "ltoir", SM: 75}}, "", Drivers{}},
		{
			"machine code and later PTX",
			[]Code{{Kind: PTX, SM: 120, PTXISA: "9.0"}, {Kind: Cubin, SM: 80}, {Kind: Cubin, SM: 90, Suffix: "a"}, {Kind: Cubin, SM: 120}},
			"8.0 native 450.80.02, 8.6 native 455.23, 8.9 native 520.61.05, 9.0 native 520.61.05, 12.0 native 570.26, 12.1 native 575.51.03",
			Drivers{"450.80.02", "452.39"},
		},
		{
			// The GPU's own driver is later than the one for the PTX, or earlier.
			"PTX",
			[]Code{{Kind: PTX, SM: 89, PTXISA: "8.5"}},
			"8.9 jit 555.42.02, 9.0 jit 555.42.02, 10.0 jit 570.26, 10.3 jit 575.51.03, 11.0 jit, 12.0 jit 570.26, 12.1 jit 575.51.03",
			Drivers{"555.42.02", "555.85"},
		},
		{
			"PTX of several versions",
			[]Code{{Kind: PTX, SM: 90, PTXISA: "9.9"}, {Kind: PTX, SM: 90, PTXISA: "9.0"}, {Kind: PTX, SM: 120, PTXISA: "8.7"}},
			"9.0 jit 580.65.06, 10.0 jit 580.65.06, 10.3 jit 580.65.06, 11.0 jit, 12.0 jit 570.26, 12.1 jit 575.51.03",
			Drivers{"570.26", "570.65"},
		},
		{
			"PTX of an unknown version",
			[]Code{{Kind: PTX, SM: 120, PTXISA: "9.5"}},
			"12.0 jit, 12.1 jit",
			Drivers{},
		},
		{
			"Jetson",
			[]Code{{Kind: Cubin, SM: 87}, {Kind: Cubin, SM: 110, Suffix: "a"}},
			"8.7 native, 11.0 native",
			Drivers{},
		},
	} {
		covered := Cover(tt.codes)
		if len(covered) != len(GPUs()) {
			t.Errorf("%s: %d of %d GPUs", tt.name, len(covered), len(GPUs()))
		}
		var got []string
		for i, c := range covered {
			if c.GPU != GPUs()[i] {
				t.Errorf("%s: %+v is out of order", tt.name, c)
			}
			if (c.Driver.Linux == "") != (c.Driver.Windows == "") || c.Run == None && c.Driver != (Drivers{}) {
				t.Errorf("%s: drivers %+v", tt.name, c)
			}
			if c.Run != None {
				got = append(got, strings.TrimSpace(fmt.Sprintf("%s %s %s", c.Capability(), c.Run, c.Driver.Linux)))
			}
		}
		if got := strings.Join(got, ", "); got != tt.want {
			t.Errorf("%s: %s\nwant %s", tt.name, got, tt.want)
		}
		if oldest := OldestDriver(covered); oldest != tt.oldest {
			t.Errorf("%s: oldest driver %+v, want %+v", tt.name, oldest, tt.oldest)
		}
	}
}

// TestCoverageTables holds the tables against each other.
func TestCoverageTables(t *testing.T) {
	versions := slices.SortedFunc(maps.Keys(coverage.PTXRelease), CompareVersions)
	last := ""
	for _, version := range versions {
		release := coverage.PTXRelease[version]
		if CompareVersions(release, last) <= 0 {
			t.Errorf("PTX %s came with CUDA %s, the version before with %s", version, release, last)
		}
		last = release
	}
	// An architecture is compiled for from the release of its PTX on.
	for number, version := range coverage.PTXFirst {
		release, ok := coverage.PTXRelease[version]
		if !ok {
			t.Errorf("%s came with PTX %s, which is of no release", number, version)
		}
		for r, compiled := range architectures.Compiles {
			has, early := slices.Contains(compiled, number), CompareVersions(r, release) < 0
			if has == early && !(number == "101" && strings.HasPrefix(r, "13.")) {
				t.Errorf("CUDA %s compiles for %s: %v, which came with %s", r, number, has, release)
			}
		}
	}
	for _, g := range GPUs() {
		if coverage.PTXFirst[strconv.Itoa(g.SM)] == "" {
			t.Errorf("with which PTX %d came is not known", g.SM)
		}
	}
	for release, branch := range coverage.Branch {
		for _, system := range []string{"linux", "windows"} {
			if driver, ok := ToolkitDriver(release, system); ok && !strings.HasPrefix(driver, branch+".") {
				t.Errorf("CUDA %s came with driver %s, which is not of branch %s", release, driver, branch)
			}
		}
	}
	for _, number := range coverage.Unlisted {
		if n, err := strconv.Atoi(number); err != nil || slices.ContainsFunc(GPUs(), func(g GPU) bool { return g.SM == n }) {
			t.Errorf("%s is unlisted and has a GPU, or is no number: %v", number, err)
		}
	}
}

func TestCompareVersions(t *testing.T) {
	sorted := []string{"", "0", "7.8", "7.10", "8", "8.0", "525", "525.60.13", "570.26", "570.65", "570.124.06"}
	for i, a := range sorted {
		for j, b := range sorted {
			if got, want := CompareVersions(a, b), min(1, max(-1, i-j)); got != want {
				t.Errorf("%q and %q: %d, want %d", a, b, got, want)
			}
		}
	}
	if CompareVersions("x", "0") != 0 {
		t.Error("what is no number does not count as 0")
	}
}
