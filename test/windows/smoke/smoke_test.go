// Package smoke_test has the real Wine run the smoke test of a package for
// Windows. It needs what scripts/windows-tools.sh installs.
package smoke_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/relmat/relmat/internal/archive"
	"github.com/relmat/relmat/internal/manifest"
	"github.com/relmat/relmat/internal/matrix"
	"github.com/relmat/relmat/internal/progress"
	"github.com/relmat/relmat/internal/smoke"
)

// program is for Windows: it says how it was started, reads and writes files by
// the paths that it is given, or starts itself detached and waits for ever.
const program = `package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

func main() {
	switch os.Args[1] {
	case "hang":
		child := exec.Command(os.Args[0], "sleep")
		child.SysProcAttr = &syscall.SysProcAttr{CreationFlags: 8} // DETACHED_PROCESS
		fmt.Println(child.Start())
		time.Sleep(time.Hour)
	case "sleep":
		time.Sleep(time.Hour)
	case "exit":
		os.Exit(259)
	}
	wd, _ := os.Getwd()
	own, _ := os.Executable()
	_, err := os.ReadFile(filepath.Join(os.Args[3], "manifest.json"))
	_, seen := os.LookupEnv("GITHUB_TOKEN")
	fmt.Printf("%q\r\n", os.Args[1])
	fmt.Printf("%t %t %t %v %v\r\n", wd == os.Args[2], filepath.Dir(filepath.Dir(own)) == os.Args[3], seen, err, os.WriteFile(os.Args[2]+"/made", nil, 0o644))
	_, err = os.Stat("C:/mark")
	fmt.Println(os.IsNotExist(err), os.WriteFile("C:/mark", nil, 0o644))
}
`

func pack(t *testing.T) string {
	t.Helper()
	src, root := t.TempDir(), t.TempDir()
	write(t, filepath.Join(src, "main.go"), []byte(program))
	build := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(root, "bin", "prog.exe"), filepath.Join(src, "main.go"))
	build.Env = append(os.Environ(), "GOOS=windows", "GOARCH=amd64")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	data, err := manifest.Manifest{
		Project: "p", Version: "1.2.3", Target: "win", Package: "pkg", Programs: map[string]string{"prog": "bin/prog.exe"},
		Files: []manifest.File{{Path: "bin/prog.exe", Mode: "0755", Origin: manifest.Build, Role: "program"}},
	}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(root, manifest.FileName), data)
	path := filepath.Join(t.TempDir(), "pkg.zip")
	out, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(archive.Write(out, archive.Zip, root, "pkg", nil), out.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestWine runs tests on one cached drive, and looks at what each leaves.
func TestWine(t *testing.T) {
	t.Setenv("GITHUB_TOKEN", "secret")
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	file, cache := pack(t), t.TempDir()
	run := func(steps string) (manifest.SmokeResult, error) {
		f, err := matrix.Parse("targets.yaml", []byte(`
version: 1
project: {name: p, version-package: p}
programs: {prog: {package: p}}
targets: {win: {triple: x86_64-pc-windows-msvc, hosts: {linux-x86_64: {triple: x86_64-pc-windows-gnu}}}}
packages: {pkg: {asset: pkg, programs: [prog]}}
smoke: {steps: `+steps+`}
`))
		if err != nil {
			t.Fatal(err)
		}
		task := progress.New(quiet{}).Begin("win", "smoke", "")
		return smoke.Run(t.Context(), smoke.Options{Archive: file, File: f, Tag: "v1", Task: task, Cache: cache})
	}
	for range 2 { // what the first wrote on its drive the second does not see
		res, err := run(`{s: {program: prog, args: ['a "b\', '{{.Work}}', '{{.Package}}'], expect: {stdout: '^"a \\"b\\\\"\ntrue true false <nil> <nil>\ntrue <nil>$'}}}`)
		if err != nil || !strings.HasPrefix(res.Device.Runner, "Wine 1") {
			t.Fatalf("%+v, %v", res, err)
		}
	}
	if _, err := run(`{s: {program: prog, args: [exit], expect: {exit: 259}}}`); err != nil {
		t.Error(err)
	}
	_, err := run(`{s: {program: prog, args: [hang], timeout: 60s}}`)
	var failed *smoke.Error
	if !errors.As(err, &failed) || failed.Step.Reason != "it did not end within 1m0s" || strings.Join(failed.Step.Tail, " ") != "<nil>" {
		t.Errorf("the error is %v", err)
	}
	if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
		t.Errorf("the tests left %v, %v", left, err)
	}
	environs, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range environs {
		if env, err := os.ReadFile(path); err == nil && strings.Contains(string(env), "WINEPREFIX="+temp) {
			cmdline, _ := os.ReadFile(filepath.Join(filepath.Dir(path), "cmdline"))
			t.Errorf("%q still runs", cmdline)
		}
	}
}

type quiet struct{}

func (quiet) Event(progress.Event) {}
