package matrix_test

import (
	"errors"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/relmat/relmat/internal/matrix"
)

var (
	linux   = matrix.Platform{OS: "linux", Arch: "x86_64"}
	linuxOn = matrix.Platform{OS: "linux", Arch: "aarch64"}
	macos   = matrix.Platform{OS: "macos", Arch: "aarch64"}
)

func TestSelect(t *testing.T) {
	const needsMac = "macos: needs a macos-aarch64 host, this is linux-x86_64"
	const asked = "linux-cpu: on request only: name it exactly"
	tests := []struct {
		name     string
		patterns []string
		host     matrix.Platform
		rows     []string
		left     []string
		full     bool
	}{
		{"all that Linux can make", nil, linux, []string{"linux-cuda"}, []string{asked, needsMac}, false},
		{"all that a Mac can make", nil, macos, []string{"macos"}, []string{"linux-cuda: needs a linux-x86_64 host, this is macos-aarch64", asked}, false},
		{"one by its name", []string{"linux-cuda"}, linux, []string{"linux-cuda"}, nil, false},
		{"on request, by its exact name", []string{"linux-cpu"}, linux, []string{"linux-cpu"}, nil, false},
		{"on request, by a pattern", []string{"linux-*"}, linux, []string{"linux-cuda"}, []string{asked}, false},
		{"on request, by both", []string{"linux-*", "linux-cpu"}, linux, []string{"linux-cuda", "linux-cpu"}, nil, false},
		{"everything", []string{"*"}, linux, []string{"linux-cuda"}, []string{asked, needsMac}, false},
		{"a pattern that is a single target", []string{"linux-cud?"}, linux, []string{"linux-cuda"}, nil, false},
		{"the order is the file's", []string{"linux-cpu", "linux-cuda"}, linux, []string{"linux-cuda", "linux-cpu"}, nil, false},
		{"the same twice", []string{"linux-cuda", "linux-cuda"}, linux, []string{"linux-cuda"}, nil, false},
	}
	f := parse(t, base(t))
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			check(t, f, test.patterns, test.host, test.rows, test.left, test.full)
		})
	}
}

// TestSelectFull has all targets on one platform, so that a host can make the
// whole release.
func TestSelectFull(t *testing.T) {
	f := parse(t, edit(t, base(t), "triple: aarch64-apple-darwin", "triple: x86_64-unknown-linux-musl"))
	const asked = "linux-cpu: on request only: name it exactly"
	for _, test := range []struct {
		name     string
		patterns []string
		rows     []string
		left     []string
		full     bool
	}{
		{"no pattern", nil, []string{"linux-cuda", "macos"}, []string{asked}, true},
		{"a pattern of all", []string{"*"}, []string{"linux-cuda", "macos"}, []string{asked}, true},
		{"all by name", []string{"linux-cuda", "macos"}, []string{"linux-cuda", "macos"}, nil, true},
		{"those on request too", []string{"*", "linux-cpu"}, []string{"linux-cuda", "linux-cpu", "macos"}, nil, true},
		{"one of two", []string{"macos"}, []string{"macos"}, nil, false},
		{"only what is on request", []string{"linux-cpu"}, []string{"linux-cpu"}, nil, false},
	} {
		t.Run(test.name, func(t *testing.T) { check(t, f, test.patterns, linux, test.rows, test.left, test.full) })
	}

	// A target on request that this host cannot make is not missing from a
	// full release.
	text := edit(t, base(t), "    triple: aarch64-apple-darwin\n", "    triple: aarch64-apple-darwin\n    on-request: true\n")
	check(t, parse(t, text), []string{"linux-cuda", "macos"}, linux, []string{"linux-cuda"},
		[]string{"macos: needs a macos-aarch64 host, this is linux-x86_64"}, true)
}

func check(t *testing.T, f *matrix.File, patterns []string, host matrix.Platform, rows, left []string, full bool) {
	t.Helper()
	sel, err := f.Select(patterns, host)
	if err != nil {
		t.Fatal(err)
	}
	var gotRows, gotLeft []string
	for _, r := range sel.Rows {
		gotRows = append(gotRows, r.Name)
	}
	for _, l := range sel.Left {
		gotLeft = append(gotLeft, l.Name+": "+l.Reason)
	}
	if !slices.Equal(gotRows, rows) {
		t.Errorf("rows are %q, want %q", gotRows, rows)
	}
	if !slices.Equal(gotLeft, left) {
		t.Errorf("left are %q, want %q", gotLeft, left)
	}
	if sel.Full != full {
		t.Errorf("Full is %v", sel.Full)
	}
}

func TestSelectErrors(t *testing.T) {
	f := parse(t, base(t))
	for _, test := range []struct {
		name     string
		patterns []string
		host     matrix.Platform
		want     string
	}{
		{"misspelt", []string{"linux-cdua"}, linux, `--target "linux-cdua" matches no target of targets.yaml; did you mean "linux-cuda"? targets: linux-cuda, linux-cpu, macos`},
		{"like nothing", []string{"solaris-sparc"}, linux, `--target "solaris-sparc" matches no target of targets.yaml; targets: linux-cuda, linux-cpu, macos`},
		{"one right, one wrong", []string{"linux-cuda", "win*"}, linux, `--target "win*" matches no target of targets.yaml; targets: linux-cuda, linux-cpu, macos`},
		{"bad pattern", []string{"linux-["}, linux, `--target "linux-[": syntax error in pattern; a pattern has *, ? and [a-z]`},
		{"empty", []string{""}, linux, `--target "" matches no target of targets.yaml; targets: linux-cuda, linux-cpu, macos`},
		{"another host", []string{"macos"}, linux, `no target to work on: macos (needs a macos-aarch64 host, this is linux-x86_64)`},
		{"only on request", []string{"linux-cp*"}, linux, `no target to work on: linux-cpu (on request only: name it exactly)`},
		{"a host that makes nothing", nil, linuxOn, `no target to work on: linux-cuda (needs a linux-x86_64 host, this is linux-aarch64); linux-cpu (on request only: name it exactly); macos (needs a macos-aarch64 host, this is linux-aarch64)`},
	} {
		t.Run(test.name, func(t *testing.T) {
			sel, err := f.Select(test.patterns, test.host)
			var serr *matrix.SelectionError
			if !errors.As(err, &serr) || err.Error() != test.want {
				t.Errorf("got %v and %T\n%v\nwant\n%s", sel.Rows, err, err, test.want)
			}
		})
	}
}

func TestHost(t *testing.T) {
	got := matrix.Host()
	if strings.Contains(got.String(), "darwin") || strings.Contains(got.String(), "amd64") || strings.Contains(got.String(), "arm64") {
		t.Errorf("%s has a word of Go's, not of a triple's", got)
	}
	if runtime.GOOS == "linux" && got.OS != "linux" {
		t.Errorf("got %s", got)
	}
}
