//go:build unix

package proc

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// SameKey tells whether two names of variables are one: on Windows capital and
// small letters are.
func SameKey(a, b string) bool { return a == b }

// What only Windows needs.
func withExtension(path string, _ []string) string { return path }
func workDir(dir string) (string, error)           { return dir, nil }
func prepare(*exec.Cmd) error                      { return nil }

// group is a process group for a child and what it starts. A shell leads it
// that waits for the end of its input: it sees relmat's end, however that
// comes, on every Unix, and then kills the group, so that nothing goes on
// writing where the next run will work. It is there before the child is.
type group struct {
	leader *exec.Cmd
	input  *os.File
}

func newGroup() (*group, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	sh := exec.Command("/bin/sh", "-c", `trap "" HUP INT TERM; read _; kill -s KILL 0`)
	sh.Stdin = r
	// A group of its own: the terminal's Ctrl-C is for relmat alone.
	sh.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := sh.Start(); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return &group{sh, w}, nil
}

// start starts cmd as a member, which is asked to end, with all others, when
// its context does.
func (g *group) start(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pgid: g.leader.Process.Pid}
	cmd.Cancel = func() error { return g.signal(syscall.SIGTERM) }
	return cmd.Start()
}

func (g *group) signal(s syscall.Signal) error { return syscall.Kill(-g.leader.Process.Pid, s) }

// dismiss ends the leader alone, when the child has ended: what it left behind
// on purpose, such as a compiler cache's server, lives on.
func (g *group) dismiss() {
	_ = g.leader.Process.Kill()
	_ = g.leader.Wait()
	_ = g.input.Close()
}

// end dismisses the leader, gives what is left of the group the time until
// deadline to end, then kills it.
func (g *group) end(deadline time.Time) {
	g.dismiss()
	for time.Now().Before(deadline) {
		if errors.Is(g.signal(0), syscall.ESRCH) {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	_ = g.signal(syscall.SIGKILL)
}
