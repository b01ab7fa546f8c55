//go:build unix

// The judge of the digests is coreutils; digest_windows_test.go has NIST's.
package fsx_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/relmat/relmat/internal/fsx"
)

// sha256sum is what coreutils says of the file.
func sha256sum(tb testing.TB, path string) string {
	tb.Helper()
	out, err := exec.Command("sha256sum", "--", path).Output()
	if err != nil {
		tb.Fatalf("sha256sum (coreutils) is needed: %v", err)
	}
	return strings.Fields(string(out))[0]
}

// settle gives the file a time long past, so that its digest is remembered.
func settle(t *testing.T, path string) {
	t.Helper()
	when := time.Now().Add(-time.Hour)
	if err := os.Chtimes(path, when, when); err != nil {
		t.Fatal(err)
	}
}

func TestDigestAgainstSha256sum(t *testing.T) {
	dir := t.TempDir()
	for _, size := range []int{0, 1, 63, 64, 1<<20 - 1, 1 << 20, 1<<20 + 1, 3<<20 + 7} {
		path := filepath.Join(dir, fmt.Sprint("file-", size))
		write(t, path, string(bytes.Repeat([]byte("relmat!"), size/7+1)[:size]))
		want := sha256sum(t, path)
		sum, n, err := fsx.SHA256File(path)
		if err != nil || sum != want || n != int64(size) {
			t.Errorf("SHA256File: %s, %d, %v; want %s, %d", sum, n, err, want, size)
		}
		d := fsx.OpenDigests("")
		for range 2 {
			sum, n, err := d.File(path)
			if err != nil || sum != want || n != int64(size) {
				t.Errorf("File: %s, %d, %v; want %s, %d", sum, n, err, want, size)
			}
		}
	}
}

func TestDigestFails(t *testing.T) {
	dir := t.TempDir()
	for name, is := range map[string]error{"absent": fs.ErrNotExist, ".": fs.ErrInvalid} {
		if _, _, err := fsx.OpenDigests("").File(filepath.Join(dir, name)); !errors.Is(err, is) {
			t.Errorf("File(%q): %v, want %v", name, err, is)
		}
	}
	if _, _, err := fsx.SHA256File(filepath.Join(dir, "absent")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("SHA256File: %v", err)
	}
	if _, _, err := fsx.SHA256File(dir); err == nil {
		t.Error("SHA256File has a digest for a directory")
	}
}

// poison changes every digest in the cache file, so that a hit can be told
// from a file that was read.
func poison(t *testing.T, cache, sum string) string {
	t.Helper()
	data, err := os.ReadFile(cache)
	if err != nil {
		t.Fatal(err)
	}
	mark := strings.Repeat("ab", 32)
	if !bytes.Contains(data, []byte(sum)) {
		t.Fatalf("the cache does not hold %s: %s", sum, data)
	}
	write(t, cache, strings.ReplaceAll(string(data), sum, mark))
	return mark
}

func TestDigestsRemember(t *testing.T) {
	// Each change but the first must make the file be read again.
	changes := map[string]func(t *testing.T, path string){
		"nothing": func(*testing.T, string) {},
		"size": func(t *testing.T, path string) {
			info, _ := os.Stat(path)
			write(t, path, "content, longer")
			_ = os.Chtimes(path, info.ModTime(), info.ModTime())
		},
		"time": func(t *testing.T, path string) {
			write(t, path, "CONTENT")
			when := time.Now().Add(-time.Minute)
			_ = os.Chtimes(path, when, when)
		},
		"inode": func(t *testing.T, path string) {
			info, _ := os.Stat(path)
			write(t, path+".new", "CONTENT")
			_ = os.Chtimes(path+".new", info.ModTime(), info.ModTime())
			if err := os.Rename(path+".new", path); err != nil {
				t.Fatal(err)
			}
		},
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path, cache := filepath.Join(dir, "file"), filepath.Join(dir, "state", "digests.json")
			write(t, path, "content")
			settle(t, path)
			d := fsx.OpenDigests(cache)
			sum, _, err := d.File(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := d.Save(); err != nil {
				t.Fatal(err)
			}
			want := poison(t, cache, sum)
			change(t, path)
			if name != "nothing" {
				want = sha256sum(t, path)
			}
			if got, _, err := fsx.OpenDigests(cache).File(path); err != nil || got != want {
				t.Errorf("digest %s, %v; want %s", got, err, want)
			}
			if got, _, err := d.File(path); err != nil || got != sha256sum(t, path) {
				t.Errorf("in one process: digest %s, %v", got, err)
			}
		})
	}
}

// A file may be written twice within one tick of the file system's clock; the
// second content must not pass for the first.
func TestDigestsDoNotTrustFreshFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	now := time.Now().Add(time.Minute) // however slow this machine is
	d := fsx.OpenDigests("")
	for _, content := range []string{"one", "two"} {
		write(t, path, content)
		if err := os.Chtimes(path, now, now); err != nil {
			t.Fatal(err)
		}
		if got, _, err := d.File(path); err != nil || got != sha256sum(t, path) {
			t.Errorf("digest of %q: %s, %v", content, got, err)
		}
	}
}

func TestDigestsSurviveADamagedCache(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	write(t, path, "content")
	settle(t, path)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	want := sha256sum(t, path)
	good := filepath.Join(dir, "good.json")
	d := fsx.OpenDigests(good)
	if _, _, err := d.File(path); err != nil {
		t.Fatal(err)
	}
	if err := d.Save(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]string{
		"empty":          "",
		"truncated":      string(whole[:len(whole)/2]),
		"null":           "null",
		"another shape":  `["a"]`,
		"another type":   fmt.Sprintf(`{%q: {"size": "7"}}`, path),
		"without digest": strings.Replace(string(whole), want, "", 1),
		"short digest":   strings.Replace(string(whole), want, want[:10], 1),
		"binary":         "\x00\xff\x01",
	}
	for name, content := range tests {
		t.Run(name, func(t *testing.T) {
			cache := filepath.Join(t.TempDir(), "digests.json")
			write(t, cache, content)
			d := fsx.OpenDigests(cache)
			if got, n, err := d.File(path); err != nil || got != want || n != info.Size() {
				t.Errorf("digest %s, %d, %v", got, n, err)
			}
			if err := d.Save(); err != nil {
				t.Error(err)
			}
			wantContent(t, cache, string(whole))
		})
	}
}

func TestDigestsSave(t *testing.T) {
	dir := t.TempDir()
	cache := filepath.Join(dir, "digests.json")
	gone, kept := filepath.Join(dir, "gone"), filepath.Join(dir, "kept")
	d := fsx.OpenDigests(cache)
	if err := d.Save(); err != nil {
		t.Fatal(err)
	}
	wantNames(t, dir) // nothing learned, nothing written
	for _, p := range []string{gone, kept} {
		write(t, p, "x")
		settle(t, p)
		if _, _, err := d.File(p); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(gone); err != nil {
		t.Fatal(err)
	}
	if err := d.Save(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(cache)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(data, []byte(gone)) || !bytes.Contains(data, []byte(kept)) {
		t.Errorf("the cache holds %s, want only the file that is still there", data)
	}
	if err := fsx.OpenDigests("").Save(); err != nil {
		t.Errorf("in memory: %v", err)
	}
}

func TestDigestsConcurrently(t *testing.T) {
	dir := t.TempDir()
	d := fsx.OpenDigests(filepath.Join(dir, "digests.json"))
	var wg sync.WaitGroup
	for i := range 8 {
		path := filepath.Join(dir, fmt.Sprint("file", i%3))
		write(t, path, fmt.Sprint(i%3))
		settle(t, path)
		wg.Go(func() {
			if _, _, err := d.File(path); err != nil {
				t.Error(err)
			}
			if err := d.Save(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for i := range 3 {
		path := filepath.Join(dir, fmt.Sprint("file", i))
		if got, _, err := d.File(path); err != nil || got != sha256sum(t, path) {
			t.Errorf("%s: %s, %v", path, got, err)
		}
	}
}
