package bundle

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// Runtime decides what a package of libraries holds: those that the packages of
// the plans left to it ("runtime: split"), with their licences. Users unpack it
// over these, so it has them at the places of their layouts.
func Runtime(ctx context.Context, o Options, of []*Plan) (*Plan, error) {
	b, err := newBuilder(o)
	if err != nil {
		return nil, err
	}
	for _, p := range of {
		for _, it := range p.split {
			it.apart = false
			if other := b.places[it.Path]; other != nil && other.SHA256 == it.SHA256 {
				continue
			}
			b.add(it)
		}
	}
	if err := b.collisions(); err != nil {
		return nil, fmt.Errorf("the packages that share these libraries do not agree: %w", err)
	}
	if len(b.items) == 0 {
		return nil, fmt.Errorf("it would be empty: the programs of %s need no library of the vendor's", strings.Join(o.Package.RuntimeOf, ", "))
	}
	have := slices.Clone(b.items)
	if err := b.addFiles(); err != nil {
		return nil, err
	}
	if err := b.finish(ctx); err != nil {
		return nil, err
	}
	// A file that the matrix adds must not replace one of the packages.
	for _, p := range of {
		for _, it := range p.items {
			mine := b.places[it.Path]
			if mine != nil && !slices.Contains(have, mine) && mine.SHA256 != it.SHA256 {
				return nil, fmt.Errorf("%s is also in package %s, with other content: unpacked over it, this package would replace it", it.Path, p.Manifest.Package)
			}
		}
	}
	return b.plan()
}
