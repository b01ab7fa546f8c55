package build

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/relmat/relmat/internal/matrix"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestParseMessage(t *testing.T) {
	tests := []struct {
		line   string
		ok     bool
		reason string
		exe    string
		out    string
	}{
		{`{"reason":"compiler-artifact","package_id":"path+file:///p#0.1.0","target":{"name":"p","kind":["bin"]},"executable":"/t/p"}`, true, "compiler-artifact", "/t/p", ""},
		{`{"reason":"compiler-artifact","package_id":"path+file:///p#0.1.0","target":{"name":"p","kind":["lib"]},"executable":null}`, true, "compiler-artifact", "", ""},
		{`{"reason":"build-script-executed","package_id":"x#p@1.0.0","out_dir":"/t/out","linked_libs":[]}`, true, "build-script-executed", "", "/t/out"},
		{`{"reason":"build-finished","success":true}`, true, "build-finished", "", ""},
		// What build scripts and proc macros print on stdout.
		{``, false, "", "", ""},
		{`hello`, false, "", "", ""},
		{`{`, false, "", "", ""},
		{`{}`, false, "", "", ""},
		{`{"reason":""}`, false, "", "", ""},
		{`{"reason":7}`, false, "", "", ""},
		{` {"reason":"build-finished"}`, false, "", "", ""},
		{`{"reason":"build-finished"} trailing`, false, "", "", ""},
	}
	for _, tt := range tests {
		m, ok := parseMessage(tt.line)
		if ok != tt.ok {
			t.Errorf("parseMessage(%s) ok = %t, want %t", tt.line, ok, tt.ok)
			continue
		}
		if ok && (m.Reason != tt.reason || m.Executable != tt.exe || m.OutDir != tt.out) {
			t.Errorf("parseMessage(%s) = %+v", tt.line, m)
		}
	}
}

func TestCrateName(t *testing.T) {
	// The forms of "Package ID Specifications" in The Cargo Book.
	for id, want := range map[string]string{
		"path+file:///home/u/tiny#0.1.0":                                        "tiny",
		"path+file:///home/u/dir#tiny@0.1.0":                                    "tiny",
		"path+file:///home/u/a%20b/tiny-core#0.1.0":                             "tiny-core",
		"registry+https://github.com/rust-lang/crates.io-index#serde@1.0.0":     "serde",
		"registry+https://github.com/rust-lang/crates.io-index#serde@1.0.0-a+b": "serde",
		"sparse+https://example.org/index/#serde@1.0.0":                         "serde",
		"git+https://example.org/u/repo?rev=abc#repo@0.1.0":                     "repo",
		"git+https://example.org/u/repo?branch=a/b#0.1.0":                       "repo",
		"git+ssh://git@example.org/u/repo.git#name@0.1.0":                       "name",
		"path+file:///C:/u/tiny#0.1.0":                                          "tiny",
		"serde":                                                                 "",
		"":                                                                      "",
	} {
		if got := crateName(id); got != want {
			t.Errorf("crateName(%q) = %q, want %q", id, got, want)
		}
	}
}

func FuzzParseMessage(f *testing.F) {
	f.Add(`{"reason":"compiler-artifact","package_id":"path+file:///p#0.1.0","target":{"name":"p","kind":["bin"]},"executable":"/t/p"}`)
	f.Add(`{"reason":"build-script-executed","package_id":"x?y#p@1.0.0","out_dir":"/t/out"}`)
	f.Add(`{"reason":null,"target":[]}`)
	f.Add("{\"reason\":\"\\ud800\"}")
	f.Add("plain text")
	f.Fuzz(func(t *testing.T, line string) {
		m, ok := parseMessage(line)
		if ok && (m.Reason == "" || !strings.HasPrefix(line, "{")) {
			t.Errorf("parseMessage(%q) took %+v", line, m)
		}
		// A crate's name ends in paths and comparisons, never with a separator.
		if name := crateName(m.PackageID); strings.Contains(name, "#") {
			t.Errorf("crateName(%q) = %q", m.PackageID, name)
		}
	})
}

func TestWorkspacePackage(t *testing.T) {
	w := Workspace{Root: "/w", Packages: []Package{{Name: "core"}, {Name: "app"}}}
	w.Packages[1].Targets = []CargoTarget{{Name: "app", Kind: []string{"bin"}}, {Name: "helper", Kind: []string{"lib"}}}
	p, err := w.Package("app")
	if err != nil {
		t.Fatal(err)
	}
	if !p.HasBin("app") || p.HasBin("helper") || p.HasBin("none") {
		t.Error("HasBin takes other targets than binaries, or misses one")
	}
	if _, err := w.Package("ap"); err == nil || !strings.Contains(err.Error(), "core, app") {
		t.Errorf("an unknown package gives %v, want the known ones", err)
	}
}

// goldenRow is a row with everything that shows on cargo's command line.
func goldenRow(t *testing.T, target string) matrix.Row {
	t.Helper()
	f, err := matrix.Parse("targets.yaml", []byte(`
version: 1
project: {name: p, version-package: p}
programs: {p: {package: p}}
targets: {x: `+target+`}
packages: {p: {asset: "p-{{.Target}}", programs: [p]}}
`))
	if err != nil {
		t.Fatal(err)
	}
	return f.Rows()[0]
}

func TestArgs(t *testing.T) {
	var b strings.Builder
	for _, tt := range []struct{ name, target, runPath string }{
		{"plain", `{triple: x86_64-unknown-linux-gnu}`, ""},
		{"features and profile", `{triple: aarch64-unknown-linux-gnu, features: [cuda, "tls-native"], profile: dist}`, ""},
		{"not locked", `{triple: x86_64-unknown-linux-gnu, locked: false}`, ""},
		{"run path", `{triple: x86_64-unknown-linux-gnu}`, "$ORIGIN/../lib"},
		{"run path of macOS", `{triple: aarch64-apple-darwin}`, "@executable_path/../lib:@executable_path"},
	} {
		o := Options{Row: goldenRow(t, tt.target)}
		b.WriteString("# " + tt.name + "\n" + o.cargo(o.Args(Program{Name: "prog", Package: "pkg", Bin: "the-bin", RunPath: tt.runPath})...).String() + "\n")
	}
	path := filepath.Join("testdata", "args.golden")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("the command lines are\n%s\nwant\n%s", b.String(), want)
	}
	// Without RunPath nothing may follow --, which would change the link.
	if slices.Contains((Options{Row: goldenRow(t, `{triple: x86_64-unknown-linux-gnu}`)}).Args(Program{}), "--") {
		t.Error("a program without run path gets link arguments")
	}
}

func TestChanged(t *testing.T) {
	for _, tt := range []struct{ have, want, said string }{
		{"a: 1\nb: 2\n", "a: 1\nb: 3\n", "now b: 3"},
		{"a: 1\n", "a: 1\nb: 3\n", "now b: 3"},
		{"a: 1\nb: 3\n", "a: 1\n", "no longer b: 3"},
		{"a: 1\n", "a: 1\n", "other settings"},
	} {
		if got := changed(tt.have, tt.want); got != tt.said {
			t.Errorf("changed(%q, %q) = %q, want %q", tt.have, tt.want, got, tt.said)
		}
	}
}
