package matrix_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/relmat/relmat/internal/matrix"
)

// full is a targets.yaml that has every key.
func full(tb testing.TB) string {
	tb.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "full.yaml"))
	if err != nil {
		tb.Fatal(err)
	}
	return string(data)
}

// visit goes through a file along the schema. at is the place in the schema:
// the definition and the key, with a star for names that are free.
func visit(n *yaml.Node, do func(n *yaml.Node, s *matrix.Schema, at string)) {
	root := matrix.JSONSchema()
	var walk func(n *yaml.Node, s *matrix.Schema, at string)
	walk = func(n *yaml.Node, s *matrix.Schema, at string) {
		if ref, ok := strings.CutPrefix(s.Ref, "#/definitions/"); ok {
			s = root.Definitions.Values[ref]
			do(n, s, at)
			at = ref
		} else {
			do(n, s, at)
		}
		for i, c := range n.Content {
			switch {
			case n.Kind == yaml.SequenceNode:
				walk(c, s.Items, at+"[]")
			case i%2 == 0:
				continue
			case s.Properties != nil && s.Properties.Values[n.Content[i-1].Value] != nil:
				key := n.Content[i-1].Value
				walk(c, s.Properties.Values[key], at+"."+key)
			default:
				walk(c, s.AdditionalProperties.(*matrix.Schema), at+".*")
			}
		}
	}
	walk(n, root, "file")
}

func fullNode(tb testing.TB) *yaml.Node {
	tb.Helper()
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(full(tb)), &doc); err != nil {
		tb.Fatal(err)
	}
	return doc.Content[0]
}

// TestFullHasEveryKey keeps the file whole that the next test takes apart.
func TestFullHasEveryKey(t *testing.T) {
	used := map[string]bool{}
	visit(fullNode(t), func(_ *yaml.Node, _ *matrix.Schema, at string) { used[at] = true })
	for name, def := range matrix.JSONSchema().Definitions.Values {
		if name == "text" || name == "defaults" || name == "system" {
			continue // of the types of text and of target
		}
		for _, key := range def.Properties.Keys {
			if !used[name+"."+key] {
				t.Errorf("testdata/full.yaml does not use %s of %s", key, name)
			}
			if def.Properties.Values[key].Description == "" {
				t.Errorf("%s of %s has no comment in types.go", key, name)
			}
		}
	}
}

// Each is right in few places.
var (
	scalars = []string{"~", `""`, "13", "true", "[word]", "{word: word}"}
	// words are tried where not every text will do.
	words = []string{
		`"two words"`, "-1", "1.5", `"13"`, "/absolute", "../above", "a/../b", ".", `'a\b'`, "a:b", "30s", "0s", "-5s", "1h30m", "5 m",
		"x86_64-unknown-linux-gnu", "arm64", "a-b-c", "x86-64-v4", "90a", "80;90a", "80,90", "zip", "sccache", "cuda", `"true"`,
		"https://example.org/a", "ftp://example.org/a",
	}
	wholes = []string{"~", "word", "[]", "[~]", "[word]", "{}", "{word: word}", "{word: ~}"}
	names  = []string{"word", "two words", "", "13", "-x", "A_B", "A-B", "RUSTFLAGS", "linux-x86_64", "../x", "größe"}
)

// halves are two smaller files that are right and have all keys together:
// most of the time of the test below goes into reading YAML.
func halves(tb testing.TB) []*yaml.Node {
	tb.Helper()
	without := func(n *yaml.Node, keys ...string) *yaml.Node {
		for i := 0; i < len(n.Content); i += 2 {
			if slices.Contains(keys, n.Content[i].Value) {
				n.Content = slices.Delete(n.Content, i, i+2)
				i -= 2
			}
		}
		return n
	}
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte("targets: {linux-x86_64: {triple: x86_64-unknown-linux-gnu}}"), &doc); err != nil {
		tb.Fatal(err)
	}
	built, packed := without(fullNode(tb), "smoke"), without(fullNode(tb), "pins", "toolkits", "defaults", "systems", "targets")
	packed.Content = append(packed.Content, doc.Content[0].Content...)
	return []*yaml.Node{packed, built}
}

// TestSchemaAgreesOnEveryKey puts odd values and names in every place of files
// that have every key, and takes every key out.
func TestSchemaAgreesOnEveryKey(t *testing.T) {
	tried, seen := 0, map[string]bool{}
	for _, root := range halves(t) {
		text, err := yaml.Marshal(root)
		if err != nil {
			t.Fatal(err)
		}
		parse(t, string(text))
		visit(root, func(n *yaml.Node, s *matrix.Schema, at string) {
			if seen[at] {
				return
			}
			seen[at] = true
			oddly(n, s, func(what string) {
				text, err := yaml.Marshal(root)
				if err != nil {
					t.Fatal(err)
				}
				tried++
				t.Run(at+what, func(t *testing.T) { agree(t, string(text), asJSON(root), nil) })
			})
		})
	}
	if tried < 1000 {
		t.Errorf("only %d files were tried", tried)
	}
}

// oddly changes n in all the ways in which it can be wrong, one after the
// other, and leaves it as it was.
func oddly(n *yaml.Node, s *matrix.Schema, try func(what string)) {
	values := wholes
	if n.Kind == yaml.ScalarNode {
		values = scalars
		if s.Pattern != "" || s.Enum != nil || s.AnyOf != nil {
			values = slices.Concat(scalars, words)
		}
	}
	was := *n
	for _, text := range values {
		var value yaml.Node
		if err := yaml.Unmarshal([]byte(text), &value); err != nil {
			panic(err)
		}
		*n = *value.Content[0]
		try("=" + text)
	}
	*n = was
	if n.Kind != yaml.MappingNode {
		return
	}
	for i := 0; i < len(n.Content); i += 2 {
		key := n.Content[i]
		name := key.Value
		others := []string{"nope"}
		if s.PropertyNames != nil && i == 0 {
			others = names
		}
		for _, other := range others {
			key.SetString(other)
			try(fmt.Sprintf(" has %q for %s", other, name))
		}
		key.SetString(name)
		n.Content = slices.Concat(was.Content[:i], was.Content[i+2:])
		try(" has no " + name)
		n.Content = was.Content
	}
}

// TestSchemaAgreesOnSpellings are ways to write a value, good and bad, of
// which both must think the same.
func TestSchemaAgreesOnSpellings(t *testing.T) {
	const (
		sha      = "sha256: 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
		duration = "timeout: 30s"
	)
	for _, test := range []struct {
		old, replacement string
		good             bool
	}{
		{"version: 1", `version: "1"`, true},
		{"version: 1", `version: "2"`, false},
		{"  name: demo\n", "  name: 2048\n", true},
		{"  name: demo\n", "  name: true\n", true},
		{"  name: demo\n", "  name: null\n", false},
		{"  name: demo\n", `  name: ""` + "\n", false},
		{`"14.0"`, "14.0", true},
		{`"14.0"`, "true", true},
		{`"14.0"`, "2026-01-02", true},
		{`"14.0"`, "", false},
		{`"14.0"`, `""`, true},
		{"lock: cuda13.lock.json", "lock: 13.0", true},
		{"locked: true", "locked: TRUE", true},
		{"locked: true", `locked: "true"`, false},
		{"locked: true", "locked: 1", false},
		{"locked: true", "locked: yes", false},
		{"min-files: 10", `min-files: "10"`, true},
		{"min-files: 10", "min-files: +10", true},
		{"min-files: 10", "min-files: 10.5", false},
		{"min-files: 10", "min-files: -1", false},
		{"min-files: 10", "min-files: true", false},
		{duration, "timeout: .5h", true},
		{duration, "timeout: +1h2m3.5s4ms5µs6ns", true},
		{duration, `timeout: "30s"`, true},
		{duration, "timeout: 30", false},
		{duration, "timeout: 0h0m", false},
		{duration, "timeout: -1s", false},
		{duration, "timeout: 1d", false},
		{duration, "timeout: 1 s", false},
		{sha, "sha256: " + strings.Repeat("0123456789ABCDEF", 4), true},
		{sha, "sha256: " + strings.Repeat("7", 64), true},
		{sha, "sha256: " + strings.Repeat("a", 63), false},
		{sha, "sha256: " + strings.Repeat("g", 64), false},
		{"url: https:", "url: HTTP:", true},
		{"url: https:", "url: ssh:", false},
		{"archive: tar.gz", `archive: ""`, true},
		{"archive: tar.gz", "archive: tar", false},
		{"device: cuda", `device: ""`, true},
		{"device: cuda", "device: CUDA", false},
		{"promote: note", "promote: require", true},
		{"promote: note", `promote: ""`, true},
		{"promote: note", "promote: true", false},
		{"compiler-cache: sccache", "compiler-cache: none", false},
		{`architectures: "80-real;87;90a"`, "architectures: 80", true},
		{`architectures: "80-real;87;90a"`, "architectures: 100f-virtual", true},
		{`architectures: "80-real;87;90a"`, "architectures: 80;", false},
		{`architectures: "80-real;87;90a"`, "architectures: sm_80", false},
		{`architectures: "80-real;87;90a"`, "architectures: native", false},
		{"gates: [90a]", "gates: [90]", true},
		{"gates: [90a]", "gates: [90a-real]", false},
		{"gates: [90a]", `gates: [""]`, false},
		{"triple: aarch64-apple-darwin", "triple: aarch64-apple-darwin-", true},
		{"triple: aarch64-apple-darwin", "triple: aarch64-darwin", false},
		{"triple: aarch64-apple-darwin", "triple: aarch64-apple-darwins", false},
		{"windows-x86_64: {}", "windows-x86_64: ~", false},
		{"windows-x86_64: {}", "windows-arm64: {}", false},
		{"pass: [OK]", "pass: [_ok, True]", true},
		{"pass: [OK]", "pass: [O-K]", false},
		{"pass: [OK]", "pass: OK", false},
		{"{source: LICENSE,", "{source: ., ", true},
		{"{source: LICENSE,", "{source: ..., ", true},
		{"{source: LICENSE,", "{source: .a/..b/c.., ", true},
		{"{source: LICENSE,", "{source: a/.., ", false},
		{"{source: LICENSE,", "{source: a/./b, ", false},
		{"{source: LICENSE,", "{source: a/, ", false},
		{"{source: LICENSE,", "{source: .., ", false},
		{"{source: LICENSE,", `{source: LICENSE, toolkit: "", crate: "",`, true},
		{"{source: LICENSE,", "{source: LICENSE, crate: demo-sys,", false},
		{"{source: LICENSE,", "{source: LICENSE, toolkit: 13,", false},
		{"as: weights.bin", "as: 13.0", true},
		{"as: weights.bin", "as: .weights", false},
		{"like: server", `like: ""`, true},
	} {
		text := edit(t, full(t), test.old, test.replacement)
		_, err := matrix.Parse("targets.yaml", []byte(text))
		at := judge(t, read(text))
		if test.good != (err == nil) || test.good != (at == nil) {
			t.Errorf("%s: the loader says %v, the schema flags %q", test.replacement, err, at)
		}
	}
}

// FuzzSchema wants of what the loader takes that the schema takes it too.
func FuzzSchema(f *testing.F) {
	f.Add(base(f))
	f.Add(full(f))
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "range") {
			return // a template may count to any number
		}
		if _, err := matrix.Parse("targets.yaml", []byte(text)); err == nil {
			if at := judge(t, read(text)); at != nil {
				t.Errorf("the loader takes it, the schema refuses %q", at)
			}
		}
	})
}
