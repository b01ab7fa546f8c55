package toolkit_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/relmat/relmat/internal/toolkit"
)

// same compares a toolkit with what Python's zipfile makes of the wheels.
func same(t *testing.T, dir string, wheels ...built) {
	t.Helper()
	python, err := interpreter()
	if err != nil {
		t.Fatal(err)
	}
	truth := t.TempDir()
	args := []string{"-c", "import sys, zipfile\nfor f in sys.argv[2:]: zipfile.ZipFile(f).extractall(sys.argv[1])", truth}
	for _, w := range wheels {
		file := filepath.Join(t.TempDir(), w.file)
		write(t, file, string(w.data))
		args = append(args, file)
	}
	if out, err := exec.Command(python, args...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want := tree(t, truth)
	got := tree(t, dir)
	for path, text := range want {
		if got[path] != text {
			t.Errorf("%s is %.40q, the wheel has %.40q", path, got[path], text)
		}
	}
	for path := range got {
		if _, ok := want[path]; !ok && path != "toolkit.json" && !strings.HasSuffix(path, "/stubs/libcuda.so") {
			t.Errorf("%s is in no wheel", path)
		}
	}
}

// tree reads the regular files below dir.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, p)
		files[filepath.ToSlash(rel)] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// names lists a directory; one that is not there is empty.
func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	var list []string
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

// laidOut makes a toolkit of wheels, without a network.
func laidOut(t *testing.T, platform string, wheels ...built) *toolkit.Toolkit {
	t.Helper()
	tk, fetched, err := offline(t, wheels...).Ensure(t.Context(), "cuda13", lockOf(platform, wheels...), platform, quiet())
	if err != nil || !fetched {
		t.Fatal(fetched, err)
	}
	return tk
}

func TestLayout(t *testing.T) {
	meta, cublas, nvcc := cudaWheels(t)
	tk := laidOut(t, platform, meta, cublas, nvcc)
	same(t, tk.Dir, meta, cublas, nvcc)
	if tk.Platform != platform || !strings.HasPrefix(filepath.Base(tk.Dir), "cuda13-linux-x86_64-") {
		t.Errorf("%s is for %s", tk.Dir, tk.Platform)
	}
	if want := filepath.Join(tk.Dir, "nvidia", "cu13"); tk.Home() != want {
		t.Errorf("the home is %s, want %s", tk.Home(), want)
	}
	if info, err := os.Stat(filepath.Join(tk.Home(), "bin", "nvcc")); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("nvcc: %v, %v", info, err)
	}
	if info, err := os.Stat(tk.Dir); err != nil || info.Mode().Perm()&0o055 != 0o055 {
		t.Errorf("others may not read the toolkit: %v, %v", info, err)
	}
	for link, want := range map[string]string{
		"lib64":                  "lib",
		"lib/libcublas.so":       "libcublas.so.13",
		"lib/libcublasLt.so":     "libcublasLt.so.13",
		"lib/libnvblas.so":       "libnvblas.so.13.1.0",
		"lib/x86_64/libextra.so": "libextra.so.1",
	} {
		got, err := os.Readlink(filepath.Join(tk.Home(), link))
		if err != nil || got != want {
			t.Errorf("%s is a link to %q, %v; want %q", link, got, err, want)
		}
		if _, err := os.Stat(filepath.Join(tk.Home(), link)); err != nil {
			t.Errorf("the link leads nowhere: %v", err)
		}
	}
	if _, err := os.Lstat(filepath.Join(tk.Home(), "share", "libcublas.so")); err == nil {
		t.Error("a file that is no library has a link")
	}
	if len(tk.Notes()) != 0 {
		t.Errorf("it says %q", tk.Notes())
	}
}

// TestLayoutOfWindows makes no links: no program of Windows looks for them.
func TestLayoutOfWindows(t *testing.T) {
	w := wheel{
		name: "nvidia-cublas", version: "13.1.0.3", tag: "py3-none-win_amd64",
		files: []file{
			{path: "nvidia/cu13/bin/x86_64/cublas64_13.dll", text: "dll"},
			{path: "nvidia/cu13/lib/x64/cublas.lib", text: "lib"},
		},
	}.build(t)
	tk := laidOut(t, "windows-x86_64", w)
	same(t, tk.Dir, w)
	if _, err := os.Lstat(filepath.Join(tk.Home(), "lib64")); err == nil {
		t.Error("there is a link lib64")
	}
	if got := bases(tk.Libraries("CUBLAS64_*.dll")); !slices.Equal(got, []string{"cublas64_13.dll"}) {
		t.Errorf("the libraries are %q", got)
	}
	if got := bases(tk.Libraries("cublas*")); !slices.Equal(got, []string{"cublas64_13.dll"}) {
		t.Errorf("the libraries are %q", got)
	}
}

// TestLibrariesOfOthers are those of wheels that are not NVIDIA's, wherever
// they have them; what lies least deep comes first.
func TestLibrariesOfOthers(t *testing.T) {
	for platform, test := range map[string]struct {
		files         []string
		pattern, want string
	}{
		"linux-aarch64":  {[]string{"mlx/lib/libmlx.so", "mlx/lib/stubs/libmlx.so", "libmlx.so.txt"}, "libmlx.so", "mlx/lib/libmlx.so"},
		"linux-x86_64":   {[]string{"mlx_cuda_13.libs/libblas-bd8a282c.so.3.10.0", "nvidia/cu13/lib/stubs/libblas-1.so"}, "libblas-*", "mlx_cuda_13.libs/libblas-bd8a282c.so.3.10.0"},
		"windows-x86_64": {[]string{"m.data/data/Scripts/MSVCP140.dll", "m.data/data/msvcp140.dll"}, "msvcp140.DLL", "m.data/data/msvcp140.dll m.data/data/Scripts/MSVCP140.dll"},
		"macos-aarch64":  {[]string{"mlx/lib/libmlx.dylib", "mlx/lib/mlx.metallib", "mlx/lib/libmlx.so"}, "*", "mlx/lib/libmlx.dylib"},
	} {
		w := wheel{name: "mlx-cuda-13", version: "0.32.4", tag: "py3-none-any"}
		for _, p := range test.files {
			w.files = append(w.files, file{path: p, text: p})
		}
		tk := laidOut(t, platform, w.build(t))
		var got []string
		for _, f := range tk.Libraries(test.pattern) {
			got = append(got, f.Rel)
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("%s: %q, want %s", platform, got, test.want)
		}
	}
}

func TestLibraryDirs(t *testing.T) {
	_, cublas, nvcc := cudaWheels(t)
	cudnn := wheel{name: "nvidia-cudnn-cu13", version: "9", tag: "py3-none-any", files: []file{
		{path: "nvidia/cudnn/lib/libcudnn.so.9", text: "9"},
		{path: "nvidia/nothing/lib/x.txt", text: "9"},
		{path: "other/lib/libother.so", text: "9"},
	}}.build(t)
	tk := laidOut(t, platform, cublas, nvcc, cudnn)
	if got, want := tk.LibraryDirs(), []string{"nvidia/cu13/lib", "nvidia/cu13/lib/x86_64", "nvidia/cudnn/lib"}; !slices.Equal(got, want) {
		t.Errorf("the directories are %q, want %q", got, want)
	}
}

func TestLookup(t *testing.T) {
	meta, cublas, nvcc := cudaWheels(t)
	tk := laidOut(t, platform, meta, cublas, nvcc)
	lib := filepath.Join(tk.Home(), "lib", "libcublas.so.13")
	// The digest as another program computes it.
	out, err := exec.Command("sha256sum", lib).Output()
	if err != nil {
		t.Fatal("these tests need sha256sum: ", err)
	}
	want := toolkit.File{Path: lib, Rel: "nvidia/cu13/lib/libcublas.so.13", SHA256: string(out[:64]), Size: 7000, Dist: "nvidia-cublas", Version: "13.1.0.3"}
	if got, ok := tk.Lookup(lib); !ok || got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got, ok := tk.At(want.Rel); !ok || got != want {
		t.Errorf("by its path: %+v, %v", got, ok)
	}
	if got, ok := tk.At("nvidia/cu13/lib/libcublas.so"); ok {
		t.Errorf("a link is %+v", got)
	}
	if got, ok := tk.ByDigest(want.SHA256); !ok || got != want {
		t.Errorf("by its digest: %+v, %v", got, ok)
	}
	for _, p := range []string{
		tk.Home(), filepath.Join(tk.Dir, "toolkit.json"), filepath.Join(tk.Home(), "lib", "libcublas.so"),
		filepath.Join(tk.Dir, "..", "x"), "/etc/passwd", "relative",
	} {
		if got, ok := tk.Lookup(p); ok {
			t.Errorf("%s is %+v", p, got)
		}
	}
	if got, ok := tk.ByDigest(strings.Repeat("0", 64)); ok {
		t.Errorf("a digest that no file has gives %+v", got)
	}
}

func TestLibraries(t *testing.T) {
	meta, cublas, nvcc := cudaWheels(t)
	tk := laidOut(t, platform, meta, cublas, nvcc)
	for pattern, want := range map[string][]string{
		"libcublas.so.13": {"libcublas.so.13"}, // and not the one in share
		"libcublas.so.*":  {"libcublas.so.13"},
		"libcublas*":      {"libcublas.so.13", "libcublasLt.so.13"},
		"libextra.so.1":   {"libextra.so.1"},
		"libcublas.so":    nil, // a link
		"libnone.so.*":    nil,
		"lib/*":           nil,
		"[":               nil,
	} {
		if got := bases(tk.Libraries(pattern)); !slices.Equal(got, want) {
			t.Errorf("%s gives %q, want %q", pattern, got, want)
		}
	}
}

func bases(files []toolkit.File) []string {
	var list []string
	for _, f := range files {
		list = append(list, filepath.Base(f.Path))
	}
	return list
}

func TestLicenses(t *testing.T) {
	meta, cublas, nvcc := cudaWheels(t)
	tk := laidOut(t, platform, meta, cublas, nvcc)
	for dist, want := range map[string]string{"nvidia-cublas": "the licence of cuBLAS", "nvidia-cuda-nvcc": "the licence of nvcc"} {
		files := tk.Licenses(dist)
		if len(files) != 1 {
			t.Errorf("%s has %q", dist, files)
			continue
		}
		if text, err := os.ReadFile(files[0]); err != nil || string(text) != want {
			t.Errorf("%s has %q, %v", dist, text, err)
		}
		if _, ok := tk.Lookup(files[0]); !ok {
			t.Errorf("%s is not of a wheel", files[0])
		}
	}
	for _, dist := range []string{"cuda-toolkit", "nvidia-none", ""} {
		if files := tk.Licenses(dist); len(files) > 0 {
			t.Errorf("%q has %q", dist, files)
		}
	}
}

// TestHomeOfMixedWheels has files of other major versions among many: the
// home is where most files are, at every call.
func TestHomeOfMixedWheels(t *testing.T) {
	w := wheel{name: "nvidia-mixed", version: "1", tag: "py3-none-any", files: []file{
		{path: "nvidia/cu12/lib/liba.so.12", text: "a"},
		{path: "nvidia/cu13/lib/liba.so.13", text: "a"},
		{path: "nvidia/cu13/lib/libb.so.13", text: "b"},
		{path: "nvidia/cu14/lib/liba.so.14", text: "a"},
	}}.build(t)
	tk := laidOut(t, platform, w)
	for range 20 {
		if filepath.Base(tk.Home()) != "cu13" {
			t.Fatalf("the home is %s", tk.Home())
		}
	}
}
