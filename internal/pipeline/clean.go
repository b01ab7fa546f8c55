package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/relmat/relmat/internal/fsx"
	"github.com/relmat/relmat/internal/matrix"
)

// CleanOptions say what of the state goes.
type CleanOptions struct {
	// Targets are patterns of targets; all, and the finished assets, if empty.
	Targets []string
	// OlderThan removes what was last used that long ago; 0 for nothing.
	OlderThan time.Duration
	// All removes whatever its age.
	All bool
	// Toolkits also removes from the cache toolkits and wheels that no lock file
	// of the matrix names, and drives of runners that are not installed.
	Toolkits bool
	// DryRun only tells.
	DryRun bool
}

// CleanItem is a thing in the state or the cache.
type CleanItem struct {
	Kind CleanKind `json:"kind"`
	Name string    `json:"name"`
	Path string    `json:"path"`
	Size int64     `json:"size"`
	// Used is when its newest file was written.
	Used   time.Time   `json:"used,omitzero"`
	Action CleanAction `json:"action"`
	// Reason says why it goes, or why it is not judged.
	Reason string `json:"reason,omitempty"`
}

// CleanKind tells what a CleanItem is.
type CleanKind string

// The kinds of things that a state and a cache hold.
const (
	CleanTarget  CleanKind = "target"  // all that belongs to a target
	CleanRelease CleanKind = "release" // finished assets: dist/TAG
	CleanPartial CleanKind = "partial" // what a run that is dead left half
	CleanState   CleanKind = "state"   // relmat's own files
	CleanOther   CleanKind = "other"   // what is not relmat's
	CleanToolkit CleanKind = "toolkit"
	CleanWheel   CleanKind = "wheel"
	CleanDrive   CleanKind = "drive" // of what runs another platform's programs
)

// CleanAction is what became of a thing.
type CleanAction string

// The actions. What a dry run would remove is removable.
const (
	CleanKept      CleanAction = "kept"
	CleanRemoved   CleanAction = "removed"
	CleanRemovable CleanAction = "removable"
	CleanInUse     CleanAction = "in use"
)

// deadAfter is how long nothing has written to a partial file that no lock
// guards before it is taken for a dead run's.
const deadAfter = time.Hour

// stageDirs are what makes a directory of the state a target's.
var stageDirs = []string{"cargo", "logs", "bundle", "sign", "verify", "archive", "smoke"}

const lockName = ".lock"

// cleaner works on one directory. Through os.Root nothing outside of it can be
// reached, whatever links lie in it.
type cleaner struct {
	CleanOptions
	s    *Session
	root *os.Root
	now  time.Time
	list []CleanItem
}

// Clean removes what the options say, and always what dead runs left half and
// the results of targets that the matrix no longer has. It lists what there is
// and what became of it. What another relmat works on stays.
func (s *Session) Clean(ctx context.Context, o CleanOptions) ([]CleanItem, error) {
	c := &cleaner{CleanOptions: o, s: s, now: time.Now()}
	var entries []fs.DirEntry
	err := c.in(s.State, func() (err error) {
		if entries, err = fs.ReadDir(c.root.FS(), "."); err != nil {
			return err
		}
		return c.checkTargets(entries)
	})
	if err == nil && c.root == nil { // there is no state
		err = c.checkTargets(nil)
	}
	if err != nil {
		return nil, err
	}
	// Before anything goes: a lock file that cannot be read would let all go.
	var named map[string]bool
	if o.Toolkits {
		if named, err = s.namedInLocks(); err != nil {
			return nil, err
		}
	}
	if err := c.in(s.State, func() error { return c.state(ctx, entries) }); err != nil {
		return c.list, fmt.Errorf("cleaning the state %s: %w", s.State, err)
	}
	if o.Toolkits {
		if err := c.in(s.Cache, func() error { return c.cache(ctx, named) }); err != nil {
			return c.list, fmt.Errorf("cleaning the cache %s: %w", s.Cache, err)
		}
	}
	return c.list, nil
}

// in does its work in a directory; one that is not there has nothing to clean.
func (c *cleaner) in(dir string, do func() error) error {
	root, err := os.OpenRoot(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer root.Close()
	c.root = root
	return do()
}

// state cleans the state's directory.
func (c *cleaner) state(ctx context.Context, entries []fs.DirEntry) error {
	// The mark that relmat made this directory: in one that a user named with
	// --state, dist may be anybody's.
	ignore, _ := c.root.ReadFile(".gitignore")
	ours := strings.HasPrefix(string(ignore), "# relmat's state")
	var rest []string
	dist := false
	for _, e := range entries {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		name := e.Name()
		var err error
		switch {
		case c.isTarget(e):
			err = c.target(ctx, name)
		case name == "dist" && e.IsDir() && ours:
			dist = true
		case fsx.IsPartial(name):
			err = c.partial(name, deadAfter)
		case slices.Contains([]string{".gitignore", "digests.json"}, name) && e.Type().IsRegular() && ours:
			rest = append(rest, name)
		default:
			err = c.other(name, e)
		}
		if err != nil {
			return err
		}
	}
	if dist && len(c.Targets) == 0 {
		if err := c.releases(ctx); err != nil {
			return err
		}
	}
	return c.rest(rest)
}

// checkTargets refuses patterns that match neither a target of the matrix nor
// one in the state.
func (c *cleaner) checkTargets(entries []fs.DirEntry) error {
	known := slices.Clone(c.s.File.Targets.Keys)
	for _, e := range entries {
		if c.isTarget(e) {
			known = append(known, e.Name())
		}
	}
	for _, p := range c.Targets {
		if !slices.ContainsFunc(known, func(t string) bool { return matrix.Matches([]string{p}, t) }) {
			_, err := c.s.File.Select([]string{p}, matrix.Host())
			return err
		}
	}
	return nil
}

// isTarget tells whether the entry is a target's directory: it has the lock, or
// the matrix knows it, and what a target has.
func (c *cleaner) isTarget(e fs.DirEntry) bool {
	if !e.IsDir() {
		return false
	}
	entries, err := fs.ReadDir(c.root.FS(), e.Name())
	if err != nil {
		return false
	}
	lock, stages, others := false, 0, 0
	for _, e := range entries {
		switch {
		case e.Name() == lockName && e.Type().IsRegular():
			lock = true
		case e.IsDir() && slices.Contains(stageDirs, e.Name()):
			stages++
		case !fsx.IsPartial(e.Name()):
			others++
		}
	}
	return lock && (stages > 0 || others == 0) || c.known(e.Name()) && stages > 0
}

func (c *cleaner) known(target string) bool { return slices.Contains(c.s.File.Targets.Keys, target) }

// target judges a target's directory.
func (c *cleaner) target(ctx context.Context, name string) error {
	if !matrix.Matches(c.Targets, name) {
		return nil
	}
	unlock, free, err := c.lock(ctx, name+"/"+lockName)
	if err != nil {
		return err
	}
	if free {
		defer unlock()
	}
	item := CleanItem{Kind: CleanTarget, Name: name, Action: CleanKept}
	if item.Size, item.Used, err = c.measure(name); err != nil {
		return err
	}
	if !free {
		c.s.Reporter.Note("another relmat works on %s; it is left out", name)
		item.Action, item.Reason = CleanInUse, "another relmat works on it"
		c.add(item)
		return nil
	}
	switch empty := item.Used.IsZero(); { // but for its lock
	case c.All:
		item.Reason = "--all"
	case !c.known(name):
		item.Reason = "the matrix has no such target"
	case !empty && c.old(item.Used):
		item.Reason = c.tooOld()
	default:
		if !empty {
			c.add(item)
		}
		return c.partialsOf(name)
	}
	return c.remove(item, func() error { return c.removeTarget(ctx, name, unlock) })
}

// removeTarget removes a target's directory whose lock is held.
func (c *cleaner) removeTarget(ctx context.Context, name string, unlock func()) error {
	entries, err := fs.ReadDir(c.root.FS(), name)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if e.Name() == lockName {
			continue
		}
		if err := c.root.RemoveAll(path.Join(name, e.Name())); err != nil {
			return err
		}
	}
	// The lock goes last, and while it is held: whoever then makes a new one
	// finds an empty directory. Windows lets no open file go.
	lock := name + "/" + lockName
	if err := c.root.Remove(lock); err != nil {
		unlock()
		_ = c.root.Remove(lock)
	}
	// If another relmat came meanwhile, the directory is its own, and stays.
	_ = c.root.Remove(name)
	return nil
}

func (c *cleaner) old(used time.Time) bool { return c.OlderThan > 0 && c.now.Sub(used) > c.OlderThan }

func (c *cleaner) tooOld() string { return "not used for " + c.OlderThan.String() }

// lock takes the lock file if nobody holds it. A dry run makes no lock file:
// where there is none, nobody holds it.
func (c *cleaner) lock(ctx context.Context, name string) (unlock func(), free bool, err error) {
	switch info, err := c.root.Lstat(name); {
	case errors.Is(err, fs.ErrNotExist) && c.DryRun:
		return func() {}, true, nil
	case err == nil && !info.Mode().IsRegular():
		return nil, false, fmt.Errorf("%s is no lock file but %s; take it away", filepath.Join(c.root.Name(), name), info.Mode().Type())
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	held := false
	unlock, err = fsx.Lock(ctx, filepath.Join(c.root.Name(), filepath.FromSlash(name)), func() {
		held = true
		cancel() // do not wait
	})
	if held && err != nil {
		return nil, false, nil
	}
	return unlock, err == nil, err
}

// releases judges the finished assets, which are second names of those in the
// targets' directories.
func (c *cleaner) releases(ctx context.Context) error {
	entries, err := fs.ReadDir(c.root.FS(), "dist")
	if err != nil {
		return err
	}
	for _, e := range entries {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		name := path.Join("dist", e.Name())
		if !e.IsDir() {
			if err := c.other(name, e); err != nil {
				return err
			}
			continue
		}
		item := CleanItem{Kind: CleanRelease, Name: name, Action: CleanKept}
		if item.Size, item.Used, err = c.measure(name); err != nil {
			return err
		}
		switch {
		case c.All && !c.inUse(): // else the release may be under way
			item.Reason = "--all"
		case c.old(item.Used):
			item.Reason = c.tooOld()
		default:
			c.add(item)
			if err := c.partialsIn(name, deadAfter); err != nil {
				return err
			}
			continue
		}
		if err := c.remove(item, func() error { return c.root.RemoveAll(name) }); err != nil {
			return err
		}
	}
	return nil
}

func (c *cleaner) inUse() bool {
	return slices.ContainsFunc(c.list, func(i CleanItem) bool { return i.Action == CleanInUse })
}

// other tells of what is not relmat's, which stays.
func (c *cleaner) other(name string, e fs.DirEntry) error {
	if len(c.Targets) > 0 {
		return nil
	}
	item := CleanItem{Kind: CleanOther, Name: name, Action: CleanKept, Reason: "not relmat's"}
	if e.Type()&fs.ModeSymlink != 0 {
		item.Reason = "a symbolic link, which is not followed"
	}
	var err error
	if item.Size, item.Used, err = c.measure(name); err != nil {
		return err
	}
	c.add(item)
	return nil
}

// rest removes relmat's own files and the state's directory once all else is
// gone.
func (c *cleaner) rest(names []string) error {
	if !c.All || len(c.Targets) > 0 || c.inUse() {
		return nil
	}
	for _, name := range names {
		item := CleanItem{Kind: CleanState, Name: name, Reason: "--all"}
		var err error
		if item.Size, item.Used, err = c.measure(name); err != nil {
			return err
		}
		if err := c.remove(item, func() error { return c.root.Remove(name) }); err != nil {
			return err
		}
	}
	if c.DryRun {
		return nil
	}
	_ = c.root.Remove("dist")
	// Not if it still holds anything, nor if it is a link that the user made.
	if info, err := os.Lstat(c.s.State); err == nil && info.IsDir() {
		_ = c.root.Close()
		_ = os.Remove(c.s.State)
	}
	return nil
}

// remove removes an item, or says that it could be.
func (c *cleaner) remove(item CleanItem, do func() error) error {
	item.Action = CleanRemovable
	if !c.DryRun {
		if err := do(); err != nil {
			return fmt.Errorf("removing %s: %w", item.Name, err)
		}
		item.Action = CleanRemoved
	}
	c.add(item)
	return nil
}

func (c *cleaner) add(item CleanItem) {
	item.Path = filepath.Join(c.root.Name(), filepath.FromSlash(item.Name))
	c.list = append(c.list, item)
}
