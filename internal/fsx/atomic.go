// Package fsx holds the file-system ground that every stage stands on: files
// and directories that appear under their final name whole or not at all,
// locks between processes, and digests that are not computed twice.
package fsx

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// partialMark is part of the name of everything that is still being written.
// Whoever holds the lock of a directory may remove what bears it.
const partialMark = ".partial-"

// IsPartial tells whether name is that of an unfinished file or directory: one
// that begins with a dot too, so that no finished "v1.partial-2" is taken for it.
func IsPartial(name string) bool {
	base := filepath.Base(name)
	return strings.HasPrefix(base, ".") && strings.Contains(base, partialMark)
}

// WriteFile writes data to path by way of a temporary file in the same
// directory, so that path holds either its old content or all of the new.
func WriteFile(path string, data []byte, mode fs.FileMode) error {
	return WriteTo(path, mode, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// WriteTo is WriteFile for content that is produced while it is written.
func WriteTo(path string, mode fs.FileMode, write func(io.Writer) error) (err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+partialMark+"*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = f.Close()
			_ = Remove(f.Name())
		}
	}()
	if err := write(f); err != nil {
		return err
	}
	if err := f.Chmod(mode); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return Rename(f.Name(), path)
}

// PartialDir makes a new directory below dir for work on what will be called
// name, recognisable to RemovePartials.
func PartialDir(dir, name string) (string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	return os.MkdirTemp(dir, "."+name+partialMark+"*")
}

// BuildDir fills a new directory by build and gives it its final name when
// build succeeds. Without replace an existing final is an error: callers look
// first, under a lock, because what exists is taken for finished. With replace
// the old directory is there until the new one stands in its place.
func BuildDir(final string, replace bool, build func(tmp string) error) (err error) {
	parent := filepath.Dir(final)
	tmp, err := PartialDir(parent, filepath.Base(final))
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = RemoveAll(tmp)
		}
	}()
	// MkdirTemp makes 0700: others may read what a release machine made.
	if err := os.Chmod(tmp, 0o755); err != nil {
		return err
	}
	if err := build(tmp); err != nil {
		return err
	}
	if _, err := os.Lstat(final); err == nil {
		if replace {
			return replaceDir(tmp, final)
		}
		return fmt.Errorf("%s: %w", final, fs.ErrExist)
	}
	if err := Rename(tmp, final); err != nil {
		return err
	}
	return syncDir(parent)
}

// RemovePartials removes what interrupted runs left in dir. The caller holds
// the lock that guards dir; a missing dir is fine.
func RemovePartials(dir string) error {
	entries, err := readDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if IsPartial(e.Name()) {
			if err := RemoveAll(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// readDir is os.ReadDir to which an absent directory is an empty one. (Windows
// says of a file in its place, too, that there is no such path.)
func readDir(dir string) ([]fs.DirEntry, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		if _, lerr := os.Lstat(dir); errors.Is(lerr, fs.ErrNotExist) {
			return nil, nil
		}
	}
	return entries, err
}

// CopyFile copies src to a new file dst with the given permissions, down
// to the disk; a dst that it could not finish it takes away. Where the system
// can copy inside the kernel or share blocks, io.Copy does.
func CopyFile(src, dst string, mode fs.FileMode) (err error) {
	in, err := os.Open(src)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(dst, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := out.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			_ = Remove(dst)
		}
	}()
	if _, err := io.Copy(out, in); err != nil {
		return fmt.Errorf("copying %s: %w", src, err)
	}
	// The umask has narrowed the mode that OpenFile was given.
	if err := out.Chmod(mode); err != nil {
		return err
	}
	return out.Sync()
}
