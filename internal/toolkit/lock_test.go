package toolkit

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

var (
	sumA = strings.Repeat("a1", 32)
	sumB = strings.Repeat("b2", 32)
)

const cublasFile = "nvidia_cublas-13.1.0.3-py3-none-manylinux_2_27_x86_64.whl"

func lockText(tb testing.TB, change func(*Wheel)) []byte {
	tb.Helper()
	w := Wheel{Name: "nvidia-cublas", Version: "13.1.0.3", File: cublasFile, SHA256: sumA, Size: 10, Unpacked: 20}
	change(&w)
	data, err := json.Marshal(Lock{Schema: LockSchema, Requirements: []string{"x"}, Platforms: map[string][]Wheel{"linux-x86_64": {w}}})
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

func TestParseLockAccepts(t *testing.T) {
	for name, change := range map[string]func(*Wheel){
		"as it is":              func(*Wheel) {},
		"a name of one letter":  func(w *Wheel) { w.Name = "x" },
		"a name with dots":      func(w *Wheel) { w.Name = "nvidia.cuda_x" },
		"a version of all":      func(w *Wheel) { w.Version = "1!2.0rc1.post2.dev3+local.1" },
		"a build number":        func(w *Wheel) { w.File = "a-1-2build-py3-none-any.whl" },
		"a local version":       func(w *Wheel) { w.File = "a-1+cu13-py3-none-any.whl" },
		"two platforms of tags": func(w *Wheel) { w.File = "a-1-py2.py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl" },
		"nothing unpacked":      func(w *Wheel) { w.Unpacked = 0 },
		"as large as can be":    func(w *Wheel) { w.Size, w.Unpacked = maxSize, maxSize },
	} {
		if _, err := ParseLock(lockText(t, change)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestParseLockRefuses(t *testing.T) {
	for name, change := range map[string]func(*Wheel){
		"no name":              func(w *Wheel) { w.Name = "" },
		"an option for a name": func(w *Wheel) { w.Name = "--index-url" },
		"a name of two lines":  func(w *Wheel) { w.Name = "a\n--index-url" },
		"a name with a path":   func(w *Wheel) { w.Name = "../a" },
		"a name that ends so":  func(w *Wheel) { w.Name = "a-" },
		"no version":           func(w *Wheel) { w.Version = "" },
		"a version with more":  func(w *Wheel) { w.Version = "1 --hash=sha256:0" },
		"a version of lines":   func(w *Wheel) { w.Version = "1\n" },
		"no file":              func(w *Wheel) { w.File = "" },
		"a file with a path":   func(w *Wheel) { w.File = "../" + cublasFile },
		"a file of Windows":    func(w *Wheel) { w.File = `..\` + cublasFile },
		"a source archive":     func(w *Wheel) { w.File = "nvidia_cublas-13.1.0.3.tar.gz" },
		"a file of four words": func(w *Wheel) { w.File = "a-1-py3-none.whl" },
		"a file of two lines":  func(w *Wheel) { w.File = cublasFile + "\n" },
		"no digest":            func(w *Wheel) { w.SHA256 = "" },
		"half a digest":        func(w *Wheel) { w.SHA256 = sumA[:32] },
		"a digest in capitals": func(w *Wheel) { w.SHA256 = strings.ToUpper(sumA) },
		"another's digest":     func(w *Wheel) { w.SHA256 = "md5:" + sumA[4:] },
		"no size":              func(w *Wheel) { w.Size = 0 },
		"a negative size":      func(w *Wheel) { w.Size = -1 },
		"a size of no wheel":   func(w *Wheel) { w.Size = maxSize + 1 },
		"negative contents":    func(w *Wheel) { w.Unpacked = -1 },
		"contents of no wheel": func(w *Wheel) { w.Unpacked = maxSize + 1 },
	} {
		_, err := ParseLock(lockText(t, change))
		if err == nil || !strings.Contains(err.Error(), "linux-x86_64: the entry of ") || !strings.Contains(err.Error(), "relmat toolkit lock") {
			t.Errorf("%s: the error is %v", name, err)
		}
	}
	for text, want := range map[string]string{
		"":                             "not a lock file: unexpected end of JSON input",
		`{"schema": 1, "platforms": {`: "not a lock file: unexpected end of JSON input",
		"[]":                           "not a lock file: json: cannot unmarshal array",
		"{}":                           "schema 0 is unknown, this relmat reads 1",
		`{"schema": 2}`:                "schema 2 is unknown, this relmat reads 1",
		`{"schema": 1, "platforms": {"x": [{"size": 1e300}]}}`: "not a lock file: json: cannot unmarshal number",
		"<<<<<<< HEAD\n{}": "not a lock file: invalid character '<'",
	} {
		if _, err := ParseLock([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: the error is %v, want %q", text, err, want)
		}
	}
}

func TestReadAndWriteLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cuda.lock.json")
	if _, err := ReadLock(path); err == nil || !strings.Contains(err.Error(), path+": there is no such lock file; `relmat toolkit lock` writes it") {
		t.Errorf("the error of a missing file is %v", err)
	}
	if err := os.WriteFile(path, []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadLock(path); err == nil || !strings.HasPrefix(err.Error(), path+": not a lock file") || !strings.HasSuffix(err.Error(), "; `relmat toolkit lock` writes it anew") {
		t.Errorf("the error of half a file is %v", err)
	}
	want, err := ParseLock(lockText(t, func(*Wheel) {}))
	if err != nil {
		t.Fatal(err)
	}
	if err := want.Write(path); err != nil {
		t.Fatal(err)
	}
	got, err := ReadLock(path)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
	data, err := os.ReadFile(path)
	if err != nil || !bytes.HasSuffix(data, []byte("}\n")) || bytes.Count(data, []byte("\n")) < 10 {
		t.Errorf("it is not written in lines: %q, %v", data, err)
	}
	if err := want.Write(filepath.Join(path, "below-a-file")); err == nil {
		t.Error("it was written where nothing can be")
	}
	sample, err := ReadLock(filepath.Join("..", "..", "examples", "tinylm", "cuda13.lock.json"))
	if err != nil || len(sample.Platforms["linux-x86_64"]) == 0 {
		t.Errorf("the sample's lock file: %v", err)
	}
}

func TestDigest(t *testing.T) {
	wheels := []Wheel{{File: "a-1-py3-none-any.whl", SHA256: sumA, Size: 1}, {File: "b-1-py3-none-any.whl", SHA256: sumB, Size: 1}}
	sum := exec.Command("sha256sum")
	sum.Stdin = strings.NewReader("layout 2\n" + sumA + " a-1-py3-none-any.whl\n" + sumB + " b-1-py3-none-any.whl\n")
	out, err := sum.Output()
	if err != nil {
		t.Fatal("this test needs sha256sum: ", err)
	}
	want := string(out[:64])
	if got := Digest(wheels); got != want {
		t.Errorf("got %s, sha256sum says %s: caches and the keys of builds change with it", got, want)
	}
	for name, change := range map[string]func([]Wheel){
		"digest": func(w []Wheel) { w[0].SHA256 = sumB },
		"file":   func(w []Wheel) { w[0].File = "c-1-py3-none-any.whl" },
		"order":  slices.Reverse[[]Wheel],
	} {
		other := slices.Clone(wheels)
		change(other)
		if Digest(other) == want {
			t.Errorf("another %s gives the same digest", name)
		}
	}
	sized := slices.Clone(wheels)
	sized[0].Size, sized[0].Unpacked = 99, 99
	if Digest(sized) != want {
		t.Error("a size that was learned later gives another digest")
	}
}

func TestTags(t *testing.T) {
	for file, want := range map[string][]string{
		"a-1-py3-none-any.whl":       {"any"},
		"a-1-py3-none-win_amd64.whl": {"win_amd64"},
		"a-1-7-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl": {"manylinux2014_x86_64", "manylinux_2_17_x86_64"},
	} {
		if got := (Wheel{File: file}).tags(); !slices.Equal(got, want) {
			t.Errorf("%s gives %q, want %q", file, got, want)
		}
	}
}

// TestInterpreter takes wheels of another CPython than the one that runs pip.
func TestInterpreter(t *testing.T) {
	for file, want := range map[string]string{
		cublasFile: "",
		"msvc_runtime-14.44.35112-cp311-cp311-win_amd64.whl": "--implementation cp --python-version 3.11 --abi cp311",
		"x-1-cp39-abi3-macosx_11_0_arm64.whl":                "--implementation cp --python-version 3.9 --abi abi3",
		"x-1-py2.py3-none-any.whl":                           "",
		"x-1-1build-cp313-cp313t-win_amd64.whl":              "--implementation cp --python-version 3.13 --abi cp313t",
	} {
		if got := strings.Join(Wheel{File: file}.interpreter(), " "); got != want {
			t.Errorf("%s gives %q, want %q", file, got, want)
		}
	}
}

func TestDefaultCache(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("XDG_CACHE_HOME", "")
	dir, err := DefaultCache()
	if rel, rerr := filepath.Rel(home, dir); err != nil || rerr != nil || !filepath.IsLocal(rel) || filepath.Base(dir) != "relmat" {
		t.Errorf("got %s, %v", dir, err)
	}
	t.Setenv("HOME", "")
	if dir, err := DefaultCache(); err == nil || !strings.Contains(err.Error(), "--cache or RELMAT_CACHE") {
		t.Errorf("without a home: %s, %v", dir, err)
	}
}

// FuzzParseLock wants of what is taken that no word of it can be anything but
// a word in a requirements file, a command line or a path.
func FuzzParseLock(f *testing.F) {
	f.Add(lockText(f, func(*Wheel) {}))
	f.Add(lockText(f, func(w *Wheel) { w.File = "..-1-py3-none-any.whl" }))
	f.Add([]byte(`{"schema": 1}`))
	f.Add([]byte(`{"schema": 1, "platforms": {"": null}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := ParseLock(data)
		if (l == nil) == (err == nil) {
			t.Fatalf("got %v and %v", l, err)
		}
		if err != nil {
			return
		}
		for _, wheels := range l.Platforms {
			for _, w := range wheels {
				for _, word := range []string{w.Name, w.Version, w.File, w.SHA256} {
					if word == "" || strings.ContainsAny(word, "/\\ \t\r\n;#@:'\"\x00") {
						t.Errorf("%q was taken", word)
					}
				}
				if strings.HasPrefix(w.Name, "-") || len(w.SHA256) != 64 || w.Size <= 0 || w.Unpacked < 0 || len(w.tags()) == 0 {
					t.Errorf("%+v was taken", w)
				}
				if parts := strings.Split(w.File, "-"); len(parts) < 5 || parts[0] == "" || parts[1] == "" {
					t.Errorf("file %q was taken", w.File)
				}
			}
			Digest(wheels)
		}
	})
}
