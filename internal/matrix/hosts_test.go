package matrix_test

import (
	"slices"
	"testing"

	"github.com/relmat/relmat/internal/matrix"
)

var windows = matrix.Platform{OS: "windows", Arch: "x86_64"}

const hostsText = `
version: 1
project: {name: p, version-package: p}
programs: {p: {package: p}}
targets:
  native: {triple: x86_64-unknown-linux-gnu}
  cross:
    triple: x86_64-pc-windows-msvc
    hosts:
      windows-x86_64: {}
      linux-x86_64: {triple: x86_64-pc-windows-gnu}
  elsewhere:
    triple: aarch64-unknown-linux-gnu
    hosts: {linux-x86_64: {}}
packages: {p: {asset: "{{.Target}}", programs: [p]}}
`

func TestHosts(t *testing.T) {
	f := parse(t, hostsText)
	needs := func(target, hosts string) string { return target + ": needs a " + hosts + " host, this is " }
	for _, tt := range []struct {
		host    matrix.Platform
		rows    []string
		triples []string
		left    []string
		full    bool
	}{
		{linux, []string{"native", "elsewhere"}, []string{"x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"}, []string{"cross: a linux-x86_64 host can build it for x86_64-pc-windows-gnu only, which is for tests: name it to do so"}, false},
		{windows, []string{"cross"}, []string{"x86_64-pc-windows-msvc"}, []string{needs("native", "linux-x86_64") + "windows-x86_64", needs("elsewhere", "linux-x86_64") + "windows-x86_64"}, false},
	} {
		t.Run(tt.host.String(), func(t *testing.T) {
			check(t, f, nil, tt.host, tt.rows, tt.left, tt.full)
			sel, err := f.Select(nil, tt.host)
			if err != nil {
				t.Fatal(err)
			}
			var triples []string
			for _, r := range sel.Rows {
				triples = append(triples, r.Triple)
			}
			if !slices.Equal(triples, tt.triples) {
				t.Errorf("the triples are %q, want %q", triples, tt.triples)
			}
		})
	}
	// A target that names its hosts is not built on its own platform unless that
	// is one of them.
	_, err := f.Select(nil, linuxOn)
	const want = "no target to work on: native (needs a linux-x86_64 host, this is linux-aarch64); " +
		"cross (needs a windows-x86_64 or linux-x86_64 host, this is linux-aarch64); elsewhere (needs a linux-x86_64 host, this is linux-aarch64)"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestOn(t *testing.T) {
	f := parse(t, hostsText)
	cross := row(t, f, "cross")
	for _, tt := range []struct {
		host   matrix.Platform
		triple string
	}{
		{linux, "x86_64-pc-windows-gnu"},
		{windows, "x86_64-pc-windows-msvc"},
		{macos, "x86_64-pc-windows-msvc"},
	} {
		on := cross.On(tt.host)
		if on.Triple != tt.triple || on.Platform != windows || on.Name != "cross" {
			t.Errorf("on %s it is %s, for %s", tt.host, on.Triple, on.Platform)
		}
		if fields := on.Fields("1", "v1"); fields.Triple != tt.triple || fields.Exe != ".exe" {
			t.Errorf("on %s the fields are %+v", tt.host, fields)
		}
	}
	equal(t, "the row itself", cross.Triple, "x86_64-pc-windows-msvc")
	if hosts := cross.BuildHosts(); !slices.Equal(hosts, []matrix.Platform{windows, linux}) {
		t.Errorf("its hosts are %v, want them in the order of the file", hosts)
	}
	if hosts := row(t, f, "native").BuildHosts(); !slices.Equal(hosts, []matrix.Platform{linux}) {
		t.Errorf("the hosts of a target that names none are %v", hosts)
	}
}

func TestParsePlatform(t *testing.T) {
	for _, system := range []string{"linux", "macos", "windows"} {
		for _, arch := range []string{"x86_64", "aarch64"} {
			p, err := matrix.ParsePlatform(system + "-" + arch)
			if err != nil || p != (matrix.Platform{OS: system, Arch: arch}) || p.String() != system+"-"+arch {
				t.Errorf("%s-%s is %v, %v", system, arch, p, err)
			}
		}
	}
	for _, name := range []string{"", "-", "linux", "linux-", "-x86_64", "linux-amd64", "darwin-aarch64", "linux-x86_64-gnu", "x86_64-linux", "Linux-x86_64", " linux-x86_64"} {
		if p, err := matrix.ParsePlatform(name); err == nil {
			t.Errorf("%q is %v", name, p)
		}
	}
	if _, err := matrix.ParsePlatform(matrix.Host().String()); err != nil {
		t.Errorf("this host: %v", err)
	}
}
