//go:build unix

package proc

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The judge of quoting is a shell.
func TestQuoteThroughShell(t *testing.T) {
	words := []string{
		"", "plain", "with space", " lead", "trail ", "it's", `"double"`, `back\slash`, `\`, `'`, `''`, `a'b'c`, "$HOME", "$(id)", "`id`",
		"a;b", "a&b", "a|b", "<in", ">out", "*", "?", "[a]", "{a,b}", "~", "~root", "#no", "!x", "tab\there", "new\nline", "cr\r", "-n", "--", "=",
		"A=B", "%s", "grün", "漢字", "\x7f", "\xff\xfe", "a:b,c./d@e%f+g", "(x)", "^",
	}
	// printf ends each word with a byte that none of them holds.
	line := Cmd{Path: "printf", Args: append([]string{`%s\001`}, words...)}.String()
	out, err := exec.Command("sh", "-c", line).Output()
	if err != nil {
		t.Fatalf("sh does not accept %s: %v", line, err)
	}
	if got, want := string(out), strings.Join(words, "\x01")+"\x01"; got != want {
		t.Errorf("the shell read %q, want %q", got, want)
	}
}

func TestQuoteLeavesPlainWordsAlone(t *testing.T) {
	for _, w := range []string{"cargo", "--release", "a=b", "/usr/bin/x+y", "90a,100", "sm_90@%"} {
		if got := Quote(w); got != w {
			t.Errorf("Quote(%q) = %s", w, got)
		}
	}
	if got := (Cmd{Path: "a b", Args: []string{"", "c"}}).String(); got != "'a b' '' c" {
		t.Errorf("String() = %s", got)
	}
}

func FuzzQuote(f *testing.F) {
	for _, s := range []string{"", "a", "it's", "$x", "\n", `\'`, "~", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, word string) {
		if strings.Contains(word, "\x00") {
			return // no argument can hold it
		}
		if out, err := exec.Command("sh", "-c", "printf %s "+Quote(word)).Output(); err != nil || string(out) != word {
			t.Errorf("Quote(%q) = %s: the shell read %q, %v", word, Quote(word), out, err)
		}
	})
}

func TestLookPath(t *testing.T) {
	root := t.TempDir()
	file := func(rel string, mode os.FileMode) string {
		path := filepath.Join(root, rel)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("#!/bin/sh\necho "+rel+"\n"), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	one, two := file("one/tool", 0o755), file("two/tool", 0o755)
	file("plain/tool", 0o644)
	if err := os.MkdirAll(filepath.Join(root, "dir", "tool"), 0o755); err != nil {
		t.Fatal(err)
	}
	path := func(dirs ...string) string {
		for i, d := range dirs {
			if d != "" && d != "." {
				dirs[i] = filepath.Join(root, d)
			}
		}
		return "PATH=" + strings.Join(dirs, string(filepath.ListSeparator))
	}
	t.Chdir(filepath.Join(root, "one"))
	t.Setenv("PATH", filepath.Join(root, "one")) // where this process would look
	tests := []struct {
		name, prog string
		env        []string
		want       string
	}{
		{"the child's PATH", "tool", []string{path("two")}, two},
		{"the first of two", "tool", []string{path("one", "two")}, one},
		{"the last PATH holds", "tool", []string{path("one"), path("two")}, two},
		{"past a plain file and a directory", "tool", []string{path("plain", "dir", "two")}, two},
		{"past the current directory", "tool", []string{path(".", "", "two")}, two},
		{"only the current directory", "tool", []string{path(".", "")}, ""},
		{"no PATH", "tool", nil, ""},
		{"a path", "./tool", []string{path("two")}, "./tool"},
		{"an absolute path", two, nil, two},
		{"no name", "", []string{path("one")}, ""},
	}
	for _, tt := range tests {
		got, err := LookPath(tt.prog, tt.env)
		if got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("%s: %q, %v; want %q", tt.name, got, err, tt.want)
		}
		if tt.want == "" && !errors.Is(err, exec.ErrNotFound) {
			t.Errorf("%s: %v, want exec.ErrNotFound", tt.name, err)
		}
	}
	out, err := Cmd{Path: "tool", Env: []string{path("two") + ":/usr/bin:/bin"}}.Output(t.Context())
	if err != nil || out != "two/tool\n" {
		t.Errorf("ran %q, %v; want the child's", out, err)
	}
}

func TestGetenv(t *testing.T) {
	env := []string{"A=1", "B=x=y", "A=2", "EMPTY=", "NOVALUE", "a=lower"}
	for key, want := range map[string]string{"A": "2", "B": "x=y", "EMPTY": "", "NOVALUE": "", "C": "", "a": "lower"} {
		if got := Getenv(env, key); got != want {
			t.Errorf("Getenv(%s) = %q, want %q", key, got, want)
		}
	}
}
