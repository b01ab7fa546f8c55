package fsx

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// replacedMark names a directory that was moved out of the way of its
// replacement.
const replacedMark = ".replaced-"

// replaceDir puts the finished directory tmp in the place of final, which
// exists, and removes the old one. Linux swaps both names in one step.
// Elsewhere two renames are needed; what lies between them if the machine
// stops there is put right by RecoverReplaced.
func replaceDir(tmp, final string) error {
	ok, err := exchange(tmp, final)
	if err != nil {
		return fmt.Errorf("exchanging %s and %s: %w", tmp, final, err)
	}
	if ok {
		return errors.Join(syncDir(filepath.Dir(final)), RemoveAll(tmp))
	}
	return replaceByRenames(tmp, final)
}

func replaceByRenames(tmp, final string) error {
	old := filepath.Join(filepath.Dir(final), "."+filepath.Base(final)+replacedMark+"old")
	if err := Rename(final, old); err != nil {
		return err
	}
	if err := Rename(tmp, final); err != nil {
		return errors.Join(err, Rename(old, final))
	}
	return errors.Join(syncDir(filepath.Dir(final)), RemoveAll(old))
}

// RecoverReplaced finishes or takes back a replacing BuildDir of final that was
// interrupted. The caller holds the lock of the parent directory.
func RecoverReplaced(final string) error {
	entries, err := readDir(filepath.Dir(final))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), "."+filepath.Base(final)+replacedMark) {
			continue
		}
		old := filepath.Join(filepath.Dir(final), e.Name())
		if _, err := os.Lstat(final); errors.Is(err, fs.ErrNotExist) {
			if err := Rename(old, final); err != nil {
				return err
			}
			continue
		}
		if err := RemoveAll(old); err != nil {
			return err
		}
	}
	return nil
}
