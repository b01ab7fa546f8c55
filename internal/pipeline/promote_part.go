package pipeline

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/relmat/relmat/internal/manifest"
	"github.com/relmat/relmat/internal/matrix"
	"github.com/relmat/relmat/internal/progress"
	"github.com/relmat/relmat/internal/publish"
)

// releaseParts takes one target after the other through all stages and puts
// each one's part into the tag's release. What is done stays when a later
// target fails.
func (s *Session) releaseParts(ctx context.Context, sel matrix.Selection, o ReleaseOptions, rel *manifest.Release) (*ReleaseResult, error) {
	res := &ReleaseResult{Release: *rel, Outcome: publish.Unchanged}
	for _, row := range sel.Rows {
		part, err := s.part(ctx, row, o.KeepFailed)
		if err != nil {
			return nil, fmt.Errorf("target %s: %w", row.Name, err)
		}
		got, err := s.publishPart(ctx, o, rel, part)
		if err != nil {
			return nil, fmt.Errorf("target %s: publishing to %s: %w", row.Name, o.To, err)
		}
		res.Targets = append(res.Targets, *part)
		res.URL, res.ID = got.URL, got.ID
		if got.Outcome != publish.Unchanged {
			res.Outcome = got.Outcome
		}
	}
	return res, s.linkDist(&res.Release)
}

func (s *Session) publishPart(ctx context.Context, o ReleaseOptions, rel *manifest.Release, part *manifest.Part) (res *publish.Result, err error) {
	file := manifest.PartFile{
		Project: rel.Project, Version: rel.Version, Tag: rel.Tag, Commit: rel.Commit, CommitChecked: rel.CommitChecked, Part: *part,
	}
	file.Seconds = s.took(part.Target)
	err = s.stage(ctx, part.Target, "publish", s.place(o), func(task *progress.Task) (string, bool, error) {
		if res, err = o.GitHub.PublishPart(ctx, file, task); err != nil {
			return "", false, err
		}
		if !res.Draft && res.Outcome != publish.Unchanged {
			task.Note("%s and %s are of the parts before this one until `relmat promote` renews them", publish.ReleaseName, publish.ChecksumsName)
		}
		return fmt.Sprintf("%s: %s, %s", res.URL, manifest.PartName(part.Target), progress.Count(len(res.Assets), "asset")), res.Outcome == publish.Unchanged, nil
	})
	return res, err
}

// newPart is the part of a row before anything of it is made.
func (s *Session) newPart(row matrix.Row) (*manifest.Part, error) {
	digest, err := s.rowDigest(row.Name)
	return &manifest.Part{Target: row.Name, Triple: row.Triple, Row: digest, Keys: map[string]string{}}, err
}

// partWanted is what preflight asks for a part: it is never what publishes.
func partWanted(w publish.Wanted, row []matrix.Row) publish.Wanted {
	w.Visibility, w.Release, w.Checksums, w.ChecksumFiles = publish.Draft, nil, false, false
	for _, r := range row {
		w.Files = append(w.Files, publish.File{Name: manifest.PartName(r.Name), Size: -1})
	}
	return w
}

// timings are how long the stages of targets took, in seconds.
type timings map[[2]string]float64

// tookSince keeps how long a stage of a target took.
func (s *Session) tookSince(target, stage string, begun time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.timings == nil {
		s.timings = timings{}
	}
	s.timings[[2]string{target, stage}] += time.Since(begun).Seconds()
}

// took is how long the target's stages took in this run, in seconds; those
// whose earlier result stood are not among them.
func (s *Session) took(target string) map[string]float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string]float64{}
	for k, seconds := range s.timings {
		if k[0] == target {
			out[k[1]] = math.Round(seconds*1000) / 1000
		}
	}
	return out
}
