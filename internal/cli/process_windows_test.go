package cli_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/windows"
)

// patience bounds every wait for a process; it is reached only by a failure.
const patience = 60 * time.Second

// releasing is a `relmat release` whose compiler is at work.
type releasing struct {
	*exec.Cmd
	dir      string
	said     bytes.Buffer
	compiler int
}

func release(t *testing.T) *releasing {
	t.Helper()
	root := t.TempDir()
	env, err := scriptEnv(filepath.Join(root, "home"))
	if err != nil {
		t.Fatal(err)
	}
	r := &releasing{Cmd: exec.Command("relmat", "release", "--to", filepath.Join(root, "out"), "--skip-commit-check"), dir: filepath.Join(root, "project")}
	if err := copyProject(r.dir); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(r.dir, "slow"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	r.Dir, r.Env = r.dir, append(os.Environ(), env...)
	r.Stderr = &r.said
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(patience); r.compiler == 0; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			_ = r.Process.Kill()
			_ = r.Wait()
			t.Fatalf("the compiler does not start; relmat said\n%s", r.said.String())
		}
		data, _ := os.ReadFile(filepath.Join(r.dir, "pid"))
		r.compiler, _ = strconv.Atoi(string(data))
	}
	if !runs(r.compiler) {
		t.Errorf("the compiler, process %d, does not run", r.compiler)
	}
	return r
}

func runs(pid int) bool {
	h, err := windows.OpenProcess(windows.SYNCHRONIZE, false, uint32(pid))
	if err != nil {
		return false
	}
	defer windows.CloseHandle(h)
	event, err := windows.WaitForSingleObject(h, 0)
	return err == nil && event == uint32(windows.WAIT_TIMEOUT)
}

// wantEnded waits until the compiler, a grandchild, does not run any more.
func (r *releasing) wantEnded(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(patience); runs(r.compiler); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the compiler, process %d, outlives relmat", r.compiler)
		}
	}
}

func TestKilled(t *testing.T) {
	r := release(t)
	_ = r.Process.Kill()
	_ = r.Wait()
	r.wantEnded(t)
}
