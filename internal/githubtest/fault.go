package githubtest

import (
	"net/http"
	"time"
)

type kind int

const (
	kindReset kind = iota + 1
	kindLost
	kindGateway
	kindServerError
	kindHang
	kindDrip
	kindTruncate
	kindDigest
	kindStatus
	kindPrimary
	kindSecondary
	kindRefuse
	kindGoAway
	kindGhost
	kindShift
	kindStale
	kindCall
	kindCallAfter
)

// Fault is one thing that goes wrong with one request.
type Fault struct {
	kind       kind
	at         int64
	stored     bool
	starter    bool
	wait       time.Duration
	retryAfter bool
	status     int
	message    string
	do         func()
}

// Reset breaks the connection when at bytes of the request's body have been
// read. An upload leaves a starter.
func Reset(at int64) Fault { return Fault{kind: kindReset, at: at} }

// Lost does what the request asks for and breaks the connection in place of
// the answer.
func Lost() Fault { return Fault{kind: kindLost} }

// BadGateway answers 502, with what was asked for done or not done.
func BadGateway(done bool) Fault { return Fault{kind: kindGateway, stored: done} }

// BadGatewayStarter answers an upload by 502 and leaves a starter, as GitHub's
// description says. Other requests get the 502 of BadGateway(false).
func BadGatewayStarter() Fault { return Fault{kind: kindGateway, starter: true} }

// ServerError answers an upload by 500 "Error creating asset temp dir" and
// leaves a starter. Other requests get a 500 and nothing is done.
func ServerError() Fault { return Fault{kind: kindServerError, starter: true} }

// Hang takes at bytes of the request's body and then neither reads nor answers
// until the client gives up, or bound is over and the connection is broken.
func Hang(at int64, bound time.Duration) Fault { return Fault{kind: kindHang, at: at, wait: bound} }

// Drip reads the request's body, and writes the bytes of an asset, at that many
// bytes a second.
func Drip(rate int64) Fault { return Fault{kind: kindDrip, at: rate} }

// Truncate does what was asked for and sends half of the answer, or half of
// an asset's bytes, and then breaks the connection.
func Truncate() Fault { return Fault{kind: kindTruncate} }

// WrongDigest does what was asked for and tells, in this answer only, digests
// of other bytes.
func WrongDigest() Fault { return Fault{kind: kindDigest} }

// Unauthorized answers 401, whatever the token is.
func Unauthorized() Fault {
	return Fault{kind: kindStatus, status: http.StatusUnauthorized, message: "Bad credentials"}
}

// Status answers with that status and message; nothing is done.
func Status(status int, message string) Fault {
	return Fault{kind: kindStatus, status: status, message: message}
}

// PrimaryLimit answers that the requests of the hour are used up: status 403
// or 429, x-ratelimit-remaining 0, x-ratelimit-reset after wait (whole
// seconds, a wait of less than one is rounded down to now), and with
// retryAfter the header Retry-After.
func PrimaryLimit(status int, wait time.Duration, retryAfter bool) Fault {
	return Fault{kind: kindPrimary, status: status, wait: wait, retryAfter: retryAfter}
}

// SecondaryLimit answers that requests come too fast: status 403 or 429, and
// with retryAfter the header Retry-After.
func SecondaryLimit(status int, wait time.Duration, retryAfter bool) Fault {
	return Fault{kind: kindSecondary, status: status, wait: wait, retryAfter: retryAfter}
}

// RefuseStream answers by REFUSED_STREAM after at bytes of the body. Nothing is
// done, and the client knows it. Over HTTP/1.1 it is a Reset that leaves no
// starter.
func RefuseStream(at int64) Fault { return Fault{kind: kindRefuse, at: at} }

// GoAway ends an HTTP/2 connection after at bytes of the body, with the stream
// named as one that was not processed. Over HTTP/1.1 it is a Reset that leaves
// no starter.
func GoAway(at int64) Fault { return Fault{kind: kindGoAway, at: at} }

// Ghost puts a foreign release or asset in front of a list, in this answer
// only: the page ends one earlier, and what moved to the next page is missed by
// a client whose next page is without the ghost.
func Ghost() Fault { return Fault{kind: kindGhost} }

// Shift moves a page of a list, other than the first, one back, as if
// something had been added in front meanwhile: one entry comes twice.
func Shift() Fault { return Fault{kind: kindShift} }

// Stale answers from before the last change, as a copy of GitHub's that lags
// does: a list of releases without the newest release, assets (listed, or in a
// release) without the newest asset.
func Stale() Fault { return Fault{kind: kindStale} }

// Call calls f when at bytes of the request's body have been read, and then
// goes on; at 0 it is before the request is looked at.
func Call(at int64, f func()) Fault { return Fault{kind: kindCall, at: at, do: f} }

// CallAfter calls f when what was asked for is done and not answered yet.
func CallAfter(f func()) Fault { return Fault{kind: kindCallAfter, do: f} }

// Match picks requests.
type Match struct {
	Op   string // one of the Op constants; empty is every request
	Name string // the asset's name, as uploaded or as it is; empty is every one
	Skip int    // requests that match and pass unharmed before
}

type rule struct {
	match  Match
	faults []Fault
}

// Fail makes requests that match fail, one for each fault, in order. Rules
// given before are used up before.
func (s *Server) Fail(m Match, f ...Fault) {
	s.fault.mu.Lock()
	defer s.fault.mu.Unlock()
	s.fault.rules = append(s.fault.rules, &rule{match: m, faults: f})
}

// Calm ends all faults that are still to come.
func (s *Server) Calm() {
	s.fault.mu.Lock()
	defer s.fault.mu.Unlock()
	s.fault.rules, s.fault.chaos = nil, nil
}

// Pending is the number of faults of Fail that have met no request yet.
func (s *Server) Pending() int {
	s.fault.mu.Lock()
	defer s.fault.mu.Unlock()
	n := 0
	for _, r := range s.fault.rules {
		n += len(r.faults)
	}
	return n
}

// faultFor takes the fault of a request, nil for none.
func (s *Server) faultFor(c *call) *Fault {
	s.fault.mu.Lock()
	defer s.fault.mu.Unlock()
	for _, r := range s.fault.rules {
		if len(r.faults) == 0 || r.match.Op != "" && r.match.Op != c.op || r.match.Name != "" && r.match.Name != c.name {
			continue
		}
		if r.match.Skip > 0 {
			r.match.Skip--
			continue
		}
		f := r.faults[0]
		r.faults = r.faults[1:]
		return &f
	}
	return s.fault.chaos.draw(c)
}
