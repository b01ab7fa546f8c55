//go:build unix

package sign

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/relmat/relmat/internal/matrix"
)

// TestKeystoreOfOthers refuses a keystore that others can read.
func TestKeystoreOfOthers(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "a.p12")
	if err := os.WriteFile(file, []byte("p12"), 0o600); err != nil {
		t.Fatal(err)
	}
	open := func() error {
		tool, err := Open(Options{
			Sign: matrix.Sign{Tool: "jsign", Keystore: "file:a.p12"}, OS: "windows", Dir: dir,
			Env: []string{ProgramVariable + "=/bin/sh"}, Secrets: &Secrets{},
		})
		if err != nil {
			return err
		}
		return tool.Close(t.Context())
	}
	if err := open(); err != nil {
		t.Error(err)
	}
	for _, mode := range []os.FileMode{0o640, 0o604} {
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
		if err := open(); err == nil || !strings.Contains(err.Error(), "sign.keystore: others can read "+file) || !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("mode %#o: %v", mode, err)
		}
	}
}

func TestSecrets(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(p, mode); err != nil {
			t.Fatal(err)
		}
	}
	write("good", "from a file\r\nsecond line\n", 0o600)
	write("open", "from a file", 0o640)
	write("empty", "\n", 0o600)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.WriteString("from a pipe\n"); err != nil {
		t.Fatal(err)
	}
	_ = w.Close()
	// A number of its own: it is closed once it is read.
	number, err := syscall.Dup(int(r.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Close()
	fd := "fd:" + strconv.Itoa(number)
	env := []string{"PW=from a variable", "NONE="}
	var s Secrets
	for _, tt := range []struct{ ref, want, fails string }{
		{"env:PW", "from a variable", ""},
		{"env:NONE", "", "NONE is not set"},
		{"env:OTHER", "", "OTHER is not set"},
		{"file:good", "from a file", ""},
		{"file:" + filepath.Join(dir, "good"), "from a file", ""},
		{"file:open", "", "chmod 600"},
		{"file:empty", "", "is empty"},
		{"file:absent", "", "absent"},
		{fd, "from a pipe", ""},
		{fd, "from a pipe", ""}, // read once, known for ever
		{"fd:977", "", "977<FILE"},
		{"hunter2", "", "does not say where"},
	} {
		got, err := s.text(tt.ref, dir, env)
		if tt.fails != "" {
			if err == nil || !strings.Contains(err.Error(), tt.fails) {
				t.Errorf("%s: %q, %v; want an error about %q", tt.ref, got, err, tt.fails)
			}
			continue
		}
		if err != nil || got != tt.want {
			t.Errorf("%s: %q, %v; want %q", tt.ref, got, err, tt.want)
		}
	}
}
