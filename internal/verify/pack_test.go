package verify_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"
)

// member is an entry of an archive.
type member struct {
	name, content, link string
	mode                fs.FileMode
}

func (t tree) members() []member {
	var out []member
	for _, p := range t.files() {
		info, err := os.Lstat(t.path(p))
		if err != nil {
			t.Fatal(err)
		}
		m := member{name: p, mode: info.Mode()}
		if info.Mode()&fs.ModeSymlink != 0 {
			m.link, _ = os.Readlink(t.path(p))
		} else {
			m.content = string(t.read(p))
		}
		out = append(out, m)
	}
	return out
}

// zip packs members; creator 0 is what Windows writes, 3 Unix.
func zipOf(t *testing.T, p string, creator uint16, members ...member) {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, m := range members {
		h := &zip.FileHeader{Name: m.name, Method: zip.Deflate}
		if creator != 0 {
			h.SetMode(m.mode)
		}
		w, err := z.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		content := m.content
		if m.link != "" {
			content = m.link
		}
		if _, err := w.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

func tarOf(t *testing.T, p string, members ...member) {
	t.Helper()
	var b bytes.Buffer
	g := gzip.NewWriter(&b)
	w := tar.NewWriter(g)
	for _, m := range members {
		h := &tar.Header{Name: m.name, Mode: int64(m.mode.Perm()), Size: int64(len(m.content)), Typeflag: tar.TypeReg}
		if m.mode&fs.ModeSetuid != 0 {
			h.Mode |= 0o4000
		}
		switch {
		case strings.HasPrefix(m.link, "hard:"):
			h.Typeflag, h.Linkname, h.Size = tar.TypeLink, strings.TrimPrefix(m.link, "hard:"), 0
		case m.link != "":
			h.Typeflag, h.Linkname, h.Size = tar.TypeSymlink, m.link, 0
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			if _, err := w.Write([]byte(m.content)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// wheel adds what makes a wheel of the tree.
func (t tree) wheel(tag string, requires ...string) {
	t.Helper()
	info := "p-1.dist-info/"
	t.write(info+"WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: py3-none-"+tag+"\n\n")
	meta := "Metadata-Version: 2.4\nName: p\nVersion: 1\n"
	for _, r := range requires {
		meta += "Requires-Dist: " + r + "\n"
	}
	t.write(info+"METADATA", meta+"\nRequires-Dist: not-in-the-head\n")
	record := ""
	for _, p := range t.files() {
		data := t.read(p)
		sum := sha256.Sum256(data)
		record += fmt.Sprintf("%s,sha256=%s,%d\n", p, base64.RawURLEncoding.EncodeToString(sum[:]), len(data))
	}
	t.write(info+"RECORD", record+info+"RECORD,,\n")
}
