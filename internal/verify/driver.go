package verify

import (
	"fmt"
	"path"
	"regexp"
	"strings"

	"github.com/relmat/relmat/internal/cuda"
	"github.com/relmat/relmat/internal/objfile"
)

// stubPath is where toolkits keep the libraries that stand in for the driver's
// when a program is linked.
var stubPath = regexp.MustCompile(`(^|/)stubs/[^/]+$`)

// driverLibrary finds files of the GPU's driver, under their own name or that
// under which others need them.
func driverLibrary(s *subject) []Finding {
	var out []Finding
	for _, e := range s.entries {
		if e.Mode.IsDir() || e.Name != "" {
			continue
		}
		name, why := "", ""
		if isDriver(e.base()) {
			name = e.base()
		}
		for _, n := range e.slices {
			if soname := path.Base(n.Soname); n.Soname != "" && isDriver(soname) && name == "" {
				name, why = soname, "its SONAME is "+text(n.Soname)
			}
		}
		switch {
		case name == "":
			continue
		case !e.isLink() && len(e.slices) == 0:
			continue // a text file of that name, or one that cannot be read
		case e.isLink():
			why = "a link to " + text(e.Link)
		}
		what := "belongs to the GPU's driver"
		if stubPath.MatchString(e.Path) {
			what = "is a stub of the GPU's driver, for linking alone"
		}
		f := Finding{
			File:    e.Path,
			Message: fmt.Sprintf("%s (%s): users have it with their driver, another copy of it breaks programs, and its licence does not allow to pass it on", what, text(name)),
			Hint:    "take it out; the loader finds the driver's own",
		}
		if why != "" {
			f.Evidence = []string{why}
		}
		out = append(out, f)
	}
	return out
}

// isDriver tells whether a file name is that of a driver's library, with or
// without a version, as its maker or a tool like auditwheel names it.
func isDriver(name string) bool {
	name = strings.ToLower(plainName(name))
	if cuda.IsDriver(name) {
		return true
	}
	stem, _, ok := strings.Cut(name, ".so")
	return ok && cuda.IsDriver(stem+".so.1")
}

// driverNeeded finds files that are not even loaded on a machine without the
// GPU's driver.
func driverNeeded(s *subject) []Finding {
	needs := map[string][]string{}
	var order []string
	for _, d := range s.lookups.drivers {
		if needs[d.By] == nil {
			order = append(order, d.By)
		}
		needs[d.By] = append(needs[d.By], text(d.Name))
	}
	var out []Finding
	for _, by := range order {
		if e := s.byPath[by]; e != nil && e.vendor != nil {
			continue // it comes so, and what loads it is told where that is avoidable
		}
		hint := "load the driver with dlopen when it is wanted, or link CUDA's runtime alone, which does"
		if e := s.byPath[by]; e != nil && len(e.slices) > 0 && e.slices[0].Format == objfile.PE {
			hint = "link it with /DELAYLOAD, or load it with LoadLibrary when it is wanted"
		}
		without := "nothing that loads it starts"
		if e := s.byPath[by]; e != nil && len(e.slices) > 0 && e.slices[0].Kind == objfile.Executable {
			without = "not even --version works"
		}
		out = append(out, Finding{
			File:    by,
			Message: fmt.Sprintf("needs %s to be loaded: without the GPU's driver %s", strings.Join(needs[by], ", "), without),
			Hint:    hint + "; if no one is to start it without a GPU, allow it with that reason",
		})
	}
	return out
}

// isDebugRuntime tells whether a DLL is one of a compiler's debug run-time
// libraries, which only machines with the compiler have (Microsoft, "C runtime
// (CRT) and C++ standard library (STL) .lib files").
func isDebugRuntime(name string) bool { return debugRuntimes.MatchString(fileName(name)) }

var debugRuntimes = regexp.MustCompile(`(?i)^(ucrtbased|vcruntime\d+(_\d+)?d|msvcp\d+(_[a-z0-9_]+)?d|msvcr\d+d|concrt\d+d|vcomp\d+d|mfc\d+u?d|vccorlib\d+d|clang_rt\.[a-z]+_dynamic-[a-z0-9_]+)\.dll$`)

// debugRuntime finds files that were built for debugging.
func debugRuntime(s *subject) []Finding {
	var out []Finding
	for _, n := range s.natives {
		if n.Format != objfile.PE {
			continue
		}
		var libs []string
		for _, need := range append(n.Needs[:len(n.Needs):len(n.Needs)], n.DelayNeeds...) {
			if isDebugRuntime(need.Name) {
				libs = append(libs, text(need.Name))
			}
		}
		if len(libs) == 0 {
			continue
		}
		out = append(out, Finding{
			File:    n.entry.Path,
			Message: fmt.Sprintf("needs %s: a debug run-time library, which only machines with Visual Studio have and which may not be passed on", strings.Join(libs, ", ")),
			Hint:    "build in release mode (CMAKE_BUILD_TYPE=Release, /MD and not /MDd)",
		})
	}
	return out
}
