package loader

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
)

// TestLdsoSystem compares with ld.so over programs of the machine.
func TestLdsoSystem(t *testing.T) {
	files, err := filepath.Glob("/usr/bin/*")
	if err != nil || len(files) == 0 {
		t.Fatal("no programs", err)
	}
	cpu, view, compared := level(t), Disk(""), 0
	cwd := t.TempDir()
	step := max(1, len(files)/60)
	for i := 0; i < len(files); i += step {
		f := files[i]
		info, err := os.Stat(f)
		if err != nil || !info.Mode().IsRegular() || info.Mode()&(os.ModeSetuid|os.ModeSetgid) != 0 {
			continue
		}
		objects, _, err := view.Object(f)
		if err != nil || objects[0].Interp != interps[runtime.GOARCH] {
			continue
		}
		want := trace(t, f, cwd, nil)
		tree, err := Resolve(view, f, Options{CPU: cpu})
		if err != nil {
			t.Errorf("%s: %v", f, err)
			continue
		}
		got := ours(tree)
		slices.Sort(want.missing)
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s\nld.so: %+v\nours:  %+v", f, want, got)
		}
		compared++
	}
	if compared < 5 {
		t.Errorf("only %d programs compared", compared)
	}
}
