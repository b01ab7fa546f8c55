package toolchain_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/relmat/relmat/internal/matrix"
	"github.com/relmat/relmat/internal/proc"
	"github.com/relmat/relmat/internal/toolchain"
)

var (
	winX64 = matrix.Platform{OS: "windows", Arch: "x86_64"}
	winArm = matrix.Platform{OS: "windows", Arch: "aarch64"}
)

const (
	x64Tools = "Microsoft.VisualStudio.Component.VC.Tools.x86.x64"
	armTools = "Microsoft.VisualStudio.Component.VC.Tools.ARM64"
)

// batchFile stands for vcvarsall.bat: it sets what the real one sets, by its own
// place and argument.
func batchFile(body ...string) string {
	return "@echo off\r\n" + strings.Join(body, "\r\n") + "\r\n"
}

// toolset are the lines of a batch file that works.
func toolset(version, host, target string) []string {
	tools := filepath.Join("..", "..", "Tools", "MSVC", version)
	return []string{
		`set "VSCMD_ARG_TGT_ARCH=` + target + `"`,
		`set "VSCMD_VER=17.14.1"`,
		`set "__VSCMD_PREINIT_PATH=%PATH%"`,
		`set "VCINSTALLDIR=%~dp0` + filepath.Join("..", "..") + string(filepath.Separator) + `"`,
		`set "VCToolsInstallDir=%~dp0` + tools + string(filepath.Separator) + `"`,
		`set "VCToolsVersion=` + version + `"`,
		`set "WindowsSdkDir=C:\Program Files (x86)\Windows Kits\10\"`,
		`set "WindowsSDKVersion=10.0.26100.0\"`,
		`set "INCLUDE=%~dp0` + filepath.Join(tools, "include") + `;C:\a & b^c!d (x86)\include"`,
		`set "LIB=%~dp0` + filepath.Join(tools, "lib", target) + `"`,
		`set "LIBPATH=` + "%1" + `"`,
		`set "PATH=%~dp0` + filepath.Join(tools, "bin", host, target) + string(filepath.ListSeparator) + `%PATH%"`,
	}
}

// visual is an installation to lay out.
type visual struct {
	dir, version string
	prerelease   bool
	batch        string // vcvarsall.bat; that of a working toolset if it is empty
	tools        []string
	// toolsets are those that it has, the one that it uses first before the
	// others; one if it is empty. One ending in - has no compiler.
	toolsets []string
}

const toolsetVersion = "14.44.35207"

func (v visual) lay(t *testing.T) {
	t.Helper()
	build := filepath.Join(v.dir, "VC", "Auxiliary", "Build")
	versions := v.toolsets
	if len(versions) == 0 {
		versions = []string{toolsetVersion}
	}
	put(t, filepath.Join(build, "Microsoft.VCToolsVersion.default.txt"), strings.TrimSuffix(versions[0], "-")+"\r\n")
	text := v.batch
	if text == "" {
		text = batchFile(sideBySide("x64", versions...)...)
	}
	put(t, filepath.Join(build, "vcvarsall.bat"), text)
	for _, version := range versions {
		if version, empty := strings.CutSuffix(version, "-"); empty {
			put(t, filepath.Join(v.dir, "VC", "Tools", "MSVC", version, "include", "vector"), "")
			continue
		}
		for _, dir := range append([]string{"Hostx64/x64"}, v.tools...) {
			for _, name := range []string{"cl.exe", "link.exe"} {
				put(t, filepath.Join(v.dir, "VC", "Tools", "MSVC", version, "bin", filepath.FromSlash(dir), name), "")
			}
		}
	}
}

// sideBySide are the lines of a batch file that sets up the first of the toolsets,
// or by -vcvars_ver=14.44 that one: cmd.exe hands its parts on as %2 and %3.
func sideBySide(target string, versions ...string) []string {
	lines := []string{`set "__toolset=` + versions[0] + `"`}
	for _, v := range versions[1:] {
		lines = append(lines, `if "%2 %3"=="-vcvars_ver `+v[:len("14.44")]+`" set "__toolset=`+v+`"`)
	}
	return append(lines, toolset("%__toolset%", "Hostx64", target)...)
}

func (v visual) json(t *testing.T) string {
	t.Helper()
	data, err := json.Marshal(map[string]any{
		"instanceId": "2c33f8c6", "installationPath": v.dir, "installationVersion": v.version, "displayName": "Visual Studio Build Tools 2022",
		"productId": "Microsoft.VisualStudio.Product.BuildTools", "isComplete": true, "isLaunchable": true, "isPrerelease": v.prerelease,
		"state": 4294967295, "catalog": map[string]string{"productLineVersion": "2022"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// windowsHost lays out a host with the installations, and a vswhere that knows
// them.
func windowsHost(t *testing.T, list ...visual) (root string, env []string) {
	t.Helper()
	root = t.TempDir()
	return root, hostAt(t, root, list...)
}

func hostAt(t *testing.T, root string, list ...visual) []string {
	t.Helper()
	var released, all []string
	for i := range list {
		if !filepath.IsAbs(list[i].dir) {
			list[i].dir = filepath.Join(root, filepath.FromSlash(list[i].dir))
		}
		list[i].lay(t)
		all = append(all, list[i].json(t))
		if !list[i].prerelease {
			released = append(released, list[i].json(t))
		}
	}
	answer := func(list []string) string { return "[\n" + strings.Join(list, ",\n") + "\n]\n" }
	env := windowsEnv(t, root)
	vswhere(t, root, []reply{{Args: []string{"-prerelease"}, Stdout: answer(all)}, {Args: []string{"-utf8", "-products", "*"}, Stdout: answer(released)}})
	return env
}

func vswhere(t *testing.T, root string, answers []reply) string {
	t.Helper()
	path := filepath.Join(root, "pf86", "Microsoft Visual Studio", "Installer", "vswhere.exe")
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	program(t, path, standIn{Answers: answers})
	return path
}

// windowsEnv is the environment of a Windows host; elsewhere than on Windows its
// cmd.exe is a stand-in.
func windowsEnv(t *testing.T, root string) []string {
	t.Helper()
	env := []string{
		"ProgramFiles(x86)=" + filepath.Join(root, "pf86"), "ProgramFiles=" + filepath.Join(root, "pf"), "ProgramData=" + filepath.Join(root, "pd"),
		"PATH=" + filepath.Join(root, "bin"), "PATHEXT=.COM;.EXE;.BAT", "TEMP=" + os.TempDir(), "SECRET=s", "INCLUDE=stale",
	}
	if runtime.GOOS == "windows" {
		return append(env, "SystemRoot="+os.Getenv("SystemRoot"), "ComSpec="+os.Getenv("ComSpec"), "windir="+os.Getenv("windir"))
	}
	system := filepath.Join(root, "Windows")
	program(t, filepath.Join(system, "System32", "cmd.exe"), standIn{Cmd: true})
	return append(env, "SystemRoot="+system)
}

func find(t *testing.T, host, target matrix.Platform, env []string, cache string) (*toolchain.MSVC, error) {
	t.Helper()
	return toolchain.MSVCFinder{Host: host, Env: env, Cache: cache, Timeout: 20 * time.Second}.Find(t.Context(), target)
}

// TestMSVCPlaces has what vcvarsall.bat says come through whatever the
// installation's path is like.
func TestMSVCPlaces(t *testing.T) {
	for i, dir := range []string{
		"BuildTools", "Program Files (x86)/Microsoft Visual Studio/2022/BuildTools", "a & b", "(x)", "a^b", "100%", "%PATH%", "!x!", "a,b'c", "ünï 日本",
		"a & (b) ^c %TEMP% !d! e", strings.Repeat("long/", 20) + "x",
	} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			v := visual{dir: dir, version: "17.14.36"}
			root := t.TempDir()
			if strings.Contains(dir, "%") {
				// What cmd.exe makes of %~dp0 there is the batch file's matter, and
				// Wine's cmd.exe expands it twice: this one names its place itself.
				place := filepath.Join(root, filepath.FromSlash(dir), "VC", "Auxiliary", "Build") + string(filepath.Separator)
				body := strings.Join(toolset(toolsetVersion, "Hostx64", "x64"), "\r\n")
				v.batch = batchFile(strings.ReplaceAll(body, "%~dp0", strings.ReplaceAll(place, "%", "%%")))
			}
			env := hostAt(t, root, v)
			m, err := find(t, winX64, winX64, env, "")
			if err != nil {
				t.Fatal(err)
			}
			bin := filepath.Join(root, filepath.FromSlash(dir), "VC", "Tools", "MSVC", toolsetVersion, "bin", "Hostx64", "x64")
			if m.Toolset != toolsetVersion || m.SDK != "10.0.26100.0" || filepath.Clean(m.Cl) != filepath.Join(bin, "cl.exe") || filepath.Clean(m.Link) != filepath.Join(bin, "link.exe") {
				t.Errorf("found %+v", m)
			}
			b := m.BuildEnv([]string{"PATH=x"}, msvcRow(), winX64)
			if got := proc.Getenv(b, "INCLUDE"); !strings.HasSuffix(got, `;C:\a & b^c!d (x86)\include`) || !strings.Contains(got, filepath.FromSlash(dir)) {
				t.Errorf("INCLUDE is %q", got)
			}
			if got := proc.Getenv(b, "LIBPATH"); got != "amd64" {
				t.Errorf("vcvarsall.bat was called with %q", got)
			}
			for _, name := range []string{"SECRET", "__VSCMD_PREINIT_PATH", "RELMAT_VCVARS", "PROMPT", "SystemRoot", "WINEUSERNAME", "VSCMD_SKIP_SENDTELEMETRY"} {
				if got := proc.Getenv(b, name); got != "" {
					t.Errorf("%s=%s is taken for Visual Studio's", name, got)
				}
			}
		})
	}
}

func msvcRow() matrix.Row {
	var r matrix.Row
	r.Name, r.Platform, r.Triple = "w", winX64, "x86_64-pc-windows-msvc"
	r.Native.Crates = []string{"q"}
	return r
}

func TestMSVCChoice(t *testing.T) {
	broken := func(body ...string) visual { return visual{dir: "broken", version: "17.0", batch: batchFile(body...)} }
	works := toolset(toolsetVersion, "Hostx64", "x64")
	without := func(name string) []string {
		return slices.DeleteFunc(slices.Clone(works), func(l string) bool { return strings.HasPrefix(l, `set "`+name+"=") })
	}
	tests := []struct {
		name         string
		host, target matrix.Platform
		list         []visual
		want         string // the installation's directory and the argument
		fails        string // a part of the error
	}{
		{"only Build Tools", winX64, winX64, []visual{{dir: "BuildTools", version: "17.14"}}, "BuildTools amd64", ""},
		{"two versions", winX64, winX64, []visual{{dir: "old", version: "16.11.5"}, {dir: "new", version: "17.9.2"}, {dir: "ten", version: "17.10.1"}}, "ten amd64", ""},
		{"a prerelease beside a release", winX64, winX64, []visual{{dir: "pre", version: "18.0", prerelease: true}, {dir: "vs", version: "17.1"}}, "vs amd64", ""},
		{"a prerelease alone", winX64, winX64, []visual{{dir: "pre", version: "18.0", prerelease: true}}, "pre amd64", ""},
		{"none", winX64, winX64, nil, "", "vswhere knows none with component " + x64Tools},
		{"none for Arm", winX64, winArm, nil, "", "vswhere knows none with component " + armTools},
		{"the newest has no compiler", winX64, winArm, []visual{{dir: "new", version: "17.9"}, {
			dir: "old", version: "17.0", tools: []string{"Hostx64/arm64"}, batch: batchFile(toolset(toolsetVersion, "Hostx64", "arm64")...),
		}}, "old amd64_arm64", ""},
		{"none usable", winX64, winArm, []visual{{dir: "new", version: "17.9"}}, "", "has no compiler for arm64"},
		{"Arm host", winArm, winArm, []visual{{
			dir: "vs", version: "17.9", tools: []string{"Hostarm64/arm64"}, batch: batchFile(toolset(toolsetVersion, "Hostarm64", "arm64")...),
		}}, "vs arm64", ""},
		{"Arm host for x64", winArm, winX64, []visual{{
			dir: "vs", version: "17.9", tools: []string{"Hostarm64/x64"}, batch: batchFile(toolset(toolsetVersion, "Hostarm64", "x64")...),
		}}, "vs arm64_amd64", ""},
		{"Arm host, older tools, for x64", winArm, winX64, []visual{{dir: "vs", version: "17.2"}}, "vs amd64", ""},
		{"Arm host, older tools", winArm, winArm, []visual{{
			dir: "vs", version: "17.2", tools: []string{"Hostx64/arm64"}, batch: batchFile(toolset(toolsetVersion, "Hostx64", "arm64")...),
		}}, "vs amd64_arm64", ""},
		{"exits with 0 and does nothing", winX64, winX64, []visual{broken("echo [ERROR:vcvarsall.bat] Invalid argument found", "exit /b 0")}, "", "sets no INCLUDE, no LIB, no VCToolsInstallDir, no VCToolsVersion, it says: [ERROR:vcvarsall.bat] Invalid argument found; repair"},
		{"no compiler in PATH", winX64, winX64, []visual{broken(without("PATH")...)}, "", "puts no directory with "},
		{"no SDK", winX64, winX64, []visual{broken(without("WindowsSDKVersion")...)}, "", "finds no Windows SDK; add component Microsoft.VisualStudio.Component.Windows11SDK."},
		{"no INCLUDE", winX64, winX64, []visual{broken(without("INCLUDE")...)}, "", "sets no INCLUDE; repair"},
		{"exits with 1", winX64, winX64, []visual{broken(append(slices.Clone(works), "echo it broke", "exit /b 1")...)}, "", "it says: it broke"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			root, env := windowsHost(t, tt.list...)
			m, err := find(t, tt.host, tt.target, env, "")
			if tt.fails != "" {
				if err == nil || !strings.Contains(err.Error(), tt.fails) {
					t.Fatalf("got %+v, %v, want an error with %q", m, err, tt.fails)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			where, err := filepath.Rel(root, m.Visual.Path)
			if got := where + " " + m.Argument; err != nil || got != tt.want {
				t.Errorf("chose %s, %v, want %s", got, err, tt.want)
			}
		})
	}
}

// TestMSVCToolsets has nvcc get a toolset that it takes where there is one, in
// the newest installation that has it.
func TestMSVCToolsets(t *testing.T) {
	const newest, fits, old = "14.50.35717", "14.44.35207", "14.38.33130"
	cuda13 := toolchain.Range{Min: 1910, Max: 1949}
	vs18 := func(toolsets ...string) visual {
		return visual{dir: "18", version: "18.0.11205.157", toolsets: toolsets}
	}
	vs17 := visual{dir: "17", version: "17.14.36301.6"}
	tests := []struct {
		name  string
		takes toolchain.Range
		list  []visual
		want  string // the installation's directory, the argument and the toolset
		found string // the others' versions and directories
	}{
		{"no nvcc", toolchain.Range{}, []visual{vs18(newest, fits), vs17}, "18 amd64 " + newest, ""},
		{"an older installation", cuda13, []visual{vs18(newest), vs17}, "17 amd64 " + fits, ""},
		{"the newest has it beside", cuda13, []visual{vs17, vs18(newest, fits)}, "18 amd64 -vcvars_ver=14.44 " + fits, ""},
		{"several beside", cuda13, []visual{vs18(newest, "14.9.1", old, fits)}, "18 amd64 -vcvars_ver=14.44 " + fits, ""},
		{"the default before a newer one", cuda13, []visual{vs18(old, fits)}, "18 amd64 " + old, ""},
		{"older than the range of the default", toolchain.Range{Min: 1910, Max: 1939}, []visual{vs18(newest, fits, old)}, "18 amd64 -vcvars_ver=14.38 " + old, ""},
		{"one beside without a compiler", cuda13, []visual{vs18(newest, fits+"-", old)}, "18 amd64 -vcvars_ver=14.38 " + old, ""},
		{"a default without a compiler", cuda13, []visual{vs18(newest+"-", fits)}, "18 amd64 -vcvars_ver=14.44 " + fits, ""},
		{"open below", toolchain.Range{Max: 1949}, []visual{vs18(newest, old)}, "18 amd64 -vcvars_ver=14.38 " + old, ""},
		{"none", toolchain.Range{Max: 1929}, []visual{vs18(newest, old), vs17}, "18 amd64 " + newest, newest + " in 18, " + old + " in 18, " + fits + " in 17"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			root, env := windowsHost(t, tt.list...)
			f := toolchain.MSVCFinder{Host: winX64, Env: env, Cache: filepath.Join(root, "cache"), Timeout: 20 * time.Second, Takes: tt.takes}
			for _, of := range []string{"vcvarsall.bat", "the cache"} {
				m, err := f.Find(t.Context(), winX64)
				if err != nil {
					t.Fatal(err)
				}
				where, err := filepath.Rel(root, m.Visual.Path)
				if got := where + " " + m.Argument + " " + m.Toolset; err != nil || got != tt.want {
					t.Errorf("%s: chose %s, %v, want %s", of, got, err, tt.want)
				}
				if want := filepath.Join(m.Visual.Path, "VC", "Tools", "MSVC", m.Toolset, "bin", "Hostx64", "x64", "cl.exe"); filepath.Clean(m.Cl) != want {
					t.Errorf("%s: the compiler is %s, want %s", of, m.Cl, want)
				}
				found := strings.ReplaceAll(strings.Join(m.Found, ", "), root+string(filepath.Separator), "")
				if found != tt.found {
					t.Errorf("%s: found %q, want %q", of, found, tt.found)
				}
			}
		})
	}
}

// TestMSVCToolsetFails has vcvarsall.bat set up another toolset than the one
// asked for, and fail for want of it.
func TestMSVCToolsetFails(t *testing.T) {
	for name, tt := range map[string]struct{ batch, fails string }{
		"takes no heed": {batchFile(toolset("14.50.35717", "Hostx64", "x64")...), "vcvarsall.bat amd64 -vcvars_ver=14.44 sets up toolset 14.50.35717; repair toolset 14.44 with"},
		"finds none":    {batchFile("echo [ERROR:vcvars.bat] Toolset directory for version 14.44 was not found.", "exit /b 1"), "it says: [ERROR:vcvars.bat] Toolset directory for version 14.44 was not found."},
	} {
		_, env := windowsHost(t, visual{dir: "18", version: "18.0", toolsets: []string{"14.50.35717", toolsetVersion}, batch: tt.batch})
		f := toolchain.MSVCFinder{Host: winX64, Env: env, Timeout: 20 * time.Second, Takes: toolchain.Range{Max: 1949}}
		if m, err := f.Find(t.Context(), winX64); err == nil || !strings.Contains(err.Error(), tt.fails) {
			t.Errorf("%s: %+v, %v, want an error with %q", name, m, err, tt.fails)
		}
	}
}

func TestMSVCHangs(t *testing.T) {
	_, env := windowsHost(t, visual{dir: "vs", version: "17.0", batch: batchFile(":again", "goto again")})
	start := time.Now()
	_, err := toolchain.MSVCFinder{Host: winX64, Env: env, Timeout: time.Second}.Find(t.Context(), winX64)
	if err == nil || !strings.Contains(err.Error(), "vcvarsall.bat amd64: gave no answer in 1s") || time.Since(start) > 15*time.Second {
		t.Errorf("after %v: %v", time.Since(start), err)
	}
}

func TestVSWhereAnswers(t *testing.T) {
	root, env := windowsHost(t, visual{dir: "vs", version: "17.0"})
	tests := []struct {
		name  string
		reply reply
		fails string
	}{
		{"broken JSON", reply{Stdout: `[{"installationPath": "C:\`}, "is not JSON of vswhere"},
		{"text", reply{Stdout: "Visual Studio Locator version 2.5.2"}, "is not JSON of vswhere"},
		{"no path", reply{Stdout: `[{"instanceId": "x"}]`}, "without a usable path"},
		{"a quote in a path", reply{Stdout: `[{"installationPath": "C:\\a\"b"}]`}, "without a usable path"},
		{"nothing", reply{}, "vswhere knows none"},
		{"failing", reply{Stderr: "Error 0x80070001\n", Exit: 1}, "Error 0x80070001"},
	}
	for _, tt := range tests {
		vswhere(t, root, []reply{tt.reply})
		if m, err := find(t, winX64, winX64, env, ""); err == nil || !strings.Contains(err.Error(), tt.fails) {
			t.Errorf("%s: %+v, %v, want an error with %q", tt.name, m, err, tt.fails)
		}
	}
}

// TestVSWherePlaces finds vswhere where it is documented to be.
func TestVSWherePlaces(t *testing.T) {
	for _, place := range []string{
		"pf86/Microsoft Visual Studio/Installer/vswhere.exe", "pf/Microsoft Visual Studio/Installer/vswhere.exe",
		"bin/vswhere.exe", "pd/chocolatey/bin/vswhere.exe", "",
	} {
		root := t.TempDir()
		v := visual{dir: filepath.Join(root, "vs"), version: "17.0"}
		v.lay(t)
		env := windowsEnv(t, root)
		if place != "" {
			program(t, filepath.Join(root, filepath.FromSlash(place)), standIn{Answers: []reply{{Stdout: "[" + v.json(t) + "]"}}})
		}
		m, err := find(t, winX64, winX64, env, "")
		if place == "" {
			if !errors.Is(err, toolchain.ErrNoMSVC) || !strings.Contains(err.Error(), "there is no vswhere.exe") {
				t.Errorf("without any: %v", err)
			}
			continue
		}
		if err != nil || m.Visual.Path != v.dir {
			t.Errorf("%s: %+v, %v", place, m, err)
		}
	}
}

func text(t *testing.T, m *toolchain.MSVC) string {
	t.Helper()
	data, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestMSVCCache(t *testing.T) {
	root, env := windowsHost(t, visual{dir: "vs", version: "17.0"})
	cache := t.TempDir()
	files := func() []string {
		list, err := filepath.Glob(filepath.Join(cache, "msvc", "*"))
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	get := func() *toolchain.MSVC {
		t.Helper()
		m, err := find(t, winX64, winX64, env, cache)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	if _, err := (toolchain.MSVCFinder{Host: winX64, Env: env, Cache: cache, ReadOnly: true}).Find(t.Context(), winX64); err != nil || len(files()) != 0 {
		t.Fatalf("only reading: %v, %q", err, files())
	}
	first := get()
	if len(files()) != 1 {
		t.Fatalf("the cache holds %q", files())
	}
	again := get()
	if text(t, again) != text(t, first) {
		t.Errorf("the cache says\n%+v, vcvarsall.bat\n%+v", again, first)
	}
	// It is the cache that answers.
	kept := files()[0]
	data, err := os.ReadFile(kept)
	if err != nil {
		t.Fatal(err)
	}
	put(t, kept, strings.Replace(string(data), `"amd64",`+"\n  \"variables\": [", `"amd64",`+"\n  \"variables\": [{\"name\": \"MARK\", \"value\": \"1\"},", 1))
	if m := get(); m.Variables[0].Name != "MARK" {
		t.Errorf("vcvarsall.bat was run again: %+v", m.Variables)
	}
	// Damage, and deletion, change nothing.
	put(t, kept, string(data[:len(data)/2]))
	if m := get(); text(t, m) != text(t, first) {
		t.Errorf("with a damaged cache: %+v", m)
	}
	if err := os.RemoveAll(filepath.Join(cache, "msvc")); err != nil {
		t.Fatal(err)
	}
	if m := get(); text(t, m) != text(t, first) {
		t.Errorf("without its cache: %+v", m)
	}
	// What the answer depends on is in the key.
	changes := []func(){
		func() {
			put(t, filepath.Join(root, "vs", "VC", "Auxiliary", "Build", "vcvarsall.bat"), batchFile(append(toolset(toolsetVersion, "Hostx64", "x64"), "rem new")...))
		},
		func() {
			put(t, filepath.Join(root, "pf86", "Windows Kits", "10", "Include", "10.0.26200.0", "x.h"), "")
		},
		func() {
			put(t, filepath.Join(root, "vs", "VC", "Tools", "MSVC", "14.38.33130", "include", "vector"), "")
		},
		func() { env = append(env, "ProgramW6432="+filepath.Join(root, "other")) },
		func() {
			v := visual{dir: filepath.Join(root, "vs"), version: "17.1"}
			vswhere(t, root, []reply{{Stdout: "[" + v.json(t) + "]"}})
		},
	}
	for i, change := range changes {
		n := len(files())
		change()
		get()
		if len(files()) != n+1 {
			t.Errorf("change %d is not seen: %q", i, files())
		}
	}
	// A compiler that is gone is not found in the cache.
	if err := os.Remove(first.Cl); err != nil {
		t.Fatal(err)
	}
	if m, err := find(t, winX64, winX64, env, cache); err == nil {
		t.Errorf("without cl.exe: %+v", m)
	}
}

func TestDeveloperPrompt(t *testing.T) {
	root, env := windowsHost(t, visual{dir: "vs", version: "17.0"})
	m, err := find(t, winX64, winX64, env, "")
	if err != nil {
		t.Fatal(err)
	}
	open := m.BuildEnv(env, msvcRow(), winX64)
	open = append(open, "VSINSTALLDIR="+filepath.Join(root, "vs")+string(filepath.Separator), "VSCODE_PID=1", "VC_TOKEN=1", "INCLUDE=mine", "Platform=x64")
	vswhere(t, root, []reply{{Stderr: "not to be asked", Exit: 1}})
	got, err := find(t, winX64, winX64, open, "")
	if err != nil {
		t.Fatal(err)
	}
	b := got.BuildEnv(toolchain.FilterEnv(open, nil), msvcRow(), winX64)
	if !got.Prompt() || got.Cl != m.Cl || got.Toolset != toolsetVersion || proc.Getenv(b, "INCLUDE") != "mine" || proc.Getenv(b, "Platform") != "x64" || proc.Getenv(b, "VSCODE_PID") != "" || proc.Getenv(b, "SECRET") != "" {
		t.Errorf("the prompt gives %+v", got)
	}
	if got.Visual.Path != filepath.Join(root, "vs") {
		t.Errorf("it is that of %q", got.Visual.Path)
	}
	// It is kept to, whatever nvcc takes.
	nvcc := toolchain.NVCC{Of: "toolkit cuda", Header: filepath.Join(root, "host_config.h")}
	put(t, nvcc.Header, strings.ReplaceAll(msvcHeader, "1950", "1940"))
	kept, err := toolchain.MSVCFinder{Host: winX64, Env: open, Takes: nvcc.TakesMSVC(open)}.Find(t.Context(), winX64)
	if err != nil || text(t, kept) != text(t, got) {
		t.Errorf("with an nvcc that does not take it, the prompt gives %+v, %v", kept, err)
	}
	d := &toolchain.Doctor{Host: winX64, Dir: root}
	c := d.HostCompiler(t.Context(), toolchain.Build{Row: msvcRow(), Env: open, Windows: toolchain.WindowsHost{MSVC: kept}}, nvcc)
	if !c.Blocks || c.Detail != "of the developer prompt that this runs in" || !strings.HasSuffix(c.Get, "; or start relmat outside of this developer prompt, whose compiler it keeps to") {
		t.Errorf("nvcc's check of the prompt is %+v", c)
	}
	if _, err := find(t, winX64, winArm, open, ""); err == nil || !strings.Contains(err.Error(), "this developer prompt is for x64, the target is for arm64: start relmat outside of it") {
		t.Errorf("a prompt for another target: %v", err)
	}
	older := append(slices.Clone(open), "VSCMD_ARG_TGT_ARCH=")
	if _, err := find(t, winX64, winArm, older, ""); err == nil || !strings.Contains(err.Error(), "is for x64") {
		t.Errorf("an older prompt for another target: %v", err)
	}
	if _, err := find(t, winX64, winX64, older, ""); err != nil {
		t.Errorf("an older prompt: %v", err)
	}
	if _, err := find(t, winX64, winX64, append(open, "LIB="), ""); err == nil || !strings.Contains(err.Error(), "this developer prompt sets no LIB") {
		t.Errorf("half a prompt: %v", err)
	}
}

func TestMSVCBuildEnv(t *testing.T) {
	root, env := windowsHost(t, visual{dir: "vs", version: "17.0"})
	extras := filepath.Join(root, "vs", "Common7", "IDE", "CommonExtensions", "Microsoft", "CMake")
	for _, dir := range []string{filepath.Join(extras, "Ninja"), filepath.Join(extras, "CMake", "bin")} {
		put(t, filepath.Join(dir, "x.exe"), "")
	}
	m, err := find(t, winX64, winX64, env, "")
	if err != nil {
		t.Fatal(err)
	}
	m.Dirs = append([]string{filepath.Join(root, "sdk", "bin"), filepath.Join(extras, "Ninja")}, m.Dirs...)
	r := msvcRow()
	r.Env = matrix.Map[string]{Keys: []string{"CMAKE_GENERATOR", "LIB"}, Values: map[string]string{"CMAKE_GENERATOR": "NMake Makefiles", "LIB": "own"}}
	r.CUDA.Architectures = "80"
	b := m.BuildEnv([]string{"PATH=git" + string(filepath.ListSeparator) + "cuda", "CMAKE_GENERATOR=NMake Makefiles", "LIB=own", "CXX=clang-cl"}, r, winX64)
	bin := filepath.Dir(m.Cl)
	for name, want := range map[string]string{
		"PATH": strings.Join([]string{bin, filepath.Join(root, "sdk", "bin"), "git", "cuda", filepath.Join(extras, "Ninja"), filepath.Join(extras, "CMake", "bin")}, string(filepath.ListSeparator)),
		"CC":   "cl.exe", "CXX": "clang-cl", "CMAKE_GENERATOR": "NMake Makefiles", "LIB": "own",
		"CARGO_TARGET_X86_64_PC_WINDOWS_MSVC_LINKER": filepath.Join(bin, "link.exe"), "CUDAHOSTCXX": m.Cl, "NVCC_CCBIN": m.Cl,
	} {
		if got := proc.Getenv(b, name); got != want {
			t.Errorf("%s=%s, want %s", name, got, want)
		}
	}
	var names []string
	for _, kv := range b {
		name, _, _ := strings.Cut(kv, "=")
		names = append(names, strings.ToUpper(name))
	}
	slices.Sort(names)
	if n := len(names); len(slices.Compact(names)) != n {
		t.Errorf("a name stands twice in %q", b)
	}
	// What is built for another processor than the host's leaves CC to the
	// build scripts.
	r.Triple, r.Platform = "aarch64-pc-windows-msvc", winArm
	b = m.BuildEnv([]string{"PATH=x"}, r, winX64)
	if proc.Getenv(b, "CC") != "" || proc.Getenv(b, "CC_aarch64_pc_windows_msvc") != "cl.exe" || proc.Getenv(b, "CARGO_TARGET_AARCH64_PC_WINDOWS_MSVC_LINKER") == "" {
		t.Errorf("for Arm: %q", b)
	}
	// The build's tools are Microsoft's, and have a name for the marker.
	tools := toolchain.Tools(r, b)
	if got := tools[len(tools)-1].Name; got != "cl.exe" {
		t.Errorf("the compiler is %s", got)
	}
	ids, err := toolchain.Identity(t.Context(), tools[len(tools)-1:], b)
	if err != nil || !slices.Equal(ids, []string{`cl.exe: 14.44.35207, Windows SDK 10.0.26100.0\`}) {
		t.Errorf("its identity is %q, %v", ids, err)
	}
}

func utf16le(text string) []byte {
	var out []byte
	for _, u := range utf16.Encode([]rune(text)) {
		out = append(out, byte(u), byte(u>>8))
	}
	return out
}

func TestParseSet(t *testing.T) {
	vars, err := toolchain.ParseSet(utf16le("\ufeffA=1\r\n=C:=C:\\x\r\nb=x=y\r\nTwo=first\r\nsecond\r\nÜ=日本\U0001F600\r\nE=\r\n"))
	want := []toolchain.Variable{{Name: "A", Value: "1"}, {Name: "b", Value: "x=y"}, {Name: "Two", Value: "first\nsecond"}, {Name: "Ü", Value: "日本\U0001F600"}, {Name: "E"}}
	if err != nil || !slices.Equal(vars, want) {
		t.Errorf("got %q, %v", vars, err)
	}
	for _, bad := range []string{"A", "A\x00=", "A\x00\x00\x00"} {
		if vars, err := toolchain.ParseSet([]byte(bad)); err == nil && len(bad)%2 != 0 {
			t.Errorf("%q gives %q", bad, vars)
		}
	}
}

func FuzzParseSet(f *testing.F) {
	f.Add(utf16le("PATH=C:\\x;y\r\nA=b\r\nc"))
	f.Add([]byte("\xff\xfeA\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		vars, err := toolchain.ParseSet(data)
		for _, v := range vars {
			if v.Name == "" || strings.ContainsAny(v.Name, "=\n\x00") || strings.ContainsRune(v.Value, 0) || err != nil {
				t.Errorf("%q, %v", v, err)
			}
		}
	})
}

func FuzzParseVSWhere(f *testing.F) {
	f.Add([]byte(`[{"installationPath": "C:\\VS", "installationVersion": "17.1", "isComplete": true, "isPrerelease": false}]`))
	f.Add([]byte("\xef\xbb\xbf[]"))
	f.Add([]byte("null"))
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := toolchain.ParseVSWhere(data)
		if err != nil && list != nil {
			t.Errorf("%v and %v", list, err)
		}
		for _, vs := range list {
			if vs.Path == "" || strings.ContainsAny(vs.Path, "\"\n\x00") {
				t.Errorf("path %q", vs.Path)
			}
		}
	})
}
