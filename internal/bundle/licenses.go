package bundle

import (
	"context"
	"fmt"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/relmat/relmat/internal/manifest"
)

// notice are the licences of what is not of a wheel, under the name of their
// directory in the package.
type notice struct {
	name   string
	files  []string
	origin manifest.Origin
	// from is as in manifest.File.
	from string
}

// finish fills in sizes and digests, holds what wheels brought against their
// lists, and adds the licences.
func (b *builder) finish(ctx context.Context) error {
	if err := b.digests(ctx); err != nil {
		return err
	}
	first := len(b.items)
	if err := b.licenses(); err != nil {
		return err
	}
	if err := b.collisions(); err != nil {
		return err
	}
	b.tell()
	return b.hash(ctx, b.items[first:])
}

// digests fills in sizes and digests, and recognises what a wheel brought
// although it came by way of the build.
func (b *builder) digests(ctx context.Context) error {
	if err := b.hash(ctx, b.items); err != nil {
		return err
	}
	if b.o.Toolkit == nil {
		return nil
	}
	for _, it := range b.items {
		if it.Origin == manifest.Wheel || it.dist != "" {
			f, ok := b.o.Toolkit.Lookup(it.src)
			if !ok {
				return fmt.Errorf("%s is of the toolkit but no wheel lists it", it.src)
			}
			if f.SHA256 != it.SHA256 {
				return fmt.Errorf("%s is not as %s %s brought it: the toolkit in the cache was changed; `relmat toolkit fetch --force` makes it anew", it.src, f.Dist, f.Version)
			}
			it.From, it.dist, it.cached = f.Dist+" "+f.Version, f.Dist, true
			continue
		}
		if f, ok := b.o.Toolkit.ByDigest(it.SHA256); ok && it.Size > 0 && it.Role == "" {
			it.Origin, it.From, it.dist = manifest.Wheel, f.Dist+" "+f.Version, f.Dist
		}
	}
	return nil
}

func (b *builder) hash(ctx context.Context, items []*item) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(4)
	for _, it := range items {
		g.Go(func() (err error) {
			if err := ctx.Err(); err != nil {
				return err
			}
			it.SHA256, it.Size, err = b.o.Digests.File(it.src)
			return err
		})
	}
	return g.Wait()
}

// licenses adds the licence files of every wheel, toolkit and package that gave
// a file. Those of the vendor's libraries go where these go, too.
func (b *builder) licenses() error {
	packed, apart := map[string]bool{}, map[string]bool{}
	notices := map[string]*notice{}
	for _, it := range b.items {
		set := packed
		if it.apart {
			set = apart
		}
		if it.dist != "" {
			set[it.dist] = true
		}
		if it.notice != nil && !(it.apart && b.runtime == "host") {
			key := it.notice.name
			if it.apart {
				key += "\x00apart"
			}
			notices[key] = it.notice
		}
	}
	if b.runtime == "host" {
		apart = nil
	}
	for i, set := range []map[string]bool{packed, apart} {
		for _, dist := range slices.Sorted(maps.Keys(set)) {
			files := b.o.Toolkit.Licenses(dist)
			if len(files) == 0 {
				return fmt.Errorf("wheel %s has no licence file, so its files cannot be packed lawfully", dist)
			}
			for _, p := range files {
				f, _ := b.o.Toolkit.Lookup(p)
				b.license(item{src: p, apart: i == 1, cached: true, File: manifest.File{Origin: manifest.Wheel, From: dist + " " + f.Version}}, dist)
			}
		}
	}
	for _, key := range slices.Sorted(maps.Keys(notices)) {
		n := notices[key]
		for _, p := range n.files {
			b.license(item{src: p, apart: strings.HasSuffix(key, "\x00apart"), File: manifest.File{Origin: n.origin, From: n.from}}, n.name)
		}
	}
	return nil
}

// license adds one text to the directory of its name. What lies apart may be
// the same as what is packed: both packages have it.
func (b *builder) license(it item, dir string) {
	it.Path, it.Mode, it.Role = path.Join(b.layout.Licenses, dir, filepath.Base(it.src)), "0644", "license"
	if it.apart {
		b.items = append(b.items, &it)
		return
	}
	b.add(it)
}

// tell notes what the package took from this machine without being asked.
func (b *builder) tell() {
	for _, it := range b.items {
		if it.Origin == manifest.System && it.Role == "library" {
			b.notes = append(b.notes, fmt.Sprintf("%s is this system's, of package %s: packed, with its copyright file; name it in system-libraries if users have it", it.Path, it.From))
		}
	}
}
