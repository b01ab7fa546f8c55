package bundle

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/relmat/relmat/internal/manifest"
	"github.com/relmat/relmat/internal/matrix"
	"github.com/relmat/relmat/internal/progress"
	"github.com/relmat/relmat/internal/toolkit"
)

func write(t *testing.T, file, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// cc runs the C compiler on one source text.
func cc(t *testing.T, out, code string, args ...string) string {
	t.Helper()
	src := write(t, filepath.Join(t.TempDir(), "code.c"), code)
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		t.Fatal(err)
	}
	args = append([]string{"-o", out, src, "-Wl,--no-as-needed"}, args...)
	if text, err := exec.Command("cc", args...).CombinedOutput(); err != nil {
		t.Fatalf("these tests make libraries with a C compiler; cc %s: %v\n%s", strings.Join(args, " "), err, text)
	}
	return out
}

// sharedLib makes dir/soname, which needs the given libraries.
func sharedLib(t *testing.T, dir, soname, code string, needs ...string) string {
	t.Helper()
	args := append([]string{"-shared", "-fPIC", "-nostdlib", "-Wl,-soname," + soname}, needs...)
	return cc(t, filepath.Join(dir, soname), code, args...)
}

// shelf offers the libraries of a directory, as a source does.
type shelf struct{ dir string }

func (s shelf) find(_ context.Context, name string, _ *item) ([]found, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, err
	}
	var list []found
	for _, e := range entries {
		own := e.Name()
		if strings.HasSuffix(name, ".dll") {
			own = strings.ToLower(own)
		}
		if ok, _ := path.Match(name, own); ok {
			list = append(list, found{src: filepath.Join(s.dir, e.Name()), name: e.Name(), origin: manifest.Wheel, from: "fake 1"})
		}
	}
	return list, nil
}

func (shelf) pinned() bool  { return true }
func (shelf) lacks() string { return "the shelf has it not" }
func (shelf) mend() string  { return "put it there" }

// closureOf gathers a package's libraries from a directory: the program or
// prebuilt library at main, with what else the package has, and returns the
// paths of the libraries with their reasons, each "PATH WHY".
func closureOf(t *testing.T, main, dir, target, pkg string) ([]string, error) {
	t.Helper()
	row, p := parse(t, target, pkg)
	b, err := newBuilder(Options{Row: row, Name: "pkg", Package: p, Programs: map[string]string{"prog": main}, Source: filepath.Dir(main)})
	if err != nil {
		t.Fatal(err)
	}
	b.sources = []source{shelf{dir}}
	if err := b.programs(); err != nil {
		return nil, err
	}
	if err := b.addFiles(); err != nil {
		return nil, err
	}
	if err := b.closure(t.Context()); err != nil {
		return nil, err
	}
	var list []string
	for _, it := range b.items {
		if it.Role == "library" && it.Origin == manifest.Wheel {
			list = append(list, it.Path+" "+it.Why)
		}
	}
	slices.Sort(list)
	return list, nil
}

// linux is the target of this machine.
func linux() string { return hostTriple() + "}" }

// fakeToolkit opens a toolkit that lies finished in a cache: the files below
// dir, each of the wheel that dists names for it. Licences are the files that
// have LICENSE in their names.
func fakeToolkit(t *testing.T, fill func(dir string), distOf func(rel string) string) *toolkit.Toolkit {
	t.Helper()
	return fakeToolkitOf(t, matrix.Host().String(), fill, distOf)
}

func fakeToolkitOf(t *testing.T, platform string, fill func(dir string), distOf func(rel string) string) *toolkit.Toolkit {
	t.Helper()
	cache := t.TempDir()
	wheels := []toolkit.Wheel{{Name: "w", Version: "1", File: "w-1-py3-none-any.whl", SHA256: strings.Repeat("a", 64), Size: 1}}
	dir := filepath.Join(cache, "toolkits", "cuda13-"+platform+"-"+toolkit.Digest(wheels)[:16])
	fill(dir)
	type file struct {
		Size   int64  `json:"size"`
		SHA256 string `json:"sha256"`
		Dist   string `json:"dist"`
	}
	type dist struct {
		Version  string   `json:"version"`
		Licenses []string `json:"licenses,omitempty"`
	}
	files, dists := map[string]file{}, map[string]dist{}
	err := filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, p)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		sum := sha256.Sum256(data)
		name := distOf(rel)
		files[rel] = file{int64(len(data)), hex.EncodeToString(sum[:]), name}
		x := dists[name]
		x.Version = "13.0.1"
		if strings.Contains(path.Base(rel), "LICENSE") {
			x.Licenses = append(x.Licenses, rel)
		}
		dists[name] = x
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(map[string]any{"layout": toolkit.LayoutVersion, "files": files, "dists": dists})
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "toolkit.json"), string(data))
	f := toolkit.Fetcher{Cache: cache, Pip: func(context.Context) (toolkit.Pip, error) {
		t.Fatal("the toolkit is there, pip must not be asked for")
		return toolkit.Pip{}, nil
	}}
	tk, _, err := f.Ensure(t.Context(), "cuda13", &toolkit.Lock{Platforms: map[string][]toolkit.Wheel{platform: wheels}}, platform, progress.New(nil).Begin("", "", ""))
	if err != nil {
		t.Fatal(err)
	}
	return tk
}

// parse makes the row of target x and package pkg out of YAML.
func parse(t *testing.T, target, pkg string) (matrix.Row, matrix.Package) {
	t.Helper()
	f, err := matrix.Parse("targets.yaml", []byte(`
version: 1
project: {name: p, version-package: p}
toolkits: {cuda13: {lock: l.json, requirements: [r]}}
programs: {prog: {package: p}, other: {package: p}}
targets:
  x: {triple: `+strings.TrimSuffix(target, "}")+`}
packages:
  pkg:
    asset: "pkg-{{.Target}}"
    programs: [prog]
`+pkg))
	if err != nil {
		t.Fatal(err)
	}
	return f.Rows()[0], f.Packages.Values["pkg"]
}

func hostTriple() string { return matrix.Host().Arch + "-unknown-linux-gnu" }
