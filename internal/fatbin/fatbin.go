// Package fatbin reads which GPU code a file holds: CUDA's fat binaries,
// wherever they lie in an ELF or PE file. The format has no public
// specification; docs/fatbin.md tells what was measured.
package fatbin

import (
	"cmp"
	"io"
	"slices"
	"strconv"
)

// Kind is what an image holds. A kind that is not known is its number, as
// 0x0040: no image is left out.
type Kind string

// The kinds of images.
const (
	Cubin Kind = "cubin"
	PTX   Kind = "ptx"
	// LTOIR is input of a linker; nothing runs it by itself.
	LTOIR Kind = "ltoir"
)

// Compression is how an image's payload is stored. One that is not known is
// "unknown".
type Compression string

// The compressions.
const (
	None Compression = "none"
	LZ4  Compression = "lz4"
	Zstd Compression = "zstd"

	unknownCompression Compression = "unknown"
)

// Image is one piece of GPU code.
type Image struct {
	Kind Kind
	// SM is the architecture's number, 90 for compute capability 9.0; Suffix is
	// "a" (that capability alone), "f" (its family) or empty.
	SM     int
	Suffix string
	// Compression is the payload's, Stored its size in the file and Size its
	// size when decompressed, in bytes; what is not compressed may be padded to
	// 8. Images that were compressed together (nvcc --concat) share what they
	// take by their sizes.
	Compression  Compression
	Stored, Size int64
	// PTXISA is the version of the PTX language, as 9.0; empty for all but PTX.
	PTXISA string
	// Section is where the image lies, Offset from the start of the file to the
	// entry that describes it.
	Section string
	Offset  int64
	// Debug says that the image was compiled with -G. Line tables alone
	// (-lineinfo) cannot be seen in its entry.
	Debug bool
}

// prefixes are how CUDA's tools begin an architecture's name, by kind.
var prefixes = map[Kind]string{PTX: "compute_", LTOIR: "lto_"}

// Arch is the architecture as nvcc's -gencode names it: sm_90a, compute_120,
// lto_75.
func (i Image) Arch() string {
	prefix := cmp.Or(prefixes[i.Kind], "sm_")
	return prefix + strconv.Itoa(i.SM) + i.Suffix
}

// Region is a stretch of a file that may hold fat binaries.
type Region struct {
	Name         string
	Offset, Size int64
}

// Options say how far Images looks.
type Options struct {
	// All looks through every region given and not only those whose name says
	// that they hold fat binaries, or that NVIDIA's libraries keep some there.
	All bool
}

// maxImages is more than ten times what the largest library has (cuFFT,
// 24,000), and small enough that a list of so many does no harm.
const maxImages = 1 << 18

// Images lists the GPU code in the regions of a file, in the file's order.
//
// Sections that hold nothing but fat binaries (.nv_fatbin, __nv_relfatbin, PE's
// .nv_fatb) are read header by header: what stands there and cannot be read is
// an error that says where. In .cask_resource, .data and .ldata, where NVIDIA's
// libraries keep more of them among other things, and with Options.All in all
// others, they are found by their magic number, over the whole section; what
// only looks like one is passed over, except in .cask_resource.
//
// A file of more than 262,144 images is an error. Where regions overlap, each
// byte is looked at once. r must allow calls in parallel, as io.ReaderAt asks.
func Images(r io.ReaderAt, regions []Region, opts Options) ([]Image, error) {
	parts, err := plan(regions, opts.All)
	if err != nil {
		return nil, err
	}
	s := scanner{window: window{r: r}, budget: 4 * maxImages}
	for _, p := range parts {
		if err := s.section(p); err != nil {
			return nil, err
		}
	}
	return slices.Clip(s.images), nil
}
