package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// kept names the operations that stay: path, then methods.
var kept = map[string][]string{
	"/rate_limit":                                        {"get"},
	"/repos/{owner}/{repo}":                              {"get"},
	"/repos/{owner}/{repo}/commits/{ref}":                {"get"},
	"/repos/{owner}/{repo}/git/ref/{ref}":                {"get"},
	"/repos/{owner}/{repo}/git/matching-refs/{ref}":      {"get"},
	"/repos/{owner}/{repo}/git/refs":                     {"post"},
	"/repos/{owner}/{repo}/git/refs/{ref}":               {"delete"},
	"/repos/{owner}/{repo}/git/tags/{tag_sha}":           {"get"},
	"/repos/{owner}/{repo}/immutable-releases":           {"get"},
	"/repos/{owner}/{repo}/releases":                     {"get", "post"},
	"/repos/{owner}/{repo}/releases/assets/{asset_id}":   {"get", "patch", "delete"},
	"/repos/{owner}/{repo}/releases/generate-notes":      {"post"},
	"/repos/{owner}/{repo}/releases/latest":              {"get"},
	"/repos/{owner}/{repo}/releases/tags/{tag}":          {"get"},
	"/repos/{owner}/{repo}/releases/{release_id}":        {"get", "patch", "delete"},
	"/repos/{owner}/{repo}/releases/{release_id}/assets": {"get", "post"},
	"/repos/{owner}/{repo}/tags":                         {"get"},
}

type object = map[string]any

func pruneREST(text []byte) ([]byte, error) {
	var doc object
	if err := json.Unmarshal(text, &doc); err != nil {
		return nil, err
	}
	all, _ := doc["paths"].(object)
	paths := object{}
	for path, methods := range kept {
		item, ok := all[path].(object)
		if !ok {
			return nil, fmt.Errorf("no path %s", path)
		}
		keep := object{}
		for key, value := range item {
			if key == "parameters" || slices.Contains(methods, key) {
				keep[key] = plain(value, "")
			}
		}
		for _, m := range methods {
			if keep[m] == nil {
				return nil, fmt.Errorf("no %s %s", m, path)
			}
		}
		paths[path] = keep
	}
	components := object{}
	if err := follow(paths, doc, components); err != nil {
		return nil, err
	}
	info, _ := doc["info"].(object)
	return json.Marshal(object{
		"openapi":    doc["openapi"],
		"info":       object{"title": info["title"], "version": info["version"], "license": info["license"]},
		"paths":      paths,
		"components": components,
	})
}

// follow copies what value refers to into components, and what that refers to.
func follow(value any, doc, components object) error {
	switch v := value.(type) {
	case []any:
		for _, x := range v {
			if err := follow(x, doc, components); err != nil {
				return err
			}
		}
	case object:
		for key, x := range v {
			ref, isRef := x.(string)
			if key != "$ref" || !isRef {
				if err := follow(x, doc, components); err != nil {
					return err
				}
				continue
			}
			part := strings.Split(strings.TrimPrefix(ref, "#/components/"), "/")
			if len(part) != 2 {
				return fmt.Errorf("reference %q leads out of the components", ref)
			}
			kind, _ := components[part[0]].(object)
			if kind == nil {
				kind = object{}
				components[part[0]] = kind
			}
			if kind[part[1]] != nil {
				continue
			}
			all, _ := doc["components"].(object)
			from, _ := all[part[0]].(object)
			if from[part[1]] == nil {
				return fmt.Errorf("nothing at %q", ref)
			}
			kind[part[1]] = plain(from[part[1]], "")
			if err := follow(kind[part[1]], doc, components); err != nil {
				return err
			}
		}
	}
	return nil
}

// plain is value without prose, examples and what only GitHub's site reads.
// Under "properties" a key is a name of GitHub's data and not of the
// description's language, so there all of them stay.
func plain(value any, under string) any {
	switch v := value.(type) {
	case []any:
		out := make([]any, len(v))
		for i, x := range v {
			out[i] = plain(x, "")
		}
		return out
	case object:
		out := object{}
		for key, x := range v {
			if under != "properties" {
				switch key {
				case "summary", "example", "examples", "externalDocs", "tags", "servers":
					continue
				case "description":
					// A response has to have one.
					if text, ok := x.(string); ok && len(text) > 60 {
						x = ""
					}
				}
				if strings.HasPrefix(key, "x-") {
					continue
				}
			}
			out[key] = plain(x, key)
		}
		return out
	}
	return value
}
