package publish_test

import (
	"strings"
	"testing"

	"github.com/relmat/relmat/internal/githubtest"
	"github.com/relmat/relmat/internal/publish"
)

// TestGitHubFooter publishes again and again: what the notes end with stands
// there once, under notes of GitHub's or of a person's, and goes when it is no
// longer wanted.
func TestGitHubFooter(t *testing.T) {
	s := githubtest.New(t)
	repo := s.Repo("o/r")
	repo.AddAnnotatedTag("v1", "")
	footer, none, notes := "The programs are not signed.", "", "My own words."
	w := publish.Wanted{Tag: "v1", Footer: &footer, GenerateNotes: true, Files: []publish.File{put(t, t.TempDir(), "a.zip", "bytes")}}
	g := gh(t, s, "o/r")
	for _, step := range []struct {
		name    string
		change  func()
		outcome publish.Outcome
		footers int
	}{
		{"first", func() {}, publish.Published, 1},
		{"again", func() {}, publish.Unchanged, 1},
		{"own notes", func() { w.Notes = &notes }, publish.Updated, 1},
		{"own notes again", func() {}, publish.Unchanged, 1},
		{"signed now", func() { w.Footer = &none }, publish.Updated, 0},
		{"signed again", func() {}, publish.Unchanged, 0},
		{"nothing is said of it", func() { w.Footer = nil }, publish.Unchanged, 0},
	} {
		step.change()
		res, err := g.Publish(t.Context(), w, quietTask())
		if err != nil || res.Outcome != step.outcome {
			t.Fatalf("%s: %+v, %v; want %s", step.name, res, err, step.outcome)
		}
		body := repo.ByTag("v1")[0].Body
		if n := strings.Count(body, footer); n != step.footers {
			t.Errorf("%s: the footer stands there %d times:\n%s", step.name, n, body)
		}
		if w.Notes != nil && !strings.Contains(body, notes) || w.Notes == nil && len(strings.TrimSpace(body)) < 120 {
			t.Errorf("%s: the notes are missing:\n%s", step.name, body)
		}
	}
}
