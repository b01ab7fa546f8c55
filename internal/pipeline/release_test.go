package pipeline

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/relmat/relmat/internal/fsx"
	"github.com/relmat/relmat/internal/matrix"
	"github.com/relmat/relmat/internal/progress"
	"github.com/relmat/relmat/internal/publish"
	"github.com/relmat/relmat/internal/toolkit"
)

// newRelease writes a Cargo project without dependencies and its matrix.
func newRelease(t *testing.T, smokeText string) string {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "Cargo.toml"), "[package]\nname = \"p\"\nversion = \"0.2.0\"\nedition = \"2021\"\n\n[profile.release]\nopt-level = 0\n")
	write(t, filepath.Join(dir, "Cargo.lock"), "version = 4\n\n[[package]]\nname = \"p\"\nversion = \"0.2.0\"\n")
	write(t, filepath.Join(dir, "src", "main.rs"), `fn main() {
    let path = std::env::args().nth(1).expect("usage: p FILE");
    print!("{}", std::fs::read_to_string(path).unwrap());
}
`)
	write(t, filepath.Join(dir, "LICENSE"), "Do with it what you like.\n")
	triple := matrix.Host().Arch + "-unknown-linux-gnu"
	write(t, filepath.Join(dir, "targets.yaml"), `
version: 1
project: {name: p, version-package: p}
toolkits: {cuda: {lock: cuda.lock.json, requirements: [r]}}
programs: {p: {package: p}}
targets:
  plain: {triple: `+triple+`}
  gpu: {triple: `+triple+`, toolkit: cuda, on-request: true}
packages: {p: {asset: "p-{{.Target}}", root: "{{.Asset}}-{{.Version}}", programs: [p], files: [{source: LICENSE, to: LICENSE}]}}
smoke:
`+smokeText)
	return dir
}

func openRelease(t *testing.T, dir string, sink progress.Sink) *Session {
	t.Helper()
	s, err := Open(Config{
		Matrix: filepath.Join(dir, "targets.yaml"), Cache: filepath.Join(dir, "cache"),
		Env: append(os.Environ(), "CARGO_NET_OFFLINE=true"), Reporter: progress.New(sink),
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// release runs a whole release in a session of its own.
func release(ctx context.Context, t *testing.T, dir string, sink progress.Sink) (*ReleaseResult, error) {
	t.Helper()
	s := openRelease(t, dir, sink)
	res, err := s.Release(ctx, ReleaseOptions{To: filepath.Join(dir, "out"), SkipCommitCheck: true})
	if cerr := s.Close(); cerr != nil {
		t.Fatal(cerr)
	}
	return res, err
}

// TestReleaseWithInput runs a step on a file that a server gives; the proof
// stands for as long as what was proven is the same.
func TestReleaseWithInput(t *testing.T) {
	var asked atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		_, _ = w.Write([]byte("once upon a time\n"))
	}))
	t.Cleanup(srv.Close)
	sum := sha256.Sum256([]byte("once upon a time\n"))
	dir := newRelease(t, `
  inputs: {story: {url: "`+srv.URL+`/story.txt", sha256: `+hex.EncodeToString(sum[:])+`}}
  steps: {read: {program: p, args: ["{{.Inputs.story}}"], expect: {stdout: '^(?P<text>.+)$', values: {text: once upon a time}}}}
`)
	rec := &recorder{}
	res, err := release(t.Context(), t, dir, rec)
	if err != nil {
		t.Fatal(err)
	}
	if res.Outcome != publish.Published || res.Partial || len(res.Targets) != 1 || res.Targets[0].Smoke[0].Steps[0].Values["text"] != "once upon a time" {
		t.Errorf("the result is %+v", res)
	}
	keys := res.Targets[0].Keys
	for _, stage := range []string{"bundle", "verify", "archive", "smoke"} {
		if len(keys["p/"+stage]) != 64 {
			t.Errorf("stage %s has the key %q", stage, keys["p/"+stage])
		}
	}
	out, err := exec.Command("zipinfo", "-1", filepath.Join(res.Dir, "p-plain.zip")).Output()
	if err != nil || !strings.HasPrefix(string(out), "p-plain-0.2.0/LICENSE\np-plain-0.2.0/bin/\n") {
		t.Errorf("the archive's root is not the one of the matrix: %v\n%s", err, out)
	}

	rec = &recorder{}
	again, err := release(t.Context(), t, dir, rec)
	if err != nil || again.Outcome != publish.Unchanged || asked.Load() != 1 || !rec.has(progress.KindReused, "1 steps passed") {
		t.Errorf("the second release: %+v, %v, the server was asked %d times", again, err, asked.Load())
	}

	// Another expectation is another test of the same archive.
	text, err := os.ReadFile(filepath.Join(dir, "targets.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "targets.yaml"), strings.Replace(string(text), "stdout: '^(", "stdout: '(", 1))
	rec = &recorder{}
	third, err := release(t.Context(), t, dir, rec)
	if err != nil || rec.has(progress.KindReused, "1 steps passed") || !rec.has(progress.KindDone, "1 steps passed") {
		t.Fatalf("the smoke test of a changed matrix was not run: %v", err)
	}
	if k := third.Targets[0].Keys; k["p/archive"] != keys["p/archive"] || k["p/smoke"] == keys["p/smoke"] {
		t.Errorf("the keys went from %q to %q, want only smoke's to change", keys, k)
	}

	// So is the promise of another CPU level: it is not proven yet.
	level := "cpu: {level: x86-64}"
	if matrix.Host().Arch == "aarch64" {
		level = "cpu: {level: armv8-a}"
	}
	if text, err = os.ReadFile(filepath.Join(dir, "targets.yaml")); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "targets.yaml"), strings.Replace(string(text), "-unknown-linux-gnu}", "-unknown-linux-gnu, "+level+"}", 1))
	fourth, err := release(t.Context(), t, dir, &recorder{})
	if err != nil {
		t.Fatal(err)
	}
	if k, before := fourth.Targets[0].Keys, third.Targets[0].Keys; k["p/archive"] != before["p/archive"] || k["p/smoke"] == before["p/smoke"] {
		t.Errorf("with a CPU level the keys went from %q to %q, want smoke's to change and the archive's not", before, k)
	}
	if third.Targets[0].Smoke[0].CPU != nil || fourth.Targets[0].Smoke[0].CPU == nil {
		t.Errorf("the level was judged before it was promised (%v), or not after", third.Targets[0].Smoke[0].CPU)
	}
}

// interrupter ends a context when a stage begins.
type interrupter struct {
	stage  string
	cancel context.CancelCauseFunc
	why    error
}

func (i interrupter) Event(e progress.Event) {
	if e.Kind == progress.KindBegin && e.Stage == i.stage {
		i.cancel(i.why)
	}
}

func TestReleaseInterrupted(t *testing.T) {
	dir := newRelease(t, `  steps: {none: {program: p, expect: {exit: 101}}}`)
	why := errors.New("the user said so")
	for _, stage := range []string{"preflight", "build", "bundle", "verify", "archive", "smoke", "publish"} {
		ctx, cancel := context.WithCancelCause(t.Context())
		_, err := release(ctx, t, dir, interrupter{stage, cancel, why})
		if !errors.Is(err, why) {
			t.Errorf("interrupted in %s: the error is %v, want the cause", stage, err)
		}
		var left []string
		werr := filepath.WalkDir(dir, func(p string, _ fs.DirEntry, err error) error {
			if fsx.IsPartial(p) {
				left = append(left, p)
			}
			return err
		})
		if werr != nil || left != nil {
			t.Errorf("interrupted in %s: it left %q, %v", stage, left, werr)
		}
		if _, err := os.Stat(filepath.Join(dir, "out", "v0.2.0")); err == nil {
			t.Errorf("interrupted in %s: something is published", stage)
		}
	}
	res, err := release(t.Context(), t, dir, nil)
	if err != nil || res.Outcome != publish.Published {
		t.Errorf("the release after it: %+v, %v", res, err)
	}
}

// TestReleaseMendsState spoils one result after the other between releases.
func TestReleaseMendsState(t *testing.T) {
	dir := newRelease(t, `  steps: {none: {program: p, expect: {exit: 101}}}`)
	if _, err := release(t.Context(), t, dir, nil); err != nil {
		t.Fatal(err)
	}
	for stage, file := range map[string]string{
		"bundle": "manifest.json", "verify": "findings.json", "archive": "p-plain.zip", "smoke": "smoke.json",
	} {
		found, err := filepath.Glob(filepath.Join(dir, ".relmat", "plain", stage, "p-*", file))
		if err != nil || len(found) != 1 {
			t.Fatalf("results of %s: %q, %v", stage, found, err)
		}
		if err := os.Remove(found[0]); err != nil {
			t.Fatal(err)
		}
		res, err := release(t.Context(), t, dir, nil)
		if err != nil || res.Outcome != publish.Unchanged {
			t.Errorf("without the result of %s: %+v, %v", stage, res, err)
		}
		if _, err := os.Stat(found[0]); err != nil {
			t.Errorf("the result of %s was not made again: %v", stage, err)
		}
	}
	write(t, filepath.Join(dir, ".relmat", "digests.json"), "not JSON")
	if res, err := release(t.Context(), t, dir, nil); err != nil || res.Outcome != publish.Unchanged {
		t.Errorf("with damaged digests: %+v, %v", res, err)
	}
}

// TestReleaseReadsPins: what the source says twice in two ways is found before
// anything is built.
func TestReleaseReadsPins(t *testing.T) {
	dir := newRelease(t, `  steps: {none: {program: p, expect: {exit: 101}}}`)
	text, err := os.ReadFile(filepath.Join(dir, "targets.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "targets.yaml"), string(text)+`
pins: {dep: {places: [{file: a.txt, pattern: 'dep (\d+)'}, {file: b.txt, pattern: '(?m)^(\d+)$'}]}}
`)
	write(t, filepath.Join(dir, "a.txt"), "\ndep 1\n")
	write(t, filepath.Join(dir, "b.txt"), "2\n")
	rec := &recorder{}
	_, err = release(t.Context(), t, dir, rec)
	if err == nil || !strings.Contains(err.Error(), "pin dep: its places disagree: a.txt:2 says 1, b.txt:1 says 2; make them equal") {
		t.Errorf("pins that disagree give %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, ".relmat", "plain", "cargo")); err == nil {
		t.Error("something was built")
	}
	s := openRelease(t, dir, nil)
	if _, err := s.Build(t.Context(), []matrix.Row{row(t, s, "plain")}); err == nil || !strings.Contains(err.Error(), "disagree") {
		t.Errorf("a build gives %v", err)
	}
	write(t, filepath.Join(dir, "b.txt"), "1\n")
	if pins, err := s.pins(); err != nil || pins["dep"] != "1" {
		t.Errorf("pins that were made equal are %q, %v", pins, err)
	}
	// One run goes by one reading.
	write(t, filepath.Join(dir, "b.txt"), "3\n")
	if pins, err := s.pins(); err != nil || pins["dep"] != "1" {
		t.Errorf("a second reading gives %q, %v", pins, err)
	}
	if res, err := release(t.Context(), t, dir, nil); err == nil {
		t.Errorf("a release after that: %+v", res)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestDryRunOfTargetWithToolkit(t *testing.T) {
	dir := newRelease(t, `  steps: {none: {program: p, expect: {exit: 101}}}`)
	s := openRelease(t, dir, nil)
	steps, err := s.DryRun(t.Context(), ReleaseOptions{Targets: []string{"gpu"}, To: filepath.Join(dir, "out"), SkipCommitCheck: true})
	if err != nil {
		t.Fatal(err)
	}
	var stages []string
	for _, step := range steps {
		stages = append(stages, step.Stage)
		switch step.Stage {
		case "build":
			if !strings.Contains(step.Command, "-rpath,$ORIGIN/../lib") {
				t.Errorf("the build's command has no run path: %s", step.Command)
			}
		case "publish":
			// The target that is not on request is missing.
			if !strings.HasSuffix(step.Does, "; marked partial") {
				t.Errorf("publish: %s", step.Does)
			}
		}
	}
	if got := strings.Join(stages, " "); got != "toolkit build bundle verify archive smoke publish" {
		t.Errorf("the stages are %s", got)
	}
	if _, err := os.Stat(s.State); err == nil {
		t.Error("the dry run made the state")
	}
	// The real run needs the lock file, and says so before it builds.
	if _, err := s.Build(t.Context(), []matrix.Row{row(t, s, "gpu")}); err == nil || !strings.Contains(err.Error(), "relmat toolkit lock") {
		t.Errorf("a build without lock file gives %v", err)
	}
	lock := toolkit.Lock{Schema: toolkit.LockSchema, Requirements: []string{"r"}, Platforms: map[string][]toolkit.Wheel{}}
	if err := lock.Write(filepath.Join(dir, "cuda.lock.json")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Build(t.Context(), []matrix.Row{row(t, s, "gpu")}); err == nil || !strings.Contains(err.Error(), "has no wheels for "+matrix.Host().String()) {
		t.Errorf("a build with an empty lock file gives %v", err)
	}
}
