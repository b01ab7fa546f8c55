package bundle

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// clone makes dst a file that shares src's blocks (clonefile(2)). It is not ok
// where the file system cannot, and dst then is not there.
func clone(src, dst string, mode fs.FileMode) (ok bool, err error) {
	switch err := unix.Clonefile(src, dst, unix.CLONE_NOFOLLOW); {
	case errors.Is(err, fs.ErrExist), errors.Is(err, fs.ErrNotExist):
		return false, &fs.PathError{Op: "clonefile", Path: dst, Err: err}
	case err != nil:
		return false, nil
	}
	return true, os.Chmod(dst, mode)
}
