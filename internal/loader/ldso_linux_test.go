package loader

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// bench builds ELF files with the assembler and linker, for the machine's own
// ld.so to load.
type bench struct {
	t      *testing.T
	dir    string
	object string
	env    []string
	cwd    string
	root   string
}

var interps = map[string]string{
	"amd64": "/lib64/ld-linux-x86-64.so.2",
	"arm64": "/lib/ld-linux-aarch64.so.1",
}

func newBench(t *testing.T) *bench {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, dir: dir, object: filepath.Join(dir, "empty.o")}
	b.run("as", "-o", b.object, "/dev/null")
	return b
}

func (b *bench) run(name string, args ...string) string {
	b.t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		b.t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

func (b *bench) path(p string) string {
	p = filepath.Join(b.dir, p)
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		b.t.Fatal(err)
	}
	return p
}

// stub is what a file is linked with to need a name.
func (b *bench) stub(name string) string {
	p := b.path("stubs/" + strings.ReplaceAll(name, "/", "%"))
	if _, err := os.Stat(p); err != nil {
		b.run("ld", "-shared", "-o", p, "-soname", name, b.object)
	}
	return p
}

// do obeys one line: see the cases.
func (b *bench) do(line string) {
	line = strings.ReplaceAll(line, "TOP", b.dir)
	words := strings.Fields(line)
	switch words[0] {
	case "exe", "lib", "lib32":
		out := b.path(words[1])
		object, args := b.object, []string{"-o", out, "--no-as-needed", "--unresolved-symbols=ignore-all", "-z", "now"}
		switch words[0] {
		case "exe":
			args = append(args, "-pie", "-dynamic-linker", interps[runtime.GOARCH], "-e", "0")
			b.root = words[1]
		case "lib32":
			object = b.path("empty32.o")
			b.run("as", "--32", "-o", object, "/dev/null")
			args = append(args, "-m", "elf_i386", "-shared")
		default:
			args = append(args, "-shared")
		}
		soname := filepath.Base(words[1])
		for _, w := range words[2:] {
			key, value, _ := strings.Cut(w, "=")
			switch key {
			case "soname":
				soname = value
			case "rpath":
				args = append(args, "--disable-new-dtags", "-rpath", value)
			case "runpath":
				args = append(args, "--enable-new-dtags", "-rpath", value)
			case "needs":
				for n := range strings.SplitSeq(value, ",") {
					args = append(args, b.stub(n))
				}
			default:
				b.t.Fatalf("unknown word %q", w)
			}
		}
		if soname != "" && words[0] != "exe" {
			args = append(args, "-soname", soname)
		}
		b.run("ld", append(args, object)...)
	case "link":
		if err := os.Symlink(words[2], b.path(words[1])); err != nil {
			b.t.Fatal(err)
		}
	case "text":
		if err := os.WriteFile(b.path(words[1]), []byte(strings.Repeat("INPUT(libx.so)\n", 10)), 0o644); err != nil {
			b.t.Fatal(err)
		}
	case "machine": // an ELF file for no machine that runs this
		p := b.path(words[1])
		data, err := os.ReadFile(p)
		if err != nil {
			b.t.Fatal(err)
		}
		data[18], data[19] = 43, 0 // SPARC v9
		if err := os.WriteFile(p, data, 0o644); err != nil {
			b.t.Fatal(err)
		}
	case "dir":
		if err := os.MkdirAll(b.path(words[1]), 0o755); err != nil {
			b.t.Fatal(err)
		}
	case "env":
		b.env = strings.Split(words[1], ":")
	case "cwd":
		b.cwd = b.path(words[1])
	case "root":
		b.root = words[1]
	default:
		b.t.Fatalf("unknown line %q", line)
	}
}

var traceLine = regexp.MustCompile(`^\t(\S.*?)(?: => (.*?))?(?: \(0x[0-9a-f]+\))?$`)

// traced is what ld.so says that it loads: real paths in order, without itself
// and the vDSO, and the names that it does not find.
type traced struct {
	loaded, missing []string
	failed          string
}

// trace asks ld.so itself.
func trace(t *testing.T, root, cwd string, env []string) traced {
	t.Helper()
	cmd := exec.Command(root)
	if !strings.Contains(filepath.Base(root), ".so") {
		cmd.Env = []string{"LD_TRACE_LOADED_OBJECTS=1"}
	} else {
		cmd = exec.Command(interps[runtime.GOARCH], root)
		cmd.Env = []string{"LD_TRACE_LOADED_OBJECTS=1"}
	}
	if len(env) > 0 {
		cmd.Env = append(cmd.Env, "LD_LIBRARY_PATH="+strings.Join(env, ":"))
	}
	cmd.Dir = cwd
	out, err := cmd.CombinedOutput()
	if err != nil {
		return traced{failed: string(out)}
	}
	var tr traced
	for line := range strings.Lines(string(out)) {
		m := traceLine.FindStringSubmatch(strings.TrimSuffix(line, "\n"))
		if m == nil {
			t.Fatalf("ld.so printed %q", line)
		}
		name, p := m[1], m[2]
		if p == "" {
			p = name
		}
		switch {
		case strings.Contains(name, "linux-vdso") || name == "statically linked" || p == interps[runtime.GOARCH]:
			continue
		case p == "not found":
			if !slices.Contains(tr.missing, name) {
				tr.missing = append(tr.missing, name)
			}
			continue
		}
		if !filepath.IsAbs(p) {
			p = filepath.Join(cwd, p)
		}
		real, err := filepath.EvalSymlinks(p)
		if err != nil {
			t.Fatal(err)
		}
		tr.loaded = append(tr.loaded, real)
	}
	return tr
}

// ours is the same from our tree.
func ours(tree *Tree) traced {
	var tr traced
	interp, _ := filepath.EvalSymlinks(interps[runtime.GOARCH])
	for _, p := range tree.Order {
		if p != tree.Root && p != interp {
			tr.loaded = append(tr.loaded, p)
		}
		for _, e := range tree.Nodes[p].Edges {
			if e.Path == "" && !slices.Contains(tr.missing, e.Name) {
				tr.missing = append(tr.missing, e.Name)
			}
			if strings.Contains(e.Hint, "ld.so stops there") {
				tr.failed = e.Hint
			}
		}
	}
	slices.Sort(tr.missing)
	return tr
}

// level is the best glibc-hwcaps directory that ld.so uses on this CPU.
func level(t *testing.T) string {
	out, err := exec.Command(interps[runtime.GOARCH], "--help").Output()
	if err != nil {
		t.Fatal(err)
	}
	if m := regexp.MustCompile(`(\S+) \(supported, searched\)`).FindSubmatch(out[strings.Index(string(out), "glibc-hwcaps"):]); m != nil && strings.HasPrefix(string(m[1]), "x86-64-") {
		return string(m[1])
	}
	return "none"
}

// cases are arrangements of files. A line is one of
//
//	exe PATH | lib PATH | lib32 PATH, each with soname=, rpath= (DT_RPATH), runpath=, needs=NAME,NAME
//	link PATH TARGET | text PATH | machine PATH (make it foreign) | dir PATH
//	env DIRS | cwd DIR | root PATH
//
// and TOP is the directory of them all.
var cases = map[string]string{
	"rpath":                    "exe p rpath=TOP/d needs=liba.so\nlib d/liba.so",
	"runpath":                  "exe p runpath=TOP/d needs=liba.so\nlib d/liba.so",
	"none":                     "exe p needs=liba.so\nlib d/liba.so",
	"rpath inherited":          "exe p rpath=TOP/d needs=liba.so\nlib d/liba.so needs=libb.so\nlib d/libb.so needs=libc1.so\nlib d/libc1.so",
	"runpath not inherited":    "exe p runpath=TOP/d needs=liba.so\nlib d/liba.so needs=libb.so\nlib d/libb.so",
	"rpath of the middle":      "exe p runpath=TOP/d needs=liba.so\nlib d/liba.so rpath=TOP/e needs=libb.so\nlib e/libb.so needs=libc1.so\nlib e/libc1.so",
	"runpath hides rpaths":     "exe p rpath=TOP/d:TOP/e needs=liba.so\nlib d/liba.so runpath=TOP/f needs=libb.so\nlib e/libb.so\ndir f",
	"runpath in the chain":     "exe p rpath=TOP/d:TOP/e needs=liba.so\nlib d/liba.so runpath=TOP/f needs=libb.so\nlib f/libb.so needs=libc1.so\nlib e/libc1.so",
	"nearest rpath first":      "exe p rpath=TOP/d:TOP/e needs=liba.so\nlib d/liba.so rpath=TOP/f needs=libb.so\nlib e/libb.so\nlib f/libb.so",
	"other parent's rpath":     "exe p rpath=TOP/d needs=liba.so,libb.so\nlib d/liba.so rpath=TOP/e\nlib d/libb.so needs=libx.so\nlib e/libx.so",
	"loader is the first":      "exe p rpath=TOP/d needs=liba.so,libb.so\nlib d/liba.so rpath=TOP/e needs=libc1.so\nlib d/libb.so rpath=TOP/f needs=libc1.so\nlib d/libc1.so needs=libx.so\nlib e/libx.so\nlib f/libx.so",
	"env after rpath":          "exe p rpath=TOP/d needs=liba.so\nlib d/liba.so\nlib e/liba.so\nenv TOP/e",
	"env before runpath":       "exe p runpath=TOP/d needs=liba.so\nlib d/liba.so\nlib e/liba.so\nenv TOP/none:TOP/e",
	"env with origin":          "exe bin/p needs=liba.so\nlib lib/liba.so needs=libb.so\nlib lib/libb.so\nenv $ORIGIN/../lib",
	"env with empty":           "exe bin/p needs=liba.so\nlib w/liba.so\nenv :TOP/e\ncwd w",
	"origin":                   "exe bin/p rpath=$ORIGIN/../lib needs=liba.so\nlib lib/liba.so runpath=${ORIGIN}/sub needs=libb.so\nlib lib/sub/libb.so",
	"origin of a linked exe":   "exe real/p rpath=$ORIGIN/lib needs=liba.so\nlib real/lib/liba.so\nlib bin/lib/liba.so\nlink bin/p ../real/p\nroot bin/p",
	"origin of a linked lib":   "exe p rpath=TOP/d needs=liba.so\nlib real/liba.so runpath=$ORIGIN/sub needs=libb.so\nlink d/liba.so ../real/liba.so\nlib real/sub/libb.so\nlib d/sub/libb.so",
	"origin of a linked dir":   "exe p rpath=TOP/d/l/../lib needs=liba.so\nlink d/l ../far/away\ndir far/away\nlib far/lib/liba.so\nlib d/lib/liba.so",
	"no such token":            "exe p rpath=$ORIGINS:${ORIGIN:$OTHER:$ORIGIN/d needs=liba.so\nlib d/liba.so",
	"origin with a tail":       "exe bin/p rpath=$ORIGIN-x/lib needs=liba.so\nlib bin-x/lib/liba.so",
	"platform":                 "exe p rpath=$ORIGIN/$PLATFORM needs=liba.so\nlib x86_64/liba.so\nlib aarch64/liba.so",
	"lib":                      "exe p rpath=$ORIGIN/${LIB} needs=liba.so\nlib lib/x86_64-linux-gnu/liba.so\nlib lib/aarch64-linux-gnu/liba.so\nlib lib64/liba.so\nlib lib/liba.so",
	"soname loaded before":     "exe p rpath=TOP/d needs=liby.so,libb.so\nlib d/liby.so soname=libx.so\nlib d/libb.so needs=libx.so\nlib d/libx.so",
	"soname loaded after":      "exe p rpath=TOP/d needs=libb.so,liby.so\nlib d/liby.so soname=libx.so\nlib d/libb.so needs=libx.so\nlib d/libx.so",
	"name loaded before":       "exe p rpath=TOP/d needs=liba.so,libb.so\nlib d/liba.so soname=libother.so\nlib d/libb.so rpath=TOP/e needs=liba.so,libother.so\nlib e/liba.so\nlib e/libother.so",
	"no soname":                "exe p rpath=TOP/d needs=liba.so,libb.so\nlib d/liba.so soname=\nlib d/libb.so rpath=TOP/e needs=liba.so\nlib e/liba.so",
	"breadth first":            "exe p rpath=TOP/d needs=liba.so,libb.so\nlib d/liba.so rpath=TOP/e needs=libx.so\nlib d/libb.so rpath=TOP/f needs=libc1.so\nlib f/libc1.so rpath=TOP/f needs=libx.so\nlib e/libx.so\nlib f/libx.so",
	"first of two":             "exe p runpath=TOP/d needs=liba.so,libx.so\nlib d/liba.so runpath=TOP/e needs=libx.so\nlib e/libx.so\nlib d/libx.so",
	"links to one file":        "exe p rpath=TOP/d needs=liba.so,libb.so\nlib d/libreal.so soname=\nlink d/liba.so libreal.so\nlink d/libb.so libreal.so",
	"chain of links":           "exe p rpath=TOP/d needs=liba.so.1\nlib d/liba.so.1.2.3 soname=liba.so.1 needs=libb.so\nlink d/liba.so.1 liba.so.1.2\nlink d/liba.so.1.2 TOP/d/liba.so.1.2.3\nlib d/libb.so",
	"link to itself":           "exe p rpath=TOP/d:TOP/e needs=liba.so\nlink d/liba.so liba.so\nlib e/liba.so",
	"dangling link":            "exe p rpath=TOP/d:TOP/e needs=liba.so\nlink d/liba.so gone.so\nlib e/liba.so",
	"foreign machine":          "exe p rpath=TOP/d:TOP/e needs=liba.so\nlib d/liba.so\nmachine d/liba.so\nlib e/liba.so",
	"foreign machine only":     "exe p rpath=TOP/d needs=liba.so\nlib d/liba.so\nmachine d/liba.so",
	"text file":                "exe p rpath=TOP/d:TOP/e needs=liba.so\ntext d/liba.so\nlib e/liba.so",
	"directory":                "exe p rpath=TOP/d:TOP/e needs=liba.so\ndir d/liba.so\nlib e/liba.so",
	"entry is a file":          "exe p rpath=TOP/d/liba.so:TOP/d needs=liba.so\nlib d/liba.so",
	"absolute need":            "exe p needs=TOP/d/liba.so,libb.so\nlib d/liba.so rpath=$ORIGIN needs=libb.so\nlib d/libb.so",
	"absolute need is missing": "exe p rpath=TOP/d needs=TOP/e/liba.so\nlib d/liba.so",
	"need with origin":         "exe bin/p needs=$ORIGIN/../d/liba.so\nlib d/liba.so",
	"relative need":            "exe bin/p needs=./d/liba.so\nlib w/d/liba.so runpath=$ORIGIN/e needs=libb.so\nlib w/d/e/libb.so\ncwd w",
	"empty entry":              "exe bin/p rpath=:TOP/d needs=liba.so\nlib w/liba.so rpath=$ORIGIN/e needs=libb.so\nlib w/e/libb.so\nlib d/liba.so\ncwd w",
	"relative entry":           "exe bin/p runpath=e/f needs=liba.so\nlib w/e/f/liba.so\ncwd w",
	"cycle":                    "exe p rpath=TOP/d needs=liba.so\nlib d/liba.so needs=libb.so\nlib d/libb.so needs=liba.so,libb.so",
	"library as root":          "lib d/liba.so rpath=$ORIGIN needs=libb.so\nlib d/libb.so needs=liba.so\nroot d/liba.so",
	"system":                   "exe p rpath=TOP/d needs=libm.so.6,liba.so\nlib d/liba.so needs=libc.so.6,libgcc_s.so.1",
	"system replaced":          "exe p rpath=TOP/d needs=liba.so,libm.so.6\nlib d/liba.so needs=libstdc++.so.6\nlib d/libstdc++.so.6 needs=libm.so.6",
	"missing twice":            "exe p rpath=TOP/d needs=liba.so,libb.so\nlib d/liba.so needs=libx.so\nlib d/libb.so rpath=TOP/e needs=libx.so\nlib e/libx.so",
	"hwcaps":                   "exe p rpath=TOP/d needs=liba.so,libb.so,libc1.so\nlib d/liba.so\nlib d/glibc-hwcaps/x86-64-v2/liba.so\nlib d/glibc-hwcaps/x86-64-v3/libb.so\nlib d/glibc-hwcaps/x86-64-v2/libb.so\nlib d/glibc-hwcaps/x86-64-v1/libc1.so\nlib d/libc1.so",
	"hwcaps before the next":   "exe p rpath=TOP/d:TOP/e needs=liba.so\nlib d/liba.so\nlib e/glibc-hwcaps/x86-64-v2/liba.so",
	"trailing slashes":         "exe p rpath=TOP/none//:TOP/d/// needs=liba.so\nlib d/liba.so",
	"interpreter is needed":    "exe p rpath=TOP/d needs=ld-linux-x86-64.so.2,liba.so\nlib d/liba.so needs=ld-linux-x86-64.so.2",
}

func TestLdso(t *testing.T) {
	cpu := level(t)
	if runtime.GOARCH == "amd64" {
		cases["foreign class"] = "exe p rpath=TOP/d:TOP/e needs=liba.so\nlib32 d/liba.so\nlib e/liba.so"
		cases["foreign class only"] = "exe p rpath=TOP/d needs=liba.so\nlib32 d/liba.so"
	}
	for name, text := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.cwd = b.dir
			for line := range strings.SplitSeq(text, "\n") {
				b.do(line)
			}
			root := b.path(b.root)
			want := trace(t, root, b.cwd, b.env)
			slices.Sort(want.missing)
			tree, err := Resolve(Disk(""), root, Options{Env: b.env, Dir: b.cwd, CPU: cpu})
			if err != nil {
				t.Fatal(err)
			}
			got := ours(tree)
			if want.failed != "" {
				if got.failed == "" {
					t.Errorf("ld.so says %q, ours has %+v", want.failed, got)
				}
				return
			}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("\nld.so: %+v\nours:  %+v\n%s", want, got, text)
			}
		})
	}
}
