package verify

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/relmat/relmat/internal/cuda"
	"github.com/relmat/relmat/internal/objfile"
)

// closure finds the needs that nothing satisfies, each library once with all
// that need it.
func closure(s *subject) []Finding {
	out := s.missingOf(func(m missing) bool {
		switch m.How {
		case "by-name", "dlopen", "delay":
			return false
		}
		return !s.told("debug-runtime", isDebugRuntime(m.Name))
	}, "needs")
	for _, by := range slices.Sorted(maps.Keys(s.lookups.cwd)) {
		out = append(out, Finding{
			Severity: warning, File: by,
			Message:  "its run path has an empty or relative entry: what it loads depends on the directory in which it is started",
			Hint:     "write run paths from $ORIGIN, as -Wl,-rpath,'$ORIGIN/../lib'",
			Evidence: s.runPaths(by),
		})
	}
	return out
}

// loadedByName finds what a library loads while it runs and does not find.
func loadedByName(s *subject) []Finding {
	// What is needed anyhow is told once, by the graver rule.
	named := map[string]bool{}
	for _, m := range s.lookups.missing {
		rule := "closure"
		switch m.How {
		case "by-name", "dlopen":
			continue
		case "delay":
			rule = "delay-import"
		}
		if s.on(rule) {
			named[strings.ToLower(fileName(m.Name))] = true
		}
	}
	out := s.missingOf(func(m missing) bool {
		return (m.How == "by-name" || m.How == "dlopen") && !named[strings.ToLower(fileName(m.Name))]
	}, "loads by name, while it runs,")
	for _, e := range s.entries {
		if !e.regular() || len(e.slices) == 0 {
			continue
		}
		for _, name := range cuda.Beside(e.base()) {
			if s.byPath[path.Join(path.Dir(e.Path), name)] == nil {
				out = append(out, Finding{
					File: e.Path, Message: fmt.Sprintf("reads %s out of its own directory, and it is not there", name), Hint: "pack it beside the library",
				})
			}
		}
	}
	return out
}

// delayImport finds DLLs that are loaded at the first call and are not where
// the program's hook or Windows looks.
func delayImport(s *subject) []Finding {
	return s.missingOf(func(m missing) bool { return m.How == "delay" }, "loads at the first call of it")
}

// on tells whether a rule is not switched off.
func (s *subject) on(rule string) bool { return s.o.Rules.Severity.Values[rule] != off }

// told says that another rule, which is on, tells of something.
func (s *subject) told(rule string, is bool) bool { return is && s.on(rule) }

// missingOf makes a finding of each missing library.
func (s *subject) missingOf(which func(missing) bool, verb string) []Finding {
	groups := map[string][]missing{}
	var order []string
	for _, m := range s.lookups.missing {
		if !which(m) {
			continue
		}
		key := strings.ToLower(m.Name)
		if groups[key] == nil {
			order = append(order, key)
		}
		groups[key] = append(groups[key], m)
	}
	var out []Finding
	var brought []missing
	for _, key := range order {
		group := groups[key]
		m := group[0]
		f := Finding{File: m.By, item: text(m.Name)}
		if v := vendorNamed(fileName(m.Name)); v != nil {
			f.item += " (" + v.Dists[0] + ")"
		}
		others := map[string]bool{}
		for _, g := range group {
			if g.By != m.By {
				others[g.By] = true
			}
			f.Evidence = append(f.Evidence, s.where(g))
		}
		too := ""
		switch n := len(others); {
		case n == 1:
			too = "; " + text(slices.Collect(maps.Keys(others))[0]) + " asks for it too"
		case n > 1:
			too = fmt.Sprintf("; %d other files ask for it too", n)
		}
		at := s.fileNamed(fileName(m.Name))
		where := "which the package, the base system and NVIDIA's driver do not have"
		if at != nil {
			where = "which is in the package, and not where it is looked for"
		}
		f.joint = strings.ReplaceAll(verb+" \x00, "+where+too, "%", "%%")
		f.joint = strings.Replace(f.joint, "\x00", "%s", 1)
		f.Evidence = evidence(f.Evidence)
		f.Hint = s.missingHint(m, at)
		switch {
		case m.Wheel != "" && !m.astray:
			brought = append(brought, m)
			continue
		case m.Wheel != "":
			f.Severity = warning
			f.joint = verb + " %s, which required wheels bring, but its run path does not lead to where they are installed"
			f.Hint = "lead the run path there ($ORIGIN/../../nvidia/cu13/lib and the like), or load it before from Python"
		case at != nil && s.leftToLoader(m):
			f.Severity = warning
			f.joint = verb + " %s, which is in the package, and has no run path that leads to it: only what loads it may have one"
			f.Hint = "link it with an LC_RPATH to its directory, as -Wl,-rpath,@loader_path"
		case at == nil && s.mayBeBrought(m):
			f.Severity = warning
			f.joint = verb + " %s, which the wheel does not have; one of those that it requires must bring it to where its run path leads"
			f.Hint = "nothing to do, if one of them does: " + s.wheel.required()
		}
		f.Message = fmt.Sprintf(f.joint, f.item)
		switch {
		case m.How == "dlopen":
			f.Severity = dlopenSeverity(m.Hint)
		case m.How == "delay" && strings.HasSuffix(strings.ToLower(m.Name), ".exe"):
			// As node-gyp links add-ons: their hook takes the process itself.
			f.Severity = note
			f.Hint = "nothing to do, if it is the program that loads this library"
		case m.How == "delay" && m.by != nil && m.by.vendor != nil && m.by.vendor.Group == "msvc":
			// What Microsoft's own libraries load at a first call few programs call.
			f.Severity = warning
			f.Hint = "nothing to do, unless the program uses the Concurrency Runtime; it is " + f.Hint
		}
		out = append(out, f)
	}
	if len(brought) > 0 {
		f := Finding{
			Severity: note, File: brought[0].By,
			Message: fmt.Sprintf("%s %s that the wheels bring which this one requires", verb, plainCount(len(brought), "a library", fmt.Sprintf("%d libraries", len(brought)))),
			Hint:    "nothing to do, if users install the wheel with pip",
		}
		for _, m := range brought {
			f.Evidence = append(f.Evidence, fmt.Sprintf("%s: %s", text(m.Name), text(m.Wheel)))
		}
		out = append(out, f)
	}
	return out
}

// dlopenSeverity is what a note about an optional library makes of its absence
// (systemd, "ELF Package Metadata: dlopen").
func dlopenSeverity(hint string) string {
	switch {
	case strings.HasPrefix(hint, "required"):
		return ""
	case strings.HasPrefix(hint, "suggested"):
		return note
	}
	return warning
}

// where says who asks, and where the loader looks for it.
func (s *subject) where(m missing) string {
	line := text(m.By)
	if m.From != "" && m.From != m.By {
		line += " (loaded from " + text(m.From) + ")"
	}
	var dirs []string
	system := false
	for _, d := range m.Searched {
		if p := packagePath(d); strings.HasPrefix(p, "/") && systemDir(p) {
			system = true
		} else {
			dirs = append(dirs, text(p))
		}
	}
	if system {
		dirs = append(dirs, "the system's directories")
	}
	if len(dirs) > 0 {
		line += " looks in " + strings.Join(dirs, ", ")
	}
	return line
}

// packagePath is a path of the loader's view as the report names it: relative
// to the package, or absolute where it is the system's.
func packagePath(p string) string {
	p = path.Clean(p)
	if p == mount {
		return "."
	}
	if rel, ok := strings.CutPrefix(p, mount+"/"); ok {
		return rel
	}
	return p
}

// missingHint says how to mend it: where the library lies after all, if at is
// not nil, or what would bring it.
func (s *subject) missingHint(m missing, at *entry) string {
	base := fileName(m.Name)
	if at != nil {
		return fmt.Sprintf("%s is in the package, but %s does not look there%s; %s", text(at.Path), systemLoader(m.by), inherited(m), s.runPathHint(m))
	}
	if m.Hint != "" && m.How != "dlopen" {
		return m.Hint
	}
	if v := vendorNamed(base); v != nil {
		if s.wheel != nil {
			return "require the wheel that brings it, and lead the run path there; or make sure that one which is required has loaded it before"
		}
		return "add the wheel that brings it to the toolkit's requirements, so that it is bundled; or declare runtime: host, if users have it"
	}
	if s.wheel != nil {
		return "bundle it with the wheel, or make sure that a wheel which is required has loaded it before"
	}
	return "bundle it, or name it in the target's system-libraries if users have it"
}

// leftToLoader tells whether a library leaves it to what loads it where its own
// needs are found, and the package has nothing that does: dyld also follows the
// LC_RPATHs of those (dyld(1), "@rpath/").
func (s *subject) leftToLoader(m missing) bool {
	return m.From == "" && systemLoader(m.by) == "dyld" && strings.HasPrefix(m.Name, "@rpath/") && len(s.programs()) == 0
}

// mayBeBrought tells whether a library that no table knows may be in a wheel
// that this one requires: its run path leads there.
func (s *subject) mayBeBrought(m missing) bool {
	if s.wheel == nil || s.wheel.required() == "" || vendorNamed(fileName(m.Name)) != nil || systemLoader(m.by) == "Windows" {
		return false
	}
	return slices.ContainsFunc(m.Searched, func(d string) bool { return strings.HasPrefix(path.Clean(d), mount+"/") })
}

// inherited explains the trap of run paths.
func inherited(m missing) string {
	if m.by == nil || m.From == "" {
		return ""
	}
	for _, n := range m.by.slices {
		if n.Format == objfile.ELF && len(n.Rpath) == 0 && len(n.Runpath) == 0 {
			return " (the program's RUNPATH, if it has one, holds for what the program itself needs)"
		}
		if n.Format == objfile.ELF && len(n.Runpath) > 0 {
			return " (it has a RUNPATH of its own, so those of its loaders do not count)"
		}
	}
	return ""
}

func systemLoader(e *entry) string {
	if e != nil {
		for _, n := range e.slices {
			switch n.Format {
			case objfile.PE:
				return "Windows"
			case objfile.MachO:
				return "dyld"
			}
		}
	}
	return "ld.so"
}

func (s *subject) runPathHint(m missing) string {
	switch systemLoader(m.by) {
	case "Windows":
		return "put it beside the program, or where the program's delay-load hook looks"
	case "dyld":
		return "link the program with an LC_RPATH to its directory, as -Wl,-rpath,@loader_path/../lib"
	}
	return "link the program with DT_RPATH to its directory (-Wl,--disable-new-dtags), which also holds for its libraries"
}

// runPaths are the run paths of a file, as evidence.
func (s *subject) runPaths(p string) []string {
	e := s.byPath[p]
	if e == nil {
		return nil
	}
	var out []string
	for _, n := range e.slices {
		out = append(out, runPathLines(n)...)
	}
	return out
}

func runPathLines(n *native) []string {
	var out []string
	kind := "RPATH"
	if n.Format == objfile.MachO {
		kind = "LC_RPATH"
	}
	if len(n.Rpath) > 0 {
		out = append(out, kind+" "+text(strings.Join(n.Rpath, ":")))
	}
	if len(n.Runpath) > 0 {
		out = append(out, "RUNPATH "+text(strings.Join(n.Runpath, ":")))
	}
	return out
}
