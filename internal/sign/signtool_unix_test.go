//go:build unix

package sign

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

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
	for _, name := range []string{"a.pfx", "chain.cer", "m.json"} {
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

// TestSigntoolKeystoreWithPassword puts a keystore into the user's store and
// takes it out again, unless it was there before; the password is on no command
// line.
func TestSigntoolKeystoreWithPassword(t *testing.T) {
	thumb := strings.Repeat("0F", 20)
	for _, tt := range []struct {
		answer  string
		removes bool
		fails   string
	}{
		{"echo imported " + thumb, true, ""},
		{"echo present " + thumb, false, ""},
		{"echo nothing", false, "named no certificate"},
		{"echo 'The specified network password is not correct.' >&2; exit 1", false, "password is not correct"},
	} {
		dir, calls := standIn(t, tt.answer+"\n")
		if err := os.WriteFile(filepath.Join(dir, "a.pfx"), []byte("pfx"), 0o600); err != nil {
			t.Fatal(err)
		}
		tool := openSigntool(t, dir, matrix.Sign{Keystore: "file:a.pfx", Password: "env:PW"}, "PW=p4ssw0rd-x")
		s := tool.signer.(*signtool)
		err := s.open(t.Context())
		if tt.fails != "" {
			if err == nil || !strings.Contains(err.Error(), tt.fails) {
				t.Errorf("%s: %v", tt.answer, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		tool.opened = true
		if err := s.Sign(t.Context(), "x.exe"); err != nil {
			t.Fatal(err)
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
		want := 2
		if tt.removes {
			want = 3
		}
		if len(called) != want || !strings.Contains(called[0], "Import-PfxCertificate") || !strings.Contains(called[1], "[/sha1] ["+thumb+"]") {
			t.Errorf("%s: called %q", tt.answer, called)
		}
		if tt.removes && !strings.Contains(called[want-1], "Remove-Item") {
			t.Errorf("%s: the certificate stays: %q", tt.answer, called)
		}
		for _, v := range []string{PasswordVariable + "=p4ssw0rd-x", "RELMAT_SIGN_KEYSTORE=" + filepath.Join(dir, "a.pfx")} {
			if !variables[v] {
				t.Errorf("PowerShell does not get %s", v)
			}
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
