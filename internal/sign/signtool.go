package sign

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"

	"github.com/relmat/relmat/internal/fsx"
	"github.com/relmat/relmat/internal/proc"
)

// signtool is Microsoft's, of the Windows SDK ("SignTool", Microsoft Learn). It
// takes a password only on its command line, which every user of the machine
// can list: so a keystore with one goes into the user's certificate store for
// as long as it is needed.
type signtool struct {
	t *Tool
	// thumbprint is that of the keystore's certificate that signs.
	thumbprint string
	// added are those of the keystore's certificates that were not in the store
	// before: its own, and others that it came with.
	added []string
	// unlock lets another relmat have the store.
	unlock func()
}

var (
	_ Signer   = (*signtool)(nil)
	_ verifier = (*signtool)(nil)
	_ opener   = (*signtool)(nil)
)

func newSigntool(t *Tool) Signer { return &signtool{t: t} }

// findSigntool looks into the newest Windows SDK ("Windows Kits").
func findSigntool(env []string) string {
	arch := map[string]string{"amd64": "x64", "arm64": "arm64"}[runtime.GOARCH]
	for _, variable := range []string{"ProgramFiles(x86)", "ProgramFiles"} {
		root := proc.Getenv(env, variable)
		if root == "" {
			continue
		}
		found, err := filepath.Glob(filepath.Join(root, "Windows Kits", "10", "bin", "10.*", arch, "signtool.exe"))
		if err == nil && len(found) > 0 {
			return slices.Max(found) // versions of equal length: 10.0.26100.0
		}
	}
	return ""
}

// importScript names what it is about to add before it adds it: it may be killed
// at any time, and what it has added must be known then. So it reads the
// keystore in memory first (EphemeralKeySet, of .NET 4.7.2). What is all there
// already is not imported again, which would put a second copy of the key
// beside it.
//
//go:embed import.ps1
var importScript string

// removeScript removes certificates with their keys (-DeleteKey), and is
// content with those that are not there.
//
//go:embed remove.ps1
var removeScript string

// powershell runs a script of ours, which reads what it needs from variables.
func (s *signtool) powershell(ctx context.Context, script string, env ...string) (string, error) {
	return s.t.run(ctx, call{
		program: "powershell", args: []string{"-NoProfile", "-NonInteractive", "-ExecutionPolicy", "Bypass", "-Command", script},
		env: env, password: s.t.password != "",
	})
}

func (s *signtool) open(ctx context.Context) error {
	if s.t.o.Sign.Keystore == "" || s.t.password == "" {
		return nil
	}
	// A second relmat with this keystore would take what the first has added for
	// the user's own, and lose it when the first ends.
	if s.unlock == nil {
		unlock, err := fsx.Lock(ctx, filepath.Join(os.TempDir(), "relmat-certificates.lock"), nil)
		if err != nil {
			return fmt.Errorf("waiting for another relmat to take its keystore out of the user's certificate store: %w", err)
		}
		s.unlock = unlock
	}
	out, err := s.powershell(ctx, importScript, "RELMAT_SIGN_KEYSTORE="+s.t.keystore)
	for _, line := range strings.Split(out, "\n") {
		switch m := importLine.FindStringSubmatch(strings.TrimSpace(line)); {
		case m == nil:
		case m[1] == "new":
			s.added = append(s.added, m[2])
		default:
			s.thumbprint = m[2]
		}
	}
	if err != nil {
		return fmt.Errorf("putting the keystore into the user's certificate store: %w", err)
	}
	if s.thumbprint == "" {
		return errors.New("PowerShell named no certificate that was put into the user's certificate store")
	}
	return nil
}

// importLine is a line of importScript.
var importLine = regexp.MustCompile(`^(new|signer) ([0-9A-Fa-f]{40})$`)

// close takes the certificates that were not there before out of the user's
// store, with their keys.
func (s *signtool) close(ctx context.Context) error {
	if s.unlock != nil {
		defer s.unlock()
	}
	if len(s.added) == 0 {
		return nil
	}
	if _, err := s.powershell(ctx, removeScript, "RELMAT_SIGN_THUMBPRINTS="+strings.Join(s.added, " ")); err != nil {
		return fmt.Errorf("of the keystore's certificates some are still in the user's certificate store (certmgr.msc removes them): %s: %w", strings.Join(s.added, ", "), err)
	}
	return nil
}

func (s *signtool) Sign(ctx context.Context, file string) error {
	sign := s.t.o.Sign
	args := []string{"sign", "/fd", "SHA256"}
	switch {
	case s.thumbprint != "":
		args = append(args, "/sha1", s.thumbprint)
	case sign.Keystore != "":
		args = append(args, "/f", s.t.keystore)
	case sign.Thumbprint != "":
		args = append(args, "/sha1", sign.Thumbprint)
	}
	if sign.Subject != "" {
		args = append(args, "/n", sign.Subject)
	}
	if sign.Dlib != "" {
		args = append(args, "/dlib", s.t.path(sign.Dlib), "/dmdf", s.t.path(sign.Metadata))
	}
	if sign.Chain != "" {
		args = append(args, "/ac", s.t.path(sign.Chain))
	}
	_, err := s.t.run(ctx, call{program: s.t.program, args: append(args, file)})
	return err
}

func (s *signtool) Stamp(ctx context.Context, file, server string) error {
	_, err := s.t.run(ctx, call{program: s.t.program, args: []string{"timestamp", "/tr", server, "/td", "SHA256", file}, limit: stampLimit})
	return err
}

// Verify asks it of the roots of Windows; those of sign.trust it does not know.
func (s *signtool) Verify(ctx context.Context, file string) error {
	if s.t.o.Sign.Trust != "" {
		return nil
	}
	_, err := s.t.run(ctx, call{program: s.t.program, args: []string{"verify", "/pa", file}})
	return err
}
