package pipeline

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"

	"github.com/relmat/relmat/internal/bundle"
	"github.com/relmat/relmat/internal/matrix"
	"github.com/relmat/relmat/internal/toolchain"
)

// hostLibraries are the directories of the vendor's libraries on this machine,
// for packages that leave them to users: those of the target's toolkit, or of
// the one that the environment names.
func (s *Session) hostLibraries(row matrix.Row) ([]string, error) {
	if row.Toolkit != "" {
		tk := s.cachedToolkit(row)
		if tk == nil {
			return nil, fmt.Errorf("toolkit %s is not in the cache; `relmat toolkit fetch %s` brings it", row.Toolkit, row.Toolkit)
		}
		var dirs []string
		for _, dir := range tk.LibraryDirs() {
			dirs = append(dirs, filepath.Join(tk.Dir, filepath.FromSlash(dir)))
		}
		return dirs, nil
	}
	vars, err := toolchain.Variables(row, row.Fields(s.version, s.tag), toolchain.Toolkits{}, s.targetDir(row, "cargo"))
	if err != nil {
		return nil, err
	}
	return bundle.HostLibraryDirs(toolchain.BuildEnv(s.Env, row, vars), row.Platform)
}

// besides are the packages whose libraries a package leaves to them, as far as
// this run has packed them: what a smoke test depends on besides the archive.
func (s *Session) besides(row matrix.Row, pkg string) []string {
	var sums []string
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range s.File.PackagesOf(row) {
		for _, of := range s.File.Packages.Values[name].RuntimeOf {
			if a, ok := s.archives[row.Name+"/"+name]; ok && of == pkg {
				sums = append(sums, a.SHA256)
			}
		}
	}
	return sums
}

// archiveOver is the archive of a package that users unpack over another: that
// of this run, or one that lies beside the other's.
func (s *Session) archiveOver(row matrix.Row, pkg, beside string) (string, error) {
	s.mu.Lock()
	a, ok := s.archives[row.Name+"/"+pkg]
	s.mu.Unlock()
	if ok {
		return a.Path, nil
	}
	p, ok := s.File.Packages.Get(pkg)
	if !ok {
		return "", fmt.Errorf("%s has no such package", s.File.Path)
	}
	// An archive that is tested alone is of whatever version it says itself.
	stem, _, err := packageNames(p, row, row.Fields(cmp.Or(s.version, "*"), cmp.Or(s.tag, "*")))
	if err != nil {
		return "", err
	}
	name := stem + "." + row.Archive
	entries, err := os.ReadDir(filepath.Dir(beside))
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		if ok, _ := filepath.Match(name, e.Name()); ok {
			return filepath.Join(filepath.Dir(beside), e.Name()), nil
		}
	}
	return "", fmt.Errorf("its archive %s does not lie beside %s", name, beside)
}
