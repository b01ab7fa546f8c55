package toolkit_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/relmat/relmat/internal/objfile/dlltest"
	"github.com/relmat/relmat/internal/progress"
)

const windows = "windows-x86_64"

// dllFile is a DLL of a wheel that exports the names.
func dllFile(path string, names ...string) file {
	var list []dlltest.Export
	for i, n := range names {
		list = append(list, dlltest.Export{Name: n, Ordinal: uint16(i + 1)})
	}
	return file{path: path, text: string(dlltest.Build(dlltest.X86_64, filepath.Base(path), list))}
}

// windowsWheels are a toolkit for Windows in small: cudart with its library, as
// NVIDIA has it, and others without, cuDNN in a directory of its own.
func windowsWheels(tb testing.TB) []built {
	tb.Helper()
	const bin = "nvidia/cu13/bin/x86_64/"
	return []built{
		wheel{name: "nvidia-cuda-runtime", version: "13.0.96", tag: "py3-none-win_amd64", files: []file{
			dllFile(bin+"cudart64_13.dll", "cudaMalloc"),
			{path: "nvidia/cu13/lib/x64/cudart.lib", text: "NVIDIA's"},
			{path: "nvidia/cu13/lib/x64/cuda.lib", text: "NVIDIA's"},
			{path: "nvidia/cu13/include/cuda.h", text: driverHeader},
		}}.build(tb),
		wheel{name: "nvidia-cuda-nvcc", version: "13.0.88", tag: "py3-none-win_amd64", files: []file{
			{path: "nvidia/cu13/bin/nvcc.exe", text: "nvcc"},
		}}.build(tb),
		wheel{name: "nvidia-libraries", version: "13.0.0", tag: "py3-none-win_amd64", files: []file{
			dllFile(bin+"cublas64_13.dll", "cublasCreate_v2", "cublasDestroy_v2"),
			dllFile(bin+"cublasLt64_13.dll", "cublasLtCreate"),
			dllFile(bin+"nvrtc64_130_0.dll", "nvrtcVersion"),
			dllFile(bin+"nvrtc64_130_0.alt.dll", "nvrtcVersion"),
			dllFile(bin+"nvrtc64_140_0.dll", "nvrtcVersion"),
			dllFile(bin+"nvrtc-builtins64_130.dll", "getBuiltinsVersion"),
			dllFile(bin+"nvJitLink_130_0.dll", "nvJitLinkVersion"),
			dllFile(bin+"nvvm64_40_0.dll", "nvvmVersion"),
			dllFile(bin+"cupti64_2025.3.1.dll", "cuptiGetVersion"),
			dllFile(bin+"nvperf_host.dll", "NVPW_InitializeHost"),
			dllFile("nvidia/cu12/bin/x86_64/cusparse64_12.dll", "cusparseCreate"),
			dllFile("nvidia/cu13/share/other64_1.dll", "other"),
		}}.build(tb),
		wheel{name: "nvidia-cudnn-cu13", version: "9.28.1.4", tag: "py3-none-win_amd64", files: []file{
			dllFile("nvidia/cudnn/bin/cudnn64_9.dll", "cudnnGetVersion"),
			dllFile("nvidia/cudnn/bin/cudnn_engines_tensor_ir64_9.dll", "cudnnX"),
			{path: "nvidia/cudnn/include/cudnn.h", text: "cudnn"},
			{path: "nvidia/cudnn/lib/x64/cudnn_own.lib", text: "own"},
		}}.build(tb),
	}
}

func TestImportLibraries(t *testing.T) {
	wheels := windowsWheels(t)
	tk := laidOut(t, windows, wheels...)
	if len(tk.Notes()) != 0 {
		t.Errorf("it says %q", tk.Notes())
	}
	want := []string{"cublas.lib", "cublasLt.lib", "cuda.lib", "cudart.lib", "cudnn.lib", "cudnn_engines_tensor_ir.lib", "cudnn_own.lib", "cupti.lib", "libcuda.dll.a", "libcudart.dll.a", "nvJitLink.lib", "nvperf_host.lib", "nvrtc.lib"}
	lib := filepath.Join(tk.Home(), "lib", "x64")
	if got := names(t, lib); !slices.Equal(got, want) {
		t.Errorf("lib/x64 has\n%q, want\n%q", got, want)
	}
	if got := names(t, filepath.Join(tk.Home(), "nvvm", "lib", "x64")); !slices.Equal(got, []string{"nvvm.lib"}) {
		t.Errorf("nvvm/lib/x64 has %q", got)
	}
	if text, err := os.ReadFile(filepath.Join(lib, "cudart.lib")); err != nil || string(text) != "NVIDIA's" {
		t.Errorf("the wheel's own cudart.lib is %q, %v", text, err)
	}
	// What is linked with it asks the loader for the DLL by its name.
	for lib, want := range map[string]string{"cublas.lib": "cublas64_13.dll", "nvrtc.lib": "nvrtc64_130_0.dll", "cudnn.lib": "cudnn64_9.dll", "nvJitLink.lib": "nvJitLink_130_0.dll", "libcudart.dll.a": "cudart64_13.dll", "libcuda.dll.a": "nvcuda.dll"} {
		out, err := exec.Command("ar", "t", filepath.Join(tk.Home(), "lib", "x64", lib)).Output()
		if members := strings.Fields(string(out)); err != nil || len(members) < 4 || slices.ContainsFunc(members, func(s string) bool { return s != want }) {
			t.Errorf("ar t %s: %q, %v; want %s alone", lib, members, err, want)
		}
	}
	out, err := exec.Command("nm", "-s", filepath.Join(lib, "cublas.lib")).Output()
	if err != nil || !bytes.Contains(out, []byte("cublasDestroy_v2 in cublas64_13.dll")) {
		t.Errorf("nm says %v\n%s", err, out)
	}
	if out, err = exec.Command("nm", "-s", filepath.Join(lib, "libcuda.dll.a")).Output(); err != nil || !bytes.Contains(out, []byte("\ncuMemAlloc_v2 in nvcuda.dll")) {
		t.Errorf("nm says %v\n%s", err, out)
	}
	// The installer's directory of DLLs, and cuDNN's header among the toolkit's.
	for path, want := range map[string]string{
		"bin/x64/cublas64_13.dll": "bin/x86_64/cublas64_13.dll",
		"include/cudnn.h":         "../cudnn/include/cudnn.h",
		"lib/x64/cudnn_own.lib":   "../cudnn/lib/x64/cudnn_own.lib",
	} {
		a, err := os.Stat(filepath.Join(tk.Home(), path))
		b, berr := os.Stat(filepath.Join(tk.Home(), want))
		if err != nil || berr != nil || !os.SameFile(a, b) {
			t.Errorf("%s is not %s: %v, %v", path, want, err, berr)
		}
	}
	// No bundle can take them for NVIDIA's.
	if f, ok := tk.Lookup(filepath.Join(lib, "cublas.lib")); ok {
		t.Errorf("the library is %+v", f)
	}
	// Another host makes the same.
	again := laidOut(t, windows, wheels...)
	one, two := tree(t, tk.Dir), tree(t, again.Dir)
	for path, text := range one {
		if two[path] != text {
			t.Errorf("%s is another when it is laid out again", path)
		}
	}
}

// TestImportLibrariesLost are made again: a cache cleaner takes files one by one.
func TestImportLibrariesLost(t *testing.T) {
	wheels := windowsWheels(t)
	f := offline(t, wheels...)
	lock := lockOf(windows, wheels...)
	tk, _, err := f.Ensure(t.Context(), "cuda13", lock, windows, quiet())
	if err != nil {
		t.Fatal(err)
	}
	lib := filepath.Join(tk.Home(), "lib", "x64", "cublas.lib")
	if err := os.Remove(lib); err != nil {
		t.Fatal(err)
	}
	stock(t, f, wheels...)
	log := new(events)
	if _, fetched, err := f.Ensure(t.Context(), "cuda13", lock, windows, log.task()); err != nil || !fetched {
		t.Fatal(fetched, err)
	}
	if w := log.texts(progress.KindWarn); len(w) != 1 || !strings.Contains(w[0], "cublas.lib is missing") {
		t.Errorf("the warnings are %q", w)
	}
	if _, err := os.Stat(lib); err != nil {
		t.Error(err)
	}
}

// TestImportLibraryThatCannotBe is told, now and whenever it is opened again.
func TestImportLibraryThatCannotBe(t *testing.T) {
	w := wheel{name: "nvidia-libraries", version: "1", tag: "py3-none-win_amd64", files: []file{
		{path: "nvidia/cu13/bin/x86_64/cublas64_13.dll", text: "no DLL"},
		{path: "nvidia/cu13/bin/x86_64/cufft64_12.dll", text: dllFile("cufft64_12.dll", "cufftExec").text[:2100]},
		dllFile("nvidia/cu13/bin/x86_64/empty64_1.dll"),
		dllFile("nvidia/cu13/bin/x86_64/good64_1.dll", "good"),
	}}.build(t)
	f := offline(t, w)
	lock := lockOf(windows, w)
	log := new(events)
	want := []string{
		"the toolkit has no cublas.lib, which only programs that link cublas64_13.dll need: not a native file",
		"the toolkit has no cufft.lib, which only programs that link cufft64_12.dll need: ",
		"the toolkit has no empty.lib, which only programs that link empty64_1.dll need: the DLL exports no names",
	}
	for range 2 {
		tk, _, err := f.Ensure(t.Context(), "cuda13", lock, windows, log.task())
		if err != nil {
			t.Fatal(err)
		}
		if notes := tk.Notes(); !slices.EqualFunc(notes, want, strings.HasPrefix) || strings.Contains(strings.Join(notes, ""), os.TempDir()) {
			t.Errorf("the notes are %q", notes)
		}
		if got := names(t, filepath.Join(tk.Home(), "lib", "x64")); !slices.Equal(got, []string{"good.lib"}) {
			t.Errorf("lib/x64 has %q", got)
		}
	}
	if w := log.texts(progress.KindWarn); !slices.EqualFunc(w, want, strings.HasPrefix) {
		t.Errorf("the warnings are %q", w)
	}
}
