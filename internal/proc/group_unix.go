//go:build unix

package proc

import (
	"errors"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"
)

func sameKey(a, b string) bool { return a == b }

// ownGroup puts the child and what it starts into a process group of their
// own, which is asked to end with the context.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
}

// guard ends the child's group when relmat is killed without a chance to do so
// itself: what goes on writing would meet the next run. The shell that waits
// for the end of its input sees relmat's end, however it comes, on every Unix.
// dismiss is called when the child has ended; what it left behind on purpose,
// such as a compiler cache's server, then lives on.
func guard(child *os.Process) (dismiss func(), err error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	sh := exec.Command("/bin/sh", "-c", "read _; kill -s KILL -- -"+strconv.Itoa(child.Pid))
	sh.Stdin = r
	// Not in the terminal's foreground group: Ctrl-C is not for it.
	sh.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	err = sh.Start()
	_ = r.Close()
	if err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return func() {
		_ = sh.Process.Kill()
		_ = sh.Wait()
		_ = w.Close()
	}, nil
}

// endGroup gives what is left of a cancelled child's group the time until
// deadline to end, then kills it.
func endGroup(child *os.Process, deadline time.Time) {
	for time.Now().Before(deadline) {
		if errors.Is(syscall.Kill(-child.Pid, 0), syscall.ESRCH) {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	_ = syscall.Kill(-child.Pid, syscall.SIGKILL)
}
