package matrix_test

import (
	"strings"
	"testing"

	"github.com/relmat/relmat/internal/matrix"
)

const digestText = `
version: 1
project: {name: p, version-package: p}
pins: {dep: {places: [{file: a.txt, pattern: '(\d+)'}]}}
programs: {p: {package: p}, q: {package: q}}
defaults: {features: [fast], env: {A: "1", B: "2"}}
targets:
  one: {triple: x86_64-unknown-linux-gnu, native: {crates: [c], pins: [dep]}}
  two: {triple: aarch64-unknown-linux-gnu}
packages:
  p: {asset: "p-{{.Target}}", targets: [one], programs: [p], files: [{source: a.txt, to: a.txt, targets: [one]}]}
  q: {asset: "q-{{.Target}}", targets: [two], programs: [q]}
smoke:
  steps:
    version: {program: p, args: [--version], timeout: 9s, expect: {stdout: '(?P<v>.+)', values: {v: "1"}}}
    other: {program: q}
`

func digestOf(t *testing.T, text string) string {
	t.Helper()
	f, err := matrix.Parse("targets.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return f.RowDigest("one", "lock")
}

// TestRowDigest changes a matrix in ways that make another program of target
// one, and in ways that do not.
func TestRowDigest(t *testing.T) {
	was := digestOf(t, digestText)
	if len(was) != 64 {
		t.Fatalf("the digest is %q", was)
	}
	// The digest goes into releases: another relmat must come to the same.
	if want := "d1ebcdf150fcb0d1a8d2b45a8864c8d48aec8eb6b27890fb289368125278d615"; was != want {
		t.Errorf("the digest is %s, and releases have %s", was, want)
	}
	tests := []struct {
		name, old, replacement string
		same                   bool
	}{
		{"what is inherited is written out", "one: {", "one: {features: [fast], profile: release, locked: true, ", true},
		{"the order of variables", `{A: "1", B: "2"}`, `{B: "2", A: "1"}`, true},
		{"where it is made", "one: {", "one: {hosts: {linux-x86_64: {}}, runner: {labels: [a], timeout: 8h}, compiler-cache: sccache, ", true},
		{"when it is made", "one: {", "one: {on-request: true, ", true},
		{"another target", "two: {", "two: {features: [slow], ", true},
		{"another target's package", "programs: [q]", "programs: [q, p]", true},
		{"another target's step", "other: {program: q}", "other: {program: q, args: [x]}", true},
		{"how long a step may take", "9s", "10s", true},
		{"a pattern that means the same", "targets: [one], programs", "targets: [\"on?\"], programs", true},
		{"a default that is written out", "targets: [one], programs", "targets: [one], layout: {libraries: lib}, programs", true},
		{"a step of none of its programs", "other: {program: q}", "other: {program: q}\n    more: {program: q}", true},

		{"its triple", "x86_64-unknown-linux-gnu", "x86_64-unknown-linux-musl", false},
		{"its features", "[fast]", "[fast, faster]", false},
		{"a variable", `A: "1"`, `A: "2"`, false},
		{"a switch", "one: {", "one: {locked: false, ", false},
		{"a package's layout", "targets: [one], programs", "targets: [one], layout: {libraries: libs}, programs", false},
		{"a package's name", `"p-{{.Target}}"`, `"pp-{{.Target}}"`, false},
		{"a package's files", "to: a.txt", "to: b.txt", false},
		{"a pin's place", "file: a.txt", "file: b.txt", false},
		{"a program", "programs: {p: {package: p}", "programs: {p: {package: p, bin: b}", false},
		{"the project", "project: {name: p,", "project: {name: pp,", false},
		{"a step's arguments", "[--version]", `[--version, ""]`, false},
		{"a step's expectation", `values: {v: "1"}`, `values: {v: "2"}`, false},
		{"a step more", "other: {program: q}", "other: {program: p}", false},
	}
	for _, tt := range tests {
		if !strings.Contains(digestText, tt.old) {
			t.Fatalf("%s: the matrix has no %q", tt.name, tt.old)
		}
		now := digestOf(t, strings.Replace(digestText, tt.old, tt.replacement, 1))
		if (now == was) != tt.same {
			t.Errorf("%s: the digest went from %s to %s", tt.name, was, now)
		}
	}
	f, err := matrix.Parse("targets.yaml", []byte(digestText))
	if err != nil {
		t.Fatal(err)
	}
	if f.RowDigest("one", "other lock") == was || f.RowDigest("two", "lock") == was {
		t.Error("the digest does not tell locks or targets apart")
	}
}
