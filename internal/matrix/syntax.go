package matrix

import (
	"bytes"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

var (
	yamlLine   = regexp.MustCompile(`^line (\d+): (?:column \d+: )?`)
	yamlAnchor = regexp.MustCompile(`^unknown anchor '(.+)' referenced$`)
	// parserMessage tells the messages of the yaml package's parser, whose lines
	// are counted from 0, from those of its scanner, whose lines are right.
	parserMessage = regexp.MustCompile(`^(did not find expected (<|'-' indicator|',' or|key|node content)|found (undefined tag handle|duplicate|incompatible))`)
)

// notYAML notes what the yaml package says of text that it cannot read, at the
// line that it means.
func (p *problems) notYAML(err error, data []byte) {
	at := &yaml.Node{Line: 1, Column: 1}
	msg := strings.TrimPrefix(err.Error(), "yaml: ")
	if m := yamlLine.FindStringSubmatch(msg); m != nil {
		at.Line, _ = strconv.Atoi(m[1])
		if msg = msg[len(m[0]):]; parserMessage.MatchString(msg) {
			at.Line++
		}
	} else if m := yamlAnchor.FindStringSubmatch(msg); m != nil {
		at.Line = lineOf(data, func(line []byte) bool { return bytes.Contains(line, []byte("*"+m[1])) })
	} else if strings.Contains(msg, "UTF-8") || strings.Contains(msg, "control characters") {
		at.Line = lineOf(data, func(line []byte) bool {
			return !utf8.Valid(line) || bytes.ContainsFunc(line, func(r rune) bool { return unicode.IsControl(r) && r != '\t' && r != '\r' })
		})
	}
	hint := ""
	if at.Line <= len(p.lines) && (msg == "found character that cannot start any token" || strings.Contains(msg, "tab character")) {
		// YAML indents with spaces alone, and does not say that it met a tab.
		line := p.lines[at.Line-1]
		if indent := line[:len(line)-len(strings.TrimLeft(line, " \t"))]; strings.Contains(indent, "\t") {
			at.Column = strings.Index(indent, "\t") + 1
			msg, hint = "the line is indented with a tab", "indent with spaces"
		}
	}
	p.add(at, "", "this is not YAML: "+msg, hint)
}

// lineOf returns the number of the first line that has what is looked for, or
// 1.
func lineOf(data []byte, has func([]byte) bool) int {
	for i, line := range bytes.Split(data, []byte("\n")) {
		if has(line) {
			return i + 1
		}
	}
	return 1
}
