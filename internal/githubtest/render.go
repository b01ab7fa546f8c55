package githubtest

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// login is the one user of the server.
const login = "octocat"

func date(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format(time.RFC3339)
}

func node(kind string, id int64) string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%s:%d", kind, id))
}

func null(text string) any {
	if text == "" {
		return nil
	}
	return text
}

// api is an address of the API, the way the client addressed it.
func (c *call) api(format string, args ...any) string {
	return c.s.URL + c.prefix + fmt.Sprintf(format, args...)
}

func (c *call) user() object {
	u := c.api("/users/" + login)
	return object{
		"login": login, "id": 1, "node_id": node("User", 1), "avatar_url": c.s.WebURL + "/u/1", "gravatar_id": "",
		"url": u, "html_url": c.s.WebURL + "/" + login, "followers_url": u + "/followers", "following_url": u + "/following{/other_user}",
		"gists_url": u + "/gists{/gist_id}", "starred_url": u + "/starred{/owner}{/repo}", "subscriptions_url": u + "/subscriptions",
		"organizations_url": u + "/orgs", "repos_url": u + "/repos", "events_url": u + "/events{/privacy}",
		"received_events_url": u + "/received_events", "type": "User", "site_admin": false,
	}
}

// webTag is what stands for the tag in the addresses of a release's page and
// files: a draft's tag is not there yet.
func (rel *release) webTag() string {
	if rel.draft {
		return rel.untagged
	}
	return rel.tag
}

func (c *call) release(rel *release) object {
	r := c.repo
	base := c.api("/repos/%s/%s/releases/%d", r.owner, r.name, rel.id)
	uploads := c.s.UploadURL
	web := c.s.WebURL + "/" + r.owner + "/" + r.name
	assets := make([]object, 0, len(rel.assets))
	for _, a := range stale(c.fault, rel.assets, func(a *asset) int64 { return a.id }) {
		if a.state == StateUploaded || c.s.o.startersIn {
			assets = append(assets, c.asset(rel, a))
		}
	}
	var tarball, zipball any
	if !rel.draft {
		escaped := url.PathEscape(rel.tag)
		tarball = c.api("/repos/%s/%s/tarball/%s", r.owner, r.name, escaped)
		zipball = c.api("/repos/%s/%s/zipball/%s", r.owner, r.name, escaped)
	}
	return object{
		"url": base, "assets_url": base + "/assets",
		"upload_url": fmt.Sprintf("%s/repos/%s/%s/releases/%d/assets{?name,label}", uploads, r.owner, r.name, rel.id),
		"html_url":   web + "/releases/tag/" + url.PathEscape(rel.webTag()),
		"id":         rel.id, "author": c.user(), "node_id": node("Release", rel.id), "tag_name": rel.tag,
		"target_commitish": rel.target, "name": null(rel.name), "draft": rel.draft, "immutable": rel.immutable,
		"prerelease": rel.prerelease, "created_at": date(rel.created), "updated_at": date(rel.updated),
		"published_at": date(rel.published), "assets": assets, "tarball_url": tarball, "zipball_url": zipball, "body": null(rel.body),
	}
}

func (c *call) asset(rel *release, a *asset) object {
	r := c.repo
	return object{
		"url": c.api("/repos/%s/%s/releases/assets/%d", r.owner, r.name, a.id), "id": a.id, "node_id": node("ReleaseAsset", a.id),
		"name": a.name, "label": a.label, "uploader": c.user(), "content_type": a.contentType, "state": a.state,
		"size": a.size, "digest": null(a.digest()), "download_count": a.downloads,
		"created_at": date(a.created), "updated_at": date(a.updated), "browser_download_url": c.download(rel, a),
	}
}

func (c *call) download(rel *release, a *asset) string {
	return fmt.Sprintf("%s/%s/%s/releases/download/%s/%s", c.s.WebURL, c.repo.owner, c.repo.name, url.PathEscape(rel.webTag()), url.PathEscape(a.name))
}

// digest is what GitHub tells of the bytes.
func (a *asset) digest() string {
	switch {
	case a.state != StateUploaded || !a.told:
		return ""
	case a.claim != "":
		return "sha256:" + a.claim
	case a.sum == "":
		return ""
	}
	return "sha256:" + a.sum
}

func (c *call) repository() object {
	r := c.repo
	full := r.owner + "/" + r.name
	u := c.api("/repos/%s", full)
	web := c.s.WebURL + "/" + full
	created := date(c.s.now())
	o := object{
		"id": r.id, "node_id": node("Repository", r.id), "name": r.name, "full_name": full, "owner": c.user(), "private": r.private,
		"html_url": web, "description": nil, "fork": false, "url": u, "homepage": nil, "language": nil, "mirror_url": nil, "license": nil,
		"default_branch": r.branch, "archived": r.archived, "disabled": false, "visibility": "public",
		"clone_url": web + ".git", "svn_url": web, "git_url": "git://localhost/" + full + ".git", "ssh_url": "git@localhost:" + full + ".git",
		"created_at": created, "updated_at": created, "pushed_at": created,
		"permissions": object{"admin": c.rights.Admin, "maintain": c.rights.Admin, "push": c.rights.Push, "triage": c.rights.Push, "pull": true},
	}
	if r.private {
		o["visibility"] = "private"
	}
	if !c.known {
		delete(o, "permissions")
	}
	for _, key := range strings.Fields("forks forks_count open_issues open_issues_count size stargazers_count watchers watchers_count network_count subscribers_count") {
		o[key] = 0
	}
	for _, key := range strings.Fields("has_issues has_projects has_wiki has_pages has_downloads has_discussions") {
		o[key] = false
	}
	for key, tail := range map[string]string{
		"archive_url": "/{archive_format}{/ref}", "assignees_url": "/assignees{/user}", "blobs_url": "/git/blobs{/sha}",
		"branches_url": "/branches{/branch}", "collaborators_url": "/collaborators{/collaborator}", "comments_url": "/comments{/number}",
		"commits_url": "/commits{/sha}", "compare_url": "/compare/{base}...{head}", "contents_url": "/contents/{+path}",
		"contributors_url": "/contributors", "deployments_url": "/deployments", "downloads_url": "/downloads", "events_url": "/events",
		"forks_url": "/forks", "git_commits_url": "/git/commits{/sha}", "git_refs_url": "/git/refs{/sha}", "git_tags_url": "/git/tags{/sha}",
		"hooks_url": "/hooks", "issue_comment_url": "/issues/comments{/number}", "issue_events_url": "/issues/events{/number}",
		"issues_url": "/issues{/number}", "keys_url": "/keys{/key_id}", "labels_url": "/labels{/name}", "languages_url": "/languages",
		"merges_url": "/merges", "milestones_url": "/milestones{/number}", "notifications_url": "/notifications{?since,all,participating}",
		"pulls_url": "/pulls{/number}", "releases_url": "/releases{/id}", "stargazers_url": "/stargazers", "statuses_url": "/statuses/{sha}",
		"subscribers_url": "/subscribers", "subscription_url": "/subscription", "tags_url": "/tags", "teams_url": "/teams", "trees_url": "/git/trees{/sha}",
	} {
		o[key] = u + tail
	}
	return o
}
