package verify

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/relmat/relmat/internal/archive"
	"github.com/relmat/relmat/internal/fsx"
)

// reader reads the entries of a package, each byte once.
type reader struct {
	o       Options
	entries []*entry
	size    int64
	texts   atomic.Int64
	count   *lockedWriter
	// spool is where an archive's native files are unpacked; empty for a
	// directory.
	spool string
}

func newReader(o Options) *reader { return &reader{o: o, count: &lockedWriter{w: o.Count}} }

var errMany = errors.New("it holds more files than allowed")

// directory lists all below dir and digests the files, the largest first.
func (r *reader) directory(ctx context.Context, dir string) error {
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if p == dir {
			return err
		}
		rel, rerr := filepath.Rel(dir, p)
		if rerr != nil {
			return rerr
		}
		e := &entry{Path: filepath.ToSlash(rel), disk: p}
		if err != nil {
			e.Err = err
			r.entries = append(r.entries, e)
			return nil
		}
		info, err := d.Info()
		if err != nil {
			e.Err = err
			r.entries = append(r.entries, e)
			return nil
		}
		if len(r.entries) >= r.o.Limits.Entries {
			return errMany
		}
		e.Mode, e.Size = info.Mode(), info.Size()
		switch {
		case d.IsDir():
			e.Size = 0
		case e.Mode&fs.ModeSymlink != 0:
			target, err := os.Readlink(p)
			if err != nil {
				return err
			}
			e.Link, e.Size = filepath.ToSlash(target), 0
		case e.Mode.IsRegular():
			r.size += e.Size
		}
		r.entries = append(r.entries, e)
		return nil
	})
	if err != nil {
		return err
	}
	if r.o.Total != nil {
		r.o.Total(r.size)
	}
	queue := slices.DeleteFunc(slices.Clone(r.entries), func(e *entry) bool { return !e.regular() || e.Err != nil })
	slices.SortStableFunc(queue, func(a, b *entry) int { return cmp.Compare(b.Size, a.Size) })
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(r.o.Jobs)
	for _, e := range queue {
		g.Go(func() error {
			f, err := os.Open(e.disk)
			if err != nil {
				e.Err = err
				return nil
			}
			defer f.Close()
			return r.content(ctx, e, f, nil)
		})
	}
	return g.Wait()
}

// archive reads an archive and unpacks its native files into the spool.
func (r *reader) archive(ctx context.Context, f io.ReaderAt, size int64, format archive.Format) error {
	a, err := archive.NewReader(ctx, f, size, format, r.o.Limits)
	if err != nil {
		return fmt.Errorf("reading it as %s: %w", format, archive.WithRemedy(err))
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(r.o.Jobs)
	err = r.members(gctx, a, g)
	if werr := g.Wait(); werr != nil {
		err = werr // it ended the way through the archive
	}
	a.Close()
	if err != nil {
		return fmt.Errorf("reading it as %s: %w", format, fsx.TempSpace(archive.WithRemedy(err)))
	}
	return nil
}

func (r *reader) members(ctx context.Context, a *archive.Reader, g *errgroup.Group) error {
	for {
		m, err := a.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		e := &entry{Mode: m.Mode, Size: m.Size, Link: m.Link, Hard: m.Hard}
		number := len(r.entries)
		r.entries = append(r.entries, e)
		if e.Path, err = m.Clean(); err != nil {
			e.Path, e.Name = "", cmp.Or(m.Name, `""`)
			continue
		}
		if e.isLink() {
			e.Size = 0
		}
		if !e.regular() {
			continue
		}
		r.size += e.Size
		read := func() error {
			body, err := m.Open()
			if err != nil {
				e.Err = err
				return nil
			}
			defer body.Close()
			return r.content(ctx, e, body, func() (*os.File, error) {
				e.disk = filepath.Join(r.spool, fmt.Sprintf("%07d", number))
				return os.OpenFile(e.disk, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
			})
		}
		if a.Concurrent() {
			g.Go(read)
			continue
		}
		if err := read(); err != nil {
			return err
		}
	}
}

// content digests the content of an entry and keeps what the rules read of it.
// What cannot be read is the entry's own problem, but for what ends all
// reading.
func (r *reader) content(ctx context.Context, e *entry, body io.Reader, spool func() (*os.File, error)) (err error) {
	h := sha256.New()
	head := make([]byte, min(max(e.Size, 0), headSize))
	n, err := io.ReadFull(body, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return r.problem(ctx, e, err)
	}
	e.head = head[:n]
	e.native = isNative(e.head)
	writers := []io.Writer{h, r.count}
	var text *bytes.Buffer
	if !e.native && wanted(e.Path, e.Size) && r.texts.Add(e.Size) <= maxTexts {
		text = bytes.NewBuffer(make([]byte, 0, e.Size+bytes.MinRead))
		writers = append(writers, text)
	}
	if e.native && spool != nil {
		f, ferr := spool()
		if ferr != nil {
			return ferr
		}
		defer func() {
			// What the disk does not take is no fault of the package.
			if cerr := f.Close(); err == nil {
				err = cerr
			}
		}()
		writers = append(writers, f)
	}
	got, err := copyAll(io.MultiWriter(writers...), &contextReader{ctx, io.LimitReader(io.MultiReader(bytes.NewReader(e.head), body), e.Size+1)})
	if err != nil {
		return r.problem(ctx, e, err)
	}
	if got != e.Size {
		e.Err = fmt.Errorf("its content has another size than the %d bytes that are announced", e.Size)
		return nil
	}
	e.SHA256 = hex.EncodeToString(h.Sum(nil))
	if text != nil {
		e.data = text.Bytes()
	}
	if !e.native && len(e.head) > 1024 {
		e.head = slices.Clone(e.head[:1024])
	}
	return nil
}

// problem sorts errors: the entry's own, or one that ends the reading.
func (r *reader) problem(ctx context.Context, e *entry, err error) error {
	var pe *fs.PathError
	if ctx.Err() != nil || errors.Is(err, archive.ErrTooLarge) || errors.As(err, &pe) && pe.Op == "write" {
		return err
	}
	e.Err = err
	return nil
}

// strip takes the one directory that holds everything off the paths and
// returns it, if there is one and it is a package's root.
func (r *reader) strip(isRoot func(dir string) bool) string {
	root := ""
	for _, e := range r.entries {
		if e.Name != "" {
			continue
		}
		top, _, nested := strings.Cut(e.Path, "/")
		if !nested && !e.Mode.IsDir() || root != "" && top != root {
			return ""
		}
		root = top
	}
	if root == "" || root == "." || !isRoot(root) {
		return ""
	}
	for _, e := range r.entries {
		e.Path = strings.TrimPrefix(strings.TrimPrefix(e.Path, root), "/")
		if e.Hard {
			e.Link = strings.TrimPrefix(e.Link, root+"/")
		}
	}
	r.entries = slices.DeleteFunc(r.entries, func(e *entry) bool { return e.Path == "" && e.Name == "" })
	return root
}

// lockedWriter lets files that are read at once count into one writer.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
