package proc

import (
	"os/exec"
	"strconv"
	"strings"
	"syscall"
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
