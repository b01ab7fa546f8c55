package matrix_test

import (
	"strings"
	"testing"

	"github.com/relmat/relmat/internal/matrix"
)

func TestExpand(t *testing.T) {
	f := row(t, parse(t, base(t)), "macos").Fields("1.2.3", "v1.2.3")
	f.Asset, f.Work, f.Package = "demo-1.2.3", "/tmp/work dir", "/tmp/package"
	f.Inputs = map[string]string{"model": "/cache/model.bin"}
	for text, want := range map[string]string{
		"":                                  "",
		"no template":                       "no template",
		"}} {":                              "}} {",
		"{{.Project}}-{{.Version}}":         "demo-1.2.3",
		"{{.Tag}}":                          "v1.2.3",
		"{{.Target}} {{.Triple}}":           "macos aarch64-apple-darwin",
		"{{.OS}}-{{.Arch}}{{.Exe}}":         "macos-aarch64",
		"{{.Asset}}":                        "demo-1.2.3",
		"{{.Work}}/model":                   "/tmp/work dir/model",
		"{{.Package}}":                      "/tmp/package",
		"{{.Inputs.model}}":                 "/cache/model.bin",
		`{{if eq .OS "macos"}}mac{{end}}`:   "mac",
		`{{/* a comment */}}x`:              "x",
		`{{"<"}}{{.Project | printf "%q"}}`: `<"demo"`,
	} {
		got, err := f.Expand(text)
		if err != nil || got != want {
			t.Errorf("%q gives %q, %v; want %q", text, got, err, want)
		}
	}
	windows := matrix.Row{Platform: matrix.Platform{OS: "windows"}}.Fields("1", "v1")
	if got, err := windows.Expand("demo{{.Exe}}"); err != nil || got != "demo.exe" {
		t.Errorf("on Windows: %q, %v", got, err)
	}
}

func TestExpandErrors(t *testing.T) {
	for text, want := range map[string]string{
		"{{.Versoin}}":        `template "{{.Versoin}}": <.Versoin>: can't evaluate field Versoin`,
		"{{.Inputs.weights}}": `template "{{.Inputs.weights}}": <.Inputs.weights>: map has no entry for key "weights"`,
		"{{.Version":          `template "{{.Version": unclosed action`,
		"{{nope}}":            `template "{{nope}}": function "nope" not defined`,
		"{{.version}}":        `template "{{.version}}": <.version>: `,
		"{{template \"x\"}}":  `template "{{template \"x\"}}": `,
	} {
		got, err := (matrix.Fields{Inputs: map[string]string{"model": "x"}}).Expand(text)
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q gives %q and the error %v, want %s", text, got, err, want)
		}
		if err != nil && (strings.Contains(err.Error(), "matrix.Fields") || strings.Contains(err.Error(), `executing ""`)) {
			t.Errorf("the error speaks of Go: %v", err)
		}
	}
}
