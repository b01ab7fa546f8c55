package loader

import "testing"

// The rules are those of Apple's dyld(1), "DYNAMIC LIBRARY LOADING" and the
// variables' descriptions, and of dyld/Loader.cpp.
func TestDyld(t *testing.T) {
	for name, c := range map[string]tableCase{
		"rpath of the program": {
			files: "bin/p aarch64 rpath=@executable_path/../lib @rpath/liba.dylib\nlib/liba.dylib aarch64 soname=@rpath/liba.dylib @rpath/libb.dylib\nlib/libb.dylib aarch64", root: "/bin/p",
			want: []string{
				"  needed @rpath/liba.dylib: found /lib/liba.dylib [LC_RPATH @executable_path/../lib of p]",
				"  needed @rpath/libb.dylib: found /lib/libb.dylib [LC_RPATH @executable_path/../lib of p]",
			},
		},
		// "The run path stack is built from the LC_RPATH load commands in the
		// dependency chain that lead to the current dylib load", the nearest first.
		"the nearest rpath first": {
			files: "p aarch64 rpath=/one @rpath/liba.dylib\none/liba.dylib aarch64 rpath=@loader_path/sub @rpath/libb.dylib\none/libb.dylib aarch64\none/sub/libb.dylib aarch64", root: "/p",
			want: []string{"  needed @rpath/libb.dylib: found /one/sub/libb.dylib [LC_RPATH @loader_path/sub of liba.dylib]"},
		},
		"not the rpath of a sibling": {
			files: "p aarch64 rpath=/one @rpath/liba.dylib @rpath/libb.dylib\none/liba.dylib aarch64 rpath=/two\none/libb.dylib aarch64 @rpath/libc.dylib\ntwo/libc.dylib aarch64", root: "/p",
			want: []string{"  needed @rpath/libc.dylib: missing searched /one"},
		},
		// What an image needs is all loaded before the needs of these; the stack is
		// that of the first way down.
		"the first way down": {
			files: "p aarch64 rpath=/one @rpath/liba.dylib @rpath/libb.dylib\none/liba.dylib aarch64 rpath=/two @rpath/libb.dylib\none/libb.dylib aarch64 @rpath/libc.dylib\ntwo/libc.dylib aarch64", root: "/p",
			want: []string{"  needed @rpath/libc.dylib: found /two/libc.dylib [LC_RPATH /two of liba.dylib]"},
		},
		"loader_path": {
			files: "bin/p aarch64 @loader_path/../lib/liba.dylib\nlib/liba.dylib aarch64 @loader_path/libb.dylib @executable_path/libc.dylib\nlib/libb.dylib aarch64\nbin/libc.dylib aarch64", root: "/bin/p",
			want: []string{
				"  needed @loader_path/../lib/liba.dylib: found /lib/liba.dylib [@loader_path]",
				"  needed @loader_path/libb.dylib: found /lib/libb.dylib [@loader_path]",
				"  needed @executable_path/libc.dylib: found /bin/libc.dylib [@executable_path]",
			},
		},
		// The path of a loaded image is the one after links.
		"loader_path after links": {
			files: "p aarch64 @loader_path/link.dylib\nlink.dylib -> real/liba.dylib\nreal/liba.dylib aarch64 @loader_path/libb.dylib\nreal/libb.dylib aarch64", root: "/p",
			want: []string{"  needed @loader_path/link.dylib: found /real/liba.dylib [@loader_path]", "  needed @loader_path/libb.dylib: found /real/libb.dylib [@loader_path]"},
		},
		"the shared cache": {
			files: "p aarch64 /usr/lib/libSystem.B.dylib /System/Library/Frameworks/Metal.framework/Versions/A/Metal weak:/usr/lib/libnew.dylib /usr/local/lib/libx.dylib", root: "/p",
			want: []string{
				"  needed /usr/lib/libSystem.B.dylib: system [shared cache]", "  needed /System/Library/Frameworks/Metal.framework/Versions/A/Metal: system [shared cache]",
				"  weak /usr/lib/libnew.dylib: system [shared cache]", "  needed /usr/local/lib/libx.dylib: missing searched /usr/local/lib",
			},
		},
		"Swift by rpath": {
			files: "p aarch64 rpath=/usr/lib/swift:@loader_path @rpath/libswiftCore.dylib @rpath/libmine.dylib\nlibmine.dylib aarch64", root: "/p",
			want: []string{"  needed @rpath/libswiftCore.dylib: system [LC_RPATH /usr/lib/swift of p, shared cache]", "  needed @rpath/libmine.dylib: found /libmine.dylib [LC_RPATH @loader_path of p]"},
		},
		"weak and missing": {
			files: "p aarch64 rpath=@loader_path/lib weak:@rpath/liba.dylib reexport:@rpath/libb.dylib", root: "/p",
			want: []string{"  weak @rpath/liba.dylib: missing searched /lib", "  reexport @rpath/libb.dylib: missing searched /lib"},
		},
		// "first check if already loaded as rpath": by install name.
		"the install name serves": {
			files: "p aarch64 @loader_path/real/x.dylib @rpath/libx.dylib /opt/liby.dylib\nreal/x.dylib aarch64 soname=@rpath/libx.dylib", root: "/p",
			want: []string{"  needed @rpath/libx.dylib: found /real/x.dylib [already loaded for p]", "  needed /opt/liby.dylib: missing searched /opt"},
		},
		"DYLD_LIBRARY_PATH": {
			files: "p aarch64 rpath=/lib @rpath/liba.dylib @rpath/F.framework/Versions/A/F\nlib/liba.dylib aarch64\nenv/liba.dylib aarch64\nlib/F.framework/Versions/A/F aarch64", root: "/p",
			opts: Options{Env: []string{"/env"}},
			want: []string{"  needed @rpath/liba.dylib: found /env/liba.dylib [DYLD_LIBRARY_PATH /env]", "  needed @rpath/F.framework/Versions/A/F: found /lib/F.framework/Versions/A/F [LC_RPATH /lib of p]"},
		},
		// "For older binaries, there is a default fallback search path".
		"fallback of an old SDK": {
			files: "p aarch64 sdk=12.3 /opt/liba.dylib\nusr/local/lib/liba.dylib aarch64", root: "/p",
			want: []string{"  needed /opt/liba.dylib: found /usr/local/lib/liba.dylib [fallback directory /usr/local/lib]"},
		},
		"no fallback of a new SDK": {
			files: "p aarch64 sdk=14.0 /opt/liba.dylib\nusr/local/lib/liba.dylib aarch64", root: "/p",
			want: []string{"  needed /opt/liba.dylib: missing searched /opt"},
		},
		"DYLD_FALLBACK_LIBRARY_PATH": {
			files: "p aarch64 sdk=14.0 /opt/liba.dylib\nf/liba.dylib aarch64", root: "/p", opts: Options{Fallback: []string{"/f"}},
			want: []string{"  needed /opt/liba.dylib: found /f/liba.dylib [fallback directory /f]"},
		},
		"slices": {
			files: "p x86_64+aarch64 rpath=/one:/two:/three @rpath/liba.dylib\none/liba.dylib x86_64\ntwo/liba.dylib x86_64+aarch64", root: "/p",
			opts: Options{Machine: "aarch64"},
			want: []string{"  needed @rpath/liba.dylib: found /two/liba.dylib [LC_RPATH /two of p]"},
		},
		"no slice": {
			files: "p aarch64 rpath=/one @rpath/liba.dylib\none/liba.dylib x86_64", root: "/p",
			want: []string{"  needed @rpath/liba.dylib: missing searched /one\n    /one/liba.dylib is passed over: it has no code for aarch64"},
		},
		"a relative name": {
			files: "p aarch64 lib/liba.dylib\nw/lib/liba.dylib aarch64", root: "/p", opts: Options{Dir: "/w"},
			want: []string{"  needed lib/liba.dylib: found /w/lib/liba.dylib [current directory] (current directory)"},
		},
		"a library with its program": {
			files: "bin/python aarch64 rpath=/py\nsite/mlx/core.so aarch64 rpath=@loader_path/lib @rpath/libmlx.dylib @rpath/libpy.dylib\nsite/mlx/lib/libmlx.dylib aarch64 @executable_path/x.dylib\nbin/x.dylib aarch64\npy/libpy.dylib aarch64", root: "/site/mlx/core.so",
			opts: Options{Executable: "/bin/python"},
			want: []string{
				"  needed @rpath/libmlx.dylib: found /site/mlx/lib/libmlx.dylib [LC_RPATH @loader_path/lib of core.so]",
				"  needed @rpath/libpy.dylib: found /py/libpy.dylib [LC_RPATH /py of python]", "  needed @executable_path/x.dylib: found /bin/x.dylib [@executable_path]",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			c.platform = MacOS
			c.run(t)
		})
	}
}
