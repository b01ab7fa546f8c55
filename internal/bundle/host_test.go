package bundle

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/relmat/relmat/internal/fsx"
	"github.com/relmat/relmat/internal/manifest"
	"github.com/relmat/relmat/internal/matrix"
)

// hosted makes a program and, of the libraries that it needs, a toolkit as the
// host would have it: versions behind links, a licence, a version.
func hosted(t *testing.T) (exe, home string) {
	t.Helper()
	home = t.TempDir()
	lib := filepath.Join(home, "targets", matrix.Host().Arch+"-linux", "lib")
	a := sharedLib(t, lib, "libcudart.so.13", "int a(void) { return 7; }")
	if err := os.Rename(a, a+".0.96"); err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{"libcudart.so.13": "libcudart.so.13.0.96", "libcudart.so": "libcudart.so.13"} {
		if err := os.Symlink(to, filepath.Join(lib, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("targets/"+matrix.Host().Arch+"-linux/lib", filepath.Join(home, "lib64")); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(home, "EULA.txt"), "the licence\n")
	write(t, filepath.Join(home, "version.json"), `{"cuda": {"name": "CUDA SDK", "version": "13.0.2"}}`)
	write(t, filepath.Join(home, "include", "cuda.h"), "#define CUDA 1\n")
	exe = cc(t, filepath.Join(t.TempDir(), "prog"), "#include <stdio.h>\nint a(void); int main(void) { printf(\"%d\\n\", a()); return 0; }",
		filepath.Join(lib, "libcudart.so"), withRunPath)
	return exe, home
}

func planOf(t *testing.T, exe, pkg string, env ...string) (*Plan, error) {
	t.Helper()
	row, p := parse(t, linux(), pkg)
	return New(t.Context(), Options{
		Row: row, Name: "pkg", Package: p, Project: "p", Release: "1", Programs: map[string]string{"prog": exe},
		Env: append([]string{"PATH=" + os.Getenv("PATH")}, env...), Digests: fsx.OpenDigests(""),
	})
}

// list shows the files of a manifest.
func list(files []manifest.File) []string {
	var out []string
	for _, f := range files {
		out = append(out, strings.Join([]string{f.Path, string(f.Origin), f.From, f.Role, f.Why}, "|"))
	}
	return out
}

func TestHostToolkit(t *testing.T) {
	exe, home := hosted(t)
	const files = "    files: [{toolkit: include, to: include/cuda}]\n"
	plan, err := planOf(t, exe, files, "CUDA_PATH="+t.TempDir(), "CUDA_HOME="+home)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"bin/prog|build||program|",
		"include/cuda/cuda.h|host|CUDA 13.0.2||",
		"lib/libcudart.so.13|host|CUDA 13.0.2|library|needed by prog",
		"licenses/CUDA-13.0.2/EULA.txt|host|CUDA 13.0.2|license|",
	}
	if got := list(plan.Manifest.Files); !slices.Equal(got, want) {
		t.Errorf("the package holds\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	dir := t.TempDir()
	if err := plan.Write(t.Context(), dir, fsx.OpenDigests(""), zeroWriter{}); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(home); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(filepath.Join(dir, "bin", "prog")).CombinedOutput(); err != nil || string(out) != "7\n" {
		t.Errorf("the packed program says %q, %v", out, err)
	}
}

type zeroWriter struct{}

func (zeroWriter) Write(p []byte) (int, error) { return len(p), nil }

// TestHostToolkitOrder has the directories of MLX's variables count before those
// of the toolkit.
func TestHostToolkitOrder(t *testing.T) {
	exe, home := hosted(t)
	bin := t.TempDir()
	sharedLib(t, bin, "libcudart.so.13", "int a(void) { return 8; }")
	write(t, filepath.Join(bin, "LICENSE"), "another licence\n")
	plan, err := planOf(t, exe, "", "CUDA_HOME="+home, "MLX_CUDA_BIN_DIR="+bin)
	if err != nil {
		t.Fatal(err)
	}
	for _, it := range plan.items {
		if it.Role == "library" && filepath.Dir(it.src) != bin {
			t.Errorf("%s is of %s", it.Path, it.src)
		}
	}
	dirs, err := HostLibraryDirs([]string{"CUDA_HOME=" + home, "MLX_CUDNN_BIN_DIR=" + bin}, matrix.Host())
	if want := []string{bin, filepath.Join(home, "lib64"), filepath.Join(home, "targets", matrix.Host().Arch+"-linux", "lib")}; err != nil || !slices.Equal(dirs, want) {
		if matrix.Host().Arch == "x86_64" {
			t.Errorf("the directories are %q, %v, want %q", dirs, err, want)
		}
	}
}

func TestHostToolkitRefuses(t *testing.T) {
	exe, home := hosted(t)
	for name, tt := range map[string]struct {
		env  string
		want string
	}{
		"no such directory": {"CUDA_HOME=" + home + "/none", "the environment's CUDA_HOME: stat "},
		"a file":            {"CUDA_PATH=" + filepath.Join(home, "EULA.txt"), "the environment's CUDA_PATH: "},
		"an empty one":      {"CUDA_HOME=" + t.TempDir(), "libcudart.so.13 is needed by prog, and the host's toolkit (CUDA_HOME) lacks it, this system has it not"},
		"none":              {"X=y", "libcudart.so.13 is needed by prog, and this system has it not"},
	} {
		if _, err := planOf(t, exe, "", tt.env); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s gives %v, want %q", name, err, tt.want)
		}
	}
	remove(t, filepath.Join(home, "EULA.txt"))
	if _, err := planOf(t, exe, "", "CUDA_HOME="+home); err == nil || !strings.Contains(err.Error(), "no licence (EULA.txt") {
		t.Errorf("a toolkit without a licence gives %v", err)
	}
	if _, err := HostLibraryDirs(nil, matrix.Host()); err == nil || !strings.Contains(err.Error(), "none of MLX_CUDNN_BIN_DIR, MLX_CUDA_BIN_DIR, CUDA_HOME, CUDA_PATH names") {
		t.Errorf("without variables: %v", err)
	}
}

func TestDamagedTables(t *testing.T) {
	for name, parse := range map[string]func(){
		"hosts":  func() { mustHosts([]byte("{")) },
		"ratios": func() { mustRatios([]byte("[")) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: the table was taken", name)
				}
			}()
			parse()
		}()
	}
}
