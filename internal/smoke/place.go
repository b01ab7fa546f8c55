package smoke

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/gofrs/flock"

	"github.com/relmat/relmat/internal/fsx"
)

// placePrefix begins the name of every test's directory: a path that nobody's
// build machine has, and that a careless program stumbles over.
const placePrefix = "relmat smoke ü "

const placeLock = ".lock"

// place is the directory of one test, locked for as long as the test runs.
type place struct {
	dir  string
	lock *flock.Flock
}

// newPlace makes the directory of a test below the system's directory for
// temporary files, and removes those of tests that were killed.
func newPlace() (place, error) {
	sweep()
	for {
		p, err := tryPlace()
		if !errors.Is(err, errSwept) {
			return p, err
		}
	}
}

// errSwept says that the sweep of another test took a directory between its
// making and its locking.
var errSwept = errors.New("swept away")

func tryPlace() (p place, err error) {
	dir, err := os.MkdirTemp("", placePrefix)
	if err != nil {
		return p, err
	}
	p = place{dir: dir, lock: flock.New(filepath.Join(dir, placeLock))}
	ok, err := p.lock.TryLock()
	if err == nil && !ok {
		return place{}, errSwept
	}
	for _, d := range []string{"package", "inputs", "work", "home", "tmp"} {
		if err == nil {
			err = os.Mkdir(filepath.Join(dir, d), 0o755)
		}
	}
	if err == nil {
		return p, nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = errSwept
	}
	_ = p.remove()
	return place{}, err
}

func (p place) path(name string) string { return filepath.Join(p.dir, name) }

// remove removes the directory while it is locked; Windows removes no file that
// is open.
func (p place) remove() error {
	if runtime.GOOS == "windows" {
		_ = p.lock.Unlock()
	}
	err := fsx.RemoveAll(p.dir)
	_ = p.lock.Unlock()
	return err
}

// keep leaves the directory for a look: without its lock file it is not
// taken for one of a killed test.
func (p place) keep() {
	_ = p.lock.Unlock()
	_ = fsx.Remove(filepath.Join(p.dir, placeLock))
}

// sweep removes what killed tests left, which is as large as a package. A
// directory whose lock can be had has no test; one without a lock was kept.
// What cannot be removed is another user's.
func sweep() {
	dirs, err := filepath.Glob(filepath.Join(os.TempDir(), placePrefix+"*"))
	if err != nil {
		return
	}
	for _, dir := range dirs {
		path := filepath.Join(dir, placeLock)
		if info, err := os.Lstat(path); err != nil || !info.Mode().IsRegular() {
			continue
		}
		// Without O_CREATE: the test may just be ending.
		lock := flock.New(path, flock.SetFlag(os.O_RDWR))
		if ok, err := lock.TryLock(); err != nil || !ok {
			continue
		}
		p := place{dir: dir, lock: lock}
		_ = p.remove()
	}
}
