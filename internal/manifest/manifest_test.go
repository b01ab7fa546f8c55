package manifest_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/relmat/relmat/internal/manifest"
)

var update = flag.Bool("update", false, "write the golden files")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs (go test -update writes it)\ngot:\n%s\nwant:\n%s", path, got, want)
	}
}

var (
	sumA = strings.Repeat("a1", 32)
	sumB = strings.Repeat("b2", 32)
)

func sample() manifest.Manifest {
	return manifest.Manifest{
		Project: "tinylm", Version: "0.1.0", Target: "linux-x86_64-cuda13", Triple: "x86_64-unknown-linux-gnu", Package: "tinylm",
		Programs: map[string]string{"tinylm-server": "bin/tinylm-server", "tinylm": "bin/tinylm"},
		HostLibraries: []manifest.HostLibrary{
			{Name: "libnccl.so.2", From: "nvidia-nccl-cu13 2.31.2", Why: "needed by tinylm", Package: "tinylm-runtime", Path: "lib/libnccl.so.2"},
			{Name: "libcudart.so.13", From: "CUDA 13.0.2"},
		},
		Files: []manifest.File{
			{Path: "lib/libcublas.so.13", Size: 1 << 33, SHA256: sumB, Mode: "0644", Origin: manifest.Wheel, From: "nvidia-cublas 13.1.0.3", Role: "library", Why: "needed by tinylm"},
			{Path: "bin/tinylm-server", Size: 2, SHA256: sumA, Mode: "0755", Origin: manifest.Build, Role: "program"},
			{Path: "bin/tinylm", Size: 1, SHA256: sumA, Mode: "0755", Origin: manifest.Build, Role: "program"},
			{Path: "include/a&b <c>.h", Mode: "0644", Origin: manifest.Source},
			{Path: "LICENSE", Size: 3, SHA256: sumA, Mode: "0644", Origin: manifest.Source},
		},
	}
}

func TestEncode(t *testing.T) {
	m := sample()
	data, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "manifest.json", data)
	if m.Files[0].Path != "lib/libcublas.so.13" || m.HostLibraries[0].Name != "libnccl.so.2" || m.Schema != 0 {
		t.Error("Encode has changed the manifest that it was given")
	}

	// The order in which files were found changes nothing.
	slices.Reverse(m.Files)
	again, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(data, again) {
		t.Errorf("another order of files gives other bytes:\n%s", again)
	}
}

func TestRoundTrip(t *testing.T) {
	m := sample()
	data, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := manifest.Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	m.Schema = manifest.Schema
	slices.SortFunc(m.Files, func(a, b manifest.File) int { return strings.Compare(a.Path, b.Path) })
	slices.SortFunc(m.HostLibraries, func(a, b manifest.HostLibrary) int { return strings.Compare(a.Name, b.Name) })
	if !reflect.DeepEqual(got, m) {
		t.Errorf("got  %+v\nwant %+v", got, m)
	}
}

// encode gives the bytes of a manifest whose only file has been changed.
func encode(t *testing.T, change func(m *manifest.Manifest)) []byte {
	t.Helper()
	m := manifest.Manifest{
		Programs: map[string]string{"tinylm": "bin/tinylm"},
		Files:    []manifest.File{{Path: "bin/tinylm", Mode: "0755", Origin: manifest.Build}},
	}
	change(&m)
	data, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestDecodeRefusesPaths(t *testing.T) {
	for _, p := range []string{
		"", ".", "..", "/", "/etc/passwd", "../lib/x", "lib/../../x", "lib/../x", "./x", "lib//x", "lib/", "lib/.",
		`..\x`, `lib\x`, `C:\x`,
	} {
		data := encode(t, func(m *manifest.Manifest) { m.Files = append(m.Files, manifest.File{Path: p, Mode: "0644"}) })
		_, err := manifest.Decode(data)
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("path %q is not allowed", p)) {
			t.Errorf("a file at %q gives the error %v", p, err)
		}
	}
	for _, p := range []string{"x", "..x", "x..", "lib/..x/y", "a b", "bücher/ü", ".hidden", "a/b/c/d"} {
		data := encode(t, func(m *manifest.Manifest) { m.Files = append(m.Files, manifest.File{Path: p, Mode: "0644"}) })
		if _, err := manifest.Decode(data); err != nil {
			t.Errorf("a file at %q gives the error %v", p, err)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	tests := []struct {
		name, text string
		want       string
	}{
		{"nothing", "", "manifest.json: unexpected end of JSON input"},
		{"half of one", `{"schema": 1, "files": [{"path": "bin/ti`, "manifest.json: unexpected end of JSON input"},
		{"two", `{"schema": 1}{"schema": 1}`, "manifest.json: invalid character"},
		{"another type", `{"schema": 1, "files": {}}`, "manifest.json: json: cannot unmarshal object"},
		{"no schema", `{}`, "schema 0 is unknown, this relmat reads 1"},
		{"a later schema", `{"schema": 2}`, "schema 2 is unknown, this relmat reads 1"},
		{"a path twice", string(encode(t, func(m *manifest.Manifest) { m.Files = append(m.Files, m.Files[0]) })), `path "bin/tinylm" is not allowed`},
		{"a library in a directory", string(encode(t, func(m *manifest.Manifest) { m.HostLibraries = []manifest.HostLibrary{{Name: "lib/liba.so"}} })), `library "lib/liba.so" at "" is not allowed`},
		{"a library without a name", string(encode(t, func(m *manifest.Manifest) { m.HostLibraries = []manifest.HostLibrary{{}} })), `library "" at "" is not allowed`},
		{"a library twice", string(encode(t, func(m *manifest.Manifest) {
			m.HostLibraries = []manifest.HostLibrary{{Name: "liba.so"}, {Name: "liba.so"}}
		})), `library "liba.so" at "" is not allowed`},
		{"a library outside of the package", string(encode(t, func(m *manifest.Manifest) {
			m.HostLibraries = []manifest.HostLibrary{{Name: "liba.so", Path: "../liba.so"}}
		})), `library "liba.so" at "../liba.so" is not allowed`},
		{"no mode", string(encode(t, func(m *manifest.Manifest) { m.Files[0].Mode = "" })), "bin/tinylm: mode is neither 0644 nor 0755"},
		{"set-uid", string(encode(t, func(m *manifest.Manifest) { m.Files[0].Mode = "4755" })), "bin/tinylm: mode is neither 0644 nor 0755"},
		{"a program that is no file", string(encode(t, func(m *manifest.Manifest) { m.Programs["other"] = "bin/other" })), `program other is at "bin/other", which is no file of the package`},
		{"a program elsewhere", string(encode(t, func(m *manifest.Manifest) { m.Programs["other"] = "/bin/sh" })), `program other is at "/bin/sh"`},
		{"a program that is empty", string(encode(t, func(m *manifest.Manifest) { m.Programs["other"] = "" })), `program other is at ""`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := manifest.Decode([]byte(test.text))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("the error is %v, want %q", err, test.want)
			}
		})
	}
}

// TestName gives a package of libraries a manifest of its own name, which does
// not replace that of the package over which it is unpacked.
func TestName(t *testing.T) {
	own := manifest.Manifest{Package: "tinylm"}.Name()
	libraries := manifest.Manifest{Package: "tinylm-runtime", RuntimeOf: []string{"tinylm"}}.Name()
	if own != manifest.FileName || libraries != "manifest-tinylm-runtime.json" {
		t.Errorf("the names are %s and %s", own, libraries)
	}
	for name, want := range map[string]bool{
		own: true, libraries: true, "manifest-.json": false, "manifest-": false, "manifest-x.txt": false, "lib/manifest-x.json": false, "lib/manifest.json": false, "": false,
	} {
		if got := manifest.IsName(name); got != want {
			t.Errorf("%q: %v", name, got)
		}
	}
}

func TestIsOurs(t *testing.T) {
	for text, want := range map[string]bool{
		`{"schema": 1}`: true, `{"schema": 2, "files": {}}`: true, `{"triple": "a", "package": "b", "files": []}`: true,
		`{"name": "an extension", "version": 3}`: false, `{"$schema": 1}`: false, `{"schema": "https://example.org/"}`: false,
		`{"files": [], "package": "b"}`: false, `[]`: false, `null`: false, `{"schema": 1`: false, "": false,
	} {
		if got := manifest.IsOurs([]byte(text)); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}

func TestLacks(t *testing.T) {
	m := sample()
	if got := m.Lacks(); len(got) > 0 {
		t.Errorf("a whole one lacks %q", got)
	}
	m.Project, m.Files = "", nil
	if got := m.Lacks(); !slices.Equal(got, []string{"project", "files"}) {
		t.Errorf("it lacks %q", got)
	}
}

func TestPerm(t *testing.T) {
	for mode, want := range map[string]fs.FileMode{"0644": 0o644, "0755": 0o755} {
		if got, err := (manifest.File{Mode: mode}).Perm(); err != nil || got != want {
			t.Errorf("%s gives %v, %v", mode, got, err)
		}
	}
	for _, mode := range []string{"", "644", "0777", "100644", "0755 "} {
		if got, err := (manifest.File{Mode: mode}).Perm(); err == nil {
			t.Errorf("%q gives %v", mode, got)
		}
	}
}

// FuzzDecode wants of every text that it is refused, or that it is a manifest
// with paths inside the package that survives being written.
func FuzzDecode(f *testing.F) {
	data, err := sample().Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"schema": 1}`))
	f.Add([]byte(`{"schema": 1, "programs": {"x": "x"}, "files": [{"path": "x", "mode": "0644", "size": -1}]}`))
	f.Add([]byte(`{"schema": 1, "files": [{"path": "../x", "mode": "0644"}]}`))
	f.Add([]byte(`{"schema": 1, "files": [{"path": "a/..b", "mode": "0755"}, {"path": "\ud800", "mode": "0644"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := manifest.Decode(data)
		if err != nil {
			return
		}
		for _, file := range m.Files {
			// What the path's words are, judged by themselves.
			for _, word := range strings.Split(file.Path, "/") {
				if word == "" || word == "." || word == ".." || strings.Contains(word, `\`) {
					t.Errorf("path %q was taken", file.Path)
				}
			}
		}
		first, err := m.Encode()
		if err != nil {
			t.Fatal(err)
		}
		again, err := manifest.Decode(first)
		if err != nil {
			t.Fatalf("its own bytes are refused: %v\n%s", err, first)
		}
		second, err := again.Encode()
		if err != nil || !bytes.Equal(first, second) {
			t.Errorf("written twice: %v\n%s\n%s", err, first, second)
		}
		if !json.Valid(first) {
			t.Errorf("not JSON: %s", first)
		}
	})
}
