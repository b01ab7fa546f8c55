package publish_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/relmat/relmat/internal/githubtest"
	"github.com/relmat/relmat/internal/manifest"
	"github.com/relmat/relmat/internal/publish"
)

// makePart makes a target's part for v1 with assets of these contents.
func makePart(t testing.TB, dir, target string, files map[string]string) manifest.PartFile {
	t.Helper()
	p := manifest.PartFile{
		Project: "p", Version: "1", Tag: "v1", CommitChecked: true,
		Part: manifest.Part{Target: target, Triple: "t", Keys: map[string]string{"p/archive": "k"}},
	}
	for name, content := range files {
		f := put(t, dir, name, content)
		p.Assets = append(p.Assets, manifest.Asset{Name: f.Name, Package: "p", Path: f.Path, Size: f.Size, SHA256: f.SHA256})
	}
	slices.SortFunc(p.Assets, func(a, b manifest.Asset) int { return strings.Compare(a.Name, b.Name) })
	return p
}

var errMissing = errors.New("not all parts are there")

// wants judges that a release has these targets, with every asset right.
func wants(targets ...string) func(*publish.Contents) (*publish.Joining, error) {
	return func(c *publish.Contents) (*publish.Joining, error) {
		j := &publish.Joining{Release: manifest.Release{Schema: manifest.ReleaseSchema, Project: "p", Version: "1", Tag: "v1"}}
		for _, target := range targets {
			var part manifest.PartFile
			ok := false
			if c.Joined != nil {
				part, ok = c.Joined.In(target)
			}
			for _, p := range c.Parts {
				if p.Target == target && p.Part != nil {
					part, ok = *p.Part, true
				}
			}
			if !ok {
				return nil, fmt.Errorf("%w: %s", errMissing, target)
			}
			for _, a := range part.Assets {
				if now, ok := c.Asset(a.Name); !ok || now.State != publish.Uploaded || now.SHA256 != a.SHA256 {
					return nil, fmt.Errorf("%w: %s of %s", errMissing, a.Name, target)
				}
			}
			j.Release.Commit, j.Release.CommitChecked = part.Commit, part.CommitChecked
			j.Release.Targets = append(j.Release.Targets, part.Part)
			j.Remove = append(j.Remove, part.Supersedes...)
		}
		return j, nil
	}
}

func promotion(targets ...string) publish.Promotion {
	return publish.Promotion{Tag: "v1", Judge: wants(targets...)}
}

func filesOf(parts ...manifest.PartFile) []publish.File {
	var files []publish.File
	for _, p := range parts {
		for _, a := range p.Assets {
			files = append(files, publish.File{Name: a.Name, Path: a.Path, Size: a.Size, SHA256: a.SHA256})
		}
	}
	return files
}

func only(t testing.TB, repo *githubtest.Repo) githubtest.ReleaseState {
	t.Helper()
	list := repo.ByTag("v1")
	if len(list) != 1 {
		t.Fatalf("v1 has %d releases", len(list))
	}
	return list[0]
}

// changes counts requests that change something.
func changes(s *githubtest.Server) int {
	return s.Count(githubtest.OpUpload, githubtest.OpCreateRelease, githubtest.OpUpdateRelease, githubtest.OpDeleteRelease, githubtest.OpUpdateAsset, githubtest.OpDeleteAsset)
}

func TestPartsAreJoined(t *testing.T) {
	s := githubtest.New(t)
	repo := s.Repo("o/r")
	commit := repo.AddTag("v1", "")
	dir := t.TempDir()
	one := makePart(t, dir, "one", map[string]string{"one.zip": "1", "one-more.zip": "11"})
	two := makePart(t, dir, "two", map[string]string{"two.zip": "2"})
	one.Commit, two.Commit = commit, commit
	g := gh(t, s, "o/r")
	res, err := g.PublishPart(t.Context(), one, quietTask())
	if err != nil || res.Outcome != publish.Drafted || !res.Draft {
		t.Fatalf("the first part: %+v, %v", res, err)
	}
	wantAssets(t, only(t, repo), filesOf(one), "relmat-part-one.json")

	// A part is missing: nothing changes (incident 43).
	s.ForgetRequests()
	if _, err := g.Promote(t.Context(), promotion("one", "two"), quietTask()); !errors.Is(err, errMissing) || changes(s) != 0 {
		t.Errorf("promoted without two: %v, %d changes", err, changes(s))
	}
	if _, err := g.PublishPart(t.Context(), two, quietTask()); err != nil {
		t.Fatal(err)
	}
	// The same again, made in another time: nothing is sent.
	s.ForgetRequests()
	two.Seconds = map[string]float64{"build": 7}
	if res, err := g.PublishPart(t.Context(), two, quietTask()); err != nil || res.Outcome != publish.Unchanged || changes(s) != 0 {
		t.Errorf("the same part again: %+v, %v, %d changes", res, err, changes(s))
	}
	if res, err := g.Promote(t.Context(), promotion("one", "two"), quietTask()); err != nil || res.Outcome != publish.Published || res.Draft || res.Prerelease {
		t.Fatalf("the promotion: %+v, %v", res, err)
	}
	wantAssets(t, only(t, repo), filesOf(one, two), "release.json", "SHA256SUMS")
	s.ForgetRequests()
	if res, err := g.Promote(t.Context(), promotion("one", "two"), quietTask()); err != nil || res.Outcome != publish.Unchanged || changes(s) != 0 || s.Count()-s.Count(githubtest.OpRepo) > 5 {
		t.Errorf("promoted again: %+v, %v, %d changes in %d requests", res, err, changes(s), s.Count())
	}
	// What is joined is there; without an asset it is mended, without a part
	// manifest.
	if res, err := g.PublishPart(t.Context(), one, quietTask()); err != nil || res.Outcome != publish.Unchanged || changes(s) != 0 {
		t.Errorf("a joined part again: %+v, %v, %d changes", res, err, changes(s))
	}

	// Two targets cannot have one asset.
	three := makePart(t, t.TempDir(), "three", map[string]string{"ONE.zip": "3"})
	if _, err := g.PublishPart(t.Context(), makePart(t, dir, "one", map[string]string{"one.zip": "new"}), quietTask()); err != nil {
		t.Fatal(err)
	}
	if _, err := g.PublishPart(t.Context(), three, quietTask()); err == nil || !strings.Contains(err.Error(), "the part of target one has an asset one.zip, too") {
		t.Errorf("two targets with one asset: %v", err)
	}
	if rel := only(t, repo); rel.Draft || rel.Asset("SHA256SUMS") == nil {
		t.Errorf("the full release is %+v", rel)
	}
}

// TestPartGetsOtherNames: the assets of a target's earlier part go when the
// new ones are there; those with the names of others stay.
func TestPartGetsOtherNames(t *testing.T) {
	s := githubtest.New(t)
	repo := s.Repo("o/r")
	repo.AddTag("v1", "")
	dir := t.TempDir()
	g := gh(t, s, "o/r")
	old := makePart(t, dir, "one", map[string]string{"one.zip": "1", "both.zip": "b"})
	two := makePart(t, dir, "two", map[string]string{"two.zip": "2"})
	for _, p := range []manifest.PartFile{old, two} {
		if _, err := g.PublishPart(t.Context(), p, quietTask()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := g.Promote(t.Context(), promotion("one", "two"), quietTask()); err != nil {
		t.Fatal(err)
	}
	// The upload of the new archive breaks for good: the old one stays.
	s.Fail(githubtest.Match{Op: githubtest.OpUpload, Name: "one.tar.gz"}, githubtest.Status(403, "Resource not accessible by integration"))
	one := makePart(t, dir, "one", map[string]string{"one.tar.gz": "1", "both.zip": "b"})
	if _, err := g.PublishPart(t.Context(), one, quietTask()); err == nil {
		t.Fatal("an upload that was refused is not told")
	}
	if rel := only(t, repo); rel.Asset("one.zip") == nil || rel.Asset("relmat-part-one.json") == nil {
		t.Errorf("the release has %+v", rel.Assets)
	}
	if _, err := g.PublishPart(t.Context(), one, quietTask()); err != nil {
		t.Fatal(err)
	}
	wantAssets(t, only(t, repo), filesOf(one, two), "relmat-part-one.json", "release.json", "SHA256SUMS")
	if res, err := g.PublishPart(t.Context(), one, quietTask()); err != nil || res.Outcome != publish.Unchanged {
		t.Errorf("the same again: %+v, %v", res, err)
	}
	if res, err := g.Promote(t.Context(), promotion("one", "two"), quietTask()); err != nil || res.Outcome != publish.Updated {
		t.Errorf("promoted again: %+v, %v", res, err)
	}
	wantAssets(t, only(t, repo), filesOf(one, two), "release.json", "SHA256SUMS")
}

func TestPromotionToPrereleaseAndNotes(t *testing.T) {
	s := githubtest.New(t)
	repo := s.Repo("o/r")
	repo.AddTag("v1", "")
	rel := repo.AddRelease(githubtest.NewRelease{Tag: "v1", Prerelease: true, Body: "What is new.\r\n"})
	rel.AddAsset("foreign.txt", []byte("f"))
	rel.AddOldAsset("one.zip", []byte("1"))
	dir := t.TempDir()
	g := gh(t, s, "o/r")
	one := makePart(t, dir, "one", map[string]string{"one.zip": "1"})
	if res, err := g.PublishPart(t.Context(), one, quietTask()); err != nil || res.Outcome != publish.Updated || !res.Prerelease {
		t.Fatalf("a part in a pre-release: %+v, %v", res, err)
	}
	var notes []string
	p := promotion("one")
	p.Judge = func(c *publish.Contents) (*publish.Joining, error) {
		j, err := wants("one")(c)
		if err == nil {
			j.Release.Notes = notes
		}
		return j, err
	}
	p.Visibility = publish.Prerelease
	notes = []string{"a was not run", "b was not run"}
	if res, err := g.Promote(t.Context(), p, quietTask()); err != nil || !res.Prerelease {
		t.Fatalf("promoted to a pre-release: %+v, %v", res, err)
	}
	want := "What is new.\n\n<!-- relmat: begin -->\nNot tested:\n\n- a was not run\n- b was not run\n<!-- relmat: end -->\n"
	if body := only(t, repo).Body; body != want {
		t.Errorf("the notes are %q, want %q", body, want)
	}
	p.Visibility, notes = publish.Full, []string{"a was not run"}
	if res, err := g.Promote(t.Context(), p, quietTask()); err != nil || res.Prerelease || res.Outcome != publish.Published {
		t.Fatalf("promoted to a full release: %+v, %v", res, err)
	}
	if now := only(t, repo); strings.Contains(now.Body, "b was not run") || strings.Count(now.Body, "relmat: begin") != 1 || !now.Latest {
		t.Errorf("the release is %+v", now)
	}
	notes = nil
	if _, err := g.Promote(t.Context(), p, quietTask()); err != nil {
		t.Fatal(err)
	}
	if body := strings.TrimSpace(only(t, repo).Body); body != "What is new." {
		t.Errorf("without notes of the joining they are %q", body)
	}
	wantAssets(t, only(t, repo), filesOf(one), "foreign.txt", "release.json", "SHA256SUMS")
}

func TestPartOfImmutableRelease(t *testing.T) {
	s := githubtest.New(t)
	repo := s.Repo("o/r")
	repo.AddTag("v1", "")
	repo.MakeImmutable(true)
	dir := t.TempDir()
	g := gh(t, s, "o/r")
	one := makePart(t, dir, "one", map[string]string{"one.zip": "1"})
	if _, err := g.PublishPart(t.Context(), one, quietTask()); err != nil {
		t.Fatal(err)
	}
	if _, err := g.Promote(t.Context(), promotion("one"), quietTask()); err != nil {
		t.Fatal(err)
	}
	if !only(t, repo).Immutable {
		t.Fatal("the release is not immutable")
	}
	wantAssets(t, only(t, repo), filesOf(one), "release.json", "SHA256SUMS")
	for range 2 {
		if res, err := g.Promote(t.Context(), promotion("one"), quietTask()); err != nil || res.Outcome != publish.Unchanged {
			t.Errorf("promoted again: %+v, %v", res, err)
		}
	}
	if res, err := g.PublishPart(t.Context(), one, quietTask()); err != nil || res.Outcome != publish.Unchanged {
		t.Errorf("the same part again: %+v, %v", res, err)
	}
	if _, err := g.PublishPart(t.Context(), makePart(t, dir, "one", map[string]string{"one.zip": "2"}), quietTask()); !errors.Is(err, publish.ErrImmutable) {
		t.Errorf("another part: %v", err)
	}
}

// TestPartsThatCannotBeRead are answers to the judge, and never the end of
// relmat.
func TestPartsThatCannotBeRead(t *testing.T) {
	s := githubtest.New(t)
	repo := s.Repo("o/r")
	rel := repo.AddRelease(githubtest.NewRelease{Tag: "v1", Draft: true})
	rel.AddAsset("relmat-part-a.json", []byte("{}"))
	rel.AddStarter("relmat-part-b.json")
	rel.AddAsset("relmat-part-c.json", []byte(`{"schema": 99}`))
	rel.AddAsset("relmat-part-d.json", []byte(`{"schema": 1, "target": "x"}`))
	rel.AddAsset("relmat-part-e.json", []byte(strings.Repeat(" ", manifest.MaxFile+1)))
	rel.AddAsset("release.json", []byte("<html>"))
	c, err := gh(t, s, "o/r").Contents(t.Context(), "v1", quietTask())
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"schema 0, which there never was", "a broken upload left it", "a newer relmat wrote it", "it is the part of target x", "it has 8388609 bytes"} {
		if p := c.Parts[i]; p.Part != nil || !strings.Contains(p.Problem, want) {
			t.Errorf("part %s: %q, want %q", p.Target, p.Problem, want)
		}
	}
	if c.Joined != nil || !strings.Contains(c.JoinedProblem, "it is no JSON") || c.Commit != "" {
		t.Errorf("release.json: %+v, %q", c.Joined, c.JoinedProblem)
	}
}

// TestTwoPartsAtOnce has the jobs of several targets meet: there is one
// release with all of their assets, and none loses good bytes.
func TestTwoPartsAtOnce(t *testing.T) {
	for round := range 6 {
		s := githubtest.New(t, githubtest.WithLink(githubtest.Link{Latency: time.Duration(round%4) * time.Millisecond}))
		repo := s.Repo("o/r")
		repo.AddTag("v1", "")
		dir := t.TempDir()
		var parts []manifest.PartFile
		good := map[string]bool{}
		names := []string{}
		for _, target := range []string{"one", "two", "three"} {
			parts = append(parts, makePart(t, dir, target, map[string]string{target + ".zip": "new " + target, target + "-2.zip": "new too " + target}))
		}
		if round%2 == 1 {
			rel := repo.AddRelease(githubtest.NewRelease{Tag: "v1"})
			for _, f := range filesOf(parts...) {
				rel.AddAsset(f.Name, []byte("old "+f.Name))
				names = append(names, f.Name)
				good[f.Name+sum("old "+f.Name)], good[f.Name+f.SHA256] = true, true
			}
			s.Guard(githubtest.Guard{
				Repo: "o/r", Tag: "v1", Names: names,
				Good:      func(name, sum string) bool { return good[name+sum] },
				Temporary: func(name, temp string) bool { of, _, ok := publish.IsTemporary(temp); return ok && of == name },
			})
		}
		var wg sync.WaitGroup
		for _, p := range parts {
			wg.Go(func() {
				if _, err := gh(t, s, "o/r").PublishPart(t.Context(), p, quietTask()); err != nil {
					t.Errorf("round %d: part %s: %v", round, p.Target, err)
				}
			})
		}
		wg.Wait()
		wantAssets(t, only(t, repo), filesOf(parts...), "relmat-part-one.json", "relmat-part-two.json", "relmat-part-three.json")
	}
}

// TestPartsInChaos: whatever fails at random, further runs end right, and no
// good bytes are lost on the way.
func TestPartsInChaos(t *testing.T) {
	for seed := range uint64(12) {
		s := githubtest.New(t)
		repo := s.Repo("o/r")
		repo.AddTag("v1", "")
		dir := t.TempDir()
		parts := []manifest.PartFile{
			makePart(t, dir, "one", map[string]string{"one.zip": "new 1"}), makePart(t, dir, "two", map[string]string{"two.zip": strings.Repeat("2", 5000)}),
		}
		if seed%2 == 0 {
			rel := repo.AddRelease(githubtest.NewRelease{Tag: "v1", Draft: seed%4 == 0})
			rel.AddAsset("one.zip", []byte("old 1"))
			rel.AddStarter("two.zip")
			rel.AddAsset("foreign.txt", []byte("f"))
		}
		good := map[string]bool{"one.zip" + sum("old 1"): true}
		for _, f := range filesOf(parts...) {
			good[f.Name+f.SHA256] = true
		}
		s.Guard(githubtest.Guard{
			Repo: "o/r", Tag: "v1", Names: []string{"one.zip", "two.zip"},
			Good:      func(name, sum string) bool { return good[name+sum] },
			Temporary: func(name, temp string) bool { of, _, ok := publish.IsTemporary(temp); return ok && of == name },
		})
		s.Chaos(githubtest.Schedule{Seed: seed, Rate: 0.25, Wait: 5 * time.Millisecond, Hang: 5 * time.Millisecond})
		g := gh(t, s, "o/r")
		flow := func() error {
			for _, p := range parts {
				if _, err := g.PublishPart(t.Context(), p, quietTask()); err != nil {
					return err
				}
			}
			_, err := g.Promote(t.Context(), promotion("one", "two"), quietTask())
			return err
		}
		for range 3 {
			if flow() == nil {
				break
			}
		}
		s.Calm()
		if err := flow(); err != nil {
			t.Fatalf("seed %d: the clean run: %v", seed, err)
		}
		rel := only(t, repo)
		var extra []string
		if seed%2 == 0 {
			extra = []string{"foreign.txt"}
		}
		wantAssets(t, rel, filesOf(parts...), append(extra, "release.json", "SHA256SUMS")...)
		if rel.Draft {
			t.Errorf("seed %d: it is a draft", seed)
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}
