// Package release_test releases the sample's Windows target from Linux, and
// looks at what came out with tools that are not relmat's, and with Wine. It
// needs what scripts/windows-tools.sh installs, in the environment that the
// script writes down, and takes minutes.
package release_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

const (
	target = "windows-x86_64-cuda13"
	tag    = "v0.1.0-test"
	// asset says by its last word that MinGW made it.
	asset = "tinylm-0.1.0-" + target + "-gnu"
	// budget is what GitHub takes: assets below 2 GiB.
	budget = 2 << 30
)

var relmatBin string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "relmat-windows-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	relmatBin = filepath.Join(dir, "relmat")
	code := 1
	if out, err := exec.Command("go", "build", "-o", relmatBin, "../../../cmd/relmat").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building relmat: %v\n%s", err, out)
	} else {
		code = m.Run()
	}
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// result is how a command ended.
type result struct {
	stdout, stderr string
	code           int
}

// relmat is a command of relmat on the sample. RELMAT_STATE names a state that
// an earlier run left, to go on from there.
func relmat(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	config, err := filepath.Abs("../../../examples/tinylm/targets.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return exec.CommandContext(t.Context(), relmatBin, append([]string{"--config", config, "--progress", "plain"}, args...)...)
}

func run(t *testing.T, cmd *exec.Cmd) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.Is(err, exec.ErrNotFound) {
		t.Fatalf("%v: run scripts/windows-tools.sh, or make test-windows", err)
	}
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v", cmd, err)
	}
	return result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// must runs a command that has to end well and returns its stdout.
func must(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	r := run(t, cmd)
	if r.code != 0 {
		t.Fatalf("%s: exit code %d\n%s\n%s", cmd, r.code, r.stdout, r.stderr)
	}
	return r.stdout
}

// tool is must for a tool that is not ours.
func tool(t *testing.T, name string, args ...string) string {
	t.Helper()
	return must(t, exec.CommandContext(t.Context(), name, args...))
}

// wine runs a program for Windows in dir, on the drive that
// scripts/windows-tools.sh made.
func wine(t *testing.T, dir, exe string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "wine", append([]string{exe}, args...)...)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "WINEDEBUG=-all"}
	return run(t, cmd)
}
