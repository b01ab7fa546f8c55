// Package smoke proves that a package runs: it unpacks the archive that users
// will download into a place that it has never seen, gives it none of the
// build machine's environment, runs the matrix's steps and judges what they
// say.
package smoke

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/relmat/relmat/internal/archive"
	"github.com/relmat/relmat/internal/fsx"
	"github.com/relmat/relmat/internal/manifest"
	"github.com/relmat/relmat/internal/matrix"
	"github.com/relmat/relmat/internal/proc"
	"github.com/relmat/relmat/internal/progress"
)

// Version changes with how the stage judges the same archive.
const Version = 2

// defaultTimeout bounds a step that sets no limit of its own.
const defaultTimeout = 5 * time.Minute

// Error says which step of a smoke test failed.
type Error struct {
	Archive string
	Step    manifest.StepResult
	// Kept is the directory that was kept for a look, or empty.
	Kept string
}

func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "smoke test of %s: step %s failed: %s", filepath.Base(e.Archive), e.Step.Name, e.Step.Reason)
	if e.Step.Command != "" {
		b.WriteString("\nit ran: " + e.Step.Command)
	}
	if len(e.Step.Tail) > 0 {
		b.WriteString("\nits last lines:")
		for _, l := range e.Step.Tail {
			b.WriteString("\n  | " + l)
		}
	}
	if e.Kept != "" {
		b.WriteString("\nkept for a look: " + e.Kept)
	} else {
		b.WriteString("\nto keep the unpacked package for a look: --keep")
	}
	return b.String()
}

// Options are what a smoke test works on.
type Options struct {
	Archive string
	// File gives the steps; Fields the templates' fields, to which the test
	// adds Package, Work and Inputs.
	File   *matrix.File
	Inputs map[string]string
	// Tag is the release's, for templates.
	Tag    string
	Device manifest.Device
	// Libraries gives the directories of the vendor's libraries on this host, for
	// packages that leave them to their users ("runtime: host"), Over the archive
	// of a package that users unpack over the tested one ("runtime: split").
	Libraries func(matrix.Row) ([]string, error)
	Over      func(row matrix.Row, pkg string) (string, error)
	// Cache is the directory in which drives of runners are kept, for packages
	// of another platform than the host's.
	Cache string
	// Keep leaves the directory of a failed test.
	Keep bool
	Task *progress.Task
}

// Run unpacks the archive and runs the steps. A failed step ends the test with
// an *Error; the result then holds what was run.
func Run(ctx context.Context, o Options) (res manifest.SmokeResult, err error) {
	at, err := newPlace()
	if err != nil {
		return res, fsx.TempSpace(err)
	}
	defer func() {
		var failed *Error
		if o.Keep && errors.As(err, &failed) {
			failed.Kept = at.dir
			at.keep()
			return
		}
		if rerr := at.remove(); err == nil {
			err = rerr
		}
	}()
	if err := archive.Extract(ctx, o.Archive, at.path("package"), archive.DefaultLimits); err != nil {
		return res, fsx.TempSpace(err)
	}
	root, m, err := findPackage(at.path("package"))
	if err != nil {
		return res, fmt.Errorf("%s: %w", o.Archive, err)
	}
	row, ok := rowOf(o.File, m.Target)
	if !ok {
		return res, fmt.Errorf("%s is of target %q, which is not in %s", o.Archive, m.Target, o.File.Path)
	}
	r, err := findRunner(ctx, row.Platform)
	if err != nil {
		return res, fmt.Errorf("%s: %w", o.Archive, err)
	}
	if len(m.RuntimeOf) > 0 {
		o.Task.Note("it holds libraries alone, which are tested with %s", strings.Join(m.RuntimeOf, ", "))
		return manifest.SmokeResult{Package: m.Package, Target: m.Target, Device: o.Device}, nil
	}
	scrubbed := scrubbedEnv(at.dir)
	if r != nil {
		o.Device = r.device(o.Device)
		if said := r.tooOld(); said != "" {
			o.Task.Warn("%s", said)
		}
		if err := r.freshDrive(ctx, o.Cache, at.dir, o.Task); err != nil {
			return res, err
		}
		scrubbed = r.scrubbedEnv(at.dir)
		defer func() {
			if eerr := r.end(ctx, scrubbed); err == nil && eerr != nil {
				err = fmt.Errorf("ending %s: %w", r, eerr)
			}
		}()
	}
	env, err := o.complete(ctx, at.path("package"), root, row, m, r, scrubbed)
	if err != nil {
		return res, fmt.Errorf("%s: %w", o.Archive, err)
	}
	fields := row.Fields(m.Version, o.Tag)
	fields.Package, fields.Work, fields.InputDir = r.guest(root), r.guest(at.path("work")), r.guest(at.path("inputs"))
	if fields.Inputs, err = placeInputs(o.Inputs, at.path("inputs")); err != nil {
		return res, err
	}
	for name, path := range fields.Inputs {
		fields.Inputs[name] = r.guest(path)
	}
	t := tester{o: o, root: root, work: at.path("work"), manifest: m, fields: fields, env: env, runner: r, values: map[string]map[string]string{}}
	res = manifest.SmokeResult{Package: m.Package, Target: m.Target, Device: o.Device}
	for _, name := range o.File.Smoke.Steps.Keys {
		step := o.File.Smoke.Steps.Values[name]
		if !matrix.Matches(step.Targets, m.Target) || m.Programs[step.Program] == "" {
			continue
		}
		r := t.step(ctx, name, step)
		if ctx.Err() != nil {
			return res, context.Cause(ctx)
		}
		res.Steps = append(res.Steps, r)
		switch r.Status {
		case manifest.Failed:
			return res, &Error{Archive: o.Archive, Step: r}
		case manifest.NotRun:
			o.Task.Warn("step %s was not run: %s", r.Name, r.Reason)
		case manifest.Passed:
			o.Task.Note("step %s passed (%.1f s)%s", r.Name, r.Seconds, show(r.Values))
		}
	}
	if res.Count(manifest.Passed) == 0 {
		return res, fmt.Errorf("%s: no step of the smoke test was run; nothing is proven; give smoke.steps for the programs of package %s", o.Archive, m.Package)
	}
	if row.CPU.Level == "" {
		return res, nil
	}
	proof, failed := t.proveLevel(ctx, row.CPU.Level, passedOf(res.Steps))
	if ctx.Err() != nil {
		return res, context.Cause(ctx)
	}
	res.CPU = &proof
	switch proof.Status {
	case manifest.Failed:
		return res, &Error{Archive: o.Archive, Step: failed}
	case manifest.NotRun:
		o.Task.Warn("%s", proof)
	case manifest.Passed:
		o.Task.Note("%s (%.1f s)", proof, proof.Seconds)
	}
	return res, nil
}

func passedOf(steps []manifest.StepResult) []manifest.StepResult {
	return slices.DeleteFunc(slices.Clone(steps), func(r manifest.StepResult) bool { return r.Status != manifest.Passed })
}

// placeInputs puts the inputs side by side in dir: a model is a directory of
// files to those who read it.
func placeInputs(inputs map[string]string, dir string) (map[string]string, error) {
	placed := map[string]string{}
	for name, path := range inputs {
		placed[name] = filepath.Join(dir, filepath.Base(path))
		if err := fsx.LinkOrCopy(path, placed[name]); err != nil {
			return nil, err
		}
	}
	return placed, nil
}

func show(values map[string]string) string {
	var b strings.Builder
	for _, k := range []string{"tokens", "device", "processor", "text"} {
		if v, ok := values[k]; ok {
			fmt.Fprintf(&b, " %s: %s", k, strings.TrimSpace(v))
		}
	}
	return b.String()
}

func rowOf(f *matrix.File, target string) (matrix.Row, bool) {
	for _, r := range f.Rows() {
		if r.Name == target {
			return r, true
		}
	}
	return matrix.Row{}, false
}

// findPackage finds the package's root in an unpacked archive, which is the
// directory itself or its only entry, and reads its manifest.
func findPackage(dir string) (string, manifest.Manifest, error) {
	root := dir
	data, err := readManifest(root)
	if errors.Is(err, fs.ErrNotExist) {
		entries, rerr := os.ReadDir(dir)
		if rerr != nil {
			return "", manifest.Manifest{}, rerr
		}
		if len(entries) == 1 && entries[0].IsDir() {
			root = filepath.Join(dir, entries[0].Name())
			data, err = readManifest(root)
		}
	}
	if err != nil {
		return "", manifest.Manifest{}, fmt.Errorf("the archive holds no %s, so it is no package of relmat", manifest.FileName)
	}
	m, err := manifest.Decode(data)
	return root, m, err
}

// scrubbedEnv is all that a step sees: nothing of CUDA, no library paths, no
// network settings, and a home that is empty.
func scrubbedEnv(dir string) []string {
	env := []string{
		"HOME=" + filepath.Join(dir, "home"), "TMPDIR=" + filepath.Join(dir, "tmp"),
		"LANG=C.UTF-8", "TERM=dumb",
	}
	if runtime.GOOS != "windows" {
		return append(env, "PATH=/usr/bin:/bin")
	}
	sys := os.Getenv("SystemRoot")
	return append(env, "USERPROFILE="+filepath.Join(dir, "home"), "TEMP="+filepath.Join(dir, "tmp"), "TMP="+filepath.Join(dir, "tmp"),
		"SystemRoot="+sys, "PATH="+filepath.Join(sys, "System32")+";"+sys)
}

type tester struct {
	o Options
	// root and work are the package and the directory of the steps.
	root, work string
	manifest   manifest.Manifest
	fields     matrix.Fields
	env        []string
	// runner runs the programs, if they are of another platform.
	runner *runner
	// values are what earlier steps' groups matched, by step.
	values map[string]map[string]string
	// emulator runs the programs, if it is not nil; fault is why it could not
	// run the last step, which then proves nothing, and illegal says that the
	// step met an instruction that its CPU does not have.
	emulator *emulator
	fault    string
	illegal  bool
}

func (t *tester) step(ctx context.Context, name string, s matrix.Step) manifest.StepResult {
	r := manifest.StepResult{Name: name}
	if s.Device == "cuda" && len(t.o.Device.GPUs) == 0 {
		r.Status, r.Reason = manifest.NotRun, "it needs a CUDA device, and this host has none"
		if t.runner != nil {
			r.Reason = "it needs a CUDA device, and " + t.runner.Name + " gives programs none"
		}
		return r
	}
	fail := func(format string, args ...any) manifest.StepResult {
		r.Status, r.Reason = manifest.Failed, fmt.Sprintf(format, args...)
		return r
	}
	args := make([]string, len(s.Args))
	for i, a := range s.Args {
		var err error
		if args[i], err = t.fields.Expand(a); err != nil {
			return fail("args[%d]: %v", i, err)
		}
	}
	timeout := stepTimeout(s)
	sctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("it did not end within %s", timeout))
	defer cancel()
	var stdout, stderr, tail []string
	keep := func(to *[]string) func(string) {
		return func(line string) {
			*to = append(*to, line)
			tail = append(tail, line)
		}
	}
	cmd := proc.Cmd{
		Path: filepath.Join(t.root, filepath.FromSlash(t.manifest.Programs[s.Program])), Args: args,
		Dir: t.work, Env: t.env, Stdout: keep(&stdout), Stderr: keep(&stderr),
	}
	if t.emulator != nil {
		t.emulate(&cmd)
	}
	if t.runner != nil {
		t.runner.wrap(&cmd)
	}
	r.Command = cmd.String()
	start := time.Now()
	err := cmd.Run(sctx)
	r.Seconds = time.Since(start).Seconds()
	r.Tail = tail[max(0, len(tail)-20):]

	code := 0
	var perr *proc.Error
	if errors.As(err, &perr) {
		if code = perr.Code; code < 0 {
			// Other signals may be the emulator's own, and a limit is not the CPU's.
			t.illegal = strings.Contains(perr.Err.Error(), syscall.SIGILL.String())
			if t.emulator != nil && !t.illegal {
				t.fault = perr.Err.Error() + " under " + t.emulator.String()
			}
			return fail("%v", perr.Err)
		}
	} else if err != nil {
		return fail("%v", err)
	}
	if want, _ := t.runner.exit(s.Expect.Exit); code != want {
		_, meaning := t.runner.exit(code)
		return fail("it ended with exit code %d, expected %d%s", code, want, meaning)
	}
	r.Values = map[string]string{}
	for _, out := range []struct{ name, expr, text string }{
		{"stdout", s.Expect.Stdout, strings.Join(stdout, "\n")},
		{"stderr", s.Expect.Stderr, strings.Join(stderr, "\n")},
	} {
		if out.expr == "" {
			continue
		}
		re := regexp.MustCompile(out.expr) // matrix has checked it
		m := re.FindStringSubmatch(out.text)
		if m == nil {
			return fail("its %s does not match %s", out.name, out.expr)
		}
		for i, g := range re.SubexpNames() {
			if g != "" {
				r.Values[g] = m[i]
			}
		}
	}
	if err := t.judge(s.Expect, r.Values); err != nil {
		return fail("%v", err)
	}
	t.values[name] = r.Values
	// The command names places of this machine, which a published result does
	// not tell.
	r.Status, r.Tail, r.Command = manifest.Passed, nil, ""
	return r
}

func (t *tester) judge(e matrix.Expect, values map[string]string) error {
	for _, g := range e.Values.Keys {
		want, err := t.fields.Expand(e.Values.Values[g])
		if err != nil {
			return err
		}
		if values[g] != want {
			return fmt.Errorf("%s is %q, expected %q", g, values[g], want)
		}
	}
	for _, g := range e.Same.Keys {
		other := e.Same.Values[g]
		if t.values[other] == nil {
			return fmt.Errorf("%s cannot be compared: step %s was not run", g, other)
		}
		if want := t.values[other][g]; values[g] != want {
			return fmt.Errorf("%s is %q, in step %s it was %q", g, values[g], other, want)
		}
	}
	return nil
}
