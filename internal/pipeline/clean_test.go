package pipeline

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/relmat/relmat/internal/matrix"
	"github.com/relmat/relmat/internal/progress"
)

// used makes everything below path, and path, as old as that.
func used(t *testing.T, path string, ago time.Duration) {
	t.Helper()
	at := time.Now().Add(-ago)
	err := filepath.WalkDir(path, func(p string, _ os.DirEntry, err error) error {
		if info, lerr := os.Lstat(p); lerr != nil || info.Mode()&os.ModeSymlink != 0 {
			return err
		}
		return errors.Join(err, os.Chtimes(p, at, at))
	})
	if err != nil {
		t.Fatal(err)
	}
}

// fullState makes a state with a target of the matrix (x), an old one (y), one
// that the matrix no longer has (gone), assets, and things of others.
func fullState(t *testing.T) (*Session, *recorder) {
	t.Helper()
	s, rec := open(t, minimal)
	if err := s.prepareState(); err != nil {
		t.Fatal(err)
	}
	in := func(elem ...string) string { return filepath.Join(append([]string{s.State}, elem...)...) }
	write(t, in("digests.json"), "{}")
	for _, target := range []string{"x", "y", "gone"} {
		write(t, in(target, ".lock"), "")
		write(t, in(target, "cargo", "triple", "release", "a"), "program")
		write(t, in(target, "logs", "build.log"), "log")
		write(t, in(target, "archive", "one-0123456789abcdef", "one.zip"), "archive")
	}
	write(t, in("dist", "v1", "one.zip"), "archive")
	write(t, in("dist", "v0", "one.zip"), "archive")
	// What a Makefile publishes there, and what relmat publish leaves with it.
	write(t, in("demo", "v1", "one.zip"), "archive")
	write(t, in("demo", ".relmat.lock"), "")
	write(t, in("notes.txt"), "mine")
	used(t, in("y"), 20*24*time.Hour)
	used(t, in("dist", "v0"), 20*24*time.Hour)
	return s, rec
}

// tree lists all that is below dir, directories without contents too.
func tree(t *testing.T, dir string) []string {
	t.Helper()
	var list []string
	err := filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		rel, _ := filepath.Rel(dir, p)
		if err == nil && !d.IsDir() {
			list = append(list, filepath.ToSlash(rel))
		}
		return err
	})
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return list
}

// said is what a clean told, as KIND NAME ACTION.
func said(items []CleanItem) []string {
	var list []string
	for _, i := range items {
		list = append(list, fmt.Sprintf("%s %s %s", i.Kind, i.Name, i.Action))
	}
	slices.Sort(list)
	return list
}

func TestClean(t *testing.T) {
	others := []string{"other demo kept", "other notes.txt kept"}
	tests := []struct {
		name    string
		options CleanOptions
		want    []string // but for others
		gone    []string
	}{
		{
			"without flags",
			CleanOptions{},
			[]string{"release dist/v0 kept", "release dist/v1 kept", "target gone removed", "target x kept", "target y kept"},
			[]string{"gone"},
		},
		{
			"by age",
			CleanOptions{OlderThan: 14 * 24 * time.Hour},
			[]string{"release dist/v0 removed", "release dist/v1 kept", "target gone removed", "target x kept", "target y removed"},
			[]string{"gone", "y", "dist/v0"},
		},
		{
			"nothing is that old",
			CleanOptions{OlderThan: 21 * 24 * time.Hour},
			[]string{"release dist/v0 kept", "release dist/v1 kept", "target gone removed", "target x kept", "target y kept"},
			[]string{"gone"},
		},
		{
			"all",
			CleanOptions{All: true},
			[]string{
				"release dist/v0 removed", "release dist/v1 removed", "state .gitignore removed", "state digests.json removed",
				"target gone removed", "target x removed", "target y removed",
			},
			[]string{"gone", "x", "y", "dist", ".gitignore", "digests.json"},
		},
		{"all of a target", CleanOptions{All: true, Targets: []string{"x"}}, []string{"target x removed"}, []string{"x"}},
		{"a target that is gone", CleanOptions{Targets: []string{"go*"}}, []string{"target gone removed"}, []string{"gone"}},
		{"one of the matrix", CleanOptions{Targets: []string{"y"}}, []string{"target y kept"}, nil},
		{
			"the old of some",
			CleanOptions{OlderThan: time.Hour, Targets: []string{"[xy]"}},
			[]string{"target x kept", "target y removed"},
			[]string{"y"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, _ := fullState(t)
			outside := filepath.Join(s.File.Dir, "cache", "wheels", "0123456789abcdef-a-1-py3-none-any.whl")
			write(t, outside, "wheel")
			before := tree(t, s.File.Dir)

			o := tt.options
			o.DryRun = true
			items, err := s.Clean(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			want := slices.Clone(tt.want)
			if len(tt.options.Targets) == 0 {
				want = append(want, others...)
			}
			slices.Sort(want)
			var dry []string
			for _, w := range want {
				dry = append(dry, strings.Replace(w, " removed", " removable", 1))
			}
			if got := said(items); !slices.Equal(got, dry) {
				t.Errorf("the dry run says\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(dry, "\n"))
			}
			if after := tree(t, s.File.Dir); !slices.Equal(before, after) {
				t.Errorf("the dry run left %v of %v", after, before)
			}

			items, err = s.Clean(t.Context(), tt.options)
			if err != nil {
				t.Fatal(err)
			}
			if got := said(items); !slices.Equal(got, want) {
				t.Errorf("Clean says\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			keep := slices.DeleteFunc(before, func(p string) bool {
				return slices.ContainsFunc(tt.gone, func(g string) bool { return p == ".relmat/"+g || strings.HasPrefix(p, ".relmat/"+g+"/") })
			})
			if after := tree(t, s.File.Dir); !slices.Equal(after, keep) {
				t.Errorf("left is\n%s\nwant\n%s", strings.Join(after, "\n"), strings.Join(keep, "\n"))
			}
			for _, g := range tt.gone {
				if _, err := os.Lstat(filepath.Join(s.State, g)); err == nil {
					t.Errorf("the directory %s is still there", g)
				}
			}
			var unknown *matrix.SelectionError // the pattern of a target that is gone for good
			if items, err = s.Clean(t.Context(), tt.options); err != nil && !errors.As(err, &unknown) {
				t.Errorf("a second time: %v", err)
			}
			for _, i := range items {
				if i.Action == CleanRemoved {
					t.Errorf("a second time, %s is removed again", i.Name)
				}
			}
		})
	}
}

func TestCleanAllLeavesNothing(t *testing.T) {
	s, _ := fullState(t)
	for _, others := range []string{"demo", "notes.txt"} {
		if err := os.RemoveAll(filepath.Join(s.State, others)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Clean(t.Context(), CleanOptions{All: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(s.State); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the state is still there: %v, %v", tree(t, s.State), err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	items, err := s.Clean(t.Context(), CleanOptions{All: true})
	if err != nil || len(items) > 0 {
		t.Errorf("cleaning no state gives %v, %v", items, err)
	}
	if _, err := os.Lstat(s.State); err == nil {
		t.Error("cleaning no state makes one")
	}
}

func TestCleanAge(t *testing.T) {
	s, _ := fullState(t)
	items, err := s.Clean(t.Context(), CleanOptions{Targets: []string{"y"}})
	if err != nil || len(items) != 1 {
		t.Fatal(items, err)
	}
	// program, log, archive
	if i := items[0]; i.Size != 17 || time.Since(i.Used).Round(time.Hour) != 20*24*time.Hour {
		t.Errorf("y has %d bytes and was used at %v", i.Size, i.Used)
	}
	// The newest thing counts, however deep it lies.
	write(t, filepath.Join(s.State, "y", "cargo", "triple", "new"), "")
	if items, err = s.Clean(t.Context(), CleanOptions{OlderThan: time.Hour, Targets: []string{"y"}}); err != nil || items[0].Action != CleanKept {
		t.Errorf("a target with a new file: %v, %v", items, err)
	}
}

// TestCleanPartials: what is half goes, beside results and not in them.
func TestCleanPartials(t *testing.T) {
	s, _ := fullState(t)
	in := func(p string) string { return filepath.Join(s.State, filepath.FromSlash(p)) }
	dead := []string{
		"x/.bundle.partial-1", "x/bundle/.one-0.partial-2/bin/a", "x/archive/.one.partial-3/one.zip", "x/smoke/.one.partial-4/s",
		"x/cargo/triple/..relmat-native.partial-5", ".digests.json.partial-6", "dist/v1/.one.zip.partial-7/one.zip",
	}
	alive := []string{
		".digests.json.partial-8", "dist/v1/.one.zip.partial-9/one.zip", // perhaps: written just now, and no lock says
		"x/bundle/one-0123456789abcdef/.half.partial-10", "x/archive/v1.partial-11/a", "demo/.a.partial-12",
	}
	for _, p := range append(slices.Clone(dead), alive...) {
		write(t, in(p), "half")
	}
	used(t, in(".digests.json.partial-6"), 2*time.Hour)
	used(t, in("dist/v1/.one.zip.partial-7"), 2*time.Hour)
	if err := os.Mkdir(in("dist/v1/.empty.partial-13"), 0o755); err != nil { // begun this moment
		t.Fatal(err)
	}
	if _, err := s.Clean(t.Context(), CleanOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, p := range dead {
		if _, err := os.Lstat(in(p)); err == nil {
			t.Errorf("%s is still there", p)
		}
	}
	for _, p := range append(alive, "dist/v1/.empty.partial-13") {
		if _, err := os.Lstat(in(p)); err != nil {
			t.Errorf("%s is gone", p)
		}
	}
}

func TestCleanLeavesOutWhatIsHeld(t *testing.T) {
	s, rec := fullState(t)
	before := tree(t, filepath.Join(s.State, "x"))
	write(t, filepath.Join(s.State, "x", "bundle", ".one.partial-1", "a"), "half")
	other, err := Open(s.Config)
	if err != nil {
		t.Fatal(err)
	}
	unlock, err := other.lockTarget(t.Context(), row(t, other, "x"))
	if err != nil {
		t.Fatal(err)
	}
	items, err := s.Clean(t.Context(), CleanOptions{All: true})
	if err != nil {
		t.Fatal(err)
	}
	got := said(items)
	for _, want := range []string{"target x in use", "target y removed", "target gone removed", "release dist/v1 kept"} {
		if !slices.Contains(got, want) {
			t.Errorf("no %q in %q", want, got)
		}
	}
	if !rec.has(progress.KindNote, "another relmat works on x; it is left out") {
		t.Error("no note says that x is left out")
	}
	if after := tree(t, filepath.Join(s.State, "x")); len(after) != len(before)+1 {
		t.Errorf("of x is left %v", after)
	}
	for _, own := range []string{".gitignore", "digests.json"} {
		if _, err := os.Lstat(filepath.Join(s.State, own)); err != nil {
			t.Errorf("the run that is at work has lost %s", own)
		}
	}
	unlock()
	if _, err := s.Clean(t.Context(), CleanOptions{All: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(filepath.Join(s.State, "x")); err == nil {
		t.Error("x is still there when nobody holds it")
	}
}

// TestCleanStaysInside: links lead nowhere, and what they name stays.
func TestCleanStaysInside(t *testing.T) {
	s, _ := fullState(t)
	outside := t.TempDir()
	write(t, filepath.Join(outside, ".lock"), "")
	write(t, filepath.Join(outside, "cargo", "precious"), "precious")
	write(t, filepath.Join(outside, ".old.partial-1"), "precious")
	used(t, outside, 100*24*time.Hour)
	want := tree(t, outside)
	link := func(target string, elem ...string) {
		t.Helper()
		path := filepath.Join(append([]string{s.State}, elem...)...)
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(target, path); err != nil {
			t.Fatal(err)
		}
	}
	link(outside, "linked")
	link("../../elsewhere", "dangling")
	link(outside, "x", "bundle")
	link(outside, "x", "cargo", "triple", "out")
	link(filepath.Join(outside, "cargo"), "y", "cargo")
	link(outside, "dist", "v2")
	link(outside, ".old.partial-2")
	link("x", "inner") // not even one within the state
	for _, o := range []CleanOptions{{}, {OlderThan: time.Hour}, {All: true}} {
		if _, err := s.Clean(t.Context(), o); err != nil {
			t.Fatalf("%+v: %v", o, err)
		}
		if got := tree(t, outside); !slices.Equal(got, want) {
			t.Fatalf("%+v: outside is left %v of %v", o, got, want)
		}
	}
	for _, p := range []string{"x", "y"} {
		if _, err := os.Lstat(filepath.Join(s.State, p)); err == nil {
			t.Errorf("%s is still there", p)
		}
	}
	for _, p := range []string{"linked", "dangling", "inner", "dist/v2"} {
		if _, err := os.Lstat(filepath.Join(s.State, p)); err != nil {
			t.Errorf("the link %s, which is not relmat's, is gone", p)
		}
	}
}

// TestCleanLinkedLock: a lock file that is a link would be made where it leads.
func TestCleanLinkedLock(t *testing.T) {
	s, _ := fullState(t)
	made := filepath.Join(t.TempDir(), "made")
	lock := filepath.Join(s.State, "x", ".lock")
	if err := errors.Join(os.Remove(lock), os.Symlink(made, lock)); err != nil {
		t.Fatal(err)
	}
	_, err := s.Clean(t.Context(), CleanOptions{All: true})
	if err == nil || !strings.Contains(err.Error(), "x/.lock is no lock file") {
		t.Errorf("error is %v", err)
	}
	if _, err := os.Lstat(made); err == nil {
		t.Error("a lock file was made outside of the state")
	}
}

// TestCleanForeignState: in a directory that relmat did not make, dist is
// somebody's.
func TestCleanForeignState(t *testing.T) {
	s, _ := fullState(t)
	write(t, filepath.Join(s.State, ".gitignore"), "/target\n")
	items, err := s.Clean(t.Context(), CleanOptions{All: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"other dist kept", "other .gitignore kept", "other digests.json kept", "target x removed"} {
		if got := said(items); !slices.Contains(got, want) {
			t.Errorf("no %q in %q", want, got)
		}
	}
	if _, err := os.Lstat(filepath.Join(s.State, "dist", "v0", "one.zip")); err != nil {
		t.Error(err)
	}
}

// TestCleanLinkedState: a state that the user has put elsewhere by a link is
// emptied, the link stays.
func TestCleanLinkedState(t *testing.T) {
	s, _ := fullState(t)
	real := filepath.Join(t.TempDir(), "big disk")
	if out, err := exec.Command("cp", "-r", s.State, real).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v\n%s", err, out)
	}
	if err := errors.Join(os.RemoveAll(s.State), os.Symlink(real, s.State)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Clean(t.Context(), CleanOptions{All: true}); err != nil {
		t.Fatal(err)
	}
	if got := tree(t, real); !slices.Equal(got, []string{"demo/.relmat.lock", "demo/v1/one.zip", "notes.txt"}) {
		t.Errorf("left is %v", got)
	}
	if _, err := os.Readlink(s.State); err != nil {
		t.Error("the link is gone")
	}
}

func TestCleanPatterns(t *testing.T) {
	s, _ := fullState(t)
	var sel *matrix.SelectionError
	for _, p := range []string{"[x", "xx"} {
		if _, err := s.Clean(t.Context(), CleanOptions{Targets: []string{"x", p}, All: true}); !errors.As(err, &sel) {
			t.Errorf("%q: error is %v", p, err)
		}
	}
	if got := tree(t, filepath.Join(s.State, "x")); len(got) == 0 {
		t.Error("something was removed before all patterns were looked at")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Clean(ctx, CleanOptions{All: true}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
