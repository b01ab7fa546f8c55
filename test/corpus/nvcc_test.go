package corpus

import (
	"debug/elf"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/relmat/relmat/internal/fatbin"
)

// kernel is compiled with line tables of its own name, so that entries carry a
// name, and long enough that compression shortens it.
const kernel = `__global__ void f(float *x) { for (int i = 0; i < 100; i++) x[threadIdx.x + i] = x[i] * 2.0f + i; }
`

// nvccCases are controlled compiles: what nvcc is asked for, and the images that
// must be read back, as image writes them, in any order. "?" stands for the
// compression where nvcc chooses it by size.
var nvccCases = []struct {
	name  string
	args  []string
	want  []string
	since string // the first release that has the option; empty for all
}{
	{
		name: "suffixes",
		args: gencodes("90:sm_90,compute_90", "90a:sm_90a,compute_90a", "100f:sm_100f,compute_100f", "100a:sm_100a", "103f:sm_103f", "120:sm_120", "121a:sm_121a,compute_121a", "110f:sm_110f"),
		want: []string{
			"cubin sm_90 ?", "ptx compute_90 ISA zstd", "cubin sm_90a ?", "ptx compute_90a ISA zstd", "cubin sm_100f ?", "ptx compute_100f ISA zstd",
			"cubin sm_100a ?", "cubin sm_103f ?", "cubin sm_120 ?", "cubin sm_121a ?", "ptx compute_121a ISA zstd", "cubin sm_110f ?",
		},
	},
	{
		name: "every plain architecture",
		args: gencodes("75:sm_75", "80:sm_80", "86:sm_86", "87:sm_87", "88:sm_88", "89:sm_89", "90:sm_90", "100:sm_100", "103:sm_103", "110:sm_110", "120:sm_120", "121:sm_121"),
		want: []string{
			"cubin sm_75 ?", "cubin sm_80 ?", "cubin sm_86 ?", "cubin sm_87 ?", "cubin sm_88 ?", "cubin sm_89 ?", "cubin sm_90 ?",
			"cubin sm_100 ?", "cubin sm_103 ?", "cubin sm_110 ?", "cubin sm_120 ?", "cubin sm_121 ?",
		},
	},
	{name: "PTX alone", args: gencodes("80:compute_80"), want: []string{"ptx compute_80 ISA zstd"}},
	{name: "LTO-IR", args: gencodes("75:lto_75", "90a:lto_90a"), want: []string{"ltoir lto_75 zstd", "ltoir lto_90a zstd"}},
	{name: "mode size", args: mixed("--compress-mode=size"), want: inMode("zstd", "zstd")},
	{name: "mode balance", args: mixed("--compress-mode=balance"), want: inMode("?", "zstd")},
	{name: "mode default", args: mixed("--compress-mode=default"), want: inMode("?", "zstd")},
	{name: "mode speed", args: mixed("--compress-mode=speed"), want: inMode("?", "lz4")},
	{name: "mode none", args: mixed("--compress-mode=none"), want: inMode("none", "none")},
	{name: "not compressed", args: mixed("--no-compress"), want: inMode("none", "none")},
	{name: "line tables", args: append(gencodes("80:sm_80,compute_80"), "-lineinfo"), want: []string{"cubin sm_80 ?", "ptx compute_80 ISA zstd"}},
	{name: "debug", args: append(gencodes("80:sm_80,compute_80"), "--device-debug"), want: []string{"cubin sm_80 zstd debug", "ptx compute_80 ISA zstd debug"}},
	{name: "relocatable", args: append(gencodes("80:sm_80", "90a:sm_90a"), "-rdc=true"), want: []string{"cubin sm_80 zstd", "cubin sm_90a zstd"}},
	{
		name: "concatenated", since: "13.5.0",
		args: append(gencodes("75:sm_75,compute_75,lto_75", "90a:sm_90a,compute_90a", "100f:sm_100f,compute_100f", "103a:sm_103a", "121:sm_121"), "--concat"),
		want: []string{
			"cubin sm_75 zstd", "ptx compute_75 ISA zstd", "ltoir lto_75 zstd", "cubin sm_90a zstd", "ptx compute_90a ISA zstd", "cubin sm_100f zstd",
			"ptx compute_100f ISA zstd", "cubin sm_103a zstd", "cubin sm_121 zstd",
		},
	},
	{
		name: "concatenated with names", since: "13.5.0",
		args: append(gencodes("75:sm_75,compute_75", "90a:sm_90a,compute_90a", "100f:sm_100f", "120f:sm_120f"), "--concat", "-lineinfo"),
		want: []string{
			"cubin sm_75 zstd", "ptx compute_75 ISA zstd", "cubin sm_90a zstd", "ptx compute_90a ISA zstd", "cubin sm_100f zstd", "cubin sm_120f zstd",
		},
	},
	{
		name: "concatenated debug", since: "13.5.0",
		args: append(gencodes("80:sm_80,compute_80", "90:sm_90"), "--concat", "-G"),
		want: []string{"cubin sm_80 zstd debug", "ptx compute_80 ISA zstd debug", "cubin sm_90 zstd debug"},
	},
}

// gencodes writes -gencode options out of "90a:sm_90a,compute_90a".
func gencodes(specs ...string) (args []string) {
	for _, s := range specs {
		arch, code, _ := strings.Cut(s, ":")
		args = append(args, "-gencode", "arch=compute_"+arch+",code=["+code+"]")
	}
	return args
}

func mixed(mode string) []string {
	return append(gencodes("80:sm_80,compute_80", "90a:sm_90a", "75:lto_75"), mode)
}

func inMode(cubin, text string) []string {
	return []string{"cubin sm_80 " + cubin, "cubin sm_90a " + cubin, "ptx compute_80 ISA " + text, "ltoir lto_75 " + text}
}

// TestNvcc reads back what nvcc was asked to make, and holds it against
// cuobjdump, too.
func TestNvcc(t *testing.T) {
	for version, isa := range map[string]string{"13.0.2": "9.0", "13.2.2": "9.2", "13.5.0": "9.5"} {
		dir := toolkitDir(t, version)
		for _, tt := range nvccCases {
			if tt.since > version {
				continue
			}
			t.Run(version+"/"+tt.name, func(t *testing.T) {
				out := compileKernel(t, dir, append([]string{"-fatbin"}, tt.args...)...)
				info, err := os.Stat(out)
				if err != nil {
					t.Fatal(err)
				}
				got := readImages(t, out, fatbin.Region{Name: ".nv_fatbin", Size: info.Size()})
				want := make([]string, len(tt.want))
				for i, w := range tt.want {
					want[i] = strings.Replace(w, "ISA", isa, 1)
				}
				compareImages(t, "nvcc", lines(got), want)
				compareImages(t, "cuobjdump", briefs(got), cuobjdumpLists(t, dir, "-all", out))
			})
		}
		t.Run(version+"/executable of relocatable code", func(t *testing.T) {
			testRelocatable(t, dir, isa)
		})
	}
}

// testRelocatable links relocatable code: the executable holds what CUDA's
// linker read and what it made.
func testRelocatable(t *testing.T, dir, isa string) {
	args := append(gencodes("80:sm_80,compute_80", "75:lto_75"), "-rdc=true")
	object := compileKernel(t, dir, append([]string{"-c"}, args...)...)
	main := filepath.Join(t.TempDir(), "main.cu")
	if err := os.WriteFile(main, []byte("extern __global__ void f(float *); int main() { f<<<1, 1>>>(0); }\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(filepath.Dir(main), "program")
	nvcc(t, dir, append(args, main, object, "-o", program)...)
	input := []string{"cubin sm_80 zstd", "ltoir lto_75 zstd", "ptx compute_80 " + isa + " zstd"}
	for path, want := range map[string]map[string][]string{
		object:  {"__nv_relfatbin": input},
		program: {"__nv_relfatbin": append(input, input...), ".nv_fatbin": {"cubin sm_80 ?"}},
	} {
		var all []string
		for name, want := range want {
			images := readImages(t, path, elfRegions(t, path)...)
			images = slices.DeleteFunc(images, func(i fatbin.Image) bool { return i.Section != name })
			compareImages(t, "nvcc, "+name+" of "+filepath.Base(path), lines(images), want)
			all = append(all, briefs(images)...)
		}
		compareImages(t, "cuobjdump, "+filepath.Base(path), all, cuobjdumpLists(t, dir, "-all", path))
	}
	if codes := fatbin.Codes(readImages(t, program, elfRegions(t, program)...)); len(codes) != 1 || codes[0].SM != 80 {
		t.Errorf("the program's own code is %+v", codes)
	}
}

func compileKernel(t *testing.T, toolkit string, args ...string) string {
	t.Helper()
	dir := t.TempDir()
	source, out := filepath.Join(dir, "kernel.cu"), filepath.Join(dir, "out.o")
	if err := os.WriteFile(source, []byte(kernel), 0o666); err != nil {
		t.Fatal(err)
	}
	nvcc(t, toolkit, append(args, source, "-o", out)...)
	return out
}

func nvcc(t *testing.T, toolkit string, args ...string) {
	t.Helper()
	if out, err := exec.Command(filepath.Join(toolkit, "bin", "nvcc"), args...).CombinedOutput(); err != nil {
		t.Fatalf("nvcc %q: %v\n%s", args, err, out)
	}
}

func elfRegions(t *testing.T, path string) (regions []fatbin.Region) {
	t.Helper()
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, s := range f.Sections {
		if s.Type != elf.SHT_NOBITS {
			regions = append(regions, fatbin.Region{Name: s.Name, Offset: int64(s.Offset), Size: int64(s.FileSize)})
		}
	}
	return regions
}

func readImages(t *testing.T, path string, regions ...fatbin.Region) []fatbin.Image {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	images, err := fatbin.Images(f, regions, fatbin.Options{})
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	for _, i := range images {
		// A short PTX takes more room when compressed.
		if i.Stored <= 0 || i.Size <= 0 || i.Compression == fatbin.None && i.Size != i.Stored {
			t.Errorf("%s: %+v", path, i)
		}
	}
	return images
}

func lines(images []fatbin.Image) (out []string) {
	for _, i := range images {
		out = append(out, strings.Join(slices.DeleteFunc([]string{string(i.Kind), i.Arch(), i.PTXISA, string(i.Compression), debugWord(i)}, func(s string) bool { return s == "" }), " "))
	}
	return out
}

func debugWord(i fatbin.Image) string {
	if i.Debug {
		return "debug"
	}
	return ""
}

// briefs write images with what cuobjdump tells of them: not the algorithm of
// the compression.
func briefs(images []fatbin.Image) (out []string) {
	for _, i := range images {
		line := fmt.Sprintf("%s %d%s", i.Kind, i.SM, i.Suffix)
		if i.Kind == fatbin.PTX {
			line += " " + i.PTXISA
		}
		if i.Debug {
			line += " debug"
		}
		out = append(out, line)
	}
	return out
}

// cuobjdumpEntry is an entry of cuobjdump's plain list, which is indented
// within a concatenated entry.
var cuobjdumpEntry = regexp.MustCompile(`(?m)^\t?Fatbin (elf|ptx|nvvm) code:\n\t?=+\n\t?arch = sm_(\w+)\n\t?code version = \[(\d+),(\d+)\]\n((?:\t?\S.*\n)*)`)

func cuobjdumpLists(t *testing.T, toolkit string, args ...string) (out []string) {
	t.Helper()
	// Standard error may hold a warning that -all looks into obfuscated entries.
	b, err := exec.Command(filepath.Join(toolkit, "bin", "cuobjdump"), args...).Output()
	if err != nil {
		t.Fatalf("cuobjdump %q: %v", args, err)
	}
	kinds := map[string]fatbin.Kind{"elf": fatbin.Cubin, "ptx": fatbin.PTX, "nvvm": fatbin.LTOIR}
	for _, m := range cuobjdumpEntry.FindAllStringSubmatch(string(b), -1) {
		line := fmt.Sprintf("%s %s", kinds[m[1]], m[2])
		if m[1] == "ptx" {
			line += " " + m[3] + "." + m[4]
		}
		if strings.Contains(m[5], "has debug info") {
			line += " debug"
		}
		out = append(out, line)
	}
	if headings := strings.Count(string(b), "Fatbin ") - strings.Count(string(b), "Fatbin concatenated"); headings != len(out) {
		t.Fatalf("cuobjdump shows %d entries, %d of them were understood:\n%s", headings, len(out), b)
	}
	return out
}

// compareImages compares lists without their order; in want "?" is any
// compression.
func compareImages(t *testing.T, truth string, got, want []string) {
	t.Helper()
	got, want = slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))
	same := slices.EqualFunc(got, want, func(g, w string) bool {
		if before, after, ok := strings.Cut(w, "?"); ok {
			return slices.ContainsFunc([]fatbin.Compression{fatbin.None, fatbin.LZ4, fatbin.Zstd}, func(c fatbin.Compression) bool {
				return g == before+string(c)+after
			})
		}
		return g == w
	})
	if !same {
		t.Errorf("by %s\n got  %q\n want %q", truth, got, want)
	}
}
