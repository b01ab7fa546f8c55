package proc

import (
	"os/exec"
	"syscall"
)

// dieWithParent has the kernel end the child when relmat is killed without a
// chance to do so itself.
func dieWithParent(cmd *exec.Cmd) { cmd.SysProcAttr.Pdeathsig = syscall.SIGTERM }
