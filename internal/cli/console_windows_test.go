//go:build console

// Run on a terminal, by scripts/test-under-wine.sh or in a console of Windows.
package cli_test

import (
	"os"
	"os/signal"
	"strings"
	"testing"

	"golang.org/x/sys/windows"
)

// TestInterrupted presses Ctrl-C in the console that it shares with relmat,
// and so needs one.
func TestInterrupted(t *testing.T) {
	signal.Notify(make(chan os.Signal, 1), os.Interrupt)
	defer signal.Reset(os.Interrupt)
	r := release(t)
	if err := windows.GenerateConsoleCtrlEvent(windows.CTRL_C_EVENT, 0); err != nil {
		t.Errorf("Ctrl-C: %v", err)
		_ = r.Process.Kill()
	}
	_ = r.Wait()
	if code := r.ProcessState.ExitCode(); code != 130 {
		t.Errorf("exit code %d, want 130; it said\n%s", code, r.said.String())
	}
	if said := r.said.String(); !strings.Contains(said, "interrupted") || strings.Contains(said, "Usage:") {
		t.Errorf("it said\n%s", said)
	}
	r.wantEnded(t)
}
