package publish_test

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/relmat/relmat/internal/fsx"
	"github.com/relmat/relmat/internal/githubtest"
	"github.com/relmat/relmat/internal/publish"
)

// remembered makes a file whose digest is remembered by the stage's publisher.
func (st *stage) remembered(name, content string) publish.File {
	st.t.Helper()
	f := st.file(name, content)
	when := time.Now().Add(-time.Hour) // a fresh file's digest is not remembered
	if err := os.Chtimes(f.Path, when, when); err != nil {
		st.t.Fatal(err)
	}
	if st.gh.Digests == nil {
		st.gh.Digests = fsx.OpenDigests("")
	}
	if sum, _, err := st.gh.Digests.File(f.Path); err != nil || sum != f.SHA256 {
		st.t.Fatal(sum, err)
	}
	return f
}

// overwrite changes the first byte of a file in place.
func overwrite(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt([]byte("X"), 0)
	return errors.Join(err, f.Close())
}

// A file whose digest is remembered is not hashed again; that it changed is
// seen all the same: by its time before its last byte leaves, and if it kept
// that, by GitHub's digest.
func TestRememberedFileThatChanges(t *testing.T) {
	for name, c := range map[string]struct {
		before func(path string) error
		during func(path string) error
	}{
		"before it is sent":      {before: overwrite},
		"when half of it is out": {during: overwrite},
		"with its old time": {before: func(path string) error {
			info, err := os.Stat(path)
			return errors.Join(err, overwrite(path), os.Chtimes(path, info.ModTime(), info.ModTime()))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			st := newStage(t)
			// More than the system's buffers take in ahead of the server.
			f := st.remembered("a.zip", strings.Repeat("0123456789abcdef", 3<<20))
			if c.before != nil {
				if err := c.before(f.Path); err != nil {
					t.Fatal(err)
				}
			}
			if c.during != nil {
				st.s.Fail(githubtest.Match{Op: githubtest.OpUpload}, githubtest.Call(1<<20, func() {
					if err := c.during(f.Path); err != nil {
						t.Error(err)
					}
				}))
			}
			_, err := st.publish(publish.Wanted{Files: []publish.File{f}})
			if !errors.Is(err, publish.ErrChanged) || !strings.Contains(err.Error(), f.Path) {
				t.Errorf("%v", err)
			}
			for _, a := range st.release().Assets {
				if a.State == githubtest.StateUploaded {
					t.Errorf("%+v is there", a)
				}
			}
		})
	}
}

// What is remembered of another file, or wrongly, publishes nothing wrong.
func TestRememberedFileIsPublished(t *testing.T) {
	st := newStage(t)
	f := st.remembered("a.zip", string(bytes.Repeat([]byte("a"), 1<<20)))
	st.must(publish.Wanted{Files: []publish.File{f}})
	wantAssets(t, st.release(), []publish.File{f})
	// Remembered with another digest than the wanted one: it is hashed.
	g := st.remembered("b.zip", "bytes of b")
	g.SHA256 = f.SHA256
	if _, err := st.publish(publish.Wanted{Files: []publish.File{f, g}}); !errors.Is(err, publish.ErrChanged) {
		t.Errorf("%v", err)
	}
	wantAssets(t, st.release(), []publish.File{f}, starters(st)...)
}

// starters are the names that broken uploads left.
func starters(st *stage) (names []string) {
	for _, a := range st.release().Assets {
		if a.State != githubtest.StateUploaded {
			names = append(names, a.Name)
		}
	}
	return names
}
