package corpus

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/relmat/relmat/internal/fsx"
	"github.com/relmat/relmat/internal/manifest"
	"github.com/relmat/relmat/internal/matrix"
	"github.com/relmat/relmat/internal/pipeline"
	"github.com/relmat/relmat/internal/progress"
	"github.com/relmat/relmat/internal/toolkit"
	"github.com/relmat/relmat/internal/verify"
)

// mlxWheels are those of the corpus that MLX's wheels require, and these.
var mlxWheels = []string{
	"mlx-cuda-13", "mlx-metal", "nvidia-cublas", "nvidia-cuda-nvrtc", "nvidia-cuda-runtime", "nvidia-cudnn-cu13", "nvidia-cufft", "nvidia-cusolver",
	"nvidia-cusparse", "nvidia-nccl-cu13", "nvidia-nvjitlink",
}

// mlxMatrix packs MLX's libraries as projects would that load them.
const mlxMatrix = `
version: 1
project: {name: mlxpack, version: "0.32.4"}
toolkits:
  mlx: {lock: mlx.lock.json, requirements: [mlx]}
programs:
  linux: {from: {toolkit: mlx/lib/libmlx.so}}
  windows: {from: {toolkit: mlx/mlx.dll}}
  macos: {from: {toolkit: mlx/lib/libmlx.dylib}}
defaults:
  toolkit: mlx
  hosts: {linux-x86_64: {}}
targets:
  linux-x86_64: {triple: x86_64-unknown-linux-gnu, floors: {glibc: "2.35", libstdcxx: 3.4.30, driver: "580.65.06"}}
  linux-aarch64: {triple: aarch64-unknown-linux-gnu, floors: {glibc: "2.35", libstdcxx: 3.4.30, driver: "580.65.06"}}
  windows-x86_64: {triple: x86_64-pc-windows-msvc}
  macos-aarch64: {triple: aarch64-apple-darwin, floors: {macos: "14.0"}}
packages:
  linux:
    asset: "mlx-{{.Target}}"
    programs: [linux]
    targets: [linux-*]
    layout: {style: wheels}
    files:
      - {source: LICENSE, to: LICENSE}
      - {source: NOTICE, to: NOTICE}
      - {toolkit: mlx/include/cccl, to: mlx/include/cccl, contains: [cuda/std/tuple], min-files: 100}
      - {toolkit: mlx/include/cute, to: mlx/include/cute, contains: [numeric/numeric_types.hpp], min-files: 100}
      - {toolkit: mlx/include/cutlass, to: mlx/include/cutlass, contains: [cutlass.h], min-files: 100}
  windows:
    asset: "mlx-{{.Target}}"
    programs: [windows]
    targets: [windows-*]
    layout: {style: mlx-windows}
    files:
      - {source: LICENSE, to: LICENSE}
      - {source: NOTICE, to: NOTICE}
      - {toolkit: mlx/include/cccl, to: bin/include/cccl, contains: [cuda/std/tuple], min-files: 100}
  macos:
    asset: "mlx-{{.Target}}"
    programs: [macos]
    targets: [macos-*]
    layout: {style: flat}
    files:
      - {source: LICENSE, to: LICENSE}
verify:
  allow:
    - {rule: leak, file: bin/mlx.dll, reason: "MLX's own build, in the workspace of GitHub's runners"}
    - {rule: leak, file: mlx/lib/libmlx.so, reason: "MLX's own build, in the workspace of GitHub's runners"}
    - {rule: leak, file: libmlx.dylib, reason: "MLX's own build, in the workspace of GitHub's runners"}
    - {rule: size, targets: [linux-*], reason: "it is not published"}
    - {rule: driver-needed, reason: "nobody starts a library"}
    - {rule: license, file: bin/nvJitLink_130_0.dll, reason: "cuFFT loads it; the EULA in the wheels, of 2018, is older than it"}
    - {rule: license, file: nvidia/cu13/lib/libnvJitLink.so.13, reason: "cuFFT loads it; the EULA in the wheels, of 2018, is older than it"}
`

// mlxNotice is what a project says of the libraries that MLX's wheels hold
// without a word on their licences.
const mlxNotice = `The package holds, as MLX's wheels have them:
OpenBLAS, https://www.openblas.net, BSD-3-Clause
BLAS and LAPACK, https://netlib.org/lapack, BSD-3-Clause
libgfortran, https://gcc.gnu.org/fortran, GPL-3.0-or-later WITH GCC-exception-3.1
libquadmath, https://gcc.gnu.org/onlinedocs/libquadmath, LGPL-2.1-or-later
`

// mlxNeeds are the libraries that the packages hold besides MLX's own.
var mlxNeeds = map[string]string{
	"linux-x86_64": "libblas-bd8a282c.so.3.10.0 libcublas.so.13 libcublasLt.so.13 libcudnn.so.9 libcudnn_adv.so.9 libcudnn_cnn.so.9 " +
		"libcudnn_engines_precompiled.so.9 libcudnn_engines_runtime_compiled.so.9 libcudnn_engines_tensor_ir.so.9 libcudnn_ext.so.9 libcudnn_graph.so.9 " +
		"libcudnn_heuristic.so.9 libcudnn_ops.so.9 libcufft.so.12 libcusolver.so.12 libcusparse.so.12 libgfortran-f7379c93.so.5.0.0 " +
		"liblapack-86b2c207.so.3.10.0 libnccl.so.2 libnvJitLink.so.13 libnvrtc-builtins.so.13.2 libnvrtc.so.13 libquadmath-a962d038.so.0.0.0",
	"linux-aarch64": "libblas-87cf96dc.so.3.10.0 libcublas.so.13 libcublasLt.so.13 libcudnn.so.9 libcudnn_adv.so.9 libcudnn_cnn.so.9 " +
		"libcudnn_engines_precompiled.so.9 libcudnn_engines_runtime_compiled.so.9 libcudnn_engines_tensor_ir.so.9 libcudnn_ext.so.9 libcudnn_graph.so.9 " +
		"libcudnn_heuristic.so.9 libcudnn_ops.so.9 libcufft.so.12 libcusolver.so.12 libcusparse.so.12 libgfortran-fecb827f.so.5.0.0 " +
		"liblapack-a87cd5b5.so.3.10.0 libnccl.so.2 libnvJitLink.so.13 libnvrtc-builtins.so.13.2 libnvrtc.so.13",
	"windows-x86_64": "cublas64_13.dll cublasLt64_13.dll cudnn64_9.dll cudnn_adv64_9.dll cudnn_cnn64_9.dll cudnn_engines_precompiled64_9.dll " +
		"cudnn_engines_runtime_compiled64_9.dll cudnn_engines_tensor_ir64_9.dll cudnn_ext64_9.dll cudnn_graph64_9.dll cudnn_heuristic64_9.dll " +
		"cudnn_ops64_9.dll cufft64_12.dll cusolver64_12.dll cusparse64_12.dll libopenblas.dll msvcp140.dll nvJitLink_130_0.dll " +
		"nvrtc-builtins64_132.dll nvrtc64_130_0.dll vcruntime140.dll vcruntime140_1.dll",
	"macos-aarch64": "mlx.metallib",
}

// TestPackages makes packages around MLX's wheels for all platforms on this one
// machine. They are complete, what the vendors made is as they made it, and
// without any one of their libraries verify names that one.
func TestPackages(t *testing.T) {
	corpus, err := toolkit.ReadLock("corpus.lock.json")
	if err != nil {
		t.Fatal(err)
	}
	more, err := toolkit.ReadLock("packages.lock.json")
	if err != nil {
		t.Fatal(err)
	}
	lock := &toolkit.Lock{Schema: toolkit.LockSchema, Requirements: []string{"mlx"}, Platforms: map[string][]toolkit.Wheel{}}
	for platform, wheels := range corpus.Platforms {
		for _, w := range wheels {
			if slices.Contains(mlxWheels, w.Name) {
				lock.Platforms[platform] = append(lock.Platforms[platform], w)
			}
		}
		lock.Platforms[platform] = append(lock.Platforms[platform], more.Platforms[platform]...)
	}
	needTools(t)
	claim(t)
	for _, platform := range []string{"macos-aarch64", "windows-x86_64", "linux-x86_64", "linux-aarch64"} {
		t.Run(platform, func(t *testing.T) { checkPackage(t, lock, platform) })
	}
}

// checkPackage makes a package and judges it. Toolkit and package lie in the
// cache, since both together need the space of one only on one file system;
// RELMAT_CORPUS_KEEP=1 keeps the toolkit for another run.
func checkPackage(t *testing.T, lock *toolkit.Lock, platform string) {
	dir, err := fsx.PartialDir(wheelDir(t), "package")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	for name, text := range map[string]string{"targets.yaml": mlxMatrix, "LICENSE": "the licence of the project\n", "NOTICE": mlxNotice} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := lock.Write(filepath.Join(dir, "mlx.lock.json")); err != nil {
		t.Fatal(err)
	}
	cfg := pipeline.Config{Matrix: filepath.Join(dir, "targets.yaml"), Cache: cacheDir(t), Env: os.Environ(), Reporter: progress.New(logSink{t})}
	s, err := pipeline.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := s.File.Match([]string{platform})
	if err != nil {
		t.Fatal(err)
	}
	bundles, err := s.Bundle(t.Context(), rows)
	if err != nil {
		t.Fatal(err)
	}
	tk, err := toolkit.Fetcher{Cache: cfg.Cache}.Cached("mlx", lock, platform)
	if err != nil {
		t.Fatal(err)
	}
	if os.Getenv("RELMAT_CORPUS_KEEP") == "" {
		defer os.RemoveAll(tk.Dir)
	}
	tree := bundles[platform][0].Dir
	m := readManifest(t, tree)
	var libraries []string
	for _, f := range m.Files {
		if f.Origin != manifest.Wheel && f.Origin != manifest.Prebuilt {
			continue
		}
		// Several wheels have the same licence.
		if w, ok := tk.ByDigest(f.SHA256); !ok || w.Dist+" "+w.Version != f.From && f.Role != "license" {
			t.Errorf("%s is not as %s has it", f.Path, f.From)
		}
		if f.Role == "library" && f.Origin == manifest.Wheel || f.Why != "" {
			libraries = append(libraries, f.Path)
		}
	}
	if got, want := sortedNames(libraries), strings.Fields(mlxNeeds[platform]); !slices.Equal(got, want) {
		t.Errorf("the package holds the libraries\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if t.Failed() {
		return
	}
	// What other tools say that the files need is there.
	j := &judge{t: t, tree: tree, told: map[string]bool{}, names: map[string]bool{}}
	j.read()
	j.complete()
	rep, err := pipeline.VerifyPath(t.Context(), pipeline.VerifyOptions{Config: cfg, Path: tree, Explicit: true, Target: platform})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range rep.Findings {
		if f.Severity != "note" && !f.Allowed {
			t.Errorf("it is not clean: %s %s: %s: %s", f.Severity, f.Rule, f.File, f.Message)
		}
	}

	// Without its manifest: the files alone must tell.
	if err := os.Remove(filepath.Join(tree, m.Name())); err != nil {
		t.Fatal(err)
	}
	if got := missing(t, tree); len(got) > 0 {
		t.Fatalf("of the whole package %q is missing", got)
	}
	for _, l := range libraries {
		at := filepath.Join(tree, filepath.FromSlash(l))
		away := filepath.Join(dir, "away")
		if err := os.Rename(at, away); err != nil {
			t.Fatal(err)
		}
		if got, want := missing(t, tree), []string{strings.ToLower(path.Base(l))}; !slices.Equal(got, want) {
			t.Errorf("without %s, what is missing is %q", l, got)
		}
		if err := os.Rename(away, at); err != nil {
			t.Fatal(err)
		}
	}
}

func readManifest(t *testing.T, dir string) manifest.Manifest {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, manifest.FileName))
	if err != nil {
		t.Fatal(err)
	}
	m, err := manifest.Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func sortedNames(paths []string) []string {
	var names []string
	for _, p := range paths {
		names = append(names, path.Base(p))
	}
	slices.Sort(names)
	return names
}

// missingName finds in a finding's message what is missing.
var missingName = regexp.MustCompile(`^(?:needs|loads by name, while it runs,|loads at the first call of it|reads) ([^\s,]+)`)

// missing are the names that verify gives of what a tree lacks, in lower case,
// each once. Nothing but the tree is told to it, and that it need not look for
// what takes long and tells nothing of that.
func missing(t *testing.T, tree string) []string {
	t.Helper()
	rules := matrix.Verify{Severity: matrix.Map[string]{Keys: []string{"leak", "size"}, Values: map[string]string{"leak": "off", "size": "off"}}}
	rep, err := verify.Run(t.Context(), verify.Options{Path: tree, Rules: rules})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range rep.Findings {
		switch f.Rule {
		case "closure", "loaded-by-name", "delay-import":
		default:
			continue
		}
		m := missingName.FindStringSubmatch(f.Message)
		if m == nil || f.Severity != "error" {
			t.Errorf("it is no error, or names nothing: %s %s: %s", f.Severity, f.Rule, f.Message)
			continue
		}
		names = append(names, strings.ToLower(m[1]))
	}
	slices.Sort(names)
	return slices.Compact(names)
}
