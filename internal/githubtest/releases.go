package githubtest

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxBody is how many characters the notes of a release may have; it stands in
// the answer to longer ones.
const maxBody = 125_000

// releaseBody is what creating and changing a release take.
type releaseBody struct {
	Tag        *string `json:"tag_name"`
	Target     *string `json:"target_commitish"`
	Name       *string `json:"name"`
	Body       *string `json:"body"`
	Draft      *bool   `json:"draft"`
	Prerelease *bool   `json:"prerelease"`
	Generate   bool    `json:"generate_release_notes"`
	Latest     string  `json:"make_latest"`
}

func (c *call) listReleases() *answer {
	list := make([]object, 0)
	rels := stale(c.fault, c.repo.listed(c.rights.Push), func(rel *release) int64 { return rel.id })
	if ghost := c.fault.ghost(c); ghost {
		now := c.s.now()
		rels = append([]*release{{
			id: 1, tag: "ghost", target: c.repo.branch, created: now, updated: now, published: now,
		}}, rels...)
	}
	part, h := page(c, rels)
	for _, rel := range part {
		list = append(list, c.release(rel))
	}
	return &answer{status: http.StatusOK, header: h, body: list}
}

func (c *call) getRelease() *answer {
	rel := c.repo.byID(c.number("release_id"))
	if rel == nil || rel.draft && !c.rights.Push {
		return failure(http.StatusNotFound, "Not Found")
	}
	return &answer{status: http.StatusOK, body: c.release(rel)}
}

// releaseByTag finds no drafts, whoever asks.
func (c *call) releaseByTag() *answer {
	rel := c.repo.published(c.params["tag"])
	if rel == nil {
		return failure(http.StatusNotFound, "Not Found")
	}
	return &answer{status: http.StatusOK, body: c.release(rel)}
}

func (c *call) latestRelease() *answer {
	for _, rel := range c.repo.releases {
		if rel.latest {
			return &answer{status: http.StatusOK, body: c.release(rel)}
		}
	}
	return failure(http.StatusNotFound, "Not Found")
}

func releaseError(code, field, message string) object {
	e := object{"resource": "Release", "code": code}
	if field != "" {
		e["field"] = field
	}
	if message != "" {
		e["message"] = message
	}
	return e
}

func (c *call) createRelease() *answer {
	var b releaseBody
	if a := c.decode(&b); a != nil {
		return a
	}
	if b.Tag == nil || *b.Tag == "" {
		return invalid(releaseError("missing_field", "tag_name", ""))
	}
	target := c.repo.branch
	if b.Target != nil && *b.Target != "" {
		target = *b.Target
	}
	if a := c.limitCreation(); a != nil {
		return a
	}
	rel := c.repo.newRelease(*b.Tag, target)
	if a := c.apply(rel, b, true); a != nil {
		return a
	}
	c.repo.releases = append(c.repo.releases, rel)
	c.repo.relatest(c.explicit(rel, b.Latest, true))
	c.s.changed(c.repo, c.op)
	h := http.Header{"Location": {c.api("/repos/%s/%s/releases/%d", c.repo.owner, c.repo.name, rel.id)}}
	return &answer{status: http.StatusCreated, header: h, body: c.release(rel)}
}

func (c *call) updateRelease() *answer {
	rel := c.repo.byID(c.number("release_id"))
	if rel == nil {
		return failure(http.StatusNotFound, "Not Found")
	}
	var b releaseBody
	if a := c.decode(&b); a != nil {
		return a
	}
	changed := *rel
	if a := c.apply(&changed, b, false); a != nil {
		return a
	}
	fresh := rel.draft || rel.prerelease
	*rel = changed
	rel.updated = c.s.now()
	c.repo.relatest(c.explicit(rel, b.Latest, fresh))
	c.s.changed(c.repo, c.op)
	return &answer{status: http.StatusOK, body: c.release(rel)}
}

// apply puts the body's fields into rel, by GitHub's rules.
func (c *call) apply(rel *release, b releaseBody, create bool) *answer {
	r := c.repo
	was := *rel
	set(&rel.tag, b.Tag)
	set(&rel.target, b.Target)
	set(&rel.name, b.Name)
	set(&rel.body, b.Body)
	set(&rel.prerelease, b.Prerelease)
	draft := rel.draft && !create
	set(&draft, b.Draft)
	if rel.target == "" {
		rel.target = r.branch
	}
	switch {
	case was.immutable && (draft || rel.tag != was.tag || rel.target != was.target):
		return invalid(releaseError("custom", "", "state cannot be changed when release is immutable"))
	case b.Latest == "true" && (draft || rel.prerelease):
		return invalid(releaseError("custom", "make_latest", "Latest release cannot be draft or prerelease."))
	case !wellFormed(rel.tag):
		return invalid(releaseError("custom", "tag_name", "tag_name is not well-formed"))
	}
	if b.Generate {
		notes := c.notes(rel.tag, "")
		if rel.name == "" {
			rel.name = rel.tag
		}
		rel.body = strings.TrimSpace(rel.body + "\n\n" + notes)
	}
	if utf8.RuneCountInString(rel.body) > maxBody {
		return invalid(releaseError("custom", "body", fmt.Sprintf("body is too long (maximum is %d characters)", maxBody)))
	}
	if b.Latest == "true" {
		rel.noLatest = false
	} else if b.Latest == "false" {
		rel.noLatest = true
	}
	if draft {
		rel.draft = true
		return nil
	}
	if _, burnt := r.burnt[rel.tag]; burnt && !was.immutable {
		return invalid(releaseError("custom", "tag_name", "tag_name was used by an immutable release"))
	}
	if other := r.published(rel.tag); other != nil && other.id != rel.id {
		return invalid(releaseError("already_exists", "tag_name", ""))
	}
	if _, ok := r.tags[rel.tag]; !ok {
		if _, ok := r.commitOf(rel.target); !ok {
			return invalid(releaseError("invalid", "target_commitish", ""), releaseError("custom", "", "Published releases must have a valid tag"))
		}
	}
	r.publish(rel)
	return nil
}

// set changes to where from is given.
func set[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

// explicit is rel if it becomes the latest: when it was asked to, or when it is
// fresh, newly a full release, and does not say otherwise.
func (c *call) explicit(rel *release, latest string, fresh bool) *release {
	if latest == "legacy" {
		for _, other := range c.repo.releases {
			other.latest = false
		}
	}
	if rel.draft || rel.prerelease || latest != "true" && (latest != "" || !fresh) {
		return nil
	}
	return rel
}

// publish makes rel visible: the tag is made where it is not there, and the
// release becomes immutable where the repository says so.
func (r *Repo) publish(rel *release) {
	if _, ok := r.tags[rel.tag]; !ok {
		commit, known := r.commitOf(rel.target)
		if !known {
			commit = r.Head()
		}
		r.setTag(rel.tag, tag{sha: commit, object: "commit"})
	}
	if commit, ok := r.commitOf(rel.tag); ok {
		rel.created = r.commits[commit]
	}
	if rel.draft || rel.published.IsZero() {
		rel.published = r.s.now()
		rel.immutable = rel.immutable || r.immutable
	}
	rel.draft = false
	if rel.immutable {
		r.burnt[rel.tag] = struct{}{}
	}
}

func (c *call) deleteRelease() *answer {
	rel := c.repo.byID(c.number("release_id"))
	if rel == nil {
		return failure(http.StatusNotFound, "Not Found")
	}
	c.repo.releases = slices.DeleteFunc(c.repo.releases, func(x *release) bool { return x == rel })
	for _, a := range rel.assets {
		c.s.store.drop(a.id)
	}
	c.repo.relatest(nil)
	c.s.changed(c.repo, c.op)
	return &answer{status: http.StatusNoContent}
}

func (c *call) generateNotes() *answer {
	var b struct {
		Tag      string `json:"tag_name"`
		Target   string `json:"target_commitish"`
		Previous string `json:"previous_tag_name"`
	}
	if a := c.decode(&b); a != nil {
		return a
	}
	if b.Tag == "" {
		return invalid(releaseError("missing_field", "tag_name", ""))
	}
	if _, ok := c.repo.commitOf(b.Tag); !ok {
		if _, ok := c.repo.commitOf(b.Target); !ok {
			return invalid(releaseError("invalid", "target_commitish", ""))
		}
	}
	return &answer{status: http.StatusOK, body: object{"name": b.Tag, "body": c.notes(b.Tag, b.Previous)}}
}

func (c *call) notes(tag, previous string) string {
	if previous == "" {
		for _, t := range c.repo.order {
			if t != tag {
				previous = t
			}
		}
	}
	web := c.s.WebURL + "/" + c.repo.owner + "/" + c.repo.name
	if previous == "" {
		return "**Full Changelog**: " + web + "/commits/" + tag
	}
	return "**Full Changelog**: " + web + "/compare/" + previous + "..." + tag
}

// wellFormed says whether git takes name for a tag (git check-ref-format).
func wellFormed(name string) bool {
	if name == "" || strings.HasPrefix(name, "/") || strings.HasSuffix(name, "/") || strings.HasSuffix(name, ".") || name == "@" {
		return false
	}
	for _, bad := range []string{"..", "//", "@{", " ", "~", "^", ":", "?", "*", "[", "\\", "\x7f"} {
		if strings.Contains(name, bad) {
			return false
		}
	}
	for _, part := range strings.Split(name, "/") {
		if strings.HasPrefix(part, ".") || strings.HasSuffix(part, ".lock") {
			return false
		}
	}
	return strings.IndexFunc(name, func(r rune) bool { return r < ' ' }) < 0
}
