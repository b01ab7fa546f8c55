package bundle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/relmat/relmat/internal/fsx"
)

// Write makes the package's tree in the existing directory dir. count receives
// as many bytes as the files have. What changed since New is an error; digests
// are those that New was given.
func (p *Plan) Write(ctx context.Context, dir string, digests *fsx.Digests, count io.Writer) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(4)
	progress := &lockedWriter{w: count}
	for _, it := range p.items {
		g.Go(func() error { return it.write(ctx, dir, digests, progress) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	data, err := p.Manifest.Encode()
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, p.Manifest.Name()), data, 0o644)
}

// piece is how much is copied between two looks at the context, in bytes.
const piece = 64 << 20

// write puts the file in its place: as a clone that shares the source's blocks
// where the file system can, else of the toolkit's cache as another name, else
// as a copy.
func (it item) write(ctx context.Context, dir string, digests *fsx.Digests, count io.Writer) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	dst := filepath.Join(dir, filepath.FromSlash(it.Path))
	if err := os.MkdirAll(filepath.Dir(dst), 0o755); err != nil {
		return err
	}
	mode, err := it.Perm()
	if err != nil {
		return err
	}
	shared, err := it.share(dst, mode)
	if err != nil {
		return err
	}
	if shared {
		err = report(count, it.Size)
	} else {
		err = it.copy(ctx, dst, mode, count)
	}
	if err != nil {
		return err
	}
	// A digest stands for a file that has not changed, so this reads only what
	// has.
	sum, _, err := digests.File(it.src)
	if err == nil && sum != it.SHA256 {
		err = fmt.Errorf("%s changed while the package was made", it.src)
	}
	return err
}

// share makes dst without copying, where that is possible.
func (it item) share(dst string, mode fs.FileMode) (bool, error) {
	ok, err := clone(it.src, dst, mode)
	if ok || err != nil {
		return ok, err
	}
	// A file of the cache keeps its mode for ever, and nobody writes to it; one
	// of the build or the checkout is its owner's.
	if !it.cached {
		return false, nil
	}
	info, err := os.Lstat(it.src)
	if err != nil || !info.Mode().IsRegular() || info.Mode().Perm() != mode {
		return false, err
	}
	err = os.Link(it.src, dst)
	if errors.Is(err, fs.ErrExist) {
		return false, err
	}
	return err == nil, nil
}

func (it item) copy(ctx context.Context, dst string, mode fs.FileMode, count io.Writer) (err error) {
	in, err := os.Open(it.src)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(dst, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := out.Close(); err == nil {
			err = cerr
		}
	}()
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		// Between files the system copies by itself.
		n, err := io.CopyN(out, in, piece)
		if rerr := report(count, n); rerr != nil {
			return rerr
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("copying %s: %w", it.src, err)
		}
	}
	// The umask has narrowed the mode that OpenFile was given.
	return out.Chmod(mode)
}

var zeros [64 << 10]byte

// report counts n bytes.
func report(count io.Writer, n int64) error {
	for n > 0 {
		k, err := count.Write(zeros[:min(n, int64(len(zeros)))])
		if err != nil {
			return err
		}
		n -= int64(k)
	}
	return nil
}

// lockedWriter lets copies that run at once count into one writer.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}
