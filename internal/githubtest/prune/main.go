// Command prune cuts GitHub's own descriptions of its interfaces down to what
// releases need, for the embedded files of ../spec.
//
//	npm pack @octokit/openapi@23.0.2 @octokit/graphql-schema@15.26.1
//	mkdir openapi graphql
//	tar xzf octokit-openapi-23.0.2.tgz --strip-components=1 -C openapi
//	tar xzf octokit-graphql-schema-15.26.1.tgz --strip-components=1 -C graphql
//	go run ./internal/githubtest/prune -openapi openapi -graphql graphql -out internal/githubtest/spec
//
// It changes no meaning: it leaves out paths, prose and examples, and, for
// GraphQL, types and fields. What GitHub does and its description does not say
// is patched in ../validate.go, where one can read it.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	openapi := flag.String("openapi", "", "`directory` of the unpacked npm package @octokit/openapi")
	graphql := flag.String("graphql", "", "`directory` of the unpacked npm package @octokit/graphql-schema")
	out := flag.String("out", "", "`directory` to write to")
	flag.Parse()
	if err := run(*openapi, *graphql, *out); err != nil {
		fmt.Fprintln(os.Stderr, "prune:", err)
		os.Exit(1)
	}
}

func run(openapi, graphql, out string) error {
	if openapi == "" || graphql == "" || out == "" {
		return fmt.Errorf("-openapi, -graphql and -out are all needed")
	}
	rest, err := os.ReadFile(filepath.Join(openapi, "generated", "api.github.com.json"))
	if err != nil {
		return err
	}
	if rest, err = pruneREST(rest); err != nil {
		return fmt.Errorf("the REST description: %w", err)
	}
	schema, err := os.ReadFile(filepath.Join(graphql, "schema.graphql"))
	if err != nil {
		return err
	}
	if schema, err = pruneGraphQL(schema); err != nil {
		return fmt.Errorf("the GraphQL schema: %w", err)
	}
	for name, text := range map[string][]byte{"rest.json": rest, "schema.graphql": schema} {
		if err := os.WriteFile(filepath.Join(out, name), text, 0o644); err != nil {
			return err
		}
	}
	for name, from := range map[string]string{
		"LICENSE.openapi": filepath.Join(openapi, "LICENSE"),
		"LICENSE.graphql": filepath.Join(graphql, "LICENSE.md"),
	} {
		text, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(out, name), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}
