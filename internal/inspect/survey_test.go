package inspect_test

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/relmat/relmat/internal/archive"
	"github.com/relmat/relmat/internal/inspect"
	"github.com/relmat/relmat/internal/loader"
	"github.com/relmat/relmat/internal/matrix"
)

func look(t *testing.T, opts inspect.Options, paths ...string) *inspect.Survey {
	t.Helper()
	s, err := inspect.Look(context.Background(), paths, opts)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func picture(t *testing.T, s *inspect.Survey) string {
	t.Helper()
	var b bytes.Buffer
	if err := s.Show(&b, false); err != nil {
		t.Fatal(err)
	}
	for _, l := range strings.Split(b.String(), "\n") {
		if n := len([]rune(l)); n > 80 {
			t.Errorf("%d columns: %s", n, l)
		}
	}
	return b.String()
}

// TestForms wants the same answer for a tree whatever it is packed in, and no
// temporary file left.
func TestForms(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	dir := program(t)
	// So large that a packed one goes through a file.
	compile(t, filepath.Join(dir, "lib", "libbig.so"), "int big[600000] = {1};", "-shared", "-fPIC")
	want := look(t, inspect.Options{Strings: true}, dir)
	if err := want.Err(); err != nil {
		t.Fatal(err)
	}
	files := func(s *inspect.Survey) string {
		r := s.Report()
		for i := range r.Files {
			r.Files[i].In = ""
			// The machine's own libraries and directories stand in no archive.
			for n := range r.Files[i].Tree {
				for e := range r.Files[i].Tree[n].Needs {
					r.Files[i].Tree[n].Needs[e].Searched = nil
				}
			}
		}
		b, err := json.MarshalIndent(r.Files, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	for name, method := range map[string]uint16{
		"stored.zip": zip.Store, "deflated.whl": zip.Deflate, "a.tar": 0, "a.tar.gz": 0, "a.tar.zst": 0,
	} {
		path := pack(t, dir, name, method)
		got := look(t, inspect.Options{Strings: true}, path)
		if err := got.Err(); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if g, w := files(got), files(want); g != w {
			t.Errorf("%s has\n%s\nthe directory\n%s", name, g, w)
		}
		g, w := got.Roots[0], want.Roots[0]
		if !slices.Equal(g.Others, w.Others) || !slices.Equal(g.Links, w.Links) || g.Size != w.Size {
			t.Errorf("%s: %v %v %d, the directory %v %v %d", name, g.Others, g.Links, g.Size, w.Others, w.Links, w.Size)
		}
		left, err := os.ReadDir(tmp)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range left {
			if strings.HasPrefix(e.Name(), "relmat-") {
				t.Errorf("%s left %s", name, e.Name())
			}
		}
	}
}

// TestSystemDirectories wants an archive's own lib not to be taken for the
// system's: ld.so, which is asked, too, finds nothing there once it is unpacked.
// Nor do links lead from the archive into it by way of the system.
func TestSystemDirectories(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, filepath.FromSlash(name)) }
	compile(t, in("lib/libninth.so.9"), "int ninth(void) { return 9; }", "-shared", "-fPIC", "-Wl,-soname,libninth.so.9")
	compile(t, in("usr/lib/libtenth.so.1"), "int tenth(void) { return 10; }", "-shared", "-fPIC", "-Wl,-soname,libtenth.so.1")
	compile(t, in("bin/app"), "int ninth(void), tenth(void); int main(void) { return ninth() + tenth(); } void _start(void) { main(); for (;;); }",
		"-pie", "-fPIE", "-Wl,-rpath,$ORIGIN/../away", "-Wl,--enable-new-dtags", in("lib/libninth.so.9"), in("usr/lib/libtenth.so.1"))
	if err := os.Mkdir(in("away"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/usr/lib/libtenth.so.1", in("away/libtenth.so.1")); err != nil {
		t.Fatal(err)
	}
	said, err := exec.Command("ldd", in("bin/app")).CombinedOutput()
	if err != nil || strings.Count(string(said), "=> not found") != 2 {
		t.Fatalf("ldd says: %v\n%s", err, said)
	}
	for _, path := range []string{dir, pack(t, dir, "a.zip", zip.Deflate), pack(t, dir, "a.tar.gz", 0)} {
		s := look(t, inspect.Options{}, path)
		missing := 0
		for _, f := range s.Report().Files {
			if f.Path != "bin/app" {
				continue
			}
			for _, e := range f.Tree[0].Needs {
				if e.Class != loader.Missing {
					t.Errorf("%s: %s is %s at %s", filepath.Base(path), e.Name, e.Class, e.Path)
					continue
				}
				missing++
				if path != dir && (e.Searched[0] != "away" || !slices.Contains(e.Searched, "/lib")) {
					t.Errorf("%s: for %s it looked in %q, want away first, and the system's", filepath.Base(path), e.Name, e.Searched)
				}
			}
		}
		if missing != 2 {
			t.Errorf("%s: %d libraries are missing, ldd says 2", filepath.Base(path), missing)
		}
	}
}

// TestHeldNames wants a library whose name stands in the text of another to be
// found in an archive as in the directory, and one that is not there to be
// missing by its name.
func TestHeldNames(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, filepath.FromSlash(name)) }
	compile(t, in("lib/libnvrtc.so.13.2.86"), `const char *builtins = "libnvrtc-builtins.so.13.2"; const char *f(void) { return builtins; }`,
		"-shared", "-fPIC", "-Wl,-soname,libnvrtc.so.13", "-Wl,-rpath,$ORIGIN")
	if err := os.Symlink("libnvrtc.so.13.2.86", in("lib/libnvrtc.so.13")); err != nil {
		t.Fatal(err)
	}
	compile(t, in("bin/app"), "const char *f(void); void _start(void) { f(); for (;;); }",
		"-pie", "-fPIE", "-Wl,-rpath,$ORIGIN/../lib", in("lib/libnvrtc.so.13.2.86"))
	edge := func(path string) loader.Edge {
		for _, f := range look(t, inspect.Options{}, path).Roots[0].Files {
			for _, sl := range f.Slices {
				for _, n := range sl.Tree.Nodes {
					for _, e := range n.Edges {
						if e.How == "by-name" {
							return e
						}
					}
				}
			}
		}
		t.Fatalf("%s: nothing is loaded by name", path)
		return loader.Edge{}
	}
	for _, there := range []bool{false, true} {
		want := loader.Missing
		if there {
			want = loader.Found
			compile(t, in("lib/libnvrtc-builtins.so.13.2"), "int b(void) { return 1; }", "-shared", "-fPIC")
		}
		for _, path := range []string{dir, pack(t, dir, "s.zip", zip.Store), pack(t, dir, "d.zip", zip.Deflate), pack(t, dir, "a.tar", 0), pack(t, dir, "a.tar.gz", 0)} {
			if e := edge(path); e.Name != "libnvrtc-builtins.so.13.2" || e.Class != want {
				t.Errorf("%s: %s is %s, want libnvrtc-builtins.so.13.2 %s (%s)", filepath.Base(path), e.Name, e.Class, want, e.Hint)
			}
		}
	}
}

func TestPicture(t *testing.T) {
	dir := program(t)
	s := look(t, inspect.Options{Strings: true}, dir)
	golden(t, "directory.txt", picture(t, s), dir)
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetIndent("", "  ")
	if err := enc.Encode(s.Report()); err != nil {
		t.Fatal(err)
	}
	golden(t, "directory.json", b.String(), dir)
	one := look(t, inspect.Options{}, filepath.Join(dir, "lib", "libone.so.1"))
	golden(t, "file.txt", picture(t, one), dir)
	b.Reset()
	if err := inspect.Markdown(&b, one.Roots[0].Files[0].Slices[0].GPU.Rows); err != nil {
		t.Fatal(err)
	}
	golden(t, "gpus.md", b.String())
}

// TestShowGPUs prints a table that fits a terminal, however long the names are.
func TestShowGPUs(t *testing.T) {
	rows, err := inspect.TargetRows("80-real;86;90a;100f", "13.0", matrix.Platform{OS: "windows", Arch: "x86_64"})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := inspect.ShowGPUs(&b, false, []string{"windows-x86_64-cuda13", strings.Repeat("long ", 20) + "\x1b[31m"}, rows); err != nil {
		t.Fatal(err)
	}
	golden(t, "gpus.txt", b.String())
	for l := range strings.SplitSeq(b.String(), "\n") {
		if n := utf8.RuneCountInString(l); n > 80 || strings.Contains(l, "\x1b") {
			t.Errorf("%d columns: %q", n, l)
		}
	}
}

// TestColor wants nothing but colours to differ.
func TestColor(t *testing.T) {
	s := look(t, inspect.Options{Strings: true}, program(t))
	var plain, colored bytes.Buffer
	if err := errors.Join(s.Show(&plain, false), s.Show(&colored, true)); err != nil {
		t.Fatal(err)
	}
	bare := colored.String()
	for _, code := range []string{"0", "1", "2", "31"} {
		bare = strings.ReplaceAll(bare, "\x1b["+code+"m", "")
	}
	if strings.Contains(plain.String(), "\x1b") || colored.Len() == plain.Len() || bare != plain.String() {
		t.Errorf("without its colors:\n%s\nplain:\n%s", bare, plain.String())
	}
}

// TestLoadedFrom wants a library to be seen as its program loads it, not as a
// program of its own.
func TestLoadedFrom(t *testing.T) {
	dir := t.TempDir()
	two, one := filepath.Join(dir, "lib", "libtwo.so"), filepath.Join(dir, "lib", "libone.so")
	compile(t, two, "int two(void) { return 2; }", "-shared", "-fPIC", "-Wl,-soname,libtwo.so")
	compile(t, one, "int two(void); int one(void) { return two(); }", "-shared", "-fPIC", "-Wl,-soname,libone.so", two)
	edge := func(s *inspect.Survey) loader.Edge {
		for _, f := range s.Roots[0].Files {
			if f.Path == "lib/libone.so" || f.Path == "libone.so" {
				for _, n := range f.Slices[0].Tree.Nodes {
					if len(n.Edges) > 0 {
						return n.Edges[0]
					}
				}
			}
		}
		t.Fatal("libone.so has no needs")
		return loader.Edge{}
	}
	if e := edge(look(t, inspect.Options{}, dir)); e.Class != loader.Missing {
		t.Errorf("without a run path: %+v", e)
	}
	// The program's RPATH counts for what its libraries need.
	compile(t, filepath.Join(dir, "app"), "int one(void); void _start(void) { one(); for (;;); }", "-pie", "-fPIE",
		"-Wl,--disable-new-dtags", "-Wl,-rpath,$ORIGIN/lib", "-Wl,-rpath-link,"+filepath.Dir(one), one)
	s := look(t, inspect.Options{}, dir)
	if e := edge(s); e.Class != loader.Found || !strings.HasSuffix(e.Path, "/lib/libtwo.so") {
		t.Errorf("with the program's: %+v", e)
	}
	for _, f := range s.Report().Files {
		if f.Path == "lib/libone.so" && f.TreeRoot != "app" {
			t.Errorf("seen from %q", f.TreeRoot)
		}
	}
}

func TestDamage(t *testing.T) {
	dir := program(t)
	data, err := os.ReadFile(filepath.Join(dir, "bin", "app"))
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{
		"damaged/cut.so":   data[:len(data)/2],
		"damaged/head.so":  data[:40],
		"damaged/MZ.exe":   append([]byte("MZ"), make([]byte, 100)...),
		"damaged/empty.so": nil,
		"damaged/link.txt": []byte("text"),
	} {
		p := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{dir, pack(t, dir, "a.zip", zip.Deflate), pack(t, dir, "a.tar.gz", 0)} {
		s := look(t, inspect.Options{Strings: true, All: true}, path)
		var bad, good []string
		for _, f := range s.Roots[0].Files {
			if f.Err != nil {
				bad = append(bad, f.Path)
			} else {
				good = append(good, f.Path)
			}
		}
		if want := []string{"damaged/MZ.exe", "damaged/cut.so", "damaged/head.so"}; !slices.Equal(bad, want) {
			t.Errorf("%s: damaged are %q, want %q", path, bad, want)
		}
		if want := []string{"bin/app", "lib/libone.so.1", "lib/libtwo.so.2"}; !slices.Equal(good, want) {
			t.Errorf("%s: whole are %q, want %q", path, good, want)
		}
		if err := s.Err(); err == nil || !strings.Contains(err.Error(), "3 files are damaged; the first: damaged/MZ.exe: ") {
			t.Errorf("%s: the error is %v", path, err)
		}
		picture(t, s)
	}
}

func TestWrongPaths(t *testing.T) {
	dir := t.TempDir()
	textFile := filepath.Join(dir, "a.txt")
	if err := os.WriteFile(textFile, []byte("text"), 0o644); err != nil {
		t.Fatal(err)
	}
	gz := filepath.Join(dir, "a.gz")
	if err := os.WriteFile(gz, []byte("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03"), 0o644); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(pack(t, program(t), "whole.zip", zip.Deflate))
	if err != nil {
		t.Fatal(err)
	}
	cut := filepath.Join(dir, "cut.zip")
	if err := os.WriteFile(cut, whole[:len(whole)/2], 0o644); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		cut:                        "zip: not a valid zip file; it may be damaged or cut short: fetch or make it again",
		filepath.Join(dir, "gone"): "no such file",
		textFile:                   "is neither a native file",
		gz:                         "reading it as tar.gz",
		os.DevNull:                 "is neither a file nor a directory",
	} {
		s := look(t, inspect.Options{}, path)
		if err := s.Err(); err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), path+": ") {
			t.Errorf("%s: %v, want %s", path, err, want)
		}
	}
	// One bad path does not hide the others.
	s := look(t, inspect.Options{}, textFile, program(t))
	if len(s.Roots) != 2 || len(s.Roots[1].Files) != 3 || s.Err() == nil {
		t.Errorf("two paths: %+v, %v", s.Roots, s.Err())
	}
}

// TestNotNative counts what has a problem and is not native as no native file.
func TestNotNative(t *testing.T) {
	var b bytes.Buffer
	zw := zip.NewWriter(&b)
	for _, name := range []string{"../out", "twice", "twice"} {
		if _, err := zw.Create(name); err != nil {
			t.Fatal(err)
		}
	}
	if err := zw.Close(); err != nil {
		t.Fatal(err)
	}
	p := filepath.Join(t.TempDir(), "a.zip")
	if err := os.WriteFile(p, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	s := look(t, inspect.Options{}, p)
	if got := picture(t, s); !strings.Contains(got, ": 0 native files, 2 files with problems, 1 other file (") || s.Err() == nil {
		t.Errorf("%v\n%s", s.Err(), got)
	}
}

func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancelCause(context.Background())
	cause := errors.New("enough")
	cancel(cause)
	for _, path := range []string{program(t), pack(t, program(t), "a.zip", zip.Deflate), pack(t, program(t), "a.tar.gz", 0)} {
		if _, err := inspect.Look(ctx, []string{path}, inspect.Options{Strings: true}); !errors.Is(err, cause) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestLimits(t *testing.T) {
	dir := program(t)
	paths := []string{pack(t, dir, "a.zip", zip.Deflate), pack(t, dir, "a.tar.gz", 0), dir}
	for _, path := range paths {
		s := look(t, inspect.Options{Limits: archive.Limits{Bytes: 1 << 30, Entries: 2}}, path)
		if err := s.Err(); err == nil || !strings.Contains(err.Error(), "too many entries") && !strings.Contains(err.Error(), "more than 2 files") {
			t.Errorf("%s with room for two entries: %v", path, err)
		}
	}
	for _, path := range paths[:2] {
		s := look(t, inspect.Options{Limits: archive.Limits{Bytes: 9000, Entries: 100}}, path)
		if err := s.Err(); !errors.Is(err, archive.ErrTooLarge) {
			t.Errorf("%s with room for 9000 bytes: %v", path, err)
		}
	}
}

// TestHostileText wants no name or string of a file to reach the terminal with
// what controls it.
func TestHostileText(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "lib\x1b[31mred\nline.so")
	compile(t, name, `const char where[] = "/home/u/\xe2\x80\xae.c"; int f(void) { return where[0]; }`, "-shared", "-fPIC", "-Wl,-soname,a\x1b]0;title\x07b")
	for _, path := range []string{dir, pack(t, dir, "a.zip", zip.Deflate), name} {
		got := picture(t, look(t, inspect.Options{Strings: true}, path))
		if strings.ContainsAny(got, "\x1b\x07\u202e") || !strings.Contains(got, `\x1b]0;title\a`) || !strings.Contains(got, "build paths") {
			t.Errorf("%q", got)
		}
	}
}

// TestLyingSizes wants a member that is not as large as its archive says to be
// that member's problem.
func TestLyingSizes(t *testing.T) {
	dir := program(t)
	elf, err := os.ReadFile(filepath.Join(dir, "bin", "app"))
	if err != nil {
		t.Fatal(err)
	}
	var deflated bytes.Buffer
	w, err := flate.NewWriter(&deflated, 6)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(elf); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for size, want := range map[int64]string{
		int64(len(elf)): "", int64(len(elf)) - 1: "unpacking it: zip: not a valid zip file", int64(len(elf)) + 1: "unexpected EOF", 1 << 40: "larger than 8589934592 bytes", 1<<63 - 1: "larger than",
	} {
		var b bytes.Buffer
		zw := zip.NewWriter(&b)
		h := &zip.FileHeader{
			Name: "app", Method: zip.Deflate, CRC32: crc32.ChecksumIEEE(elf),
			CompressedSize64: uint64(deflated.Len()), UncompressedSize64: uint64(size),
		}
		raw, err := zw.CreateRaw(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := raw.Write(deflated.Bytes()); err != nil {
			t.Fatal(err)
		}
		if err := zw.Close(); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "a.zip")
		if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		err = look(t, inspect.Options{}, path).Err()
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("a member of %d bytes that says %d: %v, want %q", len(elf), size, err, want)
		}
	}
}

// TestManyMembers wants an archive of many small members to be read within
// seconds.
func TestManyMembers(t *testing.T) {
	elf, err := os.ReadFile(filepath.Join(program(t), "lib", "libtwo.so.2"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "a.zip")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	zw := zip.NewWriter(f)
	for n := range 2000 {
		name, body := fmt.Sprintf("%d.txt", n), []byte("text")
		if n%4 == 0 {
			name, body = fmt.Sprintf("lib%d.so", n), elf
		}
		w, err := zw.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(body); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(zw.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
	s := look(t, inspect.Options{}, path)
	if err := s.Err(); err != nil || len(s.Roots[0].Files) != 500 || len(s.Roots[0].Others) != 1500 {
		t.Errorf("%d native, %d others, %v", len(s.Roots[0].Files), len(s.Roots[0].Others), err)
	}
}
