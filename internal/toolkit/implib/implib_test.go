package implib_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/relmat/relmat/internal/objfile"
	"github.com/relmat/relmat/internal/objfile/dlltest"
	"github.com/relmat/relmat/internal/toolkit/implib"
)

var exports = []dlltest.Export{
	{Name: "zulu", Ordinal: 1},
	{Name: "alpha", Ordinal: 3},
	{Name: "state", Ordinal: 4, Data: true},
	{Name: "?f@@YAHH@Z", Ordinal: 5},
	{Name: "away", Ordinal: 7, Forwarder: "OTHER.Function"},
	{Ordinal: 8},
}

func dll(t *testing.T, name string, machine uint16, exports []dlltest.Export) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, dlltest.Build(machine, name, exports), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func write(t *testing.T, l implib.Library) string {
	t.Helper()
	var b bytes.Buffer
	if err := l.Write(&b); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "x.lib")
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func tool(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}

func TestOf(t *testing.T) {
	l, err := implib.Of(dll(t, "every64_1.dll", dlltest.X86_64, exports))
	want := implib.Library{DLL: "every64_1.dll", Machine: "x86_64", Symbols: []implib.Symbol{
		{Name: "?f@@YAHH@Z", Hint: 0}, {Name: "alpha", Hint: 1}, {Name: "away", Hint: 2}, {Name: "state", Hint: 3, Data: true}, {Name: "zulu", Hint: 4},
	}}
	if err != nil || !reflect.DeepEqual(l, want) {
		t.Errorf("got  %+v, %v\nwant %+v", l, err, want)
	}
	if _, err := implib.Of(dll(t, "numbers.dll", dlltest.X86_64, []dlltest.Export{{Ordinal: 1}})); !errors.Is(err, implib.ErrNoSymbols) {
		t.Errorf("without names: %v", err)
	}
	text := filepath.Join(t.TempDir(), "text.dll")
	if err := os.WriteFile(text, []byte("text"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := implib.Of(text); !errors.Is(err, objfile.ErrFormat) || !strings.Contains(err.Error(), text) {
		t.Errorf("of text: %v", err)
	}
}

// TestWrite has binutils list the library: ar its members, by the header of
// each, nm the index and the symbols of each member.
func TestWrite(t *testing.T) {
	for name, long := range map[string]bool{"short64_1.dll": false, "fifteen64_1.dll": false, "sixteen_64_1.dll": true, "a_long_name64_13_0.dll": true} {
		t.Run(name, func(t *testing.T) {
			l, err := implib.Of(dll(t, name, dlltest.X86_64, exports))
			if err != nil {
				t.Fatal(err)
			}
			path := write(t, l)
			if got, want := strings.Fields(tool(t, "ar", "t", path)), slices.Repeat([]string{name}, 3+len(l.Symbols)); !slices.Equal(got, want) {
				t.Errorf("ar lists %q, want %q", got, want)
			}
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if got := bytes.Contains(data, []byte("\n//      ")) || bytes.Contains(data, []byte("\x00//      ")); got != long {
				t.Errorf("a member of long names: %v, want %v", got, long)
			}
			stem := strings.TrimSuffix(name, ".dll")
			var want []string
			for _, s := range []string{
				"?f@@YAHH@Z", "__imp_?f@@YAHH@Z", "alpha", "__imp_alpha", "away", "__imp_away", "__imp_state", "zulu", "__imp_zulu",
				"__IMPORT_DESCRIPTOR_" + stem, "__NULL_IMPORT_DESCRIPTOR", "\x7f" + stem + "_NULL_THUNK_DATA",
			} {
				want = append(want, s+" in "+name)
			}
			index, _, _ := strings.Cut(tool(t, "nm", "-s", path), "\n\n")
			got := strings.Split(strings.TrimSpace(strings.TrimPrefix(index, "\nArchive index:\n")), "\n")
			got = slices.DeleteFunc(got, func(s string) bool { return !strings.Contains(s, " in ") })
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("nm -s lists %q, want %q", got, want)
			}
		})
	}
}

// TestMembers has objdump read the three object files at the beginning, and
// what it makes of the short imports, as a linker does.
func TestMembers(t *testing.T) {
	l, err := implib.Of(dll(t, "every64_1.dll", dlltest.X86_64, exports))
	if err != nil {
		t.Fatal(err)
	}
	// objdump ends with 1 on any short import, since it looks for its symbols;
	// what it prints is whole.
	dump, _ := exec.Command("objdump", "-hrs", write(t, l)).CombinedOutput()
	out := string(dump)
	for _, want := range []string{
		`OFFSET\s+TYPE\s+VALUE\s*\n0*c (rva32|IMAGE_REL_AMD64_ADDR32NB)\s+\.idata\$6\n0* \S+\s+\.idata\$4\n0*10 \S+\s+\.idata\$5`,
		`Contents of section \.idata\$6:\n 0000 65766572 7936345f 312e646c 6c00 `,
		`Contents of section \.idata\$3:\n 0000 00000000 00000000 00000000 00000000 .*\n 0010 00000000 `,
		`\.idata\$5 +00000008 .* 2\*\*3`,
		`\.idata\$4 +00000008 .* 2\*\*3`,
		`\.idata\$2 +00000014 .* 2\*\*2`,
		// Hint and name.
		`Contents of section \.idata\$6:\n 0000 0100616c 70686100`,
		`Contents of section \.idata\$6:\n 0000 03007374 61746500`,
		`Contents of section \.idata\$6:\n 0000 04007a75 6c750000`,
	} {
		if !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("objdump does not say %s:\n%s", want, out)
		}
	}
	// All but the data have a function that jumps.
	if n := strings.Count(out, "Contents of section .text:"); n != 4 {
		t.Errorf("%d functions, want 4:\n%s", n, out)
	}
}

func TestWriteErrors(t *testing.T) {
	many := make([]implib.Symbol, 1<<16)
	for i := range many {
		many[i].Name = fmt.Sprint("f", i)
	}
	one := []implib.Symbol{{Name: "f"}}
	for _, c := range []struct {
		library implib.Library
		want    string
	}{
		{implib.Library{DLL: "a.dll", Machine: "i386", Symbols: one}, "a.dll is for i386: import libraries are made for x86_64 and aarch64"},
		{implib.Library{DLL: "dir/a.dll", Machine: "x86_64", Symbols: one}, "no file name of a DLL"},
		{implib.Library{Machine: "x86_64", Symbols: one}, "no file name of a DLL"},
		{implib.Library{DLL: "a.dll", Machine: "x86_64", Symbols: []implib.Symbol{{}}}, "a.dll: \"\" is no name of a symbol"},
		{implib.Library{DLL: "a.dll", Machine: "x86_64", Symbols: append(one, one...)}, "a.dll exports f twice"},
		{implib.Library{DLL: "a.dll", Machine: "x86_64", Symbols: many}, "65539 members"},
	} {
		var b bytes.Buffer
		if err := c.library.Write(&b); err == nil || !strings.Contains(err.Error(), c.want) || b.Len() > 0 {
			t.Errorf("got %v and %d bytes, want an error about %q", err, b.Len(), c.want)
		}
	}
}

// FuzzWrite holds that whatever a DLL exports gives an error, or a library that
// has every name and is the same again.
func FuzzWrite(f *testing.F) {
	f.Add("every64_1.dll", "alpha", "state", uint16(1))
	f.Add("a_long_name64_13_0.dll", "?f@@YAHH@Z", "\xff", uint16(65535))
	f.Fuzz(func(t *testing.T, name, code, data string, hint uint16) {
		l := implib.Library{DLL: name, Machine: "aarch64", Symbols: []implib.Symbol{{Name: code, Hint: hint}, {Name: data, Data: true}}}
		var one, two bytes.Buffer
		if err := l.Write(&one); err != nil {
			return
		}
		if err := l.Write(&two); err != nil || !bytes.Equal(one.Bytes(), two.Bytes()) {
			t.Fatalf("written again it is another: %v", err)
		}
		for _, s := range []string{code, "__imp_" + data} {
			if n := bytes.Count(one.Bytes(), []byte(s+"\x00")); n < 2 {
				t.Errorf("%q stands there %d times", s, n)
			}
		}
		if one.Len()%2 != 0 {
			t.Errorf("it has %d bytes", one.Len())
		}
	})
}
