package cli

import (
	"errors"
	"fmt"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/relmat/relmat/internal/manifest"
	"github.com/relmat/relmat/internal/matrix"
	"github.com/relmat/relmat/internal/pipeline"
)

func (a *app) smokeCmd() *cobra.Command {
	var archive string
	var keep bool
	cmd := &cobra.Command{
		Use:   "smoke [--target GLOB ... | --archive FILE]",
		Short: "Unpack archives and run the matrix's smoke test on them",
		Long: `Smoke unpacks an archive into a directory whose name has a space and a letter
outside of ASCII, and runs the matrix's steps there without the build machine's
environment. Without --archive it makes the targets' archives first, where they
are not made yet. It exits with 5 when a step fails.`,
		Example: "  relmat smoke --archive tinylm-0.1.0-linux-x86_64-cuda13.zip --keep",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if archive != "" && len(a.targets) > 0 {
				return &usageError{errors.New("--archive and --target exclude each other: an archive says which target it is of")}
			}
			var results []manifest.SmokeResult
			var err error
			if archive != "" {
				err = a.session(func(s *pipeline.Session) error {
					r, err := s.SmokeArchive(cmd.Context(), archive, keep)
					results = append(results, r)
					return err
				})
			} else {
				err = a.selected(func(s *pipeline.Session, rows []matrix.Row) error {
					var err error
					results, err = s.Smoke(cmd.Context(), rows, keep)
					return err
				})
			}
			return errors.Join(err, a.smokeResults(results))
		},
	}
	cmd.Flags().StringVar(&archive, "archive", "", "test this `FILE`")
	cmd.Flags().BoolVar(&a.skipSign, "skip-sign", false, "leave unsigned what the matrix wants to be signed")
	cmd.Flags().BoolVar(&keep, "keep", false, "keep the directory of a failed test")
	a.targetFlag(cmd)
	a.tagFlag(cmd)
	return cmd
}

// smokeResults prints what was run, also of a test that failed.
func (a *app) smokeResults(results []manifest.SmokeResult) error {
	results = slices.DeleteFunc(results, func(r manifest.SmokeResult) bool { return len(r.Steps) == 0 })
	if len(results) == 0 {
		return nil
	}
	if a.asJSON {
		return a.json(struct {
			Schema  int                    `json:"schema"`
			Results []manifest.SmokeResult `json:"results"`
		}{1, results})
	}
	for _, r := range results {
		fmt.Fprintf(a.Out, "%s of %s on %s\n", r.Package, r.Target, r.Device)
		w := tabwriter.NewWriter(a.Out, 0, 0, 2, ' ', 0)
		for _, s := range r.Steps {
			said := fmt.Sprintf("%.1f s", s.Seconds)
			if s.Status != manifest.Passed {
				said = s.Reason
			}
			fmt.Fprintf(w, "  %s\t%s\t%s\n", s.Name, s.Status, said)
		}
		if err := w.Flush(); err != nil {
			return err
		}
		if r.CPU != nil {
			fmt.Fprintf(a.Out, "  CPU level: %s\n", r.CPU)
		}
	}
	return nil
}
