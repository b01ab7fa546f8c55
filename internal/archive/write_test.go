package archive_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/relmat/relmat/internal/archive"
)

func TestFormatOf(t *testing.T) {
	for name, want := range map[string]archive.Format{
		"a.zip": archive.Zip, "A.ZIP": archive.Zip, "d.e/a-1.2.tar.gz": archive.TarGz, "a.Tar.Gz": archive.TarGz,
		"a.tgz": "", "a.gz": "", "zip": "", "": "", "a.zip.sig": "",
	} {
		got, err := archive.FormatOf(name)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("FormatOf(%q) = %q, %v", name, got, err)
		}
	}
}

// The same tree gives the same bytes, whenever, wherever, in which order, by
// whom and under which permissions of group and others it was made.
func TestWriteIsReproducible(t *testing.T) {
	for _, format := range formats {
		t.Run(string(format), func(t *testing.T) {
			one, two := filepath.Join(t.TempDir(), "one"), filepath.Join(t.TempDir(), "a longer way", "two")
			nodes := sample()
			lay(t, one, nodes)
			slices.Reverse(nodes)
			for i := range nodes {
				nodes[i].mode &= 0o700 // as under umask 077
			}
			lay(t, two, nodes)
			old := time.Date(1999, 12, 31, 23, 59, 58, 1, time.FixedZone("far", 5*3600))
			err := filepath.WalkDir(two, func(p string, d fs.DirEntry, err error) error {
				if err != nil || d.Type()&fs.ModeSymlink != 0 {
					return err
				}
				if d.IsDir() {
					err = os.Chmod(p, 0o700)
				}
				return errors.Join(err, os.Chtimes(p, old, old))
			})
			if err != nil {
				t.Fatal(err)
			}
			a, err := os.ReadFile(pack(t, format, one, "pkg-1.0"))
			if err != nil {
				t.Fatal(err)
			}
			for range 3 { // a compressor with several threads gets several chances
				b, err := os.ReadFile(pack(t, format, two, "pkg-1.0"))
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(a, b) {
					t.Fatalf("%d and %d bytes that differ", len(a), len(b))
				}
			}
			// And another tree gives others.
			if err := os.Chmod(filepath.Join(two, "README.md"), 0o755); err != nil {
				t.Fatal(err)
			}
			b, err := os.ReadFile(pack(t, format, two, "pkg-1.0"))
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Equal(a, b) {
				t.Error("a program and a plain file give the same bytes")
			}
		})
	}
}

// wantModes is what a listing must say of each entry.
func wantModes(prefix string) map[string]string {
	want := map[string]string{}
	for _, n := range sample() {
		mode := "-rw-r--r--"
		switch {
		case n.link != "":
			mode = "lrwxrwxrwx"
		case strings.HasSuffix(n.path, "/"):
			mode = "drwxr-xr-x"
		case n.mode == 0o755, strings.HasSuffix(n.path, ".exe"):
			mode = "-rwxr-xr-x"
		}
		want[path.Join(prefix, n.path)] = mode
		for d := path.Dir(strings.TrimSuffix(n.path, "/")); d != "."; d = path.Dir(d) {
			want[path.Join(prefix, d)] = "drwxr-xr-x"
		}
	}
	return want
}

func compareListing(t *testing.T, got, want map[string]string) {
	t.Helper()
	for name, mode := range want {
		if got[name] != mode {
			t.Errorf("entry %s: %q, want %q", name, got[name], mode)
		}
	}
	for name := range got {
		if want[name] == "" {
			t.Errorf("entry %s is not of the tree", name)
		}
	}
}

func TestZipAgainstZipinfo(t *testing.T) {
	root := t.TempDir()
	lay(t, root, sample())
	zip := pack(t, archive.Zip, root, "pkg-1.0")
	if out := tool(t, "unzip", "-t", zip); !strings.Contains(out, "No errors detected") {
		t.Error(out)
	}
	// Every entry has the first moment that a zip can tell.
	line := regexp.MustCompile(`(?m)^([-dl][rwx-]{9}) .* 19800101\.000000 (.*)$`)
	got := map[string]string{}
	var order []string
	out := tool(t, "zipinfo", "-l", "-T", zip)
	for _, m := range line.FindAllStringSubmatch(out, -1) {
		name := strings.TrimSuffix(m[2], "/")
		got[name] = m[1]
		order = append(order, name)
	}
	compareListing(t, got, wantModes("pkg-1.0"))
	if n := fmt.Sprintf("number of entries: %d", len(order)); !strings.Contains(out, n) {
		t.Errorf("zipinfo does not say %q:\n%s", n, out)
	}
	if !slices.IsSorted(order) {
		t.Errorf("the entries are not sorted: %q", order)
	}
	for _, n := range sample() {
		if n.mode != 0 {
			if got := tool(t, "unzip", "-p", zip, "pkg-1.0/"+n.path); got != n.content {
				t.Errorf("%s: unzip gives %d other bytes", n.path, len(got))
			}
		}
	}
}

func TestTarGzAgainstTar(t *testing.T) {
	root := t.TempDir()
	lay(t, root, sample())
	tgz := pack(t, archive.TarGz, root, "pkg-1.0")
	tool(t, "gzip", "-t", tgz)
	line := regexp.MustCompile(`^([-dl][rwx-]{9}) 0/0 +\d+ 1980-01-01 00:00:00 (.*?)/?( -> .*)?$`)
	got := map[string]string{}
	var order []string
	out := tool(t, "tar", "--numeric-owner", "--full-time", "-tvzf", tgz, "--quoting-style=literal")
	for _, l := range strings.Split(strings.TrimSpace(out), "\n") {
		m := line.FindStringSubmatch(l)
		if m == nil {
			t.Errorf("tar says %q", l)
			continue
		}
		got[m[2]] = m[1]
		order = append(order, m[2])
	}
	compareListing(t, got, wantModes("pkg-1.0"))
	if !slices.IsSorted(order) {
		t.Errorf("the entries are not sorted: %q", order)
	}
	dst := t.TempDir()
	tool(t, "tar", "-C", dst, "-xzf", tgz)
	compareTrees(t, dst, "pkg-1.0")
}

// compareTrees holds what was unpacked against the sample.
func compareTrees(t *testing.T, dst, prefix string) {
	t.Helper()
	got := list(t, filepath.Join(dst, prefix))
	for _, n := range sample() {
		if strings.HasSuffix(n.path, ".exe") {
			n.mode = 0o755
		}
		if got[n.path] != n {
			t.Errorf("%s: not what was packed: mode %v, %d bytes, link %q", n.path, got[n.path].mode, len(got[n.path].content), got[n.path].link)
		}
		delete(got, n.path)
	}
	for p := range got {
		if !strings.HasSuffix(p, "/") {
			t.Errorf("%s is not of the tree", p)
		}
	}
}

func TestWriteWithoutPrefix(t *testing.T) {
	root := t.TempDir()
	lay(t, root, []node{{path: "a/b", content: "x", mode: 0o644}})
	for format, out := range map[archive.Format]string{
		archive.Zip:   tool(t, "zipinfo", "-1", pack(t, archive.Zip, root, "")),
		archive.TarGz: tool(t, "tar", "-tzf", pack(t, archive.TarGz, root, "")),
	} {
		if strings.TrimSpace(out) != "a/\na/b" {
			t.Errorf("%s: entries %q", format, out)
		}
	}
}

// count sees exactly the content of the files.
func TestWriteCounts(t *testing.T) {
	root := t.TempDir()
	lay(t, root, sample())
	want := 0
	for _, n := range sample() {
		want += len(n.content)
	}
	for _, format := range formats {
		var archived, counted bytes.Buffer
		if err := archive.Write(&archived, format, root, "p", &counted); err != nil {
			t.Fatal(err)
		}
		if counted.Len() != want {
			t.Errorf("%s: %d bytes counted, want %d", format, counted.Len(), want)
		}
	}
}

var errFull = errors.New("no space left")

// fullWriter takes so many bytes and no more.
type fullWriter struct{ left int }

func (w *fullWriter) Write(p []byte) (int, error) {
	if len(p) > w.left {
		n := w.left
		w.left = 0
		return n, errFull
	}
	w.left -= len(p)
	return len(p), nil
}

// Wherever the disk is full, also at the very last byte, the archive is not
// taken for whole.
func TestWriteToAFullDisk(t *testing.T) {
	root := t.TempDir()
	lay(t, root, []node{{path: "a", content: "hello", mode: 0o644}, {path: "b", content: "world", mode: 0o755}})
	big := t.TempDir()
	lay(t, big, sample())
	for _, format := range formats {
		for dir, tries := range map[string]int{root: 80, big: 5} {
			info, err := os.Stat(pack(t, format, dir, "p"))
			if err != nil {
				t.Fatal(err)
			}
			size := int(info.Size())
			for at := 0; at < size; at += max(1, size/tries) {
				if err := archive.Write(&fullWriter{at}, format, dir, "p", nil); !errors.Is(err, errFull) {
					t.Errorf("%s of %d bytes, full at %d: %v", format, size, at, err)
				}
			}
			if err := archive.Write(&fullWriter{size - 1}, format, dir, "p", nil); !errors.Is(err, errFull) {
				t.Errorf("%s of %d bytes, full before the last: %v", format, size, err)
			}
			if err := archive.Write(&fullWriter{size}, format, dir, "p", nil); err != nil {
				t.Errorf("%s that just fits: %v", format, err)
			}
		}
	}
}

// shrinker changes a file while it is packed.
type shrinker struct {
	t    *testing.T
	path string
	to   int64
	done bool
}

func (s *shrinker) Write(p []byte) (int, error) {
	if !s.done {
		s.done = true
		if err := os.Truncate(s.path, s.to); err != nil {
			s.t.Fatal(err)
		}
	}
	return len(p), nil
}

func TestWriteOfAChangingFile(t *testing.T) {
	for _, to := range []int64{100_000, 3_000_000} {
		root := t.TempDir()
		lay(t, root, []node{{path: "last", content: strings.Repeat("x", 1_000_000), mode: 0o644}})
		var b bytes.Buffer
		err := archive.Write(&b, archive.TarGz, root, "p", &shrinker{t: t, path: filepath.Join(root, "last"), to: to})
		if err == nil {
			t.Errorf("tar.gz: a file that changed to %d bytes gives no error", to)
		}
	}
}

func TestWriteRefuses(t *testing.T) {
	if err := archive.Write(&bytes.Buffer{}, "rar", t.TempDir(), "p", nil); err == nil || !strings.Contains(err.Error(), `"rar"`) {
		t.Errorf("an unknown format: %v", err)
	}
	for _, format := range formats {
		if err := archive.Write(&bytes.Buffer{}, format, filepath.Join(t.TempDir(), "absent"), "p", nil); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s of an absent tree: %v", format, err)
		}
	}
	root := t.TempDir()
	socket, err := net.Listen("unix", filepath.Join(root, "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	for _, format := range formats {
		if err := archive.Write(&bytes.Buffer{}, format, root, "p", nil); err == nil || !strings.Contains(err.Error(), filepath.Join(root, "s")) {
			t.Errorf("%s of a socket: %v", format, err)
		}
	}
	for _, name := range []string{`back\slash`, "drive:letter"} {
		root := t.TempDir()
		if err := os.WriteFile(filepath.Join(root, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		for _, format := range formats {
			if err := archive.Write(&bytes.Buffer{}, format, root, "p", nil); err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("%s of a file %s: %v", format, name, err)
			}
		}
	}
}
