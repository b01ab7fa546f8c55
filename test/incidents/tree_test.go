package incidents

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/relmat/relmat/internal/archive"
	"github.com/relmat/relmat/internal/manifest"
)

// tree is a package that is being made.
type tree struct {
	t   *testing.T
	dir string
	// scratch holds sources and what else is not packed.
	scratch string
	n       int
	// known are the vendors' files as they came, follow lets the packer follow
	// links.
	known  [][]byte
	follow bool
	packed map[string]string
}

func newTree(t *testing.T) *tree {
	t.Helper()
	dir := t.TempDir()
	p := &tree{t: t, dir: filepath.Join(dir, "app"), scratch: filepath.Join(dir, "scratch"), packed: map[string]string{}}
	for _, d := range []string{p.dir, p.scratch} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	p.file("LICENSE", "The app is in the public domain.\n")
	return p
}

// at is where a file of the package lies.
func (p *tree) at(path string) string { return filepath.Join(p.dir, filepath.FromSlash(path)) }

func (p *tree) file(path, text string) { p.put(path, []byte(text), 0o644) }

func (p *tree) put(path string, data []byte, mode os.FileMode) {
	p.t.Helper()
	if err := os.MkdirAll(filepath.Dir(p.at(path)), 0o755); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(p.at(path), data, mode); err != nil {
		p.t.Fatal(err)
	}
}

func (p *tree) remove(path string) {
	p.t.Helper()
	if err := os.Remove(p.at(path)); err != nil {
		p.t.Fatal(err)
	}
}

func (p *tree) read(path string) []byte {
	p.t.Helper()
	data, err := os.ReadFile(p.at(path))
	if err != nil {
		p.t.Fatal(err)
	}
	return data
}

// source writes a file that is compiled and not packed.
func (p *tree) source(ext string, data []byte) string {
	p.t.Helper()
	p.n++
	path := filepath.Join(p.scratch, fmt.Sprintf("s%d%s", p.n, ext))
	if err := os.WriteFile(path, data, 0o644); err != nil {
		p.t.Fatal(err)
	}
	return path
}

// run runs a command that has to end well.
func run(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, out)
	}
	return string(out)
}

// cc compiles C into a file of the package.
func (p *tree) cc(path, source string, flags ...string) {
	p.t.Helper()
	p.compile("cc", path, ".c", source, flags...)
}

func (p *tree) compile(compiler, path, ext, source string, flags ...string) {
	p.t.Helper()
	if err := os.MkdirAll(filepath.Dir(p.at(path)), 0o755); err != nil {
		p.t.Fatal(err)
	}
	// The same source for the same file is compiled once: many packages have the
	// same libraries.
	key := strings.Join(append([]string{compiler, ext, source, p.t.Name()}, flags...), "\x00")
	if !strings.Contains(strings.Join(flags, " "), p.dir) {
		key = strings.Replace(key, p.t.Name(), "", 1)
	}
	type result struct {
		data []byte
		err  error
	}
	once, _ := compiled.LoadOrStore(key, sync.OnceValue(func() result {
		args := append([]string{"-O1", "-s", "-o", p.at(path), filepath.Base(p.source(ext, []byte(source)))}, flags...)
		cmd := exec.Command(compiler, args...)
		cmd.Dir = p.scratch
		if out, err := cmd.CombinedOutput(); err != nil {
			return result{err: fmt.Errorf("%s: %w\n%s", cmd, err, out)}
		}
		data, err := os.ReadFile(p.at(path))
		return result{data, err}
	}))
	res := once.(func() result)()
	if res.err != nil {
		p.t.Fatal(res.err)
	}
	p.put(path, res.data, 0o755)
}

// compiled are results of compilers, by what they were given.
var compiled sync.Map

// prog compiles a program; the linker takes what is not there yet.
func (p *tree) prog(path, source string, flags ...string) {
	p.t.Helper()
	p.cc(path, source, append(flags, "-Wl,--allow-shlib-undefined")...)
}

// lib compiles a library whose SONAME is its file name.
func (p *tree) lib(path, source string, flags ...string) {
	p.t.Helper()
	p.cc(path, source, append([]string{"-shared", "-fPIC", "-Wl,-soname," + filepath.Base(path)}, flags...)...)
}

// rpath are flags for a DT_RPATH, runpath for a DT_RUNPATH.
func rpath(dir string) []string {
	return []string{"-Wl,--disable-new-dtags", "-Wl,-rpath," + dir}
}

func runpath(dir string) []string {
	return []string{"-Wl,--enable-new-dtags", "-Wl,-rpath," + dir}
}

// vendor compiles a library that stands for one of NVIDIA's: of that name, with
// that function, which holds these texts.
func (p *tree) vendor(path, function string, texts ...string) {
	p.t.Helper()
	p.lib(path, "const char *"+function+"(int i) { static const char *const t[] = {\""+strings.Join(append(texts, "end"), `", "`)+"\"}; return t[i]; }\n",
		runpath("$ORIGIN")...)
}

// eula writes NVIDIA's licence with the libraries that may be passed on.
func (p *tree) eula(names ...string) {
	p.t.Helper()
	p.file("licenses/nvidia/License.txt", "NVIDIA Software License Agreement for cuDNN and the CUDA Toolkit\nAttachment A: "+strings.Join(names, ", ")+"\n")
}

// hello is a program that needs no library but the C library.
const hello = "#include <stdio.h>\nint main(void) { puts(\"app 1.0.0\"); return 0; }\n"

// uses is a program that calls functions of libraries.
func uses(functions ...string) string {
	var b strings.Builder
	b.WriteString("#include <stdio.h>\n")
	for _, f := range functions {
		fmt.Fprintf(&b, "const char *%s(int);\n", f)
	}
	b.WriteString("int main(void) {\n")
	for _, f := range functions {
		fmt.Fprintf(&b, "puts(%s(0));\n", f)
	}
	b.WriteString("return 0; }\n")
	return b.String()
}

// pack makes the package's archive; the form dir is the tree itself.
func (p *tree) pack(form string) string {
	p.t.Helper()
	if form == "dir" {
		return p.dir
	}
	if p.packed[form] != "" {
		return p.packed[form]
	}
	path := filepath.Join(filepath.Dir(p.dir), "app-here."+form)
	f, err := os.Create(path)
	if err != nil {
		p.t.Fatal(err)
	}
	defer f.Close()
	if err := archive.Write(f, archive.Format(form), p.dir, "app-here", nil); err != nil {
		p.t.Fatal(err)
	}
	p.packed[form] = path
	return path
}

// list writes the package's manifest: wheels are by the path of a file the wheel
// that it is from; the rest is of the build, or of the checkout.
func (p *tree) list(programs map[string]string, wheels map[string]string) {
	p.t.Helper()
	m := manifest.Manifest{Project: "app", Version: "1.0.0", Target: "here", Triple: "x86_64-unknown-linux-gnu", Package: "app", Programs: programs}
	err := filepath.WalkDir(p.dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(p.dir, path)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if rel == manifest.FileName {
			return nil
		}
		data := p.read(rel)
		info, err := d.Info()
		if err != nil {
			return err
		}
		f := manifest.File{Path: rel, Size: int64(len(data)), SHA256: digest(data), Mode: "0644", Origin: manifest.Source}
		if info.Mode()&0o100 != 0 {
			f.Mode = "0755"
		}
		switch {
		case wheels[rel] != "":
			f.Origin, f.From = manifest.Wheel, wheels[rel]
		case strings.HasPrefix(rel, "bin/") || strings.HasPrefix(rel, "lib/"):
			f.Origin = manifest.Build
		}
		for _, at := range programs {
			if at == rel {
				f.Role = "program"
			}
		}
		m.Files = append(m.Files, f)
		return nil
	})
	if err != nil {
		p.t.Fatal(err)
	}
	data, err := m.Encode()
	if err != nil {
		p.t.Fatal(err)
	}
	p.put(manifest.FileName, data, 0o644)
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// execute runs a program with nothing of the caller's environment.
func execute(t *testing.T, path string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Env = []string{"PATH=/usr/bin:/bin"}
	out, err := cmd.CombinedOutput()
	return string(out), err
}
