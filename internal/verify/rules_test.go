package verify_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/relmat/relmat/internal/matrix"
	"github.com/relmat/relmat/internal/verify"
)

// check is a package and what one rule finds in it.
type check struct {
	name string
	make func(tree)
	// promise changes what the matrix promises; without it there is no matrix.
	promise func(*verify.Target)
	// options changes the rest. It may pack the tree.
	options func(tree, *verify.Options)
	// want are the findings as "severity file: part of the message", in the
	// report's order. None means that the rule finds nothing.
	want []string
}

// checks are those of all rules.
var checks = map[string][]check{
	"closure": closureChecks, "loaded-by-name": byNameChecks, "library-family": familyChecks, "delay-import": delayChecks,
	"machine": machineChecks, "floor": floorChecks, "cpu-level": cpuChecks, "coverage": coverageChecks,
	"driver-library": driverLibraryChecks, "driver-needed": driverNeededChecks, "leak": leakChecks, "license": licenseChecks,
	"required-content": contentChecks, "vendor-identity": identityChecks, "signature": signatureChecks, "links": linkChecks,
	"modes": modeChecks, "names": append(nameChecks, belowChecks...), "debug-runtime": debugChecks, "size": sizeChecks, "manifest": manifestChecks,
}

// TestRules judges each package by its rule. Every rule has one package that it
// finds fault with and one that passes, and finds nothing once it is switched
// off.
func TestRules(t *testing.T) {
	t.Parallel()
	for _, r := range matrix.Rules() {
		list := checks[r.Name]
		if !slices.ContainsFunc(list, func(c check) bool { return len(c.want) > 0 }) || !slices.ContainsFunc(list, func(c check) bool { return len(c.want) == 0 }) {
			t.Errorf("rule %s lacks a package that fails or one that passes", r.Name)
		}
		for _, c := range list {
			t.Run(r.Name+"/"+c.name, func(t *testing.T) {
				t.Parallel()
				c.run(t, r.Name)
			})
		}
	}
}

func (c check) run(t *testing.T, rule string) {
	o := c.build(t)
	rep, err := verify.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	got := of(rep, rule)
	ok := len(got) == len(c.want)
	for i := 0; ok && i < len(got); i++ {
		head, message, _ := strings.Cut(c.want[i], ": ")
		ok = strings.HasPrefix(got[i], head+": ") && strings.Contains(got[i], message)
	}
	if !ok {
		t.Errorf("found\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(c.want, "\n  "))
	}
	for _, f := range rep.Findings {
		if f.Rule == rule && (f.Hint == "" || f.Message == "") {
			t.Errorf("a finding without message or hint: %+v", f)
		}
	}
	if len(c.want) == 0 {
		return
	}
	o.Rules.Severity = matrix.Map[string]{Keys: []string{rule}, Values: map[string]string{rule: "off"}}
	if rep, err = verify.Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if got := of(rep, rule); len(got) > 0 || !slices.Contains(rep.Off, rule) {
		t.Errorf("switched off it still finds %q; off are %q", got, rep.Off)
	}
}

// build makes the package.
func (c check) build(t *testing.T) verify.Options {
	tr := tree{t, filepath.Join(t.TempDir(), "pkg")}
	if err := os.Mkdir(tr.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	c.make(tr)
	o := verify.Options{Path: tr.dir}
	if c.promise != nil {
		o.Target = &verify.Target{Name: "p"}
		o.Target.Row.Name = "here"
		o.Target.Row.Platform = matrix.Host()
		c.promise(o.Target)
	}
	if c.options != nil {
		c.options(tr, &o)
	}
	return o
}

// of lists a rule's findings as "severity file: message".
func of(rep *verify.Report, rule string) []string {
	var out []string
	for _, f := range rep.Findings {
		if f.Rule == rule {
			out = append(out, f.Severity+" "+f.File+": "+f.Message)
		}
	}
	return out
}

// windows promises a package for Windows.
func windows(t *verify.Target) { t.Row.Platform = matrix.Platform{OS: "windows", Arch: "x86_64"} }

// packed makes a zip of the tree, in a directory of the package's name.
func packed(root string) func(tree, *verify.Options) {
	return func(t tree, o *verify.Options) {
		members := t.members()
		for i := range members {
			members[i].name = root + members[i].name
		}
		o.Path = filepath.Join(t.TempDir(), "p.zip")
		zipOf(t.T, o.Path, 3, members...)
	}
}
