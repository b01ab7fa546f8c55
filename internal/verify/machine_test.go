package verify_test

import (
	"github.com/relmat/relmat/internal/manifest"
	"github.com/relmat/relmat/internal/matrix"
	"github.com/relmat/relmat/internal/verify"
)

var machineChecks = []check{
	{name: "the target's", make: func(t tree) { t.exe("bin/app") }, promise: func(*verify.Target) {}},
	{name: "another system", make: func(t tree) {
		t.exe("bin/app")
		t.pe("bin/app.exe", dll{exe: true})
	}, promise: func(*verify.Target) {}, want: []string{"error bin/app.exe: is for windows-x86_64 (pe), and the package is for " + matrix.Host().String() + " by the matrix's target here"}},
	{name: "another processor", make: func(t tree) { t.pe("a.dll", dll{machine: 0xaa64}) }, promise: windows, want: []string{
		"error a.dll: is for windows-aarch64 (pe), and the package is for windows-x86_64",
	}},
	{name: "by the manifest", make: func(t tree) {
		t.exe("bin/app")
		t.manifest(func(m *manifest.Manifest) { m.Triple = "aarch64-apple-darwin" })
	}, want: []string{"error bin/app: by the package's manifest"}},
	{name: "by a wheel's tag", make: func(t tree) {
		t.pe("p/a.dll", dll{machine: 0xaa64})
		t.wheel("win_amd64")
	}, want: []string{"error p/a.dll: by the wheel's tag win_amd64"}},
	{name: "all but one", make: func(t tree) {
		t.exe("bin/app")
		t.exe("bin/other")
		t.pe("bin/odd.dll", dll{})
	}, want: []string{"warning bin/odd.dll: by most of its files"}},
	{name: "a package for several", make: func(t tree) {
		t.exe("linux/app")
		t.pe("windows/app.exe", dll{exe: true})
	}},
	{name: "macOS", make: func(t tree) { t.theirs("program", "macho/program") }, promise: func(t *verify.Target) {
		t.Row.Platform = matrix.Platform{OS: "macos", Arch: "aarch64"}
	}},
}

var floorChecks = []check{
	{name: "nothing promised", make: func(t tree) { t.cc("bin/app", "int main(void) { return 0; }\n") }, promise: func(*verify.Target) {}},
	{name: "glibc", make: func(t tree) { t.cc("bin/app", "int main(void) { return 0; }\n") }, promise: func(t *verify.Target) {
		t.Row.Floors.Glibc = "2.17"
	}, want: []string{"error bin/app: and target here promises 2.17"}},
	{name: "new enough", make: func(t tree) { t.cc("bin/app", "int main(void) { return 0; }\n") }, promise: func(t *verify.Target) {
		t.Row.Floors.Glibc = "2.99"
	}},
	{name: "a wheel's tag", make: func(t tree) {
		t.cc("p/lib.so", "#include <stdio.h>\n#include <pthread.h>\nvoid f(void) { pthread_create(0, 0, 0, 0); }\n", "-shared", "-fPIC")
		t.wheel("manylinux2014_x86_64")
	}, want: []string{"error p/lib.so: and the tag manylinux2014_x86_64 promises 2.17"}},
	{name: "macOS", make: func(t tree) { t.theirs("program", "macho/program") }, promise: func(t *verify.Target) {
		t.Row.Floors.MacOS = "10.9"
	}, want: []string{"error program: needs macOS"}},
	{name: "PTX that the driver knows", make: func(t tree) { t.gpu("lib/libp.so", code{ptx: "9.0", sm: 90}) }, promise: func(t *verify.Target) {
		t.Row.Floors.Driver = "580.65.06"
	}},
	{name: "PTX that is newer than the driver", make: func(t tree) { t.gpu("lib/libp.so", code{ptx: "9.1", sm: 90}, code{sm: 90}) }, promise: func(t *verify.Target) {
		t.Row.Floors.Driver = "580.65.06"
	}, want: []string{"error lib/libp.so: holds PTX 9.1, which drivers before 590.44.01 do not compile"}},
	{name: "PTX that nobody knows", make: func(t tree) { t.gpu("lib/libp.so", code{ptx: "99.0", sm: 90}) }, promise: func(t *verify.Target) {
		t.Row.Floors.Driver = "580.65.06"
	}, want: []string{"warning lib/libp.so: holds PTX 99.0, of which no driver is known"}},
	{name: "CUDA's major version", make: func(t tree) { t.exe("bin/app", t.elsewhere("libcudart.so.13")) }, promise: func(t *verify.Target) {
		t.Row.Floors.Driver = "535"
	}, want: []string{"error bin/app: needs the driver 580 for its CUDA libraries"}},
}

var cpuChecks = []check{
	{name: "not above", make: func(t tree) { t.exe("bin/app", "-Wl,-z,x86-64-v2") }, promise: func(t *verify.Target) { t.Row.CPU.Level = "x86-64-v3" }},
	{name: "above", make: func(t tree) { t.exe("bin/app", "-Wl,-z,x86-64-v4") }, promise: func(t *verify.Target) { t.Row.CPU.Level = "x86-64-v3" }, want: []string{
		"error bin/app: asks for a CPU of x86-64-v4, and target here promises x86-64-v3",
	}},
	{name: "nothing promised", make: func(t tree) { t.exe("bin/app", "-Wl,-z,x86-64-v4") }},
}

var coverageChecks = []check{
	{name: "all that is required", make: func(t tree) {
		t.gpu("lib/libp.so", code{sm: 80}, code{sm: 90, suffix: "a"}, code{sm: 121, suffix: "a"}, code{ptx: "9.0", sm: 120})
	}, promise: func(t *verify.Target) {
		t.Row.CUDA.Require = matrix.Require{Native: []string{"8.0", "8.6", "9.0"}, JIT: []string{"12.0"}, Images: []string{"sm_121a", "compute_120"}}
	}},
	{name: "no code at all", make: func(t tree) { t.exe("bin/app") }, promise: func(t *verify.Target) {
		t.Row.CUDA.Architectures = "80;90a"
	}, want: []string{"error bin/app: no file of the build holds GPU code, and target here is one for CUDA"}},
	{name: "no code of the build", make: func(t tree) {
		t.exe("bin/app")
		t.gpu("lib/libcublas.so.13", code{sm: 80})
	}, promise: func(t *verify.Target) { t.Row.Toolkit = "cuda13" }, want: []string{"error bin/app: no file of the build holds GPU code"}},
	{name: "macOS has no CUDA", make: func(t tree) { t.theirs("program", "macho/program") }, promise: func(t *verify.Target) {
		t.Row.Platform = matrix.Platform{OS: "macos", Arch: "aarch64"}
		t.Row.Toolkit = "mlx"
	}},
	{name: "a target without CUDA", make: func(t tree) { t.exe("bin/app") }, promise: func(*verify.Target) {}},
	{name: "an image is missing", make: func(t tree) { t.gpu("lib/libp.so", code{sm: 121}) }, promise: func(t *verify.Target) {
		t.Row.CUDA.Require.Images = []string{"sm_121a"}
	}, want: []string{"error lib/libp.so: no image is for sm_121a, which cuda.require.images asks for"}},
	{name: "90 where 90a was meant", make: func(t tree) { t.gpu("lib/libp.so", code{sm: 80}, code{sm: 90}) }, promise: func(t *verify.Target) {
		t.Row.CUDA.Gates = []string{"90a"}
		t.Row.CUDA.Architectures = "80-real;90-real"
	}, want: []string{"error lib/libp.so: sm_90 is there without sm_90a"}},
	{name: "90a was asked for", make: func(t tree) { t.gpu("lib/libp.so", code{sm: 80}, code{sm: 90}) }, promise: func(t *verify.Target) {
		t.Row.CUDA.Architectures = "80-real;90a-real"
	}, want: []string{"error lib/libp.so: no image is for sm_90a, which cuda.architectures asks for"}},
	{name: "more than was asked for", make: func(t tree) { t.gpu("lib/libp.so", code{sm: 100, suffix: "a"}) }, promise: func(t *verify.Target) {
		t.Row.CUDA.Architectures = "100"
	}},
	{name: "native", make: func(t tree) { t.gpu("lib/libp.so", code{sm: 86}, code{ptx: "9.0", sm: 80}) }, promise: func(t *verify.Target) {
		t.Row.CUDA.Require.Native = []string{"8.0", "8.9", "12.0"}
	}, want: []string{
		"error lib/libp.so: no machine code runs on compute capability 12.0 (RTX 50, RTX PRO Blackwell), which cuda.require.native asks for: it runs there after",
		"error lib/libp.so: no machine code runs on compute capability 8.0",
	}},
	{name: "jit", make: func(t tree) { t.gpu("lib/libp.so", code{sm: 86}) }, promise: func(t *verify.Target) {
		t.Row.CUDA.Require.JIT = []string{"12.0"}
	}, want: []string{"error lib/libp.so: no code runs on compute capability 12.0"}},
	{name: "sm_75 alone", make: func(t tree) { t.gpu("lib/libp.so", code{sm: 75}, code{ptx: "9.0", sm: 75}) }, promise: func(t *verify.Target) {
		t.Row.CUDA.Env = "ARCHS"
	}, want: []string{"error lib/libp.so: its GPU code is for sm_75 alone"}},
	{name: "sm_75 alone, of anybody", make: func(t tree) { t.gpu("lib/libp.so", code{sm: 75}) }, want: []string{
		"warning lib/libp.so: its GPU code is for sm_75 alone",
	}},
	{name: "sm_75 alone, as promised", make: func(t tree) { t.gpu("lib/libp.so", code{sm: 75}) }, promise: func(t *verify.Target) {
		t.Row.CUDA.Architectures = "75-real"
	}},
}

var driverLibraryChecks = []check{
	{name: "none", make: func(t tree) { t.lib("lib/libcudart.so.13", soname("libcudart.so.13")) }},
	{name: "by its name", make: func(t tree) { t.lib("lib/libcuda.so.1", soname("libcuda.so.1")) }, want: []string{
		"error lib/libcuda.so.1: belongs to the GPU's driver (libcuda.so.1)",
	}},
	{name: "by its SONAME", make: func(t tree) { t.lib("lib/helper.so", soname("libcuda.so.1")) }, want: []string{"error lib/helper.so: (libcuda.so.1)"}},
	{name: "as auditwheel names it", make: func(t tree) { t.lib("p.libs/libcuda-0a1b2c3d.so.580.65", soname("libcuda-0a1b2c3d.so.580.65")) }, want: []string{
		"error p.libs/libcuda-0a1b2c3d.so.580.65: belongs to the GPU's driver",
	}},
	{name: "a toolkit's stub", make: func(t tree) { t.lib("lib/stubs/libcuda.so", soname("libcuda.so.1")) }, want: []string{
		"error lib/stubs/libcuda.so: is a stub of the GPU's driver",
	}},
	{name: "a DLL", make: func(t tree) { t.pe("bin/NVML.dll", dll{}) }, want: []string{"error bin/NVML.dll: belongs to the GPU's driver"}},
	{name: "a text of that name", make: func(t tree) { t.write("docs/libcuda.so.1", "It is the driver's.\n") }},
}

var driverNeededChecks = []check{
	{name: "needed", make: func(t tree) { t.exe("bin/app", t.elsewhere("libcuda.so.1")) }, want: []string{"warning bin/app: needs libcuda.so.1 to be loaded"}},
	{name: "by a library", make: func(t tree) {
		t.lib("lib/libp.so", soname("libp.so"), t.elsewhere("libcuda.so.1"), t.elsewhere("libnvidia-ml.so.1"))
		t.exe("bin/app", "lib/libp.so", rpath("$ORIGIN/../lib"))
	}, want: []string{"warning lib/libp.so: needs libcuda.so.1, libnvidia-ml.so.1 to be loaded"}},
	{name: "at the first call", make: func(t tree) { t.pe("app.exe", dll{exe: true, delays: []string{"nvcuda.dll"}}) }, promise: windows},
	{name: "a DLL", make: func(t tree) { t.pe("app.exe", dll{exe: true, needs: []string{"nvcuda.dll"}}) }, promise: windows, want: []string{
		"warning app.exe: needs nvcuda.dll to be loaded",
	}},
}

var debugChecks = []check{
	{name: "debug", make: func(t tree) { t.theirs("a.dll", "pe/delay-signed.dll") }, want: []string{"error a.dll: needs VCRUNTIME140D.dll: a debug run-time library"}},
	{name: "release", make: func(t tree) {
		t.pe("app.exe", dll{exe: true, needs: []string{"VCRUNTIME140.dll", "MSVCP140.dll", "ucrtbase.dll", "vcruntime140_1.dll"}})
	}},
	{name: "the others", make: func(t tree) {
		t.pe("app.exe", dll{exe: true, needs: []string{"ucrtbased.dll", "MSVCP140D.dll", "vcruntime140_1d.dll", "msvcp140_atomic_waitd.dll"}})
	}, want: []string{"error app.exe: needs ucrtbased.dll, MSVCP140D.dll, vcruntime140_1d.dll, msvcp140_atomic_waitd.dll: "}},
}
