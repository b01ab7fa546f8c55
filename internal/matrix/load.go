package matrix

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Version is the version of the format that this package reads.
const Version = 1

// Load reads and checks the targets.yaml at path. A file that is wrong gives
// an *Error with every problem in it.
func Load(path string) (*File, error) { return LoadBy(os.ReadFile, path) }

// LoadBy is Load with what reads the file: one that is a pipe may never end.
func LoadBy(read func(path string) ([]byte, error), path string) (*File, error) {
	data, err := read(path)
	if err != nil {
		var pe *fs.PathError
		if !errors.As(err, &pe) {
			return nil, err // the reading was ended
		}
		p := Problem{File: path, Message: "there is no such file", Hint: "name the matrix with --config FILE"}
		switch info, serr := os.Stat(path); {
		case serr == nil && info.IsDir():
			p.Message = "it is a directory"
		case !errors.Is(err, fs.ErrNotExist):
			p.Message = "it cannot be read: " + pe.Err.Error()
		}
		return nil, &Error{Problems: []Problem{p}}
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

// Parse checks the text of a targets.yaml; path is for messages.
func Parse(path string, data []byte) (*File, error) {
	f := &File{Path: path, problems: &problems{file: path, lines: strings.Split(string(data), "\n")}}
	f.at = &decoder{problems: f.problems, nodes: map[string]*yaml.Node{}, keys: map[string]*yaml.Node{}}

	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc yaml.Node
	err := dec.Decode(&doc)
	if errors.Is(err, io.EOF) || err == nil && (len(doc.Content) == 0 || doc.Content[0].Tag == "!!null") {
		f.problems.add(nil, "", "the file is empty", "docs/targets.md shows how one looks")
		return nil, f.problems.err()
	}
	if err != nil {
		f.problems.notYAML(err, data)
		return nil, f.problems.err()
	}
	root := doc.Content[0]
	// A file of another version is not judged by this version's keys.
	if v := child(root, "version"); v != nil && v.Value != fmt.Sprint(Version) {
		f.problems.add(v, "version", fmt.Sprintf("this relmat reads version %d, the file is %s", Version, describe(v)), "use the relmat that the file was written for")
		return nil, f.problems.err()
	}
	f.at.value(root, "", reflect.ValueOf(f).Elem())
	var second yaml.Node
	if err := dec.Decode(&second); err == nil {
		f.problems.add(&second, "", "the file holds more than one YAML document", "remove the lines '---'")
	} else if !errors.Is(err, io.EOF) {
		f.problems.notYAML(err, data)
	}
	if err := f.problems.err(); err != nil {
		return nil, err // later checks would only repeat what is missing
	}
	f.check()
	if err := f.problems.err(); err != nil {
		return nil, err
	}
	return f, nil
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

// problem notes a problem of the value at path. One that the file lacks is
// noted at the name of the nearest place above it.
func (f *File) problem(path, hint, format string, args ...any) {
	f.problems.add(f.node(path), path, fmt.Sprintf(format, args...), hint)
}

// ErrorAt is an error of a value that shows only when the matrix is used: an
// *Error with the value's place, as Load makes it.
func (f *File) ErrorAt(path, hint, format string, args ...any) error {
	p := &problems{file: f.problems.file, lines: f.problems.lines}
	p.add(f.node(path), path, fmt.Sprintf(format, args...), hint)
	return p.err()
}

// node is that of the value at path or, where the file lacks it, the name of the
// nearest place above it.
func (f *File) node(path string) *yaml.Node {
	if n := f.at.nodes[path]; n != nil {
		return n
	}
	at := path
	for f.at.keys[at] == nil && f.at.nodes[at] == nil && at != "" {
		at = at[:max(strings.LastIndexAny(at, ".["), 0)]
	}
	return cmp.Or(f.at.keys[at], f.at.nodes[at])
}

// nameProblem notes a problem of the name at path, not of its value.
func (f *File) nameProblem(path, hint, format string, args ...any) {
	f.problems.add(f.at.keys[path], path, fmt.Sprintf(format, args...), hint)
}
