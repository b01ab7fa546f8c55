package inspect

import (
	"slices"
	"strings"
	"testing"

	"github.com/relmat/relmat/internal/cuda"
	"github.com/relmat/relmat/internal/fatbin"
	"github.com/relmat/relmat/internal/loader"
	"github.com/relmat/relmat/internal/matrix"
	"github.com/relmat/relmat/internal/objfile"
)

func TestLibraryDriver(t *testing.T) {
	for name, want := range map[string]string{
		"libcudart.so.13": "580", "libcudart.so.12": "525", "libcudart.so.11.0": "450.80.02", "libcublas.so.13": "580",
		"libcublasLt.so.12": "525", "libnvrtc.so.13": "580", "libnvJitLink.so.13": "580", "nvrtc64_130_0.dll": "580", "nvrtc64_120_0.dll": "525",
		"cudart64_13.dll": "580", "cudart64_110.dll": "452.39", "CUBLASLT64_13.DLL": "580",
		// Those that count their own versions tell nothing.
		"libcufft.so.12": "", "libcudnn.so.9": "", "libcusolver.so.12": "", "cufft64_12.dll": "", "libc.so.6": "", "libcudart.so": "", "libmycudart.so.13": "",
	} {
		format := objfile.ELF
		if strings.HasSuffix(strings.ToLower(name), ".dll") {
			format = objfile.PE
		}
		for _, o := range []*objfile.Object{
			{Format: format, Soname: name},
			{Format: format, Needs: []objfile.Need{{Name: "other"}, {Name: name}}},
			{Format: format, DelayNeeds: []objfile.Need{{Name: name}}},
		} {
			if got := (&Slice{Object: o}).Driver(); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
	}
	// What is needed through others counts too.
	tree := &loader.Tree{Nodes: map[string]*loader.Node{"/x": {Edges: []loader.Edge{{Name: "libnvrtc.so.13"}}}}}
	sl := &Slice{Object: &objfile.Object{Format: objfile.ELF}, Tree: tree, GPU: &GPU{codes: []cuda.Code{{Kind: cuda.Cubin, SM: 80}, {Kind: cuda.Cubin, SM: 121}}}}
	sl.judge()
	if got := sl.Driver(); got != "580" {
		t.Errorf("through others: %q", got)
	}
}

// TestRows wants the rows that machines of a kind can have: Jetson modules only
// for ARM64 Linux, and old GPUs where there is code for them.
func TestRows(t *testing.T) {
	codes := []cuda.Code{
		{Kind: cuda.Cubin, SM: 70},
		{Kind: cuda.Cubin, SM: 52},
		{Kind: cuda.Cubin, SM: 80},
		{Kind: cuda.Cubin, SM: 90},
		{Kind: cuda.Cubin, SM: 90, Suffix: "a"},
		{Kind: cuda.PTX, SM: 80, PTXISA: "9.0"},
		{Kind: cuda.Cubin, SM: 1 << 30},
	}
	caps := func(rows []GPURow, run cuda.Run) string { return strings.Join(runsBy(rows, run), " ") }
	x := rowsOf(codes, host{oldest: "580"})
	if got := caps(x, cuda.Native); got != "5.2 7.0 7.5 8.0 8.6 8.9 9.0" {
		t.Errorf("natively on %s", got)
	}
	if got := caps(x, cuda.JIT); got != "10.0 10.3 12.0 12.1" {
		t.Errorf("by compiling on %s", got)
	}
	if got := caps(rowsOf(codes, host{arm64: true}), cuda.JIT); got != "8.7 10.0 10.3 11.0 12.0 12.1" {
		t.Errorf("by compiling on ARM64 on %s", got)
	}
	if got := caps(rowsOf(codes, host{arm64: true, windows: true}), cuda.JIT); got != "10.0 10.3 12.0 12.1" {
		t.Errorf("by compiling on Windows for ARM64 on %s", got)
	}
	i := slices.IndexFunc(x, func(r GPURow) bool { return r.Capability == "9.0" })
	if r := x[i]; r.From != "sm_90, sm_90a" || r.Driver != "580" {
		t.Errorf("9.0 is %+v", r)
	}
	for _, r := range rowsOf(codes, host{arm64: true, oldest: "580"}) {
		if r.Capability == "8.7" && r.Driver != "" {
			t.Errorf("a Jetson module has the driver %s", r.Driver)
		}
	}
}

func TestTargetRows(t *testing.T) {
	rows, err := TargetRows("80-real;90a;120-virtual", "13.0", matrix.Platform{OS: "linux", Arch: "x86_64"})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range rows {
		got = append(got, strings.TrimSpace(strings.Join([]string{r.Capability, string(r.Runs), r.From, r.Driver}, " ")))
	}
	want := []string{
		"7.5 none", "8.0 native sm_80 580", "8.6 native sm_80 580", "8.9 native sm_80 580", "9.0 native sm_90a 580",
		"10.0 none", "10.3 none", "12.0 jit compute_120 580.65.06", "12.1 jit compute_120 580.65.06",
	}
	for i := range want {
		if i >= len(got) || strings.Join(strings.Fields(got[i]), " ") != want[i] {
			t.Errorf("row %d is %q, want %q", i, got, want[i])
		}
	}
	if _, err := TargetRows("native", "13.0", matrix.Platform{OS: "linux"}); err == nil {
		t.Error("native is taken")
	}
	// A release of which the drivers are not known.
	rows, err = TargetRows("120-virtual", "13.9", matrix.Platform{OS: "linux", Arch: "x86_64"})
	if err != nil || rows[len(rows)-1].Driver != "" {
		t.Errorf("%+v, %v", rows, err)
	}
}

func TestGPUOf(t *testing.T) {
	if gpuOf(nil) != nil {
		t.Error("no images are GPU code")
	}
	g := gpuOf([]fatbin.Image{
		{Kind: fatbin.Cubin, SM: 80, Section: ".nv_fatbin", Stored: 10, Size: 100, Compression: fatbin.Zstd},
		{Kind: fatbin.Cubin, SM: 80, Section: ".data", Stored: 5, Size: 50, Compression: fatbin.Zstd},
	})
	if len(g.Images) != 1 || g.Images[0].Count != 2 || g.Images[0].Bytes != 15 || g.Images[0].Unpacked != 150 || g.Images[0].Arch != "sm_80" {
		t.Errorf("%+v", g.Images)
	}
	if want := []SectionCount{{".nv_fatbin", 1}, {".data", 1}}; !slices.Equal(g.Sections, want) {
		t.Errorf("%+v", g.Sections)
	}
}
