package fatbin

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
)

// trust is what a section's name says about the bytes in it.
type trust int

const (
	// guess: anything; what does not hold together only looked like a container.
	guess trust = iota
	// mixed: containers among other data.
	mixed
	// only: containers and zeros between them.
	only
)

// sections are the known ones, by ELF's name and by PE's, which ends after
// eight bytes. What NVIDIA's libraries have outside of .nv_fatbin was measured;
// see docs/fatbin.md.
var sections = map[string]trust{
	".nv_fatbin": only, ".nv_fatb": only,
	"__nv_relfatbin": only, "__nv_rel": only,
	".cask_resource": mixed, ".cask_re": mixed,
	".data": guess, ".ldata": guess, ".rodata": guess, ".rdata": guess,
}

// part is a stretch of a section to look through: from start up to end.
type part struct {
	name       string
	start, end int64
	trust      trust
}

// plan says what to look at, in the file's order, without overlaps. Where known
// sections and others overlap, the known ones win.
func plan(regions []Region, all bool) ([]part, error) {
	var known, others []part
	for _, r := range regions {
		if r.Size <= 0 {
			continue
		}
		if r.Offset < 0 || r.Size > math.MaxInt64-r.Offset {
			return nil, fmt.Errorf("section %s lies outside of any file: offset %d, %d bytes", r.Name, r.Offset, r.Size)
		}
		t, ok := sections[r.Name]
		p := part{name: r.Name, start: r.Offset, end: r.Offset + r.Size, trust: t}
		switch {
		case ok && t != guess:
			known = append(known, p)
		case ok || all:
			others = append(others, p)
		}
	}
	known, others = disjoint(known), disjoint(others)
	parts := known
	for _, o := range others {
		// The first known part that does not end before this one starts.
		i, _ := slices.BinarySearchFunc(known, o.start, func(k part, at int64) int {
			if k.end <= at {
				return -1
			}
			return 1
		})
		for ; i < len(known) && known[i].start < o.end; i++ {
			if o.start < known[i].start {
				parts = append(parts, part{o.name, o.start, known[i].start, o.trust})
			}
			o.start = known[i].end
		}
		if o.start < o.end {
			parts = append(parts, o)
		}
	}
	slices.SortFunc(parts, byStart)
	return parts, nil
}

// disjoint sorts parts and cuts what an earlier one has from the start of each.
func disjoint(parts []part) []part {
	slices.SortFunc(parts, byStart)
	out := parts[:0:0]
	var end int64
	for _, p := range parts {
		p.start = max(p.start, end)
		if p.start < p.end {
			out = append(out, p)
			end = p.end
		}
	}
	return slices.Clip(out)
}

func byStart(a, b part) int {
	switch {
	case a.start != b.start:
		return cmp.Compare(a.start, b.start)
	case a.end != b.end:
		return cmp.Compare(b.end, a.end)
	}
	return strings.Compare(a.name, b.name)
}
