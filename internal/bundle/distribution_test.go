package bundle

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// systemLibrary finds a library of this machine that is no part of any base
// set: git and libselinux bring PCRE2.
func systemLibrary(t *testing.T) (path, soname string) {
	t.Helper()
	for _, pattern := range []string{"/usr/lib/*-linux-gnu/libpcre2-8.so.0", "/usr/lib64/libpcre2-8.so.0", "/lib/*-linux-gnu/libpcre2-8.so.0"} {
		if found, _ := filepath.Glob(pattern); len(found) > 0 {
			return found[0], "libpcre2-8.so.0"
		}
	}
	t.Fatal("these tests need libpcre2-8.so.0, which git brings")
	return "", ""
}

// TestSystemLibrary packs a library of this machine's distribution with its
// copyright file, as its package manager tells it.
func TestSystemLibrary(t *testing.T) {
	lib, soname := systemLibrary(t)
	exe := cc(t, filepath.Join(t.TempDir(), "prog"),
		"int pcre2_config_8(unsigned, void *); int main(void) { return pcre2_config_8(3, 0) < 0; }", lib, withRunPath)
	plan, err := planOf(t, exe, "")
	if err != nil {
		t.Fatal(err)
	}
	real, err := filepath.EvalSymlinks(lib)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]item{}
	for _, it := range plan.items {
		found[it.Path] = it
	}
	it, ok := found["lib/"+soname]
	name, version, _ := strings.Cut(it.From, " ")
	if !ok || it.src != real || it.Origin != "system" || version == "" {
		t.Fatalf("the library is %+v", it)
	}
	// The word of the package manager itself.
	if out, err := exec.Command("dpkg-query", "-W", "-f", "${Version}", name).Output(); err == nil {
		if string(out) != version {
			t.Errorf("package %s has version %s, the manifest says %s", name, out, version)
		}
		if l := found["licenses/"+name+"/copyright"]; l.Role != "license" || l.Origin != "system" {
			t.Errorf("the licence is %+v", l)
		}
	}
	if len(plan.Notes) != 1 || !strings.Contains(plan.Notes[0], "lib/"+soname+" is this system's, of package "+name) {
		t.Errorf("the notes are %q", plan.Notes)
	}

	// Users have it: nothing is packed.
	row, p := parse(t, hostTriple()+", system-libraries: ["+soname+"]}", "")
	b, err := newBuilder(Options{Row: row, Name: "pkg", Package: p, Programs: map[string]string{"prog": exe}})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(b.programs(), b.closure(t.Context())); err != nil || len(b.items) != 1 {
		t.Errorf("%d items, %v", len(b.items), err)
	}
}

// script puts a stand-in for a program into dir.
func script(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.Chmod(write(t, filepath.Join(dir, name), "#!/bin/sh\n"+text), 0o755); err != nil {
		t.Fatal(err)
	}
}

func TestOwner(t *testing.T) {
	doc := t.TempDir()
	write(t, filepath.Join(doc, "gcc-12-base", "copyright"), "GPL\n")
	if err := os.Symlink("gcc-12-base", filepath.Join(doc, "libgfortran5")); err != nil {
		t.Fatal(err)
	}
	license := write(t, filepath.Join(doc, "COPYING"), "GPL\n")
	const dpkg = `
case "$1 $2" in
"--search /usr/lib/x/libgfortran.so.5.0.0") echo "diversion by x from: $2"; echo "libgfortran5:amd64: $2";;
"--search /usr/lib/x/libbare.so.1") echo "libbare1, libother: $2";;
--show*) echo -n 12.2.0-14;;
*) echo "dpkg-query: no path found" >&2; exit 1;;
esac
`
	rpm := `
case "$2 $5" in
"--file /usr/lib/x/librpm.so.1") echo "librpm 1.2-3.fc40";;
"--file /usr/lib/x/libbare.so.2") echo "libbare 1-1";;
"--licensefiles ") [ "$3" = librpm ] && printf '%s\n%s\n' /none/COPYING ` + license + `;;
*) echo "file $5 is not owned by any package"; exit 1;;
esac
`
	for name, tt := range map[string]struct {
		dpkg, rpm, file string
		from, license   string
		err             string
	}{
		"Debian":                  {dpkg, "", "/usr/lib/x/libgfortran.so.5.0.0", "libgfortran5 12.2.0-14", filepath.Join(doc, "gcc-12-base", "copyright"), ""},
		"Debian, /lib is a link":  {dpkg, "", "/lib/x/libgfortran.so.5.0.0", "libgfortran5 12.2.0-14", filepath.Join(doc, "gcc-12-base", "copyright"), ""},
		"Debian, no documents":    {dpkg, "", "/usr/lib/x/libbare.so.1", "", "", "the licence of package libbare1 is not there"},
		"Fedora":                  {"", rpm, "/usr/lib/x/librpm.so.1", "librpm 1.2-3.fc40", license, ""},
		"Fedora, no licence":      {"", rpm, "/usr/lib/x/libbare.so.2", "", "", "package libbare brings no licence file"},
		"both, one knows it":      {dpkg, rpm, "/usr/lib/x/librpm.so.1", "librpm 1.2-3.fc40", license, ""},
		"nobody's":                {dpkg, rpm, "/usr/local/lib/libmine.so", "", "", "no package of the system (dpkg, rpm) owns it"},
		"a system without either": {"", "", "/usr/lib/x/librpm.so.1", "", "", "no package of the system (dpkg, rpm) owns it"},
	} {
		t.Run(name, func(t *testing.T) {
			bin := t.TempDir()
			for program, text := range map[string]string{"dpkg-query": tt.dpkg, "rpm": tt.rpm} {
				if text != "" {
					script(t, bin, program, text)
				}
			}
			d := &distribution{env: []string{"PATH=" + bin}, doc: doc}
			n, err := d.owner(t.Context(), tt.file)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("the error is %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if n.from != tt.from || !slices.Equal(n.files, []string{tt.license}) || n.name != strings.Fields(tt.from)[0] {
				t.Errorf("it is %+v", n)
			}
		})
	}
	// A program that cannot be started is told, not taken for an answer.
	bin := t.TempDir()
	script(t, bin, "dpkg-query", "exec kill -9 $$")
	if _, err := (&distribution{env: []string{"PATH=" + bin + ":/bin:/usr/bin"}, doc: doc}).owner(t.Context(), "/usr/lib/x"); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a killed dpkg-query gives %v", err)
	}
}
