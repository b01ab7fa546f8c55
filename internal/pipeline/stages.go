package pipeline

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/relmat/relmat/internal/archive"
	"github.com/relmat/relmat/internal/build"
	"github.com/relmat/relmat/internal/bundle"
	"github.com/relmat/relmat/internal/fsx"
	"github.com/relmat/relmat/internal/manifest"
	"github.com/relmat/relmat/internal/matrix"
	"github.com/relmat/relmat/internal/progress"
	"github.com/relmat/relmat/internal/smoke"
	"github.com/relmat/relmat/internal/toolchain"
	"github.com/relmat/relmat/internal/toolkit"
)

// archiveVersion changes with the bytes that the same tree is packed to.
const archiveVersion = 1

// Bundle is a package's tree.
type Bundle struct {
	Package string
	Dir     string
	Key     string
	Size    int64
	Files   int
}

// fetcher brings toolkits for this session.
func (s *Session) fetcher() toolkit.Fetcher {
	return toolkit.Fetcher{Cache: s.Cache, Pip: func(ctx context.Context) (toolkit.Pip, error) {
		return toolkit.FindPip(ctx, s.Python, s.pipEnv())
	}}
}

// pipEnv is what pip sees: the user's network and pip settings.
func (s *Session) pipEnv() []string {
	var pip []string
	for _, kv := range s.Env {
		if name, _, ok := strings.Cut(kv, "="); ok && (strings.HasPrefix(name, "PIP_") || name == "REQUESTS_CA_BUNDLE" || name == "NETRC" || name == "VIRTUAL_ENV" || strings.HasPrefix(name, "PYENV_")) {
			pip = append(pip, name)
		}
	}
	return toolchain.FilterEnv(s.Env, pip)
}

// built is a target's build with what later stages need of it.
type built struct {
	*build.Result
	toolkit *toolkit.Toolkit
	// env is what the build saw.
	env []string
}

// build makes the target's programs. The caller holds the target's lock.
func (s *Session) build(ctx context.Context, row matrix.Row) (*built, error) {
	if err := s.readProject(ctx); err != nil {
		return nil, err
	}
	tk, digest, err := s.toolkit(ctx, row)
	if err != nil {
		return nil, err
	}
	tools, hostDigest, err := s.hostToolkit(ctx, row, tk, digest)
	if err != nil {
		return nil, err
	}
	pins, err := s.pins()
	if err != nil {
		return nil, err
	}
	o, err := s.buildOptions(row, tools)
	if err != nil {
		return nil, err
	}
	if len(o.Programs) > 0 {
		if o.Env, err = s.compilerEnv(ctx, row, o.Env, matrix.Host()); err != nil {
			return nil, err
		}
	}
	o.Toolkit, o.Pins = hostDigest, pins
	if len(o.Programs) == 0 {
		res, err := build.Run(ctx, o)
		return &built{res, tk, o.Env}, err
	}
	var res *build.Result
	err = s.stage(ctx, row.Name, "build", strings.Join(s.builtPrograms(row), ", "), func(task *progress.Task) (string, bool, error) {
		o.Task = task
		cache, env, err := toolchain.UseCompilerCache(ctx, row, s.Env, o.Env, o.TargetDir, task.Note)
		if err != nil {
			return "", false, err
		}
		o.Env = env
		if res, err = build.Run(ctx, o); err != nil {
			return "", false, err
		}
		return fmt.Sprintf("%d programs%s", len(o.Programs), cache.HitRate(ctx)), false, nil
	})
	return &built{res, tk, o.Env}, err
}

// buildOptions says how the row is built with its toolkits, if it has some.
func (s *Session) buildOptions(row matrix.Row, tk toolchain.Toolkits) (build.Options, error) {
	env, err := s.buildEnv(row, tk)
	if err != nil {
		return build.Options{}, err
	}
	o := build.Options{
		Row: row, Source: s.Source, TargetDir: s.targetDir(row, "cargo"), Env: env,
		Log: s.targetDir(row, "logs", "build.log"), Secrets: s.Secrets, DelayLoad: tk.DelayLoad,
	}
	for _, name := range s.builtPrograms(row) {
		o.Programs = append(o.Programs, s.program(row, name))
	}
	return o, nil
}

// buildEnv is the environment of the row's build with its toolkits, without what
// the host has installed for it. Whoever judges a build before it begins takes it
// from here, too: what the matrix sets decides what a build calls.
func (s *Session) buildEnv(row matrix.Row, tk toolchain.Toolkits) ([]string, error) {
	vars, err := toolchain.Variables(row, row.Fields(s.version, s.tag), tk, s.targetDir(row, "cargo"))
	if err != nil {
		return nil, fmt.Errorf("%s: target %s: %w", s.File.Path, row.Name, err)
	}
	return toolchain.BuildEnv(s.Env, row, vars), nil
}

// program says how a program of the row is built.
func (s *Session) program(row matrix.Row, name string) build.Program {
	return build.Program{
		Name: name, Package: s.File.Programs.Values[name].Package, Bin: s.File.BinName(name), RunPath: s.runPath(row, name),
	}
}

// isPrebuilt tells whether somebody else has built a program.
func (s *Session) isPrebuilt(name string) bool {
	return s.File.Programs.Values[name].From != (matrix.From{})
}

// builtPrograms are the programs of the row that Cargo builds.
func (s *Session) builtPrograms(row matrix.Row) []string {
	return slices.DeleteFunc(s.File.ProgramsOf(row), s.isPrebuilt)
}

// pins reads the source's pins, once.
func (s *Session) pins() (map[string]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pinned == nil {
		var err error
		if s.pinned, err = s.File.ReadPins(s.Source); err != nil {
			return nil, err
		}
	}
	return s.pinned, nil
}

// runPath joins the run paths of every package that holds the program. Which
// libraries these will have, only the finished program tells.
func (s *Session) runPath(row matrix.Row, program string) string {
	if strings.Contains(row.Triple, "musl") {
		return "" // linked statically
	}
	var dirs []string
	for _, name := range s.File.PackagesOf(row) {
		p := s.File.Packages.Values[name]
		if !slices.Contains(p.Programs, program) || !mayHoldLibraries(row, p) {
			continue
		}
		for _, dir := range bundle.RunPath(row.Platform.OS, p.LayoutOf(), func() []string { return s.wheelDirs(row) }) {
			if !slices.Contains(dirs, dir) {
				dirs = append(dirs, dir)
			}
		}
	}
	return strings.Join(dirs, ":")
}

// mayHoldLibraries tells whether the package's programs may need a run path. On
// Linux what the host's distribution has may be packed for any program.
func mayHoldLibraries(row matrix.Row, p matrix.Package) bool {
	return row.Platform.OS == "linux" || row.Toolkit != "" || slices.ContainsFunc(p.Files, func(f matrix.Files) bool {
		return matrix.Matches(f.Targets, row.Name) && path.Ext(f.To) == ".dylib"
	})
}

// wheelDirs are the directories of the libraries of the row's toolkit; only a
// toolkit that was fetched tells them.
func (s *Session) wheelDirs(row matrix.Row) []string {
	if row.Toolkit == "" {
		return nil
	}
	platform := row.Platform.String()
	lock, err := s.readLock(row.Toolkit, platform)
	if err == nil {
		var tk *toolkit.Toolkit
		if tk, err = s.fetcher().Cached(row.Toolkit, lock, platform); err == nil {
			return tk.LibraryDirs()
		}
	}
	return []string{FromToolkit}
}

// bundle gathers the target's packages. Those of libraries alone come last: the
// others tell what they hold.
func (s *Session) bundle(ctx context.Context, row matrix.Row, b *built) ([]Bundle, error) {
	names := s.File.PackagesOf(row)
	slices.SortStableFunc(names, func(x, y string) int {
		return cmp.Compare(len(s.File.Packages.Values[x].RuntimeOf), len(s.File.Packages.Values[y].RuntimeOf))
	})
	plans := map[string]*bundle.Plan{}
	var out []Bundle
	for _, name := range names {
		err := s.stage(ctx, row.Name, "bundle", name, func(task *progress.Task) (string, bool, error) {
			plan, err := s.planBundle(ctx, row, name, b, plans)
			if err != nil {
				return "", false, err
			}
			plans[name] = plan
			if err := s.digests.Save(); err != nil {
				return "", false, err
			}
			for _, note := range plan.Notes {
				task.Note("%s", note)
			}
			if said := plan.Budget(bundle.MaxAsset); said != "" {
				task.Warn("%s", said)
			}
			dir, reused, err := s.keyed(row, "bundle", name, plan.Key, plan.Whole, func(tmp string) error {
				return plan.Write(ctx, tmp, s.digests, task.Counter(plan.Size()))
			})
			if err != nil {
				return "", false, err
			}
			r := Bundle{Package: name, Dir: dir, Key: plan.Key, Size: plan.Size(), Files: len(plan.Manifest.Files)}
			out = append(out, r)
			return fmt.Sprintf("%s: %s, %s", name, progress.Count(r.Files, "file"), progress.Bytes(r.Size)), reused, nil
		})
		if err != nil {
			return nil, fmt.Errorf("bundling package %s: %w", name, err)
		}
	}
	// Packages of libraries are packed first: others are tested with them.
	slices.SortStableFunc(out, func(x, y Bundle) int {
		return cmp.Compare(len(s.File.Packages.Values[y.Package].RuntimeOf), len(s.File.Packages.Values[x.Package].RuntimeOf))
	})
	return out, nil
}

// planBundle decides what a package holds. plans are those before it.
func (s *Session) planBundle(ctx context.Context, row matrix.Row, name string, b *built, plans map[string]*bundle.Plan) (*bundle.Plan, error) {
	o := bundle.Options{
		Row: row, Name: name, Package: s.File.Packages.Values[name], Project: s.File.Project.Name, Release: s.version,
		Programs: b.Programs, OutDirs: b.OutDirs, Prebuilt: map[string]matrix.From{}, Source: s.Source,
		Toolkit: b.toolkit, Env: b.env, Digests: s.digests,
	}
	var of []*bundle.Plan
	for _, other := range o.Package.RuntimeOf {
		if plans[other] != nil {
			of = append(of, plans[other])
		}
	}
	if len(o.Package.RuntimeOf) > 0 {
		return bundle.Runtime(ctx, o, of)
	}
	for _, program := range o.Package.Programs {
		if s.isPrebuilt(program) {
			o.Prebuilt[program] = s.File.Programs.Values[program].From
		}
	}
	for _, other := range s.File.PackagesOf(row) {
		if slices.Contains(s.File.Packages.Values[other].RuntimeOf, name) && o.RuntimePackage == "" {
			o.RuntimePackage = other
		}
	}
	return bundle.New(ctx, o)
}

// archive packs a bundle into its asset.
func (s *Session) archive(ctx context.Context, row matrix.Row, b Bundle) (manifest.Asset, string, error) {
	p := s.File.Packages.Values[b.Package]
	stem, prefix, err := packageNames(p, row, row.Fields(s.version, s.tag))
	if err != nil {
		return manifest.Asset{}, "", fmt.Errorf("%s: package %s: %w", s.File.Path, b.Package, err)
	}
	name := stem + "." + row.Archive
	key := keyOf("archive", archiveVersion, b.Key, row.Archive, prefix, name)
	var asset manifest.Asset
	err = s.stage(ctx, row.Name, "archive", name, func(task *progress.Task) (string, bool, error) {
		whole := func(dir string) error {
			_, err := os.Stat(filepath.Join(dir, name)) // written in full before its directory
			return err
		}
		dir, reused, err := s.keyed(row, "archive", b.Package, key, whole, func(tmp string) error {
			return fsx.WriteTo(filepath.Join(tmp, name), 0o644, func(w io.Writer) error {
				return archive.Write(&contextWriter{ctx, w}, archive.Format(row.Archive), b.Dir, prefix, task.Counter(b.Size))
			})
		})
		if err != nil {
			return "", false, err
		}
		asset = manifest.Asset{Name: name, Package: b.Package, Path: filepath.Join(dir, name)}
		asset.SHA256, asset.Size, err = s.digests.File(asset.Path)
		if err != nil {
			return "", false, err
		}
		s.mu.Lock()
		s.archives[row.Name+"/"+b.Package] = asset
		s.mu.Unlock()
		return fmt.Sprintf("%s: %s from %s", name, progress.Bytes(asset.Size), progress.Bytes(b.Size)), reused, s.digests.Save()
	})
	return asset, key, err
}

type contextWriter struct {
	ctx context.Context
	w   io.Writer
}

func (c *contextWriter) Write(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, context.Cause(c.ctx)
	}
	return c.w.Write(p)
}

const smokeName = "smoke.json"

// smoke proves that an asset runs; a proof on the same device stands.
func (s *Session) smoke(ctx context.Context, row matrix.Row, a manifest.Asset, keep bool) (manifest.SmokeResult, string, error) {
	var res manifest.SmokeResult
	device := smoke.For(ctx, row.Platform, smoke.DetectDevice(ctx))
	key := keyOf("smoke", smoke.Version, a.SHA256, s.File.Smoke, s.tag, row.CPU.Level, device, s.besides(row, a.Package))
	err := s.stage(ctx, row.Name, "smoke", a.Name, func(task *progress.Task) (string, bool, error) {
		whole := func(dir string) error {
			data, err := os.ReadFile(filepath.Join(dir, smokeName))
			if err != nil {
				return err
			}
			return json.Unmarshal(data, &res)
		}
		_, reused, err := s.keyed(row, "smoke", a.Package, key, whole, func(tmp string) (err error) {
			if res, err = s.smokeArchive(ctx, a.Path, device, keep, task); err != nil {
				return err
			}
			data, err := json.MarshalIndent(res, "", "  ")
			if err != nil {
				return err
			}
			return fsx.WriteFile(filepath.Join(tmp, smokeName), data, 0o644)
		})
		if err != nil {
			return "", false, err
		}
		return res.Summary(), reused, nil
	})
	return res, key, err
}

func (s *Session) smokeArchive(ctx context.Context, path string, device manifest.Device, keep bool, task *progress.Task) (manifest.SmokeResult, error) {
	inputs, err := s.fetchInputs(ctx, task)
	if err != nil {
		return manifest.SmokeResult{}, err
	}
	return smoke.Run(ctx, smoke.Options{
		Archive: path, File: s.File, Inputs: inputs, Tag: s.tag, Device: device, Cache: s.Cache, Keep: keep, Task: task,
		Libraries: s.hostLibraries, Over: func(row matrix.Row, pkg string) (string, error) { return s.archiveOver(row, pkg, path) },
	})
}

// fetchInputs brings the smoke test's pinned inputs.
func (s *Session) fetchInputs(ctx context.Context, task *progress.Task) (map[string]string, error) {
	paths := map[string]string{}
	for _, name := range s.File.Smoke.Inputs.Keys {
		p, err := smoke.Inputs{Cache: s.Cache}.Fetch(ctx, s.File.Smoke.Inputs.Values[name], task)
		if err != nil {
			return nil, err
		}
		paths[name] = p
	}
	return paths, nil
}
