package bundle

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// clone makes dst a file that shares src's blocks (ioctl_ficlonerange(2)). It is
// not ok where the file system cannot, and dst then is not there.
func clone(src, dst string, mode fs.FileMode) (ok bool, err error) {
	in, err := os.Open(src)
	if err != nil {
		return false, err
	}
	defer in.Close()
	out, err := os.OpenFile(dst, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return false, err
	}
	if unix.IoctlFileClone(int(out.Fd()), int(in.Fd())) != nil {
		return false, errors.Join(out.Close(), os.Remove(dst))
	}
	// The umask has narrowed the mode that OpenFile was given.
	if err := out.Chmod(mode); err != nil {
		return false, errors.Join(err, out.Close())
	}
	return true, out.Close()
}
