// Package publish puts finished assets where users find them.
package publish

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/relmat/relmat/internal/fsx"
	"github.com/relmat/relmat/internal/manifest"
	"github.com/relmat/relmat/internal/progress"
)

const (
	sumsName    = "SHA256SUMS"
	releaseName = "release.json"
)

// ErrDiffers says that the release is there with other content.
var ErrDiffers = errors.New("the release is there with other files")

// Outcome tells what a publisher did.
type Outcome string

// The outcomes. Drafted and Updated are GitHub's alone: a draft is complete
// and stays one; a release that was there has other assets or notes now.
const (
	Published Outcome = "published"
	Unchanged Outcome = "unchanged"
	Replaced  Outcome = "replaced"
	Drafted   Outcome = "drafted"
	Updated   Outcome = "updated"
)

// checkNames refuses names that would lead out of the release's directory, or
// onto another file in it. A leading dot is for what is not finished.
func checkNames(r manifest.Release, files bool) error {
	plain := func(name string) bool {
		return filepath.IsLocal(name) && !strings.ContainsAny(name, `/\`) && !strings.HasPrefix(name, ".")
	}
	if !plain(r.Tag) {
		return fmt.Errorf("tag %q cannot name a directory", r.Tag)
	}
	seen := map[string]bool{}
	for _, a := range r.Assets() {
		if !plain(a.Name) {
			return fmt.Errorf("asset %q cannot name a file", a.Name)
		}
		if !utf8.ValidString(a.Name) {
			return fmt.Errorf("the name of asset %q is not UTF-8, which %s needs; rename the file", a.Name, releaseName)
		}
		if a.Name == sumsName || a.Name == releaseName {
			return fmt.Errorf("relmat writes %s into the directory itself; leave the file out, or rename it", a.Name)
		}
		if seen[a.Name] {
			return fmt.Errorf("the release has two files %s", a.Name)
		}
		seen[a.Name] = true
	}
	for _, s := range checksumFilesOf(r, files) {
		if seen[s.Name] {
			return fmt.Errorf("relmat makes %s itself; leave the file out, or rename it", s.Name)
		}
	}
	return nil
}

// checksumFilesOf are the ASSET.sha256 of a release, where they are wanted.
func checksumFilesOf(r manifest.Release, wanted bool) []source {
	if !wanted {
		return nil
	}
	var files []File
	for _, a := range r.Assets() {
		files = append(files, File{Name: a.Name, SHA256: a.SHA256})
	}
	return checksumFiles(files)
}

// Check tells what Directory would do, without doing it. Its error wraps
// ErrDiffers where the release is there and replace does not allow another.
func Check(dir string, r manifest.Release, replace bool, digests *fsx.Digests) (Outcome, error) {
	return check(dir, r, false, replace, digests)
}

// check is Check for a release that has ASSET.sha256 where files is set.
func check(dir string, r manifest.Release, files, replace bool, digests *fsx.Digests) (Outcome, error) {
	if err := checkNames(r, files); err != nil {
		return "", err
	}
	final := filepath.Join(dir, r.Tag)
	if _, err := os.Lstat(final); errors.Is(err, fs.ErrNotExist) {
		return Published, nil
	} else if err != nil {
		return "", err
	}
	diff, err := difference(final, r, files, digests)
	if err != nil {
		return "", err
	}
	switch {
	case len(diff) == 0:
		return Unchanged, nil
	case replace:
		return Replaced, nil
	}
	return "", fmt.Errorf("%s: %w: %s; publish under another tag, or use --replace", final, ErrDiffers, strings.Join(diff, "; "))
}

// difference lists how the published directory differs from the release.
func difference(final string, r manifest.Release, files bool, digests *fsx.Digests) ([]string, error) {
	var diff []string
	assets := r.Assets()
	want := map[string]bool{sumsName: true, releaseName: true}
	for _, a := range assets {
		want[a.Name] = true
		sum, _, err := digests.File(filepath.Join(final, a.Name))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			diff = append(diff, a.Name+" is missing")
		case err != nil:
			return nil, err
		case sum != a.SHA256:
			diff = append(diff, a.Name+" has other bytes")
		}
	}
	for _, s := range append(checksumFilesOf(r, files), made(sumsName, sums(assets))) {
		want[s.Name] = true
		have, err := os.ReadFile(filepath.Join(final, s.Name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		if !bytes.Equal(have, s.data) {
			diff = append(diff, s.Name+" says something else")
		}
	}
	// The times of smoke tests stand in release.json: no two runs have the same.
	var said manifest.Release
	data, err := os.ReadFile(filepath.Join(final, releaseName))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		diff = append(diff, releaseName+" is missing")
	case err != nil:
		return nil, err
	case json.Unmarshal(data, &said) != nil || said.Tag != r.Tag:
		diff = append(diff, releaseName+" is damaged")
	}
	entries, err := os.ReadDir(final)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if !want[e.Name()] {
			diff = append(diff, e.Name()+" is not of this release")
		}
	}
	return diff, nil
}

// Directory makes dir/TAG hold exactly the release: the assets, SHA256SUMS and
// release.json. It appears by a rename, whole or not at all.
func Directory(ctx context.Context, dir string, r manifest.Release, replace bool, digests *fsx.Digests, task *progress.Task) (Outcome, error) {
	return directory(ctx, dir, r, false, replace, digests, task)
}

// directory is Directory for a release that has ASSET.sha256 where files is set.
func directory(ctx context.Context, dir string, r manifest.Release, files, replace bool, digests *fsx.Digests, task *progress.Task) (Outcome, error) {
	if err := checkNames(r, files); err != nil {
		return "", err
	}
	r.Schema = manifest.ReleaseSchema
	final := filepath.Join(dir, r.Tag)
	unlock, err := fsx.Lock(ctx, filepath.Join(dir, ".relmat.lock"), func() {
		task.Note("another relmat is publishing to %s; waiting for it", dir)
	})
	if err != nil {
		return "", err
	}
	defer unlock()
	if err := fsx.RecoverReplaced(final); err != nil {
		return "", err
	}
	if err := fsx.RemovePartials(dir); err != nil {
		return "", err
	}
	outcome, err := check(dir, r, files, replace, digests)
	if err != nil || outcome == Unchanged {
		return outcome, err
	}
	assets := r.Assets()
	var total int64
	for _, a := range assets {
		total += a.Size
	}
	if free, err := fsx.FreeSpace(dir); err != nil {
		return "", err
	} else if free < uint64(total) {
		return "", fmt.Errorf("too little disk space in %s: the release has %s, %s are free", dir, progress.Bytes(total), progress.Bytes(int64(free)))
	}
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return "", err
	}
	err = fsx.BuildDir(final, replace, func(tmp string) error {
		for _, a := range assets {
			if err := ctx.Err(); err != nil {
				return err
			}
			dst := filepath.Join(tmp, a.Name)
			if err := fsx.CopyFile(a.Path, dst, 0o644); err != nil {
				return err
			}
			// What users will download is what is judged, not what was meant.
			sum, size, err := fsx.SHA256File(dst)
			if err != nil {
				return err
			}
			if sum != a.SHA256 || size != a.Size {
				return fmt.Errorf("%s changed on its way to %s", a.Name, dir)
			}
		}
		for _, s := range append(checksumFilesOf(r, files), made(sumsName, sums(assets))) {
			if err := fsx.WriteFile(filepath.Join(tmp, s.Name), s.data, 0o644); err != nil {
				return err
			}
		}
		return fsx.WriteFile(filepath.Join(tmp, releaseName), append(data, '\n'), 0o644)
	})
	return outcome, err
}
