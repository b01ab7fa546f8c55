package sign_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/relmat/relmat/internal/pipeline"
	"github.com/relmat/relmat/internal/progress"
	"github.com/relmat/relmat/internal/sign"
)

// project is a directory with a targets.yaml of programs for Windows that are
// built already, which a release signs.
type project struct {
	t           *testing.T
	dir, relmat string
	env         []string
}

func newProject(t *testing.T, a authority, settings string) project {
	t.Helper()
	p := project{t: t, dir: t.TempDir()}
	p.relmat = filepath.Join(t.TempDir(), "relmat")
	if out, err := exec.Command("go", "build", "-o", p.relmat, "../../../cmd/relmat").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	pe, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	p.write("demo.exe", string(pe["go.exe"]))
	p.write("LICENSE", "Permission is hereby granted, free of charge, to any person.\n")
	p.matrix(settings)
	p.env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "GITHUB_TOKEN=", "P12_PW=" + password}
	return p
}

// matrix writes targets.yaml with the settings of sign.
func (p project) matrix(settings string) {
	p.write("targets.yaml", `version: 1
project: {name: demo, version: "1.0.0"}
programs: {demo: {from: {source: demo.exe}}}
targets:
  windows-x86_64:
    triple: x86_64-pc-windows-gnu
    hosts: {linux-x86_64: {}}
`+settings+`packages:
  demo: {asset: "demo-{{.Version}}-{{.Target}}", programs: [demo], files: [{source: LICENSE, to: LICENSE}]}
`)
}

func (p project) write(name, text string) {
	p.t.Helper()
	if err := os.WriteFile(filepath.Join(p.dir, name), []byte(text), 0o755); err != nil {
		p.t.Fatal(err)
	}
}

// run runs relmat, which must end with the exit code (-1: any), and returns all that it
// printed.
func (p project) run(code int, args ...string) string {
	p.t.Helper()
	cmd := exec.Command(p.relmat, args...)
	cmd.Dir, cmd.Env = p.dir, p.env
	out, err := cmd.CombinedOutput()
	got := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		p.t.Fatal(err)
	}
	if got != code && code >= 0 {
		p.t.Errorf("relmat %s ended with %d, want %d:\n%s", strings.Join(args, " "), got, code, out)
	}
	if strings.Contains(string(out), password) {
		p.t.Errorf("relmat %s shows the password:\n%s", strings.Join(args, " "), out)
	}
	return string(out)
}

func (p project) release(code int, more ...string) string {
	p.t.Helper()
	return p.run(code, append([]string{"release", "--to", "out", "--skip-commit-check"}, more...)...)
}

// archive takes the target up to its archive: running it is not of interest
// here. It returns what was shown and where the archive is.
func (p project) archive() (said, path string) {
	p.t.Helper()
	var out bytes.Buffer
	sink, err := progress.NewSink(progress.Plain, &out, os.Getenv)
	if err != nil {
		p.t.Fatal(err)
	}
	s, err := pipeline.Open(pipeline.Config{Matrix: filepath.Join(p.dir, "targets.yaml"), Env: p.env, Reporter: progress.New(sink)})
	if err != nil {
		p.t.Fatal(err)
	}
	assets, err := s.Archive(p.t.Context(), s.File.Rows())
	if err != nil {
		p.t.Fatalf("%v\n%s", err, out.String())
	}
	if err := s.Close(); err != nil {
		p.t.Error(err)
	}
	return out.String(), assets["windows-x86_64"][0].Path
}

func says(t *testing.T, out string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(out, w) {
			t.Errorf("it does not say %q:\n%s", w, out)
		}
	}
}

func TestRelease(t *testing.T) {
	a := theAuthority(t)
	server, gone := a.stamps(), down()
	signed := fmt.Sprintf("    sign: {tool: osslsigncode, keystore: \"file:%s\", password: \"env:P12_PW\", timestamp: [\"%s\", \"%s\"], trust: roots.pem, prebuilt: true}\n", a.path("sign.p12"), gone, server.URL)
	p := newProject(t, a, signed)
	roots, err := os.ReadFile(a.path("roots.pem"))
	if err != nil {
		t.Fatal(err)
	}
	p.write("roots.pem", string(roots))

	says(t, p.run(0, "plan"), "osslsigncode with file:", "time stamp of "+gone+" or else "+server.URL)
	says(t, p.release(0, "--dry-run"), "sign", "package demo: osslsigncode with")
	says(t, p.run(-1, "doctor"), "signing", "osslsigncode")
	without := p
	without.env = append([]string{}, p.env[:3]...)
	says(t, without.release(1), "sign.password: the variable P12_PW is not set")
	said, archive := p.archive()
	says(t, said, "no time stamp of "+gone+": ", "refused", "signed by Demo Ltd., time stamp of "+server.URL, "sign windows-x86_64  demo: 1 file by Demo Ltd.")

	// unzip gets out what users have.
	dir := t.TempDir()
	if out, err := exec.Command("unzip", "-q", archive, "-d", dir).CombinedOutput(); err != nil {
		t.Fatalf("unzip: %v\n%s", err, out)
	}
	judge(t, a, filepath.Join(dir, "demo-1.0.0-windows-x86_64", "bin", "demo.exe"), true, "CN=Demo Ltd.", "Timestamp Server Signature verification: ok")
	if found, err := filepath.Glob(filepath.Join(p.dir, ".relmat/windows-x86_64/bundle/demo-*/bin/demo.exe")); err != nil || len(found) != 1 {
		t.Errorf("bundled: %q, %v", found, err)
	} else if out, err := exec.Command("cmp", filepath.Join(p.dir, "demo.exe"), found[0]).CombinedOutput(); err != nil {
		t.Errorf("the bundle was changed: %s", out)
	}

	// What was signed stands: no time stamp is asked for again, and the bytes
	// are the same.
	asked := server.asked.Load()
	before := digests(t, filepath.Dir(archive))
	if said, again := p.archive(); again != archive || fmt.Sprint(digests(t, filepath.Dir(again))) != fmt.Sprint(before) {
		t.Errorf("another archive, %s and %s:\n%s", archive, again, said)
	}
	if n := server.asked.Load(); n != asked {
		t.Errorf("%d time stamps were asked for the second time", n-asked)
	}
	p.run(0, "verify", archive, "--target", "windows-x86_64")

	// Nothing that was kept has the password, and no build or smoke test had
	// the signer's directory.
	if out, err := exec.Command("grep", "-rlF", password, filepath.Join(p.dir, ".relmat")).CombinedOutput(); err == nil {
		t.Errorf("the password is in %s", out)
	}

	// One byte of the program flipped, in the archive.
	says(t, p.run(3, "verify", flip(t, archive), "--target", "windows-x86_64"), "signature", "it was changed after it was signed")

	// Another release without a signature is not what the matrix promises.
	q := newProject(t, a, "    sign: {tool: none, reason: no certificate yet}\n")
	says(t, q.run(0, "plan"), "not signed: no certificate yet")
	said, unsigned := q.archive()
	if strings.Contains(said, "SmartScreen") {
		t.Errorf("it was said, and is warned of:\n%s", said)
	}
	says(t, p.run(3, "verify", unsigned, "--target", "windows-x86_64"), "has no Authenticode signature", "the matrix promises one of osslsigncode")
	q.matrix("")
	says(t, q.run(0, "verify", unsigned, "--target", "windows-x86_64"), "warning", "the matrix does not say whether", "SmartScreen")
	said, _ = q.archive()
	says(t, said, "SmartScreen")

	// A signature without the promised time stamp, or of other roots.
	q.matrix(strings.Replace(signed, fmt.Sprintf("[\"%s\", \"%s\"]", gone, server.URL), "[]", 1))
	q.write("roots.pem", string(roots))
	said, unstamped := q.archive()
	says(t, said, "without a time stamp")
	says(t, p.run(3, "verify", unstamped, "--target", "windows-x86_64"), "without a time stamp, which ends with its certificate")
	other := newAuthority(t)
	data, err := os.ReadFile(other.path("roots.pem"))
	if err != nil {
		t.Fatal(err)
	}
	p.write("roots.pem", string(data))
	says(t, p.run(3, "verify", archive, "--target", "windows-x86_64"), "sign.trust does not lead to")
}

// flip packs the archive anew with another byte in the program's code.
func flip(t *testing.T, archive string) string {
	t.Helper()
	dir := t.TempDir()
	if out, err := exec.Command("unzip", "-q", archive, "-d", dir).CombinedOutput(); err != nil {
		t.Fatalf("unzip: %v\n%s", err, out)
	}
	file := filepath.Join(dir, "demo-1.0.0-windows-x86_64", "bin", "demo.exe")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(file, data, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("zip", "-q", "-r", "flipped.zip", "demo-1.0.0-windows-x86_64")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("zip: %v\n%s", err, out)
	}
	return filepath.Join(dir, "flipped.zip")
}

// TestSkipSign tests a package where there is no certificate.
func TestSkipSign(t *testing.T) {
	a := theAuthority(t)
	p := newProject(t, a, "    sign: {tool: jsign, keystore: \"file:none.p12\", password: \"env:NONE\", timestamp: [], prebuilt: true}\n")
	p.env = append(p.env, sign.ProgramVariable+"="+jsignJar(t))
	says(t, p.run(1, "smoke"), "none.p12", "--skip-sign")
	out := p.run(-1, "smoke", "--skip-sign") // what runs it may not be here
	says(t, out, "archive windows-x86_64")
	if strings.Contains(out, "signature") {
		t.Errorf("it was skipped, and is missed:\n%s", out)
	}
}
