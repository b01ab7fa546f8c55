package fsx_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/relmat/relmat/internal/fsx"
)

func TestCopyFile(t *testing.T) {
	dir := t.TempDir()
	src := filepath.Join(dir, "src")
	content := strings.Repeat("relmat", 100_000)
	write(t, src, content)
	for _, mode := range []fs.FileMode{0o644, 0o755, 0o666} {
		dst := filepath.Join(dir, mode.String())
		if err := fsx.CopyFile(src, dst, mode); err != nil {
			t.Fatal(err)
		}
		wantContent(t, dst, content)
		if info, err := os.Stat(dst); err != nil || info.Mode() != modeHere(mode) {
			t.Errorf("mode %v, %v; want %v whatever the umask", info.Mode(), err, mode)
		}
	}
}

func TestCopyFileFails(t *testing.T) {
	dir := t.TempDir()
	src, old := filepath.Join(dir, "src"), filepath.Join(dir, "old")
	write(t, src, "new")
	write(t, old, "old")
	if err := fsx.CopyFile(src, old, 0o644); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over an old file: %v", err)
	}
	wantContent(t, old, "old")
	if err := fsx.CopyFile(filepath.Join(dir, "absent"), filepath.Join(dir, "dst"), 0o644); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of an absent file: %v", err)
	}
	// A directory can be opened, but not read: the copy fails in the middle.
	if err := fsx.CopyFile(dir, filepath.Join(dir, "dst"), 0o644); err == nil {
		t.Error("of a directory: no error")
	}
	wantNames(t, dir, "old", "src")
}

func TestLinkOrCopy(t *testing.T) {
	dir := t.TempDir()
	src, dst := filepath.Join(dir, "src"), filepath.Join(dir, "out", "dst")
	write(t, src, "content")
	if err := fsx.LinkOrCopy(src, dst); err != nil {
		t.Fatal(err)
	}
	same := func(a, b string) bool {
		x, err := os.Stat(a)
		if err != nil {
			t.Fatal(err)
		}
		y, err := os.Stat(b)
		if err != nil {
			t.Fatal(err)
		}
		return os.SameFile(x, y)
	}
	if !same(src, dst) {
		t.Error("the file system can link, but the content was copied")
	}
	for range 2 { // what is linked already stays
		if err := fsx.LinkOrCopy(src, dst); err != nil {
			t.Fatal(err)
		}
	}
	other := filepath.Join(dir, "other")
	write(t, other, "other")
	if err := fsx.LinkOrCopy(other, dst); err != nil {
		t.Fatal(err)
	}
	wantContent(t, dst, "other")
	wantContent(t, src, "content") // the old name is replaced, not written through
	wantNames(t, filepath.Dir(dst), "dst")
}

func TestLinkOrCopyFails(t *testing.T) {
	dir := t.TempDir()
	src, dst := filepath.Join(dir, "src"), filepath.Join(dir, "out", "dst")
	write(t, filepath.Join(dst, "in"), "a directory that is in the way")
	if err := fsx.LinkOrCopy(src, dst); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of an absent file: %v", err)
	}
	write(t, src, "content")
	if err := fsx.LinkOrCopy(src, dst); err == nil {
		t.Error("over a directory: no error")
	}
	wantNames(t, filepath.Dir(dst), "dst")
	wantNames(t, dst, "in")
}
