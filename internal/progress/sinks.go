package progress

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// Mode names a way to show events.
type Mode string

// The modes of --progress. Auto is GitHub inside of GitHub Actions, Terminal
// on a terminal, else Plain.
const (
	Auto     Mode = "auto"
	Terminal Mode = "terminal"
	Plain    Mode = "plain"
	GitHub   Mode = "github"
	JSON     Mode = "json"
	Quiet    Mode = "quiet"
)

// Modes lists the modes in the order in which help shows them.
func Modes() []string {
	return []string{string(Auto), string(Terminal), string(Plain), string(GitHub), string(JSON), string(Quiet)}
}

// NewSink makes the sink of a mode on w. getenv is asked for GITHUB_ACTIONS,
// GITHUB_STEP_SUMMARY and NO_COLOR.
func NewSink(mode Mode, w io.Writer, getenv func(string) string) (Sink, error) {
	tty := false
	if f, ok := w.(*os.File); ok {
		tty = term.IsTerminal(int(f.Fd()))
	}
	if mode == Auto {
		switch {
		case getenv("GITHUB_ACTIONS") == "true":
			mode = GitHub
		case tty && getenv("TERM") != "dumb":
			mode = Terminal
		default:
			mode = Plain
		}
	}
	switch mode {
	case Terminal:
		return &lines{w: w, color: getenv("NO_COLOR") == "", bars: true}, nil
	case Plain:
		return &lines{w: w}, nil
	case GitHub:
		return &github{w: w, summary: getenv("GITHUB_STEP_SUMMARY")}, nil
	case JSON:
		return jsonLines{json.NewEncoder(w)}, nil
	case Quiet:
		return quiet{w}, nil
	}
	return nil, fmt.Errorf("progress mode %q is unknown; allowed: %s", mode, strings.Join(Modes(), ", "))
}

// lines is the sink of terminals and logs.
type lines struct {
	w     io.Writer
	color bool
	bars  bool
	bar   *progressbar.ProgressBar
}

func (l *lines) Event(e Event) {
	if e.Kind == KindBytes {
		l.bytes(e)
		return
	}
	if l.bar != nil {
		_ = l.bar.Clear()
		if e.Kind != KindLine && e.Kind != KindNote {
			l.bar = nil
		}
	}
	where := e.Stage
	if e.Target != "" {
		where += " " + e.Target
	}
	switch e.Kind {
	case KindBegin:
		l.print("1", "▸ "+where, e.Text)
	case KindLine:
		l.print("2", "  │ "+e.Text, "")
	case KindNote:
		l.print("", indent(e, e.Text), "")
	case KindWarn:
		l.print("33", indent(e, "warning: "+e.Text), "")
	case KindError:
		l.print("31", indent(e, "error: "+e.Text), "")
	case KindDone:
		l.print("32", "✓ "+where, fmt.Sprintf("%s (%.1f s)", e.Text, e.Seconds))
	case KindReused:
		l.print("36", "= "+where, e.Text+" (unchanged)")
	case KindFailed:
		l.print("31", "✗ "+where, fmt.Sprintf("failed (%.1f s)", e.Seconds))
	}
}

func indent(e Event, text string) string {
	if e.Stage == "" {
		return text
	}
	return "  " + text
}

func (l *lines) print(color, head, rest string) {
	if l.color && color != "" {
		head = "\x1b[" + color + "m" + head + "\x1b[0m"
	}
	if rest != "" {
		head += "  " + rest
	}
	fmt.Fprintln(l.w, head)
}

func (l *lines) bytes(e Event) {
	if !l.bars || e.Total <= 0 { // of an unknown total there is no part to show
		return
	}
	if l.bar == nil || l.bar.GetMax64() != e.Total {
		l.bar = progressbar.NewOptions64(e.Total,
			progressbar.OptionSetWriter(l.w), progressbar.OptionShowBytes(true),
			progressbar.OptionSetWidth(24), progressbar.OptionClearOnFinish(),
			progressbar.OptionSetPredictTime(true),
			progressbar.OptionSetDescription("  "+e.Stage))
	}
	_ = l.bar.Set64(e.Done)
}

// github is the sink of a GitHub Actions runner: "Workflow commands for GitHub
// Actions" in GitHub's documentation names the syntax.
type github struct {
	w       io.Writer
	summary string
	open    bool
	rows    []string
	links   []string
}

func (g *github) Event(e Event) {
	where := strings.TrimSpace(e.Stage + " " + e.Target)
	switch e.Kind {
	case KindBegin:
		g.end()
		fmt.Fprintf(g.w, "::group::%s %s\n", where, command(e.Text))
		g.open = true
	case KindLine, KindNote:
		fmt.Fprintln(g.w, e.Text)
	case KindWarn:
		fmt.Fprintf(g.w, "::warning::%s\n", command(strings.TrimSpace(where+" "+e.Text)))
	case KindError:
		fmt.Fprintf(g.w, "::error::%s\n", command(strings.TrimSpace(where+" "+e.Text)))
	case KindLink:
		g.links = append(g.links, fmt.Sprintf("- [%s](%s)", inLink(e.Text), e.URL))
	case KindDone, KindReused, KindFailed:
		g.end()
		said := ""
		if e.Text != "" {
			said = ": " + e.Text
		}
		fmt.Fprintf(g.w, "%s %s%s (%.1f s)\n", e.Kind, where, said, e.Seconds)
		cell := strings.NewReplacer("|", `\|`, "\n", " ").Replace
		g.rows = append(g.rows, fmt.Sprintf("| %s | %s | %s | %s | %.1f |", cell(e.Target), cell(e.Stage), e.Kind, cell(e.Text), e.Seconds))
	}
}

func (g *github) end() {
	if g.open {
		fmt.Fprintln(g.w, "::endgroup::")
		g.open = false
	}
}

// Close writes the step summary.
func (g *github) Close() error {
	g.end()
	if g.summary == "" || len(g.rows) == 0 {
		return nil
	}
	f, err := os.OpenFile(g.summary, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "| target | stage | | result | seconds |\n|---|---|---|---|---:|\n%s\n\n", strings.Join(g.rows, "\n"))
	if err == nil && len(g.links) > 0 {
		_, err = fmt.Fprintf(f, "%s\n\n", strings.Join(g.links, "\n"))
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// inLink escapes a link's text for Markdown.
func inLink(s string) string {
	return strings.NewReplacer(`\`, `\\`, "[", `\[`, "]", `\]`, "_", `\_`, "*", `\*`, "`", "\\`", "\n", " ").Replace(s)
}

// command escapes the data of a workflow command.
func command(s string) string {
	return strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A").Replace(s)
}

type jsonLines struct{ enc *json.Encoder }

func (j jsonLines) Event(e Event) { _ = j.enc.Encode(e) }

// quiet shows only what wants attention.
type quiet struct{ w io.Writer }

func (q quiet) Event(e Event) {
	switch e.Kind {
	case KindWarn:
		fmt.Fprintln(q.w, "warning:", e.Text)
	case KindError:
		fmt.Fprintln(q.w, "error:", e.Text)
	}
}

// Count spells a number of things for people; the noun is that of one.
func Count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// Bytes spells a number of bytes for people, in SI units.
func Bytes(n int64) string { return humanize.Bytes(uint64(max(n, 0))) }
