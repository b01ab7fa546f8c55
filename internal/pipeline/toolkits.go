package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/relmat/relmat/internal/matrix"
	"github.com/relmat/relmat/internal/progress"
	"github.com/relmat/relmat/internal/toolchain"
	"github.com/relmat/relmat/internal/toolkit"
)

// ToolkitOptions choose toolkits of the matrix, all if Names is empty, and
// platforms.
type ToolkitOptions struct {
	Names, Platforms []string
	// Force fetches what is already there.
	Force bool
}

// ToolkitResult is a toolkit's lock file, or where one was laid out.
type ToolkitResult struct {
	Toolkit  string `json:"toolkit"`
	Platform string `json:"platform,omitempty"`
	Path     string `json:"path"`
}

// LockToolkits resolves toolkits and writes their lock files.
func (s *Session) LockToolkits(ctx context.Context, o ToolkitOptions) ([]ToolkitResult, error) {
	names, err := s.toolkitNames(o.Names)
	if err != nil {
		return nil, err
	}
	var out []ToolkitResult
	for _, name := range names {
		platforms := o.Platforms
		if len(platforms) == 0 {
			platforms = s.platformsOf(name)
		}
		if len(platforms) == 0 {
			return nil, fmt.Errorf("no target of %s uses toolkit %s; say for which to lock it with --platform", s.File.Path, name)
		}
		path := s.lockPath(name)
		// A damaged lock file is what this command mends.
		old, err := toolkit.ReadLock(path)
		if err != nil {
			if _, serr := os.Stat(path); !errors.Is(serr, fs.ErrNotExist) {
				s.Reporter.Warn("the old lock file is not used: %v", err)
			}
			old = nil
		}
		err = s.stage(ctx, "", "lock", name, func(task *progress.Task) (string, bool, error) {
			lock, err := s.fetcher().MakeLock(ctx, old, s.File.Toolkits.Values[name].Requirements, platforms, task)
			if err != nil {
				return "", false, err
			}
			return fmt.Sprintf("%s: %s", name, strings.Join(platforms, ", ")), false, lock.Write(path)
		})
		if err != nil {
			return nil, fmt.Errorf("locking toolkit %s: %w", name, err)
		}
		out = append(out, ToolkitResult{Toolkit: name, Path: path})
	}
	return out, nil
}

// FetchToolkits brings toolkits into the cache.
func (s *Session) FetchToolkits(ctx context.Context, o ToolkitOptions) ([]ToolkitResult, error) {
	names, err := s.toolkitNames(o.Names)
	if err != nil {
		return nil, err
	}
	platforms := o.Platforms
	if len(platforms) == 0 {
		platforms = []string{matrix.Host().String()}
	}
	var out []ToolkitResult
	for _, name := range names {
		for _, platform := range platforms {
			tk, _, err := s.ensureToolkit(ctx, "", name, platform, o.Force)
			if err != nil {
				return nil, fmt.Errorf("fetching toolkit %s: %w", name, err)
			}
			out = append(out, ToolkitResult{Toolkit: name, Platform: platform, Path: tk.Home()})
		}
	}
	return out, nil
}

// toolkit brings the toolkit that the target names; nil if it names none.
func (s *Session) toolkit(ctx context.Context, row matrix.Row) (*toolkit.Toolkit, string, error) {
	if row.Toolkit == "" {
		return nil, "", nil
	}
	return s.ensureToolkit(ctx, row.Name, row.Toolkit, row.Platform.String(), false)
}

// hostToolkit brings what of CUDA the row's build gets, where tk is the toolkit
// of the target's platform: on a host of another one the compilers are those of
// the same release for the host. The digest is that of both.
func (s *Session) hostToolkit(ctx context.Context, row matrix.Row, tk *toolkit.Toolkit, digest string) (toolchain.Toolkits, string, error) {
	var tks toolchain.Toolkits
	if tk == nil || len(s.builtPrograms(row)) == 0 {
		return tks, digest, nil
	}
	tks.Host, tks.Target = tk.Home(), tk.Home()
	if host := matrix.Host(); host != row.Platform {
		tools, hostDigest, err := s.ensureToolkit(ctx, row.Name, row.Toolkit, host.String(), false)
		if err != nil {
			return tks, "", err
		}
		tks.Host = tools.Home()
		digest += " " + hostDigest
	}
	var err error
	tks.DelayLoad, err = s.delayLoad(row, tk)
	return tks, digest, err
}

// toolkitPlatforms are the platforms whose wheels the row's build takes on a
// host.
func (s *Session) toolkitPlatforms(row matrix.Row, host matrix.Platform) []string {
	platforms := []string{row.Platform.String()}
	if host != row.Platform && len(s.builtPrograms(row)) > 0 {
		platforms = append(platforms, host.String())
	}
	return platforms
}

// ensureToolkit returns the toolkit and the digest of its wheels.
func (s *Session) ensureToolkit(ctx context.Context, target, name, platform string, force bool) (tk *toolkit.Toolkit, digest string, err error) {
	lock, err := s.readLock(name, platform)
	if err != nil {
		return nil, "", err
	}
	err = s.stage(ctx, target, "toolkit", name, func(task *progress.Task) (string, bool, error) {
		f := s.fetcher()
		f.Force = force
		var fetched bool
		tk, fetched, err = f.Ensure(ctx, name, lock, platform, task)
		if err != nil {
			return "", false, err
		}
		return tk.Home(), !fetched, nil
	})
	return tk, toolkit.Digest(lock.Platforms[platform]), err
}

// readLock reads the toolkit's lock file, which must answer for what the matrix
// asks for and for the platform.
func (s *Session) readLock(name, platform string) (*toolkit.Lock, error) {
	lock, err := toolkit.ReadLock(s.lockPath(name))
	if err != nil {
		return nil, err
	}
	if !slices.Equal(lock.Requirements, s.File.Toolkits.Values[name].Requirements) {
		return nil, fmt.Errorf("%s was made for other requirements than %s asks for; run `relmat toolkit lock %s`", s.lockPath(name), s.File.Path, name)
	}
	if len(lock.Platforms[platform]) == 0 {
		return nil, fmt.Errorf("%s has no wheels for %s; run `relmat toolkit lock %s --platform %s`", s.lockPath(name), platform, name, platform)
	}
	return lock, nil
}

func (s *Session) toolkitNames(names []string) ([]string, error) {
	known := s.File.Toolkits.Keys
	if len(names) == 0 {
		names = known
	}
	if len(known) == 0 {
		return nil, &matrix.SelectionError{Message: s.File.Path + " has no toolkits"}
	}
	for _, n := range names {
		if !slices.Contains(known, n) {
			return nil, &matrix.SelectionError{Message: fmt.Sprintf("%s has no toolkit %q; it has %s", s.File.Path, n, strings.Join(known, ", "))}
		}
	}
	return names, nil
}

// platformsOf lists the platforms of the targets that use the toolkit, and of
// the hosts that build them.
func (s *Session) platformsOf(name string) []string {
	var platforms []string
	for _, row := range s.File.Rows() {
		if row.Toolkit != name {
			continue
		}
		for _, host := range row.BuildHosts() {
			for _, p := range s.toolkitPlatforms(row, host) {
				if !slices.Contains(platforms, p) {
					platforms = append(platforms, p)
				}
			}
		}
	}
	return platforms
}

func (s *Session) lockPath(name string) string {
	return filepath.Join(s.File.Dir, filepath.FromSlash(s.File.Toolkits.Values[name].Lock))
}
