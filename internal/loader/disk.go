package loader

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/relmat/relmat/internal/objfile"
)

// maxStats bounds what is remembered of paths: hostile files ask for millions.
const maxStats = 1 << 15

// DiskView is a directory of a file system, seen as a root.
type DiskView struct {
	root    string
	mu      sync.Mutex
	walker  walker
	stats   map[string]statResult
	lists   map[string]listResult
	objects map[string]objectResult
}

type statResult struct {
	stat
	err error
}

type listResult struct {
	names []string
	err   error
}

type objectResult struct {
	objects []*objfile.Object
	err     error
}

var (
	_ View   = (*DiskView)(nil)
	_ Lister = (*DiskView)(nil)
	_ Opener = (*DiskView)(nil)
)

// Disk sees the files under a directory as a system whose root it is: absolute
// links start there and none leads out. The empty root is the machine itself.
// What was read once is not read again. It may be used concurrently.
func Disk(root string) *DiskView {
	d := &DiskView{
		root:  root,
		stats: map[string]statResult{}, lists: map[string]listResult{}, objects: map[string]objectResult{},
	}
	d.walker = walker{d.lookup, map[string]dirResult{}}
	return d
}

// host is the machine's path of a path in the view.
func (d *DiskView) host(p string) string {
	if d.root == "" {
		return filepath.FromSlash(p)
	}
	return filepath.Join(d.root, filepath.FromSlash(p))
}

func (d *DiskView) lookup(p string) (stat, error) {
	if r, ok := d.stats[p]; ok {
		return r.stat, r.err
	}
	if len(d.stats) >= maxStats {
		clear(d.stats)
	}
	r := d.lstat(p)
	d.stats[p] = r
	return r.stat, r.err
}

func (d *DiskView) lstat(p string) statResult {
	host := d.host(p)
	info, err := os.Lstat(host)
	if err != nil {
		switch {
		case errors.Is(err, syscall.ENAMETOOLONG):
			err = errTooLong
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.EINVAL):
			err = fs.ErrNotExist
		}
		return statResult{err: err}
	}
	if mode := info.Mode(); mode&fs.ModeSymlink == 0 {
		return statResult{stat: stat{dir: mode.IsDir(), special: !mode.IsDir() && !mode.IsRegular()}}
	}
	target, err := os.Readlink(host)
	return statResult{stat: stat{link: filepath.ToSlash(target)}, err: err}
}

// Object implements View.
func (d *DiskView) Object(p string) ([]*objfile.Object, string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	real, st, err := d.walker.walk(p)
	if err != nil {
		return nil, "", err
	}
	if st.dir {
		return nil, real, errIsDir
	}
	if st.special {
		return nil, real, errSpecial
	}
	r, ok := d.objects[real]
	if !ok {
		r.objects, r.err = objfile.Open(d.host(real))
		d.objects[real] = r
	}
	return r.objects, real, r.err
}

// List implements Lister.
func (d *DiskView) List(dir string) ([]string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	real, st, err := d.walker.walk(dir)
	if err != nil {
		return nil, err
	}
	if !st.dir {
		return nil, notDir(dir)
	}
	r, ok := d.lists[real]
	if !ok {
		r.names, r.err = readNames(d.host(real))
		d.lists[real] = r
	}
	return r.names, r.err
}

func readNames(dir string) ([]string, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	return names, nil
}

// Open implements Opener.
func (d *DiskView) Open(p string) (File, error) {
	d.mu.Lock()
	real, st, err := d.walker.walk(p)
	d.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if st.dir {
		return nil, fmt.Errorf("%s: %w", p, errIsDir)
	}
	return openFile(d.host(real))
}

type osFile struct {
	*os.File
	size int64
}

func (f osFile) Size() int64 { return f.size }

// openFile opens a regular file; others could block, or have no end.
func openFile(p string) (File, error) {
	info, err := os.Lstat(p)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: no regular file", p)
	}
	f, err := os.Open(p)
	if err != nil {
		return nil, err
	}
	return osFile{f, info.Size()}, nil
}

// Path is the path in the view of a path of the machine.
func (d *DiskView) Path(host string) (string, error) {
	abs, err := filepath.Abs(host)
	if err != nil {
		return "", err
	}
	if d.root == "" {
		return filepath.ToSlash(abs), nil
	}
	root, err := filepath.Abs(d.root)
	if err != nil {
		return "", err
	}
	rel, err := filepath.Rel(root, abs)
	if err != nil || rel == ".." || strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
		return "", fmt.Errorf("%s does not lie under %s", host, d.root)
	}
	return "/" + filepath.ToSlash(rel), nil
}
