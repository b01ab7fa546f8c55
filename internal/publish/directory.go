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

// Outcome tells what Directory did.
type Outcome string

// The outcomes.
const (
	Published Outcome = "published"
	Unchanged Outcome = "unchanged"
	Replaced  Outcome = "replaced"
)

// sums is the text of SHA256SUMS, as sha256sum(1) writes and checks it.
func sums(assets []manifest.Asset) []byte {
	var b bytes.Buffer
	for _, a := range assets {
		fmt.Fprintf(&b, "%s  %s\n", a.SHA256, a.Name)
	}
	return b.Bytes()
}

// Check tells what Directory would do, without doing it. Its error wraps
// ErrDiffers where the release is there and replace does not allow another.
func Check(dir string, r manifest.Release, replace bool, digests *fsx.Digests) (Outcome, error) {
	final := filepath.Join(dir, r.Tag)
	if _, err := os.Lstat(final); errors.Is(err, fs.ErrNotExist) {
		return Published, nil
	} else if err != nil {
		return "", err
	}
	diff, err := difference(final, r.Assets(), digests)
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

// difference lists how the published directory differs from the assets.
func difference(final string, assets []manifest.Asset, digests *fsx.Digests) ([]string, error) {
	var diff []string
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
	have, err := os.ReadFile(filepath.Join(final, sumsName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if !bytes.Equal(have, sums(assets)) {
		diff = append(diff, sumsName+" says something else")
	}
	if _, err := os.Stat(filepath.Join(final, releaseName)); err != nil {
		diff = append(diff, releaseName+" is missing")
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
	if !filepath.IsLocal(r.Tag) || strings.ContainsAny(r.Tag, `/\`) {
		return "", fmt.Errorf("tag %q cannot name a directory", r.Tag)
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
	outcome, err := Check(dir, r, replace, digests)
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
		if err := fsx.WriteFile(filepath.Join(tmp, sumsName), sums(assets), 0o644); err != nil {
			return err
		}
		return fsx.WriteFile(filepath.Join(tmp, releaseName), append(data, '\n'), 0o644)
	})
	return outcome, err
}
