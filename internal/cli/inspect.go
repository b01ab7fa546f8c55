package cli

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/relmat/relmat/internal/inspect"
	"github.com/relmat/relmat/internal/matrix"
)

func (a *app) inspectCmd() *cobra.Command {
	var (
		opts inspect.Options
		gpus bool
	)
	cmd := &cobra.Command{
		Use:   "inspect PATH...",
		Short: "Tell what native files are, need, and can run on",
		Long: `Inspect reads the native files (ELF, PE, Mach-O, metallib) at each PATH: a file,
a directory, or an archive (zip, wheel, tar, tar.gz, tar.zst, tar.xz), which it
does not unpack. It shows what each file is, the oldest system and driver it
starts on, the libraries that it needs and where that system's loader would find
them from there, and which GPUs run the CUDA code in it.

Only headers are read, unless --all or --strings asks for all the data. A file
that cannot be read is told, does not stop the others, and makes the exit code 1.`,
		Example: `  relmat inspect target/release/hello
  relmat inspect --strings dist/v1.0.0/hello-1.0.0-linux-x86_64.zip
  relmat inspect --gpus --target linux-x86_64-cuda13`,
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case len(a.targets) > 0 && !gpus:
				return &usageError{errors.New("--target needs --gpus")}
			case len(a.targets) > 0 && len(args) > 0:
				return &usageError{errors.New("--target and PATH exclude each other")}
			case len(a.targets) == 0 && len(args) == 0 && gpus:
				return &usageError{errors.New("a PATH or --target is missing: what to show the GPUs of")}
			case len(a.targets) == 0 && len(args) == 0:
				return &usageError{errors.New("a PATH is missing: a file, a directory or an archive")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(a.targets) > 0 {
				return a.targetGPUs()
			}
			s, err := inspect.Look(cmd.Context(), args, opts)
			if err != nil {
				return err
			}
			switch {
			case gpus:
				err = a.fileGPUs(s)
			case a.asJSON:
				err = a.json(s.Report())
			default:
				err = s.Show(a.Out, a.color())
			}
			return errors.Join(err, s.Err())
		},
	}
	f := cmd.Flags()
	f.BoolVar(&opts.All, "all", false, "look for GPU code in all data, not only where it is known to be")
	f.BoolVar(&opts.Strings, "strings", false, "look in all data for paths of the machine that built it")
	f.BoolVar(&gpus, "gpus", false, "print only which GPUs run the code; into a file or a pipe as Markdown")
	f.StringArrayVarP(&a.targets, "target", "t", nil, "with --gpus: read no file, but what the matrix says of the targets that `GLOB` matches; repeatable")
	return cmd
}

// color tells whether the results go to a terminal that shall have colours
// (no-color.org).
func (a *app) color() bool {
	return a.toTerminal() && a.getenv("NO_COLOR") == "" && a.getenv("TERM") != "dumb"
}

// toTerminal tells whether people read the results at once.
func (a *app) toTerminal() bool {
	f, ok := a.Out.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// gpuTable is a table of GPUs and what it holds for.
type gpuTable struct {
	Target string           `json:"target,omitempty"`
	Files  []string         `json:"files,omitempty"`
	GPUs   []inspect.GPURow `json:"gpus"`
}

func (a *app) targetGPUs() error {
	f, err := matrix.LoadBy(a.read, a.config)
	if err != nil {
		return err
	}
	rows, err := f.Match(a.targets)
	if err != nil {
		return err
	}
	var tables []gpuTable
	var none []string
	for _, r := range rows {
		if r.CUDA.Architectures == "" {
			none = append(none, r.Name)
			continue
		}
		p, err := matrix.ParseTriple(r.Triple)
		if err != nil {
			return err
		}
		toolkit, _ := f.Toolkits.Get(r.Toolkit)
		gpus, err := inspect.TargetRows(r.CUDA.Architectures, toolkit.Release(), p)
		if err != nil {
			return fmt.Errorf("target %s: cuda.architectures: %w", r.Name, err)
		}
		tables = append(tables, gpuTable{Target: r.Name, GPUs: gpus})
	}
	if len(tables) == 0 {
		return &configError{fmt.Errorf("%s: no cuda.architectures for %s", a.config, strings.Join(none, ", "))}
	}
	return a.gpuTables(tables)
}

// fileGPUs shows one table for all files whose GPUs are the same.
func (a *app) fileGPUs(s *inspect.Survey) error {
	var tables []gpuTable
	for _, r := range s.Roots {
		for _, f := range r.Files {
			for _, sl := range f.Slices {
				if sl.GPU == nil {
					continue
				}
				i := slices.IndexFunc(tables, func(t gpuTable) bool { return slices.Equal(t.GPUs, sl.GPU.Rows) })
				if i < 0 {
					i = len(tables)
					tables = append(tables, gpuTable{GPUs: sl.GPU.Rows})
				}
				tables[i].Files = append(tables[i].Files, r.Name(f))
			}
		}
	}
	if len(tables) == 0 && s.Err() == nil {
		return errors.New("there is no CUDA code in the files; --all also looks outside of the sections where it is known to be")
	}
	return a.gpuTables(tables)
}

func (a *app) gpuTables(tables []gpuTable) error {
	if a.asJSON {
		return a.json(struct {
			Schema int        `json:"schema"`
			Tables []gpuTable `json:"tables"`
		}{1, append([]gpuTable{}, tables...)})
	}
	for i, t := range tables {
		if i > 0 {
			fmt.Fprintln(a.Out)
		}
		names := t.Files
		if t.Target != "" {
			names = []string{t.Target}
		}
		if a.toTerminal() {
			if err := inspect.ShowGPUs(a.Out, a.color(), names, t.GPUs); err != nil {
				return err
			}
			continue
		}
		if len(tables) > 1 {
			fmt.Fprintf(a.Out, "%s:\n\n", inspect.MarkdownNames(names))
		}
		if err := inspect.Markdown(a.Out, t.GPUs); err != nil {
			return err
		}
	}
	return nil
}
