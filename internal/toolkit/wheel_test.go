package toolkit_test

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/relmat/relmat/internal/toolkit"
)

// wheel is a wheel that a test makes ("Binary distribution format", PyPA).
type wheel struct {
	name, version, tag string
	requires           []string
	// files are what is installed, by their paths; one in bin is executable.
	files []file
	// record replaces the RECORD that would be right.
	record func(right string) string
	// hostile are entries of the archive that no RECORD lists.
	hostile []file
}

type file struct {
	path, text string
	mode       fs.FileMode
}

// built is a wheel's file.
type built struct {
	wheel
	file, sha256 string
	data         []byte
	unpacked     int64
}

// pin is the wheel's entry in a lock file.
func (b built) pin() toolkit.Wheel {
	return toolkit.Wheel{Name: b.name, Version: b.version, File: b.file, SHA256: b.sha256, Size: int64(len(b.data)), Unpacked: b.unpacked}
}

func (b built) info() string {
	return strings.ReplaceAll(b.name, "-", "_") + "-" + b.version + ".dist-info"
}

func (w wheel) build(tb testing.TB) built {
	tb.Helper()
	b := built{wheel: w}
	info := b.info()
	metadata := fmt.Sprintf("Metadata-Version: 2.1\nName: %s\nVersion: %s\nProvides-Extra: nvcc\nProvides-Extra: cublas\n", w.name, w.version)
	for _, r := range w.requires {
		metadata += "Requires-Dist: " + r + "\n"
	}
	files := append([]file{
		{path: info + "/METADATA", text: metadata},
		{path: info + "/WHEEL", text: "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: " + w.tag + "\n"},
	}, w.files...)
	var record strings.Builder
	for _, f := range files {
		sum := sha256.Sum256([]byte(f.text))
		fmt.Fprintf(&record, "%s,sha256=%s,%d\n", f.path, base64.RawURLEncoding.EncodeToString(sum[:]), len(f.text))
	}
	fmt.Fprintf(&record, "%s/RECORD,,\n", info)
	text := record.String()
	if w.record != nil {
		text = w.record(text)
	}
	if text != "" {
		files = append(files, file{path: info + "/RECORD", text: text})
	}
	var data bytes.Buffer
	z := zip.NewWriter(&data)
	for _, f := range append(files, w.hostile...) {
		h := &zip.FileHeader{Name: f.path, Method: zip.Deflate, Modified: time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)}
		if f.mode == 0 {
			f.mode = 0o644
		}
		h.SetMode(f.mode)
		out, err := z.CreateHeader(h)
		if err != nil {
			tb.Fatal(err)
		}
		if _, err := out.Write([]byte(f.text)); err != nil {
			tb.Fatal(err)
		}
		b.unpacked += int64(len(f.text))
	}
	if err := z.Close(); err != nil {
		tb.Fatal(err)
	}
	sum := sha256.Sum256(data.Bytes())
	b.file = strings.ReplaceAll(w.name, "-", "_") + "-" + w.version + "-" + w.tag + ".whl"
	b.data, b.sha256 = data.Bytes(), hex.EncodeToString(sum[:])
	return b
}

// driverHeader is cuda.h in small: functions, and names that a macro gives a
// later version of.
const driverHeader = `
#define cuMemAlloc                          cuMemAlloc_v2
  #  define cuCtxCreate  cuCtxCreate_v4
#define CUDA_VERSION 13000
CUresult CUDAAPI cuInit(unsigned int Flags);
CUresult CUDAAPI cuMemAlloc(CUdeviceptr *dptr, size_t bytesize);
CUresult CUDAAPI
    cuDeviceGet (CUdevice *device, int ordinal);
typedef void (CUDA_CB *CUhostFn)(void *userData);
`

// platform is that of most tests; its wheels can be fetched on any host.
const platform = "linux-x86_64"

// cudaWheels are a toolkit as NVIDIA publishes it, in small: a wheel that only
// requires others, one of libraries, one of programs.
func cudaWheels(tb testing.TB) (meta, cublas, nvcc built) {
	tb.Helper()
	meta = wheel{
		name: "cuda-toolkit", version: "13.0.2", tag: "py2.py3-none-any",
		requires: []string{`nvidia-cublas==13.1.*; extra == "cublas"`, `nvidia-cuda-nvcc==13.0.88; extra == "nvcc"`},
	}.build(tb)
	cublas = wheel{
		name: "nvidia-cublas", version: "13.1.0.3", tag: "py3-none-manylinux_2_27_x86_64",
		files: []file{
			{path: "nvidia/cu13/lib/libcublas.so.13", text: strings.Repeat("cublas ", 1000)},
			{path: "nvidia/cu13/lib/libcublasLt.so.13", text: "cublasLt"},
			{path: "nvidia/cu13/lib/libnvblas.so.13.1.0", text: "nvblas"},
			{path: "nvidia/cu13/lib/libdevice.a", text: "static"},
			{path: "nvidia/cu13/include/cublas.h", text: "/* cublas */\n"},
			{path: "nvidia_cublas-13.1.0.3.dist-info/licenses/License.txt", text: "the licence of cuBLAS"},
		},
	}.build(tb)
	nvcc = wheel{
		name: "nvidia-cuda-nvcc", version: "13.0.88", tag: "py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64",
		files: []file{
			{path: "nvidia/cu13/bin/nvcc", text: "#!/bin/sh\necho nvcc\n", mode: 0o755},
			{path: "nvidia/cu13/bin/nvcc.profile", text: "TOP = $(_HERE_)/..\n"},
			{path: "nvidia/cu13/lib/x86_64/libextra.so.1", text: "extra"},
			{path: "nvidia/cu13/share/libcublas.so.13", text: "no library"},
			{path: "nvidia_cuda_nvcc-13.0.88.dist-info/License.txt", text: "the licence of nvcc"},
			{path: "nvidia_cuda_nvcc-13.0.88.dist-info/top_level.txt", text: "nvidia\n"},
		},
	}.build(tb)
	return meta, cublas, nvcc
}

// lockOf pins wheels for the platform.
func lockOf(platform string, wheels ...built) *toolkit.Lock {
	l := &toolkit.Lock{Schema: toolkit.LockSchema, Platforms: map[string][]toolkit.Wheel{}}
	for _, w := range wheels {
		l.Platforms[platform] = append(l.Platforms[platform], w.pin())
	}
	return l
}
