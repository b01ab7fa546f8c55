package incidents

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

func machineIncidents() []incident {
	return []incident{
		{number: 12, name: "RUNPATH or strings of the build machine", cases: []ruleCase{
			{
				name: "RUNPATH", rules: []string{"leak"}, says: `(?s)it names the user alice.*RUNPATH /home/alice/src/app/build/lib`,
				broken: func(p *tree) { p.prog("bin/app", hello, runpath("/home/alice/src/app/build/lib:$ORIGIN/../lib")...) },
				mended: func(p *tree) { p.prog("bin/app", hello, runpath("$ORIGIN/../lib")...) },
			},
			{
				name: "strings", rules: []string{"leak"}, says: `/home/alice/src/app/kernels/gemm\.c`, severity: map[string]string{"leak": "error"},
				broken: func(p *tree) {
					p.prog("bin/app", assertion, "-fmacro-prefix-map="+"s=/home/alice/src/app/kernels/gemm.c:s")
				},
				mended: func(p *tree) { p.prog("bin/app", assertion) },
			},
		}},
		{number: 13, name: "RUNPATH to the toolkit's stubs by CMake", cases: []ruleCase{{
			name: "a copy from CMake's build tree", rules: []string{"leak"}, says: `lib64/stubs`,
			broken: func(p *tree) { cmakeStub(p) },
			mended: func(p *tree) { cmakeStub(p, "-DCMAKE_SKIP_RPATH=ON") },
		}}},
		{number: 15, name: "a glibc newer than the users'", cases: []ruleCase{{
			name: "a function of glibc 2.30 for 2.28", rules: []string{"floor"}, says: `(?s)needs glibc 2\.30.*GLIBC_2\.30`,
			target: `floors: {glibc: "2.28"}`,
			broken: func(p *tree) {
				p.lib("lib/libapp.so", "#define _GNU_SOURCE\n#include <unistd.h>\nint app(void) { return gettid(); }\n")
			},
			mended: func(p *tree) {
				p.lib("lib/libapp.so", "#define _GNU_SOURCE\n#include <sys/syscall.h>\n#include <unistd.h>\nint app(void) { return syscall(SYS_gettid); }\n")
			},
		}}},
		{number: 16, name: "a library of the wrong machine or system", cases: []ruleCase{
			{
				name: "another processor", rules: []string{"machine"}, says: `is for linux-aarch64`,
				common: plugin, broken: func(p *tree) {
					elf := p.read("lib/plugins/fast.so")
					binary.LittleEndian.PutUint16(elf[18:], 183) // EM_AARCH64
					p.put("lib/plugins/fast.so", elf, 0o644)
				},
			},
			{
				name: "another system", rules: []string{"machine"}, says: `is for windows-x86_64`,
				common: plugin, broken: func(p *tree) { goProgram(p, "bin/helper.exe", "windows", "amd64") },
				mended: func(p *tree) { goProgram(p, "bin/helper", "linux", "amd64") },
			},
			{
				name: "in a package for macOS", rules: []string{"machine"}, says: `is for linux-x86_64`, triple: "aarch64-apple-darwin",
				broken: func(p *tree) {
					goProgram(p, "bin/app", "darwin", "arm64")
					p.lib("lib/libfast.so", "int fast(void) { return 1; }\n")
				},
				mended: func(p *tree) { goProgram(p, "bin/app", "darwin", "arm64") },
			},
		}},
	}
}

// assertion is a program that says where in its source something is wrong, as
// assert and CUDA_CHECK do.
const assertion = "#include <stdio.h>\nint main(int n, char **v) { if (n > 9) fprintf(stderr, \"%s:%d: %s\\n\", __FILE__, __LINE__, v[0]); return 0; }\n"

// plugin is a program with a library that it may load.
func plugin(p *tree) {
	p.prog("bin/app", hello)
	p.lib("lib/plugins/fast.so", "int fast(void) { return 1; }\n")
	p.lib("lib/plugins/slow.so", "int slow(void) { return 1; }\n")
}

// goProgram compiles a small program for any system. It needs no package but
// the runtime.
func goProgram(p *tree, path, system, arch string) {
	p.t.Helper()
	source := p.source(".go", []byte("package main\n\nfunc main() { println(\"app 1.0.0\") }\n"))
	if err := os.MkdirAll(filepath.Dir(p.at(path)), 0o755); err != nil {
		p.t.Fatal(err)
	}
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", p.at(path), source)
	cmd.Env = append(os.Environ(), "GOOS="+system, "GOARCH="+arch, "CGO_ENABLED=0", "GOFLAGS=")
	cmd.Dir = p.scratch
	if out, err := cmd.CombinedOutput(); err != nil {
		p.t.Fatalf("%s: %v\n%s", cmd, err, out)
	}
}

// cmakeStub builds a program that is linked against a toolkit's stub of the
// driver, and takes it out of the build tree, as a script with cp does.
func cmakeStub(p *tree, options ...string) {
	p.t.Helper()
	dir := filepath.Join(p.scratch, "project")
	stubs := filepath.Join(p.scratch, "cuda", "lib64", "stubs")
	for _, d := range []string{dir, stubs} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			p.t.Fatal(err)
		}
	}
	run(p.t, stubs, "cc", "-shared", "-Wl,-soname,libcuda.so.1", "-o", "libcuda.so", p.source(".c", []byte("int cuInit(unsigned f) { return f; }\n")))
	for name, text := range map[string]string{
		"CMakeLists.txt": "cmake_minimum_required(VERSION 3.20)\nproject(app C)\n" +
			"add_library(CUDA::cuda_driver SHARED IMPORTED)\n" +
			"set_target_properties(CUDA::cuda_driver PROPERTIES IMPORTED_LOCATION " + stubs + "/libcuda.so IMPORTED_SONAME libcuda.so.1)\n" +
			"add_executable(app app.c)\ntarget_link_libraries(app CUDA::cuda_driver)\n",
		"app.c": "int cuInit(unsigned);\nint main(int n, char **v) { return n > 9 ? cuInit(0) : 0; }\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			p.t.Fatal(err)
		}
	}
	build := filepath.Join(p.scratch, "build")
	run(p.t, dir, "cmake", append([]string{"-S", dir, "-B", build, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release"}, options...)...)
	run(p.t, dir, "cmake", "--build", build)
	data, err := os.ReadFile(filepath.Join(build, "app"))
	if err != nil {
		p.t.Fatal(err)
	}
	p.put("bin/app", data, 0o755)
	if stub := []byte(stubs); bytes.Contains(data, stub) == (options != nil) {
		p.t.Errorf("CMake with %q: whether the program has the directory %s is %t", options, stubs, !(options != nil))
	}
}

var _ = testing.Short
