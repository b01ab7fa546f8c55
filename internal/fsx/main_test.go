package fsx_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/relmat/relmat/internal/fsx"
)

// childVar makes the test binary play another process: its value names the
// part, the arguments follow on the command line.
const childVar = "FSX_TEST_CHILD"

// children are the parts. Each says "ready" when it is where the test wants it
// and then waits for the end of its input.
var children = map[string]func(args []string) error{
	"write": childWrite,
	"build": childBuild,
	"lock":  childLock,
}

func TestMain(m *testing.M) {
	if part := os.Getenv(childVar); part != "" {
		if err := children[part](os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func ready() {
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// childWrite is in the middle of writing args[0].
func childWrite(args []string) error {
	return fsx.WriteTo(args[0], 0o644, func(w io.Writer) error {
		if _, err := io.WriteString(w, "half of the new"); err != nil {
			return err
		}
		ready()
		_, err := io.WriteString(w, ", and the rest")
		return err
	})
}

// childBuild is in the middle of replacing the directory args[0].
func childBuild(args []string) error {
	return fsx.BuildDir(args[0], true, func(tmp string) error {
		if err := os.WriteFile(filepath.Join(tmp, "file"), []byte("new"), 0o644); err != nil {
			return err
		}
		ready()
		return nil
	})
}

// childLock holds the lock args[0].
func childLock(args []string) error {
	unlock, err := fsx.Lock(context.Background(), args[0], nil)
	if err != nil {
		return err
	}
	ready()
	unlock()
	return nil
}

// child is a running part. Closing its input lets it go on.
type child struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
}

// startChild starts a part and waits until it is ready.
func startChild(t *testing.T, part string, args ...string) child {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := child{cmd: exec.Command(exe, args...)}
	c.cmd.Env = append(os.Environ(), childVar+"="+part)
	c.cmd.Stderr = os.Stderr
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	stdout, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.cmd.Process.Kill()
		_ = c.cmd.Wait()
	})
	if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "ready\n" {
		t.Fatalf("the child said %q: %v", line, err)
	}
	return c
}

// kill ends the child by SIGKILL, which it cannot answer.
func (c child) kill(t *testing.T) {
	t.Helper()
	if err := c.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = c.cmd.Wait()
}

// finish lets the child go on to its end.
func (c child) finish(t *testing.T) {
	t.Helper()
	if err := c.stdin.Close(); err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Wait(); err != nil {
		t.Fatalf("the child failed: %v", err)
	}
}

// names lists what is in dir, hidden files included.
func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

// wantNames fails unless dir holds exactly these names.
func wantNames(t *testing.T, dir string, want ...string) {
	t.Helper()
	slices.Sort(want)
	if got := names(t, dir); !slices.Equal(got, want) {
		t.Errorf("%s holds %q, want %q", filepath.Base(dir), got, want)
	}
}

// wantPartial fails unless dir holds the names and one partial beside them.
func wantPartial(t *testing.T, dir string, want ...string) {
	t.Helper()
	var rest []string
	partials := 0
	for _, n := range names(t, dir) {
		if fsx.IsPartial(n) {
			partials++
		} else {
			rest = append(rest, n)
		}
	}
	if partials != 1 || !slices.Equal(rest, want) {
		t.Errorf("%s holds %d partials and %q, want 1 and %q", filepath.Base(dir), partials, rest, want)
	}
}

func wantContent(t *testing.T, path, want string) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Error(err)
	} else if string(got) != want {
		t.Errorf("%s holds %q, want %q", filepath.Base(path), got, want)
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// wantError fails unless err says all of the words.
func wantError(t *testing.T, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("no error, want one with %q", words)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %q does not say %q", err, w)
		}
	}
}
