package inspect

import (
	"strconv"

	"github.com/relmat/relmat/internal/cuda"
	"github.com/relmat/relmat/internal/matrix"
)

// TargetRows tells on which GPUs the code runs that is compiled for a list of
// architectures, in the words of CMake's CUDA_ARCHITECTURES, by a CUDA release
// as major.minor, which may be empty, for a platform.
func TargetRows(architectures, release string, platform matrix.Platform) ([]GPURow, error) {
	list, err := cuda.ParseArchitectures(architectures)
	if err != nil {
		return nil, err
	}
	var codes []cuda.Code
	for _, a := range list {
		sm, err := strconv.Atoi(a.Number)
		if err != nil {
			return nil, err
		}
		if a.Real {
			codes = append(codes, cuda.Code{Kind: cuda.Cubin, SM: sm, Suffix: a.Suffix})
		}
		if a.Virtual {
			codes = append(codes, cuda.Code{Kind: cuda.PTX, SM: sm, Suffix: a.Suffix})
		}
	}
	oldest, _ := cuda.MinimumDriver(release, platform.OS)
	rows := rowsOf(codes, host{windows: platform.OS == "windows", arm64: platform.Arch == "aarch64", oldest: oldest})
	for i, r := range rows {
		switch {
		case oldest == "": // the release decides, and it is not known
			rows[i].Driver = ""
		case r.Runs == cuda.JIT && r.Driver != "":
			// Older drivers than the release's own do not compile its PTX.
			rows[i].Driver, _ = cuda.ToolkitDriver(release, platform.OS)
		}
	}
	return rows, nil
}
