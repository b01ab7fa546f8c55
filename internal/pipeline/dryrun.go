package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/relmat/relmat/internal/manifest"
	"github.com/relmat/relmat/internal/matrix"
	"github.com/relmat/relmat/internal/proc"
	"github.com/relmat/relmat/internal/publish"
)

// Step is a line of a dry run.
type Step struct {
	Target  string `json:"target,omitempty"`
	Stage   string `json:"stage"`
	Does    string `json:"does"`
	Command string `json:"command,omitempty"`
}

// DryRun says what Release would do. Of preflight the checks of the commit run
// for real; nothing else does, and nothing is written.
func (s *Session) DryRun(ctx context.Context, o ReleaseOptions) ([]Step, error) {
	sel, err := s.Select(o.Targets)
	if err != nil {
		return nil, err
	}
	if err := s.readProject(ctx); err != nil {
		return nil, err
	}
	task := s.Reporter.Begin("", "preflight", s.tag)
	if _, _, err := s.checkCommit(ctx, o.SkipCommitCheck, task); err != nil {
		task.Failed()
		return nil, err
	}
	task.Done("%s %s", s.File.Project.Name, s.version)
	var steps []Step
	for _, row := range sel.Rows {
		plan, err := s.planTarget(row, row.Fields(s.version, s.tag))
		if err != nil {
			return nil, fmt.Errorf("target %s: %w", row.Name, err)
		}
		steps = append(steps, plan.steps()...)
	}
	sums := publish.ChecksumsName
	if s.File.Checksums.Files {
		sums = "each one's .sha256, " + sums
	}
	if o.GitHub != nil {
		if o.Part {
			for _, row := range sel.Rows {
				does := "assets and " + manifest.PartName(row.Name) + " into release " + s.tag + " of " + o.To
				steps = append(steps, Step{Target: row.Name, Stage: "publish", Does: does})
			}
			return steps, nil
		}
		does := "assets, " + sums + " and release.json as release " + s.tag + " of " + o.To
		if !sel.Full {
			does += "; stays a draft"
		}
		return append(steps, Step{Stage: "publish", Does: does}), nil
	}
	final := filepath.Join(o.To, s.tag)
	does := "assets, " + sums + " and release.json into " + final
	if _, err := os.Stat(final); !errors.Is(err, fs.ErrNotExist) {
		does += ", which is there: done if it has the same files, else "
		if o.Replace {
			does += "replaced"
		} else {
			does += "refused (--replace is not given)"
		}
	}
	if !sel.Full {
		does += "; marked partial"
	}
	return append(steps, Step{Stage: "publish", Does: does}), nil
}

// steps tells the plan for this host stage by stage.
func (p TargetPlan) steps() []Step {
	var steps []Step
	add := func(stage string, words []string, format string, args ...any) {
		s := Step{Target: p.Target, Stage: stage, Does: fmt.Sprintf(format, args...)}
		if len(words) > 0 {
			s.Command = proc.Cmd{Path: words[0], Args: words[1:]}.String()
		}
		steps = append(steps, s)
	}
	if p.Toolkit != "" {
		add("toolkit", nil, "toolkit %s for %s, from the cache or fetched", p.Toolkit, p.Platform)
	}
	for _, h := range p.Hosts {
		if h.Platform != matrix.Host().String() {
			continue
		}
		for _, b := range h.Build {
			add("build", b.Command, "program %s", b.Program)
		}
	}
	for _, pkg := range p.Packages {
		add("bundle", nil, "package %s with the libraries that it needs", pkg.Package)
		if p.Sign != nil {
			add("sign", nil, "package %s: %s", pkg.Package, p.Sign)
		}
		add("verify", nil, "package %s by relmat's rules", pkg.Package)
		add("archive", nil, "%s", pkg.Asset)
		for _, st := range pkg.Smoke {
			add("smoke", st.Command, "step %s", st.Step)
		}
	}
	return steps
}
