package bundle

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// withRunPath has the linker give a program the run path of the default layout.
const withRunPath = "-Wl,--disable-new-dtags,-rpath," + rpath

func TestClosureFollowsNeeded(t *testing.T) {
	dir, elsewhere := t.TempDir(), t.TempDir()
	driver := sharedLib(t, elsewhere, "libcuda.so.1", "int cuInit(void) { return 0; }")
	users := sharedLib(t, elsewhere, "libusers.so.3", "int users(void) { return 0; }")
	c := sharedLib(t, dir, "libc3.so.1", "int c(void) { return 3; }", driver)
	b := sharedLib(t, dir, "libb.so.2", "int c(void); int b(void) { return c(); }", c)
	a := sharedLib(t, dir, "liba.so.1", "int b(void); int a(void) { return b(); }", b, c)
	sharedLib(t, dir, "libunused.so.1", "int u(void) { return 0; }")
	exe := cc(t, filepath.Join(t.TempDir(), "built"), "int a(void); int main(void) { return a(); }", a, users, "-Wl,-rpath-link,"+dir+":"+elsewhere, withRunPath)

	got, err := closureOf(t, exe, dir, hostTriple()+", system-libraries: [libusers.so.*]}", "")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"lib/liba.so.1 needed by prog", "lib/libb.so.2 needed by liba.so.1", "lib/libc3.so.1 needed by liba.so.1"}
	if !slices.Equal(got, want) {
		t.Fatalf("closure = %q, want %q", got, want)
	}

	// The same without the user's library in system-libraries, and with libc3
	// gone: each is named with who needs it.
	if err := os.Remove(c); err != nil {
		t.Fatal(err)
	}
	_, err = closureOf(t, exe, dir, linux(), "")
	if err == nil {
		t.Fatal("no error though libraries are missing")
	}
	for _, want := range []string{
		"libc3.so.1 is needed by liba.so.1, and the shelf has it not; put it there", "libc3.so.1 is needed by libb.so.2", "libusers.so.3 is needed by prog", "system-libraries",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error lacks %q:\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), "libcuda") {
		t.Errorf("the driver's library counts as missing:\n%v", err)
	}
}

// textLib is a library that holds text, as NVIDIA's do whose names they load.
func textLib(t *testing.T, dir, soname, text string) string {
	t.Helper()
	return sharedLib(t, dir, soname, `const char held[] = "`+text+`";`)
}

func TestClosureLoadedByName(t *testing.T) {
	dir := t.TempDir()
	lt := textLib(t, dir, "libcublasLt.so.13", "libnvrtc.so.13")
	textLib(t, dir, "libnvrtc.so.13", "no libnvrtc-builtins.so here, but libnvrtc-builtins.so.13.0 is")
	textLib(t, dir, "libnvrtc.so.12", "libnvrtc-builtins.so.12.9")
	textLib(t, dir, "libnvrtc-builtins.so.13.0", "")
	textLib(t, dir, "libnvrtc-builtins.so.12.9", "") // of another version, and not asked for
	exe := cc(t, filepath.Join(t.TempDir(), "prog"), "int main(void) { return 0; }", lt, withRunPath)
	closure := func() ([]string, error) { return closureOf(t, exe, dir, linux(), "") }

	got, err := closure()
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"lib/libcublasLt.so.13 needed by prog", "lib/libnvrtc-builtins.so.13.0 loaded by name by libnvrtc.so.13",
		"lib/libnvrtc.so.13 loaded by name by libcublasLt.so.13",
	}
	if !slices.Equal(got, want) {
		t.Fatalf("closure = %q, want %q", got, want)
	}

	remove(t, filepath.Join(dir, "libnvrtc-builtins.so.13.0"))
	if _, err = closure(); err == nil || !strings.Contains(err.Error(), "libnvrtc-builtins.so.13.0 is loaded by name by libnvrtc.so.13") {
		t.Errorf("missing builtins give %v", err)
	}
	textLib(t, dir, "libnvrtc.so.13", "nothing of that kind")
	if _, err = closure(); err == nil || !strings.Contains(err.Error(), "libnvrtc.so.13 holds no name like") {
		t.Errorf("an nvrtc that names no builtins gives %v", err)
	}
	remove(t, filepath.Join(dir, "libnvrtc.so.13"))
	remove(t, filepath.Join(dir, "libnvrtc.so.12"))
	if _, err = closure(); err == nil || !strings.Contains(err.Error(), "libnvrtc.so.* is loaded by name by libcublasLt.so.13") {
		t.Errorf("a missing nvrtc gives %v", err)
	}
	// The table knows what some version loads. One that does not know the name
	// does not load it.
	textLib(t, dir, "libcublasLt.so.13", "nothing of that kind")
	if got, err = closure(); err != nil || !slices.Equal(got, want[:1]) {
		t.Errorf("a cuBLASLt that knows no nvrtc gives %q, %v", got, err)
	}
}

// TestClosureOfMajorVersions takes the sub-libraries of the version that loads
// them, though there are newer ones.
func TestClosureOfMajorVersions(t *testing.T) {
	dir := t.TempDir()
	var parts []string
	for _, part := range []string{"ops", "cnn", "adv", "graph", "ext"} {
		for _, major := range []string{"8", "9", "10"} {
			parts = append(parts, textLib(t, dir, "libcudnn_"+part+".so."+major, ""))
		}
	}
	exe := cc(t, filepath.Join(t.TempDir(), "prog"), "int main(void) { return 0; }",
		textLib(t, dir, "libcudnn.so.9", "libcudnn_ops.so libcudnn_cnn.so libcudnn_adv.so libcudnn_graph.so libcudnn_ext.so"), withRunPath)
	got, err := closureOf(t, exe, dir, linux(), "")
	if err != nil || len(got) != 6 {
		t.Fatalf("%d of %d libraries: %q, %v", len(got), len(parts), got, err)
	}
	for _, l := range got {
		if name, _, _ := strings.Cut(l, " "); !strings.HasSuffix(name, ".so.9") {
			t.Errorf("%s is not of version 9", l)
		}
	}
}

// TestClosureOfLinks stores a library once, under the name by which the loader
// asks for it, whatever chain of links its source has.
func TestClosureOfLinks(t *testing.T) {
	dir := t.TempDir()
	a := sharedLib(t, dir, "liba.so.1", "int a(void) { return 1; }")
	if err := os.Rename(a, filepath.Join(dir, "liba.so.1.2.3")); err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{"liba.so": "liba.so.1", "liba.so.1": "liba.so.1.2.3"} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	exe := cc(t, filepath.Join(t.TempDir(), "prog"), "int a(void); int main(void) { return a(); }", filepath.Join(dir, "liba.so"), withRunPath)
	got, err := closureOf(t, exe, dir, linux(), "")
	if want := []string{"lib/liba.so.1 needed by prog"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("closure = %q, %v, want %q", got, err, want)
	}
}

// TestClosureOfPlugins has the libraries count that the matrix adds and no
// program is linked with.
func TestClosureOfPlugins(t *testing.T) {
	dir := t.TempDir()
	dep := sharedLib(t, dir, "libdep.so.1", "int dep(void) { return 1; }")
	exe := cc(t, filepath.Join(t.TempDir(), "prog"), "int main(void) { return 0; }", withRunPath)
	plugins := filepath.Join(filepath.Dir(exe), "plugins")
	sharedLib(t, plugins, "plugin.so", "int dep(void); int p(void) { return dep(); }", dep)
	write(t, filepath.Join(plugins, "note.txt"), "no library\n")
	write(t, filepath.Join(plugins, "damaged.so"), "\x7fELF\x02\x01\x01")
	got, err := closureOf(t, exe, dir, linux(), "    files: [{source: plugins, to: lib/plugins}]\n")
	if want := []string{"lib/libdep.so.1 needed by plugin.so"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("closure = %q, %v, want %q", got, err, want)
	}
	remove(t, dep)
	_, err = closureOf(t, exe, dir, linux(), "    files: [{source: plugins, to: lib/plugins}]\n")
	if err == nil || !strings.Contains(err.Error(), "libdep.so.1 is needed by plugin.so (of prog)") {
		t.Errorf("a plug-in without its library gives %v", err)
	}
}

// noted is a program with a note that says what it opens (systemd, "ELF Package
// Metadata: dlopen").
func noted(t *testing.T, json string) string {
	t.Helper()
	text := strings.ReplaceAll(json, `"`, `\"`)
	code := `
#include <stdint.h>
static const struct { uint32_t name, desc, type; char owner[4]; char text[` + "256" + `]; } note
  __attribute__((used, section(".note.dlopen"), aligned(4))) = { 4, 256, 0x407c0c0a, "FDO", "` + text + `" };
int main(void) { return 0; }`
	return cc(t, filepath.Join(t.TempDir(), "prog"), code, withRunPath)
}

func TestClosureOfDlopenNotes(t *testing.T) {
	dir := t.TempDir()
	textLib(t, dir, "libzstd.so.0", "")
	for json, want := range map[string]string{
		`[{"soname":["libzstd.so.1","libzstd.so.0"],"feature":"zstd","priority":"recommended"}]`: "lib/libzstd.so.0 loaded by name by prog",
		`[{"soname":["libnone.so.1"],"feature":"none","priority":"suggested"}]`:                  "",
	} {
		got, err := closureOf(t, noted(t, json), dir, linux(), "")
		if err != nil || strings.Join(got, ", ") != want {
			t.Errorf("%s gives %q, %v", json, got, err)
		}
	}
	_, err := closureOf(t, noted(t, `[{"soname":["libnone.so.1"],"priority":"required"}]`), dir, linux(), "")
	if err == nil || !strings.Contains(err.Error(), "libnone.so.1 is loaded by name by prog") {
		t.Errorf("a required library that is not there gives %v", err)
	}
}

func TestClosureRefusesWhatIsNoELF(t *testing.T) {
	exe := write(t, filepath.Join(t.TempDir(), "prog"), "#!/bin/sh\n")
	if _, err := closureOf(t, exe, t.TempDir(), linux(), ""); err == nil || !strings.Contains(err.Error(), exe) {
		t.Errorf("a script as a program gives %v, want an error with its path", err)
	}
	if _, err := closureOf(t, exe+"-absent", t.TempDir(), linux(), ""); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("an absent program gives %v", err)
	}
}

// TestClosurePassesOverOtherMachines has a source with a library of the right
// name for another machine alone.
func TestClosurePassesOverOtherMachines(t *testing.T) {
	dir := t.TempDir()
	a := sharedLib(t, dir, "liba.so.1", "int a(void) { return 1; }")
	exe := cc(t, filepath.Join(t.TempDir(), "prog"), "int a(void); int main(void) { return a(); }", a, withRunPath)
	data, err := os.ReadFile(a)
	if err != nil {
		t.Fatal(err)
	}
	data[18], data[19] = 0xf3, 0 // e_machine: RISC-V
	write(t, a, string(data))
	if _, err := closureOf(t, exe, dir, linux(), ""); err == nil || !strings.Contains(err.Error(), "liba.so.1 is needed by prog, and the shelf has it not") {
		t.Errorf("a library for RISC-V gives %v", err)
	}
}

// TestFamilies refuses two libraries of one family from two places.
func TestFamilies(t *testing.T) {
	dir := t.TempDir()
	graph := "libcudnn_graph.so.9"
	for _, part := range []string{"ops", "cnn", "adv", "ext"} {
		textLib(t, dir, "libcudnn_"+part+".so.9", "")
	}
	exe := cc(t, filepath.Join(t.TempDir(), "prog"), "int main(void) { return 0; }",
		textLib(t, dir, "libcudnn.so.9", "libcudnn_ops.so libcudnn_cnn.so libcudnn_adv.so libcudnn_graph.so libcudnn_ext.so"), withRunPath)
	textLib(t, filepath.Dir(exe), graph, "")
	_, err := closureOf(t, exe, dir, linux(), "    files: [{source: "+graph+", to: lib/"+graph+"}]\n")
	if err == nil || !strings.Contains(err.Error(), "libcudnn_graph.so.9 is of source and libcudnn.so.9 of fake 1: the libraries of cuDNN work together only in one version") {
		t.Errorf("a mixed cuDNN gives %v", err)
	}
}

// TestContains moves a text across the border of the pieces in which a file is
// read.
func TestContains(t *testing.T) {
	const text = "LibCudnn_ops.so"
	file := filepath.Join(t.TempDir(), "lib")
	for _, at := range []int{0, 100, 1<<20 - len(text), 1<<20 - len(text) + 1, 1<<20 - 1, 1 << 20, 2<<20 - 20} {
		data := make([]byte, at+len(text))
		copy(data[at:], text)
		write(t, file, string(data))
		if ok, err := contains(file, "libcudnn_OPS.so"); err != nil || !ok {
			t.Errorf("a text at %d is not found: %v", at, err)
		}
		if ok, err := contains(file, "libcudnn_ops.so.9"); err != nil || ok {
			t.Errorf("a text that is not there is found: %v", err)
		}
	}
	write(t, file, "")
	if ok, err := contains(file, "x"); err != nil || ok {
		t.Errorf("an empty file holds x: %v", err)
	}
	if _, err := contains(file+"-absent", "x"); !os.IsNotExist(err) {
		t.Errorf("an absent file gives %v", err)
	}
}
