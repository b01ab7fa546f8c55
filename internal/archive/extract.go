package archive

import (
	"archive/tar"
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/klauspost/pgzip"

	"github.com/relmat/relmat/internal/fsx"
)

// Limits bound what an archive may unpack to.
type Limits struct {
	// Bytes is the sum of all files, Entries the number of entries.
	Bytes   int64
	Entries int
}

// DefaultLimits hold any package that a release host takes (2 GiB packed).
var DefaultLimits = Limits{Bytes: 64 << 30, Entries: 1 << 20}

// Entry is one entry of an archive.
type Entry struct {
	// Name is relative, clean and slash-separated.
	Name string
	Mode fs.FileMode
	Size int64
	// Link is a symbolic link's target.
	Link string
	open func() (io.ReadCloser, error)
}

// Extract unpacks the archive at src into the existing directory dst. It
// refuses what would land elsewhere: absolute names, "..", links out of dst
// (os.Root holds the line even against a link that an earlier entry made),
// devices, encrypted entries, an entry that stands twice; and what exceeds the
// limits. What it had unpacked before it refused stays in dst.
func Extract(ctx context.Context, src, dst string, limits Limits) error {
	// Before its name is judged: of what is not there that is no news.
	if err := checkFile(src); err != nil {
		return fmt.Errorf("unpacking %s: %w", src, err)
	}
	format, err := FormatOf(src)
	if err != nil {
		return err
	}
	return ExtractAs(ctx, format, src, dst, limits, nil)
}

// ExtractAs is Extract for a file whose name does not tell its format. count,
// if not nil, receives the content.
func ExtractAs(ctx context.Context, format Format, src, dst string, limits Limits, count io.Writer) error {
	if err := checkFile(src); err != nil {
		return fmt.Errorf("unpacking %s: %w", src, err)
	}
	root, err := os.OpenRoot(dst)
	if err != nil {
		return err
	}
	defer root.Close()
	x := &extractor{ctx: ctx, root: root, left: limits, seen: map[string]bool{}, count: count}
	if count == nil {
		x.count = io.Discard
	}
	each := eachZip
	if format == TarGz {
		each = eachTarGz
	}
	err = each(ctx, src, x.entry)
	if err == nil {
		err = x.checkLinks()
	}
	if err != nil {
		return fmt.Errorf("unpacking %s: %w", src, WithRemedy(err))
	}
	return nil
}

// checkFile refuses what is no file before it is opened: of a pipe even that may
// never end.
func checkFile(src string) error {
	info, err := os.Stat(src)
	var pe *fs.PathError
	switch {
	case errors.As(err, &pe):
		return pe.Err // the caller names the path
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("it is %s, and no archive", fsx.Kind(info.Mode()))
	}
	return nil
}

type extractor struct {
	ctx   context.Context
	root  *os.Root
	left  Limits
	seen  map[string]bool
	links []string
	count io.Writer
}

func (x *extractor) entry(e Entry) error {
	if err := x.ctx.Err(); err != nil {
		return err
	}
	name, err := cleanName(e.Name)
	if err != nil {
		return err
	}
	if name == "." {
		return nil
	}
	if x.left.Entries--; x.left.Entries < 0 {
		return errors.New("the archive has too many entries")
	}
	// Two spellings of one name would overwrite each other on Windows and macOS.
	key := strings.ToLower(name)
	if x.seen[key] && !e.Mode.IsDir() {
		return fmt.Errorf("entry %q stands twice", e.Name)
	}
	x.seen[key] = true
	if err := x.root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return fmt.Errorf("entry %q: %w", e.Name, err)
	}
	switch {
	case e.Mode.IsDir():
		return x.root.MkdirAll(name, 0o755)
	case e.Mode&fs.ModeSymlink != 0:
		return x.symlink(name, e)
	case e.Mode.IsRegular():
		return x.file(name, e)
	}
	return fmt.Errorf("entry %q is a %s, which no package holds", e.Name, e.Mode.Type())
}

func (x *extractor) file(name string, e Entry) (err error) {
	perm := fs.FileMode(0o644)
	if e.Mode&0o111 != 0 {
		perm = 0o755
	}
	body, err := e.open()
	if err != nil {
		return fmt.Errorf("entry %q: %w", e.Name, err)
	}
	defer body.Close()
	out, err := x.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return fmt.Errorf("entry %q: %w", e.Name, err)
	}
	defer func() {
		if cerr := out.Close(); err == nil {
			err = cerr
		}
	}()
	n, err := io.Copy(io.MultiWriter(out, x.count), &contextReader{x.ctx, io.LimitReader(body, x.left.Bytes+1)})
	if err != nil {
		return fmt.Errorf("entry %q: %w", e.Name, err)
	}
	if x.left.Bytes -= n; x.left.Bytes < 0 {
		return errors.New("the archive unpacks to more bytes than allowed")
	}
	return out.Chmod(perm)
}

func (x *extractor) symlink(name string, e Entry) error {
	link := filepath.ToSlash(e.Link)
	if link == "" || path.IsAbs(link) || strings.Contains(link, ":") || strings.Contains(link, `\`) ||
		!filepath.IsLocal(filepath.FromSlash(path.Join(path.Dir(name), link))) {
		return fmt.Errorf("entry %q links to %q, outside of the package", e.Name, e.Link)
	}
	x.links = append(x.links, name)
	return x.root.Symlink(link, name)
}

// checkLinks follows every link. The spelling of a link alone does not tell
// where it leads, for there may be other links on its way.
func (x *extractor) checkLinks() error {
	for _, name := range x.links {
		if _, err := x.root.Stat(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("entry %q is a link that leads nowhere in the package: %w", name, err)
		}
	}
	return nil
}

func cleanName(name string) (string, error) {
	clean := path.Clean(name)
	if name == "" || path.IsAbs(name) || strings.ContainsAny(name, "\\:\x00") || !filepath.IsLocal(filepath.FromSlash(clean)) {
		return "", fmt.Errorf("entry %q would be unpacked elsewhere", name)
	}
	return clean, nil
}

func eachZip(_ context.Context, src string, visit func(Entry) error) error {
	r, err := zip.OpenReader(src)
	if err != nil {
		return err
	}
	defer r.Close()
	for _, f := range r.File {
		if f.Flags&zipEncrypted != 0 {
			return fmt.Errorf("entry %q is encrypted", f.Name)
		}
		e := Entry{Name: f.Name, Mode: f.Mode(), Size: int64(f.UncompressedSize64), open: f.Open}
		if strings.HasSuffix(f.Name, "/") {
			e.Mode = fs.ModeDir | 0o755
		}
		if e.Mode&fs.ModeSymlink != 0 {
			body, err := f.Open()
			if err != nil {
				return err
			}
			target, err := io.ReadAll(io.LimitReader(body, maxSymlink+1))
			_ = body.Close()
			if err != nil {
				return err
			}
			if len(target) > maxSymlink {
				return fmt.Errorf("entry %q is a link longer than any system allows", f.Name)
			}
			e.Link = string(target)
		}
		if err := visit(e); err != nil {
			return err
		}
	}
	return nil
}

// zipEncrypted is bit 0 of the general purpose flags, APPNOTE.TXT 4.4.4, which
// archive/zip does not look at.
const zipEncrypted = 1

// maxPadding bounds what may follow the end of a tar: writers fill up a record,
// which is 10 KiB by default.
const maxPadding = 1 << 20

func eachTarGz(ctx context.Context, src string, visit func(Entry) error) error {
	f, err := os.Open(src)
	if err != nil {
		return err
	}
	defer f.Close()
	zr, err := pgzip.NewReader(f)
	if err != nil {
		return err
	}
	defer zr.Close()
	tr := tar.NewReader(zr)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			// The stream's checksum stands at its end.
			n, err := io.Copy(io.Discard, &contextReader{ctx, io.LimitReader(zr, maxPadding+1)})
			if err == nil && n > maxPadding {
				err = errors.New("the archive goes on after its end")
			}
			return err
		}
		if err != nil {
			return err
		}
		e := Entry{
			Name: h.Name, Mode: h.FileInfo().Mode(), Size: h.Size, Link: h.Linkname,
			open: func() (io.ReadCloser, error) { return io.NopCloser(tr), nil },
		}
		if h.Typeflag == tar.TypeXGlobalHeader {
			continue // a comment, such as git archive's commit
		}
		if h.Typeflag == tar.TypeLink {
			return fmt.Errorf("entry %q is a hard link, which no package holds", h.Name)
		}
		if err := visit(e); err != nil {
			return err
		}
	}
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
