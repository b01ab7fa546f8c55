package sign

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/relmat/relmat/internal/fsx"
	"github.com/relmat/relmat/internal/manifest"
	"github.com/relmat/relmat/internal/matrix"
	"github.com/relmat/relmat/internal/objfile"
)

// Signed is a file that was signed.
type Signed struct {
	// Path is that in the package.
	Path string
	// By is the common name of the certificate, Server the address of the time
	// stamp server that served, empty for none; Refused are those that were
	// asked before it, each with what it said.
	By, Server string
	Time       time.Time
	Refused    []string
}

// Own lists the paths of the package at dir that the matrix wants to be
// signed: programs of the project's own build, and native files of its OUT_DIRs
// that nobody has signed yet. A build script may lay somebody else's library
// there: a signature says so, and where there is none sign.except does.
func Own(dir string, s matrix.Sign, os string) ([]string, error) {
	m, _, err := readManifest(dir)
	if err != nil {
		return nil, err
	}
	var paths []string
	for _, f := range m.Files {
		own := f.Origin == manifest.Build || f.Origin == manifest.Prebuilt && s.SignsPrebuilt()
		if !own || s.Excepted(f.Path) {
			continue
		}
		signs, by, err := native(filepath.Join(dir, filepath.FromSlash(f.Path)), os)
		switch {
		case err != nil:
			return nil, fmt.Errorf("%s: %w", f.Path, err)
		case !signs, by.Identified() && f.InOutDir():
		case by.Identified():
			return nil, fmt.Errorf("%s: it already has a signature, of %q, and relmat signs nothing that somebody else has signed; name it in sign.except, or build it without", f.Path, by.Signer)
		default:
			paths = append(paths, f.Path)
		}
	}
	return paths, nil
}

// native tells whether a file is a program or library of the system, and who has
// signed it.
func native(path, system string) (_ bool, by objfile.Signature, _ error) {
	objects, err := objfile.Open(path)
	if err != nil {
		if errors.Is(err, objfile.ErrFormat) {
			return false, by, nil
		}
		return false, by, err
	}
	format := objfile.PE
	if system == "macos" {
		format = objfile.MachO
	}
	for _, o := range objects {
		if o.Format != format || o.Kind != objfile.Executable && o.Kind != objfile.Library && o.Kind != objfile.Bundle {
			return false, by, nil
		}
		if o.Signature.Identified() {
			by = o.Signature
		}
	}
	return len(objects) > 0, by, nil
}

// readManifest reads the package's manifest and returns it with its name.
func readManifest(dir string) (manifest.Manifest, string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return manifest.Manifest{}, "", err
	}
	for _, e := range entries {
		if !manifest.IsName(e.Name()) {
			continue
		}
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return manifest.Manifest{}, "", err
		}
		m, err := manifest.Decode(data)
		return m, e.Name(), err
	}
	return manifest.Manifest{}, "", fmt.Errorf("%s has no %s", dir, manifest.FileName)
}

// Whole checks that the tree at dir, made earlier by Tree, has every file in
// its size, and returns its manifest's bytes.
func Whole(dir string) ([]byte, error) {
	m, name, err := readManifest(dir)
	if err != nil {
		return nil, err
	}
	for _, f := range m.Files {
		info, err := os.Lstat(filepath.Join(dir, filepath.FromSlash(f.Path)))
		if err != nil {
			return nil, err
		}
		if info.Size() != f.Size {
			return nil, fmt.Errorf("%s has another size", f.Path)
		}
	}
	return os.ReadFile(filepath.Join(dir, name))
}

// Tree makes the package of src anew in the existing directory dst, with the
// files at paths signed. Of all others it makes further names. count receives
// as many bytes as src has.
func (t *Tool) Tree(ctx context.Context, src, dst string, paths []string, count io.Writer) (_ []Signed, err error) {
	m, name, err := readManifest(src)
	if err != nil {
		return nil, err
	}
	work, err := os.MkdirTemp(dst, ".work-") // a killed run leaves it in dst, which goes as a whole
	if err != nil {
		return nil, err
	}
	// What stays of it would be packed.
	defer func() { err = errors.Join(err, fsx.RemoveAll(work)) }()
	if o, ok := t.signer.(opener); ok && !t.opened {
		if err := o.open(ctx); err != nil {
			return nil, err
		}
		t.opened = true
	}
	var out []Signed
	for i := range m.Files {
		f := &m.Files[i]
		if err := ctx.Err(); err != nil {
			return nil, context.Cause(ctx)
		}
		from, to := filepath.Join(src, filepath.FromSlash(f.Path)), filepath.Join(dst, filepath.FromSlash(f.Path))
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return nil, err
		}
		mode, err := f.Perm()
		if err != nil {
			return nil, err
		}
		if !slices.Contains(paths, f.Path) {
			if os.Link(from, to) != nil {
				if err := copyFile(from, to, mode); err != nil {
					return nil, err
				}
			}
		} else {
			// Under its own name: tools go by its ending, and may show it.
			signed, err := t.file(ctx, from, filepath.Join(work, filepath.Base(to)), mode)
			if err != nil {
				return nil, fmt.Errorf("signing %s: %w", f.Path, err)
			}
			if err := fsx.Rename(filepath.Join(work, filepath.Base(to)), to); err != nil {
				return nil, err
			}
			if f.SHA256, f.Size, err = fsx.SHA256File(to); err != nil {
				return nil, err
			}
			signed.Path, f.Signed = f.Path, signed.By
			out = append(out, *signed)
		}
		if _, err := io.CopyN(count, zero{}, f.Size); err != nil {
			return nil, err
		}
	}
	data, err := m.Encode()
	if err != nil {
		return nil, err
	}
	return out, os.WriteFile(filepath.Join(dst, name), data, 0o644)
}

type zero struct{}

func (zero) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// file makes a signed copy of a file and checks it.
func (t *Tool) file(ctx context.Context, from, to string, mode os.FileMode) (*Signed, error) {
	s := &Signed{}
	fresh := func() error {
		if err := fsx.Remove(to); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		return copyFile(from, to, mode|0o200)
	}
	if err := fresh(); err != nil {
		return nil, err
	}
	try := func(server string) error { return t.signer.Stamp(ctx, to, server) }
	c, isCommand := t.signer.(command)
	one, together := t.signer.(stampedSigner)
	if together && isCommand && c.stamps() && t.o.Sign.Stamped() {
		try = func(server string) error {
			if err := fresh(); err != nil {
				return err
			}
			return one.SignStamped(ctx, to, server)
		}
	} else if err := t.signer.Sign(ctx, to); err != nil {
		return nil, err
	}
	if t.o.Sign.Stamped() && !(isCommand && !c.stamps()) {
		for _, server := range t.o.Sign.Timestamp {
			err := try(server)
			if err == nil {
				err = t.stamped(to)
			}
			if err == nil {
				s.Server = server
				break
			}
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			s.Refused = append(s.Refused, server+": "+gist(err))
		}
		if s.Server == "" {
			return nil, fmt.Errorf("no time stamp server served:\n  %s\ntry again later, or add a server to sign.timestamp", strings.Join(s.Refused, "\n  "))
		}
	}
	if err := os.Chmod(to, mode); err != nil {
		return nil, err
	}
	if err := t.check(from, to, s); err != nil {
		return nil, fmt.Errorf("%s was run, and its result is not right: %w", filepath.Base(t.program), err)
	}
	if v, ok := t.signer.(verifier); ok {
		if err := v.Verify(ctx, to); err != nil {
			return nil, fmt.Errorf("the signed file is refused: %w", err)
		}
	}
	return s, nil
}

// stamped finds out whether a tool that said nothing has made a time stamp.
func (t *Tool) stamped(file string) error {
	if t.o.OS != "windows" {
		return nil
	}
	a, err := objfile.OpenAuthenticode(file)
	switch {
	case err != nil:
		return err
	case !a.Time.IsZero():
		return nil
	}
	if err := a.Valid(time.Now()); err != nil {
		return err // no server stamps that
	}
	return fmt.Errorf("%s made no time stamp and no error", filepath.Base(t.program))
}

// check holds a signed file against what it was, without asking its tool.
func (t *Tool) check(from, to string, s *Signed) error {
	if t.o.OS != "windows" {
		objects, err := objfile.Open(to)
		if err != nil {
			return err
		}
		for _, o := range objects {
			if o.Signature.Kind != "identity" {
				return fmt.Errorf("its signature is %q, not one of an identity", o.Signature.Kind)
			}
			s.By = o.Signature.Signer
		}
		return nil
	}
	a, err := objfile.OpenAuthenticode(to)
	if err != nil {
		return err
	}
	before, err := objfile.OpenAuthenticodeDigest(from, a.Hash)
	if err != nil {
		return err
	}
	if !bytes.Equal(before, a.Digest) {
		return errors.New("what was signed is not what was built: the tool changed more than the signature")
	}
	if err := a.Strong(); err != nil {
		return err
	}
	s.By, s.Time = objfile.NameOf(a.Signer), a.Time
	now := time.Now()
	if err := a.Valid(now); err != nil {
		return err
	}
	if t.o.Sign.Stamped() && a.Time.IsZero() {
		return errors.New("it has no time stamp, and sign.timestamp wants one")
	}
	if t.o.Sign.Trust == "" {
		return nil
	}
	pem, err := os.ReadFile(t.path(t.o.Sign.Trust))
	if err != nil {
		return fmt.Errorf("sign.trust: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return fmt.Errorf("sign.trust: %s holds no certificate in PEM", t.o.Sign.Trust)
	}
	return a.Trusted(roots, now)
}
