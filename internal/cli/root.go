// Package cli is relmat's command line: one file a command, which turns flags
// into options, makes one call, and prints the result.
package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/relmat/relmat/internal/fsx"
	"github.com/relmat/relmat/internal/pipeline"
	"github.com/relmat/relmat/internal/progress"
)

// Streams are where a command writes, and the environment that it sees.
// Results go to Out, all else to Err.
type Streams struct {
	Out, Err io.Writer
	Env      []string
}

// errInterrupted is the cause of a context that a signal ended.
var errInterrupted = errors.New("interrupted")

// Main runs the command line of this process and returns its exit code. The
// first interrupt ends the children and leaves the state usable, a second one
// ends relmat at once.
func Main() int {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		signal.Stop(signals)
		cancel(errInterrupted)
	}()
	return Run(ctx, os.Args[1:], Streams{Out: os.Stdout, Err: os.Stderr, Env: os.Environ()})
}

// Run runs a command line and returns its exit code; docs/how-it-works.md lists
// them.
func Run(ctx context.Context, args []string, st Streams) int {
	a := &app{Streams: st, secrets: newSecrets(st.Env)}
	a.read = func(path string) ([]byte, error) { return fsx.ReadFile(ctx, path) }
	root := a.root()
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitDone
	}
	code := exitCode(ctx, err)
	fmt.Fprintf(st.Err, "relmat: %s\n", a.secrets.clean(err.Error()))
	var usage *usageError
	if errors.As(err, &usage) {
		fmt.Fprintf(st.Err, "\n%s", cmd.UsageString())
	}
	return code
}

// app is what all commands share.
type app struct {
	Streams
	options
	secrets *secrets
	// read reads a file until the command is interrupted.
	read func(path string) ([]byte, error)
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "relmat",
		Short: "Release Rust + CMake + CUDA programs for every platform, and prove that they run",
		Long: `relmat builds the targets of a targets.yaml, bundles each program with the
libraries that it needs, packs, unpacks and runs what it packed, and publishes
exactly that.`,
		SilenceErrors: true, SilenceUsage: true,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			return a.load(cmd)
		},
	}
	root.SetOut(a.Out)
	root.SetErr(a.Err)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err} })
	a.register(root)
	root.AddCommand(a.initCmd(), a.planCmd(), a.configCmd(), a.buildCmd(), a.bundleCmd(), a.inspectCmd(), a.verifyCmd(), a.smokeCmd(), a.releaseCmd(), a.publishCmd(), a.promoteCmd(), a.statusCmd(), a.toolkitCmd(), a.doctorCmd(), a.schemaCmd(), a.cleanCmd(), a.versionCmd())
	// cobra's own takes any word and shows its help.
	root.InitDefaultCompletionCmd("completion")
	for _, cmd := range root.Commands() {
		if cmd.Name() == "completion" {
			cmd.Args, cmd.RunE = noArgs, func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
		}
	}
	return root
}

// noArgs refuses arguments, and names the command that was probably meant.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if cmd.HasSubCommands() {
		cmd.SuggestionsMinimumDistance = 2 // cobra itself sets it only where Args is nil
		msg := fmt.Sprintf("there is no command %q", cmd.CommandPath()+" "+args[0])
		if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
			msg += fmt.Sprintf("; did you mean %q?", near[0])
		}
		return &usageError{errors.New(msg)}
	}
	return &usageError{fmt.Errorf("%s takes no arguments, got %q", cmd.CommandPath(), args[0])}
}

// session opens the matrix, runs do, and closes what both opened.
func (a *app) session(do func(*pipeline.Session) error) (err error) {
	return a.reporting(func(rep *progress.Reporter) error {
		s, err := pipeline.Open(pipeline.Config{
			Matrix: a.config, Read: a.read, Source: a.source, State: a.state, Cache: a.cache, Tag: a.tag, Python: a.python,
			Env: a.Env, Reporter: rep, SkipSign: a.skipSign,
		})
		if err != nil {
			return err
		}
		a.secrets.add(s.Secrets...)
		err = do(s)
		return errors.Join(err, s.Close())
	})
}

// reporting runs do with what shows its events.
func (a *app) reporting(do func(*progress.Reporter) error) error {
	mode := progress.Mode(a.progress)
	if a.quiet {
		mode = progress.Quiet
	}
	sink, err := progress.NewSink(mode, a.Err, a.getenv)
	if err != nil {
		return &usageError{err}
	}
	rep := progress.New(a.secrets.sink(sink))
	err = do(rep)
	return errors.Join(err, rep.Close())
}

// json prints a result for other programs, as docs/json.md describes it.
func (a *app) json(v any) error {
	enc := json.NewEncoder(a.Out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
