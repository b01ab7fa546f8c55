package pipeline

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/relmat/relmat/internal/manifest"
	"github.com/relmat/relmat/internal/matrix"
	"github.com/relmat/relmat/internal/proc"
	"github.com/relmat/relmat/internal/progress"
	"github.com/relmat/relmat/internal/sign"
)

// sign signs the project's own files of a bundle and returns the signed one,
// which is another tree. What needs no signature comes back as it is.
func (s *Session) sign(ctx context.Context, row matrix.Row, b Bundle) (Bundle, error) {
	if !row.Sign.Signs() {
		return b, nil
	}
	err := s.stage(ctx, row.Name, "sign", b.Package, func(task *progress.Task) (_ string, _ bool, err error) {
		paths, err := sign.Own(b.Dir, row.Sign, row.Platform.OS)
		if err != nil {
			return "", false, err
		}
		if len(paths) == 0 {
			return b.Package + ": it has no programs of its own", false, nil
		}
		tool, err := sign.Open(s.signOptions(row))
		if err != nil {
			return "", false, fmt.Errorf("target %s is to be signed: %w; relmat smoke --skip-sign tests without", row.Name, err)
		}
		defer func() { err = errors.Join(err, tool.Close(ctx)) }()
		key := keyOf("sign", sign.Version, b.Key, row.Sign, tool.Identity())
		var list []byte
		whole := func(dir string) error {
			list, err = sign.Whole(dir)
			return err
		}
		dir, reused, err := s.keyed(row, "sign", b.Package, key, whole, func(tmp string) error {
			signed, err := tool.Tree(ctx, b.Dir, tmp, paths, task.Counter(b.Size))
			if err != nil {
				return err
			}
			for _, f := range signed {
				for _, refused := range f.Refused {
					task.Warn("no time stamp of %s", refused)
				}
				task.Note("%s: signed by %s, %s", f.Path, f.By, stampOf(f))
			}
			list, err = sign.Whole(tmp)
			return err
		})
		if err != nil {
			return "", false, err
		}
		m, err := manifest.Decode(list)
		if err != nil {
			return "", false, err
		}
		b.Dir, b.Size = dir, 0
		for _, f := range m.Files {
			b.Size += f.Size
		}
		// A time stamp is never the same again: what was made counts, not only
		// what it was made of.
		sum := sha256.Sum256(list)
		b.Key = keyOf("signed", key, hex.EncodeToString(sum[:]))
		return fmt.Sprintf("%s: %s by %s", b.Package, progress.Count(len(paths), "file"), signersOf(m)), reused, nil
	})
	if err != nil {
		return b, fmt.Errorf("signing package %s: %w", b.Package, err)
	}
	return b, nil
}

func (s *Session) signOptions(row matrix.Row) sign.Options {
	return sign.Options{Sign: row.Sign, OS: row.Platform.OS, Dir: s.File.Dir, Env: s.Env, Secrets: &s.signSecrets}
}

func stampOf(f sign.Signed) string {
	switch {
	case f.Server != "" && f.Time.IsZero():
		return "time stamp of " + f.Server
	case f.Server != "":
		return "time stamp of " + f.Server + ", " + f.Time.UTC().Format("2006-01-02 15:04:05Z")
	case !f.Time.IsZero():
		return "time stamp of " + f.Time.UTC().Format("2006-01-02 15:04:05Z")
	}
	return "without a time stamp"
}

// signersOf are those who signed files of a package.
func signersOf(m manifest.Manifest) string {
	var names []string
	for _, f := range m.Files {
		if f.Signed != "" && !slices.Contains(names, f.Signed) {
			names = append(names, f.Signed)
		}
	}
	return joinAnd(names)
}

func joinAnd(names []string) string {
	if len(names) == 0 {
		return "nobody"
	}
	out := names[0]
	for i, n := range names[1:] {
		if i == len(names)-2 {
			out += " and " + n
			continue
		}
		out += ", " + n
	}
	return out
}

// signing decides how the row is signed in this run: a substitute is never
// released, and not signed.
func (s *Session) signing(row matrix.Row) matrix.Row {
	switch {
	case !row.Sign.Signs():
	case s.SkipSign:
		row.Sign = matrix.Sign{Tool: matrix.SignNone, Reason: "--skip-sign"}
	case row.IsSubstitute():
		row.Sign = matrix.Sign{Tool: matrix.SignNone, Reason: "a build with triple " + row.Triple + " is not released"}
	}
	return row
}

// preflightSign finds out before the build what would stop signing: a tool that
// is not here, a secret that is not set.
func (s *Session) preflightSign(ctx context.Context, row matrix.Row) error {
	if !row.Sign.Signs() {
		return nil
	}
	tool, err := sign.Open(s.signOptions(row))
	if err != nil {
		return fmt.Errorf("target %s is to be signed: %w", row.Name, err)
	}
	return tool.Close(ctx)
}

// signSecrets are the values that rows' signing gets from variables, for what
// must not be shown.
func signValues(f *matrix.File, env []string) []string {
	var values []string
	for _, row := range f.Rows() {
		for _, name := range row.Sign.SecretVariables() {
			if v := proc.Getenv(env, name); v != "" {
				values = append(values, v)
			}
		}
	}
	return values
}

// footerOf is what users of the rows must know besides the release's notes: that
// programs for Windows are not signed.
func footerOf(rows []matrix.Row) string {
	if slices.ContainsFunc(rows, func(r matrix.Row) bool { return r.Platform.OS == "windows" && !r.Sign.Signs() }) {
		return sign.SmartScreen()
	}
	return ""
}

// released are the rows whose parts a release has.
func (s *Session) released(rel *manifest.Release) []matrix.Row {
	return slices.DeleteFunc(s.File.Rows(), func(r matrix.Row) bool {
		return !slices.ContainsFunc(rel.Targets, func(p manifest.Part) bool { return p.Target == r.Name })
	})
}

// promoted are the rows that a whole release has.
func (s *Session) promoted() []matrix.Row {
	return slices.DeleteFunc(s.File.Rows(), func(r matrix.Row) bool { return r.IsOnRequest() })
}
