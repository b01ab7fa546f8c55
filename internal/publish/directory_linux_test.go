package publish_test

import (
	"strings"
	"testing"

	"github.com/relmat/relmat/internal/publish"
)

// A directory in which nobody makes a file, not even root, is refused before
// anything is built for it.
func TestDirectoryThatTakesNothing(t *testing.T) {
	d := &publish.Dir{Path: "/proc"}
	err := d.Preflight(t.Context(), publish.Wanted{Tag: "v1"}, quietTask())
	if err == nil || !strings.Contains(err.Error(), "a release cannot be put into /proc: ") {
		t.Errorf("%v", err)
	}
	dir := t.TempDir()
	d.Path = dir + "/new/deep"
	if err := d.Preflight(t.Context(), publish.Wanted{Tag: "v1"}, quietTask()); err != nil {
		t.Error(err)
	}
	f := fixture{t: t}
	if left := f.names(d.Path); len(left) != 0 {
		t.Errorf("%q is left", left)
	}
}
