package publish_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/relmat/relmat/internal/githubtest"
	"github.com/relmat/relmat/internal/publish"
)

// A 502 that did store the asset is seen, and nothing is sent twice.
func TestLostAnswerIsLookedUp(t *testing.T) {
	for name, f := range map[string]githubtest.Fault{"502": githubtest.BadGateway(true), "reset": githubtest.Lost(), "half an answer": githubtest.Truncate()} {
		t.Run(name, func(t *testing.T) {
			st := newStage(t)
			for _, op := range []string{githubtest.OpCreateRelease, githubtest.OpUpload, githubtest.OpUpdateRelease} {
				st.s.Fail(githubtest.Match{Op: op}, f)
			}
			files := []publish.File{st.file("a.zip", "bytes of a")}
			if res := st.must(publish.Wanted{Files: files}); res.Outcome != publish.Published {
				t.Errorf("%+v", res)
			}
			wantAssets(t, st.release(), files)
			for _, op := range []string{githubtest.OpCreateRelease, githubtest.OpUpload, githubtest.OpUpdateRelease} {
				if n := st.s.Count(op); n != 1 {
					t.Errorf("%d times %s", n, op)
				}
			}
			if n := len(st.repo.ByTag("v1")); n != 1 {
				t.Errorf("%d releases", n)
			}
		})
	}
}

func TestUnauthorizedInTheMiddleEndsTheRun(t *testing.T) {
	st := newStage(t)
	st.s.Fail(githubtest.Match{Op: githubtest.OpUpload}, githubtest.Unauthorized())
	_, err := st.publish(publish.Wanted{Files: []publish.File{st.file("a.zip", "a")}})
	if !errors.Is(err, publish.ErrAuth) || !strings.Contains(err.Error(), "401 Bad credentials") || st.s.Count(githubtest.OpUpload) != 1 {
		t.Errorf("%v after %d uploads", err, st.s.Count(githubtest.OpUpload))
	}
}

// Refused streams and connections that end are sent again on another one.
func TestRefusedStreams(t *testing.T) {
	st := newStage(t, githubtest.HTTP2())
	body := strings.Repeat("0123456789abcdef", 1<<16)
	st.s.Fail(githubtest.Match{Op: githubtest.OpUpload}, githubtest.RefuseStream(0), githubtest.RefuseStream(1<<18), githubtest.GoAway(1<<17), githubtest.Reset(1<<19))
	files := []publish.File{st.file("a.zip", body), st.file("b.zip", body+"b")}
	st.must(publish.Wanted{Files: files})
	wantAssets(t, st.release(), files)
	if st.s.Pending() > 0 {
		t.Error("the faults were not met")
	}
}

// A file that is not what it was when it was hashed never gets to GitHub as a
// whole.
func TestFileThatChanges(t *testing.T) {
	for name, change := range map[string]func(path string) error{
		"other bytes": func(p string) error { return os.WriteFile(p, []byte("BYTES OF A"), 0o644) },
		"shorter":     func(p string) error { return os.Truncate(p, 3) },
		"longer":      func(p string) error { return os.WriteFile(p, []byte("bytes of a and more"), 0o644) },
		"gone":        os.Remove,
		"a directory": func(p string) error { return errors.Join(os.Remove(p), os.Mkdir(p, 0o755)) },
	} {
		t.Run(name, func(t *testing.T) {
			st := newStage(t)
			f := st.file("a.zip", "bytes of a")
			if err := change(f.Path); err != nil {
				t.Fatal(err)
			}
			_, err := st.publish(publish.Wanted{Files: []publish.File{f}})
			if err == nil || !strings.Contains(err.Error(), f.Path) {
				t.Errorf("%v", err)
			}
			for _, a := range st.release().Assets {
				if a.State == githubtest.StateUploaded {
					t.Errorf("%+v is there", a)
				}
			}
			f = st.file("sub.zip", "x")
			st.must(publish.Wanted{Files: []publish.File{f}})
		})
	}
}

// A transfer that gets on slowly goes on; one that does not is broken off.
func TestStall(t *testing.T) {
	st := newStage(t)
	st.gh.Stall = 150 * time.Millisecond
	st.s.Fail(githubtest.Match{Op: githubtest.OpUpload}, githubtest.Hang(5, 5*time.Second), githubtest.Hang(1<<30, 5*time.Second))
	st.s.Fail(githubtest.Match{Op: githubtest.OpListReleases}, githubtest.Hang(0, 5*time.Second))
	files := []publish.File{st.file("a.zip", strings.Repeat("a", 1<<20))}
	start := time.Now()
	st.must(publish.Wanted{Files: files})
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("it took %s", took)
	}
	wantAssets(t, st.release(), files)

	// 16 MB at 6 MB a second take longer than the stall. The system's buffers
	// let the bytes through in lumps of some megabytes.
	st.gh.Stall = 1500 * time.Millisecond
	st.s.Fail(githubtest.Match{Op: githubtest.OpUpload}, githubtest.Drip(6<<20))
	st.s.ForgetRequests()
	files = []publish.File{st.file("b.zip", strings.Repeat("b", 16<<20))}
	st.must(publish.Wanted{Files: files})
	if n := st.s.Count(githubtest.OpUpload); n != 1 {
		t.Errorf("%d uploads of a file that only took its time", n)
	}
}

// GitHub's storage refuses a token, and the address of an asset is signed.
func TestDownloadLeavesTheTokenBehind(t *testing.T) {
	st := newStage(t)
	rel := st.repo.AddRelease(githubtest.NewRelease{Tag: "v1", Draft: true})
	rel.AddOldAsset("a.zip", []byte("bytes of a"))
	st.s.Fail(githubtest.Match{Op: githubtest.OpStorage}, githubtest.Truncate(), githubtest.Reset(0))
	st.must(publish.Wanted{Files: []publish.File{st.file("a.zip", "bytes of a")}})
	if n := st.s.Count(githubtest.OpUpload); n != 0 {
		t.Errorf("%d uploads", n)
	}
	if n := st.s.Count(githubtest.OpStorage); n != 3 {
		t.Errorf("%d downloads", n)
	}
}

// An asset whose bytes are not those that were sent is sent again.
func TestWrongBytesAreNotAccepted(t *testing.T) {
	st := newStage(t)
	st.s.Fail(githubtest.Match{Op: githubtest.OpUpload}, githubtest.WrongDigest())
	st.s.Fail(githubtest.Match{Op: githubtest.OpListAssets, Skip: 1}, githubtest.WrongDigest(), githubtest.Ghost())
	files := []publish.File{st.file("a.zip", "bytes of a")}
	st.must(publish.Wanted{Files: files})
	wantAssets(t, st.release(), files)
}

// What gives up says for how long it tried, and that it can be run again.
func TestPatienceEnds(t *testing.T) {
	st := newStage(t)
	st.gh.RetryFor = 2 * time.Minute
	var all []githubtest.Fault
	for range 200 {
		all = append(all, githubtest.BadGateway(false))
	}
	st.s.Fail(githubtest.Match{Op: githubtest.OpListReleases}, all...)
	_, err := st.publish(publish.Wanted{Files: []publish.File{st.file("a.zip", "a")}})
	if err == nil || !strings.Contains(err.Error(), "502") || !strings.Contains(err.Error(), "run the same command again") {
		t.Errorf("%v", err)
	}
	if n := st.s.Count(); n < 4 || n > 20 {
		t.Errorf("%d tries in two minutes", n)
	}
}

// clock counts what is slept, and sleeps not at all.
type clock struct {
	mu    sync.Mutex
	now   time.Time
	slept time.Duration
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Sleep(ctx context.Context, d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now, c.slept = c.now.Add(d), c.slept+d
	return ctx.Err()
}

// GitHub's limit on content is kept, so that it is never met.
func TestPaces(t *testing.T) {
	c := &clock{now: time.Now()}
	var mu sync.Mutex
	var at []time.Time
	st := newStage(t)
	st.s.OnRequest(func(_ int, r *http.Request) {
		if r.Method == http.MethodPost {
			mu.Lock()
			defer mu.Unlock()
			at = append(at, c.Now())
		}
	})
	st.gh.Parallel = 1 // no worker's wait moves the clock while another's request is under way
	st.gh.Now, st.gh.Sleep, st.gh.Paces = c.Now, c.Sleep, []publish.Pace{{Requests: 10, Per: time.Minute}, {Requests: 25, Per: time.Hour}}
	var files []publish.File
	for i := range 40 {
		files = append(files, st.file(fmt.Sprintf("f%02d.zip", i), fmt.Sprint(i)))
	}
	st.must(publish.Wanted{Files: files})
	for _, pace := range st.gh.Paces {
		for i := pace.Requests; i < len(at); i++ {
			if d := at[i].Sub(at[i-pace.Requests]); d < pace.Per {
				t.Errorf("%d requests within %s", pace.Requests+1, d)
			}
		}
	}
	if len(at) != 41 || c.slept > 90*time.Minute {
		t.Errorf("%d requests, %s slept", len(at), c.slept)
	}
}

// Pages that shift while they are read neither lose nor double anything.
func TestShiftingPages(t *testing.T) {
	st := newStage(t)
	rel := st.repo.AddRelease(githubtest.NewRelease{Tag: "v1", Draft: true})
	var files []publish.File
	for i := range 150 {
		name := fmt.Sprintf("f%03d.zip", i)
		files = append(files, st.file(name, name))
		rel.AddAsset(name, []byte(name))
	}
	for _, f := range []githubtest.Fault{githubtest.Ghost(), githubtest.Shift()} {
		st.s.Fail(githubtest.Match{Op: githubtest.OpListAssets}, f, f)
	}
	st.must(publish.Wanted{Files: files})
	wantAssets(t, st.release(), files)
}

// A job that made the draft hands its id on.
func TestReleaseID(t *testing.T) {
	st := newStage(t)
	st.repo.AddRelease(githubtest.NewRelease{Tag: "v1", Draft: true})
	mine := st.repo.AddRelease(githubtest.NewRelease{Tag: "v1", Draft: true})
	st.gh.ReleaseID = mine.ID
	w := publish.Wanted{Visibility: publish.Draft, Files: []publish.File{st.file("a.zip", "a")}}
	if res := st.must(w); res.ID != mine.ID || res.Outcome != publish.Updated && res.Outcome != publish.Drafted {
		t.Errorf("%+v", res)
	}
	part := makePart(t, st.dir, "one", map[string]string{"one.zip": "1"})
	if res, err := st.gh.PublishPart(t.Context(), part, st.task()); err != nil || res.ID != mine.ID {
		t.Errorf("a part: %+v, %v", res, err)
	}
	refused := func(want string) {
		t.Helper()
		before := st.repo.State()
		_, err := st.publish(w)
		_, partErr := st.gh.PublishPart(t.Context(), part, st.task())
		w.Tag = "v1"
		for _, err := range []error{err, partErr, st.gh.Preflight(t.Context(), w, st.task())} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v", err)
			}
		}
		if !reflect.DeepEqual(before, st.repo.State()) {
			t.Error("something was changed")
		}
	}
	st.gh.ReleaseID = st.repo.AddRelease(githubtest.NewRelease{Tag: "v2", Draft: true}).ID
	refused("is that of tag v2, not of v1; look at --release-id and --tag")
	st.gh.ReleaseID = 987654
	refused("o/r has no release 987654, or the token may not see it; look at --release-id")
}

func TestRights(t *testing.T) {
	st := newStage(t, githubtest.WithToken("ghp_readerreaderreader", githubtest.Rights{}), githubtest.WithToken("ghs_installation1", githubtest.Rights{}),
		githubtest.WithToken("ghs_installation2", githubtest.Rights{Push: true}))
	w := publish.Wanted{Tag: "v1", Files: []publish.File{st.file("a.zip", "a")}}
	for token, want := range map[string]string{"": "there is none", "ghp_readerreaderreader": "it may read o/r and not write", "ghp_unknownunknown": "Bad credentials", "ghs_installation1": "permissions: {contents: write}"} {
		st.gh.Token = func(context.Context) (string, error) { return token, nil }
		err := st.gh.Preflight(t.Context(), w, st.task())
		if !errors.Is(err, publish.ErrAuth) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", token, err)
		}
	}
	st.gh.Token = func(context.Context) (string, error) { return "ghs_installation2", nil }
	if err := st.gh.Preflight(t.Context(), w, st.task()); err != nil {
		t.Errorf("an installation that may write: %v", err)
	}
	st.gh.Token = func(context.Context) (string, error) { return githubtest.Token, nil }
	st.repo.Archive(true)
	if err := st.gh.Preflight(t.Context(), w, st.task()); err == nil || !strings.Contains(err.Error(), "is archived") {
		t.Errorf("%v", err)
	}
}

// The order of tokens, and that of gh is asked for on no command line.
func TestTokens(t *testing.T) {
	dir := t.TempDir()
	script := "#!/bin/sh\necho \"$@\" >> " + filepath.Join(dir, "asked") + "\necho ghp_fromGhItself\n"
	if err := os.WriteFile(filepath.Join(dir, "gh"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	path := "PATH=" + dir + string(filepath.ListSeparator) + os.Getenv("PATH")
	for _, tt := range []struct {
		env  []string
		api  string
		want string
	}{
		{[]string{path, "GITHUB_TOKEN=one_one", "GH_TOKEN=two_two"}, publish.GitHubAPI, "one_one"},
		{[]string{path, "GITHUB_TOKEN=", "GH_TOKEN=two_two"}, publish.GitHubAPI, "two_two"},
		{[]string{path}, publish.GitHubAPI, "ghp_fromGhItself"},
		{[]string{path}, "https://github.example.org/api/v3/", "ghp_fromGhItself"},
		{[]string{"PATH=" + filepath.Join(dir, "empty")}, publish.GitHubAPI, ""},
	} {
		if got, err := publish.Tokens(t.Context(), tt.env, tt.api); got != tt.want || err != nil {
			t.Errorf("%q: %q, %v", tt.env, got, err)
		}
	}
	asked, err := os.ReadFile(filepath.Join(dir, "asked"))
	if want := "auth token\nauth token --hostname github.example.org\n"; string(asked) != want || err != nil {
		t.Errorf("gh was asked %q, %v", asked, err)
	}
}

// The token, and signatures in addresses, are in nothing that a run says.
func TestIncident45NoSecretIsSaid(t *testing.T) {
	st := newStage(t)
	rel := st.repo.AddRelease(githubtest.NewRelease{Tag: "v1", Draft: true})
	rel.AddOldAsset("a.zip", []byte("a"))
	st.gh.RetryFor = 1 // the first error is the last
	secret := func(what string, err error) {
		t.Helper()
		if err == nil {
			t.Errorf("%s: no error", what)
			return
		}
		for _, bad := range []string{githubtest.Token, "sig=", "Bearer"} {
			if strings.Contains(err.Error()+st.said.String(), bad) {
				t.Errorf("%s: %v\n%s", what, err, st.said)
			}
		}
	}
	w := publish.Wanted{Files: []publish.File{st.file("a.zip", "a")}}
	for _, tt := range []struct {
		op string
		f  githubtest.Fault
	}{
		{githubtest.OpListReleases, githubtest.Reset(0)},
		{githubtest.OpListReleases, githubtest.Unauthorized()},
		{githubtest.OpListAssets, githubtest.Truncate()},
		{githubtest.OpGetAsset, githubtest.BadGateway(false)},
		{githubtest.OpStorage, githubtest.Reset(0)},
		{githubtest.OpStorage, githubtest.Status(403, "no")},
	} {
		st.s.Fail(githubtest.Match{Op: tt.op}, tt.f)
		_, err := st.publish(w)
		secret(tt.op, err)
	}
	st.s.Close()
	_, err := st.publish(w)
	secret("no server", err)
	for _, token := range []string{githubtest.Token + "\nX: y", githubtest.Token + " x"} {
		_, err := publish.Tokens(context.Background(), []string{"GITHUB_TOKEN=" + token}, publish.GitHubAPI)
		if !errors.Is(err, publish.ErrAuth) {
			t.Errorf("%v", err)
		}
		secret("a token that is none", err)
	}
}
