package cli

import (
	"errors"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/relmat/relmat/internal/pipeline"
	"github.com/relmat/relmat/internal/progress"
	"github.com/relmat/relmat/internal/publish"
)

// checkPart refuses flags of relmat release that --part has no use for.
func checkPart(cmd *cobra.Command, part bool) error {
	if !part {
		return nil
	}
	if !cmd.Flag("repo").Changed {
		return &usageError{errors.New("--part needs --repo OWNER/NAME: parts are joined on GitHub")}
	}
	for _, name := range []string{"draft", "prerelease", "latest", "name", "notes", "generate-notes", "replace"} {
		if cmd.Flag(name).Changed {
			return &usageError{fmt.Errorf("--part and --%s exclude each other: a part changes nothing of the release but its own assets; relmat promote publishes", name)}
		}
	}
	return nil
}

func (a *app) promoteCmd() *cobra.Command {
	var o pipeline.PromoteOptions
	var g githubOptions
	var prerelease bool
	cmd := &cobra.Command{
		Use:   "promote --tag TAG [--repo OWNER/NAME]",
		Short: "Join the parts of a release on GitHub and publish it, if nothing is missing",
		Long: `Promote joins what relmat release --part put into a release: every target of
the matrix must be there (those on request only if their part is), of one commit,
which is the tag's, of the matrix's current rows and triples, with every step of
its smoke test passed and every asset right by SHA-256. Then it writes
release.json and SHA256SUMS, removes the part manifests, and publishes the
release. Else it says all that is missing, changes nothing, and ends with exit
code 1. After any other error, run the same command again.

The matrix is that of --config. Without --tag the tag is project.tag, for which
the checkout is needed.`,
		Example: "  relmat promote --tag v1.2.0 --repo octo/tool",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := g.apply(cmd, &o.Wanted); err != nil {
				return err
			}
			if prerelease {
				o.Wanted.Visibility = publish.Prerelease
			}
			var err error
			if o.GitHub, err = a.partsOf(cmd, g); err != nil {
				return err
			}
			return a.session(func(s *pipeline.Session) error {
				res, err := s.Promote(cmd.Context(), o)
				if err != nil {
					return err
				}
				link(s.Reporter, res.Result)
				return a.promoted(res)
			})
		},
	}
	g.register(cmd)
	f := cmd.Flags()
	f.BoolVar(&prerelease, "prerelease", false, "publish as a pre-release (default for tags such as v1.2.0-rc.1)")
	f.BoolVar(&o.SkipCommitCheck, "skip-commit-check", false, "take parts of checkouts that were not clean or not at the tag's commit")
	a.tagFlag(cmd)
	return cmd
}

// partsOf is the repository of a command that reads parts.
func (a *app) partsOf(cmd *cobra.Command, g githubOptions) (*publish.GitHub, error) {
	if g.repo == "" {
		var err error
		if g.repo, err = a.findRepo(cmd.Context()); err != nil {
			return nil, err
		}
	}
	return a.github(g), nil
}

func (a *app) promoted(res *pipeline.PromoteResult) error {
	if a.asJSON {
		return a.json(struct {
			Schema int `json:"schema"`
			*pipeline.PromoteResult
		}{1, res})
	}
	fmt.Fprintf(a.Out, "%s: %s %s\n", res.Outcome, res.Status.Tag, res.URL)
	w := tabwriter.NewWriter(a.Out, 0, 0, 2, ' ', 0)
	for _, f := range res.Assets {
		fmt.Fprintf(w, "  %s\t%s\tsha256:%.12s…\n", f.Name, progress.Bytes(f.Size), f.SHA256)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, t := range res.Status.Targets {
		for _, n := range t.Notes {
			fmt.Fprintf(a.Out, "  not tested: %s\n", n)
		}
	}
	return nil
}
