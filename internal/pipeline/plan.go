package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/relmat/relmat/internal/build"
	"github.com/relmat/relmat/internal/bundle"
	"github.com/relmat/relmat/internal/manifest"
	"github.com/relmat/relmat/internal/matrix"
	"github.com/relmat/relmat/internal/toolchain"
)

const (
	// FromSource stands in a plan for what only a checkout tells.
	FromSource = "<source>"
	// FromToolkit stands in a plan for the directory on the machine that builds
	// of the toolkit whose programs run there, and FromTargetToolkit for that of
	// the toolkit for another platform.
	FromToolkit       = "<toolkit>"
	FromTargetToolkit = "<target-toolkit>"
)

// TargetPlan says what would be run for a target, where, and what it makes.
type TargetPlan struct {
	Target    string `json:"target"`
	VariantOf string `json:"variant_of,omitempty"`
	OnRequest bool   `json:"on_request"`
	// Platform is where the programs run, Hosts are the platforms that can build
	// them.
	Platform string     `json:"platform"`
	Hosts    []HostPlan `json:"hosts"`
	// Labels and TimeoutMinutes are what a CI job needs.
	Labels         []string `json:"labels,omitempty"`
	TimeoutMinutes int      `json:"timeout_minutes,omitempty"`
	// Toolkit is an entry of the matrix's toolkits, Release its CUDA release.
	Toolkit string            `json:"toolkit,omitempty"`
	Release string            `json:"cuda_release,omitempty"`
	Pins    map[string]string `json:"pins,omitempty"`
	// Dir is where the commands run, Pass what they get from the host besides
	// relmat's own list.
	Dir  string   `json:"dir"`
	Pass []string `json:"pass,omitempty"`
	// CompilerCache is what a host that has the compiler cache gets besides.
	CompilerCache []toolchain.Variable `json:"compiler_cache,omitempty"`
	Packages      []PackagePlan        `json:"packages"`
	// Sign says how the target's own programs are signed; nil where the matrix
	// says nothing of it.
	Sign *SignPlan `json:"sign,omitempty"`
}

// HostPlan is how a platform builds a target.
type HostPlan struct {
	Platform string `json:"platform"`
	Triple   string `json:"triple"`
	// AssetSuffix ends the names of assets that are only a substitute for the
	// target's own, since the triple is another one.
	AssetSuffix string `json:"asset_suffix,omitempty"`
	// Env is what relmat sets for the commands. Found names what it sets besides,
	// to what it finds on the machine.
	Env   []toolchain.Variable `json:"env"`
	Found []string             `json:"found,omitempty"`
	Build []BuildPlan          `json:"build"`
}

// BuildPlan is how a program is built; Command is the command line by words.
type BuildPlan struct {
	Program string   `json:"program"`
	Command []string `json:"command"`
}

// SmokePlan is a step of a package's smoke test.
type SmokePlan struct {
	Step    string   `json:"step"`
	Device  string   `json:"device,omitempty"`
	Command []string `json:"command"`
}

// PackagePlan says what a package would hold and how it would be tested.
type PackagePlan struct {
	Package string      `json:"package"`
	Asset   string      `json:"asset"`
	Root    string      `json:"root"`
	Files   []FilePlan  `json:"files"`
	Smoke   []SmokePlan `json:"smoke"`
}

// FilePlan is a file of a package, or a directory with all below it.
type FilePlan struct {
	Path string `json:"path"`
	From string `json:"from"`
}

// Plan says what would be done for the targets that match, wherever they can
// be built; without patterns, for all. It runs nothing but `cargo metadata`,
// and that only where there is a checkout.
func (s *Session) Plan(ctx context.Context, patterns []string) ([]TargetPlan, error) {
	rows, err := s.File.Match(patterns)
	if err != nil {
		return nil, err
	}
	pins := map[string]string{}
	dir, version, tag := FromSource, FromSource, FromSource
	switch _, err := os.Stat(filepath.Join(s.Source, "Cargo.toml")); {
	case err == nil:
		if err := s.readProject(ctx); err != nil {
			return nil, err
		}
		if pins, err = s.pins(); err != nil {
			return nil, err
		}
		dir, version, tag = s.Source, s.version, s.tag
	case errors.Is(err, fs.ErrNotExist):
		for _, name := range s.File.Pins.Keys {
			pins[name] = FromSource
		}
	default:
		return nil, err
	}
	var plans []TargetPlan
	for _, row := range rows {
		p, err := s.planTarget(row, row.Fields(version, tag))
		if err != nil {
			return nil, fmt.Errorf("%s: target %s: %w", s.File.Path, row.Name, err)
		}
		p.Dir = dir
		for _, name := range row.Native.Pins {
			if p.Pins == nil {
				p.Pins = map[string]string{}
			}
			p.Pins[name] = pins[name]
		}
		plans = append(plans, p)
	}
	return plans, nil
}

func (s *Session) planTarget(row matrix.Row, fields matrix.Fields) (TargetPlan, error) {
	p := TargetPlan{
		Target: row.Name, VariantOf: row.VariantOf, OnRequest: row.IsOnRequest(), Platform: row.Platform.String(),
		Labels: row.Runner.Labels, TimeoutMinutes: int(row.Runner.Timeout.Minutes()),
		Toolkit: row.Toolkit, Release: s.File.Toolkits.Values[row.Toolkit].Release(), Pass: row.Pass,
	}
	for _, h := range row.BuildHosts() {
		host, err := s.planHost(row.On(h), h, fields)
		if err != nil {
			return p, err
		}
		p.Hosts = append(p.Hosts, host)
	}
	p.CompilerCache = toolchain.CompilerCacheVariables(row.CompilerCache)
	p.Sign = planSign(s.signing(row).Sign)
	for _, name := range s.File.PackagesOf(row) {
		pkg, err := s.planPackage(row, name, fields)
		if err != nil {
			return p, err
		}
		p.Packages = append(p.Packages, pkg)
	}
	return p, nil
}

// planHost plans the build of a row as it is on the host.
func (s *Session) planHost(row matrix.Row, host matrix.Platform, fields matrix.Fields) (HostPlan, error) {
	p := HostPlan{Platform: host.String(), Triple: row.Triple, AssetSuffix: row.Suffix()}
	var tk toolchain.Toolkits
	if row.Toolkit != "" {
		tk.Host, tk.Target = FromToolkit, FromToolkit
		if host != row.Platform {
			tk.Target = FromTargetToolkit
		}
	}
	var err error
	if p.Env, err = toolchain.Variables(row, fields, tk, s.plannedTargetDir(row)); err != nil {
		return p, err
	}
	o := build.Options{Row: row}
	for _, name := range s.builtPrograms(row) {
		p.Build = append(p.Build, BuildPlan{name, append([]string{"cargo"}, o.Args(s.program(row, name))...)})
	}
	if len(p.Build) == 0 {
		return p, nil
	}
	if row.Toolkit != "" && row.Platform.OS == "windows" {
		p.Found = append(p.Found, toolchain.DelayLoadVariable)
	}
	if toolchain.UsesHostCUDA(row, host) {
		p.Found = append(p.Found, "CUDA_HOME", "CUDA_PATH")
	}
	if toolchain.NeedsMSVC(row, host) {
		for _, v := range new(toolchain.MSVC).Settings(row, host, nil) {
			p.Found = append(p.Found, v.Name)
		}
		p.Found = append(p.Found, "INCLUDE", "LIB", "PATH")
	}
	return p, nil
}

// plannedTargetDir is CARGO_TARGET_DIR relative to the source where the state
// lies in it: so it is right on any machine.
func (s *Session) plannedTargetDir(row matrix.Row) string {
	dir := s.targetDir(row, "cargo")
	if rel, err := filepath.Rel(s.Source, dir); err == nil && filepath.IsLocal(rel) {
		return filepath.ToSlash(rel)
	}
	return dir
}

func (s *Session) planPackage(row matrix.Row, name string, fields matrix.Fields) (PackagePlan, error) {
	p := s.File.Packages.Values[name]
	plan := PackagePlan{Package: name}
	stem, root, err := packageNames(p, row, fields)
	if err != nil {
		return plan, err
	}
	plan.Asset, plan.Root = stem+"."+row.Archive, root
	layout := p.LayoutOf()
	for _, prog := range p.Programs {
		switch from := s.File.Programs.Values[prog].From; {
		case from.Source != "":
			plan.Files = append(plan.Files, FilePlan{bundle.PrebuiltPath(p, from), "source: " + from.Source})
		case from.Toolkit != "":
			plan.Files = append(plan.Files, FilePlan{bundle.PrebuiltPath(p, from), "toolkit " + row.Toolkit + ": " + from.Toolkit})
		default:
			plan.Files = append(plan.Files, FilePlan{path.Join(layout.Programs, prog+row.Platform.Exe()), "the build"})
		}
	}
	// What a package with another runtime takes of the vendor's is in none, or in
	// that of runtime-of.
	if bundled := p.Runtime == "" || p.Runtime == "bundle"; row.Toolkit != "" && (bundled || len(p.RuntimeOf) > 0) {
		from := fmt.Sprintf("toolkit %s: every library that the programs need", row.Toolkit)
		if len(p.RuntimeOf) > 0 {
			from = fmt.Sprintf("toolkit %s: every library that the programs of %s need", row.Toolkit, strings.Join(p.RuntimeOf, ", "))
		}
		plan.Files = append(plan.Files, FilePlan{layout.Libraries + "/", from})
		for _, place := range layout.Places() {
			plan.Files = append(plan.Files, FilePlan{path.Join(place.To, place.Match), from})
		}
	}
	for _, f := range p.Files {
		if !matrix.Matches(f.Targets, row.Name) {
			continue
		}
		from := "source: " + f.Source
		switch {
		case f.OutDir != "":
			from = manifest.OutDirOf(f.Crate) + ": " + f.OutDir
		case f.Toolkit != "":
			from = "toolkit " + row.Toolkit + ": " + f.Toolkit
		}
		plan.Files = append(plan.Files, FilePlan{f.To, from})
	}
	if row.Toolkit != "" && p.Runtime != "host" {
		plan.Files = append(plan.Files, FilePlan{layout.Licenses + "/", fmt.Sprintf("toolkit %s: licences of what is packed of it", row.Toolkit)})
	}
	fields.Package, fields.Work, fields.InputDir = "<package>", "<work>", "<inputs>"
	fields.Inputs = map[string]string{}
	for _, in := range s.File.Smoke.Inputs.Keys {
		fields.Inputs[in] = "<input " + in + ">"
	}
	for _, step := range s.File.Smoke.Steps.Keys {
		st := s.File.Smoke.Steps.Values[step]
		if !matrix.Matches(st.Targets, row.Name) || !slices.Contains(p.Programs, st.Program) {
			continue
		}
		words := []string{st.Program + row.Platform.Exe()}
		for _, a := range st.Args {
			arg, err := fields.Expand(a)
			if err != nil {
				return plan, err
			}
			words = append(words, arg)
		}
		plan.Smoke = append(plan.Smoke, SmokePlan{step, st.Device, words})
	}
	return plan, nil
}

// packageNames gives the archive's name without its extension, and the
// directory in it.
func packageNames(p matrix.Package, row matrix.Row, fields matrix.Fields) (stem, root string, err error) {
	if stem, err = fields.Expand(p.Asset); err != nil {
		return "", "", err
	}
	stem += row.Suffix()
	if p.Root == nil {
		return stem, stem, nil
	}
	fields.Asset = stem
	if root, err = fields.Expand(*p.Root); err != nil {
		return "", "", err
	}
	if root != "" && !filepath.IsLocal(root) {
		return "", "", fmt.Errorf("root %q leaves the archive", root)
	}
	return stem, root, nil
}
