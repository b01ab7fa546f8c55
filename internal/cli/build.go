package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/relmat/relmat/internal/matrix"
	"github.com/relmat/relmat/internal/pipeline"
)

// selected opens the session and picks the command's targets.
func (a *app) selected(do func(*pipeline.Session, []matrix.Row) error) error {
	return a.session(func(s *pipeline.Session) error {
		sel, err := s.Select(a.targets)
		if err != nil {
			return err
		}
		return do(s, sel.Rows)
	})
}

func (a *app) buildCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "build",
		Short: "Build the programs of targets",
		Long: `Build runs Cargo for every program of the targets, with the toolkit, the CPU
level and the architectures of the matrix, and prints where the programs are.`,
		Example: "  relmat build --target linux-x86_64-cuda13",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.selected(func(s *pipeline.Session, rows []matrix.Row) error {
				built, err := s.Build(cmd.Context(), rows)
				if err != nil {
					return err
				}
				type program struct {
					Target  string `json:"target"`
					Program string `json:"program"`
					Path    string `json:"path"`
				}
				var list []program
				for _, row := range rows {
					for _, p := range s.File.ProgramsOf(row) {
						list = append(list, program{row.Name, p, built[row.Name][p]})
					}
				}
				if a.asJSON {
					return a.json(struct {
						Schema   int       `json:"schema"`
						Programs []program `json:"programs"`
					}{1, list})
				}
				for _, p := range list {
					fmt.Fprintln(a.Out, p.Path)
				}
				return nil
			})
		},
	}
	a.targetFlag(cmd)
	return cmd
}
