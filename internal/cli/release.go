package cli

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/relmat/relmat/internal/pipeline"
	"github.com/relmat/relmat/internal/progress"
)

func (a *app) releaseCmd() *cobra.Command {
	var o pipeline.ReleaseOptions
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "release --to DIR",
		Short: "Build, bundle, archive, smoke-test and publish targets",
		Long: `Release takes the targets through all stages and publishes their archives,
SHA256SUMS and release.json as DIR/TAG, whole or not at all. What an earlier run
finished is not done again. The checkout must be clean and at the commit of the
tag.`,
		Example: "  relmat release --to /srv/releases\n  relmat release --to out --tag v0.0.0-test --skip-commit-check --dry-run",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.To == "" {
				return &usageError{errors.New("--to DIR is missing: the directory that receives the release")}
			}
			var err error
			if o.To, err = filepath.Abs(o.To); err != nil {
				return err
			}
			return a.session(func(s *pipeline.Session) error {
				o.Targets = a.targets
				if dryRun {
					steps, err := s.DryRun(cmd.Context(), o)
					if err != nil {
						return err
					}
					return a.dryRun(steps)
				}
				res, err := s.Release(cmd.Context(), o)
				if err != nil {
					return err
				}
				return a.released(res)
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.To, "to", "", "publish into `DIR`")
	f.BoolVar(&o.Replace, "replace", false, "replace a published release that has other files")
	f.BoolVar(&o.SkipCommitCheck, "skip-commit-check", false, "release a checkout that is not clean or not at the tag's commit")
	f.BoolVar(&o.KeepFailed, "keep", false, "keep the directory of a failed smoke test")
	f.BoolVar(&dryRun, "dry-run", false, "say what would be done, and do nothing")
	a.targetFlag(cmd)
	a.tagFlag(cmd)
	return cmd
}

func (a *app) released(res *pipeline.ReleaseResult) error {
	if a.asJSON {
		return a.json(res)
	}
	fmt.Fprintf(a.Out, "%s: %s %s\n", res.Outcome, res.Project, res.Dir)
	w := tabwriter.NewWriter(a.Out, 0, 0, 2, ' ', 0)
	for _, asset := range res.Assets() {
		fmt.Fprintf(w, "  %s\t%s\tsha256:%.12s…\n", asset.Name, progress.Bytes(asset.Size), asset.SHA256)
	}
	return w.Flush()
}

func (a *app) dryRun(steps []pipeline.Step) error {
	if a.asJSON {
		return a.json(struct {
			Schema int             `json:"schema"`
			Steps  []pipeline.Step `json:"steps"`
		}{1, steps})
	}
	heading := ""
	for _, s := range steps {
		if h := cmp.Or(s.Target, "all targets"); h != heading {
			heading = h
			fmt.Fprintln(a.Out, heading)
		}
		fmt.Fprintf(a.Out, "  %-8s %s\n", s.Stage, s.Does)
		if s.Command != "" {
			fmt.Fprintf(a.Out, "           $ %s\n", s.Command)
		}
	}
	return nil
}
