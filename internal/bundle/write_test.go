package bundle

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/relmat/relmat/internal/fsx"
	"github.com/relmat/relmat/internal/manifest"
)

// TestWriteShares has files of the toolkit's cache share their blocks or their
// inode with the package, and nothing else: what is written to a package must
// not reach the build or the checkout.
func TestWriteShares(t *testing.T) {
	s := newSample(t, sampleFiles)
	home := s.options.Toolkit.Home()
	// One of the wheels' files has another mode than the package gives it.
	if err := os.Chmod(filepath.Join(home, "lib", "libb.so.2"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(home, "lib", "liba.so.1"), 0o644); err != nil {
		t.Fatal(err)
	}
	plan := s.plan(t)
	dir := t.TempDir()
	if err := plan.Write(t.Context(), dir, s.options.Digests, zeroWriter{}); err != nil {
		t.Fatal(err)
	}
	sameFile := func(a, b string) bool {
		x, err := os.Stat(a)
		if err != nil {
			t.Fatal(err)
		}
		y, err := os.Stat(b)
		if err != nil {
			t.Fatal(err)
		}
		return os.SameFile(x, y)
	}
	for _, it := range plan.items {
		at := filepath.Join(dir, filepath.FromSlash(it.Path))
		inCache := strings.HasPrefix(it.src, s.options.Toolkit.Dir)
		shared := sameFile(at, it.src)
		if shared && (!inCache || it.name() == "libb.so.2") {
			t.Errorf("%s is the same file as %s", it.Path, it.src)
		}
		same(t, at, it.src)
	}
	// Where the file system can share neither blocks nor inodes this proves less.
	cloned := filepath.Join(t.TempDir(), "clone")
	ok, err := clone(filepath.Join(home, "lib", "liba.so.1"), cloned, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(cloned); (err == nil) != ok {
		t.Errorf("clone says %v and leaves %v", ok, err)
	}
	if !ok && !sameFile(filepath.Join(dir, "lib", "liba.so.1"), filepath.Join(home, "lib", "liba.so.1")) {
		t.Error("the library of the cache was copied")
	}
	for p, want := range map[string]os.FileMode{
		filepath.Join(home, "lib", "libb.so.2"): 0o755, filepath.Join(dir, "lib", "libb.so.2"): 0o644, filepath.Join(dir, "bin", "prog"): 0o755,
	} {
		if info, err := os.Stat(p); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s has mode %v, %v, want %v", p, info.Mode(), err, want)
		}
	}
	// Changing what the build made changes nothing of the package.
	exe := s.options.Programs["prog"]
	before, err := os.ReadFile(filepath.Join(dir, "bin", "prog"))
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(exe, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("changed"), 0); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if after, err := os.ReadFile(filepath.Join(dir, "bin", "prog")); err != nil || string(after) != string(before) {
		t.Errorf("the package's program changed with the build's: %v", err)
	}
}

// TestCopyLargeFile copies in more than one piece.
func TestCopyLargeFile(t *testing.T) {
	src := filepath.Join(t.TempDir(), "large")
	data := make([]byte, piece+12345)
	data[0], data[piece], data[len(data)-1] = 1, 2, 3
	if err := os.WriteFile(src, data, 0o600); err != nil {
		t.Fatal(err)
	}
	it := item{src: src, File: manifest.File{Size: int64(len(data))}}
	dst := filepath.Join(t.TempDir(), "copy")
	n := &byteCounter{}
	if err := it.copy(t.Context(), dst, 0o755, n); err != nil {
		t.Fatal(err)
	}
	same(t, src, dst)
	if n.n != it.Size {
		t.Errorf("%d bytes were counted of %d", n.n, it.Size)
	}
}

type byteCounter struct{ n int64 }

func (c *byteCounter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return len(p), nil
}

func TestBudget(t *testing.T) {
	plan := func(sizes map[string]int64) *Plan {
		p := &Plan{Manifest: manifest.Manifest{Package: "mlx"}}
		for path, size := range sizes {
			p.Manifest.Files = append(p.Manifest.Files, manifest.File{Path: path, Size: size})
		}
		return p
	}
	const mb = 1000 * 1000
	for name, tt := range map[string]struct {
		sizes map[string]int64
		want  []string
	}{
		"small":           {map[string]int64{"bin/x": 100 * mb}, nil},
		"headers":         {map[string]int64{"include/x.hpp": 3000 * mb}, nil},
		"close to it":     {map[string]int64{"lib/libcublasLt.so.13": 2500 * mb, "bin/x": 200 * mb}, []string{"may be too large: about 2.0 GB", "lib/libcublasLt.so.13 (1.9 GB), bin/x (120 MB)", "runtime: split"}},
		"over it":         {map[string]int64{"lib/libcublas.so.13": 2000 * mb, "lib/libcudnn_adv.so.9": 1000 * mb}, []string{"will be too large: about 2.8 GB"}},
		"names of Window": {map[string]int64{"nvidia/cublas/bin/cublasLt64_13.dll": 3000 * mb}, []string{"will be too large: about 2.3 GB"}},
	} {
		got := plan(tt.sizes).Budget(MaxAsset)
		if (got == "") != (tt.want == nil) {
			t.Errorf("%s: %q", name, got)
		}
		for _, w := range tt.want {
			if !strings.Contains(got, w) {
				t.Errorf("%s: %q lacks %q", name, got, w)
			}
		}
	}
	p := plan(map[string]int64{"lib/libcublas.so.13": 3000 * mb})
	p.Manifest.RuntimeOf = []string{"x"}
	if got := p.Budget(MaxAsset); strings.Contains(got, "runtime: split") || !strings.Contains(got, "two packages with runtime-of") {
		t.Errorf("of a package of libraries: %q", got)
	}
}

// TestWriteHashesOnce has Write read no file again whose digest is known.
func TestWriteHashesOnce(t *testing.T) {
	s := newSample(t, "    files: [{source: LICENSE, to: LICENSE}]\n")
	license := filepath.Join(s.options.Source, "LICENSE")
	info, err := os.Stat(license)
	if err != nil {
		t.Fatal(err)
	}
	old := info.ModTime().Add(-1e9 * 10)
	if err := os.Chtimes(license, old, old); err != nil {
		t.Fatal(err)
	}
	plan := s.plan(t)
	// Other content under the same time, size and inode: the known digest stands.
	write(t, license, "OURS\n")
	if err := os.Chtimes(license, old, old); err != nil {
		t.Fatal(err)
	}
	if err := plan.Write(t.Context(), t.TempDir(), s.options.Digests, zeroWriter{}); err != nil {
		t.Errorf("the file was read again: %v", err)
	}
	if err := plan.Write(t.Context(), t.TempDir(), fsx.OpenDigests(""), zeroWriter{}); err == nil {
		t.Error("without known digests the change goes unnoticed")
	}
}
