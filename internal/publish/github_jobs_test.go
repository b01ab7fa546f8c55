package publish_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/relmat/relmat/internal/githubtest"
	"github.com/relmat/relmat/internal/manifest"
	"github.com/relmat/relmat/internal/publish"
)

// other is another job's publisher.
func (st *stage) other() *publish.GitHub { return gh(st.t, st.s, "o/r") }

// Jobs that publish different files to one release leave each other's
// replacements alone, in whatever state they are.
func TestJobsOfDifferentFiles(t *testing.T) {
	for name, at := range map[string]githubtest.Match{
		"while one uploads":  {Op: githubtest.OpUpload},
		"while one deletes":  {Op: githubtest.OpDeleteAsset},
		"while one renames":  {Op: githubtest.OpUpdateAsset},
		"while one reads it": {Op: githubtest.OpGetAsset},
	} {
		t.Run(name, func(t *testing.T) {
			st := newStage(t)
			rel := st.repo.AddRelease(githubtest.NewRelease{Tag: "v1"})
			rel.AddAsset("x.zip", []byte("old x"))
			rel.AddAsset("y.zip", []byte("old y"))
			st.s.Guard(githubtest.Guard{
				Repo: "o/r", Tag: "v1", Names: []string{"x.zip", "y.zip"}, Good: func(_, sum string) bool { return sum != "" },
				Temporary: func(name, temp string) bool { of, _, ok := publish.IsTemporary(temp); return ok && of == name },
			})
			x, y := st.file("x.zip", strings.Repeat("new x", 100_000)), st.file("y.zip", "new y")
			var there sync.Once
			arrived, goOn := make(chan struct{}), make(chan struct{})
			st.s.Fail(at, githubtest.Call(0, func() {
				there.Do(func() { close(arrived) })
				<-goOn
			}))
			st.gh.Stall = time.Minute
			ended := make(chan error, 1)
			go func() {
				_, err := st.publish(publish.Wanted{Files: []publish.File{x}})
				ended <- err
			}()
			<-arrived
			_, err := st.other().Publish(t.Context(), publish.Wanted{Tag: "v1", Files: []publish.File{y}}, st.task())
			close(goOn)
			if err != nil {
				t.Errorf("the job beside it: %v", err)
			}
			if err := <-ended; err != nil {
				t.Errorf("the job: %v", err)
			}
			wantAssets(t, st.release(), []publish.File{x, y})
		})
	}
}

// What stood in the way of an upload, or was on its way, may be removed by
// somebody else meanwhile.
func TestUploadThatIsRemoved(t *testing.T) {
	st := newStage(t)
	st.repo.AddRelease(githubtest.NewRelease{Tag: "v1"})
	st.s.Fail(githubtest.Match{Op: githubtest.OpUpload}, githubtest.Status(http.StatusNotFound, "Not Found"))
	files := []publish.File{st.file("x.zip", "x")}
	st.must(publish.Wanted{Files: files})
	wantAssets(t, st.release(), files)
	// That the release is gone is no reason to try for long.
	st = newStage(t)
	st.repo.AddRelease(githubtest.NewRelease{Tag: "v1"})
	st.s.Fail(githubtest.Match{Op: githubtest.OpUpload}, githubtest.Status(http.StatusNotFound, "Not Found"))
	st.s.Fail(githubtest.Match{Op: githubtest.OpListAssets, Skip: 1}, githubtest.Status(http.StatusNotFound, "Not Found"))
	if _, err := st.publish(publish.Wanted{Files: []publish.File{st.file("x.zip", "x")}}); err == nil || !strings.Contains(err.Error(), "listing the assets") {
		t.Errorf("%v", err)
	}
}

// A release that is as full as can be has no room for a replacement until what
// a killed run left of another one goes.
func TestFullReleaseWithAnOldReplacement(t *testing.T) {
	st := newStage(t, githubtest.WithLimits(githubtest.Limits{Assets: 4}))
	st.gh.MaxAssets = 4
	rel := st.repo.AddRelease(githubtest.NewRelease{Tag: "v1"})
	rel.AddAsset("x.zip", []byte("first x"))
	rel.AddAsset("a.zip", []byte("a"))
	rel.AddAsset("b.zip", []byte("b"))
	rel.AddAsset(publish.Temporary("x.zip", sum("second x")), []byte("second x"))
	files := []publish.File{st.file("x.zip", "third x")}
	st.must(publish.Wanted{Files: files})
	wantAssets(t, st.release(), files, "a.zip", "b.zip")
}

// Jobs that start all at once run into a secondary limit, which a preflight
// waits out; a primary one of the whole hour it does not, and an upload does.
func TestLimitsAreWaitedOut(t *testing.T) {
	files := func(st *stage) publish.Wanted {
		return publish.Wanted{Tag: "v1", Files: []publish.File{st.file("x.zip", "x")}}
	}
	for name, f := range map[string]githubtest.Fault{
		"403 with a time":  githubtest.SecondaryLimit(http.StatusForbidden, time.Minute, true),
		"429 without":      githubtest.SecondaryLimit(http.StatusTooManyRequests, time.Minute, false),
		"primary, shortly": githubtest.PrimaryLimit(http.StatusForbidden, time.Minute, false),
	} {
		st := newStage(t)
		c := &clock{now: time.Now()}
		st.gh.RetryFor, st.gh.Now, st.gh.Sleep = 0, c.Now, c.Sleep
		st.s.Fail(githubtest.Match{Op: githubtest.OpRepo}, f)
		if err := st.gh.Preflight(t.Context(), files(st), st.task()); err != nil || c.slept < 25*time.Second {
			t.Errorf("%s: %v after %s", name, err, c.slept)
		}
	}
	hour := githubtest.PrimaryLimit(http.StatusForbidden, 55*time.Minute, false)
	st := newStage(t)
	c := &clock{now: time.Now()}
	st.gh.RetryFor, st.gh.Now, st.gh.Sleep = 0, c.Now, c.Sleep
	st.s.Fail(githubtest.Match{Op: githubtest.OpRepo}, hour)
	if err := st.gh.Preflight(t.Context(), files(st), st.task()); err == nil || c.slept != 0 || !strings.Contains(err.Error(), "waited for until") {
		t.Errorf("preflight in a limit of 55 minutes: %v after %s", err, c.slept)
	}
	st.s.Fail(githubtest.Match{Op: githubtest.OpUpload}, hour)
	if _, err := st.gh.Publish(t.Context(), files(st), st.task()); err != nil || c.slept < 50*time.Minute {
		t.Errorf("upload in a limit of 55 minutes: %v after %s", err, c.slept)
	}
}

// Transfers that take longer than failures are borne for are tried again when
// they break: their own time is no failure.
func TestLongTransfersAreTriedAgain(t *testing.T) {
	st := newStage(t)
	c := &clock{now: time.Now()}
	st.gh.RetryFor, st.gh.Now, st.gh.Sleep = 30*time.Minute, c.Now, c.Sleep
	st.s.OnRequest(func(_ int, r *http.Request) {
		if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/assets") {
			_ = c.Sleep(context.Background(), 40*time.Minute)
		}
	})
	st.s.Fail(githubtest.Match{Op: githubtest.OpUpload}, githubtest.Reset(1), githubtest.Reset(1))
	files := []publish.File{st.file("x.zip", strings.Repeat("x", 400_000))}
	st.must(publish.Wanted{Files: files})
	wantAssets(t, st.release(), files)
}

// What the storage says of an address that it does not take any more says
// nothing of the token.
func TestStorageRefusesAnAddress(t *testing.T) {
	n := 0
	storage := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if n++; n > 1 {
			fmt.Fprint(w, "{}")
			return
		}
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprint(w, `<?xml version="1.0"?><Error><Code>AuthenticationFailed</Code></Error>`)
	}))
	defer storage.Close()
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/releases"):
			fmt.Fprint(w, `[{"id":1,"tag_name":"v1"}]`)
		case strings.HasSuffix(r.URL.Path, "/1/assets"):
			fmt.Fprint(w, `[{"id":2,"name":"release.json","state":"uploaded","size":2}]`)
		case strings.Contains(r.URL.Path, "/assets/2"):
			http.Redirect(w, r, storage.URL+"/x?sig=1", http.StatusFound)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	defer api.Close()
	g := gh(t, &githubtest.Server{URL: api.URL}, "o/r")
	if _, err := g.Contents(t.Context(), "v1", quietTask()); err != nil || n != 2 {
		t.Errorf("%v after %d requests to the storage", err, n)
	}
}

// A whole release has what its parts were.
func TestWholeReleaseTakesItsParts(t *testing.T) {
	st := newStage(t)
	one := makePart(t, st.dir, "one", map[string]string{"one.zip": "1"})
	two := makePart(t, st.dir, "two", map[string]string{"two.zip": "2"})
	for _, p := range []manifest.PartFile{one, two} {
		if _, err := st.gh.PublishPart(t.Context(), p, st.task()); err != nil {
			t.Fatal(err)
		}
	}
	r := &manifest.Release{Schema: manifest.ReleaseSchema, Project: "p", Version: "1", Tag: "v1", Targets: []manifest.Part{one.Part}}
	w := publish.Wanted{Files: filesOf(one), Release: r}
	plan, err := st.gh.Plan(t.Context(), publish.Wanted{Tag: "v1", Files: w.Files, Release: r}, st.task())
	if err != nil {
		t.Fatal(err)
	}
	removed := ""
	for _, a := range plan.Assets {
		if a.Kind == publish.RemovePart {
			removed += a.Name + " "
		}
	}
	if removed != "relmat-part-one.json " {
		t.Errorf("the plan removes %q", removed)
	}
	// Until release.json is there the part manifest is.
	st.s.OnChange(func(c githubtest.Change) {
		rel := c.Releases[0]
		if rel.Asset("relmat-part-one.json") == nil && rel.Asset("release.json") == nil {
			t.Error("neither the part manifest nor release.json is there")
		}
	})
	st.must(w)
	wantAssets(t, st.release(), filesOf(one, two), "release.json", "relmat-part-two.json")
	if res := st.must(w); res.Outcome != publish.Unchanged {
		t.Errorf("once more: %s", res.Outcome)
	}
}

// The same part again changes nothing of an immutable release that has it.
func TestPartOfAnImmutableRelease(t *testing.T) {
	st := newStage(t)
	one := makePart(t, st.dir, "one", map[string]string{"one.zip": "1"})
	r := manifest.Release{Schema: manifest.ReleaseSchema, Project: "p", Version: "1", Tag: "v1", CommitChecked: true, Targets: []manifest.Part{one.Part}}
	data, err := r.Encode()
	if err != nil {
		t.Fatal(err)
	}
	rel := st.repo.AddRelease(githubtest.NewRelease{Tag: "v1", Immutable: true})
	rel.AddAsset("one.zip", []byte("1"))
	rel.AddAsset("release.json", data)
	preflight := func(name string) error {
		return st.gh.Preflight(t.Context(), publish.Wanted{Tag: "v1", Visibility: publish.Draft, Files: []publish.File{
			{Name: name, Size: -1}, {Name: manifest.PartName("one"), Size: -1},
		}}, st.task())
	}
	if err := preflight("one.zip"); err != nil {
		t.Errorf("preflight: %v", err)
	}
	if err := preflight("another.zip"); !errors.Is(err, publish.ErrImmutable) {
		t.Errorf("preflight of another asset: %v", err)
	}
	if res, err := st.gh.PublishPart(t.Context(), one, st.task()); err != nil || res.Outcome != publish.Unchanged {
		t.Errorf("%+v, %v", res, err)
	}
}
