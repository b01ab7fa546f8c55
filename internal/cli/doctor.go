package cli

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/relmat/relmat/internal/pipeline"
	"github.com/relmat/relmat/internal/toolchain"
)

func (a *app) doctorCmd() *cobra.Command {
	var crates bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Tell what this host has and lacks to build targets",
		Long: `Doctor looks for all that the build of a target needs: Rust, the native build
tools and compilers with their versions, the toolkit, the pins, disk space; and
whether the smoke test would find a GPU. It installs and changes nothing, and
says how this host gets what it lacks. It exits with 1 when a target that this
host should build cannot be built.

With --crates it also runs cargo check for each crate that the target lists in
check-crates, tells the first error of those that do not compile, and which of
their dependencies are for Unix alone. They are compiled in the state.`,
		Example: `  relmat doctor --target linux-x86_64-cuda13
  relmat doctor --target windows-x86_64-cuda13 --crates`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.session(func(s *pipeline.Session) error {
				d, err := s.Doctor(cmd.Context(), a.targets, crates)
				if err != nil {
					return err
				}
				if err := a.diagnosis(d); err != nil {
					return err
				}
				var sick []string
				for _, t := range d.Targets {
					if !t.Elsewhere() && !t.Buildable {
						sick = append(sick, t.Target)
					}
				}
				if n := stopped(d); n > 0 {
					return fmt.Errorf("%d crates do not compile on this %s host; see above for what stops them", n, d.Host)
				}
				if len(sick) > 0 {
					return fmt.Errorf("this %s host cannot build %s; see above for what it lacks", d.Host, strings.Join(sick, ", "))
				}
				return nil
			})
		},
	}
	cmd.Flags().StringArrayVarP(&a.targets, "target", "t", nil, "look for what the targets need that `GLOB` matches; repeatable (default: all that are not on request)")
	cmd.Flags().BoolVar(&crates, "crates", false, "compile the crates of check-crates, one by one")
	return cmd
}

// stopped counts the crates that do not compile.
func stopped(d *pipeline.Diagnosis) int {
	n := 0
	for _, t := range d.Targets {
		for _, c := range t.Crates {
			if c.State != toolchain.StateOK && c.State != toolchain.StateUnknown {
				n++
			}
		}
	}
	return n
}

func (a *app) diagnosis(d *pipeline.Diagnosis) error {
	if a.asJSON {
		return a.json(struct {
			Schema int `json:"schema"`
			*pipeline.Diagnosis
		}{1, d})
	}
	for i, t := range d.Targets {
		if i > 0 && !(t.Elsewhere() && d.Targets[i-1].Elsewhere()) {
			fmt.Fprintln(a.Out)
		}
		if t.Elsewhere() {
			fmt.Fprintf(a.Out, "%s: needs a %s host, this is %s\n", t.Target, strings.Join(t.NeedsHosts, " or "), d.Host)
			continue
		}
		lacks := 0
		for _, c := range t.Checks {
			if c.Blocks {
				lacks++
			}
		}
		verdict := "can be built here"
		if lacks > 0 {
			verdict = fmt.Sprintf("cannot be built here, %d of %d checks say no", lacks, len(t.Checks))
		}
		fmt.Fprintf(a.Out, "%s: %s\n", t.Target, verdict)
		checkTable(a.Out, t.Checks)
		if len(t.Crates) > 0 {
			fmt.Fprintln(a.Out)
			crateTable(a.Out, t.Crates)
		}
	}
	return nil
}

// crateTable prints what compiles, and below a crate what stops it and what of it
// is for Unix alone.
func crateTable(w io.Writer, crates []toolchain.Crate) {
	rows := [][]string{{"CRATE", "", "VERSION", ""}}
	states := map[toolchain.State]string{toolchain.StateOK: "compiles", toolchain.StateFailed: "fails", toolchain.StateMissing: "absent", toolchain.StateUnknown: "unknown"}
	for _, c := range crates {
		version := c.Version
		if version == "" {
			version = "-"
		}
		rows = append(rows, []string{c.Name, states[c.State], version, ""})
	}
	widths := columnWidths(rows)
	for i, row := range rows {
		printRow(w, row, widths)
		if i == 0 {
			continue
		}
		var below []string
		if text := crates[i-1].Error; text != "" {
			below = append(below, text)
		}
		if off := crates[i-1].Without; len(off) > 0 {
			below = append(below, "without the features that the target turns on in it: "+strings.Join(off, ", "))
		}
		for _, u := range crates[i-1].UnixOnly {
			said := "Unix only: " + u.Name + ", " + u.Cfg
			switch {
			case len(u.On) > 0:
				said += ", turned on by " + strings.Join(u.On, ", ")
			case len(u.Features) > 0:
				said += ", off; turned on by " + strings.Join(u.Features, ", ")
			}
			below = append(below, said)
		}
		for _, text := range below {
			for _, line := range wrap(text, tableWidth-6) {
				fmt.Fprintf(w, "      %s\n", line)
			}
		}
	}
}

// tableWidth is that of a terminal which nobody made wider.
const tableWidth = 80

// checkTable prints checks as a table, and below a row how to get what is
// lacking and what else there is to say.
func checkTable(w io.Writer, checks []toolchain.Check) {
	rows := [][]string{{"WHAT", "", "FOUND", "NEEDED"}}
	for _, c := range checks {
		needed := c.Needed
		switch {
		case c.By != "" && needed != "" && needed != "any":
			needed += " (" + c.By + ")"
		case needed == "":
			needed = "-"
		}
		found := c.Found
		if found == "" {
			found = "-"
		}
		rows = append(rows, []string{c.Name, strings.ReplaceAll(string(c.State), "-", " "), found, needed})
	}
	widths := columnWidths(rows)
	for i, row := range rows {
		printRow(w, row, widths)
		if i == 0 {
			continue
		}
		c := checks[i-1]
		if c.Get != "" { // whole in one line, so that it can be copied
			fmt.Fprintf(w, "      get it: %s\n", c.Get)
		}
		if c.Detail == "" {
			continue
		}
		for _, line := range wrap(c.Detail, tableWidth-6) {
			fmt.Fprintf(w, "      %s\n", line)
		}
	}
}

// columnWidths gives each column what its cells need, as far as the table's
// width goes; the last takes what the others leave.
func columnWidths(rows [][]string) []int {
	most := []int{16, 9, 24, tableWidth}
	widths := make([]int, len(most))
	left := tableWidth
	for col := range most {
		for _, row := range rows {
			widths[col] = max(widths[col], utf8.RuneCountInString(row[col]))
		}
		widths[col] = min(widths[col], most[col], left-2)
		left -= widths[col] + 2
	}
	return widths
}

func printRow(w io.Writer, row []string, widths []int) {
	cells := make([][]string, len(row))
	lines := 1
	for i, text := range row {
		cells[i] = wrap(text, widths[i])
		lines = max(lines, len(cells[i]))
	}
	for n := range lines {
		var b strings.Builder
		for i := range row {
			text := ""
			if n < len(cells[i]) {
				text = cells[i][n]
			}
			fmt.Fprintf(&b, "  %-*s", widths[i], text)
		}
		fmt.Fprintln(w, strings.TrimRight(b.String(), " "))
	}
}

// wrap breaks text between words; a word that is wider than a line stays whole,
// so that it can be copied.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width {
			lines = append(lines, line)
			line = ""
		}
		line = strings.TrimPrefix(line+" "+word, " ")
	}
	return append(lines, line)
}
