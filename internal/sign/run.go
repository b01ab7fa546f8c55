package sign

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/relmat/relmat/internal/fsx"
	"github.com/relmat/relmat/internal/matrix"
	"github.com/relmat/relmat/internal/proc"
)

// How long a tool may take: a key in a cloud or a hardware token signs in
// seconds, and a time stamp server that is down may not answer at all.
const (
	signLimit  = 5 * time.Minute
	stampLimit = time.Minute
)

// passed are the variables of the host that every tool gets: what programs need
// to start, where the user's certificates lie, and the way to the network.
// Nothing else reaches it but its own secrets.
var passed = []string{
	"PATH", "HOME", "LANG", "TMPDIR", "TEMP", "TMP", "JAVA_HOME", "DOTNET_ROOT", "SSL_CERT_FILE", "SSL_CERT_DIR",
	"http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY",
	"SystemRoot", "SystemDrive", "windir", "ComSpec", "PATHEXT", "USERPROFILE", "APPDATA", "LOCALAPPDATA",
	"ProgramData", "ProgramFiles", "ProgramFiles(x86)",
}

// call is a run of a program for a signer.
type call struct {
	program string
	args    []string
	// password hands the tool its password as PasswordVariable; stdin as what it
	// reads first.
	password, stdin bool
	limit           time.Duration
	env             []string
}

// run runs a program with a minimal environment and returns what it printed.
func (t *Tool) run(ctx context.Context, c call) (string, error) {
	limit := cmp.Or(c.limit, signLimit)
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("no answer in %v", limit))
	defer cancel()
	var env, secrets []string
	for _, kv := range t.o.Env {
		name, value, _ := strings.Cut(kv, "=")
		own := slices.ContainsFunc(t.o.Sign.Pass, func(p string) bool { return proc.SameKey(p, name) })
		if own || slices.ContainsFunc(passed, func(p string) bool { return strings.EqualFold(p, name) }) {
			env = append(env, kv)
		}
		if own {
			secrets = append(secrets, value)
		}
	}
	if t.password != "" {
		secrets = append(secrets, t.password)
	}
	env = append(env, c.env...)
	cmd := proc.Cmd{Path: c.program, Args: c.args, Env: env, Secrets: append(secrets, proc.Secrets(t.o.Env)...)}
	if c.password {
		cmd.Env = append(cmd.Env, PasswordVariable+"="+t.password)
	}
	if c.stdin {
		cmd.Stdin = strings.NewReader(t.password + "\n")
	}
	var out strings.Builder
	cmd.Stdout = nil // so that an error shows it: signers print what is wrong there
	cmd.Stderr = func(line string) { out.WriteString(line + "\n") }
	err := cmd.Run(ctx)
	var failed *proc.Error
	if errors.As(err, &failed) {
		err = &toolError{gistOf(out.String()), failed}
	}
	return out.String(), err
}

// lookup finds the tool's program.
func (e tool) lookup(s matrix.Sign, env []string) (string, error) {
	programs := e.programs
	if s.Tool == "command" && len(s.Command) > 0 {
		programs = s.Command[:1]
	} else if p := proc.Getenv(env, ProgramVariable); p != "" {
		if _, err := os.Stat(p); err != nil {
			return "", fmt.Errorf("%s: %w", ProgramVariable, err)
		}
		return p, nil
	}
	for _, name := range programs {
		if p, err := proc.LookPath(name, env); err == nil {
			return filepath.Abs(p)
		}
	}
	if e.find != nil {
		if p := e.find(env); p != "" {
			return p, nil
		}
	}
	return "", fmt.Errorf("%s is not in PATH; install it, or name it with %s", strings.Join(programs, ", "), ProgramVariable)
}

// inPlace runs do, which makes a new file out of an old one, and puts it in the
// old one's place.
func inPlace(file string, do func(out string) error) error {
	out := file + ".new"
	if err := fsx.Remove(out); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := do(out); err != nil {
		_ = fsx.Remove(out) // Tree removes the directory, and tells if it cannot
		return err
	}
	return fsx.Rename(out, file)
}

func copyFile(src, dst string, mode os.FileMode) (err error) {
	in, err := os.Open(src)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(dst, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	if _, err := io.Copy(out, in); err != nil {
		return err
	}
	return out.Chmod(mode)
}
