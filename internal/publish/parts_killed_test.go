package publish_test

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/relmat/relmat/internal/githubtest"
	"github.com/relmat/relmat/internal/manifest"
	"github.com/relmat/relmat/internal/publish"
)

// killVar makes TestPartsChild play a relmat: its value is the file with what
// it is to do.
const killVar = "PUBLISH_TEST_PARTS"

type partsJob struct {
	API   string
	Parts []manifest.PartFile
	Paths map[string]string
	Then  []string // the targets to promote
}

// TestPartsChild does its job in a process of its own, when there is one.
func TestPartsChild(t *testing.T) {
	path := os.Getenv(killVar)
	if path == "" {
		return
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var job partsJob
	if err := json.Unmarshal(data, &job); err != nil {
		t.Fatal(err)
	}
	g := gh(t, &githubtest.Server{URL: job.API}, "o/r")
	for _, p := range job.Parts {
		for i := range p.Assets {
			p.Assets[i].Path = job.Paths[p.Assets[i].Name]
		}
		if _, err := g.PublishPart(context.Background(), p, quietTask()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := g.Promote(context.Background(), promotion(job.Then...), quietTask()); err != nil {
		t.Fatal(err)
	}
}

// TestIncident44KilledAtAnyRequest kills the process of a flow of two parts
// and a promotion at its n-th request, for each n there is (of a new release,
// where there is less to lose, for each fifth), before or after the request is
// done; then one clean run ends right, and no name has lost its good bytes
// meanwhile.
func TestIncident44KilledAtAnyRequest(t *testing.T) {
	t.Parallel()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	old := func(parts ...manifest.PartFile) func(t *testing.T, repo *githubtest.Repo, g *publish.GitHub) {
		return func(t *testing.T, repo *githubtest.Repo, g *publish.GitHub) {
			t.Helper()
			rel := repo.AddRelease(githubtest.NewRelease{Tag: "v1"})
			rel.AddAsset("one.zip", []byte("old 1"))
			rel.AddAsset("SHA256SUMS", []byte("old sums"))
			rel.AddAsset("foreign.txt", []byte("f"))
			old := manifest.Release{Project: "p", Tag: "v1", Version: "1", Targets: []manifest.Part{
				{Target: "one", Assets: []manifest.Asset{{Name: "one.zip", Size: 5, SHA256: sum("old 1")}, {Name: "one-old.zip", Size: 3, SHA256: sum("old")}}},
			}}
			rel.AddAsset("one-old.zip", []byte("old"))
			data, err := old.Encode()
			if err != nil {
				t.Error(err)
			}
			rel.AddAsset("release.json", data)
			for _, p := range parts {
				if _, err := g.PublishPart(t.Context(), p, quietTask()); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	src := t.TempDir()
	one := makePart(t, src, "one", map[string]string{"one.zip": "new 1"})
	two := makePart(t, src, "two", map[string]string{"two.zip": strings.Repeat("2", 200_000)})
	both := []manifest.PartFile{one, two}
	for name, c := range map[string]killScene{
		// An odd step, so that both kinds of kills come.
		"nothing is there":              {parts: both, step: 5, least: 20, setUp: func(*testing.T, *githubtest.Repo, *publish.GitHub) {}},
		"a full release with old bytes": {parts: both, step: 1, least: 20, setUp: old(), extra: []string{"foreign.txt"}},
		// What the promotion joins again stands in release.json alone.
		"a part that is renewed": {step: 1, least: 10, extra: []string{"foreign.txt"}, setUp: func(t *testing.T, repo *githubtest.Repo, g *publish.GitHub) {
			t.Helper()
			dir := t.TempDir()
			before := makePart(t, dir, "one", map[string]string{"one.zip": "an earlier 1"})
			old(before, two)(t, repo, g)
			if _, err := g.Promote(t.Context(), promotion("one", "two"), quietTask()); err != nil {
				t.Fatal(err)
			}
			if _, err := g.PublishPart(t.Context(), one, quietTask()); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for n := 1; ; n += c.step {
				if !c.kill(t, exe, both, n) {
					if n < c.least {
						t.Errorf("the flow had only %d requests", n)
					}
					break
				}
			}
		})
	}
}

// killScene is a flow that is killed at its n-th request, for n = 1, 1+step, ...
// until it has no more.
type killScene struct {
	setUp func(*testing.T, *githubtest.Repo, *publish.GitHub)
	// parts are uploaded before the promotion.
	parts       []manifest.PartFile
	step, least int
	// extra are assets that are nobody's.
	extra []string
}

// kill kills the flow at its n-th request. It returns false where the flow has
// fewer. The release is to have all of these parts in the end.
func (c killScene) kill(t *testing.T, exe string, all []manifest.PartFile, n int) bool {
	t.Helper()
	s := githubtest.New(t)
	defer s.Close()
	repo := s.Repo("o/r")
	repo.AddTag("v1", "")
	c.setUp(t, repo, gh(t, s, "o/r"))
	names := []string{"one.zip", "two.zip", "SHA256SUMS", "release.json"}
	s.Guard(githubtest.Guard{
		Repo: "o/r", Tag: "v1", Names: names, Good: func(_, sum string) bool { return sum != "" },
		Temporary: func(name, temp string) bool { of, _, ok := publish.IsTemporary(temp); return ok && of == name },
	})
	job := partsJob{API: s.URL, Parts: c.parts, Paths: map[string]string{}, Then: []string{"one", "two"}}
	for _, f := range filesOf(c.parts...) {
		job.Paths[f.Name] = f.Path
	}
	data, err := json.Marshal(job)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "job.json")
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	child := func() *exec.Cmd {
		cmd := exec.Command(exe, "-test.run=^TestPartsChild$")
		cmd.Env = append(os.Environ(), killVar+"="+path, "GORACE=atexit_sleep_ms=0")
		return cmd
	}
	victim := child()
	var killed atomic.Bool
	begun, ended := make(chan struct{}), make(chan struct{})
	kill := func() {
		<-begun
		killed.Store(true)
		_ = victim.Process.Kill()
		<-ended
	}
	fault := githubtest.Call(0, kill)
	if n%2 == 0 {
		fault = githubtest.CallAfter(kill)
	}
	s.Fail(githubtest.Match{Skip: n - 1}, fault)
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	close(begun)
	_ = victim.Wait()
	close(ended)
	if !s.Drain(30 * time.Second) {
		t.Errorf("killed at request %d: its connections stay", n)
	}
	s.Calm()
	if out, err := child().CombinedOutput(); err != nil {
		t.Fatalf("killed at request %d: the clean run: %v\n%s", n, err, out)
	}
	wantAssets(t, only(t, repo), filesOf(all...), append(slices.Clone(c.extra), "release.json", "SHA256SUMS")...)
	if rel := only(t, repo); rel.Draft || rel.Prerelease {
		t.Errorf("killed at request %d: the release is %+v", n, rel)
	}
	if t.Failed() {
		t.Fatalf("killed at request %d", n)
	}
	return killed.Load()
}
