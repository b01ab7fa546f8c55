package fsx_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/relmat/relmat/internal/fsx"
)

func TestWriteFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a", "b", "file")
	for _, content := range []string{"old", "", "new, and longer"} {
		if err := fsx.WriteFile(path, []byte(content), 0o640); err != nil {
			t.Fatal(err)
		}
		wantContent(t, path, content)
		wantNames(t, filepath.Dir(path), "file")
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != modeHere(0o640) {
		t.Errorf("mode %v, want 0640 whatever the umask", info.Mode())
	}
}

func TestWriteToFails(t *testing.T) {
	boom := errors.New("boom")
	half := func(w io.Writer) error {
		_, _ = io.WriteString(w, "half")
		return boom
	}
	whole := func(w io.Writer) error {
		_, err := io.WriteString(w, "new")
		return err
	}
	tests := []struct {
		name  string
		setup func(t *testing.T, dir string)
		path  string
		write func(io.Writer) error
		is    error
		left  []string
	}{
		{
			name:  "the writer, with an old file",
			setup: func(t *testing.T, dir string) { write(t, filepath.Join(dir, "file"), "old") },
			path:  "file", write: half, is: boom, left: []string{"file"},
		},
		{
			name:  "the writer, without an old file",
			setup: func(*testing.T, string) {},
			path:  "file", write: half, is: boom,
		},
		{
			name:  "a directory in the place of the file",
			setup: func(t *testing.T, dir string) { write(t, filepath.Join(dir, "file", "in"), "old") },
			path:  "file", write: whole, left: []string{"file"},
		},
		{
			name:  "a file in the place of the directory",
			setup: func(t *testing.T, dir string) { write(t, filepath.Join(dir, "sub"), "old") },
			path:  "sub/file", write: whole, left: []string{"sub"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			tt.setup(t, dir)
			err := fsx.WriteTo(filepath.Join(dir, tt.path), 0o644, tt.write)
			if err == nil || tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("error %v, want %v", err, tt.is)
			}
			wantNames(t, dir, tt.left...)
			for _, n := range tt.left {
				if info, err := os.Stat(filepath.Join(dir, n)); err == nil && info.Mode().IsRegular() {
					wantContent(t, filepath.Join(dir, n), "old")
				}
			}
		})
	}
}

func TestWriteToKilled(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	write(t, path, "old")
	startChild(t, "write", path).kill(t)
	wantContent(t, path, "old")
	wantPartial(t, dir, "file")
	if err := fsx.RemovePartials(dir); err != nil {
		t.Fatal(err)
	}
	wantNames(t, dir, "file")
	wantContent(t, path, "old")
}

// The counterpart of the killed child: it is the kill that leaves the old
// content, not a child that never writes.
func TestWriteToFinished(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	write(t, path, "old")
	startChild(t, "write", path).finish(t)
	wantContent(t, path, "half of the new, and the rest")
	wantNames(t, dir, "file")
}

func TestIsPartial(t *testing.T) {
	tests := map[string]bool{
		".file.partial-123":        true,
		"/a/b/.v1.0.partial-9":     true,
		"file":                     false,
		".hidden":                  false,
		"v1.partial-2":             false, // a tag may look like this
		"/a/.x.partial-1/finished": false,
		".v1.replaced-old":         false,
	}
	for name, want := range tests {
		if got := fsx.IsPartial(name); got != want {
			t.Errorf("IsPartial(%q) = %v", name, got)
		}
	}
}

func TestRemovePartials(t *testing.T) {
	dir := t.TempDir()
	tmp, err := fsx.PartialDir(dir, "work")
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(tmp, "deep", "file"), "x")
	write(t, filepath.Join(dir, ".file.partial-1"), "x")
	write(t, filepath.Join(dir, "v1.partial-2", "file"), "x")
	write(t, filepath.Join(dir, ".lock"), "")
	if err := fsx.RemovePartials(dir); err != nil {
		t.Fatal(err)
	}
	wantNames(t, dir, ".lock", "v1.partial-2")
	if err := fsx.RemovePartials(filepath.Join(dir, "absent")); err != nil {
		t.Errorf("an absent directory: %v", err)
	}
	if err := fsx.RemovePartials(filepath.Join(dir, ".lock")); err == nil {
		t.Error("a file in the place of the directory gives no error")
	}
}

func TestBuildDir(t *testing.T) {
	parent := t.TempDir()
	final := filepath.Join(parent, "result")
	build := func(content string) func(string) error {
		return func(tmp string) error {
			if filepath.Dir(tmp) != parent || !fsx.IsPartial(tmp) {
				t.Errorf("the work is done in %s", tmp)
			}
			if _, err := os.Stat(filepath.Join(final, content)); err == nil {
				t.Error("the result is there before it is finished")
			}
			return os.WriteFile(filepath.Join(tmp, content), []byte(content), 0o644)
		}
	}
	if err := fsx.BuildDir(final, false, build("one")); err != nil {
		t.Fatal(err)
	}
	wantNames(t, parent, "result")
	wantNames(t, final, "one")
	if info, err := os.Stat(final); err != nil || info.Mode().Perm()&modeHere(0o755) != modeHere(0o755) {
		t.Errorf("mode %v, %v; others may read it", info.Mode(), err)
	}

	err := fsx.BuildDir(final, false, build("two"))
	if !errors.Is(err, fs.ErrExist) {
		t.Errorf("without replace, over an old one: %v", err)
	}
	wantNames(t, parent, "result")
	wantNames(t, final, "one")

	if err := fsx.BuildDir(final, true, build("three")); err != nil {
		t.Fatal(err)
	}
	wantNames(t, parent, "result")
	wantNames(t, final, "three")
}

func TestBuildDirFails(t *testing.T) {
	boom := errors.New("boom")
	for _, replace := range []bool{false, true} {
		parent := t.TempDir()
		final := filepath.Join(parent, "result")
		if replace {
			write(t, filepath.Join(final, "old"), "old")
		}
		err := fsx.BuildDir(final, replace, func(tmp string) error {
			write(t, filepath.Join(tmp, "sub", "half"), "x")
			return boom
		})
		if !errors.Is(err, boom) {
			t.Errorf("replace %v: error %v", replace, err)
		}
		if replace {
			wantNames(t, parent, "result")
			wantNames(t, final, "old")
		} else {
			wantNames(t, parent)
		}
	}
	file := filepath.Join(t.TempDir(), "file")
	write(t, file, "x")
	err := fsx.BuildDir(filepath.Join(file, "result"), false, func(string) error {
		t.Error("work is done where no result can be")
		return nil
	})
	if err == nil {
		t.Error("no error below a file")
	}
}

func TestBuildDirKilled(t *testing.T) {
	parent := t.TempDir()
	final := filepath.Join(parent, "result")
	write(t, filepath.Join(final, "old"), "old")
	startChild(t, "build", final).kill(t)
	wantPartial(t, parent, "result")
	wantNames(t, final, "old")
	if err := fsx.RecoverReplaced(final); err != nil {
		t.Fatal(err)
	}
	if err := fsx.RemovePartials(parent); err != nil {
		t.Fatal(err)
	}
	wantNames(t, parent, "result")
	wantNames(t, final, "old")
}
