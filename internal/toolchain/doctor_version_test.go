package toolchain_test

import (
	"strings"
	"testing"

	"github.com/relmat/relmat/internal/toolchain"
)

// versions are first lines as programs print them.
var versions = []struct{ output, want string }{
	{"cmake version 3.25.1\n\nCMake suite maintained and supported by Kitware (kitware.com/cmake).\n", "3.25.1"},
	{"cmake version 4.2.0-rc1", "4.2.0"},
	{"cargo 1.95.0 (f2d3ce0bd 2026-03-21)", "1.95.0"},
	{"rustc 1.97.0-nightly (59807616e 2026-04-14)", "1.97.0"},
	{"g++ (Debian 12.2.0-14) 12.2.0\nCopyright (C) 2022 Free Software Foundation, Inc.", "12.2.0"},
	{"c++ (Ubuntu 13.3.0-6ubuntu2~24.04) 13.3.0", "13.3.0"},
	{"g++ (GCC) 13.2.1 20231205 (Red Hat 13.2.1-6)", "13.2.1"},
	{"gcc-12 (Debian 12.2.0-14+deb12u1) 12.2.0", "12.2.0"},
	{"x86_64-w64-mingw32-g++ (GCC) 12-win32", "12"},
	{"g++ (conda-forge gcc 14.2.0-1) 14.2.0", "14.2.0"},
	{"Apple clang version 17.0.0 (clang-1700.0.13.3)", "17.0.0"},
	{"Ubuntu clang version 18.1.3 (1ubuntu1)", "18.1.3"},
	{"clang version 21.1.0rc2", "21.1.0"},
	{"1.11.1", "1.11.1"},
	{"1.11.1.git.kitware.jobserver-1", "1.11.1"},
	{"\r\n\n  1.12.1\r\n", "1.12.1"},
	{"git version 2.39.5 (Apple Git-154)", "2.39.5"},
	{"git version 2.45.1.windows.1", "2.45.1"},
	{"pip 24.0 from /usr/lib/python3.11/site-packages/pip (python 3.11)", "24.0"},
	{"Python 3.11.7", "3.11.7"},
	{"ccache version 4.8.3", "4.8.3"},
	{"sccache 0.8.2", "0.8.2"},
	{"tool v2.0", "2.0"},
	{"17.14.36109.1", "17.14.36109.1"},
	{"14.44.35207", "14.44.35207"},
	{"580.65.06", "580.65.06"},
	// No version, or none to be trusted.
	{"", ""},
	{"\n\n", ""},
	{"hello", ""},
	{"(1.2.3)", ""},
	{"(1.2.3", ""},
	{"gcc-12", ""},
	{"error: no such command\n1.2.3", ""},
	{"99999999999999999999", ""},
	{"\x00\xff\xfe", ""},
}

func TestParseVersion(t *testing.T) {
	for _, tt := range versions {
		v, ok := toolchain.ParseVersion(tt.output)
		if v.Text != tt.want || ok != (tt.want != "") {
			t.Errorf("ParseVersion(%q) = %q, %v, want %q", tt.output, v.Text, ok, tt.want)
		}
	}
}

func TestCompareVersions(t *testing.T) {
	tests := []struct {
		a, b string
		want int
	}{
		{"1.88", "1.88.0", 0}, {"1.9", "1.88", -1}, {"3.24", "3.24.1", -1}, {"4", "3.99", 1}, {"580.65.06", "580.65.6", 0}, {"12", "12.2.0", -1},
	}
	for _, tt := range tests {
		a, _ := toolchain.ParseVersion(tt.a)
		b, _ := toolchain.ParseVersion(tt.b)
		if got := a.Compare(b); got != tt.want {
			t.Errorf("%s against %s = %d, want %d", tt.a, tt.b, got, tt.want)
		}
		if got := b.Compare(a); got != -tt.want {
			t.Errorf("%s against %s = %d, want %d", tt.b, tt.a, got, -tt.want)
		}
	}
}

func FuzzParseVersion(f *testing.F) {
	for _, tt := range versions {
		f.Add(tt.output)
	}
	f.Fuzz(func(t *testing.T, output string) {
		v, ok := toolchain.ParseVersion(output)
		if !ok {
			if v.Text != "" || v.Numbers != nil {
				t.Errorf("%q: no version, but %+v", output, v)
			}
			return
		}
		if !strings.Contains(output, v.Text) {
			t.Errorf("%q does not say %q", output, v.Text)
		}
		again, ok := toolchain.ParseVersion(v.Text)
		if !ok || again.Text != v.Text || again.Compare(v) != 0 {
			t.Errorf("%q reads as %+v, then as %+v", output, v, again)
		}
		if n := strings.Count(v.Text, ".") + 1; len(v.Numbers) != n {
			t.Errorf("%q has %d numbers, want %d", v.Text, len(v.Numbers), n)
		}
	})
}
