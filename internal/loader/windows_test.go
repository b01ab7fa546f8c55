package loader

import "testing"

// The rules are those of Microsoft, "Dynamic-link library search order",
// "Standard search order for unpackaged apps", and of the pages named there.
func TestWindows(t *testing.T) {
	for name, c := range map[string]tableCase{
		// "The folder from which the application loaded", and not that of the DLL
		// which imports.
		"the executable's directory": {
			files: "app/p.exe x86_64 a.dll\napp/a.dll x86_64 b.dll\nother/b.dll x86_64\napp/b.dll x86_64", root: "/app/p.exe",
			want: []string{"  needed a.dll: found /app/a.dll [executable's directory]", "  needed b.dll: found /app/b.dll [executable's directory]"},
		},
		"not the importing DLL's directory": {
			files: "app/p.exe x86_64 delay:a.dll\napp/sub/a.dll x86_64 b.dll\napp/sub/b.dll x86_64", root: "/app/p.exe",
			opts: Options{HookDirs: map[string]string{"a*.dll": "sub"}},
			want: []string{"  delay a.dll: found /app/sub/a.dll [delay-load hook for a*.dll]", "  needed b.dll: missing searched /app system directory"},
		},
		"names without case": {
			files: "App/P.exe x86_64 KERNEL32.dll A.DLL\nApp/a.dll x86_64 p.EXE", root: "/App/P.exe",
			want: []string{"  needed KERNEL32.dll: system [known DLL]", "  needed A.DLL: found /App/a.dll [executable's directory]", "  needed p.EXE: found /App/P.exe [already loaded]"},
		},
		"a name without an extension": {
			files: "p.exe x86_64 a kernel32\na.dll x86_64", root: "/p.exe",
			want: []string{"  needed a: found /a.dll [executable's directory]", "  needed kernel32: system [known DLL]"},
		},
		// "API sets" come before everything else, also before files.
		"API sets": {
			files: "p.exe x86_64 api-ms-win-crt-runtime-l1-1-0.dll ext-ms-win-ntuser-window-l1-1-0.dll\napi-ms-win-crt-runtime-l1-1-0.dll x86_64", root: "/p.exe",
			want: []string{"  needed api-ms-win-crt-runtime-l1-1-0.dll: api-set [API set]", "  needed ext-ms-win-ntuser-window-l1-1-0.dll: api-set [API set]"},
		},
		// "If the DLL is on the list of known DLLs ... the system uses its copy".
		"known DLLs": {
			files: "p.exe x86_64 ole32.dll dbghelp.dll\nole32.dll x86_64\ndbghelp.dll x86_64", root: "/p.exe",
			want: []string{"  needed ole32.dll: system [known DLL]\n    /ole32.dll is never loaded: Windows takes its own", "  needed dbghelp.dll: found /dbghelp.dll [executable's directory]"},
		},
		// "Loaded-module list": a module of the same base name serves.
		"loaded already": {
			files: "app/p.exe x86_64 delay:a.dll delay:b.dll\napp/one/a.dll x86_64\napp/two/b.dll x86_64 A.dll", root: "/app/p.exe",
			opts: Options{HookDirs: map[string]string{"a.dll": "one", "b.dll": "two"}},
			want: []string{"  needed A.dll: found /app/one/a.dll [already loaded for p.exe]"},
		},
		"the system directory before PATH": {
			files: "app/p.exe x86_64 winhttp.dll a.dll\npath/winhttp.dll x86_64\npath/a.dll x86_64", root: "/app/p.exe",
			opts: Options{Env: []string{"/none", "/PATH"}},
			want: []string{"  needed winhttp.dll: system [system directory]", "  needed a.dll: found /path/a.dll [PATH]"},
		},
		"a system directory in the view": {
			files: "app/p.exe x86_64 kernel32.dll rare.dll\nWindows/System32/kernel32.dll x86_64\nWindows/System32/rare.dll x86_64", root: "/app/p.exe",
			opts: Options{SystemDir: "/windows/system32"},
			want: []string{"  needed kernel32.dll: system /Windows/System32/kernel32.dll [known DLL]", "  needed rare.dll: system /Windows/System32/rare.dll [system directory]"},
		},
		// In safe search mode the current directory comes after the system's.
		"the current directory": {
			files: "app/p.exe x86_64 a.dll b.dll\nwork/a.dll x86_64\npath/a.dll x86_64\npath/b.dll x86_64", root: "/app/p.exe",
			opts: Options{Dir: "/work", Env: []string{"/path"}},
			want: []string{"  needed a.dll: found /work/a.dll [current directory] (current directory)", "  needed b.dll: found /path/b.dll [PATH]"},
		},
		"the redistributable is not Windows": {
			files: "p.exe x86_64 VCRUNTIME140.dll MSVCP140.dll ucrtbased.dll VCRUNTIME140_1D.dll", root: "/p.exe",
			want: []string{
				"  needed VCRUNTIME140.dll: missing searched / system directory\n    part of the Visual C++ redistributable, not of Windows: put it beside the program, or ask users to install the redistributable",
				"  needed ucrtbased.dll: missing searched / system directory\n    a debug run-time library, which only machines with Visual Studio have: build in release mode",
				"  needed VCRUNTIME140_1D.dll: missing searched / system directory\n    a debug run-time library, which only machines with Visual Studio have: build in release mode",
			},
		},
		"the redistributable beside the program": {
			files: "p.exe x86_64 VCRUNTIME140.dll\nvcruntime140.dll x86_64", root: "/p.exe",
			want: []string{"  needed VCRUNTIME140.dll: found /vcruntime140.dll [executable's directory]"},
		},
		// The first file of the name is the one: ERROR_BAD_EXE_FORMAT.
		"another machine": {
			files: "app/p.exe x86_64 a.dll b.dll\napp/a.dll i386\npath/a.dll x86_64\napp/b.dll text", root: "/app/p.exe",
			opts: Options{Env: []string{"/path"}},
			want: []string{
				"  needed a.dll: missing searched /app\n    /app/a.dll is for i386 (pe); Windows stops there with error 193",
				"  needed b.dll: missing searched /app\n    /app/b.dll is not a native file; Windows stops there with error 193",
			},
		},
		"drivers": {
			files: "p.exe x86_64 nvcuda.dll delay:NVML.dll", root: "/p.exe",
			want: []string{"  needed nvcuda.dll: driver", "  delay NVML.dll: driver"},
		},
		// A hook is asked first; where it has nothing, the usual order goes on.
		"delay imports": {
			files: "app/bin/p.exe x86_64 delay:cublas64_13.dll delay:cudnn64_9.dll delay:nvrtc64_130_0.dll\napp/lib/cublas64_13.dll x86_64 cublasLt64_13.dll\napp/bin/cublasLt64_13.dll x86_64\napp/bin/cudnn64_9.dll x86_64\napp/bin/cublas64_13.dll x86_64", root: "/app/bin/p.exe",
			opts: Options{HookDirs: map[string]string{"cu*.dll": `..\lib`}},
			want: []string{
				"  delay cublas64_13.dll: found /app/lib/cublas64_13.dll [delay-load hook for cu*.dll]",
				"  delay cudnn64_9.dll: found /app/bin/cudnn64_9.dll [executable's directory]",
				"  delay nvrtc64_130_0.dll: missing searched /app/bin system directory",
				"  needed cublasLt64_13.dll: found /app/bin/cublasLt64_13.dll [executable's directory]",
			},
		},
		"a library with its program": {
			files: "app/p.exe x86_64 a.dll\napp/a.dll x86_64\nplugins/m.dll x86_64 a.dll c.dll\nplugins/c.dll x86_64", root: "/plugins/m.dll",
			opts: Options{Executable: "/app/p.exe"},
			want: []string{"  needed a.dll: found /app/a.dll [already loaded for p.exe]", "  needed c.dll: missing searched /app system directory"},
		},
		"ARM64EC": {
			files: "p.exe arm64ec a.dll b.dll\na.dll x86_64\nb.dll aarch64", root: "/p.exe",
			want: []string{"  needed a.dll: found /a.dll [executable's directory]", "  needed b.dll: missing searched /\n    /b.dll is for aarch64 (pe); Windows stops there with error 193"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			c.platform = Windows
			c.run(t)
		})
	}
}
