//go:build unix

// What only Unix promises, or what is judged by a tool of Unix.
package fsx_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/relmat/relmat/internal/fsx"
)

// modeHere is what the file system keeps of a mode.
func modeHere(mode fs.FileMode) fs.FileMode { return mode }

// A reader that opened the old file goes on reading the old content: the new
// one is another file, not the old one filled again.
func TestWriteFileLeavesOpenReadersAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	write(t, path, "old")
	r, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := fsx.WriteFile(path, []byte("new"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); err != nil || string(got) != "old" {
		t.Errorf("the open file reads %q, %v", got, err)
	}
	wantContent(t, path, "new")
}

func TestLinkOrCopyOfALink(t *testing.T) {
	dir := t.TempDir()
	src, dst, link := filepath.Join(dir, "src"), filepath.Join(dir, "dst"), filepath.Join(dir, "link")
	write(t, src, "content")
	if err := os.Symlink("src", link); err != nil {
		t.Fatal(err)
	}
	if err := fsx.LinkOrCopy(link, dst); err != nil {
		t.Fatal(err)
	}
	s, err := os.Stat(src)
	if err != nil {
		t.Fatal(err)
	}
	if d, err := os.Lstat(dst); err != nil || !d.Mode().IsRegular() || !os.SameFile(s, d) {
		t.Errorf("%v, %v; want the file it leads to", d, err)
	}
}

func TestFreeSpace(t *testing.T) {
	dir := t.TempDir()
	got, err := fsx.FreeSpace(dir)
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("df", "--output=avail", "--block-size=1", dir).Output()
	if err != nil {
		t.Fatalf("df (coreutils) is needed: %v", err)
	}
	want, err := strconv.ParseFloat(strings.Fields(string(out))[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	// Others write to the same disk meanwhile; a wrong unit is off by far more.
	if r := float64(got) / want; r < 0.5 || r > 2 {
		t.Errorf("%d bytes free, df says %.0f", got, want)
	}
	if _, err := fsx.FreeSpace(filepath.Join(dir, "absent")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of an absent directory: %v", err)
	}
}
