package archive_test

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/relmat/relmat/internal/archive"
)

const remedy = "; it may be damaged or cut short: fetch or make it again"

// TestDamaged cuts archives short, wherever, and wants the remedy to be told.
func TestDamaged(t *testing.T) {
	root := t.TempDir()
	lay(t, root, sample())
	for _, format := range formats {
		whole, err := os.ReadFile(pack(t, format, root, "p"))
		if err != nil {
			t.Fatal(err)
		}
		cut := filepath.Join(t.TempDir(), "cut."+string(format))
		for _, part := range []int{0, 4, len(whole) / 4, len(whole) / 2, len(whole) - 7} {
			if err := os.WriteFile(cut, whole[:part], 0o644); err != nil {
				t.Fatal(err)
			}
			if err := archive.Extract(t.Context(), cut, t.TempDir(), archive.DefaultLimits); err == nil || !strings.HasSuffix(err.Error(), remedy) {
				t.Errorf("a %s cut at %d of %d: %v", format, part, len(whole), err)
			}
		}
	}
	for _, err := range []error{archive.ErrTooLarge, fs.ErrNotExist, context.Canceled} {
		if archive.WithRemedy(err) != err {
			t.Errorf("%v has a remedy", err)
		}
	}
}

// TestNoFile wants it to be told what is wrong with a path that is no file.
func TestNoFile(t *testing.T) {
	dir := t.TempDir()
	for path, want := range map[string]string{
		filepath.Join(dir, "absent"): "no such file or directory", dir: "it is a directory, and no archive", os.DevNull: "it is a device, and no archive",
	} {
		if err := archive.Extract(t.Context(), path, t.TempDir(), archive.DefaultLimits); err == nil || err.Error() != "unpacking "+path+": "+want {
			t.Errorf("%s: %v", path, err)
		}
	}
	pipe := filepath.Join(dir, "p.zip")
	tool(t, "mkfifo", pipe)
	if err := archive.Extract(t.Context(), pipe, t.TempDir(), archive.DefaultLimits); err == nil || err.Error() != "unpacking "+pipe+": it is a named pipe, and no archive" {
		t.Errorf("a pipe: %v", err)
	}
}
