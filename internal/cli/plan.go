package cli

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/relmat/relmat/internal/pipeline"
	"github.com/relmat/relmat/internal/proc"
)

func (a *app) planCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Show what would be run where, and what it makes",
		Long: `Plan shows for each target the host that it needs, the build as that host's
shell runs it, and what each package would hold. It does nothing. Without a
checkout, what only the source tells is shown as <source>.`,
		Example: "  relmat plan --source ../mlxcel --target 'linux-*'",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.session(func(s *pipeline.Session) error {
				plans, err := s.Plan(cmd.Context(), a.targets)
				if err != nil {
					return err
				}
				if a.asJSON {
					return a.json(struct {
						Schema  int                   `json:"schema"`
						Targets []pipeline.TargetPlan `json:"targets"`
					}{2, plans})
				}
				for i, p := range plans {
					if i > 0 {
						fmt.Fprintln(a.Out)
					}
					if err := showPlan(a.Out, p, s.File.Path); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
	a.targetsFlag(cmd, "show the targets that `GLOB` matches; repeatable (default: all)")
	return cmd
}

func showPlan(w io.Writer, p pipeline.TargetPlan, matrixPath string) error {
	fmt.Fprintln(w, p.Target)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(key, format string, args ...any) { fmt.Fprintf(tw, "  "+key+"\t"+format+"\n", args...) }
	if p.OnRequest {
		line("on request", "only when --target names it exactly")
	}
	if p.VariantOf != "" {
		line("variant of", "%s", p.VariantOf)
	}
	for _, h := range p.Hosts {
		as := ""
		if h.AssetSuffix != "" {
			as = ", as a substitute: its assets end in " + h.AssetSuffix
		}
		line("host", "%s, for %s%s", h.Platform, h.Triple, as)
	}
	if len(p.Labels) > 0 {
		line("runner", "%s", strings.Join(p.Labels, ", "))
	}
	if p.TimeoutMinutes > 0 {
		line("time limit", "%d minutes", p.TimeoutMinutes)
	}
	if p.Toolkit != "" {
		line("toolkit", "%s, CUDA %s", p.Toolkit, p.Release)
	}
	for _, name := range slices.Sorted(maps.Keys(p.Pins)) {
		line("pin", "%s %s", name, p.Pins[name])
	}
	if p.Sign != nil {
		line("signing", "%s", p.Sign)
	}
	if len(p.Pass) > 0 {
		line("passed on", "%s", strings.Join(p.Pass, ", "))
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	for _, h := range p.Hosts {
		fmt.Fprintf(w, "  build on %s\n", h.Platform)
		for _, l := range p.Script(h, matrixPath) {
			fmt.Fprintf(w, "    %s\n", l)
		}
	}
	for _, pkg := range p.Packages {
		fmt.Fprintf(w, "  %s\n", pkg.Asset)
		tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		for _, f := range pkg.Files {
			fmt.Fprintf(tw, "    %s\t%s\n", f.Path, f.From)
		}
		if err := tw.Flush(); err != nil {
			return err
		}
		for _, st := range pkg.Smoke {
			on := ""
			if st.Device != "" {
				on = " (where there is a " + st.Device + " device)"
			}
			fmt.Fprintf(w, "    smoke: %s%s\n", proc.Cmd{Path: st.Command[0], Args: st.Command[1:]}, on)
		}
	}
	return nil
}
