package gitrepo

import (
	"context"
	"errors"
	"net/url"
	"strings"

	"github.com/relmat/relmat/internal/proc"
)

// Remote returns the host and the path, such as github.com and OWNER/NAME, of
// where the checkout's remote origin lies; ok is false where it has none, or
// one that is no server's.
func (r Repo) Remote(ctx context.Context) (host, path string, ok bool, err error) {
	out, err := r.git(ctx, "remote", "get-url", "origin")
	var perr *proc.Error
	if errors.As(err, &perr) && perr.Code > 0 {
		return "", "", false, nil
	}
	if err != nil {
		return "", "", false, err
	}
	host, path, ok = ParseRemote(out)
	return host, path, ok, nil
}

// ParseRemote takes the host and the path out of a remote's address: a URL, or
// [USER@]HOST:PATH ("git-clone", GIT URLS).
func ParseRemote(address string) (host, path string, ok bool) {
	if strings.Contains(address, "://") {
		u, err := url.Parse(address)
		if err != nil {
			return "", "", false
		}
		host, path = u.Hostname(), u.Path
	} else if before, after, found := strings.Cut(address, ":"); found && !strings.Contains(before, "/") {
		host, path = before[strings.LastIndex(before, "@")+1:], after
	}
	path = strings.TrimSuffix(strings.Trim(path, "/"), ".git")
	return host, path, len(host) > 1 && path != ""
}
