package publish_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/relmat/relmat/internal/githubtest"
	"github.com/relmat/relmat/internal/progress"
	"github.com/relmat/relmat/internal/publish"
)

// fast is a clock on which a minute is a few milliseconds.
const fast = 4000

var begun = time.Now()

func fastNow() time.Time { return begun.Add(time.Since(begun) * fast) }

func fastSleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d/fast + time.Microsecond)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// gh is a publisher to the test server, with a fast clock and no paces.
func gh(t testing.TB, s *githubtest.Server, repo string) *publish.GitHub {
	t.Helper()
	g := &publish.GitHub{
		Repo: repo, API: s.URL, Token: func(context.Context) (string, error) { return githubtest.Token, nil },
		Parallel: 3, Stall: 2 * time.Second, RetryFor: 48 * time.Hour, Paces: []publish.Pace{}, Now: fastNow, Sleep: fastSleep,
	}
	if s.CAFile != "" {
		g.Transport = trusting(t, s)
	}
	return g
}

func trusting(t testing.TB, s *githubtest.Server) func() http.RoundTripper {
	t.Helper()
	pem, err := os.ReadFile(s.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	return func() http.RoundTripper {
		return &http.Transport{ForceAttemptHTTP2: true, WriteBufferSize: 64 << 10, TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}
	}
}

// put writes a file and describes it.
func put(t testing.TB, dir, name, content string) publish.File {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(content))
	return publish.File{Name: name, Path: path, Size: int64(len(content)), SHA256: hex.EncodeToString(sum[:])}
}

// said collects what a run tells.
type said struct {
	mu   sync.Mutex
	text strings.Builder
}

func (s *said) Event(e progress.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.Text != "" {
		s.text.WriteString(string(e.Kind) + ": " + e.Text + "\n")
	}
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

func quietTask() *progress.Task { return new(progress.Reporter).Begin("", "publish", "") }

// wantAssets fails unless the release of v1 holds these files, whole, and
// nothing else but the extra names.
func wantAssets(t testing.TB, rel githubtest.ReleaseState, files []publish.File, extra ...string) {
	t.Helper()
	want := map[string]string{}
	for _, f := range files {
		want[f.Name] = f.SHA256
	}
	for _, name := range extra {
		want[name] = ""
	}
	for _, a := range rel.Assets {
		sum, ok := want[a.Name]
		switch {
		case !ok:
			t.Errorf("asset %s (%s) is too much", a.Name, a.State)
		case sum != "" && (a.SHA256 != sum || a.State != githubtest.StateUploaded):
			t.Errorf("asset %s is %s with %s, want %s", a.Name, a.State, a.SHA256, sum)
		}
		delete(want, a.Name)
	}
	for name := range want {
		t.Errorf("asset %s is missing", name)
	}
}

func TestGitHubPublishes(t *testing.T) {
	for name, opts := range map[string][]githubtest.Option{"http1": nil, "http2": {githubtest.HTTP2()}} {
		t.Run(name, func(t *testing.T) {
			s := githubtest.New(t, opts...)
			repo := s.Repo("o/r")
			repo.AddAnnotatedTag("v1", "")
			dir := t.TempDir()
			notes := "What is new\n"
			w := publish.Wanted{Tag: "v1", Checksums: true, Notes: &notes, Files: []publish.File{
				put(t, dir, "a.zip", "bytes of a"), put(t, dir, "b.tar.gz", string(bytes.Repeat([]byte("b"), 3<<20))),
			}}
			g := gh(t, s, "o/r")
			if err := g.Preflight(t.Context(), w, quietTask()); err != nil {
				t.Fatal(err)
			}
			plan, err := g.Plan(t.Context(), w, quietTask())
			if err != nil || plan.Done() || len(plan.Assets) != 3 || len(repo.State()) != 0 {
				t.Fatalf("plan %+v, %v", plan, err)
			}
			res, err := g.Publish(t.Context(), w, quietTask())
			if err != nil {
				t.Fatal(err)
			}
			rel := repo.ByTag("v1")[0]
			if res.Outcome != publish.Published || res.ID != rel.ID || rel.Draft || rel.Prerelease || !rel.Latest || rel.Body != notes || rel.Name != "v1" {
				t.Errorf("%+v\n%+v", res, rel)
			}
			wantAssets(t, rel, res.Assets)
			if got := rel.Asset("b.tar.gz").ContentType; got != "application/gzip" {
				t.Errorf("media type %s", got)
			}
			s.ForgetRequests()
			if res, err = g.Publish(t.Context(), w, quietTask()); err != nil || res.Outcome != publish.Unchanged {
				t.Errorf("again: %+v, %v", res, err)
			}
			if n := s.Count(); n > 3 {
				t.Errorf("%d requests to find that nothing is to be done: %+v", n, s.Requests())
			}
			// Other bytes: they take the place of the old ones.
			w.Files[0] = put(t, dir, "a.zip", "other bytes of a")
			if res, err = g.Publish(t.Context(), w, quietTask()); err != nil || res.Outcome != publish.Updated {
				t.Errorf("changed: %+v, %v", res, err)
			}
			wantAssets(t, repo.ByTag("v1")[0], res.Assets)
		})
	}
}
