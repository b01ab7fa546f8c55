//go:build unix

package sign

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/relmat/relmat/internal/manifest"
	"github.com/relmat/relmat/internal/matrix"
)

// standIn is a directory with programs that write down how they were called:
// SignTool and PowerShell are only on Windows.
func standIn(t *testing.T, powershell string) (dir string, calls func() []string) {
	t.Helper()
	dir = t.TempDir()
	log := filepath.Join(dir, "log")
	record := "#!/bin/sh\n{ printf '%s' \"$(basename \"$0\")\"; printf ' [%s]' \"$@\" | tr '\\n' ' '; echo; env | sort | sed 's/^/  /'; } >>" + log + "\n"
	for name, text := range map[string]string{"signtool": record, "powershell": record + powershell} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir, func() []string {
		data, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		_ = os.Remove(log)
		return strings.Split(strings.TrimSpace(string(data)), "\n")
	}
}

func openSigntool(t *testing.T, dir string, s matrix.Sign, env ...string) *Tool {
	t.Helper()
	s.Tool = "signtool"
	tool, err := Open(Options{Sign: s, OS: "windows", Dir: dir, Env: append([]string{"PATH=" + dir + ":/usr/bin:/bin", "GITHUB_TOKEN=ghs_x"}, env...), Secrets: &Secrets{}})
	if err != nil {
		t.Fatal(err)
	}
	return tool
}

// TestSigntoolArguments are command lines as "SignTool" of Microsoft Learn has
// them.
func TestSigntoolArguments(t *testing.T) {
	dir, calls := standIn(t, "")
	if err := os.Mkdir(filepath.Join(dir, "x"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a.pfx", "chain.cer", "m.json", "x/Azure.CodeSigning.Dlib.dll"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	in := func(name string) string { return filepath.Join(dir, name) }
	for _, tt := range []struct {
		name string
		sign matrix.Sign
		want string
	}{
		{"thumbprint", matrix.Sign{Thumbprint: strings.Repeat("A1", 20)}, "[/sha1] [" + strings.Repeat("A1", 20) + "]"},
		{"subject", matrix.Sign{Subject: "Demo Ltd."}, "[/n] [Demo Ltd.]"},
		{"pfx without a password", matrix.Sign{Keystore: "file:a.pfx", Chain: "chain.cer"}, "[/f] [" + in("a.pfx") + "] [/ac] [" + in("chain.cer") + "]"},
		{"Azure Trusted Signing", matrix.Sign{Dlib: "x/Azure.CodeSigning.Dlib.dll", Metadata: "m.json"}, "[/dlib] [" + in("x/Azure.CodeSigning.Dlib.dll") + "] [/dmdf] [" + in("m.json") + "]"},
	} {
		tool := openSigntool(t, dir, tt.sign)
		if err := tool.signer.Sign(t.Context(), "x y.exe"); err != nil {
			t.Fatal(err)
		}
		if got, want := calls()[0], "signtool [sign] [/fd] [SHA256] "+tt.want+" [x y.exe]"; got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", tt.name, got, want)
		}
		if err := tool.signer.Stamp(t.Context(), "x y.exe", "http://t.example"); err != nil {
			t.Fatal(err)
		}
		if got, want := calls()[0], "signtool [timestamp] [/tr] [http://t.example] [/td] [SHA256] [x y.exe]"; got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		if err := tool.signer.(verifier).Verify(t.Context(), "x y.exe"); err != nil {
			t.Fatal(err)
		}
		if got, want := calls()[0], "signtool [verify] [/pa] [x y.exe]"; got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

// TestSigntoolEnvironment passes on what is named, and no other secret.
func TestSigntoolEnvironment(t *testing.T) {
	dir, calls := standIn(t, "")
	tool := openSigntool(t, dir, matrix.Sign{Subject: "x", Pass: []string{"AZURE_CLIENT_SECRET"}}, "AZURE_CLIENT_SECRET=s3cr3t-value", "ProgramFiles(x86)=C:\\x", "FOO=bar")
	if err := tool.signer.Sign(t.Context(), "x.exe"); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, line := range calls()[1:] {
		name, _, _ := strings.Cut(strings.TrimSpace(line), "=")
		names = append(names, name)
	}
	got := strings.Join(names, " ")
	for _, want := range []string{"AZURE_CLIENT_SECRET", "PATH"} {
		if !strings.Contains(got, want) {
			t.Errorf("it lacks %s: %s", want, got)
		}
	}
	for _, not := range []string{"GITHUB_TOKEN", "FOO"} {
		if strings.Contains(got, not) {
			t.Errorf("it has %s: %s", not, got)
		}
	}
}

// A variable in other letters is another one.
func TestPassInOtherLetters(t *testing.T) {
	_, err := Open(Options{Sign: matrix.Sign{Tool: "command", Command: []string{"/bin/sh"}, Pass: []string{"azure_x"}}, Env: []string{"AZURE_X=x"}, Secrets: &Secrets{}})
	if err == nil || !strings.Contains(err.Error(), "azure_x is not set") {
		t.Errorf("%v", err)
	}
}

// TestSigntoolKeystoreWithPassword puts a keystore into the user's store and
// takes out again what was not there before, also where the import did not come
// to its end; the password is on no command line.
func TestSigntoolKeystoreWithPassword(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir()) // of the lock
	thumb, middle := strings.Repeat("0F", 20), strings.Repeat("1E", 20)
	for _, tt := range []struct {
		answer  string
		removes string
		fails   string
	}{
		{"echo new " + thumb + "; echo new " + middle + "; echo signer " + thumb, thumb + " " + middle, ""},
		{"echo new " + middle + "; echo signer " + thumb, middle, ""},
		{"echo signer " + thumb, "", ""},
		{"echo nothing", "", "named no certificate"},
		{"echo signer 0F0F", "", "named no certificate"},
		{"echo new " + thumb + "; echo new " + middle, thumb + " " + middle, "named no certificate"},
		{"echo new " + thumb + "; echo 'Access is denied.' >&2; exit 1", thumb, "Access is denied"},
		{"echo 'The specified network password is not correct.' >&2; exit 1", "", "password is not correct"},
	} {
		dir, calls := standIn(t, `case "$*" in *DeleteKey*) exit 0; esac; `+tt.answer+"\n")
		if err := os.WriteFile(filepath.Join(dir, "a.pfx"), []byte("pfx"), 0o600); err != nil {
			t.Fatal(err)
		}
		tool := openSigntool(t, dir, matrix.Sign{Keystore: "file:a.pfx", Password: "env:PW"}, "PW=p4ssw0rd-x")
		s := tool.signer.(*signtool)
		err := s.open(t.Context())
		if tt.fails == "" && err != nil || tt.fails != "" && (err == nil || !strings.Contains(err.Error(), tt.fails)) {
			t.Errorf("%s: %v, want an error about %q", tt.answer, err, tt.fails)
		}
		if err == nil {
			if err := s.Sign(t.Context(), "x.exe"); err != nil {
				t.Fatal(err)
			}
		}
		if err := tool.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		var called []string
		variables := map[string]bool{}
		for _, line := range calls() {
			if strings.HasPrefix(line, "  ") {
				variables[strings.TrimSpace(line)] = true
				continue
			}
			if strings.Contains(line, "p4ssw0rd") {
				t.Errorf("the password is on a command line: %s", line)
			}
			called = append(called, line)
		}
		wants := []string{"Import-PfxCertificate"}
		if tt.fails == "" {
			wants = append(wants, "[/sha1] ["+thumb+"]")
		}
		given := []string{PasswordVariable + "=p4ssw0rd-x", "RELMAT_SIGN_KEYSTORE=" + filepath.Join(dir, "a.pfx")}
		if tt.removes != "" {
			wants, given = append(wants, "-DeleteKey"), append(given, "RELMAT_SIGN_THUMBPRINTS="+tt.removes)
		}
		if len(called) != len(wants) {
			t.Errorf("%s: called %q, want %q", tt.answer, called, wants)
			continue
		}
		for i, want := range wants {
			if !strings.Contains(called[i], want) {
				t.Errorf("%s: call %d is %q, want %s", tt.answer, i, called[i], want)
			}
		}
		for _, v := range given {
			if !variables[v] {
				t.Errorf("%s: PowerShell does not get %s", tt.answer, v)
			}
		}
	}
}

// TestSigntoolInterrupted interrupts PowerShell after it has imported, before it
// says so. Nothing may stay, and another relmat waits until then.
func TestSigntoolInterrupted(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	thumb := strings.Repeat("0F", 20)
	src, dst := t.TempDir(), t.TempDir()
	m := manifest.Manifest{Project: "p", Version: "1", Target: "w", Package: "p"}
	data, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(src, m.Name()), data, 0o644); err != nil {
		t.Fatal(err)
	}
	open := func(powershell string) (*Tool, string) {
		dir, _ := standIn(t, `case "$*" in *DeleteKey*) echo "$RELMAT_SIGN_THUMBPRINTS" >"$0.removed"; exit 0; esac; `+powershell)
		if err := os.WriteFile(filepath.Join(dir, "a.pfx"), []byte("pfx"), 0o600); err != nil {
			t.Fatal(err)
		}
		return openSigntool(t, dir, matrix.Sign{Keystore: "file:a.pfx", Password: "env:PW"}, "PW=p4ssw0rd-x"), dir
	}
	tool, dir := open("echo new " + thumb + `; touch "$0.imported"; exec sleep 60` + "\n")
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer cancel()
		for range 1000 {
			if _, err := os.Stat(filepath.Join(dir, "powershell.imported")); err == nil {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	}()
	if _, err := tool.Tree(ctx, src, dst, nil, io.Discard); err == nil {
		t.Fatal("it is not interrupted")
	}
	second, _ := open("echo signer " + thumb + "\n")
	soon, stop := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer stop()
	if err := second.signer.(opener).open(soon); err == nil || !strings.Contains(err.Error(), "another relmat") {
		t.Errorf("before the first one has ended, a second one: %v", err)
	}
	if err := tool.Close(ctx); err != nil {
		t.Error(err)
	}
	if removed, err := os.ReadFile(filepath.Join(dir, "powershell.removed")); strings.TrimSpace(string(removed)) != thumb {
		t.Errorf("removed %q, %v", removed, err)
	}
	if err := second.signer.(opener).open(t.Context()); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	if err := second.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestScripts holds what no stand-in can show: certificates are named before
// they are imported, and are removed with their keys.
func TestScripts(t *testing.T) {
	named, imported := strings.Index(importScript, "'new '"), strings.Index(importScript, "Import-PfxCertificate")
	if named < 0 || imported < named {
		t.Errorf("it imports before it says what:\n%s", importScript)
	}
	for name, script := range map[string]string{"import.ps1": importScript, "remove.ps1": removeScript} {
		// It is one argument: PowerShell takes double quotes out of it.
		if strings.Contains(script, `"`) {
			t.Errorf("%s has a double quote", name)
		}
	}
}

// TestFindSigntool takes the newest SDK.
func TestFindSigntool(t *testing.T) {
	dir := t.TempDir()
	for _, version := range []string{"10.0.19041.0", "10.0.26100.0", "10.0.22621.0"} {
		for _, arch := range []string{"x64", "arm64"} {
			p := filepath.Join(dir, "Windows Kits", "10", "bin", version, arch, "signtool.exe")
			if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(p, nil, 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	got := findSigntool([]string{"ProgramFiles=/nowhere", "ProgramFiles(x86)=" + dir})
	if !strings.Contains(got, "10.0.26100.0") {
		t.Errorf("found %q", got)
	}
	if got := findSigntool(nil); got != "" {
		t.Errorf("found %q where there is none", got)
	}
}
