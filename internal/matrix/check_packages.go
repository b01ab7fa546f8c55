package matrix

import (
	"cmp"
	"slices"
	"strings"
)

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
		f.checkRuntime(at, name, p)
		for i, prog := range p.Programs {
			f.reference(index(at("programs"), i), "programs", prog, f.Programs.Keys)
		}
		f.checkGlobs(at("targets"), p.Targets)
		if p.Layout.Style != "" && !slices.Contains(layoutNames(), p.Layout.Style) {
			f.problem(at("layout.style"), "allowed: "+strings.Join(layoutNames(), ", "), "%q is no layout", p.Layout.Style)
		}
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

// Runtimes lists where users can have the vendor's libraries from.
var Runtimes = []string{"bundle", "split", "host"}

// checkRuntime checks where the vendor's libraries are, and that a package has
// programs or is the libraries of others.
func (f *File) checkRuntime(at func(string) string, name string, p Package) {
	if p.Runtime != "" && !slices.Contains(Runtimes, p.Runtime) {
		f.problem(at("runtime"), "allowed: "+strings.Join(Runtimes, ", "), "%q is no place to have libraries from", p.Runtime)
	}
	switch {
	case len(p.Programs) == 0 && len(p.RuntimeOf) == 0:
		f.problem(at("programs"), "allowed: "+strings.Join(f.Programs.Keys, ", "), "is missing")
	case len(p.Programs) > 0 && len(p.RuntimeOf) > 0:
		f.problem(at("runtime-of"), "take its programs out, or runtime-of", "a package of libraries has no programs")
	case len(p.RuntimeOf) > 0 && p.Runtime != "":
		f.problem(at("runtime"), "take it out", "a package of libraries is what others split off")
	}
	var split []string
	for _, other := range f.Packages.Keys {
		if f.Packages.Values[other].Runtime == "split" {
			split = append(split, other)
		}
	}
	for i, other := range p.RuntimeOf {
		f.reference(index(at("runtime-of"), i), "the packages with runtime: split", other, split)
	}
	if p.Runtime != "split" {
		return
	}
	for _, target := range f.Targets.Keys {
		if !Matches(p.Targets, target) || slices.ContainsFunc(f.Packages.Keys, func(other string) bool {
			o := f.Packages.Values[other]
			return slices.Contains(o.RuntimeOf, name) && Matches(o.Targets, target)
		}) {
			continue
		}
		f.problem(at("runtime"), "add a package with runtime-of: ["+name+"]", "no package takes the libraries that are split off for target %s", target)
		return
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
