package toolchain

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/relmat/relmat/internal/fsx"
	"github.com/relmat/relmat/internal/matrix"
	"github.com/relmat/relmat/internal/progress"
)

// Space is what a target's build needs of disk space, in bytes.
type Space struct {
	// State and Cache are the directories.
	State, Cache string
	// Allowance is what the state may take, Toolkit what bringing the toolkit
	// into the cache does take; 0 if it is there.
	Allowance, Toolkit int64
}

// Allowance is what relmat allows for the state of a target whose toolkit is
// this large: the builds, and the package and its archive.
func Allowance(row matrix.Row, toolkit int64) int64 {
	need := known.Allowances.Cargo + 2*toolkit
	if len(row.Native.Crates) > 0 {
		need += known.Allowances.Native
	}
	return need
}

// Check holds what is free against what is needed. Too little for the toolkit
// is certain to fail; the allowance is no more than that.
func (s Space) Check() []Check {
	if s.Toolkit > 0 && sameDisk(existing(s.State), existing(s.Cache)) {
		c := space("disk", s.State, s.Allowance+s.Toolkit)
		c.By = "toolkit, allowance"
		c.Detail = fmt.Sprintf("%s for the toolkit in %s, %s allowed for the build in %s", progress.Bytes(s.Toolkit), s.Cache, progress.Bytes(s.Allowance), s.State)
		if c.State == StateMissing {
			c.Blocks = space("", s.State, s.Toolkit).State == StateMissing
		}
		return []Check{c}
	}
	state := space("disk, state", s.State, s.Allowance)
	state.By = "allowance"
	checks := []Check{state}
	if s.Toolkit > 0 {
		cache := space("disk, cache", s.Cache, s.Toolkit)
		cache.By, cache.Blocks = "toolkit", cache.State == StateMissing
		checks = append(checks, cache)
	}
	return checks
}

func space(name, dir string, need int64) Check {
	c := Check{Name: name, State: StateOK, Path: dir, Needed: progress.Bytes(need)}
	free, err := fsx.FreeSpace(existing(dir))
	if err != nil {
		c.State, c.Detail = StateUnknown, err.Error()
		return c
	}
	c.Found = progress.Bytes(int64(min(free, 1<<62)))
	if free < uint64(need) {
		c.State = StateMissing
		c.Get = "free some, or --state, --cache"
	}
	return c
}

// existing is the nearest directory above dir that is there.
func existing(dir string) string {
	for {
		if info, err := os.Stat(dir); err == nil && info.IsDir() || dir == filepath.Dir(dir) {
			return dir
		}
		dir = filepath.Dir(dir)
	}
}
