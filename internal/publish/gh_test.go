package publish_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/relmat/relmat/internal/githubtest"
)

// builtGH is gh 2.83.0, built from the Go module proxy. RELMAT_GH names one that
// is there already.
func builtGH(t testing.TB) string {
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

// ghCommand is gh at the server's repository o/r, with a configuration of its
// own.
func ghCommand(ctx context.Context, t testing.TB, gh string, s *githubtest.Server, args ...string) *exec.Cmd {
	t.Helper()
	host, home := strings.TrimPrefix(s.URL, "https://"), t.TempDir()
	cmd := exec.CommandContext(ctx, gh, append(args, "-R", host+"/o/r")...)
	cmd.Dir = home
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + home, "GH_CONFIG_DIR=" + home, "NO_COLOR=1", "GH_NO_UPDATE_NOTIFIER=1",
		"GH_HOST=" + host, "GH_ENTERPRISE_TOKEN=" + githubtest.Token, "SSL_CERT_FILE=" + s.CAFile,
	}
	return cmd
}
