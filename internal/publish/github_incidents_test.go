package publish_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/relmat/relmat/internal/githubtest"
	"github.com/relmat/relmat/internal/progress"
	"github.com/relmat/relmat/internal/publish"
)

// The numbers are those of the list of releases that went wrong.

// stage is a repository with a tag v1, a publisher, and a directory for files.
type stage struct {
	t    *testing.T
	s    *githubtest.Server
	repo *githubtest.Repo
	gh   *publish.GitHub
	dir  string
	said *said
}

func newStage(t *testing.T, opts ...githubtest.Option) *stage {
	t.Helper()
	s := githubtest.New(t, opts...)
	st := &stage{t: t, s: s, repo: s.Repo("o/r"), gh: gh(t, s, "o/r"), dir: t.TempDir(), said: &said{}}
	st.repo.AddTag("v1", "")
	return st
}

func (st *stage) file(name, content string) publish.File { return put(st.t, st.dir, name, content) }

func (st *stage) task() *progress.Task { return progress.New(st.said).Begin("", "publish", "") }

func (st *stage) publish(w publish.Wanted) (*publish.Result, error) {
	if w.Tag == "" {
		w.Tag = "v1"
	}
	return st.gh.Publish(st.t.Context(), w, st.task())
}

func (st *stage) must(w publish.Wanted) *publish.Result {
	st.t.Helper()
	res, err := st.publish(w)
	if err != nil {
		st.t.Fatal(err)
	}
	return res
}

func (st *stage) release() githubtest.ReleaseState {
	st.t.Helper()
	list := st.repo.ByTag("v1")
	if len(list) == 0 {
		st.t.Fatal("no release")
	}
	return list[0]
}

// guard watches that a.zip never goes without good bytes.
func (st *stage) guard(sums ...string) {
	st.s.Guard(githubtest.Guard{
		Repo: "o/r", Tag: "v1", Names: []string{"a.zip"},
		Good: func(_, sum string) bool {
			for _, s := range sums {
				if s == sum {
					return true
				}
			}
			return false
		},
		Temporary: func(name, temp string) bool { of, _, ok := publish.IsTemporary(temp); return ok && of == name },
	})
}

func TestIncident31TooLargeIsRefusedBeforeAnyUpload(t *testing.T) {
	st := newStage(t)
	path := filepath.Join(st.dir, "large.zip")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Truncate(2<<30), f.Close()); err != nil {
		t.Fatal(err)
	}
	w := publish.Wanted{Tag: "v1", Files: []publish.File{{Name: "large.zip", Path: path, Size: 2 << 30}, st.file("a.zip", "a")}}
	for _, do := range []func() error{
		func() error { return st.gh.Preflight(t.Context(), w, st.task()) },
		func() error { _, err := st.publish(w); return err },
	} {
		if err := do(); err == nil || !strings.Contains(err.Error(), "large.zip has 2147483648 bytes (2.1 GB); split") {
			t.Errorf("%v", err)
		}
	}
	if n := st.s.Count(); n != 0 {
		t.Errorf("%d requests", n)
	}
	// One byte less is GitHub's to judge.
	w.Files[0].Size--
	if err := st.gh.Preflight(t.Context(), w, st.task()); err != nil {
		t.Error(err)
	}
}

func TestIncident32TooManyAreRefusedBeforeAnyUpload(t *testing.T) {
	t.Parallel()
	st := newStage(t)
	st.gh.Stall = time.Minute // a page of 100 takes the server its time
	rel := st.repo.AddRelease(githubtest.NewRelease{Tag: "v1", Draft: true})
	for i := range 999 {
		rel.AddAsset(fmt.Sprintf("other-%03d.zip", i), []byte("x"))
	}
	w := publish.Wanted{Tag: "v1", Files: []publish.File{st.file("a.zip", "a"), st.file("b.zip", "b")}}
	if err := st.gh.Preflight(t.Context(), w, st.task()); err == nil || !strings.Contains(err.Error(), "would have 1001 assets") {
		t.Errorf("%v", err)
	}
	if _, err := st.publish(w); err == nil || !strings.Contains(err.Error(), "would have 1001 assets, 999 of them not of this run") {
		t.Errorf("%v", err)
	}
	if n := st.s.Count(githubtest.OpUpload); n != 0 {
		t.Errorf("%d uploads", n)
	}
	w.Files = w.Files[:1]
	st.must(w)
	// It is full now. A replacement would need room of its own.
	w.Files[0] = st.file("a.zip", "other")
	if _, err := st.publish(w); err == nil || !strings.Contains(err.Error(), "needs room") {
		t.Errorf("%v", err)
	}
}

func TestIncident33StarterIsRemoved(t *testing.T) {
	for name, f := range map[string]githubtest.Fault{
		"502": githubtest.BadGatewayStarter(), "500": githubtest.ServerError(), "reset": githubtest.Reset(3),
	} {
		t.Run(name, func(t *testing.T) {
			st := newStage(t)
			rel := st.repo.AddRelease(githubtest.NewRelease{Tag: "v1", Draft: true})
			rel.AddStarter("a.zip") // left by another tool
			rel.AddStarter("theirs.zip")
			st.s.Fail(githubtest.Match{Op: githubtest.OpUpload}, f, f)
			files := []publish.File{st.file("a.zip", "bytes of a"), st.file("b.zip", "bytes of b")}
			st.must(publish.Wanted{Files: files})
			wantAssets(t, st.release(), files, "theirs.zip")
			if st.s.Pending() > 0 {
				t.Error("the faults were not met")
			}
		})
	}
}

// A starter that became an asset since the list was read is none.
func TestIncident33StarterThatIsFinishedMeanwhileStays(t *testing.T) {
	st := newStage(t)
	files := []publish.File{st.file("a.zip", "bytes of a")}
	rel := st.repo.AddRelease(githubtest.NewRelease{Tag: "v1", Draft: true})
	rel.AddStarter("a.zip")
	var id int64
	st.s.Fail(githubtest.Match{Op: githubtest.OpListAssets}, githubtest.CallAfter(func() {}))
	st.s.Fail(githubtest.Match{Op: githubtest.OpGetAsset}, githubtest.Call(0, func() {
		// Another job's: the starter goes, the asset comes.
		id = rel.AddAsset("a2.zip", []byte("x"))
	}))
	st.must(publish.Wanted{Files: files})
	if id == 0 {
		t.Fatal("the starter was not read again before it went")
	}
	wantAssets(t, st.release(), files, "a2.zip")
}

func TestIncident34Other422IsNotAlreadyExists(t *testing.T) {
	st := newStage(t)
	rel := st.repo.AddRelease(githubtest.NewRelease{Tag: "v1", Draft: true})
	rel.AddAsset("a.zip", []byte("old"))
	st.s.Fail(githubtest.Match{Op: githubtest.OpUpload}, githubtest.Status(422, "Something new is wrong"))
	_, err := st.publish(publish.Wanted{Files: []publish.File{st.file("a.zip", "new")}})
	if err == nil || !strings.Contains(err.Error(), "Something new is wrong") || !strings.Contains(err.Error(), "uploading a.zip") {
		t.Errorf("%v", err)
	}
	if n := st.s.Count(githubtest.OpUpload); n != 1 {
		t.Errorf("%d uploads", n)
	}
	if n := st.s.Count(githubtest.OpDeleteAsset, githubtest.OpUpdateAsset); n != 0 {
		t.Errorf("%d assets were touched", n)
	}
}

func TestIncident35DigestDecidesAndNotSize(t *testing.T) {
	st := newStage(t)
	rel := st.repo.AddRelease(githubtest.NewRelease{Tag: "v1"})
	rel.AddAsset("a.zip", []byte("stale bytes"))
	rel.AddOldAsset("b.zip", []byte("stale bytes")) // GitHub tells no digest
	rel.AddOldAsset("c.zip", []byte("fresh bytes"))
	files := []publish.File{st.file("a.zip", "fresh bytes"), st.file("b.zip", "fresh bytes"), st.file("c.zip", "fresh bytes")}
	if res := st.must(publish.Wanted{Files: files}); res.Outcome != publish.Updated {
		t.Errorf("%+v", res)
	}
	wantAssets(t, st.release(), files)
	if n := st.s.Count(githubtest.OpUpload); n != 2 {
		t.Errorf("%d uploads, want two", n)
	}
}

func TestIncident36OldStaysUntilNewIsThere(t *testing.T) {
	// Whichever request is the last one that works.
	for n := 0; ; n++ {
		st := newStage(t)
		rel := st.repo.AddRelease(githubtest.NewRelease{Tag: "v1"})
		rel.AddAsset("a.zip", []byte("old bytes"))
		fresh := st.file("a.zip", "new bytes")
		st.guard(sum("old bytes"), fresh.SHA256)
		st.s.Fail(githubtest.Match{Skip: n}, githubtest.Unauthorized())
		_, err := st.publish(publish.Wanted{Files: []publish.File{fresh}})
		if err == nil {
			if n < 6 {
				t.Errorf("only %d requests", n)
			}
			break
		}
		if !errors.Is(err, publish.ErrAuth) {
			t.Errorf("request %d: %v", n, err)
		}
		st.must(publish.Wanted{Files: []publish.File{fresh}})
		wantAssets(t, st.release(), []publish.File{fresh})
	}
}

func TestIncident37DraftOnAFurtherPageIsFound(t *testing.T) {
	st := newStage(t)
	draft := st.repo.AddRelease(githubtest.NewRelease{Tag: "v1", Draft: true})
	for i := range 230 {
		st.repo.AddRelease(githubtest.NewRelease{Tag: fmt.Sprintf("w%d", i)})
	}
	files := []publish.File{st.file("a.zip", "a")}
	if res := st.must(publish.Wanted{Files: files}); res.ID != draft.ID {
		t.Errorf("release %d, want %d", res.ID, draft.ID)
	}
	if n := len(st.repo.ByTag("v1")); n != 1 {
		t.Errorf("%d releases of the tag", n)
	}
	st.s.ForgetRequests()
	st.must(publish.Wanted{Files: files})
	if n := st.s.Count(); n > 3+2 {
		t.Errorf("%d requests for three pages and nothing to do", n)
	}
}

func TestIncident37DuplicateDraftsAreReported(t *testing.T) {
	st := newStage(t)
	older := st.repo.AddRelease(githubtest.NewRelease{Tag: "v1", Draft: true})
	younger := st.repo.AddRelease(githubtest.NewRelease{Tag: "v1", Draft: true})
	younger.AddAsset("b.zip", []byte("theirs"))
	if res := st.must(publish.Wanted{Files: []publish.File{st.file("a.zip", "a")}}); res.ID != older.ID {
		t.Errorf("release %d, want the older, %d", res.ID, older.ID)
	}
	if text := st.said.String(); !strings.Contains(text, fmt.Sprintf("another draft v1 (id %d); this one has id %d", younger.ID, older.ID)) {
		t.Errorf("it says %s", text)
	}
	if st.repo.ByTag("v1")[1].Asset("b.zip") == nil {
		t.Error("the other draft was touched")
	}
}

// Two jobs that find nothing make one release.
func TestIncident37RaceOfTwoJobs(t *testing.T) {
	st := newStage(t)
	a, b := st.file("a.zip", "a"), st.file("b.zip", "b")
	errs := make(chan error, 1)
	st.s.Fail(githubtest.Match{Op: githubtest.OpCreateRelease}, githubtest.Call(0, func() {
		_, err := gh(t, st.s, "o/r").Publish(t.Context(), publish.Wanted{Tag: "v1", Visibility: publish.Draft, Files: []publish.File{b}}, quietTask())
		errs <- err
	}))
	st.must(publish.Wanted{Files: []publish.File{a}})
	if err := <-errs; err != nil {
		t.Error(err)
	}
	if n := len(st.repo.ByTag("v1")); n != 1 {
		t.Errorf("%d releases of the tag", n)
	}
	wantAssets(t, st.release(), []publish.File{a, b})
	if text := st.said.String(); !strings.Contains(text, "another job made the release at the same time") {
		t.Errorf("it says %s", text)
	}
}

func TestIncident38SecondaryLimitIsWaitedFor(t *testing.T) {
	t.Parallel()
	for name, after := range map[string]bool{"Retry-After": true, "nothing said": false} {
		t.Run(name, func(t *testing.T) {
			st := newStage(t, githubtest.WithCreationLimit(githubtest.CreationLimit{Requests: 100, Per: 20e6, Wait: 20e6, RetryAfter: after}))
			var files []publish.File
			for i := range 522 {
				files = append(files, st.file(fmt.Sprintf("tool-%03d.tar.gz", i), fmt.Sprint("bytes of ", i)))
			}
			res := st.must(publish.Wanted{Files: files})
			wantAssets(t, st.release(), files)
			if res.Outcome != publish.Published || st.s.Count(githubtest.OpUpload) > 522+60 {
				t.Errorf("%s after %d uploads", res.Outcome, st.s.Count(githubtest.OpUpload))
			}
		})
	}
}

func TestIncident39DraftIsKeptAndResumed(t *testing.T) {
	st := newStage(t)
	files := []publish.File{st.file("a.zip", "a"), st.file("b.zip", "b"), st.file("c.zip", "c")}
	st.gh.Parallel = 1
	st.s.Fail(githubtest.Match{Op: githubtest.OpUpload, Name: "c.zip"}, githubtest.Status(422, "No"))
	if _, err := st.publish(publish.Wanted{Files: files}); err == nil {
		t.Fatal("no error")
	}
	rel := st.release()
	if !rel.Draft {
		t.Error("it is published without c.zip")
	}
	wantAssets(t, rel, files[:2])
	st.s.ForgetRequests()
	if res := st.must(publish.Wanted{Files: files}); res.ID != rel.ID || res.Outcome != publish.Published {
		t.Errorf("%+v", res)
	}
	if n := st.s.Count(githubtest.OpUpload); n != 1 {
		t.Errorf("%d uploads, want the missing one", n)
	}
	if n := st.s.Count(githubtest.OpDeleteRelease, githubtest.OpCreateRelease); n != 0 {
		t.Errorf("%d releases made or deleted", n)
	}
}

func TestIncident40NamesStayAsTheyAre(t *testing.T) {
	st := newStage(t)
	for _, name := range []string{"a b.zip", "a~b.zip", "a(1).zip", ".hidden", "ä.zip", "a..zip.", "-a.zip", "a@b.zip"} {
		_, err := st.publish(publish.Wanted{Files: []publish.File{{Name: name, Path: "x", Size: 1, SHA256: sum("x")}}})
		if !errors.Is(err, publish.ErrNames) || !strings.Contains(err.Error(), fmt.Sprintf("%q", name)) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if n := st.s.Count(); n != 0 {
		t.Errorf("%d requests", n)
	}
	files := []publish.File{st.file("tool-1.0+cu130_x.tar.gz", "a"), st.file("tool.whl", "b")}
	st.must(publish.Wanted{Files: files, Checksums: true})
	a := st.release().Asset("SHA256SUMS")
	data, err := st.repo.Content(a.ID)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	if len(lines) != 2 {
		t.Errorf("SHA256SUMS: %s", data)
	}
	for _, line := range lines {
		digest, name, _ := strings.Cut(line, "  ")
		if got := st.release().Asset(name); got == nil || got.SHA256 != digest {
			t.Errorf("%q is no asset with that digest", line)
		}
	}
	// Two names that are one on Windows and macOS.
	if _, err := st.publish(publish.Wanted{Files: []publish.File{st.file("A.zip", "x"), st.file("a.zip", "y")}}); !errors.Is(err, publish.ErrNames) {
		t.Errorf("%v", err)
	}
}

// Where releases are immutable, and the token may know, preflight says so
// before the first one is published.
func TestPreflightTellsOfImmutableReleases(t *testing.T) {
	for name, c := range map[string]struct {
		on, admin, draft, want bool
	}{
		"on": {on: true, admin: true, want: true}, "off": {admin: true},
		"on, and not ours to read": {on: true}, "on, for a draft": {on: true, admin: true, draft: true},
	} {
		t.Run(name, func(t *testing.T) {
			const token = "ghp_anotherTokenOfTheTests0123456789abcd"
			st := newStage(t, githubtest.WithToken(token, githubtest.Rights{Push: true, Admin: c.admin}))
			st.gh.Token = func(context.Context) (string, error) { return token, nil }
			st.repo.MakeImmutable(c.on)
			w := publish.Wanted{Tag: "v1", Files: []publish.File{st.file("a.zip", "a")}}
			if c.draft {
				w.Visibility = publish.Draft
			}
			if err := st.gh.Preflight(t.Context(), w, st.task()); err != nil {
				t.Fatal(err)
			}
			if got := strings.Contains(st.said.String(), "warn: releases of o/r are immutable"); got != c.want {
				t.Errorf("it said %q", st.said)
			}
		})
	}
}

func TestIncident41ImmutableIsAskedBeforeTheBuild(t *testing.T) {
	st := newStage(t)
	old := st.file("a.zip", "a")
	rel := st.repo.AddRelease(githubtest.NewRelease{Tag: "v1", Draft: true})
	rel.AddAsset("a.zip", []byte("a"))
	st.repo.MakeImmutable(true)
	if res := st.must(publish.Wanted{Files: []publish.File{old}}); res.Outcome != publish.Published || !st.release().Immutable {
		t.Errorf("%+v", res)
	}
	// Nothing is built yet: names are known, and neither sizes nor digests.
	for name, refused := range map[string]bool{"a.zip": false, "b.zip": true} {
		err := st.gh.Preflight(t.Context(), publish.Wanted{Tag: "v1", Files: []publish.File{{Name: name, Size: -1}}}, st.task())
		if errors.Is(err, publish.ErrImmutable) != refused || !refused && err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	st.s.ForgetRequests()
	if res := st.must(publish.Wanted{Files: []publish.File{old}}); res.Outcome != publish.Unchanged {
		t.Errorf("%+v", res)
	}
	_, err := st.publish(publish.Wanted{Files: []publish.File{st.file("a.zip", "b")}})
	if !errors.Is(err, publish.ErrImmutable) || !strings.Contains(err.Error(), "publish under another tag") {
		t.Errorf("%v", err)
	}
	if n := st.s.Count(githubtest.OpUpload, githubtest.OpDeleteAsset); n != 0 {
		t.Errorf("%d attempts to change it", n)
	}
}

func TestIncident42TagIsHeldAgainstTheCommit(t *testing.T) {
	st := newStage(t)
	other := strings.Repeat("ab", 20)
	st.repo.AddTag("v2", other)
	st.repo.AddAnnotatedTag("v3/x", other)
	head := st.repo.Head()
	files := []publish.File{{Name: "a.zip", Size: -1}}
	for _, tt := range []struct{ tag, commit, want string }{
		{"v1", head, ""},
		{"v1", other, "tag v1 of o/r is commit " + head[:12] + ", and what is released is abababababab"},
		{"v2", other, ""},
		{"v3/x", other, ""},
		{"v3/x", head, "tag v3/x of o/r is commit abababababab"},
		{"v4", head, ""}, // GitHub makes it there
		{"v4", strings.Repeat("cd", 20), "neither tag v4 nor commit cdcdcdcdcdcd"},
		{"v4", "", "has no tag v4; push it (git push origin v4)"},
	} {
		err := st.gh.Preflight(t.Context(), publish.Wanted{Tag: tt.tag, Commit: tt.commit, Files: files}, st.task())
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s at %.12s: %v", tt.tag, tt.commit, err)
		}
	}
}
