package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestToolkitSurvivesKill fetches the toolkit into an empty cache and kills
// relmat while wheels arrive and while they are laid out.
func TestToolkitSurvivesKill(t *testing.T) {
	cache := t.TempDir()
	fetch := []string{"--cache", cache, "toolkit", "fetch"}

	killAt(t, 10*time.Minute, hasBytes(filepath.Join(cache, "wheels", ".*.partial-*"), 60<<20), fetch...)
	noProcess(t, cache)
	wheelsWhole(t, cache)
	if got := names(t, filepath.Join(cache, "toolkits")); len(got) != 0 {
		t.Errorf("a toolkit stands before all wheels were there: %v", got)
	}

	killAt(t, 10*time.Minute, hasBytes(filepath.Join(cache, "toolkits", ".*.partial-*"), 100<<20), fetch...)
	wheelsWhole(t, cache)
	if got := names(t, filepath.Join(cache, "toolkits")); len(got) != 0 {
		t.Errorf("a toolkit stands that was not laid out: %v", got)
	}

	home := strings.TrimSpace(must(t, command(t, fetch...)))
	noPartials(t, cache)
	if out := tool(t, filepath.Join(home, "bin", "nvcc"), "--version"); !strings.Contains(out, "release 13.0") {
		t.Errorf("nvcc --version:\n%s", out)
	}

	again := relmat(t, fetch...)
	if again.code != 0 || !strings.Contains(again.stderr, "(unchanged)") {
		t.Errorf("fetching again: exit code %d\n%s", again.code, again.stderr)
	}

	// A cache cleaner took one file: the toolkit is done again.
	lib := filepath.Join(home, "lib", "libcudart.so.13")
	if err := os.Remove(lib); err != nil {
		t.Fatal(err)
	}
	mended := relmat(t, fetch...)
	if mended.code != 0 || !strings.Contains(mended.stderr, "libcudart.so.13 is missing") {
		t.Errorf("fetching a damaged toolkit: exit code %d\n%s", mended.code, mended.stderr)
	}
	if _, err := os.Stat(lib); err != nil {
		t.Error(err)
	}
}

// wheelsWhole checks that every wheel under a final name is the one that the
// lock file pins.
func wheelsWhole(t *testing.T, cache string) {
	t.Helper()
	data, err := os.ReadFile(sample(t, "cuda13.lock.json"))
	if err != nil {
		t.Fatal(err)
	}
	var lock struct {
		Platforms map[string][]struct{ File, SHA256 string }
	}
	if err := json.Unmarshal(data, &lock); err != nil {
		t.Fatal(err)
	}
	pinned := map[string]string{}
	for _, wheels := range lock.Platforms {
		for _, w := range wheels {
			pinned[w.File] = w.SHA256
		}
	}
	for _, name := range names(t, filepath.Join(cache, "wheels")) {
		data, err := os.ReadFile(filepath.Join(cache, "wheels", name))
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(data)
		_, file, _ := strings.Cut(name, "-")
		if pinned[file] != hex.EncodeToString(sum[:]) {
			t.Errorf("%s under its final name is not the pinned wheel", name)
		}
	}
}

// cuobjdump returns the path of NVIDIA's cuobjdump, out of its own wheel.
func cuobjdump(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "python3", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps",
		"--require-hashes", "--target", dir, "-r", "requirements.txt")
	must(t, cmd)
	return filepath.Join(dir, "nvidia", "cu13", "bin", "cuobjdump")
}
