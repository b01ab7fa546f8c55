package corpus

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/relmat/relmat/internal/fatbin"
	"github.com/relmat/relmat/internal/loader"
	"github.com/relmat/relmat/internal/objfile"
	"github.com/relmat/relmat/internal/progress"
	"github.com/relmat/relmat/internal/toolkit"
	"github.com/relmat/relmat/internal/verify"
)

// mlxTree lays MLX's wheel and NVIDIA's out side by side, as pip does, and
// returns the directory.
func mlxTree(b *testing.B) string {
	b.Helper()
	lock, err := toolkit.ReadLock("corpus.lock.json")
	if err != nil {
		b.Fatal(err)
	}
	const platform = "linux-x86_64"
	names := []string{
		"mlx-cuda-13", "nvidia-cublas", "nvidia-cuda-nvrtc", "nvidia-cuda-runtime", "nvidia-cudnn-cu13", "nvidia-cufft", "nvidia-cusolver",
		"nvidia-cusparse", "nvidia-nccl-cu13", "nvidia-nvjitlink",
	}
	lock.Platforms = map[string][]toolkit.Wheel{platform: slices.DeleteFunc(lock.Platforms[platform], func(w toolkit.Wheel) bool {
		return !slices.Contains(names, w.Name)
	})}
	f := toolkit.Fetcher{Cache: cacheDir(b), Pip: findPip}
	tk, _, err := f.Ensure(b.Context(), "bench", lock, platform, progress.New(logSink{b}).Begin(platform, "fetch", "bench"))
	if err != nil {
		b.Fatal(err)
	}
	return filepath.Dir(filepath.Dir(tk.Home()))
}

// took runs a peer and returns its time.
func took(b *testing.B, cmd *exec.Cmd) (time.Duration, string) {
	b.Helper()
	start := time.Now()
	out, err := cmd.CombinedOutput()
	if err != nil {
		b.Fatalf("%v: %v\n%s", cmd.Args, err, out)
	}
	return time.Since(start), string(out)
}

// auditwheel returns the path of a Python that has it.
func auditwheel(b *testing.B) string {
	b.Helper()
	venv := filepath.Join(cacheDir(b), "auditwheel")
	python := filepath.Join(venv, "bin", "python")
	if _, err := os.Stat(python); err != nil {
		took(b, exec.Command("python3", "-m", "venv", venv))
	}
	took(b, exec.Command(python, "-m", "pip", "install", "--quiet", "auditwheel==6.4.2"))
	return python
}

// BenchmarkWheel verifies MLX's wheel in turn with auditwheel show, which reads
// its ELF files' versions and needs alone.
func BenchmarkWheel(b *testing.B) {
	lock, err := toolkit.ReadLock("corpus.lock.json")
	if err != nil {
		b.Fatal(err)
	}
	list := lock.Platforms["linux-x86_64"]
	i := slices.IndexFunc(list, func(w toolkit.Wheel) bool { return w.Name == "mlx-cuda-13" })
	pip, err := findPip(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	dir := b.TempDir()
	fetched, err := pip.Download(b.Context(), list[i], dir, func(int64) {})
	if err != nil {
		b.Fatal(err)
	}
	wheel := filepath.Join(dir, list[i].File) // auditwheel reads its name
	if err := os.Rename(fetched, wheel); err != nil {
		b.Fatal(err)
	}
	python := auditwheel(b)
	var ours, theirs time.Duration
	for b.Loop() {
		start := time.Now()
		if _, err := verify.Run(b.Context(), verify.Options{Path: wheel}); err != nil {
			b.Fatal(err)
		}
		ours += time.Since(start)
		d, _ := took(b, exec.Command(python, "-m", "auditwheel", "show", wheel))
		theirs += d
	}
	b.ReportMetric(float64(theirs)/float64(ours), "x-auditwheel-show")
}

// BenchmarkClosure finds all that libmlx.so needs, each time anew, beside ldd
// and the lddtree of auditwheel, whose own time is taken without the start of
// Python. The ratios are how many times faster relmat is.
func BenchmarkClosure(b *testing.B) {
	lib := filepath.Join(mlxTree(b), "mlx", "lib", "libmlx.so")
	python := auditwheel(b)
	const script = "import sys, time\nfrom pathlib import Path\nfrom auditwheel.lddtree import ldd\nt = time.perf_counter()\nldd(Path(sys.argv[1]))\nprint(time.perf_counter() - t)\n"
	var ours, ldd, lddtree time.Duration
	found := 0
	for b.Loop() {
		start := time.Now()
		tree, err := loader.Resolve(loader.Disk(""), filepath.ToSlash(lib), loader.Options{})
		if err != nil {
			b.Fatal(err)
		}
		ours += time.Since(start)
		found = len(tree.Nodes)
		d, _ := took(b, exec.Command("ldd", lib))
		ldd += d
		_, out := took(b, exec.Command(python, "-c", script, lib))
		seconds, err := strconv.ParseFloat(strings.TrimSpace(out), 64)
		if err != nil {
			b.Fatal(err)
		}
		lddtree += time.Duration(seconds * float64(time.Second))
	}
	b.ReportMetric(float64(found), "files")
	b.ReportMetric(float64(ldd)/float64(ours), "x-ldd")
	b.ReportMetric(float64(lddtree)/float64(ours), "x-lddtree")
}

// BenchmarkImages lists the GPU code of libcublasLt.so.13 beside cuobjdump:
// that of .nv_fatbin, as cuobjdump does, and all of it.
func BenchmarkImages(b *testing.B) {
	lib := filepath.Join(mlxTree(b), "nvidia", "cu13", "lib", "libcublasLt.so.13")
	tool := cuobjdump(b)
	var known, complete, theirs time.Duration
	images, listed := 0, 0
	_, _ = cubins(b, lib, true) // the first finds the file cold, as cuobjdump would
	for b.Loop() {
		d, _ := cubins(b, lib, false)
		known += d
		d, images = cubins(b, lib, true)
		complete += d
		d, out := took(b, exec.Command(tool, "--list-elf", lib))
		theirs += d
		listed = strings.Count(out, "ELF file")
	}
	b.ReportMetric(float64(images), "cubins")
	b.ReportMetric(float64(listed), "listed-by-cuobjdump")
	b.ReportMetric(float64(theirs)/float64(known), "x-cuobjdump")
	b.ReportMetric(float64(theirs)/float64(complete), "x-cuobjdump-complete")
}

// cubins counts those of a library, in all sections or in .nv_fatbin.
func cubins(b *testing.B, lib string, all bool) (time.Duration, int) {
	b.Helper()
	start := time.Now()
	f, err := os.Open(lib)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		b.Fatal(err)
	}
	objects, err := objfile.Read(f, info.Size())
	if err != nil {
		b.Fatal(err)
	}
	var regions []fatbin.Region
	for _, s := range objects[0].Sections {
		if all || s.Name == ".nv_fatbin" {
			regions = append(regions, fatbin.Region{Name: s.Name, Offset: s.Offset, Size: s.Size})
		}
	}
	list, err := fatbin.Images(f, regions, fatbin.Options{})
	if err != nil {
		b.Fatal(err)
	}
	n := 0
	for _, i := range list {
		if i.Kind == fatbin.Cubin {
			n++
		}
	}
	return time.Since(start), n
}
