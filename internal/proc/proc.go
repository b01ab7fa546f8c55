// Package proc runs child processes: in a process group of their own that a
// cancelled context ends, with their output streamed line by line, kept in a
// log, remembered as a tail for the error message, and cleaned of secrets.
package proc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// tailLines is how much of a failed command an error shows.
	tailLines = 20
	// maxLine bounds one line in memory; cargo's JSON messages stay far below.
	maxLine = 32 << 20
)

// grace is the time between asking a process group to end and killing it; a
// variable, so that tests need not wait for it.
var grace = 5 * time.Second

// Cmd is a command to run. Path is looked up in the PATH of Env where it has
// no separator.
type Cmd struct {
	Path string
	Args []string
	Dir  string
	// Env is the whole environment of the child, as KEY=VALUE.
	Env []string
	// Log, where set, is the file that both output streams are appended to.
	Log string
	// Stdout and Stderr are called with each line, without its end. The two
	// are never called at the same time. A nil Stdout is shown as Stderr is.
	Stdout, Stderr func(line string)
	// Secrets are values that no line, log or error may show.
	Secrets []string
	// Stdin is what the child reads; nil is nothing.
	Stdin io.Reader
}

// Error says that a command did not end with exit code 0.
type Error struct {
	Command string
	Dir     string
	// Code is the exit code; -1 if the process was ended by a signal or did
	// not start.
	Code int
	// Tail is the last of what the command wrote.
	Tail []string
	// Log is the path of the full output, or empty.
	Log string
	Err error
}

func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %v", e.Command, e.Err)
	if len(e.Tail) > 0 {
		b.WriteString("\nits last lines:")
		for _, l := range e.Tail {
			b.WriteString("\n  | " + l)
		}
	}
	if e.Log != "" {
		b.WriteString("\nfull log: " + e.Log)
	}
	return b.String()
}

func (e *Error) Unwrap() error { return e.Err }

// Run runs the command to its end. The error is a *Error unless the log could
// not be opened; it wraps ctx.Err() when the context ended the command.
func (c Cmd) Run(ctx context.Context) error {
	sink := &sink{redact: NewRedactor(c.Secrets)}
	fail := func(code int, err error) error {
		return &Error{Command: c.redacted(sink.redact), Dir: c.Dir, Code: code, Tail: sink.tail, Log: c.Log, Err: err}
	}
	path, err := LookPath(c.Path, c.Env)
	if err != nil {
		return fail(-1, err)
	}
	dir := c.Dir
	if dir != "" { // else the system says that there is no such program
		if _, err := os.Stat(dir); err != nil {
			return fail(-1, err)
		}
		if dir, err = workDir(dir); err != nil {
			return fail(-1, err)
		}
	}
	if c.Log != "" {
		if err := os.MkdirAll(filepath.Dir(c.Log), 0o755); err != nil {
			return err
		}
		log, err := os.OpenFile(c.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		defer log.Close()
		sink.log = log
		fmt.Fprintf(log, "$ %s\n", c.redacted(sink.redact))
	}

	cmd := exec.CommandContext(ctx, path, c.Args...)
	cmd.Dir, cmd.Env = dir, c.Env
	if cmd.Env == nil {
		cmd.Env = []string{} // nil would mean this process's environment
	}
	cmd.Stdin = c.Stdin
	cmd.WaitDelay = grace
	stdout := &lineWriter{sink: sink, emit: c.Stdout}
	stderr := &lineWriter{sink: sink, emit: c.Stderr, remember: true}
	if c.Stdout == nil {
		stdout.emit, stdout.remember = c.Stderr, true
	}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	if err := prepare(cmd); err != nil {
		return fail(-1, err)
	}
	err = run(ctx, cmd)
	stdout.flush()
	stderr.flush()
	// A helper that the child left behind on purpose (a compiler cache's
	// server) may keep its output open; the command itself has ended well.
	if err == nil || errors.Is(err, exec.ErrWaitDelay) && ctx.Err() == nil {
		return nil
	}
	if ctx.Err() != nil {
		return fail(-1, context.Cause(ctx))
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return fail(exit.ExitCode(), errors.New(exit.String()))
	}
	return fail(-1, err)
}

// run is cmd.Run with the child in a group of its own.
func run(ctx context.Context, cmd *exec.Cmd) error {
	g, err := newGroup()
	if err != nil {
		return err
	}
	if err = g.start(cmd); err == nil {
		err = cmd.Wait()
	}
	if ctx.Err() != nil {
		g.end(time.Now().Add(grace))
		return err
	}
	g.dismiss()
	return err
}

// Output runs the command and returns what it wrote to stdout.
func (c Cmd) Output(ctx context.Context) (string, error) {
	var b strings.Builder
	c.Stdout = func(line string) { b.WriteString(line + "\n") }
	err := c.Run(ctx)
	return b.String(), err
}

// String is the command line as a shell of Unix habit would read it.
func (c Cmd) String() string {
	words := make([]string, 0, len(c.Args)+1)
	for _, w := range append([]string{c.Path}, c.Args...) {
		words = append(words, Quote(w))
	}
	return strings.Join(words, " ")
}

// redacted is String without secrets. They go before the quoting, which would
// spell a secret with a quote in it so that it is not recognised.
func (c Cmd) redacted(r Redactor) string {
	c.Path = r.String(c.Path)
	c.Args = slices.Clone(c.Args)
	for i, a := range c.Args {
		c.Args[i] = r.String(a)
	}
	return r.String(c.String())
}

// Quote spells word for a POSIX shell.
func Quote(word string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_=+:,./@%", r)
	}
	if word != "" && strings.IndexFunc(word, func(r rune) bool { return !plain(r) }) < 0 {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// LookPath finds a program as a child with the environment env would, which is
// not where this process would find it. On Windows the extension may be left
// out that env's PATHEXT lists.
func LookPath(name string, env []string) (string, error) {
	if strings.ContainsRune(name, '/') || strings.ContainsRune(name, filepath.Separator) {
		return withExtension(name, env), nil
	}
	for _, dir := range filepath.SplitList(Getenv(env, "PATH")) {
		if !filepath.IsAbs(dir) {
			continue // a program out of the current directory is a trap
		}
		if found, err := exec.LookPath(withExtension(filepath.Join(dir, name), env)); err == nil {
			return found, nil
		}
	}
	return "", fmt.Errorf("%w: %s", exec.ErrNotFound, Getenv(env, "PATH"))
}

// Getenv returns the last value of key in env, as a child would see it.
func Getenv(env []string, key string) string {
	for i := len(env) - 1; i >= 0; i-- {
		k, v, ok := strings.Cut(env[i], "=")
		if ok && SameKey(k, key) {
			return v
		}
	}
	return ""
}

// sink is where both streams of a command meet.
type sink struct {
	mu     sync.Mutex
	redact Redactor
	log    io.Writer
	tail   []string
}

// lineWriter cuts one stream into lines.
type lineWriter struct {
	sink     *sink
	emit     func(string)
	remember bool
	buf      []byte
}

func (w *lineWriter) Write(p []byte) (int, error) {
	w.sink.mu.Lock()
	defer w.sink.mu.Unlock()
	n := len(p)
	for len(p) > 0 {
		head, rest, found := bytes.Cut(p, []byte{'\n'})
		w.buf = append(w.buf, head...)
		if found || len(w.buf) >= maxLine {
			w.line(string(w.buf))
			w.buf = w.buf[:0]
		}
		p = rest
	}
	return n, nil
}

func (w *lineWriter) flush() {
	w.sink.mu.Lock()
	defer w.sink.mu.Unlock()
	if len(w.buf) > 0 {
		w.line(string(w.buf))
		w.buf = nil
	}
}

func (w *lineWriter) line(s string) {
	s = w.sink.redact.String(strings.TrimSuffix(s, "\r"))
	if w.sink.log != nil {
		fmt.Fprintln(w.sink.log, s)
	}
	if w.remember {
		w.sink.tail = append(w.sink.tail, s)
		if len(w.sink.tail) > tailLines {
			w.sink.tail = w.sink.tail[1:]
		}
	}
	if w.emit != nil {
		w.emit(s)
	}
}
