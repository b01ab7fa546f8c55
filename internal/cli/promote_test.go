package cli_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/relmat/relmat/internal/githubtest"
)

// partsProject is the tiny project at its tag, with two targets for two parts.
type partsProject struct {
	t      *testing.T
	dir    string
	env    []string
	commit string
}

func newPartsProject(t *testing.T) *partsProject {
	t.Helper()
	root := t.TempDir()
	p := &partsProject{t: t, dir: filepath.Join(root, "project")}
	var err error
	if p.env, err = scriptEnv(filepath.Join(root, "home")); err != nil {
		t.Fatal(err)
	}
	if err := copyProject(p.dir); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(p.dir, "targets.yaml")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(data), "on-request: true", "on-request: false", 1)
	text = strings.Replace(text, "device: cuda\n", "device: cuda\n      promote: note\n", 1)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"init", "-q"}, {"add", "."}, {"commit", "-q", "-m", "one"}, {"tag", "v0.1.0"}} {
		p.run(exec.Command("git", args...))
	}
	p.commit = strings.TrimSpace(p.run(exec.Command("git", "rev-parse", "HEAD")))
	return p
}

// run runs a command that must succeed, and returns what it printed.
func (p *partsProject) run(cmd *exec.Cmd) string {
	p.t.Helper()
	cmd.Dir = p.dir
	if cmd.Env == nil {
		cmd.Env = p.env
	}
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		p.t.Fatalf("%s: %v\n%s%s", cmd, err, out, errs.String())
	}
	return string(out)
}

// server is a GitHub that has the project's commit and tag.
func (p *partsProject) server() (*githubtest.Server, *githubtest.Repo) {
	p.t.Helper()
	s := githubtest.New(p.t)
	repo := s.Repo("o/tiny")
	repo.AddCommit(p.commit, time.Now())
	repo.AddTag("v0.1.0", p.commit)
	return s, repo
}

func (p *partsProject) relmat(s *githubtest.Server, args ...string) *exec.Cmd {
	cmd := exec.Command("relmat", args...)
	cmd.Dir = p.dir
	cmd.Env = append(append([]string{}, p.env...), "GITHUB_API_URL="+s.URL, "GITHUB_TOKEN="+githubtest.Token, "GITHUB_REPOSITORY=o/tiny")
	return cmd
}

// killAt runs a command and kills it at its n-th request, before or after that
// is done. It returns false where there are fewer.
func killAt(t *testing.T, s *githubtest.Server, cmd *exec.Cmd, n int) bool {
	t.Helper()
	var killed atomic.Bool
	begun, ended := make(chan struct{}), make(chan struct{})
	kill := func() {
		<-begun
		killed.Store(true)
		_ = cmd.Process.Kill()
		<-ended
	}
	fault := githubtest.CallAfter(kill)
	if n%2 == 0 {
		fault = githubtest.Call(0, kill)
	}
	s.Fail(githubtest.Match{Skip: n - 1}, fault)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	close(begun)
	_ = cmd.Wait()
	close(ended)
	if !s.Drain(30 * time.Second) {
		t.Errorf("killed at request %d: its connections stay", n)
	}
	s.Calm()
	return killed.Load()
}

// TestIncident44 kills relmat in the middle of a part and of a promotion, as if
// the runner had lost its power: at every request of the promotion, and at each
// third of the part, all of which the tests of internal/publish go through. The
// same commands, run again, end with the whole release.
func TestIncident44(t *testing.T) {
	t.Parallel()
	p := newPartsProject(t)
	part := []string{"release", "--repo", "o/tiny", "--target", "linux", "--part"}
	promote := []string{"promote", "--tag", "v0.1.0"}

	s, repo := p.server()
	p.run(p.relmat(s, "release", "--repo", "o/tiny", "--target", "special", "--part"))
	before := snapshot(t, repo)
	p.run(p.relmat(s, part...))
	both := snapshot(t, repo)

	for _, c := range []struct {
		name string
		from map[string][]byte
		args []string
		step int
	}{{"part", before, part, 3}, {"promotion", both, promote, 1}} {
		requests := 0
		for n := 1; ; n += c.step {
			s, repo := p.server()
			rel := repo.AddRelease(githubtest.NewRelease{Tag: "v0.1.0", Draft: true})
			for name, data := range c.from {
				rel.AddAsset(name, data)
			}
			killed := killAt(t, s, p.relmat(s, c.args...), n)
			if c.name == "part" {
				p.run(p.relmat(s, part...))
			}
			p.run(p.relmat(s, promote...))
			p.checkRelease(repo, n)
			s.Close()
			if !killed {
				requests = n - 1
				break
			}
		}
		if requests < 10 {
			t.Errorf("a %s takes %d requests only", c.name, requests)
		}
	}
}

func snapshot(t *testing.T, repo *githubtest.Repo) map[string][]byte {
	t.Helper()
	list := repo.ByTag("v0.1.0")
	if len(list) != 1 {
		t.Fatalf("there are %d releases", len(list))
	}
	files := map[string][]byte{}
	for _, a := range list[0].Assets {
		data, err := repo.Content(a.ID)
		if err != nil {
			t.Fatal(err)
		}
		files[a.Name] = data
	}
	return files
}

// checkRelease has sha256sum judge the full release.
func (p *partsProject) checkRelease(repo *githubtest.Repo, n int) {
	p.t.Helper()
	files := snapshot(p.t, repo)
	dir := p.t.TempDir()
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			p.t.Fatal(err)
		}
	}
	cmd := exec.Command("sha256sum", "--check", "--strict", "SHA256SUMS")
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	rel := repo.ByTag("v0.1.0")[0]
	if err != nil || strings.Count(string(out), ": OK") != 2 || len(files) != 4 || rel.Draft || rel.Prerelease {
		p.t.Fatalf("killed at request %d: %v\n%s%+v", n, err, out, rel)
	}
}
