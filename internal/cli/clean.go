package cli

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/relmat/relmat/internal/pipeline"
	"github.com/relmat/relmat/internal/progress"
)

func (a *app) cleanCmd() *cobra.Command {
	var o pipeline.CleanOptions
	var olderThan string
	cmd := &cobra.Command{
		Use:   "clean [--target GLOB ...] [--older-than DURATION | --all] [--toolkits] [--dry-run]",
		Short: "Show what the state holds, and empty it by age or wholly",
		Long: `Clean lists what the state holds, with sizes and ages, and removes what runs that
are dead left half and the results of targets that the matrix no longer has;
with --older-than and --all also the rest. What another relmat works on stays,
and so does what is not relmat's. Finished assets in dist are second names of
those of the targets: they take no space of their own until those go.`,
		Example: "  relmat clean --older-than 14d --dry-run\n  relmat clean --target 'linux-*' --all",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.All && olderThan != "" {
				return &usageError{errors.New("--all and --older-than exclude each other")}
			}
			if olderThan != "" {
				var err error
				if o.OlderThan, err = parseAge(olderThan); err != nil {
					return &usageError{fmt.Errorf("--older-than %w", err)}
				}
			}
			o.Targets = a.targets
			return a.session(func(s *pipeline.Session) error {
				items, err := s.Clean(cmd.Context(), o)
				if len(items) == 0 && err != nil {
					return err
				}
				return errors.Join(err, a.cleaned(s.State, items, o.DryRun))
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&olderThan, "older-than", "", "remove what was not used for `DURATION`, such as 36h or 14d")
	f.BoolVar(&o.All, "all", false, "remove the whole state, or all of the chosen targets")
	f.BoolVar(&o.Toolkits, "toolkits", false, "also remove from the cache of all projects toolkits and wheels that no lock file of this matrix names, and drives of versions of Wine that are gone")
	f.BoolVar(&o.DryRun, "dry-run", false, "remove nothing, and say what would be removed")
	f.StringArrayVarP(&a.targets, "target", "t", nil, "clean the targets that `GLOB` matches; repeatable (default: all)")
	return cmd
}

// cleaned prints what there is, also of a run that failed on its way.
func (a *app) cleaned(state string, items []pipeline.CleanItem, dryRun bool) error {
	if a.asJSON {
		if items == nil {
			items = []pipeline.CleanItem{}
		}
		return a.json(struct {
			Schema int                  `json:"schema"`
			State  string               `json:"state"`
			DryRun bool                 `json:"dry_run"`
			Items  []pipeline.CleanItem `json:"items"`
		}{1, state, dryRun, items})
	}
	if len(items) == 0 {
		_, err := fmt.Fprintf(a.Out, "%s holds nothing\n", state)
		return err
	}
	w := tabwriter.NewWriter(a.Out, 0, 0, 2, ' ', 0)
	for _, i := range items {
		said := string(i.Action)
		if i.Action == pipeline.CleanRemovable {
			said = "would be removed"
		}
		if i.Reason != "" {
			said += ": " + i.Reason
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", i.Name, progress.Bytes(i.Size), age(i.Used), said)
	}
	return w.Flush()
}

// parseAge reads a duration in Go's form, or in days.
func parseAge(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if days, ok := strings.CutSuffix(text, "d"); ok {
		var n uint64
		if n, err = strconv.ParseUint(days, 10, 16); err == nil {
			d = time.Duration(n) * 24 * time.Hour
		}
	}
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("%q is no duration; write it like 36h or 14d", text)
	}
	return d, nil
}

// age says how long ago something was.
func age(used time.Time) string {
	d := time.Since(used)
	switch {
	case used.IsZero():
		return "empty"
	case d < time.Minute:
		return "just now"
	case d < time.Hour:
		return fmt.Sprintf("%d min ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h ago", int(d.Hours()))
	}
	return fmt.Sprintf("%d days ago", int(d.Hours()/24))
}
