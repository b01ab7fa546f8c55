//go:build unix

package publish_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/relmat/relmat/internal/publish"
	"golang.org/x/sys/unix"
)

// killInTheMiddle publishes in another process, which is killed when it has
// copied the first asset and cannot get on with the second: that is a pipe
// that nobody writes to.
func (f *fixture) killInTheMiddle() {
	f.t.Helper()
	j := job{Release: f.release, Paths: map[string]string{}}
	for _, a := range f.release.Assets() {
		j.Paths[a.Name] = a.Path
	}
	assets := f.release.Assets()
	first, pipe := assets[0], filepath.Join(f.t.TempDir(), "pipe")
	if err := unix.Mkfifo(pipe, 0o644); err != nil {
		f.t.Fatal(err)
	}
	j.Paths[assets[1].Name] = pipe
	arg, err := json.Marshal(j)
	if err != nil {
		f.t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		f.t.Fatal(err)
	}
	cmd := exec.Command(exe, string(arg))
	cmd.Env = append(os.Environ(), childVar+"="+f.dir)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		f.t.Fatal(err)
	}
	copied := func() bool {
		found, err := filepath.Glob(filepath.Join(f.dir, ".v1.partial-*", first.Name))
		if err != nil || len(found) == 0 {
			return false
		}
		info, err := os.Stat(found[0])
		return err == nil && info.Size() == first.Size
	}
	for deadline := time.Now().Add(20 * time.Second); !copied(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			f.t.Error("the first asset does not arrive")
			break
		}
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}

func TestKilled(t *testing.T) {
	f := newFixture(t)
	f.killInTheMiddle()
	if _, err := os.Lstat(f.final()); !os.IsNotExist(err) {
		t.Errorf("something stands under the final name: %v", err)
	}
	f.mustPublish(false, publish.Published)
	f.wantReleases("v1")
}

func TestKilledWhileReplacing(t *testing.T) {
	f := newFixture(t)
	f.mustPublish(false, publish.Published)
	before := content(t, f.final())
	f.release.Targets[0].Assets[0] = f.asset("tool-win.zip", "new")
	f.killInTheMiddle()
	if after := content(t, f.final()); after != before {
		t.Errorf("the old release changed from\n%s\nto\n%s", before, after)
	}
	f.mustPublish(true, publish.Replaced)
	f.wantReleases("v1")
}
