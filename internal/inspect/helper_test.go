package inspect_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"flag"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

var update = flag.Bool("update", false, "write the golden files anew")

// compile makes a native file from C without the C library, so that what it
// needs is what the test says.
func compile(t testing.TB, out, source string, flags ...string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		t.Fatal(err)
	}
	src := filepath.Join(t.TempDir(), "source.c")
	if err := os.WriteFile(src, []byte(source), 0o644); err != nil {
		t.Fatal(err)
	}
	args := append([]string{"-nostdlib", "-fno-stack-protector", "-fcf-protection=none", "-Wl,--build-id=none", "-o", out, src}, flags...)
	if runtime.GOARCH != "amd64" {
		args = append(args[:2:2], args[3:]...) // a flag of x86
	}
	if b, err := exec.Command("cc", args...).CombinedOutput(); err != nil {
		t.Fatalf("cc: %v\n%s", err, b)
	}
}

// image is one entry of a fat binary.
type image struct {
	kind, sm     uint16
	flags        uint64
	major, minor uint16
}

// fatBinary makes a container as nvcc writes it: a header
// of 16 bytes, entries with one of 64.
func fatBinary(images ...image) []byte {
	var entries []byte
	le := binary.LittleEndian
	for _, i := range images {
		h := make([]byte, 64+16)
		le.PutUint16(h[0x00:], i.kind)
		le.PutUint16(h[0x02:], 0x0101)
		le.PutUint32(h[0x04:], 64)
		le.PutUint64(h[0x08:], 16)
		le.PutUint16(h[0x18:], i.minor)
		le.PutUint16(h[0x1a:], i.major)
		le.PutUint32(h[0x1c:], uint32(i.sm))
		le.PutUint64(h[0x28:], i.flags|0x11)
		entries = append(entries, h...)
	}
	b := le.AppendUint32(nil, 0xBA55ED50)
	b = le.AppendUint16(b, 1)
	b = le.AppendUint16(b, 16)
	b = le.AppendUint64(b, uint64(len(entries)))
	return append(b, entries...)
}

// program makes a tree of a program and its libraries:
//
//	bin/app         needs libone.so.1 by RUNPATH, and libgone.so.3
//	lib/libone.so.1 needs libtwo.so.2 by RPATH; GPU code; a path of a build machine
//	lib/libtwo.so.2 needs nothing
//	lib/libone.so   a link
//	README.txt
func program(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, filepath.FromSlash(name)) }
	fat := filepath.Join(t.TempDir(), "code.fatbin")
	code := fatBinary(
		image{kind: 2, sm: 80}, image{kind: 2, sm: 80}, image{kind: 2, sm: 90, flags: 1 << 20},
		image{kind: 1, sm: 90, major: 9, minor: 0}, image{kind: 8, sm: 75},
	)
	if err := os.WriteFile(fat, code, 0o644); err != nil {
		t.Fatal(err)
	}
	compile(t, in("lib/libtwo.so.2"), "int two(void) { return 2; }", "-shared", "-fPIC", "-Wl,-soname,libtwo.so.2")
	compile(t, in("lib/libone.so.1"), `
		__asm__(".section .nv_fatbin,\"a\"\n.balign 8\n.incbin \"`+fat+`\"\n.text\n");
		const char *where = "/home/builder/work/one.cu";
		int two(void);
		int one(void) { return two() + where[0]; }`,
		"-shared", "-fPIC", "-Wl,-soname,libone.so.1", "-Wl,-rpath,$ORIGIN", "-Wl,--disable-new-dtags", in("lib/libtwo.so.2"))
	gone := filepath.Join(t.TempDir(), "libgone.so")
	compile(t, gone, "int gone(void) { return 3; }", "-shared", "-fPIC", "-Wl,-soname,libgone.so.3")
	compile(t, in("bin/app"), "int one(void), gone(void); void _start(void) { one(); gone(); for (;;); }",
		"-pie", "-fPIE", "-Wl,-rpath,$ORIGIN/../lib", "-Wl,--enable-new-dtags", "-Wl,-rpath-link,"+in("lib"), in("lib/libone.so.1"), gone)
	if err := os.Symlink("libone.so.1", in("lib/libone.so")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(in("README.txt"), []byte("read me\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// pack makes an archive of a tree; method is zip's.
func pack(t testing.TB, dir, name string, method uint16) string {
	t.Helper()
	var buf bytes.Buffer
	var done func() error
	if strings.HasSuffix(name, ".zip") || strings.HasSuffix(name, ".whl") {
		zw := zip.NewWriter(&buf)
		done = zw.Close
		walkTree(t, dir, func(name string, info fs.FileInfo, link string, body []byte) error {
			h := &zip.FileHeader{Name: name, Method: method}
			h.SetMode(info.Mode())
			w, err := zw.CreateHeader(h)
			if err != nil {
				return err
			}
			if link != "" {
				body = []byte(link)
			}
			_, err = w.Write(body)
			return err
		})
	} else {
		var w io.Writer = &buf
		var closers []io.Closer
		switch {
		case strings.HasSuffix(name, ".gz"):
			gz := gzip.NewWriter(w)
			w, closers = gz, append(closers, gz)
		case strings.HasSuffix(name, ".zst"):
			zs, err := zstd.NewWriter(w)
			if err != nil {
				t.Fatal(err)
			}
			w, closers = zs, append(closers, zs)
		}
		tw := tar.NewWriter(w)
		walkTree(t, dir, func(name string, info fs.FileInfo, link string, body []byte) error {
			h, err := tar.FileInfoHeader(info, link)
			if err != nil {
				return err
			}
			h.Name = name
			if err := tw.WriteHeader(h); err != nil {
				return err
			}
			_, err = tw.Write(body)
			return err
		})
		done = func() error {
			err := tw.Close()
			for _, c := range closers {
				if cerr := c.Close(); err == nil {
					err = cerr
				}
			}
			return err
		}
	}
	if err := done(); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(out, buf.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return out
}

func walkTree(t testing.TB, dir string, visit func(name string, info fs.FileInfo, link string, body []byte) error) {
	t.Helper()
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, p)
		if err != nil {
			return err
		}
		if d.Type()&fs.ModeSymlink != 0 {
			link, err := os.Readlink(p)
			if err != nil {
				return err
			}
			return visit(filepath.ToSlash(rel), info, link, nil)
		}
		body, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		return visit(filepath.ToSlash(rel), info, "", body)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// golden compares text with a file of testdata, after what depends on the
// linker and the machine is taken out.
func golden(t *testing.T, name, got string, dir ...string) {
	t.Helper()
	for _, d := range dir {
		got = strings.ReplaceAll(got, d, "TREE")
	}
	for _, m := range [][2]string{
		{`[0-9.]+ (k|M)?B\b`, "SIZE"},
		{`0x[0-9a-f]+`, "0xOFFSET"},
		{`"(bytes|offset)": [0-9]+`, `"$1": 0`},
		{`"searched": \[[^\]]*\]`, `"searched": []`},
		{`in \d+ directories`, "in N directories"},
		{`x86-64|ARM64`, "MACHINE"},
		{`x86_64|aarch64`, "MACHINE"},
		{`/lib(64)?/ld-linux[^\s"]*`, "/lib/ld.so"},
		{` +\n`, "\n"},
		{` {2,}SIZE`, "  SIZE"},
	} {
		got = regexp.MustCompile(m[0]).ReplaceAllString(got, m[1])
	}
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs:\n%s", path, got)
	}
}
