package e2e

import (
	"archive/zip"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/relmat/relmat/internal/archive"
)

// TestRelease releases the sample, killed in each stage on the way, and looks
// at what is published.
func TestRelease(t *testing.T) {
	state, out := t.TempDir(), t.TempDir()
	t.Setenv("TMPDIR", t.TempDir()) // smoke tests leave nothing there
	args := []string{"--state", state, "release", "--to", out, "--tag", tag, "--skip-commit-check"}
	stage := func(name string) string { return filepath.Join(state, target, name) }

	t.Run("killed while the native build runs", func(t *testing.T) {
		killAt(t, 20*time.Minute, exists(filepath.Join(stage("cargo"), "*", "release", "build", "tinylm-core-*", "out", "build", ".ninja_log")), args...)
		noProcess(t, state)
	})
	t.Run("killed while bundling", func(t *testing.T) {
		killAt(t, 20*time.Minute, exists(filepath.Join(stage("bundle"), ".*.partial-*")), args...)
		if got := names(t, stage("bundle")); len(got) != 0 {
			t.Errorf("half a bundle under its final name: %v", got)
		}
	})
	t.Run("killed while archiving", func(t *testing.T) {
		killAt(t, 5*time.Minute, hasBytes(filepath.Join(stage("archive"), ".*.partial-*"), 10<<20), args...)
		if got := names(t, stage("archive")); len(got) != 0 {
			t.Errorf("half an archive under its final name: %v", got)
		}
	})
	t.Run("killed while smoke-testing", func(t *testing.T) {
		killAt(t, 5*time.Minute, exists(filepath.Join(os.TempDir(), "relmat smoke*", "work", "model", "model.safetensors")), args...)
		if got := names(t, stage("smoke")); len(got) != 0 {
			t.Errorf("a proof of a test that did not end: %v", got)
		}
	})
	t.Run("killed while publishing", func(t *testing.T) {
		killAt(t, 5*time.Minute, hasBytes(filepath.Join(out, ".*.partial-*"), 10<<20), args...)
		if got := names(t, out); len(got) != 0 {
			t.Errorf("half a release under its final name: %v", got)
		}
	})
	if t.Failed() {
		t.FailNow()
	}

	must(t, command(t, args...))
	noPartials(t, state)
	noPartials(t, out)
	if left, _ := filepath.Glob(filepath.Join(os.TempDir(), "relmat smoke*")); len(left) != 0 {
		t.Errorf("smoke tests left %v", left)
	}

	again := relmat(t, args...)
	if again.code != 0 || !strings.HasPrefix(again.stdout, "unchanged: ") {
		t.Errorf("again: exit code %d\n%s\n%s", again.code, again.stdout, again.stderr)
	}
	for _, s := range []string{"toolkit", "bundle", "archive", "smoke", "publish"} {
		if !regexp.MustCompile(`(?m)^= ` + s + ` .*\(unchanged\)$`).MatchString(again.stderr) {
			t.Errorf("again, stage %s was not taken from the first run:\n%s", s, again.stderr)
		}
	}

	dir := filepath.Join(out, tag)
	file := filepath.Join(dir, asset+".zip")
	t.Run("the directory", func(t *testing.T) { checkDirectory(t, dir) })
	t.Run("the archive", func(t *testing.T) { checkArchive(t, file) })
	t.Run("the package", func(t *testing.T) { checkPackage(t, file) })
	t.Run("the same bytes again", func(t *testing.T) { checkReproducible(t, stage("bundle"), file) })
	t.Run("incomplete packages fail the smoke test", func(t *testing.T) { checkIncomplete(t, file) })
	t.Run("a machine with Debian's base packages alone", func(t *testing.T) { checkBareDebian(t, file) })
}

func checkDirectory(t *testing.T, dir string) {
	want := []string{"SHA256SUMS", "release.json", asset + ".zip"}
	if got := names(t, dir); !slices.Equal(got, want) {
		t.Errorf("the release holds %v, want %v", got, want)
	}
	sums := exec.CommandContext(t.Context(), "sha256sum", "--check", "--strict", "SHA256SUMS")
	sums.Dir = dir
	must(t, sums)
	var rel struct {
		Tag     string
		Partial bool
		Targets []struct {
			Smoke []struct {
				Steps []struct {
					Name, Status string
					Values       map[string]string
				}
			}
		}
	}
	data, err := os.ReadFile(filepath.Join(dir, "release.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &rel); err != nil {
		t.Fatal(err)
	}
	// Its target for Windows is made on another host.
	if rel.Tag != tag || !rel.Partial {
		t.Errorf("release.json says tag %s, partial %t", rel.Tag, rel.Partial)
	}
	_, err = exec.LookPath("nvidia-smi")
	onGPU := map[bool]string{true: "passed", false: "not run"}[err == nil]
	status := map[string]string{}
	for _, s := range rel.Targets[0].Smoke[0].Steps {
		status[s.Name] = s.Status
		if s.Name == "generate" && s.Values["tokens"] != "10" {
			t.Errorf("the smoke test made %s tokens", s.Values["tokens"])
		}
	}
	for name, want := range map[string]string{"version": "passed", "selfcheck": "passed", "generate": "passed", "generate-cuda": onGPU} {
		if status[name] != want {
			t.Errorf("smoke step %s: %s, want %s", name, status[name], want)
		}
	}
}

func checkArchive(t *testing.T, file string) {
	tool(t, "unzip", "-tqq", file)
	list := tool(t, "zipinfo", "-l", file)
	for _, want := range []string{
		`(?m)^-rwxr-xr-x .* 80-Jan-01 00:00 ` + asset + `/bin/tinylm$`,
		`(?m)^-rwxr-xr-x .* 80-Jan-01 00:00 ` + asset + `/bin/tinylm-server$`,
		`(?m)^-rw-r--r-- .* 80-Jan-01 00:00 ` + asset + `/lib/libnvrtc-builtins\.so\.13\.0$`,
		`(?m)^-rw-r--r-- .* ` + asset + `/include/cccl/cuda/std/tuple$`,
		`(?m)^-rw-r--r-- .* ` + asset + `/licenses/nvidia-cublas/License.txt$`,
		`(?m)^-rw-r--r-- .* ` + asset + `/manifest\.json$`,
	} {
		if !regexp.MustCompile(want).MatchString(list) {
			t.Errorf("the archive has no line %s", want)
		}
	}
	if regexp.MustCompile(`libcuda\.so|libnvidia-`).MatchString(list) {
		t.Error("the archive carries a driver library")
	}
}

func checkPackage(t *testing.T, file string) {
	dir := filepath.Join(t.TempDir(), "any where é")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	tool(t, "unzip", "-q", file, "-d", dir)
	root := filepath.Join(dir, asset)

	// The manifest, held against sha256sum.
	var m struct {
		Files []struct{ Path, SHA256, Origin, From string }
	}
	data, err := os.ReadFile(filepath.Join(root, "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &m); err != nil {
		t.Fatal(err)
	}
	var sums strings.Builder
	for _, f := range m.Files {
		sums.WriteString(f.SHA256 + "  " + f.Path + "\n")
	}
	check := exec.CommandContext(t.Context(), "sha256sum", "--check", "--strict", "--quiet", "-")
	check.Dir, check.Stdin = root, strings.NewReader(sums.String())
	must(t, check)
	files := strings.Count(tool(t, "find", root, "-type", "f"), "\n")
	if files != len(m.Files)+1 {
		t.Errorf("the package has %d files, its manifest lists %d", files, len(m.Files))
	}

	dump := cuobjdump(t)
	for _, program := range []string{"tinylm", "tinylm-server"} {
		exe := filepath.Join(root, "bin", program)
		archs := regexp.MustCompile(`sm_\d+a?`).FindAllString(tool(t, dump, "--list-elf", exe), -1)
		slices.Sort(archs)
		if got, want := slices.Compact(archs), []string{"sm_80", "sm_86", "sm_89", "sm_90a"}; !slices.Equal(got, want) {
			t.Errorf("%s has machine code for %v, want %v", program, got, want)
		}
		if ptx := tool(t, dump, "--list-ptx", exe); !strings.Contains(ptx, "sm_90a") {
			t.Errorf("%s has no PTX of 90a:\n%s", program, ptx)
		}
		dynamic := tool(t, "readelf", "-dW", exe)
		if !strings.Contains(dynamic, "Library rpath: [$ORIGIN/../lib]") || strings.Contains(dynamic, "(RUNPATH)") {
			t.Errorf("run path of %s:\n%s", program, dynamic)
		}
		ldd := exec.CommandContext(t.Context(), "ldd", exe)
		ldd.Env = []string{"PATH=/usr/bin:/bin"}
		for _, line := range strings.Split(must(t, ldd), "\n") {
			ours := regexp.MustCompile(`^\s*lib(cu|nv)`).MatchString(line)
			if strings.Contains(line, "not found") || ours && !strings.Contains(line, root) {
				t.Errorf("%s: the loader says %s", program, line)
			}
		}
		bare := exec.CommandContext(t.Context(), exe, "--version")
		bare.Env, bare.Dir = []string{}, "/"
		if got := must(t, bare); got != program+" 0.1.0\n" {
			t.Errorf("%s --version says %q", program, got)
		}
	}
	bare := exec.CommandContext(t.Context(), filepath.Join(root, "bin", "tinylm"), "selfcheck")
	bare.Env, bare.Dir = []string{}, t.TempDir()
	if got := must(t, bare); !strings.Contains(got, "sm_80: ok") || !strings.Contains(got, "sm_90a: ok") || !strings.Contains(got, root+"/include/cccl") {
		t.Errorf("selfcheck without an environment says\n%s", got)
	}
}

// checkReproducible packs a copy of the staged files, made later, elsewhere
// and under another umask.
func checkReproducible(t *testing.T, bundles, file string) {
	staged, err := filepath.Glob(filepath.Join(bundles, "tinylm-*"))
	if err != nil || len(staged) != 1 {
		t.Fatalf("bundles: %v, %v", staged, err)
	}
	elsewhere := filepath.Join(t.TempDir(), "else where")
	tool(t, "sh", "-c", `umask 027 && cp -R "$0" "$1" && find "$1" -exec touch -d '2001-02-03 04:05:06' {} +`, staged[0], elsewhere)
	again := filepath.Join(t.TempDir(), "again.zip")
	f, err := os.Create(again)
	if err != nil {
		t.Fatal(err)
	}
	if err := archive.Write(f, archive.Zip, elsewhere, asset, io.Discard); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	tool(t, "cmp", file, again)
}

// checkIncomplete takes files out of the archive: the smoke test must say
// which.
func checkIncomplete(t *testing.T, file string) {
	for _, test := range []struct{ name, without, says string }{
		{"without the builtins library", `/lib/libnvrtc-builtins\.so`, "libnvrtc-builtins.so.13.0"},
		{"without the CCCL headers", `/include/cccl/`, "cuda/std/tuple"},
		{"without cuBLASLt", `/lib/libcublasLt\.so`, "libcublasLt.so.13"},
	} {
		t.Run(test.name, func(t *testing.T) {
			less := filepath.Join(t.TempDir(), asset+".zip")
			dropFromZip(t, file, less, regexp.MustCompile(test.without))
			r := relmat(t, "smoke", "--archive", less)
			if r.code != 5 || !strings.Contains(r.stderr, test.says) {
				t.Errorf("exit code %d, want 5 and the word %s\n%s\n%s", r.code, test.says, r.stdout, r.stderr)
			}
		})
	}
}

// dropFromZip copies a zip without the entries that match, as they are.
func dropFromZip(t *testing.T, from, to string, without *regexp.Regexp) {
	t.Helper()
	r, err := zip.OpenReader(from)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	f, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := zip.NewWriter(f)
	dropped := 0
	for _, e := range r.File {
		if without.MatchString(e.Name) {
			dropped++
			continue
		}
		if err := w.Copy(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if dropped == 0 {
		t.Fatalf("nothing in %s matches %s", from, without)
	}
}
