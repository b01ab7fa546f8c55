package githubtest

import (
	"net/http"
	"strings"
)

func (c *call) getRepo() *answer { return &answer{status: http.StatusOK, body: c.repository()} }

// immutableReleases tells the repository's setting to those who may read it.
func (c *call) immutableReleases() *answer {
	if !c.rights.Admin {
		if !c.known {
			return failure(http.StatusNotFound, "Not Found")
		}
		return failure(http.StatusForbidden, "Resource not accessible by integration")
	}
	if !c.repo.immutable {
		return failure(http.StatusNotFound, "Not Found")
	}
	return &answer{status: http.StatusOK, body: object{"enabled": true, "enforced_by_owner": false}}
}

func (c *call) ref(name string, t tag) object {
	kind := "commits"
	if t.object == "tag" {
		kind = "tags"
	}
	base := c.api("/repos/%s/%s/git", c.repo.owner, c.repo.name)
	return object{
		"ref": name, "node_id": node("Ref:"+name, c.repo.id), "url": base + "/" + name,
		"object": object{"type": t.object, "sha": t.sha, "url": base + "/" + kind + "/" + t.sha},
	}
}

func (c *call) getRef() *answer {
	name := c.params["ref"]
	if t, ok := c.repo.refs()[name]; ok {
		return &answer{status: http.StatusOK, body: c.ref("refs/"+name, t)}
	}
	return failure(http.StatusNotFound, "Not Found")
}

// refs is all refs, without "refs/".
func (r *Repo) refs() map[string]tag {
	all := map[string]tag{"heads/" + r.branch: {sha: r.Head(), object: "commit"}}
	for name, t := range r.tags {
		all["tags/"+name] = t
	}
	return all
}

func (c *call) matchingRefs() *answer {
	list := make([]object, 0)
	prefix := c.params["ref"]
	for _, name := range append([]string{"heads/" + c.repo.branch}, prefixed("tags/", c.repo.order)...) {
		if strings.HasPrefix(name, prefix) {
			list = append(list, c.ref("refs/"+name, c.repo.refs()[name]))
		}
	}
	return &answer{status: http.StatusOK, body: list}
}

func prefixed(prefix string, names []string) []string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = prefix + n
	}
	return out
}

func (c *call) createRef() *answer {
	var b struct{ Ref, SHA string }
	if a := c.decode(&b); a != nil {
		return a
	}
	name, ok := strings.CutPrefix(b.Ref, "refs/tags/")
	_, isCommit := c.repo.commits[b.SHA]
	object, isTag := c.repo.objects[b.SHA]
	switch {
	case !ok || !wellFormed(name):
		return failure(http.StatusUnprocessableEntity, "Reference name is not valid")
	case !isCommit && !isTag:
		return failure(http.StatusUnprocessableEntity, "Object does not exist")
	}
	if _, there := c.repo.tags[name]; there {
		return failure(http.StatusUnprocessableEntity, "Reference already exists")
	}
	t := tag{sha: b.SHA, object: "commit"}
	if isTag && object.commit != "" {
		t.object = "tag"
	}
	c.repo.setTag(name, t)
	c.s.changed(c.repo, c.op)
	h := http.Header{"Location": {c.api("/repos/%s/%s/git/%s", c.repo.owner, c.repo.name, b.Ref)}}
	return &answer{status: http.StatusCreated, header: h, body: c.ref(b.Ref, t)}
}

func (c *call) deleteRef() *answer {
	name, ok := strings.CutPrefix(c.params["ref"], "tags/")
	if _, there := c.repo.tags[name]; !ok || !there {
		return failure(http.StatusUnprocessableEntity, "Reference does not exist")
	}
	for _, rel := range c.repo.releases {
		if rel.immutable && rel.tag == name {
			return failure(http.StatusUnprocessableEntity, "Cannot delete this tag: it belongs to an immutable release")
		}
	}
	c.repo.dropTag(name)
	c.s.changed(c.repo, c.op)
	return &answer{status: http.StatusNoContent}
}

func (c *call) tagObject() *answer {
	sha := c.params["tag_sha"]
	o, ok := c.repo.objects[sha]
	if !ok {
		return failure(http.StatusNotFound, "Not Found")
	}
	base := c.api("/repos/%s/%s/git", c.repo.owner, c.repo.name)
	return &answer{status: http.StatusOK, body: object{
		"node_id": node("Tag", c.repo.id), "tag": o.tag, "sha": sha, "url": base + "/tags/" + sha, "message": o.tag,
		"tagger": object{"name": login, "email": login + "@example.com", "date": date(c.repo.commits[o.commit])},
		"object": object{"type": "commit", "sha": o.commit, "url": base + "/commits/" + o.commit},
	}}
}

func (c *call) getCommit() *answer {
	sha, ok := c.repo.commitOf(c.params["ref"])
	if !ok {
		return failure(http.StatusUnprocessableEntity, "No commit found for SHA: "+c.params["ref"])
	}
	if strings.Contains(c.r.Header.Get("Accept"), "vnd.github.sha") || strings.Contains(c.r.Header.Get("Accept"), ".sha") {
		return &answer{status: http.StatusOK, text: sha}
	}
	base := c.api("/repos/%s/%s", c.repo.owner, c.repo.name)
	who := object{"name": login, "email": login + "@example.com", "date": date(c.repo.commits[sha])}
	return &answer{status: http.StatusOK, body: object{
		"url": base + "/commits/" + sha, "sha": sha, "node_id": node("Commit:"+sha, c.repo.id),
		"html_url": c.s.WebURL + "/" + c.repo.owner + "/" + c.repo.name + "/commit/" + sha, "comments_url": base + "/commits/" + sha + "/comments",
		"commit": object{
			"url": base + "/git/commits/" + sha, "author": who, "committer": who, "message": "A commit", "comment_count": 0,
			"tree": object{"sha": fakeSHA("tree", sha), "url": base + "/git/trees/" + fakeSHA("tree", sha)},
		},
		"author": c.user(), "committer": c.user(), "parents": []object{},
	}}
}

func (c *call) listTags() *answer {
	part, h := page(c, c.repo.order)
	list := make([]object, 0)
	base := c.api("/repos/%s/%s", c.repo.owner, c.repo.name)
	for _, name := range part {
		sha, _ := c.repo.commitOf(name)
		list = append(list, object{
			"name": name, "node_id": node("Ref:refs/tags/"+name, c.repo.id), "commit": object{"sha": sha, "url": base + "/commits/" + sha},
			"zipball_url": base + "/zipball/refs/tags/" + name, "tarball_url": base + "/tarball/refs/tags/" + name,
		})
	}
	return &answer{status: http.StatusOK, header: h, body: list}
}
