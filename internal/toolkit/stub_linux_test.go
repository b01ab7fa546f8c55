package toolkit_test

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/relmat/relmat/internal/matrix"
	"github.com/relmat/relmat/internal/progress"
)

func header(tb testing.TB) built {
	return wheel{
		name: "nvidia-cuda-runtime", version: "13.0.96", tag: "py3-none-any",
		files: []file{
			{path: "nvidia/cu13/include/cuda.h", text: driverHeader},
			{path: "nvidia/cu13/lib/libcudart.so.13", text: "cudart"},
		},
	}.build(tb)
}

// TestStubDriver has other programs judge the stub of the driver's library.
func TestStubDriver(t *testing.T) {
	w := header(t)
	tk := laidOut(t, matrix.Host().String(), w)
	if len(tk.Notes()) != 0 {
		t.Fatalf("it says %q", tk.Notes())
	}
	same(t, tk.Dir, w)
	stub := filepath.Join(tk.Home(), "lib", "stubs", "libcuda.so")
	run := func(name string, args ...string) string {
		out, err := exec.Command(name, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("%s %q: %v\n%s", name, args, err, out)
		}
		return string(out)
	}
	if out := run("readelf", "-dW", stub); !strings.Contains(out, "Library soname: [libcuda.so.1]") || strings.Contains(out, "(NEEDED)") {
		t.Errorf("readelf says\n%s", out)
	}
	var symbols []string
	for _, m := range regexp.MustCompile(`FUNC\s+GLOBAL\s+DEFAULT\s+[0-9]+\s+(cu\w+)`).FindAllStringSubmatch(run("readelf", "--dyn-syms", "-W", stub), -1) {
		symbols = append(symbols, m[1])
	}
	slices.Sort(symbols)
	if want := []string{"cuCtxCreate_v4", "cuDeviceGet", "cuInit", "cuMemAlloc", "cuMemAlloc_v2"}; !slices.Equal(symbols, want) {
		t.Errorf("the stub has %q, want %q", symbols, want)
	}

	// A program that calls the driver links against it, and needs libcuda.so.1.
	dir := t.TempDir()
	write(t, filepath.Join(dir, "main.c"), "int cuInit(unsigned); int main(void) { return cuInit(0); }\n")
	run("cc", "-o", filepath.Join(dir, "main"), filepath.Join(dir, "main.c"), "-L", filepath.Dir(stub), "-lcuda")
	if out := run("readelf", "-dW", filepath.Join(dir, "main")); !strings.Contains(out, "[libcuda.so.1]") {
		t.Errorf("the program needs\n%s", out)
	}
	// No bundle can take it for NVIDIA's.
	if f, ok := tk.Lookup(stub); ok {
		t.Errorf("the stub is %+v", f)
	}
}

// TestStubDriverOfAnotherPlatform cannot be made here, which the toolkit says
// now and whenever it is opened again.
func TestStubDriverOfAnotherPlatform(t *testing.T) {
	w := header(t)
	const elsewhere = "linux-riscv64"
	f := offline(t, w)
	lock := lockOf(elsewhere, w)
	log := new(events)
	const want = "which only programs that link libcuda need"
	for range 2 {
		tk, _, err := f.Ensure(t.Context(), "cuda13", lock, elsewhere, log.task())
		if err != nil {
			t.Fatal(err)
		}
		if notes := tk.Notes(); len(notes) != 1 || !strings.Contains(notes[0], want) || !strings.Contains(notes[0], elsewhere) {
			t.Errorf("the notes are %q", notes)
		}
	}
	if w := log.texts(progress.KindWarn); len(w) != 1 || !strings.Contains(w[0], want) {
		t.Errorf("the warnings are %q", w)
	}
}

// TestStubDriverWithoutCompiler lacks nothing but the stub.
func TestStubDriverWithoutCompiler(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	tk := laidOut(t, matrix.Host().String(), header(t))
	if notes := tk.Notes(); len(notes) != 1 || !strings.Contains(notes[0], "cc") {
		t.Errorf("the notes are %q", notes)
	}
	if left := names(t, filepath.Join(tk.Home(), "lib", "stubs")); len(left) > 0 {
		t.Errorf("there is %q", left)
	}
}
