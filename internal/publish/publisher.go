package publish

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/relmat/relmat/internal/fsx"
	"github.com/relmat/relmat/internal/manifest"
	"github.com/relmat/relmat/internal/matrix"
	"github.com/relmat/relmat/internal/progress"
)

// Visibility says who is to see a release at the end.
type Visibility string

// The visibilities. Auto is Prerelease for a tag such as v1.2.0-rc.1, by
// Semantic Versioning 2.0.0 (9), else Full.
const (
	Auto       Visibility = ""
	Draft      Visibility = "draft"
	Prerelease Visibility = "prerelease"
	Full       Visibility = "full"
)

// Wanted is what a release is to be.
type Wanted struct {
	Tag   string
	Files []File
	// Release, where set, is published as release.json. Checksums adds
	// SHA256SUMS; where the release is not whole, lines of assets that it has
	// already stay. ChecksumFiles adds ASSET.sha256 for each file.
	Release       *manifest.Release
	Checksums     bool
	ChecksumFiles bool

	// Name and Notes replace the release's where they are given; a new one is
	// called by its tag.
	Name  string
	Notes *string
	// Footer is what the notes end with, in place of an earlier one; nil leaves
	// what is there. A directory has no notes.
	Footer *string
	// GenerateNotes has the publisher write notes where there are none.
	GenerateNotes bool
	Visibility    Visibility
	// Latest is "true", "false", "legacy" or empty, GitHub's default
	// ("Update a release", make_latest).
	Latest string
	// Commit is what the tag must name, or is to name where there is none.
	// Empty takes the tag as it is.
	Commit string
}

// Result is what a publisher made.
type Result struct {
	Outcome Outcome `json:"outcome"`
	// URL is where the release is seen, a directory's path in the case of one.
	URL string `json:"url"`
	// ID is GitHub's of the release; 0 for a directory.
	ID         int64  `json:"id,omitempty"`
	Draft      bool   `json:"draft"`
	Prerelease bool   `json:"prerelease"`
	Assets     []File `json:"assets"`
}

// Link is where an asset of a release on GitHub is downloaded, empty where that
// is not known. A draft's is for the repository's writers.
func (r *Result) Link(name string) string {
	before, tag, ok := strings.Cut(r.URL, "/releases/tag/")
	if !ok || r.ID == 0 {
		return ""
	}
	return before + "/releases/download/" + tag + "/" + url.PathEscape(name)
}

// Publisher puts a release where users find it.
type Publisher interface {
	// Preflight asks, in seconds, all that would refuse the release. A file of
	// size -1 is not made yet.
	Preflight(ctx context.Context, w Wanted, task *progress.Task) error
	// Plan says what Publish would do.
	Plan(ctx context.Context, w Wanted, task *progress.Task) (*Plan, error)
	// Publish makes the release hold the files, whatever state it is in.
	Publish(ctx context.Context, w Wanted, task *progress.Task) (*Result, error)
}

var (
	_ Publisher = (*GitHub)(nil)
	_ Publisher = (*Dir)(nil)
)

// ErrNames says that files cannot be assets under their names.
var ErrNames = errors.New("the files cannot be assets of one release")

// files are the wanted files and those that are made up from them, by name.
func (w Wanted) files() ([]source, error) {
	var list []source
	for _, f := range w.Files {
		list = append(list, source{File: f})
	}
	if w.Checksums {
		list = append(list, made(sumsName, checksums(w.Files)))
	}
	if w.ChecksumFiles {
		list = append(list, checksumFiles(w.Files)...)
	}
	if w.Release != nil {
		data, err := json.MarshalIndent(w.Release, "", "  ")
		if err != nil {
			return nil, err
		}
		list = append(list, made(releaseName, append(data, '\n')))
	}
	slices.SortStableFunc(list, func(a, b source) int { return strings.Compare(a.Name, b.Name) })
	var names, bad []string
	for _, s := range w.Files {
		names = append(names, s.Name)
	}
	if err := matrix.AssetNames(names...); err != nil {
		bad = append(bad, err.Error())
	}
	for i, s := range list {
		if _, _, temporary := IsTemporary(s.Name); temporary {
			bad = append(bad, s.Name+" is a name that relmat gives to replacements; rename the file")
		}
		// GitHub's names differ by case; those of a download on Windows or
		// macOS do not.
		for _, other := range list[:i] {
			if strings.EqualFold(other.Name, s.Name) {
				bad = append(bad, w.clash(other, s)...)
			}
		}
	}
	if len(bad) > 0 {
		return nil, fmt.Errorf("%w: %s", ErrNames, strings.Join(bad, "; "))
	}
	return list, nil
}

// hasPart tells whether a name is that of the part manifest of a target which
// the release has.
func (w Wanted) hasPart(name string) bool {
	target, ok := manifest.IsPartName(name)
	if !ok || w.Release == nil {
		return false
	}
	return slices.ContainsFunc(w.Release.Targets, func(p manifest.Part) bool { return p.Target == target })
}

// clash says what two files of one name are, and how to mend it. Two that are
// both made follow from two that are given.
func (w Wanted) clash(a, b source) []string {
	if a.data != nil && b.data == nil {
		a, b = b, a
	}
	path := cmp.Or(a.Path, a.Name)
	switch {
	case a.data != nil:
		return nil
	case b.data == nil:
		return []string{fmt.Sprintf("there are two files %s (%s and %s); rename one", b.Name, path, cmp.Or(b.Path, b.Name))}
	case w.Release != nil:
		return []string{fmt.Sprintf("relmat makes %s itself; give the asset %s another name", b.Name, a.Name)}
	}
	flag := "--checksum-files"
	if b.Name == sumsName {
		flag = "--checksums"
	}
	return []string{fmt.Sprintf("%s makes %s, and %s is among the files; leave it out, or drop the flag", flag, b.Name, path)}
}

// visibility resolves Auto by the tag.
func (w Wanted) visibility() Visibility {
	switch {
	case w.Visibility != Auto:
		return w.Visibility
	case IsPrerelease(w.Tag):
		return Prerelease
	}
	return Full
}

// marked tells whether a draft is made as a pre-release: as it is to be
// published, which of one that stays a draft only the tag says.
func (w Wanted) marked() bool {
	v := w.visibility()
	return v == Prerelease || v == Draft && IsPrerelease(w.Tag)
}

// Dir publishes into a directory, as Directory does.
type Dir struct {
	// Path receives TAG/.
	Path string
	// Replace allows a published release to be replaced by another.
	Replace bool
	// DryRun makes nothing, not even Path.
	DryRun  bool
	Digests *fsx.Digests
}

// Preflight checks the names, and that the directory can be made, by making it.
func (d *Dir) Preflight(_ context.Context, w Wanted, _ *progress.Task) error {
	if err := checkNames(w.manifest(), w.ChecksumFiles); err != nil {
		return err
	}
	if !d.DryRun {
		return d.writable()
	}
	for path := filepath.Clean(d.Path); ; path = filepath.Dir(path) {
		info, err := os.Stat(path)
		switch {
		case err == nil && !info.IsDir():
			return &fs.PathError{Op: "mkdir", Path: path, Err: syscall.ENOTDIR}
		case err == nil || path == filepath.Dir(path):
			return err
		case !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR):
			return err
		}
	}
}

// writable makes the directory, and sees whether a file can be made in it: by
// the rights alone nobody can tell.
func (d *Dir) writable() error {
	err := os.MkdirAll(d.Path, 0o755)
	var f *os.File
	if err == nil {
		f, err = os.CreateTemp(d.Path, ".relmat.partial-")
	}
	if err == nil {
		err = errors.Join(f.Close(), fsx.Remove(f.Name()))
	}
	if err != nil {
		return fmt.Errorf("a release cannot be put into %s: %w; name another directory, or give the right to write there", d.Path, err)
	}
	return nil
}

// Plan is one line for all files: a directory changes whole or not at all.
func (d *Dir) Plan(_ context.Context, w Wanted, _ *progress.Task) (*Plan, error) {
	outcome, err := check(d.Path, w.manifest(), w.ChecksumFiles, d.Replace, d.Digests)
	if err != nil {
		return nil, err
	}
	p := &Plan{To: filepath.Join(d.Path, w.Tag), Tag: w.Tag}
	kind := Upload
	if outcome == Unchanged {
		kind = Keep
	}
	files := w.Files
	if w.ChecksumFiles {
		for _, s := range checksumFiles(w.Files) {
			files = append(slices.Clip(files), s.File)
		}
	}
	for _, f := range files {
		p.Assets = append(p.Assets, Action{Kind: kind, Name: f.Name, To: f.Name, Why: string(outcome)})
	}
	return p, nil
}

// Publish makes the directory TAG hold exactly the release.
func (d *Dir) Publish(ctx context.Context, w Wanted, task *progress.Task) (*Result, error) {
	outcome, err := directory(ctx, d.Path, w.manifest(), w.ChecksumFiles, d.Replace, d.Digests, task)
	if err != nil {
		return nil, err
	}
	return &Result{Outcome: outcome, URL: filepath.Join(d.Path, w.Tag), Assets: w.Files}, nil
}

// manifest is the release of release.json, made up where there is none.
func (w Wanted) manifest() manifest.Release {
	if w.Release != nil {
		return *w.Release
	}
	part := manifest.Part{Keys: map[string]string{}}
	for _, f := range w.Files {
		part.Assets = append(part.Assets, manifest.Asset{Name: f.Name, Path: f.Path, Size: f.Size, SHA256: f.SHA256})
	}
	return manifest.Release{Tag: w.Tag, Commit: w.Commit, Targets: []manifest.Part{part}}
}
