package pipeline

import (
	"testing"

	"github.com/relmat/relmat/internal/manifest"
	"github.com/relmat/relmat/internal/matrix"
)

// What the notes end with is known before anything is built: it counts towards
// what GitHub takes.
func TestFooterIsKnownBeforeTheBuild(t *testing.T) {
	f, err := matrix.Parse("targets.yaml", []byte(judgeMatrix))
	if err != nil {
		t.Fatal(err)
	}
	s := &Session{File: f}
	for _, row := range f.Rows() {
		rel := &manifest.Release{}
		w := s.wanted(ReleaseOptions{}, planned(rel, []matrix.Row{row}))
		if has := w.Footer != nil && *w.Footer != ""; has != (row.Name == "windows") || len(rel.Targets) != 0 {
			t.Errorf("%s: a footer %t", row.Name, has)
		}
	}
}
