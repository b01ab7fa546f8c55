package fsx

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// tree makes the named files, each with its own name as content.
func tree(t *testing.T, root string, files ...string) {
	t.Helper()
	for _, f := range files {
		path := filepath.Join(root, f)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(f), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// files lists the files below root.
func files(t *testing.T, root string) []string {
	t.Helper()
	list := []string{}
	err := filepath.WalkDir(root, func(p string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(root, p)
			list = append(list, filepath.ToSlash(rel))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// Both ways must do the same; where the system swaps names, the other way
// would else never run.
func TestReplace(t *testing.T) {
	ways := map[string]func(tmp, final string) error{
		"as the system can": replaceDir,
		"two renames":       replaceByRenames,
	}
	for name, replace := range ways {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			tree(t, dir, "tmp/new", "final/old", "final/sub/old")
			if err := replace(filepath.Join(dir, "tmp"), filepath.Join(dir, "final")); err != nil {
				t.Fatal(err)
			}
			if got := files(t, dir); !slices.Equal(got, []string{"final/new"}) {
				t.Errorf("left: %q", got)
			}
			if entries, _ := os.ReadDir(dir); len(entries) != 1 {
				t.Errorf("left: %v", entries)
			}
		})
		t.Run(name+", without the new one", func(t *testing.T) {
			dir := t.TempDir()
			tree(t, dir, "final/old")
			if err := replace(filepath.Join(dir, "tmp"), filepath.Join(dir, "final")); err == nil {
				t.Error("no error")
			}
			if got := files(t, dir); !slices.Equal(got, []string{"final/old"}) {
				t.Errorf("left: %q, want the old one back", got)
			}
		})
	}
}

func TestExchangeSwapsInOneStep(t *testing.T) {
	dir := t.TempDir()
	tree(t, dir, "a/one", "b/two")
	ok, err := exchange(filepath.Join(dir, "a"), filepath.Join(dir, "b"))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"a/one", "b/two"}
	if ok {
		want = []string{"a/two", "b/one"}
	}
	if got := files(t, dir); !slices.Equal(got, want) {
		t.Errorf("exchange said %v and left %q", ok, got)
	}
}

// The states in which a stop can leave a replacement by two renames, in order.
func TestRecoverReplaced(t *testing.T) {
	const old = ".final.replaced-old/old"
	const partial = ".final.partial-1/new"
	tests := []struct {
		name       string
		have, want []string
	}{
		{"nothing was ever there", nil, []string{}},
		{"before the first rename", []string{"final/old", partial}, []string{partial, "final/old"}},
		{"between the renames", []string{old, partial}, []string{partial, "final/old"}},
		{"after the second rename", []string{old, "final/new"}, []string{"final/new"}},
		{"while the old one was removed", []string{".final.replaced-old/rest", "final/new"}, []string{"final/new"}},
		{"finished", []string{"final/new"}, []string{"final/new"}},
		{"of another name", []string{".other.replaced-old/old"}, []string{".other.replaced-old/old"}},
		{"of a longer name", []string{".final.1.replaced-old/old"}, []string{".final.1.replaced-old/old"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			tree(t, dir, tt.have...)
			for range 2 { // recovering what is recovered changes nothing
				if err := RecoverReplaced(filepath.Join(dir, "final")); err != nil {
					t.Fatal(err)
				}
				if got := files(t, dir); !slices.Equal(got, tt.want) {
					t.Errorf("left %q, want %q", got, tt.want)
				}
			}
		})
	}
	if err := RecoverReplaced(filepath.Join(t.TempDir(), "absent", "final")); err != nil {
		t.Errorf("an absent parent: %v", err)
	}
}
