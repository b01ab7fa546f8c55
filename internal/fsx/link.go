package fsx

import (
	"os"
	"path/filepath"
)

// LinkOrCopy makes dst another name of the file src, or a copy of it where the
// file system has no second names. An existing dst is replaced in one step.
func LinkOrCopy(src, dst string) error {
	src, err := filepath.EvalSymlinks(src) // a hard link to a link would be a link
	if err != nil {
		return err
	}
	s, err := os.Stat(src)
	if err != nil {
		return err
	}
	if d, err := os.Lstat(dst); err == nil && os.SameFile(s, d) {
		return nil
	}
	tmp, err := PartialDir(filepath.Dir(dst), filepath.Base(dst))
	if err != nil {
		return err
	}
	defer RemoveAll(tmp)
	name := filepath.Join(tmp, filepath.Base(dst))
	if os.Link(src, name) != nil {
		if err := CopyFile(src, name, 0o644); err != nil {
			return err
		}
	}
	return Rename(name, dst)
}
