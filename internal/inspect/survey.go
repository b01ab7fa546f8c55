// Package inspect tells for a file, a directory or an archive what each native
// file in it is, needs and can run on. It puts together what objfile, fatbin,
// loader and cuda know; verify judges by it, the command inspect shows it.
package inspect

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/relmat/relmat/internal/archive"
	"github.com/relmat/relmat/internal/fatbin"
	"github.com/relmat/relmat/internal/loader"
	"github.com/relmat/relmat/internal/objfile"
)

// Options say how far a survey looks. Without any it reads headers alone.
type Options struct {
	// All looks for GPU code in all data sections, not only in those that are
	// known to hold it.
	All bool
	// Strings looks for paths of the build machine in all data sections.
	Strings bool
	// Limits bound what an archive may unpack to, and Entries also what a
	// directory may hold. The zero value is archive.DefaultLimits.
	Limits archive.Limits
	// Jobs is how many files are read at a time; 0 is one for each processor.
	Jobs int
}

// Survey is what was found, in the order in which it was asked for.
type Survey struct {
	Roots []*Root
}

// Root is one path that a survey was asked for.
type Root struct {
	// Path is as it was given.
	Path string
	// Kind is "file", "directory" or an archive's format, such as "zip".
	Kind string
	// Files are the native files, in the order of their paths; a damaged one
	// has an error. With them stand the files that have an error of their own and
	// are not known to be native.
	Files []*File
	// Others are the files that are not native, Links the links.
	Others []Other
	Links  []Link
	// Size is the sum of all files.
	Size int64
	// Err says why Path, or the rest of it, could not be read.
	Err error

	// base is where the loader's view has the root.
	base string
}

// File is one native file.
type File struct {
	// Path is relative to the root, clean and slash-separated; for a root that
	// is a file it is the file's name.
	Path string
	Size int64
	// Slices has one entry, for a universal Mach-O file one for each of its
	// machines.
	Slices []*Slice
	// Err says what is damaged. What could be read in spite of it stands in
	// Slices.
	Err error

	// native says that it was seen to be native.
	native bool
	// held is what an archive's file holds of loader.Held.
	held map[string][]string
}

// Slice is one program or library: a native file, or the part of a universal
// Mach-O file that is for one machine.
type Slice struct {
	*objfile.Object
	// GPU is the GPU code in it, nil where there is none.
	GPU *GPU
	// Tree is what it needs and where that is found from here; nil for what no
	// loader reads. Of a library that another file of the root loads it has the
	// library's own needs alone, as they are found there, and Tree.Root is that
	// file. TreeErr says why there is none.
	Tree    *loader.Tree
	TreeErr error
	// Leaks are the strings that look like paths of the build machine, if they
	// were asked for, LeaksMore how many more there are than are listed.
	Leaks     []Leak
	LeaksMore int
}

// Other is a file that is not native.
type Other struct {
	Path string `json:"path"`
	Size int64  `json:"bytes"`
}

// Link is a symbolic link, or a hard link in an archive.
type Link struct {
	Path   string `json:"path"`
	Target string `json:"target"`
	Hard   bool   `json:"hard,omitempty"`
}

// Err is what could not be read, nil where everything could.
func (s *Survey) Err() error {
	var errs []error
	for _, r := range s.Roots {
		if r.Err != nil {
			errs = append(errs, r.Err)
		}
		damaged := 0
		var first error
		for _, f := range r.Files {
			if f.Err == nil {
				continue
			}
			if damaged++; first == nil {
				line, _, _ := strings.Cut(f.Err.Error(), "\n")
				first = errors.New(line)
				if r.Kind != "file" {
					first = fmt.Errorf("%s: %w", text(f.Path), first)
				}
			}
		}
		switch {
		case damaged == 1:
			errs = append(errs, fmt.Errorf("%s: %w", r.Path, first))
		case damaged > 1:
			errs = append(errs, fmt.Errorf("%s: %d files are damaged; the first: %w", r.Path, damaged, first))
		}
	}
	return errors.Join(errs...)
}

// maxKept bounds what a survey remembers: needs, sections, images and names
// altogether. The CUDA toolkit has 40,000.
const maxKept = 1 << 24

var errTooMuch = errors.New("there is more in it than can be kept; inspect its parts one by one")

// surveyor is a survey under way.
type surveyor struct {
	opts    Options
	group   *errgroup.Group
	buffers chan []byte
	kept    atomic.Int64
	// packed says that the root is an archive.
	packed bool
}

// Look surveys paths: files, directories and archives. What cannot be read is
// told in the survey and does not end it; the error is the context's alone.
func Look(ctx context.Context, paths []string, opts Options) (*Survey, error) {
	if opts.Jobs <= 0 {
		opts.Jobs = runtime.GOMAXPROCS(0)
	}
	if opts.Limits == (archive.Limits{}) {
		opts.Limits = archive.DefaultLimits
	}
	s := &surveyor{opts: opts, buffers: make(chan []byte, opts.Jobs)}
	for range opts.Jobs {
		s.buffers <- nil // each is made when it is first used
	}
	out := &Survey{}
	for _, p := range paths {
		r := &Root{Path: p}
		out.Roots = append(out.Roots, r)
		if err := s.root(ctx, r); err != nil {
			r.Err = fmt.Errorf("%s: %w", p, bare(err, p))
		}
		if err := ctx.Err(); err != nil {
			return nil, context.Cause(ctx)
		}
	}
	for _, r := range out.Roots {
		if err := s.resolve(ctx, r); err != nil {
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			r.Err = errors.Join(r.Err, fmt.Errorf("%s: %w", r.Path, err))
		}
		for _, f := range r.Files {
			for _, sl := range f.Slices {
				sl.judge()
			}
		}
	}
	return out, nil
}

// bare takes the path out of an error of the operating system, which names it
// itself.
func bare(err error, path string) error {
	var pe *fs.PathError
	if errors.As(err, &pe) && pe.Path == path {
		return pe.Err
	}
	return err
}

func (s *surveyor) root(ctx context.Context, r *Root) error {
	info, err := os.Stat(r.Path)
	if err != nil {
		return err
	}
	s.group, ctx = errgroup.WithContext(ctx)
	s.group.SetLimit(s.opts.Jobs)
	s.packed = false
	b := &basket{}
	switch {
	case info.IsDir():
		r.Kind = "directory"
		err = s.directory(ctx, r.Path, b)
	case !info.Mode().IsRegular():
		return errors.New("is neither a file nor a directory")
	default:
		err = s.file(ctx, r, info.Size(), b)
	}
	// The first error of a worker ended the others and the way through the root.
	if werr := s.group.Wait(); werr != nil {
		err = werr
	}
	b.into(r)
	return err
}

// file looks at a path that is a file: a native one or an archive.
func (s *surveyor) file(ctx context.Context, r *Root, size int64, b *basket) error {
	f, err := os.Open(r.Path)
	if err != nil {
		return err
	}
	defer f.Close()
	if !isNative(f, size) {
		format, ok := archive.Sniff(f)
		if !ok {
			return errors.New("is neither a native file (ELF, PE, Mach-O, metallib) nor an archive (zip, wheel, tar, tar.gz, tar.zst, tar.xz)")
		}
		r.Kind, s.packed = string(format), true
		return s.archive(ctx, f, size, format, b)
	}
	r.Kind = "file"
	slot := b.add(filepath.Base(r.Path), size)
	return s.read(ctx, slot, f)
}

// directory looks at all files below dir. Links are listed, not followed.
func (s *surveyor) directory(ctx context.Context, dir string, b *basket) error {
	left := s.opts.Limits.Entries
	return filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		rel, rerr := filepath.Rel(dir, p)
		if rerr != nil {
			return rerr
		}
		rel = filepath.ToSlash(rel)
		if err != nil {
			if rel == "." {
				return err
			}
			b.add(rel, 0).err = bare(err, p)
			return nil
		}
		if left--; left < 0 {
			return fmt.Errorf("holds more than %d files", s.opts.Limits.Entries)
		}
		switch {
		case d.Type()&fs.ModeSymlink != 0:
			target, err := os.Readlink(p)
			if err != nil {
				return err
			}
			b.links = append(b.links, Link{Path: rel, Target: filepath.ToSlash(target)})
			return s.keep(len(rel) + len(target))
		case d.IsDir():
			return nil
		}
		slot := b.add(rel, 0)
		info, err := d.Info()
		if err != nil {
			slot.err = bare(err, p)
			return nil
		}
		slot.size = info.Size()
		if !d.Type().IsRegular() {
			return nil // a device or a pipe: opening it may wait forever
		}
		s.group.Go(func() error {
			f, err := os.Open(p)
			if err != nil {
				slot.err = bare(err, p)
				return nil
			}
			defer f.Close()
			if !isNative(f, slot.size) {
				return nil
			}
			return s.read(ctx, slot, f)
		})
		return nil
	})
}

// isNative tells whether a file has the magic number of a native file; it may
// be damaged.
func isNative(r io.ReaderAt, size int64) bool {
	head := make([]byte, 4096)
	n, err := r.ReadAt(head[:min(size, int64(len(head)))], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return false
	}
	return nativeHead(head[:n])
}

// nativeHead is isNative for a file's first bytes. They may be too few for
// more: where a PE file's own magic number lies the file itself says.
func nativeHead(head []byte) bool {
	if len(head) >= 2 && string(head[:2]) == "MZ" {
		return true
	}
	_, err := objfile.Read(strings.NewReader(string(head)), int64(len(head)))
	return !errors.Is(err, objfile.ErrFormat)
}

// read reads a native file. Its error is only one that ends the survey.
func (s *surveyor) read(ctx context.Context, slot *slot, r io.ReaderAt) error {
	objects, err := objfile.Read(r, slot.size)
	if errors.Is(err, objfile.ErrFormat) {
		return nil // as a program of DOS
	}
	slot.native = true
	slot.err = err
	weight := 0
	for _, o := range objects {
		sl := &Slice{Object: o}
		slot.slices = append(slot.slices, sl)
		weight += weigh(o)
		// The loader's view of an archive does not have the bytes.
		if s.packed && slot.held == nil {
			if slot.held, err = loader.Held(r, slot.size, o, slot.path); err != nil {
				slot.err = errors.Join(slot.err, fmt.Errorf("looking for the libraries that it loads: %w", err))
			}
			weight += len(slot.held)
		}
		regions := regionsOf(o)
		if o.Format == objfile.ELF || o.Format == objfile.PE {
			images, err := fatbin.Images(r, regions, fatbin.Options{All: s.opts.All})
			if err != nil {
				slot.err = errors.Join(slot.err, fmt.Errorf("GPU code: %w", err))
			}
			if sl.GPU = gpuOf(images); sl.GPU != nil {
				weight += len(sl.GPU.Images) + len(sl.GPU.Sections)
			}
		}
		if s.opts.Strings {
			leaks, more, err := s.leaks(ctx, r, o, slot.size)
			if err != nil {
				if ctx.Err() != nil {
					return err
				}
				slot.err = errors.Join(slot.err, fmt.Errorf("looking for paths: %w", err))
			}
			sl.Leaks, sl.LeaksMore = leaks, more
			weight += len(leaks)
		}
	}
	return s.keep(weight)
}

func (s *surveyor) keep(n int) error {
	if s.kept.Add(int64(n)) > maxKept {
		return errTooMuch
	}
	return nil
}

// weigh counts what is kept of a file, roughly.
func weigh(o *objfile.Object) int {
	n := 1 + len(o.Needs) + len(o.DelayNeeds) + len(o.Dlopen) + len(o.Rpath) + len(o.Runpath) + len(o.Sections)
	for _, need := range o.Needs {
		n += len(need.Versions)
	}
	return n
}

// slot is a file that is being looked at.
type slot struct {
	path   string
	size   int64
	native bool
	slices []*Slice
	held   map[string][]string
	err    error
}

// basket gathers what is found in a root. Only the one that goes through the
// root adds to it; the workers fill the slots.
type basket struct {
	slots []*slot
	links []Link
}

func (b *basket) add(path string, size int64) *slot {
	sl := &slot{path: path, size: size}
	b.slots = append(b.slots, sl)
	return sl
}

func (b *basket) into(r *Root) {
	r.Links = b.links
	for _, sl := range b.slots {
		r.Size += sl.size
		if sl.native || sl.err != nil {
			r.Files = append(r.Files, &File{Path: sl.path, Size: sl.size, Slices: sl.slices, Err: sl.err, native: sl.native, held: sl.held})
			continue
		}
		r.Others = append(r.Others, Other{sl.path, sl.size})
	}
	slices.SortStableFunc(r.Files, func(a, b *File) int { return strings.Compare(a.Path, b.Path) })
	slices.SortStableFunc(r.Others, func(a, b Other) int { return strings.Compare(a.Path, b.Path) })
	slices.SortStableFunc(r.Links, func(a, b Link) int { return strings.Compare(a.Path, b.Path) })
}
