package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/relmat/relmat/internal/pipeline"
	"github.com/relmat/relmat/internal/progress"
)

func (a *app) initCmd() *cobra.Command {
	var to string
	cmd := &cobra.Command{
		Use:   "init [--source DIR] [--to FILE]",
		Short: "Write a first targets.yaml for a Cargo workspace",
		Long: `Init asks Cargo what the workspace holds and writes a commented targets.yaml: its
programs, the crates that run CMake, a target for CUDA or Metal where the
programs have such a feature, the licence files, and a smoke test. Without
--source it works on the workspace of the working directory. It never overwrites
a file, and prints the path of what it wrote.`,
		Example: "  relmat init\n  relmat init --source ../mlxcel --to release/targets.yaml",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("config") {
				return &usageError{errors.New("--config names a matrix to read; say with --to FILE what to write")}
			}
			mode := progress.Mode(a.progress)
			if a.quiet {
				mode = progress.Quiet
			}
			sink, err := progress.NewSink(mode, a.Err, a.getenv)
			if err != nil {
				return &usageError{err}
			}
			rep := progress.New(sink)
			res, err := pipeline.Init(cmd.Context(), pipeline.InitOptions{Source: a.source, To: to, Env: a.Env, Reporter: rep})
			if err = errors.Join(err, rep.Close()); err != nil {
				return err
			}
			if a.asJSON {
				return a.json(struct {
					Schema int `json:"schema"`
					*pipeline.InitResult
				}{1, res})
			}
			fmt.Fprintln(a.Out, res.Path)
			return nil
		},
	}
	cmd.Flags().StringVar(&to, "to", "", "write this `FILE` (default: targets.yaml in the checkout)")
	return cmd
}
