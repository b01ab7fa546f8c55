package fsx

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/windows"
)

// occupy opens the file as a virus scanner does, which lets nobody delete or
// rename it meanwhile, for a while.
func occupy(t *testing.T, path string, d time.Duration) {
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
	time.AfterFunc(d, func() { _ = windows.CloseHandle(h); close(done) })
	t.Cleanup(func() { <-done })
}

func put(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// What a scanner holds for a moment is waited for.
func TestScannedFilesAreWaitedFor(t *testing.T) {
	const moment = 300 * time.Millisecond
	for name, do := range map[string]func(dir string) error{
		"the old file, replaced": func(dir string) error {
			occupy(t, put(t, filepath.Join(dir, "f"), "old"), moment)
			return WriteFile(filepath.Join(dir, "f"), []byte("new"), 0o644)
		},
		"the new file, renamed": func(dir string) error {
			occupy(t, put(t, filepath.Join(dir, "g"), "new"), moment)
			return Rename(filepath.Join(dir, "g"), filepath.Join(dir, "f"))
		},
		"a file in the new directory": func(dir string) error {
			return BuildDir(filepath.Join(dir, "d"), false, func(tmp string) error {
				occupy(t, put(t, filepath.Join(tmp, "f"), "new"), moment)
				return nil
			})
		},
		"a file in the old directory": func(dir string) error {
			occupy(t, put(t, filepath.Join(dir, "d", "f"), "old"), moment)
			return BuildDir(filepath.Join(dir, "d"), true, func(tmp string) error {
				put(t, filepath.Join(tmp, "f"), "new")
				return nil
			})
		},
		"a file that is removed": func(dir string) error {
			occupy(t, put(t, filepath.Join(dir, "g"), "old"), moment)
			put(t, filepath.Join(dir, "f"), "new")
			return Remove(filepath.Join(dir, "g"))
		},
		"a directory that is removed": func(dir string) error {
			occupy(t, put(t, filepath.Join(dir, "d", "e", "g"), "old"), moment)
			put(t, filepath.Join(dir, "f"), "new")
			return RemoveAll(filepath.Join(dir, "d"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := do(dir); err != nil {
				t.Fatal(err)
			}
			time.Sleep(moment) // until nothing is held any more
			var found []string
			_ = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
				if err == nil && !d.IsDir() {
					data, _ := os.ReadFile(path)
					found = append(found, filepath.Base(path)+" "+string(data))
				}
				return err
			})
			if len(found) != 1 || found[0] != "f new" {
				t.Errorf("there is %q", found)
			}
		})
	}
}

// What stays open is told, and nothing is lost.
func TestFilesInUse(t *testing.T) {
	patience = 300 * time.Millisecond
	defer func() { patience = 5 * time.Second }()
	dir := t.TempDir()
	f, d := put(t, filepath.Join(dir, "f"), "old"), filepath.Join(dir, "d")
	occupy(t, f, 3*time.Second)
	err := WriteFile(f, []byte("new"), 0o644)
	if err == nil || !strings.Contains(err.Error(), "another program has it open") || !strings.Contains(err.Error(), f) {
		t.Errorf("error %v", err)
	}
	if data, err := os.ReadFile(f); string(data) != "old" {
		t.Errorf("the file holds %q, %v", data, err)
	}
	// Windows does not rename a directory with a file that is open, Wine does:
	// then it is the old one that cannot be removed yet.
	occupy(t, put(t, filepath.Join(d, "f"), "old"), 3*time.Second)
	err = BuildDir(d, true, func(tmp string) error { put(t, filepath.Join(tmp, "f"), "new"); return nil })
	if err == nil || !strings.Contains(err.Error(), "another program has it open") {
		t.Errorf("error %v", err)
	}
	if data, err := os.ReadFile(filepath.Join(d, "f")); string(data) != "old" && string(data) != "new" {
		t.Errorf("the directory holds %q, %v", data, err)
	}
	time.Sleep(3 * time.Second)
	if err := errors.Join(RecoverReplaced(d), RemovePartials(dir)); err != nil {
		t.Error(err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 2 {
		t.Errorf("something is left: %v", entries)
	}
	// What is simply not there is told at once.
	start := time.Now()
	if err := Rename(filepath.Join(dir, "none"), f); !errors.Is(err, os.ErrNotExist) || time.Since(start) > patience {
		t.Errorf("absent: %v after %v", err, time.Since(start))
	}
}

func TestReadOnlyFiles(t *testing.T) {
	dir := t.TempDir()
	f := put(t, filepath.Join(dir, "f"), "old")
	for _, again := range []string{"new", "newer"} {
		if err := os.Chmod(f, 0o444); err != nil {
			t.Fatal(err)
		}
		if err := WriteFile(f, []byte(again), 0o444); err != nil {
			t.Fatal(err)
		}
		if data, err := os.ReadFile(f); string(data) != again {
			t.Errorf("%q, %v", data, err)
		}
	}
	sub := put(t, filepath.Join(dir, "d", "f"), "x")
	if err := os.Chmod(sub, 0o444); err != nil {
		t.Fatal(err)
	}
	if err := RemoveAll(filepath.Join(dir, "d")); err != nil {
		t.Error(err)
	}
	if err := Remove(f); err != nil {
		t.Error(err)
	}
}

// Windows' old limit is 260 characters, and 255 for a name.
func TestLongPaths(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a b")
	for len(dir) < 300 {
		dir = filepath.Join(dir, strings.Repeat("long", 12))
	}
	f := filepath.Join(dir, "f")
	for range 2 {
		if err := WriteFile(f, []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := BuildDir(filepath.Join(dir, "d"), false, func(tmp string) error { return CopyFile(f, filepath.Join(tmp, "f"), 0o644) }); err != nil {
		t.Fatal(err)
	}
	if err := LinkOrCopy(f, filepath.Join(dir, "d", "g")); err != nil {
		t.Fatal(err)
	}
	unlock, err := Lock(t.Context(), filepath.Join(dir, ".lock"), nil)
	if err != nil {
		t.Fatal(err)
	}
	unlock()
	if n, err := FreeSpace(dir); err != nil || n == 0 {
		t.Errorf("%d bytes free, %v", n, err)
	}
	if err := RemoveAll(dir); err != nil {
		t.Error(err)
	}
}
