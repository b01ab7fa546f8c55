package matrix

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Map is a YAML mapping from free names to values that keeps the order of the
// file.
type Map[T any] struct {
	Keys   []string
	Values map[string]T
}

// Get returns the value of name.
func (m Map[T]) Get(name string) (T, bool) {
	v, ok := m.Values[name]
	return v, ok
}

// mapping is how the decoder fills a Map without knowing its T.
type mapping interface {
	zero() reflect.Value
	put(key string, v reflect.Value)
}

func (m *Map[T]) zero() reflect.Value { return reflect.New(reflect.TypeFor[T]()).Elem() }

func (m *Map[T]) put(key string, v reflect.Value) {
	if m.Values == nil {
		m.Values = map[string]T{}
	}
	m.Keys = append(m.Keys, key)
	m.Values[key] = v.Interface().(T)
}

var durationType = reflect.TypeFor[time.Duration]()

// decoder turns YAML nodes into Go values by the yaml tags of their fields. It
// collects every problem of a file and remembers where each value stood.
type decoder struct {
	problems *problems
	// nodes are the values by their paths, keys the names before them.
	nodes, keys map[string]*yaml.Node
}

func (d *decoder) value(n *yaml.Node, path string, out reflect.Value) {
	d.nodes[path] = n
	if n.Kind == yaml.AliasNode {
		d.problems.add(n, path, "aliases are not allowed", "write the value out, or put it into defaults")
		return
	}
	if n.Anchor != "" {
		d.problems.add(n, path, "anchors are not allowed", "what targets share belongs into defaults")
		return
	}
	if m, ok := out.Addr().Interface().(mapping); ok {
		d.mapping(n, path, "write names, each with ':' and its value", func(key, val *yaml.Node, at string) {
			v := m.zero()
			d.value(val, at, v)
			m.put(key.Value, v)
		})
		return
	}
	switch out.Kind() {
	case reflect.Pointer:
		v := reflect.New(out.Type().Elem())
		d.value(n, path, v.Elem())
		out.Set(v)
	case reflect.Struct:
		d.structure(n, path, out)
	case reflect.Slice:
		if n.Kind != yaml.SequenceNode {
			d.problems.add(n, path, "must be a list, is "+describe(n), "write [a, b] or one '- item' a line")
			return
		}
		list := reflect.MakeSlice(out.Type(), len(n.Content), len(n.Content))
		for i, item := range n.Content {
			d.value(item, fmt.Sprintf("%s[%d]", path, i), list.Index(i))
		}
		out.Set(list)
	default:
		d.scalar(n, path, out)
	}
}

func (d *decoder) mapping(n *yaml.Node, path, hint string, each func(key, val *yaml.Node, at string)) {
	if n.Kind != yaml.MappingNode {
		if n.Tag == "!!null" {
			hint += "; or {} for none"
		}
		d.problems.add(n, path, "must be a mapping, is "+describe(n), hint)
		return
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, val := n.Content[i], n.Content[i+1]
		at := join(path, key.Value)
		if key.Kind != yaml.ScalarNode {
			d.problems.add(key, path, "a key must be a word, is "+describe(key), "")
			continue
		}
		if line, ok := seen[key.Value]; ok {
			d.problems.add(key, at, "stands twice", fmt.Sprintf("the first is on line %d", line))
			continue
		}
		seen[key.Value] = key.Line
		d.keys[at] = key
		each(key, val, at)
	}
}

func (d *decoder) structure(n *yaml.Node, path string, out reflect.Value) {
	fields := map[string]int{}
	var known []string
	for i := range out.NumField() {
		if tag := out.Type().Field(i).Tag.Get("yaml"); tag != "" {
			fields[tag] = i
			known = append(known, tag)
		}
	}
	d.mapping(n, path, "its keys: "+strings.Join(known, ", "), func(key, val *yaml.Node, at string) {
		i, ok := fields[key.Value]
		if !ok {
			hint := "allowed: " + strings.Join(known, ", ")
			if near := nearest(key.Value, known); near != "" {
				hint = fmt.Sprintf("did you mean %q? %s", near, hint)
			}
			d.problems.add(key, at, "unknown key", hint)
			return
		}
		d.value(val, at, out.Field(i))
	})
}

func (d *decoder) scalar(n *yaml.Node, path string, out reflect.Value) {
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
		d.problems.add(n, path, "must be "+want(out)+", is "+describe(n), "")
		return
	}
	bad := func() {
		d.problems.add(n, path, fmt.Sprintf("must be %s, is %q", want(out), n.Value), "")
	}
	switch {
	case out.Type() == durationType:
		v, err := time.ParseDuration(n.Value)
		if err != nil || v <= 0 {
			bad()
			return
		}
		out.SetInt(int64(v))
	case out.Kind() == reflect.String:
		// 13.0 and 1e3 without quotes would lose their spelling elsewhere; here
		// the node still has it.
		out.SetString(n.Value)
	case out.Kind() == reflect.Bool:
		// A text with the tag !!bool before it can be any word.
		word := strings.ToLower(n.Value)
		if n.Tag != "!!bool" || word != "true" && word != "false" {
			bad()
			return
		}
		out.SetBool(word == "true")
	case out.Kind() == reflect.Int || out.Kind() == reflect.Int64:
		v, err := strconv.ParseInt(n.Value, 10, 64)
		if err != nil || v < 0 {
			bad()
			return
		}
		out.SetInt(v)
	default:
		panic("matrix: no decoder for " + out.Type().String())
	}
}

func want(out reflect.Value) string {
	switch {
	case out.Type() == durationType:
		return "a duration such as 90s, 5m or 168h"
	case out.Kind() == reflect.Bool:
		return "true or false"
	case out.Kind() == reflect.Int || out.Kind() == reflect.Int64:
		return "a whole number of 0 or more"
	}
	return "text"
}

func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.ScalarNode:
		if n.Tag == "!!null" {
			return "empty"
		}
		return fmt.Sprintf("%q", n.Value)
	}
	return "something else"
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// nearest returns the known word that word was probably meant to be, or "".
func nearest(word string, known []string) string {
	best, dist := "", max(2, len(word)/3)+1
	for _, k := range known {
		if d := editDistance(strings.ToLower(word), k); d < dist {
			best, dist = k, d
		}
	}
	return best
}

// editDistance counts the insertions, deletions and substitutions between two
// words (V. I. Levenshtein, 1966).
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := diagonal
			if a[i-1] != b[j-1] {
				cost++
			}
			diagonal = row[j]
			row[j] = slices.Min([]int{cost, row[j] + 1, row[j-1] + 1})
		}
	}
	return row[len(b)]
}
