package fatbin

import (
	"cmp"
	"slices"
	"strings"

	"github.com/relmat/relmat/internal/cuda"
)

// Group is the images of a file that are alike.
type Group struct {
	Kind        Kind
	SM          int
	Suffix      string
	Compression Compression
	PTXISA      string
	// Count is how many they are, Debug how many of them were compiled with -G.
	Count, Debug int
	// Stored and Size are the sums of the images', in bytes.
	Stored, Size int64
}

// Arch is the architecture as Image.Arch writes it.
func (g Group) Arch() string { return Image{Kind: g.Kind, SM: g.SM, Suffix: g.Suffix}.Arch() }

// kindOrder puts first what runs by itself; unknown kinds come last.
var kindOrder = map[Kind]int{Cubin: -3, PTX: -2, LTOIR: -1}

// Summarize counts images by kind, architecture, version of the PTX language
// and compression, sorted in this order.
func Summarize(images []Image) []Group {
	type key struct {
		kind           Kind
		sm             int
		suffix, ptxISA string
		compression    Compression
	}
	places := map[key]int{}
	var groups []Group
	for _, i := range images {
		k := key{i.Kind, i.SM, i.Suffix, i.PTXISA, i.Compression}
		at, ok := places[k]
		if !ok {
			at = len(groups)
			places[k] = at
			groups = append(groups, Group{Kind: i.Kind, SM: i.SM, Suffix: i.Suffix, PTXISA: i.PTXISA, Compression: i.Compression})
		}
		g := &groups[at]
		g.Count++
		g.Stored += i.Stored
		g.Size += i.Size
		if i.Debug {
			g.Debug++
		}
	}
	slices.SortFunc(groups, func(a, b Group) int {
		return cmp.Or(
			cmp.Compare(kindOrder[a.Kind], kindOrder[b.Kind]),
			strings.Compare(string(a.Kind), string(b.Kind)),
			cmp.Compare(a.SM, b.SM),
			strings.Compare(a.Suffix, b.Suffix),
			cuda.CompareVersions(a.PTXISA, b.PTXISA),
			strings.Compare(string(a.Compression), string(b.Compression)),
		)
	})
	return groups
}

// Codes are the images as cuda.Cover takes them, each sort once. Images of
// relocatable code, for CUDA's linker, are left out as LTO-IR is: what the
// linker made of them has its own images.
func Codes(images []Image) []cuda.Code {
	seen := map[cuda.Code]bool{}
	var codes []cuda.Code
	for _, i := range images {
		c := cuda.Code{SM: i.SM, Suffix: i.Suffix, PTXISA: i.PTXISA}
		switch {
		case relocatable[i.Section]:
			continue
		case i.Kind == Cubin:
			c.Kind = cuda.Cubin
		case i.Kind == PTX:
			c.Kind = cuda.PTX
		default:
			continue
		}
		if !seen[c] {
			seen[c] = true
			codes = append(codes, c)
		}
	}
	return codes
}

// relocatable are the sections whose images CUDA's linker reads (nvcc -rdc=true).
var relocatable = map[string]bool{"__nv_relfatbin": true, "__nv_rel": true}
