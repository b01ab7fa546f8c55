package matrix_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/relmat/relmat/internal/matrix"
)

// wrong is one mistake in the base file, made by replacing old. Each § in the
// replacement stands before a place that a problem must point at.
type wrong struct{ name, old, replacement string }

var wrongs = []wrong{
	// The shape of the file.
	{"unknown key", "  profile: dist", "  §proflie: dist"},
	{"unknown key at the top", "programs:\n", "§program:\n"},
	{"unknown key in a flow mapping", "{package: demo-cli}", "{package: demo-cli, §bim: x}"},
	{"unknown key like no other", "  profile: dist", "  §somewhere-else: dist"},
	{"unknown key in other letters", "    triple: aarch64-apple-darwin", "    §Triple: aarch64-apple-darwin"},
	{"unknown key after non-ASCII text", "{package: demo-cli}", "{bin: größe, §pakage: x}"},
	{"duplicate key", "  profile: dist", "  profile: dist\n  §profile: release"},
	{"duplicate target", "  macos:\n", "  §linux-cpu:\n"},
	{"key that is a list", "  profile: dist", "  ? §[a, b]\n  : dist"},
	{"list for a mapping", "{package: demo-cli}", "§[demo-cli]"},
	{"text for a mapping", "{level: x86-64-v3, env: DEMO_MARCH}", "§x86-64-v3"},
	{"text for a list", "features: [cuda]", "features: §cuda"},
	{"nothing for a list", "features: [cuda]", "features:§"},
	{"mapping for text", "  profile: dist", "  profile: §{a: b}"},
	{"nothing for text", "  profile: dist", "  profile: §~"},
	{"word for a truth value", "on-request: true", "on-request: §yes"},
	{"quoted truth value", "on-request: true", `on-request: §"true"`},
	{"tagged truth value", "on-request: true", "on-request: §!!bool maybe"},
	{"word for a number", "min-files: 10", "min-files: §ten"},
	{"negative number", "min-files: 10", "min-files: §-1"},
	{"fraction", "min-files: 10", "min-files: §1.5"},
	{"duration without a unit", "timeout: 30s", "timeout: §30"},
	{"duration of nothing", "timeout: 30s", "timeout: §0s"},
	{"alias", "features: [cuda]", "features: §&f [cuda]\n    native-crates: §*f"},
	{"anchor alone", "  profile: dist", "  profile: §&p dist"},
	{"merge key", "defaults:\n", "defaults:\n  §<<: {locked: true}\n"},
	{"several at once", "  profile: dist\n  rustflags: [-g]", "  rustflags: §-g\n  §profil: dist\n  locked: §perhaps"},

	// The file as a whole.
	{"later version", "version: 1", "version: §2"},
	{"version of another shape", "version: 1", "version: §{major: 1}"},
	{"no version", "version: 1\n", "§"},
	{"two documents", "smoke:\n", "§---\nsmoke:\n"},
	{"second document that is not YAML", "smoke:\n", "---\nx: 1\n§y: [\nsmoke:\n"},

	// What is not YAML.
	{"bracket not closed", "    features: [cuda]", "§    features: [cuda"},
	{"brace not closed", "version: 1\n", "version: 1\n§toolkits: {a: b\n"},
	{"quote not closed", "        same: {version: version}", "§        same: {version: 'version}"},
	{"tab", "  name: demo", "§\tname: demo"},
	{"two values", "  name: demo", "§  name: demo: x"},
	{"item among keys", "programs:\n", "§- item\nprograms:\n"},
	{"alias of nothing", "  profile: dist", "§  profile: *nothing"},
	{"not UTF-8", "  profile: dist", "§  profile: \xff\xfe"},
	{"control character", "  profile: dist", "§  profile: a\x07b"},
	{"undefined tag", "  profile: dist", "§  profile: !x!y dist"},

	// What is missing.
	{"no project", "project:\n  name: demo\n  source: ..\n  version-package: demo-cli\n  tag: \"v{{.Version}}\"\n", ""},
	{"no project name", "project:\n  name: demo\n", "project:\n"},
	{"no lock", "  cuda13:\n    lock: cuda13.lock.json\n", "  §cuda13:\n"},
	{"no requirements", `["cuda-toolkit[nvcc]==13.0.2"]`, "§[]"},
	{"no package of a program", "demo: {package: demo-cli}", "§demo: {bin: demo}"},
	{"no triple", "  macos:\n    triple: aarch64-apple-darwin\n", "  §macos:\n"},
	{"no asset", "packages:\n  demo:\n    asset: \"{{.Project}}-{{.Version}}-{{.Target}}\"\n", "packages:\n  §demo:\n"},
	{"no programs of a package", "programs: [demo, server]", "programs: §[]"},
	{"no place in the package", "{source: LICENSE, to: LICENSE}", "§{source: LICENSE}"},

	// Names.
	{"bad target name", "  macos:\n    triple: aarch64-apple-darwin\n    archive: tar.gz\npackages:\n  demo:\n    asset: ", "  §mac os:\n    triple: aarch64-apple-darwin\n    archive: tar.gz\npackages:\n  demo:\n    asset: §"},
	{"bad program name", "{package: demo-cli}", "{package: demo-cli}\n  §../x: {package: x}"},
	{"bad project name", "  name: demo\n", "  name: 1/2\n"},
	{"bad triple", "triple: aarch64-apple-darwin", "triple: §arm64"},
	{"triple of another system", "triple: aarch64-apple-darwin", "triple: §x86_64-unknown-freebsd"},
	{"bad archive", "archive: tar.gz", "archive: §rar"},
	{"bad variable", "EXTRA: \"2\"", "§EXTRA-2: \"2\""},
	{"bad variable to pass", "features: [cuda]", "pass: [OK, §\"NOT OK\"]"},
	{"bad variable of cuda", "env: DEMO_ARCHS", "env: §2ARCHS"},
	{"reserved variable", "EXTRA: \"2\"", "§RUSTFLAGS: \"-O\""},
	{"reserved variable in defaults", "{COMMON: \"1\", LEVEL: low}", "{§CUDA_HOME: /usr/local/cuda}"},

	// References.
	{"unknown toolkit", "toolkit: cuda13", "toolkit: §cuda12"},
	{"no toolkits at all", "toolkits:\n  cuda13:\n    lock: cuda13.lock.json\n    requirements: [\"cuda-toolkit[nvcc]==13.0.2\"]\nprograms:\n  demo: {package: demo-cli}\n", "programs:\n  demo: {package: demo-cli}\n"},
	{"unknown program", "programs: [demo, server]", "programs: [demo, §sever]"},
	{"unknown program of a step", "      program: demo\n      args: [--version]", "      program: §demoo\n      args: [--version]"},
	{"pattern without a target", `["linux-*"]`, `["linux-*", §"windows-*"]`},
	{"bad pattern", `["linux-*"]`, `[§"linux-["]`},
	{"unknown group", `values: {version: "{{.Version}}"}`, `values: {§verson: "{{.Version}}"}`},
	{"group of a later step", "same: {version: version}", "same: {version: §run}"},
	{"group that this step lacks", "same: {version: version}", "same: {§device: §version}"},
	{"step that is not there", "same: {version: version}", "same: {version: §vresion}"},
	{"unknown device", "device: cuda", "device: §rocm"},
	{"architectures that nothing reads", `{architectures: "80-real;90a", env: DEMO_ARCHS}`, `§{architectures: "80-real;90a"}`},
	{"target-cpu twice", "features: [cuda]", "rustflags: §[-C, target-cpu=native]"},

	// Templates and expressions.
	{"unknown field in the tag", "v{{.Version}}\"\ntoolkits", "v{{.Versoin}}\"\ntoolkits"},
	{"broken template", `tag: "v{{.Version}}"`, `tag: §"v{{.Version}"`},
	{"unknown field in the asset", `"{{.Project}}-{{.Version}}-{{.Target}}"`, `§"{{.Name}}-{{.Target}}"`},
	{"unknown field in the root", `"{{.Asset}}"`, `§"{{.Assets}}"`},
	{"unknown field in an argument", `"{{.Work}}"]`, `§"{{.Workdir}}"]`},
	{"unknown input", "{{.Inputs.model}}\"", "{{.Inputs.weights}}\""},
	{"unknown field in a value", `values: {version: "{{.Version}}"}`, `values: {version: §"{{.Release}}"}`},
	{"bad expression", `'(?P<text>.+)'`, `§'(?P<text>.+'`},
	{"look-ahead", `'(?P<text>.+)'`, `§'(?=x)'`},
	{"group in both streams", `'(?P<text>.+)'`, `'(?P<version>.+)'`},

	// Assets.
	{"same asset twice", "-{{.Target}}\"\n    root", "\"\n    root"},
	{"same asset of two packages", "packages:\n", "packages:\n  other:\n    asset: \"{{.Project}}-{{.Version}}-{{.Target}}\"\n    programs: [demo]\n"},
	{"asset that GitHub would change", `"{{.Project}}-{{.Version}}-{{.Target}}"`, `§"{{.Project}} {{.Target}}"`},
	{"asset with a path", `"{{.Project}}-{{.Version}}-{{.Target}}"`, `§"{{.Project}}/{{.Target}}"`},
	{"hidden asset", `"{{.Project}}-{{.Version}}-{{.Target}}"`, `§".{{.Target}}"`},

	// Paths.
	{"absolute source", "source: ..", "source: §/src/demo"},
	{"file from above its root", "{source: LICENSE, to", "{source: §../LICENSE, to"},
	{"file to above its root", "to: LICENSE}", "to: §a/../../LICENSE}"},
	{"absolute place", "to: LICENSE}", "to: §/LICENSE}"},
	{"path of Windows", "to: LICENSE}", `to: §'licenses\LICENSE'}`},
	{"path with a drive", "to: LICENSE}", `to: §"C:LICENSE"}`},
	{"path that is not clean", "to: LICENSE}", "to: §./LICENSE}"},
	{"two layouts on one line", "{programs: bin, libraries: lib, licenses: licenses}", "{libraries: §/lib, programs: §../bin, licenses: §a//b}"},
	{"contents above", "[nv/target]", "[§../nv/target]"},
	{"pin above", "features: [cuda]", "native-pins: [§../versions.cmake]"},
	{"two places to take from", "{source: LICENSE, to", "§{source: LICENSE, toolkit: EULA.txt, to"},
	{"no place to take from", "{source: LICENSE, to", "§{to"},
	{"out-dir without its crate", "crate: demo-sys, ", ""},

	// Inputs.
	{"address of a file", "https://example.org/files/model.bin", "§file:///model.bin"},
	{"digest of another length", "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", "§0123"},
	{"address with a query", "https://example.org/files/model.bin", "https://example.org/model.bin?download=true"},
	{"input with a path", "url: https://example.org/files/model.bin", "as: §../model.bin\n      url: https://example.org/files/model.bin"},
}

// place returns the text without its marks, and where they stood, as
// line:column in characters.
func place(text string) (clean string, at []string) {
	for i, line := range strings.Split(text, "\n") {
		column := 1
		for _, piece := range strings.SplitAfter(line, "§") {
			before, marked := strings.CutSuffix(piece, "§")
			column += utf8.RuneCountInString(before)
			if marked {
				at = append(at, fmt.Sprintf("%d:%d", i+1, column))
			}
		}
	}
	return strings.ReplaceAll(text, "§", ""), at
}

func TestErrors(t *testing.T) {
	var all strings.Builder
	text := base(t)
	for _, w := range wrongs {
		t.Run(w.name, func(t *testing.T) {
			clean, want := place(edit(t, text, w.old, w.replacement))
			err := problemsOf(t, clean)
			fmt.Fprintf(&all, "== %s\n%s\n\n", w.name, err)
			var got []string
			for _, p := range err.Problems {
				at := fmt.Sprintf("%d:%d", p.Line, p.Column)
				got = append(got, at)
				if p.File != "targets.yaml" || !strings.HasPrefix(p.String(), "targets.yaml:"+at+": ") {
					t.Errorf("the problem does not begin with its place: %s", p)
				}
				if line := strings.Split(clean, "\n")[p.Line-1]; p.Text != strings.TrimRight(line, " ") && w.name != "not UTF-8" && w.name != "control character" {
					t.Errorf("it shows %q, the line is %q", p.Text, line)
				}
			}
			if want != nil && !slices.Equal(slices.Compact(got), want) {
				t.Errorf("the problems stand at %q, want %q:\n%s", got, want, err)
			}
		})
	}
	golden(t, "errors.txt", all.String())
}

func TestErrorsOfWholeFiles(t *testing.T) {
	var all strings.Builder
	for _, test := range []struct{ name, text string }{
		{"empty", ""},
		{"comments only", "# nothing yet\n\n"},
		{"null", "~\n"},
		{"a list", "- a\n- b\n"},
		{"a word", "hello\n"},
		{"version only", "version: 1\n"},
		{"another format", `{"version": 1, "targets": []}` + "\n"},
		{"a program", "\x7fELF\x02\x01\x01\x00\x00"},
	} {
		fmt.Fprintf(&all, "== %s\n%s\n\n", test.name, problemsOf(t, test.text))
	}
	golden(t, "errors-whole.txt", all.String())
}

func TestLoadErrors(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "targets.yaml")
	_, err := matrix.Load(missing)
	if _, ok := err.(*matrix.Error); !ok || err.Error() != missing+":1:1: there is no such file; name the matrix with --config FILE" {
		t.Errorf("a missing file gives %T %v", err, err)
	}
	if _, err := matrix.Load(filepath.Dir(missing)); err == nil {
		t.Error("a directory was loaded")
	}
	if err := os.WriteFile(missing, []byte("version: 1\r\nprojekt: {}\r\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err = matrix.Load(missing)
	if err == nil || !strings.HasPrefix(err.Error(), missing+":2:1: projekt: unknown key; did you mean \"project\"?") || strings.Contains(err.Error(), "\r") {
		t.Errorf("the error is %q", err)
	}
}

// TestErrorsAreStable reads a file with many problems often: their order is
// that of the text and never that of a Go map.
func TestErrorsAreStable(t *testing.T) {
	text := edit(t, base(t), "{programs: bin, libraries: lib, licenses: licenses}", "{licenses: /a, libraries: /b, programs: /c}")
	text = edit(t, text, "{source: LICENSE, to: LICENSE}", "{toolkit: /a, source: /b, out-dir: /c, to: /d}")
	text = edit(t, text, `'(?P<text>.+)'`, `'(?P<version>.+)'`)
	first := problemsOf(t, text).Error()
	for range 50 {
		if again := problemsOf(t, text).Error(); again != first {
			t.Fatalf("the same file gives\n%s\nand\n%s", first, again)
		}
	}
}
