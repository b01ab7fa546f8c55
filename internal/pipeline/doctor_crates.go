package pipeline

import (
	"context"
	"fmt"
	"slices"

	"github.com/relmat/relmat/internal/matrix"
	"github.com/relmat/relmat/internal/progress"
	"github.com/relmat/relmat/internal/toolchain"
)

// checkCrates compiles the crates that the row lists, one by one, into a directory
// of their own in the state.
func (s *Session) checkCrates(ctx context.Context, row matrix.Row, b toolchain.Build) ([]toolchain.Crate, error) {
	if len(row.CheckCrates) == 0 {
		return nil, nil
	}
	unlock, err := s.lockTarget(ctx, row)
	if err != nil {
		return nil, err
	}
	defer unlock()
	c := toolchain.Crates{
		Dir: s.Source, Row: row, Packages: b.Packages, Secrets: s.Secrets,
		Env: append(slices.Clone(b.Env), "CARGO_TARGET_DIR="+s.targetDir(row, "check")),
	}
	var list []toolchain.Crate
	err = s.stage(ctx, row.Name, "check", "crates", func(task *progress.Task) (string, bool, error) {
		c.Line = task.Line
		if list, err = c.List(ctx, row.CheckCrates); err != nil {
			return "", false, err
		}
		compile, unknown := 0, 0
		for i := range list {
			if err := c.Check(ctx, &list[i]); err != nil {
				return "", false, err
			}
			switch list[i].State {
			case toolchain.StateOK:
				compile++
			case toolchain.StateUnknown:
				unknown++
			}
		}
		said := fmt.Sprintf("%d of %d crates compile", compile, len(list))
		if unknown > 0 {
			said += fmt.Sprintf(", %d not checked", unknown)
		}
		return said, false, nil
	})
	return list, err
}
