package proc

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"unicode/utf16"

	"golang.org/x/sys/windows"
)

// What Windows allows, in UTF-16 units with the zero at the end: "CreateProcessW"
// and "Command prompt line string limitation" in Microsoft's documentation.
const (
	maxCommandLine = 32767
	maxBatchLine   = 8191
	maxWorkDir     = 260 - 2 // the directory gets a backslash
)

// SameKey tells whether two names of variables are one: on Windows capital and
// small letters are.
func SameKey(a, b string) bool { return strings.EqualFold(a, b) }

// withExtension adds the first extension of env's PATHEXT with which there is
// such a file, unless path is one of a program already.
func withExtension(path string, env []string) string {
	exts := Getenv(env, "PATHEXT")
	if exts == "" {
		exts = ".COM;.EXE;.BAT;.CMD"
	}
	list := strings.Split(strings.ToLower(exts), ";") // as os/exec does
	for _, e := range list {
		if e != "" && strings.EqualFold(filepath.Ext(path), e) && isFile(path) {
			return path
		}
	}
	for _, e := range list {
		if e != "" && isFile(path+e) {
			return path + e
		}
	}
	return path
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && !info.IsDir()
}

// workDir spells a directory so that a process can start in it. Long paths are
// for files only; the limit of a working directory stands.
func workDir(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil || units(abs) <= maxWorkDir {
		return dir, err
	}
	if short := shortPath(abs); units(short) <= maxWorkDir {
		return short, nil
	}
	return "", fmt.Errorf("the working directory %s has %d characters, and Windows starts no program in one of more than %d: use a checkout or --state with a shorter path",
		abs, units(abs), maxWorkDir)
}

// shortPath is the 8.3 spelling of path, or path where the volume keeps none.
func shortPath(path string) string {
	long, err := windows.UTF16PtrFromString(`\\?\` + path)
	if err != nil {
		return path
	}
	buf := make([]uint16, 1024)
	n, err := windows.GetShortPathName(long, &buf[0], uint32(len(buf)))
	if err != nil || n == 0 || int(n) > len(buf) {
		return path
	}
	return strings.TrimPrefix(windows.UTF16ToString(buf[:n]), `\\?\`)
}

func units(s string) int { return len(utf16.Encode([]rune(s))) }

// prepare checks what Windows limits, and spells the command line of a batch
// file.
func prepare(cmd *exec.Cmd) error {
	switch strings.ToLower(filepath.Ext(cmd.Path)) {
	case ".bat", ".cmd":
		return prepareBatch(cmd)
	}
	n := 0
	for _, a := range cmd.Args {
		n += units(syscall.EscapeArg(a)) + 1
	}
	if n > maxCommandLine {
		return tooLong(n, maxCommandLine)
	}
	return nil
}

func tooLong(n, limit int) error {
	return fmt.Errorf("the command line has %d characters, and Windows allows %d: a shorter --state or checkout path shortens it, as do fewer features and environment-borne flags", n, limit)
}

// prepareBatch has cmd.exe run a batch file, which CreateProcess does by itself
// too, but with a command line that cmd.exe reads in its own way: an argument
// could start programs (CVE-2024-24576). The spelling is that of Rust's
// standard library (sys/args/windows.rs, make_bat_command_line), but for the
// double quote: what it is spelled with is read differently by programs, so
// that it is refused.
func prepareBatch(cmd *exec.Cmd) error {
	system, err := windows.GetSystemDirectory()
	if err != nil {
		return os.NewSyscallError("GetSystemDirectory", err)
	}
	script := filepath.FromSlash(cmd.Path)
	if strings.HasSuffix(script, `\`) || strings.ContainsAny(script, "\"%\r\n") {
		return fmt.Errorf("cmd.exe cannot run a batch file of this name: %q", script)
	}
	line := `cmd.exe /e:ON /v:OFF /d /c ""` + script + `"`
	for _, a := range cmd.Args[1:] {
		word, err := batchWord(a)
		if err != nil {
			return err
		}
		line += " " + word
	}
	line += `"`
	if n := units(line) + 1; n > maxBatchLine {
		return tooLong(n, maxBatchLine)
	}
	cmd.Path = filepath.Join(system, "cmd.exe")
	cmd.SysProcAttr = &syscall.SysProcAttr{CmdLine: line}
	return nil
}

// batchWord spells an argument so that cmd.exe, and then the C runtime of what
// the batch file passes it on to, read it as it is.
func batchWord(arg string) (string, error) {
	if strings.ContainsAny(arg, "\x00\r\n\"") {
		return "", fmt.Errorf("a batch file cannot be given the argument %q: cmd.exe has no safe spelling of a line end or a double quote", arg)
	}
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune(`#$*+-./:?@\_`, r)
	}
	quote := arg == "" || strings.HasSuffix(arg, `\`) || strings.ContainsFunc(arg, func(r rune) bool { return !plain(r) })
	var b strings.Builder
	if quote {
		b.WriteByte('"')
	}
	// An empty substring of a variable keeps %NAME% from being one.
	b.WriteString(strings.ReplaceAll(arg, "%", "%%cd:~,%"))
	if quote { // backslashes before the last quote would escape it
		b.WriteString(arg[len(strings.TrimRight(arg, `\`)):] + `"`)
	}
	return b.String(), nil
}
