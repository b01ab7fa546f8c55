package githubtest_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-github/v60/github"

	"github.com/relmat/relmat/internal/githubtest"
)

// TestRules holds the server against the errors that users of GitHub have
// reported, with their words.
func TestRules(t *testing.T) {
	ctx := context.Background()
	draft := &github.RepositoryRelease{TagName: github.String("v2"), Draft: github.Bool(true)}
	for _, tt := range []struct {
		name    string
		setup   func(*githubtest.Repo) int64
		do      func(*github.Client, int64) error
		status  int
		message string // of the answer or of its first error
		code    string
		field   string
	}{
		{
			name: "published tag again",
			do: func(c *github.Client, _ int64) error {
				_, _, err := c.Repositories.CreateRelease(ctx, "o", "r", &github.RepositoryRelease{TagName: github.String("v1")})
				return err
			},
			status: 422, message: "Validation Failed", code: "already_exists", field: "tag_name",
		},
		{
			name: "a draft of a published tag cannot be published",
			do: func(c *github.Client, _ int64) error {
				rel, _, err := c.Repositories.CreateRelease(ctx, "o", "r", &github.RepositoryRelease{TagName: github.String("v1"), Draft: github.Bool(true)})
				if err != nil {
					return err
				}
				_, _, err = c.Repositories.EditRelease(ctx, "o", "r", rel.GetID(), &github.RepositoryRelease{Draft: github.Bool(false)})
				return err
			},
			status: 422, code: "already_exists", field: "tag_name",
		},
		{
			name: "latest draft",
			do: func(c *github.Client, _ int64) error {
				d := *draft
				d.MakeLatest = github.String("true")
				_, _, err := c.Repositories.CreateRelease(ctx, "o", "r", &d)
				return err
			},
			status: 422, message: "Latest release cannot be draft or prerelease.", code: "custom", field: "make_latest",
		},
		{
			name: "unknown commit",
			do: func(c *github.Client, _ int64) error {
				_, _, err := c.Repositories.CreateRelease(ctx, "o", "r", &github.RepositoryRelease{TagName: github.String("v9"), TargetCommitish: github.String("nowhere")})
				return err
			},
			status: 422, code: "invalid", field: "target_commitish",
		},
		{
			name: "notes too long",
			do: func(c *github.Client, id int64) error {
				_, _, err := c.Repositories.EditRelease(ctx, "o", "r", id, &github.RepositoryRelease{Body: github.String(strings.Repeat("é", 125_001))})
				return err
			},
			status: 422, message: "body is too long (maximum is 125000 characters)", code: "custom", field: "body",
		},
		{
			name: "too large",
			do: func(c *github.Client, id int64) error {
				_, _, err := upload(ctx, c, id, "a", make([]byte, 4096))
				return err
			},
			status: 422, message: "size must be less than 4096", code: "custom", field: "size",
		},
		{
			name: "too many",
			do: func(c *github.Client, id int64) error {
				for _, n := range []string{"a", "b", "c"} {
					if _, _, err := upload(ctx, c, id, n, []byte(n)); err != nil {
						return err
					}
				}
				_, _, err := upload(ctx, c, id, "d", []byte("d"))
				return err
			},
			status: 422, message: "file_count limited to 3 assets per release", code: "custom", field: "file_count",
		},
		{
			name: "a starter holds its name",
			setup: func(r *githubtest.Repo) int64 {
				rel := r.AddRelease(githubtest.NewRelease{Tag: "v3", Draft: true})
				rel.AddStarter("a")
				return rel.ID
			},
			do:     func(c *github.Client, id int64) error { _, _, err := upload(ctx, c, id, "a", []byte("a")); return err },
			status: 422, code: "already_exists", field: "name",
		},
		{
			name: "immutable: upload",
			setup: func(r *githubtest.Repo) int64 {
				return r.AddRelease(githubtest.NewRelease{Tag: "v3", Immutable: true}).ID
			},
			do:     func(c *github.Client, id int64) error { _, _, err := upload(ctx, c, id, "a", []byte("a")); return err },
			status: 422, message: "Cannot upload assets to an immutable release.",
		},
		{
			name: "immutable: back to draft",
			setup: func(r *githubtest.Repo) int64 {
				r.MakeImmutable(true)
				return r.AddRelease(githubtest.NewRelease{Tag: "v3"}).ID
			},
			do: func(c *github.Client, id int64) error {
				_, _, err := c.Repositories.EditRelease(ctx, "o", "r", id, &github.RepositoryRelease{Draft: github.Bool(true)})
				return err
			},
			status: 422, message: "state cannot be changed when release is immutable", code: "custom",
		},
		{
			name: "immutable: tag used again",
			setup: func(r *githubtest.Repo) int64 {
				return r.AddRelease(githubtest.NewRelease{Tag: "v3", Immutable: true}).ID
			},
			do: func(c *github.Client, id int64) error {
				if _, err := c.Repositories.DeleteRelease(ctx, "o", "r", id); err != nil {
					return err
				}
				_, _, err := c.Repositories.CreateRelease(ctx, "o", "r", &github.RepositoryRelease{TagName: github.String("v3")})
				return err
			},
			status: 422, message: "tag_name was used by an immutable release", code: "custom", field: "tag_name",
		},
		{
			name: "rename to a name that is there",
			do: func(c *github.Client, id int64) error {
				if _, _, err := upload(ctx, c, id, "a", []byte("a")); err != nil {
					return err
				}
				b, _, err := upload(ctx, c, id, "b", []byte("b"))
				if err != nil {
					return err
				}
				_, _, err = c.Repositories.EditReleaseAsset(ctx, "o", "r", b.GetID(), &github.ReleaseAsset{Name: github.String("a")})
				return err
			},
			status: 422, code: "already_exists", field: "name",
		},
		{
			name:  "archived",
			setup: func(r *githubtest.Repo) int64 { r.Archive(true); return 0 },
			do: func(c *github.Client, _ int64) error {
				_, _, err := c.Repositories.CreateRelease(ctx, "o", "r", draft)
				return err
			},
			status: 403, message: "Repository was archived so is read-only.",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := githubtest.New(t, githubtest.WithLimits(githubtest.Limits{Size: 4096, Assets: 3}))
			r := s.Repo("o/r")
			r.AddRelease(githubtest.NewRelease{Tag: "v1"})
			id := r.AddRelease(githubtest.NewRelease{Tag: "v2", Draft: true}).ID
			if tt.setup != nil {
				if other := tt.setup(r); other != 0 {
					id = other
				}
			}
			err := tt.do(client(t, s, githubtest.Token), id)
			if err == nil {
				t.Fatal("no error")
			}
			status, message, first := errorOf(t, err)
			if status != tt.status || first.Code != tt.code || first.Field != tt.field {
				t.Errorf("status %d, %q, %+v", status, message, first)
			}
			if tt.message != "" && message != tt.message && first.Message != tt.message {
				t.Errorf("%q, %+v", message, first)
			}
		})
	}
}

// TestDrafts: two of the same tag may be, and only those who may write see
// them.
func TestDrafts(t *testing.T) {
	ctx := context.Background()
	s := githubtest.New(t, githubtest.WithToken("reader", githubtest.Rights{}))
	r := s.Repo("o/r")
	c := client(t, s, githubtest.Token)
	for range 2 {
		if _, _, err := c.Repositories.CreateRelease(ctx, "o", "r", &github.RepositoryRelease{TagName: github.String("v1"), Draft: github.Bool(true)}); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(r.ByTag("v1")); n != 2 {
		t.Errorf("%d drafts", n)
	}
	if r.Tag("v1") != "" {
		t.Error("a draft made its tag")
	}
	for token, want := range map[string]int{githubtest.Token: 2, "reader": 0, "": 0} {
		list, _, err := client(t, s, token).Repositories.ListReleases(ctx, "o", "r", nil)
		if err != nil || len(list) != want {
			t.Errorf("token %q sees %d drafts, %v", token, len(list), err)
		}
	}
	_, _, err := client(t, s, "reader").Repositories.CreateRelease(ctx, "o", "r", &github.RepositoryRelease{TagName: github.String("v2")})
	if status, _, _ := errorOf(t, err); status != http.StatusForbidden {
		t.Errorf("a reader's release: %v", err)
	}
	_, _, err = client(t, s, "wrong").Repositories.ListReleases(ctx, "o", "r", nil)
	if status, _, _ := errorOf(t, err); status != http.StatusUnauthorized {
		t.Errorf("a wrong token: %v", err)
	}
	rel := r.State()[0]
	if _, _, err := c.Repositories.EditRelease(ctx, "o", "r", rel.ID, &github.RepositoryRelease{Draft: github.Bool(false)}); err != nil {
		t.Fatal(err)
	}
	if r.Tag("v1") != r.Head() {
		t.Error("publishing did not make the tag")
	}
}

// TestPages: the list is by the commits' dates, so the newest draft can stand
// on the last page, and Link leads through all of them.
func TestPages(t *testing.T) {
	ctx := context.Background()
	s := githubtest.New(t)
	r := s.Repo("o/r")
	old := strings.Repeat("a", 40)
	r.AddCommit(old, time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC))
	for i := range 44 {
		r.AddRelease(githubtest.NewRelease{Tag: "v0." + string(rune('a'+i%26)) + strings.Repeat("x", i/26)})
	}
	r.AddRelease(githubtest.NewRelease{Tag: "v9", Draft: true, Target: old})
	c := client(t, s, githubtest.Token)
	var all []*github.RepositoryRelease
	opts := &github.ListOptions{PerPage: 10}
	pages := 0
	for {
		list, resp, err := c.Repositories.ListReleases(ctx, "o", "r", opts)
		if err != nil {
			t.Fatal(err)
		}
		pages++
		all = append(all, list...)
		if resp.NextPage == 0 {
			break
		}
		opts.Page = resp.NextPage
	}
	if pages != 5 || len(all) != 45 || all[44].GetTagName() != "v9" {
		t.Errorf("%d pages, %d releases, last %s", pages, len(all), all[len(all)-1].GetTagName())
	}
	// The Link itself, which names the repository by its id.
	resp, err := plainHTTP(t, s).Get(s.URL + "/repos/o/r/releases?per_page=40")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	next, _, _ := strings.Cut(strings.TrimPrefix(resp.Header.Get("Link"), "<"), ">")
	if !strings.Contains(next, "/repositories/") {
		t.Errorf("Link: %q", resp.Header.Get("Link"))
	}
	if resp, err = plainHTTP(t, s).Get(next); err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("%s: %v, %v", next, resp, err)
	}
	resp.Body.Close()
}

// TestNames: the cases that the issue lists.
func TestNames(t *testing.T) {
	ctx := context.Background()
	s := githubtest.New(t)
	id := s.Repo("o/r").AddRelease(githubtest.NewRelease{Tag: "v1", Draft: true}).ID
	c := client(t, s, githubtest.Token)
	for name, want := range map[string]string{
		"plain-1.0_x86.tar.gz": "plain-1.0_x86.tar.gz",
		"with space.zip":       "with.space.zip",
		"a~b:c.zip":            "a.b.c.zip",
		"x (1).zip":            "x.1.zip",
		"two  spaces .zip":     "two.spaces.zip",
		"cuda+cpu.zip":         "cuda+cpu.zip",
		".hidden":              "hidden",
		"größe.zip":            "grosse.zip",
		"日本.zip":               "zip",
	} {
		a, _, err := upload(ctx, c, id, name, []byte("x"))
		if err != nil || a.GetName() != want {
			t.Errorf("%q became %q, want %q, %v", name, a.GetName(), want, err)
		}
	}
}

// TestLimits: requests of the hour, and the limit on creations.
func TestLimits(t *testing.T) {
	ctx := context.Background()
	now := time.Now()
	s := githubtest.New(t, githubtest.WithRateLimit(6), githubtest.WithNow(func() time.Time { return now }),
		githubtest.WithCreationLimit(githubtest.CreationLimit{Requests: 2, Per: time.Minute, Wait: 30 * time.Second, RetryAfter: true}))
	id := s.Repo("o/r").AddRelease(githubtest.NewRelease{Tag: "v1", Draft: true}).ID
	c := client(t, s, githubtest.Token)
	for _, n := range []string{"a", "b"} {
		if _, _, err := upload(ctx, c, id, n, []byte(n)); err != nil {
			t.Fatal(err)
		}
	}
	_, _, err := upload(ctx, c, id, "c", []byte("c"))
	var abuse *github.AbuseRateLimitError
	if !asError(err, &abuse) || abuse.GetRetryAfter() != 30*time.Second {
		t.Errorf("third in a minute: %v", err)
	}
	now = now.Add(61 * time.Second)
	c = client(t, s, githubtest.Token) // the old one remembers the limit
	if _, _, err := upload(ctx, c, id, "c", []byte("c")); err != nil {
		t.Errorf("after the wait: %v", err)
	}
	var primary *github.RateLimitError
	for range 3 {
		_, _, err = c.Repositories.GetRelease(ctx, "o", "r", id)
	}
	if !asError(err, &primary) || primary.Rate.Remaining != 0 {
		t.Errorf("seventh of six: %v", err)
	}
	limits, _, err := c.RateLimit.Get(ctx)
	if err != nil || limits.Core.Remaining != 0 {
		t.Errorf("rate_limit: %v, %v", limits, err)
	}
}
