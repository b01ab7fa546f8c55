package incidents

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/relmat/relmat/internal/manifest"
	"github.com/relmat/relmat/internal/matrix"
	"github.com/relmat/relmat/internal/progress"
	"github.com/relmat/relmat/internal/smoke"
)

// smoke packs the tree and runs the smoke test on the archive.
func (p *tree) smoke(target, steps string) (manifest.SmokeResult, error) {
	p.t.Helper()
	p.list(map[string]string{"app": "bin/app"}, nil)
	f, err := matrix.Parse("targets.yaml", []byte("version: 1\nproject: {name: app, version-package: app}\nprograms: {app: {package: app}}\n"+
		"targets: {here: {triple: x86_64-unknown-linux-gnu"+with(target)+"}}\npackages: {app: {asset: \"app-{{.Target}}\", programs: [app]}}\nsmoke: {steps: "+steps+"}\n"))
	if err != nil {
		p.t.Fatal(err)
	}
	task := progress.New(nil).Begin("here", "smoke", "")
	return smoke.Run(p.t.Context(), smoke.Options{Archive: p.pack("zip"), File: f, Tag: "v1.0.0", Device: smoke.DetectDevice(p.t.Context()), Task: task})
}

// smokeStops wants the smoke test to fail with that reason.
func (p *tree) smokeStops(target, steps, reason string) {
	p.t.Helper()
	_, err := p.smoke(target, steps)
	var failed *smoke.Error
	if !errors.As(err, &failed) || !strings.Contains(err.Error(), reason) {
		p.t.Errorf("the smoke test of the broken package: %v, want a failed step with %q", err, reason)
	}
}

func (p *tree) smokePasses(target, steps string) manifest.SmokeResult {
	p.t.Helper()
	res, err := p.smoke(target, steps)
	if err != nil {
		p.t.Errorf("the smoke test of the mended package: %v", err)
	}
	return res
}

const versionStep = `{version: {program: app, args: ["--version"], expect: {stdout: '^app (?P<v>\S+)', values: {v: "{{.Version}}"}}}}`

// beside is C for a program that opens a file of its package, or wherever the
// expression says that it looks first.
func beside(first, path string) string {
	return `#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
int main(void) {
	char at[4096] = "";
	const char *first = ` + first + `;
	if (first) snprintf(at, sizeof at, "%s/` + filepath.Base(path) + `", first);
	if (!first || access(at, R_OK)) {
		ssize_t n = readlink("/proc/self/exe", at, sizeof at - 200);
		at[n > 0 ? n : 0] = 0;
		for (int i = 0; i < 2 && strrchr(at, '/'); i++) *strrchr(at, '/') = 0;
		strcat(at, "/` + path + `");
	}
	if (access(at, R_OK)) { fprintf(stderr, "cannot open source file %s\n", at); return 1; }
	puts("app 1.0.0");
	return 0;
}
`
}

// smokeOfHeader runs a program that compiles at run time.
func smokeOfHeader(path string) func(*testing.T) {
	return func(t *testing.T) {
		broken, mended := newTree(t), newTree(t)
		for _, p := range []*tree{broken, mended} {
			p.prog("bin/app", beside("NULL", path))
		}
		mended.file(path, "#pragma once\n")
		broken.smokeStops("", versionStep, "cannot open source file")
		mended.smokePasses("", versionStep)
	}
}

// avx512 and avx2 are programs as compilers make them of vector code.
const avx512 = `#include <immintrin.h>
#include <cstdio>
int main(int n, char **) {
	alignas(64) float v[16], out[16];
	for (int i = 0; i < 16; i++) v[i] = n;
	_mm512_storeu_ps(out, _mm512_add_ps(_mm512_loadu_ps(v), _mm512_loadu_ps(v)));
	puts(out[3] == 2 * n ? "app 1.0.0" : "app wrong");
}
`

var avx2 = strings.NewReplacer("_mm512", "_mm256", "16", "8", "64", "32").Replace(avx512)

func stageIncidents() []incident {
	const level = `cpu: {level: x86-64-v3, env: APP_MARCH}`
	simd := func(march, source string, flags ...string) func(*tree) {
		return func(p *tree) { p.compile("c++", "bin/app", ".cc", source, append(flags, "-march="+march)...) }
	}
	return []incident{
		{number: 1, name: "the build host's instruction set", serial: true, cases: []ruleCase{{
			name: "told by the linker's note", rules: []string{"cpu-level"}, says: `asks for a CPU of x86-64-v4`, target: level,
			broken: simd("x86-64-v4", avx512, "-Wl,-z,x86-64-v4"), mended: simd("x86-64-v3", avx2, "-Wl,-z,x86-64-v3"),
		}}, also: []check{
			{"smoke under qemu-user at the declared level", func(t *testing.T) {
				broken, mended := newTree(t), newTree(t)
				simd("x86-64-v4", avx512)(broken)
				simd("x86-64-v3", avx2)(mended)
				broken.smokeStops(level, versionStep, "illegal instruction")
				if res := mended.smokePasses(level, versionStep); res.CPU == nil || !strings.HasPrefix(res.CPU.String(), "proven at x86-64-v3 (qemu-x86_64") {
					t.Errorf("the proof is %+v", res.CPU)
				}
			}},
			{"refused by ld.so", func(t *testing.T) {
				broken := newTree(t)
				simd("x86-64-v4", avx512, "-Wl,-z,x86-64-v4")(broken)
				broken.smokeStops(level, versionStep, "CPU ISA level is lower than required")
			}},
			{"the emulated CPUs have the levels", emulatedLevels},
			{"not proven without qemu-user", func(t *testing.T) {
				p := newTree(t)
				simd("x86-64-v3", avx2)(p)
				t.Setenv("PATH", t.TempDir())
				res := p.smokePasses(level, versionStep)
				if res.CPU == nil || res.CPU.Status != manifest.NotRun || !strings.Contains(res.Summary(), "not proven at x86-64-v3: no qemu-x86_64") {
					t.Errorf("the proof is %+v, the summary %q", res.CPU, res.Summary())
				}
			}},
		}},
		{number: 5, name: "libcuda in NEEDED", cases: []ruleCase{{
			name: "an error by the matrix's choice", rules: []string{"driver-needed"}, says: `libcuda\.so\.1`, severity: map[string]string{"driver-needed": "error"},
			broken: needsDriver("libcuda.so.1"), mended: opensDriver("libcuda.so.1"),
		}}, also: []check{{"smoke without a driver", func(t *testing.T) {
			// A library of the driver that no driver has: this machine may have one.
			broken, mended := newTree(t), newTree(t)
			needsDriver("libnvidia-absent.so.1")(broken)
			opensDriver("libnvidia-absent.so.1")(mended)
			broken.smokeStops("", versionStep, "libnvidia-absent.so.1: cannot open shared object file")
			mended.smokePasses("", versionStep)
		}}}},
		{number: 8, name: "headers of the build host's toolkit", serial: true, also: []check{{"smoke in a scrubbed environment", func(t *testing.T) {
			toolkit := filepath.Join(t.TempDir(), "include")
			broken, mended := newTree(t), newTree(t)
			for _, p := range []*tree{broken, mended} {
				p.prog("bin/app", beside(`getenv("CUDA_HOME")`, "include/cuda/cuda_runtime.h"))
			}
			mended.file("include/cuda/cuda_runtime.h", "#pragma once\n")
			if err := os.MkdirAll(toolkit, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(toolkit, "cuda_runtime.h"), nil, 0o644); err != nil {
				t.Fatal(err)
			}
			t.Setenv("CUDA_HOME", toolkit)
			// The trap: on the machine that built it, the program runs.
			if out, err := exec.Command(broken.at("bin/app")).CombinedOutput(); err != nil {
				t.Fatalf("with a toolkit the program says %q, %v", out, err)
			}
			broken.smokeStops("", versionStep, "cannot open source file")
			mended.smokePasses("", versionStep)
		}}}},
		{number: 9, name: "a stale file out of a persistent cache", also: []check{{"artifacts from Cargo's messages", staleArtifacts}}},
		{number: 26, name: "the smoke test ran the build tree's program", serial: true, also: []check{
			{"another program is in the archive", func(t *testing.T) {
				broken, mended := newTree(t), newTree(t)
				good, stale := says("app 1.0.0"), says("app 0.9.0")
				for p, source := range map[*tree]string{broken: stale, mended: good} {
					p.prog("bin/app", source)
				}
				// The build tree has the good one, and everything leads there.
				build := newTree(t)
				build.prog("bin/app", good)
				t.Setenv("PATH", build.at("bin")+":"+os.Getenv("PATH"))
				t.Chdir(build.dir)
				broken.smokeStops("", versionStep, `v is "0.9.0", expected "1.0.0"`)
				mended.smokePasses("", versionStep)
			}},
			{"a library is in the build tree alone", func(t *testing.T) {
				broken, mended, build := newTree(t), newTree(t), newTree(t)
				build.vendor("lib/libcore.so.1", "core", "app 1.0.0")
				for _, p := range []*tree{broken, mended} {
					p.prog("bin/app", uses("core"), append(rpath("$ORIGIN/../lib"), build.at("lib/libcore.so.1"))...)
				}
				mended.vendor("lib/libcore.so.1", "core", "app 1.0.0")
				t.Setenv("LD_LIBRARY_PATH", build.at("lib"))
				if out, err := exec.Command(broken.at("bin/app")).CombinedOutput(); err != nil {
					t.Fatalf("beside the build tree the program says %q, %v", out, err)
				}
				broken.smokeStops("", versionStep, "libcore.so.1: cannot open shared object file")
				mended.smokePasses("", versionStep)
			}},
			{"the program that runs is the unpacked archive's", func(t *testing.T) {
				p := newTree(t)
				p.prog("bin/app", "#include <stdio.h>\n#include <unistd.h>\nint main(void) { char at[4096]; ssize_t n = readlink(\"/proc/self/exe\", at, sizeof at); printf(\"%.*s\\n\", (int)n, at); return 0; }\n")
				step := `{where: {program: app, expect: {stdout: '^(?P<exe>.+)$', values: {exe: "{{.Package}}/bin/app"}}}}`
				res := p.smokePasses("", step)
				if len(res.Steps) == 1 && strings.HasPrefix(res.Steps[0].Values["exe"], p.dir) {
					t.Errorf("the program of the tree ran: %s", res.Steps[0].Values["exe"])
				}
			}},
		}},
	}
}

// emulatedLevels asks glibc's ld.so which levels the emulated CPUs have: that of
// the table, and none above it.
func emulatedLevels(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("..", "..", "internal", "smoke", "emulators.json"))
	if err != nil {
		t.Fatal(err)
	}
	var table struct {
		Levels map[string]struct{ Model string }
	}
	if err := json.Unmarshal(data, &table); err != nil {
		t.Fatal(err)
	}
	levels := []string{"x86-64-v2", "x86-64-v3", "x86-64-v4"}
	for i, level := range append([]string{"x86-64"}, levels...) {
		model := table.Levels[level].Model
		if model == "" {
			continue
		}
		out, err := exec.Command("qemu-x86_64", "-cpu", model, "/lib64/ld-linux-x86-64.so.2", "--help").Output()
		if err != nil || !strings.Contains(string(out), "x86-64-v4") {
			t.Fatalf("ld.so on %s: %v\n%s", model, err, out)
		}
		for j, l := range levels {
			if got := strings.Contains(string(out), l+" (supported"); got != (j < i) {
				t.Errorf("%s, for %s, has %s: %t", model, level, l, got)
			}
		}
	}
}

func says(line string) string {
	return "#include <stdio.h>\nint main(void) { puts(\"" + line + "\"); return 0; }\n"
}

// needsDriver is a program that is linked against a library of the driver, as
// the linker does it with a toolkit's stub.
func needsDriver(name string) func(*tree) {
	return func(p *tree) {
		stub := newTree(p.t)
		stub.lib("lib/stubs/"+name, "int cuInit(unsigned f) { return f; }\n")
		p.prog("bin/app", "#include <stdio.h>\nint cuInit(unsigned);\nint main(int n, char **v) { puts(\"app 1.0.0\"); return n > 9 ? cuInit(0) : 0; }\n", stub.at("lib/stubs/"+name))
	}
}

// opensDriver loads it when it is wanted.
func opensDriver(name string) func(*tree) {
	return func(p *tree) {
		p.prog("bin/app", "#include <dlfcn.h>\n#include <stdio.h>\nint main(int n, char **v) { puts(\"app 1.0.0\"); return n > 9 ? !dlopen(\""+name+"\", RTLD_NOW) : 0; }\n", "-ldl")
	}
}
