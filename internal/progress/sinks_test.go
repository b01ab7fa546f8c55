package progress_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/relmat/relmat/internal/progress"
)

var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; go test -update writes it", err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs.\ngot:\n%q\nwant:\n%q", name, got, want)
	}
}

func env(kv ...string) func(string) string {
	return func(key string) string {
		for i := 0; i < len(kv); i += 2 {
			if kv[i] == key {
				return kv[i+1]
			}
		}
		return ""
	}
}

// run is one of everything, with the times that a clock would give.
func run() []progress.Event {
	in := func(stage string, k progress.Kind, text string, seconds float64) progress.Event {
		return progress.Event{Kind: k, Target: "linux-x64", Stage: stage, Text: text, Seconds: seconds}
	}
	return []progress.Event{
		{Kind: progress.KindNote, Text: "left out: win-x64, needs Windows"},
		{Kind: progress.KindWarn, Text: "no tag"},
		{Kind: progress.KindBegin, Stage: "preflight", Text: "release v1"},
		{Kind: progress.KindDone, Stage: "preflight", Text: "commit abc", Seconds: 0.04},
		in("build", progress.KindBegin, "cargo build, 100%", 0),
		in("build", progress.KindLine, "   Compiling tinylm v0.1.0", 0),
		in("build", progress.KindNote, "a remark", 0),
		in("build", progress.KindWarn, "50% slower\r\nthan before", 0),
		in("build", progress.KindError, "lib/x: 100%\nwrong", 0),
		in("build", progress.KindDone, "1 program", 61.26),
		in("bundle", progress.KindBegin, "tinylm", 0),
		in("bundle", progress.KindReused, "12 files", 0.1),
		in("archive", progress.KindBegin, "tinylm.zip", 0),
		in("archive", progress.KindBytes, "", 0),
		in("archive", progress.KindDone, "a | b\nc", 2),
		in("smoke", progress.KindBegin, "two\nlines", 0),
		in("smoke", progress.KindFailed, "", 3.5),
		{Kind: progress.KindLink, Text: "tiny_lm_[1].zip", URL: "https://example.com/releases/download/v1/tiny_lm_%5B1%5D.zip"},
	}
}

func show(t *testing.T, mode progress.Mode, getenv func(string) string, events []progress.Event) []byte {
	t.Helper()
	var b bytes.Buffer
	sink, err := progress.NewSink(mode, &b, getenv)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		sink.Event(e)
	}
	if err := progress.New(sink).Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestSinks(t *testing.T) {
	tests := []struct {
		golden string
		mode   progress.Mode
		env    []string
	}{
		{"plain.txt", progress.Plain, nil},
		{"github.txt", progress.GitHub, nil},
		{"json.txt", progress.JSON, nil},
		{"quiet.txt", progress.Quiet, nil},
		{"terminal.txt", progress.Terminal, nil},
		{"terminal.txt", progress.Terminal, []string{"NO_COLOR", ""}}, // no-color.org: only if not empty
		{"no-color.txt", progress.Terminal, []string{"NO_COLOR", "1"}},
	}
	for _, tt := range tests {
		t.Run(tt.golden, func(t *testing.T) {
			golden(t, tt.golden, show(t, tt.mode, env(tt.env...), run()))
		})
	}
}

// Colors are all that NO_COLOR takes away.
func TestNoColor(t *testing.T) {
	colored := show(t, progress.Terminal, env(), run())
	bare := show(t, progress.Terminal, env("NO_COLOR", "1"), run())
	if bytes.Contains(bare, []byte("\x1b")) {
		t.Errorf("NO_COLOR: %q", bare)
	}
	if !bytes.Contains(colored, []byte("\x1b[31m")) {
		t.Errorf("the failure is not red: %q", colored)
	}
	for _, c := range []string{"0", "1", "2", "31", "32", "33", "36"} {
		colored = bytes.ReplaceAll(colored, []byte("\x1b["+c+"m"), nil)
	}
	if !bytes.Equal(colored, bare) {
		t.Errorf("without its colors:\n%q\nwith NO_COLOR:\n%q", colored, bare)
	}
}

// Other programs read the events back as they were.
func TestJSONIsOneEventALine(t *testing.T) {
	dec := json.NewDecoder(bytes.NewReader(show(t, progress.JSON, env(), run())))
	for i, want := range run() {
		var got progress.Event
		if err := dec.Decode(&got); err != nil || got != want {
			t.Errorf("event %d: %+v, %v; want %+v", i, got, err, want)
		}
	}
	if dec.More() {
		t.Error("more than the events")
	}
}

func TestGitHubSummary(t *testing.T) {
	path := filepath.Join(t.TempDir(), "summary.md")
	// The runner's file may hold what an earlier step of the job wrote.
	if err := os.WriteFile(path, []byte("before\n\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	out := show(t, progress.GitHub, env("GITHUB_STEP_SUMMARY", path), run())
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "summary.md", data)
	golden(t, "github.txt", out)
	if open, closed := bytes.Count(out, []byte("::group::")), bytes.Count(out, []byte("::endgroup::")); open != closed || open == 0 {
		t.Errorf("%d groups are opened, %d closed", open, closed)
	}
}

func TestGitHubSummaryOfNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "summary.md")
	show(t, progress.GitHub, env("GITHUB_STEP_SUMMARY", path), run()[:2])
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a summary without a stage: %v", err)
	}
}

func TestGitHubSummaryRefused(t *testing.T) {
	sink, err := progress.NewSink(progress.GitHub, &bytes.Buffer{}, env("GITHUB_STEP_SUMMARY", t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	r := progress.New(sink)
	r.Begin("", "build", "x").Done("y")
	if err := r.Close(); err == nil {
		t.Error("a directory in the place of the summary gives no error")
	}
}

// A stage that was cut short leaves its group open; Close ends it.
func TestGitHubClosesTheGroup(t *testing.T) {
	out := show(t, progress.GitHub, env(), run()[4:6])
	if !strings.HasSuffix(string(out), "\n::endgroup::\n") {
		t.Errorf("%q", out)
	}
}

func TestAuto(t *testing.T) {
	begin := []progress.Event{{Kind: progress.KindBegin, Stage: "build", Text: "x"}}
	tests := []struct {
		name string
		env  []string
		like progress.Mode
	}{
		{"a log", nil, progress.Plain},
		{"GitHub Actions", []string{"GITHUB_ACTIONS", "true"}, progress.GitHub},
		{"GITHUB_ACTIONS is something else", []string{"GITHUB_ACTIONS", "1"}, progress.Plain},
		{"a dumb terminal", []string{"TERM", "dumb"}, progress.Plain},
	}
	for _, tt := range tests {
		got, want := show(t, progress.Auto, env(tt.env...), begin), show(t, tt.like, env(), begin)
		if !bytes.Equal(got, want) {
			t.Errorf("%s: %q, want %q", tt.name, got, want)
		}
	}
	// A file is no terminal either.
	f, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	sink, err := progress.NewSink(progress.Auto, f, env("TERM", "xterm"))
	if err != nil {
		t.Fatal(err)
	}
	sink.Event(begin[0])
	if got, _ := os.ReadFile(f.Name()); string(got) != "▸ build  x\n" {
		t.Errorf("into a file: %q", got)
	}
}

func TestModes(t *testing.T) {
	for _, m := range progress.Modes() {
		if _, err := progress.NewSink(progress.Mode(m), &bytes.Buffer{}, env()); err != nil {
			t.Errorf("mode %s: %v", m, err)
		}
	}
	if !slices.Contains(progress.Modes(), string(progress.Quiet)) {
		t.Error("quiet is not listed")
	}
	for _, m := range []progress.Mode{"", "Plain", "bars"} {
		_, err := progress.NewSink(m, &bytes.Buffer{}, env())
		if err == nil || !strings.Contains(err.Error(), `"`+string(m)+`"`) || !strings.Contains(err.Error(), "auto, terminal, plain, github, json, quiet") {
			t.Errorf("mode %q: error %v must name it and the allowed ones", m, err)
		}
	}
}

func TestBars(t *testing.T) {
	bytesOf := func(done, total int64) progress.Event {
		return progress.Event{Kind: progress.KindBytes, Stage: "archive", Done: done, Total: total}
	}
	end := progress.Event{Kind: progress.KindDone, Stage: "archive", Text: "x"}
	events := []progress.Event{bytesOf(1_000_000, 4_000_000), bytesOf(3_000_000, 4_000_000), end}
	out := string(show(t, progress.Terminal, env("NO_COLOR", "1"), events))
	for _, part := range []string{"archive  25%", "B/s"} {
		if !strings.Contains(out, part) {
			t.Errorf("no %q in %q", part, out)
		}
	}
	// The bar is wiped before a line takes its place.
	rest := out[strings.LastIndex(out, "\r")+1:]
	if rest != "✓ archive  x (0.0 s)\n" {
		t.Errorf("the last line is %q", rest)
	}
	for _, mode := range []progress.Mode{progress.Plain, progress.GitHub, progress.Quiet} {
		if out := show(t, mode, env(), events[:2]); len(out) != 0 {
			t.Errorf("%s shows a bar: %q", mode, out)
		}
	}
	// A server that does not say how much it will send.
	for _, total := range []int64{-1, 0} {
		out := string(show(t, progress.Terminal, env("NO_COLOR", "1"), []progress.Event{bytesOf(5, total), bytesOf(9, total), end}))
		if out != "✓ archive  x (0.0 s)\n" {
			t.Errorf("total %d: %q, want no bar", total, out)
		}
	}
}

func TestBytes(t *testing.T) {
	for n, want := range map[int64]string{-1: "0 B", 0: "0 B", 999: "999 B", 1000: "1.0 kB", 1_500_000: "1.5 MB", 2_000_000_000: "2.0 GB"} {
		if got := progress.Bytes(n); got != want {
			t.Errorf("Bytes(%d) = %q, want %q", n, got, want)
		}
	}
}
