package pipeline

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/relmat/relmat/internal/matrix"
	"github.com/relmat/relmat/internal/toolchain"
)

// checkSources looks for what the row's packages take from the checkout: a file
// that is missing would show after the build. The error is that of the matrix's
// entry.
func (s *Session) checkSources(row matrix.Row) error {
	look := func(at, source string) error {
		if source == "" {
			return nil
		}
		path := filepath.Join(s.Source, filepath.FromSlash(source))
		_, err := os.Stat(path)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, fs.ErrNotExist):
			err = errors.New("is not there")
		}
		return s.File.ErrorAt(at, "the path is relative to the checkout, "+s.Source, "%q: %v", source, err)
	}
	for _, name := range s.File.ProgramsOf(row) {
		if err := look("programs."+name+".from.source", s.File.Programs.Values[name].From.Source); err != nil {
			return err
		}
	}
	for _, name := range s.File.PackagesOf(row) {
		p := s.File.Packages.Values[name]
		for i, f := range p.Files {
			if !matrix.Matches(f.Targets, row.Name) {
				continue
			}
			if err := look(fmt.Sprintf("packages.%s.files[%d].source", name, i), f.Source); err != nil {
				return err
			}
		}
	}
	return nil
}

// diagnoseSources is checkSources for the doctor.
func (s *Session) diagnoseSources(row matrix.Row) (toolchain.Check, bool) {
	c := toolchain.Check{Name: "files", State: toolchain.StateMissing, Blocks: true}
	var e *matrix.Error
	if !errors.As(s.checkSources(row), &e) {
		return c, false
	}
	p := e.Problems[0]
	c.Detail = fmt.Sprintf("%s, line %d: %s: %s", filepath.Base(p.File), p.Line, p.Path, p.Message)
	c.Get = p.Hint
	return c, true
}
