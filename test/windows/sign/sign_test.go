package sign_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/relmat/relmat/internal/manifest"
	"github.com/relmat/relmat/internal/matrix"
	"github.com/relmat/relmat/internal/sign"
)

// jsignJar is where scripts/windows-tools.sh puts it.
func jsignJar(t *testing.T) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	jar := filepath.Join(cache, "relmat-test", "jsign-7.1.jar")
	if _, err := os.Stat(jar); err != nil {
		t.Fatalf("%v; scripts/windows-tools.sh fetches it", err)
	}
	return jar
}

// programs are real files of Windows: a program of Go's, a program and a
// library of mingw's.
var programs = sync.OnceValues(func() (map[string][]byte, error) {
	dir, err := os.MkdirTemp("", "relmat-sign-test-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	for name, text := range map[string]string{
		"go.mod":  "module demo\n",
		"main.go": "package main\n\nfunc main() { println(\"demo\") }\n",
		"c.c":     "int main(void) { return 0; }\n",
		"lib.c":   "__declspec(dllexport) int answer(void) { return 42; }\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	const gcc = "x86_64-w64-mingw32-gcc-posix"
	for _, args := range [][]string{
		{"go", "build", "-trimpath", "-o", "go.exe", "."}, {gcc, "-o", "c.exe", "c.c"}, {gcc, "-shared", "-o", "lib.dll", "lib.c"},
	} {
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOOS=windows", "GOARCH=amd64", "CGO_ENABLED=0", "GOFLAGS=")
		if out, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("%v: %w\n%s", args, err, out)
		}
	}
	files := map[string][]byte{}
	for _, name := range []string{"go.exe", "c.exe", "lib.dll"} {
		if files[name], err = os.ReadFile(filepath.Join(dir, name)); err != nil {
			return nil, err
		}
	}
	return files, nil
})

// bundle is a package's tree: three files of the build, one that somebody else
// built, a vendor's library, and a text.
func bundle(t *testing.T) string {
	t.Helper()
	pe, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	m := manifest.Manifest{Project: "demo", Version: "1", Target: "windows", Triple: "x86_64-pc-windows-gnu", Package: "demo", Programs: map[string]string{"demo": "bin/demo.exe"}}
	add := func(path string, data []byte, mode os.FileMode, origin manifest.Origin, from string) {
		p := filepath.Join(dir, filepath.FromSlash(path))
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, data, mode); err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(data)
		m.Files = append(m.Files, manifest.File{Path: path, Size: int64(len(data)), SHA256: hex.EncodeToString(sum[:]), Mode: fmt.Sprintf("%#o", mode), Origin: origin, From: from})
	}
	add("bin/demo.exe", pe["go.exe"], 0o755, manifest.Build, "")
	add("bin/tool.exe", pe["c.exe"], 0o755, manifest.Build, "")
	add("bin/own.dll", pe["lib.dll"], 0o644, manifest.Build, "")
	add("bin/header.h", []byte("#define X\n"), 0o644, manifest.Build, "OUT_DIR of x")
	add("bin/other.exe", append(bytes.Clone(pe["c.exe"]), 0), 0o755, manifest.Prebuilt, "")
	add("vendor/cudart64_13.dll", append(bytes.Clone(pe["lib.dll"]), 1), 0o644, manifest.Wheel, "nvidia-cuda-runtime 13.0.96")
	add("LICENSE", []byte("terms\n"), 0o644, manifest.Source, "")
	data, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, manifest.FileName), data, 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// digests are those of all files below dir.
func digests(t *testing.T, dir string) map[string]string {
	t.Helper()
	out, err := exec.Command("sh", "-c", `cd "$0" && find . -type f | sort | xargs sha256sum`, dir).Output()
	if err != nil {
		t.Fatal(err)
	}
	sums := map[string]string{}
	for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		sum, path, _ := strings.Cut(line, "  ./")
		sums[path] = sum
	}
	return sums
}

type result struct {
	dir    string
	signed []sign.Signed
	err    error
}

// run signs a bundle by the settings.
func run(t *testing.T, src string, s matrix.Sign, env ...string) result {
	t.Helper()
	return runIn(t.Context(), t, src, s, env...)
}

func runIn(ctx context.Context, t *testing.T, src string, s matrix.Sign, env ...string) (r result) {
	t.Helper()
	r.dir = t.TempDir()
	env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "OTHER_SECRET=not for signers"}, env...)
	paths, err := sign.Own(src, s, "windows")
	if err != nil {
		r.err = err
		return r
	}
	tool, err := sign.Open(sign.Options{Sign: s, OS: "windows", Dir: src, Env: env, Secrets: &sign.Secrets{}})
	if err != nil {
		r.err = err
		return r
	}
	r.signed, r.err = tool.Tree(ctx, src, r.dir, paths, io.Discard)
	if err := tool.Close(ctx); err != nil {
		t.Error(err)
	}
	return r
}

// osslsigncode judges a file. It must say the words.
func judge(t *testing.T, a authority, file string, good bool, words ...string) {
	t.Helper()
	out, err := exec.Command("osslsigncode", "verify", "-CAfile", a.path("roots.pem"), "-TSA-CAfile", a.path("roots.pem"), "-in", file).CombinedOutput()
	if (err == nil) != good {
		t.Errorf("osslsigncode of %s: %v\n%s", file, err, out)
	}
	for _, w := range words {
		if !bytes.Contains(out, []byte(w)) {
			t.Errorf("osslsigncode of %s does not say %q:\n%s", file, w, out)
		}
	}
}

func settings(a authority, tool string, servers ...string) matrix.Sign {
	s := matrix.Sign{Tool: tool, Keystore: "file:" + a.path("sign.p12"), Password: "env:P12_PW", Timestamp: servers, Trust: a.path("roots.pem")}
	if servers == nil {
		s.Timestamp = []string{}
	}
	return s
}

// each runs a test with both tools. env are their variables.
func each(t *testing.T, do func(t *testing.T, tool string, env []string)) {
	for tool, env := range map[string][]string{
		"osslsigncode": {"P12_PW=" + password},
		"jsign":        {"P12_PW=" + password, sign.ProgramVariable + "=" + jsignJar(t)},
	} {
		t.Run(tool, func(t *testing.T) { do(t, tool, env) })
	}
}

func TestSigned(t *testing.T) {
	a := theAuthority(t)
	server := a.stamps()
	each(t, func(t *testing.T, tool string, env []string) {
		src := bundle(t)
		before := digests(t, src)
		r := run(t, src, settings(a, tool, server.URL), env...)
		if r.err != nil {
			t.Fatal(r.err)
		}
		own := []string{"bin/demo.exe", "bin/tool.exe", "bin/own.dll"}
		if len(r.signed) != len(own) {
			t.Fatalf("signed %+v, want %q", r.signed, own)
		}
		for _, f := range r.signed {
			if f.By != "Demo Ltd." || f.Server != server.URL || f.Time.IsZero() || len(f.Refused) > 0 {
				t.Errorf("%+v", f)
			}
			judge(t, a, filepath.Join(r.dir, f.Path), true, "Message digest algorithm  : SHA256", "CN=Demo Ltd.", "CN=Throw-away Time", "Timestamp Server Signature verification: ok")
		}
		if after := digests(t, src); fmt.Sprint(after) != fmt.Sprint(before) {
			t.Errorf("the bundle was changed: %v, was %v", after, before)
		}
		after := digests(t, r.dir)
		data, err := os.ReadFile(filepath.Join(r.dir, manifest.FileName))
		if err != nil {
			t.Fatal(err)
		}
		m, err := manifest.Decode(data)
		if err != nil {
			t.Fatal(err)
		}
		if len(after) != len(before) {
			t.Errorf("it holds %d files, the bundle %d", len(after), len(before))
		}
		for _, f := range m.Files {
			if f.SHA256 != after[f.Path] {
				t.Errorf("%s: sha256sum says %s, the manifest %s", f.Path, after[f.Path], f.SHA256)
			}
			info, err := os.Stat(filepath.Join(r.dir, f.Path))
			if err != nil {
				t.Fatal(err)
			}
			if info.Size() != f.Size || fmt.Sprintf("%#o", info.Mode().Perm()) != f.Mode {
				t.Errorf("%s has %d bytes and mode %v, the manifest says %+v", f.Path, info.Size(), info.Mode(), f)
			}
			signed := false
			for _, p := range own {
				signed = signed || p == f.Path
			}
			if signed != (after[f.Path] != before[f.Path]) || signed != (f.Signed == "Demo Ltd.") {
				t.Errorf("%s: signed %q, its digest was %s and is %s", f.Path, f.Signed, before[f.Path], after[f.Path])
			}
		}
	})
}

// A signature that somebody writes into afterwards is none.
func TestTampered(t *testing.T) {
	a := theAuthority(t)
	server := a.stamps()
	r := run(t, bundle(t), settings(a, "osslsigncode", server.URL), "P12_PW="+password)
	if r.err != nil {
		t.Fatal(r.err)
	}
	file := filepath.Join(r.dir, "bin/demo.exe")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(file, data, 0o755); err != nil {
		t.Fatal(err)
	}
	judge(t, a, file, false)
	if _, err := sign.Whole(r.dir); err != nil {
		t.Errorf("its size did not change: %v", err)
	}
}

func TestTimeStampServers(t *testing.T) {
	a := theAuthority(t)
	server, gone, ill := a.stamps(), down(), broken(t)
	each(t, func(t *testing.T, tool string, env []string) {
		s := settings(a, tool, gone, ill, server.URL)
		s.Except = []string{"bin/tool.exe", "bin/own.dll"}
		r := run(t, bundle(t), s, env...)
		if r.err != nil {
			t.Fatal(r.err)
		}
		if len(r.signed) != 1 || r.signed[0].Server != server.URL || len(r.signed[0].Refused) != 2 ||
			!strings.HasPrefix(r.signed[0].Refused[0], gone+": ") || !strings.HasPrefix(r.signed[0].Refused[1], ill+": ") {
			t.Errorf("%+v", r.signed)
		}
		judge(t, a, filepath.Join(r.dir, "bin/demo.exe"), true, "Timestamp Server Signature verification: ok")

		s.Timestamp = []string{gone, ill}
		r = run(t, bundle(t), s, env...)
		if r.err == nil || !strings.Contains(r.err.Error(), gone) || !strings.Contains(r.err.Error(), ill) || !strings.Contains(r.err.Error(), "signing bin/demo.exe") {
			t.Errorf("all are down: %v", r.err)
		}
		if _, err := os.Stat(filepath.Join(r.dir, "bin", "demo.exe")); err == nil {
			t.Error("a file without its time stamp stands under its final name")
		}

		s.Timestamp = []string{}
		r = run(t, bundle(t), s, env...)
		if r.err != nil {
			t.Fatal(r.err)
		}
		if f := r.signed[0]; f.Server != "" || !f.Time.IsZero() {
			t.Errorf("without a time stamp: %+v", f)
		}
		judge(t, a, filepath.Join(r.dir, "bin/demo.exe"), true, "Timestamp is not available")
	})
}

func TestCertificatesThatAreNotValid(t *testing.T) {
	a := theAuthority(t)
	server := a.stamps()
	other := newAuthority(t)
	each(t, func(t *testing.T, tool string, env []string) {
		for _, tt := range []struct{ keystore, trust, want string }{
			{"expired.p12", a.path("roots.pem"), "Late Ltd."},
			{"server.p12", "", "not for signing code"},
			{"sign.p12", other.path("roots.pem"), "Demo Ltd."},
			{"ca.cnf", "", "signing bin/demo.exe"},
			{"no.p12", "", "sign.keystore"},
			{"sign.p12", a.path("ca.cnf"), "sign.trust"},
		} {
			s := settings(a, tool, server.URL)
			s.Keystore, s.Trust = "file:"+a.path(tt.keystore), tt.trust
			r := run(t, bundle(t), s, env...)
			if r.err == nil || !strings.Contains(r.err.Error(), tt.want) {
				t.Errorf("%s: %v, want an error about %q", tt.keystore, r.err, tt.want)
			}
		}
		s := settings(a, tool, server.URL)
		r := run(t, bundle(t), s, append(env, "P12_PW=another word")...)
		if r.err == nil || !strings.Contains(r.err.Error(), "signing bin/demo.exe") || strings.Contains(r.err.Error(), "another word") {
			t.Errorf("wrong password: %v", r.err)
		}
	})
}

// TestKeystoreInVariable holds the keystore in a variable and the password in a
// file, which others must not be able to read.
func TestKeystoreInVariable(t *testing.T) {
	a := theAuthority(t)
	data, err := os.ReadFile(a.path("sign.p12"))
	if err != nil {
		t.Fatal(err)
	}
	each(t, func(t *testing.T, tool string, env []string) {
		a.write("pw", password+"\n")
		tmp := t.TempDir()
		s := settings(a, tool)
		s.Keystore, s.Password = "env:P12", "file:"+a.path("pw")
		env = append(env, "TMPDIR="+tmp, "P12="+base64.StdEncoding.EncodeToString(data))
		s.Except = []string{"bin/tool.exe", "bin/demo.exe"}
		r := run(t, bundle(t), s, env...)
		if r.err != nil {
			t.Fatal(r.err)
		}
		judge(t, a, filepath.Join(r.dir, "bin/own.dll"), true, "CN=Demo Ltd.")
		if left, err := filepath.Glob(filepath.Join(tmp, "relmat-sign-*")); err != nil || len(left) > 0 {
			t.Errorf("left behind: %q, %v", left, err)
		}
		if err := os.Chmod(a.path("pw"), 0o644); err != nil {
			t.Fatal(err)
		}
		if r := run(t, bundle(t), s, env...); r.err == nil || !strings.Contains(r.err.Error(), "chmod 600") {
			t.Errorf("a password that all can read: %v", r.err)
		}
		s.Password = "env:NOT_SET"
		if r := run(t, bundle(t), s, env...); r.err == nil || !strings.Contains(r.err.Error(), "NOT_SET is not set") {
			t.Errorf("a variable that is not set: %v", r.err)
		}
	})
}

// TestSecretsAreNotSeen stands in front of each tool and writes down with what
// it was called. No argument has the secret, and the environment has only the
// tool's own.
func TestSecretsAreNotSeen(t *testing.T) {
	a := theAuthority(t)
	server := a.stamps()
	each(t, func(t *testing.T, tool string, env []string) {
		bin := t.TempDir()
		log := filepath.Join(bin, "log")
		name := map[string]string{"osslsigncode": "osslsigncode", "jsign": "java"}[tool]
		real, err := exec.LookPath(name)
		if err != nil {
			t.Fatal(err)
		}
		script := fmt.Sprintf("#!/bin/sh\n{ echo \"args: $*\"; env; ps -eo args; } >>%s\nexec %s \"$@\"\n", log, real)
		if err := os.WriteFile(filepath.Join(bin, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
		s := settings(a, tool, server.URL)
		s.Except = []string{"bin/tool.exe", "bin/own.dll"}
		env = append(env, "PATH="+bin+":"+os.Getenv("PATH"), "GITHUB_TOKEN=ghs_secret")
		r := run(t, bundle(t), s, env...)
		if r.err != nil {
			t.Fatal(r.err)
		}
		data, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		seen := strings.ReplaceAll(string(data), sign.PasswordVariable+"="+password, "")
		for _, secret := range []string{password, "ghs_secret", "not for signers", "P12_PW"} {
			if strings.Contains(seen, secret) {
				t.Errorf("%s sees %q:\n%s", tool, secret, seen)
			}
		}
		if (tool == "jsign") != strings.Contains(string(data), sign.PasswordVariable+"="+password) {
			t.Errorf("%s and its password in the environment", tool)
		}
		// Nor is it in what the stage makes.
		out, err := exec.Command("grep", "-rlF", password, r.dir).CombinedOutput()
		if err == nil {
			t.Errorf("the password is in %s", out)
		}
	})
}

// TestForeignSignatures refuses a file of the build that somebody has signed.
func TestForeignSignatures(t *testing.T) {
	a := theAuthority(t)
	r := run(t, bundle(t), settings(a, "osslsigncode"), "P12_PW="+password)
	if r.err != nil {
		t.Fatal(r.err)
	}
	// What is signed is now the input.
	again := run(t, r.dir, settings(a, "osslsigncode"), "P12_PW="+password)
	if again.err == nil || !strings.Contains(again.err.Error(), `bin/demo.exe: it already has a signature, of "Demo Ltd."`) {
		t.Errorf("%v", again.err)
	}
}

func TestPrebuiltAndCommand(t *testing.T) {
	a := theAuthority(t)
	server := a.stamps()
	yes := true
	a.write("pw", password)
	script := a.path("signer")
	text := "#!/bin/sh\nosslsigncode sign -pkcs12 " + a.path("sign.p12") + " -readpass " + a.path("pw") + " -h sha256 -ts \"$2\" -in \"$1\" -out \"$1.out\" && mv \"$1.out\" \"$1\"\n"
	if err := os.WriteFile(script, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	s := matrix.Sign{Tool: "command", Command: []string{script, "{{.File}}", "{{.Timestamp}}"}, Timestamp: []string{down(), server.URL}, Prebuilt: &yes, Trust: a.path("roots.pem")}
	r := run(t, bundle(t), s)
	if r.err != nil {
		t.Fatal(r.err)
	}
	if len(r.signed) != 4 {
		t.Errorf("signed %+v, want the prebuilt program, too", r.signed)
	}
	for _, f := range r.signed {
		if f.Server != server.URL || len(f.Refused) != 1 {
			t.Errorf("%+v", f)
		}
		judge(t, a, filepath.Join(r.dir, f.Path), true, "Timestamp Server Signature verification: ok")
	}
	// A command that does nothing, or something else, is found out.
	s.Command = []string{"true", "{{.File}}"}
	if r := run(t, bundle(t), s); r.err == nil || !strings.Contains(r.err.Error(), "no Authenticode signature") {
		t.Errorf("a command that does nothing: %v", r.err)
	}
	if err := os.WriteFile(script, []byte("#!/bin/sh\nprintf x | dd of=\"$1\" bs=1 seek=2000 conv=notrunc 2>/dev/null\n"+strings.TrimPrefix(text, "#!/bin/sh\n")), 0o755); err != nil {
		t.Fatal(err)
	}
	s.Command = []string{script, "{{.File}}", server.URL}
	if r := run(t, bundle(t), s); r.err == nil || !strings.Contains(r.err.Error(), "changed more than the signature") {
		t.Errorf("a command that changes the program: %v", r.err)
	}
}

func TestCancelled(t *testing.T) {
	a := theAuthority(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := runIn(ctx, t, bundle(t), settings(a, "osslsigncode"), "P12_PW="+password)
	if r.err == nil {
		t.Error("it was signed")
	}
}
