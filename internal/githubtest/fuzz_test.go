package githubtest_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/relmat/relmat/internal/githubtest"
)

// FuzzRequest: whatever a client sends gets an answer, and one that is JSON.
func FuzzRequest(f *testing.F) {
	for _, seed := range [][3]string{
		{"GET", "/repos/o/r/releases?page=99999999999&per_page=-1", ""},
		{"GET", "/repos/o/r/releases/assets/assets", ""},
		{"GET", "/repos/o/r/commits/%00", ""},
		{"PATCH", "/repos/o/r/releases/1002", `{"tag_name": "", "make_latest": 7}`},
		{"POST", "/repos/o/r/releases", `{"tag_name": "a b", "target_commitish": "x"}`},
		{"POST", "/repos/o/r/git/refs", `{"ref": "refs/tags/x", "sha": ""}`},
		{"POST", "/graphql", `{"query": "{repository(owner:\"o\",name:\"r\"){releases(first:-1,after:\"-7\"){nodes{tag{target{oid}}}}}}"}`},
		{"POST", "/graphql", `{"query": "query a{viewer{login}} query b{__schema{types{name}}}", "operationName": "b"}`},
		{"POST", "/api/uploads/repos/o/r/releases/1002/assets?name=..", "x"},
		{"HEAD", "/repositories/1001/releases", ""},
		{"GET", "/repositories/1001", ""},
	} {
		f.Add(seed[0], seed[1], seed[2])
	}
	s, err := githubtest.Start(githubtest.WithLimits(githubtest.Limits{Assets: 5}))
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(s.Close)
	s.Repo("o/r").AddRelease(githubtest.NewRelease{Tag: "v1"}).AddAsset("a", []byte("a"))
	f.Fuzz(func(t *testing.T, method, path, body string) {
		u, err := url.Parse(path)
		if err != nil || !strings.HasPrefix(u.EscapedPath(), "/") || u.Host != "" {
			return
		}
		req, err := http.NewRequestWithContext(context.Background(), method, s.URL+path, strings.NewReader(body))
		if err != nil {
			return
		}
		req.Header.Set("Authorization", "token "+githubtest.Token)
		resp, err := plainHTTP(t, s).Do(req)
		if err != nil {
			for _, p := range s.Problems() {
				if strings.Contains(p, "panic") {
					t.Fatal(p)
				}
			}
			return
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err == nil && len(text) > 0 && strings.Contains(resp.Header.Get("Content-Type"), "json") && !json.Valid(text) {
			t.Errorf("%s %s: %q", method, path, text)
		}
		for _, p := range s.Problems() {
			if strings.Contains(p, "panic") || strings.HasPrefix(p, "answer to") {
				t.Fatal(p)
			}
		}
	})
}
