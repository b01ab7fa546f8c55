package corpus

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// scope is a part of what llvm-readobj prints: lines "key: value", and parts in
// braces or brackets.
type scope struct {
	name  string
	lines []pair
	parts []*scope
}

type pair struct{ key, value string }

// parseScopes reads the output of llvm-readobj.
func parseScopes(out string) (*scope, error) {
	root := &scope{}
	stack := []*scope{root}
	for n, line := range strings.Split(out, "\n") {
		text := strings.TrimSpace(line)
		top := stack[len(stack)-1]
		if text == "}" || text == "]" || text == ")" {
			if len(stack) == 1 {
				return nil, fmt.Errorf("line %d of llvm-readobj closes what is not open", n+1)
			}
			stack = stack[:len(stack)-1]
			continue
		}
		// "Characteristics [ (0x2022)" and "RawData (" open a part as well.
		name, rest, opens := cutOpen(text)
		if opens && rest == "" || opens && strings.HasPrefix(rest, "(0x") && strings.HasSuffix(rest, ")") {
			s := &scope{name: name}
			top.parts = append(top.parts, s)
			stack = append(stack, s)
			continue
		}
		if key, value, ok := strings.Cut(text, ":"); ok {
			top.lines = append(top.lines, pair{key, strings.TrimPrefix(value, " ")})
		} else if text != "" {
			top.lines = append(top.lines, pair{text, ""})
		}
	}
	if len(stack) != 1 {
		return nil, fmt.Errorf("llvm-readobj's output ends within %s", stack[len(stack)-1].name)
	}
	return root, nil
}

func cutOpen(text string) (name, rest string, ok bool) {
	for _, open := range []string{" {", " [", " ("} {
		if name, rest, ok := strings.Cut(text, open); ok && !strings.Contains(name, ":") {
			return name, strings.TrimSpace(rest), true
		}
	}
	return "", "", false
}

// value is that of the first line with the key, anywhere below.
func (s *scope) value(key string) string {
	for _, l := range s.lines {
		if l.key == key {
			return l.value
		}
	}
	for _, p := range s.parts {
		if v := p.value(key); v != "" {
			return v
		}
	}
	return ""
}

// word is the value without the number that llvm-readobj shows behind it.
func (s *scope) word(key string) string {
	w, _, _ := strings.Cut(s.value(key), " (")
	return w
}

func (s *scope) number(key string) int64 {
	n, err := strconv.ParseInt(s.word(key), 0, 64)
	if err != nil {
		return -1
	}
	return n
}

// all are the parts with the name, anywhere below.
func (s *scope) all(name string) (found []*scope) {
	for _, p := range s.parts {
		if p.name == name {
			found = append(found, p)
		} else {
			found = append(found, p.all(name)...)
		}
	}
	return found
}

// has says that a line of the part begins with the key.
func (s *scope) has(key string) bool {
	for _, l := range s.lines {
		if strings.HasPrefix(l.key, key+" ") || l.key == key {
			return true
		}
	}
	return false
}

func TestParseScopes(t *testing.T) {
	s, err := parseScopes("\nFile: a.dll\nHeader {\n  Machine: AMD64 (0x8664)\n  Flags [ (0x3)\n    DLL (0x1)\n  ]\n}\n" +
		"Import {\n  Name: x.dll\n  Symbol: f (1)\n  Symbol:  (17)\n}\nImport {\n  Name: y.dll\n}\n")
	if err != nil {
		t.Fatal(err)
	}
	if got := s.word("Machine"); got != "AMD64" {
		t.Errorf("the machine is %q", got)
	}
	if got := s.all("Flags"); len(got) != 1 || !got[0].has("DLL") || got[0].has("D") {
		t.Errorf("the flags are %+v", got)
	}
	imports := s.all("Import")
	if len(imports) != 2 || imports[1].value("Name") != "y.dll" || imports[0].lines[2] != (pair{"Symbol", " (17)"}) {
		t.Errorf("the imports are %+v", imports)
	}
	for _, damaged := range []string{"a {\n", "}\n"} {
		if s, err := parseScopes(damaged); err == nil {
			t.Errorf("%q gives %+v", damaged, s)
		}
	}
}
