package smoke

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/relmat/relmat/internal/fsx"
	"github.com/relmat/relmat/internal/matrix"
	"github.com/relmat/relmat/internal/proc"
	"github.com/relmat/relmat/internal/progress"
)

// driveTimeout bounds the making of a drive, which takes seconds on a machine
// that has nothing else to do.
const driveTimeout = 10 * time.Minute

// freshDrive makes a drive in dir on which no program has run. A whole one
// takes Wine some ten seconds and 800 MB, so it is made once for each version,
// in the cache; each test has its own registry and directories, and links to
// the files that are the system's.
func (r *runner) freshDrive(ctx context.Context, cache, dir string, task *progress.Task) error {
	from, err := r.cachedDrive(ctx, cache, task)
	if err != nil {
		return fmt.Errorf("making a drive for %s: %w", r, err)
	}
	r.drive, r.runtime = filepath.Join(dir, "drive"), filepath.Join(dir, "runtime")
	if err := os.Mkdir(r.runtime, 0o700); err != nil {
		return err
	}
	return r.copyDrive(from, r.drive)
}

// DriveDir is where in the cache drives are kept.
const DriveDir = "runners"

// DriveLock is the lock file in the cache that guards the making of a drive.
func DriveLock(name string) string { return "locks/runner-" + name + ".lock" }

func (r *runner) driveName() string { return strings.ToLower(r.Program + "-" + r.version) }

// IsDrive tells whether a name in DriveDir is that of a runner's drive.
func IsDrive(name string) bool {
	return slices.ContainsFunc(runners, func(f runnerFacts) bool {
		return strings.HasPrefix(name, strings.ToLower(f.Program)+"-")
	})
}

// DriveNames are the names in DriveDir of the drives of this host's runners in
// the versions that are installed. A runner that is not there has none.
func DriveNames(ctx context.Context) (map[string]bool, error) {
	names := map[string]bool{}
	for _, f := range runners {
		platform, err := matrix.ParsePlatform(f.Platform)
		if err != nil {
			return nil, err
		}
		r, err := findRunner(ctx, platform)
		var missing *MissingRunnerError
		switch {
		case errors.As(err, &missing):
		case err != nil:
			return nil, err
		case r != nil:
			names[r.driveName()] = true
		}
	}
	return names, nil
}

func (r *runner) cachedDrive(ctx context.Context, cache string, task *progress.Task) (string, error) {
	if cache == "" {
		return "", errors.New("no cache directory is given")
	}
	name := r.driveName()
	dir := filepath.Join(cache, DriveDir, name)
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	unlock, err := fsx.Lock(ctx, filepath.Join(cache, filepath.FromSlash(DriveLock(name))), func() {
		task.Note("another relmat makes the drive of %s; waiting for it", r)
	})
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	if err := fsx.RemovePartials(filepath.Dir(dir)); err != nil {
		return "", err
	}
	task.Note("making the drive of %s, once", r)
	home, err := os.MkdirTemp("", "relmat-runner-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(home)
	maker := *r
	return dir, fsx.BuildDir(dir, false, func(tmp string) error {
		maker.drive, maker.runtime = tmp, home
		env := maker.scrubbedEnv(home)
		if err := os.Mkdir(filepath.Join(home, "home"), 0o755); err != nil {
			return err
		}
		limited, cancel := context.WithTimeoutCause(ctx, driveTimeout, fmt.Errorf("it did not end within %s", driveTimeout))
		defer cancel()
		err := proc.Cmd{Path: r.path, Args: r.Init, Dir: home, Env: env}.Run(limited)
		return errors.Join(err, maker.end(ctx, env))
	})
}

// copyDrive gives to what from has: links to what is the system's, copies of
// all else.
func (r *runner) copyDrive(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		dst := filepath.Join(to, rel)
		builtin := slices.ContainsFunc(r.Builtin, func(dir string) bool { return strings.HasPrefix(rel, dir+"/") })
		switch {
		case d.IsDir():
			return os.Mkdir(dst, 0o755)
		case slices.Contains(r.Private, rel):
			return nil
		case d.Type()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			return os.Symlink(target, dst)
		case builtin:
			return os.Symlink(path, dst)
		}
		return fsx.CopyFile(path, dst, 0o644)
	})
}
