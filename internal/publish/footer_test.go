package publish

import (
	"strings"
	"testing"
)

func TestFooterConverges(t *testing.T) {
	for _, body := range []string{"", "Notes.", "Notes.\n\n", "Notes.\r\n", "A\n\n" + notesBegin + "\nNot tested:\n\n- x\n" + notesEnd + "\n"} {
		one := withFooter(body, "Not signed.")
		if strings.Count(one, "Not signed.") != 1 || !strings.HasPrefix(one, strings.TrimRight(body, "\r\n ")) {
			t.Errorf("%q became %q", body, one)
		}
		if two := withFooter(one, "Not signed."); two != one {
			t.Errorf("%q became %q the second time", one, two)
		}
		if other := withFooter(one, "Something else."); strings.Contains(other, "Not signed.") || strings.Count(other, footerBegin) != 1 {
			t.Errorf("the footer was not replaced: %q", other)
		}
		if none := withFooter(one, ""); strings.TrimRight(none, "\r\n ") != strings.TrimRight(body, "\r\n ") {
			t.Errorf("without the footer it is %q, and was %q", none, body)
		}
	}
	// A promotion's notes and the footer stand side by side, in either order.
	both := withNotes(withFooter("Mine.", "Not signed."), []string{"a step"})
	again := withNotes(withFooter(both, "Not signed."), []string{"a step"})
	for _, s := range []string{both, again, withFooter(again, "Not signed.")} {
		if strings.Count(s, "Not signed.") != 1 || strings.Count(s, "a step") != 1 || strings.Count(s, "Mine.") != 1 {
			t.Errorf("%q", s)
		}
	}
	if last := withNotes(withFooter(again, "Not signed."), []string{"a step"}); last != again {
		t.Errorf("it does not settle:\n%q\n%q", again, last)
	}
}

func TestBodyOf(t *testing.T) {
	notes, footer, none := "Mine.", "Not signed.", ""
	for _, tt := range []struct {
		name    string
		w       Wanted
		current string
		want    string // "-" where they stay
	}{
		{"nothing is said", Wanted{}, "Theirs.", "-"},
		{"notes alone", Wanted{Notes: &notes}, "Theirs.", "Mine."},
		{"footer under theirs", Wanted{Footer: &footer}, "Theirs.", withFooter("Theirs.", footer)},
		{"footer is there", Wanted{Footer: &footer}, withFooter("Theirs.", footer), "-"},
		{"footer under mine", Wanted{Notes: &notes, Footer: &footer}, withFooter("Theirs.", footer), withFooter("Mine.", footer)},
		{"footer taken out", Wanted{Footer: &none}, withFooter("Theirs.", footer), "Theirs."},
		{"no footer and none wanted", Wanted{Footer: &none}, "Theirs.", "-"},
	} {
		got := "-"
		if b := bodyOf(tt.w, tt.current); b != nil {
			got = *b
		}
		if got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}
