package githubtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// GH is gh 2.83.0, built from the Go module proxy. RELMAT_GH names one that
// is there already.
func GH(t testing.TB) string {
	t.Helper()
	if gh := os.Getenv("RELMAT_GH"); gh != "" {
		return gh
	}
	dir := t.TempDir()
	mod := "module gh\n\ngo 1.26\n\nrequire github.com/cli/cli/v2 v2.83.0\n"
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte(mod), 0o644); err != nil {
		t.Fatal(err)
	}
	gh := filepath.Join(dir, "gh.exe")
	cmd := exec.Command("go", "build", "-o", gh, "github.com/cli/cli/v2/cmd/gh")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building gh: %v\n%s", err, out)
	}
	return gh
}
