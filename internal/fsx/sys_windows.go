package fsx

import (
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/windows"
)

// fullDisk are the errors of a disk that takes no more.
var fullDisk = []syscall.Errno{windows.ERROR_DISK_FULL, windows.ERROR_HANDLE_DISK_FULL}

func inode(f *os.File, _ fs.FileInfo) uint64 {
	var info windows.ByHandleFileInformation
	if windows.GetFileInformationByHandle(windows.Handle(f.Fd()), &info) != nil {
		return 0
	}
	return uint64(info.FileIndexHigh)<<32 | uint64(info.FileIndexLow)
}

// FreeSpace tells how many bytes this user can still write to the volume that
// holds dir.
func FreeSpace(dir string) (uint64, error) {
	name, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return 0, err
	}
	var free uint64
	if err := windows.GetDiskFreeSpaceEx(name, &free, nil, nil); err != nil {
		return 0, &fs.PathError{Op: "GetDiskFreeSpaceEx", Path: dir, Err: err}
	}
	return free, nil
}

// syncDir does nothing: Windows has no handle of a directory that can be
// flushed without administrator's rights, and NTFS journals the rename.
func syncDir(string) error { return nil }
