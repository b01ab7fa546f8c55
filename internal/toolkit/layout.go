package toolkit

import (
	"context"
	"encoding/base64"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/relmat/relmat/internal/archive"
	"github.com/relmat/relmat/internal/matrix"
	"github.com/relmat/relmat/internal/proc"
	"github.com/relmat/relmat/internal/progress"
)

// LayoutVersion changes with what layOut makes of the same wheels.
const LayoutVersion = 2

// Toolkit is a CUDA toolkit in the cache.
type Toolkit struct {
	Dir      string
	Platform string
	index    index

	byDigest sync.Once
	digests  map[string]string // relative paths
}

// Home is what CUDA_HOME and CUDA_PATH name: the directory of bin/nvcc.
func (t *Toolkit) Home() string { return filepath.Join(t.Dir, filepath.FromSlash(t.index.home())) }

// Notes tell what the toolkit lacks because this host could not make it.
func (t *Toolkit) Notes() []string { return t.index.Notes }

// File is a file of the toolkit as its wheel had it.
type File struct {
	Path string
	// Rel is its path among the files of the wheels: nvidia/cu13/lib/libcublas.so.13.
	Rel    string
	SHA256 string
	Size   int64
	// Dist and Version name the wheel.
	Dist, Version string
}

// Lookup returns the file at path, which must lie in the toolkit, if a wheel
// brought it.
func (t *Toolkit) Lookup(p string) (File, bool) {
	rel, err := filepath.Rel(t.Dir, p)
	if err != nil {
		return File{}, false
	}
	return t.At(filepath.ToSlash(rel))
}

// At returns the file that a wheel has at rel, a slash-separated path such as
// mlx/lib/libmlx.so.
func (t *Toolkit) At(rel string) (File, bool) {
	f, ok := t.index.Files[rel]
	if !ok {
		return File{}, false
	}
	return File{
		Path: filepath.Join(t.Dir, filepath.FromSlash(rel)), Rel: rel, SHA256: f.SHA256, Size: f.Size,
		Dist: f.Dist, Version: t.index.Dists[f.Dist].Version,
	}, true
}

// ByDigest returns a file that a wheel brought with these bytes.
func (t *Toolkit) ByDigest(sha256 string) (File, bool) {
	t.byDigest.Do(func() {
		t.digests = make(map[string]string, len(t.index.Files))
		for _, rel := range slices.Sorted(maps.Keys(t.index.Files)) {
			t.digests[t.index.Files[rel].SHA256] = rel
		}
	})
	rel, ok := t.digests[sha256]
	if !ok {
		return File{}, false
	}
	return t.At(rel)
}

// Licenses returns the licence files of a wheel.
func (t *Toolkit) Licenses(dist string) []string {
	var paths []string
	for _, rel := range t.index.Dists[dist].Licenses {
		paths = append(paths, filepath.Join(t.Dir, filepath.FromSlash(rel)))
	}
	return paths
}

var (
	homeDir = regexp.MustCompile(`^nvidia/(cu[0-9]+)/`)
	// What wheels with a directory of their own have for builds.
	apartLinux   = regexp.MustCompile(`^nvidia/[a-z0-9_]+/(lib|include)/([^/]+)$`)
	apartWindows = regexp.MustCompile(`^nvidia/[a-z0-9_]+/(lib/x64|include)/([^/]+)$`)
	soVersion    = regexp.MustCompile(`^(.+\.so)\.[0-9.]+$`)
)

// home finds the directory that holds most of a toolkit: nvidia/cu13.
func (x index) home() string {
	files := map[string]int{}
	for rel := range x.Files {
		if m := homeDir.FindStringSubmatch(rel); m != nil {
			files["nvidia/"+m[1]]++
		}
	}
	home := "nvidia"
	for _, dir := range slices.Sorted(maps.Keys(files)) {
		if files[dir] > files[home] {
			home = dir
		}
	}
	return home
}

// layOut unpacks the wheels into dir and adds what makes a toolkit of them.
func layOut(ctx context.Context, dir, platform string, wheels []Wheel, paths []string, task *progress.Task) error {
	var total int64
	for _, w := range wheels {
		total += w.Unpacked
	}
	task.Note("laying out %d wheels, %s", len(wheels), progress.Bytes(total))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for i, p := range paths {
		g.Go(func() error {
			if err := archive.ExtractAs(gctx, archive.Zip, p, dir, archive.DefaultLimits, nil); err != nil {
				return fmt.Errorf("%s: %w", wheels[i].File, err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	x, err := readIndex(dir, wheels)
	if err != nil {
		return err
	}
	switch {
	case strings.HasPrefix(platform, "windows-"):
		err = finishWindows(dir, platform, &x, task)
	// What is built for Linux is not built on Windows, which wants privileges for
	// links; the libraries alone are of use there.
	case strings.HasPrefix(platform, "linux-") && runtime.GOOS != "windows":
		err = finishLinux(ctx, dir, platform, &x, task)
	}
	if err != nil {
		return err
	}
	data, err := json.Marshal(x)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, indexName), data, 0o644)
}

// readIndex reads what each wheel installed from its RECORD ("Recording
// installed projects", PyPA).
func readIndex(dir string, wheels []Wheel) (index, error) {
	x := index{Layout: LayoutVersion, Files: map[string]indexFile{}, Dists: map[string]indexDist{}}
	for _, w := range wheels {
		parts := strings.SplitN(w.File, "-", 3)
		info := parts[0] + "-" + parts[1] + ".dist-info"
		f, err := os.Open(filepath.Join(dir, info, "RECORD"))
		if err != nil {
			return x, err
		}
		rows, err := csv.NewReader(f).ReadAll()
		_ = f.Close()
		if err != nil {
			return x, fmt.Errorf("%s/RECORD: %w", info, err)
		}
		dist := indexDist{Version: w.Version}
		for _, row := range rows {
			if len(row) != 3 || row[1] == "" {
				continue // RECORD itself has no digest
			}
			raw, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(row[1], "sha256="))
			size, serr := strconv.ParseInt(row[2], 10, 64)
			if err != nil || serr != nil || len(raw) != 32 {
				return x, fmt.Errorf("%s/RECORD: the entry of %q is damaged", info, row[0])
			}
			if err := recorded(dir, row[0], size); err != nil {
				return x, fmt.Errorf("%s/RECORD: %w", info, err)
			}
			x.Files[row[0]] = indexFile{Size: size, SHA256: hex.EncodeToString(raw), Dist: w.Name}
			if isLicense(info, row[0]) {
				dist.Licenses = append(dist.Licenses, row[0])
			}
		}
		x.Dists[w.Name] = dist
	}
	return x, nil
}

// recorded checks that a file that a RECORD lists is in dir, as large as it
// says. Bundles take files by these paths.
func recorded(dir, rel string, size int64) error {
	if path.Clean(rel) != rel || !filepath.IsLocal(filepath.FromSlash(rel)) {
		return fmt.Errorf("%q is no path in a wheel", rel)
	}
	info, err := os.Lstat(filepath.Join(dir, filepath.FromSlash(rel)))
	if err != nil || !info.Mode().IsRegular() || info.Size() != size {
		return fmt.Errorf("the wheel does not hold %q with %d bytes", rel, size)
	}
	return nil
}

// isLicense knows both places of licence files in wheels: PEP 639's directory
// and the older one beside METADATA.
func isLicense(info, rel string) bool {
	rest, ok := strings.CutPrefix(rel, info+"/")
	if !ok {
		return false
	}
	name := strings.ToLower(path.Base(rest))
	return strings.HasPrefix(rest, "licenses/") || strings.HasPrefix(name, "license") || strings.HasPrefix(name, "notice") || strings.HasPrefix(name, "copying")
}

// finishLinux adds the names under which nvcc, CMake and the linker look for
// what the wheels hold under others.
func finishLinux(ctx context.Context, dir, platform string, x *index, task *progress.Task) error {
	home := filepath.Join(dir, filepath.FromSlash(x.home()))
	// nvcc.profile of CUDA 13.0 looks for lib64. Wheels of others have no such
	// directory.
	if _, err := os.Stat(home); err == nil {
		if err := linkNew("lib", filepath.Join(home, "lib64")); err != nil {
			return err
		}
	}
	for rel := range x.Files {
		name := path.Base(rel)
		m := soVersion.FindStringSubmatch(name)
		if m == nil || !libraryDir.MatchString(path.Dir(rel)+"/") {
			continue
		}
		if err := linkNew(name, filepath.Join(dir, filepath.FromSlash(path.Dir(rel)), m[1])); err != nil {
			return err
		}
	}
	if err := gather(dir, x, apartLinux); err != nil {
		return err
	}
	if note := stubDriver(ctx, home, platform); note != "" {
		task.Warn("%s", note)
		x.Notes = append(x.Notes, note)
	}
	return nil
}

// gather links the libraries and headers of wheels that have a directory of
// their own, as cuDNN's, into the toolkit's: builds look in one place.
func gather(dir string, x *index, apart *regexp.Regexp) error {
	for _, rel := range x.paths() {
		m := apart.FindStringSubmatch(rel)
		if m == nil || strings.HasPrefix(rel, x.home()+"/") {
			continue
		}
		names := []string{m[2]}
		if so := soVersion.FindStringSubmatch(m[2]); so != nil && m[1] == "lib" {
			names = append(names, so[1])
		}
		for _, name := range names {
			link := filepath.Join(dir, filepath.FromSlash(x.home()), filepath.FromSlash(m[1]), name)
			if err := os.MkdirAll(filepath.Dir(link), 0o755); err != nil {
				return err
			}
			if err := alias(filepath.Join(dir, filepath.FromSlash(rel)), link); err != nil {
				return err
			}
		}
	}
	return nil
}

var (
	driverFunc  = regexp.MustCompile(`(?m)CUDAAPI\s+(cu[A-Z]\w*)\s*\(`)
	driverMacro = regexp.MustCompile(`(?m)^\s*#\s*define\s+cu[A-Z]\w*\s+(cu[A-Z]\w*_v\d+\w*)`)
)

// driverEntries are the functions of the driver that the home's cuda.h declares,
// sorted; none where it has no such header.
func driverEntries(home string) []string {
	header, err := os.ReadFile(filepath.Join(home, "include", "cuda.h"))
	if err != nil {
		return nil
	}
	names := map[string]bool{}
	for _, re := range []*regexp.Regexp{driverFunc, driverMacro} {
		for _, m := range re.FindAllSubmatch(header, -1) {
			names[string(m[1])] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// stubDriver makes lib/stubs/libcuda.so, against which programs link that call
// the driver directly. NVIDIA's installer brings it, the wheels do not. Each
// entry point returns CUDA_ERROR_STUB_LIBRARY (34). It returns what to tell
// where the stub cannot be made: most programs do without.
func stubDriver(ctx context.Context, home, platform string) string {
	names := driverEntries(home)
	if len(names) == 0 {
		return "" // a toolkit of libraries alone
	}
	const without = "the toolkit has no lib/stubs/libcuda.so, which only programs that link libcuda need: "
	if platform != matrix.Host().String() {
		return without + "it is made by a C compiler for " + platform + ", and this host is " + matrix.Host().String()
	}
	var src strings.Builder
	for _, n := range names {
		fmt.Fprintf(&src, "int %s(void) { return 34; }\n", n)
	}
	stubs := filepath.Join(home, "lib", "stubs")
	if err := os.MkdirAll(stubs, 0o755); err != nil {
		return without + err.Error()
	}
	code := filepath.Join(stubs, "libcuda.c")
	if err := os.WriteFile(code, []byte(src.String()), 0o644); err != nil {
		return without + err.Error()
	}
	defer os.Remove(code)
	err := proc.Cmd{
		Path: "cc", Dir: stubs, Env: os.Environ(),
		Args: []string{"-shared", "-fPIC", "-nostdlib", "-Wl,-soname,libcuda.so.1", "-o", "libcuda.so", "libcuda.c"},
	}.Run(ctx)
	if err != nil {
		return without + err.Error()
	}
	return ""
}
