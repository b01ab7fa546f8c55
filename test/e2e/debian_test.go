package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/relmat/relmat/internal/fsx"
)

// checkBareDebian runs the smoke test of the archive where there is neither
// CUDA nor a compiler: in a root file system of Debian's base packages.
func checkBareDebian(t *testing.T, file string) {
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(cache, "relmat-test", "debian")
	must(t, exec.CommandContext(t.Context(), filepath.Join("..", "..", "scripts", "debian-root.sh"), root))
	for _, thing := range []string{"usr/*bin/cc", "usr/*bin/c++", "usr/*bin/nvcc", "usr/*bin/python3", "usr/local/cuda*", "usr/lib/*/libcuda*", "usr/lib/*/libnv*"} {
		if found, _ := filepath.Glob(filepath.Join(root, filepath.FromSlash(thing))); len(found) > 0 {
			t.Fatalf("the machine without CUDA and compilers has %v", found)
		}
	}
	dir, err := os.MkdirTemp(filepath.Join(root, "tmp"), "package-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	for _, src := range []string{relmatBin, sample(t, "targets.yaml"), file} {
		if err := fsx.CopyFile(src, filepath.Join(dir, filepath.Base(src)), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	inside := "/tmp/" + filepath.Base(dir)
	// The loader finds $ORIGIN by /proc, which a machine has. The mount is in a
	// namespace of its own and goes with it.
	const enter = `mount -t proc proc "$0/proc" && exec chroot "$0" "$@"`
	smoke := exec.CommandContext(t.Context(), "unshare", "--mount", "sh", "-c", enter, root,
		inside+"/relmat", "--config", inside+"/targets.yaml", "--state", inside+"/state", "smoke", "--archive", inside+"/"+filepath.Base(file))
	smoke.Env = []string{"PATH=/usr/bin:/bin:/usr/sbin:/sbin", "HOME=/tmp", "TMPDIR=" + inside}
	if out := must(t, smoke); !strings.Contains(out, "passed") {
		t.Errorf("the smoke test says\n%s", out)
	}
}
