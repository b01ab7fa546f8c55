package verify_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/relmat/relmat/internal/manifest"
	"github.com/relmat/relmat/internal/matrix"
)

// tree is a package that a test builds.
type tree struct {
	*testing.T
	dir string
}

func (t tree) path(p string) string { return filepath.Join(t.dir, filepath.FromSlash(p)) }

func (t tree) write(p, content string) {
	t.Helper()
	t.writeMode(p, content, 0o644)
}

func (t tree) writeMode(p, content string, mode fs.FileMode) {
	t.Helper()
	full := t.path(p)
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(full, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(full, mode); err != nil {
		t.Fatal(err)
	}
}

func (t tree) read(p string) []byte {
	t.Helper()
	data, err := os.ReadFile(t.path(p))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func (t tree) link(p, target string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(t.path(p)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, t.path(p)); err != nil {
		t.Fatal(err)
	}
}

// license is the licence that every package has that is not about licences.
func (t tree) license() { t.write("LICENSE", "Do with it what you like.\n") }

func (t tree) run(name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(cmd.Args, " "), err, out)
	}
}

// lib makes a shared library without libc. Arguments that are no flags are
// libraries of the package that it needs.
func (t tree) lib(p string, args ...string) {
	t.cc(p, "int f(void) { return 1; }\n", append([]string{"-shared", "-nostdlib", "-fPIC"}, args...)...)
}

// exe makes a program without libc.
func (t tree) exe(p string, args ...string) {
	t.cc(p, "void _start(void) { for (;;) ; }\n", append([]string{"-nostdlib", "-fPIE", "-pie"}, args...)...)
}

func (t tree) cc(p, source string, args ...string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(t.path(p)), 0o755); err != nil {
		t.Fatal(err)
	}
	src := filepath.Join(t.TempDir(), "a.c")
	if err := os.WriteFile(src, []byte(source), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := []string{"-o", t.path(p), src, "-Wl,--no-as-needed"}
	for _, a := range args {
		if !strings.HasPrefix(a, "-") {
			a = t.path(a)
		}
		cmd = append(cmd, a)
	}
	t.run("cc", cmd...)
}

// soname and rpath are linker flags.
func soname(s string) string  { return "-Wl,-soname," + s }
func runpath(s string) string { return "-Wl,--enable-new-dtags,-rpath," + s }
func rpath(s string) string   { return "-Wl,--disable-new-dtags,-rpath," + s }

// elsewhere makes a library that the package does not hold, to link with.
func (t tree) elsewhere(so string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), so)
	src := filepath.Join(t.TempDir(), "a.c")
	if err := os.WriteFile(src, []byte("int g(void) { return 1; }\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.run("cc", "-shared", "-nostdlib", "-fPIC", "-o", out, soname(so), src)
	return "-Wl," + out
}

// code is an image of GPU code.
type code struct {
	ptx    string // the version of PTX, as 9.0; empty for machine code
	sm     uint32
	suffix string
}

// The flags of an image for one capability alone and for a family.
const flagA, flagF = 1 << 20, 1 << 21

// fatbin is a container of CUDA's format with these images; docs/fatbin.md
// describes it.
func fatbin(images ...code) []byte {
	le := binary.LittleEndian
	var body []byte
	for _, c := range images {
		head := make([]byte, 64)
		le.PutUint16(head, 2)
		payload := bytes.Repeat([]byte{0xed}, 40)
		major, minor := uint16(1), uint16(8)
		flags := uint64(0x11)
		if c.ptx != "" {
			le.PutUint16(head, 1)
			if _, err := fmt.Sscanf(c.ptx, "%d.%d", &major, &minor); err != nil {
				panic(err)
			}
		}
		switch c.suffix {
		case "a":
			flags |= flagA
		case "f":
			flags |= flagF
		}
		le.PutUint16(head[2:], 0x0101)
		le.PutUint32(head[4:], 64)
		le.PutUint64(head[8:], uint64(len(payload)))
		le.PutUint16(head[0x18:], minor)
		le.PutUint16(head[0x1a:], major)
		le.PutUint32(head[0x1c:], c.sm)
		le.PutUint64(head[0x28:], flags)
		body = append(append(body, head...), payload...)
	}
	out := []byte{0x50, 0xed, 0x55, 0xba}
	out = le.AppendUint16(out, 1)
	out = le.AppendUint16(out, 16)
	out = le.AppendUint64(out, uint64(len(body)))
	return append(out, body...)
}

// gpu makes a library whose .nv_fatbin holds the images.
func (t tree) gpu(p string, images ...code) {
	t.Helper()
	data := filepath.Join(t.TempDir(), "fatbin")
	if err := os.WriteFile(data, fatbin(images...), 0o644); err != nil {
		t.Fatal(err)
	}
	t.cc(p, fmt.Sprintf("__asm__(\".section .nv_fatbin,\\\"a\\\"\\n.incbin \\\"%s\\\"\\n.text\\n\");\nint f(void) { return 1; }\n", data), "-shared", "-nostdlib", "-fPIC")
}

// dll describes a PE file.
type dll struct {
	needs, delays []string
	// text is put into the data as it is.
	text    string
	exe     bool
	machine uint16
}

// pe makes a PE file of one section with import tables (Microsoft, "PE Format").
func (t tree) pe(p string, d dll) {
	t.Helper()
	le := binary.LittleEndian
	const addr, offset = 0x1000, 0x400
	var data []byte
	add := func(b []byte) uint32 {
		for len(data)%8 != 0 {
			data = append(data, 0)
		}
		at := addr + uint32(len(data))
		data = append(data, b...)
		return at
	}
	words := func(v ...uint32) (out []byte) {
		for _, w := range v {
			out = le.AppendUint32(out, w)
		}
		return out
	}
	thunks := func() uint32 {
		name := add([]byte("\x00\x00call\x00"))
		return add(append(le.AppendUint64(nil, uint64(name)), make([]byte, 8)...))
	}
	text := func(s string) uint32 { return add(append([]byte(s), 0)) }
	add([]byte{0})
	text(d.text)
	var imports, delays []byte
	for _, n := range d.needs {
		imports = append(imports, words(thunks(), 0, 0, text(n), thunks())...)
	}
	for _, n := range d.delays {
		delays = append(delays, words(1, text(n), 0, thunks(), thunks(), 0, 0, 0)...)
	}
	importAt := add(append(imports, make([]byte, 20)...))
	delayAt := add(append(delays, make([]byte, 32)...))
	machine, flags := d.machine, uint16(0x2022)
	if machine == 0 {
		machine = 0x8664
	}
	if d.exe {
		flags = 0x0022
	}
	head := make([]byte, offset)
	copy(head, "MZ")
	le.PutUint32(head[0x3c:], 0x80)
	h := head[0x80:]
	copy(h, "PE\x00\x00")
	le.PutUint16(h[4:], machine)
	le.PutUint16(h[6:], 1)
	le.PutUint16(h[20:], 240)
	le.PutUint16(h[22:], flags)
	o := h[24:]
	le.PutUint16(o, 0x20b)
	le.PutUint64(o[24:], 0x180000000)
	le.PutUint32(o[32:], 0x1000)
	le.PutUint32(o[36:], 0x200)
	le.PutUint16(o[40:], 6)
	le.PutUint16(o[48:], 6)
	size := uint32(len(data)+0xfff) &^ 0xfff
	le.PutUint32(o[56:], addr+size)
	le.PutUint32(o[60:], offset)
	le.PutUint16(o[68:], 3)
	le.PutUint32(o[108:], 16)
	dir := o[112:]
	if len(d.needs) > 0 {
		le.PutUint32(dir[8:], importAt)
		le.PutUint32(dir[12:], uint32(len(imports)+20))
	}
	if len(d.delays) > 0 {
		le.PutUint32(dir[13*8:], delayAt)
		le.PutUint32(dir[13*8+4:], uint32(len(delays)+32))
	}
	s := o[240:]
	copy(s, ".rdata")
	le.PutUint32(s[8:], uint32(len(data)))
	le.PutUint32(s[12:], addr)
	for len(data)%0x200 != 0 {
		data = append(data, 0)
	}
	le.PutUint32(s[16:], uint32(len(data)))
	le.PutUint32(s[20:], offset)
	le.PutUint32(s[36:], 0x40000040)
	t.writeMode(p, string(append(head, data...)), 0o755)
}

// theirs copies a file that other tools made for the tests of package objfile.
func (t tree) theirs(p, from string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "objfile", "testdata", filepath.FromSlash(from)))
	if err != nil {
		t.Fatal(err)
	}
	t.writeMode(p, string(data), 0o755)
}

// files lists what the tree holds, without directories.
func (t tree) files() []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(t.dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(t.dir, p)
		out = append(out, filepath.ToSlash(rel))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(out)
	return out
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// manifest writes the list of what the tree holds. change may spoil it.
func (t tree) manifest(change func(*manifest.Manifest)) {
	t.Helper()
	m := manifest.Manifest{Project: "p", Version: "1", Target: "here", Triple: matrix.Host().Arch + "-unknown-linux-gnu", Package: "p"}
	for _, p := range t.files() {
		info, err := os.Lstat(t.path(p))
		if err != nil {
			t.Fatal(err)
		}
		if manifest.IsName(p) || !info.Mode().IsRegular() {
			continue
		}
		f := manifest.File{Path: p, Size: info.Size(), SHA256: digest(t.read(p)), Mode: "0644", Origin: manifest.Build}
		if info.Mode()&0o100 != 0 {
			f.Mode = "0755"
		}
		if p == "LICENSE" {
			f.Origin = manifest.Source
		}
		m.Files = append(m.Files, f)
	}
	if change != nil {
		change(&m)
	}
	data, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	t.write(m.Name(), string(data))
}

// listed is the line of a file in a manifest.
func listed(m *manifest.Manifest, p string) *manifest.File {
	i := slices.IndexFunc(m.Files, func(f manifest.File) bool { return f.Path == p })
	return &m.Files[i]
}
