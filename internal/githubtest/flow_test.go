package githubtest_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/url"
	"testing"

	"github.com/google/go-github/v60/github"

	"github.com/relmat/relmat/internal/githubtest"
)

func queryEscape(s string) string { return url.QueryEscape(s) }

// TestFlow is a release from draft to published with go-github, over each
// protocol: the client is not ours, and each answer is held against GitHub's
// description.
func TestFlow(t *testing.T) {
	for name, opts := range map[string][]githubtest.Option{
		"http1": nil, "tls": {githubtest.TLS()}, "http2": {githubtest.HTTP2()},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := context.Background()
			s := githubtest.New(t, opts...)
			repo := s.Repo("o/r")
			sha := repo.AddTag("v1.0.0", "")
			c := client(t, s, githubtest.Token)

			rel, _, err := c.Repositories.CreateRelease(ctx, "o", "r", &github.RepositoryRelease{
				TagName: github.String("v1.0.0"), Draft: github.Bool(true), Name: github.String("One"), Body: github.String("Notes"),
			})
			if err != nil {
				t.Fatal(err)
			}
			if _, resp, err := c.Repositories.GetReleaseByTag(ctx, "o", "r", "v1.0.0"); err == nil || resp.StatusCode != http.StatusNotFound {
				t.Errorf("the draft is found by its tag: %v", err)
			}
			content := bytes.Repeat([]byte("relmat"), 100_000)
			a, _, err := upload(ctx, c, rel.GetID(), "x.zip", content)
			if err != nil {
				t.Fatal(err)
			}
			if a.GetState() != "uploaded" || a.GetSize() != len(content) {
				t.Errorf("uploaded: %v", a)
			}
			sum := sha256.Sum256(content)
			if got := repo.ByTag("v1.0.0")[0].Asset("x.zip").SHA256; got != hex.EncodeToString(sum[:]) {
				t.Errorf("digest %s", got)
			}
			if _, _, err := upload(ctx, c, rel.GetID(), "x.zip", content); err == nil {
				t.Error("the same name was taken twice")
			} else if status, _, e := errorOf(t, err); status != 422 || e.Code != "already_exists" || e.Field != "name" || e.Resource != "ReleaseAsset" {
				t.Errorf("%d %+v", status, e)
			}
			if _, _, err := c.Repositories.EditReleaseAsset(ctx, "o", "r", a.GetID(), &github.ReleaseAsset{Name: github.String("y.zip")}); err != nil {
				t.Error(err)
			}
			body, _, err := c.Repositories.DownloadReleaseAsset(ctx, "o", "r", a.GetID(), plainHTTP(t, s))
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(body)
			if err != nil || !bytes.Equal(got, content) {
				t.Errorf("downloaded %d bytes, %v", len(got), err)
			}
			body.Close()
			rel, _, err = c.Repositories.EditRelease(ctx, "o", "r", rel.GetID(), &github.RepositoryRelease{Draft: github.Bool(false)})
			if err != nil {
				t.Fatal(err)
			}
			if rel.GetDraft() || rel.GetPublishedAt().IsZero() || len(rel.Assets) != 1 {
				t.Errorf("published: %v", rel)
			}
			latest, _, err := c.Repositories.GetLatestRelease(ctx, "o", "r")
			if err != nil || latest.GetID() != rel.GetID() {
				t.Errorf("latest: %v, %v", latest, err)
			}
			ref, _, err := c.Git.GetRef(ctx, "o", "r", "tags/v1.0.0")
			if err != nil || ref.GetObject().GetSHA() != sha {
				t.Errorf("ref: %v, %v", ref, err)
			}
			anyone := client(t, s, "")
			if list, _, err := anyone.Repositories.ListReleases(ctx, "o", "r", nil); err != nil || len(list) != 1 {
				t.Errorf("a stranger's list: %v, %v", list, err)
			}
			if _, err := c.Repositories.DeleteReleaseAsset(ctx, "o", "r", a.GetID()); err != nil {
				t.Error(err)
			}
			if _, err := c.Repositories.DeleteRelease(ctx, "o", "r", rel.GetID()); err != nil {
				t.Error(err)
			}
			if st := repo.State(); len(st) != 0 {
				t.Errorf("left: %+v", st)
			}
			if n := s.Count(githubtest.OpUpload); n != 2 {
				t.Errorf("%d uploads", n)
			}
			proto := s.Requests()[0].Proto
			if want := map[bool]string{true: "HTTP/2.0", false: "HTTP/1.1"}[name == "http2"]; proto != want {
				t.Errorf("it spoke %s", proto)
			}
		})
	}
}
