package githubtest

import (
	"time"
)

// Token is the token that may do everything. It is long enough to be looked
// for in logs.
const Token = "ghp_relmatTestToken0123456789abcdefghij"

// Rights are what a token may do in every repository of the server.
type Rights struct {
	Push  bool // write releases, see drafts
	Admin bool // read the repository's settings
}

// Limits are GitHub's limits. A test that cannot send 2 GiB makes them
// smaller; the texts of the errors follow.
type Limits struct {
	Size   int64 // an asset has to be smaller, in bytes
	Assets int   // most assets of a release
}

// Link is the connection between client and server.
type Link struct {
	// Latency is one way there and back. Every request waits that long
	// once, and every new connection once more for its handshake.
	Latency time.Duration
	// Rate is the bytes a second of one connection in one direction; 0 is no
	// limit.
	Rate int64
}

// CreationLimit is GitHub's secondary limit on requests that create content:
// more than Requests of them within Per are answered by 403 until Wait is
// over ("Rate limits for the REST API", About secondary rate limits).
type CreationLimit struct {
	Requests   int
	Per        time.Duration
	Wait       time.Duration
	RetryAfter bool // whether the answer says how long to wait
}

type options struct {
	tokens       map[string]Rights
	limits       Limits
	link         Link
	tls, http2   bool
	dir          string
	discard      bool
	known        func(name string, size int64) string
	now          func() time.Time
	core         int
	creation     CreationLimit
	keepProblems bool
	port         int
	startersIn   bool
}

// Option changes a server before it starts.
type Option func(*options)

// WithToken lets a further token in. [Token] is always in, with all rights.
func WithToken(token string, rights Rights) Option {
	return func(o *options) { o.tokens[token] = rights }
}

// WithLimits makes GitHub's limits smaller. A zero field leaves its limit.
func WithLimits(l Limits) Option {
	return func(o *options) {
		if l.Size > 0 {
			o.limits.Size = l.Size
		}
		if l.Assets > 0 {
			o.limits.Assets = l.Assets
		}
	}
}

// WithLink makes the connections slower.
func WithLink(l Link) Option { return func(o *options) { o.link = l } }

// TLS makes the server speak HTTP/1.1 over TLS, as gh needs it.
func TLS() Option { return func(o *options) { o.tls = true } }

// HTTP2 makes the server speak HTTP/2 over TLS, and HTTP/1.1 with clients
// that ask for that. Refused streams and GOAWAY need it.
func HTTP2() Option { return func(o *options) { o.tls, o.http2 = true, true } }

// WithDir keeps the assets' bytes under dir in place of a temporary
// directory. They stay when the server ends.
func WithDir(dir string) Option { return func(o *options) { o.dir = dir } }

// Discard throws the bytes of uploads away, for measurements. Their digest is
// what known says for name and size ("sha256:" and 64 hex digits); with a nil
// known they are hashed. They cannot be downloaded.
func Discard(known func(name string, size int64) string) Option {
	return func(o *options) { o.discard, o.known = true, known }
}

// WithNow replaces the clock of dates and rate limits.
func WithNow(now func() time.Time) Option { return func(o *options) { o.now = now } }

// WithRateLimit sets the requests an hour of a token. GitHub's, and this
// server's, are 5000 unless said otherwise; 0 means that there is no limit.
func WithRateLimit(requests int) Option { return func(o *options) { o.core = requests } }

// WithCreationLimit switches the secondary limit on.
func WithCreationLimit(l CreationLimit) Option { return func(o *options) { o.creation = l } }

// StartersInRelease lists broken uploads in the release object too. GitHub has
// been seen to list them only under its assets.
func StartersInRelease() Option { return func(o *options) { o.startersIn = true } }

// KeepProblems leaves what [Server.Problems] tells to the test, which does not
// fail by itself then.
func KeepProblems() Option { return func(o *options) { o.keepProblems = true } }

// WithPort chooses the port of the API; the others stay random.
func WithPort(port int) Option { return func(o *options) { o.port = port } }
