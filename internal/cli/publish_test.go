package cli_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/relmat/relmat/internal/cli"
	"github.com/relmat/relmat/internal/githubtest"
)

type githubKey struct{}

// cmdGitHub is a GitHub for a script, as $GITHUB_API_URL:
//
//	github start OWNER/NAME [TAG...]   with tags on its one commit
//	github commit FILE                 makes a commit known, whose SHA-1 is in the file
//	github draft TAG                   makes a draft
//	github id TAG VAR                  sets the variable to the id of the tag's last release
//	github asset TAG NAME TEXT         puts an asset into the tag's first release
//	github starter TAG NAME            puts what a broken upload leaves
//	github state TAG FILE              writes what the tag's releases are
//	github download TAG DIR            writes the assets' bytes
//	github requests FILE               writes the operations asked for, and forgets them
func cmdGitHub(ts *testscript.TestScript, neg bool, args []string) {
	holder := ts.Value(githubKey{}).(**githubtest.Server)
	if neg || len(args) < 2 {
		ts.Fatalf("usage: github start|commit|draft|id|asset|starter|state|download|requests ...")
	}
	if args[0] == "start" {
		s, err := githubtest.Start()
		ts.Check(err)
		*holder = s
		ts.Defer(func() {
			s.Close()
			if p := s.Problems(); len(p) > 0 {
				panic(strings.Join(p, "\n"))
			}
		})
		for _, tag := range args[2:] {
			s.Repo(args[1]).AddTag(tag, "")
		}
		ts.Setenv("GITHUB_API_URL", s.URL)
		ts.Setenv("GITHUB_REPOSITORY", args[1])
		ts.Setenv("GITHUB_TOKEN", githubtest.Token)
		ts.Setenv("HEAD", s.Repo(args[1]).Head())
		return
	}
	s := *holder
	repo := s.Repo(ts.Getenv("GITHUB_REPOSITORY"))
	switch args[0] {
	case "draft":
		repo.AddRelease(githubtest.NewRelease{Tag: args[1], Draft: true})
	case "id":
		list := repo.ByTag(args[1])
		ts.Setenv(args[2], fmt.Sprint(list[len(list)-1].ID))
	case "commit":
		repo.AddCommit(strings.TrimSpace(ts.ReadFile(args[1])), time.Now())
	case "asset", "starter":
		if args[0] == "starter" {
			s.Fail(githubtest.Match{Op: githubtest.OpUpload}, githubtest.BadGatewayStarter())
			args = append(args, "-")
		}
		url := fmt.Sprintf("%s/repos/%s/releases/%d/assets?name=%s", s.UploadURL, ts.Getenv("GITHUB_REPOSITORY"), repo.ByTag(args[1])[0].ID, args[2])
		req, err := http.NewRequest(http.MethodPost, url, strings.NewReader(args[3]))
		ts.Check(err)
		req.Header.Set("Authorization", "token "+githubtest.Token)
		req.Header.Set("Content-Type", "application/octet-stream")
		resp, err := http.DefaultClient.Do(req)
		ts.Check(err)
		resp.Body.Close()
	case "state":
		var b strings.Builder
		for _, r := range repo.ByTag(args[1]) {
			fmt.Fprintf(&b, "%s name=%q body=%q target=%s draft=%t prerelease=%t latest=%t\n", r.Tag, r.Name, r.Body, r.Target, r.Draft, r.Prerelease, r.Latest)
			slices.SortFunc(r.Assets, func(a, b githubtest.AssetState) int { return strings.Compare(a.Name, b.Name) })
			for _, a := range r.Assets {
				fmt.Fprintf(&b, "  %s %s %d %s\n", a.Name, a.State, a.Size, a.ContentType)
			}
		}
		ts.Check(os.WriteFile(ts.MkAbs(args[2]), []byte(b.String()), 0o644))
	case "download":
		ts.Check(os.MkdirAll(ts.MkAbs(args[2]), 0o755))
		for _, a := range repo.ByTag(args[1])[0].Assets {
			data, err := repo.Content(a.ID)
			ts.Check(err)
			ts.Check(os.WriteFile(filepath.Join(ts.MkAbs(args[2]), a.Name), data, 0o644))
		}
	case "requests":
		var b strings.Builder
		for _, e := range s.Requests() {
			fmt.Fprintln(&b, e.Op, e.Name)
		}
		ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(b.String()), 0o644))
		s.ForgetRequests()
	default:
		ts.Fatalf("github %s?", args[0])
	}
}

// A server, a proxy or a tool that repeats the token does not get it into
// anything that relmat says.
func TestIncident45TokenInNoOutput(t *testing.T) {
	const token, word = "ghp_verySecretTokenOfAPerson", "proxyPassWord"
	echo := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusUnprocessableEntity)
		fmt.Fprintf(w, `{"message":"you sent %s, by %s"}`, r.Header.Get("Authorization"), "http://u:"+word+"@proxy")
	}))
	defer echo.Close()
	dir := t.TempDir()
	file := filepath.Join(dir, "a.zip")
	if err := os.WriteFile(file, []byte("a"), 0o644); err != nil {
		t.Fatal(err)
	}
	// What gh says is no variable of the environment.
	if err := os.WriteFile(filepath.Join(dir, "gh"), []byte("#!/bin/sh\necho "+token+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, env := range map[string][]string{
		"variable": {"GITHUB_TOKEN=" + token}, "gh": {"PATH=" + dir + string(filepath.ListSeparator) + os.Getenv("PATH")},
	} {
		for _, mode := range []string{"plain", "github", "json"} {
			summary := filepath.Join(t.TempDir(), "summary.md")
			env := append([]string{"GITHUB_API_URL=" + echo.URL, "HTTPS_PROXY=http://u:" + word + "@127.0.0.1:1", "GITHUB_STEP_SUMMARY=" + summary, "HOME=" + dir}, env...)
			var out, errs strings.Builder
			args := []string{"publish", "--repo", "o/r", "--tag", "v1", "--progress", mode, file}
			code := cli.Run(t.Context(), args, cli.Streams{Out: &out, Err: &errs, Env: env})
			shown, _ := os.ReadFile(summary)
			all := out.String() + errs.String() + string(shown)
			if code != 1 || !strings.Contains(all, "you sent Bearer ***, by http://u:***@proxy") {
				t.Errorf("%s, %s: exit code %d: %s", name, mode, code, all)
			}
			if strings.Contains(all, token) || strings.Contains(all, word) {
				t.Errorf("%s, %s: %s", name, mode, all)
			}
		}
	}
}

// On GitHub Actions the step summary leads to the release.
func TestStepSummaryHasTheLink(t *testing.T) {
	s := githubtest.New(t)
	s.Repo("o/r").AddTag("v1", "")
	dir := t.TempDir()
	file, summary := filepath.Join(dir, "a.zip"), filepath.Join(dir, "summary.md")
	if err := os.WriteFile(file, []byte("a"), 0o644); err != nil {
		t.Fatal(err)
	}
	env := []string{"GITHUB_API_URL=" + s.URL, "GITHUB_TOKEN=" + githubtest.Token, "GITHUB_REPOSITORY=o/r", "GITHUB_ACTIONS=true", "GITHUB_STEP_SUMMARY=" + summary, "HOME=" + dir}
	var out, errs strings.Builder
	if code := cli.Run(t.Context(), []string{"publish", "--tag", "v1", file}, cli.Streams{Out: &out, Err: &errs, Env: env}); code != 0 {
		t.Fatalf("exit code %d: %s", code, errs.String())
	}
	shown, err := os.ReadFile(summary)
	if err != nil || !strings.Contains(string(shown), "| publish | done | "+s.WebURL+"/o/r/releases/tag/v1: 1 asset |") {
		t.Errorf("%s, %v", shown, err)
	}
}
