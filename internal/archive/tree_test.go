package archive_test

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/relmat/relmat/internal/archive"
)

var formats = []archive.Format{archive.Zip, archive.TarGz}

// node is a file of a tree: of a mode, or a link, or a directory (which ends
// with a slash).
type node struct {
	path, content string
	mode          fs.FileMode
	link          string
}

// sample holds one of everything that a package may hold.
func sample() []node {
	return []node{
		{path: "bin/tool", content: "#!/bin/sh\n", mode: 0o755},
		{path: "bin/tool.exe", content: "MZ", mode: 0o644}, // as a checkout on Windows has it
		{path: "README.md", content: "# tool\n", mode: 0o644},
		{path: "data/empty", content: "", mode: 0o644},
		{path: "data/big", content: strings.Repeat("0123456789abcdef", 80_000), mode: 0o644},
		{path: "data/picture.png", content: strings.Repeat("not really ", 500), mode: 0o644},
		{path: "empty/"},
		{path: "grün/漢字 und mehr.txt", content: "ü", mode: 0o644},
		{path: "lib/libx.so.1.2", content: "\x7fELF", mode: 0o755},
		{path: "lib/libx.so", link: "libx.so.1.2"},
		{path: "lib/up", link: "../README.md"},
		{path: "lib-a", content: "sorts between lib and lib/", mode: 0o644},
		{path: strings.Repeat("long/", 30) + strings.Repeat("n", 120), content: "beyond the 100 bytes of a plain tar", mode: 0o644},
	}
}

// lay makes the tree.
func lay(tb testing.TB, root string, nodes []node) {
	tb.Helper()
	for _, n := range nodes {
		p := filepath.Join(root, filepath.FromSlash(n.path))
		err := os.MkdirAll(filepath.Dir(p), 0o755)
		switch {
		case err != nil:
		case strings.HasSuffix(n.path, "/"):
			err = os.MkdirAll(p, 0o755)
		case n.link != "":
			err = os.Symlink(n.link, p)
		default:
			if err = os.WriteFile(p, []byte(n.content), n.mode); err == nil {
				err = os.Chmod(p, n.mode)
			}
		}
		if err != nil {
			tb.Fatal(err)
		}
	}
}

// list walks a tree: what stands at each path, without times.
func list(tb testing.TB, root string) map[string]node {
	tb.Helper()
	found := map[string]node{}
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || p == root {
			return err
		}
		rel, _ := filepath.Rel(root, p)
		n := node{path: filepath.ToSlash(rel)}
		info, err := d.Info()
		if err != nil {
			return err
		}
		switch {
		case d.IsDir():
			n.path += "/"
		case info.Mode()&fs.ModeSymlink != 0:
			n.link, err = os.Readlink(p)
		default:
			var data []byte
			data, err = os.ReadFile(p)
			n.content, n.mode = string(data), info.Mode()
		}
		found[n.path] = n
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
	return found
}

// pack writes the tree into a new archive and returns its path.
func pack(tb testing.TB, format archive.Format, root, prefix string) string {
	tb.Helper()
	var b bytes.Buffer
	if err := archive.Write(&b, format, root, prefix, nil); err != nil {
		tb.Fatal(err)
	}
	return save(tb, format, b.Bytes())
}

// save puts an archive's bytes into a file.
func save(tb testing.TB, format archive.Format, data []byte) string {
	tb.Helper()
	p := filepath.Join(tb.TempDir(), "a."+string(format))
	if err := os.WriteFile(p, data, 0o644); err != nil {
		tb.Fatal(err)
	}
	return p
}

// tool runs a program that judges an archive.
func tool(tb testing.TB, name string, args ...string) string {
	tb.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "TZ=UTC", "LC_ALL=C.UTF-8")
	out, err := cmd.CombinedOutput()
	if err != nil {
		tb.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// sandbox is a directory to unpack into, between neighbours that must stay as
// they are.
type sandbox struct {
	dst    string
	parent string
	before map[string]node
}

func newSandbox(tb testing.TB) sandbox {
	tb.Helper()
	parent := tb.TempDir()
	lay(tb, parent, []node{
		{path: "neighbour/file", content: "untouched", mode: 0o644},
		{path: "file", content: "untouched", mode: 0o644},
		{path: "dst/"},
	})
	return sandbox{dst: filepath.Join(parent, "dst"), parent: parent, before: list(tb, parent)}
}

// check fails if anything outside of dst has changed, or if a link in dst leads
// out of it.
func (s sandbox) check(tb testing.TB) {
	tb.Helper()
	after := list(tb, s.parent)
	for p, n := range after {
		if old, ok := s.before[p]; !strings.HasPrefix(p, "dst/") && (!ok || old != n) {
			tb.Errorf("outside of the destination: %s changed to %+v", p, n)
		}
	}
	for p := range s.before {
		if _, ok := after[p]; !ok {
			tb.Errorf("outside of the destination: %s is gone", p)
		}
	}
}

// escapes lists the links in dst that lead out of it, as the system sees them.
func (s sandbox) escapes(tb testing.TB) []string {
	tb.Helper()
	real, err := filepath.EvalSymlinks(s.dst)
	if err != nil {
		tb.Fatal(err)
	}
	var out []string
	for p, n := range list(tb, s.dst) {
		if n.link == "" {
			continue
		}
		to, err := filepath.EvalSymlinks(filepath.Join(s.dst, p))
		if err == nil && to != real && !strings.HasPrefix(to, real+string(filepath.Separator)) {
			out = append(out, p)
		}
	}
	slices.Sort(out)
	return out
}
