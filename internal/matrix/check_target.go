package matrix

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/relmat/relmat/internal/cuda"
)

// checkShared checks settings that targets inherit: what makes a target one of
// its own has no place there.
func (f *File) checkShared(at string, t Target) {
	f.checkTarget(at, t)
	if t.VariantOf != "" {
		f.problem(at+".variant-of", "write it in the target", "only a target can be a variant")
	}
	if strings.HasPrefix(at, "systems.") && t.Triple != "" {
		f.problem(at+".triple", "write it in the target", "the triple decides the system, not the other way round")
	}
}

// checkRow checks what only the resolved target tells.
func (f *File) checkRow(at string, row Row) {
	base := f.Targets.Values[row.Name].VariantOf
	if _, ok := f.Targets.Get(base); row.Triple == "" && (ok || base == "") {
		f.required(at+".triple", "") // that of a wrong variant-of is not known
	}
	f.checkVariant(at, row)
	f.checkHosts(at, row)
	f.checkCPU(at, row)
	f.checkCUDA(at, row)
	f.checkNative(at, row)
	f.checkVariables(at, row)
	f.checkRowSign(at, row)
}

// checkNative finds rules for native builds where nobody says which crates make
// them. An empty list says that a target has none.
func (f *File) checkNative(at string, row Row) {
	if row.origins["native.crates"] != "" {
		return
	}
	for _, rule := range []struct {
		key string
		set bool
	}{{"native.pins", len(row.Native.Pins) > 0}, {"native.max-age", row.Native.MaxAge > 0}} {
		if rule.set {
			f.problem(f.origin(at, row, rule.key), "name the crates whose build scripts run CMake: native.crates", "reaches no native build")
		}
	}
}

func (f *File) checkVariant(at string, row Row) {
	base := f.Targets.Values[row.Name].VariantOf
	if base == "" {
		return
	}
	var known []string
	for _, name := range f.Targets.Keys {
		if name != row.Name && f.Targets.Values[name].VariantOf == "" {
			known = append(known, name)
		}
	}
	said := ""
	switch {
	case base == row.Name:
		said = "a target cannot be a variant of itself"
	case slices.Contains(f.Targets.Keys, base) && !slices.Contains(known, base):
		said = fmt.Sprintf("%q is itself a variant, of %q", base, f.Targets.Values[base].VariantOf)
	default:
		f.reference(at+".variant-of", "targets", base, known)
		return
	}
	f.problem(at+".variant-of", "targets that are no variants: "+listOr(known, "none"), "%s", said)
}

func (f *File) checkHosts(at string, row Row) {
	if row.Platform.OS == "" {
		return // nothing to compare with, and that is said at the triple
	}
	for _, name := range row.Hosts.Keys {
		triple := row.Hosts.Values[name].Triple
		if triple == "" {
			continue
		}
		where := f.origin(at, row, "hosts") + "." + name + ".triple"
		if p, err := ParseTriple(triple); err == nil && p != row.Platform {
			f.problem(where, "write a triple of "+row.Platform.String()+", on which the programs run, or leave it out", "%q is a triple of %s", triple, p)
		}
	}
}

// origin is the place in the file of the row's value for key.
func (f *File) origin(at string, row Row, key string) string {
	if from, ok := row.origins[key]; ok {
		return join(from, key)
	}
	return join(at, key)
}

// checkLevel wants a CPU level that the table knows.
func (f *File) checkLevel(at string, t Target) {
	if _, ok := CPULevelOf(t.CPU.Level); ok || t.CPU.Level == "" {
		return
	}
	p, _ := ParseTriple(t.Triple)
	known := cpuNames(p.Arch)
	hint := "allowed: " + strings.Join(known, ", ")
	switch {
	case p.Arch != "" && len(known) == 0:
		hint = "leave it out: relmat knows no levels of " + p.Arch
	case p.Arch != "":
		hint = "levels of " + p.Arch + ": " + strings.Join(known, ", ")
	}
	if near := nearest(t.CPU.Level, known); near != "" {
		hint = "did you mean \"" + near + "\"? " + hint
	}
	f.problem(at+".cpu.level", hint, "%q is not in relmat's table of CPU levels", t.CPU.Level)
}

// checkCPU checks a level against the target's triple.
func (f *File) checkCPU(at string, row Row) {
	if row.CPU.Level == "" {
		return
	}
	where := f.origin(at, row, "cpu.level")
	arch := row.Platform.Arch
	known := cpuNames(arch)
	hint := "levels of " + arch + ": " + strings.Join(known, ", ")
	if len(known) == 0 {
		hint = "leave it out: relmat knows no levels of " + arch
	}
	level, ok := CPULevelOf(row.CPU.Level)
	switch {
	case !ok || arch == "" || level.Arch == arch: // what is wrong there is said elsewhere
	case strings.HasPrefix(where, at+"."):
		f.problem(where, hint, "%q is a level of %s, the target is %s", level.Name, level.Arch, arch)
	default:
		f.problem(where, hint, "%q is a level of %s, and targets of %s inherit it", level.Name, level.Arch, arch)
	}
	if strings.Contains(strings.Join(row.Rustflags, " "), "target-cpu") {
		f.problem(f.origin(at, row, "rustflags"), "take it out, or leave cpu.level out", "sets target-cpu, which cpu.level sets")
	}
}

func listOr(list []string, none string) string {
	if len(list) == 0 {
		return none
	}
	return strings.Join(list, ", ")
}

// checkVariables finds variables of env that would overrule another key of the
// same target: the compilers would then disagree about the CPU or the GPU.
func (f *File) checkVariables(at string, row Row) {
	keys := map[string]string{}
	if row.CPU.Level != "" && row.CPU.Env != "" {
		keys[row.CPU.Env] = "cpu"
	}
	if row.CUDA.Architectures != "" && row.CUDA.Env != "" {
		if keys[row.CUDA.Env] != "" {
			f.problem(f.origin(at, row, "cuda.env"), "give each its own", "%s is also cpu.env", row.CUDA.Env)
		}
		keys[row.CUDA.Env] = "cuda"
	}
	for _, name := range row.Env.Keys {
		if key := keys[name]; key != "" {
			f.nameProblem(f.origin(at, row, "env."+name), "take it out here or there", "is set by %s.env", key)
		}
		value := row.Env.Values[name]
		with, err := Fields{Toolkit: "x"}.Expand(value)
		without, _ := Fields{}.Expand(value)
		if row.Toolkit == "" && err == nil && with != without {
			f.problem(f.origin(at, row, "env."+name), "give it one, or move the variable to the targets that have one", "speaks of the toolkit, and target %s has none", row.Name)
		}
	}
}

// toolkitRelease finds the release in the requirements of a toolkit.
var toolkitRelease = regexp.MustCompile(`^cuda-toolkit(?:\[[^\]]*\])?==([0-9]+\.[0-9]+)`)

// Release is the toolkit's CUDA release as major.minor, read from its
// requirement of cuda-toolkit; empty if there is none.
func (t Toolkit) Release() string {
	for _, r := range t.Requirements {
		if m := toolkitRelease.FindStringSubmatch(strings.ReplaceAll(r, " ", "")); m != nil {
			return m[1]
		}
	}
	return ""
}

func (f *File) checkCUDA(at string, row Row) {
	if row.CUDA.Architectures == "" {
		return
	}
	where := f.origin(at, row, "cuda.architectures")
	if row.CUDA.Env == "" {
		f.problem(where, "name the variable by which the build reads them: cuda.env", "reach no build")
	}
	list, err := cuda.ParseArchitectures(row.CUDA.Architectures)
	if err != nil {
		return // checkTarget has said it
	}
	release := f.Toolkits.Values[row.Toolkit].Release()
	numbers, known := cuda.Compiles(release)
	var names []string
	for _, a := range list {
		names = append(names, a.Name())
		if known && !slices.Contains(numbers, a.Number) {
			f.problem(where, "it knows "+strings.Join(numbers, ", "), "nvcc of CUDA %s (toolkit %s) cannot compile for architecture %s", release, row.Toolkit, a.Number)
		}
		if a.IsTegra() && (row.CUDA.Tegra == nil || !*row.CUDA.Tegra) {
			f.problem(where, "take it out, or say cuda.tegra: true if the target is for Jetson modules", "architecture %s is that of %s, which no desktop and no server has", a.Number, cmp.Or(a.GPUs(), "older Jetson modules"))
		}
	}
	for _, gate := range row.CUDA.Gates {
		if g, err := cuda.ParseArchitectures(gate); err == nil && slices.Contains(names, g[0].Number) && !slices.Contains(names, g[0].Name()) {
			f.problem(where, "write "+gate+" for "+g[0].Number, "%s leaves out the kernels that the sources compile for %s alone (cuda.gates)", g[0].Number, gate)
		}
	}
}

func (f *File) checkPins() {
	for _, name := range f.Pins.Keys {
		pin, at := f.Pins.Values[name], "pins."+name
		f.checkName(at, name)
		if len(pin.Places) == 0 {
			f.problem(at+".places", "name at least one file and pattern", "is missing")
		}
		for i, place := range pin.Places {
			at := index(at+".places", i)
			if place.File == "" {
				f.problem(at+".file", "a path in the project's checkout", "is missing")
			} else {
				f.checkRel(at+".file", place.File)
			}
			re, err := regexp.Compile(place.Pattern)
			switch {
			case place.Pattern == "":
				f.problem(at+".pattern", `a regular expression (RE2) whose one group is the pin, such as 'GIT_TAG (\S+)'`, "is missing")
			case err != nil:
				f.problem(at+".pattern", "the syntax is RE2's", "%v", err)
			case re.NumSubexp() != 1:
				f.problem(at+".pattern", "put what is pinned into ( ), and what else needs them into (?: )", "has %d groups ( ), and must have one", re.NumSubexp())
			}
		}
	}
}
