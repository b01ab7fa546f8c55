package toolchain

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode/utf16"

	"github.com/relmat/relmat/internal/proc"
)

// captureVariables are what vcvarsall.bat sees of the host's environment. It
// gets no PATH but Windows' own: a long one makes it fail ("The input line is
// too long"), and what it answers then depends on the installation alone.
var captureVariables = []string{
	"SystemRoot", "SystemDrive", "windir", "ComSpec", "PATHEXT", "TEMP", "TMP", "USERPROFILE", "APPDATA", "LOCALAPPDATA",
	"ProgramData", "ProgramFiles", "ProgramFiles(x86)", "ProgramW6432", "CommonProgramFiles", "CommonProgramFiles(x86)", "CommonProgramW6432",
	"NUMBER_OF_PROCESSORS", "PROCESSOR_ARCHITECTURE", "PROCESSOR_ARCHITEW6432", "OS",
}

// captureLine holds the command line of cmd.exe.
const captureLine = "RELMAT_VCVARS"

// capture runs vcvarsall.bat and returns what it changed in the environment.
func (f MSVCFinder) capture(ctx context.Context, vs VisualStudio, argument string) (*MSVC, error) {
	limit := f.Timeout
	if limit == 0 {
		limit = 2 * time.Minute
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("%w in %v", errSlow, limit))
	defer cancel()
	dir, err := os.MkdirTemp("", "relmat-vcvars-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	first, last := filepath.Join(dir, "before.txt"), filepath.Join(dir, "after.txt")
	env := f.captureEnv()
	system := filepath.Join(proc.Getenv(env, "SystemRoot"), "System32")
	// The line stands in a variable: cmd.exe expands it once, before it looks
	// for operators, and what is between quotes then means itself, whatever is
	// in it, percent signs too. No CALL, which expands a second time and doubles
	// carets; on a command line what follows a batch file runs without it.
	line := fmt.Sprintf(`set > "%s" & "%s" %s 1>&2 & if errorlevel 1 (exit 1) else if errorlevel 0 (set > "%s") else exit 1`, first, vs.vcvarsall(), argument, last)
	var said []string
	err = proc.Cmd{
		Path: filepath.Join(system, "cmd.exe"),
		// /d: no AutoRun of the registry; /u: UTF-16; /e, /v: as a batch file
		// expects it, whatever the registry says ("cmd", Windows Commands).
		Args: []string{"/d", "/u", "/e:on", "/v:off", "/c", "%" + captureLine + "%"},
		Env:  append(env, captureLine+"="+line),
		Dir:  dir, // cmd.exe refuses a directory on a server as its own
		Stderr: func(line string) {
			if text := printable(line); text != "" && len(said) < 20 {
				said = append(said, text)
			}
		},
	}.Run(ctx)
	saying := ""
	if len(said) > 0 {
		saying = ", it says: " + strings.Join(said, " ")
	}
	var failed *proc.Error
	if errors.As(err, &failed) {
		err = failed.Err // its lines are UTF-16
	}
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w%s", vs.vcvarsall(), argument, err, saying)
	}
	var states [2][]Variable
	for i, file := range []string{first, last} {
		data, err := os.ReadFile(file)
		if err == nil {
			states[i], err = ParseSet(data)
		}
		if err != nil {
			return nil, fmt.Errorf("the environment that %s %s leaves%s: %w", vs.vcvarsall(), argument, saying, err)
		}
	}
	m := difference(states[0], states[1])
	m.Visual, m.Argument = vs, argument
	if err := m.complete(saying); err != nil {
		return nil, fmt.Errorf("%s %s %w", vs.vcvarsall(), argument, err)
	}
	return m, nil
}

func (f MSVCFinder) captureEnv() []string {
	var env []string
	for _, name := range captureVariables {
		if v := proc.Getenv(f.Env, name); v != "" {
			env = append(env, name+"="+v)
		}
	}
	root := proc.Getenv(f.Env, "SystemRoot")
	system := filepath.Join(root, "System32")
	path := []string{system, root, filepath.Join(system, "Wbem"), filepath.Join(system, "WindowsPowerShell", "v1.0")}
	return append(env, "PATH="+strings.Join(path, string(filepath.ListSeparator)), "VSCMD_SKIP_SENDTELEMETRY=1")
}

// ParseSet reads what the command `set` of `cmd /u` writes: UTF-16, a variable a
// line. A line without an equals sign goes on with the value before it.
func ParseSet(data []byte) ([]Variable, error) {
	if len(data)%2 != 0 {
		return nil, fmt.Errorf("%d bytes are no UTF-16", len(data))
	}
	units := make([]uint16, len(data)/2)
	for i := range units {
		units[i] = binary.LittleEndian.Uint16(data[2*i:])
	}
	text := strings.TrimPrefix(string(utf16.Decode(units)), "\ufeff")
	if strings.ContainsRune(text, 0) {
		return nil, errors.New("there is a NUL in it")
	}
	var vars []Variable
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		name, value, ok := strings.Cut(line, "=")
		switch {
		case ok && name != "": // cmd.exe's own, such as =C:, have none
			vars = append(vars, Variable{name, value})
		case !ok && len(vars) > 0 && line != "":
			vars[len(vars)-1].Value += "\n" + line
		}
	}
	return vars, nil
}

// difference is what a batch file changed. Of PATH it is the directories that
// were not there before.
func difference(before, after []Variable) *MSVC {
	m := &MSVC{}
	old := filepath.SplitList(variable(before, "PATH"))
	for _, v := range after {
		upper := strings.ToUpper(v.Name)
		switch {
		case upper == "PATH":
			for _, dir := range filepath.SplitList(v.Value) {
				same := func(d string) bool { return sameDir(d, dir) }
				if dir != "" && !slices.ContainsFunc(old, same) && !slices.ContainsFunc(m.Dirs, same) {
					m.Dirs = append(m.Dirs, dir)
				}
			}
		case strings.HasPrefix(upper, "__"): // what the batch files keep for themselves
		case !slices.ContainsFunc(before, func(b Variable) bool { return strings.EqualFold(b.Name, v.Name) && b.Value == v.Value }):
			m.Variables = append(m.Variables, v)
		}
	}
	sortVariables(m.Variables)
	return m
}

// printable is a line of cmd.exe without what makes it UTF-16: batch files'
// echoes come so, the output of programs in the code page.
func printable(line string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r == '\ufffd' {
			return -1
		}
		return r
	}, line))
}
