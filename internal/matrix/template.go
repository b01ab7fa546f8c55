package matrix

import (
	"fmt"
	"strings"
	"text/template"
)

// Fields is what templates of targets.yaml can use.
type Fields struct {
	Project, Version, Tag string
	// Target is the row's name; Triple, OS and Arch describe its platform.
	Target, Triple, OS, Arch string
	// Exe is ".exe" on Windows, else empty.
	Exe string
	// Asset is the archive's name without its extension, for root.
	Asset string
	// Package is the unpacked package and Work an empty directory, for smoke
	// steps; Inputs are the paths of the fetched inputs by name, which lie side
	// by side in InputDir.
	Package, Work, InputDir string
	// Toolkit is the directory of the CUDA toolkit whose programs run on the host
	// that builds, TargetToolkit that of the toolkit for the target's platform,
	// for env. They differ where the platforms do.
	Toolkit, TargetToolkit string
	Inputs                 map[string]string
}

// Expand executes the template text with the fields. A field that does not
// exist is an error.
func (f Fields) Expand(text string) (string, error) { return expand(f, text) }

func expand(fields any, text string) (string, error) {
	if !strings.Contains(text, "{{") {
		return text, nil
	}
	t, err := template.New("").Option("missingkey=error").Parse(text)
	if err != nil {
		return "", templateError(text, err)
	}
	var b strings.Builder
	if err := t.Execute(&b, fields); err != nil {
		return "", templateError(text, err)
	}
	return b.String(), nil
}

// templateError drops what text/template says of a template that has no name
// and of the type of the fields.
func templateError(text string, err error) error {
	msg := err.Error()
	if i := strings.Index(msg, ": "); i >= 0 && strings.HasPrefix(msg, "template: ") {
		msg = msg[i+2:]
		if j := strings.Index(msg, ": "); j >= 0 {
			msg = strings.TrimPrefix(msg[j+2:], `executing "" at `)
		}
	}
	return fmt.Errorf("template %q: %s", text, strings.TrimSuffix(msg, " in type matrix.Fields"))
}
