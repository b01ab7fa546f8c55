//go:build unix

package bundle

import (
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// A user's umask must not decide what others may read of a package.
func TestWriteIgnoresUmask(t *testing.T) {
	s := newSample(t, sampleFiles)
	plan := s.plan(t)
	dir := t.TempDir()
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	if err := plan.Write(t.Context(), dir, s.options.Digests, io.Discard); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]os.FileMode{"LICENSE": 0o644, "bin/prog": 0o755} {
		info, err := os.Stat(filepath.Join(dir, file))
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s has mode %v, %v, want %v", file, info.Mode(), err, want)
		}
	}
}
