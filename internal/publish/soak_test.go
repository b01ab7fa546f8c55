//go:build soak

// These tests fetch and build other people's programs, and so need the
// network: go test -tags soak ./internal/publish
package publish_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/relmat/relmat/internal/githubtest"
	"github.com/relmat/relmat/internal/publish"
)

// TestGHWritesAndRelmatRepairs: gh makes or changes a release while the server
// fails and gh is killed, in ways that a seed chooses; relmat then makes it
// right. gh reads what relmat made, and sha256sum checks it.
func TestGHWritesAndRelmatRepairs(t *testing.T) {
	bin := githubtest.GH(t)
	broken := map[string]int{}
	for seed := range uint64(40) {
		rnd := rand.New(rand.NewPCG(seed, 11))
		s := githubtest.New(t, githubtest.TLS())
		repo := s.Repo("o/r")
		repo.AddTag("v1", "")
		dir := t.TempDir()
		var files []publish.File
		args := []string{"release", "create", "v1", "--title", "One", "--notes", "Notes"}
		if rnd.IntN(2) == 0 {
			args = []string{"release", "upload", "v1", "--clobber"}
			rel := repo.AddRelease(githubtest.NewRelease{Tag: "v1", Draft: rnd.IntN(2) == 0})
			for _, n := range names {
				rel.AddAsset(n, []byte("old "+n))
			}
			rel.AddAsset("foreign.txt", []byte("foreign"))
		}
		for _, n := range names {
			f := put(t, dir, n, strings.Repeat(fmt.Sprint(n, seed), 20_000))
			files, args = append(files, f), append(args, f.Path)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		cmd := ghCommand(ctx, t, bin, s, args...)
		begun := make(chan struct{})
		kill := func() { <-begun; _ = cmd.Process.Kill() }
		skip := rnd.IntN(4)
		switch rnd.IntN(4) {
		case 0:
			s.Fail(githubtest.Match{Op: githubtest.OpUpload, Skip: skip}, githubtest.CallAfter(kill))
		case 1:
			s.Fail(githubtest.Match{Op: githubtest.OpUpload, Skip: skip}, githubtest.Call(1000, kill))
		case 2:
			s.Fail(githubtest.Match{Op: githubtest.OpUpload, Skip: skip}, githubtest.BadGatewayStarter())
		default:
			s.Chaos(githubtest.Schedule{Seed: seed, Rate: 0.3, Most: 8, Wait: 5 * time.Millisecond, Hang: 5 * time.Millisecond})
		}
		var said strings.Builder
		cmd.Stdout, cmd.Stderr = &said, &said
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		close(begun)
		err := cmd.Wait()
		cancel()
		if !s.Drain(30 * time.Second) {
			t.Errorf("seed %d: gh's connections stay", seed)
		}
		s.Calm()
		broken[stateOf(repo, files)]++
		t.Logf("seed %d: gh %s: %v, left %s", seed, args[1], err, stateOf(repo, files))

		w := publish.Wanted{Tag: "v1", Files: files, Checksums: true, ChecksumFiles: true}
		if _, err := gh(t, s, "o/r").Publish(t.Context(), w, quietTask()); err != nil {
			t.Fatalf("seed %d: after gh: %v\n%s", seed, err, said.String())
		}
		ghReads(t, bin, s, "v1", files)
		if rel := only(t, repo); rel.Draft {
			t.Errorf("seed %d: it is a draft", seed)
		}
		s.Close()
		if t.Failed() {
			t.FailNow()
		}
	}
	t.Logf("what gh left: %v", broken)
	if len(broken) < 4 {
		t.Errorf("gh left only %v", broken)
	}
}

// stateOf says in a word what became of a release.
func stateOf(repo *githubtest.Repo, files []publish.File) string {
	list := repo.ByTag("v1")
	if len(list) == 0 {
		return "nothing"
	}
	missing, starters := 0, 0
	for _, f := range files {
		switch a := list[0].Asset(f.Name); {
		case a == nil:
			missing++
		case a.State != githubtest.StateUploaded:
			starters++
		}
	}
	what := "release"
	if list[0].Draft {
		what = "draft"
	}
	if missing > 0 {
		what += " with assets missing"
	}
	if starters > 0 {
		what += " with starters"
	}
	return what
}

// ghReads has gh view and download the release, and sha256sum check it.
func ghReads(t *testing.T, bin string, s *githubtest.Server, tag string, files []publish.File) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := ghCommand(ctx, t, bin, s, "release", "view", tag, "--json", "assets,isDraft", "--jq", `.assets[]|.name+" "+.digest+" "+.state`).CombinedOutput()
	if err != nil {
		t.Fatalf("gh release view: %v\n%s", err, out)
	}
	down := filepath.Join(t.TempDir(), "down")
	if out, err := ghCommand(ctx, t, bin, s, "release", "download", tag, "--dir", down).CombinedOutput(); err != nil {
		t.Fatalf("gh release download: %v\n%s", err, out)
	}
	var want []string
	for _, f := range files {
		want = append(want, f.Name)
		if line := f.Name + " sha256:" + f.SHA256 + " uploaded\n"; !strings.Contains(string(out), line) {
			t.Errorf("gh release view says\n%swithout %s", out, line)
		}
		checked(t, down, f.Name+".sha256", f.Name)
	}
	checked(t, down, "SHA256SUMS", want...)
}
