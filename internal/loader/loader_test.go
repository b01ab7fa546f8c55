package loader

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/relmat/relmat/internal/objfile"
)

// TestPackage resolves package trees, where the system is not in the view. What
// ld.so does with files that are there is TestLdso's.
func TestPackage(t *testing.T) {
	const interp = "interp=/lib64/ld-linux-x86-64.so.2"
	for name, c := range map[string]tableCase{
		"who provides it": {
			files: "bin/p x86_64 " + interp + " rpath=$ORIGIN/../lib liba.so libc.so.6 libcuda.so.1 libstdc++.so.6 libssl.so.3\nlib/liba.so x86_64 libm.so.6\nlib/libstdc++.so.6 x86_64", root: "/bin/p",
			want: []string{
				"  needed liba.so: found /lib/liba.so [RPATH $ORIGIN/../lib]", "  needed libc.so.6: system", "  needed libcuda.so.1: driver",
				"  needed libstdc++.so.6: found /lib/libstdc++.so.6 [RPATH $ORIGIN/../lib]",
				"  needed libssl.so.3: missing searched /bin/../lib /lib/x86_64-linux-gnu /usr/lib/x86_64-linux-gnu /lib64 /usr/lib64 /lib /usr/lib",
			},
		},
		"the driver's library is packed": {
			files: "p x86_64 rpath=$ORIGIN libcuda.so.1\nlibcuda.so.1 x86_64", root: "/p",
			want: []string{"  needed libcuda.so.1: driver /libcuda.so.1 [RPATH $ORIGIN]"},
		},
		"an empty entry": {
			files: "p x86_64 rpath=/none::/d liba.so\nd/liba.so x86_64", root: "/p",
			want: []string{"  needed liba.so: found /d/liba.so [RPATH /d] (current directory)"},
		},
		"an empty run path is none": {
			files: "p x86_64 rpath= liba.so\nliba.so x86_64", root: "/p",
			want: []string{"  needed liba.so: missing searched /lib/x86_64-linux-gnu /usr/lib/x86_64-linux-gnu /lib64 /usr/lib64 /lib /usr/lib"},
		},
		"an empty DT_RUNPATH still hides DT_RPATH": {
			files: "p x86_64 rpath=/d runpath= liba.so\nd/liba.so x86_64", root: "/p",
			want: []string{"  needed liba.so: missing searched /lib/x86_64-linux-gnu /usr/lib/x86_64-linux-gnu /lib64 /usr/lib64 /lib /usr/lib"},
		},
		"the interpreter's layout": {
			files: "p x86_64 " + interp + " rpath=/x/$LIB liba.so libb.so\nlib64 -> usr/lib64\nusr/lib64/ld-linux-x86-64.so.2 x86_64 soname=ld-linux-x86-64.so.2\nx/lib64/liba.so x86_64\nusr/lib64/libb.so x86_64", root: "/p",
			want: []string{"  needed liba.so: found /x/lib64/liba.so [RPATH /x/$LIB]", "  needed libb.so: found /usr/lib64/libb.so [default directory /lib64]"},
		},
		"aarch64": {
			files: "p aarch64 interp=/lib/ld-linux-aarch64.so.1 rpath=/d:/e liba.so libc.so.6\nd/liba.so x86_64\ne/liba.so aarch64", root: "/p",
			want: []string{"  needed liba.so: found /e/liba.so [RPATH /e]", "  needed libc.so.6: system"},
		},
		"passed over": {
			files: "p x86_64 rpath=/d liba.so libc.so.6\nd/liba.so aarch64\nd/libc.so.6 aarch64", root: "/p",
			want: []string{"    /d/liba.so is passed over: it is for aarch64, 64 bits", "  needed libc.so.6: system\n    /d/libc.so.6 is passed over: it is for aarch64, 64 bits"},
		},
		"the CPU's level": {
			files: "p x86_64 rpath=/d liba.so\nd/liba.so x86_64\nd/glibc-hwcaps/x86-64-v4/liba.so x86_64\nd/glibc-hwcaps/x86-64-v2/liba.so x86_64", root: "/p",
			opts: Options{CPU: "x86-64-v3"},
			want: []string{"  needed liba.so: found /d/glibc-hwcaps/x86-64-v2/liba.so [RPATH /d, glibc-hwcaps/x86-64-v2]"},
		},
		"a library with its program": {
			files: "bin/p x86_64 rpath=$ORIGIN/lib libx.so\nbin/lib/libx.so x86_64\nbin/lib/libz.so.1 x86_64\nsite/core.so x86_64 libmlx.so\nsite/libx.so x86_64\nsite/libmlx.so x86_64 libx.so libz.so.1\nbin/lib/libmlx.so -> ../../site/libmlx.so", root: "/site/core.so",
			opts: Options{Executable: "/bin/p"},
			want: []string{
				"  needed libmlx.so: found /site/libmlx.so [RPATH $ORIGIN/lib of p]", "  needed libx.so: found /bin/lib/libx.so [already loaded for p]",
				"  needed libz.so.1: found /bin/lib/libz.so.1 [RPATH $ORIGIN/lib of p]",
			},
		},
		"by name": {
			files: "p x86_64 rpath=$ORIGIN/lib libcudnn.so.9 dlopen:libzstd.so.1,libzstd.so.0 dlopen:liblz4.so.1\nlib/libcudnn.so.9 x86_64\nlib/libcudnn_ops.so.9.1 x86_64\nlib/libcudnn_ops.so.9 -> libcudnn_ops.so.9.1\nlib/libcudnn_ops.so.10 x86_64\nlib/libzstd.so.0 x86_64", root: "/p",
			opts: Options{ByName: true},
			want: []string{
				"  by-name libcudnn_ops.so.9: found /lib/libcudnn_ops.so.9.1 [RPATH $ORIGIN/lib of p]",
				"  dlopen libzstd.so.0: found /lib/libzstd.so.0 [RPATH $ORIGIN/lib]",
				"  by-name libcudnn_cnn.so.*: missing searched /lib /lib/x86_64-linux-gnu /usr/lib/x86_64-linux-gnu /lib64 /usr/lib64 /lib /usr/lib",
				"  dlopen liblz4.so.1: missing searched /lib /lib/x86_64-linux-gnu /usr/lib/x86_64-linux-gnu /lib64 /usr/lib64 /lib /usr/lib\n    recommended, for extras",
			},
		},
		"by a name that nobody could read": {
			files: "p x86_64 rpath=$ORIGIN libnvrtc.so.13\nlibnvrtc.so.13 x86_64\nlibnvrtc-builtins.so.13.2 x86_64", root: "/p",
			opts: Options{ByName: true},
			want: []string{`  by-name libnvrtc-builtins\.so\.[0-9]+\.[0-9]+: missing` + "\n    it was not looked for: which name libnvrtc.so.13 loads stands in bytes that are not at hand"},
		},
		"more that every machine has": {
			files: "p x86_64 libfoo.so.1 libbar.so.2", root: "/p", opts: Options{Base: Base(Linux).With("libfoo.so.*")},
			want: []string{"  needed libfoo.so.1: system"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			c.platform = Linux
			c.run(t)
		})
	}
}

func TestErrors(t *testing.T) {
	many := "p x86_64 rpath=$ORIGIN lib0.so\n"
	for i := range 30 {
		many += fmt.Sprintf("lib%d.so x86_64 lib%d.so\n", i, i+1)
	}
	for name, c := range map[string]struct {
		files, root string
		opts        Options
		is          error
		want        string
	}{
		"no file":      {"p x86_64", "/q", Options{}, fs.ErrNotExist, "dependencies of /q"},
		"no native":    {"p text", "/p", Options{}, objfile.ErrFormat, ""},
		"relative":     {"p x86_64", "p", Options{}, nil, `path "p" is not absolute`},
		"directory":    {"d/p x86_64", "/d", Options{}, nil, "is a directory"},
		"musl":         {"p x86_64 interp=/lib/ld-musl-x86_64.so.1", "/p", Options{}, ErrMusl, "interpreter is /lib/ld-musl-x86_64.so.1"},
		"platform":     {"p x86_64", "/p", Options{Platform: "windows"}, nil, "format elf"},
		"unknown":      {"p x86_64", "/p", Options{Platform: "plan9"}, nil, `unknown platform "plan9"`},
		"no such code": {"p x86_64", "/p", Options{Machine: "aarch64"}, nil, "no code for aarch64"},
		"many nodes":   {many, "/p", Options{MaxNodes: 20}, nil, "more than 20 files"},
		"no program":   {"p x86_64", "/p", Options{Executable: "/q"}, fs.ErrNotExist, ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Resolve(world(Linux, c.files), c.root, c.opts)
			if err == nil || !strings.Contains(err.Error(), c.want) || c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("got %v, want %q and %v", err, c.want, c.is)
			}
		})
	}
}

// TestHostile asks for more than any file would: it ends, soon.
func TestHostile(t *testing.T) {
	lots := func(n int, f func(int) string) []string {
		out := make([]string, n)
		for i := range out {
			out[i] = f(i)
		}
		return out
	}
	needs := func(names []string) (out []objfile.Need) {
		for _, n := range names {
			out = append(out, objfile.Need{Name: n})
		}
		return out
	}
	dirs := lots(4000, func(i int) string { return fmt.Sprintf("/%d/%s", i, strings.Repeat("x", 3000)) })
	names := lots(100000, func(i int) string { return fmt.Sprintf("@rpath/l%d", i) })
	for _, o := range []*objfile.Object{
		{Format: objfile.ELF, Machine: "x86_64", Bits: 64, Rpath: dirs, Needs: needs(names)},
		{Format: objfile.ELF, Machine: "x86_64", Bits: 64, Runpath: dirs, Needs: needs(lots(100000, func(i int) string { return fmt.Sprint("l", i) }))},
		{Format: objfile.ELF, Machine: "x86_64", Bits: 64, Rpath: []string{strings.Repeat("$ORIGIN", 500)}, Needs: needs(lots(100000, func(i int) string { return fmt.Sprint("l", i) }))},
		{Format: objfile.ELF, Machine: "x86_64", Bits: 64, Rpath: lots(1<<20, func(int) string { return "" }), Needs: needs(names[:1])},
		{Format: objfile.MachO, Machine: "x86_64", Bits: 64, Rpath: dirs, Needs: needs(names)},
		{Format: objfile.PE, Machine: "x86_64", Bits: 64, Needs: needs(lots(1<<20, func(i int) string { return fmt.Sprint("l", i) }))},
	} {
		for _, view := range []View{
			Files(map[string]Entry{"d/p": {Objects: []*objfile.Object{o}}}),
			overlay{Disk(""), o},
		} {
			tree, err := Resolve(view, "/d/p", Options{Platform: map[objfile.Format]string{objfile.ELF: Linux, objfile.PE: Windows, objfile.MachO: MacOS}[o.Format]})
			if err == nil && len(tree.Nodes) != 1 || err != nil && !strings.Contains(err.Error(), "more than") {
				t.Errorf("%s: %v", o.Format, err)
			}
		}
	}
}

// overlay is a disk with one more file.
type overlay struct {
	*DiskView
	o *objfile.Object
}

func (v overlay) Object(p string) ([]*objfile.Object, string, error) {
	if p == "/d/p" {
		return []*objfile.Object{v.o}, p, nil
	}
	return v.DiskView.Object(p)
}

func TestBase(t *testing.T) {
	for platform, names := range map[string][]string{
		Linux:   {"libc.so.6", "libstdc++.so.6", "libz.so.1", "ld-linux-aarch64.so.1"},
		Windows: {"KERNEL32.dll", "bcryptprimitives.dll", "ws2_32.dll", "dbghelp.dll", "dxgi.dll", "ucrtbase.dll", "msvcrt.dll"},
		MacOS:   {"/usr/lib/libSystem.B.dylib", "/System/Library/Frameworks/Metal.framework/Versions/A/Metal"},
	} {
		b := Base(platform)
		if b.Source() == "" {
			t.Error(platform, "names no source")
		}
		for _, n := range names {
			if !b.Has(n) {
				t.Errorf("%s: no %s", platform, n)
			}
		}
	}
	for platform, names := range map[string][]string{
		Linux:   {"libssl.so.3", "libgomp.so.1", "LIBC.so.6", "libcuda.so.1"},
		Windows: {"vcruntime140.dll", "msvcp140.dll", "vcomp140.dll", "nvcuda.dll"},
		MacOS:   {"/usr/local/lib/libx.dylib", "/opt/homebrew/lib/libz.dylib"},
		"other": {"libc.so.6"},
	} {
		for _, n := range names {
			if Base(platform).Has(n) {
				t.Errorf("%s: has %s", platform, n)
			}
		}
	}
	if !Base(Windows).Known("Kernel32.DLL") || Base(Windows).Known("dbghelp.dll") {
		t.Error("known DLLs")
	}
}
