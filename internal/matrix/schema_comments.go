package matrix

import (
	_ "embed"
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The comments of the types are the words of the schema and of
// docs/targets.md too: a key is explained in one place.
//
//go:embed types.go
var typesSource []byte

//go:embed types_sign.go
var typesSignSource []byte

// comment is what the comment of a type or field says to users.
type comment struct {
	text string
	// byDefault is what its last sentence says after "Default:".
	byDefault string
}

// comments are keyed by Type and Type.Field.
type comments map[string]comment

func mustComments() comments {
	all := comments{}
	var decls []ast.Decl
	for _, source := range [][]byte{typesSource, typesSignSource} {
		file, err := parser.ParseFile(token.NewFileSet(), "types.go", source, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			panic("matrix: " + err.Error())
		}
		decls = append(decls, file.Decls...)
	}
	for _, decl := range decls {
		types, ok := decl.(*ast.GenDecl)
		if !ok || types.Tok != token.TYPE {
			continue
		}
		for _, spec := range types.Specs {
			t := spec.(*ast.TypeSpec)
			all[t.Name.Name] = toComment(t.Name.Name, types.Doc.Text())
			s, ok := t.Type.(*ast.StructType)
			if !ok {
				continue
			}
			for _, field := range s.Fields.List {
				for _, name := range field.Names {
					all[t.Name.Name+"."+name.Name] = toComment(name.Name, field.Doc.Text())
				}
			}
		}
	}
	return all
}

// of returns the comment of a type's field, or of the type itself.
func (c comments) of(typ, field string) comment {
	if field != "" {
		typ += "." + field
	}
	return c[typ]
}

var defaultSentence = regexp.MustCompile(` ?Default: ((?:[^.]|\.\S)+)\.$`)

// toComment turns a Go comment into words for users, who do not know the name
// with which it begins: "Bin is the name of …" becomes "The name of …".
func toComment(name, doc string) comment {
	text := strings.Join(strings.Fields(doc), " ")
	for _, begin := range []string{name + " is ", name + " are ", name + " "} {
		if rest, ok := strings.CutPrefix(text, begin); ok {
			first, size := utf8.DecodeRuneInString(rest)
			text = string(unicode.ToUpper(first)) + rest[size:]
			break
		}
	}
	c := comment{text: text}
	if m := defaultSentence.FindStringSubmatch(text); m != nil {
		c.byDefault = m[1]
	}
	return c
}
