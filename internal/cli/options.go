package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/viper"

	"github.com/relmat/relmat/internal/proc"
	"github.com/relmat/relmat/internal/progress"
)

// options are relmat's own settings, from flags, the environment and the
// user's configuration file.
type options struct {
	config, source, state, cache, python, progress string
	quiet, asJSON, skipSign                        bool
	// tag and targets come from flags alone.
	tag     string
	targets []string
}

// userKeys are what the user's configuration file can set: what belongs to a
// machine, not to a project.
var userKeys = []string{"cache", "progress", "python", "quiet"}

func (a *app) register(root *cobra.Command) {
	f := root.PersistentFlags()
	f.String("config", "targets.yaml", "the matrix: `FILE`")
	f.String("source", "", "the program's checkout: `DIR` (default: project.source of the matrix)")
	f.String("state", "", "where builds and results are kept: `DIR` (default: .relmat beside the matrix)")
	f.String("cache", "", "where toolkits and inputs are kept for all projects: `DIR` (default: relmat in the user's cache)")
	f.String("python", "", "the Python that has pip: `PROGRAM` (default: python3 or python)")
	f.String("progress", string(progress.Auto), "how progress is shown: `MODE`, one of "+strings.Join(progress.Modes(), ", "))
	f.Bool("quiet", false, "show only warnings and the result")
	f.Bool("json", false, "print the result as JSON")
}

// load fills the options: flag, then RELMAT_*, then the user's configuration
// file, then the default.
func (a *app) load(cmd *cobra.Command) error {
	v := viper.New()
	if err := v.BindPFlags(cmd.Root().PersistentFlags()); err != nil {
		return err
	}
	if err := a.readUserFile(v); err != nil {
		return err
	}
	v.SetEnvPrefix("RELMAT")
	v.AutomaticEnv()
	for _, key := range []string{"quiet", "json"} {
		if _, err := strconv.ParseBool(v.GetString(key)); err != nil {
			return &configError{fmt.Errorf("%s: must be true or false, is %q (RELMAT_%s or the configuration file)", key, v.GetString(key), strings.ToUpper(key))}
		}
	}
	a.config, a.source, a.state = v.GetString("config"), v.GetString("source"), v.GetString("state")
	a.cache, a.python, a.progress = v.GetString("cache"), v.GetString("python"), v.GetString("progress")
	a.quiet, a.asJSON = v.GetBool("quiet"), v.GetBool("json")
	return nil
}

// readUserFile reads config.yaml in relmat's directory of the user's
// configuration, if there is one.
func (a *app) readUserFile(v *viper.Viper) error {
	dir, err := os.UserConfigDir()
	if err != nil {
		return nil // no home, no file
	}
	path := filepath.Join(dir, "relmat", "config.yaml")
	file := viper.New()
	file.SetConfigFile(path)
	if err := file.ReadInConfig(); err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		return &configError{fmt.Errorf("%s: %w", path, err)}
	}
	for _, key := range file.AllKeys() {
		if !slices.Contains(userKeys, key) {
			return &configError{fmt.Errorf("%s: unknown key %q; allowed: %s", path, key, strings.Join(userKeys, ", "))}
		}
	}
	return v.MergeConfigMap(file.AllSettings())
}

func (a *app) getenv(name string) string { return proc.Getenv(a.Env, name) }

// targetFlag adds --target to a command that works on targets of this host.
func (a *app) targetFlag(cmd *cobra.Command) {
	a.targetsFlag(cmd, "work on the targets that `GLOB` matches; repeatable (default: all that this host can make)")
}

func (a *app) targetsFlag(cmd *cobra.Command, usage string) {
	cmd.Flags().StringArrayVarP(&a.targets, "target", "t", nil, usage)
}

// tagFlag adds --tag.
func (a *app) tagFlag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&a.tag, "tag", "", "the release's `TAG` (default: project.tag of the matrix)")
}
