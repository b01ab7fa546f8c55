package cuda

import (
	"cmp"
	_ "embed"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
)

var coverage = mustCoverage(architecturesJSON, driversJSON)

type coverageTable struct {
	// PTXRelease is the CUDA release that came with a version of PTX, PTXFirst
	// the version of PTX that came with an architecture.
	PTXRelease map[string]string `json:"ptx_release"`
	PTXFirst   map[string]string `json:"ptx_first"`
	// Unlisted are architectures of which no GPU is known.
	Unlisted []string `json:"unlisted"`
	// Branch is the branch of drivers of a release.
	Branch map[string]string `json:"branch"`
	gpus   []GPU
}

func mustCoverage(tables ...[]byte) coverageTable {
	var t coverageTable
	for _, data := range tables {
		if err := json.Unmarshal(data, &t); err != nil {
			panic("cuda: " + err.Error())
		}
	}
	for number, names := range architectures.GPUs {
		sm, err := strconv.Atoi(number)
		if err != nil {
			panic("cuda: architectures.json: " + err.Error())
		}
		t.gpus = append(t.gpus, GPU{SM: sm, Names: names, Tegra: slices.Contains(architectures.Tegra, number)})
	}
	slices.SortFunc(t.gpus, func(a, b GPU) int { return cmp.Compare(a.SM, b.SM) })
	return t
}

// GPU is the GPUs of one compute capability.
type GPU struct {
	// SM is the compute capability without its point, 90 for 9.0.
	SM int
	// Names are those of the best known, separated by commas.
	Names string
	// Tegra says that only Jetson modules have it.
	Tegra bool
}

// Capability is the compute capability as NVIDIA writes it: 9.0.
func (g GPU) Capability() string { return strconv.Itoa(g.SM/10) + "." + strconv.Itoa(g.SM%10) }

// GPUs lists the GPUs that CUDA 13 supports, by compute capability ("CUDA GPU
// Compute Capability", NVIDIA).
func GPUs() []GPU { return slices.Clone(coverage.gpus) }

// CodeKind is what GPU code is.
type CodeKind string

// The kinds of code that a driver takes.
const (
	Cubin CodeKind = "cubin"
	PTX   CodeKind = "ptx"
)

// Code is one sort of GPU code.
type Code struct {
	Kind CodeKind
	// SM is the architecture, 90 for sm_90 and compute_90, Suffix "a", "f" or
	// empty.
	SM     int
	Suffix string
	// PTXISA is the version of PTX, as 9.0; empty for a cubin.
	PTXISA string
}

// Run is how a GPU runs code.
type Run string

// The ways.
const (
	// Native is machine code for the GPU.
	Native Run = "native"
	// JIT is PTX that the driver compiles first.
	JIT Run = "jit"
	// None is not at all.
	None Run = "none"
)

// On tells how a GPU runs the code, if its driver is new enough ("Compatibility
// of Compute Capabilities", CUDA Programming Guide). Machine code runs on its
// own compute capability and later minor ones, but not from a Jetson module to
// another GPU or back; with the suffix a on its own alone; with f in its family,
// which is the same. PTX runs on its own compute capability and all later ones,
// with a suffix where machine code with that suffix does.
func (c Code) On(g GPU) Run {
	var way Run
	switch c.Kind {
	case Cubin:
		way = Native
	case PTX:
		way = JIT
	default:
		return None
	}
	number := strconv.Itoa(c.SM)
	switch {
	case c.SM <= 0:
		return None
	case c.SM == g.SM:
		return way
	case c.Suffix == "a" || c.SM > g.SM:
		return None
	case c.Kind == PTX && c.Suffix == "":
		return way
	case c.SM/10 != g.SM/10, g.Tegra, slices.Contains(architectures.Tegra, number), slices.Contains(coverage.Unlisted, number):
		return None
	}
	return way
}

// Drivers are the oldest drivers for something, by operating system: a version,
// such as 570.26, or a branch of versions, such as 590. Empty where NVIDIA's
// tables do not say: after their end, and for Jetson modules, whose drivers
// come with JetPack.
type Drivers struct{ Linux, Windows string }

// Covered is how one sort of GPU runs a file's code.
type Covered struct {
	GPU
	Run Run
	// Driver is the oldest that knows the GPU and, where Run is JIT, the version
	// of PTX. The library that loads the code may want a later one, see
	// MinimumDriver.
	Driver Drivers
}

// Cover tells for each of GPUs how it runs the best of codes for it. It judges
// what there is: that a GPU runs one piece of a file's code does not prove that
// the file has each of its functions for it.
func Cover(codes []Code) []Covered {
	covered := make([]Covered, 0, len(coverage.gpus))
	for _, g := range coverage.gpus {
		c := Covered{GPU: g, Run: None}
		var versions []string
		for _, code := range codes {
			switch code.On(g) {
			case Native:
				c.Run = Native
			case JIT:
				versions = append(versions, code.PTXISA)
			}
		}
		if c.Run == None && len(versions) > 0 {
			c.Run = JIT
		}
		if c.Run != None {
			c.Driver = Drivers{Linux: g.driver("linux", c.Run, versions), Windows: g.driver("windows", c.Run, versions)}
		}
		covered = append(covered, c)
	}
	return covered
}

// OldestDriver is the oldest driver on which any of the GPUs runs the code.
func OldestDriver(covered []Covered) Drivers {
	var oldest Drivers
	for _, c := range covered {
		oldest.Linux = older(oldest.Linux, c.Driver.Linux)
		oldest.Windows = older(oldest.Windows, c.Driver.Windows)
	}
	return oldest
}

// older is the older of two drivers, of which an empty one is not known.
func older(a, b string) string {
	if a == "" || b != "" && CompareVersions(b, a) < 0 {
		return b
	}
	return a
}

// driver is the oldest driver of a system that runs on the GPU machine code or,
// by JIT, PTX of any of the versions.
func (g GPU) driver(system string, run Run, versions []string) string {
	if g.Tegra {
		return ""
	}
	own := PTXDriver(coverage.PTXFirst[strconv.Itoa(g.SM)], system)
	if own == "" || run == Native {
		return own
	}
	oldest := ""
	for _, version := range versions {
		if d := PTXDriver(version, system); d != "" {
			oldest = older(oldest, d)
		}
	}
	if oldest != "" && CompareVersions(own, oldest) > 0 {
		return own
	}
	return oldest
}

// PTXDriver is the oldest driver of a system, linux or windows, that compiles a
// version of PTX, as 9.0, as far as NVIDIA's tables go back: the one that came
// with the CUDA release of that version ("PTX Release History", PTX ISA), or
// its branch, or that of the next release that has one. Empty for a version
// that is not known, or later than the tables.
func PTXDriver(version, system string) string {
	release := coverage.PTXRelease[version]
	if release == "" {
		first := slices.MinFunc(slices.Collect(maps.Keys(coverage.PTXRelease)), CompareVersions)
		if version == "" || CompareVersions(version, first) > 0 {
			return ""
		}
		release = coverage.PTXRelease[first]
	}
	known := releaseDrivers(system)
	for _, r := range slices.SortedFunc(maps.Keys(known), CompareVersions) {
		if CompareVersions(r, release) >= 0 {
			return known[r]
		}
	}
	return ""
}

// releaseDrivers are a system's drivers by CUDA release. The first release of a
// major version has at least that version's oldest.
func releaseDrivers(system string) map[string]string {
	known := map[string]string{}
	if system != "linux" && system != "windows" {
		return known
	}
	for major, oldest := range drivers.Minimum {
		known[major+".0"] = oldest[system]
	}
	for release, branch := range coverage.Branch {
		known[release] = branch
	}
	for release, driver := range drivers.Toolkit {
		if driver[system] != "" {
			known[release] = driver[system]
		}
	}
	return known
}

// CompareVersions compares numbers with points, such as 9.10 and 570.26, number
// by number; what is no number counts as 0, and an absent one as less than 0.
func CompareVersions(a, b string) int {
	return slices.CompareFunc(numbers(a), numbers(b), func(x, y int) int { return cmp.Compare(x, y) })
}

func numbers(version string) []int {
	if version == "" {
		return nil
	}
	var out []int
	for part := range strings.SplitSeq(version, ".") {
		n, _ := strconv.Atoi(part)
		out = append(out, n)
	}
	return out
}
