package pipeline

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/relmat/relmat/internal/progress"
	"github.com/relmat/relmat/internal/publish"
)

// PromoteOptions say what a promotion does.
type PromoteOptions struct {
	GitHub *publish.GitHub
	// Wanted says how the release is to be: its name, notes and who sees it.
	Wanted publish.Wanted
	// SkipCommitCheck takes parts that were made with --skip-commit-check.
	SkipCommitCheck bool
}

// PromoteResult is what a promotion made.
type PromoteResult struct {
	*publish.Result
	Status *ReleaseStatus `json:"status"`
}

// IncompleteError says that a release is not what the matrix wants.
type IncompleteError struct{ Status *ReleaseStatus }

func (e *IncompleteError) Error() string {
	var list []string
	for _, t := range e.Status.Targets {
		for _, p := range t.Problems {
			list = append(list, t.Target+": "+p)
		}
	}
	list = append(list, e.Status.Problems...)
	things := "things stand"
	if len(list) == 1 {
		things = "thing stands"
	}
	return fmt.Sprintf("release %s of %s cannot be promoted, %d %s in the way; nothing was changed:\n  %s",
		e.Status.Tag, e.Status.Repo, len(list), things, strings.Join(list, "\n  "))
}

// judgement prepares what a release is held against. With a tag that the user
// named, neither Cargo nor a checkout is needed.
func (s *Session) judgement(ctx context.Context, anyCommit bool) (judgement, error) {
	j := judgement{file: s.File, rows: map[string]string{}, tag: s.Tag, anyCommit: anyCommit}
	if j.tag == "" {
		if err := s.readProject(ctx); err != nil {
			return j, fmt.Errorf("%w; --tag names the release without it", err)
		}
		j.tag = s.tag
	}
	for _, row := range s.File.Rows() {
		var err error
		if j.rows[row.Name], err = s.rowDigest(row.Name); err != nil {
			return j, fmt.Errorf("target %s: %w", row.Name, err)
		}
	}
	return j, nil
}

// rowDigest is the digest of a target's row, with the wheels that its toolkit
// is locked to.
func (s *Session) rowDigest(target string) (string, error) {
	for _, row := range s.File.Rows() {
		if row.Name != target {
			continue
		}
		if row.Toolkit == "" {
			return s.File.RowDigest(target), nil
		}
		lock, err := s.readLock(row.Toolkit, row.Platform.String())
		if err != nil {
			return "", err
		}
		return s.File.RowDigest(target, keyOf(lock.Platforms[row.Platform.String()])), nil
	}
	return "", fmt.Errorf("%s has no target %s", s.File.Path, target)
}

// Promote joins the parts of the tag's release and shows it to the world. The
// error is an *IncompleteError where something is missing; then nothing was
// changed.
func (s *Session) Promote(ctx context.Context, o PromoteOptions) (*PromoteResult, error) {
	j, err := s.judgement(ctx, o.SkipCommitCheck)
	if err != nil {
		return nil, err
	}
	res := &PromoteResult{}
	err = s.stage(ctx, "", "promote", fmt.Sprintf("%s of %s", j.tag, o.GitHub.Repo), func(task *progress.Task) (string, bool, error) {
		res.Result, err = o.GitHub.Promote(ctx, publish.Promotion{
			Tag: j.tag, Visibility: o.Wanted.Visibility, Latest: o.Wanted.Latest,
			Name: o.Wanted.Name, Notes: o.Wanted.Notes, GenerateNotes: o.Wanted.GenerateNotes, Footer: footerOf(s.promoted()),
			Judge: func(c *publish.Contents) (*publish.Joining, error) {
				var joining *publish.Joining
				if res.Status, joining = j.judge(c); joining == nil {
					return nil, &IncompleteError{res.Status}
				}
				return joining, nil
			},
		}, task)
		if err != nil {
			return "", false, err
		}
		return fmt.Sprintf("%s: %s", res.URL, progress.Count(len(res.Assets), "asset")), res.Outcome == publish.Unchanged, nil
	})
	if err != nil {
		return nil, err
	}
	return res, nil
}

// Status holds the tag's release against the matrix. It changes nothing.
func (s *Session) Status(ctx context.Context, gh *publish.GitHub, anyCommit bool) (*ReleaseStatus, error) {
	j, err := s.judgement(ctx, anyCommit)
	if err != nil {
		return nil, err
	}
	var st *ReleaseStatus
	err = s.stage(ctx, "", "status", fmt.Sprintf("%s of %s", j.tag, gh.Repo), func(task *progress.Task) (string, bool, error) {
		c, err := gh.Contents(ctx, j.tag, task)
		if err != nil {
			return "", false, err
		}
		st, _ = j.judge(c)
		return progress.Count(len(c.Assets), "asset"), false, nil
	})
	return st, err
}

func sorted[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
