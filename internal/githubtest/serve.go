package githubtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxJSON bounds the body of a request that is no upload, in bytes. GitHub
// takes release notes of 125,000 characters.
const maxJSON = 1 << 20

// call is one request on its way through the server.
type call struct {
	s      *Server
	w      http.ResponseWriter
	r      *http.Request
	n      int
	entry  Entry
	op     string
	prefix string // of the path, "/api/v3" where the client takes us for an Enterprise server
	params map[string]string
	body   []byte
	token  string
	known  bool // the token is one of the server's
	rights Rights
	repo   *Repo
	fault  *Fault
	name   string // of the asset that it is about, where that is known
}

// answer is what the client gets.
type answer struct {
	status int
	header http.Header
	body   any    // JSON; nil is an empty body
	text   string // sent in place of body, where a client asks for a plain SHA-1
	file   *asset // sent in place of body
}

type object = map[string]any

// serveAPI answers api.github.com's paths, an Enterprise server's, and those
// by a repository's id, which GitHub's Link headers have.
func (s *Server) serveAPI(w http.ResponseWriter, r *http.Request) {
	path, prefix, table := r.URL.EscapedPath(), "", routes
	switch {
	case path == "/api/graphql":
		prefix, path = "/api", "/graphql"
	case strings.HasPrefix(path, "/api/uploads/"):
		prefix, path, table = "/api/uploads", strings.TrimPrefix(path, "/api/uploads"), uploadRoutes
	case strings.HasPrefix(path, "/api/v3/"):
		prefix, path = "/api/v3", strings.TrimPrefix(path, "/api/v3")
	}
	if rest, ok := strings.CutPrefix(path, "/repositories/"); ok {
		id, rest, _ := strings.Cut(rest, "/")
		s.mu.Lock()
		for _, repo := range s.repos {
			if strconv.FormatInt(repo.id, 10) == id {
				path = "/repos/" + repo.owner + "/" + repo.name + "/" + rest
			}
		}
		s.mu.Unlock()
	}
	s.serve(w, r, path, prefix, table)
}

func (s *Server) serveUpload(w http.ResponseWriter, r *http.Request) {
	s.serve(w, r, r.URL.EscapedPath(), "", uploadRoutes)
}

func (s *Server) serveStorage(w http.ResponseWriter, r *http.Request) {
	s.serve(w, r, r.URL.EscapedPath(), "", storageRoutes)
}

// serve takes one request through: log, latency, faults, limits, rights, the
// description, the operation, the description, faults.
func (s *Server) serve(w http.ResponseWriter, r *http.Request, path, prefix string, table []route) {
	rt, params, ok := find(table, r.Method, path)
	c := &call{s: s, w: w, r: r, op: rt.op, params: params, prefix: prefix}
	c.about()
	c.n = s.arrived(c)
	if s.o.link.Latency > 0 {
		s.pause(r, s.o.link.Latency)
	}
	c.authorise()
	if !ok {
		s.problem("%s %s is no path of this server", r.Method, r.URL.Path)
		c.send(failure(http.StatusNotFound, "Not Found"))
		return
	}
	c.fault = s.faultFor(c)
	if c.fault.before(c) {
		return
	}
	a := c.enter()
	if a == nil {
		a = c.do(rt)
	}
	if a == nil { // the connection is broken
		s.answered(c, 0)
		panic(http.ErrAbortHandler)
	}
	c.send(a)
}

func (c *call) do(rt route) *answer {
	if !rt.open {
		c.s.mu.Lock()
		defer c.s.mu.Unlock()
	}
	return rt.do(c)
}

// about finds the asset's name for logs and faults, where the request has it.
func (c *call) about() {
	switch c.op {
	case OpUpload:
		c.name = c.r.URL.Query().Get("name")
	case OpUpdateAsset, OpDeleteAsset, OpGetAsset, OpStorage:
		c.s.mu.Lock()
		defer c.s.mu.Unlock()
		for _, r := range c.s.repos {
			if _, a := r.assetByID(c.number("asset_id")); a != nil {
				c.name = a.name
			}
		}
	}
}

// enter lets a request in: limits, token, repository, body, description.
func (c *call) enter() *answer {
	if a := c.s.limited(c); a != nil {
		return a
	}
	switch c.op {
	case OpStorage:
		return nil
	case OpBrowserDownload:
	default:
		if c.token != "" && !c.known {
			return failure(http.StatusUnauthorized, "Bad credentials")
		}
	}
	if c.op == OpGraphQL && !c.known {
		return failure(http.StatusUnauthorized, "This endpoint requires you to be authenticated.")
	}
	archived := false
	if c.params["owner"] != "" {
		c.s.mu.Lock()
		c.repo = c.s.repos[strings.ToLower(c.params["owner"]+"/"+c.params["repo"])]
		hidden := c.repo == nil || c.repo.private && !c.known
		archived = !hidden && c.repo.archived
		c.s.mu.Unlock()
		if hidden {
			return failure(http.StatusNotFound, "Not Found")
		}
	}
	if c.op != OpUpload && c.r.Body != nil {
		body, err := io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, maxJSON))
		if err != nil {
			return failure(http.StatusBadRequest, "Problems parsing JSON")
		}
		c.body = body
		c.r.Body = io.NopCloser(bytes.NewReader(body))
	}
	c.checkRequest()
	write := c.r.Method != http.MethodGet && c.r.Method != http.MethodHead && c.op != OpGraphQL
	if write {
		switch {
		case !c.known:
			// GitHub does not tell a stranger that there is something to write.
			return failure(http.StatusNotFound, "Not Found")
		case !c.rights.Push:
			return failure(http.StatusForbidden, "Resource not accessible by integration")
		case archived:
			return failure(http.StatusForbidden, "Repository was archived so is read-only.")
		}
	}
	return nil
}

// authorise reads the token.
func (c *call) authorise() {
	kind, token, _ := strings.Cut(c.r.Header.Get("Authorization"), " ")
	if strings.EqualFold(kind, "token") || strings.EqualFold(kind, "bearer") {
		c.token = strings.TrimSpace(token)
	}
	if _, password, ok := c.r.BasicAuth(); ok {
		c.token = password
	}
	c.rights, c.known = c.s.o.tokens[c.token]
}

// number is a parameter of the path that is an id; 0 where it is none.
func (c *call) number(name string) int64 {
	n, _ := strconv.ParseInt(c.params[name], 10, 64)
	return n
}

// decode reads the body's JSON.
func (c *call) decode(v any) *answer {
	if len(bytes.TrimSpace(c.body)) == 0 {
		return nil
	}
	if err := json.Unmarshal(c.body, v); err != nil {
		return failure(http.StatusBadRequest, "Problems parsing JSON")
	}
	return nil
}

// send checks an answer against the description and sends it.
func (c *call) send(a *answer) {
	h := c.w.Header()
	for key, values := range a.header {
		h[key] = values
	}
	h.Set("X-GitHub-Request-Id", fmt.Sprintf("0000:%05d:0000000:0000000:00000000", c.n))
	h.Set("X-GitHub-Media-Type", "github.v3; format=json")
	if c.known {
		h.Set("X-OAuth-Scopes", "repo, workflow")
	}
	c.s.limitHeaders(c, h)
	if a.file != nil {
		c.sendFile(a)
		return
	}
	var body []byte
	if a.body != nil {
		var err error
		if body, err = json.Marshal(a.body); err != nil {
			c.s.problem("%s: the answer is no JSON: %v", c.op, err)
		}
		h.Set("Content-Type", "application/json; charset=utf-8")
		c.checkAnswer(a.status, h, body)
	} else if a.text != "" {
		body = []byte(a.text)
		h.Set("Content-Type", "application/vnd.github.sha; charset=utf-8")
	}
	if c.fault.after(c, a, body) {
		return
	}
	c.s.answered(c, a.status)
	if len(body) > 0 {
		h.Set("Content-Length", strconv.Itoa(len(body)))
	}
	c.w.WriteHeader(a.status)
	if c.r.Method != http.MethodHead {
		c.w.Write(body)
	}
}

// pause waits, but not longer than the client or the server.
func (s *Server) pause(r *http.Request, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-r.Context().Done():
	case <-s.done:
	}
}

// failure is an error as GitHub writes it.
func failure(status int, message string, errors ...object) *answer {
	body := object{"message": message, "documentation_url": "https://docs.github.com/rest", "status": strconv.Itoa(status)}
	if errors != nil {
		body["errors"] = errors
	}
	return &answer{status: status, body: body}
}

// invalid is the 422 of a field.
func invalid(errors ...object) *answer {
	return failure(http.StatusUnprocessableEntity, "Validation Failed", errors...)
}

// page cuts a list as per_page and page say, and gives the Link header
// ("Using pagination in the REST API").
func page[T any](c *call, list []T) ([]T, http.Header) {
	q := c.r.URL.Query()
	size, number := 30, 1
	if n, err := strconv.Atoi(q.Get("per_page")); err == nil && n > 0 {
		size = min(n, 100)
	}
	if n, err := strconv.Atoi(q.Get("page")); err == nil && n > 0 {
		number = n
	}
	shift := c.fault.shift(number)
	last := max(1, (len(list)+size-1)/size)
	from := min(max(0, (number-1)*size+shift), len(list))
	to := min(from+size, len(list))
	link := func(n int, rel string) string {
		v := c.r.URL.Query()
		v.Set("page", strconv.Itoa(n))
		tail := strings.TrimPrefix(c.r.URL.Path, c.prefix)
		if parts := strings.SplitN(tail, "/", 5); len(parts) == 5 && parts[1] == "repos" {
			tail = fmt.Sprintf("/repositories/%d/%s", c.repo.id, parts[4])
		}
		return fmt.Sprintf(`<%s%s%s?%s>; rel="%s"`, c.s.URL, c.prefix, tail, v.Encode(), rel)
	}
	var links []string
	if number > 1 {
		links = append(links, link(number-1, "prev"), link(1, "first"))
	}
	if number < last {
		links = append(links, link(number+1, "next"), link(last, "last"))
	}
	h := http.Header{}
	if len(links) > 0 {
		h.Set("Link", strings.Join(links, ", "))
	}
	return list[from:to], h
}
