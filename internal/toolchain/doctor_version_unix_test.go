//go:build unix

package toolchain_test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/relmat/relmat/internal/toolchain"
)

// TestParseVersionOfCompiler holds the parser against the number that the
// compiler itself compiles with.
func TestParseVersionOfCompiler(t *testing.T) {
	said, err := exec.Command("c++", "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("c++", "-E", "-P", "-x", "c++", "-")
	cmd.Stdin = strings.NewReader("#ifdef __clang__\n__clang_major__\n#else\n__GNUC__\n#endif\n")
	major, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	v, ok := toolchain.ParseVersion(string(said))
	if got, _, _ := strings.Cut(v.Text, "."); !ok || got != strings.TrimSpace(string(major)) {
		t.Errorf("%q is read as version %q, the compiler is of %q", said, v.Text, major)
	}
}
