//go:build unix

package toolchain_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/relmat/relmat/internal/matrix"
	"github.com/relmat/relmat/internal/toolchain"
)

// hostConfig has the shape of a toolkit's crt/host_config.h, with the forms of
// several releases.
const hostConfig = `
#if defined(__ICC)
#error -- ICC is not supported as a host compiler!
#endif
#if defined(__GRCO_CLANG_COMPILER__)
#if (__GRCO_CLANG_COMPILER__ == 1) && ((__clang_major__ < 16) || (__clang_major__ > 18))
#error -- unsupported Grace clang version! The version must be 16.x to 18.x.
#endif
#endif
#if defined(__GNUC__) && !defined(__clang__)
#if __GNUC__ > 13

#error -- unsupported GNU version! gcc versions later than 13 are not supported!

#endif /* __GNUC__ > 13 */
#endif
#if defined(__HORIZON__)
#if (__clang_major__ >= 30) || (__clang_major__ < 3)
#error -- unsupported HOS clang version! The version must be must be less than 30
#endif
#endif
#if defined(__clang__)
#if (__clang_major__ >= 19) || (__clang_major__ < 3) || \
    ((__clang_major__ == 3) &&  (__clang_minor__ < 3))
#error -- unsupported clang version! clang version must be less than 19 and greater than 3.2 .
#endif
#endif
#if defined(_WIN32)
#if _MSC_VER < 1910 || _MSC_VER >= 1950

#error -- unsupported Microsoft Visual Studio version! Only the versions between 2017 and 2022 (inclusive) are supported!

#endif
#endif
#if _MSC_VER >= 1500
#define X
#endif
`

// TestParseHostConfig lets a preprocessor judge for which versions the header
// stops a compilation.
func TestParseHostConfig(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "host_config.h"), []byte(hostConfig), 0o644); err != nil {
		t.Fatal(err)
	}
	refused := func(defines ...string) bool {
		args := append([]string{"-E", "-undef", "-x", "c++", "-w"}, defines...)
		out, err := exec.Command("c++", append(args, filepath.Join(dir, "host_config.h"))...).CombinedOutput()
		if err != nil && !strings.Contains(string(out), "unsupported") {
			t.Fatalf("c++ %q: %v\n%s", defines, err, out)
		}
		return err != nil
	}
	h := toolchain.ParseHostConfig(hostConfig)
	for _, n := range []int{4, 12, 13, 14, 20} {
		if got, want := h.GCC.Has(n), !refused(fmt.Sprintf("-D__GNUC__=%d", n)); got != want {
			t.Errorf("gcc %d is taken: %v, want %v", n, got, want)
		}
	}
	for _, n := range []int{2, 4, 18, 19, 20} {
		if got, want := h.Clang.Has(n), !refused("-D__clang__", "-D__clang_minor__=9", fmt.Sprintf("-D__clang_major__=%d", n)); got != want {
			t.Errorf("clang %d is taken: %v, want %v", n, got, want)
		}
	}
	for _, n := range []int{1900, 1909, 1910, 1949, 1950} {
		if got, want := h.MSVC.Has(n), !refused("-D_WIN32", fmt.Sprintf("-D_MSC_VER=%d", n)); got != want {
			t.Errorf("_MSC_VER %d is taken: %v, want %v", n, got, want)
		}
	}
	if got, want := fmt.Sprint(h), "{13 or older 3 to 18 1910 to 1949}"; got != want {
		t.Errorf("the ranges are %s, want %s", got, want)
	}
}

func FuzzParseHostConfig(f *testing.F) {
	f.Add(hostConfig)
	f.Add("#if __GNUC__ > 0\n#error unsupported GNU version")
	f.Add("#if __GNUC__ <= 999999 || __GNUC__ >= 0\\\n\n#error unsupported GNU version")
	f.Fuzz(func(t *testing.T, text string) {
		h := toolchain.ParseHostConfig(text)
		for _, r := range []toolchain.Range{h.GCC, h.Clang, h.MSVC} {
			if r.Min < 0 || r.Max < 0 || r.Min > 1e6 || r.Max > 1e6 || r.String() == "" {
				t.Errorf("%+v", r)
			}
		}
		if !strings.Contains(text, "unsupported") && h != (toolchain.HostCompilers{}) {
			t.Errorf("%+v out of a text that refuses nothing", h)
		}
	})
}

func TestDoctorHostCompiler(t *testing.T) {
	header := filepath.Join(t.TempDir(), "host_config.h")
	if err := os.WriteFile(header, []byte(hostConfig), 0o644); err != nil {
		t.Fatal(err)
	}
	empty := filepath.Join(t.TempDir(), "host_config.h")
	if err := os.WriteFile(empty, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, header  string
		scripts       map[string]string
		env           []string
		state         toolchain.State
		found, needed string
		get, detail   string
		blocks        bool
	}{
		{"taken", header, map[string]string{"gcc": say("gcc (Debian 12.2.0-14) 12.2.0")}, nil, toolchain.StateOK, "gcc 12.2.0", "gcc 13 or older", "", "", false},
		{
			"too new", header,
			map[string]string{"gcc": say("gcc (GCC) 14.2.1 20240912"), "apt-get": "exit 1"},
			nil,
			toolchain.StateTooNew, "gcc 14.2.1", "gcc 13 or older", "apt install g++-13, and CUDAHOSTCXX=g++-13", "", true,
		},
		{
			"too new but let through", header,
			map[string]string{"gcc": say("gcc (GCC) 14.2.1")},
			[]string{"NVCC_APPEND_FLAGS=-allow-unsupported-compiler"},
			toolchain.StateTooNew, "gcc 14.2.1", "gcc 13 or older", "version 13 or older, named by CUDAHOSTCXX", "-allow-unsupported-compiler", false,
		},
		{
			"named for CMake", header,
			map[string]string{"gcc": say("gcc (GCC) 14.2.1"), "g++-13": say("g++-13 (GCC) 13.1.0")},
			[]string{"CUDAHOSTCXX=g++-13", "NVCC_CCBIN=x"},
			toolchain.StateOK, "gcc 13.1.0", "gcc 13 or older", "", "", false,
		},
		{
			"named for nvcc", header,
			map[string]string{"clang++": say("Debian clang version 18.1.3")},
			[]string{"NVCC_CCBIN=clang++"},
			toolchain.StateOK, "clang 18.1.3", "clang 3 to 18", "", "", false,
		},
		{
			"clang too old", header,
			map[string]string{"clang++": say("clang version 2.9")},
			[]string{"NVCC_CCBIN=clang++"},
			toolchain.StateTooOld, "clang 2.9", "clang 3 to 18", "a newer compiler, named by CUDAHOSTCXX", "", true,
		},
		{"absent", header, nil, nil, toolchain.StateMissing, "", "gcc 13 or older", "a compiler that nvcc knows, named by CUDAHOSTCXX", "there is no gcc", true},
		{"garbage", header, map[string]string{"gcc": say("?")}, nil, toolchain.StateUnknown, "", "gcc 13 or older", "", "states no version", false},
		{"not fetched", "", nil, nil, toolchain.StateNote, "", "", "", "relmat toolkit fetch cuda", false},
		{"no header", header + "x", nil, nil, toolchain.StateUnknown, "", "", "", "no such file", false},
		{"another header", empty, map[string]string{"gcc": say("gcc 14.1.0")}, nil, toolchain.StateOK, "14.1.0", "any", "", "states no range of gcc", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			env, _ := fakes(t, tt.scripts, tt.env...)
			d := &toolchain.Doctor{Host: linux, Dir: t.TempDir()}
			row := nativeRow()
			row.Toolkit = "cuda"
			c := d.HostCompiler(t.Context(), toolchain.Build{Row: row, Env: env}, toolchain.NVCC{Of: "toolkit cuda", Header: tt.header})
			if c.State != tt.state || c.Found != tt.found || c.Needed != tt.needed || c.Get != tt.get || c.Blocks != tt.blocks || !strings.Contains(c.Detail, tt.detail) {
				t.Errorf("the check is %+v", c)
			}
		})
	}
	// nvcc also takes a directory.
	_, bin := fakes(t, map[string]string{"gcc": say("gcc 11.1.0")})
	d := &toolchain.Doctor{Host: linux, Dir: t.TempDir()}
	b := toolchain.Build{Row: nativeRow(), Env: []string{"PATH=/nowhere", "NVCC_CCBIN=" + bin}}
	if c := d.HostCompiler(t.Context(), b, toolchain.NVCC{Of: "toolkit cuda", Header: header}); c.Found != "gcc 11.1.0" {
		t.Errorf("the check is %+v", c)
	}
}

func TestDoctorXcode(t *testing.T) {
	row := nativeRow()
	row.Platform = matrix.Platform{OS: "macos", Arch: "aarch64"}
	row.Triple = "aarch64-apple-darwin"
	tests := []struct {
		name, script string
		state        toolchain.State
		found        string
		blocks       bool
	}{
		{"Xcode", say("/Applications/Xcode.app/Contents/Developer"), toolchain.StateOK, "Xcode", false},
		{"tools alone", say("/Library/Developer/CommandLineTools"), toolchain.StateOK, "tools alone", false},
		{"nothing chosen", "echo 'error: unable to get active developer directory' >&2; exit 2", toolchain.StateFailed, "", true},
		{"absent", "", toolchain.StateMissing, "", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			scripts := map[string]string{"c++": say("Apple clang version 17.0.0 (clang-1700.0.13.3)")}
			if tt.script != "" {
				scripts["xcode-select"] = tt.script
			}
			env, _ := fakes(t, scripts)
			d := &toolchain.Doctor{Host: row.Platform, Dir: t.TempDir()}
			checks := d.Check(t.Context(), toolchain.Build{Row: row, Env: env})
			if c := named(t, checks, "Xcode"); c.State != tt.state || c.Found != tt.found || c.Blocks != tt.blocks {
				t.Errorf("the check is %+v", c)
			}
			if c := named(t, checks, "C++ compiler"); c.Found != "17.0.0" {
				t.Errorf("the compiler is %+v", c)
			}
		})
	}
}

func TestSpace(t *testing.T) {
	dir := t.TempDir()
	const enough, tooMuch = 1, 1 << 60
	absent := filepath.Join(dir, "not", "there")
	tests := []struct {
		name  string
		space toolchain.Space
		want  string
	}{
		{"toolkit is there", toolchain.Space{State: absent, Cache: dir, Allowance: enough}, "disk, state ok false"},
		{"one disk", toolchain.Space{State: absent, Cache: dir, Allowance: enough, Toolkit: enough}, "disk ok false"},
		{"too little for the allowance", toolchain.Space{State: dir, Cache: dir, Allowance: tooMuch, Toolkit: enough}, "disk missing false"},
		{"too little for the toolkit", toolchain.Space{State: dir, Cache: dir, Allowance: enough, Toolkit: tooMuch}, "disk missing true"},
		{"two disks", toolchain.Space{State: "/proc", Cache: dir, Allowance: enough, Toolkit: tooMuch}, "disk, state missing false; disk, cache missing true"},
	}
	for _, tt := range tests {
		if _, err := os.Stat("/proc/self"); err != nil && tt.space.State == "/proc" {
			continue // another disk than that of the temporary directory
		}
		var got []string
		for _, c := range tt.space.Check() {
			got = append(got, fmt.Sprint(c.Name, " ", c.State, " ", c.Blocks))
		}
		if strings.Join(got, "; ") != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
	if _, err := os.Stat(absent); err == nil {
		t.Error("asking made the directory")
	}
	row := nativeRow()
	native := toolchain.Allowance(row, 100)
	row.Native.Crates = nil
	if bare := toolchain.Allowance(row, 0); native <= bare+200 {
		t.Errorf("a native build is allowed %d, one without %d", native, bare)
	}
}
