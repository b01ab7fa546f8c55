package corpus

import (
	"archive/zip"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/relmat/relmat/internal/fsx"
	"github.com/relmat/relmat/internal/toolkit"
)

var update = flag.Bool("update", false, "resolve the requirements anew and write the lock files, which downloads every wheel")

// all are the platforms of NVIDIA's wheels.
var all = []string{"linux-x86_64", "linux-aarch64", "windows-x86_64"}

// pin is a requirement as it stands in a lock file.
type pin struct {
	text string
	// platforms are those that it is resolved for.
	platforms []string
	// tags are the platform tags, by platform, of a wheel that comes alone,
	// without what it requires.
	tags map[string]string
}

// locks are the lock files and what they pin. go test -run TestLocks -update
// writes them.
var locks = map[string][]pin{
	// What the comparison reads.
	"corpus.lock.json": {
		{text: "cuda-toolkit[nvcc,nvvm,crt,cudart,cccl,cublas,nvrtc,cufft,nvjitlink,nvtx,profiler,nvfatbin,nvptxcompiler," +
			"cusolver,cusparse,curand,cupti,nvjpeg,nvml,cuxxfilt,cuobjdump,nvdisasm]==13.2.2", platforms: all},
		// cuda-toolkit takes any newer one.
		{text: "nvidia-nvjitlink==13.2.86", platforms: all},
		{text: "nvidia-cudnn-cu13==9.28.1.4", platforms: all},
		{text: "nvidia-nccl-cu13==2.31.2", platforms: all[:2]},
		{text: "cuda-toolkit[culibos,cufile]==13.2.2", platforms: all[:2]},
		{text: "mlx-cuda-13==0.32.4", tags: map[string]string{
			"linux-x86_64": "manylinux_2_35_x86_64", "linux-aarch64": "manylinux_2_35_aarch64", "windows-x86_64": "win_amd64",
		}},
		{text: "bitsandbytes==0.50.2", tags: map[string]string{
			"linux-x86_64": "manylinux_2_24_x86_64", "linux-aarch64": "manylinux_2_24_aarch64", "windows-x86_64": "win_amd64",
		}},
		{text: "mlx-metal==0.32.4", tags: map[string]string{"macos-aarch64": "macosx_14_0_arm64"}},
	},
	// The toolkits of controlled compiles, with the cuobjdump that knows both.
	"nvcc-13.0.2.lock.json": {
		{text: "cuda-toolkit[nvcc,nvvm,crt,cudart,cccl]==13.0.2", platforms: all[:1]},
		{text: "nvidia-cuda-cuobjdump==13.2.86", platforms: all[:1]},
		{text: "nvidia-cuda-nvdisasm==13.2.86", platforms: all[:1]},
	},
	"nvcc-13.2.2.lock.json": {
		{text: "cuda-toolkit[nvcc,nvvm,crt,cudart,cccl,cuobjdump,nvdisasm]==13.2.2", platforms: all[:1]},
	},
	// Of the first nvcc that has --concat.
	"nvcc-13.5.0.lock.json": {
		{text: "cuda-toolkit[nvcc,nvvm,crt,cudart,cccl,cuobjdump]==13.5.0", platforms: all[:1]},
	},
}

// TestLocks has the lock files pin what this file asks for.
func TestLocks(t *testing.T) {
	for name, pins := range locks {
		t.Run(name, func(t *testing.T) {
			if *update {
				if err := resolve(t, pins).Write(name); err != nil {
					t.Fatal(err)
				}
			}
			lock, err := toolkit.ReadLock(name)
			if err != nil {
				t.Fatal(err)
			}
			if want := requirements(pins); !slices.Equal(lock.Requirements, want) {
				t.Errorf("it is of %q, want %q; go test ./test/corpus -run TestLocks -update", lock.Requirements, want)
			}
		})
	}
}

func requirements(pins []pin) (texts []string) {
	for _, p := range pins {
		texts = append(texts, p.text)
	}
	return texts
}

// resolve asks pip for the wheels, and downloads them to learn their sizes.
func resolve(t *testing.T, pins []pin) *toolkit.Lock {
	lock := &toolkit.Lock{Schema: toolkit.LockSchema, Requirements: requirements(pins), Platforms: map[string][]toolkit.Wheel{}}
	pip, err := findPip(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	resolved := map[string][]string{}
	for _, p := range pins {
		for _, platform := range p.platforms {
			resolved[platform] = append(resolved[platform], p.text)
		}
		for platform, tag := range p.tags {
			name, version, _ := strings.Cut(p.text, "==")
			file := strings.ReplaceAll(name, "-", "_") + "-" + version + "-py3-none-" + tag + ".whl"
			lock.Platforms[platform] = append(lock.Platforms[platform], toolkit.Wheel{Name: name, Version: version, File: file})
		}
	}
	for platform, texts := range resolved {
		wheels, err := pip.Resolve(t.Context(), platform, texts)
		if err != nil {
			t.Fatal(err)
		}
		lock.Platforms[platform] = append(wheels, lock.Platforms[platform]...)
	}
	dir := t.TempDir()
	g, ctx := errgroup.WithContext(t.Context())
	g.SetLimit(4)
	for platform, wheels := range lock.Platforms {
		for i := range wheels {
			g.Go(func() error { return measure(ctx, filepath.Join(dir, platform, wheels[i].Name), &wheels[i]) })
		}
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	return lock
}

// measure fills in the digest, where pip did not tell it, and the sizes.
func measure(ctx context.Context, dir string, w *toolkit.Wheel) error {
	parts := strings.Split(strings.TrimSuffix(w.File, ".whl"), "-")
	args := []string{"-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest", dir, w.Name + "==" + w.Version}
	for _, tag := range strings.Split(parts[len(parts)-1], ".") {
		if tag != "any" {
			args = append(args, "--platform", tag)
		}
	}
	if out, err := exec.CommandContext(ctx, "python3", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("pip download %s: %w\n%s", w.File, err, out)
	}
	path := filepath.Join(dir, w.File)
	defer os.Remove(path)
	sum, size, err := fsx.SHA256File(path)
	if err != nil {
		return err
	}
	if w.SHA256 != "" && w.SHA256 != sum {
		return fmt.Errorf("%s: the index says SHA-256 %s, it is %s", w.File, w.SHA256, sum)
	}
	w.SHA256, w.Size = sum, size
	r, err := zip.OpenReader(path)
	if err != nil {
		return err
	}
	defer r.Close()
	for _, f := range r.File {
		w.Unpacked += int64(f.UncompressedSize64)
	}
	return nil
}
