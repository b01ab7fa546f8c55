//go:build unix

package fsx

import (
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// fullDisk are the errors of a disk that takes no more, for everybody or for
// the user.
var fullDisk = []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT}

func inode(_ *os.File, info fs.FileInfo) uint64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Ino
	}
	return 0
}

// FreeSpace tells how many bytes an unprivileged user can still write to the
// file system that holds dir.
func FreeSpace(dir string) (uint64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, &fs.PathError{Op: "statfs", Path: dir, Err: err}
	}
	return uint64(st.Bavail) * uint64(st.Bsize), nil
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
