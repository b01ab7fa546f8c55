package publish

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/relmat/relmat/internal/manifest"
)

// checksumEnd is the end of the name of a file that holds the digest of one
// asset.
const checksumEnd = ".sha256"

// ChecksumFile is the name of the file that holds an asset's digest.
func ChecksumFile(asset string) string { return asset + checksumEnd }

// checksumLine is a line as sha256sum(1) writes and checks it. No asset's name
// has a character that it would write otherwise.
func checksumLine(name, sha256 string) string { return sha256 + "  " + name + "\n" }

// sums is the text of SHA256SUMS.
func sums(assets []manifest.Asset) []byte {
	var b bytes.Buffer
	for _, a := range assets {
		b.WriteString(checksumLine(a.Name, a.SHA256))
	}
	return b.Bytes()
}

// checksums is the text of SHA256SUMS for files in any order.
func checksums(files []File) []byte {
	assets := make([]manifest.Asset, 0, len(files))
	for _, f := range files {
		assets = append(assets, manifest.Asset{Name: f.Name, SHA256: f.SHA256})
	}
	slices.SortFunc(assets, func(a, b manifest.Asset) int { return strings.Compare(a.Name, b.Name) })
	return sums(assets)
}

// checksumFiles are the ASSET.sha256 of files. One that is such a file itself
// has none.
func checksumFiles(files []File) []source {
	var list []source
	for _, f := range files {
		if !strings.HasSuffix(f.Name, checksumEnd) {
			list = append(list, made(ChecksumFile(f.Name), []byte(checksumLine(f.Name, f.SHA256))))
		}
	}
	return list
}

// readSums reads what sha256sum(1) wrote, in either of its modes: digests by
// name. Lines that are none of its are passed over.
func readSums(data []byte) map[string]string {
	list := map[string]string{}
	for line := range strings.Lines(string(data)) {
		sum, name, ok := strings.Cut(strings.TrimRight(line, "\r\n"), " ")
		if !ok || !isSHA256(sum) || len(name) < 2 || name[0] != ' ' && name[0] != '*' {
			continue
		}
		list[name[1:]] = strings.ToLower(sum)
	}
	return list
}

// mergeSums keeps in SHA256SUMS the lines of assets that other jobs brought:
// each names only its own files. The digest of such a line is the asset's, where
// GitHub tells it. Lines of assets that are gone go. It changes the wanted
// files; a whole release says itself what it has.
func (r *run) mergeSums(ctx context.Context, w Wanted, files []File, sources map[string]source, v *view) error {
	if !w.Checksums || w.Release != nil && !w.Release.Partial {
		return nil
	}
	listed, err := r.listedSums(ctx, w.Files, sources[sumsName], v)
	if err != nil {
		return err
	}
	lines := map[string]File{}
	keep := func(name string, a Remote) {
		sum, ok := listed[name]
		if !ok || !a.good() {
			return
		}
		if isSHA256(a.SHA256) {
			sum = a.SHA256
		}
		lines[name] = File{Name: name, SHA256: sum}
	}
	// Another job may have removed an asset whose replacement it renames next.
	for _, a := range v.assets {
		if of, _, ok := IsTemporary(a.Name); ok {
			keep(of, a)
		}
	}
	for _, a := range v.assets {
		keep(a.Name, a)
	}
	for _, f := range w.Files {
		lines[f.Name] = f
	}
	delete(lines, sumsName)
	s := made(sumsName, checksums(slices.Collect(maps.Values(lines))))
	sources[sumsName] = s
	for i := range files {
		if files[i].Name == sumsName {
			files[i] = s.File
		}
	}
	return nil
}

// listedSums are the lines of the SHA256SUMS that is there, or of the one that
// was to take its place when a run was cut off between the two. now is what was
// wanted last, which need not be read again.
func (r *run) listedSums(ctx context.Context, own []File, now source, v *view) (map[string]string, error) {
	var have []*Remote
	for i := range v.assets {
		if a := &v.assets[i]; a.Name == sumsName && a.good() {
			have = append(have, a)
		}
	}
	if len(have) == 0 {
		for i := range v.assets {
			if of, _, ok := IsTemporary(v.assets[i].Name); ok && of == sumsName && v.assets[i].good() {
				have = append(have, &v.assets[i])
			}
		}
	}
	// What this run has wanted before holds, too: a job that looked earlier may
	// have put its list in the place of the one that this run has read.
	listed := readSums(now.data)
	for _, a := range have {
		data := now.data
		if all := allSums(own, v); a.SHA256 == digestOf(all) {
			data = all // what it must say, to have this digest
		} else if a.SHA256 != now.SHA256 {
			var problem string
			var err error
			if data, problem, err = r.read(ctx, *a); err != nil {
				return nil, fmt.Errorf("reading the digests that the release has: %w", err)
			}
			if problem != "" {
				r.task.Warn("%s of %s is not read, and is written anew: %s", a.Name, r.Repo, problem)
				continue
			}
			a.SHA256 = digestOf(data)
		}
		maps.Copy(listed, readSums(data))
	}
	return listed, nil
}

// allSums is what SHA256SUMS says where it has all files of the release that
// are not made of others.
func allSums(own []File, v *view) []byte {
	lines := map[string]File{}
	for _, a := range v.assets {
		_, _, temporary := IsTemporary(a.Name)
		_, part := manifest.IsPartName(a.Name)
		if a.good() && !temporary && !part && a.Name != sumsName && a.Name != releaseName && !strings.HasSuffix(a.Name, checksumEnd) {
			lines[a.Name] = File{Name: a.Name, SHA256: a.SHA256}
		}
	}
	for _, f := range own {
		lines[f.Name] = f
	}
	return checksums(slices.Collect(maps.Values(lines)))
}
