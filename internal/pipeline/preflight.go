package pipeline

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/relmat/relmat/internal/gitrepo"
	"github.com/relmat/relmat/internal/manifest"
	"github.com/relmat/relmat/internal/matrix"
	"github.com/relmat/relmat/internal/progress"
	"github.com/relmat/relmat/internal/toolchain"
)

// preflight asks everything that can fail before hours are spent.
func (s *Session) preflight(ctx context.Context, sel matrix.Selection, o ReleaseOptions) (*manifest.Release, error) {
	if err := s.readProject(ctx); err != nil {
		return nil, err
	}
	var rel *manifest.Release
	err := s.stage(ctx, "", "preflight", s.tag, func(task *progress.Task) (string, bool, error) {
		rel = &manifest.Release{Schema: manifest.ReleaseSchema, Project: s.File.Project.Name, Version: s.version, Tag: s.tag, Partial: !sel.Full}
		var err error
		if rel.Commit, rel.CommitChecked, err = s.checkCommit(ctx, o.SkipCommitCheck, task); err != nil {
			return "", false, err
		}
		if _, err := s.pins(); err != nil {
			return "", false, err
		}
		for _, row := range sel.Rows {
			if o.Part && row.IsSubstitute() {
				return "", false, fmt.Errorf("target %s is released as %s, and this host builds it for %s: make its part on a host of %s",
					row.Name, row.Released(), row.Triple, strings.Join(releaseHosts(row), " or "))
			}
			if err := s.checkSources(row); err != nil {
				return "", false, err
			}
			if err := s.preflightCompiler(ctx, row, matrix.Host()); err != nil {
				return "", false, err
			}
			if err := s.preflightSign(ctx, s.signing(row)); err != nil {
				return "", false, err
			}
			if row.Toolkit == "" {
				continue
			}
			for _, platform := range s.toolkitPlatforms(row, matrix.Host()) {
				if _, err := s.readLock(row.Toolkit, platform); err != nil {
					return "", false, fmt.Errorf("target %s: %w", row.Name, err)
				}
			}
		}
		if err := s.prepareState(); err != nil {
			return "", false, err
		}
		if _, err := s.fetchInputs(ctx, task); err != nil {
			return "", false, err
		}
		if err := s.askPublisher(ctx, sel, o, rel, task); err != nil {
			return "", false, err
		}
		said := fmt.Sprintf("%s %s", s.File.Project.Name, s.version)
		if rel.Commit != "" {
			said += " at " + rel.Commit[:12]
		}
		if rel.Partial {
			said += ", some targets only"
		}
		return said, false, nil
	})
	return rel, err
}

// preflightCompiler asks for the programs that the row's build calls, in the
// environment that the build will have.
func (s *Session) preflightCompiler(ctx context.Context, row matrix.Row, host matrix.Platform) error {
	if len(s.builtPrograms(row)) == 0 {
		return nil
	}
	tk, hostTk := s.findToolkits(row, host)
	env, err := s.buildEnv(row, toolchain.Toolkits{Host: hostTk.home(), Target: tk.home()})
	if err != nil {
		return err
	}
	if env, err = s.compilerEnv(ctx, row, env, host); err == nil {
		err = toolchain.Missing(toolchain.Tools(row, env), env)
	}
	if err != nil {
		return fmt.Errorf("target %s: %w", row.Name, err)
	}
	return nil
}

// releaseHosts are the platforms that build what is released of the row.
func releaseHosts(row matrix.Row) []string {
	var names []string
	for _, h := range row.BuildHosts() {
		if row.On(h).Triple == row.Released() {
			names = append(names, h.String())
		}
	}
	return names
}

// checkCommit holds the checkout against the tag: what is released must be
// what the tag's readers see.
func (s *Session) checkCommit(ctx context.Context, skip bool, task *progress.Task) (commit string, checked bool, err error) {
	if !filepath.IsLocal(s.tag) || strings.ContainsAny(s.tag, `/\`) || strings.HasPrefix(s.tag, ".") {
		return "", false, fmt.Errorf("tag %q cannot name a directory", s.tag)
	}
	const mend = "or use --skip-commit-check for a release that nobody shall take for the tag's"
	repo, err := gitrepo.Open(ctx, s.Source)
	if errors.Is(err, gitrepo.ErrNoRepo) {
		if skip {
			task.Note("the commit is not checked: %v", err)
			return "", false, nil
		}
		return "", false, fmt.Errorf("%w, so tag %s cannot be held against it; release from a checkout, %s", err, s.tag, mend)
	}
	if err != nil {
		return "", false, err
	}
	if commit, err = repo.Head(ctx); err != nil {
		if skip {
			return "", false, nil // a repository without a commit yet
		}
		return "", false, err
	}
	if skip {
		task.Note("the commit is not checked")
		return commit, false, nil
	}
	tagged, ok, err := repo.TagCommit(ctx, s.tag)
	switch {
	case err != nil:
		return "", false, err
	case !ok:
		return "", false, fmt.Errorf("there is no tag %s in %s; make it (git tag %s), fetch it (git fetch --tags), %s", s.tag, s.Source, s.tag, mend)
	case tagged != commit:
		return "", false, fmt.Errorf("tag %s is commit %.12s, the checkout %s is at %.12s; check the tag out, %s", s.tag, tagged, s.Source, commit, mend)
	}
	dirty, err := repo.Dirty(ctx)
	if err != nil {
		return "", false, err
	}
	if len(dirty) > 0 {
		more := ""
		if len(dirty) > 5 {
			more = fmt.Sprintf("\n  and %d more", len(dirty)-5)
		}
		return "", false, fmt.Errorf("the checkout %s differs from commit %.12s; commit or stash it, %s:\n  %s%s", s.Source, commit, mend, strings.Join(dirty[:min(5, len(dirty))], "\n  "), more)
	}
	return commit, true, nil
}
