package publish_test

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/relmat/relmat/internal/githubtest"
)

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
