package githubtest_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-github/v60/github"

	"github.com/relmat/relmat/internal/githubtest"
)

func asError[T error](err error, target *T) bool { return errors.As(err, target) }

// TestUploadFaults: what each fault answers, and what it leaves.
func TestUploadFaults(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789abcdef"), 64<<10) // 1 MiB
	for _, tt := range []struct {
		name  string
		fault githubtest.Fault
		state string // of the asset afterwards; empty is that there is none
		code  int    // 0 is a broken connection
	}{
		{"reset in the body", githubtest.Reset(300_000), githubtest.StateStarter, 0},
		{"lost answer", githubtest.Lost(), githubtest.StateUploaded, 0},
		{"502 before", githubtest.BadGateway(false), "", 502},
		{"502 after", githubtest.BadGateway(true), githubtest.StateUploaded, 502},
		{"502 with starter", githubtest.BadGatewayStarter(), githubtest.StateStarter, 502},
		{"500 with starter", githubtest.ServerError(), githubtest.StateStarter, 500},
		{"hang", githubtest.Hang(1000, 20*time.Millisecond), githubtest.StateStarter, 0},
		{"truncated answer", githubtest.Truncate(), githubtest.StateUploaded, 0},
		{"401", githubtest.Unauthorized(), "", 401},
		{"403 without Retry-After", githubtest.SecondaryLimit(403, time.Second, false), "", 403},
		{"429 with Retry-After", githubtest.SecondaryLimit(429, 20*time.Millisecond, true), "", 429},
		{"429 primary", githubtest.PrimaryLimit(429, time.Second, true), "", 429},
		{"slow", githubtest.Drip(20 << 20), githubtest.StateUploaded, 201},
		{"wrong digest", githubtest.WrongDigest(), githubtest.StateUploaded, 201},
	} {
		for protocol, opts := range map[string][]githubtest.Option{"http1": nil, "http2": {githubtest.HTTP2()}} {
			t.Run(tt.name+" "+protocol, func(t *testing.T) {
				s := githubtest.New(t, opts...)
				r := s.Repo("o/r")
				id := r.AddRelease(githubtest.NewRelease{Tag: "v1", Draft: true}).ID
				s.Fail(githubtest.Match{Op: githubtest.OpUpload, Name: "a.zip"}, tt.fault)
				status, body, h, err := rawUpload(t, s, id, "a.zip", content, false)
				if tt.code == 0 {
					if err == nil {
						t.Errorf("status %d", status)
					}
				} else if err != nil || status != tt.code {
					t.Errorf("status %d, %v", status, err)
				}
				if tt.name == "429 with Retry-After" && h.Get("Retry-After") != "0.020" {
					t.Errorf("Retry-After: %q", h.Get("Retry-After"))
				}
				a := r.State()[0].Asset("a.zip")
				switch {
				case a == nil && tt.state != "", a != nil && a.State != tt.state:
					t.Errorf("left: %+v", a)
				case tt.name == "wrong digest" && strings.Contains(body, a.SHA256):
					t.Errorf("it tells %s", body)
				}
				if s.Pending() != 0 {
					t.Error("the fault is still to come")
				}
			})
		}
	}
}

// rawUpload sends content and, without retry, in a way that net/http cannot
// send again.
func rawUpload(t *testing.T, s *githubtest.Server, release int64, name string, content []byte, retry bool) (int, string, http.Header, error) {
	t.Helper()
	var body io.Reader = struct{ io.Reader }{bytes.NewReader(content)}
	if retry {
		body = bytes.NewReader(content)
	}
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, s.UploadURL+"/repos/o/r/releases/"+strconv.FormatInt(release, 10)+"/assets?name="+name, body)
	if err != nil {
		t.Fatal(err)
	}
	req.ContentLength = int64(len(content))
	req.Header.Set("Authorization", "Bearer "+githubtest.Token)
	req.Header.Set("Content-Type", "application/zip")
	req.Header.Set("User-Agent", "test")
	resp, err := plainHTTP(t, s).Do(req)
	if err != nil {
		return 0, "", nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), resp.Header, err
}

// TestStreams: net/http's client understands REFUSED_STREAM and GOAWAY as
// "nothing was done" and sends again what it can send again.
func TestStreams(t *testing.T) {
	content := bytes.Repeat([]byte("x"), 1<<20)
	for name, fault := range map[string]githubtest.Fault{
		"refused at once": githubtest.RefuseStream(0), "refused in the body": githubtest.RefuseStream(500_000),
		"goaway at once": githubtest.GoAway(0), "goaway in the body": githubtest.GoAway(500_000),
	} {
		for _, retry := range []bool{true, false} {
			t.Run(name+" "+strconv.FormatBool(retry), func(t *testing.T) {
				s := githubtest.New(t, githubtest.HTTP2())
				r := s.Repo("o/r")
				id := r.AddRelease(githubtest.NewRelease{Tag: "v1", Draft: true}).ID
				s.Fail(githubtest.Match{Op: githubtest.OpUpload}, fault)
				status, _, _, err := rawUpload(t, s, id, "a.zip", content, retry)
				if retry {
					if err != nil || status != http.StatusCreated || s.Count(githubtest.OpUpload) != 2 {
						t.Errorf("status %d after %d requests, %v", status, s.Count(), err)
					}
					return
				}
				if err == nil || !strings.Contains(err.Error(), "GetBody") && !strings.Contains(err.Error(), "GOAWAY") {
					t.Errorf("status %d, %v", status, err)
				}
				if a := r.State()[0].Asset("a.zip"); a != nil {
					t.Errorf("left: %+v", a)
				}
			})
		}
	}
}

// TestLists: a ghost hides an entry from who reads two pages, a shift shows one
// twice.
func TestLists(t *testing.T) {
	ctx := context.Background()
	s := githubtest.New(t)
	rel := s.Repo("o/r").AddRelease(githubtest.NewRelease{Tag: "v1"})
	for _, n := range []string{"a", "b", "c", "d"} {
		rel.AddAsset(n, []byte(n))
	}
	c := client(t, s, githubtest.Token)
	read := func() string {
		var names []string
		for page := 1; page <= 2; page++ {
			list, _, err := c.Repositories.ListReleaseAssets(ctx, "o", "r", rel.ID, &github.ListOptions{PerPage: 2, Page: page})
			if err != nil {
				t.Fatal(err)
			}
			for _, a := range list {
				names = append(names, a.GetName())
			}
		}
		return strings.Join(names, " ")
	}
	m := githubtest.Match{Op: githubtest.OpListAssets}
	s.Fail(m, githubtest.Ghost())
	if got := read(); got != "ghost.bin a c d" {
		t.Errorf("with a ghost: %s", got)
	}
	m.Skip = 1
	s.Fail(m, githubtest.Shift())
	if got := read(); got != "a b b c" {
		t.Errorf("shifted: %s", got)
	}
	s.Fail(m, githubtest.Stale())
	m.Skip = 0
	s.Fail(m, githubtest.Stale())
	if got := read(); got != "a b c" {
		t.Errorf("stale: %s", got)
	}
	if got := read(); got != "a b c d" {
		t.Errorf("calm: %s", got)
	}
}

// TestCalls: a test can do something before, in and after a request.
func TestCalls(t *testing.T) {
	s := githubtest.New(t)
	r := s.Repo("o/r")
	id := r.AddRelease(githubtest.NewRelease{Tag: "v1", Draft: true}).ID
	var seen []string
	look := func(name string) func() {
		return func() {
			state := "none"
			if a := r.State()[0].Asset(name); a != nil {
				state = a.State
			}
			seen = append(seen, state)
		}
	}
	s.Fail(githubtest.Match{}, githubtest.Call(0, look("a")), githubtest.Call(10, look("b")), githubtest.CallAfter(look("c")))
	for _, name := range []string{"a", "b", "c"} {
		if status, _, _, err := rawUpload(t, s, id, name, []byte(strings.Repeat("x", 20)), false); err != nil || status != 201 {
			t.Fatalf("%d, %v", status, err)
		}
	}
	if got := strings.Join(seen, " "); got != "none starter uploaded" {
		t.Error(got)
	}
}

// TestChaos: the server takes whatever comes, tells no wrong answers by the
// description, and one seed gives one series.
func TestChaos(t *testing.T) {
	run := func(seed uint64, opts ...githubtest.Option) string {
		s := githubtest.New(t, opts...)
		r := s.Repo("o/r")
		id := r.AddRelease(githubtest.NewRelease{Tag: "v1", Draft: true}).ID
		s.Chaos(githubtest.Schedule{Seed: seed, Rate: 0.7, Wait: time.Millisecond, Hang: time.Millisecond})
		var log strings.Builder
		for i := range 40 {
			status, _, _, err := rawUpload(t, s, id, "a"+strconv.Itoa(i), bytes.Repeat([]byte("x"), 10_000), false)
			if err != nil {
				status = 0
			}
			log.WriteString(strconv.Itoa(status) + " ")
		}
		for _, a := range r.State()[0].Assets {
			log.WriteString(a.Name + a.State[:1] + " ")
		}
		return log.String()
	}
	if a, b := run(1), run(1); a != b {
		t.Errorf("one seed, two series:\n%s\n%s", a, b)
	}
	if a, b := run(1), run(2); a == b {
		t.Error("two seeds, one series")
	}
	run(3, githubtest.HTTP2())
}
