package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/relmat/relmat/internal/bundle"
	"github.com/relmat/relmat/internal/fsx"
	"github.com/relmat/relmat/internal/manifest"
	"github.com/relmat/relmat/internal/matrix"
	"github.com/relmat/relmat/internal/progress"
	"github.com/relmat/relmat/internal/toolkit"
	"github.com/relmat/relmat/internal/verify"
)

// findingsName is the report of a package that was verified.
const findingsName = "findings.json"

// maxShown bounds the findings of one severity that a run shows; relmat verify
// shows all.
const maxShown = 20

// verify judges a bundle by the matrix. An error that stands ends the release;
// a report without one stands as long as nothing that it depends on changes.
func (s *Session) verify(ctx context.Context, row matrix.Row, b Bundle, tk *toolkit.Toolkit) (*verify.Report, string, error) {
	target, err := s.verifyTarget(row, b.Package)
	if err != nil {
		return nil, "", err
	}
	key := keyOf("verify", verify.Version, b.Key, row.Target, target.Package, target.Release, s.File.Verify)
	rep := &verify.Report{}
	err = s.stage(ctx, row.Name, "verify", b.Package, func(task *progress.Task) (string, bool, error) {
		whole := func(dir string) error {
			data, err := os.ReadFile(filepath.Join(dir, findingsName))
			if err != nil {
				return err
			}
			return json.Unmarshal(data, rep)
		}
		_, reused, err := s.keyed(row, "verify", b.Package, key, whole, func(tmp string) error {
			var err error
			rep, err = verify.Run(ctx, verify.Options{
				Path: b.Dir, Target: target, Rules: s.File.Verify, Vendor: vendorOf(tk), Count: task.Counter(b.Size),
			})
			if err != nil {
				return err
			}
			if err := rep.Err(); err != nil {
				showFindings(task, rep)
				return err
			}
			data, err := json.MarshalIndent(rep, "", "  ")
			if err != nil {
				return err
			}
			return fsx.WriteFile(filepath.Join(tmp, findingsName), append(data, '\n'), 0o644)
		})
		if err != nil {
			return "", false, err
		}
		showFindings(task, rep)
		return fmt.Sprintf("%s: %s", b.Package, rep.Summary()), reused, nil
	})
	return rep, key, err
}

// showFindings tells what stands, the gravest first.
func showFindings(task *progress.Task, rep *verify.Report) {
	shown := map[string]int{}
	for _, f := range rep.Findings {
		if f.Allowed {
			continue
		}
		show := task.Error
		switch f.Severity {
		case "warning":
			show = task.Warn
		case "note":
			continue
		}
		if shown[f.Severity]++; shown[f.Severity] > maxShown {
			continue
		}
		show("%s", line(f))
	}
	for _, severity := range []string{"error", "warning"} {
		if n := shown[severity] - maxShown; n > 0 {
			task.Note("and %d more; relmat verify %s shows them", n, rep.Path)
		}
	}
}

// line is a finding in one line.
func line(f verify.Finding) string {
	if f.File == "" {
		return fmt.Sprintf("%s: %s (mend: %s)", f.Rule, f.Message, f.Hint)
	}
	return fmt.Sprintf("%s: %s %s (mend: %s)", f.Rule, f.File, f.Message, f.Hint)
}

// verifyTarget is what the matrix promises of a package.
func (s *Session) verifyTarget(row matrix.Row, name string) (*verify.Target, error) {
	p, ok := s.File.Packages.Get(name)
	if !ok {
		return nil, fmt.Errorf("%s has no package %q", s.File.Path, name)
	}
	t := &verify.Target{Row: row, Project: s.File.Project.Name, Name: name, Package: p, Programs: s.programPaths(row, p)}
	if row.Sign.Signs() && row.Sign.Trust != "" {
		var err error
		if t.Roots, err = os.ReadFile(filepath.Join(s.File.Dir, filepath.FromSlash(row.Sign.Trust))); err != nil {
			return nil, fmt.Errorf("target %s: sign.trust: %w", row.Name, err)
		}
	}
	if row.Toolkit != "" {
		t.Release = s.File.Toolkits.Values[row.Toolkit].Release()
	}
	return t, nil
}

// programPaths are where a package has its programs, by their names.
func (s *Session) programPaths(row matrix.Row, p matrix.Package) map[string]string {
	at := map[string]string{}
	for _, name := range p.Programs {
		at[name] = path.Join(p.LayoutOf().Programs, name+row.Platform.Exe())
		if s.isPrebuilt(name) {
			at[name] = bundle.PrebuiltPath(p, s.File.Programs.Values[name].From)
		}
	}
	return at
}

// vendorOf knows the files of a toolkit's wheels.
func vendorOf(tk *toolkit.Toolkit) func(string) (string, bool) {
	if tk == nil {
		return nil
	}
	return func(sha256 string) (string, bool) {
		f, ok := tk.ByDigest(sha256)
		return f.Dist + " " + f.Version, ok
	}
}

// VerifyOptions say what is verified, and by what.
type VerifyOptions struct {
	Config
	// Path is a directory or an archive.
	Path string
	// Explicit says that the user named the matrix: else it counts only where
	// it fits.
	Explicit bool
	// Target and Package are the matrix's; empty for what the package's manifest
	// says.
	Target, Package string
	// Annotate shows the findings as events, too.
	Annotate bool
}

// VerifyPath judges a package as it lies there, of this matrix or of anybody.
func VerifyPath(ctx context.Context, o VerifyOptions) (*verify.Report, error) {
	vo := verify.Options{Path: o.Path}
	var s *Session
	if o.Explicit || o.Target != "" || o.Package != "" {
		var err error
		if s, err = Open(o.Config); err != nil {
			return nil, err
		}
		vo.Rules = s.File.Verify
	}
	found := o.Target != ""
	vo.Find = func(m *manifest.Manifest, vo *verify.Options) error {
		found = true
		return findTarget(s, o, m, vo)
	}
	if o.Target != "" {
		if err := s.fillTarget(o.Target, o.Package, o.Path, &vo); err != nil {
			return nil, err
		}
	}
	task := o.Reporter.Begin(o.Target, "verify", o.Path)
	total := int64(0)
	var counter io.Writer
	vo.Total = func(n int64) { total = n }
	vo.Count = writer(func(p []byte) (int, error) {
		if counter == nil {
			counter = task.Counter(total)
		}
		return counter.Write(p)
	})
	rep, err := verify.Run(ctx, vo)
	if err != nil {
		task.Failed()
		return nil, err
	}
	if s != nil && !found {
		rep.NotProven = append(rep.NotProven, verify.NotProven{
			What: "that it is what " + s.File.Path + " promises", Why: "it has no manifest that names a target; name one with --target",
		})
	}
	if o.Annotate {
		showFindings(task, rep)
	}
	task.Done("%s", rep.Summary())
	return rep, nil
}

type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

// findTarget finds the target that a manifest names. A matrix that the user did
// not name counts only where it is the project's.
func findTarget(s *Session, o VerifyOptions, m *manifest.Manifest, vo *verify.Options) error {
	if s == nil {
		read := o.Read
		if read == nil {
			read = os.ReadFile
		}
		f, err := matrix.LoadBy(read, o.Matrix)
		if err != nil || f.Project.Name != m.Project || !slices.Contains(f.Targets.Keys, m.Target) {
			return nil // somebody else's package, or none of this directory
		}
		if s, err = Open(o.Config); err != nil {
			return err
		}
	}
	if s.File.Project.Name != m.Project || !slices.Contains(s.File.Targets.Keys, m.Target) {
		return fmt.Errorf("its manifest says target %s of project %s, and %s has no such target; name one with --target", m.Target, m.Project, s.File.Path)
	}
	vo.Rules = s.File.Verify
	pkg := o.Package
	if pkg == "" {
		pkg = m.Package
	}
	return s.fillTarget(m.Target, pkg, o.Path, vo)
}

// fillTarget promises what the matrix says of a target's package.
func (s *Session) fillTarget(target, pkg, path string, vo *verify.Options) error {
	rows, err := s.File.Match([]string{target})
	if err != nil {
		return err
	}
	if len(rows) != 1 {
		var names []string
		for _, r := range rows {
			names = append(names, r.Name)
		}
		return &TargetError{fmt.Errorf("--target %q is %s: a package is verified as one", target, strings.Join(names, ", "))}
	}
	row := rows[0]
	if pkg == "" {
		if pkg, err = s.packageOf(row, path); err != nil {
			return err
		}
	}
	if !slices.Contains(s.File.PackagesOf(row), pkg) {
		return &TargetError{fmt.Errorf("target %s has no package %q; it has %s", row.Name, pkg, strings.Join(s.File.PackagesOf(row), ", "))}
	}
	if vo.Target, err = s.verifyTarget(row, pkg); err != nil {
		return err
	}
	vo.Rules = s.File.Verify
	vo.Vendor = vendorOf(s.cachedToolkit(row))
	return nil
}

// packageOf is the package that a directory or archive is: as its manifest
// says, or the target's only one.
func (s *Session) packageOf(row matrix.Row, path string) (string, error) {
	names := s.File.PackagesOf(row)
	if data, err := os.ReadFile(filepath.Join(path, manifest.FileName)); err == nil {
		if m, err := manifest.Decode(data); err == nil && slices.Contains(names, m.Package) {
			return m.Package, nil
		}
	}
	if len(names) == 1 {
		return names[0], nil
	}
	// An archive is named as the matrix names its asset, if nobody renamed it.
	for _, n := range names {
		stem, _, err := packageNames(s.File.Packages.Values[n], row, row.Fields("*", "*"))
		if err != nil {
			continue
		}
		if ok, _ := filepath.Match(stem+".*", filepath.Base(path)); ok {
			return n, nil
		}
	}
	return "", &TargetError{fmt.Errorf("target %s has the packages %s; say with --package which %s is", row.Name, strings.Join(names, ", "), path)}
}

// cachedToolkit is the row's toolkit if it lies in the cache: nothing is
// fetched to verify.
func (s *Session) cachedToolkit(row matrix.Row) *toolkit.Toolkit {
	if row.Toolkit == "" {
		return nil
	}
	lock, err := s.readLock(row.Toolkit, row.Platform.String())
	if err != nil {
		return nil
	}
	tk, err := s.fetcher().Cached(row.Toolkit, lock, row.Platform.String())
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			s.Reporter.Warn("the toolkit in the cache is not used: %v", err)
		}
		return nil
	}
	return tk
}

// TargetError says that the user named no target or package of the matrix.
type TargetError struct{ error }

func (e *TargetError) Unwrap() error { return e.error }
