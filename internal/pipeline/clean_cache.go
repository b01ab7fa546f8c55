package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/relmat/relmat/internal/fsx"
	"github.com/relmat/relmat/internal/smoke"
	"github.com/relmat/relmat/internal/toolkit"
)

// namedInLocks are the names in the cache of what the lock files of the matrix
// name, for every platform.
func (s *Session) namedInLocks() (map[string]bool, error) {
	named := map[string]bool{}
	for _, name := range s.File.Toolkits.Keys {
		file := s.lockPath(name)
		if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
			s.Reporter.Note("toolkit %s has no lock file %s, which would name what to keep", name, file)
			continue
		}
		lock, err := toolkit.ReadLock(file)
		if err != nil {
			return nil, fmt.Errorf("finding out which toolkits to keep: %w", err)
		}
		for _, file := range toolkit.CacheNames(name, lock) {
			named[file] = true
		}
	}
	return named, nil
}

// cache removes toolkits and wheels that are not named, drives of runners that
// this host does not have, and what dead runs left half beside them.
func (c *cleaner) cache(ctx context.Context, named map[string]bool) error {
	if err := c.cached(ctx, "toolkits", func(name string) error {
		dir, unfinished := strings.CutPrefix(name, ".")
		if unfinished && fsx.IsPartial(name) {
			dir, _, _ = strings.Cut(dir, ".partial-")
		}
		if !toolkit.IsToolkitDir(dir) {
			return nil
		}
		unlock, free, err := c.lock(ctx, "locks/"+dir+".lock")
		if err != nil {
			return err
		}
		if free {
			defer unlock()
		}
		return c.unused(CleanItem{Kind: CleanToolkit, Name: "toolkits/" + name, Reason: notNamed}, named[name], free)
	}); err != nil {
		return err
	}
	if err := c.wheels(ctx, named); err != nil {
		return err
	}
	return c.drives(ctx)
}

func (c *cleaner) wheels(ctx context.Context, named map[string]bool) error {
	if !c.isDir("wheels") {
		return nil
	}
	unlock, free, err := c.lock(ctx, "locks/wheels.lock")
	if err != nil {
		return err
	}
	if free {
		defer unlock()
	}
	return c.cached(ctx, "wheels", func(name string) error {
		if !fsx.IsPartial(name) && !toolkit.IsCachedWheel(name) {
			return nil
		}
		return c.unused(CleanItem{Kind: CleanWheel, Name: "wheels/" + name, Reason: notNamed}, named[name], free)
	})
}

// drives removes drives of runners in versions that are not installed.
func (c *cleaner) drives(ctx context.Context) error {
	if !c.isDir(smoke.DriveDir) {
		return nil
	}
	installed, err := smoke.DriveNames(ctx)
	if err != nil {
		return err
	}
	return c.cached(ctx, smoke.DriveDir, func(name string) error {
		drive, unfinished := strings.CutPrefix(name, ".")
		if unfinished && fsx.IsPartial(name) {
			drive, _, _ = strings.Cut(drive, ".partial-")
		}
		if !smoke.IsDrive(drive) {
			return nil
		}
		unlock, free, err := c.lock(ctx, smoke.DriveLock(drive))
		if err != nil {
			return err
		}
		if free {
			defer unlock()
		}
		return c.unused(CleanItem{Kind: CleanDrive, Name: smoke.DriveDir + "/" + name, Reason: "no runner of this version is installed"}, installed[name], free)
	})
}

// cached hands on the names in a directory of the cache, links aside.
func (c *cleaner) cached(ctx context.Context, dir string, each func(name string) error) error {
	if !c.isDir(dir) {
		if info, err := c.root.Lstat(dir); err == nil {
			return c.other(dir, fs.FileInfoToDirEntry(info))
		}
		return nil
	}
	entries, err := fs.ReadDir(c.root.FS(), dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if e.Type()&fs.ModeSymlink != 0 {
			continue
		}
		if err := each(e.Name()); err != nil {
			return err
		}
	}
	return nil
}

const notNamed = "no lock file of the matrix names it"

// unused removes a thing of the cache, for the reason that it gives, unless it
// is needed, if its lock is free.
func (c *cleaner) unused(item CleanItem, needed, free bool) error {
	name := item.Name
	item.Action = CleanKept
	if fsx.IsPartial(name) {
		item.Kind, item.Reason = CleanPartial, "a run that ended left it half"
	}
	var err error
	if item.Size, item.Used, err = c.measure(name); err != nil {
		return err
	}
	switch {
	case !free:
		c.s.Reporter.Note("another relmat is at work with %s; it is left out", name)
		item.Action, item.Reason = CleanInUse, "another relmat is at work with it"
	case needed:
		item.Reason = ""
	case item.Kind != CleanPartial && c.OlderThan > 0 && !c.old(item.Used):
		item.Reason += ", but it is younger than " + c.OlderThan.String()
	default:
		return c.remove(item, func() error { return c.root.RemoveAll(name) })
	}
	c.add(item)
	return nil
}
