//go:build unix

package proc

import (
	"os/exec"
	"syscall"
	"time"
)

func sameKey(a, b string) bool { return a == b }

// ownGroup puts the child and what it starts into a process group of their
// own, which is asked to end with the context, then killed.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	dieWithParent(cmd)
	cmd.Cancel = func() error {
		pid := cmd.Process.Pid
		err := syscall.Kill(-pid, syscall.SIGTERM)
		// Wait reaps only the leader; the timer is for the rest of the group.
		time.AfterFunc(grace, func() { _ = syscall.Kill(-pid, syscall.SIGKILL) })
		return err
	}
}
