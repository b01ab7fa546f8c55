package toolkit

import (
	"os"
	"path/filepath"
	"runtime"

	"github.com/relmat/relmat/internal/fsx"
)

// alias gives a file of the toolkit a second name there, unless that exists: a
// relative link, or on Windows, which wants privileges for those, a hard one or
// a copy.
func alias(file, name string) error {
	if runtime.GOOS == "windows" {
		if _, err := os.Lstat(name); err == nil {
			return nil
		}
		return fsx.LinkOrCopy(file, name)
	}
	target, err := filepath.Rel(filepath.Dir(name), file)
	if err != nil {
		return err
	}
	return linkNew(target, name)
}

// aliasDir gives the files of a directory second names in another.
func aliasDir(dir, name string) error {
	if _, err := os.Lstat(name); err != nil && runtime.GOOS != "windows" {
		return alias(dir, name)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(name, 0o755); err != nil {
		return err
	}
	for _, e := range entries {
		if !e.Type().IsRegular() {
			continue
		}
		if err := alias(filepath.Join(dir, e.Name()), filepath.Join(name, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

func linkNew(target, link string) error {
	if _, err := os.Lstat(link); err == nil {
		return nil
	}
	return os.Symlink(target, link)
}
