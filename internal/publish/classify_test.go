package publish

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

const secondaryDoc = "https://docs.github.com/rest/overview/rate-limits-for-the-rest-api#about-secondary-rate-limits"

func TestClassify(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	validation := func(errors string) string {
		return `{"message":"Validation Failed","errors":` + errors + `,"documentation_url":"https://docs.github.com/rest"}`
	}
	date := now.Add(time.Hour).Format(http.TimeFormat) // the server's clock is ahead
	for name, tt := range map[string]struct {
		status int
		header http.Header
		body   string
		kind   kind
		wait   time.Duration
		said   string
	}{
		"an asset has the name":                {422, nil, validation(`[{"resource":"ReleaseAsset","code":"already_exists","field":"name"}]`), kindAssetExists, -1, "ReleaseAsset name already_exists"},
		"the tag has a release":                {422, nil, validation(`[{"resource":"Release","code":"already_exists","field":"tag_name"}]`), kindReleaseExists, -1, "tag_name already_exists"},
		"already exists, of something else":    {422, nil, validation(`[{"resource":"Thing","code":"already_exists","field":"colour"}]`), kindUnknown, -1, `"colour"`},
		"too large":                            {422, nil, validation(`[{"resource":"ReleaseAsset","code":"custom","field":"size","message":"size must be less than or equal to 2147483648"}]`), kindSize, -1, "size must be less than or equal to 2147483648"},
		"empty":                                {422, nil, validation(`[{"resource":"ReleaseAsset","code":"custom","message":"size must be greater than or equal to 1"}]`), kindSize, -1, "greater than"},
		"empty, another way":                   {400, nil, `{"message":"Bad Content-Length: "}`, kindSize, -1, "Bad Content-Length"},
		"too many":                             {422, nil, validation(`[{"resource":"ReleaseAsset","code":"custom","field":"file_count","message":"file_count limited to 1000 assets per release"}]`), kindCount, -1, "1000 assets"},
		"too many, without a field":            {422, nil, validation(`["file_count limited to 1000 assets per release"]`), kindCount, -1, "1000 assets"},
		"immutable, without errors":            {422, nil, `{"message":"Cannot upload assets to an immutable release."}`, kindImmutable, -1, "immutable"},
		"immutable, back to a draft":           {422, nil, validation(`[{"resource":"Release","code":"custom","message":"state cannot be changed when release is immutable"}]`), kindImmutable, -1, "immutable"},
		"the tag was of an immutable release":  {422, nil, validation(`[{"resource":"Release","code":"custom","field":"tag_name","message":"tag_name was used by an immutable release"}]`), kindTagUsed, -1, "tag_name was used"},
		"latest":                               {422, nil, validation(`[{"resource":"Release","code":"custom","message":"Latest release cannot be draft or prerelease."}]`), kindLatest, -1, "Latest"},
		"no such commit":                       {422, nil, validation(`[{"resource":"Release","code":"invalid","field":"target_commitish"},{"resource":"Release","code":"custom","message":"Published releases must have a valid tag"}]`), kindTag, -1, "valid tag"},
		"unknown is shown whole":               {422, nil, `{"message":"Validation Failed","errors":[{"resource":"Release","code":"custom","field":"moon","message":"is not full"}],"extra":"word"}`, kindUnknown, -1, `"extra":"word"`},
		"no JSON":                              {422, nil, `<html>no`, kindUnknown, -1, "<html>no"},
		"errors is no list":                    {422, nil, `{"message":"Odd","errors":{"a":1}}`, kindUnknown, -1, `"a":1`},
		"wrong token":                          {401, nil, `{"message":"Bad credentials"}`, kindAuth, -1, "Bad credentials"},
		"no right":                             {403, http.Header{"X-Ratelimit-Remaining": {"4999"}}, `{"message":"Resource not accessible by integration"}`, kindForbidden, -1, "not accessible"},
		"nothing there":                        {404, nil, `{"message":"Not Found"}`, kindMissing, -1, "Not Found"},
		"secondary limit, 403, with a wait":    {403, http.Header{"Retry-After": {"30"}}, `{"message":"You have exceeded a secondary rate limit.","documentation_url":"` + secondaryDoc + `"}`, kindLimit, 30 * time.Second, "secondary"},
		"secondary limit, 403, without":        {403, http.Header{"X-Ratelimit-Remaining": {"4000"}}, `{"message":"You have exceeded a secondary rate limit."}`, kindLimit, -1, "secondary"},
		"secondary limit by its document":      {403, nil, `{"message":"Slow down","documentation_url":"` + secondaryDoc + `"}`, kindLimit, -1, "Slow"},
		"secondary limit, 429":                 {429, nil, `{"message":"You have exceeded a secondary rate limit."}`, kindLimit, -1, "secondary"},
		"a fraction of a second":               {429, http.Header{"Retry-After": {"0.020"}}, `{}`, kindLimit, 20 * time.Millisecond, ""},
		"a date, by the server's clock":        {429, http.Header{"Date": {date}, "Retry-After": {now.Add(time.Hour + time.Minute).Format(http.TimeFormat)}}, `{}`, kindLimit, time.Minute, ""},
		"primary limit, by the server's clock": {403, http.Header{"Date": {date}, "X-Ratelimit-Remaining": {"0"}, "X-Ratelimit-Reset": {fmt.Sprint(now.Add(time.Hour + 90*time.Second).Unix())}}, `{"message":"API rate limit exceeded for user ID 1."}`, kindLimit, 90 * time.Second, "API rate limit"},
		"primary limit, in the past":           {429, http.Header{"X-Ratelimit-Remaining": {"0"}, "X-Ratelimit-Reset": {"1"}}, `{}`, kindLimit, 0, ""},
		"a wait that is none":                  {429, http.Header{"Retry-After": {"NaN"}}, `{}`, kindLimit, -1, ""},
		"a wait for ever":                      {429, http.Header{"Retry-After": {"1e300"}}, `{}`, kindLimit, -1, ""},
		"502":                                  {502, nil, `<html>Bad Gateway</html>`, kindServer, -1, "Bad Gateway"},
		"500 with a starter":                   {500, nil, `{"message":"Error creating asset temp dir"}`, kindServer, -1, "temp dir"},
		"503 with a wait":                      {503, http.Header{"Retry-After": {"7"}}, ``, kindServer, 7 * time.Second, ""},
		"a code of its own":                    {418, nil, `{"message":"teapot"}`, kindUnknown, -1, "teapot"},
		"a terminal's commands":                {404, nil, "{\"message\":\"a\\u001b[2Jb\\u009bc\"}", kindMissing, -1, "a[2Jbc"},
		"a used-up tag, without a field":       {422, nil, validation(`["tag_name was used by an immutable release"]`), kindTagUsed, -1, "tag_name was used"},
	} {
		t.Run(name, func(t *testing.T) {
			h := tt.header
			if h == nil {
				h = http.Header{}
			}
			e := classify(tt.status, h, []byte(tt.body), now)
			if e.kind != tt.kind || e.wait != tt.wait || !strings.Contains(e.Said, tt.said) {
				t.Errorf("kind %d, wait %s, said %q; want %d, %s, %q", e.kind, e.wait, e.Said, tt.kind, tt.wait, tt.said)
			}
			if got, want := errors.Is(e, ErrAuth), tt.kind == kindAuth || tt.kind == kindForbidden; got != want {
				t.Errorf("ErrAuth: %v", got)
			}
		})
	}
}

// A tag that is used up for ever is no tag that somebody forgot to push.
func TestUsedTagHint(t *testing.T) {
	e := classify(422, http.Header{}, []byte(`{"message":"Validation Failed","errors":[{"resource":"Release","code":"custom","field":"tag_name","message":"tag_name was used by an immutable release"}]}`), time.Now())
	if text := e.Error(); !strings.Contains(text, "publish under another tag") || strings.Contains(text, "push the tag") {
		t.Error(text)
	}
}

func FuzzClassify(f *testing.F) {
	f.Add(422, "1", "0", "5", `{"message":"m","errors":[{"code":"already_exists","field":"name"}]}`)
	f.Add(403, "", "0", "99999999999999", `{"errors":["x",null,1]}`)
	f.Add(429, "-1", "", "", "\x1b]0;title\x07")
	f.Fuzz(func(t *testing.T, status int, after, remaining, reset, body string) {
		h := http.Header{"Retry-After": {after}, "X-Ratelimit-Remaining": {remaining}, "X-Ratelimit-Reset": {reset}, "Date": {after}}
		e := classify(status, h, []byte(body), time.Unix(1e9, 0))
		if text := e.Error(); strings.ContainsAny(text, "\x1b\x07") || len(e.Said) > 3000 {
			t.Errorf("it says %q", text)
		}
		if e.kind.transient() && status < 500 && status != 403 && status != 408 && status != 429 {
			t.Errorf("%d is tried again", status)
		}
	})
}

func TestIsPrerelease(t *testing.T) {
	for tag, want := range map[string]bool{
		"v1.2.3": false, "1.2.3": false, "v1.2.3-rc.1": true, "1.0.0-alpha": true, "tool-1.2.3": false, "tool-v1.2.3-beta.2": true,
		"tool/v1.2.3-beta+5": true, "v1.2.3+build-7": false, "nightly": false, "2026-01-02": false, "v1.2": false, "linux-1.2.3.4-5": false, "": false,
	} {
		if IsPrerelease(tag) != want {
			t.Errorf("%q is a pre-release: %v", tag, !want)
		}
	}
}

func TestMediaType(t *testing.T) {
	for name, want := range map[string]string{
		"a.zip": "application/zip", "a.tar.gz": "application/gzip", "a.tar.zst": "application/zstd", "a.zip.sha256": "text/plain; charset=utf-8",
		"release.json": "application/json", "a.zip.sig": "application/pgp-signature", "a-1.whl": "application/zip", "SHA256SUMS": "text/plain; charset=utf-8",
		"tool": "application/octet-stream", "tool.exe": "application/octet-stream",
	} {
		if got := MediaType(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

func TestUploadURL(t *testing.T) {
	r := &run{GitHub: &GitHub{Repo: "o/r", API: GitHubAPI}}
	if err := r.address(); err != nil {
		t.Fatal(err)
	}
	got, err := uploadURL(r.api, "https://uploads.github.com/repos/o/r/releases/1/assets{?name,label}", "a+b.zip")
	if want := "https://uploads.github.com/repos/o/r/releases/1/assets?name=a%2Bb.zip"; got != want || err != nil {
		t.Errorf("%s, %v", got, err)
	}
	for _, bad := range []string{"", "http://uploads.github.com/x", "/repos/o/r", "https://%zz", "ftp://h/x"} {
		if got, err := uploadURL(r.api, bad, "a"); err == nil {
			t.Errorf("%q gives %s", bad, got)
		}
	}
}

func TestAddress(t *testing.T) {
	for _, bad := range []GitHub{
		{Repo: "", API: GitHubAPI},
		{Repo: "o", API: GitHubAPI},
		{Repo: "o/r/x", API: GitHubAPI},
		{Repo: "o/..", API: GitHubAPI},
		{Repo: "o/r?x=1", API: GitHubAPI},
		{Repo: "../r", API: GitHubAPI},
		{Repo: "o/r", API: "github.com"},
		{Repo: "o/r", API: "https://u:p@h/"},
		{Repo: "o/r", API: "file:///etc"},
	} {
		r := &run{GitHub: &bad}
		if err := r.address(); !errors.Is(err, ErrRepo) || strings.Contains(err.Error(), "u:p") {
			t.Errorf("%q %q: %v", bad.Repo, bad.API, err)
		}
	}
}

// Elements of a list are taken one at a time, and each has its bound.
func TestElements(t *testing.T) {
	read := func(text string) (n int, err error) {
		err = elements(strings.NewReader(text), func(asset) { n++ })
		return n, err
	}
	if n, err := read(`[{"id":1},{"id":2,"digest":null}]`); n != 2 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	for _, bad := range []string{"", "[", `[{"id":1}`, `[{"id":1},`, `{"id":1}`, `[{"id":"x"}]`, "null", `[{"name":"` + strings.Repeat("a", maxObject+1) + `"}]`} {
		if n, err := read(bad); err == nil {
			t.Errorf("%.20q: %d entries and no error", bad, n)
		}
	}
}

func FuzzElements(f *testing.F) {
	f.Add(`[{"id":1,"name":"a","state":"uploaded","size":3,"digest":"sha256:00"}]`)
	f.Add(`[{"size":1e400}]`)
	f.Fuzz(func(_ *testing.T, text string) {
		_ = elements(strings.NewReader(text), func(a asset) { a.remote() })
		_ = elements(strings.NewReader(text), func(r release) { _ = r.info().String() })
	})
}
