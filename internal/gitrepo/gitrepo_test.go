package gitrepo_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/relmat/relmat/internal/gitrepo"
)

func TestMain(m *testing.M) {
	// Who runs the tests has a configuration of their own, and perhaps a hook's
	// environment.
	for _, kv := range os.Environ() {
		if key, _, _ := strings.Cut(kv, "="); strings.HasPrefix(key, "GIT_") {
			_ = os.Unsetenv(key)
		}
	}
	for key, value := range map[string]string{
		"GIT_CONFIG_GLOBAL": os.DevNull, "GIT_CONFIG_SYSTEM": os.DevNull,
		"GIT_AUTHOR_NAME": "A", "GIT_AUTHOR_EMAIL": "a@example.com", "GIT_COMMITTER_NAME": "C", "GIT_COMMITTER_EMAIL": "c@example.com",
	} {
		_ = os.Setenv(key, value)
	}
	os.Exit(m.Run())
}

// git runs git itself, the judge of what Repo says.
func git(t *testing.T, dir string, args ...string) string {
	t.Helper()
	out, err := exec.Command("git", append([]string{"-C", dir}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func write(t *testing.T, dir, name, content string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// repo makes a repository with two commits.
func repo(t *testing.T) (dir, first, second string) {
	t.Helper()
	dir = t.TempDir()
	git(t, dir, "init", "--quiet")
	write(t, dir, "file", "one")
	write(t, dir, "sub/file", "one")
	git(t, dir, "add", ".")
	git(t, dir, "commit", "--quiet", "-m", "one")
	first = git(t, dir, "rev-parse", "HEAD")
	git(t, dir, "commit", "--quiet", "--allow-empty", "-m", "two")
	return dir, first, git(t, dir, "rev-parse", "HEAD")
}

func open(t *testing.T, dir string) gitrepo.Repo {
	t.Helper()
	r, err := gitrepo.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestHead(t *testing.T) {
	dir, first, second := repo(t)
	for _, d := range []string{dir, filepath.Join(dir, "sub")} {
		if got, err := open(t, d).Head(t.Context()); err != nil || got != second {
			t.Errorf("in %s: %s, %v; want %s", filepath.Base(d), got, err, second)
		}
	}
	git(t, dir, "checkout", "--quiet", "--detach", first)
	if got, err := open(t, dir).Head(t.Context()); err != nil || got != first {
		t.Errorf("detached: %s, %v; want %s", got, err, first)
	}
}

func TestNoCommitYet(t *testing.T) {
	dir := t.TempDir()
	git(t, dir, "init", "--quiet")
	r := open(t, dir)
	if got, err := r.Head(t.Context()); err == nil || errors.Is(err, gitrepo.ErrNoRepo) {
		t.Errorf("Head: %q, %v; want an error that is not ErrNoRepo", got, err)
	}
	if got, ok, err := r.TagCommit(t.Context(), "v1"); ok || err != nil {
		t.Errorf("TagCommit: %q, %v, %v", got, ok, err)
	}
	if got, err := r.Dirty(t.Context()); got != nil || err != nil {
		t.Errorf("Dirty: %q, %v", got, err)
	}
	write(t, dir, "new", "x")
	if got, err := r.Dirty(t.Context()); !slices.Equal(got, []string{"?? new"}) || err != nil {
		t.Errorf("Dirty: %q, %v", got, err)
	}
}

func TestTagCommit(t *testing.T) {
	dir, first, second := repo(t)
	git(t, dir, "tag", "light", first)
	git(t, dir, "tag", "-m", "a message", "annotated", first)
	git(t, dir, "tag", "-m", "a tag of a tag", "twice", "annotated")
	git(t, dir, "tag", "with/slash", second)
	git(t, dir, "tag", "blob", first+":file")
	git(t, dir, "branch", "branch", first)
	tests := []struct {
		tag, want string
		fails     bool
	}{
		{tag: "light", want: first},
		{tag: "annotated", want: first}, // the commit, not the tag object
		{tag: "twice", want: first},
		{tag: "with/slash", want: second},
		{tag: "absent"},
		{tag: "branch"}, // a branch is no tag
		{tag: "HEAD"},
		{tag: ""},
		{tag: "-v"},
		{tag: first},          // nor is a commit
		{tag: "with/slash~1"}, // nor what leads from a tag to another commit
		{tag: "with/slash^"},  //
		{tag: "light^{tree}"}, //
		{tag: "light:file"},   //
		{tag: "light@{0}"},    //
		{tag: "../heads/branch"},
		{tag: "blob", fails: true},
	}
	r := open(t, dir)
	for _, tt := range tests {
		got, ok, err := r.TagCommit(t.Context(), tt.tag)
		if tt.fails {
			if ok || got == first {
				t.Errorf("tag %q: %q, %v, %v; it names no commit", tt.tag, got, ok, err)
			}
			continue
		}
		if got != tt.want || ok != (tt.want != "") || err != nil {
			t.Errorf("tag %q: %q, %v, %v; want %q", tt.tag, got, ok, err, tt.want)
		}
	}
}

func TestDirty(t *testing.T) {
	changes := []struct {
		name   string
		change func(t *testing.T, dir string)
		want   []string
	}{
		{"nothing", func(*testing.T, string) {}, nil},
		{"the time only", func(t *testing.T, dir string) { write(t, dir, "file", "one") }, nil},
		{"changed", func(t *testing.T, dir string) { write(t, dir, "file", "two") }, []string{" M file"}},
		{"removed", func(_ *testing.T, dir string) { _ = os.Remove(filepath.Join(dir, "file")) }, []string{" D file"}},
		{"staged", func(t *testing.T, dir string) { write(t, dir, "file", "two"); git(t, dir, "add", ".") }, []string{"M  file"}},
		{"untracked", func(t *testing.T, dir string) { write(t, dir, "new", "x") }, []string{"?? new"}},
		{"an untracked directory", func(t *testing.T, dir string) { write(t, dir, "d/a", "x"); write(t, dir, "d/b", "x") }, []string{"?? d/"}},
		{"several", func(t *testing.T, dir string) { write(t, dir, "file", "2"); write(t, dir, "new", "x") }, []string{" M file", "?? new"}},
		{"ignored", func(t *testing.T, dir string) {
			write(t, dir, ".git/info/exclude", "*.o\n")
			write(t, dir, "x.o", "x")
		}, nil},
		{"untracked, with status told to hide it", func(t *testing.T, dir string) {
			git(t, dir, "config", "status.showUntrackedFiles", "no")
			write(t, dir, "new", "x")
		}, []string{"?? new"}},
	}
	for _, tt := range changes {
		t.Run(tt.name, func(t *testing.T) {
			dir, _, _ := repo(t)
			tt.change(t, dir)
			for _, d := range []string{dir, filepath.Join(dir, "sub")} {
				got, err := open(t, d).Dirty(t.Context())
				if err != nil || !slices.Equal(got, tt.want) {
					t.Errorf("in %s: %q, %v; want %q", filepath.Base(d), got, err, tt.want)
				}
			}
		})
	}
}

func TestNoRepo(t *testing.T) {
	plain := t.TempDir()
	dir, _, _ := repo(t)
	bare := filepath.Join(t.TempDir(), "bare.git")
	git(t, dir, "clone", "--quiet", "--bare", ".", bare)
	for name, d := range map[string]string{
		"plain": plain, "absent": filepath.Join(plain, "absent"), "bare": bare, "git's own": filepath.Join(dir, ".git"),
	} {
		_, err := gitrepo.Open(t.Context(), d)
		if !errors.Is(err, gitrepo.ErrNoRepo) {
			t.Errorf("%s: %v, want ErrNoRepo", name, err)
		} else if !strings.Contains(err.Error(), d) {
			t.Errorf("%s: error %q does not name the directory", name, err)
		}
	}
	// Why git refuses a directory is for the user to know.
	if _, err := gitrepo.Open(t.Context(), plain); err == nil || !strings.Contains(err.Error(), "fatal: ") {
		t.Errorf("error %v does not say what git said", err)
	}
}

// Inside a hook, git's variables name the repository of the hook.
func TestEnvironmentOfAHook(t *testing.T) {
	other, _, foreign := repo(t)
	dir, _, _ := repo(t)
	write(t, dir, "file", "mine")
	git(t, dir, "commit", "--quiet", "-a", "-m", "mine")
	head := git(t, dir, "rev-parse", "HEAD")
	git(t, other, "tag", "theirs")
	if head == foreign {
		t.Fatal("the two repositories cannot be told apart")
	}
	t.Setenv("GIT_DIR", filepath.Join(other, ".git"))
	t.Setenv("GIT_WORK_TREE", other)
	t.Setenv("GIT_INDEX_FILE", filepath.Join(other, ".git", "index"))
	r := open(t, dir)
	if got, err := r.Head(t.Context()); err != nil || got != head {
		t.Errorf("Head: %s, %v; want %s", got, err, head)
	}
	if _, ok, err := r.TagCommit(t.Context(), "theirs"); ok || err != nil {
		t.Errorf("TagCommit sees the other repository's tag: %v", err)
	}
	if got, err := r.Dirty(t.Context()); got != nil || err != nil {
		t.Errorf("Dirty: %q, %v", got, err)
	}
}

func TestCancelledAndWithoutGit(t *testing.T) {
	dir, _, _ := repo(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := gitrepo.Open(ctx, dir); !errors.Is(err, context.Canceled) || errors.Is(err, gitrepo.ErrNoRepo) {
		t.Errorf("cancelled: %v", err)
	}
	t.Setenv("PATH", t.TempDir())
	// A checkout without git is not "no checkout": the release must not go on.
	if _, err := gitrepo.Open(t.Context(), dir); !errors.Is(err, exec.ErrNotFound) || errors.Is(err, gitrepo.ErrNoRepo) {
		t.Errorf("without git: %v", err)
	}
}
