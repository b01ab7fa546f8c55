package publish

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/relmat/relmat/internal/proc"
)

// tokenWait is how long gh may take to find its token: it may ask a keyring,
// which may ask a person.
const tokenWait = 20 * time.Second

// Tokens returns the token for the API at that address: GITHUB_TOKEN, then
// GH_TOKEN of the environment env, then what `gh auth token` says. It is empty
// where there is none. The token is in no error.
func Tokens(ctx context.Context, env []string, api string) (string, error) {
	for _, name := range []string{"GITHUB_TOKEN", "GH_TOKEN"} {
		if token := strings.TrimSpace(proc.Getenv(env, name)); token != "" {
			return checkToken(name, token)
		}
	}
	if _, err := proc.LookPath("gh", env); err != nil {
		return "", nil
	}
	args := []string{"auth", "token"}
	if u, err := url.Parse(api); err == nil && u.Host != "" && u.Host != "api.github.com" {
		args = append(args, "--hostname", u.Host)
	}
	ctx, cancel := context.WithTimeout(ctx, tokenWait)
	defer cancel()
	out, err := proc.Cmd{Path: "gh", Args: args, Env: env}.Output(ctx)
	var failed *proc.Error
	if errors.As(err, &failed) && failed.Code > 0 {
		return "", nil // nobody is logged in
	}
	if err != nil {
		return "", fmt.Errorf("asking gh for its token (set GITHUB_TOKEN to do without): %w", err)
	}
	if out = strings.TrimSpace(out); out == "" {
		return "", nil
	}
	return checkToken("gh auth token", out)
}

// checkToken refuses what cannot stand in a header.
func checkToken(from, token string) (string, error) {
	for _, c := range token {
		if c <= ' ' || c > '~' {
			return "", fmt.Errorf("%w: what %s holds is no token: it has spaces or other than ASCII letters and signs", ErrAuth, from)
		}
	}
	return token, nil
}
