package cli

import (
	"github.com/spf13/cobra"

	"github.com/relmat/relmat/internal/matrix"
)

func (a *app) schemaCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of targets.yaml, for editors",
		Long: `Schema prints a JSON Schema (draft-07) of targets.yaml. Editors with a YAML
language server complete and check a file by it whose first line is

  # yaml-language-server: $schema=targets.schema.json

It knows every key and what its value looks like. What a key refers to, templates,
and rules about a target with all that it inherits, only relmat itself checks.`,
		Example: `  relmat schema > targets.schema.json`,
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			s := matrix.JSONSchema()
			if !a.asJSON {
				return a.json(s)
			}
			return a.json(struct {
				Schema     int            `json:"schema"`
				Matrix     int            `json:"matrix_version"`
				JSONSchema *matrix.Schema `json:"json_schema"`
			}{1, matrix.Version, s})
		},
	}
}
