//go:build ctrlbreak

// Run in a console of Windows: `go test -tags ctrlbreak ./internal/proc`. Wine
// takes a Ctrl-Break and delivers it to nobody.
package proc

import (
	"context"
	"errors"
	"slices"
	"testing"
)

// A child that cleans up on Ctrl-Break gets the time to do so, and its last
// words are shown.
func TestCancelLetsTheChildCleanUp(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("the user pressed Ctrl-C")
	c := play("cleanup")
	c.Stderr = func(line string) {
		if line == "ready" {
			cancel(why)
		}
	}
	err := c.Run(ctx)
	var perr *Error
	if !errors.As(err, &perr) || !errors.Is(err, why) || perr.Code != -1 {
		t.Errorf("error %v, want the cause", err)
	} else if !slices.Contains(perr.Tail, "cleaned up") {
		t.Errorf("tail %q", perr.Tail)
	}
}
