package smoke_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/relmat/relmat/internal/manifest"
	"github.com/relmat/relmat/internal/matrix"
	"github.com/relmat/relmat/internal/progress"
	"github.com/relmat/relmat/internal/smoke"
)

// wine puts a stand-in for Wine into the PATH: it makes a drive of a few files,
// and runs programs that are scripts of this host. test/windows has the real
// one. What the two programs were called with stands in the file that is
// returned.
func wine(t *testing.T, version string) (calls string) {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	calls = filepath.Join(t.TempDir(), "calls")
	write(t, filepath.Join(dir, "wine"), `#!/bin/sh
case $1 in
--version) echo "wine-`+version+` (Debian `+version+`~repack-6)" ;;
wineboot)
  echo "wine $*" >>'`+calls+`'
  mkdir -p "$WINEPREFIX/drive_c/windows/system32" "$WINEPREFIX/drive_c/users/me" "$WINEPREFIX/dosdevices"
  echo library >"$WINEPREFIX/drive_c/windows/system32/ntdll.dll"
  echo registry >"$WINEPREFIX/system.reg"
  echo server >"$WINEPREFIX/wineserver"
  ln -s ../drive_c "$WINEPREFIX/dosdevices/c:" ;;
*) exec "$@" ;;
esac
`, 0o755)
	write(t, filepath.Join(dir, "wineserver"), `#!/bin/sh
echo "wineserver $* $WINEPREFIX" >>'`+calls+`'
exit 1
`, 0o755)
	return calls
}

// forWindows is a matrix of a target that this host does not run.
func forWindows(t *testing.T, text string) *matrix.File {
	t.Helper()
	f, err := matrix.Parse("targets.yaml", []byte(`
version: 1
project: {name: p, version-package: p}
programs: {prog: {package: p}, other: {package: p}}
targets: {here: {triple: x86_64-pc-windows-msvc, hosts: {linux-x86_64: {triple: x86_64-pc-windows-gnu}}, cpu: {level: x86-64-v3}}}
packages: {pkg: {asset: "pkg-{{.Target}}", programs: [prog, other]}}
smoke: {steps: `+text+`}
`))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// under runs the test of a script that stands for a program for Windows.
func under(ctx context.Context, t *testing.T, cache, text string, p pkg) (manifest.SmokeResult, *events, error) {
	t.Helper()
	task, said := newTask(t)
	res, err := smoke.Run(ctx, smoke.Options{
		Archive: p.pack(t), File: forWindows(t, text), Tag: "v1", Task: task, Cache: cache,
		Device: manifest.Device{CPU: "cpu", GPUs: []string{"G"}, Emulator: "qemu-x86_64 9.0"},
	})
	return res, said, err
}

func TestRunner(t *testing.T) {
	temp := ownTemp(t)
	t.Setenv("GITHUB_TOKEN", "secret")
	calls := wine(t, "10.0")
	cache, out := t.TempDir(), filepath.Join(t.TempDir(), "out")
	const two = `{s: {program: prog, args: ["OUT", "{{.Work}}", "{{.Package}}"], expect: {exit: 259, stdout: '^a\nb$'}}, gpu: {program: prog, device: cuda}}`
	p := pkg{prefix: "pkg-1", script: `out=$1; shift
{ /bin/tr '\0' '\n' </proc/$$/environ; echo --; pwd; for a; do printf '%s\n' "$a"; done; } >"$out"
cd "$WINEPREFIX" && { readlink drive_c/windows/system32/ntdll.dll dosdevices/c:; /bin/cat system.reg; ls wineserver; ls -A "$XDG_RUNTIME_DIR"; } >>"$out" 2>/dev/null
echo changed >system.reg; printf 'a\r\nb\r\n'; exit 3`}
	for range 2 {
		res, said, err := under(t.Context(), t, cache, strings.ReplaceAll(two, "OUT", out), p)
		if err != nil {
			t.Fatal(err)
		}
		if d := res.Device; d.Runner != "Wine 10.0" || d.GPUs != nil || d.Emulator != "" || d.CPU != "cpu" {
			t.Errorf("the device is %+v", d)
		}
		if res.Count(manifest.Passed) != 1 || res.Steps[1].Reason != "it needs a CUDA device, and Wine gives programs none" {
			t.Errorf("the steps are %+v", res.Steps)
		}
		if res.CPU == nil || res.CPU.Status != manifest.NotRun || !strings.Contains(res.CPU.Reason, "Wine 10.0 uses this host's CPU") {
			t.Errorf("the proof is %+v", res.CPU)
		}
		if s := res.Summary(); !strings.Contains(s, "1 steps passed, 1 not run on cpu, under Wine 10.0; not proven at x86-64-v3") {
			t.Errorf("the summary is %q", s)
		}
		if w := said.text(progress.KindWarn); strings.Contains(w, "older") {
			t.Errorf("the warnings are %q", w)
		}
		data, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		env, rest, _ := strings.Cut(string(data), "--\n")
		vars := map[string]string{}
		var names []string
		for line := range strings.Lines(env) {
			k, v, _ := strings.Cut(strings.TrimSpace(line), "=")
			if k != "PWD" { // the stand-in's shell adds it
				names = append(names, k)
			}
			vars[k] = v
		}
		slices.Sort(names)
		if want := []string{"HOME", "LANG", "PATH", "TERM", "WINEDEBUG", "WINEDLLOVERRIDES", "WINEPREFIX", "XDG_RUNTIME_DIR"}; !slices.Equal(names, want) {
			t.Errorf("Wine saw %q, want exactly %q", names, want)
		}
		dir := filepath.Dir(vars["HOME"])
		windows := "Z:" + strings.ReplaceAll(dir, "/", `\`)
		want := []string{
			filepath.Join(dir, "work"), windows + `\work`, windows + `\package\pkg-1`,
			filepath.Join(cache, "runners", "wine-10.0", "drive_c", "windows", "system32", "ntdll.dll"), "../drive_c", "registry", "",
		}
		if got := strings.Split(rest, "\n"); !slices.Equal(got, want) {
			t.Errorf("directory, arguments and drive are %q, want %q", got, want)
		}
	}
	data, err := os.ReadFile(calls)
	if err != nil {
		t.Fatal(err)
	}
	// The drive is made once, its server ended, and that of each test.
	if s := string(data); strings.Count(s, "wine wineboot --init\n") != 1 || strings.Count(s, "wineserver -k "+filepath.Join(temp, "relmat smoke")) != 2 || strings.Count(s, "wineserver -k ") != 3 {
		t.Errorf("the calls are:\n%s", s)
	}
	if dirs := left(t, temp); dirs != nil {
		t.Errorf("the tests left %q", dirs)
	}
}

// However a test ends, what it left running on its drive is ended.
func TestRunnerIsEnded(t *testing.T) {
	for name, tt := range map[string]struct{ script, want string }{
		"a limit":       {"exec /bin/sleep 300", "it did not end within 500ms"},
		"an exit code":  {"exit 53", "it ended with exit code 53, expected 0; under Wine 10.0, a DLL that it needs was not found (STATUS_DLL_NOT_FOUND)"},
		"a common code": {"exit 1", "it ended with exit code 1, expected 0"},
	} {
		t.Run(name, func(t *testing.T) {
			temp := ownTemp(t)
			calls := wine(t, "10.0")
			_, _, err := under(t.Context(), t, t.TempDir(), `{s: {program: prog, timeout: 500ms}}`, pkg{script: tt.script})
			var failed *smoke.Error
			if !errors.As(err, &failed) || failed.Step.Reason != tt.want {
				t.Errorf("the error is %v, want %q", err, tt.want)
			}
			data, rerr := os.ReadFile(calls)
			if rerr != nil || !strings.Contains(string(data), "wineserver -k "+filepath.Join(temp, "relmat smoke")) {
				t.Errorf("the calls are %s, %v", data, rerr)
			}
			if dirs := left(t, temp); dirs != nil {
				t.Errorf("the test left %q", dirs)
			}
		})
	}
}

func TestRunnerMissing(t *testing.T) {
	const one = `{s: {program: prog}}`
	windows := matrix.Platform{OS: "windows", Arch: "x86_64"}
	t.Run("none", func(t *testing.T) {
		ownTemp(t)
		t.Setenv("PATH", t.TempDir())
		_, _, err := under(t.Context(), t, t.TempDir(), one, pkg{script: "exit 0"})
		var missing *smoke.MissingRunnerError
		if !errors.As(err, &missing) || !strings.Contains(err.Error(), "under Wine, and there is no wine in PATH; install it: the packages") {
			t.Errorf("the error is %v", err)
		}
		if d := smoke.For(t.Context(), windows, manifest.Device{GPUs: []string{"G"}}); d.Runner != "" {
			t.Errorf("the device is %+v", d)
		}
	})
	t.Run("no server", func(t *testing.T) {
		ownTemp(t)
		wine(t, "10.0")
		if err := os.Remove(filepath.Join(os.Getenv("PATH"), "wineserver")); err != nil {
			t.Fatal(err)
		}
		if _, _, err := under(t.Context(), t, t.TempDir(), one, pkg{script: "exit 0"}); err == nil || !strings.Contains(err.Error(), "there is no wineserver in PATH") {
			t.Errorf("the error is %v", err)
		}
	})
	t.Run("old", func(t *testing.T) {
		ownTemp(t)
		wine(t, "8.0")
		_, said, err := under(t.Context(), t, t.TempDir(), one, pkg{script: "exit 0"})
		if w := said.text(progress.KindWarn); err != nil || !strings.Contains(w, "Wine 8.0 is older than 10.0: it has no bcryptprimitives.dll") {
			t.Errorf("the warnings are %q, %v", w, err)
		}
	})
	t.Run("no version", func(t *testing.T) {
		ownTemp(t)
		wine(t, "unknown")
		if _, _, err := smoke.DetectRunner(t.Context(), windows); err == nil || !strings.Contains(err.Error(), "which is no version of Wine") {
			t.Errorf("the error is %v", err)
		}
	})
	t.Run("a drive that cannot be made", func(t *testing.T) {
		ownTemp(t)
		wine(t, "10.0")
		write(t, filepath.Join(os.Getenv("PATH"), "wine"), "#!/bin/sh\n[ $1 = --version ] && { echo wine-10.0; exit; }\necho 'no space left'; exit 1\n", 0o755)
		cache := t.TempDir()
		if _, _, err := under(t.Context(), t, cache, one, pkg{script: "exit 0"}); err == nil || !strings.Contains(err.Error(), "making a drive for Wine 10.0") || !strings.Contains(err.Error(), "no space left") {
			t.Errorf("the error is %v", err)
		}
		if got := left(t, filepath.Join(cache, "runners")); got != nil {
			t.Errorf("it left %q", got)
		}
	})
}

// A package that leaves the vendor's libraries to its users finds them as
// programs for Windows do.
func TestRunnerLibraries(t *testing.T) {
	ownTemp(t)
	wine(t, "10.0")
	task, _ := newTask(t)
	res, err := smoke.Run(t.Context(), smoke.Options{
		Archive: pkg{script: `printf '%s\n' "$WINEPATH"`, manifest: withLibraries(t, manifest.HostLibrary{Name: "cudart64_13.dll", Why: "prog"})}.pack(t),
		File:    forWindows(t, `{s: {program: prog, expect: {stdout: '^(?P<path>.*)$'}}}`), Task: task, Cache: t.TempDir(),
		Libraries: func(matrix.Row) ([]string, error) { return []string{"/cuda/bin", "/cudnn/bin"}, nil },
	})
	if err != nil || res.Steps[0].Values["path"] != `Z:\cuda\bin;Z:\cudnn\bin` {
		t.Errorf("the result is %+v, %v", res, err)
	}
}
