package verify

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/relmat/relmat/internal/cuda"
	"github.com/relmat/relmat/internal/fatbin"
)

// gpuFile is a file with GPU code that runs.
type gpuFile struct {
	n     *native
	codes []cuda.Code
}

// gpuFiles are the files of the build that hold GPU code. Code for the linker
// alone does not count.
func (s *subject) gpuFiles() []gpuFile {
	var out []gpuFile
	for _, n := range s.natives {
		if n.GPU == nil || !n.entry.isBuild() {
			continue
		}
		if codes := codesOf(n); len(codes) > 0 {
			out = append(out, gpuFile{n, codes})
		}
	}
	return out
}

// codesOf are the sorts of code in a file that a driver takes.
func codesOf(n *native) []cuda.Code {
	var out []cuda.Code
	for _, i := range n.GPU.Images {
		c := cuda.Code{PTXISA: i.PTXISA}
		var name string
		switch i.Kind {
		case fatbin.Cubin:
			c.Kind, name = cuda.Cubin, strings.TrimPrefix(i.Arch, "sm_")
		case fatbin.PTX:
			c.Kind, name = cuda.PTX, strings.TrimPrefix(i.Arch, "compute_")
		default:
			continue
		}
		digits := strings.TrimRight(name, "af")
		sm, err := strconv.Atoi(digits)
		if err != nil {
			continue
		}
		c.SM, c.Suffix = sm, name[len(digits):]
		if !slices.Contains(out, c) {
			out = append(out, c)
		}
	}
	return out
}

func archOf(c cuda.Code) string {
	return fatbin.Image{Kind: fatbin.Kind(c.Kind), SM: c.SM, Suffix: c.Suffix}.Arch()
}

// archs names the code of a file.
func archs(codes []cuda.Code) []string {
	var out []string
	for _, c := range codes {
		if a := archOf(c); !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	return out
}

// coverage holds the GPU code of the build against the GPUs that are promised.
// Vendors' libraries do not count: their code is not the project's.
func coverage(s *subject) []Finding {
	files := s.gpuFiles()
	var out []Finding
	if t := s.o.Target; t != nil {
		out = s.promisedCoverage(t, files)
	}
	for _, f := range files {
		if only75(f.codes) && !promises75(s.o.Target) {
			fi := Finding{
				File:     f.n.entry.Path,
				Message:  "its GPU code is for sm_75 alone, which is what nvcc makes without being told, or with -arch=native on a machine without a GPU",
				Hint:     "say the architectures: cuda.architectures with cuda.env, or CMAKE_CUDA_ARCHITECTURES",
				Evidence: []string{"holds " + strings.Join(archs(f.codes), ", ")},
			}
			if s.o.Target == nil {
				fi.Severity = warning
			}
			out = append(out, fi)
		}
	}
	return out
}

func only75(codes []cuda.Code) bool {
	return !slices.ContainsFunc(codes, func(c cuda.Code) bool { return c.SM != 75 })
}

func promises75(t *Target) bool {
	if t == nil || t.Row.CUDA.Architectures == "" {
		return false
	}
	list, err := cuda.ParseArchitectures(t.Row.CUDA.Architectures)
	if err != nil {
		return false
	}
	return !slices.ContainsFunc(list, func(a cuda.Architecture) bool { return a.Number != "75" })
}

// promisedCoverage holds the code against the matrix: what it requires by name,
// what was to be compiled, and what the sources ask for by its exact name.
func (s *subject) promisedCoverage(t *Target, files []gpuFile) []Finding {
	c := t.Row.CUDA
	required := len(c.Require.Native)+len(c.Require.JIT)+len(c.Require.Images) > 0
	// A toolkit for macOS is one of wheels, such as MLX's, and not CUDA's.
	gpu := required || c.Architectures != "" || t.Row.Toolkit != "" && t.Row.Platform.OS != "macos"
	if !gpu || !s.hasBuild() {
		return nil
	}
	if len(files) == 0 {
		return []Finding{{
			File:    s.firstProgram(),
			Message: fmt.Sprintf("no file of the build holds GPU code, and target %s is one for CUDA: a build without it was packed", t.Row.Name),
			Hint:    "look whether the feature flag for CUDA reached the build (features of the target), and what CMake says of CUDA in the build's log",
		}}
	}
	var all []cuda.Code
	var have []string
	for _, f := range files {
		all = append(all, f.codes...)
		have = append(have, text(f.n.entry.Path)+" holds "+strings.Join(archs(f.codes), ", "))
	}
	have = evidence(have)
	file := files[0].n.entry.Path
	var out []Finding
	add := func(hint, format string, args ...any) {
		out = append(out, Finding{File: file, Message: fmt.Sprintf(format, args...), Hint: hint, Evidence: have})
	}
	images := archs(all)
	for _, want := range c.Require.Images {
		if !slices.Contains(images, want) {
			add(suffixHint(want, images), "no image is for %s, which cuda.require.images asks for", want)
		}
	}
	for _, capability := range c.Require.Native {
		if run := runsOnGPU(all, capability); run != cuda.Native {
			add("add its architecture to cuda.architectures", "no machine code runs on compute capability %s%s, which cuda.require.native asks for: it %s", capability, gpuNames(capability), ways[run])
		}
	}
	for _, capability := range c.Require.JIT {
		if runsOnGPU(all, capability) == cuda.None {
			add("add PTX of that or an older compute capability, as 90-virtual", "no code runs on compute capability %s%s, not even after the driver's compiling, which cuda.require.jit asks for", capability, gpuNames(capability))
		}
	}
	return append(out, architectureFindings(t, file, all, have)...)
}

var ways = map[cuda.Run]string{cuda.JIT: "runs there after the driver has compiled PTX", cuda.None: "does not run there at all"}

// architectureFindings holds the images against cuda.architectures, and
// against cuda.gates.
func architectureFindings(t *Target, file string, codes []cuda.Code, have []string) []Finding {
	images := archs(codes)
	var out []Finding
	add := func(hint, format string, args ...any) {
		out = append(out, Finding{File: file, Message: fmt.Sprintf(format, args...), Hint: hint, Evidence: have})
	}
	list, err := cuda.ParseArchitectures(t.Row.CUDA.Architectures)
	if t.Row.CUDA.Architectures != "" && err == nil {
		for _, a := range list {
			// A build may make 100a where it was asked for 100: that is more. But 90
			// in place of 90a is less.
			want := "sm_" + a.Name()
			there := slices.Contains(images, want) || a.Suffix == "" && nativeOn(codes, a.Number)
			if a.Real && !there {
				add(suffixHint(want, images), "no image is for %s, which cuda.architectures asks for", want)
			}
			if want := "compute_" + a.Name(); a.Virtual && !a.Real && !slices.Contains(images, want) {
				add(suffixHint(want, images), "no PTX is for %s, which cuda.architectures asks for", want)
			}
		}
	}
	for _, g := range t.Row.CUDA.Gates {
		plain := "sm_" + strings.TrimRight(g, "af")
		if slices.Contains(images, plain) && !slices.Contains(images, "sm_"+g) {
			add("write "+g+" in cuda.architectures", "%s is there without sm_%s: the kernels that the sources compile for %s alone (cuda.gates) are left out", plain, g, g)
		}
	}
	return out
}

// nativeOn tells whether machine code made for an architecture's number is
// there, with whatever suffix.
func nativeOn(codes []cuda.Code, number string) bool {
	return slices.ContainsFunc(codes, func(c cuda.Code) bool { return c.Kind == cuda.Cubin && strconv.Itoa(c.SM) == number })
}

// suffixHint tells when the number is there with another suffix.
func suffixHint(want string, images []string) string {
	plain := strings.TrimRight(want, "af")
	for _, i := range images {
		if strings.TrimRight(i, "af") == plain && i != want {
			return fmt.Sprintf("%s is there, which is other code: kernels that the sources compile for the exact name %s alone are not in it", i, want)
		}
	}
	return "add it to cuda.architectures, and look whether the build leaves out kernels where it does not find what they need"
}

func runsOnGPU(codes []cuda.Code, capability string) cuda.Run {
	best := cuda.None
	g, ok := gpuOf(capability)
	if !ok {
		return best
	}
	for _, c := range codes {
		switch c.On(g) {
		case cuda.Native:
			return cuda.Native
		case cuda.JIT:
			best = cuda.JIT
		}
	}
	return best
}

func gpuOf(capability string) (cuda.GPU, bool) {
	for _, g := range cuda.GPUs() {
		if g.Capability() == capability {
			return g, true
		}
	}
	sm, err := strconv.Atoi(strings.ReplaceAll(capability, ".", ""))
	return cuda.GPU{SM: sm}, err == nil
}

func gpuNames(capability string) string {
	if g, ok := gpuOf(capability); ok && g.Names != "" {
		return " (" + g.Names + ")"
	}
	return ""
}

// hasBuild tells whether any native file is of the build: a package of a
// vendor's libraries alone has none.
func (s *subject) hasBuild() bool {
	return slices.ContainsFunc(s.natives, func(n *native) bool { return n.loads() && n.entry.isBuild() })
}

// firstProgram is the file that stands for the whole build.
func (s *subject) firstProgram() string {
	for _, n := range s.programs() {
		if n.entry.isBuild() {
			return n.entry.Path
		}
	}
	for _, n := range s.natives {
		if n.loads() && n.entry.isBuild() {
			return n.entry.Path
		}
	}
	return ""
}
