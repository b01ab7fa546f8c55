package publish_test

import (
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
