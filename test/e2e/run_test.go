// Package e2e releases the sample program for real, and looks at what came out
// with tools that are not relmat's. It needs a network, Cargo, CMake, Ninja, a
// C++ compiler and Python with pip, and takes minutes.
package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	target = "linux-x86_64-cuda13"
	tag    = "v0.1.0-test"
	asset  = "tinylm-0.1.0-" + target
)

var relmatBin string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "relmat-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	relmatBin = filepath.Join(dir, "relmat")
	code := 1
	if out, err := exec.Command("go", "build", "-o", relmatBin, "../../cmd/relmat").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building relmat: %v\n%s", err, out)
	} else {
		code = m.Run()
	}
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// sample is the path of a file of the sample program.
func sample(t *testing.T, elem ...string) string {
	t.Helper()
	p, err := filepath.Abs(filepath.Join(append([]string{"..", "..", "examples", "tinylm"}, elem...)...))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// result is how a command ended.
type result struct {
	stdout, stderr string
	code           int
}

// relmat runs relmat on the sample.
func relmat(t *testing.T, args ...string) result {
	t.Helper()
	return run(t, command(t, args...))
}

func command(t *testing.T, args ...string) *exec.Cmd {
	return exec.CommandContext(t.Context(), relmatBin, append([]string{"--config", sample(t, "targets.yaml"), "--progress", "plain"}, args...)...)
}

func run(t *testing.T, cmd *exec.Cmd) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
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

// killAt starts relmat and kills it, as kill -9 does, at the moment when
// reached is true.
func killAt(t *testing.T, limit time.Duration, reached func() bool, args ...string) {
	t.Helper()
	cmd := command(t, args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for !reached() {
		select {
		case err := <-ended:
			t.Fatalf("relmat ended before the moment to kill it came: %v\n%s", err, out.String())
		case <-ctx.Done():
			_ = cmd.Process.Kill()
			<-ended
			t.Fatalf("the moment to kill relmat did not come within %s\n%s", limit, out.String())
		case <-time.After(time.Millisecond):
		}
	}
	if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-ended
	if cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("relmat ended by itself: %s\n%s", cmd.ProcessState, out.String())
	}
}

// exists returns a condition: a path matches the pattern.
func exists(pattern string) func() bool {
	return func() bool {
		found, err := filepath.Glob(pattern)
		return err == nil && len(found) > 0
	}
}

// hasBytes returns a condition: the files that match the pattern, or lie below
// what does, hold at least n bytes.
func hasBytes(pattern string, n int64) func() bool {
	return func() bool {
		found, _ := filepath.Glob(pattern)
		var sum int64
		for _, root := range found {
			_ = filepath.WalkDir(root, func(_ string, d fs.DirEntry, err error) error {
				if err == nil && d.Type().IsRegular() {
					if info, err := d.Info(); err == nil {
						sum += info.Size()
					}
				}
				return nil // files come and go
			})
		}
		return sum >= n
	}
}

// names lists the entries of a directory that are not hidden; a missing one
// has none.
func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	var list []string
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") {
			list = append(list, e.Name())
		}
	}
	return list
}

// noPartials fails for everything below dir that is still being written.
func noPartials(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(p string, _ fs.DirEntry, err error) error {
		if err == nil && strings.Contains(filepath.Base(p), ".partial-") {
			t.Errorf("%s is left over", p)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// noProcess fails if a process that names dir lives on for longer than a
// killed run's children may.
func noProcess(t *testing.T, dir string) {
	t.Helper()
	var alive []string
	for range 50 {
		alive = nil
		lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
		for _, path := range lines {
			text, err := os.ReadFile(path)
			if err == nil && bytes.Contains(text, []byte(dir)) {
				alive = append(alive, strings.ReplaceAll(string(text), "\x00", " "))
			}
		}
		if len(alive) == 0 {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Errorf("processes of the killed run live on:\n%s", strings.Join(alive, "\n"))
}
