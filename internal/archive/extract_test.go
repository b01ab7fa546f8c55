package archive_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"io/fs"
	"math/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/relmat/relmat/internal/archive"
)

func TestRoundTrip(t *testing.T) {
	root := t.TempDir()
	lay(t, root, sample())
	for _, format := range formats {
		t.Run(string(format), func(t *testing.T) {
			box := newSandbox(t)
			if err := archive.Extract(t.Context(), pack(t, format, root, "pkg-1.0"), box.dst, archive.DefaultLimits); err != nil {
				t.Fatal(err)
			}
			compareTrees(t, box.dst, "pkg-1.0")
			box.check(t)
		})
	}
}

// What other programs pack is unpacked as they meant it.
func TestExtractOthersArchives(t *testing.T) {
	root := t.TempDir()
	nodes := sample()[:10]
	for i, n := range nodes {
		if strings.HasSuffix(n.path, ".exe") {
			nodes[i].mode = 0o755 // others do not know that it is a program
		}
	}
	lay(t, filepath.Join(root, "pkg"), nodes)
	out := t.TempDir()
	zipped, tarred := filepath.Join(out, "a.zip"), filepath.Join(out, "a.tar.gz")
	tool(t, "tar", "-C", root, "-czf", tarred, "--owner=1234", "pkg")
	tool(t, "sh", "-c", `cd "$1" && python3 -m zipfile -c "$2" pkg/bin pkg/data`, "sh", root, zipped)
	for _, src := range []string{tarred, zipped} {
		box := newSandbox(t)
		if err := archive.Extract(t.Context(), src, box.dst, archive.DefaultLimits); err != nil {
			t.Fatal(err)
		}
		box.check(t)
		dir := filepath.Join(box.dst, "pkg")
		if src == zipped {
			dir = box.dst
		}
		got := list(t, dir)
		for _, n := range nodes {
			if src == zipped && !strings.HasPrefix(n.path, "bin/") && !strings.HasPrefix(n.path, "data/") {
				continue
			}
			if got[n.path] != n {
				t.Errorf("%s: %s: mode %v, link %q", filepath.Base(src), n.path, got[n.path].mode, got[n.path].link)
			}
		}
	}
}

func TestExtractCounts(t *testing.T) {
	root := t.TempDir()
	lay(t, root, sample())
	want := 0
	for _, n := range sample() {
		want += len(n.content)
	}
	for _, format := range formats {
		// The name says nothing of the format.
		src := filepath.Join(t.TempDir(), "download")
		if err := os.Rename(pack(t, format, root, "p"), src); err != nil {
			t.Fatal(err)
		}
		var count bytes.Buffer
		if err := archive.ExtractAs(t.Context(), format, src, newSandbox(t).dst, archive.DefaultLimits, &count); err != nil {
			t.Fatal(err)
		}
		if count.Len() != want {
			t.Errorf("%s: %d bytes counted, want %d", format, count.Len(), want)
		}
		if err := archive.Extract(t.Context(), src, t.TempDir(), archive.DefaultLimits); err == nil {
			t.Error("a name without a format gives no error")
		}
	}
}

func TestExtractWhere(t *testing.T) {
	root := t.TempDir()
	lay(t, root, []node{{path: "a", content: "x", mode: 0o644}})
	src := pack(t, archive.Zip, root, "")
	if err := archive.Extract(t.Context(), src, filepath.Join(t.TempDir(), "absent"), archive.DefaultLimits); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("into an absent directory: %v", err)
	}
	if err := archive.Extract(t.Context(), filepath.Join(root, "absent.zip"), t.TempDir(), archive.DefaultLimits); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of an absent archive: %v", err)
	}
	dst := t.TempDir()
	lay(t, dst, []node{{path: "a", content: "old", mode: 0o644}})
	if err := archive.Extract(t.Context(), src, dst, archive.DefaultLimits); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over an old file: %v", err)
	}
	if got := list(t, dst)["a"].content; got != "old" {
		t.Errorf("the old file holds %q", got)
	}
}

func TestLimits(t *testing.T) {
	root := t.TempDir()
	lay(t, root, []node{
		{path: "a", content: strings.Repeat("a", 1000), mode: 0o644},
		{path: "d/b", content: strings.Repeat("b", 500), mode: 0o644},
		{path: "d/empty", mode: 0o644},
	})
	tests := []struct {
		limits archive.Limits
		says   string
	}{
		{archive.Limits{Bytes: 1500, Entries: 4}, ""},
		{archive.Limits{Bytes: 1499, Entries: 4}, "more bytes than allowed"},
		{archive.Limits{Bytes: 999, Entries: 4}, "more bytes than allowed"},
		{archive.Limits{Bytes: 0, Entries: 4}, "more bytes than allowed"},
		{archive.Limits{Bytes: 1500, Entries: 3}, "too many entries"},
		{archive.Limits{}, "too many entries"},
	}
	for _, format := range formats {
		src := pack(t, format, root, "")
		for _, tt := range tests {
			dst := t.TempDir()
			err := archive.Extract(t.Context(), src, dst, tt.limits)
			if tt.says == "" {
				if err != nil {
					t.Errorf("%s, %+v: %v", format, tt.limits, err)
				}
				continue
			}
			if err == nil || !strings.Contains(err.Error(), tt.says) || !strings.Contains(err.Error(), src) {
				t.Errorf("%s, %+v: %v, want %q", format, tt.limits, err, tt.says)
			}
			written := int64(0)
			for _, n := range list(t, dst) {
				written += int64(len(n.content))
			}
			if written > tt.limits.Bytes+1 {
				t.Errorf("%s, %+v: %d bytes were written", format, tt.limits, written)
			}
		}
	}
}

// An entry may unpack to a thousand times its size; the limit holds while it is
// unpacked, not after.
func TestBombs(t *testing.T) {
	const size, allowed = 4 << 20, 1 << 18
	var z bytes.Buffer
	zw := zip.NewWriter(&z)
	w, err := zw.Create("zeros")
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.CopyN(w, zeros{}, size)
	_ = zw.Close()
	bombs := map[string][]byte{"zip": z.Bytes()}
	bombs["tar.gz"] = tarGz(t, func(tw *tar.Writer) {
		_ = tw.WriteHeader(&tar.Header{Name: "zeros", Size: size, Mode: 0o644})
		_, _ = io.CopyN(tw, zeros{}, size)
	})
	var after bytes.Buffer
	gw := gzip.NewWriter(&after)
	_, _ = io.CopyN(gw, zeros{}, size) // an empty tar, then no end of padding
	_ = gw.Close()
	bombs["tar.gz behind its end"] = after.Bytes()
	for name, data := range bombs {
		format, _, _ := strings.Cut(name, " ")
		box := newSandbox(t)
		err := archive.Extract(t.Context(), save(t, archive.Format(format), data), box.dst, archive.Limits{Bytes: allowed, Entries: 10})
		if err == nil {
			t.Errorf("%s: %d bytes unpack to %d without an error", name, len(data), size)
		}
		for p, n := range list(t, box.dst) {
			if len(n.content) > allowed+1 {
				t.Errorf("%s: %s has %d bytes", name, p, len(n.content))
			}
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func TestExtractCancelled(t *testing.T) {
	root := t.TempDir()
	lay(t, root, sample())
	for _, format := range formats {
		ctx, cancel := context.WithCancel(t.Context())
		n := 0
		count := writerFunc(func(p []byte) (int, error) {
			if n += len(p); n > 100_000 {
				cancel() // in the middle of a file
			}
			return len(p), nil
		})
		err := archive.ExtractAs(ctx, format, pack(t, format, root, ""), t.TempDir(), archive.DefaultLimits, count)
		if !errors.Is(err, context.Canceled) || n > 1_000_000 {
			t.Errorf("%s: %v after %d bytes", format, err, n)
		}
		cancel()
		if err := archive.Extract(ctx, pack(t, format, root, ""), t.TempDir(), archive.DefaultLimits); !errors.Is(err, context.Canceled) {
			t.Errorf("%s, cancelled before: %v", format, err)
		}
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// A download that was cut short or changed is not taken for whole.
func TestTruncated(t *testing.T) {
	root := t.TempDir()
	noise := make([]byte, 30_000)
	rand.New(rand.NewSource(1)).Read(noise)
	lay(t, root, []node{{path: "a", content: "hello", mode: 0o644}, {path: "noise", content: string(noise), mode: 0o644}})
	for _, format := range formats {
		whole, err := os.ReadFile(pack(t, format, root, "p"))
		if err != nil {
			t.Fatal(err)
		}
		for at := 0; at < len(whole); at += 1 + len(whole)/60 {
			box := newSandbox(t)
			if err := archive.Extract(t.Context(), save(t, format, whole[:at]), box.dst, archive.DefaultLimits); err == nil {
				t.Errorf("%s: %d of %d bytes give no error", format, at, len(whole))
			}
			box.check(t)
		}
		// The last bytes are a checksum and a length, or a comment's length.
		if err := archive.Extract(t.Context(), save(t, format, whole[:len(whole)-1]), t.TempDir(), archive.DefaultLimits); err == nil {
			t.Errorf("%s: without the last byte there is no error", format)
		}
		// In the middle there is nothing but noise, which only a checksum guards.
		broken := bytes.Clone(whole)
		broken[len(broken)/2] ^= 1
		if err := archive.Extract(t.Context(), save(t, format, broken), t.TempDir(), archive.DefaultLimits); err == nil {
			t.Errorf("%s: a changed bit gives no error", format)
		}
	}
}

func TestGarbage(t *testing.T) {
	noise := make([]byte, 10_000)
	rand.New(rand.NewSource(2)).Read(noise)
	root := t.TempDir()
	lay(t, root, sample()[:3])
	aZip, err := os.ReadFile(pack(t, archive.Zip, root, ""))
	if err != nil {
		t.Fatal(err)
	}
	aTar, err := os.ReadFile(pack(t, archive.TarGz, root, ""))
	if err != nil {
		t.Fatal(err)
	}
	gzipOf := func(data []byte) []byte {
		var b bytes.Buffer
		gw := gzip.NewWriter(&b)
		_, _ = gw.Write(data)
		_ = gw.Close()
		return b.Bytes()
	}
	for name, data := range map[string][]byte{
		"empty": nil, "noise": noise, "an error page": []byte("<html>404 Not Found</html>"), "gzip of noise": gzipOf(noise),
		"gzip magic": {0x1f, 0x8b}, "zip magic": []byte("PK\x03\x04"), "zip end": []byte("PK\x05\x06"),
	} {
		for _, format := range formats {
			box := newSandbox(t)
			if err := archive.Extract(t.Context(), save(t, format, data), box.dst, archive.DefaultLimits); err == nil {
				t.Errorf("%s as %s: no error", name, format)
			}
			box.check(t)
		}
	}
	if err := archive.Extract(t.Context(), save(t, archive.Zip, aTar), t.TempDir(), archive.DefaultLimits); err == nil {
		t.Error("a tar.gz that is called zip: no error")
	}
	if err := archive.Extract(t.Context(), save(t, archive.TarGz, aZip), t.TempDir(), archive.DefaultLimits); err == nil {
		t.Error("a zip that is called tar.gz: no error")
	}
}
