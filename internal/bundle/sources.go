package bundle

import (
	"context"
	"path"

	"github.com/relmat/relmat/internal/manifest"
	"github.com/relmat/relmat/internal/toolkit"
)

// found is a library that a source has.
type found struct {
	// src is the file itself, after links; name is the file name under which
	// the source has it, inWheel its path among the files of its wheel.
	src, name, inWheel string
	origin             manifest.Origin
	// from and dist are as in manifest.File and item.
	from, dist string
	notice     *notice
	vendor     bool
}

// source is a place that libraries come from.
type source interface {
	// find returns the libraries of a file name or, where it has wildcards, of a
	// pattern of path.Match. by is what asks. Names of DLLs are in lower case.
	find(ctx context.Context, name string, by *item) ([]found, error)
	// pinned tells whether the matrix has chosen what is there.
	pinned() bool
	// lacks says for an error that the library is not there, and mend what would
	// help.
	lacks() string
	mend() string
}

// wheels are the pinned wheels of a toolkit.
type wheels struct{ tk *toolkit.Toolkit }

func (w wheels) find(_ context.Context, name string, _ *item) ([]found, error) {
	var list []found
	for _, f := range w.tk.Libraries(name) {
		list = append(list, found{
			src: f.Path, name: path.Base(f.Rel), inWheel: f.Rel, origin: manifest.Wheel, from: f.Dist + " " + f.Version, dist: f.Dist, vendor: true,
		})
	}
	return list, nil
}

func (w wheels) pinned() bool  { return true }
func (w wheels) lacks() string { return "no toolkit wheel has it" }
func (w wheels) mend() string  { return "add its wheel to the toolkit's requirements" }
