package archive_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/relmat/relmat/internal/archive"
)

// tarXz was made by tar and xz 5.4 of a directory t with a file a.txt that holds
// "hello\n".
const tarXz = `/Td6WFoAAATm1rRGAgAhARwAAAAQz1jM4Cf/AHZdADoLvBunjDRE4cIHdej848CShJTXnC5NqNR3dTetET++vzs1S6cROjIH9VSR` +
	`uLagWAxLu4QBCBJ/ovlopx9tKKq8dwuz4K8/zsS0gHgPhnVRcWc+uVzQgi759bld6CVsHT3tbp/mihCUiNB02IQMjv+OzDQjcwAA` +
	`AACDF6sif6c1aAABkgGAUAAArtJ+L7HEZ/sCAAAAAARZWg==`

func bare(tb testing.TB, fill func(*tar.Writer)) []byte {
	tb.Helper()
	zr, err := gzip.NewReader(bytes.NewReader(tarGz(tb, fill)))
	if err != nil {
		tb.Fatal(err)
	}
	b, err := io.ReadAll(zr)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

var errNoArchive = errors.New("no archive")

// readAll lists an archive, what is in the files with it.
func readAll(data []byte, limits archive.Limits) (out []string, err error) {
	r := bytes.NewReader(data)
	format, ok := archive.Sniff(r)
	if !ok {
		return nil, errNoArchive
	}
	a, err := archive.NewReader(context.Background(), r, int64(len(data)), format, limits)
	if err != nil {
		return nil, err
	}
	defer a.Close()
	for {
		m, err := a.Next()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return out, err
		}
		name, err := m.Clean()
		if err != nil {
			return out, err
		}
		line := fmt.Sprintf("%s %s %d", m.Mode.Type(), name, m.Size)
		if m.Link != "" {
			line += " -> " + m.Link
		}
		if m.Mode.IsRegular() && !m.Hard {
			body, err := m.Open()
			if err != nil {
				return out, err
			}
			data, err := io.ReadAll(body)
			_ = body.Close()
			if err != nil {
				return out, err
			}
			if len(data) < 20 {
				line += " " + strings.TrimSpace(string(data))
			}
		}
		out = append(out, line)
	}
}

func TestReader(t *testing.T) {
	fill := func(tw *tar.Writer) {
		for _, h := range []tar.Header{
			{Typeflag: tar.TypeXGlobalHeader, Name: "pax", PAXRecords: map[string]string{"comment": "x"}},
			{Name: "t/", Typeflag: tar.TypeDir, Mode: 0o755},
			{Name: "t/a.txt", Mode: 0o644, Size: 6},
			{Name: "t/b", Typeflag: tar.TypeSymlink, Linkname: "a.txt"},
			{Name: "t/c", Typeflag: tar.TypeLink, Linkname: "t/a.txt"},
		} {
			if err := tw.WriteHeader(&h); err != nil {
				t.Fatal(err)
			}
			if h.Size > 0 {
				if _, err := tw.Write([]byte("hello\n")); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	zst := func() []byte {
		w, err := zstd.NewWriter(nil)
		if err != nil {
			t.Fatal(err)
		}
		return w.EncodeAll(bare(t, fill), nil)
	}()
	xz, err := base64.StdEncoding.DecodeString(tarXz)
	if err != nil {
		t.Fatal(err)
	}
	fromTar := "d--------- t 0, ---------- t/a.txt 6 hello, L--------- t/b 0 -> a.txt, ---------- t/c 0 -> t/a.txt"
	for name, tt := range map[string]struct {
		data []byte
		want string
	}{
		"tar": {bare(t, fill), fromTar}, "tar.gz": {tarGz(t, fill), fromTar}, "tar.zst": {zst, fromTar},
		"tar.xz": {xz, "d--------- t 0, ---------- t/a.txt 6 hello"},
		"zip": {
			asZip(t, []entry{{name: "t/", mode: 0o755}, {name: "t/a.txt", body: "hello\n"}, link("t/b", "a.txt")}),
			"d--------- t 0, ---------- t/a.txt 6 hello, L--------- t/b 5 -> a.txt",
		},
		"empty zip": {asZip(t, nil), ""},
	} {
		got, err := readAll(tt.data, archive.DefaultLimits)
		if err != nil || strings.Join(got, ", ") != tt.want {
			t.Errorf("%s holds %q, %v; want %s", name, got, err, tt.want)
		}
		// Cut short, it is an error, and no panic.
		for _, n := range []int{len(tt.data) - 1, len(tt.data) * 2 / 3, 40} {
			got, err := readAll(tt.data[:min(n, len(tt.data)-1)], archive.DefaultLimits)
			if err == nil && name != "tar" {
				t.Errorf("%s cut to %d bytes holds %q", name, n, got)
			}
			if err != nil && !errors.Is(err, errNoArchive) && !strings.HasSuffix(archive.WithRemedy(err).Error(), remedy) {
				t.Errorf("%s cut to %d bytes: %v has no remedy", name, n, err)
			}
		}
	}
}

// TestReadAt wants random access to what a zip stores as it is, and to nothing
// else.
func TestReadAt(t *testing.T) {
	var b bytes.Buffer
	zw := zip.NewWriter(&b)
	for _, h := range []*zip.FileHeader{{Name: "stored", Method: zip.Store}, {Name: "deflated", Method: zip.Deflate}} {
		w, err := zw.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte("0123456789")); err != nil {
			t.Fatal(err)
		}
	}
	if err := zw.Close(); err != nil {
		t.Fatal(err)
	}
	a, err := archive.NewReader(context.Background(), bytes.NewReader(b.Bytes()), int64(b.Len()), archive.Zip, archive.DefaultLimits)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	for _, want := range []bool{true, false} {
		m, err := a.Next()
		if err != nil {
			t.Fatal(err)
		}
		r, ok := m.At()
		if ok != want {
			t.Errorf("%s: random access is %v", m.Name, ok)
		}
		if !ok {
			continue
		}
		p := make([]byte, 4)
		if n, err := r.ReadAt(p, 6); n != 4 || err != nil || string(p) != "6789" {
			t.Errorf("%d %v %s", n, err, p)
		}
		if n, err := r.ReadAt(p, 8); n != 2 || !errors.Is(err, io.EOF) {
			t.Errorf("beyond the member: %d %v", n, err)
		}
	}
	if !a.Concurrent() {
		t.Error("a zip's members cannot be read at once")
	}
	plain := bare(t, func(tw *tar.Writer) {
		for _, body := range []string{"0123456789", "abcdef"} {
			h := &tar.Header{Name: body, Mode: 0o644, Size: int64(len(body))}
			if strings.HasPrefix(body, "a") { // a long name stands in an entry of its own
				h.Name = strings.Repeat("x/", 200) + body
			}
			if err := tw.WriteHeader(h); err != nil {
				t.Fatal(err)
			}
			if _, err := tw.Write([]byte(body)); err != nil {
				t.Fatal(err)
			}
		}
	})
	a, err = archive.NewReader(context.Background(), bytes.NewReader(plain), int64(len(plain)), archive.Tar, archive.DefaultLimits)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"0123456789", "abcdef"} {
		m, err := a.Next()
		if err != nil {
			t.Fatal(err)
		}
		r, ok := m.At()
		if !ok {
			t.Fatalf("%s: no random access", m.Name)
		}
		p := make([]byte, 20)
		if n, err := r.ReadAt(p, 0); string(p[:n]) != want || !errors.Is(err, io.EOF) {
			t.Errorf("%q, %v; want %s", p[:n], err, want)
		}
	}
}

// TestReadSparse wants a tar's sparse member, which GNU tar made, as it was.
func TestReadSparse(t *testing.T) {
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, "sparse"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("end"), 1<<20); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"gnu", "pax"} {
		out := filepath.Join(dir, format+".tar")
		tool(t, "tar", "--sparse", "--format="+format, "-C", dir, "-cf", out, "sparse")
		data, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		if len(data) > 100<<10 {
			t.Fatalf("%s: tar took %d bytes for a sparse file", format, len(data))
		}
		a, err := archive.NewReader(context.Background(), bytes.NewReader(data), int64(len(data)), archive.Tar, archive.DefaultLimits)
		if err != nil {
			t.Fatal(err)
		}
		m, err := a.Next()
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := m.At(); ok {
			t.Errorf("%s: a sparse member is read as if it stood in one piece", format)
		}
		body, err := m.Open()
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(body)
		if err != nil || int64(len(got)) != m.Size || len(got) != 1<<20+3 || string(got[1<<20:]) != "end" {
			t.Errorf("%s: %d bytes, %v", format, len(got), err)
		}
		if _, err := readAll(data, archive.Limits{Bytes: 1 << 19, Entries: 10}); !errors.Is(err, archive.ErrTooLarge) {
			t.Errorf("%s: beyond the limit: %v", format, err)
		}
	}
}

// TestReadHostile wants archives that lie to end in an error before they fill
// memory or time.
func TestReadHostile(t *testing.T) {
	zeros := make([]byte, 1<<20)
	bomb := func(tw *tar.Writer) {
		if err := tw.WriteHeader(&tar.Header{Name: "zeros", Mode: 0o644, Size: 64 << 20}); err != nil {
			t.Fatal(err)
		}
		for range 64 {
			if _, err := tw.Write(zeros); err != nil {
				t.Fatal(err)
			}
		}
	}
	encrypted := asZip(t, []entry{{name: "a", body: "secret"}})
	for i := 0; i+10 < len(encrypted); i++ {
		switch string(encrypted[i : i+4]) {
		case "PK\x03\x04":
			encrypted[i+6] |= 1
		case "PK\x01\x02":
			encrypted[i+8] |= 1
		}
	}
	many := make([]entry, 300)
	for i := range many {
		many[i] = entry{name: fmt.Sprintf("file-%03d", i)}
	}
	// A zstd frame that asks for a window of 2 GiB (RFC 8878, 3.1.1.1.2).
	window := append(binary.LittleEndian.AppendUint32(nil, 0xFD2FB528), 0x00, 21<<3, 0x01, 0, 0)
	limits := archive.Limits{Bytes: 8 << 20, Entries: 200}
	for name, tt := range map[string]struct {
		data []byte
		want string
	}{
		"tar.gz bomb":    {tarGz(t, bomb), "more bytes than allowed"},
		"zip bomb":       {asZip(t, []entry{{name: "zeros", body: strings.Repeat("\x00", 9<<20)}}), "more bytes than allowed"},
		"entries":        {asZip(t, many), "too many entries"},
		"tar entries":    {tarGz(t, func(tw *tar.Writer) { fillMany(t, tw, 300) }), "too many entries"},
		"encrypted":      {encrypted, "is encrypted"},
		"elsewhere":      {asZip(t, []entry{{name: "../../etc/passwd"}}), "would be unpacked elsewhere"},
		"absolute":       {asTarGz(t, []entry{{name: "/etc/passwd"}}), "would be unpacked elsewhere"},
		"long name":      {asZip(t, []entry{{name: strings.Repeat("x", 5000)}}), "longer than any system allows"},
		"long link":      {asZip(t, []entry{link("a", strings.Repeat("x", 5000))}), "longer than any system allows"},
		"window":         {window, "window"},
		"gzip of no tar": {gz(t, strings.Repeat("no tar at all", 100)), "invalid tar header"},
	} {
		got, err := readAll(tt.data, limits)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %d entries, %v; want %s", name, len(got), err, tt.want)
		}
	}
	if got, err := readAll(asZip(t, many[:200]), limits); err != nil || len(got) != 200 {
		t.Errorf("as many entries as allowed: %d, %v", len(got), err)
	}
}

func fillMany(tb testing.TB, tw *tar.Writer, n int) {
	tb.Helper()
	for i := range n {
		if err := tw.WriteHeader(&tar.Header{Name: fmt.Sprintf("file-%03d", i), Mode: 0o644}); err != nil {
			tb.Fatal(err)
		}
	}
}

func gz(tb testing.TB, text string) []byte {
	tb.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(text)); err != nil {
		tb.Fatal(err)
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

func TestSniff(t *testing.T) {
	for text, want := range map[string]archive.Format{
		"PK\x03\x04": archive.Zip, "PK\x05\x06": archive.Zip, "\x1f\x8b\x08\x00": archive.TarGz, "\x28\xb5\x2f\xfd": archive.TarZst,
		"\xfd7zXZ\x00": archive.TarXz, strings.Repeat("x", 257) + "ustar\x00": archive.Tar, "": "", "P": "", "text": "", "PK": "",
		strings.Repeat("x", 257): "", "\x7fELF": "",
	} {
		if got, ok := archive.Sniff(strings.NewReader(text)); got != want || ok != (want != "") {
			t.Errorf("%q is %q, %v", text, got, ok)
		}
	}
}

// FuzzReader wants an answer or an error for any bytes.
func FuzzReader(f *testing.F) {
	f.Add(asZip(f, []entry{{name: "t/", mode: 0o755}, {name: "t/a", body: "hello"}, link("b", "t/a")}))
	f.Add(asTarGz(f, []entry{{name: "t/a", body: "hello"}, link("b", "t/a")}))
	f.Add(bare(f, func(tw *tar.Writer) { fillMany(f, tw, 2) }))
	if xz, err := base64.StdEncoding.DecodeString(tarXz); err == nil {
		f.Add(xz)
	}
	f.Add([]byte("\x28\xb5\x2f\xfd\x00\x58\x01\x00\x00"))
	f.Fuzz(func(_ *testing.T, data []byte) {
		_, _ = readAll(data, archive.Limits{Bytes: 1 << 20, Entries: 64})
	})
}
