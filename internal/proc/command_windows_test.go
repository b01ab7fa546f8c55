package proc

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestExitCodes(t *testing.T) {
	if err := play("exit 0").Run(t.Context()); err != nil {
		t.Errorf("exit 0: %v", err)
	}
	for code, says := range map[int]string{1: "exit status 1", 255: "exit status 255", 0xC0000005: "exit status 0xc0000005"} {
		c := play("exit")
		c.Env[0] = roleVar + "=exit " + strconv.Itoa(code)
		var perr *Error
		if err := c.Run(t.Context()); !errors.As(err, &perr) || perr.Code != code || !strings.Contains(perr.Error(), says) || !slices.Equal(perr.Tail, []string{"it fails"}) {
			t.Errorf("exit %d: %v", code, err)
		}
	}
}

// hard are words that some reader of command lines takes for more than a word.
var hard = []string{
	"", "plain", "with space", " lead", "trail ", `back\slash`, `\`, `\\`, `end\`, `end space\`, "it's", "a&b", "a|b", "<in", ">out", "^", "a^&b",
	"%PATH%", "%", "%%", "%SystemRoot%\\x", "!PATH!", "(x)", ")", "a;b", "a,b", "a=b", "*", "?", "@x", "~", "$HOME", "`id`", "-n", "/c", "grün", "漢字", "\U0001F600", "tab\there",
	"%CMDCMDLINE:~-1%&echo pwned",
}

var quotes = []string{`"double"`, `a\"b`, `a\\"b`, `"&echo pwned`, `" & echo pwned & "`, `\"&echo pwned`}

func TestArguments(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a b & (c)")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	var bats []string
	for _, name := range []string{"run.bat", "run it (x86) & more.CMD"} {
		bat := filepath.Join(dir, name)
		if err := os.WriteFile(bat, []byte("@\""+os.Args[0]+"\" %*\r\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		bats = append(bats, bat)
	}
	check := func(path string, words ...string) {
		t.Helper()
		c := play("args", words...)
		c.Path = path
		out, err := c.Output(t.Context())
		var got []string
		if err == nil {
			err = json.Unmarshal([]byte(out), &got)
		}
		if err != nil || !slices.Equal(got, words) {
			t.Errorf("%s got %s, %v, want %q", filepath.Base(path), out, err, words)
		}
	}
	check(os.Args[0], append(hard, quotes...)...)
	for _, bat := range bats {
		check(bat, hard...)
	}
	for _, word := range []string{"%CMDCMDLINE:~-1%&echo pwned", "&echo pwned", `x\`} { // with no other word to hide a mistake
		check(bats[0], word)
	}
	for _, bad := range append(quotes, "a\nb", "a\rb") {
		c := play("args", bad)
		c.Path = bats[0]
		if err := c.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "no safe spelling") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestTooLongCommandLines(t *testing.T) {
	bat := filepath.Join(t.TempDir(), "x.bat")
	if err := os.WriteFile(bat, []byte("@\""+os.Args[0]+"\" %*\r\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		path  string
		n     int
		limit string
	}{{os.Args[0], 20_000, ""}, {os.Args[0], 33_000, "32767"}, {bat, 7000, ""}, {bat, 9000, "8191"}} {
		c := play("args", strings.Repeat("x", tt.n/2), strings.Repeat("y", tt.n/2))
		c.Path = tt.path
		err := c.Run(t.Context())
		if tt.limit == "" && err != nil || tt.limit != "" && (err == nil || !strings.Contains(err.Error(), "Windows allows "+tt.limit)) {
			t.Errorf("%s with %d characters: %.300v", filepath.Base(tt.path), tt.n, err)
		}
	}
}

func TestEnvironmentIsCaseInsensitive(t *testing.T) {
	c := play("env rElMaT_x")
	c.Env = append(c.Env, "RELMAT_X=1", "Relmat_x=2")
	if out, err := c.Output(t.Context()); err != nil || out != "2\n" {
		t.Errorf("%q, %v; want the last value", out, err)
	}
	if got := Getenv([]string{"Path=a", "PATH=b"}, "path"); got != "b" {
		t.Errorf("Getenv: %q", got)
	}
}

func TestLookPath(t *testing.T) {
	root := t.TempDir()
	for _, name := range []string{"exe/tool.exe", "both/tool.bat", "both/tool.exe", "cmd/tool.cmd", "py/tool.py", "no/tool", "dot/tool.1.exe", "double/tool.exe.cmd"} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(filepath.Join(root, "exe"))
	for _, tt := range []struct{ dirs, prog, pathext, want string }{
		{"exe", "tool", "", "exe/tool.exe"},
		{"exe", "TOOL.EXE", "", "exe/tool.exe"},
		{"cmd;exe", "tool", "", "cmd/tool.cmd"},
		{"both", "tool", ".COM;.EXE;.BAT", "both/tool.exe"},
		{"both", "tool", ".BAT;.EXE", "both/tool.bat"},
		{"py;exe", "tool", "", "exe/tool.exe"},
		{"py", "tool", ".EXE;.PY", "py/tool.py"},
		{"no;exe", "tool", "", "exe/tool.exe"},
		{"dot", "tool.1", "", "dot/tool.1.exe"},
		{"double", "tool.exe", "", "double/tool.exe.cmd"},
		{".", "tool", "", ""}, // a program out of the current directory is a trap
	} {
		var dirs []string
		for d := range strings.SplitSeq(tt.dirs, ";") {
			if d != "." {
				d = filepath.Join(root, d)
			}
			dirs = append(dirs, d)
		}
		got, err := LookPath(tt.prog, []string{"Path=" + strings.Join(dirs, ";"), "PATHEXT=" + tt.pathext})
		want := ""
		if tt.want != "" {
			want = filepath.Join(root, filepath.FromSlash(tt.want))
		}
		if !strings.EqualFold(got, want) || (err == nil) != (want != "") {
			t.Errorf("%s in %s: %q, %v; want %q", tt.prog, tt.dirs, got, err, want)
		}
	}
	if _, err := LookPath("none", nil); !errors.Is(err, exec.ErrNotFound) {
		t.Errorf("no PATH: %v", err)
	}
}

func TestDirectories(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a b", "grün")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	c := play("dir")
	c.Dir = dir
	if out, err := c.Output(t.Context()); err != nil || !strings.HasPrefix(out, dir+" ") {
		t.Errorf("%q, %v; want %s", out, err, dir)
	}
	c.Dir = filepath.Join(dir, "none")
	if err := c.Run(t.Context()); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), c.Dir) {
		t.Errorf("no such directory: %v", err)
	}
	// A directory of 300 characters: by its short name, or with an error that
	// says why not; never a start elsewhere.
	long := dir
	for units(long) < 300 {
		long = filepath.Join(long, strings.Repeat("d", 50))
	}
	if err := os.MkdirAll(long, 0o755); err != nil {
		t.Fatal(err)
	}
	c.Dir = long
	out, err := c.Output(t.Context())
	if err == nil {
		started, _, _ := strings.Cut(out, " <nil>")
		a, aerr := os.Stat(long)
		b, berr := os.Stat(started)
		if aerr != nil || berr != nil || !os.SameFile(a, b) {
			t.Errorf("it ran in %q: %v, %v", out, aerr, berr)
		}
	} else if !strings.Contains(err.Error(), "starts no program in one of more than 258") {
		t.Errorf("long: %v", err)
	}
	t.Logf("300 characters: %v", err)
}
