package sign

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/relmat/relmat/internal/matrix"
)

// A variable in other letters is the same one, and as secret.
func TestPassInOtherLetters(t *testing.T) {
	cmd := filepath.Join(os.Getenv("SystemRoot"), "system32", "cmd.exe")
	tool, err := Open(Options{
		Sign: matrix.Sign{Tool: "command", Command: []string{cmd}, Pass: []string{"azure_client_secret"}}, OS: "windows",
		Env: []string{"PATH=" + os.Getenv("PATH"), "SystemRoot=" + os.Getenv("SystemRoot"), "AZURE_CLIENT_SECRET=s3cr3t-value"}, Secrets: &Secrets{},
	})
	if err != nil {
		t.Fatal(err)
	}
	out, err := tool.run(t.Context(), call{program: cmd, args: []string{"/c", "set"}})
	if err != nil || !strings.Contains(out, "AZURE_CLIENT_SECRET=") || strings.Contains(out, "s3cr3t") {
		t.Errorf("%v; the tool's environment:\n%s", err, out)
	}
}
