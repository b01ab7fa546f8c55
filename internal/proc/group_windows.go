package proc

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func sameKey(a, b string) bool { return strings.EqualFold(a, b) }

// ownGroup keeps the console's Ctrl-C from reaching the child twice; taskkill
// ends the child with everything it started.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{CreationFlags: syscall.CREATE_NEW_PROCESS_GROUP}
	cmd.Cancel = func() error {
		return exec.Command("taskkill", "/T", "/F", "/PID", strconv.Itoa(cmd.Process.Pid)).Run()
	}
}

// guard has no counterpart of the Unix one yet; docs/limits.md says so.
func guard(*os.Process) (dismiss func(), err error) { return func() {}, nil }

// endGroup has nothing left to do: taskkill ends the whole tree.
func endGroup(*os.Process, time.Time) {}
