package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/relmat/relmat/internal/matrix"
	"github.com/relmat/relmat/internal/pipeline"
)

func (a *app) bundleCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bundle",
		Short: "Gather the packages of targets: programs, libraries, headers, licences",
		Long: `Bundle builds what is not built, then gathers each package of the targets in a
directory: the programs, every library that they need on a machine without
CUDA, the files of the matrix, licences and a manifest. It prints where the
packages are.`,
		Example: "  relmat bundle --target 'linux-*'",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.selected(func(s *pipeline.Session, rows []matrix.Row) error {
				bundles, err := s.Bundle(cmd.Context(), rows)
				if err != nil {
					return err
				}
				type pkg struct {
					Target  string `json:"target"`
					Package string `json:"package"`
					Dir     string `json:"dir"`
					Files   int    `json:"files"`
					Size    int64  `json:"size"`
				}
				var list []pkg
				for _, row := range rows {
					for _, b := range bundles[row.Name] {
						list = append(list, pkg{row.Name, b.Package, b.Dir, b.Files, b.Size})
					}
				}
				if a.asJSON {
					return a.json(struct {
						Schema   int   `json:"schema"`
						Packages []pkg `json:"packages"`
					}{1, list})
				}
				for _, p := range list {
					fmt.Fprintln(a.Out, p.Dir)
				}
				return nil
			})
		},
	}
	a.targetFlag(cmd)
	return cmd
}
