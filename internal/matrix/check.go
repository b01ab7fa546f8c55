package matrix

import (
	"encoding/hex"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/relmat/relmat/internal/cuda"
)

// Archives lists the archive formats by their extension.
var Archives = []string{"zip", "tar.gz"}

// The words of a step's promote.
const (
	PromoteRequire = "require"
	PromoteNote    = "note"
)

// Promotes lists what a promotion can make of a step that was not run.
var Promotes = []string{PromoteRequire, PromoteNote}

// CompilerCaches lists the compiler caches that can be used.
var CompilerCaches = []string{"sccache", "ccache"}

var (
	// safeName is what GitHub keeps as it is in the name of an asset, and every
	// file system in the name of a file.
	safeName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+-]*$`)
	word     = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]*$`)
	// relative is a path that is absolute on no system: the file means the same
	// wherever it is read.
	relative = regexp.MustCompile(`^[^/\\]([^:]|$)`)
	// versionNumber is numbers with points, capability a GPU's, imageName what
	// cuobjdump calls GPU code.
	versionNumber = regexp.MustCompile(`^[0-9]+(\.[0-9]+)*$`)
	capability    = regexp.MustCompile(`^[1-9][0-9]?\.[0-9]$`)
	imageName     = regexp.MustCompile(`^(sm|compute)_[1-9][0-9]{1,2}[af]?$`)
	envName       = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
)

// AssetName checks that GitHub keeps name as it is for an asset; it changes
// others without saying so ("Upload a release asset").
func AssetName(name string) error { return AssetNames(name) }

// AssetNames is AssetName for several, which are named in one error.
func AssetNames(names ...string) error {
	var bad []string
	for _, name := range names {
		if !safeName.MatchString(name) || strings.HasSuffix(name, ".") {
			bad = append(bad, strconv.Quote(name))
		}
	}
	if len(bad) == 0 {
		return nil
	}
	s := ""
	if len(bad) > 1 {
		s = "s"
	}
	return fmt.Errorf("GitHub would change the asset name%s %s; use letters, digits, '.', '_', '+' and '-', and begin with a letter or digit", s, strings.Join(bad, ", "))
}

// check finds what the shape of the file cannot say.
func (f *File) check() {
	if f.Version == 0 {
		f.problem("version", "the first key is 'version: 1'", "is missing")
	}
	f.checkProject()
	for _, name := range f.Toolkits.Keys {
		t, at := f.Toolkits.Values[name], "toolkits."+name
		f.checkName(at, name)
		f.required(at+".lock", t.Lock)
		if len(t.Requirements) == 0 {
			f.problem(at+".requirements", `for example ["cuda-toolkit[nvcc,cudart]==13.0.2"]`, "is missing")
		}
	}
	for _, name := range f.Programs.Keys {
		f.checkName("programs."+name, name)
		f.checkProgram("programs."+name, f.Programs.Values[name])
	}
	if len(f.Targets.Keys) == 0 {
		f.problem("targets", "name at least one target", "is missing")
	}
	f.checkPins()
	f.checkShared("defaults", f.Defaults)
	f.checkShared("systems.linux", f.Systems.Linux)
	f.checkShared("systems.macos", f.Systems.MacOS)
	f.checkShared("systems.windows", f.Systems.Windows)
	for _, name := range f.Targets.Keys {
		at := "targets." + name
		f.checkName(at, name)
		f.checkTarget(at, f.Targets.Values[name])
		f.checkRow(at, f.row(name))
	}
	f.checkPackages(f.resolvePackages())
	f.checkVerify()
	f.checkSmoke()
	f.problems.list = unique(f.problems.list)
}

// unique drops what was said before: a setting that many targets or packages
// inherit is judged in each of them.
func unique(list []Problem) []Problem {
	said := map[Problem]bool{}
	return slices.DeleteFunc(list, func(p Problem) bool {
		again := said[p]
		said[p] = true
		return again
	})
}

func (f *File) checkProject() {
	f.required("project.name", f.Project.Name)
	switch p := f.Project; {
	case p.VersionPackage == "" && p.Version == "":
		f.problem("project.version-package", "name the Cargo package whose version is the release's, or give project.version", "is missing")
	case p.VersionPackage != "" && p.Version != "":
		f.problem("project.version", "take one of the two out", "version-package gives the version, too")
	case p.Version != "" && !safeName.MatchString(p.Version):
		f.problem("project.version", "for example 1.2.3", "%q cannot be a version", p.Version)
	}
	if f.Project.Name != "" && !word.MatchString(f.Project.Name) {
		f.problem("project.name", wordHint, "%q cannot be a name", f.Project.Name)
	}
	if f.Project.Source != "" && !relative.MatchString(f.Project.Source) {
		f.problem("project.source", "write it relative to this file, or use --source", "is an absolute path")
	}
	f.checkTemplate("project.tag", f.Project.Tag)
}

func (f *File) checkProgram(at string, p Program) {
	from := 0
	for _, place := range []struct{ key, path string }{{"source", p.From.Source}, {"toolkit", p.From.Toolkit}} {
		if place.path != "" {
			from++
			f.checkRel(at+".from."+place.key, place.path)
		}
	}
	switch {
	case p.Package == "" && from == 0:
		f.problem(at+".package", "name the Cargo package, or with 'from' what somebody else built", "is missing")
	case p.Package != "" && from > 0:
		f.problem(at+".from", "take one of the two out", "package builds the program")
	case from > 1:
		f.problem(at+".from", "give one of source and toolkit", "says 2 places to take the program from")
	case from > 0 && p.Bin != "":
		f.problem(at+".bin", "take it out", "is Cargo's, and from takes what somebody else built")
	}
}

func (f *File) checkTarget(at string, t Target) {
	if t.Triple != "" {
		if _, err := ParseTriple(t.Triple); err != nil {
			f.problem(at+".triple", "for example x86_64-unknown-linux-gnu", "%v", err)
		}
	}
	if t.Toolkit != "" {
		f.reference(at+".toolkit", "toolkits", t.Toolkit, f.Toolkits.Keys)
	}
	if t.Archive != "" && !slices.Contains(Archives, t.Archive) {
		f.problem(at+".archive", "allowed: "+strings.Join(Archives, ", "), "%q is no archive format", t.Archive)
	}
	for _, name := range t.Env.Keys {
		if !envName.MatchString(name) {
			f.nameProblem(at+".env."+name, "", notEnv, name)
		}
		if slices.Contains(reservedEnv, name) {
			f.nameProblem(at+".env."+name, "use rustflags, cpu, toolkit or triple", "is set by relmat itself")
		}
	}
	for _, name := range t.Env.Keys {
		if _, err := (Fields{}).Expand(t.Env.Values[name]); err != nil {
			f.problem(at+".env."+name, fieldsHint, "%v", err)
		}
	}
	for i, name := range t.Pass {
		f.checkEnv(index(at+".pass", i), name)
	}
	for i, pin := range t.Native.Pins {
		f.reference(index(at+".native.pins", i), "pins", pin, f.Pins.Keys)
	}
	if t.CompilerCache != "" && !slices.Contains(CompilerCaches, t.CompilerCache) {
		f.problem(at+".compiler-cache", "allowed: "+strings.Join(CompilerCaches, ", "), "%q is no compiler cache", t.CompilerCache)
	}
	for _, name := range t.Hosts.Keys {
		if _, err := ParsePlatform(name); err != nil {
			f.nameProblem(at+".hosts."+name, platformHint, "%v", err)
		}
		if triple := t.Hosts.Values[name].Triple; triple != "" {
			if _, err := ParseTriple(triple); err != nil {
				f.problem(at+".hosts."+name+".triple", "for example x86_64-unknown-linux-gnu", "%v", err)
			}
		}
	}
	f.checkLevel(at, t)
	f.checkSign(at+".sign", t.Sign)
	for _, floor := range []struct{ key, value string }{
		{"glibc", t.Floors.Glibc}, {"libstdcxx", t.Floors.Libstdcxx}, {"macos", t.Floors.MacOS}, {"driver", t.Floors.Driver},
	} {
		if floor.value != "" && !versionNumber.MatchString(floor.value) {
			f.problem(at+".floors."+floor.key, "numbers with points, such as 2.35", "%q is no version", floor.value)
		}
	}
	if t.CPU.Env != "" {
		f.checkEnv(at+".cpu.env", t.CPU.Env)
	}
	if t.CUDA.Env != "" {
		f.checkEnv(at+".cuda.env", t.CUDA.Env)
	}
	if t.CUDA.Architectures != "" {
		if _, err := cuda.ParseArchitectures(t.CUDA.Architectures); err != nil {
			f.problem(at+".cuda.architectures", "", "%v", err)
		}
	}
	for _, list := range []struct {
		key    string
		values []string
	}{{"native", t.CUDA.Require.Native}, {"jit", t.CUDA.Require.JIT}} {
		for i, cc := range list.values {
			if !capability.MatchString(cc) {
				f.problem(index(at+".cuda.require."+list.key, i), "a compute capability is like 9.0", "%q is no compute capability", cc)
			}
		}
	}
	for i, image := range t.CUDA.Require.Images {
		if !imageName.MatchString(image) {
			f.problem(index(at+".cuda.require.images", i), "write it as CUDA's tools do, such as sm_121a or compute_120", "%q is no image", image)
		}
	}
	for i, gate := range t.CUDA.Gates {
		if list, err := cuda.ParseArchitectures(gate); err != nil || len(list) != 1 || list[0].Name() != gate {
			f.problem(index(at+".cuda.gates", i), "write what the sources ask for, such as 90a", "%q is not one architecture", gate)
		}
	}
}

// reservedEnv are variables whose value follows from other keys.
var reservedEnv = []string{"RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_TARGET_DIR", "CARGO_BUILD_TARGET", "CUDA_HOME", "CUDA_PATH"}

func (f *File) checkSmoke() {
	files := map[string]string{}
	for _, name := range f.Smoke.Inputs.Keys {
		in, at := f.Smoke.Inputs.Values[name], "smoke.inputs."+name
		if other, ok := files[in.Name()]; ok {
			f.problem(at+".as", "name it differently: inputs lie side by side", "%q is the file name of input %s too", in.Name(), other)
		}
		files[in.Name()] = name
		f.checkName(at, name)
		u, err := url.Parse(in.URL)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			f.problem(at+".url", "for example https://example.org/model.safetensors", "%q is not an http or https address", in.URL)
		}
		if b, err := hex.DecodeString(in.SHA256); err != nil || len(b) != 32 {
			f.problem(at+".sha256", "64 hexadecimal digits", "is not a SHA-256")
		}
		if file := in.Name(); !safeName.MatchString(file) {
			f.problem(at+".as", "letters, digits, '.', '_', '+' and '-'", "%q is no file name", file)
		}
	}
	groups := map[string][]string{}
	for _, name := range f.Smoke.Steps.Keys {
		s, at := f.Smoke.Steps.Values[name], "smoke.steps."+name
		f.checkName(at, name)
		f.reference(at+".program", "programs", s.Program, f.Programs.Keys)
		f.checkGlobs(at+".targets", s.Targets)
		if s.Device != "" && s.Device != "cuda" {
			f.problem(at+".device", "allowed: cuda, or leave it out", "%q is no device", s.Device)
		}
		if s.Promote != "" && !slices.Contains(Promotes, s.Promote) {
			f.problem(at+".promote", "allowed: "+strings.Join(Promotes, ", "), "%q is not known", s.Promote)
		}
		for i, arg := range s.Args {
			f.checkStepTemplate(index(at+".args", i), arg)
		}
		var have []string
		for _, out := range []struct{ key, expr string }{{"stdout", s.Expect.Stdout}, {"stderr", s.Expect.Stderr}} {
			re, err := regexp.Compile(out.expr)
			if err != nil {
				f.problem(at+".expect."+out.key, "the syntax is RE2's", "%v", err)
				continue
			}
			for _, g := range re.SubexpNames() {
				if g != "" && slices.Contains(have, g) {
					f.problem(at+".expect."+out.key, "name it differently", "stdout and stderr both have a group %q", g)
				}
				have = append(have, g)
			}
		}
		have = slices.DeleteFunc(have, func(g string) bool { return g == "" })
		slices.Sort(have)
		for _, g := range s.Expect.Values.Keys {
			f.reference(at+".expect.values."+g, "the named groups of stdout and stderr", g, have)
			f.checkStepTemplate(at+".expect.values."+g, s.Expect.Values.Values[g])
		}
		for _, g := range s.Expect.Same.Keys {
			f.reference(at+".expect.same."+g, "the named groups of stdout and stderr", g, have)
			other := s.Expect.Same.Values[g]
			if earlier, ok := groups[other]; !ok || !slices.Contains(earlier, g) {
				f.problem(at+".expect.same."+g, "name an earlier step whose expressions have that group", "step %q has no group %q before this step", other, g)
			}
		}
		groups[name] = have
	}
}

const (
	fieldsHint = "docs/targets.md lists the fields of templates"
	wordHint   = "use letters, digits, '-' and '_', and begin with a letter or digit"
)

func (f *File) required(at, value string) {
	if value == "" {
		f.problem(at, "", "is missing")
	}
}

func (f *File) reference(at, section, name string, known []string) {
	if slices.Contains(known, name) {
		return
	}
	hint := "allowed: " + strings.Join(known, ", ")
	if len(known) == 0 {
		hint = "there are none"
	}
	if near := nearest(name, known); near != "" {
		hint = "did you mean \"" + near + "\"? " + hint
	}
	report := f.problem
	if key := f.at.keys[at]; key != nil && key.Value == name {
		report = f.nameProblem // the name of the entry is what refers
	}
	report(at, hint, "%q is not in %s", name, section)
}

// checkName checks the name of an entry.
func (f *File) checkName(at, name string) {
	if !word.MatchString(name) {
		f.nameProblem(at, wordHint, "%q cannot be a name", name)
	}
}

const notEnv = "%q is not a name of an environment variable"

func (f *File) checkEnv(at, name string) {
	if !envName.MatchString(name) {
		f.problem(at, "", notEnv, name)
	}
}

// checkRel wants a clean, relative, slash-separated path that stays below its
// root, on every system.
func (f *File) checkRel(at, p string) {
	if strings.ContainsAny(p, `\:`) || path.IsAbs(p) || path.Clean(p) != p || p == ".." || strings.HasPrefix(p, "../") {
		f.problem(at, "write a relative path with '/', without '..', such as include/cccl", "%q is not a path below its root", p)
	}
}

// checkFilePattern checks a pattern of paths in a package.
func (f *File) checkFilePattern(at, pattern string) {
	if _, err := path.Match(pattern, ""); err != nil {
		f.problem(at, "a pattern has *, ? and [a-z]", "%q: %v", pattern, err)
	}
}

func (f *File) checkGlobs(at string, globs []string) {
	for i, g := range globs {
		if _, err := path.Match(g, ""); err != nil {
			f.problem(index(at, i), "a pattern has *, ? and [a-z]", "%q: %v", g, err)
			continue
		}
		if !slices.ContainsFunc(f.Targets.Keys, func(t string) bool { return Matches([]string{g}, t) }) {
			f.problem(index(at, i), "targets: "+strings.Join(f.Targets.Keys, ", "), "%q matches no target", g)
		}
	}
}

func (f *File) checkTemplate(at, text string) {
	if _, err := (Fields{}).Expand(text); err != nil {
		f.problem(at, fieldsHint, "%v", err)
	}
}

// checkStepTemplate is checkTemplate for a smoke step, which also knows the
// inputs.
func (f *File) checkStepTemplate(at, text string) {
	inputs := map[string]string{}
	for _, name := range f.Smoke.Inputs.Keys {
		inputs[name] = "x"
	}
	if _, err := (Fields{Inputs: inputs}).Expand(text); err != nil {
		f.problem(at, fieldsHint, "%v", err)
	}
}
