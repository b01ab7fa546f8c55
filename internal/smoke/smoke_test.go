package smoke_test

import (
	"archive/zip"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/gofrs/flock"

	"github.com/relmat/relmat/internal/archive"
	"github.com/relmat/relmat/internal/manifest"
	"github.com/relmat/relmat/internal/progress"
	"github.com/relmat/relmat/internal/smoke"
)

// TestEnvironment has the kernel say what the program was started with: the
// shell's own additions do not count.
func TestEnvironment(t *testing.T) {
	ownTemp(t)
	for _, name := range []string{"CUDA_HOME", "LD_LIBRARY_PATH", "GITHUB_TOKEN", "https_proxy", "XDG_CACHE_HOME"} {
		t.Setenv(name, "/of/this/host")
	}
	out := filepath.Join(t.TempDir(), "out")
	res, err := run(t, steps(t, `  steps: {s: {program: prog, args: ["`+out+`", "{{.Work}}", "{{.Package}}", "{{.Tag}} {{.Version}} {{.Target}}"]}}`), pkg{
		prefix: "pkg-1",
		script: `out=$1; shift; { tr '\0' '\n' </proc/$$/environ; echo --; pwd; for a; do echo "$a"; done; ls -A "$HOME" "$TMPDIR"; } >"$out"`,
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(res.Steps) != 1 || res.Steps[0].Status != manifest.Passed || res.Steps[0].Command != "" {
		t.Errorf("the result is %+v, want one passed step without places of this host", res)
	}
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	env, said, _ := strings.Cut(string(data), "--\n")
	vars := map[string]string{}
	var names []string
	for line := range strings.Lines(env) {
		k, v, _ := strings.Cut(strings.TrimSpace(line), "=")
		names = append(names, k)
		vars[k] = v
	}
	slices.Sort(names)
	if want := []string{"HOME", "LANG", "PATH", "TERM", "TMPDIR"}; !slices.Equal(names, want) {
		t.Errorf("the program saw %q, want exactly %q", names, want)
	}
	if vars["PATH"] != "/usr/bin:/bin" {
		t.Errorf("PATH = %q", vars["PATH"])
	}
	lines := strings.Split(said, "\n")
	dir := filepath.Dir(vars["HOME"])
	want := []string{filepath.Join(dir, "work"), filepath.Join(dir, "work"), filepath.Join(dir, "package", "pkg-1"), "v1 1.2.3 here"}
	if len(lines) < 4 || !slices.Equal(lines[:4], want) {
		t.Errorf("directory and arguments are %q, want %q", lines, want)
	}
	if !strings.Contains(dir, " ") || len(dir) == utf8.RuneCountInString(dir) {
		t.Errorf("the directory %q has no space or no letter outside of ASCII", dir)
	}
	if strings.TrimSpace(strings.Join(lines[4:], "")) != vars["HOME"]+":"+vars["TMPDIR"]+":" {
		t.Errorf("HOME and TMPDIR are not empty: %q", lines[4:])
	}
}

func TestJudging(t *testing.T) {
	tests := []struct {
		name, steps, script string
		// want is the reason of the failure; empty for a pass.
		want string
	}{
		{"exit code", `{s: {program: prog}}`, "exit 3", "it ended with exit code 3, expected 0"},
		{"wanted exit code", `{s: {program: prog, expect: {exit: 3}}}`, "exit 3", ""},
		{"missed exit code", `{s: {program: prog, expect: {exit: 3}}}`, "exit 0", "it ended with exit code 0, expected 3"},
		{"signal", `{s: {program: prog}}`, "kill -SEGV $$", "segmentation fault"},
		{"stdout", `{s: {program: prog, expect: {stdout: '^a\nb$'}}}`, "echo a; echo b", ""},
		{"stdout in stderr", `{s: {program: prog, expect: {stdout: '^a$'}}}`, "echo a >&2", "its stdout does not match ^a$"},
		{"stderr", `{s: {program: prog, expect: {stderr: 'generated \d+ tokens'}}}`, "echo generated 10 tokens in 1 s >&2", ""},
		{"stderr differs", `{s: {program: prog, expect: {stderr: 'generated \d+ tokens'}}}`, "echo generated no tokens >&2", `its stderr does not match generated \d+ tokens`},
		{"value", `{s: {program: prog, expect: {stdout: 'v(?P<v>\S+)', values: {v: "{{.Version}}"}}}}`, "echo v1.2.3", ""},
		{"other value", `{s: {program: prog, expect: {stdout: 'v(?P<v>\S+)', values: {v: "{{.Version}}"}}}}`, "echo v1.2.4", `v is "1.2.4", expected "1.2.3"`},
		{"carriage returns", `{s: {program: prog, expect: {stdout: '^a\nb$'}}}`, `printf 'a\r\nb\r\n'`, ""},
		{"same", `{a: {program: prog, args: [a], expect: {stdout: '(?P<x>.+)'}}, b: {program: prog, args: [b], expect: {stdout: '(?P<x>.+)', same: {x: a}}}}`, "echo once", ""},
		{"not the same", `{a: {program: prog, args: [a], expect: {stdout: '(?P<x>.+)'}}, b: {program: prog, args: [b], expect: {stdout: '(?P<x>.+)', same: {x: a}}}}`, "echo $1", `x is "b", in step a it was "a"`},
		{
			"same as a step that was not run",
			`{a: {program: prog, device: cuda, expect: {stdout: '(?P<x>.*)'}}, b: {program: prog, expect: {stdout: '(?P<x>.*)', same: {x: a}}}}`,
			"true", "x cannot be compared: step a was not run",
		},
		{"args that ask for an input that is none", `{s: {program: prog, args: ["{{if .Inputs}}x{{end}}"]}}`, "test $# = 1", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			temp := ownTemp(t)
			res, err := run(t, steps(t, "  steps: "+tt.steps), pkg{script: tt.script})
			if dirs := left(t, temp); dirs != nil {
				t.Errorf("the test left %q", dirs)
			}
			if tt.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			var failed *smoke.Error
			if !errors.As(err, &failed) || !strings.Contains(failed.Step.Reason, tt.want) {
				t.Fatalf("the error is %v, want a failed step with %q", err, tt.want)
			}
			last := res.Steps[len(res.Steps)-1]
			if last.Status != manifest.Failed || res.Count(manifest.Failed) != 1 {
				t.Errorf("the result is %+v", res)
			}
		})
	}
}

func TestValues(t *testing.T) {
	ownTemp(t)
	res, err := run(t, steps(t, `  steps: {s: {program: prog, expect: {stdout: '(?P<text>.+)', stderr: '(?P<tokens>\d+) tokens( on (?P<device>\w+))?'}}}`),
		pkg{script: "echo once upon; echo 10 tokens >&2", format: archive.TarGz, prefix: "pkg"})
	if err != nil {
		t.Fatal(err)
	}
	v := res.Steps[0].Values
	if v["text"] != "once upon" || v["tokens"] != "10" || v["device"] != "" || len(v) != 3 {
		t.Errorf("the values are %q", v)
	}
}

func TestTimeoutEndsTheWholeGroup(t *testing.T) {
	ownTemp(t)
	pidFile := filepath.Join(t.TempDir(), "pid")
	start := time.Now()
	_, err := run(t, steps(t, `  steps: {s: {program: prog, args: ["`+pidFile+`"], timeout: 500ms}}`),
		pkg{script: `sleep 300 & echo $! >"$1"; echo begun; wait`})
	var failed *smoke.Error
	if !errors.As(err, &failed) || failed.Step.Reason != "it did not end within 500ms" || !slices.Equal(failed.Step.Tail, []string{"begun"}) {
		t.Fatalf("the error is %v", err)
	}
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("it took %s", took)
	}
	data, err := os.ReadFile(pidFile)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); alive(pid); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("process %d, which the program started, still runs", pid)
		}
	}
}

// alive tells whether the process runs; one that nobody has waited for yet does
// not.
func alive(pid int) bool {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && !strings.Contains(string(data), ") Z ")
}

func TestCancelled(t *testing.T) {
	temp := ownTemp(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("the user said so")
	begun := filepath.Join(t.TempDir(), "begun")
	go func() {
		defer cancel(why)
		for ctx.Err() == nil {
			if _, err := os.Stat(begun); err == nil {
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
	}()
	task, _ := newTask(t)
	_, err := smoke.Run(ctx, smoke.Options{
		File: steps(t, `  steps: {s: {program: prog, args: ["`+begun+`"]}}`), Task: task, Keep: true,
		Archive: pkg{script: `: >"$1"; exec sleep 300`}.pack(t),
	})
	var failed *smoke.Error
	if !errors.Is(err, why) || errors.As(err, &failed) {
		t.Errorf("the error is %v, want the cause and no failed step", err)
	}
	if dirs := left(t, temp); dirs != nil {
		t.Errorf("the test left %q", dirs)
	}
}

func TestDeviceCUDA(t *testing.T) {
	file := steps(t, `  steps: {cpu: {program: prog}, gpu: {program: prog, device: cuda}}`)
	path := pkg{script: "exit 0"}.pack(t)
	t.Run("without GPU", func(t *testing.T) {
		ownTemp(t)
		task, events := newTask(t)
		res, err := smoke.Run(t.Context(), smoke.Options{Archive: path, File: file, Task: task})
		if err != nil {
			t.Fatal(err)
		}
		if res.Count(manifest.Passed) != 1 || res.Count(manifest.NotRun) != 1 || res.Steps[1].Status != manifest.NotRun {
			t.Errorf("the steps are %+v", res.Steps)
		}
		if warned := events.text(progress.KindWarn); !strings.Contains(warned, "step gpu was not run: it needs a CUDA device") {
			t.Errorf("the warnings are %q", warned)
		}
		if s := res.Summary(); !strings.Contains(s, "1 steps passed, 1 not run") {
			t.Errorf("the summary is %q", s)
		}
	})
	t.Run("with GPU", func(t *testing.T) {
		ownTemp(t)
		task, _ := newTask(t)
		res, err := smoke.Run(t.Context(), smoke.Options{Archive: path, File: file, Task: task, Device: manifest.Device{GPUs: []string{"G"}}})
		if err != nil || res.Count(manifest.Passed) != 2 {
			t.Errorf("the result is %+v, %v", res, err)
		}
	})
	for name, text := range map[string]string{
		"GPU alone":       `  steps: {gpu: {program: prog, device: cuda}}`,
		"no step":         `  inputs: {}`,
		"another program": `  steps: {s: {program: other}}`,
		"another target":  `  steps: {s: {program: prog, targets: [there]}}`,
	} {
		t.Run(name+" proves nothing", func(t *testing.T) {
			ownTemp(t)
			res, err := run(t, steps(t, text), pkg{script: "exit 0"})
			if err == nil || !strings.Contains(err.Error(), "nothing is proven") || res.Count(manifest.Passed) != 0 {
				t.Errorf("the result is %+v, %v", res, err)
			}
		})
	}
}

func TestKeep(t *testing.T) {
	temp := ownTemp(t)
	file := steps(t, `  steps: {s: {program: prog, args: ["two words"]}}`)
	script := pkg{script: "seq 1 30; echo made >made; exit 1"}
	task, _ := newTask(t)
	_, err := smoke.Run(t.Context(), smoke.Options{Archive: script.pack(t), File: file, Task: task, Keep: true})
	var failed *smoke.Error
	if !errors.As(err, &failed) || failed.Kept == "" {
		t.Fatalf("the error is %v", err)
	}
	if data, rerr := os.ReadFile(filepath.Join(failed.Kept, "work", "made")); rerr != nil || string(data) != "made\n" {
		t.Errorf("the kept directory %s has %q, %v", failed.Kept, data, rerr)
	}
	text := err.Error()
	for _, want := range []string{"step s failed: it ended with exit code 1", "it ran: ", "bin/prog' 'two words'", "\n  | 11\n", "\n  | 30\n", "kept for a look: " + failed.Kept} {
		if !strings.Contains(text, want) {
			t.Errorf("the error lacks %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, "| 10\n") {
		t.Errorf("the error shows more than the last 20 lines:\n%s", text)
	}
	// The next test removes what killed ones left, and not what was kept.
	dead := filepath.Join(temp, "relmat smoke ü dead")
	write(t, filepath.Join(dead, ".lock"), "", 0o644)
	running := filepath.Join(temp, "relmat smoke ü running")
	write(t, filepath.Join(running, ".lock"), "", 0o644)
	lock := flock.New(filepath.Join(running, ".lock"))
	if ok, lerr := lock.TryLock(); !ok || lerr != nil {
		t.Fatal(ok, lerr)
	}
	defer func() { _ = lock.Unlock() }()
	_, err = run(t, file, script)
	if !errors.As(err, &failed) || failed.Kept != "" || !strings.Contains(err.Error(), "--keep") {
		t.Errorf("without Keep the error is %v", err)
	}
	if got := left(t, temp); len(got) != 2 || !slices.Contains(got, filepath.Base(running)) || slices.Contains(got, filepath.Base(dead)) {
		t.Errorf("the directory has %q, want the kept and the running one", got)
	}
}

func TestRefusesArchive(t *testing.T) {
	file := steps(t, `  steps: {s: {program: prog}}`)
	const good = `"project":"p","version":"1","target":"here","package":"pkg"`
	tests := []struct {
		name string
		pkg  pkg
		want string
	}{
		{"no manifest", pkg{manifest: "none"}, "it is no package of relmat"},
		{"no manifest below", pkg{manifest: "none", prefix: "pkg"}, "it is no package of relmat"},
		{"not JSON", pkg{manifest: "{"}, "manifest.json"},
		{"another schema", pkg{manifest: `{"schema":99,` + good + `}`}, "schema 99 is unknown"},
		{"program that is no file", pkg{manifest: `{"schema":1,` + good + `,"programs":{"prog":"bin/prog"},"files":[]}`}, "no file of the package"},
		{"program outside", pkg{manifest: `{"schema":1,` + good + `,"programs":{"prog":"../../../bin/sh"},"files":[{"path":"../../../bin/sh","mode":"0755"}]}`}, "is not allowed"},
		{"absolute program", pkg{manifest: `{"schema":1,` + good + `,"programs":{"prog":"/bin/sh"},"files":[{"path":"/bin/sh","mode":"0755"}]}`}, "is not allowed"},
		{"unknown target", pkg{target: "mars"}, `is of target "mars", which is not in targets.yaml`},
		{"another platform", pkg{target: "there"}, "programs for windows-aarch64 cannot run on this host"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			temp := ownTemp(t)
			ran := filepath.Join(t.TempDir(), "ran")
			tt.pkg.script = ": >'" + ran + "'"
			if _, err := run(t, file, tt.pkg); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("the error is %v, want %q", err, tt.want)
			}
			if _, err := os.Stat(ran); err == nil {
				t.Error("the program was run")
			}
			if dirs := left(t, temp); dirs != nil {
				t.Errorf("the test left %q", dirs)
			}
		})
	}
}

func TestRefusesDamagedArchive(t *testing.T) {
	whole := pkg{script: "exit 0", format: archive.TarGz}.pack(t)
	data, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	short := filepath.Join(t.TempDir(), "short.tar.gz")
	write(t, short, string(data[:len(data)-20]), 0o644)
	evil := filepath.Join(t.TempDir(), "evil.zip")
	out, err := os.Create(evil)
	if err != nil {
		t.Fatal(err)
	}
	zw := zip.NewWriter(out)
	if _, err := zw.Create("../../out"); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(zw.Close(), out.Close()); err != nil {
		t.Fatal(err)
	}
	rar := filepath.Join(t.TempDir(), "pkg.rar")
	write(t, rar, "Rar!", 0o644)
	file := steps(t, `  steps: {s: {program: prog}}`)
	for path, want := range map[string]string{
		short:                               "unpacking " + short,
		evil:                                "would be unpacked elsewhere",
		filepath.Join(t.TempDir(), "x.zip"): "no such file",
		"absent":                            "unpacking absent: no such file",
		rar:                                 "the archive formats are .zip and .tar.gz",
	} {
		t.Run(filepath.Base(path), func(t *testing.T) {
			temp := ownTemp(t)
			task, _ := newTask(t)
			if _, err := smoke.Run(t.Context(), smoke.Options{Archive: path, File: file, Task: task}); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("the error is %v, want %q", err, want)
			}
			if dirs := left(t, temp); dirs != nil {
				t.Errorf("the test left %q", dirs)
			}
		})
	}
}

// What is no program at all must fail the step, and say why.
func TestProgramThatDoesNotStart(t *testing.T) {
	ownTemp(t)
	root := t.TempDir()
	write(t, filepath.Join(root, "bin", "prog"), "\x7fELF but no more", 0o755)
	data, err := manifest.Manifest{
		Target: "here", Package: "pkg", Programs: map[string]string{"prog": "bin/prog"},
		Files: []manifest.File{{Path: "bin/prog", Mode: "0755"}},
	}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(root, manifest.FileName), string(data), 0o644)
	path := filepath.Join(t.TempDir(), "pkg.zip")
	out, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(archive.Write(out, archive.Zip, root, "", nil), out.Close()); err != nil {
		t.Fatal(err)
	}
	task, _ := newTask(t)
	_, err = smoke.Run(t.Context(), smoke.Options{Archive: path, File: steps(t, `  steps: {s: {program: prog}}`), Task: task})
	var failed *smoke.Error
	if !errors.As(err, &failed) || !strings.Contains(err.Error(), "exec format error") {
		t.Errorf("the error is %v", err)
	}
}

func TestDetectDevice(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	d := smoke.DetectDevice(t.Context())
	if d.CPU == "" || d.GPUs != nil {
		t.Errorf("without nvidia-smi the device is %+v", d)
	}
	write(t, filepath.Join(dir, "nvidia-smi"), "#!/bin/sh\nprintf 'NVIDIA H100, 580.1, 9.0\\n\\n  NVIDIA A100, 580.1, 8.0\\n'\n", 0o755)
	d = smoke.DetectDevice(t.Context())
	if want := []string{"NVIDIA H100, 580.1, 9.0", "NVIDIA A100, 580.1, 8.0"}; !slices.Equal(d.GPUs, want) {
		t.Errorf("the GPUs are %q, want %q", d.GPUs, want)
	}
	// A driver that does not answer is no usable GPU.
	write(t, filepath.Join(dir, "nvidia-smi"), "#!/bin/sh\necho No devices were found\nexit 6\n", 0o755)
	if d = smoke.DetectDevice(t.Context()); d.GPUs != nil {
		t.Errorf("with a failing nvidia-smi the device is %+v", d)
	}
}
