package sign

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/windows"

	"github.com/relmat/relmat/internal/manifest"
	"github.com/relmat/relmat/internal/matrix"
)

// scan opens a file as a virus scanner does, which lets nobody delete or rename
// it meanwhile, for a moment.
func scan(t *testing.T, path string) {
	t.Helper()
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		t.Fatal(err)
	}
	h, err := windows.CreateFile(name, windows.GENERIC_READ, windows.FILE_SHARE_READ, nil, windows.OPEN_EXISTING, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	time.AfterFunc(300*time.Millisecond, func() { _ = windows.CloseHandle(h); close(done) })
	t.Cleanup(func() { <-done })
}

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// A file that a tool made anew is what a virus scanner opens first.
func TestScannedWhileSigned(t *testing.T) {
	dir := t.TempDir()
	file := write(t, filepath.Join(dir, "a.exe"), "old")
	scan(t, write(t, file+".new", "left by a run that was killed"))
	err := inPlace(file, func(out string) error {
		scan(t, write(t, out, "new"))
		return nil
	})
	if data, _ := os.ReadFile(file); err != nil || string(data) != "new" {
		t.Errorf("%q, %v", data, err)
	}
}

// The working directory and the keystore are gone when a run ends, also where a
// scanner looks at what is in them.
func TestScannedKeystore(t *testing.T) {
	tool, err := Open(Options{
		Sign: matrix.Sign{Tool: "jsign", Keystore: "env:P12"}, OS: "windows",
		Env: []string{ProgramVariable + "=" + os.Args[0], "TMPDIR=" + t.TempDir(), "P12=cDEy"}, Secrets: &Secrets{},
	})
	if err != nil {
		t.Fatal(err)
	}
	scan(t, tool.keystore)
	if err := tool.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(tool.keystore); err == nil {
		t.Errorf("%s is there", tool.keystore)
	}
}

// scanned is a signer of plain.exe whose result a scanner looks at.
type scanned struct{ t *testing.T }

func (s scanned) Sign(_ context.Context, file string) error {
	data, err := os.ReadFile(filepath.Join("..", "objfile", "testdata", "authenticode", "stamped.exe"))
	if err != nil {
		return err
	}
	scan(s.t, write(s.t, file, string(data)))
	scan(s.t, write(s.t, filepath.Join(filepath.Dir(file), "left by the tool"), ""))
	return nil
}

func (s scanned) Stamp(context.Context, string, string) error { return nil }

func TestScannedTree(t *testing.T) {
	src, dst := t.TempDir(), t.TempDir()
	plain, err := os.ReadFile(filepath.Join("..", "objfile", "testdata", "authenticode", "plain.exe"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(src, "a.exe"), string(plain))
	m := manifest.Manifest{Project: "p", Version: "1", Target: "w", Package: "p", Files: []manifest.File{{Path: "a.exe", Size: int64(len(plain)), Mode: "0755", Origin: manifest.Build}}}
	data, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(src, m.Name()), string(data))
	tool := &Tool{o: Options{OS: "windows", Sign: matrix.Sign{}}, signer: scanned{t}}
	if _, err := tool.Tree(t.Context(), src, dst, []string{"a.exe"}, io.Discard); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dst)
	if err != nil || len(entries) != 2 {
		t.Errorf("%v, %v", entries, err)
	}
}
