package matrix

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
)

// Schema is a JSON Schema (draft-07, the one that the YAML language servers of
// editors know best) of targets.yaml or of a part of it.
type Schema struct {
	Schema string `json:"$schema,omitempty"`
	// Ref stands for one of the Definitions. Validators see no other key beside
	// it, editors show the Description.
	Ref         string `json:"$ref,omitempty"`
	Description string `json:"description,omitempty"`
	Type        Types  `json:"type,omitempty"`
	Const       any    `json:"const,omitempty"`
	Enum        []any  `json:"enum,omitempty"`
	// EnumDescriptions, ErrorMessage and PatternErrorMessage are for editors
	// alone.
	EnumDescriptions     []string    `json:"enumDescriptions,omitempty"`
	ErrorMessage         string      `json:"errorMessage,omitempty"`
	Pattern              string      `json:"pattern,omitempty"`
	PatternErrorMessage  string      `json:"patternErrorMessage,omitempty"`
	MinLength            int         `json:"minLength,omitempty"`
	MaxLength            *int        `json:"maxLength,omitempty"`
	Minimum              *int        `json:"minimum,omitempty"`
	Items                *Schema     `json:"items,omitempty"`
	MinItems             int         `json:"minItems,omitempty"`
	MaxItems             *int        `json:"maxItems,omitempty"`
	Properties           *Properties `json:"properties,omitempty"`
	PropertyNames        *Schema     `json:"propertyNames,omitempty"`
	AdditionalProperties any         `json:"additionalProperties,omitempty"`
	Required             []string    `json:"required,omitempty"`
	MinProperties        int         `json:"minProperties,omitempty"`
	AllOf                []*Schema   `json:"allOf,omitempty"`
	AnyOf                []*Schema   `json:"anyOf,omitempty"`
	Not                  *Schema     `json:"not,omitempty"`
	If                   *Schema     `json:"if,omitempty"`
	Then                 *Schema     `json:"then,omitempty"`
	Else                 *Schema     `json:"else,omitempty"`
	// DoNotSuggest keeps editors from completing a key.
	DoNotSuggest bool        `json:"doNotSuggest,omitempty"`
	Definitions  *Properties `json:"definitions,omitempty"`

	// Kind says in a few words what a value is, for docs/targets.md.
	Kind string `json:"-"`
	// Default says what a key that is left out means, as its comment does.
	Default string `json:"-"`
}

// Types are the types that a value may have.
type Types []string

// MarshalJSON writes a single type as a word.
func (t Types) MarshalJSON() ([]byte, error) {
	if len(t) == 1 {
		return json.Marshal(t[0])
	}
	return json.Marshal([]string(t))
}

// Properties are schemas by name, in the order of the Go fields. Without a
// schema a name is not allowed.
type Properties Map[*Schema]

// MarshalJSON keeps the order.
func (p Properties) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, k := range p.Keys {
		if i > 0 {
			b.WriteByte(',')
		}
		key, err := encode(k)
		if err != nil {
			return nil, err
		}
		value := []byte("false")
		if s := p.Values[k]; s != nil {
			if value, err = encode(s); err != nil {
				return nil, err
			}
		}
		b.Write(key)
		b.WriteByte(':')
		b.Write(value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// encode is json.Marshal that leaves < and > as they are.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return bytes.TrimSpace(b.Bytes()), err
}

func (p *Properties) put(key string, s *Schema) {
	(*Map[*Schema])(p).put(key, reflect.ValueOf(s))
}

// Names of the definitions of targets, by what may stand in them.
const (
	sharedTarget = "defaults"
	systemTarget = "system"
)

// JSONSchema describes what Parse accepts, as far as JSON Schema can say it,
// from the types that Parse fills, their comments, and the rules beside them.
// What it cannot say are references between parts of the file, templates and
// expressions, and rules about a target with all that it inherits.
func JSONSchema() *Schema {
	g := generator{definitions: &Properties{}, comments: mustComments()}
	g.definitions.put("text", anyText())
	s := g.structure(reflect.TypeFor[File]())
	s.Schema = "http://json-schema.org/draft-07/schema#"
	s.Definitions = g.definitions
	return s
}

type generator struct {
	definitions *Properties
	comments    comments
}

// structure is the schema of a Go struct.
func (g *generator) structure(t reflect.Type) *Schema {
	s := &Schema{
		Description: g.comments.of(t.Name(), "").text, Type: Types{"object"},
		Properties: &Properties{}, AdditionalProperties: false,
	}
	for i := range t.NumField() {
		field := t.Field(i)
		key := field.Tag.Get("yaml")
		if key == "" {
			continue
		}
		r := rules[t.Name()+"."+key]
		v := g.value(field.Type, r)
		if c := g.comments.of(t.Name(), field.Name); c.text != "" {
			v.Description, v.Default = c.text, c.byDefault
		}
		s.Properties.put(key, v)
		if r.need {
			s.Required = append(s.Required, key)
		}
	}
	if more := structRules[t.Name()]; more != nil {
		more(s)
	}
	return s
}

// value is the schema of a value of type t to which r applies.
func (g *generator) value(t reflect.Type, r rule) *Schema {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if m, ok := reflect.New(t).Interface().(mapping); ok {
		s := &Schema{Type: Types{"object"}, AdditionalProperties: g.value(m.zero().Type(), r.each())}
		s.Kind = "names to " + plural(s.AdditionalProperties.(*Schema).Kind)
		if r.names != nil {
			r.names(s)
		}
		if r.need {
			s.MinProperties = 1
		}
		return s
	}
	switch {
	case t == durationType:
		return aDuration.schema(true) // an empty one is not no duration
	case t.Kind() == reflect.Struct:
		return g.reference(t, r)
	case t.Kind() == reflect.Slice:
		s := &Schema{Type: Types{"array"}, Items: g.value(t.Elem(), r.each())}
		s.Kind = "list of " + plural(s.Items.Kind)
		if r.need || r.some {
			s.MinItems = 1
		}
		return s
	case t.Kind() == reflect.String:
		return r.text.schema(r.need)
	case t.Kind() == reflect.Bool:
		return &Schema{Type: Types{"boolean"}, Kind: "true or false"}
	case t.Kind() == reflect.Int:
		if r.schema != nil {
			return r.schema()
		}
		return wholeNumber()
	}
	panic("matrix: no schema for " + t.String())
}

// reference is a reference to the definition of a struct, which it makes when
// it is the first.
func (g *generator) reference(t reflect.Type, r rule) *Schema {
	name := strings.ToLower(t.Name())
	if r.define != "" {
		name = r.define
	}
	if !slices.Contains(g.definitions.Keys, name) {
		g.definitions.put(name, nil) // before those that it refers to
		def := g.structure(t)
		if shape := shapes[name]; shape != nil {
			shape(def)
		}
		g.definitions.Values[name] = def
	}
	return &Schema{Ref: "#/definitions/" + name, Kind: "mapping", Description: g.definitions.Values[name].Description}
}

func plural(kind string) string {
	switch {
	case kind == "text" || kind == "":
		return "text"
	case kind == "mapping":
		return "mappings"
	case strings.HasSuffix(kind, "text"):
		return kind
	}
	first, rest, found := strings.Cut(kind, " ")
	if found {
		rest = " " + rest
	}
	return first + "s" + rest
}
