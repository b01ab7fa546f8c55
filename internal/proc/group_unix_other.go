//go:build unix && !linux

package proc

import "os/exec"

// dieWithParent has no counterpart here: a child that outlives a killed relmat
// holds its own locks, and the next run waits for them.
func dieWithParent(*exec.Cmd) {}
