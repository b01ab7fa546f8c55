package githubtest

import (
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// limits counts requests. The server's lock guards it.
type limits struct {
	core     map[string]*window
	created  []time.Time
	lockedTo time.Time // secondary limit
}

// window is a token's hour.
type window struct {
	used  int
	reset time.Time
}

func (s *Server) window(token string) *window {
	if s.limit.core == nil {
		s.limit.core = map[string]*window{}
	}
	w := s.limit.core[token]
	now := s.o.now()
	if w == nil || now.After(w.reset) {
		w = &window{reset: now.Add(time.Hour)}
		s.limit.core[token] = w
	}
	return w
}

// limited counts a request and refuses it when there are too many.
func (s *Server) limited(c *call) *answer {
	if c.op == OpStorage || c.op == OpBrowserDownload || c.op == OpRateLimit || s.o.core <= 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.window(c.token)
	if w.used >= s.o.core {
		return s.primary(http.StatusForbidden, w.reset.Sub(s.o.now()), false)
	}
	w.used++
	return nil
}

// limitCreation is the secondary limit on what creates content. The server's
// lock is held.
func (c *call) limitCreation() *answer {
	l := c.s.o.creation
	if l.Requests <= 0 {
		return nil
	}
	now := c.s.o.now()
	if now.Before(c.s.limit.lockedTo) {
		return secondary(http.StatusForbidden, c.s.limit.lockedTo.Sub(now), l.RetryAfter)
	}
	var recent []time.Time
	for _, t := range c.s.limit.created {
		if now.Sub(t) < l.Per {
			recent = append(recent, t)
		}
	}
	c.s.limit.created = recent
	if len(recent) >= l.Requests {
		c.s.limit.lockedTo = now.Add(l.Wait)
		return secondary(http.StatusForbidden, l.Wait, l.RetryAfter)
	}
	c.s.limit.created = append(recent, now)
	return nil
}

// limitHeaders are on every answer of the API.
func (s *Server) limitHeaders(c *call, h http.Header) {
	if c.op == OpStorage || c.op == OpBrowserDownload || h.Get("X-RateLimit-Remaining") != "" || s.o.core <= 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.window(c.token)
	resource := "core"
	if c.op == OpGraphQL {
		resource = "graphql"
	}
	for key, value := range map[string]string{
		"X-RateLimit-Limit": strconv.Itoa(s.o.core), "X-RateLimit-Remaining": strconv.Itoa(max(0, s.o.core-w.used)),
		"X-RateLimit-Used": strconv.Itoa(w.used), "X-RateLimit-Reset": strconv.FormatInt(w.reset.Unix(), 10), "X-RateLimit-Resource": resource,
	} {
		h.Set(key, value)
	}
}

func (c *call) rateLimit() *answer {
	w := c.s.window(c.token)
	one := object{"limit": c.s.o.core, "used": w.used, "remaining": max(0, c.s.o.core-w.used), "reset": w.reset.Unix()}
	resources := object{"core": one, "search": one, "graphql": one}
	return &answer{status: http.StatusOK, body: object{"resources": resources, "rate": one}}
}

// primary is the answer when the hour's requests are used up.
func (s *Server) primary(status int, wait time.Duration, retryAfter bool) *answer {
	a := failure(status, "API rate limit exceeded for user ID 1.")
	a.body.(object)["documentation_url"] = "https://docs.github.com/rest/overview/resources-in-the-rest-api#rate-limiting"
	a.header = http.Header{}
	reset := s.o.now().Add(wait)
	if wait >= time.Second {
		reset = reset.Add(time.Second - 1) // whole seconds, and not too early
	}
	for key, value := range map[string]string{
		"X-RateLimit-Limit": strconv.Itoa(s.o.core), "X-RateLimit-Remaining": "0", "X-RateLimit-Used": strconv.Itoa(s.o.core),
		"X-RateLimit-Reset": strconv.FormatInt(reset.Unix(), 10), "X-RateLimit-Resource": "core",
	} {
		a.header.Set(key, value)
	}
	if retryAfter {
		a.header.Set("Retry-After", seconds(wait))
	}
	return a
}

// secondary is the answer when requests come too fast.
func secondary(status int, wait time.Duration, retryAfter bool) *answer {
	a := failure(status, "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.")
	a.body.(object)["documentation_url"] = "https://docs.github.com/rest/overview/rate-limits-for-the-rest-api#about-secondary-rate-limits"
	if retryAfter {
		a.header = http.Header{"Retry-After": {seconds(wait)}}
	}
	return a
}

// seconds is d for Retry-After. Only tests get fractions.
func seconds(d time.Duration) string {
	if d > 0 && d < time.Second {
		return fmt.Sprintf("%.3f", d.Seconds())
	}
	return strconv.Itoa(int((d + time.Second - 1) / time.Second))
}
