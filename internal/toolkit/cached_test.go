package toolkit_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/relmat/relmat/internal/toolkit"
)

func TestCached(t *testing.T) {
	t.Parallel()
	meta, cublas, nvcc := cudaWheels(t)
	index := serve(t, meta, cublas, nvcc)
	f := index.fetcher(t)
	lock := &toolkit.Lock{Schema: toolkit.LockSchema, Platforms: map[string][]toolkit.Wheel{platform: {meta.pin(), cublas.pin(), nvcc.pin()}}}

	whole := f.Need(lock.Platforms[platform])
	if tk, err := f.Cached("cuda13", lock, platform); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("an empty cache has %v, %v", tk, err)
	}
	if _, err := os.Stat(f.Cache); err == nil && len(names(t, f.Cache)) > 0 {
		t.Errorf("asking left %q in the cache", names(t, f.Cache))
	}
	fetched, _, err := f.Ensure(t.Context(), "cuda13", lock, platform, quiet())
	if err != nil {
		t.Fatal(err)
	}
	asked := index.hits()
	tk, err := f.Cached("cuda13", lock, platform)
	if err != nil || tk.Dir != fetched.Dir || index.hits() != asked {
		t.Fatalf("Cached = %+v, %v, want the toolkit in %s", tk, err, fetched.Dir)
	}
	// Of another name, for another platform, or no longer whole.
	if _, err := f.Cached("other", lock, platform); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("another toolkit: %v", err)
	}
	if _, err := f.Cached("cuda13", lock, "windows-x86_64"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("another platform: %v", err)
	}
	if err := os.Remove(filepath.Join(tk.Home(), "bin", "nvcc")); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Cached("cuda13", lock, platform); err == nil || errors.Is(err, os.ErrNotExist) {
		t.Errorf("a toolkit without nvcc: %v", err)
	}

	// A wheel that is there already is not counted twice.
	w := cublas.pin()
	if err := os.MkdirAll(filepath.Join(f.Cache, "wheels"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(f.Cache, "wheels", w.SHA256[:16]+"-"+w.File), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if got := f.Need(lock.Platforms[platform]); got != whole-w.Size {
		t.Errorf("Need = %d with a wheel of %d bytes there, want %d", got, w.Size, whole-w.Size)
	}
}
