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
	"github.com/relmat/relmat/internal/publish"
)

func (a *app) releaseCmd() *cobra.Command {
	var o pipeline.ReleaseOptions
	var g githubOptions
	var dryRun, draft, prerelease bool
	cmd := &cobra.Command{
		Use:   "release --to DIR | --repo OWNER/NAME",
		Short: "Build, bundle, archive, smoke-test and publish targets",
		Long: `Release takes the targets through all stages and publishes their archives,
SHA256SUMS and release.json as DIR/TAG, whole or not at all, or as a release on
GitHub, as relmat publish does. What an earlier run finished is not done again.
The checkout must be clean and at the commit of the tag. On GitHub a release of
chosen targets only stays a draft. With --part each target's assets go into the
draft or release that is there, and relmat promote publishes it when all targets
are in it.`,
		Example: "  relmat release --to /srv/releases\n  relmat release --repo octo/tool --generate-notes\n  relmat release --repo octo/tool --target linux-x86_64 --part\n  relmat release --to out --tag v0.0.0-test --skip-commit-check --dry-run",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.To == "" && g.repo == "" {
				return &usageError{errors.New("--to DIR is missing, the directory that receives the release, or --repo OWNER/NAME, for one on GitHub")}
			}
			if err := checkPart(cmd, o.Part); err != nil {
				return err
			}
			if err := checkPlace(cmd); err != nil {
				return err
			}
			if err := g.apply(cmd, &o.Wanted); err != nil {
				return err
			}
			switch {
			case draft:
				o.Wanted.Visibility = publish.Draft
			case prerelease:
				o.Wanted.Visibility = publish.Prerelease
			}
			if g.repo != "" {
				o.To, o.GitHub = g.repo, a.github(g)
			} else {
				var err error
				if o.To, err = filepath.Abs(o.To); err != nil {
					return err
				}
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
				made := &publish.Result{URL: res.URL, ID: res.ID}
				for _, asset := range res.Assets() {
					made.Assets = append(made.Assets, publish.File{Name: asset.Name})
				}
				link(s.Reporter, made)
				return a.released(res)
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.To, "to", "", "publish into `DIR`")
	g.register(cmd)
	g.releaseIDFlag(cmd)
	f.BoolVar(&draft, "draft", false, "leave a draft on GitHub that only the repository's writers see")
	f.BoolVar(&prerelease, "prerelease", false, "publish as a pre-release on GitHub (default for tags such as v1.2.0-rc.1)")
	f.BoolVar(&o.Part, "part", false, "put each target's assets and part manifest into the release on GitHub, for relmat promote to join")
	f.BoolVar(&o.Replace, "replace", false, "replace a directory's release that has other files")
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
	fmt.Fprintf(a.Out, "%s: %s %s\n", res.Outcome, res.Project, cmp.Or(res.Dir, res.URL))
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
