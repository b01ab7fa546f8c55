package pipeline

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/relmat/relmat/internal/fsx"
	"github.com/relmat/relmat/internal/manifest"
	"github.com/relmat/relmat/internal/matrix"
	"github.com/relmat/relmat/internal/progress"
	"github.com/relmat/relmat/internal/publish"
	"github.com/relmat/relmat/internal/smoke"
	"github.com/relmat/relmat/internal/verify"
)

// ReleaseOptions say what a release does beyond the matrix.
type ReleaseOptions struct {
	Targets []string
	// To is the directory that receives TAG/, or the repository OWNER/NAME on
	// GitHub where GitHub is set.
	To string
	// Replace allows a directory's release to be replaced by another.
	Replace bool
	// GitHub publishes there; nil is the directory To.
	GitHub *publish.GitHub
	// Wanted says how the release on GitHub is to be: its name, notes and who
	// sees it. What it holds comes from the stages. A release of chosen targets
	// only stays a draft.
	Wanted publish.Wanted
	// Part puts each target's assets and part manifest into the release on
	// GitHub, for a promotion to join, and leaves who sees it as it is.
	Part bool
	// SkipCommitCheck allows a checkout that is not at the tag's commit, or not
	// clean.
	SkipCommitCheck bool
	// KeepFailed leaves the directory of a failed smoke test.
	KeepFailed bool
}

// ReleaseResult is what a release did.
type ReleaseResult struct {
	manifest.Release
	Outcome publish.Outcome `json:"outcome"`
	// Dir is a directory's path, URL and ID are GitHub's.
	Dir string `json:"dir,omitempty"`
	URL string `json:"url,omitempty"`
	ID  int64  `json:"id,omitempty"`
}

// Select picks the targets and tells about those that are left out.
func (s *Session) Select(patterns []string) (matrix.Selection, error) {
	sel, err := s.File.Select(patterns, matrix.Host())
	if err != nil {
		return sel, err
	}
	for _, l := range sel.Left {
		s.Reporter.Note("left out: %s, %s", l.Name, l.Reason)
	}
	return sel, nil
}

// Release takes the targets through all stages and publishes them.
func (s *Session) Release(ctx context.Context, o ReleaseOptions) (*ReleaseResult, error) {
	sel, err := s.Select(o.Targets)
	if err != nil {
		return nil, err
	}
	if o.GitHub != nil {
		gh := *o.GitHub
		gh.Digests = s.digests // the archives are hashed when they are made
		o.GitHub = &gh
	}
	rel, err := s.preflight(ctx, sel, o)
	if err != nil {
		return nil, err
	}
	if o.Part {
		return s.releaseParts(ctx, sel, o, rel)
	}
	for _, row := range sel.Rows {
		part, err := s.part(ctx, row, o.KeepFailed)
		if err != nil {
			return nil, fmt.Errorf("target %s: %w", row.Name, err)
		}
		rel.Targets = append(rel.Targets, *part)
	}
	if err := s.linkDist(rel); err != nil {
		return nil, err
	}
	return s.publish(ctx, o, rel)
}

// publish puts the release where users find it.
func (s *Session) publish(ctx context.Context, o ReleaseOptions, rel *manifest.Release) (*ReleaseResult, error) {
	w := s.wanted(o, rel)
	for _, a := range rel.Assets() {
		w.Files = append(w.Files, publish.File{Name: a.Name, Path: a.Path, Size: a.Size, SHA256: a.SHA256})
	}
	res := &ReleaseResult{Release: *rel}
	err := s.stage(ctx, "", "publish", s.place(o), func(task *progress.Task) (string, bool, error) {
		got, err := s.publisher(o).Publish(ctx, w, task)
		if err != nil {
			return "", false, err
		}
		res.Outcome, res.ID = got.Outcome, got.ID
		if o.GitHub != nil {
			res.URL = got.URL
		} else {
			res.Dir = got.URL
		}
		return fmt.Sprintf("%s: %s", got.URL, progress.Count(len(rel.Assets()), "asset")), got.Outcome == publish.Unchanged, nil
	})
	if err != nil {
		return nil, fmt.Errorf("publishing to %s: %w", o.To, err)
	}
	return res, nil
}

// place is where the release goes, for people.
func (s *Session) place(o ReleaseOptions) string {
	if o.GitHub != nil {
		return o.To + " " + s.tag
	}
	return filepath.Join(o.To, s.tag)
}

func (s *Session) publisher(o ReleaseOptions) publish.Publisher {
	if o.GitHub != nil {
		return o.GitHub
	}
	return &publish.Dir{Path: o.To, Replace: o.Replace, Digests: s.digests}
}

// wanted is the release without its files.
func (s *Session) wanted(o ReleaseOptions, rel *manifest.Release) publish.Wanted {
	w := o.Wanted
	w.Tag, w.Release, w.Checksums, w.ChecksumFiles, w.Files = s.tag, rel, true, s.File.Checksums.Files, nil
	if footer := footerOf(s.released(rel)); footer != "" || !rel.Partial {
		w.Footer = &footer // of some targets only, others' stays
	}
	if rel.CommitChecked {
		w.Commit = rel.Commit
	}
	if rel.Partial {
		w.Visibility = publish.Draft
	}
	return w
}

// planned is the release with targets of which nothing is made yet: what its
// notes end with depends on them.
func planned(rel *manifest.Release, rows []matrix.Row) *manifest.Release {
	p := *rel
	for _, row := range rows {
		p.Targets = append(p.Targets, manifest.Part{Target: row.Name})
	}
	return &p
}

// askPublisher has the publisher refuse now what it would refuse after hours:
// of the assets the names are known, and neither sizes nor bytes.
func (s *Session) askPublisher(ctx context.Context, sel matrix.Selection, o ReleaseOptions, rel *manifest.Release, task *progress.Task) error {
	w := s.wanted(o, planned(rel, sel.Rows))
	for _, row := range sel.Rows {
		plan, err := s.planTarget(row, row.Fields(s.version, s.tag))
		if err != nil {
			return fmt.Errorf("target %s: %w", row.Name, err)
		}
		for _, p := range plan.Packages {
			w.Files = append(w.Files, publish.File{Name: p.Asset, Size: -1})
		}
	}
	if o.Part {
		w = partWanted(w, sel.Rows)
	}
	if err := s.publisher(o).Preflight(ctx, w, task); err != nil {
		return fmt.Errorf("publishing to %s would fail: %w", o.To, err)
	}
	return nil
}

// part makes one target's contribution.
func (s *Session) part(ctx context.Context, row matrix.Row, keep bool) (*manifest.Part, error) {
	part, err := s.newPart(row)
	if err != nil {
		return nil, err
	}
	err = s.archived(ctx, row, func(a manifest.Asset, keys map[string]string) error {
		for stage, key := range keys {
			part.Keys[a.Package+"/"+stage] = key
		}
		res, key, err := s.smoke(ctx, row, a, keep)
		if err != nil {
			return err
		}
		part.Keys[a.Package+"/smoke"] = key
		part.Assets = append(part.Assets, a)
		part.Smoke = append(part.Smoke, res)
		return nil
	})
	return part, err
}

// archived takes a target up to its archives and hands each on while the
// target's lock is held.
func (s *Session) archived(ctx context.Context, row matrix.Row, each func(manifest.Asset, map[string]string) error) error {
	unlock, err := s.lockTarget(ctx, row)
	if err != nil {
		return err
	}
	defer unlock()
	row = s.signing(row)
	b, err := s.build(ctx, row)
	if err != nil {
		return err
	}
	bundles, err := s.bundle(ctx, row, b)
	if err != nil {
		return err
	}
	for _, bd := range bundles {
		bundled := bd.Key
		if bd, err = s.sign(ctx, row, bd); err != nil {
			return err
		}
		_, verified, err := s.verify(ctx, row, bd, b.toolkit)
		if err != nil {
			return fmt.Errorf("verifying package %s: %w", bd.Package, err)
		}
		a, key, err := s.archive(ctx, row, bd)
		if err != nil {
			return err
		}
		if err := verify.Size(a.Size); err != nil {
			return fmt.Errorf("archive %s: %w", a.Name, err)
		}
		keys := map[string]string{"bundle": bundled, "verify": verified, "archive": key}
		if bd.Key != bundled {
			keys["sign"] = bd.Key
		}
		if err := each(a, keys); err != nil {
			return err
		}
	}
	return nil
}

// linkDist puts the finished assets under dist/TAG in the state.
func (s *Session) linkDist(rel *manifest.Release) error {
	dir := filepath.Join(s.State, "dist", s.tag)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := fsx.RemovePartials(dir); err != nil {
		return err
	}
	for _, a := range rel.Assets() {
		if err := fsx.LinkOrCopy(a.Path, filepath.Join(dir, a.Name)); err != nil {
			return err
		}
	}
	return nil
}

// Build makes the programs of the targets and returns their paths by target
// and program.
func (s *Session) Build(ctx context.Context, rows []matrix.Row) (map[string]map[string]string, error) {
	out := map[string]map[string]string{}
	err := s.each(ctx, rows, func(row matrix.Row) error {
		b, err := s.build(ctx, row)
		if err == nil {
			out[row.Name] = b.Programs
		}
		return err
	})
	return out, err
}

// Bundle gathers the packages of the targets, by target.
func (s *Session) Bundle(ctx context.Context, rows []matrix.Row) (map[string][]Bundle, error) {
	out := map[string][]Bundle{}
	for _, row := range rows {
		if err := s.checkSources(row); err != nil {
			return nil, err
		}
	}
	err := s.each(ctx, rows, func(row matrix.Row) error {
		b, err := s.build(ctx, row)
		if err == nil {
			out[row.Name], err = s.bundle(ctx, row, b)
		}
		return err
	})
	return out, err
}

// Archive packs the packages of the targets and returns the assets by target.
func (s *Session) Archive(ctx context.Context, rows []matrix.Row) (map[string][]manifest.Asset, error) {
	out := map[string][]manifest.Asset{}
	for _, row := range rows {
		err := s.archived(ctx, row, func(a manifest.Asset, _ map[string]string) error {
			out[row.Name] = append(out[row.Name], a)
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("target %s: %w", row.Name, err)
		}
	}
	return out, nil
}

func (s *Session) each(ctx context.Context, rows []matrix.Row, do func(matrix.Row) error) error {
	for _, row := range rows {
		unlock, err := s.lockTarget(ctx, row)
		if err != nil {
			return err
		}
		err = do(row)
		unlock()
		if err != nil {
			return fmt.Errorf("target %s: %w", row.Name, err)
		}
	}
	return nil
}

// Smoke makes the targets' archives where they are not made yet and tests
// each, unlike a release always anew.
func (s *Session) Smoke(ctx context.Context, rows []matrix.Row, keep bool) ([]manifest.SmokeResult, error) {
	var results []manifest.SmokeResult
	for _, row := range rows {
		err := s.archived(ctx, row, func(a manifest.Asset, _ map[string]string) error {
			res, err := s.smokeFile(ctx, row.Name, a.Path, keep)
			results = append(results, res)
			return err
		})
		if err != nil {
			return results, fmt.Errorf("target %s: %w", row.Name, err)
		}
	}
	return results, nil
}

// SmokeArchive tests an archive that is already there, as users have it.
func (s *Session) SmokeArchive(ctx context.Context, path string, keep bool) (manifest.SmokeResult, error) {
	return s.smokeFile(ctx, "", path, keep)
}

func (s *Session) smokeFile(ctx context.Context, target, path string, keep bool) (res manifest.SmokeResult, err error) {
	device := smoke.DetectDevice(ctx)
	err = s.stage(ctx, target, "smoke", filepath.Base(path), func(task *progress.Task) (string, bool, error) {
		var err error
		res, err = s.smokeArchive(ctx, path, device, keep, task)
		return res.Summary(), false, err
	})
	return res, err
}
