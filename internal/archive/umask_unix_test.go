//go:build unix

package archive_test

import (
	"io/fs"
	"testing"

	"github.com/relmat/relmat/internal/archive"
	"golang.org/x/sys/unix"
)

// What is unpacked is as open as the archive says, and no more, whatever the
// umask of who unpacks it.
func TestExtractUnderAnyUmask(t *testing.T) {
	root := t.TempDir()
	lay(t, root, []node{{path: "program", content: "x", mode: 0o755}, {path: "plain", content: "x", mode: 0o644}})
	for _, format := range formats {
		src := pack(t, format, root, "")
		for _, mask := range []int{0, 0o022, 0o077} {
			dst := t.TempDir()
			old := unix.Umask(mask)
			err := archive.Extract(t.Context(), src, dst, archive.DefaultLimits)
			unix.Umask(old)
			if err != nil {
				t.Fatal(err)
			}
			got := list(t, dst)
			for name, want := range map[string]fs.FileMode{"program": 0o755, "plain": 0o644} {
				if got[name].mode != want {
					t.Errorf("%s, umask %03o: %s is %v", format, mask, name, got[name].mode)
				}
			}
		}
	}
}
