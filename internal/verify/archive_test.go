package verify_test

import (
	"io/fs"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/relmat/relmat/internal/manifest"
	"github.com/relmat/relmat/internal/verify"
)

var linkChecks = []check{
	{name: "a chain of links", make: func(t tree) {
		t.lib("lib/libx.so.1.2", soname("libx.so.1"))
		t.link("lib/libx.so.1", "libx.so.1.2")
		t.link("lib/libx.so", "libx.so.1")
		t.link("also", "lib")
	}},
	{name: "stored three times", make: func(t tree) {
		t.lib("lib/libx.so.1.2", soname("libx.so.1"))
		for _, p := range []string{"lib/libx.so", "lib/libx.so.1"} {
			t.writeMode(p, string(t.read("lib/libx.so.1.2")), 0o755)
		}
	}, options: packed("p/"), want: []string{"error p/lib/libx.so: is stored 3 times under the names of a chain of links: libx.so, libx.so.1, libx.so.1.2"}},
	{name: "out of the package", make: func(t tree) {
		t.link("etc", "/etc")
		t.link("up", "../../other")
		t.link("gone", "lib/nothing")
	}, want: []string{
		"error etc: is a link to /etc, out of the package",
		"error gone: is a link to lib/nothing, which is not there",
		"error up: is a link to ../../other, out of the package",
	}},
	{name: "in a circle", make: func(t tree) {
		t.link("a", "b")
		t.link("b", "a")
		t.link("c", "c/d")
		t.link("e", "a")
	}, want: []string{
		"error a: is a link to b, which leads in a circle", "error b: is a link to a, which leads in a circle",
		"error c: is a link to c/d, which leads in a circle, or through more than 40 links", "error e: is a link to a, which leads in a circle",
	}},
	{name: "hard links", make: func(t tree) { t.write("a", "x\n") }, options: func(t tree, o *verify.Options) {
		o.Path = filepath.Join(t.TempDir(), "p.tar.gz")
		tarOf(t.T, o.Path, member{name: "a", content: "x\n", mode: 0o644}, member{name: "b", link: "hard:a", mode: 0o644}, member{name: "c", link: "hard:d", mode: 0o644})
	}, want: []string{"error c: is a link to d, which is not there"}},
}

var modeChecks = []check{
	{name: "as they should be", make: func(t tree) {
		t.exe("bin/app")
		t.write("a.txt", "x\n")
	}},
	{name: "a program that cannot be run", make: func(t tree) {
		t.exe("bin/app")
		t.writeMode("bin/app", string(t.read("bin/app")), 0o644)
	}, want: []string{"error bin/app: is a program and has the permissions 0644"}},
	{name: "a zip from Windows", make: func(t tree) { t.exe("bin/app") }, options: func(t tree, o *verify.Options) {
		o.Path = filepath.Join(t.TempDir(), "p.zip")
		zipOf(t.T, o.Path, 0, t.members()...)
	}, want: []string{"error bin/app: is a program, and the archive keeps no permissions"}},
	{name: "a program for Windows", make: func(t tree) { t.pe("app.exe", dll{exe: true}) }, options: func(t tree, o *verify.Options) {
		o.Path = filepath.Join(t.TempDir(), "p.zip")
		zipOf(t.T, o.Path, 0, t.members()...)
	}},
	{name: "a wheel", make: func(t tree) {
		t.exe("p/app")
		t.wheel("manylinux_2_35_x86_64")
	}, options: func(t tree, o *verify.Options) {
		o.Path = filepath.Join(t.TempDir(), "p.whl")
		members := t.members()
		for i := range members {
			members[i].mode = 0o664
		}
		zipOf(t.T, o.Path, 3, members...)
	}},
	{name: "no files", make: func(t tree) { t.write("a", "x\n") }, options: func(t tree, o *verify.Options) {
		o.Path = filepath.Join(t.TempDir(), "p.tar")
		out, err := exec.Command("python3", "-c", `import sys, tarfile
t = tarfile.open(sys.argv[1], "w")
for name, kind in ("null", tarfile.CHRTYPE), ("pipe", tarfile.FIFOTYPE), ("sda", tarfile.BLKTYPE):
    i = tarfile.TarInfo(name)
    i.type = kind
    t.addfile(i)
t.close()`, o.Path).CombinedOutput()
		if err != nil {
			t.Fatalf("python3: %v\n%s", err, out)
		}
	}, want: []string{"error null: is a device", "error pipe: is a named pipe", "error sda: is a device"}},
	{name: "a pipe in a directory", make: func(t tree) {
		if out, err := exec.Command("mkfifo", t.path("pipe")).CombinedOutput(); err != nil {
			t.Fatalf("mkfifo: %v\n%s", err, out)
		}
	}, want: []string{"error pipe: is a named pipe"}},
	{name: "for everybody to write", make: func(t tree) { t.write("a", "x\n") }, options: func(t tree, o *verify.Options) {
		o.Path = filepath.Join(t.TempDir(), "p.tar.gz")
		tarOf(t.T, o.Path, member{name: "a", content: "x\n", mode: 0o664}, member{name: "b", content: "x\n", mode: 0o755 | fs.ModeSetuid})
	}, want: []string{
		"error b: runs with the rights of its owner or group",
		"warning : 1 file can be written by more users than the owner",
	}},
}

var nameChecks = []check{
	{name: "good ones", make: func(t tree) {
		t.write("a/ü b.txt", "x\n")
		t.write("console.txt", "x\n")
		t.write("null", "x\n")
	}},
	{name: "bad ones", make: func(t tree) { t.write("a", "x\n") }, options: func(t tree, o *verify.Options) {
		o.Path = filepath.Join(t.TempDir(), "p.tar.gz")
		var members []member
		for _, n := range []string{"A/x", "a/y", "aux.h", "dir./f", "end ", "what?", "../out", "/etc/passwd", "twice", "twice", "b\x01", strings.Repeat("long/", 50) + "f"} {
			members = append(members, member{name: n, content: "x\n", mode: 0o644})
		}
		tarOf(t.T, o.Path, members...)
	}, want: []string{
		"error ../out: leads out of the directory",
		"error /etc/passwd: leads out of the directory",
		"error a: differs from A in capital letters alone",
		"error aux.h: Windows keeps the name aux.h for a device",
		"error b\x01: Windows cannot have the name \"b\\x01\"",
		"error dir./f: the name \"dir.\" ends with a point or a space",
		"error end : the name \"end \" ends with a point or a space",
		"error twice: stands twice in the archive",
		"error what?: Windows cannot have the name \"what?\"",
		"warning " + strings.Repeat("long/", 50) + "f: is a path of 251 characters",
	}},
}

// A zip may hold below a file, or below a link, what no system has there.
var belowChecks = []check{
	{name: "below a directory", make: func(t tree) { t.write("a", "x\n") }, options: func(t tree, o *verify.Options) {
		o.Path = filepath.Join(t.TempDir(), "p.zip")
		zipOf(t.T, o.Path, 3, member{name: "d/", mode: fs.ModeDir | 0o755}, member{name: "d/f", content: "x\n", mode: 0o644}, member{name: "d/", mode: fs.ModeDir | 0o755})
	}},
	{name: "below a file", make: func(t tree) { t.write("a", "x\n") }, options: func(t tree, o *verify.Options) {
		o.Path = filepath.Join(t.TempDir(), "p.zip")
		zipOf(t.T, o.Path, 3, member{name: "f", content: "x\n", mode: 0o644}, member{name: "f/g/h", content: "x\n", mode: 0o644}, member{name: "f/i", content: "x\n", mode: 0o644})
		refused(t, o.Path)
	}, want: []string{"error f: is a file, and f/g/h lies below it: it cannot be unpacked"}},
	{name: "below a file in other letters", make: func(t tree) { t.write("a", "x\n") }, options: func(t tree, o *verify.Options) {
		o.Path = filepath.Join(t.TempDir(), "p.zip")
		zipOf(t.T, o.Path, 3, member{name: "d/F", content: "x\n", mode: 0o644}, member{name: "d/f/g", content: "x\n", mode: 0o644})
	}, want: []string{"error d/f: differs from d/F in capital letters alone"}},
	{name: "below a link", make: func(t tree) { t.write("a", "x\n") }, options: func(t tree, o *verify.Options) {
		o.Path = filepath.Join(t.TempDir(), "p.zip")
		zipOf(t.T, o.Path, 3, member{name: "p/d/f", content: "x\n", mode: 0o644}, member{name: "p/l", link: "d", mode: fs.ModeSymlink | 0o777}, member{name: "p/l/x", content: "x\n", mode: 0o644})
		refused(t, o.Path)
	}, want: []string{"error p/l: is a link, and p/l/x lies below it: it cannot be unpacked"}},
	{name: "a file that is also a directory", make: func(t tree) { t.write("a", "x\n") }, options: func(t tree, o *verify.Options) {
		o.Path = filepath.Join(t.TempDir(), "p.zip")
		zipOf(t.T, o.Path, 3, member{name: "f", content: "x\n", mode: 0o644}, member{name: "f/", mode: fs.ModeDir | 0o755})
		refused(t, o.Path)
	}, want: []string{"error f: stands twice in the archive"}},
}

// refused wants unzip to say that a zip cannot be unpacked.
func refused(t tree, zip string) {
	t.Helper()
	if out, err := exec.Command("unzip", "-n", zip, "-d", filepath.Join(t.TempDir(), "out")).CombinedOutput(); err == nil {
		t.Errorf("unzip takes it:\n%s", out)
	}
}

// noise is content that cannot be compressed.
func noise(n int) string {
	data := make([]byte, n)
	rand.New(rand.NewSource(1)).Read(data)
	return string(data)
}

var sizeChecks = []check{
	{name: "small", make: func(t tree) { t.write("a", noise(1000)) }},
	{name: "a directory", make: func(t tree) {
		t.write("a", noise(200_000))
		t.write("b", strings.Repeat("x", 200_000))
	}, options: func(_ tree, o *verify.Options) { o.MaxAsset = 150_000 }, want: []string{"error : an archive of it will have about"}},
	{name: "perhaps too large", make: func(t tree) { t.write("a", noise(200_000)) }, options: func(_ tree, o *verify.Options) {
		o.MaxAsset = 200_000
	}, want: []string{"warning : which may be too much"}},
	{name: "a directory that packs well", make: func(t tree) { t.write("b", strings.Repeat("x", 200_000)) }, options: func(_ tree, o *verify.Options) { o.MaxAsset = 150_000 }},
	{name: "an archive", make: func(t tree) { t.write("a", noise(200_000)) }, options: func(t tree, o *verify.Options) {
		packed("")(t, o)
		o.MaxAsset = 200_000
	}, want: []string{"error : the archive has 200"}},
}

var manifestChecks = []check{
	{name: "none", make: func(t tree) { t.write("a", "x\n") }},
	{name: "somebody else's", make: func(t tree) { t.write("manifest.json", `{"name": "an extension", "version": 3}`) }},
	{name: "as it says", make: func(t tree) {
		t.exe("bin/app")
		t.write("a", "x\n")
		t.manifest(nil)
	}, options: packed("p-1/")},
	{name: "changed", make: func(t tree) {
		for _, p := range []string{"changed", "longer", "gone", "run"} {
			t.write(p, "one\n")
		}
		t.manifest(func(m *manifest.Manifest) { m.Programs = map[string]string{"p": "gone"} })
		t.write("changed", "two\n")
		t.write("longer", "three\n")
		t.writeMode("run", "one\n", 0o755)
		t.write("more", "one\n")
		if err := os.Remove(t.path("gone")); err != nil {
			t.Fatal(err)
		}
	}, want: []string{
		"error changed: has other content than the manifest says",
		"error gone: is in the manifest and not in the package",
		"error gone: is the program p, and not in the package",
		"error longer: has 6 bytes, and the manifest says 4",
		"error more: is in the package and not in the manifest",
		"error run: has the permissions 0755, and the manifest says 0644",
	}},
	{name: "damaged", make: func(t tree) { t.write("manifest.json", `{"schema": 1, "files": [{"path": "../x", "mode": "0644"}]}`) }, want: []string{
		"error manifest.json: the list of what the package holds is damaged",
	}},
	{name: "cut short", make: func(t tree) {
		t.write("a", "x\n")
		t.manifest(nil)
		t.write("manifest.json", string(t.read("manifest.json")[:50]))
	}, want: []string{"error manifest.json: the list of what the package holds is damaged: it is no JSON: unexpected end of JSON input"}},
	{name: "empty", make: func(t tree) { t.write("manifest.json", "") }, options: packed("p/"), want: []string{
		"error manifest.json: the list of what the package holds is damaged: it is empty",
	}},
	{name: "of libraries, and empty", make: func(t tree) { t.write("manifest-libs.json", "\n") }, want: []string{
		"error manifest-libs.json: the list of what the package holds is damaged: it is empty",
	}},
	{name: "without its keys", make: func(t tree) { t.write("manifest.json", `{"schema": 1, "project": "p", "target": "x"}`) }, want: []string{
		"error manifest.json: the list of what the package holds is damaged: it lacks version, triple, package, files",
	}},
	{name: "of a later relmat", make: func(t tree) { t.write("manifest.json", `{"schema": 2}`) }, want: []string{
		"error manifest.json: schema 2 is unknown",
	}},
	{name: "the target's", make: func(t tree) {
		t.write("a", "x\n")
		t.manifest(nil)
	}, promise: func(t *verify.Target) { t.Project = "p" }},
	{name: "another project's", make: func(t tree) {
		t.write("a", "x\n")
		t.manifest(nil)
	}, promise: func(t *verify.Target) { t.Project = "q" }, want: []string{"error manifest.json: says project p, and it is verified as one of q"}},
	{name: "another target's", make: func(t tree) {
		t.write("a", "x\n")
		t.manifest(func(m *manifest.Manifest) { m.Target = "there" })
	}, promise: func(*verify.Target) {}, want: []string{"error manifest.json: says target there, and it is verified as one of here"}},
	{name: "another package's", make: func(t tree) {
		t.write("a", "x\n")
		t.manifest(func(m *manifest.Manifest) { m.Package = "other" })
	}, promise: func(*verify.Target) {}, want: []string{"error manifest.json: says package other, and it is verified as one of p"}},
	{name: "the target's, with libraries over it", make: func(t tree) {
		t.write("a", "x\n")
		t.manifest(nil)
		t.write("lib/b", "x\n")
		t.manifest(func(m *manifest.Manifest) {
			m.Package, m.RuntimeOf = "p-runtime", []string{"p"}
			m.Files = m.Files[1:]
		})
	}, promise: func(*verify.Target) {}},
	{name: "a package of libraries over it", make: func(t tree) {
		t.write("a", "x\n")
		t.manifest(nil)
		t.write("lib/b", "x\n")
		t.manifest(func(m *manifest.Manifest) {
			m.Package, m.RuntimeOf = "p-runtime", []string{"p"}
			m.Files = m.Files[1:]
		})
	}},
	{name: "a wheel", make: func(t tree) {
		t.write("p/a.py", "x\n")
		t.wheel("manylinux_2_35_x86_64")
	}, options: packed("")},
	{name: "a wheel that was changed", make: func(t tree) {
		t.write("p/a.py", "x\n")
		t.write("p/b.py", "x\n")
		t.wheel("manylinux_2_35_x86_64")
		t.write("p/a.py", "y\n")
		t.write("p/c.py", "x\n")
		if err := os.Remove(t.path("p/b.py")); err != nil {
			t.Fatal(err)
		}
	}, options: packed(""), want: []string{
		"error p/a.py: has other content than RECORD says",
		"error p/b.py: is in the wheel's RECORD and not in the wheel",
		"error p/c.py: is in the wheel and not in its RECORD",
	}},
	{name: "damaged files", make: func(t tree) {
		t.exe("bin/app")
		data := t.read("bin/app")
		t.writeMode("bin/app", string(data[:len(data)/2]), 0o755)
	}, want: []string{"error bin/app: cannot be read"}},
}
