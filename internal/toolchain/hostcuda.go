package toolchain

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/relmat/relmat/internal/matrix"
	"github.com/relmat/relmat/internal/proc"
)

// HostCUDA is the CUDA toolkit of a Windows host, for a target that generates GPU
// code and names no toolkit of its own.
type HostCUDA struct {
	// Home is its directory, By the variable that names it, Version that of the
	// toolkit, empty where its files do not say.
	Home, By, Version string
}

// UsesHostCUDA tells whether the build of the row on the host uses the toolkit
// that NVIDIA's installer has put there.
func UsesHostCUDA(row matrix.Row, host matrix.Platform) bool {
	return NeedsMSVC(row, host) && row.CUDA.Architectures != "" && row.Toolkit == ""
}

var versionedPath = regexp.MustCompile(`(?i)^CUDA_PATH_V([0-9]+)_([0-9]+)$`)

// FindHostCUDA reads CUDA_PATH and CUDA_PATH_V13_0, which NVIDIA's installer sets
// ("CUDA Installation Guide for Microsoft Windows"), and CUDA_HOME, which scripts
// of Unix habit read. Where the first and the last speak of two toolkits, one half
// of a build would see the one and one half the other: that is an error.
func FindHostCUDA(env []string) (*HostCUDA, error) {
	home, path := named(env, "CUDA_HOME"), named(env, "CUDA_PATH")
	if home.Home != "" && path.Home != "" && !sameDir(home.Home, path.Home) {
		return nil, fmt.Errorf("%s, but %s: set both to the one that the build shall have, or give the target a toolkit", home.says(), path.says())
	}
	found := home
	if found.Home == "" {
		found = path
	}
	var versioned []HostCUDA
	for _, kv := range env {
		name, _, _ := strings.Cut(kv, "=")
		if m := versionedPath.FindStringSubmatch(name); m != nil {
			c := named(env, name)
			if c.Version == "" {
				c.Version = m[1] + "." + m[2]
			}
			versioned = append(versioned, c)
		}
	}
	slices.SortStableFunc(versioned, func(a, b HostCUDA) int {
		va, _ := ParseVersion(a.Version)
		vb, _ := ParseVersion(b.Version)
		return cmp.Or(vb.Compare(va), cmp.Compare(a.By, b.By))
	})
	if found.Home == "" && len(versioned) > 0 {
		found = versioned[0]
	}
	if found.Home == "" {
		return nil, errors.New("no variable names a CUDA toolkit, neither CUDA_PATH, which NVIDIA's installer sets, nor CUDA_HOME: install one, or give the target a toolkit")
	}
	if nvcc := filepath.Join(found.Home, "bin", "nvcc.exe"); !isFile(nvcc) {
		return nil, fmt.Errorf("%s, where there is no %s", found.says(), nvcc)
	}
	// CUDA_PATH_V13_0 that names another version's directory is a remnant.
	for _, c := range versioned {
		m := versionedPath.FindStringSubmatch(c.By)
		word := m[1] + "." + m[2]
		if sameDir(c.Home, found.Home) && found.Version != "" && found.Version != word && !strings.HasPrefix(found.Version, word+".") {
			return nil, fmt.Errorf("%s says that CUDA %s is in %s, but there is %s: mend the variable", c.By, word, c.Home, found.Version)
		}
	}
	return &found, nil
}

func named(env []string, name string) HostCUDA {
	c := HostCUDA{By: name, Home: strings.TrimRight(proc.Getenv(env, name), `\/`)}
	if c.Home != "" {
		c.Version = CUDAVersion(c.Home)
	}
	return c
}

func (c HostCUDA) says() string {
	if c.Version == "" {
		return fmt.Sprintf("%s names %s", c.By, c.Home)
	}
	return fmt.Sprintf("%s names %s (CUDA %s)", c.By, c.Home, c.Version)
}

var cudaMacro = regexp.MustCompile(`(?m)^\s*#\s*define\s+CUDA_VERSION\s+([0-9]{4,6})\b`)

// CUDAVersion is what a toolkit's own files say, empty if they do not: that of
// version.json of the installer, such as 13.0.2, else of CUDA_VERSION of cuda.h,
// such as 13000, which tells no third number.
func CUDAVersion(home string) string {
	var v struct {
		CUDA struct {
			Version string `json:"version"`
		} `json:"cuda"`
	}
	if data, err := os.ReadFile(filepath.Join(home, "version.json")); err == nil && json.Unmarshal(data, &v) == nil && v.CUDA.Version != "" {
		return v.CUDA.Version
	}
	data, err := os.ReadFile(filepath.Join(home, "include", "cuda.h"))
	if err != nil {
		return ""
	}
	m := cudaMacro.FindSubmatch(data)
	if m == nil {
		return ""
	}
	n, err := strconv.Atoi(string(m[1]))
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%d.%d", n/1000, n%1000/10)
}

// BuildEnv adds the toolkit to a build's environment, and where cuDNN is. What the
// matrix sets, or lets pass, stays as it is.
func (c *HostCUDA) BuildEnv(env, host []string, row matrix.Row) []string {
	add := func(name, value string) {
		mine := slices.ContainsFunc(row.Env.Keys, func(k string) bool { return sameName(k, name) })
		if value != "" && !mine && proc.Getenv(env, name) == "" {
			env = setenv(env, name, value)
		}
	}
	add("CUDA_HOME", c.Home)
	add("CUDA_PATH", c.Home)
	for _, name := range []string{"CUDNN_PATH", "MLX_CUDNN_BIN_DIR"} {
		add(name, proc.Getenv(host, name))
	}
	path := append(ToolkitDirs(c.Home), proc.Getenv(env, "PATH"))
	return setenv(env, "PATH", strings.Join(path, string(filepath.ListSeparator)))
}

// NVCC is the toolkit's compiler; ok is false where the toolkit lacks the header
// in which it says what host compilers it takes: there is nothing to check then.
func (c *HostCUDA) NVCC() (n NVCC, ok bool) {
	n.Of = strings.ReplaceAll("CUDA "+c.Version+" by "+c.By, "  ", " ")
	n.Header = filepath.Join(c.Home, "include", "crt", "host_config.h")
	return n, isFile(n.Header)
}

// CheckHostCUDA is the doctor's view of it.
func (d *Doctor) CheckHostCUDA(env []string) Check {
	c := Check{Name: "CUDA toolkit", State: StateOK, Needed: "any", By: "cuda.architectures"}
	found, err := FindHostCUDA(env)
	if err != nil {
		c.State, c.Detail, c.Blocks = StateFailed, err.Error(), true
		c.Get = "winget install Nvidia.CUDA"
		return c
	}
	c.Found, c.Path, c.Detail = found.Version, found.Home, "by "+found.By
	return c
}
