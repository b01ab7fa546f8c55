package toolchain

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestUnixOnly(t *testing.T) {
	for condition, want := range map[string]bool{
		"cfg(unix)": true, "cfg(windows)": false, `cfg(target_os = "linux")`: true, `cfg(not(windows))`: true,
		`cfg(any(unix, windows))`: false, `cfg(all(unix, not(target_os="macos")))`: true, `cfg(target_arch = "x86_64")`: false,
		`cfg(any(target_os="linux",target_os="android",))`: true, `cfg(all())`: false, `cfg(any())`: false, `cfg(target_family = "unix")`: true,
		`cfg(all(target_arch = "aarch64", target_os = "macos"))`: true, `cfg(not(target_env = "msvc"))`: false, `cfg(not(target_os = "wasi"))`: false,
		`cfg(target_os = "freebsd")`: false, "x86_64-unknown-linux-gnu": true, "aarch64-apple-darwin": true, "x86_64-pc-windows-msvc": false,
		"cfg(": false, "cfg(unix": true, "cfg(not(": false, `cfg(target_os = "lin)`: false, "cfg(foo(unix))": false, "cfg((((": false,
		"cfg(" + strings.Repeat("not(", 200) + "unix" + strings.Repeat(")", 200) + ")": false,
	} {
		if got := unixOnly(condition); got != want {
			t.Errorf("%s: %t, want %t", condition, got, want)
		}
	}
}

func FuzzUnixOnly(f *testing.F) {
	f.Add(`cfg(any(unix, not(target_os = "x")))`)
	f.Add("cfg(,,)")
	f.Fuzz(func(_ *testing.T, condition string) { unixOnly(condition) })
}

func TestParseGraph(t *testing.T) {
	const graph = `{"packages": [
		{"id": "a1", "name": "a", "version": "1.0.0", "features": {"default": ["net"], "net": ["sock"], "sock": ["dep:nix"], "other": ["b/x"], "weak": ["nix?/y"]},
		 "dependencies": [
			{"name": "nix", "target": "cfg(unix)", "optional": true}, {"name": "libc", "target": "cfg(unix)"},
			{"name": "winapi", "target": "cfg(windows)"}, {"name": "b"}, {"name": "tempfile", "target": "cfg(unix)", "kind": "dev"},
			{"name": "mio", "rename": "poll", "target": "cfg(unix)", "optional": true}]},
		{"id": "a2", "name": "a", "version": "2.0.0", "features": {}, "dependencies": []},
		{"id": "b1", "name": "b", "version": "1.0.0", "features": {}, "dependencies": []},
		{"id": "m", "name": "m", "version": "0.1.0", "features": {}, "dependencies": []}],
		"workspace_members": ["m"],
		"resolve": {"nodes": [{"id": "a1", "features": ["net"]}, {"id": "a2"}, {"id": "m"}]}}`
	list, err := parseGraph([]byte(graph), []string{"a", "b", "m"})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range list {
		got = append(got, fmt.Sprintf("%s %s %s %t %v", c.Name, c.Version, c.State, c.member, c.UnixOnly))
	}
	want := []string{
		"a 1.0.0  false [{nix cfg(unix) [default net sock] [net]} {libc cfg(unix) [] []} {mio cfg(unix) [] []}]",
		"a 2.0.0  false []", "b  missing false []", "m 0.1.0  true []",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if _, err := parseGraph([]byte("{"), nil); err == nil {
		t.Error("broken JSON is taken")
	}
}

func TestFirstError(t *testing.T) {
	for _, tt := range []struct{ said, want string }{
		{"   Compiling x\nsrc/lib.rs:1:5: error[E0432]: unresolved import `std::os::unix`\nerror: could not compile `x`", "src/lib.rs:1:5: error[E0432]: unresolved import `std::os::unix`"},
		{"error: failed to run custom build command for `s`\n\nCaused by:\n  --- stdout\n  error in stdout\n  --- stderr\n  running cmake\n  thread 'main' (1) panicked at build.rs:1:1:\n  cmake is not installed\n  note: run with", "error: failed to run custom build command for `s`: cmake is not installed"},
		{"error: failed to run custom build command for `s`\n  --- stderr\n  one\n  CMake Error: two\n  three", "error: failed to run custom build command for `s`: CMake Error: two"},
		{"error: failed to run custom build command for `s`\n  --- stderr\n  one\n  three", "error: failed to run custom build command for `s`: one"},
		{"error: failed to run custom build command for `s`", "error: failed to run custom build command for `s`"},
		{"odd", "odd"},
		{"", ""},
	} {
		if got := firstError(strings.Split(tt.said, "\n")); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
	if got := firstError(nil); got == "" {
		t.Error("nothing is said")
	}
}

func TestFeaturesOfPackages(t *testing.T) {
	c := Crates{}
	c.Row.Features = []string{"cuda", "dep/x"}
	if got := strings.Split(c.features([]string{"a", "b"}), ","); !slices.Equal(got, []string{"a/cuda", "dep/x", "b/cuda"}) {
		t.Errorf("got %q", got)
	}
}
