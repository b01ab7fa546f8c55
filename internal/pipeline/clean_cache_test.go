package pipeline

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/relmat/relmat/internal/fsx"
	"github.com/relmat/relmat/internal/progress"
	"github.com/relmat/relmat/internal/toolkit"
)

// lockFor writes the lock file of the matrix's toolkit and returns the names of
// what it names in the cache.
func lockFor(t *testing.T, s *Session) (dir, wheel string) {
	t.Helper()
	sum := strings.Repeat("0123456789abcdef", 4)
	w := toolkit.Wheel{Name: "nvcc", Version: "1", File: "nvcc-1-py3-none-any.whl", SHA256: sum, Size: 1}
	lock := toolkit.Lock{Schema: toolkit.LockSchema, Requirements: []string{"r"}, Platforms: map[string][]toolkit.Wheel{"linux-x86_64": {w}}}
	if err := lock.Write(s.lockPath("cuda")); err != nil {
		t.Fatal(err)
	}
	return "cuda-linux-x86_64-" + toolkit.Digest([]toolkit.Wheel{w})[:16], sum[:16] + "-" + w.File
}

func TestCleanToolkits(t *testing.T) {
	s, rec := fullState(t)
	dir, wheel := lockFor(t, s)
	in := func(p string) string { return filepath.Join(s.Cache, filepath.FromSlash(p)) }
	const stale, held = "toolkits/cuda-linux-x86_64-aaaaaaaaaaaaaaaa", "toolkits/cuda12-linux-aarch64-bbbbbbbbbbbbbbbb"
	keep := []string{
		"toolkits/" + dir + "/toolkit.json", "wheels/" + wheel, held + "/toolkit.json",
		"toolkits/somebody's/file", "toolkits/.cuda-linux-x86_64-cccccccccccccccc.replaced-old/f", "wheels/README",
		"inputs/" + strings.Repeat("a", 64) + "/model", "other/file",
		"runners/somebody's/file", "runners/wine/file",
	}
	removed := []string{
		stale + "/toolkit.json", "wheels/ffffffffffffffff-nvcc-2-py3-none-any.whl", "wheels/.nvcc.partial-1/nvcc",
		"toolkits/.cuda-linux-x86_64-aaaaaaaaaaaaaaaa.partial-2/f",
		"runners/wine-0.9.1/system.reg", "runners/.wine-0.9.2.partial-3/system.reg",
	}
	for _, p := range append(slices.Clone(keep), removed...) {
		write(t, in(p), "x")
	}
	// A drive leads to the whole system.
	outside := filepath.Join(t.TempDir(), "outside")
	write(t, outside, "x")
	if err := os.Symlink(filepath.Dir(outside), in("runners/wine-0.9.1/z")); err != nil {
		t.Fatal(err)
	}
	unlock, err := fsx.Lock(t.Context(), in("locks/"+filepath.Base(held)+".lock"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	before := tree(t, s.Cache)
	if _, err := s.Clean(t.Context(), CleanOptions{All: true, OlderThan: 0}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Clean(t.Context(), CleanOptions{Toolkits: true, DryRun: true}); err != nil {
		t.Fatal(err)
	}
	if after := tree(t, s.Cache); !slices.Equal(before, after) {
		t.Fatalf("without --toolkits, or in a dry run, the cache became %v", after)
	}
	// Nothing of it is an hour old, but the partial ones have no age.
	if _, err := s.Clean(t.Context(), CleanOptions{Toolkits: true, OlderThan: time.Hour}); err != nil {
		t.Fatal(err)
	}
	for _, p := range append(slices.Clone(keep), removed[:2]...) {
		if _, err := os.Lstat(in(p)); err != nil {
			t.Errorf("%s is gone by age", p)
		}
	}
	if _, err := s.Clean(t.Context(), CleanOptions{Toolkits: true}); err != nil {
		t.Fatal(err)
	}
	for _, p := range keep {
		if _, err := os.Lstat(in(p)); err != nil {
			t.Errorf("%s is gone", p)
		}
	}
	for _, p := range removed {
		if _, err := os.Lstat(in(p)); err == nil {
			t.Errorf("%s is still there", p)
		}
	}
	if _, err := os.Lstat(outside); err != nil {
		t.Error(err)
	}
	if !rec.has(progress.KindNote, held) {
		t.Error("no note tells of the toolkit that another relmat is at work with")
	}
}

// TestCleanToolkitsNeedsLocks: a lock file that cannot be read names nothing,
// and all would go.
func TestCleanToolkitsNeedsLocks(t *testing.T) {
	s, _ := fullState(t)
	dir, _ := lockFor(t, s)
	write(t, filepath.Join(s.Cache, "toolkits", dir, "toolkit.json"), "{}")
	write(t, s.lockPath("cuda"), "damaged")
	before := tree(t, s.File.Dir)
	if _, err := s.Clean(t.Context(), CleanOptions{Toolkits: true, All: true}); err == nil || !strings.Contains(err.Error(), "which toolkits to keep") {
		t.Errorf("error is %v", err)
	}
	if after := tree(t, s.File.Dir); !slices.Equal(before, after) {
		t.Errorf("left is %v of %v", after, before)
	}
}

func TestCleanLinkedCache(t *testing.T) {
	s, _ := fullState(t)
	lockFor(t, s)
	outside := t.TempDir()
	write(t, filepath.Join(outside, "cuda-linux-x86_64-aaaaaaaaaaaaaaaa", "toolkit.json"), "{}")
	if err := errors.Join(os.MkdirAll(s.Cache, 0o755), os.Symlink(outside, filepath.Join(s.Cache, "toolkits"))); err != nil {
		t.Fatal(err)
	}
	items, err := s.Clean(t.Context(), CleanOptions{Toolkits: true})
	if err != nil || !slices.Contains(said(items), "other toolkits kept") {
		t.Errorf("%v, %v", said(items), err)
	}
	if got := tree(t, outside); len(got) != 1 {
		t.Errorf("outside is left %v", got)
	}
}
