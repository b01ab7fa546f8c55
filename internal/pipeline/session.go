// Package pipeline knows the order of the stages, and what of an earlier run
// still stands. Each stage after the build writes into a directory of its own
// that is named by the content of its inputs: that it exists means that it is
// done.
package pipeline

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/relmat/relmat/internal/build"
	"github.com/relmat/relmat/internal/fsx"
	"github.com/relmat/relmat/internal/manifest"
	"github.com/relmat/relmat/internal/matrix"
	"github.com/relmat/relmat/internal/proc"
	"github.com/relmat/relmat/internal/progress"
	"github.com/relmat/relmat/internal/sign"
	"github.com/relmat/relmat/internal/toolchain"
	"github.com/relmat/relmat/internal/toolkit"
)

// Config is where a run works, and with what.
type Config struct {
	// Matrix is the path of targets.yaml.
	Matrix string
	// Read reads the matrix, which may be a pipe; os.ReadFile where nil.
	Read func(path string) ([]byte, error)
	// Source overrides the matrix's source directory, State the default of
	// .relmat beside the matrix, Cache the user's, Tag the matrix's template.
	Source, State, Cache, Tag string
	// Python runs pip.
	Python string
	// Env is the environment of this process.
	Env      []string
	Reporter *progress.Reporter
	// SkipSign leaves unsigned what the matrix wants to be signed: for tests of
	// packages where there is no certificate.
	SkipSign bool
}

// Session is an opened matrix with its places.
type Session struct {
	Config
	File    *matrix.File
	Secrets []string

	digests *fsx.Digests

	mu        sync.Mutex
	workspace *build.Workspace
	version   string
	tag       string
	pinned    map[string]string
	timings   timings
	// archives are those that this run has made, by "TARGET/PACKAGE".
	archives map[string]manifest.Asset

	signSecrets sign.Secrets
}

// Open reads the matrix and finds the places of the run. It asks nothing of
// the host's tools yet.
func Open(cfg Config) (*Session, error) {
	if cfg.Read == nil {
		cfg.Read = os.ReadFile
	}
	f, err := matrix.LoadBy(cfg.Read, cfg.Matrix)
	if err != nil {
		return nil, err
	}
	if cfg.Source == "" {
		cfg.Source = filepath.Join(f.Dir, filepath.FromSlash(f.Project.Source))
	}
	if cfg.State == "" {
		cfg.State = filepath.Join(f.Dir, ".relmat")
	}
	for _, p := range []*string{&cfg.Source, &cfg.State} {
		if *p, err = filepath.Abs(*p); err != nil {
			return nil, err
		}
	}
	if cfg.Cache == "" {
		if cfg.Cache, err = toolkit.DefaultCache(); err != nil {
			return nil, err
		}
	}
	if cfg.Cache, err = filepath.Abs(cfg.Cache); err != nil {
		return nil, err
	}
	s := &Session{Config: cfg, File: f, Secrets: append(proc.Secrets(cfg.Env), signValues(f, cfg.Env)...), archives: map[string]manifest.Asset{}}
	s.digests = fsx.OpenDigests(filepath.Join(s.State, "digests.json"))
	return s, nil
}

// Close keeps what was learned for the next run.
func (s *Session) Close() error {
	if _, err := os.Stat(s.State); err != nil {
		return nil // a run that made no state leaves none
	}
	return s.digests.Save()
}

// prepareState makes the state directory, which ignores itself in git.
func (s *Session) prepareState() error {
	if err := os.MkdirAll(s.State, 0o755); err != nil {
		return err
	}
	ignore := filepath.Join(s.State, ".gitignore")
	if _, err := os.Stat(ignore); err == nil {
		return nil
	}
	return fsx.WriteFile(ignore, []byte("# relmat's state: safe to delete when no relmat runs\n*\n"), 0o644)
}

// readProject derives version and tag, once, and asks Cargo for the workspace if
// there is one: a project of what others built needs none.
func (s *Session) readProject(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.version != "" {
		return nil
	}
	built := slices.DeleteFunc(slices.Clone(s.File.Programs.Keys), s.isPrebuilt)
	version := s.File.Project.Version
	if len(built) > 0 || version == "" {
		w, err := s.readWorkspace(ctx, built)
		if err != nil {
			return err
		}
		if version == "" {
			p, err := w.Package(s.File.Project.VersionPackage)
			if err != nil {
				return fmt.Errorf("%s: project.version-package: %w", s.File.Path, err)
			}
			version = p.Version
		}
		s.workspace = w
	}
	tag, err := s.tagFor(version)
	if err != nil {
		return err
	}
	s.version, s.tag = version, tag
	return nil
}

// readWorkspace asks Cargo for the workspace, which must have the programs that
// it builds.
func (s *Session) readWorkspace(ctx context.Context, programs []string) (*build.Workspace, error) {
	env := toolchain.FilterEnv(s.Env, nil)
	if err := toolchain.Missing(toolchain.Tools(matrix.Row{}, env), env); err != nil {
		return nil, err
	}
	w, err := build.ReadWorkspace(ctx, s.Source, env)
	if err != nil {
		return nil, err
	}
	for _, name := range programs {
		owner, err := w.Package(s.File.Programs.Values[name].Package)
		if err == nil && !owner.HasBin(s.File.BinName(name)) {
			err = fmt.Errorf("package %s has no binary target %q", owner.Name, s.File.BinName(name))
		}
		if err != nil {
			return nil, fmt.Errorf("%s: programs.%s: %w", s.File.Path, name, err)
		}
	}
	return w, nil
}

// tagFor is the tag of a version: as the user named it, or by the matrix.
func (s *Session) tagFor(version string) (string, error) {
	if s.Tag != "" {
		return s.Tag, nil
	}
	text := s.File.Project.Tag
	if text == "" {
		text = "v{{.Version}}"
	}
	return matrix.Fields{Project: s.File.Project.Name, Version: version}.Expand(text)
}

// targetDir is the place of a target in the state.
func (s *Session) targetDir(row matrix.Row, elem ...string) string {
	return filepath.Join(append([]string{s.State, row.Name}, elem...)...)
}

// lockTarget keeps two runs from one target's state.
func (s *Session) lockTarget(ctx context.Context, row matrix.Row) (unlock func(), err error) {
	if err := s.prepareState(); err != nil {
		return nil, err
	}
	return fsx.Lock(ctx, s.targetDir(row, ".lock"), func() {
		s.Reporter.Note("another relmat works on %s; waiting for it", row.Name)
	})
}

// stage runs one stage of a target with its events. run returns what to say at
// the end, and whether an earlier result stood.
func (s *Session) stage(ctx context.Context, target, name, text string, run func(*progress.Task) (said string, reused bool, err error)) error {
	task, begun := s.Reporter.Begin(target, name, text), time.Now()
	said, reused, err := run(task)
	switch {
	case err != nil:
		task.Failed()
		if ctx.Err() != nil && !errors.Is(err, context.Cause(ctx)) {
			return fmt.Errorf("%w (%w)", context.Cause(ctx), err)
		}
		return err
	case reused:
		task.Reused("%s", said)
	default:
		s.tookSince(target, name, begun)
		task.Done("%s", said)
	}
	return nil
}

// keyed returns the directory of a stage's result for a package and key, and
// makes it if it is not there or whole no longer finds it in order, as after a
// power failure. Results of other keys of the same package are removed once
// there is a newer one.
func (s *Session) keyed(row matrix.Row, stage, pkg, key string, whole func(dir string) error, make func(tmp string) error) (dir string, reused bool, err error) {
	parent := s.targetDir(row, stage)
	dir = filepath.Join(parent, pkg+"-"+key[:16])
	if _, err := os.Stat(dir); err == nil {
		if whole(dir) == nil {
			return dir, true, nil
		}
		if err := fsx.RemoveAll(dir); err != nil {
			return "", false, err
		}
	}
	// The lock of the target is held: what is partial belongs to nobody.
	if err := fsx.RemovePartials(parent); err != nil {
		return "", false, err
	}
	if err := fsx.BuildDir(dir, false, make); err != nil {
		return "", false, err
	}
	entries, err := os.ReadDir(parent)
	if err != nil {
		return "", false, err
	}
	for _, e := range entries {
		rest, ok := strings.CutPrefix(e.Name(), pkg+"-")
		if ok && len(rest) == 16 && isHex(rest) && e.Name() != filepath.Base(dir) {
			if err := fsx.RemoveAll(filepath.Join(parent, e.Name())); err != nil {
				return "", false, err
			}
		}
	}
	return dir, false, nil
}

func isHex(s string) bool {
	_, err := hex.DecodeString(s)
	return err == nil
}

// keyOf digests what a stage's result depends on.
func keyOf(parts ...any) string {
	data, err := json.Marshal(parts)
	if err != nil {
		panic("pipeline: key: " + err.Error()) // only plain data gets here
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
