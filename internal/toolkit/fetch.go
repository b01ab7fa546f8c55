package toolkit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/relmat/relmat/internal/fsx"
	"github.com/relmat/relmat/internal/progress"
)

const (
	// parallel is how many wheels are downloaded at once: more gain nothing on
	// the links that release machines have.
	parallel = 4
	// spare is the disk space that a fetch leaves free, in bytes.
	spare = 256 << 20
)

// Fetcher brings toolkits into a cache directory.
type Fetcher struct {
	Cache string
	// Force lays a toolkit out again that is there.
	Force bool
	// Pip is asked for only when something must be downloaded.
	Pip func(context.Context) (Pip, error)
}

// MakeLock resolves the requirements for the platforms. What old, which may be
// nil, says of other platforms stays if it is of the same requirements. Wheels
// that old does not know are downloaded to learn their sizes; a later Ensure
// finds them.
func (f Fetcher) MakeLock(ctx context.Context, old *Lock, requirements, platforms []string, task *progress.Task) (*Lock, error) {
	lock := &Lock{Schema: LockSchema, Requirements: requirements, Platforms: map[string][]Wheel{}}
	known := map[string]Wheel{}
	if old != nil {
		for platform, wheels := range old.Platforms {
			for _, w := range wheels {
				known[w.SHA256] = w
			}
			if slices.Equal(old.Requirements, requirements) {
				lock.Platforms[platform] = wheels
			}
		}
	}
	pip, err := f.Pip(ctx)
	if err != nil {
		return nil, err
	}
	for _, platform := range platforms {
		task.Note("resolving %d requirements for %s", len(requirements), platform)
		wheels, err := pip.Resolve(ctx, platform, requirements)
		if err != nil {
			return nil, err
		}
		if err := f.learnSizes(ctx, wheels, known, task); err != nil {
			return nil, err
		}
		lock.Platforms[platform] = wheels
	}
	return lock, nil
}

// learnSizes fills in the sizes that pip does not tell.
func (f Fetcher) learnSizes(ctx context.Context, wheels []Wheel, known map[string]Wheel, task *progress.Task) error {
	var unknown []Wheel
	for _, w := range wheels {
		if known[w.SHA256].Size == 0 {
			unknown = append(unknown, w)
		}
	}
	if len(unknown) > 0 {
		unlock, err := f.lockWheels(ctx, task)
		if err != nil {
			return err
		}
		defer unlock()
		paths, err := f.download(ctx, unknown, task)
		if err != nil {
			return err
		}
		for i, w := range unknown {
			info, err := os.Stat(paths[i])
			if err != nil {
				return err
			}
			w.Size = info.Size()
			if w.Unpacked, err = unpackedSize(paths[i]); err != nil {
				return fmt.Errorf("%s: %w", w.File, err)
			}
			known[w.SHA256] = w
		}
	}
	for i := range wheels {
		wheels[i].Size, wheels[i].Unpacked = known[wheels[i].SHA256].Size, known[wheels[i].SHA256].Unpacked
	}
	return nil
}

// Ensure returns the toolkit of the platform, and brings it into the cache if
// it is not there in full. fetched tells which of the two happened.
func (f Fetcher) Ensure(ctx context.Context, name string, lock *Lock, platform string, task *progress.Task) (tk *Toolkit, fetched bool, err error) {
	wheels := lock.Platforms[platform]
	if len(wheels) == 0 {
		return nil, false, fmt.Errorf("the lock of toolkit %s has no wheels for %s; run `relmat toolkit lock %s --platform %s`", name, platform, name, platform)
	}
	dir := f.dir(name, platform, Digest(wheels))
	if tk, err := open(dir, platform); err == nil && !f.Force {
		return tk, false, nil
	}
	unlock, err := fsx.Lock(ctx, filepath.Join(f.Cache, "locks", filepath.Base(dir)+".lock"), func() {
		task.Note("another relmat is fetching this toolkit; waiting for it")
	})
	if err != nil {
		return nil, false, err
	}
	defer unlock()
	tk, err = open(dir, platform)
	if err == nil && !f.Force {
		return tk, false, nil
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		task.Warn("the toolkit in the cache is not as it was laid out (%v); doing it again", err)
	}
	if err := fsx.RecoverReplaced(dir); err != nil {
		return nil, false, err
	}
	if err := removePartialsOf(dir); err != nil {
		return nil, false, err
	}
	if err := f.checkSpace(wheels); err != nil {
		return nil, false, err
	}
	// Until it is laid out: another toolkit may be made of the same wheels, and
	// whoever is done first removes them.
	unlockWheels, err := f.lockWheels(ctx, task)
	if err != nil {
		return nil, false, err
	}
	defer unlockWheels()
	paths, err := f.download(ctx, wheels, task)
	if err != nil {
		return nil, false, err
	}
	err = fsx.BuildDir(dir, true, func(tmp string) error {
		return layOut(ctx, tmp, platform, wheels, paths, task)
	})
	if err != nil {
		return nil, false, fmt.Errorf("laying out toolkit %s: %w", name, err)
	}
	// The toolkit holds everything that the wheels do.
	for _, p := range paths {
		_ = fsx.Remove(p)
	}
	tk, err = open(dir, platform)
	return tk, true, err
}

// removePartialsOf removes what an interrupted layout of dir left; the caller
// holds dir's lock, which says that nobody is at it.
func removePartialsOf(dir string) error {
	entries, err := os.ReadDir(filepath.Dir(dir))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "."+filepath.Base(dir)+".") && fsx.IsPartial(e.Name()) {
			if err := fsx.RemoveAll(filepath.Join(filepath.Dir(dir), e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f Fetcher) wheelDir() string { return filepath.Join(f.Cache, "wheels") }

// lockWheels takes the lock of wheelDir, under which wheels come and go.
func (f Fetcher) lockWheels(ctx context.Context, task *progress.Task) (unlock func(), err error) {
	return fsx.Lock(ctx, filepath.Join(f.Cache, "locks", "wheels.lock"), func() {
		task.Note("another relmat is at work with wheels; waiting for it")
	})
}

func (f Fetcher) checkSpace(wheels []Wheel) error {
	if err := os.MkdirAll(f.Cache, 0o755); err != nil {
		return err
	}
	need := f.Need(wheels)
	free, err := fsx.FreeSpace(f.Cache)
	if err != nil {
		return err
	}
	if free < uint64(need) {
		return fmt.Errorf("too little disk space in %s: the toolkit needs %s while it is fetched, %s are free; free some, or name another place with --cache or RELMAT_CACHE",
			f.Cache, progress.Bytes(need), progress.Bytes(int64(free)))
	}
	return nil
}

// download brings the wheels into the cache, several at once, and returns
// their paths in the same order. The caller holds the lock of the wheels.
func (f Fetcher) download(ctx context.Context, wheels []Wheel, task *progress.Task) ([]string, error) {
	dir := f.wheelDir()
	if err := fsx.RemovePartials(dir); err != nil {
		return nil, err
	}
	pip, err := f.Pip(ctx)
	if err != nil {
		return nil, err
	}
	var total int64
	for _, w := range wheels {
		total += w.Size
	}
	var mu sync.Mutex
	have := make([]int64, len(wheels))
	paths := make([]string, len(wheels))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	// The largest first: the last one to end decides how long it takes.
	order := make([]int, len(wheels))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return int(wheels[b].Size>>10) - int(wheels[a].Size>>10) })
	for _, i := range order {
		g.Go(func() error {
			var err error
			paths[i], err = pip.Download(ctx, wheels[i], dir, func(n int64) {
				mu.Lock()
				defer mu.Unlock()
				have[i] = max(have[i], n)
				var sum int64
				for _, h := range have {
					sum += h
				}
				task.Bytes(sum, max(total, sum))
			})
			return err
		})
	}
	return paths, g.Wait()
}

// index is what a finished toolkit says of itself.
type index struct {
	Layout int `json:"layout"`
	// Files are the wheels' files by their path below the toolkit's directory.
	Files map[string]indexFile `json:"files"`
	Dists map[string]indexDist `json:"dists"`
	// Made are the sizes of files that the layout made, by their path.
	Made map[string]int64 `json:"made,omitempty"`
	// Notes tell what the host could not add.
	Notes []string `json:"notes,omitempty"`
}

type indexFile struct {
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
	Dist   string `json:"dist"`
}

type indexDist struct {
	Version  string   `json:"version"`
	Licenses []string `json:"licenses,omitempty"`
}

const indexName = "toolkit.json"

// open reads a finished toolkit and checks that every file of it is there with
// its size: a cache cleaner takes files one by one.
func open(dir, platform string) (*Toolkit, error) {
	data, err := os.ReadFile(filepath.Join(dir, indexName))
	if err != nil {
		return nil, err
	}
	t := &Toolkit{Dir: dir, Platform: platform}
	if err := json.Unmarshal(data, &t.index); err != nil || t.index.Layout != LayoutVersion {
		return nil, fmt.Errorf("%s is damaged", indexName)
	}
	for rel, f := range t.index.Files {
		info, err := os.Lstat(filepath.Join(dir, filepath.FromSlash(rel)))
		if err != nil || info.Size() != f.Size {
			return nil, fmt.Errorf("%s is missing or has another size", rel)
		}
	}
	for rel, size := range t.index.Made {
		info, err := os.Lstat(filepath.Join(dir, filepath.FromSlash(rel)))
		if err != nil || info.Size() != size {
			return nil, fmt.Errorf("%s is missing or has another size", rel)
		}
	}
	return t, nil
}
