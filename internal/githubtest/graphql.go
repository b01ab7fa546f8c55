package githubtest

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/validator"
	"github.com/vektah/gqlparser/v2/validator/rules"
)

// gqlObject is a value with fields; a field is a value or a gqlField.
type gqlObject struct {
	kind   string // type of the schema
	fields map[string]any
}

// gqlField is a field that is worked out when it is asked for.
type gqlField func(args map[string]any) any

// graphql answers a query: read and checked by GitHub's schema, and filled in
// from the same state as REST. Errors come with status 200, as GitHub's do.
func (c *call) graphql() *answer {
	var b struct {
		Query         string         `json:"query"`
		Variables     map[string]any `json:"variables"`
		OperationName string         `json:"operationName"`
	}
	if err := json.Unmarshal(c.body, &b); err != nil {
		return failure(http.StatusBadRequest, "Problems parsing JSON")
	}
	schema := c.s.spec.schema
	doc, errs := gqlparser.LoadQueryWithRules(schema, b.Query, rules.NewDefaultRules())
	if errs != nil {
		c.s.problem("GraphQL query %q: %v", b.Query, errs)
		return gqlFailure("", errs.Error())
	}
	op := doc.Operations.ForName(b.OperationName)
	if op == nil || op.Operation != ast.Query {
		c.s.problem("GraphQL: %q is no query of this server", b.OperationName)
		return gqlFailure("", "no such operation")
	}
	vars, err := validator.VariableValues(schema, op, b.Variables)
	if err != nil {
		c.s.problem("GraphQL %s: %v", op.Name, err)
		return gqlFailure("", err.Error())
	}
	e := &gqlRun{vars: vars}
	data := e.fill(c.gqlQuery(e), op.SelectionSet)
	body := object{"data": data}
	if len(e.errors) > 0 {
		body["errors"] = e.errors
	}
	return &answer{status: http.StatusOK, body: body}
}

func gqlFailure(kind, message string) *answer {
	e := object{"message": message}
	if kind != "" {
		e["type"] = kind
	}
	return &answer{status: http.StatusOK, body: object{"errors": []object{e}}}
}

// gqlRun fills a query in.
type gqlRun struct {
	vars   map[string]any
	errors []object
}

func (e *gqlRun) fill(from gqlObject, set ast.SelectionSet) object {
	out := object{}
	for _, s := range set {
		switch s := s.(type) {
		case *ast.Field:
			out[s.Alias] = e.value(from, s)
		case *ast.InlineFragment:
			if s.TypeCondition == "" || s.TypeCondition == from.kind || s.ObjectDefinition.IsAbstractType() && s.TypeCondition == s.ObjectDefinition.Name {
				for k, v := range e.fill(from, s.SelectionSet) {
					out[k] = v
				}
			}
		case *ast.FragmentSpread:
			for k, v := range e.fill(from, s.Definition.SelectionSet) {
				out[k] = v
			}
		}
	}
	return out
}

func (e *gqlRun) value(from gqlObject, f *ast.Field) any {
	if f.Name == "__typename" {
		return from.kind
	}
	v := from.fields[f.Name]
	if resolve, ok := v.(gqlField); ok {
		v = resolve(f.ArgumentMap(e.vars))
	}
	switch v := v.(type) {
	case gqlObject:
		return e.fill(v, f.SelectionSet)
	case *gqlObject:
		if v == nil {
			return nil
		}
		return e.fill(*v, f.SelectionSet)
	case []gqlObject:
		list := make([]object, len(v))
		for i, x := range v {
			list[i] = e.fill(x, f.SelectionSet)
		}
		return list
	}
	return v
}

func (c *call) gqlQuery(e *gqlRun) gqlObject {
	w := c.s.window(c.token)
	return gqlObject{"Query", map[string]any{
		"viewer": c.gqlUser(),
		"rateLimit": gqlObject{"RateLimit", map[string]any{
			"cost": 1, "limit": c.s.o.core, "nodeCount": 1, "used": w.used, "remaining": max(0, c.s.o.core-w.used), "resetAt": date(w.reset),
		}},
		"__type": gqlField(func(args map[string]any) any {
			name, _ := args["name"].(string)
			return c.gqlType(name)
		}),
		"repository": gqlField(func(args map[string]any) any {
			owner, _ := args["owner"].(string)
			name, _ := args["name"].(string)
			r := c.s.repos[strings.ToLower(owner+"/"+name)]
			if r == nil {
				e.errors = append(e.errors, object{
					"type": "NOT_FOUND", "path": []string{"repository"},
					"message": "Could not resolve to a Repository with the name '" + owner + "/" + name + "'.",
				})
				return nil
			}
			c.repo = r
			return c.gqlRepository()
		}),
	}}
}

// gqlType tells which fields a type has; gh asks that of an Enterprise server.
func (c *call) gqlType(name string) any {
	def := c.s.spec.schema.Types[name]
	if def == nil {
		return nil
	}
	var list []gqlObject
	for _, f := range def.Fields {
		if !strings.HasPrefix(f.Name, "__") {
			list = append(list, gqlObject{"__Field", map[string]any{"name": f.Name}})
		}
	}
	return gqlObject{"__Type", map[string]any{"name": name, "kind": string(def.Kind), "fields": list}}
}

func (c *call) gqlUser() gqlObject {
	return gqlObject{"User", map[string]any{"id": node("User", 1), "login": login, "databaseId": 1, "name": nil}}
}

func (c *call) gqlRepository() gqlObject {
	r := c.repo
	permission := "READ"
	switch {
	case c.rights.Admin:
		permission = "ADMIN"
	case c.rights.Push:
		permission = "WRITE"
	}
	return gqlObject{"Repository", map[string]any{
		"id": node("Repository", r.id), "databaseId": r.id, "name": r.name, "nameWithOwner": r.owner + "/" + r.name,
		"isArchived": r.archived, "isPrivate": r.private, "isFork": false, "url": c.s.WebURL + "/" + r.owner + "/" + r.name,
		"viewerPermission": permission, "viewerCanAdminister": c.rights.Admin,
		"release": gqlField(func(args map[string]any) any {
			name, _ := args["tagName"].(string)
			return c.gqlFind(name)
		}),
		"latestRelease": gqlField(func(map[string]any) any {
			for _, rel := range r.releases {
				if rel.latest {
					return c.gqlRelease(rel)
				}
			}
			return nil
		}),
		"releases": gqlField(func(args map[string]any) any {
			list := r.listed(c.rights.Push)
			if order, ok := args["orderBy"].(map[string]any); ok && order["direction"] == "ASC" {
				slices.Reverse(list)
			}
			nodes := make([]gqlObject, len(list))
			for i, rel := range list {
				nodes[i] = c.gqlRelease(rel)
			}
			return connection("Release", nodes, args)
		}),
		"ref": gqlField(func(args map[string]any) any {
			name, _ := args["qualifiedName"].(string)
			return c.gqlRef(name)
		}),
	}}
}

// gqlFind is the release of a tag. Unlike REST it finds drafts, the newest if
// nothing is published.
func (c *call) gqlFind(tag string) any {
	if rel := c.repo.published(tag); rel != nil {
		return c.gqlRelease(rel)
	}
	for _, rel := range slices.Backward(c.repo.releases) {
		if rel.tag == tag && c.rights.Push {
			return c.gqlRelease(rel)
		}
	}
	return nil
}

func (c *call) gqlRef(name string) any {
	short := strings.TrimPrefix(name, "refs/")
	t, ok := c.repo.refs()[short]
	if !ok {
		return nil
	}
	prefix, last, _ := strings.Cut(short, "/")
	target := c.gqlCommit(t.sha)
	if t.object == "tag" {
		o := c.repo.objects[t.sha]
		target = gqlObject{"Tag", map[string]any{
			"id": node("Tag:"+t.sha, c.repo.id), "oid": t.sha, "abbreviatedOid": t.sha[:7], "name": o.tag, "message": o.tag, "target": c.gqlCommit(o.commit),
		}}
	}
	return gqlObject{"Ref", map[string]any{"id": node("Ref:"+name, c.repo.id), "name": last, "prefix": "refs/" + prefix + "/", "target": target}}
}

func (c *call) gqlCommit(sha string) gqlObject {
	return gqlObject{"Commit", map[string]any{
		"id": node("Commit:"+sha, c.repo.id), "oid": sha, "abbreviatedOid": sha[:7], "committedDate": date(c.repo.commits[sha]),
	}}
}

func (c *call) gqlRelease(rel *release) gqlObject {
	r := c.repo
	return gqlObject{"Release", map[string]any{
		"id": node("Release", rel.id), "databaseId": rel.id, "name": null(rel.name), "tagName": rel.tag, "description": null(rel.body),
		"isDraft": rel.draft, "isLatest": rel.latest, "isPrerelease": rel.prerelease, "immutable": rel.immutable,
		"createdAt": date(rel.created), "publishedAt": date(rel.published), "updatedAt": date(rel.updated), "author": c.gqlUser(),
		"url": c.s.WebURL + "/" + r.owner + "/" + r.name + "/releases/tag/" + rel.webTag(),
		"tag": gqlField(func(map[string]any) any { return c.gqlRef("refs/tags/" + rel.tag) }),
		"tagCommit": gqlField(func(map[string]any) any {
			if _, ok := r.tags[rel.tag]; !ok {
				return nil
			}
			sha, _ := r.commitOf(rel.tag)
			return c.gqlCommit(sha)
		}),
		"releaseAssets": gqlField(func(args map[string]any) any {
			var nodes []gqlObject
			name, _ := args["name"].(string)
			for _, a := range rel.assets {
				if a.state == StateUploaded && (name == "" || name == a.name) {
					nodes = append(nodes, c.gqlAsset(rel, a))
				}
			}
			return connection("ReleaseAsset", nodes, args)
		}),
	}}
}

func (c *call) gqlAsset(rel *release, a *asset) gqlObject {
	return gqlObject{"ReleaseAsset", map[string]any{
		"id": node("ReleaseAsset", a.id), "name": a.name, "contentType": a.contentType, "size": a.size, "digest": null(a.digest()),
		"createdAt": date(a.created), "updatedAt": date(a.updated), "downloadCount": a.downloads,
		"downloadUrl": c.download(rel, a), "url": c.download(rel, a), "uploadedBy": c.gqlUser(),
	}}
}

// connection is a page of nodes. Cursors are numbers from 1.
func connection(kind string, nodes []gqlObject, args map[string]any) gqlObject {
	from, to := 0, len(nodes)
	if after, ok := args["after"].(string); ok {
		n, _ := strconv.Atoi(after)
		from = min(max(0, n), to)
	}
	if before, ok := args["before"].(string); ok {
		n, _ := strconv.Atoi(before)
		to = min(max(from, n-1), to)
	}
	if n, ok := number(args["first"]); ok {
		to = min(to, from+n)
	}
	if n, ok := number(args["last"]); ok {
		from = max(from, to-n)
	}
	edges := make([]gqlObject, 0, to-from)
	for i := from; i < to; i++ {
		edges = append(edges, gqlObject{kind + "Edge", map[string]any{"cursor": strconv.Itoa(i + 1), "node": nodes[i]}})
	}
	info := map[string]any{"hasNextPage": to < len(nodes), "hasPreviousPage": from > 0, "startCursor": nil, "endCursor": nil}
	if to > from {
		info["startCursor"], info["endCursor"] = strconv.Itoa(from+1), strconv.Itoa(to)
	}
	return gqlObject{kind + "Connection", map[string]any{
		"nodes": nodes[from:to], "edges": edges, "totalCount": len(nodes), "pageInfo": gqlObject{"PageInfo", info},
	}}
}

func number(v any) (int, bool) {
	switch v := v.(type) {
	case int64:
		return int(v), v >= 0
	case int:
		return v, v >= 0
	case float64:
		return int(v), v >= 0
	case json.Number:
		n, err := strconv.Atoi(v.String())
		return n, err == nil && n >= 0
	}
	return 0, false
}
