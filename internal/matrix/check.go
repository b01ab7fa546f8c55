package matrix

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"slices"
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
	envName  = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
)

// AssetName checks that GitHub keeps name as it is for an asset; it changes
// others without saying so ("Upload a release asset").
func AssetName(name string) error {
	if safeName.MatchString(name) && !strings.HasSuffix(name, ".") {
		return nil
	}
	return fmt.Errorf("GitHub would change the asset name %q; use letters, digits, '.', '_', '+' and '-', and begin with a letter or digit", name)
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
		f.required("programs."+name+".package", f.Programs.Values[name].Package)
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
	f.required("project.version-package", f.Project.VersionPackage)
	if f.Project.Name != "" && !word.MatchString(f.Project.Name) {
		f.problem("project.name", wordHint, "%q cannot be a name", f.Project.Name)
	}
	if f.Project.Source != "" && !relative.MatchString(f.Project.Source) {
		f.problem("project.source", "write it relative to this file, or use --source", "is an absolute path")
	}
	f.checkTemplate("project.tag", f.Project.Tag)
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
	for i, gate := range t.CUDA.Gates {
		if list, err := cuda.ParseArchitectures(gate); err != nil || len(list) != 1 || list[0].Name() != gate {
			f.problem(index(at+".cuda.gates", i), "write what the sources ask for, such as 90a", "%q is not one architecture", gate)
		}
	}
}

// reservedEnv are variables whose value follows from other keys.
var reservedEnv = []string{"RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_TARGET_DIR", "CARGO_BUILD_TARGET", "CUDA_HOME", "CUDA_PATH"}

func (f *File) checkPackages(origins map[string]map[string]string) {
	if len(f.Packages.Keys) == 0 {
		f.problem("packages", "name at least one package", "is missing")
	}
	owner := map[string]string{}
	for _, name := range f.Packages.Keys {
		f.checkName("packages."+name, name)
		from, known := origins[name]
		if !known {
			continue // its like is wrong, and that is said there
		}
		p := f.Packages.Values[name]
		at := func(key string) string { return join(cmp.Or(from[key], "packages."+name), key) }
		f.required(at("asset"), p.Asset)
		if len(p.Programs) == 0 {
			f.problem(at("programs"), "allowed: "+strings.Join(f.Programs.Keys, ", "), "is missing")
		}
		for i, prog := range p.Programs {
			f.reference(index(at("programs"), i), "programs", prog, f.Programs.Keys)
		}
		f.checkGlobs(at("targets"), p.Targets)
		for _, dir := range []struct{ key, path string }{
			{"layout.programs", p.Layout.Programs}, {"layout.libraries", p.Layout.Libraries}, {"layout.licenses", p.Layout.Licenses},
		} {
			if dir.path != "" {
				f.checkRel(at(dir.key), dir.path)
			}
		}
		for i, files := range p.Files {
			f.checkFiles(index(at("files"), i), files)
		}
		if p.Root != nil && *p.Root != "" {
			f.checkTemplate(at("root"), *p.Root)
		}
		f.checkAssets(at("asset"), name, p, owner)
	}
}

// checkAssets checks the names of a package's assets, on every target that
// makes it. owner remembers whose each is.
func (f *File) checkAssets(at, name string, p Package, owner map[string]string) {
	for _, target := range f.Targets.Keys {
		if !Matches(p.Targets, target) || p.Asset == "" {
			continue
		}
		row := f.row(target)
		fields := row.Fields("1.0.0", "v1.0.0")
		asset, err := fields.Expand(p.Asset)
		if err != nil {
			f.problem(at, fieldsHint, "%v", err)
			return
		}
		asset += "." + row.Archive
		if !safeName.MatchString(asset) {
			f.problem(at, "use letters, digits, '.', '_', '+' and '-'", "GitHub would change the asset name %q", asset)
			return
		}
		if other, ok := owner[asset]; ok {
			f.problem(at, "use {{.Target}} in it", "%s of target %s and %s have the same asset name %s", name, target, other, asset)
			return
		}
		owner[asset] = name + " of target " + target
	}
}

func (f *File) checkFiles(at string, files Files) {
	set := 0
	for _, from := range []struct{ key, path string }{
		{"source", files.Source}, {"out-dir", files.OutDir}, {"toolkit", files.Toolkit},
	} {
		if from.path != "" {
			set++
			f.checkRel(at+"."+from.key, from.path)
		}
	}
	if set != 1 {
		f.problem(at, "give exactly one of source, out-dir, toolkit", "says %d places to take files from", set)
	}
	if (files.OutDir != "") != (files.Crate != "") {
		f.problem(at, "out-dir and crate go together", "has one of out-dir and crate")
	}
	f.required(at+".to", files.To)
	if files.To != "" {
		f.checkRel(at+".to", files.To)
	}
	for i, p := range files.Contains {
		f.checkRel(index(at+".contains", i), p)
	}
	f.checkGlobs(at+".targets", files.Targets)
}

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
