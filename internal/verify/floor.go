package verify

import (
	"fmt"
	"strings"

	"github.com/relmat/relmat/internal/cuda"
	"github.com/relmat/relmat/internal/inspect"
	"github.com/relmat/relmat/internal/objfile"
)

// floors are the oldest systems that users have, and who promises it.
type floors struct {
	glibc, libstdcxx, macos, driver string
	by                              string
}

func (s *subject) floors() floors {
	if t := s.o.Target; t != nil {
		f := t.Row.Floors
		return floors{f.Glibc, f.Libstdcxx, f.MacOS, f.Driver, "target " + t.Row.Name}
	}
	if w := s.wheel; w != nil {
		return floors{glibc: w.glibc, macos: w.macos, by: "the tag " + w.tag}
	}
	return floors{}
}

// floor holds what files need of the system against what is promised.
func floor(s *subject) []Finding {
	f := s.floors()
	var out []Finding
	for _, n := range s.natives {
		if !n.loads() && n.Format != objfile.Metallib {
			continue
		}
		for _, c := range []struct{ what, promised, needs, hint string }{
			{"glibc", f.glibc, n.Floors.Glibc, "build on a system that has the promised glibc, or with a linker that pins it (zig cc, cargo-zigbuild)"},
			{"libstdc++ (GLIBCXX)", f.libstdcxx, n.Floors.Glibcxx, "build with an older GCC, or link with -static-libstdc++"},
			{"macOS", f.macos, n.Floors.MacOS, "set MACOSX_DEPLOYMENT_TARGET for all parts of the build"},
		} {
			if c.promised == "" || !newer(c.needs, c.promised) {
				continue
			}
			out = append(out, Finding{
				File: n.entry.Path, Message: fmt.Sprintf("needs %s %s, and %s promises %s", c.what, c.needs, f.by, c.promised),
				Hint: c.hint, Evidence: evidence(versionEvidence(n, c.what, c.promised)),
			})
		}
	}
	return append(out, s.driverFloor(f)...)
}

// versionEvidence are the symbol versions above a floor.
func versionEvidence(n *native, what, promised string) []string {
	prefix := map[string]string{"glibc": "GLIBC_", "libstdc++ (GLIBCXX)": "GLIBCXX_"}[what]
	if prefix == "" {
		return nil
	}
	var out []string
	for _, need := range n.Needs {
		for _, v := range need.Versions {
			if number, ok := strings.CutPrefix(v, prefix); ok && newer(number, promised) {
				out = append(out, text(v)+" of "+text(need.Name))
			}
		}
	}
	return out
}

// driverFloor holds the promised driver against the CUDA libraries, and against
// the PTX that it would have to compile.
func (s *subject) driverFloor(f floors) []Finding {
	if f.driver == "" {
		return nil
	}
	var out []Finding
	for _, n := range s.natives {
		if oldest := libraryDriver(n); oldest != "" && newer(oldest, f.driver) && (n.entry.isBuild() || n.entry.vendor != nil) {
			out = append(out, Finding{
				File: n.entry.Path, Message: fmt.Sprintf("needs the driver %s for its CUDA libraries, and %s promises %s", oldest, f.by, f.driver),
				Hint: "build with an older CUDA major version, or raise floors.driver",
			})
		}
		if n.GPU == nil || !n.entry.isBuild() {
			continue
		}
		told := map[string]bool{}
		for _, i := range n.GPU.Images {
			if i.PTXISA == "" || told[i.PTXISA] {
				continue
			}
			told[i.PTXISA] = true
			oldest := cuda.PTXDriver(i.PTXISA, systemOf(n))
			switch {
			case oldest == "":
				out = append(out, Finding{
					Severity: warning, File: n.entry.Path,
					Message: fmt.Sprintf("holds PTX %s, of which no driver is known that compiles it: %s promises %s", i.PTXISA, f.by, f.driver),
					Hint:    "compile the PTX with the CUDA release of the promised driver, or leave it out (architectures with -real)",
				})
			case newer(oldest, f.driver):
				out = append(out, Finding{
					File:     n.entry.Path,
					Message:  fmt.Sprintf("holds PTX %s, which drivers before %s do not compile: %s promises %s", i.PTXISA, oldest, f.by, f.driver),
					Hint:     "compile the PTX with the CUDA release of the promised driver, leave it out (architectures with -real), or raise floors.driver",
					Evidence: []string{fmt.Sprintf("%d × %s", i.Count, i.Arch)},
				})
			}
		}
	}
	return out
}

func systemOf(n *native) string {
	if n.Format == objfile.PE {
		return "windows"
	}
	return "linux"
}

// libraryDriver is the oldest driver for the CUDA libraries that a file needs.
func libraryDriver(n *native) string {
	sl := inspect.Slice{Object: n.Object}
	return sl.Driver()
}

// needs is what all files together need of the system.
func (s *subject) needs() Needs {
	var out Needs
	raise := func(to *string, v string) {
		if newer(v, *to) {
			*to = v
		}
	}
	for _, n := range s.natives {
		if !n.loads() && n.Format != objfile.Metallib {
			continue
		}
		raise(&out.Glibc, n.Floors.Glibc)
		raise(&out.Libstdcxx, n.Floors.Glibcxx)
		raise(&out.MacOS, n.Floors.MacOS)
		raise(&out.Windows, n.Floors.Windows)
		raise(&out.Driver, libraryDriver(n))
	}
	return out
}

// cpuLevel holds what files ask of the CPU against the target's level. What a
// file asks for stands in a note that few linkers write: that there is none
// proves nothing.
func cpuLevel(s *subject) []Finding {
	t := s.o.Target
	if t == nil || t.Row.CPU.Level == "" {
		return nil
	}
	var out []Finding
	for _, n := range s.natives {
		if !n.loads() {
			continue
		}
		switch {
		case n.ISA.Level != "" && aboveLevel(n.ISA.Level, t.Row.CPU.Level):
			out = append(out, Finding{
				File:     n.entry.Path,
				Message:  fmt.Sprintf("asks for a CPU of %s, and target %s promises %s", n.ISA.Level, t.Row.Name, t.Row.CPU.Level),
				Hint:     "give the whole build one level: cpu.level with cpu.env, never -march=native",
				Evidence: []string{n.ISA.Evidence},
			})
		case n.ISA.Level == "" && n.ISA.Evidence != "":
			out = append(out, Finding{
				Severity: warning, File: n.entry.Path, Message: n.ISA.Evidence,
				Hint: "give the whole build one level: cpu.level with cpu.env, never -march=native",
			})
		}
	}
	s.notProven = append(s.notProven, NotProven{
		What: "that the code needs no CPU above " + t.Row.CPU.Level,
		Why:  "files do not tell; the smoke test under qemu-user with a CPU of that level would",
	})
	return out
}

// aboveLevel compares x86-64 levels, whose names sort by what they ask for; of
// other CPUs no file tells a level.
func aboveLevel(level, promised string) bool {
	return strings.HasPrefix(level, "x86-64") && strings.HasPrefix(promised, "x86-64") && level > promised
}
