package main

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/formatter"
	"github.com/vektah/gqlparser/v2/parser"
)

// fields names the types that stay, and of each the fields that stay. Scalars,
// enumerations and inputs that these need come by themselves.
var fields = map[string][]string{
	"Query":                  {"repository", "viewer", "rateLimit"},
	"RateLimit":              {"cost", "limit", "nodeCount", "remaining", "resetAt", "used"},
	"User":                   {"id", "login", "databaseId", "name"},
	"Repository":             {"id", "databaseId", "name", "nameWithOwner", "isArchived", "isPrivate", "isFork", "viewerPermission", "viewerCanAdminister", "release", "releases", "latestRelease", "ref", "url"},
	"Ref":                    {"id", "name", "prefix", "target"},
	"GitObject":              {"id", "oid", "abbreviatedOid"},
	"Commit":                 {"id", "oid", "abbreviatedOid", "committedDate"},
	"Tag":                    {"id", "oid", "abbreviatedOid", "name", "message", "target"},
	"ReleaseConnection":      {"nodes", "edges", "pageInfo", "totalCount"},
	"ReleaseEdge":            {"node", "cursor"},
	"Release":                {"id", "databaseId", "name", "tagName", "tag", "tagCommit", "description", "isDraft", "isLatest", "isPrerelease", "immutable", "createdAt", "publishedAt", "updatedAt", "url", "author", "releaseAssets"},
	"ReleaseAssetConnection": {"nodes", "edges", "pageInfo", "totalCount"},
	"ReleaseAssetEdge":       {"node", "cursor"},
	"ReleaseAsset":           {"id", "name", "contentType", "createdAt", "updatedAt", "digest", "downloadCount", "downloadUrl", "size", "url", "uploadedBy"},
	"PageInfo":               {"hasNextPage", "hasPreviousPage", "startCursor", "endCursor"},
}

func pruneGraphQL(text []byte) ([]byte, error) {
	// Parsed and not loaded: GitHub's schema defines a field twice, which a
	// loader refuses.
	doc, err := parser.ParseSchema(&ast.Source{Name: "schema.graphql", Input: string(text)})
	if err != nil {
		return nil, err
	}
	full := &ast.Schema{Types: map[string]*ast.Definition{}}
	for _, def := range doc.Definitions {
		full.Types[def.Name] = def
	}
	small := &ast.Schema{Types: map[string]*ast.Definition{}, Directives: map[string]*ast.DirectiveDefinition{}}
	for name, names := range fields {
		from := full.Types[name]
		if from == nil {
			return nil, fmt.Errorf("no type %s", name)
		}
		def := &ast.Definition{Kind: from.Kind, Name: name}
		for _, i := range from.Interfaces {
			if fields[i] != nil {
				def.Interfaces = append(def.Interfaces, i)
			}
		}
		for _, f := range from.Fields {
			if !slices.Contains(names, f.Name) {
				continue
			}
			keep := &ast.FieldDefinition{Name: f.Name, Type: f.Type}
			for _, a := range f.Arguments {
				keep.Arguments = append(keep.Arguments, &ast.ArgumentDefinition{Name: a.Name, Type: a.Type, DefaultValue: a.DefaultValue})
				add(small, full, a.Type.Name())
			}
			if t := full.Types[f.Type.Name()]; t != nil && t.IsCompositeType() && fields[f.Type.Name()] == nil {
				return nil, fmt.Errorf("%s.%s needs type %s", name, f.Name, f.Type.Name())
			}
			add(small, full, f.Type.Name())
			def.Fields = append(def.Fields, keep)
		}
		small.Types[name] = def
	}
	small.Query = small.Types["Query"]
	var b bytes.Buffer
	formatter.NewFormatter(&b, formatter.WithIndent("  "), formatter.WithoutDescription()).FormatSchema(small)
	// That what is left is a schema is checked by reading it.
	if _, err := gqlparser.LoadSchema(&ast.Source{Name: "pruned", Input: b.String()}); err != nil {
		return nil, fmt.Errorf("what is left is no schema: %w", err)
	}
	return b.Bytes(), nil
}

// add takes over a scalar, an enumeration or an input type.
func add(small, full *ast.Schema, name string) {
	from := full.Types[name]
	if from == nil || from.BuiltIn || small.Types[name] != nil || from.IsCompositeType() {
		return
	}
	def := &ast.Definition{Kind: from.Kind, Name: name}
	small.Types[name] = def
	for _, v := range from.EnumValues {
		def.EnumValues = append(def.EnumValues, &ast.EnumValueDefinition{Name: v.Name})
	}
	for _, f := range from.Fields {
		def.Fields = append(def.Fields, &ast.FieldDefinition{Name: f.Name, Type: f.Type, DefaultValue: f.DefaultValue})
		add(small, full, f.Type.Name())
	}
}
