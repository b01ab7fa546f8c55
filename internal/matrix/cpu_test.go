package matrix_test

import (
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/relmat/relmat/internal/matrix"
)

// triplesOf are the targets for which a level is used; rustc's table of CPUs
// is that of the target.
var triplesOf = map[string][]string{
	"x86_64":  {"x86_64-unknown-linux-gnu", "x86_64-pc-windows-msvc", "x86_64-apple-darwin"},
	"aarch64": {"aarch64-unknown-linux-gnu", "aarch64-apple-darwin", "aarch64-pc-windows-msvc"},
}

func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func TestCPULevels(t *testing.T) {
	seen := map[string]bool{}
	for _, l := range matrix.CPULevels() {
		if seen[l.Name] || l.Name == "" || l.Rust == "" || l.March == "" || l.Since == "" || triplesOf[l.Arch] == nil {
			t.Errorf("level %+v stands twice or lacks something", l)
		}
		seen[l.Name] = true
		if got, ok := matrix.CPULevelOf(l.Name); !ok || got != l {
			t.Errorf("%s is found as %+v, %v", l.Name, got, ok)
		}
	}
	for _, name := range []string{"", "native", "X86-64", "haswell"} {
		if got, ok := matrix.CPULevelOf(name); ok {
			t.Errorf("%q is %+v", name, got)
		}
	}
}

// TestRustcKnowsTheLevels goes by what rustc takes, not by its list of
// target-cpus alone: that leaves out names such as apple-m1, which it takes as
// another word for apple-a14.
func TestRustcKnowsTheLevels(t *testing.T) {
	const unknown = "is not a recognized processor"
	for arch, triples := range triplesOf {
		for _, triple := range triples {
			var listed []string
			for line := range strings.Lines(output(t, "rustc", "--print", "target-cpus", "--target", triple)) {
				if words := strings.Fields(line); len(words) > 0 {
					listed = append(listed, words[0])
				}
			}
			takes := func(cpu string) bool {
				return slices.Contains(listed, cpu) ||
					!strings.Contains(output(t, "rustc", "--print", "cfg", "--target", triple, "-C", "target-cpu="+cpu), unknown)
			}
			if takes("no-such-cpu") {
				t.Errorf("rustc does not say of no-such-cpu that it %s", unknown)
			}
			for _, l := range matrix.CPULevels() {
				if l.Arch == arch && !takes(l.Rust) {
					t.Errorf("rustc has no target-cpu %s for %s", l.Rust, triple)
				}
			}
		}
	}
}

// TestCompilerKnowsTheLevels asks the C++ compiler of this host, which knows
// its own architecture's.
func TestCompilerKnowsTheLevels(t *testing.T) {
	asked := 0
	for _, l := range matrix.CPULevels() {
		if l.Arch == matrix.Host().Arch {
			output(t, "g++", "-march="+l.March, "-E", "-x", "c++", "/dev/null")
			asked++
		}
	}
	if asked < 4 {
		t.Errorf("the table has %d levels of %s", asked, matrix.Host().Arch)
	}
}

var targetFeature = regexp.MustCompile(`(?m)^target_feature="(.+)"$`)

// rustFeatures is what rustc lets code use that is made for the level.
func rustFeatures(t *testing.T, l matrix.CPULevel) []string {
	t.Helper()
	var list []string
	for _, m := range targetFeature.FindAllStringSubmatch(output(t, "rustc", "--print", "cfg", "--target", triplesOf[l.Arch][0], "-C", "target-cpu="+l.Rust), -1) {
		list = append(list, m[1])
	}
	return list
}

// TestBothWordsOfALevelMeanTheSame compares what rustc and the C++ compiler
// may use: a program that is half of one level starts on no CPU of the lower.
func TestBothWordsOfALevelMeanTheSame(t *testing.T) {
	macros := map[string]string{
		"__SSE3__": "sse3", "__SSE4_1__": "sse4.1", "__SSE4_2__": "sse4.2", "__POPCNT__": "popcnt", "__AVX__": "avx", "__AVX2__": "avx2",
		"__FMA__": "fma", "__F16C__": "f16c", "__BMI__": "bmi1", "__BMI2__": "bmi2", "__LZCNT__": "lzcnt", "__MOVBE__": "movbe",
		"__AVX512F__": "avx512f", "__AVX512BW__": "avx512bw", "__AVX512CD__": "avx512cd", "__AVX512DQ__": "avx512dq", "__AVX512VL__": "avx512vl",
		"__AVX512VNNI__": "avx512vnni", "__AVX512BF16__": "avx512bf16", "__AES__": "aes", "__PCLMUL__": "pclmulqdq",
	}
	if matrix.Host().Arch == "x86_64" {
		for _, l := range matrix.CPULevels() {
			if l.Arch != "x86_64" {
				continue
			}
			rust := rustFeatures(t, l)
			defined := output(t, "g++", "-march="+l.March, "-dM", "-E", "-x", "c++", "/dev/null")
			for macro, feature := range macros {
				if c := strings.Contains(defined, "#define "+macro+" "); c != slices.Contains(rust, feature) {
					t.Errorf("%s: g++ uses %s: %v, rustc %s: %v", l.Name, macro, c, feature, !c)
				}
			}
		}
	}

	// On aarch64 the word of -march itself says what it adds ("AArch64
	// Options", GCC manual).
	words := map[string][]string{
		"armv8-a": {"neon"}, "armv8.2-a": {"lse", "rdm", "crc", "pan", "dpb"}, "armv8.4-a": {"lse", "rdm", "rcpc2", "flagm", "dotprod", "dpb", "dit"},
		"armv9-a": {"lse", "rcpc2", "flagm", "sve2", "fcma", "jsconv", "paca", "sb", "bti"},
		"aes":     {"aes"}, "sha2": {"sha2"}, "sha3": {"sha3"}, "fp16": {"fp16"}, "fp16fml": {"fhm"}, "rcpc": {"rcpc"}, "dotprod": {"dotprod"},
		"ssbs": {"ssbs"}, "i8mm": {"i8mm"}, "bf16": {"bf16"},
		// rustc 1.95 does not show it for any CPU.
		"sve2-bitperm": {"sve2"},
	}
	for _, l := range matrix.CPULevels() {
		if l.Arch != "aarch64" {
			continue
		}
		rust := rustFeatures(t, l)
		for _, word := range strings.Split(l.March, "+") {
			if words[word] == nil {
				t.Errorf("%s: this test does not know what %s is", l.Name, word)
			}
			for _, feature := range words[word] {
				if !slices.Contains(rust, feature) {
					t.Errorf("%s: -march has %s, rustc's %s has no %s", l.Name, word, l.Rust, feature)
				}
			}
		}
	}
}
