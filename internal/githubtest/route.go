package githubtest

import (
	"net/http"
	"net/url"
	"strings"
)

// Operations, named as GitHub's description names them (operationId).
const (
	OpRateLimit       = "rate-limit/get"
	OpRepo            = "repos/get"
	OpCommit          = "repos/get-commit"
	OpRef             = "git/get-ref"
	OpMatchingRefs    = "git/list-matching-refs"
	OpCreateRef       = "git/create-ref"
	OpDeleteRef       = "git/delete-ref"
	OpTagObject       = "git/get-tag"
	OpImmutable       = "repos/check-immutable-releases"
	OpListReleases    = "repos/list-releases"
	OpCreateRelease   = "repos/create-release"
	OpGetAsset        = "repos/get-release-asset"
	OpUpdateAsset     = "repos/update-release-asset"
	OpDeleteAsset     = "repos/delete-release-asset"
	OpGenerateNotes   = "repos/generate-release-notes"
	OpLatestRelease   = "repos/get-latest-release"
	OpReleaseByTag    = "repos/get-release-by-tag"
	OpGetRelease      = "repos/get-release"
	OpUpdateRelease   = "repos/update-release"
	OpDeleteRelease   = "repos/delete-release"
	OpListAssets      = "repos/list-release-assets"
	OpUpload          = "repos/upload-release-asset"
	OpListTags        = "repos/list-tags"
	OpGraphQL         = "graphql"
	OpBrowserDownload = "browser-download" // github.com, and no part of the API
	OpStorage         = "storage"          // where the bytes come from
)

// route is a path of the API. A "..." at the end of a parameter takes the rest.
type route struct {
	op, method, path string
	do               func(*call) *answer
	open             bool // takes the server's lock by itself
}

// The first route that fits is taken: GitHub's paths are ambiguous for a
// release called "assets".
var routes = []route{
	{op: OpRateLimit, method: "GET", path: "/rate_limit", do: (*call).rateLimit},
	{op: OpRepo, method: "GET", path: "/repos/{owner}/{repo}", do: (*call).getRepo},
	{op: OpCommit, method: "GET", path: "/repos/{owner}/{repo}/commits/{ref...}", do: (*call).getCommit},
	{op: OpRef, method: "GET", path: "/repos/{owner}/{repo}/git/ref/{ref...}", do: (*call).getRef},
	{op: OpMatchingRefs, method: "GET", path: "/repos/{owner}/{repo}/git/matching-refs/{ref...}", do: (*call).matchingRefs},
	{op: OpCreateRef, method: "POST", path: "/repos/{owner}/{repo}/git/refs", do: (*call).createRef},
	{op: OpDeleteRef, method: "DELETE", path: "/repos/{owner}/{repo}/git/refs/{ref...}", do: (*call).deleteRef},
	{op: OpTagObject, method: "GET", path: "/repos/{owner}/{repo}/git/tags/{tag_sha}", do: (*call).tagObject},
	{op: OpImmutable, method: "GET", path: "/repos/{owner}/{repo}/immutable-releases", do: (*call).immutableReleases},
	{op: OpListTags, method: "GET", path: "/repos/{owner}/{repo}/tags", do: (*call).listTags},
	{op: OpListReleases, method: "GET", path: "/repos/{owner}/{repo}/releases", do: (*call).listReleases},
	{op: OpCreateRelease, method: "POST", path: "/repos/{owner}/{repo}/releases", do: (*call).createRelease},
	{op: OpGenerateNotes, method: "POST", path: "/repos/{owner}/{repo}/releases/generate-notes", do: (*call).generateNotes},
	{op: OpLatestRelease, method: "GET", path: "/repos/{owner}/{repo}/releases/latest", do: (*call).latestRelease},
	{op: OpReleaseByTag, method: "GET", path: "/repos/{owner}/{repo}/releases/tags/{tag...}", do: (*call).releaseByTag},
	{op: OpGetAsset, method: "GET", path: "/repos/{owner}/{repo}/releases/assets/{asset_id}", do: (*call).getAsset},
	{op: OpUpdateAsset, method: "PATCH", path: "/repos/{owner}/{repo}/releases/assets/{asset_id}", do: (*call).updateAsset},
	{op: OpDeleteAsset, method: "DELETE", path: "/repos/{owner}/{repo}/releases/assets/{asset_id}", do: (*call).deleteAsset},
	{op: OpGetRelease, method: "GET", path: "/repos/{owner}/{repo}/releases/{release_id}", do: (*call).getRelease},
	{op: OpUpdateRelease, method: "PATCH", path: "/repos/{owner}/{repo}/releases/{release_id}", do: (*call).updateRelease},
	{op: OpDeleteRelease, method: "DELETE", path: "/repos/{owner}/{repo}/releases/{release_id}", do: (*call).deleteRelease},
	{op: OpListAssets, method: "GET", path: "/repos/{owner}/{repo}/releases/{release_id}/assets", do: (*call).listAssets},
	{op: OpGraphQL, method: "POST", path: "/graphql", do: (*call).graphql},
	{op: OpBrowserDownload, method: "GET", path: "/{owner}/{repo}/releases/download/{tag}/{name}", do: (*call).browserDownload},
}

var uploadRoutes = []route{
	{op: OpUpload, method: "POST", path: "/repos/{owner}/{repo}/releases/{release_id}/assets", do: (*call).upload, open: true},
}

var storageRoutes = []route{
	{op: OpStorage, method: "GET", path: "/release-asset/{asset_id}", do: (*call).storage, open: true},
}

// find is the route of a request, with its parameters.
func find(table []route, method, path string) (route, map[string]string, bool) {
	if method == http.MethodHead {
		method = http.MethodGet
	}
	parts := strings.Split(strings.Trim(path, "/"), "/")
	for _, rt := range table {
		if rt.method != method {
			continue
		}
		if params, ok := fit(rt.path, parts); ok {
			return rt, params, true
		}
	}
	return route{}, nil, false
}

func fit(path string, parts []string) (map[string]string, bool) {
	params := map[string]string{}
	pattern := strings.Split(strings.Trim(path, "/"), "/")
	for i, p := range pattern {
		if i >= len(parts) {
			return nil, false
		}
		name, isParam := strings.CutPrefix(p, "{")
		if !isParam {
			if parts[i] != p {
				return nil, false
			}
			continue
		}
		name = strings.TrimSuffix(name, "}")
		value := parts[i]
		name, rest := strings.CutSuffix(name, "...")
		if rest {
			value = strings.Join(parts[i:], "/")
		}
		plain, err := url.PathUnescape(value)
		if err != nil || plain == "" {
			return nil, false
		}
		params[name] = plain
		if rest {
			return params, true
		}
	}
	return params, len(parts) == len(pattern)
}
