package bundle

import (
	"cmp"
	_ "embed"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/relmat/relmat/internal/manifest"
	"github.com/relmat/relmat/internal/progress"
)

// MaxAsset is the size in bytes that no asset of a GitHub release may reach
// ("About releases", GitHub Docs: each file must be under 2 GiB).
const MaxAsset int64 = 2147483648

//go:embed ratios.json
var ratiosJSON []byte

type ratioTable struct {
	Ratios []struct {
		Match string  `json:"match"`
		Ratio float64 `json:"ratio"`
	} `json:"ratios"`
	Other float64 `json:"other"`
}

var ratios = mustRatios(ratiosJSON)

func mustRatios(data []byte) ratioTable {
	var t ratioTable
	if err := json.Unmarshal(data, &t); err != nil {
		panic("bundle: ratios.json: " + err.Error())
	}
	return t
}

// packed estimates what a file takes in an archive, in bytes.
func packed(f manifest.File) int64 {
	name := strings.ToLower(path.Base(f.Path))
	for _, r := range ratios.Ratios {
		if ok, _ := path.Match(r.Match, name); ok {
			return int64(float64(f.Size) * r.Ratio)
		}
	}
	return int64(float64(f.Size) * ratios.Other)
}

// Packed estimates the size of the package's archive, in bytes.
func (p *Plan) Packed() int64 {
	var n int64
	for _, f := range p.Manifest.Files {
		n += packed(f)
	}
	return n
}

// largest is how many files a warning names.
const largest = 5

// Budget warns where the archive may become larger than limit, in bytes: before
// it is packed it is only estimated, so from nine tenths on. It is empty where
// there is no danger.
func (p *Plan) Budget(limit int64) string {
	size := p.Packed()
	if size < limit/10*9 {
		return ""
	}
	files := slices.Clone(p.Manifest.Files)
	slices.SortStableFunc(files, func(a, b manifest.File) int { return cmp.Compare(packed(b), packed(a)) })
	var names []string
	for _, f := range files[:min(largest, len(files))] {
		names = append(names, fmt.Sprintf("%s (%s)", f.Path, progress.Bytes(packed(f))))
	}
	mend := "'runtime: split' puts the vendor's libraries into a package of their own, 'runtime: host' leaves them to users"
	if len(p.Manifest.RuntimeOf) > 0 {
		mend = "two packages with runtime-of, each of one program's libraries, are smaller"
	}
	may := "may be too large"
	if size >= limit {
		may = "will be too large"
	}
	return fmt.Sprintf("the archive of package %s %s: about %s, and a release host takes less than %s; the largest files, packed: %s; %s",
		p.Manifest.Package, may, progress.Bytes(size), progress.Bytes(limit), strings.Join(names, ", "), mend)
}
