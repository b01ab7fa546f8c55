package toolchain

import (
	"path/filepath"
	"strings"
)

// sameDisk tells whether two directories share their free space.
func sameDisk(a, b string) bool {
	return strings.EqualFold(filepath.VolumeName(a), filepath.VolumeName(b))
}
