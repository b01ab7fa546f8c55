package verify

import (
	"fmt"
	"maps"
	"slices"

	"github.com/relmat/relmat/internal/matrix"
	"github.com/relmat/relmat/internal/objfile"
)

// machine finds native files for another system or processor than the
// package's; where that is not promised, than that of most files.
func machine(s *subject) []Finding {
	type of struct{ os, arch string }
	counts := map[of]int{}
	for _, n := range s.natives {
		if n.loads() {
			counts[of{n.os(), n.Machine}]++
		}
	}
	want, severity, by := of{s.platform.OS, s.platform.Arch}, "", s.promised
	if s.promised == "" {
		if len(counts) < 2 {
			return nil
		}
		severity, by = warning, "most of its files"
		keys := slices.SortedFunc(maps.Keys(counts), func(a, b of) int {
			if counts[a] != counts[b] {
				return counts[b] - counts[a]
			}
			return slices.Compare([]string{a.os, a.arch}, []string{b.os, b.arch})
		})
		if counts[keys[0]] == counts[keys[1]] {
			return nil // it is for several, and nobody says for which
		}
		want = keys[0]
	}
	var out []Finding
	for _, e := range s.entries {
		var wrong []string
		right := false
		for _, n := range e.slices {
			switch {
			case n.Machine == "cuda" || n.Kind == objfile.Debug:
				right = true
			case n.Format == objfile.Metallib:
				right = right || want.os == "macos" || s.promised == ""
				if want.os != "macos" && s.promised != "" {
					wrong = append(wrong, "Metal shaders for macOS")
				}
			case n.os() == want.os && (n.Machine == want.arch || runsOn(n.Machine, want.arch)):
				right = true
			default:
				wrong = append(wrong, fmt.Sprintf("%s (%s)", matrix.Platform{OS: n.os(), Arch: n.Machine}, n.Format))
			}
		}
		if right || len(wrong) == 0 {
			continue
		}
		out = append(out, Finding{
			Severity: severity, File: e.Path,
			Message: fmt.Sprintf("is for %s, and the package is for %s by %s", wrong[0], matrix.Platform{OS: want.os, Arch: want.arch}, by),
			Hint:    "take it out, or build it for the package's platform; look where the build picked it up",
		})
	}
	return out
}

// runsOn tells whether code for a machine also runs on an architecture.
func runsOn(machine, arch string) bool {
	switch {
	case arch == "universal2":
		return machine == "x86_64" || machine == "aarch64" || machine == "arm64e"
	case arch == "aarch64":
		return machine == "arm64e" || machine == "arm64ec"
	case arch == "i686":
		return machine == "i386"
	}
	return false
}
