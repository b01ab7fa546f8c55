package cli_test

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/relmat/relmat/internal/cli"
	"github.com/relmat/relmat/internal/githubtest"
	"github.com/relmat/relmat/internal/matrix"
)

// TestMain makes this binary answer to the name relmat, so that scripts and
// tests run the real command line in processes of its own.
func TestMain(m *testing.M) {
	commands := map[string]func(){"relmat": func() { os.Exit(cli.Main()) }}
	maps.Copy(commands, standIns)
	testscript.Main(m, commands)
}

func TestScripts(t *testing.T) {
	t.Parallel() // the tests of whole processes wait more than they work
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", scripts),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			env, err := scriptEnv(filepath.Join(e.WorkDir, ".home"))
			if err != nil {
				return err
			}
			for _, kv := range env {
				k, v, _ := strings.Cut(kv, "=")
				e.Setenv(k, v)
			}
			e.Setenv("ARCH", matrix.Host().Arch)
			e.Setenv("PLATFORM", matrix.Host().String())
			e.Values[githubKey{}] = new(*githubtest.Server)
			return copyProject(filepath.Join(e.WorkDir, "project"))
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"code": cmdCode, "replace": cmdReplace, "one": cmdOne, "files": cmdFiles, "github": cmdGitHub,
		},
	})
}

// scriptEnv is what relmat needs of this host: the tools, wherever Rust's lie,
// and a home of its own without anybody's settings. The GPUs of the host are
// out of sight.
func scriptEnv(home string) ([]string, error) {
	bin := filepath.Join(home, "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(bin, noGPU.name), []byte(noGPU.text), 0o755); err != nil {
		return nil, err
	}
	env := []string{
		"HOME=" + home, "XDG_CONFIG_HOME=" + filepath.Join(home, "config"), "XDG_CACHE_HOME=" + filepath.Join(home, "cache"),
		"PATH=" + bin + string(filepath.ListSeparator) + os.Getenv("PATH"), "CARGO_NET_OFFLINE=true", "GIT_CONFIG_NOSYSTEM=1", "GITHUB_ACTIONS=",
		"GITHUB_TOKEN=", "GH_TOKEN=", "GITHUB_REPOSITORY=", "GITHUB_API_URL=", "GITHUB_STEP_SUMMARY=",
		// The race detector sleeps for a second at the end of every process.
		"GORACE=atexit_sleep_ms=0",
		"LocalAppData=" + filepath.Join(home, "cache"), "USERPROFILE=" + home,
		"GIT_AUTHOR_NAME=A", "GIT_AUTHOR_EMAIL=a@example.org", "GIT_COMMITTER_NAME=A", "GIT_COMMITTER_EMAIL=a@example.org",
	}
	real, err := os.UserHomeDir()
	for name, dir := range map[string]string{"RUSTUP_HOME": ".rustup", "CARGO_HOME": ".cargo"} {
		switch v := os.Getenv(name); {
		case v != "":
			env = append(env, name+"="+v)
		case err == nil:
			env = append(env, name+"="+filepath.Join(real, dir))
		}
	}
	// rustup's choice of a toolchain, where it is made by the environment.
	for _, name := range []string{"RUSTUP_TOOLCHAIN", "RUSTUP_AUTO_INSTALL"} {
		if v := os.Getenv(name); v != "" {
			env = append(env, name+"="+v)
		}
	}
	return env, nil
}

// copyProject puts the tiny Cargo project into dir, for this host.
func copyProject(dir string) error {
	from := filepath.Join("testdata", "project")
	if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
		return err
	}
	path := filepath.Join(dir, "targets.yaml")
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	text := strings.ReplaceAll(string(data), "ARCH-unknown-linux-gnu", hostTriple)
	return os.WriteFile(path, []byte(strings.ReplaceAll(text, "ARCH", matrix.Host().Arch)), 0o644)
}

// cmdCode runs a command that must end with exactly the exit code: code N
// program args.
func cmdCode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N program [args...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	var exit *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("%s ended with exit code %d, want %d", strings.Join(args[1:], " "), got, want)
	}
}

// cmdReplace changes text that must be in a file: replace OLD NEW FILE.
func cmdReplace(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: replace OLD NEW FILE")
	}
	oldText, newText := strings.ReplaceAll(args[0], `\n`, "\n"), strings.ReplaceAll(args[1], `\n`, "\n")
	text := ts.ReadFile(args[2])
	if !strings.Contains(text, oldText) {
		ts.Fatalf("%s has no %q", args[2], oldText)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[2]), []byte(strings.ReplaceAll(text, oldText, newText)), 0o644))
}

// cmdOne sets a variable to the only path that a pattern matches; with ! there
// must be none: one VAR PATTERN, ! one PATTERN.
func cmdOne(ts *testscript.TestScript, neg bool, args []string) {
	pattern := args[len(args)-1]
	found, err := filepath.Glob(ts.MkAbs(pattern))
	ts.Check(err)
	switch {
	case neg && len(found) > 0:
		ts.Fatalf("%s matches %q", pattern, found)
	case !neg && len(found) != 1:
		ts.Fatalf("%s matches %q, want one path", pattern, found)
	case !neg:
		ts.Setenv(args[0], found[0])
	}
}

// cmdFiles checks what a directory holds, lock files aside: files DIR NAME...
func cmdFiles(ts *testscript.TestScript, neg bool, args []string) {
	entries, err := os.ReadDir(ts.MkAbs(args[0]))
	ts.Check(err)
	var names []string
	for _, e := range entries {
		if filepath.Ext(e.Name()) != ".lock" {
			names = append(names, e.Name())
		}
	}
	if got, want := fmt.Sprint(names), fmt.Sprint(args[1:]); neg || got != want {
		ts.Fatalf("%s holds %s, want %s", args[0], got, want)
	}
}
