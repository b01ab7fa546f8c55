package publish_test

import (
	"strings"
	"testing"

	"github.com/relmat/relmat/internal/githubtest"
	"github.com/relmat/relmat/internal/publish"
)

// A draft bears the mark of a pre-release by its tag when it is made, and what
// leaves it a draft leaves the mark as whoever set it wanted it.
func TestDraftIsMarkedByItsTag(t *testing.T) {
	for tag, want := range map[string]bool{"v1": false, "v1.0.0-rc.1": true} {
		st := newStage(t)
		commit := st.repo.AddTag(tag, "")
		file := st.file("a.zip", "a")
		made := func() githubtest.ReleaseState { t.Helper(); return st.repo.ByTag(tag)[0] }
		st.must(publish.Wanted{Tag: tag, Visibility: publish.Draft, Files: []publish.File{file}})
		if r := made(); !r.Draft || r.Prerelease != want {
			t.Errorf("%s: draft is %t, prerelease %t", tag, r.Draft, r.Prerelease)
		}
		part := newStage(t)
		part.repo.AddTag(tag, "")
		p := makePart(t, t.TempDir(), "one", map[string]string{"one.zip": "1"})
		p.Tag, p.Commit = tag, commit
		if _, err := part.gh.PublishPart(t.Context(), p, quietTask()); err != nil {
			t.Fatal(err)
		}
		if r := part.repo.ByTag(tag)[0]; !r.Draft || r.Prerelease != want {
			t.Errorf("%s, by a part: draft is %t, prerelease %t", tag, r.Draft, r.Prerelease)
		}
		// Somebody marked it otherwise.
		other := newStage(t)
		other.repo.AddTag(tag, "")
		other.repo.AddRelease(githubtest.NewRelease{Tag: tag, Draft: true, Prerelease: !want})
		other.must(publish.Wanted{Tag: tag, Visibility: publish.Draft, Files: []publish.File{file}})
		if r := other.repo.ByTag(tag)[0]; !r.Draft || r.Prerelease == want {
			t.Errorf("%s, marked by hand: draft is %t, prerelease %t", tag, r.Draft, r.Prerelease)
		}
		// Published, it is what the tag says.
		other.must(publish.Wanted{Tag: tag, Files: []publish.File{file}})
		if r := other.repo.ByTag(tag)[0]; r.Draft || r.Prerelease != want {
			t.Errorf("%s, published: draft is %t, prerelease %t", tag, r.Draft, r.Prerelease)
		}
	}
}

// Which release is the latest is changed in one that is published already, too,
// and only where it is not right.
func TestLatestOfAPublishedRelease(t *testing.T) {
	st := newStage(t)
	st.repo.AddTag("v2", "")
	st.repo.AddRelease(githubtest.NewRelease{Tag: "v1"})
	st.repo.AddRelease(githubtest.NewRelease{Tag: "v2"})
	w := publish.Wanted{Tag: "v1", Files: []publish.File{st.file("a.zip", "a")}}
	st.must(w) // it is there, and v2 is the latest
	for _, step := range []struct {
		latest  string
		outcome publish.Outcome
		is      bool
	}{
		{"", publish.Unchanged, false},
		{"false", publish.Unchanged, false},
		{"true", publish.Updated, true},
		{"true", publish.Unchanged, true},
		{"", publish.Unchanged, true},
		{"false", publish.Updated, false},
		{"legacy", publish.Updated, false}, // GitHub's rule: v2 is the newer one
	} {
		w.Latest = step.latest
		plan, err := st.gh.Plan(t.Context(), w, st.task())
		if err != nil || plan.Done() != (step.outcome == publish.Unchanged) {
			t.Errorf("make_latest %q: the plan is %+v, %v", step.latest, plan, err)
		}
		st.s.ForgetRequests()
		if res := st.must(w); res.Outcome != step.outcome || st.release().Latest != step.is {
			t.Errorf("make_latest %q: %s, latest is %t", step.latest, res.Outcome, st.release().Latest)
		}
		if n := st.s.Count(); step.outcome == publish.Unchanged && n > 3 {
			t.Errorf("make_latest %q: %d requests to find that nothing is to be done", step.latest, n)
		}
	}
	// A promotion does the same.
	s := githubtest.New(t)
	repo := s.Repo("o/r")
	repo.AddTag("v1", "")
	g := gh(t, s, "o/r")
	one := makePart(t, t.TempDir(), "one", map[string]string{"one.zip": "1"})
	if _, err := g.PublishPart(t.Context(), one, quietTask()); err != nil {
		t.Fatal(err)
	}
	p := promotion("one")
	for _, step := range []struct {
		latest  string
		outcome publish.Outcome
	}{{"false", publish.Published}, {"true", publish.Updated}, {"true", publish.Unchanged}} {
		p.Latest = step.latest
		res, err := g.Promote(t.Context(), p, quietTask())
		if err != nil || res.Outcome != step.outcome {
			t.Errorf("promoted with make_latest %s: %+v, %v", step.latest, res, err)
		}
	}
	if !only(t, repo).Latest {
		t.Error("the promoted release is not the latest")
	}
}

// What is published stays so, and whoever asked for less is told.
func TestPublishedStaysAndSaysSo(t *testing.T) {
	for name, c := range map[string]struct {
		was  githubtest.NewRelease
		want publish.Visibility
		said string
	}{
		"a full one as a draft":         {githubtest.NewRelease{Tag: "v1"}, publish.Draft, "warn: release v1 (id "},
		"a full one as a pre-release":   {githubtest.NewRelease{Tag: "v1"}, publish.Prerelease, " of o/r is full already, and does not become a pre-release again"},
		"a pre-release as a draft":      {githubtest.NewRelease{Tag: "v1", Prerelease: true}, publish.Draft, " of o/r is published already, and does not become a draft again"},
		"a pre-release stays one":       {githubtest.NewRelease{Tag: "v1", Prerelease: true}, publish.Prerelease, ""},
		"a draft stays one":             {githubtest.NewRelease{Tag: "v1", Draft: true}, publish.Draft, ""},
		"nobody asked for it otherwise": {githubtest.NewRelease{Tag: "v1"}, publish.Auto, ""},
	} {
		st := newStage(t)
		st.repo.AddRelease(c.was)
		st.must(publish.Wanted{Visibility: c.want, Files: []publish.File{st.file("a.zip", "a")}})
		if now := st.release(); now.Draft != c.was.Draft || now.Prerelease != c.was.Prerelease {
			t.Errorf("%s: %+v", name, now)
		}
		if said := st.said.String(); c.said == "" && strings.Contains(said, "warn: ") || !strings.Contains(said, c.said) {
			t.Errorf("%s: it said %q", name, said)
		}
	}
}

func TestPromotedStaysFullAndSaysSo(t *testing.T) {
	st := ready(t)
	p := promotion("one")
	if _, err := st.gh.Promote(t.Context(), p, st.task()); err != nil {
		t.Fatal(err)
	}
	p.Visibility = publish.Prerelease
	res, err := st.gh.Promote(t.Context(), p, st.task())
	if err != nil || res.Prerelease || res.Outcome != publish.Unchanged {
		t.Errorf("%+v, %v", res, err)
	}
	if want := "of o/r is full already, and does not become a pre-release again"; strings.Count(st.said.String(), want) != 1 {
		t.Errorf("it said %q", st.said)
	}
}
