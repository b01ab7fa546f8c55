//go:build unix

package toolchain

import (
	"os"
	"syscall"
)

// sameDisk tells whether two directories share their free space.
func sameDisk(a, b string) bool {
	device := func(dir string) (uint64, bool) {
		info, err := os.Stat(dir)
		if err != nil {
			return 0, false
		}
		st, ok := info.Sys().(*syscall.Stat_t)
		if !ok {
			return 0, false
		}
		return uint64(st.Dev), true // its type differs by system
	}
	x, okx := device(a)
	y, oky := device(b)
	return okx && oky && x == y
}
