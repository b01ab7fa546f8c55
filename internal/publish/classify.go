package publish

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// ErrAuth says that GitHub does not accept the token, or that it may not do
// what was asked.
var ErrAuth = errors.New("GitHub refuses the token")

// kind is what an answer, or the lack of one, means for a publisher.
type kind int

const (
	kindUnknown       kind = iota // shown whole, and not tried again
	kindNetwork                   // no answer, or half of one
	kindServer                    // 5xx
	kindLimit                     // too many requests, or too fast
	kindAuth                      // 401
	kindForbidden                 // 403 that is no limit
	kindMissing                   // 404
	kindAssetExists               // an asset has that name
	kindReleaseExists             // a published release has that tag
	kindSize                      // empty, or too large
	kindCount                     // too many assets
	kindImmutable                 // the release is closed for ever
	kindLatest                    // a draft or pre-release cannot be the latest
	kindTag                       // the tag, or the commit that it should name
	kindTagUsed                   // the tag had an immutable release once
)

// RequestError is a request to GitHub that was not done. It wraps ErrAuth
// where the token is the reason.
type RequestError struct {
	// Method and Path are the request's, without a query.
	Method, Path string
	// Status is that of HTTP, 0 where there was no answer.
	Status int
	// Said is what GitHub said, and ID its name of the request, for its
	// support.
	Said, ID string
	Err      error

	kind kind
	// wait is how long GitHub asks to wait, negative if it does not say.
	wait time.Duration
}

func (e *RequestError) Error() string {
	text := e.Method + " " + e.Path + ": "
	if e.Status == 0 {
		return text + e.Err.Error()
	}
	text += fmt.Sprintf("%d", e.Status)
	if e.Said != "" {
		text += " " + e.Said
	}
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	if e.ID != "" && (e.kind == kindUnknown || e.kind == kindServer) {
		text += " (request " + e.ID + ")"
	}
	if hint := hints[e.kind]; hint != "" {
		text += "; " + hint
	}
	return text
}

// hints say how to mend it.
var hints = map[kind]string{
	kindAuth:      "give a token that is valid, in GITHUB_TOKEN or by `gh auth login`",
	kindForbidden: "the token needs the right to write the repository's contents (in GitHub Actions: `permissions: {contents: write}`)",
	kindMissing:   "there is no such thing, or the token may not see it",
	kindSize:      "GitHub takes assets of 1 byte to 2 GiB; split the file",
	kindCount:     "GitHub takes 1000 assets a release; delete some, or make archives of several files",
	kindImmutable: "publish under another tag",
	kindTag:       "push the tag first, or use another one",
	kindTagUsed:   "such a tag never gets a release again, also when that one is deleted; publish under another tag",
}

func (e *RequestError) Unwrap() error { return e.Err }

// Is tells that a refused token is ErrAuth.
func (e *RequestError) Is(target error) bool {
	return target == ErrAuth && (e.kind == kindAuth || e.kind == kindForbidden)
}

// kindOf is the kind of a request's error; kindUnknown of all others.
func kindOf(err error) kind {
	var e *RequestError
	if errors.As(err, &e) {
		return e.kind
	}
	return kindUnknown
}

// transient tells whether another try may end better.
func (k kind) transient() bool { return k == kindNetwork || k == kindServer || k == kindLimit }

// fault is an entry of an answer's errors ("Troubleshooting the REST API",
// Validation Failed). GitHub also sends plain texts.
type fault struct {
	Resource, Field, Code, Message string
}

func (f *fault) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '"' {
		return json.Unmarshal(data, &f.Message)
	}
	type plain fault
	return json.Unmarshal(data, (*plain)(f))
}

func (f fault) String() string {
	words := strings.Join(strings.Fields(strings.Join([]string{f.Resource, f.Field, f.Code}, " ")), " ")
	switch {
	case f.Message == "":
		return words
	case words == "":
		return f.Message
	}
	return words + ": " + f.Message
}

// classify reads an answer that is no success. now is the clock against which
// a reset is measured where the answer has no date of its own.
func classify(status int, h http.Header, body []byte, now time.Time) *RequestError {
	e := &RequestError{Status: status, ID: clip(h.Get("X-Github-Request-Id"), 100), wait: -1}
	var said struct {
		Message          string          `json:"message"`
		DocumentationURL string          `json:"documentation_url"`
		Errors           json.RawMessage `json:"errors"`
	}
	var faults []fault
	isJSON := json.Unmarshal(body, &said) == nil
	if isJSON && json.Unmarshal(said.Errors, &faults) != nil {
		faults = nil
	}
	e.Said = said.Message
	for i, f := range faults {
		e.Said += []string{": ", "; "}[min(i, 1)] + f.String()
	}
	switch {
	case status >= 500 || status == http.StatusRequestTimeout:
		e.kind, e.wait = kindServer, retryAfter(h, now)
	case status == http.StatusUnauthorized:
		e.kind = kindAuth
	case status == http.StatusTooManyRequests, status == http.StatusForbidden && limited(h, said.Message, said.DocumentationURL):
		e.kind, e.wait = kindLimit, limitWait(h, now)
	case status == http.StatusForbidden:
		e.kind = kindForbidden
	case status == http.StatusNotFound:
		e.kind = kindMissing
	case status == http.StatusBadRequest && strings.HasPrefix(said.Message, "Bad Content-Length"):
		e.kind = kindSize
	case status == http.StatusUnprocessableEntity:
		e.kind = invalidKind(said.Message, faults)
	}
	if e.kind == kindUnknown || !isJSON {
		e.Said = strings.TrimSpace(clip(string(body), 2000))
	}
	e.Said = clip(e.Said, 2000)
	return e
}

// invalidKind tells what a 422 is about: by code and field first, since texts
// change.
func invalidKind(message string, faults []fault) kind {
	if len(faults) == 0 {
		if strings.Contains(message, "immutable release") {
			return kindImmutable
		}
		return kindUnknown
	}
	for _, f := range faults {
		switch {
		case f.Code == "already_exists" && f.Field == "name":
			return kindAssetExists
		case f.Code == "already_exists" && f.Field == "tag_name":
			return kindReleaseExists
		case f.Field == "size" || strings.HasPrefix(f.Message, "size must be "):
			return kindSize
		case f.Field == "file_count" || strings.HasPrefix(f.Message, "file_count "):
			return kindCount
		case f.Field == "make_latest" || strings.HasPrefix(f.Message, "Latest release cannot be "):
			return kindLatest
		case strings.HasSuffix(f.Message, "used by an immutable release"):
			return kindTagUsed
		case f.Field == "tag_name" || f.Field == "target_commitish" || strings.HasPrefix(f.Message, "tag_name "):
			return kindTag
		case strings.HasSuffix(f.Message, "when release is immutable"):
			return kindImmutable
		}
	}
	return kindUnknown
}

// limited tells a limit from a missing right: both are a 403 ("Rate limits for
// the REST API", Exceeding the rate limit).
func limited(h http.Header, message, doc string) bool {
	return h.Get("Retry-After") != "" || h.Get("X-Ratelimit-Remaining") == "0" ||
		strings.HasSuffix(doc, "secondary-rate-limits") || strings.HasSuffix(doc, "#abuse-rate-limits") ||
		strings.Contains(message, "secondary rate limit") || strings.HasPrefix(message, "API rate limit exceeded")
}

// limitWait is how long to wait by the headers, negative where they do not
// say.
func limitWait(h http.Header, now time.Time) time.Duration {
	if d := retryAfter(h, now); d >= 0 {
		return d
	}
	if h.Get("X-Ratelimit-Remaining") != "0" {
		return -1
	}
	reset, err := strconv.ParseInt(h.Get("X-Ratelimit-Reset"), 10, 64)
	if err != nil || reset <= 0 || reset > math.MaxInt32*4 {
		return -1
	}
	return max(0, time.Unix(reset, 0).Sub(serverTime(h, now)))
}

// retryAfter reads Retry-After: seconds or a date (RFC 9110, 10.2.3).
func retryAfter(h http.Header, now time.Time) time.Duration {
	text := h.Get("Retry-After")
	if s, err := strconv.ParseFloat(text, 64); err == nil {
		if !(s >= 0) || s > 1e6 {
			return -1
		}
		return time.Duration(s * float64(time.Second))
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, at.Sub(serverTime(h, now)))
	}
	return -1
}

// serverTime is the clock of whoever answered: this machine's may be wrong.
func serverTime(h http.Header, now time.Time) time.Time {
	if at, err := http.ParseTime(h.Get("Date")); err == nil {
		return at
	}
	return now
}

// clip bounds a text from the network, in bytes, and takes control characters
// out of it, which a terminal would obey.
func clip(s string, most int) string {
	if len(s) > most {
		s = s[:most] + "…"
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
}
