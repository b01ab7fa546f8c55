package verify_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/relmat/relmat/internal/matrix"
)

var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; go test -update writes it", err)
	}
	if got != string(want) {
		t.Errorf("%s differs.\ngot:\n%s\nwant:\n%s", path, got, want)
	}
}

var docsDir = filepath.Join("..", "..", "docs", "rules")

// TestRuleDocs keeps docs/rules/README.md equal to the table of rules, and wants
// a page of the same form for each of them.
func TestRuleDocs(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString(`# The rules of relmat verify

Every package is judged by these rules before it is packed, and ` + "`relmat verify`" + ` judges any package by them. An error stops a release. A matrix sets
another severity (` + "`error`, `warning`, `note`, `off`" + `) with ` + "`verify.severity`" + `, and knows single findings with ` + "`verify.allow`" + `, where the written reason is shown in
the report; see [targets.md](../targets.md#verify). [verify.md](../verify.md) explains the report. Each page says what the rule looks at, why, where it
happened, and how to mend it.

| rule | severity | wants that |
|---|---|---|
`)
	pages := []string{"README.md"}
	for _, r := range matrix.Rules() {
		fmt.Fprintf(&b, "| [`%s`](%s.md) | %s | %s |\n", r.Name, r.Name, r.Severity, r.What)
		pages = append(pages, r.Name+".md")
	}
	golden(t, filepath.Join(docsDir, "README.md"), b.String())

	entries, err := os.ReadDir(docsDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !slices.Contains(pages, e.Name()) {
			t.Errorf("docs/rules/%s is the page of no rule", e.Name())
		}
	}
	for _, r := range matrix.Rules() {
		text, err := os.ReadFile(filepath.Join(docsDir, r.Name+".md"))
		if err != nil {
			t.Errorf("rule %s has no page: %v", r.Name, err)
			continue
		}
		var heads []string
		for line := range strings.Lines(string(text)) {
			if strings.HasPrefix(line, "#") {
				heads = append(heads, strings.TrimSpace(line))
			}
		}
		if want := []string{"# " + r.Name, "## Why", "## It happened", "## How to mend it"}; !slices.Equal(heads, want) {
			t.Errorf("docs/rules/%s.md has the headings %q, want %q", r.Name, heads, want)
		}
	}
}
