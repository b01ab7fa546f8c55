package gitrepo_test

import (
	"os/exec"
	"testing"

	"github.com/relmat/relmat/internal/gitrepo"
)

func TestParseRemote(t *testing.T) {
	for address, want := range map[string][2]string{
		"https://github.com/o/r.git":            {"github.com", "o/r"},
		"https://user:word@github.com/o/r":      {"github.com", "o/r"},
		"git@github.com:o/r.git":                {"github.com", "o/r"},
		"ssh://git@ssh.github.com:443/o/r.git/": {"ssh.github.com", "o/r"},
		"github.com:o/r":                        {"github.com", "o/r"},
		"/srv/git/r.git":                        {},
		"../r":                                  {},
		`C:\src\r`:                              {},
		"file:///srv/r.git":                     {},
		"":                                      {},
	} {
		host, path, ok := gitrepo.ParseRemote(address)
		if ok != (want[0] != "") || ok && (host != want[0] || path != want[1]) {
			t.Errorf("%s: %q, %q, %v", address, host, path, ok)
		}
	}
}

func TestRemote(t *testing.T) {
	dir := t.TempDir()
	git := func(args ...string) {
		t.Helper()
		if out, err := exec.Command("git", append([]string{"-C", dir}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("git %q: %v\n%s", args, err, out)
		}
	}
	git("init", "-q")
	r, err := gitrepo.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, ok, err := r.Remote(t.Context()); ok || err != nil {
		t.Errorf("without a remote: %v, %v", ok, err)
	}
	git("remote", "add", "origin", "git@github.com:o/r.git")
	if host, path, ok, err := r.Remote(t.Context()); host != "github.com" || path != "o/r" || !ok || err != nil {
		t.Errorf("%q, %q, %v, %v", host, path, ok, err)
	}
}
