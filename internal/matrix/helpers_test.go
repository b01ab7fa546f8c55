package matrix_test

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/relmat/relmat/internal/matrix"
)

var update = flag.Bool("update", false, "write the golden files")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (go test -update writes it); got:\n%s", path, got)
	}
}

// base is a targets.yaml that is right and uses every section.
func base(tb testing.TB) string {
	tb.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "base.yaml"))
	if err != nil {
		tb.Fatal(err)
	}
	return string(data)
}

// edit replaces old, which must stand in the text once.
func edit(tb testing.TB, text, old, replacement string) string {
	tb.Helper()
	if n := strings.Count(text, old); n != 1 {
		tb.Fatalf("%q stands %d times in the file", old, n)
	}
	return strings.Replace(text, old, replacement, 1)
}

func parse(tb testing.TB, text string) *matrix.File {
	tb.Helper()
	f, err := matrix.Parse("targets.yaml", []byte(text))
	if err != nil {
		tb.Fatal(err)
	}
	return f
}

// problemsOf returns what is wrong with a text that must be refused.
func problemsOf(tb testing.TB, text string) *matrix.Error {
	tb.Helper()
	f, err := matrix.Parse("targets.yaml", []byte(text))
	var problems *matrix.Error
	if f != nil || !errors.As(err, &problems) || len(problems.Problems) == 0 {
		tb.Fatalf("got %v and the error %v, want an *Error with problems", f, err)
	}
	return problems
}

func row(tb testing.TB, f *matrix.File, name string) matrix.Row {
	tb.Helper()
	for _, r := range f.Rows() {
		if r.Name == name {
			return r
		}
	}
	tb.Fatalf("there is no target %s", name)
	return matrix.Row{}
}
