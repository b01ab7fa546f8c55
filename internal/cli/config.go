package cli

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/relmat/relmat/internal/matrix"
)

func (a *app) configCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Show what targets resolve to, and where each value comes from",
		Long: `Config shows every setting of a target with the part of targets.yaml, and the
line, that gives it: the target itself, the target that it is a variant of, its
system, the defaults, or relmat.`,
		Example: "  relmat config --target linux-aarch64-cuda13-gb10",
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			f, err := matrix.LoadBy(a.read, a.config)
			if err != nil {
				return err
			}
			rows, err := f.Match(a.targets)
			if err != nil {
				return err
			}
			type target struct {
				Target   string           `json:"target"`
				Settings []matrix.Setting `json:"settings"`
			}
			var list []target
			for _, r := range rows {
				list = append(list, target{r.Name, f.Settings(r)})
			}
			if a.asJSON {
				return a.json(struct {
					Schema  int      `json:"schema"`
					Targets []target `json:"targets"`
				}{1, list})
			}
			for i, t := range list {
				if i > 0 {
					fmt.Fprintln(a.Out)
				}
				fmt.Fprintln(a.Out, t.Target)
				w := tabwriter.NewWriter(a.Out, 0, 0, 2, ' ', 0)
				for _, s := range t.Settings {
					from := s.From
					if s.Line > 0 {
						from = fmt.Sprintf("%s:%d", from, s.Line)
					}
					fmt.Fprintf(w, "  %s\t%s\t%s\n", s.Key, from, showValue(s.Value))
				}
				if err := w.Flush(); err != nil {
					return err
				}
			}
			return nil
		},
	}
	a.targetsFlag(cmd, "show the targets that `GLOB` matches; repeatable (default: all)")
	return cmd
}

func showValue(v any) string {
	switch v := v.(type) {
	case []string:
		return "[" + strings.Join(v, ", ") + "]"
	case string:
		if v == "" {
			return `""`
		}
		return v
	}
	return fmt.Sprint(v)
}
