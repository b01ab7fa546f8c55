package build

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/relmat/relmat/internal/toolchain"
)

// TestCheckDelayLoad reads a real program for Windows, which imports
// kernel32.dll as every program does: the linker of Go knows no delay.
func TestCheckDelayLoad(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte("package main\n\nfunc main() {}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	exe := filepath.Join(dir, "app.exe")
	cmd := exec.Command("go", "build", "-o", exe, "main.go")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOOS=windows", "GOARCH=amd64", "GO111MODULE=off", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if err := checkDelayLoad(exe, []toolchain.DelayLoad{{Name: "cublas64_13.dll", Dir: "."}}); err != nil {
		t.Errorf("a program that imports none of them: %v", err)
	}
	if err := checkDelayLoad(filepath.Join(dir, "main.go"), nil); err != nil {
		t.Errorf("nothing is to be delayed: %v", err)
	}
	err := checkDelayLoad(exe, []toolchain.DelayLoad{{Name: "cublas64_13.dll", Dir: "."}, {Name: "KERNEL32.dll", Dir: "../nvidia"}})
	if err == nil || !strings.Contains(err.Error(), "imports kernel32.dll when it starts") || !strings.Contains(err.Error(), "/DELAYLOAD") {
		t.Errorf("an ordinary import gives %v", err)
	}
}
