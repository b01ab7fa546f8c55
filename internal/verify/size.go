package verify

import (
	"cmp"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"

	"github.com/klauspost/compress/flate"
	"golang.org/x/sync/errgroup"
)

//go:embed limits.json
var limitsJSON []byte

// limits are what release hosts take.
var limits = mustLimits(limitsJSON)

type limitTable struct {
	Hosts map[string]struct {
		Name string `json:"name"`
		// Asset is the size in bytes that a file must stay below.
		Asset int64 `json:"asset"`
	} `json:"hosts"`
}

func mustLimits(data []byte) limitTable {
	var t limitTable
	if err := json.Unmarshal(data, &t); err != nil {
		panic("verify: limits.json: " + err.Error())
	}
	return t
}

// estimate is what a directory will be packed to.
type estimate struct {
	bytes   int64
	largest []string
}

const (
	// sampleSize bytes of every sampleStep are compressed for an estimate.
	sampleSize = 64 << 10
	sampleStep = 8 << 20
)

// estimateSize estimates what a directory packs to, where that matters: a
// directory that is no larger than an asset may be does not.
func (s *subject) estimateSize(ctx context.Context) error {
	if s.packed > 0 || s.size < s.o.MaxAsset || !s.on("size") {
		return nil
	}
	var files []*entry
	for _, e := range s.entries {
		if e.regular() && e.Err == nil {
			files = append(files, e)
		}
	}
	packed := make([]int64, len(files))
	// Compressors are large, and packages have thousands of headers.
	pool := &sync.Pool{New: func() any { return &sampler{buf: make([]byte, sampleSize)} }}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(s.o.Jobs)
	for i, e := range files {
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			smp := pool.Get().(*sampler)
			defer pool.Put(smp)
			ratio, err := smp.ratio(e.disk, e.Size)
			if err != nil {
				return fmt.Errorf("estimating what %s packs to: %w", e.Path, err)
			}
			packed[i] = int64(ratio * float64(e.Size))
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	est := &estimate{}
	for i := range files {
		est.bytes += packed[i] + 128 // an entry's own two headers
	}
	order := make([]int, len(files))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(packed[b], packed[a]) })
	for _, i := range order[:min(len(order), maxEvidence)] {
		est.largest = append(est.largest, fmt.Sprintf("%s: about %s of %s", text(files[i].Path), sizeText(packed[i]), sizeText(files[i].Size)))
	}
	s.packedEst = est
	return nil
}

// sampler compresses parts of files.
type sampler struct {
	z   *flate.Writer
	buf []byte
}

// ratio tells how much of a file is left when it is compressed, by parts of it.
func (s *sampler) ratio(p string, size int64) (float64, error) {
	if size == 0 {
		return 1, nil
	}
	f, err := os.Open(p)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	out := &counting{}
	if s.z == nil {
		if s.z, err = flate.NewWriter(out, flate.DefaultCompression); err != nil {
			return 0, err
		}
	}
	in := int64(0)
	for at := int64(0); at < size; at += sampleStep {
		n, err := f.ReadAt(s.buf, at)
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		in += int64(n)
		s.z.Reset(out)
		if _, err := s.z.Write(s.buf[:n]); err != nil {
			return 0, err
		}
		if err := s.z.Close(); err != nil {
			return 0, err
		}
	}
	if in == 0 {
		return 1, nil
	}
	return min(float64(out.n)/float64(in), 1), nil
}

type counting struct{ n int64 }

func (c *counting) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return len(p), nil
}

const smaller = "leave the vendor's libraries to a package of their own (runtime: split) or to the users' system (runtime: host), or compile for fewer architectures"

// size holds the archive, or what the directory will be packed to, against
// what the release host takes.
func size(s *subject) []Finding {
	most := s.o.MaxAsset
	if s.wheel != nil {
		return nil // for an index, which has limits of its own
	}
	takes := fmt.Sprintf("the release host takes files below %d", most)
	if host := limits.Hosts["github"]; most == host.Asset {
		takes = fmt.Sprintf("%s takes files below %d (2 GiB)", host.Name, most)
	}
	if s.packed > 0 {
		if s.packed < most {
			return nil
		}
		return []Finding{{
			Message: fmt.Sprintf("the archive has %d bytes, and %s", s.packed, takes), Hint: smaller, Evidence: s.largestFiles(),
		}}
	}
	if s.packedEst == nil {
		return nil
	}
	// Larger blocks compress a little better than samples do.
	est := s.packedEst
	f := Finding{
		Message: fmt.Sprintf("an archive of it will have about %s (%s unpacked), and %s", sizeText(est.bytes), sizeText(s.size), takes),
		Hint:    smaller, Evidence: est.largest,
	}
	switch {
	case est.bytes >= most+most/20:
		return []Finding{f}
	case est.bytes >= most-most/20:
		f.Severity = warning
		f.Message = fmt.Sprintf("an archive of it will have about %s (%s unpacked), which may be too much: %s", sizeText(est.bytes), sizeText(s.size), takes)
		return []Finding{f}
	}
	return nil
}

// Size refuses an archive, by its size in bytes, that the release host would
// refuse once it is uploaded.
func Size(bytes int64) error {
	if host := limits.Hosts["github"]; bytes >= host.Asset {
		return fmt.Errorf("it has %d bytes, and %s takes files below %d (2 GiB); %s", bytes, host.Name, host.Asset, smaller)
	}
	return nil
}

func (s *subject) largestFiles() []string {
	files := slices.Clone(s.entries)
	slices.SortStableFunc(files, func(a, b *entry) int { return cmp.Compare(b.Size, a.Size) })
	var out []string
	for _, e := range files[:min(len(files), maxEvidence)] {
		out = append(out, fmt.Sprintf("%s: %s unpacked", text(e.Path), sizeText(e.Size)))
	}
	return out
}
