package githubtest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"
)

// NewRelease says what [Repo.AddRelease] makes. The tag is made where the
// release is published and it is not there.
type NewRelease struct {
	Tag        string
	Name, Body string
	Target     string // a commit or branch; empty is main
	Draft      bool
	Prerelease bool
	Immutable  bool // published, and closed
}

// Release is a release to set up.
type Release struct {
	ID  int64
	Tag string
	r   *Repo
}

// AddRelease makes a release, as if it had been there before.
func (r *Repo) AddRelease(n NewRelease) *Release {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	if n.Target == "" {
		n.Target = r.branch
	}
	rel := r.newRelease(n.Tag, n.Target)
	rel.name, rel.body, rel.draft, rel.prerelease = n.Name, n.Body, n.Draft, n.Prerelease
	r.releases = append(r.releases, rel)
	if !n.Draft {
		rel.immutable = n.Immutable
		r.publish(rel)
		if !n.Prerelease {
			r.relatest(rel)
		}
	}
	r.s.changed(r, "AddRelease")
	return &Release{ID: rel.id, Tag: n.Tag, r: r}
}

func (r *Repo) newRelease(tagName, target string) *release {
	now := r.s.now()
	rel := &release{id: r.s.id(), tag: tagName, target: target, draft: true, created: now, updated: now}
	rel.untagged = "untagged-" + fakeSHA("untagged", fmt.Sprint(rel.id))[:20]
	if commit, ok := r.commitOf(tagName); ok {
		rel.created = r.commits[commit]
	} else if commit, ok := r.commitOf(target); ok {
		rel.created = r.commits[commit]
	}
	return rel
}

// AddAsset puts a whole asset with its digest into the release and returns its
// id. The name is taken as it is.
func (rel *Release) AddAsset(name string, content []byte) int64 {
	return rel.add(name, content, StateUploaded, true)
}

// AddOldAsset puts a whole asset of before June 2025 into the release: GitHub
// tells no digest of it.
func (rel *Release) AddOldAsset(name string, content []byte) int64 {
	return rel.add(name, content, StateUploaded, false)
}

// AddStarter puts the rest of a broken upload into the release.
func (rel *Release) AddStarter(name string) int64 { return rel.add(name, nil, StateStarter, false) }

// AddFalseDigest puts an asset into the release whose bytes are content and
// whose digest is told as that of other bytes.
func (rel *Release) AddFalseDigest(name string, content, other []byte) int64 {
	id := rel.add(name, content, StateUploaded, true)
	rel.r.set(func() {
		if _, a := rel.r.assetByID(id); a != nil {
			sum := sha256.Sum256(other)
			a.claim = hex.EncodeToString(sum[:])
		}
	})
	return id
}

func (rel *Release) add(name string, content []byte, state string, told bool) int64 {
	s := rel.r.s
	s.mu.Lock()
	id := s.id()
	s.mu.Unlock()
	var sum string
	if state == StateUploaded {
		var err error
		if sum, _, err = s.store.put(id, bytes.NewReader(content), false, true); err != nil {
			panic(fmt.Sprintf("githubtest: keeping asset %s: %v", name, err))
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r := rel.r.byID(rel.ID)
	if r == nil {
		panic(fmt.Sprintf("githubtest: release %d is gone", rel.ID))
	}
	now := s.now()
	a := &asset{
		id: id, name: name, contentType: "application/octet-stream", state: state,
		size: int64(len(content)), sum: sum, told: told, created: now, updated: now,
	}
	r.assets = append(r.assets, a)
	s.changed(rel.r, "AddAsset")
	return id
}

// ReleaseState is a release as it is, and not as GitHub would tell it.
type ReleaseState struct {
	ID                                   int64
	Tag, Target, Name, Body              string
	Draft, Prerelease, Immutable, Latest bool
	Published                            time.Time
	Assets                               []AssetState
}

// AssetState is an asset as it is.
type AssetState struct {
	ID                              int64
	Name, Label, ContentType, State string
	Size                            int64
	// SHA256 is that of the bytes, in hex, told or not; empty for a starter.
	SHA256 string
	// Told says whether GitHub tells the digest.
	Told bool
}

// Asset is the asset of that name, nil if there is none.
func (r ReleaseState) Asset(name string) *AssetState {
	for i := range r.Assets {
		if r.Assets[i].Name == name {
			return &r.Assets[i]
		}
	}
	return nil
}

// State is the repository's releases, drafts too, in the order they were made.
func (r *Repo) State() []ReleaseState {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	return r.state()
}

// ByTag is the releases of a tag, drafts too, in the order they were made.
func (r *Repo) ByTag(tag string) []ReleaseState {
	var list []ReleaseState
	for _, rel := range r.State() {
		if rel.Tag == tag {
			list = append(list, rel)
		}
	}
	return list
}

func (r *Repo) state() []ReleaseState {
	list := make([]ReleaseState, 0, len(r.releases))
	for _, rel := range r.releases {
		st := ReleaseState{
			ID: rel.id, Tag: rel.tag, Target: rel.target, Name: rel.name, Body: rel.body,
			Draft: rel.draft, Prerelease: rel.prerelease, Immutable: rel.immutable, Latest: rel.latest, Published: rel.published,
			Assets: make([]AssetState, 0, len(rel.assets)),
		}
		for _, a := range rel.assets {
			st.Assets = append(st.Assets, AssetState{
				ID: a.id, Name: a.name, Label: a.label, ContentType: a.contentType, State: a.state,
				Size: a.size, SHA256: a.sum, Told: a.told,
			})
		}
		list = append(list, st)
	}
	return list
}

// Content is the bytes of an asset.
func (r *Repo) Content(id int64) ([]byte, error) { return r.s.store.get(id) }

// Tag is the commit of a tag, empty if there is none.
func (r *Repo) Tag(name string) string {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	if _, ok := r.tags[name]; !ok {
		return ""
	}
	sha, _ := r.commitOf(name)
	return sha
}
