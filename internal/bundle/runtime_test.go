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

// TestRuntimeHost declares the vendor's libraries, all that the programs need in
// turn, and packs none, nor their licences.
func TestRuntimeHost(t *testing.T) {
	s := newSample(t, "    runtime: host\n")
	plan := s.plan(t)
	if got, want := list(plan.Manifest.Files), []string{"bin/prog|build||program|"}; !slices.Equal(got, want) {
		t.Errorf("the package holds %q, want %q", got, want)
	}
	want := []manifest.HostLibrary{
		{Name: "liba.so.1", From: "nvidia-a 13.0.1", Why: "needed by prog"},
		{Name: "libb.so.2", From: "nvidia-b 13.0.1", Why: "needed by liba.so.1"},
	}
	if got := plan.Manifest.HostLibraries; !slices.Equal(got, want) {
		t.Errorf("it declares %+v, want %+v", got, want)
	}
	dir := t.TempDir()
	if err := plan.Write(t.Context(), dir, s.options.Digests, zeroWriter{}); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(dir, "bin", "prog"))
	cmd.Env = []string{"LD_LIBRARY_PATH=" + filepath.Join(s.options.Toolkit.Home(), "lib")}
	if out, err := cmd.CombinedOutput(); err != nil || string(out) != "42\n" {
		t.Errorf("with the host's libraries the program says %q, %v", out, err)
	}
	// What the vendor has not is packed all the same, or an error.
	remove(t, filepath.Join(s.options.Toolkit.Home(), "lib", "libb.so.2"))
	s.options.Toolkit = fakeToolkit(t, func(dir string) {
		copyFile(t, filepath.Join(s.options.Toolkit.Home(), "lib", "liba.so.1"), filepath.Join(dir, "nvidia", "cu13", "lib", "liba.so.1"))
	}, func(string) string { return "nvidia-a" })
	if _, err := New(t.Context(), s.options); err == nil || !strings.Contains(err.Error(), "libb.so.2 is needed by liba.so.1") {
		t.Errorf("a library that nobody has gives %v", err)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	write(t, to, string(data))
}

// TestRuntimeSplit puts the vendor's libraries of two packages into one, which
// is unpacked over either.
func TestRuntimeSplit(t *testing.T) {
	s := newSample(t, "    files: [{source: LICENSE, to: LICENSE}]\n")
	s.options.Package.Runtime, s.options.RuntimePackage = "split", "libs"
	one := s.plan(t)
	if got, want := list(one.Manifest.Files), []string{"LICENSE|source|||", "bin/prog|build||program|"}; !slices.Equal(got, want) {
		t.Errorf("the package holds %q, want %q", got, want)
	}
	if got := one.Manifest.HostLibraries; len(got) != 2 || got[1] != (manifest.HostLibrary{
		Name: "libb.so.2", From: "nvidia-b 13.0.1", Why: "needed by liba.so.1", Package: "libs", Path: "lib/libb.so.2",
	}) {
		t.Errorf("it declares %+v", got)
	}

	libs := s.options
	libs.Name, libs.Package.Programs, libs.Package.Runtime, libs.Package.Files = "libs", nil, "", nil
	libs.Package.RuntimeOf = []string{"pkg", "other"}
	runtime, err := Runtime(t.Context(), libs, []*Plan{one, one})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"lib/liba.so.1|wheel|nvidia-a 13.0.1|library|needed by prog",
		"lib/libb.so.2|wheel|nvidia-b 13.0.1|library|needed by liba.so.1",
		"licenses/nvidia-a/LICENSE.txt|wheel|nvidia-a 13.0.1|license|",
		"licenses/nvidia-b/LICENSE.txt|wheel|nvidia-b 13.0.1|license|",
	}
	if got := list(runtime.Manifest.Files); !slices.Equal(got, want) {
		t.Errorf("the libraries are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if m := runtime.Manifest; m.Programs == nil || len(m.Programs) > 0 || len(m.HostLibraries) > 0 || !slices.Equal(m.RuntimeOf, []string{"pkg", "other"}) {
		t.Errorf("its manifest is %+v", m)
	}
	// Unpacked over each other, both manifests stay and the program runs.
	dir := t.TempDir()
	for _, p := range []*Plan{one, runtime} {
		if err := p.Write(t.Context(), dir, s.options.Digests, zeroWriter{}); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range []*Plan{one, runtime} {
		if err := p.Whole(dir); err != nil {
			t.Error(err)
		}
	}
	if out, err := exec.Command(filepath.Join(dir, "bin", "prog")).CombinedOutput(); err != nil || string(out) != "42\n" {
		t.Errorf("with the other package the program says %q, %v", out, err)
	}

	t.Run("nothing to hold", func(t *testing.T) {
		if _, err := Runtime(t.Context(), libs, nil); err == nil || !strings.Contains(err.Error(), "it would be empty: the programs of pkg, other need no library") {
			t.Errorf("the error is %v", err)
		}
	})
	t.Run("a file in the way", func(t *testing.T) {
		libs := libs
		libs.Package.Files = s.options.Package.Files
		libs.Source = t.TempDir()
		write(t, filepath.Join(libs.Source, "LICENSE"), "another\n")
		if _, err := Runtime(t.Context(), libs, []*Plan{one}); err == nil || !strings.Contains(err.Error(), "LICENSE is also in package pkg, with other content") {
			t.Errorf("the error is %v", err)
		}
	})
	t.Run("packages that do not agree", func(t *testing.T) {
		other := newSample(t, "")
		other.options.Package.Runtime = "split"
		plan := other.plan(t)
		for i := range plan.split {
			plan.split[i].SHA256 = strings.Repeat("0", 64)
		}
		if _, err := Runtime(t.Context(), libs, []*Plan{one, plan}); err == nil || !strings.Contains(err.Error(), "the packages that share these libraries do not agree") {
			t.Errorf("the error is %v", err)
		}
	})
}

// prebuiltOptions are of a project that packs a library of a wheel with what it
// needs, as MLX's wheels are.
func prebuiltOptions(t *testing.T, pkg string) Options {
	t.Helper()
	tk := fakeToolkit(t, func(dir string) {
		cudart := sharedLib(t, filepath.Join(dir, "nvidia", "cu13", "lib"), "libcudart.so.13", "int r(void) { return 1; }")
		blas := sharedLib(t, filepath.Join(dir, "mlx.libs"), "libblas-1234.so.3", "int b(void) { return 2; }")
		sharedLib(t, filepath.Join(dir, "mlx", "lib"), "libmlx.so", "int r(void), b(void); int m(void) { return r() + b(); }", cudart, blas,
			"-Wl,--disable-new-dtags,-rpath,$ORIGIN/../../nvidia/cu13/lib:$ORIGIN/../../mlx.libs")
		for _, dist := range []string{"mlx-cuda-13", "nvidia-cuda-runtime"} {
			write(t, filepath.Join(dir, dist+"-1.dist-info", "LICENSE"), "licence of "+dist+"\n")
		}
	}, func(rel string) string {
		if strings.HasPrefix(rel, "nvidia") {
			return "nvidia-cuda-runtime"
		}
		return "mlx-cuda-13"
	})
	row, p := parse(t, linux(), pkg)
	row.Toolkit = "cuda13"
	return Options{
		Row: row, Name: "pkg", Package: p, Project: "p", Release: "1", Toolkit: tk, Digests: fsx.OpenDigests(""),
	}
}

func TestPrebuilt(t *testing.T) {
	o := prebuiltOptions(t, "    layout: {style: wheels}\n")
	o.Source = t.TempDir()
	tool := cc(t, filepath.Join(o.Source, "vendor", "tool"), "int main(void) { return 0; }")
	o.Package.Programs = []string{"mlx", "tool"}
	o.Prebuilt = map[string]matrix.From{"mlx": {Toolkit: "mlx/lib/libmlx.so"}, "tool": {Source: "vendor/tool"}}
	plan, err := New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"bin/tool|prebuilt||program|",
		"licenses/mlx-cuda-13/LICENSE|wheel|mlx-cuda-13 13.0.1|license|",
		"licenses/nvidia-cuda-runtime/LICENSE|wheel|nvidia-cuda-runtime 13.0.1|license|",
		"mlx.libs/libblas-1234.so.3|wheel|mlx-cuda-13 13.0.1|library|needed by libmlx.so",
		"mlx/lib/libmlx.so|prebuilt|mlx-cuda-13 13.0.1|library|",
		"nvidia/cu13/lib/libcudart.so.13|wheel|nvidia-cuda-runtime 13.0.1|library|needed by libmlx.so",
	}
	if got := list(plan.Manifest.Files); !slices.Equal(got, want) {
		t.Errorf("the package holds\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if p := plan.Manifest.Programs; p["mlx"] != "mlx/lib/libmlx.so" || p["tool"] != "bin/tool" {
		t.Errorf("the programs are %v", p)
	}
	dir := t.TempDir()
	if err := plan.Write(t.Context(), dir, o.Digests, zeroWriter{}); err != nil {
		t.Fatal(err)
	}
	same(t, filepath.Join(dir, "bin", "tool"), tool)
	same(t, filepath.Join(dir, "mlx", "lib", "libmlx.so"), filepath.Join(o.Toolkit.Dir, "mlx", "lib", "libmlx.so"))
	out, err := exec.Command("ldd", filepath.Join(dir, "mlx", "lib", "libmlx.so")).CombinedOutput()
	if err != nil || strings.Contains(string(out), "not found") {
		t.Errorf("ldd: %v\n%s", err, out)
	}

	// Its own wheel's libraries are no vendor's that users could have.
	o.Package.Runtime = "host"
	if plan, err = New(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if h := plan.Manifest.HostLibraries; len(h) != 1 || h[0].Name != "libcudart.so.13" {
		t.Errorf("users shall have %+v", h)
	}
	if got := list(plan.Manifest.Files); len(got) != 4 || !slices.Contains(got, want[3]) {
		t.Errorf("the package holds %q", got)
	}
}

func same(t *testing.T, a, b string) {
	t.Helper()
	if out, err := exec.Command("cmp", a, b).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

func TestPrebuiltRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		pkg   string
		from  matrix.From
		spoil func(o *Options)
		want  string
	}{
		"no such file in the checkout": {"", matrix.From{Source: "nope"}, nil, "program prog: stat "},
		"no such file in a wheel":      {"", matrix.From{Toolkit: "lib/libmlx.so"}, nil, "has lib/libmlx.so; they have mlx/lib/libmlx.so"},
		"no toolkit":                   {"", matrix.From{Toolkit: "mlx/lib/libmlx.so"}, func(o *Options) { o.Toolkit = nil }, "program prog: target x has no toolkit"},
		"a text":                       {"", matrix.From{Toolkit: "mlx-cuda-13-1.dist-info/LICENSE"}, nil, "not a native file"},
		"another layout": {
			"",
			matrix.From{Toolkit: "mlx/lib/libmlx.so"},
			nil,
			"libcudart.so.13 is needed by libmlx.so, and is in the package at lib/libcudart.so.13, where it is not found: libmlx.so has RPATH \"$ORIGIN/../../nvidia/cu13/lib:$ORIGIN/../../mlx.libs\" and RUNPATH \"\"; a prebuilt file is never changed, so the package needs the layout that it was built for",
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := prebuiltOptions(t, tt.pkg)
			o.Source = t.TempDir()
			o.Prebuilt = map[string]matrix.From{"prog": tt.from}
			if tt.spoil != nil {
				tt.spoil(&o)
			}
			if _, err := New(t.Context(), o); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("the error is %v, want %q", err, tt.want)
			}
		})
	}
}

// TestBeside packs what a library reads out of its own directory.
func TestBeside(t *testing.T) {
	tk := fakeToolkitOf(t, "macos-aarch64", func(dir string) {
		image{install: "@rpath/libmlx.dylib"}.macho(t, filepath.Join(dir, "mlx", "lib", "libmlx.dylib"))
		write(t, filepath.Join(dir, "mlx", "lib", "mlx.metallib"), "MTLB")
		write(t, filepath.Join(dir, "mlx-1.dist-info", "LICENSE"), "licence\n")
	}, func(string) string { return "mlx-metal" })
	row, p := parse(t, "aarch64-apple-darwin}", "    layout: {style: flat}\n")
	o := Options{
		Row: row, Name: "pkg", Package: p, Project: "p", Release: "1", Toolkit: tk, Digests: fsx.OpenDigests(""),
		Prebuilt: map[string]matrix.From{"prog": {Toolkit: "mlx/lib/libmlx.dylib"}},
	}
	plan, err := New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"libmlx.dylib|prebuilt|mlx-metal 13.0.1|library|",
		"licenses/mlx-metal/LICENSE|wheel|mlx-metal 13.0.1|license|",
		"mlx.metallib|prebuilt|mlx-metal 13.0.1||read by libmlx.dylib",
	}
	if got := list(plan.Manifest.Files); !slices.Equal(got, want) {
		t.Errorf("the package holds %q, want %q", got, want)
	}
	// The matrix may have another one.
	o.Source = t.TempDir()
	write(t, filepath.Join(o.Source, "mlx.metallib"), "MTLB of its own")
	_, o.Package = parse(t, "aarch64-apple-darwin}", "    layout: {style: flat}\n    files: [{source: mlx.metallib, to: mlx.metallib}]\n")
	if plan, err = New(t.Context(), o); err != nil || !slices.Contains(list(plan.Manifest.Files), "mlx.metallib|source|||") {
		t.Errorf("with another one: %v", err)
	}
	o.Package.Files = nil
	remove(t, filepath.Join(tk.Dir, "mlx", "lib", "mlx.metallib"))
	if _, err := New(t.Context(), o); err == nil || !strings.Contains(err.Error(), "libmlx.dylib reads mlx.metallib out of its own directory, which lacks it") {
		t.Errorf("without it: %v", err)
	}
}
