package fsx

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"syscall"
)

// TempSpace adds to an error of a full disk that the directory for temporary
// files may be another. It is for what is unpacked there.
func TempSpace(err error) error {
	if !slices.ContainsFunc(fullDisk, func(full syscall.Errno) bool { return errors.Is(err, full) }) {
		return err
	}
	variable := "TMPDIR"
	if runtime.GOOS == "windows" {
		variable = "TMP"
	}
	return fmt.Errorf("%w; it is unpacked below %s: make room there, or name a larger directory with %s", err, os.TempDir(), variable)
}
