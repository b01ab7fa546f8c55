//go:build unix

package loader

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/relmat/relmat/internal/objfile"
)

// TestDisk looks at a directory as at a system of its own.
func TestDisk(t *testing.T) {
	top := t.TempDir()
	root := filepath.Join(top, "root")
	for _, d := range []string{"usr/lib", "opt/x"} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "usr/lib/f"), []byte("text"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(top, "outside"), []byte("text"), 0o644); err != nil {
		t.Fatal(err)
	}
	for link, target := range map[string]string{
		"lib": "usr/lib", "opt/abs": "/usr/lib", "opt/x/up": "../../lib", "opt/out": "../../../../outside", "opt/loop": "loop2", "opt/loop2": "loop", "opt/f": "/lib/f",
	} {
		if err := os.Symlink(target, filepath.Join(root, link)); err != nil {
			t.Fatal(err)
		}
	}
	view := Disk(root)
	for p, want := range map[string]string{
		"/usr/lib/f": "/usr/lib/f", "/lib/f": "/usr/lib/f", "/opt/abs/f": "/usr/lib/f", "/opt/x/up/f": "/usr/lib/f", "/opt/f": "/usr/lib/f",
		"/opt/abs/../lib/f": "/usr/lib/f", "/../../usr//lib/./f": "/usr/lib/f",
		"/opt/out": "", "/opt/loop/f": "", "/usr/lib/f/": "", "/usr/lib/f/.": "", "/usr/lib/f/..": "", "/none/../usr/lib/f": "", "/" + strings.Repeat("x", 300): "",
	} {
		_, real, err := view.Object(p)
		if want == "" {
			if !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s: %s, %v", p, real, err)
			}
			continue
		}
		if !errors.Is(err, objfile.ErrFormat) || real != want {
			t.Errorf("%s: %s, %v", p, real, err)
		}
	}
	if _, _, err := view.Object("/opt"); !errors.Is(err, errIsDir) {
		t.Error(err)
	}
	if names, err := view.List("/opt/abs"); err != nil || !slices.Equal(names, []string{"f"}) {
		t.Error(names, err)
	}
	if _, err := view.List("/lib/f"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	f, err := view.Open("/lib/f")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if f.Size() != 4 {
		t.Error(f.Size())
	}
	if p, err := view.Path(filepath.Join(root, "usr/lib/f")); err != nil || p != "/usr/lib/f" {
		t.Error(p, err)
	}
	if p, err := view.Path(filepath.Join(top, "outside")); err == nil {
		t.Error(p)
	}
}
