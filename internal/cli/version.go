package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/relmat/relmat/internal/matrix"
)

// version is set by the linker in releases of relmat; Go's build information
// says it where relmat was installed by `go install`.
var version string

// versionText is the version in a word.
func versionText() string {
	if info, ok := debug.ReadBuildInfo(); ok && version == "" {
		return info.Main.Version
	}
	return version
}

func (a *app) versionCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print relmat's version",
		Args:  noArgs,
		RunE: func(*cobra.Command, []string) error {
			v := struct {
				Schema   int    `json:"schema"`
				Version  string `json:"version"`
				Commit   string `json:"commit,omitempty"`
				Go       string `json:"go"`
				Platform string `json:"platform"`
				Matrix   int    `json:"matrix_version"`
			}{Schema: 1, Version: version, Go: runtime.Version(), Platform: matrix.Host().String(), Matrix: matrix.Version}
			if info, ok := debug.ReadBuildInfo(); ok {
				if v.Version == "" {
					v.Version = info.Main.Version
				}
				for _, s := range info.Settings {
					if s.Key == "vcs.revision" {
						v.Commit = s.Value
					}
				}
			}
			if a.asJSON {
				return a.json(v)
			}
			commit := ""
			if v.Commit != "" {
				commit = fmt.Sprintf(" (%.12s)", v.Commit)
			}
			_, err := fmt.Fprintf(a.Out, "relmat %s%s for %s, %s\n", v.Version, commit, v.Platform, v.Go)
			return err
		},
	}
}
