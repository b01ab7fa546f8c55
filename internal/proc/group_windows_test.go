package proc

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/windows"
)

// hasConsole tells whether this process can ask others to end; where it cannot,
// nobody is given the grace.
func hasConsole() bool {
	h, err := windows.CreateFile(windows.StringToUTF16Ptr("CONOUT$"), windows.GENERIC_READ|windows.GENERIC_WRITE, windows.FILE_SHARE_WRITE, nil, windows.OPEN_EXISTING, 0, 0)
	if err != nil {
		return false
	}
	_ = windows.CloseHandle(h)
	return true
}

func TestCancelEndsTheJob(t *testing.T) {
	tests := []struct {
		name, role string
		processes  int
		slow       bool // needs the kill after the grace
	}{
		{"a child", "sleep", 1, false},
		{"a grandchild", "parent sleep", 2, false},
		{"a great-grandchild", "parent parent sleep", 3, false},
		{"a child that ignores Ctrl-Break", "stubborn", 1, true},
		{"a grandchild that ignores it", "parent stubborn", 2, true},
		{"a grandchild whose parent has ended", "parent leaver stubborn", 3, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var pids []int
			var start time.Time
			c := play(tt.role)
			c.Stderr = func(line string) {
				if line == "ready" {
					start = time.Now()
					cancel()
				} else if strings.HasPrefix(line, "pid ") {
					pids = append(pids, parsePID(t, line))
				}
			}
			err := c.Run(ctx)
			took := time.Since(start)
			wantGone(t, pids...)
			if len(pids) != tt.processes {
				t.Errorf("%d processes, want %d", len(pids), tt.processes)
			}
			if !errors.Is(err, context.Canceled) {
				t.Errorf("error %v, want context.Canceled", err)
			}
			if tt.slow && took < grace && hasConsole() {
				t.Errorf("killed after %v, before the grace", took)
			}
			if took > 10*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}

func TestCancelledBeforeTheStart(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c := play("sleep")
	c.Stderr = func(line string) { t.Errorf("it ran: %s", line) }
	if err := c.Run(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

// A cancel may come at any moment of a start.
func TestCancelledDuringTheStart(t *testing.T) {
	for i := range 8 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*20*time.Millisecond)
		var pids []int
		c := play("parent sleep")
		c.Stderr = func(line string) {
			if strings.HasPrefix(line, "pid ") {
				pids = append(pids, parsePID(t, line))
			}
		}
		err := c.Run(ctx)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		if len(pids) > 0 {
			wantGone(t, pids...)
		}
	}
}

// When relmat itself is killed, what it had started does not go on.
func TestKilledParent(t *testing.T) {
	for _, role := range []string{"sleep", "parent sleep", "parent stubborn"} {
		t.Run(role, func(t *testing.T) {
			relmat := exec.Command(os.Args[0])
			relmat.Env = append(os.Environ(), roleVar+"=relmat "+role)
			out, err := relmat.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := relmat.Start(); err != nil {
				t.Fatal(err)
			}
			var pids []int
			for lines := bufio.NewScanner(out); lines.Scan() && lines.Text() != "ready"; {
				pids = append(pids, parsePID(t, lines.Text()))
			}
			for _, pid := range pids {
				if !alive(pid) {
					t.Errorf("process %d has ended before the kill", pid)
				}
			}
			_ = relmat.Process.Kill()
			_ = relmat.Wait()
			wantGone(t, pids...)
		})
	}
}

// A child may leave a helper behind that keeps its output open.
func TestHelperLeftBehind(t *testing.T) {
	start := time.Now()
	out, err := play("leaver stubborn").Output(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("the helper was waited for: %v", took)
	}
	lines := strings.Split(out, "\n")
	helper := parsePID(t, lines[1])
	if !alive(helper) {
		t.Error("the helper was killed")
	}
	if p, err := os.FindProcess(helper); err == nil {
		_ = p.Kill()
	}
}
