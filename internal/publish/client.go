package publish

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/google/go-github/v60/github"
)

// What an answer may be long, in bytes: of an error, of one object, of a
// whole page. A release's notes have up to 125,000 characters, and it lists its
// 1000 assets with some 2 KB each.
const (
	maxError  = 1 << 20
	maxObject = 16 << 20
	maxPage   = 512 << 20
)

// answerTimes is how many times as long as for bytes GitHub is waited for when
// it has a whole upload and has not answered yet: it puts the bytes away.
const answerTimes = 5

// errStalled is the cause of a transfer that did not get on.
var errStalled = errors.New("no byte went through")

// localError is what went wrong on this side of the connection: another try
// would fail as well.
type localError struct{ error }

func (e *localError) Unwrap() error { return e.error }

// run is one call of Preflight, Plan or Publish.
type run struct {
	*GitHub // with its defaults
	task    reporter
	token   string
	owner   string
	repo    string
	api     *url.URL

	// limitsFor is for how long a limit is waited out.
	limitsFor time.Duration
	gate      gate
	pacer     pacer
	gov       *governor

	mu   sync.Mutex
	idle []*http.Client
	all  []*http.Client
	// hashed are the digests of assets of which GitHub tells none, by id.
	hashed map[int64]string
	// remaining is what GitHub last said about the requests left, negative
	// where it said nothing.
	remaining int
	reset     time.Time
	scopes    *string
}

// reporter is what a run tells to; *progress.Task is one.
type reporter interface {
	Note(format string, args ...any)
	Warn(format string, args ...any)
	Line(line string)
	Bytes(done, total int64)
}

// take borrows a client with connections of its own, so that uploads do not
// share the window of one HTTP/2 connection.
func (r *run) take() *http.Client {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := len(r.idle); n > 0 {
		c := r.idle[n-1]
		r.idle = r.idle[:n-1]
		return c
	}
	c := &http.Client{Transport: r.Transport(), CheckRedirect: checkRedirect}
	r.all = append(r.all, c)
	return c
}

func (r *run) give(c *http.Client) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.idle = append(r.idle, c)
}

func (r *run) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.all {
		c.CloseIdleConnections()
	}
}

// checkRedirect keeps the token from other hosts: storage refuses signed
// addresses that come with one.
func checkRedirect(req *http.Request, via []*http.Request) error {
	if len(via) >= 10 {
		return errors.New("stopped after 10 redirects")
	}
	first := via[0].URL
	if req.URL.Host != first.Host || first.Scheme == "https" && req.URL.Scheme != "https" {
		req.Header.Del("Authorization")
		if req.Method != http.MethodGet && req.Method != http.MethodHead {
			return &localError{fmt.Errorf("it sends us on to another host, %s", req.URL.Host)}
		}
	}
	return nil
}

// request is one request to GitHub.
type request struct {
	method string
	// path is below the API's address, or the whole address of an upload.
	path string
	in   any
	// accept replaces the media type of the API.
	accept string
	// body is an upload's.
	body *upload
	// read takes a successful answer; nil leaves it.
	read func(io.Reader, http.Header) error
}

// into reads an answer's JSON into v.
func into(v any) func(io.Reader, http.Header) error {
	return func(body io.Reader, _ http.Header) error {
		return json.NewDecoder(&capped{body, maxObject}).Decode(v)
	}
}

// do sends one request once. Errors are *RequestError, or the context's.
func (r *run) do(ctx context.Context, rq request) error {
	if err := r.passGate(ctx); err != nil {
		return err
	}
	if rq.method == http.MethodPost {
		if err := r.pacer.pass(ctx, r); err != nil {
			return err
		}
	}
	hc := r.take()
	defer r.give(hc)
	// go-github remembers limits and refuses requests by itself, by its own
	// clock. Waiting is the business of this package, so that each request gets
	// a client that remembers nothing; the connections are hc's.
	c := github.NewClient(hc)
	c.UserAgent, c.BaseURL = r.UserAgent, r.api

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	w := newWatch(r.Stall, func() { cancel(errStalled) })
	defer w.stop()
	req, err := r.build(c, rq, w)
	if err != nil {
		return &RequestError{Method: rq.method, Path: rq.path, Err: err}
	}
	fail := func(status int, err error) error {
		e := &RequestError{Method: rq.method, Path: req.URL.Path, Status: status, Err: bare(err), kind: kindNetwork, wait: -1}
		if cause := context.Cause(ctx); errors.Is(cause, errStalled) {
			e.Err = fmt.Errorf("%w for %s", errStalled, r.Stall)
		} else if ctx.Err() != nil {
			return fmt.Errorf("%s %s: %w", e.Method, e.Path, cause)
		} else if lasting(err) {
			e.kind = kindUnknown
		}
		return e
	}
	resp, err := c.BareDo(ctx, req)
	w.touch()
	if resp != nil && resp.Response != nil {
		r.learn(resp)
	}
	if err != nil {
		if resp == nil || resp.Response == nil {
			return fail(0, err)
		}
		// go-github has read the answer, to make an error of it.
		body, _ := io.ReadAll(io.LimitReader(resp.Body, maxError))
		e := classify(resp.StatusCode, resp.Header, body, r.Now())
		if at := resp.Request; at != nil && at.URL.Host != req.URL.Host && resp.StatusCode >= 400 {
			// It is no answer of GitHub but of its storage, whose signed address
			// may have been too old: GitHub gives another one.
			e.kind = kindServer
		}
		e.Method, e.Path = rq.method, req.URL.Path
		return e
	}
	defer resp.Body.Close()
	if rq.read == nil {
		return nil
	}
	body := &touching{resp.Body, w}
	if err := rq.read(body, resp.Header); err != nil {
		return fail(resp.StatusCode, err)
	}
	// A connection whose answer was read to its end is used again.
	_, _ = io.CopyN(io.Discard, body, 4096)
	return nil
}

func (r *run) build(c *github.Client, rq request, w *watch) (*http.Request, error) {
	var req *http.Request
	var err error
	if rq.body == nil {
		if req, err = c.NewRequest(rq.method, rq.path, rq.in); err != nil {
			return nil, err
		}
	} else {
		first, err := rq.body.open(w)
		if err != nil {
			return nil, err
		}
		if req, err = c.NewUploadRequest(rq.path, first, rq.body.size, rq.body.media); err != nil {
			first.Close()
			return nil, err
		}
		req.GetBody = func() (io.ReadCloser, error) { return rq.body.open(w) }
	}
	if rq.accept != "" {
		req.Header.Set("Accept", rq.accept)
	}
	if r.token != "" {
		req.Header.Set("Authorization", "Bearer "+r.token)
	}
	return req, nil
}

// learn keeps what the headers tell about the token.
func (r *run) learn(resp *github.Response) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if resp.Rate.Limit > 0 && resp.Header.Get("X-Ratelimit-Resource") != "graphql" {
		r.remaining, r.reset = resp.Rate.Remaining, resp.Rate.Reset.Time
	}
	if list, ok := resp.Header["X-Oauth-Scopes"]; ok && r.scopes == nil {
		text := strings.Join(list, ",")
		r.scopes = &text
	}
}

// bare takes the address out of an error of net/http: it may hold a signature.
func bare(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// lasting tells whether there is no use in trying again although there was no
// answer.
func lasting(err error) bool {
	var (
		local  *localError
		cert   *tls.CertificateVerificationError
		syntax *json.SyntaxError
		typ    *json.UnmarshalTypeError
	)
	switch {
	case errors.As(err, &local), errors.As(err, &cert), errors.As(err, &typ), errors.As(err, &syntax), errors.Is(err, errTooLong):
		return true
	}
	return false
}

var errTooLong = errors.New("the answer is too long")

// capped is r with a bound, past which it is an error and not an end.
type capped struct {
	r    io.Reader
	left int64
}

func (c *capped) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, errTooLong
	}
	n, err := c.r.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	return n, err
}

// watch ends something that does not get on.
type watch struct {
	mu    sync.Mutex
	timer *time.Timer
	d     time.Duration
}

func newWatch(d time.Duration, end func()) *watch {
	return &watch{timer: time.AfterFunc(d, end), d: d}
}

func (w *watch) touch() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timer.Reset(w.d)
}

// answer gives the other side the time that it needs for a whole body.
func (w *watch) answer() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timer.Reset(w.d * answerTimes)
}

func (w *watch) stop() { w.timer.Stop() }

// touching tells the watch of bytes.
type touching struct {
	r io.Reader
	w *watch
}

func (t *touching) Read(p []byte) (int, error) {
	n, err := t.r.Read(p)
	if n > 0 {
		t.w.touch()
	}
	return n, err
}

// defaultTransport makes connections as the environment says: proxies by
// HTTPS_PROXY and NO_PROXY (net/http.ProxyFromEnvironment), certificates by
// SSL_CERT_FILE and SSL_CERT_DIR (crypto/x509, on Linux).
func defaultTransport() http.RoundTripper {
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		ForceAttemptHTTP2:     true,
		TLSHandshakeTimeout:   15 * time.Second,
		IdleConnTimeout:       90 * time.Second,
		ExpectContinueTimeout: time.Second,
		WriteBufferSize:       64 << 10,
		ReadBufferSize:        16 << 10,
	}
}

// bounded is a transport whose answers of failure have an end: go-github reads
// them whole.
type bounded struct{ http.RoundTripper }

func (b bounded) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := b.RoundTripper.RoundTrip(req)
	if err == nil && resp.StatusCode >= 300 {
		resp.Body = &cut{io.LimitReader(resp.Body, maxError), resp.Body}
	}
	return resp, err
}

// CloseIdleConnections lets a client close what is below.
func (b bounded) CloseIdleConnections() {
	if c, ok := b.RoundTripper.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

type cut struct {
	io.Reader
	io.Closer
}
