package publish_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/relmat/relmat/internal/fsx"
	"github.com/relmat/relmat/internal/manifest"
	"github.com/relmat/relmat/internal/progress"
	"github.com/relmat/relmat/internal/publish"
)

func TestPublish(t *testing.T) {
	f := newFixture(t)
	f.mustPublish(false, publish.Published)
	f.mustPublish(false, publish.Unchanged)
	f.mustPublish(true, publish.Unchanged) // nothing to replace
	f.release.Tag = "v2"
	f.mustPublish(false, publish.Published)
	f.wantReleases("v1", "v2")
}

// The times of the smoke tests differ from run to run; the assets do not.
func TestUnchangedWithOtherTimes(t *testing.T) {
	f := newFixture(t)
	f.mustPublish(false, publish.Published)
	f.release.Targets[0].Smoke = []manifest.SmokeResult{{Package: "tool", Steps: []manifest.StepResult{{Name: "x", Seconds: 1.5}}}}
	f.mustPublish(false, publish.Unchanged)
}

// Each way in which a published release can differ.
var differences = []struct {
	name   string
	change func(f *fixture)
	says   string
}{
	{"changed bytes", func(f *fixture) { f.write(filepath.Join(f.final(), "tool-win.zip"), "for Doors") }, "tool-win.zip has other bytes"},
	{"changed bytes of the same size", func(f *fixture) {
		path := filepath.Join(f.final(), "tool-win.zip")
		f.write(path, strings.ToUpper("for Windows"))
		old := time.Now().Add(-time.Hour)
		_ = os.Chtimes(path, old, old)
	}, "tool-win.zip has other bytes"},
	{"changed bytes with sums to match", func(f *fixture) {
		f.write(filepath.Join(f.final(), "tool-win.zip"), "for Doors")
		sums, _ := os.ReadFile(filepath.Join(f.final(), "SHA256SUMS"))
		f.write(filepath.Join(f.final(), "SHA256SUMS"), strings.Replace(string(sums), sum("for Windows"), sum("for Doors"), 1))
	}, "tool-win.zip has other bytes"},
	{"cut short", func(f *fixture) { f.write(filepath.Join(f.final(), "tool-linux.tar.gz"), "for") }, "tool-linux.tar.gz has other bytes"},
	{"a missing asset", func(f *fixture) { _ = os.Remove(filepath.Join(f.final(), "tool-win.zip")) }, "tool-win.zip is missing"},
	{"another file", func(f *fixture) { f.write(filepath.Join(f.final(), "notes.txt"), "x") }, "notes.txt is not of this release"},
	{"another directory", func(f *fixture) { f.write(filepath.Join(f.final(), "d", "x"), "x") }, "d is not of this release"},
	{"other sums", func(f *fixture) { f.write(filepath.Join(f.final(), "SHA256SUMS"), "x") }, "SHA256SUMS says something else"},
	{"no sums", func(f *fixture) { _ = os.Remove(filepath.Join(f.final(), "SHA256SUMS")) }, "SHA256SUMS says something else"},
	{"no release.json", func(f *fixture) { _ = os.Remove(filepath.Join(f.final(), "release.json")) }, "release.json is missing"},
	{"half a release.json", func(f *fixture) { f.write(filepath.Join(f.final(), "release.json"), `{"schema": 1,`) }, "release.json is damaged"},
	{"a release.json of another", func(f *fixture) { f.write(filepath.Join(f.final(), "release.json"), `{"tag": "v0"}`) }, "release.json is damaged"},
	{"an empty directory", func(f *fixture) { _ = os.RemoveAll(f.final()); _ = os.Mkdir(f.final(), 0o755) }, "tool-linux.tar.gz is missing; tool-win.zip is missing"},
	{"a new asset", func(f *fixture) { f.release.Targets[0].Assets[0] = f.asset("tool-win.zip", "new") }, "tool-win.zip has other bytes"},
	{"an asset more", func(f *fixture) {
		f.release.Targets[0].Assets = append(f.release.Targets[0].Assets, f.asset("more.zip", "more"))
	}, "more.zip is missing"},
	{"an asset less", func(f *fixture) { f.release.Targets[0].Assets = nil }, "tool-win.zip is not of this release"},
}

func TestDiffers(t *testing.T) {
	for _, tt := range differences {
		t.Run(tt.name, func(t *testing.T) {
			f := newFixture(t)
			f.mustPublish(false, publish.Published)
			tt.change(f)
			before := content(t, f.final())
			for range 2 {
				out, err := f.publish(false)
				if out != "" || !errors.Is(err, publish.ErrDiffers) {
					t.Fatalf("outcome %q, %v; want ErrDiffers", out, err)
				}
				for _, part := range []string{tt.says, f.final(), "--replace"} {
					if !strings.Contains(err.Error(), part) {
						t.Errorf("the error does not say %q: %v", part, err)
					}
				}
			}
			if after := content(t, f.final()); after != before {
				t.Errorf("refused, but changed from\n%s\nto\n%s", before, after)
			}
			f.wantReleases("v1")
			f.mustPublish(true, publish.Replaced)
			f.wantReleases("v1")
			f.mustPublish(false, publish.Unchanged)
		})
	}
}

// content is a directory as one text.
func content(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(p)
		b.WriteString(p + ": " + string(data) + "\n")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestCheckDoesNothing(t *testing.T) {
	f := newFixture(t)
	if out, err := publish.Check(f.dir, f.release, false, f.digests); out != publish.Published || err != nil {
		t.Errorf("nothing there: %q, %v", out, err)
	}
	f.wantReleases()
	f.mustPublish(false, publish.Published)
	before := content(t, f.final())
	if out, err := publish.Check(f.dir, f.release, false, f.digests); out != publish.Unchanged || err != nil {
		t.Errorf("the same: %q, %v", out, err)
	}
	f.release.Targets[0].Assets[0] = f.asset("tool-win.zip", "new")
	if out, err := publish.Check(f.dir, f.release, true, f.digests); out != publish.Replaced || err != nil {
		t.Errorf("another, with replace: %q, %v", out, err)
	}
	if _, err := publish.Check(f.dir, f.release, false, f.digests); !errors.Is(err, publish.ErrDiffers) {
		t.Errorf("another: %v", err)
	}
	if after := content(t, f.final()); after != before {
		t.Errorf("it changed from\n%s\nto\n%s", before, after)
	}
}

// Failures in the middle: nothing stands under the final name, or the old
// release does, and no litter remains.
func TestPublishFails(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(f *fixture)
		says  string
	}{
		{"an asset changed on its way", func(f *fixture) { f.write(f.release.Targets[0].Assets[0].Path, "FOR WINDOWS") }, "tool-win.zip changed on its way"},
		{"an asset that grew", func(f *fixture) { f.write(f.release.Targets[0].Assets[0].Path, "for Windows!") }, "tool-win.zip changed on its way"},
		{"an asset with another digest", func(f *fixture) { f.release.Targets[0].Assets[0].SHA256 = sum("x") }, "tool-win.zip changed on its way"},
		{"an asset with another size", func(f *fixture) { f.release.Targets[0].Assets[0].Size++ }, "tool-win.zip changed on its way"},
		{"an asset that is gone", func(f *fixture) { _ = os.Remove(f.release.Targets[0].Assets[0].Path) }, "tool-win.zip"},
		{"an asset that cannot be read", func(f *fixture) { f.release.Targets[0].Assets[0].Path = f.src }, "is a directory"},
		{"a full disk", func(f *fixture) { f.release.Targets[0].Assets[0].Size = 1 << 60 }, "too little disk space"},
	}
	for _, tt := range tests {
		for _, replace := range []bool{false, true} {
			f := newFixture(t)
			if replace {
				f.mustPublish(false, publish.Published)
				f.release.Targets[0].Assets[0] = f.asset("tool-win.zip", "for Windows, again")
			}
			before := ""
			if replace {
				before = content(t, f.final())
			}
			tt.spoil(f)
			_, err := f.publish(replace)
			if err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("%s, replace %v: %v, want %q", tt.name, replace, err, tt.says)
			}
			if replace {
				f.wantReleases("v1")
				if after := content(t, f.final()); after != before {
					t.Errorf("%s: the old release changed from\n%s\nto\n%s", tt.name, before, after)
				}
			} else {
				f.wantReleases()
			}
		}
	}
}

// The cache of digests is believed neither of the asset nor of the copy.
func TestPublishRecomputesDigests(t *testing.T) {
	f := newFixture(t)
	a := &f.release.Targets[0].Assets[0]
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(a.Path, old, old); err != nil {
		t.Fatal(err)
	}
	if got, _, err := f.digests.File(a.Path); err != nil || got != a.SHA256 {
		t.Fatal(got, err)
	}
	f.write(a.Path, strings.ToUpper("for Windows")) // of the same size and inode
	if err := os.Chtimes(a.Path, old, old); err != nil {
		t.Fatal(err)
	}
	if got, _, _ := f.digests.File(a.Path); got != a.SHA256 {
		t.Fatal("the cache is not deceived, so this test shows nothing")
	}
	if _, err := f.publish(false); err == nil || !strings.Contains(err.Error(), "changed on its way") {
		t.Errorf("error %v", err)
	}
	f.wantReleases()
}

func TestNames(t *testing.T) {
	for _, tag := range []string{"", ".", "..", "a/b", "/abs", `a\b`, "../v1", ".hidden", ".relmat.lock", ".v1.partial-1"} {
		f := newFixture(t)
		f.write(filepath.Join(f.dir, "v0", "file"), "another release")
		f.release.Tag = tag
		for _, replace := range []bool{false, true} {
			if _, err := f.publish(replace); err == nil || !strings.Contains(err.Error(), "cannot name a directory") {
				t.Errorf("tag %q: %v", tag, err)
			}
			if _, err := publish.Check(f.dir, f.release, replace, f.digests); err == nil {
				t.Errorf("tag %q: Check has nothing against it", tag)
			}
		}
		f.wantReleases("v0")
		if got := f.names(filepath.Dir(f.dir)); !slices.Equal(got, []string{"out"}) {
			t.Errorf("tag %q: made %q", tag, got)
		}
	}
	for _, name := range []string{"", "..", "../evil", "a/b", `a\b`, "/abs", "SHA256SUMS", "release.json", ".x.partial-1", "tool-linux.tar.gz", "\xff.txt"} {
		f := newFixture(t)
		f.release.Targets[0].Assets[0].Name = name
		if _, err := f.publish(false); err == nil || !strings.Contains(err.Error(), "cannot name a file") && !strings.Contains(err.Error(), "two files") && !strings.Contains(err.Error(), "is not UTF-8") && !strings.Contains(err.Error(), "writes "+name+" into the directory itself") {
			t.Errorf("asset %q: %v", name, err)
		}
		f.wantReleases()
	}
	// A tag may look like something unfinished; the next run must not take it away.
	f := newFixture(t)
	f.release.Tag = "v1.partial-2"
	f.mustPublish(false, publish.Published)
	f.release.Tag = "v2"
	f.mustPublish(false, publish.Published)
	f.wantReleases("v1.partial-2", "v2")
}

// What an earlier run left when it was stopped.
func TestAfterAnInterruptedRun(t *testing.T) {
	move := func(f *fixture, from, to string) {
		if err := os.Rename(filepath.Join(f.dir, from), filepath.Join(f.dir, to)); err != nil {
			f.t.Fatal(err)
		}
	}
	tests := []struct {
		name  string
		state func(f *fixture) // v1 is published already
		want  publish.Outcome
	}{
		{"a partial of it", func(f *fixture) {
			_ = os.RemoveAll(f.final())
			f.write(filepath.Join(f.dir, ".v1.partial-1", "tool-win.zip"), "for W")
		}, publish.Published},
		{"a partial beside it", func(f *fixture) { f.write(filepath.Join(f.dir, ".v1.partial-1", "x"), "x") }, publish.Unchanged},
		{"a partial of another", func(f *fixture) { f.write(filepath.Join(f.dir, ".v2.partial-1", "x"), "x") }, publish.Unchanged},
		{"moved away", func(f *fixture) { move(f, "v1", ".v1.replaced-old") }, publish.Unchanged},
		{"moved away, and a partial", func(f *fixture) {
			move(f, "v1", ".v1.replaced-old")
			f.write(filepath.Join(f.dir, ".v1.partial-1", "x"), "x")
		}, publish.Unchanged},
		{"replaced, the old one still there", func(f *fixture) { f.write(filepath.Join(f.dir, ".v1.replaced-old", "x"), "x") }, publish.Unchanged},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFixture(t)
			f.mustPublish(false, publish.Published)
			tt.state(f)
			f.mustPublish(false, tt.want)
			f.wantReleases("v1")
		})
	}
}

// Several relmats publish at once: one does it, the others find it done; or
// they differ, and one wins with all of its files.
func TestAtOnce(t *testing.T) {
	for _, same := range []bool{true, false} {
		f := newFixture(t)
		const many = 6
		releases := make([]manifest.Release, many)
		for i := range releases {
			releases[i] = f.release
			if !same {
				name := string(rune('a'+i)) + ".zip"
				releases[i].Targets = []manifest.Part{{Assets: []manifest.Asset{f.asset(name, name)}}}
			}
		}
		outcomes, errs := make([]publish.Outcome, many), make([]error, many)
		var wg sync.WaitGroup
		for i, r := range releases {
			wg.Go(func() {
				task := new(progress.Reporter).Begin("", "publish", "")
				outcomes[i], errs[i] = publish.Directory(t.Context(), f.dir, r, false, fsx.OpenDigests(""), task)
			})
		}
		wg.Wait()
		won := -1
		for i, out := range outcomes {
			switch {
			case out == publish.Published && won < 0:
				won = i
			case same && (out != publish.Unchanged || errs[i] != nil):
				t.Errorf("the same release: %q, %v", out, errs[i])
			case !same && !errors.Is(errs[i], publish.ErrDiffers):
				t.Errorf("another release: %q, %v", out, errs[i])
			}
		}
		if won < 0 {
			t.Fatal("nobody published")
		}
		f.release = releases[won]
		f.published()
		f.wantReleases("v1")
	}
}

func TestWaitsForTheOther(t *testing.T) {
	f := newFixture(t)
	unlock, err := fsx.Lock(t.Context(), filepath.Join(f.dir, ".relmat.lock"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	ctx, cancel := context.WithCancel(t.Context())
	var notes sinkFunc = func(e progress.Event) {
		if e.Kind == progress.KindNote {
			if !strings.Contains(e.Text, "another relmat is publishing to "+f.dir) {
				t.Errorf("note %q", e.Text)
			}
			cancel()
		}
	}
	_, err = publish.Directory(ctx, f.dir, f.release, false, f.digests, progress.New(notes).Begin("", "publish", ""))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
	f.wantReleases()
}

type sinkFunc func(progress.Event)

func (f sinkFunc) Event(e progress.Event) { f(e) }

func TestCancelled(t *testing.T) {
	f := newFixture(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := publish.Directory(ctx, f.dir, f.release, false, f.digests, new(progress.Reporter).Begin("", "publish", ""))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	f.wantReleases()
}

func TestNowhereToPublish(t *testing.T) {
	f := newFixture(t)
	f.write(f.dir, "a file in the place of the directory")
	if _, err := f.publish(true); err == nil {
		t.Error("into a file: no error")
	}
	f = newFixture(t)
	f.write(f.final(), "a file in the place of the release")
	if _, err := f.publish(false); err == nil {
		t.Error("over a file: no error")
	}
	if data, err := os.ReadFile(f.final()); err != nil || !strings.HasPrefix(string(data), "a file") {
		t.Errorf("the file is %q, %v", data, err)
	}
}

// release.json is for other programs: its names are a promise.
func TestReleaseJSON(t *testing.T) {
	f := newFixture(t)
	f.mustPublish(false, publish.Published)
	data, err := os.ReadFile(filepath.Join(f.final(), "release.json"))
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]any{
		"schema": 1.0, "project": "tool", "version": "1.0", "tag": "v1", "commit": "abc", "commit_checked": false, "partial": false,
	} {
		if got[key] != want {
			t.Errorf("%s is %v, want %v", key, got[key], want)
		}
	}
	asset := got["targets"].([]any)[0].(map[string]any)["assets"].([]any)[0].(map[string]any)
	if asset["name"] != "tool-win.zip" || asset["sha256"] != sum("for Windows") || asset["size"] != 11.0 {
		t.Errorf("asset %v", asset)
	}
}
