package proc

import (
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func sameKey(a, b string) bool { return strings.EqualFold(a, b) }

// group has no leader here yet: the children of a killed relmat live on, as
// docs/limits.md says.
type group struct{}

func newGroup() (*group, error) { return &group{}, nil }

// add keeps the console's Ctrl-C from reaching the child twice; taskkill ends
// the child with everything it started.
func (*group) add(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{CreationFlags: syscall.CREATE_NEW_PROCESS_GROUP}
	cmd.Cancel = func() error {
		return exec.Command("taskkill", "/T", "/F", "/PID", strconv.Itoa(cmd.Process.Pid)).Run()
	}
}

func (*group) dismiss() {}

// end has nothing left to do: taskkill ended the whole tree.
func (*group) end(time.Time) {}
