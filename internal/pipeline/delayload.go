package pipeline

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/relmat/relmat/internal/matrix"
	"github.com/relmat/relmat/internal/toolchain"
	"github.com/relmat/relmat/internal/toolkit"
)

// delayLoad lists the libraries of a Windows target's toolkit with the places
// that the layouts of its packages give them. A build makes each program once,
// so the packages must agree.
func (s *Session) delayLoad(row matrix.Row, tk *toolkit.Toolkit) ([]toolchain.DelayLoad, error) {
	if row.Platform.OS != "windows" || tk == nil {
		return nil, nil
	}
	files := tk.Libraries("*.dll")
	var list []toolchain.DelayLoad
	by := ""
	for _, name := range s.File.PackagesOf(row) {
		p := s.File.Packages.Values[name]
		if !slices.ContainsFunc(p.Programs, func(prog string) bool { return !s.isPrebuilt(prog) }) {
			continue
		}
		var of []toolchain.DelayLoad
		for _, f := range files {
			base := path.Base(f.Rel)
			d := toolchain.DelayLoad{Name: base, Dir: p.LayoutOf().FromPrograms(base, f.Rel)}
			if p.Runtime == "host" {
				d.Dir = "." // nowhere in the package: the hook finds none, and Windows looks in PATH
			}
			of = append(of, d)
		}
		slices.SortFunc(of, func(a, b toolchain.DelayLoad) int {
			return cmp.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name))
		})
		of = slices.CompactFunc(of, func(a, b toolchain.DelayLoad) bool { return strings.EqualFold(a.Name, b.Name) })
		if by == "" {
			list, by = of, name
			continue
		}
		for i := range of {
			if of[i] != list[i] {
				return nil, fmt.Errorf("%s: packages %s and %s have %s in different places (%s and %s from the programs), and one build cannot serve both: give them one layout",
					s.File.Path, by, name, of[i].Name, list[i].Dir, of[i].Dir)
			}
		}
	}
	return list, nil
}
