package bundle

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func names(libs []library) []string {
	var list []string
	for _, l := range libs {
		list = append(list, l.Name)
	}
	return list
}

func TestClosureFollowsNeeded(t *testing.T) {
	dir, elsewhere := t.TempDir(), t.TempDir()
	driver := sharedLib(t, elsewhere, "libcuda.so.1", "int cuInit(void) { return 0; }")
	users := sharedLib(t, elsewhere, "libusers.so.3", "int users(void) { return 0; }")
	c := sharedLib(t, dir, "libc3.so.1", "int c(void) { return 3; }", driver)
	b := sharedLib(t, dir, "libb.so.2", "int c(void); int b(void) { return c(); }", c)
	a := sharedLib(t, dir, "liba.so.1", "int b(void); int a(void) { return b(); }", b, c)
	sharedLib(t, dir, "libunused.so.1", "int u(void) { return 0; }")
	exe := cc(t, filepath.Join(t.TempDir(), "prog"), "int a(void); int main(void) { return a(); }", a, users, "-Wl,-rpath-link,"+dir+":"+elsewhere)

	libs, err := closure([]string{exe}, fakeLibraries{dir}, append(slices.Clone(system["linux"]), "libusers.so.3"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := names(libs), []string{"liba.so.1", "libb.so.2", "libc3.so.1"}; !slices.Equal(got, want) {
		t.Fatalf("closure = %q, want %q", got, want)
	}
	for i, want := range []string{"needed by prog", "needed by liba.so.1", "needed by liba.so.1"} {
		if libs[i].Why != want {
			t.Errorf("%s: why is %q, want %q", libs[i].Name, libs[i].Why, want)
		}
	}

	// The same without the user's library in system-libraries, and with libc3
	// gone: each is named with who needs it.
	if err := os.Remove(c); err != nil {
		t.Fatal(err)
	}
	_, err = closure([]string{exe}, fakeLibraries{dir}, system["linux"])
	if err == nil {
		t.Fatal("no error though libraries are missing")
	}
	for _, want := range []string{
		"libc3.so.1 is needed by liba.so.1, and no toolkit wheel has it", "libc3.so.1 is needed by libb.so.2", "libusers.so.3 is needed by prog", "system-libraries",
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
	lt := sharedLib(t, dir, "libcublasLt.so.13", "int lt(void) { return 0; }")
	textLib(t, dir, "libnvrtc.so.13", "no libnvrtc-builtins.so here, but libnvrtc-builtins.so.13.0 is")
	textLib(t, dir, "libnvrtc-builtins.so.13.0", "")
	textLib(t, dir, "libnvrtc-builtins.so.12.9", "") // of another version, and not asked for
	exe := cc(t, filepath.Join(t.TempDir(), "prog"), "int lt(void); int main(void) { return lt(); }", lt)

	libs, err := closure([]string{exe}, fakeLibraries{dir}, system["linux"])
	if err != nil {
		t.Fatal(err)
	}
	if got, want := names(libs), []string{"libcublasLt.so.13", "libnvrtc-builtins.so.13.0", "libnvrtc.so.13"}; !slices.Equal(got, want) {
		t.Fatalf("closure = %q, want %q", got, want)
	}
	if got := libs[1].Why; got != "loaded by name by libnvrtc.so.13" {
		t.Errorf("why of the builtins is %q", got)
	}

	if err := os.Remove(filepath.Join(dir, "libnvrtc-builtins.so.13.0")); err != nil {
		t.Fatal(err)
	}
	_, err = closure([]string{exe}, fakeLibraries{dir}, system["linux"])
	if err == nil || !strings.Contains(err.Error(), "libnvrtc-builtins.so.13.0 is loaded by name by libnvrtc.so.13") {
		t.Errorf("missing builtins give %v", err)
	}
	textLib(t, dir, "libnvrtc.so.13", "nothing of that kind")
	_, err = closure([]string{exe}, fakeLibraries{dir}, system["linux"])
	if err == nil || !strings.Contains(err.Error(), "libnvrtc.so.13 holds no name like") {
		t.Errorf("an nvrtc that names no builtins gives %v", err)
	}
}

func TestClosureRefusesWhatIsNoELF(t *testing.T) {
	exe := write(t, filepath.Join(t.TempDir(), "prog"), "#!/bin/sh\n")
	if _, err := closure([]string{exe}, noLibraries{}, nil); err == nil || !strings.Contains(err.Error(), exe) {
		t.Errorf("a script as a program gives %v, want an error with its path", err)
	}
	if _, err := closure([]string{exe + "-absent"}, noLibraries{}, nil); !os.IsNotExist(err) {
		t.Errorf("an absent program gives %v", err)
	}
}

// TestNamesInsideAtBoundaries moves a name across the border of the pieces in
// which a file is read: it must be found whole, and never cut off to the name
// of another version.
func TestNamesInsideAtBoundaries(t *testing.T) {
	const piece = 1 << 20
	re := regexp.MustCompile(`libnvrtc-builtins\.so\.[0-9]+\.[0-9]+`)
	const name = "libnvrtc-builtins.so.13.10"
	file := filepath.Join(t.TempDir(), "lib")
	look := func(t *testing.T, at, size int) {
		t.Helper()
		data := make([]byte, size)
		copy(data[at:], name)
		if err := os.WriteFile(file, data, 0o644); err != nil {
			t.Fatal(err)
		}
		got, err := namesInside(file, re)
		if err != nil || !slices.Equal(got, []string{name}) {
			t.Errorf("name at %d of %d bytes: found %q, %v", at, size, got, err)
		}
	}
	for back := range len(name) + 2 {
		look(t, piece-back, piece+maxName)
	}
	for _, at := range []int{piece - maxName - 1, piece - maxName, piece - maxName + 1} {
		look(t, at, piece+100)
	}
	look(t, 0, len(name))                                             // the whole file
	look(t, piece-len(name), piece)                                   // the end of a file of one piece
	look(t, 2*piece-maxName-len(name), 2*piece-maxName)               // the end of a file of two
	look(t, 2*(piece-maxName)+maxName-3, 2*(piece-maxName)+maxName*2) // across the second border
	if got, err := namesInside(write(t, file, ""), re); err != nil || got != nil {
		t.Errorf("an empty file holds %q, %v", got, err)
	}
}

func TestNamesInsideFindsEach(t *testing.T) {
	file := write(t, filepath.Join(t.TempDir(), "lib"), "b.so.2 a.so.1 b.so.2 b.so.x lib.so.3")
	for expr, want := range map[string][]string{
		`b\.so\.[0-9]`:     {"b.so.2", "b.so.3"},
		`(a|b)\.so\.[0-9]`: {"a.so.1", "b.so.2", "b.so.3"}, // no literal start
		`c\.so`:            nil,
	} {
		if got, err := namesInside(file, regexp.MustCompile(expr)); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: found %q, %v, want %q", expr, got, err, want)
		}
	}
	if _, err := namesInside(filepath.Join(t.TempDir(), "absent"), regexp.MustCompile("x")); !os.IsNotExist(err) {
		t.Errorf("an absent file gives %v", err)
	}
}

// FuzzNamesInside compares the search in pieces with one over the whole text.
func FuzzNamesInside(f *testing.F) {
	f.Add([]byte("x libnvrtc-builtins.so.13.0 y"), 1<<20-20)
	f.Add([]byte("libnvrtc-builtins.so.13.1libnvrtc-builtins.so.13.10"), 1<<20-maxName-1)
	f.Add([]byte("libnvrtc-builtins.so.1"), 0)
	re := regexp.MustCompile(`libnvrtc-builtins\.so\.[0-9]+\.[0-9]+`)
	f.Fuzz(func(t *testing.T, text []byte, at int) {
		if at < 0 || at > 3<<20 || len(text) > maxName {
			return // a name is shorter than maxName
		}
		data := append(make([]byte, at), text...)
		file := filepath.Join(t.TempDir(), "lib")
		if err := os.WriteFile(file, data, 0o644); err != nil {
			t.Fatal(err)
		}
		want := re.FindAllString(string(data), -1)
		slices.Sort(want)
		want = slices.Compact(want)
		if got, err := namesInside(file, re); err != nil || !slices.Equal(got, want) {
			t.Errorf("found %q, %v, want %q", got, err, want)
		}
	})
}
