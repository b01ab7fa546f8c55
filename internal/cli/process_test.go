//go:build unix

// Signals, and a build script of real Cargo; process_windows_test.go has what
// Windows has in their place.
package cli_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds every wait for a process; it is reached only by a failure.
const patience = 60 * time.Second

// project is a copy of the tiny Cargo project with a build script that lasts
// for as long as a file called slow is there, and with a file so large that
// every stage takes a while over it.
type project struct {
	dir, temp, out string
	env            []string
}

const slowBuildScript = `use std::{env, fs, path::Path, process, thread, time::Duration};
fn main() {
    println!("cargo:rerun-if-changed=slow");
    let dir = env::var("CARGO_MANIFEST_DIR").unwrap();
    fs::write(Path::new(&dir).join("pid"), process::id().to_string()).unwrap();
    while Path::new(&dir).join("slow").exists() {
        thread::sleep(Duration::from_millis(10));
    }
}
`

func newProject(t *testing.T) *project {
	t.Helper()
	root := t.TempDir()
	p := &project{dir: filepath.Join(root, "project"), temp: filepath.Join(root, "temp"), out: filepath.Join(root, "out")}
	env, err := scriptEnv(filepath.Join(root, "home"))
	if err != nil {
		t.Fatal(err)
	}
	p.env = append(env, "TMPDIR="+p.temp)
	if err := copyProject(p.dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(p.temp, 0o755); err != nil {
		t.Fatal(err)
	}
	p.write(t, "build.rs", slowBuildScript)
	big := make([]byte, 16<<20)
	_, _ = rand.Read(big) // no archive makes it smaller
	p.write(t, "big.bin", string(big))
	path := filepath.Join(p.dir, "targets.yaml")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const license = "      - {source: LICENSE, to: LICENSE}\n"
	text := strings.Replace(string(data), license, license+"      - {source: big.bin, to: big.bin}\n", 1)
	p.write(t, "targets.yaml", text)
	return p
}

func (p *project) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(p.dir, name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func (p *project) remove(t *testing.T, name string) {
	t.Helper()
	if err := os.Remove(filepath.Join(p.dir, name)); err != nil {
		t.Fatal(err)
	}
}

// process is a running relmat.
type process struct {
	*exec.Cmd
	stdout, stderr safeBuffer
	ended          chan error
}

// safeBuffer can be read while a process writes.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// release starts `relmat release` on the project.
func (p *project) release(t *testing.T) *process {
	t.Helper()
	return p.start(t, "release", "--to", p.out, "--skip-commit-check")
}

// start starts relmat in the project.
func (p *project) start(t *testing.T, args ...string) *process {
	t.Helper()
	r := &process{Cmd: exec.Command("relmat", args...), ended: make(chan error, 1)}
	r.Dir, r.Env = p.dir, p.env
	r.Stdout, r.Stderr = &r.stdout, &r.stderr
	r.WaitDelay = patience
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { r.ended <- r.Wait() }()
	t.Cleanup(func() { _ = r.Process.Kill() })
	return r
}

// code waits for the end of the process and returns its exit code, -1 for one
// that was killed.
func (r *process) code(t *testing.T) int {
	t.Helper()
	select {
	case err := <-r.ended:
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		return r.ProcessState.ExitCode()
	case <-time.After(patience):
		t.Fatalf("relmat still runs; it said\n%s", r.stderr.String())
		return 0
	}
}

// until waits for a condition while the process runs.
func (r *process) until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(200 * time.Microsecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s; relmat said\n%s", what, r.stderr.String())
		}
		select {
		case err := <-r.ended:
			t.Fatalf("relmat ended (%v) before %s; it said\n%s", err, what, r.stderr.String())
		default:
		}
	}
}

// buildScript is the process of the build script, 0 before it runs.
func (p *project) buildScript() int {
	data, err := os.ReadFile(filepath.Join(p.dir, "pid"))
	if err != nil {
		return 0
	}
	pid, _ := strconv.Atoi(string(data))
	return pid
}

// runs tells whether the process does; one that nobody has waited for yet does
// not.
func runs(pid int) bool {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && !strings.Contains(string(data), ") Z ")
}

// wantEnded waits until the build script does not run any more.
func wantEnded(t *testing.T, pid int) {
	t.Helper()
	for deadline := time.Now().Add(patience); runs(pid); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the build script, process %d, outlives relmat", pid)
		}
	}
}

// partials lists what is unfinished below the directories.
func partials(t *testing.T, dirs ...string) []string {
	t.Helper()
	var found []string
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if strings.Contains(filepath.Base(path), ".partial-") || strings.Contains(filepath.Base(path), ".replaced-") {
				found = append(found, path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return found
}

// checkPublished has other tools judge the release.
func (p *project) checkPublished(t *testing.T) {
	t.Helper()
	dir := filepath.Join(p.out, "v0.1.0")
	for _, args := range [][]string{{"sha256sum", "--check", "--strict", "SHA256SUMS"}, {"unzip", "-tq", "tiny-0.1.0-linux.zip"}} {
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	if found := partials(t, filepath.Join(p.dir, ".relmat"), p.out); found != nil {
		t.Errorf("unfinished files are left: %q", found)
	}
	if found, err := filepath.Glob(filepath.Join(p.temp, "relmat*")); err != nil || found != nil {
		t.Errorf("directories of smoke tests are left: %q, %v", found, err)
	}
}

func TestInterrupted(t *testing.T) {
	t.Parallel()
	p := newProject(t)
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		p.write(t, "slow", "")
		r := p.release(t)
		r.until(t, "the build script", func() bool { return p.buildScript() != 0 })
		script := p.buildScript()
		if err := r.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		if code := r.code(t); code != 130 {
			t.Errorf("%v: the exit code is %d, want 130; it said\n%s", sig, code, r.stderr.String())
		}
		if said := r.stderr.String(); !strings.Contains(said, "\nrelmat: target linux: ") || !strings.Contains(said, "interrupted") || strings.Contains(said, "Usage:") {
			t.Errorf("%v: it said\n%s", sig, said)
		}
		wantEnded(t, script)
		p.remove(t, "slow")
		p.remove(t, "pid")
	}
	r := p.release(t)
	if code := r.code(t); code != 0 {
		t.Fatalf("the run after it: exit code %d\n%s", code, r.stderr.String())
	}
	p.checkPublished(t)
}

// TestInterruptedAtAPipe ends relmat while it waits for somebody to write the
// matrix.
func TestInterruptedAtAPipe(t *testing.T) {
	t.Parallel()
	p := newProject(t)
	pipe := filepath.Join(p.temp, "matrix")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	start := func() *process { return p.start(t, "config", "--config", pipe) }
	r := start()
	var writer *os.File
	r.until(t, "it has opened the pipe", func() (ok bool) {
		var err error
		writer, err = os.OpenFile(pipe, os.O_WRONLY|syscall.O_NONBLOCK, 0)
		return err == nil
	})
	if err := r.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := r.code(t); code != 130 {
		t.Errorf("the exit code is %d, want 130; it said\n%s", code, r.stderr.String())
	}
	_ = writer.Close()
	data, err := os.ReadFile(filepath.Join(p.dir, "targets.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	r = start()
	if err := os.WriteFile(pipe, data, 0); err != nil {
		t.Fatal(err)
	}
	if code := r.code(t); code != 0 || !strings.HasPrefix(r.stdout.String(), "linux\n") {
		t.Errorf("a matrix out of a pipe: exit code %d\n%s%s", code, r.stdout.String(), r.stderr.String())
	}
}

// TestKilled kills relmat in one stage after the other, without a chance to
// tidy up. Each further run gets through the stage in which the one before it
// was killed.
func TestKilled(t *testing.T) {
	t.Parallel()
	p := newProject(t)
	state := filepath.Join(p.dir, ".relmat", "linux")

	p.write(t, "slow", "")
	r := p.release(t)
	r.until(t, "the build script", func() bool { return p.buildScript() != 0 })
	script := p.buildScript()
	r.kill(t)
	wantEnded(t, script)
	p.remove(t, "slow")

	for _, stage := range []struct{ name, partial, final string }{
		{"bundle", filepath.Join(state, "bundle", ".*partial-*", "*"), filepath.Join(state, "bundle", "tiny-*")},
		{"archive", filepath.Join(state, "archive", ".*partial-*", "*"), filepath.Join(state, "archive", "tiny-*")},
		{"smoke", filepath.Join(p.temp, "relmat*", "package", "*"), filepath.Join(state, "smoke", "tiny-*")},
		{"publish", filepath.Join(p.out, ".*partial-*", "*"), filepath.Join(p.out, "v*")},
	} {
		p.killIn(t, stage.name, stage.partial, stage.final)
	}
	r = p.release(t)
	if code := r.code(t); code != 0 {
		t.Fatalf("the last run: exit code %d\n%s", code, r.stderr.String())
	}
	if said := r.stdout.String(); !strings.HasPrefix(said, "published: ") {
		t.Errorf("the last run said %q", said)
	}
	p.checkPublished(t)
}

func (r *process) kill(t *testing.T) {
	t.Helper()
	if err := r.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if code := r.code(t); code != -1 {
		t.Fatalf("the killed relmat ended with exit code %d", code)
	}
}

// killIn starts relmat and kills it while something unfinished is there and
// the final name is not. A machine that is busy elsewhere may let the moment
// pass; then it is tried again.
func (p *project) killIn(t *testing.T, stage, partial, final string) {
	t.Helper()
	glob := func(pattern string) []string {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	for range 10 {
		r := p.release(t)
		r.until(t, "the stage "+stage, func() bool { return len(glob(partial))+len(glob(final)) > 0 })
		r.kill(t)
		finals := glob(final)
		if finals == nil && glob(partial) != nil {
			return
		}
		for _, f := range finals {
			if err := os.RemoveAll(f); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Fatalf("relmat was never caught in the stage %s", stage)
}

// TestTwoAtOnce starts a second release of the target while the first is in
// its build: it waits, and finds everything done.
func TestTwoAtOnce(t *testing.T) {
	t.Parallel()
	p := newProject(t)
	p.write(t, "slow", "")
	first := p.release(t)
	first.until(t, "the build script", func() bool { return p.buildScript() != 0 })
	second := p.release(t)
	second.until(t, "its wait", func() bool {
		return strings.Contains(second.stderr.String(), "another relmat works on linux; waiting for it")
	})
	p.remove(t, "slow")
	for i, r := range []*process{first, second} {
		if code := r.code(t); code != 0 {
			t.Errorf("run %d: exit code %d\n%s", i+1, code, r.stderr.String())
		}
	}
	// The first lets go of the target before it publishes, so either may.
	said := first.stdout.String() + second.stdout.String()
	if strings.Count(said, "published: ") != 1 || strings.Count(said, "unchanged: ") != 1 {
		t.Errorf("they said\n%s", said)
	}
	if n := strings.Count(second.stderr.String(), "(unchanged)"); n < 3 {
		t.Errorf("the second run did the work again:\n%s", second.stderr.String())
	}
	p.checkPublished(t)
}
