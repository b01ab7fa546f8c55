package githubtest

import (
	_ "embed"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
)

// spec is GitHub's own description, as the npm packages @octokit/openapi and
// @octokit/graphql-schema (MIT) have it. See spec/README.md.
type spec struct {
	doc    *openapi3.T
	routes map[string]*routers.Route // by operationId
	schema *ast.Schema
}

//go:embed spec/rest.json
var restText []byte

//go:embed spec/schema.graphql
var schemaText string

// loadSpec reads the descriptions once. They are only read afterwards.
var loadSpec = sync.OnceValues(func() (*spec, error) {
	doc, err := openapi3.NewLoader().LoadFromData(restText)
	if err != nil {
		return nil, err
	}
	// Without servers: kin-openapi would compare addresses with theirs.
	doc.Servers = nil
	sp := &spec{doc: doc, routes: map[string]*routers.Route{}}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			sp.routes[op.OperationID] = &routers.Route{Spec: doc, Path: path, PathItem: item, Method: method, Operation: op}
		}
	}
	if err := sp.patch(); err != nil {
		return nil, err
	}
	sp.schema, err = gqlparser.LoadSchema(&ast.Source{Name: "schema.graphql", Input: schemaText + schemaPatch})
	return sp, err
})

// schemaPatch is what api.github.com has and the published schema leaves out:
// gh 2.83 asks for Release.immutable.
const schemaPatch = `
extend type Release { immutable: Boolean! }
extend type ReleaseAsset { digest: String }
`

// patch adds what GitHub does and does not describe.
func (sp *spec) patch() error {
	// The text of the upload operation speaks of the state "starter", and the
	// enumeration has only "uploaded" and "open".
	schema := sp.doc.Components.Schemas["release-asset"]
	if schema == nil || schema.Value.Properties["state"] == nil {
		return fmt.Errorf("no schema of a release asset")
	}
	state := schema.Value.Properties["state"].Value
	state.Enum = append(state.Enum, StateStarter)
	// Its text asks for the media type of the asset, such as application/zip,
	// and its list has only application/octet-stream.
	body := sp.routes[OpUpload].Operation.RequestBody.Value
	body.Content["*/*"] = body.Content["application/octet-stream"]
	body.Required = true
	return nil
}

// checkRequest holds the request against the description.
func (c *call) checkRequest() {
	if c.op == OpGraphQL {
		return // checked where it is read
	}
	rt := c.s.spec.routes[c.op]
	if rt == nil {
		return
	}
	input := c.input(rt)
	if err := openapi3filter.ValidateRequest(c.r.Context(), input); err != nil {
		c.s.problem("request %s %s: %s", c.r.Method, c.r.URL.Path, brief(err))
	}
	known := map[string]bool{}
	for _, list := range []openapi3.Parameters{rt.PathItem.Parameters, rt.Operation.Parameters} {
		for _, p := range list {
			known[p.Value.In+" "+p.Value.Name] = true
		}
	}
	for key := range c.r.URL.Query() {
		if !known["query "+key] {
			c.s.problem("request %s %s: GitHub knows no query parameter %q", c.r.Method, c.r.URL.Path, key)
		}
	}
	c.checkKeys(rt)
	if c.op == OpUpload && c.r.Header.Get("Content-Type") == "" {
		c.s.problem("request %s %s: an upload without Content-Type", c.r.Method, c.r.URL.Path)
	}
	if c.r.Header.Get("User-Agent") == "" {
		c.s.problem("request %s %s: GitHub refuses requests without User-Agent", c.r.Method, c.r.URL.Path)
	}
}

// checkKeys finds keys of the body that GitHub would overlook.
func (c *call) checkKeys(rt *routers.Route) {
	if rt.Operation.RequestBody == nil || c.op == OpUpload {
		return
	}
	media := rt.Operation.RequestBody.Value.Content["application/json"]
	var body map[string]any
	if media == nil || c.decode(&body) != nil {
		return
	}
	for key := range body {
		if media.Schema.Value.Properties[key] == nil {
			c.s.problem("request %s %s: GitHub knows no key %q", c.r.Method, c.r.URL.Path, key)
		}
	}
}

func (c *call) input(rt *routers.Route) *openapi3filter.RequestValidationInput {
	return &openapi3filter.RequestValidationInput{
		Request: c.r, PathParams: c.params, Route: rt,
		Options: &openapi3filter.Options{
			ExcludeRequestBody:  c.op == OpUpload,
			SkipSettingDefaults: true, MultiError: true,
		},
	}
}

// checkAnswer holds an answer of this server against the description.
func (c *call) checkAnswer(status int, h http.Header, body []byte) {
	rt := c.s.spec.routes[c.op]
	if rt == nil {
		return
	}
	input := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: c.input(rt), Status: status, Header: h,
		Body: io.NopCloser(strings.NewReader(string(body))), Options: &openapi3filter.Options{MultiError: true},
	}
	if err := openapi3filter.ValidateResponse(c.r.Context(), input); err != nil {
		c.s.problem("answer to %s %s, %d: %s", c.r.Method, c.r.URL.Path, status, brief(err))
	}
}

// brief is an error without the schema that it cites.
func brief(err error) string {
	text, _, _ := strings.Cut(err.Error(), "\nSchema:")
	if len(text) > 600 {
		text = text[:600] + "..."
	}
	return text
}
