package matrix_test

import (
	"fmt"
	"maps"
	"os"
	"path"
	"reflect"
	"slices"
	"strings"
	"testing"
	"text/template"

	"github.com/relmat/relmat/internal/matrix"
)

// TestDocs keeps docs/targets.md equal to what the template, the types and
// their comments say.
func TestDocs(t *testing.T) {
	text, err := os.ReadFile("targets.md.tmpl")
	if err != nil {
		t.Fatal(err)
	}
	d := docs{schema: matrix.JSONSchema(), told: map[string]bool{}}
	tmpl, err := template.New("targets.md.tmpl").Funcs(template.FuncMap{
		"table": d.table, "about": d.about, "levels": levels, "layouts": layouts, "reserved": d.reserved,
	}).Parse(string(text))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := tmpl.Execute(&b, nil); err != nil {
		t.Fatal(err)
	}
	golden(t, "../../../docs/targets.md", b.String())

	for _, name := range d.schema.Definitions.Keys {
		if !d.told[name] && !slices.Contains([]string{"text", "defaults", "system", "systems", "smoke"}, name) {
			t.Errorf("targets.md.tmpl has no table of %s", name)
		}
	}
	fields := reflect.TypeFor[matrix.Fields]()
	_, templates, _ := strings.Cut(b.String(), "## Templates")
	for i := range fields.NumField() {
		name := "`." + fields.Field(i).Name
		if !strings.Contains(templates, name+"`") && !strings.Contains(templates, name+".NAME`") {
			t.Errorf("the table of templates in targets.md.tmpl lacks %s`", name)
		}
	}
}

// docs makes tables of the schema. told are the definitions that have one.
type docs struct {
	schema *matrix.Schema
	told   map[string]bool
}

func (d docs) definition(name string) (*matrix.Schema, error) {
	d.told[name] = true
	if name == "file" {
		return d.schema, nil
	}
	s := d.schema.Definitions.Values[name]
	if s == nil {
		return nil, fmt.Errorf("there is no definition %q", name)
	}
	return s, nil
}

// about is the comment of a type.
func (d docs) about(name string) (string, error) {
	s, err := d.definition(name)
	if err != nil {
		return "", err
	}
	return s.Description, nil
}

func (d docs) table(name string) (string, error) {
	s, err := d.definition(name)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString("| key | value | meaning | left out |\n|---|---|---|---|\n")
	d.rows(&b, s, "", name != "file")
	return b.String(), nil
}

// rows writes a row for each key; one that holds a mapping of fixed keys is
// replaced by theirs if deep is set.
func (d docs) rows(b *strings.Builder, s *matrix.Schema, prefix string, deep bool) {
	for _, key := range s.Properties.Keys {
		p := s.Properties.Values[key]
		if ref, ok := strings.CutPrefix(p.Ref, "#/definitions/"); ok && deep {
			d.told[ref] = true
			d.rows(b, d.schema.Definitions.Values[ref], prefix+key+".", deep)
			continue
		}
		meaning := strings.TrimSpace(strings.TrimSuffix(p.Description, "Default: "+p.Default+"."))
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", prefix+key, value(p), meaning, leftOut(s, key))
		if each, ok := p.AdditionalProperties.(*matrix.Schema); ok && deep && each.Ref != "" {
			ref := strings.TrimPrefix(each.Ref, "#/definitions/")
			d.told[ref] = true
			d.rows(b, d.schema.Definitions.Values[ref], prefix+key+".NAME.", deep)
		}
	}
}

// value says what a value is: the words that are allowed, if they are few.
func value(p *matrix.Schema) string {
	enum := p.Enum
	if len(p.AnyOf) > 0 && p.AnyOf[0].Enum != nil {
		enum = p.AnyOf[0].Enum
	}
	if len(enum) == 0 || len(enum) > 3 {
		return p.Kind
	}
	var words []string
	for _, word := range enum {
		words = append(words, fmt.Sprintf("`%v`", word))
	}
	return strings.Join(words, " or ")
}

// leftOut says what a key that is left out means.
func leftOut(s *matrix.Schema, key string) string {
	switch {
	case slices.Contains(s.Required, key):
		return "an error"
	case s.Then == nil && s.Else != nil && slices.Contains(s.Else.Required, key):
		return "an error, without `" + s.If.Required[0] + "`"
	}
	def := s.Properties.Values[key].Default
	if def == "" || strings.Contains(def, " ") || def == "none" || def == "all" {
		return def
	}
	return "`" + def + "`"
}

func levels() string {
	var b strings.Builder
	b.WriteString("| level | architecture | rustc's `target-cpu` | `-march` of GCC and Clang | since |\n|---|---|---|---|---|\n")
	for _, l := range matrix.CPULevels() {
		fmt.Fprintf(&b, "| `%s` | %s | `%s` | `%s` | %s |\n", l.Name, l.Arch, l.Rust, l.March, l.Since)
	}
	return b.String()
}

func layouts() string {
	var b strings.Builder
	b.WriteString("| style | programs | libraries |\n|---|---|---|\n")
	for _, style := range []string{"bin-lib", "flat", "mlx-windows", "wheels"} {
		l := matrix.Package{Layout: matrix.Layout{Style: style}}.LayoutOf()
		where := "`" + l.Libraries + "`"
		if l.Place("x", "in/its/wheel/x") == "in/its/wheel/x" {
			where = "where their wheels have them; of others, " + where
		}
		if hooks := l.Hooks(); len(hooks) > 0 {
			for _, match := range slices.Sorted(maps.Keys(hooks)) {
				where += fmt.Sprintf("; `%s` in `%s`", match, path.Join(l.Programs, hooks[match]))
			}
		}
		fmt.Fprintf(&b, "| `%s` | `%s` | %s |\n", style, l.Programs, where)
	}
	return b.String()
}

// reserved lists the variables that env cannot set.
func (d docs) reserved() string {
	env := d.schema.Definitions.Values["target"].Properties.Values["env"]
	var names []string
	for _, name := range env.Properties.Keys {
		names = append(names, "`"+name+"`")
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
}
