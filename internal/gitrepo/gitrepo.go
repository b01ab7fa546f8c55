// Package gitrepo answers what a release must know of a checkout: which commit
// it is at, which commit a tag names, and whether files differ from it.
package gitrepo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/relmat/relmat/internal/proc"
)

// ErrNoRepo says that a directory is not inside a git work tree.
var ErrNoRepo = errors.New("not a git checkout")

// Repo is the git work tree that holds Dir.
type Repo struct{ Dir string }

// Open checks that dir lies in a git work tree.
func Open(ctx context.Context, dir string) (Repo, error) {
	r := Repo{Dir: dir}
	out, err := r.git(ctx, "rev-parse", "--is-inside-work-tree")
	var perr *proc.Error
	if errors.As(err, &perr) && perr.Code > 0 || err == nil && out != "true" {
		err := fmt.Errorf("%s: %w", dir, ErrNoRepo)
		if perr != nil && len(perr.Tail) > 0 {
			// Git may see a checkout and refuse it, as another user's.
			err = fmt.Errorf("%w (%s)", err, perr.Tail[0])
		}
		return r, err
	}
	return r, err
}

// Head returns the commit of the checkout, as 40 (or 64) hexadecimal digits.
func (r Repo) Head(ctx context.Context) (string, error) {
	return r.git(ctx, "rev-parse", "--verify", "HEAD^{commit}")
}

// TagCommit returns the commit that the tag names; ok is false where there is
// no such tag.
func (r Repo) TagCommit(ctx context.Context, tag string) (commit string, ok bool, err error) {
	if strings.ContainsAny(tag, "~^:") || strings.Contains(tag, "@{") {
		// Git forbids these in names because they lead from a name to another
		// commit.
		return "", false, nil
	}
	out, err := r.git(ctx, "rev-parse", "--verify", "--quiet", "refs/tags/"+tag+"^{commit}")
	var perr *proc.Error
	if errors.As(err, &perr) && perr.Code == 1 {
		return "", false, nil
	}
	return out, err == nil, err
}

// Dirty lists what differs from the commit, untracked files included, in the
// short form of git status.
func (r Repo) Dirty(ctx context.Context) ([]string, error) {
	out, err := r.git(ctx, "status", "--porcelain", "--untracked-files=normal")
	if err != nil || out == "" {
		return nil, err
	}
	return strings.Split(out, "\n"), nil
}

func (r Repo) git(ctx context.Context, args ...string) (string, error) {
	// GIT_DIR and its like would point git at another repository, as they do
	// inside a hook.
	var env []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "GIT_") || strings.HasPrefix(kv, "GIT_CONFIG") {
			env = append(env, kv)
		}
	}
	out, err := proc.Cmd{Path: "git", Args: append([]string{"-C", r.Dir}, args...), Env: env}.Output(ctx)
	return strings.TrimRight(out, "\n"), err
}
