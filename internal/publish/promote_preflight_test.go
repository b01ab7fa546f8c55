package publish_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/relmat/relmat/internal/githubtest"
	"github.com/relmat/relmat/internal/publish"
)

const reader = "ghp_readerreaderreader"

// ready is a draft with all its parts, but for the promotion.
func ready(t *testing.T) *stage {
	t.Helper()
	st := newStage(t, githubtest.WithToken(reader, githubtest.Rights{}))
	if _, err := st.gh.PublishPart(t.Context(), makePart(t, st.dir, "one", map[string]string{"one.zip": "1"}), quietTask()); err != nil {
		t.Fatal(err)
	}
	st.s.ForgetRequests()
	return st
}

func (st *stage) token(token string) {
	st.gh.Token = func(context.Context) (string, error) { return token, nil }
}

// A promotion that cannot come to its end changes nothing, and says why: a
// token that may not write does not even see the draft.
func TestPromoteAsksFirst(t *testing.T) {
	long := strings.Repeat("é", 124_990)
	for name, c := range map[string]struct {
		change func(*stage, *publish.Promotion)
		auth   bool
		want   string
	}{
		"no token":         {func(st *stage, _ *publish.Promotion) { st.token("") }, true, "there is none; set GITHUB_TOKEN or GH_TOKEN"},
		"a reader":         {func(st *stage, _ *publish.Promotion) { st.token(reader) }, true, "it may read o/r and not write to it"},
		"wrong repository": {func(st *stage, _ *publish.Promotion) { st.gh.Repo = "o/other" }, false, "there is no repository o/other, or the token may not see it"},
		"no latest release": {func(_ *stage, p *publish.Promotion) {
			p.Latest, p.Visibility = "true", publish.Prerelease
		}, false, "a prerelease cannot be the latest release"},
		"notes too long with the footer": {func(_ *stage, p *publish.Promotion) {
			p.Notes, p.Footer = &long, "It is not signed."
		}, false, "characters with what relmat adds to them, and GitHub takes 125000; shorten them"},
		"notes too long with what was not tested": {func(_ *stage, p *publish.Promotion) {
			p.Notes = &long
			p.Judge = func(c *publish.Contents) (*publish.Joining, error) {
				j, err := wants("one")(c)
				if err == nil {
					j.Release.Notes = []string{"step gpu was not run"}
				}
				return j, err
			}
		}, false, "GitHub takes 125000"},
	} {
		st := ready(t)
		p := promotion("one")
		c.change(st, &p)
		_, err := st.gh.Promote(t.Context(), p, quietTask())
		if err == nil || errors.Is(err, publish.ErrAuth) != c.auth || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if n := changes(st.s); n != 0 {
			t.Errorf("%s: %d changes", name, n)
		}
	}
	// As long as they may be.
	st := ready(t)
	p := promotion("one")
	text := strings.Repeat("é", 125_000)
	p.Notes = &text
	if _, err := st.gh.Promote(t.Context(), p, quietTask()); err != nil || st.release().Body != text {
		t.Errorf("notes of 125,000 characters: %v", err)
	}
}

// Notes that GitHub writes are asked for once, and before anything is changed.
func TestPromoteGeneratesNotes(t *testing.T) {
	st := ready(t)
	p := promotion("one")
	p.GenerateNotes, p.Footer = true, "It is not signed."
	for _, want := range []publish.Outcome{publish.Published, publish.Unchanged} {
		res, err := st.gh.Promote(t.Context(), p, quietTask())
		if err != nil || res.Outcome != want {
			t.Fatalf("%+v, %v", res, err)
		}
		if body := st.release().Body; strings.Count(body, "Full Changelog") != 1 || strings.Count(body, p.Footer) != 1 {
			t.Errorf("the notes are %q", body)
		}
	}
	if n := st.s.Count(githubtest.OpGenerateNotes); n != 1 {
		t.Errorf("they were generated %d times", n)
	}
}

func TestPreflightCountsTheFooter(t *testing.T) {
	st := newStage(t)
	notes, footer := strings.Repeat("n", 124_990), "It is not signed."
	w := publish.Wanted{Tag: "v1", Notes: &notes, Files: []publish.File{st.file("a.zip", "a")}}
	if err := st.gh.Preflight(t.Context(), w, st.task()); err != nil {
		t.Error(err)
	}
	w.Footer = &footer
	if err := st.gh.Preflight(t.Context(), w, st.task()); err == nil || !strings.Contains(err.Error(), "shorten them") {
		t.Errorf("%v", err)
	}
	// The notes that are there stay, and the footer comes under them.
	st.repo.AddRelease(githubtest.NewRelease{Tag: "v1", Draft: true, Body: notes})
	w.Notes = nil
	if err := st.gh.Preflight(t.Context(), w, st.task()); err == nil || !strings.Contains(err.Error(), "shorten them") {
		t.Errorf("%v", err)
	}
}

// Where no release is seen, it is said whether a draft would be.
func TestContentsTellWhetherADraftIsSeen(t *testing.T) {
	st := ready(t)
	for token, want := range map[string]string{"": "there is none; set GITHUB_TOKEN", reader: "it may read o/r and not write", githubtest.Token: ""} {
		st.token(token)
		c, err := st.gh.Contents(t.Context(), "v2", quietTask())
		if err != nil || (c.Blind == "") != (want == "") || !strings.Contains(c.Blind, want) {
			t.Errorf("%q: %+v, %v", token, c, err)
		}
		if c, err = st.gh.Contents(t.Context(), "v1", quietTask()); err != nil || (c.Release == nil) != (want != "") {
			t.Errorf("%q: %+v, %v", token, c, err)
		}
	}
	// A repository that is not seen is told from a token that is not there.
	st.repo.MakePrivate(true)
	st.token("")
	if _, err := st.gh.Contents(t.Context(), "v1", quietTask()); !errors.Is(err, publish.ErrAuth) || !strings.Contains(err.Error(), "o/r is not seen: ") {
		t.Errorf("a private repository without a token: %v", err)
	}
	st.repo.MakePrivate(false)
	st.token(githubtest.Token)
	st.gh.Repo = "o/other"
	if _, err := st.gh.Contents(t.Context(), "v1", quietTask()); err == nil || !strings.Contains(err.Error(), "there is no repository o/other, or the token may not see it; look at --repo") {
		t.Errorf("a repository that is not there: %v", err)
	}
	st.gh.Repo = "o/r"
	// A release that everybody sees needs no token.
	st.token(githubtest.Token)
	if _, err := st.gh.Promote(t.Context(), promotion("one"), quietTask()); err != nil {
		t.Fatal(err)
	}
	st.token("")
	if c, err := st.gh.Contents(t.Context(), "v1", quietTask()); err != nil || c.Blind != "" || c.Joined == nil {
		t.Errorf("%+v, %v", c, err)
	}
}
