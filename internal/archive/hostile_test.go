package archive_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"io/fs"
	"strings"
	"testing"

	"github.com/relmat/relmat/internal/archive"
)

// entry is an entry of an archive that no honest packer makes.
type entry struct {
	name, body string
	mode       fs.FileMode // 0 is a plain file
	link       string      // of a symbolic link
}

func link(name, to string) entry { return entry{name: name, mode: fs.ModeSymlink | 0o777, link: to} }

func tarGz(tb testing.TB, fill func(*tar.Writer)) []byte {
	tb.Helper()
	var b bytes.Buffer
	gw := gzip.NewWriter(&b)
	tw := tar.NewWriter(gw)
	fill(tw)
	if err := tw.Close(); err != nil {
		tb.Fatal(err)
	}
	if err := gw.Close(); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// asZip and asTarGz write the entries as they are, without a check.
func asZip(tb testing.TB, entries []entry) []byte {
	tb.Helper()
	var b bytes.Buffer
	zw := zip.NewWriter(&b)
	for _, e := range entries {
		h := &zip.FileHeader{Name: e.name, Method: zip.Deflate}
		if e.mode == 0 {
			e.mode = 0o644
		}
		h.SetMode(e.mode)
		w, err := zw.CreateHeader(h)
		if err != nil {
			tb.Fatal(err)
		}
		if _, err := w.Write([]byte(e.body + e.link)); err != nil && !strings.HasSuffix(e.name, "/") {
			tb.Fatal(err)
		}
	}
	if err := zw.Close(); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

func asTarGz(tb testing.TB, entries []entry) []byte {
	tb.Helper()
	return tarGz(tb, func(tw *tar.Writer) {
		for _, e := range entries {
			h := &tar.Header{Name: e.name, Size: int64(len(e.body)), Mode: int64(e.mode.Perm()), Linkname: e.link, Typeflag: tar.TypeReg}
			switch {
			case e.mode.IsDir() || strings.HasSuffix(e.name, "/"):
				h.Typeflag, h.Size, e.body = tar.TypeDir, 0, ""
			case e.mode&fs.ModeSymlink != 0:
				h.Typeflag = tar.TypeSymlink
			case e.mode&fs.ModeCharDevice != 0:
				h.Typeflag, h.Devmajor, h.Devminor = tar.TypeChar, 1, 3
			case e.mode&fs.ModeDevice != 0:
				h.Typeflag = tar.TypeBlock
			case e.mode&fs.ModeNamedPipe != 0:
				h.Typeflag = tar.TypeFifo
			}
			if err := tw.WriteHeader(h); err != nil {
				tb.Fatal(err)
			}
			if _, err := tw.Write([]byte(e.body)); err != nil {
				tb.Fatal(err)
			}
		}
	})
}

var makers = map[archive.Format]func(testing.TB, []entry) []byte{archive.Zip: asZip, archive.TarGz: asTarGz}

func file(name string) entry { return entry{name: name, body: "hostile"} }

// hostile archives must be refused.
var hostile = []struct {
	name    string
	entries []entry
	says    string
}{
	{"up", []entry{file("../file")}, "elsewhere"},
	{"up in the middle", []entry{file("a/../../file")}, "elsewhere"},
	{"up at the end", []entry{file("a/../..")}, "elsewhere"},
	{"up as a directory", []entry{file("../new/")}, "elsewhere"},
	{"absolute", []entry{file("/relmat-hostile")}, "elsewhere"},
	{"absolute for Windows", []entry{file(`C:\file`)}, "elsewhere"},
	{"absolute for Windows, with slashes", []entry{file("C:/file")}, "elsewhere"},
	{"relative to a drive", []entry{file("C:file")}, "elsewhere"},
	{"another stream of a file", []entry{file("a:stream")}, "elsewhere"},
	{"a network share", []entry{file(`\\host\share\file`)}, "elsewhere"},
	{"up with backslashes", []entry{file(`..\file`)}, "elsewhere"},
	{"a backslash", []entry{file(`a\b`)}, "elsewhere"},
	{"a link up", []entry{link("l", "../neighbour")}, "outside"},
	{"a link up, deeper", []entry{link("a/b/l", "../../../neighbour")}, "outside"},
	{"an absolute link", []entry{link("l", "/etc")}, "outside"},
	{"an absolute link for Windows", []entry{link("l", `C:\Windows`)}, "outside"},
	{"a link up with backslashes", []entry{link("l", `..\neighbour`)}, "outside"},
	{"a link to nothing", []entry{link("l", "")}, "outside"},
	{"a file through a link up", []entry{link("l", ".."), file("l/file")}, "outside"},
	{"a file through a chain of links", []entry{link("a/l", ".."), link("m", "a/l/.."), file("m/file")}, ""},
	{"a chain of links up", []entry{link("a/l", ".."), link("m", "a/l/../neighbour")}, "nowhere in the package"},
	{"a link up through a link", []entry{link("a/l", ".."), link("a/l/m", "../neighbour")}, "nowhere in the package"},
	{"a link that bites its tail", []entry{link("a", "b"), link("b", "a")}, "nowhere in the package"},
	{"a file in the place of a link", []entry{link("a", "b"), file("a")}, "twice"},
	{"a file through a link in its own place", []entry{file("b"), link("a", "b"), file("A")}, "twice"},
	{"a file twice", []entry{file("a"), file("a")}, "twice"},
	{"a file twice by other spellings", []entry{file("d/a"), file("d/./x/..//a")}, "twice"},
	{"a file twice but for its case", []entry{file("d/File"), file("D/fILE")}, "twice"},
	{"a file in the place of a directory", []entry{file("a/"), file("a")}, "twice"},
	{"a file in the place of an implied directory", []entry{file("a/b"), file("a")}, ""},
	{"a directory in the place of a file", []entry{file("a"), file("a/")}, ""},
	{"a file below a file", []entry{file("a"), file("a/b")}, ""},
	{"a device", []entry{{name: "null", mode: fs.ModeDevice | fs.ModeCharDevice | 0o666}}, "no package holds"},
	{"a disk", []entry{{name: "sda", mode: fs.ModeDevice | 0o666}}, "no package holds"},
	{"a pipe", []entry{{name: "fifo", mode: fs.ModeNamedPipe | 0o666}}, "no package holds"},
}

func TestHostile(t *testing.T) {
	for _, tt := range hostile {
		for format, pack := range makers {
			t.Run(tt.name+"/"+string(format), func(t *testing.T) {
				box := newSandbox(t)
				err := archive.Extract(t.Context(), save(t, format, pack(t, tt.entries)), box.dst, archive.DefaultLimits)
				if err == nil || !strings.Contains(err.Error(), tt.says) {
					t.Errorf("error %v, want one with %q", err, tt.says)
				}
				box.check(t)
			})
		}
	}
}

// Odd, but honest: these must be unpacked.
func TestOdd(t *testing.T) {
	tests := []struct {
		name    string
		entries []entry
		want    []string
	}{
		{"a dot before", []entry{file("./"), file("./a/"), file("./a/b")}, []string{"a/", "a/b"}},
		{"up and down again", []entry{file("a/../b")}, []string{"b"}},
		{"two slashes", []entry{file("a//b")}, []string{"a/", "a/b"}},
		{"dots in names", []entry{file("..a/b..c/...")}, []string{"..a/", "..a/b..c/", "..a/b..c/..."}},
		{"a directory twice", []entry{file("a/"), file("a/b"), file("a/")}, []string{"a/", "a/b"}},
		{"a directory after what is in it", []entry{file("a/b"), file("a/")}, []string{"a/", "a/b"}},
		{"links within", []entry{file("d/f"), link("d/l", "f"), link("m", "d/l"), link("e/n", "../d"), link("self", ".")}, []string{
			"d/", "d/f", "d/l", "e/", "e/n", "m", "self",
		}},
		{"a link before what it leads to", []entry{link("l", "d/f"), file("d/f")}, []string{"d/", "d/f", "l"}},
		{"a link to nothing yet", []entry{link("l", "absent")}, []string{"l"}},
		{"a file through a link within", []entry{file("d/f"), link("l", "d"), file("l/g")}, []string{"d/", "d/f", "d/g", "l"}},
	}
	for _, tt := range tests {
		for format, pack := range makers {
			t.Run(tt.name+"/"+string(format), func(t *testing.T) {
				box := newSandbox(t)
				if err := archive.Extract(t.Context(), save(t, format, pack(t, tt.entries)), box.dst, archive.DefaultLimits); err != nil {
					t.Fatal(err)
				}
				box.check(t)
				got := list(t, box.dst)
				for _, p := range tt.want {
					if _, ok := got[p]; !ok {
						t.Errorf("%s is missing", p)
					}
					delete(got, p)
				}
				for p := range got {
					t.Errorf("%s is too much", p)
				}
			})
		}
	}
}

// Of the permissions only "a program or not" counts: no archive makes a file
// that all may write to, or that runs as its owner.
func TestPermissions(t *testing.T) {
	entries := []entry{
		{name: "suid", mode: fs.ModeSetuid | fs.ModeSetgid | 0o755, body: "x"},
		{name: "all", mode: 0o777, body: "x"},
		{name: "open", mode: 0o666, body: "x"},
		{name: "closed", mode: 0o400, body: "x"},
		{name: "group", mode: 0o610, body: "x"},
	}
	want := map[string]fs.FileMode{"suid": 0o755, "all": 0o755, "open": 0o644, "closed": 0o644, "group": 0o755}
	for format, pack := range makers {
		dst := t.TempDir()
		if err := archive.Extract(t.Context(), save(t, format, pack(t, entries)), dst, archive.DefaultLimits); err != nil {
			t.Fatal(err)
		}
		for name, mode := range want {
			if got := list(t, dst)[name].mode; got != mode {
				t.Errorf("%s: %s is %v, want %v", format, name, got, mode)
			}
		}
	}
}

func TestHardLink(t *testing.T) {
	for _, to := range []string{"a", "../file", "/etc/passwd"} {
		box := newSandbox(t)
		src := save(t, archive.TarGz, tarGz(t, func(tw *tar.Writer) {
			_ = tw.WriteHeader(&tar.Header{Name: "a", Mode: 0o644})
			_ = tw.WriteHeader(&tar.Header{Name: "b", Typeflag: tar.TypeLink, Linkname: to})
		}))
		if err := archive.Extract(t.Context(), src, box.dst, archive.DefaultLimits); err == nil || !strings.Contains(err.Error(), "hard link") {
			t.Errorf("a hard link to %s: %v", to, err)
		}
		box.check(t)
	}
}

// A comment of the whole archive, such as git archive writes, is no file.
func TestGlobalHeader(t *testing.T) {
	src := save(t, archive.TarGz, tarGz(t, func(tw *tar.Writer) {
		_ = tw.WriteHeader(&tar.Header{Typeflag: tar.TypeXGlobalHeader, Name: "pax_global_header", PAXRecords: map[string]string{"comment": "abc"}})
		_ = tw.WriteHeader(&tar.Header{Name: "a", Mode: 0o644})
	}))
	dst := t.TempDir()
	if err := archive.Extract(t.Context(), src, dst, archive.DefaultLimits); err != nil {
		t.Fatal(err)
	}
	if got := list(t, dst); len(got) != 1 || got["a"].path != "a" {
		t.Errorf("unpacked %v, want only a", got)
	}
}

// What an encrypted entry holds would be unpacked as noise, or, where the flag
// lies, as what another program would not see.
func TestEncrypted(t *testing.T) {
	data := asZip(t, []entry{file("a")})
	central := bytes.Index(data, []byte("PK\x01\x02"))
	data[central+8] |= 1
	data[6] |= 1 // the local header's flags
	dst := t.TempDir()
	err := archive.Extract(t.Context(), save(t, archive.Zip, data), dst, archive.DefaultLimits)
	if err == nil || !strings.Contains(err.Error(), `"a" is encrypted`) {
		t.Errorf("error %v", err)
	}
	if got := list(t, dst); len(got) != 0 {
		t.Errorf("unpacked %v", got)
	}
}

// A tar's names end at a zero byte, a zip's do not.
func TestZeroByte(t *testing.T) {
	box := newSandbox(t)
	err := archive.Extract(t.Context(), save(t, archive.Zip, asZip(t, []entry{file("a\x00b")})), box.dst, archive.DefaultLimits)
	if err == nil || !strings.Contains(err.Error(), "elsewhere") {
		t.Errorf("error %v", err)
	}
	box.check(t)
}

func TestLongLink(t *testing.T) {
	box := newSandbox(t)
	src := save(t, archive.Zip, asZip(t, []entry{link("l", strings.Repeat("a/", 5000))}))
	if err := archive.Extract(t.Context(), src, box.dst, archive.DefaultLimits); err == nil || !strings.Contains(err.Error(), "longer than any system allows") {
		t.Errorf("error %v", err)
	}
	box.check(t)
}
