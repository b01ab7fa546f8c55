//go:build unix

package proc

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// childVar makes the test binary play a relmat that runs a command: its value
// is the script.
const childVar = "PROC_TEST_CHILD"

func childRun() {
	c := sh(os.Getenv(childVar))
	c.Stderr = func(line string) { fmt.Println(line) }
	if err := c.Run(context.Background()); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	os.Exit(0)
}

func parsePID(t *testing.T, s string) int {
	t.Helper()
	pid, err := strconv.Atoi(s)
	if err != nil {
		t.Fatalf("%q is no process id", s)
	}
	return pid
}

// alive tells whether the process runs; one that has ended, but that nobody has
// waited for, does not.
func alive(pid int) bool {
	out, err := exec.Command("ps", "-o", "stat=", "-p", strconv.Itoa(pid)).Output()
	return err == nil && !bytes.HasPrefix(bytes.TrimSpace(out), []byte("Z"))
}

// wantGone waits a little for the processes to end.
func wantGone(t *testing.T, pids ...int) {
	t.Helper()
	for _, pid := range pids {
		deadline := time.Now().Add(5 * time.Second)
		for alive(pid) {
			if time.Now().After(deadline) {
				t.Errorf("process %d still runs", pid)
				if p, err := os.FindProcess(pid); err == nil {
					_ = p.Kill()
				}
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
}

// family runs the script, which says "pid N" for each process of interest and
// then "ready", and cancels it. It returns the processes, Run's error, and how
// long Run took from the cancel on.
func family(t *testing.T, script string) (pids []int, took time.Duration, err error) {
	t.Helper()
	if _, err := exec.LookPath("ps"); err != nil {
		t.Fatalf("ps (procps) is needed: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var start time.Time
	c := sh(script)
	c.Stderr = func(line string) {
		if pid, ok := strings.CutPrefix(line, "pid "); ok {
			pids = append(pids, parsePID(t, pid))
		}
		if line == "ready" {
			for _, pid := range pids {
				if !alive(pid) {
					t.Errorf("process %d has ended before the cancel", pid)
				}
			}
			start = time.Now()
			cancel()
		}
	}
	err = c.Run(ctx)
	if len(pids) == 0 {
		t.Fatalf("the script did not start: %v", err)
	}
	return pids, time.Since(start), err
}

func TestCancelEndsTheGroup(t *testing.T) {
	tests := []struct {
		name, script string
		slow         bool // needs the kill after the grace
	}{
		{"a child", `echo "pid $$"; echo ready; exec sleep 60`, false},
		{"a grandchild", `sleep 60 & echo "pid $!"; echo "pid $$"; echo ready; wait`, false},
		{"a grandchild without our output", `sleep 60 >/dev/null 2>&1 & echo "pid $!"; echo ready; wait`, false},
		{"a great-grandchild", `sh -c 'sleep 60 & echo "pid $!"; echo ready; wait' & wait`, false},
		{"a child that ignores the signal", `trap "" TERM; echo "pid $$"; echo ready; while :; do sleep 0.05; done`, true},
		{
			"a grandchild that ignores the signal",
			`sh -c 'trap "" TERM; echo "pid $$"; echo ready; while :; do sleep 0.05; done' & wait`, true,
		},
		{
			"a grandchild that ignores the signal, without our output",
			`sh -c 'trap "" TERM; echo "pid $$"; echo ready; exec >/dev/null 2>&1; while :; do sleep 0.05; done' & wait`, true,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			pids, took, err := family(t, tt.script)
			// Nothing may go on writing once Run has returned; the kernel
			// needs a moment to carry out a kill.
			wantGone(t, pids...)
			if !errors.Is(err, context.Canceled) {
				t.Errorf("error %v, want context.Canceled", err)
			}
			if tt.slow && took < grace {
				t.Errorf("killed after %v, before the grace", took)
			}
			if took > 10*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}

// A child that cleans up on the signal gets the time to do so, and its last
// words are shown.
func TestCancelLetsTheChildCleanUp(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("the user pressed Ctrl-C")
	c := sh(`trap 'sleep 0.1; echo cleaned up; exit 0' TERM; echo ready; while :; do sleep 0.02; done`)
	c.Stderr = func(line string) {
		if line == "ready" {
			cancel(why)
		}
	}
	err := c.Run(ctx)
	var perr *Error
	if !errors.As(err, &perr) || !errors.Is(err, why) || perr.Code != -1 {
		t.Errorf("error %v, want the cause", err)
	} else if perr.Tail[len(perr.Tail)-1] != "cleaned up" {
		t.Errorf("tail %q", perr.Tail)
	}
}

func TestCancelledBeforeTheStart(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c := sh("echo ran")
	c.Stderr = func(line string) { t.Errorf("it ran: %s", line) }
	if err := c.Run(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

// When relmat itself is killed, what it had started does not go on.
func TestKilledParent(t *testing.T) {
	for name, script := range map[string]string{
		"a child":      `echo "pid $$"; echo ready; exec sleep 60`,
		"a grandchild": `trap "" TERM HUP; sleep 60 & echo "pid $!"; echo "pid $$"; echo ready; wait; sleep 60`,
	} {
		t.Run(name, func(t *testing.T) {
			exe, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			relmat := exec.Command(exe)
			relmat.Env = append(os.Environ(), childVar+"="+script)
			out, err := relmat.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := relmat.Start(); err != nil {
				t.Fatal(err)
			}
			var pids []int
			for lines := bufio.NewScanner(out); lines.Scan() && lines.Text() != "ready"; {
				pids = append(pids, parsePID(t, strings.TrimPrefix(lines.Text(), "pid ")))
			}
			if len(pids) == 0 {
				t.Error("the script did not start")
			}
			_ = relmat.Process.Kill()
			_ = relmat.Wait()
			wantGone(t, pids...)
		})
	}
}
