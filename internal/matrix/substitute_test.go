package matrix_test

import (
	"strings"
	"testing"

	"github.com/relmat/relmat/internal/matrix"
)

const withSubstitute = `
version: 1
project: {name: app, version-package: app}
programs: {app: {package: app}}
targets:
  linux: {triple: x86_64-unknown-linux-gnu}
  windows:
    triple: x86_64-pc-windows-msvc
    hosts:
      windows-x86_64: {}
      linux-x86_64: {triple: x86_64-pc-windows-gnu}
packages: {app: {asset: "app-{{.Target}}", programs: [app]}}
`

func TestSubstitute(t *testing.T) {
	f, err := matrix.Parse("targets.yaml", []byte(withSubstitute))
	if err != nil {
		t.Fatal(err)
	}
	linux, windows := matrix.Platform{OS: "linux", Arch: "x86_64"}, matrix.Platform{OS: "windows", Arch: "x86_64"}
	for _, tt := range []struct {
		name     string
		host     matrix.Platform
		patterns []string
		rows     string // name, triple, suffix
		full     bool
		left     string
	}{
		{"nobody named it", linux, nil, "linux x86_64-unknown-linux-gnu ", false, "windows: a linux-x86_64 host can build it for x86_64-pc-windows-gnu only, which is for tests: name it to do so"},
		{"named", linux, []string{"windows"}, "windows x86_64-pc-windows-gnu -gnu", false, ""},
		{"all are named", linux, []string{"*"}, "linux x86_64-unknown-linux-gnu ;windows x86_64-pc-windows-gnu -gnu", false, ""},
		{"on its own host", windows, []string{"windows"}, "windows x86_64-pc-windows-msvc ", false, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sel, err := f.Select(tt.patterns, tt.host)
			if err != nil {
				t.Fatal(err)
			}
			var rows, left []string
			for _, r := range sel.Rows {
				rows = append(rows, r.Name+" "+r.Triple+" "+r.Suffix())
				if r.Name == "windows" && (r.Released() != "x86_64-pc-windows-msvc" || r.IsSubstitute() != (r.Suffix() != "")) {
					t.Errorf("released as %s, substitute %v", r.Released(), r.IsSubstitute())
				}
			}
			for _, l := range sel.Left {
				left = append(left, l.Name+": "+l.Reason)
			}
			if got := strings.Join(rows, ";"); got != tt.rows {
				t.Errorf("rows %q, want %q", got, tt.rows)
			}
			if sel.Full != tt.full {
				t.Errorf("full is %v, want %v", sel.Full, tt.full)
			}
			if got := strings.Join(left, ";"); got != tt.left {
				t.Errorf("left out %q, want %q", got, tt.left)
			}
		})
	}
}

// A row that was made for one host can be made for another.
func TestOnAnotherHost(t *testing.T) {
	f, err := matrix.Parse("targets.yaml", []byte(withSubstitute))
	if err != nil {
		t.Fatal(err)
	}
	row := f.Rows()[1].On(matrix.Platform{OS: "linux", Arch: "x86_64"}).On(matrix.Platform{OS: "windows", Arch: "x86_64"})
	if row.Triple != "x86_64-pc-windows-msvc" || row.IsSubstitute() {
		t.Errorf("its triple is %s", row.Triple)
	}
}

func TestSuffix(t *testing.T) {
	for _, tt := range []struct{ own, released, want string }{
		{"x86_64-pc-windows-gnu", "x86_64-pc-windows-msvc", "-gnu"},
		{"x86_64-pc-windows-gnullvm", "x86_64-pc-windows-msvc", "-gnullvm"},
		{"x86_64-unknown-linux-musl", "x86_64-unknown-linux-gnu", "-musl"},
		{"x86_64-win7-windows-msvc", "x86_64-pc-windows-msvc", "-win7-windows-msvc"},
	} {
		text := strings.NewReplacer("x86_64-pc-windows-msvc", tt.released, "x86_64-pc-windows-gnu", tt.own).Replace(withSubstitute)
		text = strings.ReplaceAll(text, "windows-x86_64: {}", strings.Split(tt.released, "-")[2]+"-x86_64: {}")
		text = strings.ReplaceAll(text, "linux-x86_64: {triple", "macos-x86_64: {triple")
		f, err := matrix.Parse("targets.yaml", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if got := f.Rows()[1].On(matrix.Platform{OS: "macos", Arch: "x86_64"}).Suffix(); got != tt.want {
			t.Errorf("%s for %s: %q, want %q", tt.own, tt.released, got, tt.want)
		}
	}
}
