package bundle

import (
	"path/filepath"
	"slices"
	"strings"

	"github.com/relmat/relmat/internal/matrix"
)

// keepsPlaces tells whether the layout leaves libraries where their wheels have
// them.
func keepsPlaces(l matrix.Layout) bool {
	const probe = "wheel/dir/library"
	return l.Place("library", probe) == probe
}

// RunPath is the run path that programs of the layout need to find their
// libraries, relative to themselves, for a platform's system: entries of
// DT_RPATH on Linux, of LC_RPATH on macOS. wheelDirs gives the directories of
// the libraries among the files of the toolkit's wheels; it is asked in layouts
// that keep them. Programs of Windows have no run path.
func RunPath(system string, l matrix.Layout, wheelDirs func() []string) []string {
	origin := map[string]string{"linux": "$ORIGIN", "macos": "@executable_path"}[system]
	if origin == "" {
		return nil
	}
	var dirs []string
	if keepsPlaces(l) {
		dirs = append(dirs, wheelDirs()...)
	}
	var paths []string
	for _, dir := range append(dirs, l.Libraries) {
		rel, err := filepath.Rel(filepath.FromSlash(l.Programs), filepath.FromSlash(dir))
		if err != nil {
			rel = dir
		}
		p := origin + "/" + filepath.ToSlash(rel)
		if rel == "." {
			p = origin
		}
		if !slices.Contains(paths, p) {
			paths = append(paths, p)
		}
	}
	return paths
}

// runPath is the run path of the package's programs, for errors.
func (b *builder) runPath() string {
	return strings.Join(RunPath(b.o.Row.Platform.OS, b.layout, func() []string {
		if b.o.Toolkit == nil {
			return nil
		}
		return b.o.Toolkit.LibraryDirs()
	}), ":")
}
