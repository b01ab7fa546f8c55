package smoke

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/relmat/relmat/internal/cuda"
	"github.com/relmat/relmat/internal/manifest"
	"github.com/relmat/relmat/internal/matrix"
	"github.com/relmat/relmat/internal/proc"
)

//go:embed runners.json
var runnersJSON []byte

// runnerFacts are what is known of a program that runs another platform's
// programs on a host.
type runnerFacts struct {
	// Name is its name to people; Program is looked for in PATH.
	Name     string `json:"name"`
	Host     string `json:"host"`
	Platform string `json:"platform"`
	Program  string `json:"program"`
	// Version finds the version in what --version says; Lacks is what those
	// before Since do not have. Get tells who has it.
	Version string `json:"version"`
	Since   string `json:"since"`
	Lacks   string `json:"lacks"`
	Get     string `json:"get"`
	// Root is the name of this host's root directory to the programs.
	Root string `json:"root"`
	// Drive, Runtime and Search are the variables that name the drive on which
	// the programs see their system, a directory for sockets, and more
	// directories for PATH. Env are others.
	Drive   string            `json:"drive"`
	Runtime string            `json:"runtime"`
	Search  string            `json:"search"`
	Env     map[string]string `json:"env"`
	// Init are the arguments that make a drive. Server with the arguments End
	// ends all that runs on a drive.
	Init   []string `json:"init"`
	Server string   `json:"server"`
	End    []string `json:"end"`
	// Builtin are the directories of a drive that no program changes, Private
	// the files that only one drive has.
	Builtin []string `json:"builtin"`
	Private []string `json:"private"`
	// Exits tells what an exit code means that the system gave, not the program.
	Exits map[string]string `json:"exits"`
}

var runners = mustRunners(runnersJSON)

func mustRunners(data []byte) []runnerFacts {
	var t struct {
		Runners []runnerFacts `json:"runners"`
	}
	if err := json.Unmarshal(data, &t); err != nil {
		panic("smoke: runners.json: " + err.Error())
	}
	return t.Runners
}

// runner runs another platform's programs, which see a fresh drive.
type runner struct {
	runnerFacts
	path, server, version string
	// drive and runtime are directories of this test alone.
	drive, runtime string
}

func (r *runner) String() string { return r.Name + " " + r.version }

// MissingRunnerError says that nothing on this host runs a platform's programs.
type MissingRunnerError struct {
	Platform, Host matrix.Platform
	// Runner, Program and Get name what would; empty where nothing does.
	Runner, Program, Get string
}

func (e *MissingRunnerError) Error() string {
	if e.Runner == "" {
		return fmt.Sprintf("programs for %s cannot run on this host, which is %s", e.Platform, e.Host)
	}
	return fmt.Sprintf("programs for %s run on this host, which is %s, under %s, and there is no %s in PATH; install it: %s", e.Platform, e.Host, e.Runner, e.Program, e.Get)
}

// findRunner finds what runs the platform's programs on this host; nil where
// the host does that itself.
func findRunner(ctx context.Context, platform matrix.Platform) (*runner, error) {
	host := matrix.Host()
	if platform == host {
		return nil, nil
	}
	i := slices.IndexFunc(runners, func(f runnerFacts) bool { return f.Platform == platform.String() && f.Host == host.String() })
	if i < 0 {
		return nil, &MissingRunnerError{Platform: platform, Host: host}
	}
	r := &runner{runnerFacts: runners[i]}
	missing := func(program string) error {
		return &MissingRunnerError{Platform: platform, Host: host, Runner: r.Name, Program: program, Get: r.Get}
	}
	var err error
	if r.path, err = proc.LookPath(r.Program, os.Environ()); err != nil {
		return nil, missing(r.Program)
	}
	out, err := proc.Cmd{Path: r.path, Args: []string{"--version"}, Env: os.Environ()}.Output(ctx)
	if err != nil {
		return nil, fmt.Errorf("asking %s for its version: %w", r.Name, err)
	}
	m := regexp.MustCompile(r.Version).FindStringSubmatch(out)
	if m == nil {
		return nil, fmt.Errorf("%s --version says %q, which is no version of %s", r.path, strings.TrimSpace(out), r.Name)
	}
	r.version = m[1]
	// That of the same installation comes before another one in PATH.
	r.server = filepath.Join(filepath.Dir(r.path), r.Server)
	if _, err := os.Stat(r.server); err != nil {
		if r.server, err = proc.LookPath(r.Server, os.Environ()); err != nil {
			return nil, missing(r.Server)
		}
	}
	return r, nil
}

// DetectRunner tells what runs the platform's programs on this host, with its
// version, such as "Wine 10.0"; empty where the host does that itself. A
// *MissingRunnerError says that nothing does. tooOld says what a version lacks
// that is older than it should be.
func DetectRunner(ctx context.Context, platform matrix.Platform) (name, tooOld string, err error) {
	r, err := findRunner(ctx, platform)
	if r == nil || err != nil {
		return "", "", err
	}
	return r.String(), r.tooOld(), nil
}

func (r *runner) tooOld() string {
	if cuda.CompareVersions(r.version, r.Since) >= 0 {
		return ""
	}
	return fmt.Sprintf("%s is older than %s: it has %s", r, r.Since, r.Lacks)
}

// For is the device as the platform's programs see it on this host: under a
// runner there is no GPU.
func For(ctx context.Context, platform matrix.Platform, d manifest.Device) manifest.Device {
	r, err := findRunner(ctx, platform)
	if r == nil || err != nil {
		return d // the test says what is missing
	}
	return r.device(d)
}

func (r *runner) device(d manifest.Device) manifest.Device {
	d.GPUs, d.Emulator, d.Runner = nil, "", r.String()
	return d
}

// guest is a path as the programs write it.
func (r *runner) guest(path string) string {
	if r == nil || path == "" {
		return path
	}
	return r.Root + strings.ReplaceAll(path, "/", `\`)
}

// scrubbedEnv is all that the runner sees. It has no TMPDIR, in which Debian's
// Wine would look for its server and break; the programs have a directory for
// temporary files on their drive.
func (r *runner) scrubbedEnv(dir string) []string {
	env := []string{
		"HOME=" + filepath.Join(dir, "home"), "LANG=C.UTF-8", "TERM=dumb", "PATH=/usr/bin:/bin",
		r.Drive + "=" + r.drive, r.Runtime + "=" + r.runtime,
	}
	for _, name := range slices.Sorted(maps.Keys(r.Env)) {
		env = append(env, name+"="+r.Env[name])
	}
	return env
}

// wrap lets the runner run the command.
func (r *runner) wrap(cmd *proc.Cmd) {
	cmd.Args = append([]string{cmd.Path}, cmd.Args...)
	cmd.Path = r.path
}

// exit is what a program's exit code looks like, and what the system may have
// meant by one.
func (r *runner) exit(code int) (seen int, meaning string) {
	if r == nil {
		return code, ""
	}
	if why := r.Exits[strconv.Itoa(code&0xff)]; why != "" {
		meaning = "; under " + r.String() + ", " + why
	}
	return code & 0xff, meaning
}

// endTimeout bounds the end of what a test left running.
const endTimeout = time.Minute

// end ends all that runs on the drive, also after a test that was cancelled.
func (r *runner) end(ctx context.Context, env []string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
	defer cancel()
	err := proc.Cmd{Path: r.server, Args: r.End, Env: env}.Run(ctx)
	var perr *proc.Error
	if errors.As(err, &perr) && perr.Code == 1 {
		return nil // nothing runs there
	}
	return err
}
