package publish_test

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/relmat/relmat/internal/githubtest"
	"github.com/relmat/relmat/internal/manifest"
	"github.com/relmat/relmat/internal/publish"
)

// downloaded writes all assets of v1 into a directory.
func downloaded(t *testing.T, repo *githubtest.Repo) string {
	t.Helper()
	dir := t.TempDir()
	for _, a := range only(t, repo).Assets {
		data, err := repo.Content(a.ID)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, a.Name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// checked has sha256sum check a file of digests, and wants it to name these.
func checked(t *testing.T, dir, file string, want ...string) {
	t.Helper()
	cmd := exec.Command("sha256sum", "--check", "--strict", file)
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		t.Errorf("sha256sum --check %s: %v\n%s", file, err, out)
	}
	var names []string
	for line := range strings.Lines(string(out)) {
		name, ok := strings.CutSuffix(strings.TrimSpace(line), ": OK")
		if !ok {
			t.Errorf("sha256sum --check %s: %s", file, line)
		}
		names = append(names, name)
	}
	if !slices.Equal(names, want) {
		t.Errorf("%s names %q, want %q", file, names, want)
	}
}

// TestChecksumFiles has sha256sum check what a download holds, from GitHub and
// from a directory.
func TestChecksumFiles(t *testing.T) {
	s := githubtest.New(t)
	repo := s.Repo("o/r")
	repo.AddTag("v1", "")
	dir := t.TempDir()
	w := publish.Wanted{Tag: "v1", Checksums: true, ChecksumFiles: true, Files: []publish.File{put(t, dir, "a.zip", "a"), put(t, dir, "b+c_1.tar.gz", "b")}}
	g := gh(t, s, "o/r")
	names := []string{"a.zip", "b+c_1.tar.gz"}
	look := func(down string) {
		t.Helper()
		checked(t, down, "SHA256SUMS", names...)
		for _, n := range names {
			checked(t, down, n+".sha256", n)
		}
	}
	for _, want := range []publish.Outcome{publish.Published, publish.Unchanged} {
		if res, err := g.Publish(t.Context(), w, quietTask()); err != nil || res.Outcome != want {
			t.Fatalf("%+v, %v; want %s", res, err, want)
		}
		look(downloaded(t, repo))
	}
	wantAssets(t, only(t, repo), w.Files, "SHA256SUMS", "a.zip.sha256", "b+c_1.tar.gz.sha256")

	d := &publish.Dir{Path: filepath.Join(dir, "out"), Digests: newFixture(t).digests}
	if p, err := d.Plan(t.Context(), w, quietTask()); err != nil || len(p.Assets) != 4 {
		t.Errorf("the plan for a directory: %+v, %v", p, err)
	}
	for _, want := range []publish.Outcome{publish.Published, publish.Unchanged} {
		if res, err := d.Publish(t.Context(), w, quietTask()); err != nil || res.Outcome != want {
			t.Fatalf("%+v, %v; want %s", res, err, want)
		}
		look(filepath.Join(dir, "out", "v1"))
	}
	if err := os.WriteFile(filepath.Join(dir, "out", "v1", "a.zip.sha256"), []byte("other"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Publish(t.Context(), w, quietTask()); err == nil || !strings.Contains(err.Error(), "a.zip.sha256 says something else") {
		t.Errorf("a file of a digest that changed: %v", err)
	}

	// A file that is called so already is in the way.
	w.Files = append(w.Files, put(t, dir, "a.zip.sha256", "mine"))
	for _, p := range []publish.Publisher{g, d} {
		if err := p.Preflight(t.Context(), w, quietTask()); err == nil || !strings.Contains(err.Error(), "makes a.zip.sha256") {
			t.Errorf("two files of one name: %v", err)
		}
	}
}

// TestChecksumsOfSeveralJobs: each job brings its own files, and SHA256SUMS has
// those of all, whichever comes first and also when they come at once.
func TestChecksumsOfSeveralJobs(t *testing.T) {
	names := []string{"a.zip", "b.zip", "c.zip", "d.zip"}
	for round := range 4 {
		s := githubtest.New(t, githubtest.WithLink(githubtest.Link{Latency: time.Duration(round) * time.Millisecond}))
		repo := s.Repo("o/r")
		repo.AddTag("v1", "")
		dir := t.TempDir()
		jobs := make([]publish.Wanted, len(names))
		for i, n := range names {
			jobs[i] = publish.Wanted{Tag: "v1", Checksums: true, Files: []publish.File{put(t, dir, n, n)}}
		}
		var wg sync.WaitGroup
		for _, w := range jobs {
			job := func() {
				if _, err := gh(t, s, "o/r").Publish(t.Context(), w, quietTask()); err != nil {
					t.Errorf("round %d: %s: %v", round, w.Files[0].Name, err)
				}
			}
			if wg.Go(job); round < 2 {
				wg.Wait()
			}
		}
		wg.Wait()
		checked(t, downloaded(t, repo), "SHA256SUMS", names...)
		// Any job again finds nothing to do, with three requests at most.
		for _, w := range jobs {
			s.ForgetRequests()
			if res, err := gh(t, s, "o/r").Publish(t.Context(), w, quietTask()); err != nil || res.Outcome != publish.Unchanged || s.Count() > 3 {
				t.Errorf("round %d: again: %+v, %v, %d requests", round, res, err, s.Count())
			}
		}
		// What changed, and what went away, changes its line.
		jobs[0].Files[0] = put(t, dir, "a.zip", "another a")
		gone := only(t, repo).Asset("b.zip")
		req, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, fmt.Sprintf("%s/repos/o/r/releases/assets/%d", s.URL, gone.ID), nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "token "+githubtest.Token)
		if resp, err := http.DefaultClient.Do(req); err != nil || resp.StatusCode != http.StatusNoContent {
			t.Fatalf("%+v, %v", resp, err)
		} else {
			resp.Body.Close()
		}
		if _, err := gh(t, s, "o/r").Publish(t.Context(), jobs[0], quietTask()); err != nil {
			t.Fatal(err)
		}
		checked(t, downloaded(t, repo), "SHA256SUMS", "a.zip", "c.zip", "d.zip")
	}
}

// TestChecksumsCutOff: the old SHA256SUMS is gone, the new one has not its name
// yet. What another job wrote into it is not lost.
func TestChecksumsCutOff(t *testing.T) {
	s := githubtest.New(t)
	repo := s.Repo("o/r")
	rel := repo.AddRelease(githubtest.NewRelease{Tag: "v1"})
	rel.AddAsset("b.zip", []byte("b"))
	text := sum("b") + " *b.zip\n" + "no line of a digest\n" + sum("gone") + "  gone.zip\n"
	rel.AddAsset(publish.Temporary("SHA256SUMS", sum(text)), []byte(text))
	w := publish.Wanted{Tag: "v1", Checksums: true, Files: []publish.File{put(t, t.TempDir(), "a.zip", "a")}}
	if _, err := gh(t, s, "o/r").Publish(t.Context(), w, quietTask()); err != nil {
		t.Fatal(err)
	}
	wantAssets(t, only(t, repo), w.Files, "b.zip", "SHA256SUMS")
	checked(t, downloaded(t, repo), "SHA256SUMS", "a.zip", "b.zip")
}

// TestPromotedChecksumFiles: those of an asset that goes, go with it.
func TestPromotedChecksumFiles(t *testing.T) {
	s := githubtest.New(t)
	repo := s.Repo("o/r")
	repo.AddTag("v1", "")
	g := gh(t, s, "o/r")
	dir := t.TempDir()
	p := publish.Promotion{Tag: "v1", Judge: func(c *publish.Contents) (*publish.Joining, error) {
		j, err := wants("one", "two")(c)
		if err == nil {
			j.ChecksumFiles = true
		}
		return j, err
	}}
	two := makePart(t, dir, "two", map[string]string{"two.zip": "2"})
	for _, name := range []string{"one.zip", "one.tar.gz"} {
		one := makePart(t, dir, "one", map[string]string{name: "1"})
		for _, part := range []manifest.PartFile{one, two} {
			if _, err := g.PublishPart(t.Context(), part, quietTask()); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			if _, err := g.Promote(t.Context(), p, quietTask()); err != nil {
				t.Fatal(err)
			}
			wantAssets(t, only(t, repo), filesOf(one, two), "release.json", "SHA256SUMS", name+".sha256", "two.zip.sha256")
		}
		down := downloaded(t, repo)
		checked(t, down, "SHA256SUMS", name, "two.zip")
		checked(t, down, name+".sha256", name)
	}
}
