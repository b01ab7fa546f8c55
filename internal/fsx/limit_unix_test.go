//go:build unix

package fsx_test

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"testing"

	"github.com/relmat/relmat/internal/fsx"
	"golang.org/x/sys/unix"
)

func init() { children["limited"] = childLimited }

// childLimited writes more than it may: the system refuses in the middle, as
// a full disk does.
func childLimited(args []string) error {
	dir := args[0]
	signal.Ignore(unix.SIGXFSZ)
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 4096, Max: 4096}); err != nil {
		return err
	}
	src, big := filepath.Join(dir, "src"), make([]byte, 1<<20)
	tries := map[string]func() error{
		"WriteFile": func() error { return fsx.WriteFile(filepath.Join(dir, "file"), big, 0o644) },
		"CopyFile":  func() error { return fsx.CopyFile(src, filepath.Join(dir, "copy"), 0o644) },
		"BuildDir": func() error {
			return fsx.BuildDir(filepath.Join(dir, "built"), true, func(tmp string) error {
				return fsx.CopyFile(src, filepath.Join(tmp, "copy"), 0o644)
			})
		},
	}
	for name, try := range tries {
		if err := try(); !errors.Is(err, unix.EFBIG) {
			return fmt.Errorf("%s: %v, want EFBIG", name, err)
		}
	}
	ready()
	return nil
}

func TestDiskRefuses(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "file"), "old")
	write(t, filepath.Join(dir, "built", "old"), "old")
	if err := os.WriteFile(filepath.Join(dir, "src"), make([]byte, 1<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	startChild(t, "limited", dir).finish(t)
	wantNames(t, dir, "built", "file", "src")
	wantContent(t, filepath.Join(dir, "file"), "old")
	wantNames(t, filepath.Join(dir, "built"), "old")
}
