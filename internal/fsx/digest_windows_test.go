package fsx_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/relmat/relmat/internal/fsx"
)

// modeHere is what the file system keeps of a mode: the read-only attribute.
func modeHere(fs.FileMode) fs.FileMode { return 0o666 }

// NIST's examples for SHA-256, and a file that is replaced by one of the same
// size and time: NTFS's file index tells the two apart.
func TestDigestsKnowReplacedFiles(t *testing.T) {
	const (
		abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
		xyz = "3608bca1e44ea6c4d268eb6db02260269892c0b42b86bbf1e77a6fa16c3c9282"
	)
	dir := t.TempDir()
	path, cache := filepath.Join(dir, "file"), filepath.Join(dir, "cache.json")
	d := fsx.OpenDigests(cache)
	when := time.Now().Add(-time.Hour)
	for _, v := range []struct{ text, sum string }{{"abc", abc}, {"xyz", xyz}, {"abc", abc}} {
		write(t, path+".new", v.text)
		if err := os.Chtimes(path+".new", when, when); err != nil {
			t.Fatal(err)
		}
		if err := fsx.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if sum, n, err := d.File(path); err != nil || sum != v.sum || n != 3 {
				t.Errorf("%s: %s, %d, %v", v.text, sum, n, err)
			}
		}
		if err := d.Save(); err != nil {
			t.Fatal(err)
		}
		d = fsx.OpenDigests(cache)
	}
}
