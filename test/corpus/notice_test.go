package corpus

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/relmat/relmat/internal/objfile"
)

// recorder takes the errors of a comparison.
type recorder struct {
	*testing.T
	errors int
}

func (r *recorder) Errorf(string, ...any) { r.errors++ }

// TestComparisonNotices changes one field after the other of a right answer:
// a comparison that finds nothing could be one that does not look.
func TestComparisonNotices(t *testing.T) {
	needTools(t)
	// A program with libraries and versions of their symbols, on any Linux.
	path, err := exec.LookPath("readelf")
	if err != nil {
		t.Fatal(err)
	}
	compare := func(change func(*objfile.Object)) int {
		objects, err := objfile.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		change(objects[0])
		r := &recorder{T: t}
		compareELF(&check{t: r, path: path, name: path, fields: map[string]int{}, told: map[string]bool{}}, objects[0])
		return r.errors
	}
	if n := compare(func(*objfile.Object) {}); n > 0 {
		t.Errorf("%s: the right answer has %d errors", path, n)
	}
	for name, change := range map[string]func(*objfile.Object){
		"machine": func(o *objfile.Object) { o.Machine = "s390x" }, "bits": func(o *objfile.Object) { o.Bits = 16 },
		"kind": func(o *objfile.Object) { o.Kind = objfile.Core }, "static": func(o *objfile.Object) { o.Static = !o.Static },
		"soname": func(o *objfile.Object) { o.Soname += "x" }, "needs": func(o *objfile.Object) { o.Needs = o.Needs[1:] },
		"how":         func(o *objfile.Object) { o.Needs[0].How = "weak" },
		"versions":    func(o *objfile.Object) { o.Needs[len(o.Needs)-1].Versions = nil },
		"dlopen":      func(o *objfile.Object) { o.Dlopen = append(o.Dlopen, objfile.Dlopen{}) },
		"interpreter": func(o *objfile.Object) { o.Interp = "" },
		"rpath":       func(o *objfile.Object) { o.Rpath = append(o.Rpath, "") }, "runpath": func(o *objfile.Object) { o.Runpath = append(o.Runpath, "/") },
		"glibc": func(o *objfile.Object) { o.Floors.Glibc = "2.1" }, "glibcxx": func(o *objfile.Object) { o.Floors.Glibcxx = "3.4.99" },
		"cxxabi": func(o *objfile.Object) { o.Floors.CXXABI = "9" }, "libgcc": func(o *objfile.Object) { o.Floors.Libgcc = "9" },
		"isa": func(o *objfile.Object) { o.ISA.Level = "x86-64-v4" }, "build ID": func(o *objfile.Object) { o.BuildID += "00" },
		"a section's name": func(o *objfile.Object) { o.Sections[3].Name += "x" }, "a section's size": func(o *objfile.Object) { o.Sections[3].Size++ },
		"a section's place": func(o *objfile.Object) { o.Sections[3].Offset++ }, "a section less": func(o *objfile.Object) { o.Sections = o.Sections[1:] },
	} {
		if n := compare(change); n == 0 {
			t.Errorf("a change of %s goes unnoticed", name)
		}
	}
}

// TestISA links files for each CPU level: none of the wheels tells one.
func TestISA(t *testing.T) {
	needTools(t)
	for _, level := range []string{"baseline", "v2", "v3", "v4"} {
		t.Run(level, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "lib.so")
			if _, err := output("cc", "-shared", "-nostdlib", "-x", "c", "-Wl,-z,x86-64-"+level, "-o", path, "/dev/null"); err != nil {
				t.Fatal(err)
			}
			objects, err := objfile.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			c := &check{t: t, path: path, name: path, fields: map[string]int{}, told: map[string]bool{}}
			compareELF(c, objects[0])
			if !c.told["ISA"] {
				t.Error("readelf tells no CPU level")
			}
		})
	}
}
