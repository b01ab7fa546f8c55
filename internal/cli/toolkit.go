package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/relmat/relmat/internal/matrix"
	"github.com/relmat/relmat/internal/pipeline"
)

func (a *app) toolkitCmd() *cobra.Command {
	var o pipeline.ToolkitOptions
	platforms := func(cmd *cobra.Command, of string) {
		cmd.Flags().StringArrayVar(&o.Platforms, "platform", nil, "for `PLATFORM`, such as linux-x86_64; repeatable (default: "+of+")")
	}
	lock := &cobra.Command{
		Use:   "lock [TOOLKIT ...]",
		Short: "Pin the wheels of toolkits by version and SHA-256",
		Long: `Lock resolves the requirements of the matrix's toolkits with pip and writes
their lock files. It downloads wheels that no lock file knew before, to learn
their sizes; a later fetch finds them.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.session(func(s *pipeline.Session) error {
				o.Names = args
				if err := checkPlatforms(o); err != nil {
					return err
				}
				locks, err := s.LockToolkits(cmd.Context(), o)
				return a.toolkits(locks, err)
			})
		},
	}
	platforms(lock, "those of the targets")
	fetch := &cobra.Command{
		Use:   "fetch [TOOLKIT ...]",
		Short: "Bring toolkits into the cache",
		Long: `Fetch downloads the wheels that the lock files pin, checks them, and lays them
out as a CUDA toolkit in the user's cache. It prints where: the value for
CUDA_HOME.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.session(func(s *pipeline.Session) error {
				o.Names = args
				if err := checkPlatforms(o); err != nil {
					return err
				}
				homes, err := s.FetchToolkits(cmd.Context(), o)
				return a.toolkits(homes, err)
			})
		},
	}
	platforms(fetch, "this host's")
	fetch.Flags().BoolVar(&o.Force, "force", false, "do it again though it is there")
	cmd := &cobra.Command{
		Use:   "toolkit",
		Short: "Pin and fetch CUDA toolkits made of NVIDIA's wheels",
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(lock, fetch)
	return cmd
}

// checkPlatforms refuses words that are no platform.
func checkPlatforms(o pipeline.ToolkitOptions) error {
	for _, name := range o.Platforms {
		if _, err := matrix.ParsePlatform(name); err != nil {
			return &usageError{fmt.Errorf("--platform: %w; one is linux, macos or windows, '-', and x86_64 or aarch64", err)}
		}
	}
	return nil
}

func (a *app) toolkits(list []pipeline.ToolkitResult, err error) error {
	if err != nil {
		return err
	}
	if a.asJSON {
		return a.json(struct {
			Schema   int                      `json:"schema"`
			Toolkits []pipeline.ToolkitResult `json:"toolkits"`
		}{1, list})
	}
	for _, t := range list {
		fmt.Fprintln(a.Out, t.Path)
	}
	return nil
}
