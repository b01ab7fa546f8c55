package inspect

import (
	_ "embed"
	"encoding/json"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/relmat/relmat/internal/cuda"
	"github.com/relmat/relmat/internal/fatbin"
	"github.com/relmat/relmat/internal/objfile"
)

// GPU is the CUDA code in a file and what it runs on.
type GPU struct {
	// Images are the images, like ones together, Sections where they lie.
	Images   []ImageGroup
	Sections []SectionCount
	// Rows has each compute capability that cuda's table knows, and those of the
	// images; without those that machines of the file's kind never have.
	Rows []GPURow

	codes []cuda.Code
}

// ImageGroup is what images of one kind, architecture and compression have in
// common.
type ImageGroup struct {
	Kind fatbin.Kind `json:"kind"`
	Arch string      `json:"arch"`
	// Count is how many there are, Bytes what they take in the file and
	// Unpacked what they take in memory.
	Count       int                `json:"count"`
	Bytes       int64              `json:"bytes"`
	Unpacked    int64              `json:"unpacked_bytes"`
	Compression fatbin.Compression `json:"compression"`
	// PTXISA is the version of the PTX language, Debug how many of the images
	// were compiled for a debugger.
	PTXISA string `json:"ptx_isa,omitempty"`
	Debug  int    `json:"debug,omitempty"`
}

// SectionCount is how many images lie in a section.
type SectionCount struct {
	Section string `json:"section"`
	Count   int    `json:"count"`
}

// GPURow is a compute capability, and whether code runs on it.
type GPURow struct {
	// Capability is as NVIDIA writes it: 9.0.
	Capability string   `json:"capability"`
	GPUs       string   `json:"gpus"`
	Runs       cuda.Run `json:"runs"`
	// From are the architectures of the code that runs there, such as sm_80,
	// with commas between.
	From string `json:"from,omitempty"`
	// Driver is the oldest driver of the file's system; empty where that is not
	// known.
	Driver string `json:"driver,omitempty"`
}

// runsBy are the compute capabilities that run code in one way.
func runsBy(rows []GPURow, run cuda.Run) []string {
	out := []string{}
	for _, r := range rows {
		if r.Runs == run {
			out = append(out, r.Capability)
		}
	}
	return out
}

func gpuOf(images []fatbin.Image) *GPU {
	if len(images) == 0 {
		return nil
	}
	g := &GPU{}
	for _, i := range fatbin.Summarize(images) {
		g.Images = append(g.Images, ImageGroup{
			Kind: i.Kind, Arch: i.Arch(), Count: i.Count, Bytes: i.Stored, Unpacked: i.Size, Compression: i.Compression,
			PTXISA: i.PTXISA, Debug: i.Debug,
		})
	}
	places := map[string]int{}
	for _, i := range images {
		at, ok := places[i.Section]
		if !ok {
			at = len(g.Sections)
			places[i.Section] = at
			g.Sections = append(g.Sections, SectionCount{Section: i.Section})
		}
		g.Sections[at].Count++
	}
	g.codes = fatbin.Codes(images)
	return g
}

// judge tells which GPUs run the code of a slice, once it is known what it
// needs.
func (sl *Slice) judge() {
	if sl.GPU == nil {
		return
	}
	sl.GPU.Rows = rowsOf(sl.GPU.codes, host{
		windows: sl.Format == objfile.PE, arm64: sl.Machine == "aarch64", oldest: sl.libraryDriver(),
	})
}

// systemName is an object's operating system as cuda's tables call it.
func systemName(o *objfile.Object) string {
	if o.Format == objfile.PE {
		return "windows"
	}
	return "linux"
}

// maxOlder bounds the rows for architectures that are not in the table.
const maxOlder = 32

// host is what code for a GPU is started from.
type host struct {
	// windows and arm64 are the system and the processor. Jetson modules have
	// ARM64 and Linux alone.
	windows, arm64 bool
	// oldest is the driver that the CUDA libraries want in any case, empty where
	// that is not known.
	oldest string
}

// rowsOf tells on which GPUs code runs.
func rowsOf(codes []cuda.Code, h host) []GPURow {
	var rows []GPURow
	known := map[int]bool{}
	add := func(c cuda.Covered, driver string) {
		row := GPURow{Capability: c.Capability(), GPUs: c.Names, Runs: c.Run, From: from(codes, c.GPU, c.Run)}
		// Jetson's drivers come with JetPack, and have no such versions.
		if c.Run != cuda.None && !c.Tegra {
			row.Driver = driver
			if driver == "" || h.oldest != "" && cuda.CompareVersions(h.oldest, driver) > 0 {
				row.Driver = h.oldest
			}
		}
		rows = append(rows, row)
	}
	// Architectures that the table has no GPUs of: CUDA 13 does not support them
	// any more, or they are too new.
	for _, g := range cuda.GPUs() {
		known[g.SM] = true
	}
	var others []int
	for _, c := range codes {
		if c.Kind == cuda.Cubin && !known[c.SM] && c.SM >= 10 && c.SM < 1000 && len(others) < maxOlder {
			known[c.SM] = true
			others = append(others, c.SM)
		}
	}
	slices.Sort(others)
	for _, sm := range others {
		add(cuda.Covered{GPU: cuda.GPU{SM: sm}, Run: cuda.Native}, "")
	}
	for _, c := range cuda.Cover(codes) {
		switch {
		case c.Tegra && (h.windows || !h.arm64):
		case h.windows:
			add(c, c.Driver.Windows)
		default:
			add(c, c.Driver.Linux)
		}
	}
	slices.SortStableFunc(rows, func(a, b GPURow) int { return cuda.CompareVersions(a.Capability, b.Capability) })
	return rows
}

// from names the code that a GPU runs: of what it can run the nearest.
func from(codes []cuda.Code, g cuda.GPU, run cuda.Run) string {
	best := 0
	var out []string
	for _, c := range codes {
		if run == cuda.None || c.On(g) != run || c.SM < best {
			continue
		}
		if c.SM > best {
			best, out = c.SM, nil
		}
		name := fatbin.Image{Kind: fatbin.Kind(c.Kind), SM: c.SM, Suffix: c.Suffix}.Arch()
		if !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

//go:embed cudalibs.json
var cudaLibsJSON []byte

// cudaLibs are the names of libraries that carry CUDA's major version.
var cudaLibs = mustCUDALibs(cudaLibsJSON)

func mustCUDALibs(data []byte) *regexp.Regexp {
	var t struct{ Names []string }
	if err := json.Unmarshal(data, &t); err != nil {
		panic("inspect: cudalibs.json: " + err.Error())
	}
	return regexp.MustCompile(`^(?:` + strings.Join(t.Names, "|") + `)`)
}

// libraryDriver is the oldest driver for the CUDA libraries that a file is or
// needs, directly or through others; empty where none of them tells.
func (sl *Slice) libraryDriver() string {
	oldest := ""
	add := func(name string) {
		m := cudaLibs.FindStringSubmatch(strings.ToLower(path.Base(name)))
		for i := 1; i < len(m); i++ {
			if m[i] == "" {
				continue
			}
			if d, ok := cuda.MinimumDriver(m[i]+".0", systemName(sl.Object)); ok && (oldest == "" || cuda.CompareVersions(d, oldest) > 0) {
				oldest = d
			}
		}
	}
	add(sl.Soname)
	for _, needs := range [][]objfile.Need{sl.Needs, sl.DelayNeeds} {
		for _, n := range needs {
			add(n.Name)
		}
	}
	if sl.Tree != nil {
		for _, node := range sl.Tree.Nodes {
			for _, e := range node.Edges {
				add(e.Name)
			}
		}
	}
	return oldest
}

// Driver is the oldest NVIDIA driver with which the file starts on any GPU;
// empty where neither its code nor the libraries that it needs tell.
func (sl *Slice) Driver() string {
	if sl.GPU == nil {
		return sl.libraryDriver()
	}
	oldest := ""
	for _, r := range sl.GPU.Rows {
		if r.Driver != "" && (oldest == "" || cuda.CompareVersions(r.Driver, oldest) < 0) {
			oldest = r.Driver
		}
	}
	if oldest == "" {
		return sl.libraryDriver()
	}
	return oldest
}
