package matrix_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"go.yaml.in/yaml/v3"

	"github.com/relmat/relmat/internal/matrix"
)

// validator is somebody else's reading of our schema.
var validator = sync.OnceValues(func() (*jsonschema.Schema, error) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(schemaText()))
	if err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("targets.schema.json", doc); err != nil {
		return nil, err
	}
	return c.Compile("targets.schema.json")
})

func schemaText() []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(matrix.JSONSchema()); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// judge returns the places that the schema refuses in a file, none if it
// accepts it.
func judge(tb testing.TB, value any) []string {
	tb.Helper()
	v, err := validator()
	if err != nil {
		tb.Fatal(err)
	}
	err = v.Validate(value)
	if err == nil {
		return nil
	}
	var at []string
	leaves(err.(*jsonschema.ValidationError), value, &at)
	slices.Sort(at)
	return slices.Compact(at)
}

// leaves collects the places of what is wrong, not of what holds it.
func leaves(e *jsonschema.ValidationError, doc any, at *[]string) {
	here := ""
	for _, step := range e.InstanceLocation {
		here = below(here, step)
	}
	switch k := e.ErrorKind.(type) {
	case *kind.AdditionalProperties:
		for _, name := range k.Properties {
			*at = append(*at, below(here, name))
		}
		return
	case *kind.Required:
		for _, name := range k.Missing {
			*at = append(*at, below(here, name))
		}
		return
	case *kind.PropertyNames:
		// The validator goes on writing into the place of this error, only its
		// depth and the name can be trusted.
		*at = append(*at, named(doc, "", len(e.InstanceLocation), k.Property)...)
		return
	}
	for _, c := range e.Causes {
		leaves(c, doc, at)
	}
	if len(e.Causes) == 0 {
		*at = append(*at, here)
	}
}

// below is the path of a part, as the loader writes it.
func below(path, step string) string {
	switch {
	case path == "":
		return step
	case step != "" && strings.Trim(step, "0123456789") == "":
		return path + "[" + step + "]"
	}
	return path + "." + step
}

// named lists the parts of v, depth mappings or lists down, that have a name.
func named(v any, path string, depth int, name string) []string {
	var found []string
	switch v := v.(type) {
	case map[string]any:
		for k, child := range v {
			if depth == 0 && k == name {
				found = append(found, join(path, k))
			}
			if depth > 0 {
				found = append(found, named(child, join(path, k), depth-1, name)...)
			}
		}
	case []any:
		for i, child := range v {
			if depth > 0 {
				found = append(found, named(child, fmt.Sprintf("%s[%d]", path, i), depth-1, name)...)
			}
		}
	}
	return found
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// read is what an editor makes of a text; nil if it is not YAML.
func read(text string) any {
	var doc yaml.Node
	if yaml.Unmarshal([]byte(text), &doc) != nil {
		return nil
	}
	return asJSON(&doc)
}

// asJSON is what an editor makes of YAML (the core schema of YAML 1.2).
func asJSON(n *yaml.Node) any {
	switch n.Kind {
	case yaml.DocumentNode:
		return asJSON(n.Content[0])
	case yaml.AliasNode:
		return asJSON(n.Alias)
	case yaml.MappingNode:
		m := map[string]any{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			m[n.Content[i].Value] = asJSON(n.Content[i+1])
		}
		return m
	case yaml.SequenceNode:
		list := make([]any, len(n.Content))
		for i, c := range n.Content {
			list[i] = asJSON(c)
		}
		return list
	}
	var v any
	switch n.Tag {
	case "!!null":
		return nil
	case "!!bool", "!!int", "!!float":
		if n.Decode(&v) == nil {
			return v
		}
	}
	return n.Value
}

// beyond are the problems that JSON Schema cannot express, by the message of
// the loader. What it can express it must flag.
var beyond = []struct {
	what    string
	message *regexp.Regexp
}{
	{"not YAML", regexp.MustCompile(`^this is not YAML`)},
	{"YAML that is gone before a schema sees it", regexp.MustCompile(`^(aliases|anchors) are not allowed|^stands twice$|^a key must be a word|more than one YAML document`)},
	{"reference to another part of the file", regexp.MustCompile(`^".+" is not in (toolkits|programs|pins|packages|targets|the packages with)|no package takes the libraries|is not in the named groups|is itself (a variant|like another)|of itself$|matches no target|has no group`)},
	{"template", regexp.MustCompile(`^template `)},
	{"expression or pattern", regexp.MustCompile(`^error parsing regexp|has \d+ groups|both have a group|syntax error in pattern$`)},
	{"asset with its target's name in it", regexp.MustCompile(`^GitHub would change the asset name|have the same asset name`)},
	{"target with all that it inherits", regexp.MustCompile(`is a level of|sets target-cpu|cannot compile for architecture|is that of .*, which no desktop|leaves out the kernels|reaches no native build|speaks of the toolkit|is a triple of|reach no build|is set by (cpu|cuda)\.env|is also cpu\.env|does not sign files of|does not run on|needs sign\.|has no use for sign\.|signs nothing|is a secret of sign|the target's triple is missing`)},
	{"architectures that each look right", regexp.MustCompile(`^"[^"]*" (stands twice|does not exist)|^".*" and ".*" both make`)},
	{"file name out of another key", regexp.MustCompile(`is no file name`)},
}

const bare = "text without quotes that looks like a number or a truth value"

// triplePath is the one key that a target needs and may inherit.
var triplePath = regexp.MustCompile(`^targets\.[^.]+\.triple$`)

// beyondSchema tells why the schema cannot know a problem, empty if it can.
func beyondSchema(p matrix.Problem, value any) string {
	if triplePath.MatchString(p.Path) && p.Message == "is missing" {
		p.Message = "the target's triple is missing"
	}
	for _, b := range beyond {
		if b.message.MatchString(p.Message) {
			return b.what
		}
	}
	if strings.HasPrefix(p.Message, "must be ") {
		return "" // a wrong type, not a wrong text
	}
	switch flat(value, "", map[string]any{})[p.Path].(type) {
	case nil, string:
		return ""
	}
	return bare
}

// flat lists the scalars of v by their paths.
func flat(v any, path string, into map[string]any) map[string]any {
	switch v := v.(type) {
	case map[string]any:
		for k, child := range v {
			flat(child, join(path, k), into)
		}
	case []any:
		for i, child := range v {
			flat(child, fmt.Sprintf("%s[%d]", path, i), into)
		}
	default:
		into[path] = v
	}
	return into
}

// agree compares the verdicts of the loader and of the schema. used notes what
// of beyond was seen.
func agree(t *testing.T, text string, value any, used map[string]bool) {
	t.Helper()
	_, err := matrix.Parse("targets.yaml", []byte(text))
	if err == nil {
		if at := judge(t, value); at != nil {
			t.Errorf("the loader takes it, the schema refuses %q", at)
		}
		return
	}
	var flagged []string
	judged := false
	for _, p := range err.(*matrix.Error).Problems {
		if why := beyondSchema(p, value); why != "" {
			if used != nil {
				used[why] = true
			}
			continue
		}
		if !judged {
			flagged, judged = judge(t, value), true
		}
		if !slices.ContainsFunc(flagged, func(at string) bool {
			return within(p.Path, at) || within(at, p.Path)
		}) {
			t.Errorf("the schema flags %q, and not:\n%s", flagged, p)
		}
	}
}

// within tells whether path is that of a part of whole, or of all of it.
func within(path, whole string) bool {
	return whole == "" || strings.HasPrefix(steps.Replace(path)+".", steps.Replace(whole)+".")
}

// steps makes numbers of items and names that are numbers look the same: the
// validator does not tell them apart.
var steps = strings.NewReplacer("[", ".", "]", "")

func TestSchemaFile(t *testing.T) {
	golden(t, "../../../docs/targets.schema.json", string(schemaText()))
	if _, err := validator(); err != nil {
		t.Errorf("it is no JSON Schema: %v", err)
	}
}

// TestSchemaAcceptsOurFiles reads every targets.yaml that is published here.
func TestSchemaAcceptsOurFiles(t *testing.T) {
	files := []string{filepath.Join("testdata", "base.yaml"), filepath.Join("testdata", "full.yaml")}
	for _, pattern := range []string{"../../targets.yaml", "../../examples/*/targets.yaml"} {
		found, err := filepath.Glob(filepath.FromSlash(pattern))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	if len(files) < 3 {
		t.Fatalf("found only %q", files)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		parse(t, string(data))
		if at := judge(t, read(string(data))); at != nil {
			t.Errorf("the schema refuses %q of %s", at, file)
		}
	}
}

// TestSchemaAgreesOnErrors takes all that the test of the loader's messages
// knows.
func TestSchemaAgreesOnErrors(t *testing.T) {
	used := map[string]bool{}
	for _, w := range wrongs {
		t.Run(w.name, func(t *testing.T) {
			text, _ := place(edit(t, base(t), w.old, w.replacement))
			agree(t, text, read(text), used)
		})
	}
	for _, b := range beyond {
		if !used[b.what] {
			t.Errorf("no file shows that the schema cannot know: %s", b.what)
		}
	}
}

// TestPartialFiles are files as an editor has them while they are written.
func TestPartialFiles(t *testing.T) {
	for _, test := range []struct {
		text string
		want []string
	}{
		{"version: 1\n", []string{"packages", "project", "targets"}},
		{"version: 1\nproject:\n", []string{"packages", "project", "targets"}},
		{"version: 1\nproject: {name: demo}\ntargets: {}\npackages: {}\n", []string{"packages", "project.version", "project.version-package", "targets"}},
		{"version: 1\nproject: {nam: demo, name: a, version-package: a}\ntargets: {linux: {tripel: a}}\n", []string{"packages", "project.nam", "targets.linux.tripel"}},
		{"version: 2\nproject: {name: a b, version-package: a}\ntargets: {l: {archive: rar, hosts: {linux: {}}}}\npackages: {p: {}}\n", []string{"packages.p.asset", "packages.p.programs", "packages.p.runtime-of", "project.name", "targets.l.archive", "targets.l.hosts.linux", "version"}},
		{"version: 1\nproject: {name: a, version-package: a}\ntargets: {l: {}}\npackages: {p: {like: q, files: [{to: x}, {source: x}, {source: x, toolkit: y, to: x}]}}\n", []string{
			"packages.p.files[0].out-dir", "packages.p.files[0].source", "packages.p.files[0].toolkit", "packages.p.files[1].to", "packages.p.files[2].toolkit",
		}},
		{"version: 1\nproject: {name: a, version-package: a}\ndefaults: {variant-of: x}\nsystems: {linux: {triple: x86_64-unknown-linux-gnu}, macos: {triple: aarch64-apple-darwin}, windows: {variant-of: x}, bsd: {}}\ntargets: {l: {env: {A: 1, RUSTFLAGS: x, A-B: y}}}\npackages: {p: {like: q}}\n", []string{
			"defaults.variant-of", "systems.bsd", "systems.linux.triple", "systems.macos.triple", "systems.windows.variant-of", "targets.l.env.A-B", "targets.l.env.RUSTFLAGS",
		}},
	} {
		if got := judge(t, read(test.text)); !slices.Equal(got, test.want) {
			t.Errorf("the schema flags\n%q, want\n%q in\n%s", got, test.want, test.text)
		}
	}
}

func ExampleJSONSchema() {
	s := matrix.JSONSchema()
	target := s.Definitions.Values["target"]
	fmt.Println(target.Properties.Values["archive"].Description)
	// Output: The format of the archives. Default: zip.
}
