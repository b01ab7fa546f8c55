//go:build soak

// These tests fetch other people's programs and recordings, and so need the
// network: go test -tags soak ./internal/githubtest
package githubtest_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/relmat/relmat/internal/githubtest"
)

// ghRunner runs gh against the server, in a directory and with a
// configuration of its own.
type ghRunner struct {
	t    *testing.T
	gh   string
	s    *githubtest.Server
	dir  string
	repo string
}

func newGH(t *testing.T, gh string, s *githubtest.Server) *ghRunner {
	return &ghRunner{t: t, gh: gh, s: s, dir: t.TempDir(), repo: strings.TrimPrefix(s.URL, "https://") + "/o/r"}
}

func (g *ghRunner) file(name string, size int) string {
	g.t.Helper()
	path := filepath.Join(g.dir, name)
	if err := os.WriteFile(path, bytes.Repeat([]byte(name[:1]), size), 0o666); err != nil {
		g.t.Fatal(err)
	}
	return path
}

func (g *ghRunner) run(args ...string) (string, error) {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, g.gh, append(args, "-R", g.repo)...)
	cmd.Dir = g.dir
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + g.dir, "GH_CONFIG_DIR=" + filepath.Join(g.dir, "config"), "NO_COLOR=1", "GH_NO_UPDATE_NOTIFIER=1",
		"GH_HOST=" + strings.TrimPrefix(g.s.URL, "https://"), "GH_ENTERPRISE_TOKEN=" + githubtest.Token, "SSL_CERT_FILE=" + g.s.CAFile,
	}
	out, err := cmd.CombinedOutput()
	g.t.Logf("gh %s\n%s", strings.Join(args, " "), out)
	return string(out), err
}

func (g *ghRunner) must(args ...string) string {
	g.t.Helper()
	out, err := g.run(args...)
	if err != nil {
		g.t.Fatalf("gh %s: %v", args, err)
	}
	return out
}

// TestGH has gh make, read, change and remove releases. That the server finds
// nothing to object to in its requests is part of the test.
func TestGH(t *testing.T) {
	gh := githubtest.GH(t)
	for name, opts := range map[string][]githubtest.Option{"http1": {githubtest.TLS()}, "http2": {githubtest.HTTP2()}} {
		t.Run(name, func(t *testing.T) {
			s := githubtest.New(t, opts...)
			r := s.Repo("o/r")
			r.AddTag("v1.0.0", "")
			g := newGH(t, gh, s)
			g.must("release", "create", "v1.0.0", g.file("a.zip", 1<<20), g.file("b c.tar.gz", 10), "--title", "One", "--notes", "Notes", "--verify-tag")
			rel := r.ByTag("v1.0.0")[0]
			if rel.Draft || !rel.Latest || len(rel.Assets) != 2 || rel.Asset("b.c.tar.gz") == nil {
				t.Fatalf("created: %+v", rel)
			}
			g.must("release", "create", "v1.1.0", g.file("a.zip", 5), "--draft", "--generate-notes")
			if rel := r.ByTag("v1.1.0")[0]; !rel.Draft || !strings.Contains(rel.Body, "Full Changelog") {
				t.Errorf("draft: %+v", rel)
			}
			if out := g.must("release", "list"); !strings.Contains(out, "v1.1.0") || !strings.Contains(out, "Draft") || !strings.Contains(out, "Latest") {
				t.Errorf("list: %s", out)
			}
			// A draft by its tag: GraphQL finds it.
			if out := g.must("release", "view", "v1.1.0", "--json", "isDraft,assets,isImmutable"); !strings.Contains(out, `"isDraft":true`) || !strings.Contains(out, `"digest":"sha256:`) {
				t.Errorf("view: %s", out)
			}
			if out, err := g.run("release", "upload", "v1.1.0", g.file("a.zip", 7)); err == nil {
				t.Errorf("it uploaded over an asset: %s", out)
			}
			g.must("release", "upload", "v1.1.0", g.file("a.zip", 7), "--clobber")
			if a := r.ByTag("v1.1.0")[0].Asset("a.zip"); a.Size != 7 {
				t.Errorf("clobbered: %+v", a)
			}
			g.must("release", "edit", "v1.1.0", "--draft=false", "--prerelease", "--tag", "v1.1.0-rc.1")
			if rel := r.ByTag("v1.1.0-rc.1")[0]; rel.Draft || !rel.Prerelease || rel.Latest {
				t.Errorf("edited: %+v", rel)
			}
			to := filepath.Join(g.dir, "down")
			g.must("release", "download", "v1.0.0", "--dir", to)
			got, err := os.ReadFile(filepath.Join(to, "a.zip"))
			if err != nil || len(got) != 1<<20 {
				t.Errorf("downloaded %d bytes, %v", len(got), err)
			}
			g.must("release", "delete-asset", "v1.0.0", "a.zip", "--yes")
			g.must("release", "delete", "v1.0.0", "--yes", "--cleanup-tag")
			if r.Tag("v1.0.0") != "" || len(r.State()) != 1 {
				t.Errorf("left: %+v", r.State())
			}
		})
	}
}

// TestGHFaults: gh 2.83 behaves here as its users report it to behave with
// GitHub, which is how we know that the server does.
func TestGHFaults(t *testing.T) {
	gh := githubtest.GH(t)
	t.Run("a 502 that leaves a starter ends in already_exists, and the draft is deleted", func(t *testing.T) {
		s := githubtest.New(t, githubtest.TLS())
		r := s.Repo("o/r")
		r.AddTag("v1", "")
		g := newGH(t, gh, s)
		s.Fail(githubtest.Match{Op: githubtest.OpUpload}, githubtest.BadGatewayStarter())
		out, err := g.run("release", "create", "v1", g.file("a.zip", 1000), "--notes", "n")
		if err == nil || !strings.Contains(out, "ReleaseAsset.name already exists") {
			t.Errorf("%v: %s", err, out)
		}
		if len(r.State()) != 0 {
			t.Errorf("left: %+v", r.State())
		}
	})
	t.Run("--clobber deletes before it uploads", func(t *testing.T) {
		s := githubtest.New(t, githubtest.TLS(), githubtest.KeepProblems())
		rel := s.Repo("o/r").AddRelease(githubtest.NewRelease{Tag: "v1"})
		rel.AddAsset("a.zip", []byte("old"))
		s.Guard(githubtest.Guard{Repo: "o/r", Tag: "v1", Names: []string{"a.zip"}, Good: func(string, string) bool { return true }})
		g := newGH(t, gh, s)
		m := githubtest.Match{Op: githubtest.OpUpload}
		s.Fail(m, githubtest.SecondaryLimit(403, time.Second, true))
		if out, err := g.run("release", "upload", "v1", g.file("a.zip", 1000), "--clobber"); err == nil {
			t.Errorf("it worked: %s", out)
		}
		if p := s.Problems(); len(p) != 1 || !strings.Contains(p[0], "no good bytes any more") {
			t.Errorf("problems: %q", p)
		}
	})
}

// recorded is a request with its answer from npm's @octokit/fixtures.
type recorded struct {
	Scope, Method, Path string
	Body                json.RawMessage
	Status              int
	Response            json.RawMessage
	ReqHeaders          map[string]any
}

// TestOctokit sends the requests that octokit recorded from GitHub, and
// compares the answers: the status, each error, and that every key of GitHub's
// is there with a value of the same kind.
func TestOctokit(t *testing.T) {
	fixtures := fixtures(t)
	for _, scenario := range []string{"release-assets-conflict", "release-assets", "get-repository"} {
		t.Run(scenario, func(t *testing.T) {
			var list []recorded
			if err := json.Unmarshal(fixtures["package/scenarios/api.github.com/"+scenario+"/normalized-fixture.json"], &list); err != nil {
				t.Fatal(err)
			}
			s := githubtest.New(t, githubtest.WithToken("0000000000000000000000000000000000000001", githubtest.Rights{Push: true, Admin: true}))
			name := strings.Split(list[0].Path, "/")[3]
			name, _, _ = strings.Cut(name, "?")
			rel := s.Repo("octokit-fixture-org/" + name).AddRelease(githubtest.NewRelease{Tag: "v1.0.0", Name: "Version 1.0.0", Body: "Initial release"})
			var asset int64
			for i, rec := range list {
				// The release was recorded before it had the asset that is in
				// the way.
				if i == 1 && strings.HasSuffix(scenario, "conflict") {
					asset = rel.AddAsset("test-upload.txt", []byte("Hello, world!\n"))
				}
				got := replay(t, s, rec, rel.ID, asset)
				if m, ok := got.(map[string]any); ok && rec.Status == http.StatusCreated {
					asset = int64(m["id"].(float64))
				}
			}
		})
	}
}

var (
	releaseID = regexp.MustCompile(`/releases/\d+`)
	assetID   = regexp.MustCompile(`/releases/assets/\d+`)
)

func replay(t *testing.T, s *githubtest.Server, rec recorded, release, asset int64) any {
	t.Helper()
	path := releaseID.ReplaceAllString(rec.Path, fmt.Sprintf("/releases/%d", release))
	path = assetID.ReplaceAllString(path, fmt.Sprintf("/releases/assets/%d", asset))
	base := s.URL
	if strings.Contains(rec.Scope, "uploads.") {
		base = s.UploadURL
	}
	body := rec.Body
	var text string
	if json.Unmarshal(rec.Body, &text) == nil {
		body = []byte(text)
	}
	req, err := http.NewRequestWithContext(context.Background(), strings.ToUpper(rec.Method), base+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for key, value := range rec.ReqHeaders {
		if text, ok := value.(string); ok && key != "host" {
			req.Header.Set(key, text)
		}
	}
	resp, err := plainHTTP(t, s).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s %s: %d", rec.Method, path, resp.StatusCode)
	if resp.StatusCode != rec.Status {
		t.Errorf("%s %s: status %d, recorded %d: %s", rec.Method, path, resp.StatusCode, rec.Status, raw)
		return nil
	}
	var got, want any
	if rec.Status == http.StatusNoContent {
		return nil
	}
	if err := errors.Join(json.Unmarshal(raw, &got), json.Unmarshal(rec.Response, &want)); err != nil {
		t.Fatal(err)
	}
	for _, d := range shape(path, got, want) {
		t.Error(d)
	}
	return got
}

// notOurs are keys that GitHub sent in 2017, or sends to some, and that no
// client of releases reads.
var notOurs = []string{
	"request_id", "organization", "delete_branch_on_merge", "allow_auto_merge", "allow_merge_commit", "allow_rebase_merge",
	"allow_squash_merge", "temp_clone_token", "is_template", "topics", "forks", "allow_forking", "allow_update_branch",
	"use_squash_pr_title_as_default", "squash_merge_commit_message", "squash_merge_commit_title", "merge_commit_message",
	"merge_commit_title", "web_commit_signoff_required", "security_and_analysis",
}

// shape is how got differs in kind from what was recorded.
func shape(at string, got, want any) []string {
	var diffs []string
	switch want := want.(type) {
	case map[string]any:
		m, ok := got.(map[string]any)
		if !ok {
			return []string{fmt.Sprintf("%s: %T, recorded an object", at, got)}
		}
		for key, value := range want {
			if slices.Contains(notOurs, key) {
				continue
			}
			other, there := m[key]
			if !there {
				diffs = append(diffs, at+": no "+key)
				continue
			}
			diffs = append(diffs, shape(at+"."+key, other, value)...)
		}
	case []any:
		list, ok := got.([]any)
		if !ok || len(list) != len(want) {
			return []string{fmt.Sprintf("%s: %v, recorded %d entries", at, got, len(want))}
		}
		for i := range want {
			diffs = append(diffs, shape(fmt.Sprintf("%s[%d]", at, i), list[i], want[i])...)
		}
	default:
		if got != nil && want != nil && fmt.Sprintf("%T", got) != fmt.Sprintf("%T", want) {
			diffs = append(diffs, fmt.Sprintf("%s: %T, recorded %T", at, got, want))
		}
		if strings.Contains(at, ".errors[") && got != want {
			diffs = append(diffs, fmt.Sprintf("%s: %v, recorded %v", at, got, want))
		}
	}
	return diffs
}

// fixtures is the files of npm's @octokit/fixtures.
func fixtures(t *testing.T) map[string][]byte {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.Command("npm", "pack", "--silent", "@octokit/fixtures@23.1.2")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("npm pack: %v\n%s", err, out)
	}
	f, err := os.Open(filepath.Join(dir, "octokit-fixtures-23.1.2.tgz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err == io.EOF {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if files[h.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
}
