package pipeline

import (
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/template"

	"github.com/relmat/relmat/internal/build"
	"github.com/relmat/relmat/internal/cuda"
	"github.com/relmat/relmat/internal/matrix"
)

const (
	// matrixSchema is where editors find the schema of targets.yaml.
	matrixSchema = "https://raw.githubusercontent.com/relmat/relmat/main/docs/targets.schema.json"
	// draftRequirement is the toolkit of a first matrix, draftArchitectures the
	// GPUs that its nvcc compiles for and people have.
	draftRequirement   = "cuda-toolkit[nvcc,nvvm,crt,cudart,cccl,cublas,nvrtc]==13.0.2"
	draftArchitectures = "80;86;89;90a;100;120"
)

//go:embed initialize.yaml.tmpl
var draftText string

// The matrix has templates of its own in {{ }}.
var draftTemplate = template.Must(template.New("targets.yaml").Delims("<%", "%>").Funcs(template.FuncMap{
	"word": yamlWord,
	"list": func(words []string) string {
		quoted := make([]string, 0, len(words))
		for _, w := range words {
			quoted = append(quoted, yamlWord(w))
		}
		return "[" + strings.Join(quoted, ", ") + "]"
	},
}).Parse(draftText))

// draft is a first targets.yaml before it is text.
type draft struct {
	Project, Source, VersionPackage string

	Programs []draftProgram
	// Left says which programs are not in it, and why.
	Left []string
	// Native are the crates whose build scripts run CMake. March and
	// Architectures are the variables that build scripts read; empty if there
	// are none.
	Native               []string
	March, Architectures string
	Targets              []draftTarget
	Packages             []draftPackage
	Files                []string

	notes []string
}

type draftProgram struct{ Name, Package, Bin string }

type draftTarget struct {
	Name, Triple string
	Features     []string
	Level, Since string
	CUDA         bool
}

type draftPackage struct {
	Name, Asset       string
	Targets, Programs []string
}

type draftStep struct{ Name, Program string }

// owner is a Cargo package with programs.
type owner struct {
	build.Package
	bins        []build.CargoTarget
	cuda, metal bool
}

// What the template asks of a draft.
func (*draft) Schema() string           { return matrixSchema }
func (*draft) Requirement() string      { return draftRequirement }
func (*draft) ArchitectureList() string { return draftArchitectures }

// GPUs says what the architectures of the draft are.
func (*draft) GPUs() (string, error) {
	list, err := cuda.ParseArchitectures(draftArchitectures)
	var names []string
	for _, a := range list {
		names = append(names, a.GPUs())
	}
	return strings.Join(names, "; "), err
}

// CUDA tells whether a target needs a toolkit.
func (d *draft) CUDA() bool {
	return slices.ContainsFunc(d.Targets, func(t draftTarget) bool { return t.CUDA })
}

// Steps are the smoke test: each program says its version.
func (d *draft) Steps() []draftStep {
	if len(d.Programs) == 1 {
		return []draftStep{{"version", d.Programs[0].Name}}
	}
	var steps []draftStep
	for _, p := range d.Programs {
		steps = append(steps, draftStep{p.Name + "-version", p.Name})
	}
	return steps
}

// newDraft makes a draft of what Cargo tells of the workspace on a host of that
// triple.
func newDraft(w *build.Workspace, triple string) (*draft, error) {
	d := &draft{}
	owners := d.owners(w)
	if len(owners) == 0 {
		return nil, fmt.Errorf("the Cargo workspace %s has no program to release: none of its packages has a binary target ([[bin]], src/main.rs or src/bin) that needs no further features", w.Root)
	}
	main := mainOwner(owners, w.Root)
	if len(owners) > 1 && main.Name != filepath.Base(w.Root) {
		d.note("several Cargo packages have programs; the release's version is that of %s (project.version-package)", main.Name)
	}
	d.VersionPackage, d.Project = main.Name, plainName(main.Name)
	if err := d.targetsFor(owners, triple); err != nil {
		return nil, err
	}
	d.readBuildScripts(w)
	var err error
	if d.Files, err = licenses(w.Root); err != nil {
		return nil, err
	}
	if len(d.Files) == 0 {
		d.note("%s has no LICENSE or NOTICE file that the packages could take", w.Root)
	}
	if _, err := os.Stat(filepath.Join(w.Root, "Cargo.lock")); err != nil {
		d.note("%s has no Cargo.lock, which a release needs; run `cargo generate-lockfile` and put it into git", w.Root)
	}
	if d.CUDA() {
		d.note("run `relmat toolkit lock` to pin the CUDA toolkit")
		if d.Architectures == "" {
			d.note("no build script reads a variable named like ..._CUDA_ARCHITECTURES; name the one that it reads in cuda.env")
		}
	}
	return d, nil
}

func (d *draft) note(format string, args ...any) {
	d.notes = append(d.notes, fmt.Sprintf(format, args...))
}

// owners lists the packages with programs that can be built as they are, and
// leaves out helpers of the workspace itself.
func (d *draft) owners(w *build.Workspace) []owner {
	var list []owner
	for _, p := range w.Packages {
		o := owner{Package: p}
		for _, t := range p.Targets {
			if slices.Contains(t.Kind, "bin") {
				o.bins = append(o.bins, t)
			}
		}
		_, o.cuda = p.Features["cuda"]
		_, o.metal = p.Features["metal"]
		if len(o.bins) > 0 {
			list = append(list, o)
		}
	}
	if i := slices.IndexFunc(list, func(o owner) bool { return o.Name == "xtask" }); i >= 0 && len(list) > 1 {
		d.Left = append(d.Left, "xtask, by its name a tool of the workspace itself.")
		list = slices.Delete(list, i, i+1)
	}
	alone := len(list) == 1
	for i := range list {
		o := &list[i]
		on := enabled(o.Features, "default")
		o.bins = slices.DeleteFunc(o.bins, func(t build.CargoTarget) bool {
			var lacks []string
			for _, f := range t.RequiredFeatures {
				// Those of one package alone can be asked for by their names, in all
				// targets; cuda where all targets have it.
				if !on[f] && (!alone || f == "metal" || f == "cuda" && o.metal) {
					lacks = append(lacks, f)
				}
			}
			if len(lacks) > 0 {
				d.Left = append(d.Left, fmt.Sprintf("%q of package %s, which needs features that not all of its targets have: %s.", t.Name, o.Name, strings.Join(lacks, ", ")))
			}
			return len(lacks) > 0
		})
	}
	for _, l := range d.Left {
		d.note("left out: %s", strings.TrimSuffix(l, "."))
	}
	return slices.DeleteFunc(list, func(o owner) bool { return len(o.bins) == 0 })
}

// enabled lists what a feature turns on in its own package.
func enabled(features map[string][]string, name string) map[string]bool {
	on := map[string]bool{}
	var walk func(string)
	walk = func(f string) {
		if _, ok := features[f]; ok && !on[f] {
			on[f] = true
			for _, next := range features[f] {
				walk(next)
			}
		}
	}
	walk(name)
	return on
}

// mainOwner is the package whose version is the release's: the one that is
// named like the directory, or lies at the workspace's root, or the first.
func mainOwner(owners []owner, root string) owner {
	for _, is := range []func(owner) bool{
		func(o owner) bool { return o.Name == filepath.Base(root) },
		func(o owner) bool { return filepath.Dir(o.ManifestPath) == filepath.Clean(root) },
	} {
		if i := slices.IndexFunc(owners, is); i >= 0 {
			return owners[i]
		}
	}
	return owners[0]
}

// targetsFor adds the programs, the targets and the packages that hold them. A
// package of the release holds programs of several Cargo packages only where
// all have the features of its targets: Cargo refuses others.
func (d *draft) targetsFor(owners []owner, triple string) error {
	host, err := matrix.ParseTriple(triple)
	if err != nil {
		return fmt.Errorf("this host: %w", err)
	}
	const cudaName = "linux-x86_64-cuda13"
	metalName, metalHost := "macos-aarch64", matrix.Platform{OS: "macos", Arch: "aarch64"}
	plain := slices.ContainsFunc(owners, func(o owner) bool { return !o.cuda && (!o.metal || host != metalHost) })
	if plain && host == metalHost {
		metalName += "-metal"
	}
	var extra []string
	var perOwner [][]string
	for _, o := range owners {
		var targets []string
		if o.cuda {
			targets = append(targets, cudaName)
		}
		if o.metal {
			targets = append(targets, metalName)
		}
		if !o.cuda && (!o.metal || host != metalHost) {
			targets = append(targets, host.String())
		}
		perOwner = append(perOwner, targets)
		on := enabled(o.Features, "default")
		for _, b := range o.bins {
			for _, f := range b.RequiredFeatures {
				if !on[f] && f != "cuda" && !slices.Contains(extra, f) {
					extra = append(extra, f)
				}
			}
		}
	}
	uses := func(name string) bool {
		return slices.ContainsFunc(perOwner, func(t []string) bool { return slices.Contains(t, name) })
	}
	if uses(cudaName) {
		d.addTarget(draftTarget{Name: cudaName, Triple: "x86_64-unknown-linux-gnu", Features: append([]string{"cuda"}, extra...), CUDA: true}, "x86-64-v3")
	}
	if uses(metalName) && (metalName != host.String() || !plain) {
		d.addTarget(draftTarget{Name: metalName, Triple: "aarch64-apple-darwin", Features: append([]string{"metal"}, extra...)}, "apple-m1")
	}
	if plain {
		level := map[string]string{"linux-x86_64": "x86-64-v2", "windows-x86_64": "x86-64-v2", "macos-x86_64": "x86-64-v2", "linux-aarch64": "armv8-a", "windows-aarch64": "armv8-a", "macos-aarch64": "apple-m1"}
		d.addTarget(draftTarget{Name: host.String(), Triple: triple, Features: extra}, level[host.String()])
	}
	d.addPackages(owners, perOwner)
	return nil
}

func (d *draft) addTarget(t draftTarget, level string) {
	if l, ok := matrix.CPULevelOf(level); ok {
		t.Level, t.Since = l.Name, l.Since
	}
	d.Targets = append(d.Targets, t)
}

func (d *draft) addPackages(owners []owner, perOwner [][]string) {
	together := !slices.ContainsFunc(perOwner, func(t []string) bool { return !slices.Equal(t, perOwner[0]) })
	names := map[string]bool{}
	var all []string
	for i, o := range owners {
		var programs []string
		for _, b := range o.bins {
			name := plainName(b.Name)
			if names[name] {
				name = plainName(o.Name) + "-" + name
			}
			name = unused(name, names)
			d.Programs = append(d.Programs, draftProgram{Name: name, Package: o.Name, Bin: b.Name})
			programs = append(programs, name)
		}
		all = append(all, programs...)
		if !together {
			var taken []string
			for _, p := range d.Packages {
				taken = append(taken, p.Name)
			}
			name := plainName(o.Name)
			for slices.Contains(taken, name) {
				name += "-x"
			}
			d.Packages = append(d.Packages, draftPackage{Name: name, Asset: name + "-{{.Version}}-{{.Target}}", Targets: perOwner[i], Programs: programs})
		}
	}
	if together {
		d.Packages = []draftPackage{{Name: d.Project, Asset: "{{.Project}}-{{.Version}}-{{.Target}}", Programs: all}}
	}
}

// unused makes a name one of its own.
func unused(name string, names map[string]bool) string {
	own := name
	for n := 2; names[own]; n++ {
		own = name + "-" + strconv.Itoa(n)
	}
	names[own] = true
	return own
}

var notPlain = regexp.MustCompile(`[^A-Za-z0-9_-]+`)

// plainName is name as the matrix takes it.
func plainName(name string) string {
	plain := strings.TrimRight(strings.TrimLeft(notPlain.ReplaceAllString(name, "-"), "-_"), "-")
	if plain == "" {
		return "program"
	}
	return plain
}

var (
	plainYAML = regexp.MustCompile(`^(\.\./)*[A-Za-z][A-Za-z0-9_./-]*$|^\.$|^\.\.(/\.\.)*$`)
	// yamlConstant are words that YAML, of some version, takes for other than
	// text.
	yamlConstant = regexp.MustCompile(`(?i)^(true|false|null|yes|no|on|off|y|n)$`)
)

// yamlWord is text as a scalar of YAML that stays text.
func yamlWord(text string) string {
	if plainYAML.MatchString(text) && !yamlConstant.MatchString(text) {
		return text
	}
	return strconv.Quote(text)
}

// licenseName are the files by which a project says under which terms it is.
var licenseName = regexp.MustCompile(`^(LICEN[CS]E|NOTICE|COPYING|UNLICENSE)([.-][A-Za-z0-9][A-Za-z0-9._-]*)?$`)

// Build scripts read variables by functions and macros of such names, while
// methods called env set them for a child; a variable that they want to be run
// again for is one that they read.
var (
	readsVariable = regexp.MustCompile(`(?:^|[^.\w])(\w*(?:env|var)\w*)!?\(\s*"([A-Za-z_][A-Za-z0-9_]*)"|rerun-if-env-changed=([A-Za-z_][A-Za-z0-9_]*)`)
	lineComment   = regexp.MustCompile(`(?m)^\s*//.*$`)
	runsCMake     = regexp.MustCompile(`\bcmake::|"cmake(\.exe)?"`)
)

// readBuildScripts looks into the members' build scripts for CMake and for the
// variables that select CPUs and GPUs.
func (d *draft) readBuildScripts(w *build.Workspace) {
	for _, p := range w.Packages {
		i := slices.IndexFunc(p.Targets, func(t build.CargoTarget) bool { return slices.Contains(t.Kind, "custom-build") })
		if i < 0 {
			continue
		}
		data, err := os.ReadFile(p.Targets[i].SrcPath)
		if err != nil {
			d.note("the build script of %s cannot be read: %v", p.Name, err)
		}
		code := lineComment.ReplaceAllString(string(data), "")
		depends := slices.ContainsFunc(p.Dependencies, func(dep build.Dependency) bool { return dep.Kind == "build" && dep.Name == "cmake" })
		if depends || runsCMake.MatchString(code) {
			d.Native = append(d.Native, p.Name)
		}
		for _, m := range readsVariable.FindAllStringSubmatch(code, -1) {
			name := m[2] + m[3]
			if strings.HasPrefix(m[1], "set_") || strings.HasPrefix(m[1], "remove_") {
				continue
			}
			upper := strings.ToUpper(name)
			if d.Architectures == "" && (strings.Contains(upper, "CUDA_ARCHITECTURES") || upper == "CUDAARCHS") {
				d.Architectures = name
			}
			if d.March == "" && strings.HasSuffix(upper, "_MARCH") {
				d.March = name
			}
		}
	}
}
