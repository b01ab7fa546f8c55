package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/relmat/relmat/internal/gitrepo"
	"github.com/relmat/relmat/internal/publish"
)

// findRepo is the repository: as GitHub Actions names it, or where the
// checkout's remote origin lies.
func (a *app) findRepo(ctx context.Context) (string, error) {
	if repo := a.getenv("GITHUB_REPOSITORY"); repo != "" {
		return repo, nil
	}
	dir := cmp.Or(a.source, ".")
	r, err := gitrepo.Open(ctx, dir)
	if err != nil {
		return "", &configError{fmt.Errorf("no repository to publish to is named, and %w; use --repo OWNER/NAME", err)}
	}
	host, path, ok, err := r.Remote(ctx)
	if err != nil || !ok {
		return "", &configError{errors.Join(errors.New("no repository to publish to is named, and the checkout has no remote origin on a server; use --repo OWNER/NAME"), err)}
	}
	if err := originOn(host, path, a.apiURL()); err != nil {
		return "", &configError{err}
	}
	return path, nil
}

func (a *app) apiURL() string { return cmp.Or(a.getenv("GITHUB_API_URL"), publish.GitHubAPI) }

// originOn refuses a remote origin that lies elsewhere than the repositories of
// the API at that address: another server's OWNER/NAME may be a stranger's on
// GitHub.
func originOn(host, path, api string) error {
	web := webHost(api)
	// An address that is none is refused where it is used.
	if web != "" && !strings.EqualFold(host, web) && !strings.EqualFold(host, "ssh."+web) {
		return fmt.Errorf("the remote origin is %s on %s, and releases go to %s; use --repo OWNER/NAME, or, where %[2]s is a GitHub Enterprise Server, set GITHUB_API_URL to https://%[2]s/api/v3", path, host, web)
	}
	if strings.Count(path, "/") != 1 {
		return fmt.Errorf("the remote origin is %s on %s, and a repository there is OWNER/NAME; use --repo OWNER/NAME", path, host)
	}
	return nil
}

// webHost is where the repositories of an API are: github.com for
// api.github.com, and likewise with data residency, or the host itself of a
// GitHub Enterprise Server ("GITHUB_API_URL", Variables reference).
func webHost(api string) string {
	u, err := url.Parse(api)
	if err != nil {
		return ""
	}
	return strings.TrimPrefix(strings.ToLower(u.Hostname()), "api.")
}
