package verify_test

import (
	"github.com/relmat/relmat/internal/manifest"
	"github.com/relmat/relmat/internal/verify"
)

var closureChecks = []check{
	{name: "found by RUNPATH", make: func(t tree) {
		t.lib("lib/libone.so.1", soname("libone.so.1"))
		t.exe("bin/app", "lib/libone.so.1", runpath("$ORIGIN/../lib"))
	}},
	{name: "missing", make: func(t tree) {
		t.exe("bin/app", t.elsewhere("libone.so.1"), runpath("$ORIGIN/../lib"))
	}, want: []string{"error bin/app: needs libone.so.1, which the package, the base system and NVIDIA's driver do not have"}},
	{name: "missing for two", make: func(t tree) {
		one := t.elsewhere("libone.so.1")
		t.exe("bin/app", one)
		t.exe("bin/other", one)
	}, want: []string{"error bin/app: needs libone.so.1, which the package, the base system and NVIDIA's driver do not have; bin/other asks for it too"}},
	// ld.so's own directories are not those of the package.
	{name: "lib without a run path", make: func(t tree) {
		t.lib("lib/libone.so.1", soname("libone.so.1"))
		t.exe("bin/app", "lib/libone.so.1")
	}, want: []string{"error bin/app: needs libone.so.1"}},
	{name: "RUNPATH is not inherited", make: func(t tree) {
		t.lib("lib/libtwo.so.1", soname("libtwo.so.1"))
		t.lib("lib/libone.so.1", soname("libone.so.1"), "lib/libtwo.so.1")
		t.exe("bin/app", "lib/libone.so.1", runpath("$ORIGIN/../lib"), "-Wl,--allow-shlib-undefined")
	}, want: []string{"error lib/libone.so.1: needs libtwo.so.1"}},
	{name: "RPATH is inherited", make: func(t tree) {
		t.lib("lib/libtwo.so.1", soname("libtwo.so.1"))
		t.lib("lib/libone.so.1", soname("libone.so.1"), "lib/libtwo.so.1")
		t.exe("bin/app", "lib/libone.so.1", rpath("$ORIGIN/../lib"), "-Wl,--allow-shlib-undefined")
	}},
	{name: "a plug-in finds its needs by the program's RPATH", make: func(t tree) {
		t.lib("lib/libtwo.so.1", soname("libtwo.so.1"))
		t.lib("plugins/plugin.so", "lib/libtwo.so.1")
		t.exe("bin/app", rpath("$ORIGIN/../lib"))
	}},
	{name: "the base system", make: func(t tree) { t.cc("bin/app", "int main(void) { return 0; }\n") }},
	{
		name: "system-libraries", make: func(t tree) { t.exe("bin/app", t.elsewhere("libvulkan.so.1"), t.elsewhere("libone.so.1")) },
		promise: func(t *verify.Target) { t.Row.SystemLibraries = []string{"libvulkan.so.1"} },
		want:    []string{"error bin/app: needs libone.so.1"},
	},
	{
		name: "runtime: host", make: func(t tree) { t.exe("bin/app", t.elsewhere("libcublas.so.13"), t.elsewhere("libone.so.1")) },
		promise: func(t *verify.Target) { t.Package.Runtime = "host" },
		want:    []string{"error bin/app: needs libone.so.1"},
	},
	{name: "what the manifest leaves to users", make: func(t tree) {
		t.exe("bin/app", t.elsewhere("libcublas.so.13"), t.elsewhere("libcufft.so.12"))
		t.manifest(func(m *manifest.Manifest) { m.HostLibraries = []manifest.HostLibrary{{Name: "libcublas.so.13"}} })
	}, want: []string{"error bin/app: needs libcufft.so.12"}},
	{name: "through links", make: func(t tree) {
		t.lib("lib/libone.so.1.2", soname("libone.so.1"))
		t.link("lib/libone.so.1", "libone.so.1.2")
		t.exe("bin/app", "lib/libone.so.1.2", runpath("$ORIGIN/../lib"))
	}},
	{name: "in an archive", make: func(t tree) {
		t.exe("bin/app", t.elsewhere("libone.so.1"))
	}, options: packed(""), want: []string{"error bin/app: needs libone.so.1"}},
	{name: "the current directory", make: func(t tree) {
		t.lib("lib/libone.so.1", soname("libone.so.1"))
		t.exe("bin/app", "lib/libone.so.1", runpath(":$ORIGIN/../lib"))
	}, want: []string{"warning bin/app: empty or relative entry"}},
	{name: "a wheel that requires what it needs", make: func(t tree) {
		t.lib("p/lib/libp.so", t.elsewhere("libcublas.so.13"), rpath("$ORIGIN/../../nvidia/cu13/lib"))
		t.wheel("manylinux_2_35_x86_64", "nvidia-cublas==13.*")
	}, want: []string{"note p/lib/libp.so: needs a library that the wheels bring which this one requires"}},
	{name: "a wheel whose run path leads elsewhere", make: func(t tree) {
		t.lib("p/lib/libp.so", t.elsewhere("libcublas.so.13"), rpath("$ORIGIN"))
		t.wheel("manylinux_2_35_x86_64", "nvidia_cublas ==13.*", "torch; extra == 'x'")
	}, want: []string{"warning p/lib/libp.so: its run path does not lead to where they are installed"}},
	{name: "a wheel that requires nothing", make: func(t tree) {
		t.lib("p/lib/libp.so", t.elsewhere("libcublas.so.13"))
		t.wheel("manylinux_2_35_x86_64")
	}, want: []string{"error p/lib/libp.so: needs libcublas.so.13 (nvidia-cublas)"}},
	{name: "a wheel that requires another for its platform alone", make: func(t tree) {
		t.lib("p/lib/libp.so", t.elsewhere("libcublas.so.13"), rpath("$ORIGIN/../../nvidia/cu13/lib"))
		t.wheel("manylinux_2_35_x86_64", `nvidia-cublas==13.*; (sys_platform == "win32") or platform_system == 'Darwin' and python_version >= "3.9"`)
	}, want: []string{"error p/lib/libp.so: needs libcublas.so.13 (nvidia-cublas), which the package, the base system and NVIDIA's driver do not have"}},
	{name: "a wheel that requires another for its platform, too", make: func(t tree) {
		t.lib("p/lib/libp.so", t.elsewhere("libcublas.so.13"), rpath("$ORIGIN/../../nvidia/cu13/lib"))
		t.wheel("manylinux_2_35_x86_64", `nvidia-cublas==13.*; sys_platform != "win32" and os_name == "posix" and python_version >= "3.9"`)
	}, want: []string{"note p/lib/libp.so: needs a library that the wheels bring which this one requires"}},
	{name: "a wheel whose own kind requires another", make: func(t tree) {
		t.theirs("p/core.so", "macho/everything.dylib")
		t.wheel("macosx_14_0_arm64", `q==1; platform_system == "Darwin"`)
	}, want: []string{
		"warning p/core.so: needs @rpath/again.dylib",
		"warning p/core.so: needs @rpath/libSystem.dylib, which the wheel does not have; one of those that it requires must bring it to where its run path leads",
		"warning p/core.so: needs @rpath/plain.dylib",
	}},
	{name: "a wheel that requires a vendor's alone", make: func(t tree) {
		t.lib("p/libp.so", t.elsewhere("libone.so.1"), rpath("$ORIGIN/lib"))
		t.wheel("manylinux_2_35_x86_64", "nvidia-cublas==13.*")
	}, want: []string{"error p/libp.so: needs libone.so.1, which the package, the base system"}},
	{name: "a wheel that requires another with an extra", make: func(t tree) {
		t.theirs("p/core.so", "macho/everything.dylib")
		t.wheel("macosx_14_0_arm64", `q==1; platform_system == "Darwin" and extra == 'q'`)
	}, want: []string{
		"error p/core.so: needs @rpath/again.dylib",
		"error p/core.so: needs @rpath/libSystem.dylib, which the package, the base system and NVIDIA's driver do not have",
		"error p/core.so: needs @rpath/plain.dylib",
	}},
	{name: "a library that leaves it to what loads it", make: func(t tree) {
		t.theirs("lib/catalyst.dylib", "macho/catalyst.dylib")
		t.theirs("lib/libSystem.dylib", "macho/everything.dylib")
		t.theirs("lib/plain.dylib", "macho/bundle.so")
		t.theirs("lib/again.dylib", "macho/bundle.so")
	}, want: []string{"warning lib/catalyst.dylib: needs @rpath/libSystem.dylib, which is in the package, and has no run path that leads to it"}},
	{name: "a program that does not", make: func(t tree) {
		t.theirs("lib/program", "macho/program")
		t.theirs("lib/libSystem.dylib", "macho/everything.dylib")
		t.theirs("lib/plain.dylib", "macho/bundle.so")
		t.theirs("lib/again.dylib", "macho/bundle.so")
	}, want: []string{
		"error lib/program: needs @rpath/libSystem.dylib, which is in the package, and not where it is looked for",
		"error lib/program: needs @rpath/plain.dylib, which is in the package, and not where it is looked for",
	}},
	{name: "a wheel's own directory of DLLs", make: func(t tree) {
		t.pe("p/p.pyd", dll{needs: []string{"one-0123456789abcdef0123456789abcdef.dll", "python313.dll", "VCRUNTIME140.dll", "msvcp140.dll"}})
		t.pe("p.libs/one-0123456789abcdef0123456789abcdef.dll", dll{})
		t.wheel("win_amd64")
	}, want: []string{"error p/p.pyd: needs msvcp140.dll (msvc-runtime), which"}},
	{name: "DLLs", make: func(t tree) {
		t.pe("bin/app.exe", dll{exe: true, needs: []string{"ONE.dll", "kernel32.dll", "api-ms-win-core-synch-l1-2-0.dll", "two.dll"}})
		t.pe("bin/one.DLL", dll{})
	}, promise: windows, want: []string{"error bin/app.exe: needs two.dll"}},
	// Nothing tells what loads a vendor's library that no file needs, nor from
	// where: what is absent is told, what is there is not judged.
	{name: "a vendor's library that nothing loads", make: func(t tree) {
		t.pe("bin/app.exe", dll{exe: true})
		t.pe("nvidia/cudnn/bin/cudnn_adv64_9.dll", dll{needs: []string{"cudnn_graph64_9.dll", "cudnn_ops64_9.dll"}})
		t.pe("bin/cudnn_graph64_9.dll", dll{})
		t.pe("bin/plugin.dll", dll{needs: []string{"cudnn_adv64_9.dll"}})
	}, promise: windows, want: []string{
		"error bin/plugin.dll: needs cudnn_adv64_9.dll",
		"error nvidia/cudnn/bin/cudnn_adv64_9.dll: needs cudnn_ops64_9.dll",
	}},
	{name: "macOS", make: func(t tree) { t.theirs("bin/program", "macho/program") }, want: []string{
		"error bin/program: needs @rpath/libSystem.dylib",
		"error bin/program: needs @rpath/plain.dylib",
	}},
}

var byNameChecks = []check{
	{name: "there", make: func(t tree) {
		t.nvrtc("lib/libnvrtc.so.13")
		t.lib("lib/libnvrtc-builtins.so.13.0", soname("libnvrtc-builtins.so.13.0"))
		t.exe("bin/app", "lib/libnvrtc.so.13", rpath("$ORIGIN/../lib"))
	}},
	{name: "absent", make: func(t tree) {
		t.nvrtc("lib/libnvrtc.so.13")
		t.lib("lib/libnvrtc-builtins.so.13.1", soname("libnvrtc-builtins.so.13.1"))
		t.exe("bin/app", "lib/libnvrtc.so.13", rpath("$ORIGIN/../lib"))
	}, want: []string{"error lib/libnvrtc.so.13: loads by name, while it runs, libnvrtc-builtins.so.13.0"}},
	{name: "not where the loader looks", make: func(t tree) {
		t.nvrtc("lib/libnvrtc.so.13")
		t.lib("lib/libnvrtc-builtins.so.13.0", soname("libnvrtc-builtins.so.13.0"))
		t.exe("bin/app", "lib/libnvrtc.so.13", runpath("$ORIGIN/../lib"))
	}, want: []string{"error lib/libnvrtc.so.13: loads by name, while it runs, libnvrtc-builtins.so.13.0"}},
	{name: "the name in full", make: func(t tree) {
		t.cc("lib/libcublasLt.so.13", `const char *f(void) { return "libnvrtc.so.13"; }`, "-shared", "-nostdlib", "-fPIC", soname("libcublasLt.so.13"))
	}, want: []string{"error lib/libcublasLt.so.13: libnvrtc.so.13"}},
	// cuDNN holds the names without a version, and those of its own release alone.
	{name: "a version that knows fewer", make: func(t tree) {
		t.cc("lib/libcudnn.so.9", `const char *f(int i) { return i ? "libcudnn_ops.so" : "libcudnn_graph.so"; }`, "-shared", "-nostdlib", "-fPIC", soname("libcudnn.so.9"))
		t.lib("lib/libcudnn_ops.so.9", soname("libcudnn_ops.so.9"))
		t.exe("bin/app", "lib/libcudnn.so.9", rpath("$ORIGIN/../lib"))
	}, want: []string{"error lib/libcudnn.so.9: libcudnn_graph.so.9 (nvidia-cudnn-cu11)"}},
	{name: "beside it", make: func(t tree) {
		t.theirs("libmlx.dylib", "macho/everything.dylib")
	}, want: []string{"error libmlx.dylib: reads mlx.metallib out of its own directory"}},
}

// nvrtc is a library that holds the name of its builtins, as NVRTC 13.0 does.
func (t tree) nvrtc(p string) {
	t.cc(p, `const char *f(void) { return "libnvrtc-builtins.so.13.0"; }`, "-shared", "-nostdlib", "-fPIC", soname("libnvrtc.so.13"))
}

var delayChecks = []check{
	{name: "beside the program", make: func(t tree) {
		t.pe("bin/app.exe", dll{exe: true, delays: []string{"later.dll"}})
		t.pe("bin/later.dll", dll{})
	}, promise: windows},
	{name: "absent", make: func(t tree) {
		t.pe("bin/app.exe", dll{exe: true, delays: []string{"later.dll"}})
	}, promise: windows, want: []string{"error bin/app.exe: loads at the first call of it later.dll"}},
	{name: "where the layout's hook looks", make: func(t tree) {
		t.pe("bin/app.exe", dll{exe: true, delays: []string{"cublas64_13.dll", "cufft64_12.dll"}})
		t.pe("nvidia/cublas/bin/cublas64_13.dll", dll{})
		t.pe("nvidia/cublas/bin/cufft64_12.dll", dll{})
	}, promise: func(t *verify.Target) {
		windows(t)
		t.Package.Layout.Style = "mlx-windows"
	}, want: []string{"error bin/app.exe: loads at the first call of it cufft64_12.dll"}},
	{name: "a layout without hooks", make: func(t tree) {
		t.pe("bin/app.exe", dll{exe: true, delays: []string{"cublas64_13.dll"}})
		t.pe("nvidia/cublas/bin/cublas64_13.dll", dll{})
	}, promise: windows, want: []string{"error bin/app.exe: loads at the first call of it cublas64_13.dll"}},
	{name: "MLX's places without a matrix", make: func(t tree) {
		t.pe("bin/app.exe", dll{exe: true, delays: []string{"cublas64_13.dll"}})
		t.pe("nvidia/cublas/bin/cublas64_13.dll", dll{})
	}},
	{name: "the program that loads a plug-in", make: func(t tree) {
		t.pe("lib/addon.node", dll{delays: []string{"node.exe"}})
	}, promise: windows, want: []string{"note lib/addon.node: loads at the first call of it node.exe"}},
	{name: "by a compiler's run-time library", make: func(t tree) {
		t.pe("bin/app.exe", dll{exe: true, needs: []string{"msvcp140.dll"}})
		t.pe("bin/msvcp140.dll", dll{delays: []string{"concrt140.dll"}})
	}, promise: windows, want: []string{"warning bin/msvcp140.dll: loads at the first call of it concrt140.dll"}},
	{name: "as a linker makes it", make: func(t tree) { t.theirs("a.dll", "pe/delay-signed.dll") }, want: []string{
		"error a.dll: loads at the first call of it later.dll",
	}},
}
