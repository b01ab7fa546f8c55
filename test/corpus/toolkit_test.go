// Package corpus compares what relmat reads out of native files with what other
// tools say of them, for every native file of pinned wheels.
package corpus

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/relmat/relmat/internal/progress"
	"github.com/relmat/relmat/internal/toolkit"
)

// cacheDir is where wheels and toolkits go: RELMAT_CORPUS, or a directory in
// the user's cache, never one in the checkout.
func cacheDir(t testing.TB) string {
	t.Helper()
	if dir := os.Getenv("RELMAT_CORPUS"); dir != "" {
		return dir
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		t.Fatalf("%v; name a cache directory with RELMAT_CORPUS", err)
	}
	return filepath.Join(dir, "relmat-corpus")
}

func findPip(ctx context.Context) (toolkit.Pip, error) {
	return toolkit.FindPip(ctx, "", os.Environ())
}

// toolkitDir returns the CUDA toolkit of a version that has a lock file, for
// Linux x86_64: bin holds nvcc and cuobjdump. It is fetched at the
// first call.
func toolkitDir(t testing.TB, version string) string {
	t.Helper()
	name := "nvcc-" + version
	lock, err := toolkit.ReadLock(name + ".lock.json")
	if err != nil {
		t.Fatal(err)
	}
	f := toolkit.Fetcher{Cache: cacheDir(t), Pip: findPip}
	tk, _, err := f.Ensure(t.Context(), name, lock, "linux-x86_64", progress.New(logSink{t}).Begin("linux-x86_64", "fetch", name))
	if err != nil {
		t.Fatalf("the toolkit of CUDA %s: %v", version, err)
	}
	return tk.Home()
}

// cuobjdump returns the path of NVIDIA's cuobjdump.
func cuobjdump(t testing.TB) string {
	t.Helper()
	return filepath.Join(toolkitDir(t, "13.2.2"), "bin", "cuobjdump")
}

// logSink shows what a fetch has to tell.
type logSink struct{ t testing.TB }

func (s logSink) Event(e progress.Event) {
	if e.Kind == progress.KindNote || e.Kind == progress.KindWarn {
		s.t.Log(e.Text)
	}
}
