package corpus

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"testing"
)

// tools are the programs that tell the truth; scripts/corpus-tools.sh installs
// them.
var tools = []string{"readelf", "objcopy", "llvm-readobj", "llvm-objdump", "osslsigncode", "openssl"}

// needTools fails where a tool is missing: a comparison with nothing would
// prove nothing.
func needTools(t *testing.T) {
	t.Helper()
	for _, name := range tools {
		if _, err := exec.LookPath(name); err != nil {
			t.Fatalf("%v; as root on Debian, scripts/corpus-tools.sh installs it (packages binutils, llvm and osslsigncode)", err)
		}
	}
}

// output runs a tool that must succeed and returns what it prints.
func output(name string, args ...string) (string, error) {
	out, code, err := run(name, args...)
	if err == nil && code != 0 {
		err = fmt.Errorf("%s %q: exit status %d\n%s", name, args, code, tail(out))
	}
	return out, err
}

// run runs a tool and returns what it prints, errors too, and its exit status.
func run(name string, args ...string) (out string, code int, err error) {
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "TZ=UTC")
	var b bytes.Buffer
	cmd.Stdout, cmd.Stderr = &b, &b
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return b.String(), exit.ExitCode(), nil
	}
	return b.String(), 0, err
}

func tail(s string) string { return s[max(0, len(s)-2000):] }
