package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestDist makes relmat's own archives, as its release workflow does, and
// publishes them with the relmat that was packed.
func TestDist(t *testing.T) {
	dir := t.TempDir()
	run := func(name string, args ...string) string {
		t.Helper()
		out, err := exec.Command(name, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	tool := filepath.Join(dir, "dist-tool")
	run("go", "build", "-o", tool, "../../scripts/dist")
	dist := filepath.Join(dir, "dist")
	cmd := exec.Command(tool, "--version", "v9.8.7", dist)
	cmd.Dir = "../.."
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}

	// What file(1) would say, by readelf and the magic numbers of the others.
	unpacked := func(name string) string { return filepath.Join(dir, "unpacked", name) }
	archives, err := filepath.Glob(filepath.Join(dist, "*"))
	if err != nil || len(archives) != 4 {
		t.Fatalf("it made %q, %v", archives, err)
	}
	if err := os.Mkdir(filepath.Join(dir, "unpacked"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, a := range archives {
		if strings.HasSuffix(a, ".zip") {
			run("unzip", "-q", a, "-d", filepath.Join(dir, "unpacked"))
		} else {
			run("tar", "-xzf", a, "-C", filepath.Join(dir, "unpacked"))
		}
		run(relmatBin, "verify", a)
	}
	for name, machine := range map[string]string{"linux-x86_64": "X86-64", "linux-aarch64": "AArch64"} {
		program := unpacked("relmat-9.8.7-" + name + "/relmat")
		if out := run("readelf", "-hl", program); !strings.Contains(out, machine) || strings.Contains(out, "INTERP") {
			t.Errorf("%s is not a static program for %s:\n%s", program, machine, out)
		}
	}
	for file, magic := range map[string]string{
		"relmat-9.8.7-macos-aarch64/relmat":      "\xcf\xfa\xed\xfe\x0c\x00\x00\x01",
		"relmat-9.8.7-windows-x86_64/relmat.exe": "MZ",
	} {
		if data, err := os.ReadFile(unpacked(file)); err != nil || !strings.HasPrefix(string(data), magic) {
			t.Errorf("%s begins with %q, %v", file, data[:min(8, len(data))], err)
		}
	}
	// Licences of a module whose licence asks for them in binaries, and of Go.
	for _, file := range []string{"LICENSE", "licenses/go/LICENSE", "licenses/github.com-google-go-github-v60/LICENSE", "licenses/go.yaml.in-yaml-v3/NOTICE"} {
		if _, err := os.Stat(unpacked("relmat-9.8.7-windows-x86_64/" + file)); err != nil {
			t.Error(err)
		}
	}

	relmat := unpacked("relmat-9.8.7-linux-x86_64/relmat")
	if out := run(relmat, "version"); !strings.HasPrefix(out, "relmat 9.8.7 ") {
		t.Errorf("it says %q", out)
	}
	releases := filepath.Join(dir, "releases")
	run(relmat, append([]string{"publish", "--tag", "v9.8.7", "--to", releases, "--checksums"}, archives...)...)
	sums := exec.Command("sha256sum", "--check", "--strict", "SHA256SUMS")
	sums.Dir = filepath.Join(releases, "v9.8.7")
	if out, err := sums.CombinedOutput(); err != nil || strings.Count(string(out), ": OK\n") != 4 {
		t.Errorf("sha256sum: %v\n%s", err, out)
	}
}

func TestDistRefuses(t *testing.T) {
	for _, args := range [][]string{{}, {"dist"}, {"--version", "1.2", "dist"}, {"--version", "v1.2.3"}, {"--version", "v1.2.3", "--platform", "beos", t.TempDir()}} {
		cmd := exec.Command("go", append([]string{"run", "./scripts/dist"}, args...)...)
		cmd.Dir = "../.."
		if out, err := cmd.CombinedOutput(); err == nil {
			t.Errorf("%q is taken: %s", args, out)
		}
	}
}
