package githubtest_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"testing"

	"github.com/google/go-github/v60/github"

	"github.com/relmat/relmat/internal/githubtest"
)

// plainHTTP is a client that trusts the server and keeps nothing of it.
func plainHTTP(t testing.TB, s *githubtest.Server) *http.Client {
	t.Helper()
	tr := &http.Transport{ForceAttemptHTTP2: true}
	if s.CAFile != "" {
		pem, err := os.ReadFile(s.CAFile)
		if err != nil {
			t.Fatal(err)
		}
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(pem)
		tr.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// client is go-github on the server.
func client(t *testing.T, s *githubtest.Server, token string) *github.Client {
	t.Helper()
	c := github.NewClient(plainHTTP(t, s))
	if token != "" {
		c = c.WithAuthToken(token)
	}
	c, err := c.WithEnterpriseURLs(s.URL, s.UploadURL)
	if err != nil {
		t.Fatal(err)
	}
	// Not an Enterprise server's paths, but api.github.com's.
	c.BaseURL.Path, c.UploadURL.Path = "/", "/"
	return c
}

// upload sends content as an asset; name goes as it is.
func upload(ctx context.Context, c *github.Client, release int64, name string, content []byte) (*github.ReleaseAsset, *github.Response, error) {
	u := fmt.Sprintf("repos/o/r/releases/%d/assets?name=%s", release, queryEscape(name))
	req, err := c.NewUploadRequest(u, bytes.NewReader(content), int64(len(content)), "application/zip")
	if err != nil {
		return nil, nil, err
	}
	req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil }
	a := new(github.ReleaseAsset)
	resp, err := c.Do(ctx, req, a)
	return a, resp, err
}

// errorOf is GitHub's error, with its first entry.
func errorOf(t *testing.T, err error) (int, string, github.Error) {
	t.Helper()
	var e *github.ErrorResponse
	if !errors.As(err, &e) {
		t.Fatalf("%v (%T) is no answer of GitHub's", err, err)
	}
	first := github.Error{}
	if len(e.Errors) > 0 {
		first = e.Errors[0]
	}
	return e.Response.StatusCode, e.Message, first
}
