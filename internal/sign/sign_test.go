package sign

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/relmat/relmat/internal/manifest"
	"github.com/relmat/relmat/internal/matrix"
)

// TestTable keeps the tools equal to those that a matrix can name.
func TestTable(t *testing.T) {
	var names []string
	for _, s := range matrix.Signers() {
		if s.Name != matrix.SignNone {
			names = append(names, s.Name)
		}
	}
	for _, name := range names {
		if e, ok := tools[name]; !ok || e.make == nil {
			t.Errorf("the matrix knows %s, and nothing makes it", name)
		}
		if name != "command" && Get(name, "linux") == "" {
			t.Errorf("nothing says how to get %s", name)
		}
	}
	if len(tools) != len(names) {
		t.Errorf("%d tools, the matrix knows %q", len(tools), names)
	}
}

// TestDocs keeps the words that users of unsigned programs read in the manual.
func TestDocs(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("..", "..", "docs", "windows-signing.md"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(strings.Join(strings.Fields(string(data)), " "), strings.Join(strings.Fields(SmartScreen()), " ")) {
		t.Errorf("docs/windows-signing.md does not have the text of smartscreen.md")
	}
}

// TestGist reads what tools printed on Debian 12.
func TestGist(t *testing.T) {
	for _, tt := range []struct{ out, want string }{
		{
			"Failed\nFailed to parse PKCS#12 file: a.p12 (Wrong password?)\nFailed to read key or certificates\n4040A2D7417F0000:error:11800071:PKCS12 routines:PKCS12_parse:mac verify failure:../crypto/pkcs12/p12_kiss.c:71:\n",
			"Failed to parse PKCS#12 file: a.p12 (Wrong password?); Failed to read key or certificates; PKCS12 routines: mac verify failure",
		},
		{
			"Exception in thread \"main\" net.jsign.timestamp.TimestampingException: Unable to complete the timestamping after 1 attempt\n\tat net.jsign.timestamp.Timestamper.timestamp(Timestamper.java:134)\n\tSuppressed: java.net.ConnectException: Connection refused\n\t\tat java.base/sun.nio.ch.Net.pollConnect(Native Method)\n\t\t... 5 more\n",
			"TimestampingException: Unable to complete the timestamping after 1 attempt; ConnectException: Connection refused",
		},
		{"Connecting to x\nnothing of note\n", "nothing of note"},
		{"", "it said nothing"},
	} {
		if got := gistOf(tt.out); got != tt.want {
			t.Errorf("got  %q\nwant %q", got, tt.want)
		}
	}
}

func TestOpenFails(t *testing.T) {
	dir := t.TempDir()
	here := []string{ProgramVariable + "=" + os.Args[0]}
	if err := os.WriteFile(filepath.Join(dir, "m.json"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name  string
		sign  matrix.Sign
		env   []string
		fails string
	}{
		{"no library", matrix.Sign{Tool: "signtool", Dlib: "no.dll", Metadata: "m.json"}, here, "sign.dlib: "},
		{"no metadata", matrix.Sign{Tool: "signtool", Dlib: "m.json", Metadata: "no.json"}, here, "sign.metadata: "},
		{"no chain", matrix.Sign{Tool: "signtool", Subject: "A", Chain: "no.pem"}, here, "sign.chain: "},
		{"no roots", matrix.Sign{Tool: "signtool", Subject: "A", Trust: "no.pem"}, here, "sign.trust: "},
		{"no tool", matrix.Sign{Tool: "osslsigncode"}, []string{"PATH=" + dir}, "osslsigncode is not in PATH"},
		{"another's path", matrix.Sign{Tool: "jsign"}, []string{ProgramVariable + "=" + filepath.Join(dir, "x.jar")}, ProgramVariable},
		{"unknown", matrix.Sign{Tool: "x"}, nil, `"x" is no tool`},
		{"not passed", matrix.Sign{Tool: "command", Command: []string{"/bin/sh"}, Pass: []string{"AZURE_X"}}, nil, "AZURE_X is not set"},
		{"not base64", matrix.Sign{Tool: "jsign", Keystore: "env:P12"}, []string{ProgramVariable + "=/bin/sh", "P12=!!!"}, "base64 -w0"},
	} {
		if _, err := Open(Options{Sign: tt.sign, OS: "windows", Dir: dir, Env: tt.env, Secrets: &Secrets{}}); err == nil || !strings.Contains(err.Error(), tt.fails) {
			t.Errorf("%s: %v, want an error about %q", tt.name, err, tt.fails)
		}
	}
	// That of another tool, which another layer of the matrix names, is not asked.
	tool, err := Open(Options{Sign: matrix.Sign{Tool: "command", Command: []string{os.Args[0]}, Dlib: "no.dll", Chain: "no.pem"}, Dir: dir, Secrets: &Secrets{}})
	if err != nil {
		t.Fatal(err)
	}
	if err := tool.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestOwn is what is signed: what Cargo linked, and of an OUT_DIR what neither a
// signature nor sign.except says to be somebody else's.
func TestOwn(t *testing.T) {
	dir := t.TempDir()
	outDir := manifest.OutDirOf("core")
	files := []struct {
		path, content string
		origin        manifest.Origin
		from          string
	}{
		{"bin/demo.exe", "plain.exe", manifest.Build, ""},
		{"bin/own.dll", "plain.exe", manifest.Build, outDir},
		{"bin/blas.dll", "plain.exe", manifest.Build, outDir},
		{"bin/signed.dll", "stamped.exe", manifest.Build, outDir},
		{"bin/header.h", "roots.pem", manifest.Build, outDir},
		{"bin/other.exe", "plain.exe", manifest.Prebuilt, ""},
		{"bin/cudart64_13.dll", "plain.exe", manifest.Wheel, "nvidia-cuda-runtime 13.0.96"},
		{"bin/checkout.dll", "plain.exe", manifest.Source, ""},
	}
	m := manifest.Manifest{Project: "p", Version: "1", Target: "w", Package: "p"}
	for _, f := range files {
		data, err := os.ReadFile(filepath.Join("..", "objfile", "testdata", "authenticode", f.content))
		if err != nil {
			t.Fatal(err)
		}
		p := filepath.Join(dir, filepath.FromSlash(f.path))
		if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, data, 0o644)); err != nil {
			t.Fatal(err)
		}
		m.Files = append(m.Files, manifest.File{Path: f.path, Size: int64(len(data)), Mode: "0644", Origin: f.origin, From: f.from})
	}
	write := func() {
		t.Helper()
		data, err := m.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, m.Name()), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write()
	yes := true
	for _, tt := range []struct {
		sign matrix.Sign
		want []string
	}{
		{matrix.Sign{}, []string{"bin/blas.dll", "bin/demo.exe", "bin/own.dll"}},
		{matrix.Sign{Except: []string{"bin/blas.dll"}}, []string{"bin/demo.exe", "bin/own.dll"}},
		{matrix.Sign{Except: []string{"bin/blas.dll"}, Prebuilt: &yes}, []string{"bin/demo.exe", "bin/other.exe", "bin/own.dll"}},
	} {
		got, err := Own(dir, tt.sign, "windows")
		slices.Sort(got)
		if err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("%+v: %q, %v; want %q", tt.sign, got, err, tt.want)
		}
	}
	// A program that Cargo linked has no signature: somebody is between.
	for i := range m.Files {
		if m.Files[i].Path == "bin/signed.dll" {
			m.Files[i].From = ""
		}
	}
	write()
	if _, err := Own(dir, matrix.Sign{}, "windows"); err == nil || !strings.Contains(err.Error(), `bin/signed.dll: it already has a signature, of "Demo Ltd."`) {
		t.Errorf("%v", err)
	}
}

// TestWeakSignature refuses a signature whose SHA-256 of the file is signed by
// way of SHA-1, whatever the tool says of it.
func TestWeakSignature(t *testing.T) {
	files := filepath.Join("..", "objfile", "testdata", "authenticode")
	tool := &Tool{o: Options{OS: "windows"}}
	err := tool.check(filepath.Join(files, "plain.exe"), filepath.Join(files, "weak.exe"), &Signed{})
	if err == nil || !strings.Contains(err.Error(), "signer's entry with SHA-1") {
		t.Errorf("%v", err)
	}
	if err := tool.check(filepath.Join(files, "plain.exe"), filepath.Join(files, "stamped.exe"), &Signed{}); err != nil {
		t.Error(err)
	}
}

// TestKeystoreThatStays tells where a keystore lies that could not be removed.
func TestKeystoreThatStays(t *testing.T) {
	env := []string{ProgramVariable + "=" + os.Args[0], "TMPDIR=" + t.TempDir(), "P12=cDEy"}
	tool, err := Open(Options{Sign: matrix.Sign{Tool: "jsign", Keystore: "env:P12"}, OS: "windows", Env: env, Secrets: &Secrets{}})
	if err != nil {
		t.Fatal(err)
	}
	// No system removes a directory by this name of it, not even for root.
	whole := tool.private
	tool.private = whole + string(filepath.Separator) + "."
	if err := tool.Close(t.Context()); err == nil || !strings.Contains(err.Error(), "keystore is still in "+whole) {
		t.Errorf("%v", err)
	}
	tool.private = whole
	if err := tool.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(whole); err == nil {
		t.Errorf("%s is there", whole)
	}
}

func TestIdentity(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"tool", "a.p12", "roots.pem"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	identity := func() []string {
		t.Helper()
		tool, err := Open(Options{
			Sign: matrix.Sign{Tool: "osslsigncode", Keystore: "file:a.p12", Password: "env:PW", Trust: "roots.pem"},
			Dir:  dir, Env: []string{ProgramVariable + "=" + filepath.Join(dir, "tool"), "PW=secret"}, Secrets: &Secrets{},
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := tool.Close(t.Context()); err != nil {
			t.Error(err)
		}
		return tool.Identity()
	}
	was := identity()
	if again := identity(); !slices.Equal(was, again) {
		t.Errorf("%q and %q", was, again)
	}
	for _, name := range []string{"tool", "a.p12", "roots.pem"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("another"), 0o600); err != nil {
			t.Fatal(err)
		}
		now := identity()
		if slices.Equal(was, now) {
			t.Errorf("another %s is the same", name)
		}
		was = now
	}
	if strings.Contains(strings.Join(was, " "), "secret") {
		t.Errorf("the password is in %q", was)
	}
	azure := func(dlib string) []string {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "azure.dll"), []byte(dlib), 0o600); err != nil {
			t.Fatal(err)
		}
		tool, err := Open(Options{
			Sign: matrix.Sign{Tool: "signtool", Dlib: "azure.dll", Metadata: "roots.pem"},
			Dir:  dir, Env: []string{ProgramVariable + "=" + filepath.Join(dir, "tool")}, Secrets: &Secrets{},
		})
		if err != nil {
			t.Fatal(err)
		}
		return tool.Identity()
	}
	if slices.Equal(azure("one"), azure("another")) {
		t.Error("another sign.dlib is the same")
	}
}
