package githubtest

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
)

// Entry is a line of the request log.
type Entry struct {
	N      int    // from 1
	Op     string // empty for a path that the server does not have
	Method string
	Path   string
	Query  string
	Name   string // of the asset
	Proto  string
	Remote string // address of the connection
	Status int    // 0 until it is answered, and where the connection was broken
}

type watch struct {
	mu        sync.Mutex
	log       []Entry
	problems  []string
	onRequest []func(int, *http.Request)
	onAnswer  []func(Entry)
	onChange  []func(Change)
	guards    []*Guard
	changes   int
	requests  int
}

// Change is the state of a repository after something changed in it.
type Change struct {
	N        int    // from 1
	Repo     string // "owner/name"
	Op       string // what changed it: an Op constant, or the name of a method of Repo
	Releases []ReleaseState
}

// OnRequest has f called for each request, before anything else is done with
// it. n counts from 1.
func (s *Server) OnRequest(f func(n int, r *http.Request)) {
	s.watch.mu.Lock()
	defer s.watch.mu.Unlock()
	s.watch.onRequest = append(s.watch.onRequest, f)
}

// OnAnswer has f called for each request when its answer is about to be sent,
// or its connection was broken.
func (s *Server) OnAnswer(f func(Entry)) {
	s.watch.mu.Lock()
	defer s.watch.mu.Unlock()
	s.watch.onAnswer = append(s.watch.onAnswer, f)
}

// OnChange has f called after each change, in their order. It must not call
// the server.
func (s *Server) OnChange(f func(Change)) {
	s.watch.mu.Lock()
	defer s.watch.mu.Unlock()
	s.watch.onChange = append(s.watch.onChange, f)
}

// Problems is what went against GitHub's description or a guard so far.
func (s *Server) Problems() []string {
	s.watch.mu.Lock()
	defer s.watch.mu.Unlock()
	return slices.Clone(s.watch.problems)
}

func (s *Server) problem(format string, args ...any) {
	s.watch.mu.Lock()
	defer s.watch.mu.Unlock()
	text := fmt.Sprintf(format, args...)
	if !slices.Contains(s.watch.problems, text) {
		s.watch.problems = append(s.watch.problems, text)
	}
}

// Requests is the log so far.
func (s *Server) Requests() []Entry {
	s.watch.mu.Lock()
	defer s.watch.mu.Unlock()
	return slices.Clone(s.watch.log)
}

// Count is the number of requests so far: of the operations given, or of all.
func (s *Server) Count(ops ...string) int {
	n := 0
	for _, e := range s.Requests() {
		if len(ops) == 0 || slices.Contains(ops, e.Op) {
			n++
		}
	}
	return n
}

// ForgetRequests empties the log. Requests are counted on.
func (s *Server) ForgetRequests() {
	s.watch.mu.Lock()
	defer s.watch.mu.Unlock()
	s.watch.log = nil
}

func (s *Server) arrived(c *call) int {
	s.watch.mu.Lock()
	s.watch.requests++
	n := s.watch.requests
	c.entry = Entry{
		N: n, Op: c.op, Method: c.r.Method, Path: c.r.URL.Path, Query: c.r.URL.RawQuery, Name: c.name,
		Proto: c.r.Proto, Remote: c.r.RemoteAddr,
	}
	s.watch.log = append(s.watch.log, c.entry)
	hooks := slices.Clone(s.watch.onRequest)
	s.watch.mu.Unlock()
	for _, f := range hooks {
		f(n, c.r)
	}
	return n
}

func (s *Server) answered(c *call, status int) {
	s.watch.mu.Lock()
	entry := c.entry
	entry.Status = status
	for i := len(s.watch.log) - 1; i >= 0; i-- {
		if s.watch.log[i].N == c.n {
			s.watch.log[i] = entry
			break
		}
	}
	hooks := slices.Clone(s.watch.onAnswer)
	s.watch.mu.Unlock()
	for _, f := range hooks {
		f(entry)
	}
}

// changed tells of a change. The server's lock is held.
func (s *Server) changed(r *Repo, op string) {
	s.watch.mu.Lock()
	s.watch.changes++
	n := s.watch.changes
	hooks, guards := slices.Clone(s.watch.onChange), slices.Clone(s.watch.guards)
	s.watch.mu.Unlock()
	if len(hooks) == 0 && len(guards) == 0 {
		return
	}
	ch := Change{N: n, Repo: r.owner + "/" + r.name, Op: op, Releases: r.state()}
	for _, g := range guards {
		for _, text := range g.check(ch) {
			s.problem("%s", text)
		}
	}
	for _, f := range hooks {
		f(ch)
	}
}

// Guard watches that no name loses its good bytes: one that had them in a
// release of Tag before a change has good ones after it, under its own or a
// temporary name, in a release of that tag.
type Guard struct {
	Repo string // "owner/name"
	Tag  string
	// Good tells whether bytes with that SHA-256 (hex) are good for the asset:
	// those that it had at first, and those that it is to get.
	Good func(name, sum string) bool
	// Temporary tells whether an asset called temp is name's replacement.
	Temporary func(name, temp string) bool
	// Names are the assets to watch; those that never were there are not missed.
	Names []string

	had map[string]bool
}

// Guard begins to watch. What it finds is among the [Server.Problems].
func (s *Server) Guard(g Guard) {
	g.had = map[string]bool{}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.repos {
		if r.owner+"/"+r.name == g.Repo {
			g.check(Change{Repo: g.Repo, Releases: r.state()})
		}
	}
	s.watch.mu.Lock()
	defer s.watch.mu.Unlock()
	s.watch.guards = append(s.watch.guards, &g)
}

func (g *Guard) check(ch Change) []string {
	if ch.Repo != g.Repo {
		return nil
	}
	var lost []string
	for _, name := range g.Names {
		there := false
		for _, rel := range ch.Releases {
			for _, a := range rel.Assets {
				ours := a.Name == name || g.Temporary != nil && g.Temporary(name, a.Name)
				if rel.Tag == g.Tag && ours && a.State == StateUploaded && g.Good(name, a.SHA256) {
					there = true
				}
			}
		}
		if g.had[name] && !there {
			lost = append(lost, fmt.Sprintf("change %d (%s): %s of %s has no good bytes any more", ch.N, ch.Op, name, g.Tag))
		}
		g.had[name] = there
	}
	return lost
}
