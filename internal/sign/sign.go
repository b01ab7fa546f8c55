// Package sign puts signatures into the project's own programs and libraries,
// so that systems say who made them. What others made is left as it is, byte
// for byte, as far as that can be told (see Own). The signed package is another tree: the one that was bundled may
// share its files with a cache.
//
// Each tool is a Signer in a file of its own. What they have made is held
// against the file by relmat's own reader, whatever the tool says of it.
package sign

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/relmat/relmat/internal/fsx"
	"github.com/relmat/relmat/internal/matrix"
	"github.com/relmat/relmat/internal/proc"
)

// Version changes with what the stage makes of the same inputs.
const Version = 2

// Signer is a tool that signs.
type Signer interface {
	// Sign puts a signature without a time stamp into the file.
	Sign(ctx context.Context, file string) error
	// Stamp adds a time stamp of a server (RFC 3161) to the signature.
	Stamp(ctx context.Context, file, server string) error
}

// The optional abilities of signers.
type (
	// stampedSigner signs and stamps in one step.
	stampedSigner interface {
		SignStamped(ctx context.Context, file, server string) error
	}
	// verifier asks the tool itself of a signed file.
	verifier interface {
		Verify(ctx context.Context, file string) error
	}
	// opener does once what has to be done before the first file; close undoes
	// what was done of it, also where open failed or was never called.
	opener interface {
		open(ctx context.Context) error
		close(ctx context.Context) error
	}
)

// tool is how a signer of matrix.Signers is made.
type tool struct {
	// programs are looked for in this order.
	programs []string
	// find, if not nil, looks for the program where PATH has none.
	find func(env []string) string
	make func(*Tool) Signer
	// get says how one gets the tool, by operating system or on any host.
	get map[string]string
}

// tools are all signers, by the matrix's word.
var tools = map[string]tool{
	"osslsigncode": {
		programs: []string{"osslsigncode"}, make: newOsslsigncode,
		get: map[string]string{"linux": "apt install osslsigncode", "macos": "brew install osslsigncode", "any": "https://github.com/mtrojnar/osslsigncode"},
	},
	"jsign": {
		programs: []string{"jsign"}, make: newJsign,
		get: map[string]string{"macos": "brew install jsign", "any": "https://ebourg.github.io/jsign; " + ProgramVariable + "=jsign-7.1.jar runs it with java"},
	},
	"signtool": {
		programs: []string{"signtool"}, find: findSigntool, make: newSigntool,
		get: map[string]string{"any": "Visual Studio's installer, the component Windows 11 SDK"},
	},
	"command": {make: newCommand},
}

// Get says how a host of the operating system gets the tool.
func Get(name, system string) string {
	ways := tools[name].get
	if way, ok := ways[system]; ok {
		return way
	}
	return ways["any"]
}

// Options say what signs, and by what.
type Options struct {
	// Sign is the resolved row's.
	Sign matrix.Sign
	// OS is the operating system of the target.
	OS string
	// Dir is the directory of targets.yaml, to which its paths are relative.
	Dir string
	// Env is the environment of this process, as KEY=VALUE.
	Env []string
	// Secrets remembers what can be read only once.
	Secrets *Secrets
}

// Tool is a signer with its secrets at hand. It must be closed.
type Tool struct {
	o Options
	// program is the tool's path.
	program string
	// identity tells the tool, the key and the roots apart from others.
	identity []string
	// keystore is the path of the keystore's file, or what names another store.
	keystore string
	// password is empty where there is none.
	password string
	private  string // the directory of what nobody else may read
	signer   Signer
	opened   bool
}

// PasswordVariable is the one by which a tool is handed its password.
const PasswordVariable = "RELMAT_SIGN_PASSWORD"

// ProgramVariable names the tool's program, or jsign's .jar, where it is not
// found by its name.
const ProgramVariable = "RELMAT_SIGN_TOOL"

// Find returns the path of the tool's program.
func Find(s matrix.Sign, env []string) (string, error) {
	t, ok := tools[s.Tool]
	if !ok {
		return "", fmt.Errorf("%q is no tool that signs", s.Tool)
	}
	return t.lookup(s, env)
}

// Open finds the tool and reads its secrets. It signs nothing yet.
func Open(o Options) (_ *Tool, err error) {
	entry, ok := tools[o.Sign.Tool]
	if !ok {
		return nil, fmt.Errorf("%q is no tool that signs", o.Sign.Tool)
	}
	t := &Tool{o: o, keystore: o.Sign.Keystore}
	defer func() {
		if err != nil {
			err = errors.Join(err, t.removePrivate())
		}
	}()
	if t.program, err = entry.lookup(o.Sign, o.Env); err != nil {
		return nil, err
	}
	sum, _, err := fsx.SHA256File(t.program)
	if err != nil {
		return nil, fmt.Errorf("the tool %s: %w", t.program, err)
	}
	t.identity = append(t.identity, "tool "+sum)
	if err := t.readKeystore(); err != nil {
		return nil, fmt.Errorf("sign.keystore: %w", err)
	}
	if o.Sign.Password != "" {
		if t.password, err = o.Secrets.text(o.Sign.Password, o.Dir, o.Env); err != nil {
			return nil, fmt.Errorf("sign.password: %w", err)
		}
	}
	for _, f := range []struct{ key, path string }{{"chain", o.Sign.Chain}, {"dlib", o.Sign.Dlib}, {"metadata", o.Sign.Metadata}, {"trust", o.Sign.Trust}} {
		// What another layer of the matrix says of another tool is not used.
		if f.path == "" || f.key != "trust" && !slices.Contains(takes(o.Sign.Tool), f.key) {
			continue
		}
		sum, _, err := fsx.SHA256File(t.path(f.path))
		if err != nil {
			return nil, fmt.Errorf("sign.%s: %w", f.key, err)
		}
		t.identity = append(t.identity, f.key+" "+sum)
	}
	for _, name := range o.Sign.Pass {
		set := func(kv string) bool { key, _, ok := strings.Cut(kv, "="); return ok && proc.SameKey(key, name) }
		if !slices.ContainsFunc(o.Env, set) {
			return nil, fmt.Errorf("sign.pass: the variable %s is not set", name)
		}
	}
	t.signer = entry.make(t)
	return t, nil
}

// takes are the keys of sign that a tool has a use for.
func takes(tool string) []string {
	for _, s := range matrix.Signers() {
		if s.Name == tool {
			return s.Takes
		}
	}
	return nil
}

// Identity tells apart what makes other signatures: tool, key and roots.
func (t *Tool) Identity() []string { return t.identity }

// Close removes what was made for the tool, also where the run was interrupted.
func (t *Tool) Close(ctx context.Context) error {
	var err error
	if o, ok := t.signer.(opener); ok {
		err = o.close(context.WithoutCancel(ctx))
	}
	return errors.Join(err, t.removePrivate())
}

// path is a path of the matrix on this machine.
func (t *Tool) path(p string) string {
	p = filepath.FromSlash(p)
	if filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(t.o.Dir, p)
}

// privateDir is a directory that only this user can read, made when it is
// needed: in memory where the system has such a place.
func (t *Tool) privateDir() (string, error) {
	if t.private != "" {
		return t.private, nil
	}
	parent := cmp.Or(proc.Getenv(t.o.Env, "XDG_RUNTIME_DIR"), proc.Getenv(t.o.Env, "TMPDIR"))
	var err error
	if t.private, err = os.MkdirTemp(parent, "relmat-sign-"); err != nil && parent != "" {
		t.private, err = os.MkdirTemp("", "relmat-sign-") // of mode 0700
	}
	return t.private, err
}

func (t *Tool) removePrivate() error {
	if t.private == "" {
		return nil
	}
	if err := fsx.RemoveAll(t.private); err != nil {
		return fmt.Errorf("a copy of the keystore is still in %s; remove that directory: %w", t.private, err)
	}
	t.private = ""
	return nil
}
