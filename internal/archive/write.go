// Package archive turns trees into archives whose bytes depend on nothing but
// the tree, and archives back into trees without trusting what they say.
package archive

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/mholt/archiver/v3"
)

// epoch is the time of every entry: the first that a zip can express.
var epoch = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)

// maxSymlink bounds a link's target; no system allows more.
const maxSymlink = 4096

// Format is an archive format by its file extension.
type Format string

// The formats.
const (
	Zip   Format = "zip"
	TarGz Format = "tar.gz"
)

// FormatOf tells the format of an archive by its name.
func FormatOf(name string) (Format, error) {
	for _, f := range []Format{Zip, TarGz} {
		if strings.HasSuffix(strings.ToLower(name), "."+string(f)) {
			return f, nil
		}
	}
	return "", fmt.Errorf("%s: the archive formats are .zip and .tar.gz", name)
}

// Write packs the tree below root into w, under the directory prefix, which
// may be empty. Entries are sorted, their times, owners and permissions
// normalised, so the same tree gives the same bytes. count, if not nil,
// receives the content as it is read.
func Write(w io.Writer, format Format, root, prefix string, count io.Writer) error {
	if count == nil {
		count = io.Discard
	}
	out := &stickyWriter{w: w}
	var aw archiver.Writer
	switch format {
	case Zip:
		aw = archiver.NewZip()
	case TarGz:
		aw = archiver.NewTarGz()
	default:
		return fmt.Errorf("unknown archive format %q", format)
	}
	if err := aw.Create(out); err != nil {
		return err
	}
	err := walk(root, func(rel string, info fs.FileInfo) error {
		return writeEntry(aw, filepath.Join(root, filepath.FromSlash(rel)), path.Join(prefix, rel), info, count)
	})
	// archiver drops the error of closing the compressor; out remembers it.
	return errors.Join(err, aw.Close(), out.err)
}

// walk visits what lies below root in the order of the full paths, so that the
// order does not depend on the file system.
func walk(root string, visit func(rel string, info fs.FileInfo) error) error {
	var rels []string
	infos := map[string]fs.FileInfo{}
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || p == root {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if _, err := cleanName(rel); err != nil {
			return fmt.Errorf("%s cannot be packed: not every system can unpack such a name", p)
		}
		rels = append(rels, rel)
		infos[rel] = info
		return nil
	})
	if err != nil {
		return err
	}
	slices.Sort(rels)
	for _, rel := range rels {
		if err := visit(rel, infos[rel]); err != nil {
			return err
		}
	}
	return nil
}

func writeEntry(aw archiver.Writer, src, name string, info fs.FileInfo, count io.Writer) error {
	mode := info.Mode()
	entry := entryInfo{name: name, size: info.Size(), mode: 0o644}
	var body io.ReadCloser
	switch {
	case mode.IsDir():
		entry.mode, entry.size = fs.ModeDir|0o755, 0
	case mode.IsRegular():
		if mode&0o100 != 0 || filepath.Ext(name) == ".exe" {
			entry.mode = 0o755
		}
		f, err := os.Open(src)
		if err != nil {
			return err
		}
		defer f.Close()
		body = io.NopCloser(io.TeeReader(f, count))
	case mode&fs.ModeSymlink != 0:
		entry.mode = fs.ModeSymlink | 0o777
	default:
		return fmt.Errorf("%s: %s cannot be archived", src, mode.Type())
	}
	err := aw.Write(archiver.File{
		FileInfo:   archiver.FileInfo{FileInfo: entry, CustomName: name, SourcePath: src},
		ReadCloser: body,
	})
	if err != nil {
		return fmt.Errorf("packing %s: %w", name, err)
	}
	return nil
}

// entryInfo is what an archive says of an entry. Sys is nil, so no owner of
// the build machine gets in.
type entryInfo struct {
	name string
	size int64
	mode fs.FileMode
}

func (e entryInfo) Name() string       { return e.name }
func (e entryInfo) Size() int64        { return e.size }
func (e entryInfo) Mode() fs.FileMode  { return e.mode }
func (e entryInfo) ModTime() time.Time { return epoch }
func (e entryInfo) IsDir() bool        { return e.mode.IsDir() }
func (e entryInfo) Sys() any           { return nil }

// stickyWriter remembers the first error of w.
type stickyWriter struct {
	w   io.Writer
	err error
}

func (s *stickyWriter) Write(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	n, err := s.w.Write(p)
	s.err = err
	return n, err
}
