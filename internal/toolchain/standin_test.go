package toolchain_test

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf16"
)

// standIn is what a copy of this test's program does under another name: the
// same on every system, without a shell.
type standIn struct {
	// Answers are tried in order; that counts all of whose words are among the
	// arguments.
	Answers []reply
	// Cmd makes it a cmd.exe that knows SET, IF, ECHO, GOTO and EXIT; Windows has
	// its own.
	Cmd bool
}

type reply struct {
	Args           []string
	Stdout, Stderr string
	Exit           int
	Hang           bool
}

const standInSuffix = ".standin.json"

// TestMain acts as a stand-in where the program was put into place as one.
func TestMain(m *testing.M) {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	if data, err := os.ReadFile(self + standInSuffix); err == nil {
		var s standIn
		if err := json.Unmarshal(data, &s); err != nil {
			panic(err)
		}
		os.Exit(s.act())
	}
	os.Exit(m.Run())
}

func (s standIn) act() int {
	if s.Cmd {
		return batch(os.Getenv("RELMAT_VCVARS"))
	}
	if log, err := os.OpenFile(os.Args[0]+".log", os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644); err == nil {
		fmt.Fprintln(log, strings.Join(os.Args[1:], " "))
		log.Close()
	}
	for _, a := range s.Answers {
		if slices.ContainsFunc(a.Args, func(w string) bool { return !slices.Contains(os.Args[1:], w) }) {
			continue
		}
		fmt.Print(a.Stdout)
		fmt.Fprint(os.Stderr, a.Stderr)
		if a.Hang {
			time.Sleep(time.Hour)
		}
		return a.Exit
	}
	fmt.Fprintln(os.Stderr, "the stand-in has no answer to", os.Args[1:])
	return 87
}

// program puts a stand-in to a path.
func program(t *testing.T, path string, s standIn) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS == "windows" && filepath.Ext(path) == "" {
		path += ".exe"
	}
	data, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	put(t, path+standInSuffix, string(data))
	// Windows removes no name of a program that runs.
	if runtime.GOOS != "windows" && os.Link(self, path) == nil {
		return
	}
	in, err := os.Open(self)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

var captureLine = regexp.MustCompile(`^set > "([^"]+)" & "([^"]+)" ([^"&|<>]+) 1>&2 & .*set > "([^"]+)"`)

// batch runs the batch file of a capture line as cmd.exe would, as far as the
// tests' own batch files go.
func batch(line string) int {
	m := captureLine.FindStringSubmatch(line)
	if m == nil {
		fmt.Fprintln(os.Stderr, "no capture line:", line)
		return 1
	}
	if err := saveEnv(m[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	m = m[1:]
	data, err := os.ReadFile(m[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	// An equals sign separates arguments of a batch file, too.
	args := strings.FieldsFunc(m[2], func(r rune) bool { return strings.ContainsRune(" =,;", r) })
	variable := regexp.MustCompile(`%(\w*)%|%~dp0|%[1-9]`)
	expand := func(text string) string {
		return variable.ReplaceAllStringFunc(text, func(v string) string {
			switch {
			case v == "%%":
				return "%"
			case v == "%~dp0":
				return filepath.Dir(m[1]) + string(filepath.Separator)
			case strings.HasSuffix(v, "%"):
				return os.Getenv(strings.Trim(v, "%"))
			}
			if n := int(v[1] - '0'); n <= len(args) {
				return args[n-1]
			}
			return ""
		})
	}
	condition := regexp.MustCompile(`^if "([^"]*)"=="([^"]*)" `)
	for text := range strings.Lines(string(data)) {
		text = strings.TrimSpace(text)
		if c := condition.FindStringSubmatch(text); c != nil {
			if expand(c[1]) != expand(c[2]) {
				continue
			}
			text = strings.TrimPrefix(text, c[0])
		}
		switch {
		case strings.HasPrefix(text, `set "`):
			name, value, _ := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(text, `set "`), `"`), "=")
			os.Setenv(name, expand(value))
		case strings.HasPrefix(text, "echo "):
			fmt.Fprintln(os.Stderr, strings.TrimPrefix(text, "echo "))
		case strings.HasPrefix(text, "goto "):
			time.Sleep(time.Hour)
		case text == "exit /b 1":
			return 1
		}
	}
	if err := saveEnv(m[3]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// saveEnv is SET of `cmd /u`.
func saveEnv(path string) error {
	var out []byte
	for _, u := range utf16.Encode([]rune(strings.Join(os.Environ(), "\r\n") + "\r\n")) {
		out = binary.LittleEndian.AppendUint16(out, u)
	}
	return os.WriteFile(path, out, 0o644)
}
