package toolchain_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/relmat/relmat/internal/matrix"
	"github.com/relmat/relmat/internal/proc"
	"github.com/relmat/relmat/internal/toolchain"
)

func TestHostCUDA(t *testing.T) {
	root := t.TempDir()
	lay := func(name, file, text string) string {
		put(t, filepath.Join(root, name, "bin", "nvcc.exe"), "")
		if file != "" {
			put(t, filepath.Join(root, name, file), text)
		}
		return filepath.Join(root, name)
	}
	v13 := lay("v13.0", "version.json", `{"cuda": {"name": "CUDA SDK", "version": "13.0.2"}}`)
	v12 := lay("v12.6", "include/cuda.h", "#define CUDA_VERSION 12060\n")
	v1210 := lay("v12.10", "include/cuda.h", "#define CUDA_VERSION 12100\n")
	mute := lay("mute", "", "")
	empty := filepath.Join(root, "empty")
	tests := []struct {
		name, env, want string // want: the directory, the variable and the version, or a part of the error
	}{
		{"installer's", "CUDA_PATH=" + v13, "v13.0 CUDA_PATH 13.0.2"},
		{"installer's, all", "CUDA_PATH=" + v13 + "|CUDA_PATH_V13_0=" + v13 + "|CUDA_PATH_V12_6=" + v12, "v13.0 CUDA_PATH 13.0.2"},
		{"of Unix habit", "CUDA_HOME=" + v12, "v12.6 CUDA_HOME 12.6"},
		{"both", "CUDA_HOME=" + v12 + "|CUDA_PATH=" + v12 + string(filepath.Separator), "v12.6 CUDA_HOME 12.6"},
		{"newest of several", "CUDA_PATH_V12_6=" + v12 + "|CUDA_PATH_V13_0=" + v13 + "|CUDA_PATH_V12_10=" + v1210, "v13.0 CUDA_PATH_V13_0 13.0.2"},
		{"no version", "CUDA_PATH=" + mute, "mute CUDA_PATH "},
		{"conflict", "CUDA_HOME=" + v12 + "|CUDA_PATH=" + v13, "CUDA_HOME names " + v12 + " (CUDA 12.6), but CUDA_PATH names " + v13 + " (CUDA 13.0.2): set both"},
		{"remnant", "CUDA_PATH=" + v13 + "|CUDA_PATH_V12_6=" + v13, "CUDA_PATH_V12_6 says that CUDA 12.6 is in " + v13 + ", but there is 13.0.2"},
		{"gone", "CUDA_PATH=" + empty, "CUDA_PATH names " + empty + ", where there is no "},
		{"none", "", "no variable names a CUDA toolkit"},
	}
	for _, tt := range tests {
		env := strings.Split(tt.env, "|")
		c, err := toolchain.FindHostCUDA(env)
		d := &toolchain.Doctor{Host: winX64}
		check := d.CheckHostCUDA(env)
		if err != nil {
			if !strings.Contains(err.Error(), tt.want) || !check.Blocks || check.State != toolchain.StateFailed || check.Detail != err.Error() {
				t.Errorf("%s: %v, want %s; the check is %+v", tt.name, err, tt.want, check)
			}
			continue
		}
		if got := filepath.Base(c.Home) + " " + c.By + " " + c.Version; got != tt.want || check.Blocks || check.Found != c.Version {
			t.Errorf("%s: %s, want %s; the check is %+v", tt.name, got, tt.want, check)
		}
	}
}

func TestHostCUDABuildEnv(t *testing.T) {
	root := t.TempDir()
	put(t, filepath.Join(root, "bin", "nvcc.exe"), "")
	put(t, filepath.Join(root, "bin", "x64", "cudart64_13.dll"), "")
	host := []string{"CUDA_PATH=" + root, "CUDNN_PATH=c", "MLX_CUDNN_BIN_DIR=m", "OTHER=o"}
	c, err := toolchain.FindHostCUDA(host)
	if err != nil {
		t.Fatal(err)
	}
	r := msvcRow()
	r.CUDA.Architectures = "80"
	r.Env = matrix.Map[string]{Keys: []string{"MLX_CUDNN_BIN_DIR"}, Values: map[string]string{"MLX_CUDNN_BIN_DIR": "own"}}
	env := c.BuildEnv([]string{"PATH=p", "MLX_CUDNN_BIN_DIR=own"}, host, r)
	for name, want := range map[string]string{
		"CUDA_HOME": root, "CUDA_PATH": root, "CUDNN_PATH": "c", "MLX_CUDNN_BIN_DIR": "own", "OTHER": "",
		"PATH": strings.Join([]string{filepath.Join(root, "bin"), filepath.Join(root, "bin", "x64"), "p"}, string(filepath.ListSeparator)),
	} {
		if got := proc.Getenv(env, name); got != want {
			t.Errorf("%s=%s, want %s", name, got, want)
		}
	}
	r.Toolkit = "cuda13"
	if toolchain.UsesHostCUDA(r, winX64) {
		t.Error("a target with a toolkit uses the host's")
	}
	r.Toolkit = ""
	if !toolchain.UsesHostCUDA(r, winX64) || toolchain.UsesHostCUDA(r, matrix.Platform{OS: "linux", Arch: "x86_64"}) {
		t.Error("the installer's toolkit is Windows' alone")
	}
}
