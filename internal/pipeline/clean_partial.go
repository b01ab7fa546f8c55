package pipeline

import (
	"errors"
	"io/fs"
	"path"
	"time"

	"github.com/relmat/relmat/internal/fsx"
)

// partialsOf removes what dead runs left in a target whose lock is held: beside
// the stages and their results, never inside of a result.
func (c *cleaner) partialsOf(name string) error {
	dirs := []string{name}
	for _, stage := range stageDirs {
		dirs = append(dirs, path.Join(name, stage))
	}
	if cargo := path.Join(name, "cargo"); c.isDir(cargo) {
		triples, err := fs.ReadDir(c.root.FS(), cargo)
		if err != nil {
			return err
		}
		for _, t := range triples {
			dirs = append(dirs, path.Join(cargo, t.Name()))
		}
	}
	for _, dir := range dirs {
		if err := c.partialsIn(dir, 0); err != nil {
			return err
		}
	}
	return nil
}

func (c *cleaner) partialsIn(dir string, deadAfter time.Duration) error {
	if !c.isDir(dir) {
		return nil
	}
	entries, err := fs.ReadDir(c.root.FS(), dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if fsx.IsPartial(e.Name()) {
			if err := c.partial(path.Join(dir, e.Name()), deadAfter); err != nil {
				return err
			}
		}
	}
	return nil
}

// isDir tells whether it is a directory, and no link to one.
func (c *cleaner) isDir(name string) bool {
	info, err := c.root.Lstat(name)
	return err == nil && info.IsDir()
}

// partial removes an unfinished file or directory to which nothing was written
// for some time.
func (c *cleaner) partial(name string, deadAfter time.Duration) error {
	item := CleanItem{Kind: CleanPartial, Name: name, Reason: "a run that ended left it half"}
	var err error
	if item.Size, item.Used, err = c.measure(name); err != nil {
		return err
	}
	if item.Used.IsZero() { // an empty directory
		if info, err := c.root.Lstat(name); err == nil {
			item.Used = info.ModTime()
		}
	}
	if c.now.Sub(item.Used) < deadAfter {
		item.Action, item.Reason = CleanInUse, "a run may be writing it"
		c.add(item)
		return nil
	}
	return c.remove(item, func() error { return c.root.RemoveAll(name) })
}

// measure adds up what lies at name, and tells when its newest file was
// written: a directory is also touched by what is taken out of it. Files that
// vanish meanwhile do not matter.
func (c *cleaner) measure(name string) (size int64, used time.Time, err error) {
	if info, err := c.root.Lstat(name); err == nil && !info.IsDir() {
		if info.Mode().IsRegular() {
			size = info.Size()
		}
		return size, info.ModTime(), nil
	}
	err = fs.WalkDir(c.root.FS(), name, func(p string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if d.IsDir() || path.Base(p) == lockName {
			return nil
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if info.Mode().IsRegular() {
			size += info.Size()
		}
		if info.ModTime().After(used) {
			used = info.ModTime()
		}
		return nil
	})
	return size, used, err
}
