package publish

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// The waits between tries: they double from the first to the longest, and are
// spread so that several jobs do not come back at once. Where GitHub names no
// time for a secondary limit, it asks for a minute at least ("Rate limits for
// the REST API", Exceeding the rate limit).
const (
	firstWait   = time.Second
	longestWait = time.Minute
	limitedWait = time.Minute
)

// limitsFor is for how long a limit is waited out, however long other failures
// are: the longest that GitHub has is of an hour.
const limitsFor = 65 * time.Minute

// Tries as long as the longest are let be before the time that they took
// counts, since a transfer of gigabytes may break near its end: so many of them,
// and so many times what a request is tried for at most.
const (
	longTries = 3
	longTimes = 4
)

// Pace is a bound on requests: so many within a time.
type Pace struct {
	Requests int
	Per      time.Duration
}

// Paces are GitHub's limits for requests that create content ("Rate limits for
// the REST API", About secondary rate limits): 80 a minute and 500 an hour.
var Paces = []Pace{{80, time.Minute}, {500, time.Hour}}

// staleError says that the release is not as the plan took it to be. It is
// looked at again.
type staleError struct{ error }

func (e *staleError) Unwrap() error { return e.error }

func stale(format string, args ...any) error { return &staleError{fmt.Errorf(format, args...)} }

func isStale(err error) bool {
	var s *staleError
	return errors.As(err, &s)
}

// patience bounds how long one thing is tried that does not succeed.
type patience struct {
	r *run
	// began is when the present try began, first when the first one failed.
	began, first time.Time
	longest      time.Duration
	tries        int
	// limits counts answers that named a limit and no time.
	limits int
}

func (r *run) patience() *patience { return &patience{r: r, began: r.Now()} }

// again waits before another try, or returns the error where it is no use.
func (p *patience) again(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return interrupted(ctx, err)
	}
	k := kindOf(err)
	if !k.transient() && !isStale(err) {
		return err
	}
	now := p.r.Now()
	p.longest = max(p.longest, now.Sub(p.began))
	if p.first.IsZero() {
		p.first = now
	}
	wait := spread(min(firstWait<<min(p.tries, 10), longestWait))
	p.tries++
	var e *RequestError
	if errors.As(err, &e) {
		switch {
		case e.wait >= 0:
			wait = max(wait, e.wait+spread(e.wait/10))
		case k == kindLimit:
			wait = spread(limitedWait<<min(p.limits, 6)) + limitedWait/2
			p.limits++
		}
	}
	bound := p.r.RetryFor
	if k == kindLimit {
		bound = max(bound, p.r.limitsFor)
	}
	if end := now.Add(wait).Sub(p.first); end > bound+min(longTries*p.longest, longTimes*p.r.RetryFor) {
		return fmt.Errorf("%w; given up after %s and %d tries (GitHub would have to be waited for until %s), run the same command again to go on from here",
			err, now.Sub(p.first).Round(time.Second), p.tries, now.Add(wait).Format(time.TimeOnly))
	}
	if k == kindLimit {
		p.r.gov.slower()
		p.r.gate.closeUntil(now.Add(wait))
	}
	if wait >= 10*time.Second {
		p.r.task.Note("waiting %s: %v", wait.Round(time.Second), err)
	}
	if err := p.r.Sleep(ctx, wait); err != nil {
		return interrupted(ctx, err)
	}
	p.began = p.r.Now()
	return nil
}

// interrupted says why a context ended, with what was going on.
func interrupted(ctx context.Context, err error) error {
	cause := context.Cause(ctx)
	if errors.Is(err, cause) {
		return err
	}
	return fmt.Errorf("%w (%w)", cause, err)
}

// spread is between half of d and d.
func spread(d time.Duration) time.Duration {
	if d <= 1 {
		return max(d, 0)
	}
	return d/2 + rand.N(d/2)
}

// retry tries until it succeeds, fails for good, or patience ends.
func (r *run) retry(ctx context.Context, try func(context.Context) error) error {
	p := r.patience()
	for {
		err := try(ctx)
		if err == nil {
			return nil
		}
		if err := p.again(ctx, err); err != nil {
			return err
		}
	}
}

// gate holds all requests back while GitHub asks for a pause.
type gate struct {
	mu    sync.Mutex
	until time.Time
}

func (g *gate) closeUntil(t time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if t.After(g.until) {
		g.until = t
	}
}

func (r *run) passGate(ctx context.Context) error {
	for {
		r.gate.mu.Lock()
		wait := r.gate.until.Sub(r.Now())
		r.gate.mu.Unlock()
		if wait <= 0 {
			return ctx.Err()
		}
		if err := r.Sleep(ctx, wait); err != nil {
			return err
		}
	}
}

// pacer spaces requests that create content.
type pacer struct {
	mu   sync.Mutex
	sent []time.Time
}

// pass waits until one more request is within all paces, and counts it.
func (p *pacer) pass(ctx context.Context, r *run) error {
	if len(r.Paces) == 0 {
		return nil
	}
	for {
		p.mu.Lock()
		now := r.Now()
		wait := p.wait(now, r.Paces)
		if wait <= 0 {
			p.sent = append(p.sent, now)
			p.mu.Unlock()
			return nil
		}
		p.mu.Unlock()
		if wait > 10*time.Second {
			r.task.Note("waiting %s: GitHub takes so many uploads a minute and an hour, and no more", wait.Round(time.Second))
		}
		if err := r.Sleep(ctx, wait); err != nil {
			return err
		}
	}
}

func (p *pacer) wait(now time.Time, paces []Pace) time.Duration {
	var longest, wait time.Duration
	for _, pace := range paces {
		longest = max(longest, pace.Per)
		if n := len(p.sent) - pace.Requests; n >= 0 && pace.Requests > 0 {
			wait = max(wait, p.sent[n].Add(pace.Per).Sub(now))
		}
	}
	for len(p.sent) > 0 && now.Sub(p.sent[0]) > longest {
		p.sent = p.sent[1:]
	}
	return wait
}

// governor bounds how many names are worked on at once: half as many after
// each limit, one more after a number of successes.
type governor struct {
	mu                 sync.Mutex
	freed              chan struct{}
	most, limit, busy  int
	successes, halving int
}

// regain is after how many successes one more is let in.
const regain = 8

func newGovernor(most int) *governor {
	return &governor{most: most, limit: most, freed: make(chan struct{}, 1)}
}

func (g *governor) enter(ctx context.Context) error {
	for {
		g.mu.Lock()
		if g.busy < g.limit {
			g.busy++
			more := g.busy < g.limit
			g.mu.Unlock()
			if more {
				g.wake()
			}
			return nil
		}
		g.mu.Unlock()
		select {
		case <-g.freed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (g *governor) leave(ok bool) {
	g.mu.Lock()
	g.busy--
	if ok {
		if g.successes++; g.successes >= regain && g.limit < g.most {
			g.limit, g.successes = g.limit+1, 0
		}
	}
	g.mu.Unlock()
	g.wake()
}

func (g *governor) slower() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.limit, g.successes = max(1, g.limit/2), 0
	g.halving++
}

func (g *governor) wake() {
	select {
	case g.freed <- struct{}{}:
	default:
	}
}
