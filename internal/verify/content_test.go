package verify_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/relmat/relmat/internal/manifest"
	"github.com/relmat/relmat/internal/matrix"
	"github.com/relmat/relmat/internal/verify"
)

// versioned is a library of cuDNN that exports its version, as the real ones
// do.
func (t tree) versioned(p string, major, minor, patch int, args ...string) {
	name := filepath.Base(p)
	t.cc(p, fmt.Sprintf("const unsigned cudnn_%s_version = %d;\n", strings.TrimPrefix(strings.TrimSuffix(name, ".so.9"), "libcudnn_"), major<<16|minor<<8|patch),
		append([]string{"-shared", "-nostdlib", "-fPIC", soname(name)}, args...)...)
}

// resource is a version resource's fixed part, as it lies in a DLL.
func resource(a, b, c, d uint32) string {
	out := binary.LittleEndian.AppendUint32(nil, 0xfeef04bd)
	for _, v := range []uint32{0x10000, a<<16 | b, c<<16 | d} {
		out = binary.LittleEndian.AppendUint32(out, v)
	}
	return string(out)
}

// rsrc makes a DLL whose only section is one of resources.
func (t tree) rsrc(p, text string) {
	t.pe(p, dll{text: text})
	t.writeMode(p, strings.Replace(string(t.read(p)), ".rdata\x00", ".rsrc\x00\x00", 1), 0o755)
}

var familyChecks = []check{
	{name: "one version", make: func(t tree) {
		t.versioned("lib/libcudnn_graph.so.9", 9, 28, 1)
		t.versioned("lib/libcudnn_ops.so.9", 9, 28, 1)
	}},
	{name: "two versions by their symbols", make: func(t tree) {
		t.versioned("lib/libcudnn_graph.so.9", 9, 28, 1)
		t.versioned("lib/libcudnn_ops.so.9", 9, 14, 0)
		t.versioned("lib/libcudnn_adv.so.9", 9, 28, 1)
	}, want: []string{"error lib/libcudnn_ops.so.9: is cuDNN 9.14.0, and 2 files are 9.28.1 beside it"}},
	{name: "two sets in two directories", make: func(t tree) {
		t.versioned("a/libcudnn_graph.so.9", 9, 28, 1)
		t.versioned("b/libcudnn_graph.so.9", 9, 14, 0)
	}},
	{name: "by the manifest", make: func(t tree) {
		t.lib("lib/libcublas.so.13", soname("libcublas.so.13"))
		t.lib("lib/libcublasLt.so.13", soname("libcublasLt.so.13"))
		t.manifest(func(m *manifest.Manifest) {
			for p, v := range map[string]string{"lib/libcublas.so.13": "13.1.0.3", "lib/libcublasLt.so.13": "13.4.1.3"} {
				l := listed(m, p)
				l.Origin, l.From = manifest.Wheel, "nvidia-cublas "+v
			}
		})
	}, want: []string{"error lib/libcublasLt.so.13: is cuBLAS 13.4.1.3, and 1 file is 13.1.0.3 beside it"}},
	{name: "by their names", make: func(t tree) {
		t.lib("lib/libcudnn.so.9.1.0")
		t.lib("lib/libcudnn_ops.so.9.0.2")
	}, want: []string{"error lib/libcudnn.so.9.1.0: is cuDNN 9.1.0, and 1 file is 9.0.2"}},
	{name: "by their resources", make: func(t tree) {
		t.rsrc("bin/cublas64_13.dll", resource(6, 14, 11, 1341))
		t.rsrc("bin/cublasLt64_13.dll", resource(6, 14, 11, 1310))
		t.rsrc("bin/cudnn64_9.dll", resource(9, 28, 1, 4))
		t.rsrc("bin/cudnn_ops64_9.dll", resource(9, 28, 1, 4))
	}, want: []string{"error bin/cublas64_13.dll: is cuBLAS 6.14.11.1341, and 1 file is 6.14.11.1310 beside it"}},
	{name: "what one lacks and the other imports", make: func(t tree) {
		graph := `__asm__(".symver now, now@@libcudnn_graph.so.9"); int now(void) { return 1; }`
		script := filepath.Join(t.TempDir(), "map")
		if err := os.WriteFile(script, []byte("libcudnn_graph.so.9 { global: *; };\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		t.cc("old/libcudnn_graph.so.9", "int now(void) { return 1; }\nint before(void) { return 1; }\n", "-shared", "-nostdlib", "-fPIC", soname("libcudnn_graph.so.9"), "-Wl,--version-script="+script)
		t.cc("lib/libcudnn_cnn.so.9", "int now(void);\nint before(void);\nint f(void) { return now() + before(); }\n", "-shared", "-nostdlib", "-fPIC", soname("libcudnn_cnn.so.9"), "old/libcudnn_graph.so.9")
		if err := os.RemoveAll(t.path("old")); err != nil {
			t.Fatal(err)
		}
		t.cc("lib/libcudnn_graph.so.9", strings.Split(graph, ";")[1]+";}", "-shared", "-nostdlib", "-fPIC", soname("libcudnn_graph.so.9"), "-Wl,--version-script="+script)
	}, want: []string{"error lib/libcudnn_cnn.so.9: is of another cuDNN version than the libcudnn_graph.so.9 beside it, which lacks 1 symbol"}},
}

var leakChecks = []check{
	{name: "none", make: func(t tree) { t.exe("bin/app", rpath("$ORIGIN/../lib")) }},
	{name: "RUNPATH", make: func(t tree) { t.exe("bin/app", runpath("/home/karl/build/lib:$ORIGIN")) }, want: []string{
		"error bin/app: its run path leads to absolute directories, which other machines need not have; it names the user karl",
		"warning bin/app: holds paths of the machine",
	}},
	{name: "RPATH of the system", make: func(t tree) { t.exe("bin/app", rpath("/usr/lib/x86_64-linux-gnu")) }},
	{name: "stubs", make: func(t tree) { t.exe("bin/app", runpath("/opt/cuda/lib/stubs")) }, want: []string{"error bin/app: its run path leads to a toolkit's stubs"}},
	{name: "a source", make: func(t tree) {
		t.cc("bin/app", "const char *where = \"/home/karl/src/app.c\"; void _start(void) { for (;;) ; }\n", "-nostdlib", "-fPIE", "-pie")
	}, want: []string{"warning bin/app: a user's home directory (Linux); it names the user karl"}},
	{name: "a runner's source", make: func(t tree) {
		t.cc("bin/app", "const char *where = \"/home/runner/work/app.c\"; void _start(void) { for (;;) ; }\n", "-nostdlib", "-fPIE", "-pie")
	}, want: []string{"warning bin/app: a user's home directory (Linux)"}},
	{name: "what the program itself writes", make: func(t tree) {
		t.cc("bin/app", "const char *where = \"/tmp/app.socket\"; void _start(void) { for (;;) ; }\n", "-nostdlib", "-fPIE", "-pie")
	}},
	{name: "a vendor's", make: func(t tree) {
		t.cc("lib/libcublas.so.13", "const char *where = \"/home/karl/src/app.c\";\n", "-shared", "-nostdlib", "-fPIC", soname("libcublas.so.13"))
	}},
	{name: "the symbol file", make: func(t tree) { t.theirs("a.dll", "pe/delay-signed.dll") }, want: []string{
		"warning a.dll: holds paths",
		"warning a.dll: names its symbol file by its path",
	}},
	{name: "a hook's directory", make: func(t tree) {
		t.pe("app.exe", dll{exe: true, delays: []string{"cublas64_13.dll"}, text: `C:\Program Files\NVIDIA GPU Computing Toolkit\CUDA\v13.0\bin\x64`})
	}, promise: windows, want: []string{`error app.exe: has a directory of the build machine compiled in, where it looks for the DLLs that it loads at the first call: C:\Program Files\NVIDIA GPU`}},
	{name: "a hook's directory of another build host", make: func(t tree) {
		t.pe("app.exe", dll{exe: true, delays: []string{"cudnn64_9.dll"}, text: "/opt/toolkits/nvidia/cudnn/bin"})
	}, promise: windows, want: []string{"error app.exe: /opt/toolkits/nvidia/cudnn/bin"}},
	{name: "LC_RPATH", make: func(t tree) { t.theirs("lib/everything.dylib", "macho/everything.dylib") }, want: []string{
		"error lib/everything.dylib: its run path leads to absolute directories",
	}},
	{name: "a relative directory", make: func(t tree) {
		t.pe("app.exe", dll{exe: true, delays: []string{"cudnn64_9.dll"}, text: `..\nvidia\cudnn\bin`})
	}, promise: windows},
	{name: "what is appended to the program's directory", make: func(t tree) {
		t.pe("a.exe", dll{exe: true, delays: []string{"cudnn64_9.dll"}, text: `\..\nvidia\cudnn\bin`})
		t.pe("b.exe", dll{exe: true, delays: []string{"cudnn64_9.dll"}, text: "/../nvidia/cublas/bin"})
		t.pe("c.exe", dll{exe: true, delays: []string{"cudnn64_9.dll"}, text: "/./cuda/bin/x64"})
		t.pe("d.exe", dll{exe: true, delays: []string{"cudnn64_9.dll"}, text: `\nvidia\cu13\bin\x86_64`})
	}, promise: windows},
	{name: "a hook's directory on a server", make: func(t tree) {
		t.pe("app.exe", dll{exe: true, delays: []string{"cudnn64_9.dll"}, text: `\\build\nvidia\cudnn\bin`})
	}, promise: windows, want: []string{`error app.exe: has a directory of the build machine`}},
}

const eula = "NVIDIA Software Development Kits\n2.6. Attachment A\nlibcudart.so, libcublas.so, libcublasLt.so, cudart.dll, nvrtc.dll, nvrtc-builtins.dll\ncuda_fp16.h\n"

var licenseChecks = []check{
	{name: "the project's", make: func(t tree) {
		t.exe("bin/app")
		t.license()
	}},
	{name: "none", make: func(t tree) { t.exe("bin/app") }, want: []string{"error : holds no licence of the project"}},
	{name: "one that cannot be read", make: func(t tree) { t.write("LICENSE", "MIT\n") }, options: func(t tree, o *verify.Options) {
		packed("")(t, o)
		data, err := os.ReadFile(o.Path)
		if err != nil {
			t.Fatal(err)
		}
		// The digest in the archive's list of files is another then.
		i := bytes.LastIndex(data, []byte("PK\x01\x02"))
		data[i+16] ^= 1
		if err := os.WriteFile(o.Path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}},
	{name: "an empty one", make: func(t tree) {
		t.exe("bin/app")
		t.write("COPYING", "\n")
	}, want: []string{"error : holds no licence of the project"}},
	{name: "a vendor's alone", make: func(t tree) {
		t.exe("bin/app")
		t.write("licenses/x/License.txt", eula)
		t.manifest(func(m *manifest.Manifest) {
			l := listed(m, "licenses/x/License.txt")
			l.Origin, l.From, l.Role = manifest.Wheel, "x 1", "license"
		})
	}, want: []string{"error : holds no licence of the project"}},
	{name: "of what somebody else built", make: func(t tree) {
		t.lib("lib/libp.so", soname("libp.so"))
		t.write("licenses/p/LICENSE", "MIT\n")
		t.manifest(func(m *manifest.Manifest) {
			l := listed(m, "licenses/p/LICENSE")
			l.Origin, l.From, l.Role = manifest.Wheel, "p 1", "license"
			l = listed(m, "lib/libp.so")
			l.Origin, l.From = manifest.Prebuilt, "p 1"
		})
	}},
	{name: "a vendor's is missing", make: func(t tree) {
		t.lib("lib/libcudart.so.13", soname("libcudart.so.13"))
		t.lib("lib/libcublas.so.13", soname("libcublas.so.13"))
		t.license()
	}, want: []string{"error lib/libcublas.so.13: 2 files of NVIDIA (CUDA) are in the package without their licence"}},
	{name: "a vendor's lists it", make: func(t tree) {
		t.lib("lib/libcudart.so.13", soname("libcudart.so.13"))
		t.pe("bin/cudart64_13.dll", dll{})
		t.pe("bin/nvrtc64_130_0.dll", dll{})
		t.pe("bin/nvrtc-builtins64_130.dll", dll{})
		t.write("licenses/nvidia/License.txt", eula)
	}},
	{name: "a vendor's does not list it", make: func(t tree) {
		t.lib("lib/libnvJitLink.so.13", soname("libnvJitLink.so.13"))
		t.write("include/cuda_runtime.h", "/*\n * Copyright NVIDIA Corporation.\n * NOTICE TO LICENSEE:\n */\n")
		t.write("include/cuda_fp16.h", "/*\n * Copyright NVIDIA Corporation.\n * NOTICE TO LICENSEE:\n */\n")
		t.write("include/mma.h", "/* SPDX-License-Identifier: BSD-3-Clause */\n")
		t.write("licenses/nvidia/License.txt", eula)
	}, want: []string{
		"warning include/cuda_runtime.h: is not in the list of what may be passed on by the CUDA EULA, Attachment A",
		"warning lib/libnvJitLink.so.13: is not in the list",
	}},
	{name: "cuDNN lists all its run-time files", make: func(t tree) {
		t.lib("lib/libcudnn_ops.so.9", soname("libcudnn_ops.so.9"))
		t.pe("bin/cudnn_ops64_9.dll", dll{})
		t.write("licenses/cudnn/License.txt", "NVIDIA cuDNN SUPPLEMENT\nthe runtime files .so and .h, cudnn64_7.dll, and cudnn.lib\n")
	}, want: []string{"warning bin/cudnn_ops64_9.dll: is not in the list of what may be passed on by the cuDNN supplement"}},
	{name: "cuDNN lists its DLLs", make: func(t tree) {
		t.pe("bin/cudnn_ops64_9.dll", dll{})
		t.write("licenses/cudnn/LICENSE", "NVIDIA cuDNN SUPPLEMENT\nthe runtime files .so and .dll.\n")
	}},
	{name: "a tool", make: func(t tree) {
		t.exe("bin/ptxas")
		t.write("docs/nvcc", "how to use it\n")
		t.license()
	}, want: []string{"error bin/ptxas: is a tool of NVIDIA's development kit"}},
	{name: "a distribution's library", make: func(t tree) {
		t.lib("lib/libopenblas.so.0", soname("libopenblas.so.0"))
		t.license()
	}, want: []string{"warning lib/libopenblas.so.0: is OpenBLAS (BSD-3-Clause), and no licence file of the package mentions it"}},
	{name: "with its copyright file", make: func(t tree) {
		t.lib("p.libs/libopenblas-0a1b2c3d.so.0", soname("libopenblas-0a1b2c3d.so.0"))
		t.write("licenses/libopenblas0/copyright", "BSD\n")
		t.license()
	}},
	{name: "by the manifest, without its copyright file", make: func(t tree) {
		t.lib("lib/libx.so.1", soname("libx.so.1"))
		t.license()
		t.manifest(func(m *manifest.Manifest) {
			l := listed(m, "lib/libx.so.1")
			l.Origin, l.From, l.Role = manifest.System, "libx1 1.2-3", "library"
		})
	}, want: []string{"error lib/libx.so.1: is of the distribution's package libx1 1.2-3, whose copyright file is not in the package"}},
	{name: "headers of CCCL", make: func(t tree) {
		t.write("include/cccl/cuda/std/tuple", "// Part of libcu++\n")
		t.license()
	}, want: []string{"warning include/cccl/cuda/std: holds headers of CCCL"}},
	{name: "headers of CCCL with their licence", make: func(t tree) {
		t.write("include/cccl/cuda/std/tuple", "// Part of libcu++\n")
		t.write("licenses/cccl/LICENSE", "Apache License v2.0 with LLVM Exceptions\n")
	}},
}

var contentChecks = []check{
	{name: "all there", make: func(t tree) {
		t.write("LICENSE", "x\n")
		t.write("include/a/one.h", "x\n")
		t.write("include/b.h", "x\n")
	}, promise: func(t *verify.Target) {
		t.Package.Files = []matrix.Files{
			{Source: "LICENSE", To: "LICENSE"},
			{OutDir: "include", To: "include", Contains: []string{"a/one.h"}, MinFiles: 2},
			{Source: "other", To: "other", Targets: []string{"else*"}},
		}
	}},
	{name: "the programs", make: func(t tree) {
		t.write("bin/app", "x\n")
		t.link("bin/tool", "app")
		t.exe("sbin/moved")
		t.manifest(func(m *manifest.Manifest) { m.Programs = map[string]string{"moved": "sbin/moved"} })
	}, promise: func(t *verify.Target) {
		t.Programs = map[string]string{"app": "bin/app", "tool": "bin/tool", "moved": "bin/moved"}
	}},
	{name: "without its programs", make: func(t tree) {
		t.write("bin/app", "x\n")
		t.write("bin/empty", "")
		t.write("bin/dir/x", "x\n")
	}, promise: func(t *verify.Target) {
		t.Programs = map[string]string{"app": "bin/app", "empty": "bin/empty", "dir": "bin/dir", "server": "bin/server"}
	}, want: []string{
		"error bin/dir: is not in the package, and the matrix says that it holds program dir",
		"error bin/empty: is empty, and the matrix says that it is program empty",
		"error bin/server: is not in the package, and the matrix says that it holds program server",
	}},
	{name: "nothing", make: func(t tree) {
		if err := os.MkdirAll(t.path("bin"), 0o755); err != nil {
			t.Fatal(err)
		}
	}, want: []string{"error : holds no file at all"}},
	{name: "not there", make: func(t tree) {
		t.write("include/b.h", "x\n")
		t.write("empty", "")
	}, promise: func(t *verify.Target) {
		t.Package.Files = []matrix.Files{
			{Source: "LICENSE", To: "LICENSE"},
			{OutDir: "include", To: "include", Contains: []string{"a/one.h"}, MinFiles: 2},
			{Source: "empty", To: "empty"},
		}
	}, want: []string{
		"error LICENSE: is not in the package, and the matrix says that it holds it",
		"error empty: is empty",
		"error include: holds 1 file, and the matrix wants at least 2",
		"error include/a/one.h: is not in the package, and the matrix says that include contains it",
	}},
	{name: "half of CuTe", make: func(t tree) {
		t.write("include/cute/tensor.hpp", "x\n")
		t.write("include/cute/numeric/numeric_types.hpp", "x\n")
	}, want: []string{"error include: holds a part of CuTe (CUTLASS) without include/cutlass/cutlass.h"}},
	{name: "all of libcu++", make: func(t tree) {
		for _, p := range []string{"cuda/std/tuple", "cuda/std/type_traits", "nv/target"} {
			t.write("include/cccl/"+p, "x\n")
		}
	}},
}

var identityChecks = []check{
	{name: "as it came", make: func(t tree) {
		t.lib("lib/libcudart.so.13", soname("libcudart.so.13"))
		t.lib("lib/libcublas.so.13", soname("libcublas.so.13"), runpath("$ORIGIN"))
	}},
	{name: "by a wheel's list", make: func(t tree) {
		t.lib("lib/libcudart.so.13", soname("libcudart.so.13"), runpath("/wherever"))
	}, options: func(t tree, o *verify.Options) {
		sum := digest(t.read("lib/libcudart.so.13"))
		o.Vendor = func(s string) (string, bool) { return "nvidia-cuda-runtime 13.0.96", s == sum }
	}},
	{name: "not in any wheel's list", make: func(t tree) {
		t.lib("lib/libcudart.so.13", soname("libcudart.so.13"))
		t.manifest(func(m *manifest.Manifest) {
			l := listed(m, "lib/libcudart.so.13")
			l.Origin, l.From = manifest.Wheel, "nvidia-cuda-runtime 13.0.96"
		})
	}, options: func(_ tree, o *verify.Options) {
		o.Vendor = func(string) (string, bool) { return "", false }
	}, want: []string{"error lib/libcudart.so.13: is from nvidia-cuda-runtime 13.0.96 by the manifest, and no wheel of the toolkit has a file of this content"}},
	{name: "changed since the manifest was made", make: func(t tree) {
		t.lib("lib/libcufft.so.12", soname("libcufft.so.12"))
		t.manifest(func(m *manifest.Manifest) {
			l := listed(m, "lib/libcufft.so.12")
			l.Origin, l.From = manifest.Wheel, "nvidia-cufft 12.0.0.61"
		})
		t.lib("lib/libcufft.so.12", soname("libcufft.so.12"), runpath("$ORIGIN"))
	}, want: []string{"error lib/libcufft.so.12: is not as nvidia-cufft 12.0.0.61 has it"}},
	{name: "a run path of the build machine", make: func(t tree) {
		t.lib("lib/libcublas.so.13", soname("libcublas.so.13"), runpath("/opt/x/lib"))
	}, want: []string{"error lib/libcublas.so.13: is a library of NVIDIA (CUDA), but not as the vendor makes it: its run path has /opt/x/lib"}},
	{name: "a SONAME with a digest", make: func(t tree) {
		t.lib("p.libs/libcudart-0a1b2c3d.so.13", soname("libcudart-0a1b2c3d.so.13"))
	}, want: []string{"error p.libs/libcudart-0a1b2c3d.so.13: its SONAME is libcudart-0a1b2c3d.so.13"}},
	{name: "a run path where none was", make: func(t tree) {
		t.lib("lib/libcudart.so.13", soname("libcudart.so.13"), rpath("$ORIGIN"))
	}, want: []string{"warning lib/libcudart.so.13: its run path is $ORIGIN, and the vendor's copies in CUDA 13.0 and 13.2 have none"}},
}

// signed promises that own programs are signed.
func signed(p *verify.Target) {
	windows(p)
	p.Row.Sign = matrix.Sign{Tool: "osslsigncode", Timestamp: []string{}}
}

var signatureChecks = []check{
	{name: "signed", make: func(t tree) { t.theirs("bin/cudart64_13.dll", "pe/delay-signed.dll") }},
	{name: "not signed", make: func(t tree) { t.pe("bin/cudart64_13.dll", dll{}) }, want: []string{"error bin/cudart64_13.dll: has no Authenticode signature"}},
	{name: "not signed, as it came", make: func(t tree) { t.pe("bin/cudart64_13.dll", dll{}) }, options: func(_ tree, o *verify.Options) {
		o.Vendor = func(string) (string, bool) { return "nvidia-cuda-runtime 13.0.96", true }
	}},
	{name: "not signed, of the project", make: func(t tree) { t.pe("bin/app.exe", dll{exe: true}) }},
	{name: "of the project, signed", make: func(t tree) { t.theirs("bin/app.exe", "authenticode/stamped.exe") }, promise: signed},
	{
		name: "of the project, with SHA-1 in the signer's entry", make: func(t tree) { t.theirs("bin/app.exe", "authenticode/weak.exe") }, promise: signed,
		want: []string{"error bin/app.exe: has a weak signature: the file is digested with SHA-256, but its signer's entry with SHA-1"},
	},
	{name: "of an OUT_DIR, signed by somebody else", make: func(t tree) {
		t.theirs("bin/other.dll", "authenticode/weak.exe")
		t.manifest(func(m *manifest.Manifest) { listed(m, "bin/other.dll").From = manifest.OutDirOf("core") })
	}, promise: signed},
	{name: "of an OUT_DIR, not signed", make: func(t tree) {
		t.pe("bin/own.dll", dll{})
		t.manifest(func(m *manifest.Manifest) { listed(m, "bin/own.dll").From = manifest.OutDirOf("core") })
	}, promise: signed, want: []string{"error bin/own.dll: has no Authenticode signature, and the matrix promises one of osslsigncode"}},
	{name: "of an OUT_DIR, signed by relmat", make: func(t tree) {
		t.theirs("bin/own.dll", "authenticode/weak.exe")
		t.manifest(func(m *manifest.Manifest) {
			f := listed(m, "bin/own.dll")
			f.From, f.Signed = manifest.OutDirOf("core"), "Weak Ltd."
		})
	}, promise: signed, want: []string{"error bin/own.dll: has a weak signature"}},
	{name: "for Apple silicon", make: func(t tree) { t.theirs("bin/program", "macho/program") }},
	{name: "for Apple silicon, not signed", make: func(t tree) {
		t.theirs("bin/program", "macho/program")
		data := t.read("bin/program")
		// LC_CODE_SIGNATURE becomes LC_DATA_IN_CODE, which has the same form.
		at := bytes.Index(data, []byte{0x1d, 0, 0, 0, 16, 0, 0, 0})
		data[at] = 0x29
		t.writeMode("bin/program", string(data), 0o755)
	}, want: []string{"error bin/program: has no code signature for aarch64"}},
	{name: "for Intel, not signed", make: func(t tree) { t.theirs("lib/catalyst.dylib", "macho/catalyst.dylib") }},
}
