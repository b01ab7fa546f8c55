package githubtest_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-github/v60/github"

	"github.com/relmat/relmat/internal/githubtest"
)

// TestProblems: what a client does against GitHub's description is found.
func TestProblems(t *testing.T) {
	for _, tt := range []struct {
		name, method, path, body, kind, want string
	}{
		{"wrong type", "POST", "/repos/o/r/releases", `{"tag_name": "v1", "draft": "yes"}`, "", "draft"},
		{"no tag", "POST", "/repos/o/r/releases", `{"name": "x"}`, "", "tag_name"},
		{"wrong word", "POST", "/repos/o/r/releases", `{"tag_name": "v1", "make_latest": "maybe"}`, "", "make_latest"},
		{"unknown key", "POST", "/repos/o/r/releases", `{"tag_name": "v1", "tagname": "v1"}`, "", `no key "tagname"`},
		{"unknown parameter", "GET", "/repos/o/r/releases?perpage=3", "", "", `no query parameter "perpage"`},
		{"page is no number", "GET", "/repos/o/r/releases?page=x", "", "", "page"},
		{"unknown path", "GET", "/repos/o/r/release", "", "", "no path"},
		{"release is no number", "GET", "/repos/o/r/releases/v1", "", "", "release_id"},
		{"form in place of JSON", "POST", "/repos/o/r/releases", `tag_name=v1`, "application/x-www-form-urlencoded", "content"},
		{"GraphQL field", "POST", "/graphql", `{"query": "query { viewer { nick } }"}`, "", "nick"},
		{"GraphQL variable", "POST", "/graphql", `{"query": "query($o: String!) { repository(owner: $o, name: \"r\") { id } }"}`, "", "must be defined"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := githubtest.New(t, githubtest.KeepProblems())
			s.Repo("o/r")
			req, err := http.NewRequestWithContext(context.Background(), tt.method, s.URL+tt.path, strings.NewReader(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			if tt.kind == "" {
				tt.kind = "application/json"
			}
			req.Header.Set("Content-Type", tt.kind)
			req.Header.Set("Authorization", "token "+githubtest.Token)
			resp, err := plainHTTP(t, s).Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if p := strings.ToLower(strings.Join(s.Problems(), "\n")); !strings.Contains(p, strings.ToLower(tt.want)) {
				t.Errorf("problems: %q", p)
			}
		})
	}
}

// TestGuard: a client that deletes before it uploads is found out, one that
// uploads first is not.
func TestGuard(t *testing.T) {
	ctx := context.Background()
	for _, careful := range []bool{true, false} {
		s := githubtest.New(t, githubtest.KeepProblems())
		r := s.Repo("o/r")
		rel := r.AddRelease(githubtest.NewRelease{Tag: "v1"})
		old := rel.AddAsset("a.zip", []byte("old"))
		var changes []string
		s.OnChange(func(ch githubtest.Change) { changes = append(changes, fmt.Sprintf("%d %s", ch.N, ch.Op)) })
		s.Guard(githubtest.Guard{
			Repo: "o/r", Tag: "v1", Names: []string{"a.zip", "never.zip"},
			Good:      func(_, sum string) bool { return sum != "" },
			Temporary: func(name, temp string) bool { return temp == "new-"+name },
		})
		c := client(t, s, githubtest.Token)
		name := "a.zip"
		if careful {
			name = "new-a.zip"
			if _, _, err := upload(ctx, c, rel.ID, name, []byte("new")); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := c.Repositories.DeleteReleaseAsset(ctx, "o", "r", old); err != nil {
			t.Fatal(err)
		}
		if careful {
			id := r.State()[0].Asset(name).ID
			if _, _, err := c.Repositories.EditReleaseAsset(ctx, "o", "r", id, &github.ReleaseAsset{Name: github.String("a.zip")}); err != nil {
				t.Fatal(err)
			}
		}
		if p := s.Problems(); careful != (len(p) == 0) {
			t.Errorf("careful %t: %q", careful, p)
		}
		want := map[bool]string{
			true:  "3 repos/upload-release-asset,4 repos/upload-release-asset,5 repos/delete-release-asset,6 repos/update-release-asset",
			false: "3 repos/delete-release-asset",
		}[careful]
		if got := strings.Join(changes, ","); got != want {
			t.Errorf("changes: %s", got)
		}
	}
}

// TestDownloads: old assets, false digests, starters, and storage that wants no
// token.
func TestDownloads(t *testing.T) {
	ctx := context.Background()
	s := githubtest.New(t)
	rel := s.Repo("o/r").AddRelease(githubtest.NewRelease{Tag: "v1"})
	old := rel.AddOldAsset("old.zip", []byte("old"))
	lie := rel.AddFalseDigest("lie.zip", []byte("one"), []byte("two"))
	starter := rel.AddStarter("starter.zip")
	web := plainHTTP(t, s)
	get := func(url, accept, token string) (int, string) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept", accept)
		if token != "" {
			req.Header.Set("Authorization", "token "+token)
		}
		resp, err := web.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(body)
	}
	api := func(id int64) string { return s.URL + "/repos/o/r/releases/assets/" + strconv.FormatInt(id, 10) }
	if _, body := get(api(old), "application/json", ""); !strings.Contains(body, `"digest":null`) {
		t.Errorf("an old asset: %s", body)
	}
	if _, body := get(api(lie), "application/json", ""); !strings.Contains(body, "sha256:3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3") { // printf two | sha256sum
		t.Errorf("a false digest: %s", body)
	}
	if status, body := get(api(lie), "application/octet-stream", githubtest.Token); status != 200 || body != "one" {
		t.Errorf("its bytes: %d %q", status, body)
	}
	if status, _ := get(api(starter), "application/octet-stream", githubtest.Token); status != 404 {
		t.Errorf("a starter's bytes: %d", status)
	}
	if status, body := get(s.WebURL+"/o/r/releases/download/v1/old.zip", "*/*", ""); status != 200 || body != "old" {
		t.Errorf("by the browser's address: %d %q", status, body)
	}
	// Where the redirect leads, with a token and with no signature.
	web.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, api(old), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "application/octet-stream")
	resp, err := web.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	to := resp.Header.Get("Location")
	if status, _ := get(to, "*/*", githubtest.Token); status != http.StatusBadRequest {
		t.Errorf("storage took the token: %d", status)
	}
	bare, _, _ := strings.Cut(to, "?")
	if status, _ := get(bare, "*/*", ""); status != http.StatusForbidden {
		t.Errorf("storage took an address without signature: %d", status)
	}
}

// TestLink: a connection is as slow as it should be, and two are twice as fast.
func TestLink(t *testing.T) {
	s := githubtest.New(t, githubtest.HTTP2(), githubtest.Discard(nil), githubtest.WithLink(githubtest.Link{Latency: 20 * time.Millisecond, Rate: 20 << 20}))
	id := s.Repo("o/r").AddRelease(githubtest.NewRelease{Tag: "v1", Draft: true}).ID
	content := bytes.Repeat([]byte("x"), 8<<20)
	start := time.Now()
	if status, _, _, err := rawUpload(t, s, id, "a", content, true); err != nil || status != 201 {
		t.Fatalf("%d, %v", status, err)
	}
	one := time.Since(start)
	if want := 350 * time.Millisecond; one < want {
		t.Errorf("8 MiB at 20 MiB/s took %v", one)
	}
	start = time.Now()
	var wg sync.WaitGroup
	for _, name := range []string{"b", "c", "d"} {
		wg.Go(func() {
			if status, _, _, err := rawUpload(t, s, id, name, content, true); err != nil || status != 201 {
				t.Errorf("%d, %v", status, err)
			}
		})
	}
	wg.Wait()
	if three := time.Since(start); three > one*5/2 {
		t.Errorf("one took %v, three over connections of their own %v", one, three)
	}
}

// TestDiscard: nothing is kept, and the digest is what the test says.
func TestDiscard(t *testing.T) {
	sum := strings.Repeat("ab", 32)
	s := githubtest.New(t, githubtest.Discard(func(string, int64) string { return "sha256:" + sum }))
	r := s.Repo("o/r")
	id := r.AddRelease(githubtest.NewRelease{Tag: "v1"}).ID
	if status, body, _, err := rawUpload(t, s, id, "a", []byte("x"), false); err != nil || status != 201 || !strings.Contains(body, sum) {
		t.Errorf("%d %s, %v", status, body, err)
	}
	if content, err := r.Content(r.State()[0].Assets[0].ID); err == nil {
		t.Errorf("it kept %q", content)
	}
}

// BenchmarkUpload is the speed of the server itself, 256 MiB at a time.
func BenchmarkUpload(b *testing.B) {
	for name, opts := range map[string][]githubtest.Option{
		"hashed":  {githubtest.HTTP2(), githubtest.Discard(nil)},
		"trusted": {githubtest.HTTP2(), githubtest.Discard(func(string, int64) string { return strings.Repeat("0", 64) })},
	} {
		b.Run(name, func(b *testing.B) {
			s := githubtest.New(b, opts...)
			id := s.Repo("o/r").AddRelease(githubtest.NewRelease{Tag: "v1"}).ID
			web := plainHTTP(b, s)
			const size = 256 << 20
			b.SetBytes(size)
			for n := 0; b.Loop(); n++ {
				req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, fmt.Sprintf("%s/repos/o/r/releases/%d/assets?name=a%d", s.UploadURL, id, n), io.LimitReader(zeros{}, size))
				if err != nil {
					b.Fatal(err)
				}
				req.ContentLength = size
				req.Header.Set("Authorization", "Bearer "+githubtest.Token)
				req.Header.Set("Content-Type", "application/zip")
				resp, err := web.Do(req)
				if err != nil {
					b.Fatal(err)
				}
				resp.Body.Close()
				if resp.StatusCode != http.StatusCreated {
					b.Fatal(resp.Status)
				}
			}
		})
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }
