package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/relmat/relmat/internal/pipeline"
	"github.com/relmat/relmat/internal/progress"
)

func (a *app) verifyCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "verify ARCHIVE|DIR",
		Short: "Judge a package: complete, for these machines, clean, lawful",
		Long: `Verify reads a package, an archive (zip, wheel, tar, tar.gz, tar.zst, tar.xz) or
a directory, and judges it by relmat's rules: whether every library that it needs
is found on a machine that has none, whether its code runs on the GPUs and systems
that were promised, whether anything of the build machine, of the GPU's driver or
without a licence is in it. Nothing is run.

Without --target a package is judged by what it says of itself: its manifest, a
wheel's tags, or nothing. With it, or where the manifest names a target of the
matrix, the target's floors, GPUs, severities and exceptions count, too.

The exit code is 3 if an error stands.`,
		Example: `  relmat verify dist/v1.0.0/hello-1.0.0-linux-x86_64.zip
  relmat verify --target linux-x86_64-cuda13 out/hello
  relmat verify somebody-elses-wheel.whl`,
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case len(args) == 0:
				return &usageError{errors.New("ARCHIVE or DIR is missing: what to verify")}
			case len(args) > 1:
				return &usageError{fmt.Errorf("one ARCHIVE or DIR at a time, got %d", len(args))}
			}
			return nil
		},
	}
	target := cmd.Flags().StringP("target", "t", "", "judge it as a package of the matrix's target `NAME`")
	pkg := cmd.Flags().String("package", "", "the package of the matrix that it is: `NAME` (default: as its manifest says, or the target's only one)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		sink, annotate, err := a.sink()
		if err != nil {
			return err
		}
		rep := progress.New(sink)
		report, err := pipeline.VerifyPath(cmd.Context(), pipeline.VerifyOptions{
			Config: pipeline.Config{
				Matrix: a.config, Read: a.read, Source: a.source, State: a.state, Cache: a.cache, Python: a.python, Env: a.Env, Reporter: rep,
			},
			Path: args[0], Explicit: cmd.Root().PersistentFlags().Changed("config") || a.getenv("RELMAT_CONFIG") != "",
			Target: *target, Package: *pkg, Annotate: annotate,
		})
		if cerr := rep.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			return err
		}
		if a.asJSON {
			err = a.json(report)
		} else {
			err = report.Show(a.Out, a.color())
		}
		return errors.Join(err, report.Err())
	}
	return cmd
}

// sink is where progress is shown, and whether findings are shown there, too:
// a CI runner puts them beside the code.
func (a *app) sink() (sink progress.Sink, annotate bool, err error) {
	mode := progress.Mode(a.progress)
	annotate = mode == progress.GitHub || mode == progress.Auto && a.getenv("GITHUB_ACTIONS") == "true"
	if a.quiet {
		mode, annotate = progress.Quiet, false
	}
	sink, err = progress.NewSink(mode, a.Err, a.getenv)
	if err != nil {
		return nil, false, &usageError{err}
	}
	return sink, annotate, nil
}
