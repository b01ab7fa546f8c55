package pipeline

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/relmat/relmat/internal/manifest"
	"github.com/relmat/relmat/internal/matrix"
)

// prebuilt is a project without Cargo: programs that the checkout holds, and a
// CUDA toolkit that the environment names.
func prebuilt(t *testing.T, packages string) (*Session, string) {
	t.Helper()
	s, _ := open(t, `
version: 1
project: {name: p, version: "4.5"}
programs:
  app: {from: {source: vendor/app}}
  server: {from: {source: vendor/server}}
targets:
  x: {triple: `+matrix.Host().Arch+`-unknown-linux-gnu, pass: [CUDA_HOME]}
packages:
`+packages)
	home := t.TempDir()
	write(t, filepath.Join(home, "EULA.txt"), "the licence\n")
	cc(t, filepath.Join(home, "lib64", "libcudart.so.13"), "int r(void) { return 3; }", "-shared", "-fPIC", "-nostdlib", "-Wl,-soname,libcudart.so.13")
	for _, name := range []string{"app", "server"} {
		cc(t, filepath.Join(s.Source, "vendor", name), "int r(void); int main(void) { return r(); }",
			filepath.Join(home, "lib64", "libcudart.so.13"), "-Wl,--disable-new-dtags,-rpath,$ORIGIN/../lib")
	}
	// No Cargo and no compiler is needed.
	s.Env = []string{"PATH=" + t.TempDir(), "HOME=" + t.TempDir(), "CUDA_HOME=" + home}
	return s, home
}

func cc(t *testing.T, out, code string, args ...string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		t.Fatal(err)
	}
	src := filepath.Join(t.TempDir(), "code.c")
	write(t, src, code)
	if text, err := exec.Command("cc", append([]string{"-o", out, src}, args...)...).CombinedOutput(); err != nil {
		t.Fatalf("cc: %v\n%s", err, text)
	}
}

func TestPrebuiltWithoutCargo(t *testing.T) {
	s, _ := prebuilt(t, `  one: {asset: "one-{{.Version}}", programs: [app, server]}`)
	got, err := s.Bundle(t.Context(), s.File.Rows())
	if err != nil {
		t.Fatal(err)
	}
	if s.version != "4.5" || s.tag != "v4.5" || s.workspace != nil {
		t.Errorf("version %s, tag %s, workspace %v", s.version, s.tag, s.workspace)
	}
	m := readManifest(t, got["x"][0].Dir)
	if m.Version != "4.5" || m.Programs["server"] != "bin/server" {
		t.Errorf("the manifest is %+v", m)
	}
	origins := map[string]manifest.Origin{}
	for _, f := range m.Files {
		origins[f.Path] = f.Origin
	}
	if origins["bin/app"] != manifest.Prebuilt || origins["lib/libcudart.so.13"] != manifest.Host {
		t.Errorf("the origins are %v", origins)
	}
	plans, err := s.Plan(t.Context(), nil)
	if err != nil || len(plans[0].Hosts[0].Build) != 0 || plans[0].Packages[0].Files[0] != (FilePlan{"bin/app", "source: vendor/app"}) {
		t.Errorf("the plan is %+v, %v", plans, err)
	}
}

func readManifest(t *testing.T, dir string) manifest.Manifest {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !manifest.IsName(e.Name()) {
			continue
		}
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		m, err := manifest.Decode(data)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	t.Fatalf("%s has no manifest", dir)
	return manifest.Manifest{}
}

// TestSplit shares the vendor's libraries among two packages. The one that has
// them comes first, since the others are tested with it.
func TestSplit(t *testing.T) {
	s, home := prebuilt(t, `
  app: {asset: "app-{{.Version}}", root: p, programs: [app], runtime: split}
  libs: {asset: "libs-{{.Version}}", root: p, runtime-of: [app, server]}
  server: {asset: "server-{{.Version}}", root: p, programs: [server], runtime: split}
`)
	got, err := s.Bundle(t.Context(), s.File.Rows())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, b := range got["x"] {
		names = append(names, b.Package)
		m := readManifest(t, b.Dir)
		held := slices.ContainsFunc(m.Files, func(f manifest.File) bool { return f.Path == "lib/libcudart.so.13" })
		declared := slices.ContainsFunc(m.HostLibraries, func(l manifest.HostLibrary) bool { return l.Package == "libs" && l.Path == "lib/libcudart.so.13" })
		if isLibs := b.Package == "libs"; held != isLibs || declared == isLibs {
			t.Errorf("package %s holds it: %v, declares it: %v", b.Package, held, declared)
		}
	}
	if !slices.Equal(names, []string{"libs", "app", "server"}) {
		t.Errorf("the packages come as %q", names)
	}
	again, err := s.Bundle(t.Context(), s.File.Rows())
	if err != nil || again["x"][0].Dir != got["x"][0].Dir {
		t.Errorf("again: %+v, %v", again, err)
	}

	// What a test of an archive needs besides.
	row := row(t, s, "x")
	beside := filepath.Join(t.TempDir(), "app-4.5.zip")
	if _, err := s.archiveOver(row, "libs", beside); err == nil || !strings.Contains(err.Error(), "libs-4.5.zip does not lie beside") {
		t.Errorf("an archive that is not there gives %v", err)
	}
	other := filepath.Join(filepath.Dir(beside), "libs-4.5.zip")
	write(t, other, "")
	if path, err := s.archiveOver(row, "libs", beside); err != nil || path != other {
		t.Errorf("the archive beside it is %s, %v", path, err)
	}
	s.version, s.tag = "", ""
	if path, err := s.archiveOver(row, "libs", beside); err != nil || path != other {
		t.Errorf("of an unknown version it is %s, %v", path, err)
	}
	if sums := s.besides(row, "app"); sums != nil {
		t.Errorf("before it is packed the test depends on %q", sums)
	}
	s.archives["x/libs"] = manifest.Asset{Path: "made", SHA256: "abc"}
	if path, err := s.archiveOver(row, "libs", beside); err != nil || path != "made" {
		t.Errorf("the archive of this run is %s, %v", path, err)
	}
	if sums := s.besides(row, "app"); !slices.Equal(sums, []string{"abc"}) {
		t.Errorf("the test depends on %q", sums)
	}
	if dirs, err := s.hostLibraries(row); err != nil || !slices.Equal(dirs, []string{filepath.Join(home, "lib64")}) {
		t.Errorf("the host's libraries are in %q, %v", dirs, err)
	}
	row.Toolkit = "none"
	s.File.Toolkits.Values = map[string]matrix.Toolkit{"none": {Lock: "none.json"}}
	if _, err := s.hostLibraries(row); err == nil || !strings.Contains(err.Error(), "toolkit none is not in the cache") {
		t.Errorf("a toolkit that is not there gives %v", err)
	}
}
