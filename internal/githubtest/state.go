package githubtest

import (
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Repo is a repository of the server. Its methods set it up and may be called
// at any time; they are no requests and raise no faults.
type Repo struct {
	s           *Server
	owner, name string
	id          int64
	branch      string
	private     bool
	archived    bool
	immutable   bool // new releases become immutable when they are published
	tags        map[string]tag
	order       []string // of the tags, as they came
	objects     map[string]annotated
	commits     map[string]time.Time
	releases    []*release          // in the order they were made
	burnt       map[string]struct{} // tags of immutable releases
}

// tag is a ref under refs/tags.
type tag struct {
	sha    string // of the object
	object string // "commit" or "tag"
}

// annotated is a tag object.
type annotated struct{ tag, commit string }

type release struct {
	id         int64
	tag        string
	target     string
	name, body string
	draft      bool
	prerelease bool
	immutable  bool
	latest     bool
	noLatest   bool // make_latest was "false"
	created    time.Time
	updated    time.Time
	published  time.Time
	untagged   string // stands for the tag in a draft's addresses
	assets     []*asset
}

type asset struct {
	id               int64
	name, label      string
	contentType      string
	state            string
	size             int64
	sum              string // hex of SHA-256, empty where it is not known
	claim            string // what is told in its place
	told             bool   // whether GitHub tells the digest
	created, updated time.Time
	downloads        int
}

// The states of an asset.
const (
	StateUploaded = "uploaded"
	StateStarter  = "starter"
	StateOpen     = "open"
)

// Repo is the repository "owner/name", made on first use with one commit on
// the branch main.
func (s *Server) Repo(fullName string) *Repo {
	owner, name, ok := strings.Cut(fullName, "/")
	if !ok {
		panic(fmt.Sprintf("githubtest: %q is not OWNER/NAME", fullName))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	key := strings.ToLower(fullName)
	if r := s.repos[key]; r != nil {
		return r
	}
	r := &Repo{
		s: s, owner: owner, name: name, id: s.id(), branch: "main",
		tags: map[string]tag{}, objects: map[string]annotated{}, commits: map[string]time.Time{}, burnt: map[string]struct{}{},
	}
	r.commits[fakeSHA(fullName, "main")] = s.now()
	s.repos[key] = r
	return r
}

// id is a new id. All kinds of things share one sequence.
func (s *Server) id() int64 {
	s.next++
	return s.next
}

func fakeSHA(parts ...string) string {
	sum := sha1.Sum([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:])
}

// Head is the commit of the branch main.
func (r *Repo) Head() string { return fakeSHA(r.owner+"/"+r.name, "main") }

// AddCommit makes a commit known. Releases of it bear its date as created_at
// and are listed by that, as on GitHub.
func (r *Repo) AddCommit(sha string, date time.Time) {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	r.commits[sha] = date.UTC().Truncate(time.Second)
}

// AddTag makes a lightweight tag on a commit, on the head of main if sha is
// empty. It returns the commit.
func (r *Repo) AddTag(name, sha string) string {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	if sha == "" {
		sha = r.Head()
	}
	r.know(sha)
	r.setTag(name, tag{sha: sha, object: "commit"})
	return sha
}

// AddAnnotatedTag makes a tag object and a tag on it; the ref tells the SHA-1
// of the object, which it returns, and not that of the commit.
func (r *Repo) AddAnnotatedTag(name, commit string) string {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	if commit == "" {
		commit = r.Head()
	}
	r.know(commit)
	sha := fakeSHA("tag", name, commit)
	r.objects[sha] = annotated{tag: name, commit: commit}
	r.setTag(name, tag{sha: sha, object: "tag"})
	return sha
}

// RemoveTag removes a tag, and leaves its releases: GitHub makes published
// ones drafts then, unless they are immutable.
func (r *Repo) RemoveTag(name string) {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	r.dropTag(name)
	r.s.changed(r, "RemoveTag")
}

func (r *Repo) dropTag(name string) {
	delete(r.tags, name)
	r.order = slices.DeleteFunc(r.order, func(t string) bool { return t == name })
	for _, rel := range r.releases {
		if rel.tag == name && !rel.immutable {
			rel.draft, rel.latest = true, false
		}
	}
}

// MakeImmutable switches the repository's immutable releases on or off. It
// holds for releases published from then on.
func (r *Repo) MakeImmutable(on bool) { r.set(func() { r.immutable = on }) }

// Archive makes the repository read-only.
func (r *Repo) Archive(on bool) { r.set(func() { r.archived = on }) }

// MakePrivate hides the repository from those without a token.
func (r *Repo) MakePrivate(on bool) { r.set(func() { r.private = on }) }

func (r *Repo) set(f func()) {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	f()
}

func (r *Repo) know(sha string) {
	if _, ok := r.commits[sha]; !ok {
		r.commits[sha] = r.s.now()
	}
}

func (r *Repo) setTag(name string, t tag) {
	if _, ok := r.tags[name]; !ok {
		r.order = append(r.order, name)
	}
	r.tags[name] = t
}

// commitOf is the commit that a tag, branch or SHA-1 leads to.
func (r *Repo) commitOf(ref string) (string, bool) {
	switch {
	case ref == "" || ref == r.branch || ref == "HEAD" || ref == "heads/"+r.branch || ref == "refs/heads/"+r.branch:
		return r.Head(), true
	}
	ref = strings.TrimPrefix(strings.TrimPrefix(ref, "refs/"), "tags/")
	if t, ok := r.tags[ref]; ok {
		if t.object == "tag" {
			return r.objects[t.sha].commit, true
		}
		return t.sha, true
	}
	if len(ref) >= 7 {
		for sha := range r.commits {
			if strings.HasPrefix(sha, ref) {
				return sha, true
			}
		}
	}
	return "", false
}

// byID is the release with that id.
func (r *Repo) byID(id int64) *release {
	for _, rel := range r.releases {
		if rel.id == id {
			return rel
		}
	}
	return nil
}

// published is the release that a tag shows to everyone.
func (r *Repo) published(tag string) *release {
	for _, rel := range r.releases {
		if rel.tag == tag && !rel.draft {
			return rel
		}
	}
	return nil
}

// assetByID is an asset with its release.
func (r *Repo) assetByID(id int64) (*release, *asset) {
	for _, rel := range r.releases {
		for _, a := range rel.assets {
			if a.id == id {
				return rel, a
			}
		}
	}
	return nil, nil
}

// listed is the releases in the order of GitHub's list: newest commit first,
// drafts only for those who may write.
func (r *Repo) listed(drafts bool) []*release {
	var list []*release
	for _, rel := range r.releases {
		if drafts || !rel.draft {
			list = append(list, rel)
		}
	}
	slices.SortStableFunc(list, func(a, b *release) int {
		if c := b.created.Compare(a.created); c != 0 {
			return c
		}
		return int(b.id - a.id)
	})
	return list
}

// relatest finds the latest release again, after one has come or gone.
func (r *Repo) relatest(explicit *release) {
	var best *release
	for _, rel := range r.releases {
		if rel.draft || rel.prerelease || rel.noLatest {
			rel.latest = false
			continue
		}
		if rel.latest && explicit == nil {
			best = rel
		}
	}
	if best == nil || explicit != nil {
		best = explicit
	}
	if best == nil {
		for _, rel := range r.listed(false) {
			if !rel.prerelease && !rel.noLatest {
				best = rel
				break
			}
		}
	}
	for _, rel := range r.releases {
		rel.latest = rel == best
	}
}
