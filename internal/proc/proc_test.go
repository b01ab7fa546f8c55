//go:build unix

package proc

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	if os.Getenv(childVar) != "" {
		childRun()
	}
	grace = 500 * time.Millisecond
	os.Exit(m.Run())
}

// sh is a command that runs the script.
func sh(script string, args ...string) Cmd {
	return Cmd{Path: "sh", Args: append([]string{"-c", script, "sh"}, args...), Env: []string{"PATH=" + os.Getenv("PATH")}}
}

// failure runs c and returns its *Error.
func failure(t *testing.T, c Cmd) *Error {
	t.Helper()
	err := c.Run(t.Context())
	var perr *Error
	if !errors.As(err, &perr) {
		t.Fatalf("error %v is no *Error", err)
	}
	return perr
}

func TestExitCodes(t *testing.T) {
	if err := sh("exit 0").Run(t.Context()); err != nil {
		t.Errorf("exit 0: %v", err)
	}
	tests := []struct {
		script string
		code   int
		says   string
	}{
		{"exit 1", 1, "exit status 1"},
		{"exit 255", 255, "exit status 255"},
		{"kill -9 $$", -1, "signal: killed"},
		{"kill -SEGV $$", -1, "signal: segmentation fault"},
	}
	for _, tt := range tests {
		err := failure(t, sh(tt.script))
		if err.Code != tt.code || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: code %d, %v", tt.script, err.Code, err)
		}
	}
}

func TestErrorShowsTheTail(t *testing.T) {
	log := filepath.Join(t.TempDir(), "logs", "build.log")
	c := sh(`i=1; while [ $i -le 50 ]; do echo "line $i" >&2; i=$((i+1)); done; exit 3`)
	c.Dir, c.Log = t.TempDir(), log
	err := failure(t, c)
	var want []string
	for i := 31; i <= 50; i++ {
		want = append(want, fmt.Sprint("line ", i))
	}
	if !slices.Equal(err.Tail, want) {
		t.Errorf("tail %q, want the last %d lines", err.Tail, tailLines)
	}
	if err.Dir != c.Dir || err.Log != log {
		t.Errorf("dir %q, log %q", err.Dir, err.Log)
	}
	text := err.Error()
	for _, part := range []string{"sh -c 'i=1; ", "exit status 3", "\n  | line 31\n", "\n  | line 50\n", "full log: " + log} {
		if !strings.Contains(text, part) {
			t.Errorf("the error does not say %q:\n%s", part, text)
		}
	}
	if strings.Contains(text, "line 30\n") {
		t.Errorf("the error says more than the tail:\n%s", text)
	}
}

// With a Stdout of its own the output is data: the tail is what was said on
// stderr. Without one, both streams are.
func TestTailOfTheStreams(t *testing.T) {
	c := sh("echo out; echo err >&2; exit 1")
	if got := failure(t, c).Tail; len(got) != 2 {
		t.Errorf("without Stdout: tail %q, want both lines", got)
	}
	c.Stdout = func(string) {}
	if got := failure(t, c).Tail; !slices.Equal(got, []string{"err"}) {
		t.Errorf("with Stdout: tail %q, want that of stderr", got)
	}
}

func TestLinesAndLog(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	var out, err []string
	c := sh(`printf 'one\n\ntwo\r\n'; printf 'a\nb' >&2; printf 'no end'`)
	c.Log = log
	c.Stdout = func(l string) { out = append(out, l) }
	c.Stderr = func(l string) { err = append(err, l) }
	for range 2 { // a second run appends
		if err := c.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	wantOut, wantErr := []string{"one", "", "two", "no end"}, []string{"a", "b"}
	if want := append(slices.Clone(wantOut), wantOut...); !slices.Equal(out, want) {
		t.Errorf("stdout %q, want %q", out, want)
	}
	if want := append(slices.Clone(wantErr), wantErr...); !slices.Equal(err, want) {
		t.Errorf("stderr %q, want %q", err, want)
	}
	data, rerr := os.ReadFile(log)
	if rerr != nil {
		t.Fatal(rerr)
	}
	var logged []string
	commands := 0
	for _, l := range strings.Split(strings.TrimSuffix(string(data), "\n"), "\n") {
		if strings.HasPrefix(l, "$ sh -c ") {
			commands++
		} else {
			logged = append(logged, l)
		}
	}
	want := append(append(slices.Clone(out), err...), "")
	want = want[:len(want)-1]
	slices.Sort(want)
	slices.Sort(logged) // the two streams meet in any order
	if commands != 2 || !slices.Equal(logged, want) {
		t.Errorf("log with %d commands and %q:\n%s", commands, logged, data)
	}
}

// What comes through one stream keeps its order, and the streams do not cut
// each other's lines.
func TestOrder(t *testing.T) {
	c := sh(`i=0; while [ $i -lt 300 ]; do echo "out $i"; echo "err $i" >&2; i=$((i+1)); done`)
	next := map[string]int{}
	c.Stderr = func(line string) { // never called at the same time: -race watches
		var stream string
		var i int
		if _, err := fmt.Sscanf(line, "%s %d", &stream, &i); err != nil || i != next[stream] {
			t.Errorf("line %q, want number %d", line, next[stream])
		}
		next[stream] = i + 1
	}
	if err := c.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if next["out"] != 300 || next["err"] != 300 {
		t.Errorf("lines seen: %v", next)
	}
}

func TestOutput(t *testing.T) {
	out, err := sh("echo one; echo two; echo no >&2").Output(t.Context())
	if err != nil || out != "one\ntwo\n" {
		t.Errorf("output %q, %v", out, err)
	}
	out, err = sh("echo one; exit 4").Output(t.Context())
	var perr *Error
	if out != "one\n" || !errors.As(err, &perr) || perr.Code != 4 {
		t.Errorf("of a failure: %q, %v", out, err)
	}
}

func TestLongLines(t *testing.T) {
	out, err := sh("head -c 3000000 /dev/zero | tr '\\0' x; echo; echo end").Output(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.Repeat("x", 3000000) + "\nend\n"; out != want {
		t.Errorf("%d bytes came through, want %d", len(out), len(want))
	}
}

// A line without an end does not fill the memory: it is cut, and nothing of it
// is lost.
func TestEndlessLine(t *testing.T) {
	var lengths []int
	w := &lineWriter{sink: &sink{}, emit: func(l string) { lengths = append(lengths, len(l)) }}
	chunk := make([]byte, 1<<20)
	for range maxLine>>20 + 1 {
		if n, err := w.Write(chunk); n != len(chunk) || err != nil {
			t.Fatal(n, err)
		}
	}
	w.flush()
	if !slices.Equal(lengths, []int{maxLine, 1 << 20}) {
		t.Errorf("lines of %d bytes", lengths)
	}
}

func TestEnvironmentAndDirectory(t *testing.T) {
	t.Setenv("PROC_TEST_LEAK", "leaked")
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	c := sh(`pwd -P; echo "[$PROC_TEST_LEAK] [$MINE]"`)
	c.Dir = dir
	c.Env = append(c.Env, "MINE=first", "MINE=last")
	out, err := c.Output(t.Context())
	if err != nil || out != dir+"\n[] [last]\n" {
		t.Errorf("output %q, %v", out, err)
	}
	// No environment at all is not this process's environment.
	path, err := exec.LookPath("env")
	if err != nil {
		t.Fatal(err)
	}
	out, err = Cmd{Path: path}.Output(t.Context())
	if err != nil || out != "" {
		t.Errorf("an empty environment: %q, %v", out, err)
	}
}

func TestNotStarted(t *testing.T) {
	env := []string{"PATH=" + os.Getenv("PATH")}
	plain := filepath.Join(t.TempDir(), "plain")
	if err := os.WriteFile(plain, []byte("text"), 0o644); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		cmd  Cmd
		is   error
		says []string
	}{
		{
			"no such program in PATH",
			Cmd{Path: "no-such-program", Args: []string{"--version"}, Env: []string{"PATH=/none:/nowhere"}},
			exec.ErrNotFound,
			[]string{"no-such-program --version: ", "not found in $PATH: /none:/nowhere"},
		},
		{
			"no such file",
			Cmd{Path: "/none/program", Env: env},
			fs.ErrNotExist,
			[]string{"/none/program: ", "no such file"},
		},
		{
			"no such directory",
			Cmd{Path: "true", Env: env, Dir: "/none/dir"},
			fs.ErrNotExist,
			[]string{"true: ", "/none/dir"},
		},
		{
			"no program",
			Cmd{Path: plain, Env: env},
			fs.ErrPermission,
			[]string{plain, "permission denied"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := failure(t, tt.cmd)
			if err.Code != -1 || !errors.Is(err, tt.is) {
				t.Errorf("code %d, error %v", err.Code, err)
			}
			for _, part := range tt.says {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("the error does not say %q: %v", part, err)
				}
			}
			if n := strings.Count(err.Error(), "\n"); n != 0 {
				t.Errorf("the error has %d more lines: %v", n, err)
			}
		})
	}
}

func TestLogCannotBeOpened(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, log := range []string{filepath.Join(file, "log"), t.TempDir()} {
		ran := false
		c := sh("echo ran")
		c.Log = log
		c.Stderr = func(string) { ran = true }
		err := c.Run(t.Context())
		if err == nil || !strings.Contains(err.Error(), log) && !strings.Contains(err.Error(), file) {
			t.Errorf("error %v does not name the log %s", err, log)
		}
		if ran {
			t.Error("the command ran without its log")
		}
	}
}

// A child may leave a helper behind that keeps its output open.
func TestHelperLeftBehind(t *testing.T) {
	start := time.Now()
	out, err := sh("sleep 30 & echo $!").Output(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("the helper was waited for: %v", took)
	}
	pid := parsePID(t, strings.TrimSpace(out))
	if !alive(pid) {
		t.Error("the helper was killed")
	}
	if p, err := os.FindProcess(pid); err == nil {
		_ = p.Kill()
	}
}
