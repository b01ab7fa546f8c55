package matrix

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Version is the version of the format that this package reads.
const Version = 1

// Load reads and checks the targets.yaml at path. A file that is wrong gives
// an *Error with every problem in it.
func Load(path string) (*File, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil, &Error{Problems: []Problem{{File: path, Line: 1, Column: 1,
				Message: "there is no such file", Hint: "name the matrix with --config FILE"}}}
		}
		return nil, err
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	f, err := Parse(path, data)
	if err != nil {
		return nil, err
	}
	f.Dir = filepath.Dir(abs)
	return f, nil
}

var yamlLine = regexp.MustCompile(`^yaml: line (\d+): (?:column \d+: )?(.*)$`)

// Parse checks the text of a targets.yaml; path is for messages.
func Parse(path string, data []byte) (*File, error) {
	f := &File{Path: path, problems: &problems{file: path, lines: strings.Split(string(data), "\n")}}
	f.at = &decoder{problems: f.problems, nodes: map[string]*yaml.Node{}}

	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc yaml.Node
	err := dec.Decode(&doc)
	if errors.Is(err, io.EOF) || err == nil && (len(doc.Content) == 0 || doc.Content[0].Tag == "!!null") {
		f.problems.add(nil, "", "the file is empty", "docs/targets.md shows how one looks")
		return nil, f.problems.err()
	}
	if err != nil {
		n := &yaml.Node{}
		msg := strings.TrimPrefix(err.Error(), "yaml: ")
		if m := yamlLine.FindStringSubmatch(err.Error()); m != nil {
			_, _ = fmt.Sscan(m[1], &n.Line)
			n.Column, msg = 1, m[2]
		}
		f.problems.add(n, "", "this is not YAML: "+msg, "")
		return nil, f.problems.err()
	}
	root := doc.Content[0]
	// A file of another version is not judged by this version's keys.
	if v := child(root, "version"); v != nil && v.Value != fmt.Sprint(Version) {
		f.problems.add(v, "version", fmt.Sprintf("this relmat reads version %d, the file is %s", Version, describe(v)), "use the relmat that the file was written for")
		return nil, f.problems.err()
	}
	f.at.value(root, "", reflect.ValueOf(f).Elem())
	if dec.Decode(new(yaml.Node)) == nil {
		f.problems.add(nil, "", "the file holds more than one YAML document", "remove the lines '---'")
	}
	if err := f.problems.err(); err != nil {
		return nil, err // later checks would only repeat what is missing
	}
	f.check()
	return f, f.problems.err()
}

func child(n *yaml.Node, key string) *yaml.Node {
	if n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

// problem notes a problem at the place in the file that path names, or at the
// nearest place above it.
func (f *File) problem(path, hint, format string, args ...any) {
	at := path
	for f.at.nodes[at] == nil && at != "" {
		at = at[:max(strings.LastIndexAny(at, ".["), 0)]
	}
	f.problems.add(f.at.nodes[at], path, fmt.Sprintf(format, args...), hint)
}
