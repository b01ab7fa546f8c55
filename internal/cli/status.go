package cli

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/relmat/relmat/internal/pipeline"
	"github.com/relmat/relmat/internal/progress"
	"github.com/relmat/relmat/internal/publish"
)

// errNotComplete ends relmat status with exit code 1. What is missing is the
// command's result, not its error.
var errNotComplete = errors.New("the release is not complete")

func (a *app) statusCmd() *cobra.Command {
	var g githubOptions
	var anyCommit bool
	cmd := &cobra.Command{
		Use:   "status --tag TAG [--repo OWNER/NAME]",
		Short: "Show a release on GitHub against the matrix: what is there, missing, stale, broken",
		Long: `Status holds the release of a tag against the matrix, as relmat promote does,
and changes nothing. It ends with exit code 0 if the release is complete, be it
promoted already or not, and else with 1.`,
		Example: "  relmat status --tag v1.2.0 --repo octo/tool",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			gh, err := a.partsOf(cmd, g)
			if err != nil {
				return err
			}
			return a.session(func(s *pipeline.Session) error {
				st, err := s.Status(cmd.Context(), gh, anyCommit)
				if err != nil {
					return err
				}
				if a.asJSON {
					err = a.json(st)
				} else {
					showStatus(a.Out, st)
				}
				if err == nil && !st.Complete {
					err = fmt.Errorf("%s of %s: %w", st.Tag, st.Repo, errNotComplete)
				}
				return err
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&g.repo, "repo", "", "the release is of `OWNER/NAME` (default: GITHUB_REPOSITORY, or the remote origin)")
	f.BoolVar(&anyCommit, "skip-commit-check", false, "take parts of checkouts that were not clean or not at the tag's commit")
	a.tagFlag(cmd)
	return cmd
}

// statusWidth is how wide the table is at most, in characters, names apart that
// are longer by themselves.
const statusWidth = 80

func showStatus(w io.Writer, st *pipeline.ReleaseStatus) {
	is := "there is no release"
	if st.ID != 0 {
		is = fmt.Sprintf("%s (id %d)", map[string]string{"full": "release", "prerelease": "pre-release", "draft": "draft"}[string(st.Visibility)], st.ID)
		if st.Immutable {
			is += ", immutable"
		}
	}
	at := "no tag"
	if st.Commit != "" {
		at = fmt.Sprintf("tag at %.12s", st.Commit)
	}
	fmt.Fprintf(w, "%s %s: %s, %s\n", st.Repo, st.Tag, is, at)
	if st.URL != "" {
		fmt.Fprintln(w, st.URL)
	}
	width := len("target")
	for _, t := range st.Targets {
		width = max(width, utf8.RuneCountInString(t.Target))
	}
	width = min(width, 32) // what is right of it has 48 characters
	row := func(target string, cols ...any) {
		fmt.Fprintln(w, strings.TrimRight(fmt.Sprintf("%-*s  ", width, target)+fmt.Sprintf("%-10s  %-6s  %-7s  %-8s  %s", cols...), " "))
	}
	fmt.Fprintln(w)
	row("TARGET", "STATE", "PART", "ROW", "COMMIT", "SMOKE")
	for _, t := range st.Targets {
		digest := map[pipeline.State]string{pipeline.Complete: "current", pipeline.Stale: "stale"}[t.Row]
		part := map[string]string{"": "-", publish.ReleaseName: "joined"}[t.Part]
		row(t.Target, t.State, cmp.Or(part, "own"), cmp.Or(digest, "-"), cmp.Or(clipped(t.Commit, 8), "-"), smokeWords(t))
		for _, s := range t.Assets {
			said := string(s.State)
			if s.State == pipeline.Complete {
				said = "ok"
			}
			if s.Size > 0 {
				said += ", " + progress.Bytes(s.Size)
			}
			fold(w, "  ", s.Name+"  "+said)
		}
	}
	fmt.Fprintln(w)
	for _, f := range st.Files {
		said := string(f.State)
		switch f.State {
		case pipeline.Complete:
			said = "ok"
		case pipeline.Unknown:
			said = "not compared: the release is not complete"
		}
		fold(w, "", f.Name+"  "+said)
	}
	for _, name := range st.Leftover {
		fold(w, "", name+"  leftover, goes with the promotion")
	}
	for _, name := range st.Foreign {
		fold(w, "", name+"  not relmat's, left alone")
	}
	var lines []string
	for _, t := range st.Targets {
		for _, n := range t.Notes {
			lines = append(lines, "not tested: "+n)
		}
	}
	for _, t := range st.Targets {
		for _, p := range t.Problems {
			lines = append(lines, t.Target+": "+p)
		}
	}
	lines = append(lines, st.Problems...)
	if len(lines) > 0 {
		fmt.Fprintln(w)
	}
	for _, l := range lines {
		fmt.Fprintln(w, l) // with commands to paste: a terminal folds by itself
	}
	fmt.Fprintln(w)
	switch {
	case st.Promoted:
		fmt.Fprintln(w, "complete and published")
	case st.Complete && st.SkipCommitCheck:
		fmt.Fprintln(w, "complete: relmat promote --skip-commit-check publishes it")
	case st.Complete:
		fmt.Fprintln(w, "complete: relmat promote publishes it")
	default:
		fmt.Fprintln(w, "not complete")
	}
}

func clipped(s string, n int) string { return s[:min(len(s), n)] }

// smokeWords tells how many steps were passed, and of how many.
func smokeWords(t pipeline.TargetStatus) string {
	all := t.Passed + t.NotRun + t.Failed
	if all == 0 {
		return "-"
	}
	return fmt.Sprintf("%d/%d", t.Passed, all)
}

// fold writes a line and goes on below it, further in, where it would be too
// wide. Words are not broken.
func fold(w io.Writer, in, text string) {
	line := in
	for i, word := range strings.Split(text, " ") {
		if i > 0 && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > statusWidth {
			fmt.Fprintln(w, strings.TrimRight(line, " "))
			line = in + "    " + word
			continue
		}
		if i > 0 {
			line += " "
		}
		line += word
	}
	fmt.Fprintln(w, line)
}
