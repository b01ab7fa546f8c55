package verify

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/relmat/relmat/internal/inspect"
	"github.com/relmat/relmat/internal/objfile"
)

//go:embed leaks.json
var leaksJSON []byte

// leakTable is what makes a path one of the build machine.
type leakTable struct {
	// System are directories that every machine has.
	System []string `json:"system"`
	// Hooks are expressions for directories in which a delay-load hook looks.
	Hooks []string `json:"hooks"`
	// Pieces is an expression for what looks like such a directory and is
	// appended to one that the program finds out: /../nvidia/cudnn/bin.
	Pieces string `json:"pieces"`
	// Sources are file extensions of what is compiled. Users is an expression
	// whose group is a user's name; Anybody are names that tell of nobody.
	Sources []string `json:"sources"`
	Users   string   `json:"users"`
	Anybody []string `json:"anybody"`
}

var (
	leakData = mustLeaks(leaksJSON)
	hookDirs = compileAll(leakData.Hooks)
	hookPart = regexp.MustCompile(leakData.Pieces)
	userName = regexp.MustCompile(leakData.Users)
)

func mustLeaks(data []byte) leakTable {
	var t leakTable
	if err := json.Unmarshal(data, &t); err != nil {
		panic("verify: leaks.json: " + err.Error())
	}
	return t
}

// leakResult are the paths in a file.
type leakResult struct {
	leaks []inspect.Leak
	more  int
	// hooks are directories of DLLs, as the file has them.
	hooks []string
}

// scanLeaks looks for paths in all data of the files of the build. What a
// vendor or a distribution has built tells of their machines.
func (s *subject) scanLeaks(ctx context.Context) error {
	s.leaks = map[string]leakResult{}
	if !s.on("leak") {
		return nil
	}
	var paths []string
	byDisk := map[string]*entry{}
	for _, n := range s.natives {
		if n.entry.isBuild() && n.entry.disk != "" && byDisk[n.entry.disk] == nil {
			byDisk[n.entry.disk] = n.entry
			paths = append(paths, n.entry.disk)
		}
	}
	if len(paths) == 0 {
		return nil
	}
	found, err := inspect.Look(ctx, paths, inspect.Options{Strings: true, Limits: s.o.Limits, Jobs: s.o.Jobs})
	if err != nil {
		return err
	}
	for _, r := range found.Roots {
		e := byDisk[r.Path]
		var res leakResult
		for _, f := range r.Files {
			for _, sl := range f.Slices {
				res.leaks = append(res.leaks, sl.Leaks...)
				res.more += sl.LeaksMore
				if sl.Format != objfile.PE || len(sl.DelayNeeds) == 0 {
					continue
				}
				if res.hooks, err = findHooks(e.disk); err != nil {
					return fmt.Errorf("looking for directories in %s: %w", e.Path, err)
				}
			}
		}
		s.leaks[e.Path] = res
	}
	return nil
}

// findHooks returns the absolute directories in a file in which DLLs are looked
// for.
func findHooks(p string) ([]string, error) {
	var out []string
	err := eachBlock(p, func(_ int64, block []byte, own int) error {
		for i := 0; i < own; i++ {
			c := block[i]
			if c != '/' && c != '\\' || i+1 >= len(block) {
				continue
			}
			start := i
			if i >= 2 && block[i-1] == ':' && isLetter(block[i-2]) {
				start = i - 2
			}
			if start > 0 && printable(block[start-1]) {
				continue // in the midst of a text
			}
			end := i
			for end < len(block) && printable(block[end]) {
				end++
			}
			word := string(block[start:end])
			if len(word) < maxString && len(out) < maxFound && !slices.Contains(out, word) && isHookDir(word) {
				out = append(out, word)
			}
			i = end
		}
		return nil
	})
	return out, err
}

// isHookDir tells whether a text is a whole directory, of one machine, in which
// DLLs may lie.
func isHookDir(s string) bool {
	return !hookPart.MatchString(s) && slices.ContainsFunc(hookDirs, func(re *regexp.Regexp) bool { return re.MatchString(s) })
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

func printable(c byte) bool { return c >= 0x20 && c < 0x7f }

// leak finds what only the build machine has or knows, in the files of the
// build.
func leak(s *subject) []Finding {
	var out []Finding
	for _, n := range s.natives {
		if !n.entry.isBuild() {
			continue
		}
		out = append(out, runPathLeak(n)...)
		if n.PE != nil && isAbsolute(n.PE.PDB) {
			out = append(out, Finding{
				Severity: warning, File: n.entry.Path, Message: "names its symbol file by its path on the build machine" + users([]string{n.PE.PDB}),
				Hint:     "link with /PDBALTPATH:%_PDB%, or -C link-arg=/PDBALTPATH:%_PDB%",
				Evidence: []string{text(n.PE.PDB)},
			})
		}
	}
	for _, e := range s.entries {
		res, ok := s.leaks[e.Path]
		if !ok {
			continue
		}
		if len(res.hooks) > 0 {
			var dirs []string
			for _, h := range res.hooks {
				dirs = append(dirs, text(h))
			}
			out = append(out, Finding{
				File:     e.Path,
				Message:  fmt.Sprintf("has a directory of the build machine compiled in, where it looks for the DLLs that it loads at the first call: %s", dirs[0]),
				Hint:     "compile in no absolute directory (for MLX: MLX_LOAD_CUDA_LIBS_FROM_PYTHON=ON, or MLX_CUDA_BIN_DIR and MLX_CUDNN_BIN_DIR left out), and pack the DLLs where the hook looks",
				Evidence: evidence(dirs),
			})
		}
		if f, ok := stringLeak(e, res); ok {
			out = append(out, f)
		}
	}
	return out
}

// runPathLeak finds run paths that lead to directories of the build machine.
func runPathLeak(n *native) []Finding {
	var absolute, stubs []string
	for _, d := range slices.Concat(n.Rpath, n.Runpath) {
		clean := path.Clean(d)
		switch {
		case path.Base(clean) == "stubs":
			stubs = append(stubs, text(d))
		case strings.HasPrefix(d, "/") && !systemDir(clean):
			absolute = append(absolute, text(d))
		}
	}
	var out []Finding
	if len(stubs) > 0 {
		out = append(out, Finding{
			File: n.entry.Path, Message: "its run path leads to a toolkit's stubs: where that directory is, the program loads a GPU driver that does nothing",
			Hint: "set CMAKE_SKIP_RPATH or CMAKE_BUILD_RPATH_USE_ORIGIN, or link libcuda by its full name: CMake before 3.26 makes it so of CUDA::cuda_driver", Evidence: runPathLines(n),
		})
	}
	if len(absolute) > 0 {
		out = append(out, Finding{
			File:    n.entry.Path,
			Message: "its run path leads to absolute directories, which other machines need not have" + users(absolute),
			Hint:    "link with run paths from $ORIGIN or @loader_path alone (CMAKE_INSTALL_RPATH, and cmake --install in place of a copy from the build tree)", Evidence: runPathLines(n),
		})
	}
	return out
}

func plainCount(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// systemDir tells whether every machine has the directory.
func systemDir(dir string) bool {
	return slices.ContainsFunc(leakData.System, func(sys string) bool {
		if prefix, ok := strings.CutSuffix(sys, "/*"); ok {
			return dir == prefix || strings.HasPrefix(dir, prefix+"/")
		}
		return dir == sys
	})
}

// stringLeak gathers the paths in a file's data. A bare path in a temporary
// directory may be one that the program itself writes: only those of sources
// tell of a build.
func stringLeak(e *entry, res leakResult) (Finding, bool) {
	var paths, what []string
	total := res.more
	for _, l := range res.leaks {
		if strings.HasPrefix(l.What, "a temporary directory") && !isSource(l.Path) || slices.Contains(res.hooks, l.Path) {
			continue
		}
		total++
		paths = append(paths, l.Path)
		if !slices.Contains(what, l.What) {
			what = append(what, l.What)
		}
	}
	if total == 0 {
		return Finding{}, false
	}
	var lines []string
	for _, l := range res.leaks {
		if slices.Contains(paths, l.Path) && len(lines) < maxEvidence {
			line := text(l.Path)
			if l.Section != "" {
				line += fmt.Sprintf(" (%s, offset %d)", text(l.Section), l.Offset)
			}
			lines = append(lines, line)
		}
	}
	if total > len(lines) {
		lines = append(lines, fmt.Sprintf("and %d more", total-len(lines)))
	}
	return Finding{
		Severity: warning, File: e.Path,
		Message:  fmt.Sprintf("holds paths of the machine that built it: %s%s", strings.Join(what, ", "), users(paths)),
		Hint:     "compile with -ffile-prefix-map=DIR=. (C, C++), --remap-path-prefix DIR=. (rustc), -trimpath (Go) or /d1trimfile:DIR (MSVC)",
		Evidence: lines,
	}, true
}

func isSource(p string) bool {
	return slices.Contains(leakData.Sources, strings.ToLower(path.Ext(strings.ReplaceAll(p, `\`, "/"))))
}

func isAbsolute(p string) bool {
	return strings.HasPrefix(p, "/") || strings.HasPrefix(p, `\`) || len(p) > 2 && p[1] == ':' && isLetter(p[0])
}

// users names the users whose home directories are among the paths.
func users(paths []string) string {
	var found []string
	for _, p := range paths {
		m := userName.FindStringSubmatch(p)
		if m == nil || slices.Contains(leakData.Anybody, strings.ToLower(m[1])) || slices.Contains(found, text(m[1])) {
			continue
		}
		found = append(found, text(m[1]))
	}
	switch len(found) {
	case 0:
		return ""
	case 1:
		return "; it names the user " + found[0]
	}
	return "; it names the users " + strings.Join(found[:min(len(found), 4)], ", ")
}
