package publish_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/relmat/relmat/internal/fsx"
	"github.com/relmat/relmat/internal/githubtest"
	"github.com/relmat/relmat/internal/publish"
)

// schedulesVar is how many schedules the property test runs; seedVar is the
// only one that it runs.
const (
	schedulesVar = "RELMAT_SCHEDULES"
	seedVar      = "RELMAT_SEED"
)

// schedules is what fits into the time of a unit test.
const schedules = 200

// endless is after how long a run counts as one that does not end. It is long,
// since the machine may have other things to do.
const endless = 5 * time.Minute

// patient is for how long a request is tried again, by the fast clock: more
// than endless. No schedule fails for longer.
const patient = 2 * fast * endless

// TestGitHubConvergesFromAnywhere makes releases of all sorts, publishes to
// them random files while the server fails at random and relmat is killed at
// random, and wants of the last run, which nobody disturbs, that it ends right.
// At every change in between it wants that each name which had good bytes has
// good bytes, and that nothing foreign was touched.
func TestGitHubConvergesFromAnywhere(t *testing.T) {
	t.Parallel()
	first, last := uint64(0), uint64(schedules)
	if text := os.Getenv(schedulesVar); text != "" {
		n, err := strconv.ParseUint(text, 10, 32)
		if err != nil {
			t.Fatalf("%s: %v", schedulesVar, err)
		}
		last = n
	}
	if text := os.Getenv(seedVar); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("%s: %v", seedVar, err)
		}
		first, last = n, n+1
	}
	var next, done atomic.Uint64
	next.Store(first)
	var wg sync.WaitGroup
	for range 8 { // they wait more than they work
		wg.Go(func() {
			p := newPlayer(t)
			for seed := next.Add(1) - 1; seed < last; seed = next.Add(1) - 1 {
				p.play(seed)
				if n := done.Add(1); n%500 == 0 {
					t.Logf("%d schedules", n)
				}
			}
		})
	}
	wg.Wait()
}

// names are those that releases of the property test hold, and versions the
// contents that each may have.
var names = []string{"a.zip", "b.tar.gz", "c.json", "d.whl"}

const versions = 3

func contentOf(name string, version int) string {
	return strings.Repeat(fmt.Sprintf("%s %d ", name, version), 1+200*(len(name)%3)*version)
}

// player has a server to itself, on which each schedule has a repository.
type player struct {
	t     *testing.T
	s     *githubtest.Server
	files map[string][]publish.File // by name, one a version
	good  map[string]map[string]bool
	// digests knows all files, and half of the runs know it.
	digests *fsx.Digests

	kill atomic.Pointer[killer]

	mu      sync.Mutex
	seed    uint64
	repo    string
	had     map[string]bool
	was     []githubtest.ReleaseState
	foreign map[string]string // name and digest, by "release/asset"
	wrong   []string
}

// killer ends a run at the n-th request from now.
type killer struct {
	left atomic.Int64
	do   func()
}

func newPlayer(t *testing.T) *player {
	t.Helper()
	s, err := githubtest.Start(githubtest.WithRateLimit(0))
	if err != nil {
		t.Error(err)
		return nil
	}
	t.Cleanup(s.Close)
	p := &player{t: t, s: s, files: map[string][]publish.File{}, good: map[string]map[string]bool{}, digests: fsx.OpenDigests("")}
	dir := t.TempDir()
	for _, name := range names {
		p.good[name] = map[string]bool{}
		for v := range versions {
			sub := filepath.Join(dir, fmt.Sprint(v))
			if err := os.MkdirAll(sub, 0o755); err != nil {
				t.Error(err)
			}
			f := put(t, sub, name, contentOf(name, v))
			old := time.Now().Add(-time.Hour) // a fresh file's digest is not remembered
			if err := os.Chtimes(f.Path, old, old); err != nil {
				t.Error(err)
			}
			if _, _, err := p.digests.File(f.Path); err != nil {
				t.Error(err)
			}
			p.files[name] = append(p.files[name], f)
			p.good[name][f.SHA256] = true
		}
	}
	s.OnChange(p.changed)
	s.OnRequest(func(int, *http.Request) {
		if k := p.kill.Load(); k != nil && k.left.Add(-1) == 0 {
			k.do()
		}
	})
	return p
}

// ours tells whether a name is one that runs publish, or a replacement's.
func (p *player) ours(name string) bool {
	_, _, temporary := publish.IsTemporary(name)
	return temporary || name == "SHA256SUMS" || p.good[name] != nil
}

// changed is called by the server after each change.
func (p *player) changed(c githubtest.Change) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.Repo != p.repo {
		return
	}
	have := map[string]bool{}
	foreign := map[string]string{}
	for _, rel := range c.Releases {
		for _, a := range rel.Assets {
			of, digest, temporary := publish.IsTemporary(a.Name)
			if rel.Tag != "v1" || !p.ours(a.Name) {
				foreign[fmt.Sprintf("%d/%d", rel.ID, a.ID)] = a.Name + " " + a.State + " " + a.SHA256
				continue
			}
			switch {
			case a.State != githubtest.StateUploaded:
			case temporary && strings.HasPrefix(a.SHA256, digest):
				have[of] = true
			case !temporary && (a.Name == "SHA256SUMS" || p.good[a.Name][a.SHA256]):
				have[a.Name] = true
			}
		}
	}
	for name := range p.had {
		if !have[name] {
			p.wrong = append(p.wrong, fmt.Sprintf("change %d (%s): %s has no good bytes any more, of %+v", c.N, c.Op, name, p.was))
		}
	}
	p.had, p.was = have, c.Releases
	for id, was := range p.foreign {
		if foreign[id] != was {
			p.wrong = append(p.wrong, fmt.Sprintf("change %d (%s): the foreign %s is now %q", c.N, c.Op, was, foreign[id]))
		}
	}
}

// play runs one schedule.
func (p *player) play(seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 7))
	repo := p.s.Repo(fmt.Sprintf("o/r%d", seed))
	repo.AddTag("v1", "")
	p.mu.Lock()
	p.seed, p.repo, p.had, p.foreign, p.wrong = seed, fmt.Sprintf("o/r%d", seed), map[string]bool{}, map[string]string{}, nil
	p.mu.Unlock()
	p.before(rnd, repo)
	p.mu.Lock()
	p.foreign = map[string]string{}
	for _, rel := range repo.State() {
		for _, a := range rel.Assets {
			if rel.Tag != "v1" || !p.ours(a.Name) {
				p.foreign[fmt.Sprintf("%d/%d", rel.ID, a.ID)] = a.Name + " " + a.State + " " + a.SHA256
			}
		}
	}
	p.mu.Unlock()
	published := len(repo.ByTag("v1")) > 0 && !repo.ByTag("v1")[0].Draft

	var log []string
	for range 1 + rnd.IntN(3) {
		w := p.wanted(rnd)
		p.s.Chaos(githubtest.Schedule{Seed: rnd.Uint64(), Rate: rnd.Float64() * 0.4, Most: rnd.IntN(15), Hang: 5 * time.Millisecond, No401: rnd.IntN(2) == 0})
		how, err := p.disturbed(rnd, w)
		p.quiet()
		log = append(log, fmt.Sprintf("%s: %v", how, err))
		published = published || slices.ContainsFunc(repo.ByTag("v1"), func(r githubtest.ReleaseState) bool { return !r.Draft })
	}
	p.s.Calm()
	w := p.wanted(rnd)
	ctx, cancel := context.WithTimeout(p.t.Context(), endless)
	defer cancel()
	res, err := p.gh().Publish(ctx, w, quietTask())
	p.judge(repo, w, res, err, published)
	if err == nil {
		if again, err := p.gh().Publish(ctx, w, quietTask()); err != nil || again.Outcome != publish.Unchanged {
			p.bad("once more: %+v, %v", again, err)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wrong = append(p.wrong, p.s.Problems()...)
	if len(p.wrong) > 0 {
		p.t.Errorf("%s=%d:\n%s\nruns:\n%s", seedVar, seed, strings.Join(p.wrong, "\n"), strings.Join(log, "\n"))
	}
}

func (p *player) bad(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wrong = append(p.wrong, fmt.Sprintf(format, args...))
}

func (p *player) gh() *publish.GitHub {
	g := gh(p.t, p.s, p.repo)
	g.Stall, g.RetryFor = endless, patient
	if p.seed%2 == 0 {
		g.Digests = p.digests
	}
	return g
}

// quiet waits until the server has done what a run left behind. A dead run's
// request may arrive late; one that removes a replacement which the next run
// comes to rely on is more than any client can mend by order alone.
func (p *player) quiet() {
	if !p.s.Drain(endless) {
		p.bad("a run that ended keeps its connections")
	}
}

// before makes what earlier tools and runs may have left.
func (p *player) before(rnd *rand.Rand, repo *githubtest.Repo) {
	other := repo.AddRelease(githubtest.NewRelease{Tag: "v0"})
	other.AddAsset("a.zip", []byte("of another release"))
	if rnd.IntN(4) == 0 {
		return
	}
	rel := repo.AddRelease(githubtest.NewRelease{Tag: "v1", Draft: rnd.IntN(2) == 0, Prerelease: rnd.IntN(2) == 0})
	rel.AddAsset("foreign.txt", []byte("foreign"))
	if rnd.IntN(3) == 0 {
		rel.AddStarter("foreign.bin")
	}
	for _, name := range names {
		v := rnd.IntN(versions)
		switch rnd.IntN(6) {
		case 0:
			rel.AddStarter(name)
		case 1, 2:
			rel.AddAsset(name, []byte(contentOf(name, v)))
		case 3:
			rel.AddOldAsset(name, []byte(contentOf(name, v)))
		}
		for v := range versions {
			f := p.files[name][v]
			switch temp := publish.Temporary(name, f.SHA256); rnd.IntN(16) {
			case 0:
				rel.AddAsset(temp, []byte(contentOf(name, v)))
			case 1:
				rel.AddStarter(temp)
			case 2:
				rel.AddAsset(temp, []byte("other bytes"))
			}
		}
	}
	if rnd.IntN(8) == 0 {
		repo.AddRelease(githubtest.NewRelease{Tag: "v1", Draft: true})
	}
}

// wanted is a random release.
func (p *player) wanted(rnd *rand.Rand) publish.Wanted {
	w := publish.Wanted{Tag: "v1", Checksums: rnd.IntN(3) == 0, Visibility: []publish.Visibility{publish.Draft, publish.Prerelease, publish.Full}[rnd.IntN(3)]}
	for _, name := range names {
		if rnd.IntN(4) > 0 {
			w.Files = append(w.Files, p.files[name][rnd.IntN(versions)])
		}
	}
	if len(w.Files) == 0 {
		w.Files = append(w.Files, p.files["a.zip"][0])
	}
	return w
}

// disturbed publishes while the server fails, and is perhaps killed.
func (p *player) disturbed(rnd *rand.Rand, w publish.Wanted) (string, error) {
	ctx, cancel := context.WithTimeout(p.t.Context(), endless)
	defer cancel()
	at := int64(1 + rnd.IntN(30))
	defer p.kill.Store(nil)
	switch rnd.IntN(24) {
	case 0:
		return fmt.Sprintf("SIGKILL at request %d", at), p.child(ctx, at, w)
	case 1, 2, 3, 4, 5, 6, 7, 8:
		k := &killer{do: cancel}
		k.left.Store(at)
		p.kill.Store(k)
		_, err := p.gh().Publish(ctx, w, quietTask())
		return fmt.Sprintf("cancelled at request %d", at), err
	}
	_, err := p.gh().Publish(ctx, w, quietTask())
	if ctx.Err() != nil {
		p.bad("it did not end: %v", err)
	}
	return "to its end", err
}

// githubChildVar makes the test binary publish to GitHub: its value is a
// childJob as JSON.
const githubChildVar = "PUBLISH_TEST_GITHUB_CHILD"

type childJob struct {
	URL, Repo string
	Wanted    publish.Wanted
	Paths     []string
	// Digests is the file of digests that are remembered, empty for none.
	Digests string
}

func githubChild(text string) error {
	var j childJob
	if err := json.Unmarshal([]byte(text), &j); err != nil {
		return err
	}
	for i := range j.Wanted.Files {
		j.Wanted.Files[i].Path = j.Paths[i]
	}
	g := &publish.GitHub{
		Repo: j.Repo, API: j.URL, Token: func(context.Context) (string, error) { return githubtest.Token, nil },
		Parallel: 3, Stall: endless, RetryFor: patient, Paces: []publish.Pace{}, Now: fastNow, Sleep: fastSleep,
		Digests: fsx.OpenDigests(j.Digests),
	}
	_, err := g.Publish(context.Background(), j.Wanted, quietTask())
	return err
}

// child publishes in another process, which is killed at a request.
func (p *player) child(ctx context.Context, at int64, w publish.Wanted) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	j := childJob{URL: p.s.URL, Repo: p.repo, Wanted: w}
	for _, f := range w.Files {
		j.Paths = append(j.Paths, f.Path)
	}
	text, err := json.Marshal(j)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, exe)
	cmd.Env = append(os.Environ(), githubChildVar+"="+string(text))
	k := &killer{do: func() { _ = cmd.Process.Kill() }}
	k.left.Store(at)
	if err := cmd.Start(); err != nil {
		return err
	}
	p.kill.Store(k)
	return cmd.Wait()
}

// judge holds the release against what was wanted of it.
func (p *player) judge(repo *githubtest.Repo, w publish.Wanted, res *publish.Result, err error, published bool) {
	if err != nil {
		p.bad("the last run: %v", err)
		return
	}
	var rel githubtest.ReleaseState
	for _, r := range repo.ByTag("v1") {
		if r.ID == res.ID {
			rel = r
		}
	}
	for _, f := range res.Assets {
		if a := rel.Asset(f.Name); a == nil || a.State != githubtest.StateUploaded || a.SHA256 != f.SHA256 {
			p.bad("%s is %+v, want %s", f.Name, a, f.SHA256)
		}
	}
	for _, a := range rel.Assets {
		of, digest, temporary := publish.IsTemporary(a.Name)
		if !temporary {
			continue
		}
		// Of other names another run may be at work on.
		wanted := slices.ContainsFunc(res.Assets, func(f publish.File) bool { return f.Name == of })
		base := rel.Asset(of)
		switch {
		case wanted && (base == nil || base.State == githubtest.StateUploaded):
			p.bad("%s stays", a.Name)
		case !wanted && base == nil && a.State == githubtest.StateUploaded && strings.HasPrefix(a.SHA256, digest):
			p.bad("%s is not finished", a.Name)
		}
	}
	wantDraft := w.Visibility == publish.Draft && !published
	if rel.Draft != wantDraft {
		p.bad("draft is %v, with %s wanted", rel.Draft, w.Visibility)
	}
	if w.Visibility == publish.Full && rel.Prerelease {
		p.bad("it is a pre-release")
	}
	if n := len(repo.ByTag("v1")); n > 2 {
		p.bad("%d releases of the tag", n)
	}
	if rel.ID == 0 {
		p.bad("the release of the result is not there")
	}
}
