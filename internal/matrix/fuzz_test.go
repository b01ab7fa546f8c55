package matrix_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/relmat/relmat/internal/matrix"
)

// FuzzParse wants of every text a file or an *Error whose problems stand
// somewhere in it, and of a file that what is made of it can be asked.
func FuzzParse(f *testing.F) {
	text := base(f)
	f.Add(text)
	for _, w := range wrongs {
		clean, _ := place(edit(f, text, w.old, w.replacement))
		f.Add(clean)
	}
	for _, s := range []string{"", "version: 1", "- a", "~", "a: &a [*a]", "{{{", "? ? ?", "version: 1\n<<: {a: b}", "\xff\xfe\x00v", "--- |\n x\n...\n%TAG ! x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "range") {
			return // a template may count to any number, as any program may
		}
		file, err := matrix.Parse("targets.yaml", []byte(text))
		if err == nil {
			for _, r := range file.Rows() {
				if r.Triple == "" || r.Platform.OS == "" || r.Archive == "" || r.Profile == "" {
					t.Errorf("target %q lacks something: %+v", r.Name, r)
				}
				file.ProgramsOf(r)
			}
			_, err := file.Select(nil, matrix.Host())
			var serr *matrix.SelectionError
			if err != nil && !errors.As(err, &serr) {
				t.Errorf("Select gives %T", err)
			}
			return
		}
		var problems *matrix.Error
		if !errors.As(err, &problems) || file != nil || len(problems.Problems) == 0 {
			t.Fatalf("got %v and %T %v", file, err, err)
		}
		for _, p := range problems.Problems {
			if p.Line < 1 || p.Column < 1 || p.Message == "" {
				t.Errorf("a problem without a place or a word: %+v", p)
			}
		}
	})
}
