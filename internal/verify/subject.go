package verify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/relmat/relmat/internal/archive"
	"github.com/relmat/relmat/internal/cuda"
	"github.com/relmat/relmat/internal/fsx"
	"github.com/relmat/relmat/internal/inspect"
	"github.com/relmat/relmat/internal/manifest"
	"github.com/relmat/relmat/internal/matrix"
	"github.com/relmat/relmat/internal/objfile"
)

// subject is a package that is being judged. The rules read it, and add to what
// is not proven.
type subject struct {
	o    Options
	kind string
	root string
	size int64
	// packed is the archive's size, 0 for a directory.
	packed  int64
	entries []*entry
	// byPath has the first entry of each path.
	byPath  map[string]*entry
	natives []*native

	// manifest is the package's own; manifests has also those of packages of
	// libraries that were unpacked over it.
	manifest     *manifest.Manifest
	manifests    []*manifest.Manifest
	manifestErrs map[string]error
	wheel        *wheel
	// platform is what the package is for: the matrix's, or what it says of
	// itself; the zero value where that is not known. promised says who tells.
	platform matrix.Platform
	promised string

	// spool is the directory of an archive's native files, empty for a directory.
	spool     string
	lookups   *lookups
	leaks     map[string]leakResult
	packedEst *estimate
	notProven []NotProven
}

// newSubject reads a package. It must be closed, once all rules have judged:
// some of them read files again.
func newSubject(ctx context.Context, o Options) (_ *subject, err error) {
	info, err := os.Stat(o.Path)
	if err != nil {
		return nil, bare(err, o.Path)
	}
	s := &subject{o: o, byPath: map[string]*entry{}, manifestErrs: map[string]error{}}
	r := newReader(o)
	dir := o.Path
	// Before anything is opened: of a pipe even that may never end.
	if !info.IsDir() && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("it is %s, and a package is a directory or an archive", fsx.Kind(info.Mode()))
	}
	if info.IsDir() {
		s.kind = "directory"
		if err := r.directory(ctx, dir); err != nil {
			return nil, err
		}
	} else {
		s.spool, err = os.MkdirTemp("", "relmat-verify-")
		if err != nil {
			return nil, fsx.TempSpace(err)
		}
		defer func() {
			if err != nil {
				s.close()
			}
		}()
		r.spool, dir = s.spool, s.spool
		if err := s.openArchive(ctx, r, info.Size()); err != nil {
			return nil, err
		}
	}
	s.size = r.size
	s.root = r.strip(func(top string) bool {
		if s.kind == "directory" {
			return false
		}
		return o.Target != nil || slices.ContainsFunc(r.entries, func(e *entry) bool {
			rel, ok := strings.CutPrefix(e.Path, top+"/")
			return ok && manifest.IsName(rel)
		})
	})
	s.entries = r.entries
	slices.SortStableFunc(s.entries, func(a, b *entry) int { return strings.Compare(a.Path, b.Path) })
	for _, e := range s.entries {
		if e.Name == "" && s.byPath[e.Path] == nil {
			s.byPath[e.Path] = e
		}
	}
	s.readManifests()
	if s.manifest != nil && o.Target == nil && o.Find != nil {
		if err := o.Find(s.manifest, &s.o); err != nil {
			return nil, err
		}
	}
	s.readWheel()
	if err := s.survey(ctx, dir); err != nil {
		return nil, err
	}
	s.choosePlatform()
	for _, e := range s.entries {
		e.vendor, e.system = vendorOf(e), distributed(e)
	}
	if err := s.resolve(ctx); err != nil {
		return nil, err
	}
	if err := s.scanLeaks(ctx); err != nil {
		return nil, err
	}
	return s, s.estimateSize(ctx)
}

// close removes what was unpacked.
func (s *subject) close() {
	if s.spool != "" {
		_ = fsx.RemoveAll(s.spool)
	}
}

// bare takes the path out of an error of the operating system, which the
// caller names.
func bare(err error, p string) error {
	var pe *os.PathError
	if errors.As(err, &pe) && pe.Path == p {
		return pe.Err
	}
	return err
}

func (s *subject) openArchive(ctx context.Context, r *reader, size int64) error {
	f, err := os.Open(s.o.Path)
	if err != nil {
		return err
	}
	defer f.Close()
	format, ok := archive.Sniff(f)
	if !ok {
		if _, err := objfile.Read(f, size); !errors.Is(err, objfile.ErrFormat) {
			return errors.New("it is a single native file, of which `relmat inspect` tells; a package is a directory or an archive")
		}
		return errors.New("it is neither a directory nor an archive (zip, wheel, tar, tar.gz, tar.zst, tar.xz)")
	}
	s.kind, s.packed = string(format), size
	if s.o.Total != nil {
		s.o.Total(0) // what it unpacks to is known at its end
	}
	return r.archive(ctx, f, size, format)
}

// readManifests reads the package's own list and those of packages of
// libraries. Other programs also have files of such a name, which are none of
// relmat's; but one that cannot be read may have been relmat's, and without it
// nothing would be held against its digests.
func (s *subject) readManifests() {
	for _, e := range s.entries {
		if !manifest.IsName(e.Path) || !e.regular() || e.Err != nil {
			continue // what cannot be read is told anyway
		}
		m, err := decodeManifest(e)
		if err != nil {
			s.manifestErrs[e.Path] = err
		}
		if err != nil || m == nil {
			continue
		}
		s.manifests = append(s.manifests, m)
		if s.manifest == nil || e.Path == manifest.FileName {
			s.manifest = m
		}
		for i := range m.Files {
			if e := s.byPath[m.Files[i].Path]; e != nil {
				e.listed = &m.Files[i]
			}
		}
	}
}

// decodeManifest reads a manifest. It is nil where the file is another
// program's.
func decodeManifest(e *entry) (*manifest.Manifest, error) {
	switch {
	case e.native:
		return nil, errors.New("it is a native file")
	case e.data == nil && e.Size > 0:
		return nil, fmt.Errorf("it has %d bytes, which no list has", e.Size)
	case len(bytes.TrimSpace(e.data)) == 0:
		return nil, errors.New("it is empty")
	case !json.Valid(e.data):
		var raw json.RawMessage
		return nil, fmt.Errorf("it is no JSON: %w", json.Unmarshal(e.data, &raw))
	case !manifest.IsOurs(e.data):
		return nil, nil //nolint:nilnil // another program's
	}
	m, err := manifest.Decode(e.data)
	if err != nil {
		return nil, err
	}
	if lacks := m.Lacks(); len(lacks) > 0 {
		return nil, fmt.Errorf("it lacks %s", strings.Join(lacks, ", "))
	}
	return &m, nil
}

// survey reads the native files. Those of an archive lie in the spool under
// other names.
func (s *subject) survey(ctx context.Context, dir string) error {
	byDisk := map[string]*entry{}
	for _, e := range s.entries {
		if e.native && e.disk != "" && e.Err == nil {
			byDisk[e.disk] = e
		}
	}
	if len(byDisk) == 0 {
		return nil
	}
	found, err := inspect.Look(ctx, []string{dir}, inspect.Options{Limits: s.o.Limits, Jobs: s.o.Jobs})
	if err != nil {
		return err
	}
	r := found.Roots[0]
	if r.Err != nil && len(r.Files) == 0 {
		return r.Err
	}
	for _, f := range r.Files {
		e := byDisk[filepath.Join(dir, filepath.FromSlash(f.Path))]
		if e == nil {
			continue
		}
		for _, sl := range f.Slices {
			n := &native{Slice: sl, entry: e, damage: f.Err}
			e.slices = append(e.slices, n)
		}
		if f.Err != nil && e.Err == nil {
			e.Err = f.Err
		}
	}
	for _, e := range s.entries {
		s.natives = append(s.natives, e.slices...)
	}
	return nil
}

// loads tells whether a system's loader reads the file.
func (n *native) loads() bool {
	switch n.Kind {
	case objfile.Executable, objfile.Library, objfile.Bundle:
		return n.Format != objfile.Metallib && n.Machine != "cuda"
	}
	return false
}

func (n *native) os() string {
	switch n.Format {
	case objfile.PE:
		return "windows"
	case objfile.MachO, objfile.Metallib:
		return "macos"
	}
	return "linux"
}

// choosePlatform finds out what the package is for.
func (s *subject) choosePlatform() {
	switch {
	case s.o.Target != nil:
		s.platform, s.promised = s.o.Target.Row.Platform, "the matrix's target "+s.o.Target.Row.Name
	case s.manifest != nil:
		if p, err := matrix.ParseTriple(s.manifest.Triple); err == nil {
			s.platform, s.promised = p, "the package's manifest"
		}
	case s.wheel != nil:
		s.platform, s.promised = s.wheel.platform, "the wheel's tag "+s.wheel.tag
	}
	if s.platform == (matrix.Platform{}) {
		s.promised = ""
	}
}

// isBuild tells whether a file is of the project's own build. Without a
// manifest, everything that the tables of libraries do not know is.
func (e *entry) isBuild() bool {
	if e.listed != nil {
		switch e.listed.Origin {
		case manifest.Build, manifest.Prebuilt:
			return true
		case manifest.Source:
			return e.native
		}
		return false
	}
	return e.vendor == nil && e.system == nil
}

// newer tells whether a version is newer than another; an empty one is older
// than any.
func newer(a, b string) bool { return cuda.CompareVersions(a, b) > 0 }

func (s *subject) targetName() string {
	if s.o.Target != nil {
		return s.o.Target.Row.Name
	}
	if s.manifest != nil {
		return s.manifest.Target
	}
	return ""
}

// report begins the report with what was looked at.
func (s *subject) report() *Report {
	rep := &Report{
		Schema: 1, Path: s.o.Path, Kind: s.kind, Root: s.root, Target: s.targetName(), Bytes: s.size, Findings: []Finding{},
		Needs: s.needs(), Host: s.lookups.host(),
	}
	for _, e := range s.entries {
		if !e.Mode.IsDir() {
			rep.Files++
		}
		if len(e.slices) > 0 {
			rep.Native++
		}
	}
	if rep.Target == "" && s.promised != "" {
		rep.Target = s.platform.String()
	}
	return rep
}

// programs are the files that are started.
func (s *subject) programs() []*native {
	var out []*native
	for _, n := range s.natives {
		if n.Kind == objfile.Executable && n.loads() {
			out = append(out, n)
		}
	}
	return out
}
