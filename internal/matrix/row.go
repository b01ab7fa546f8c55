package matrix

import (
	"fmt"
	"path"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// Row is a target with everything that it inherits.
type Row struct {
	Name string
	Target
	Platform Platform

	// released is the triple that the row has besides Triple, see On.
	released string
	project  Project
	origins  map[string]string
}

// Platform is where a target's programs run.
type Platform struct{ OS, Arch string }

// ParseTriple reads the platform out of a Rust target triple. OS is linux,
// macos or windows, Arch the triple's own word.
func ParseTriple(triple string) (Platform, error) {
	parts := strings.Split(triple, "-")
	if len(parts) < 3 || parts[0] == "" {
		return Platform{}, fmt.Errorf("%q is not a target triple", triple)
	}
	p := Platform{Arch: parts[0]}
	switch {
	case slices.Contains(parts, "linux"):
		p.OS = "linux"
	case slices.Contains(parts, "darwin"):
		p.OS = "macos"
	case slices.Contains(parts, "windows"):
		p.OS = "windows"
	default:
		return Platform{}, fmt.Errorf("%q names none of the systems linux, darwin, windows", triple)
	}
	return p, nil
}

func (p Platform) String() string { return p.OS + "-" + p.Arch }

// Exe is the file extension of programs.
func (p Platform) Exe() string {
	if p.OS == "windows" {
		return ".exe"
	}
	return ""
}

// Host is the platform that relmat itself runs on.
func Host() Platform {
	p := Platform{OS: runtime.GOOS, Arch: runtime.GOARCH}
	switch p.OS {
	case "darwin":
		p.OS = "macos"
	}
	switch p.Arch {
	case "amd64":
		p.Arch = "x86_64"
	case "arm64":
		p.Arch = "aarch64"
	}
	return p
}

// IsOnRequest tells whether the row is built only when named exactly.
func (r Row) IsOnRequest() bool { return r.OnRequest != nil && *r.OnRequest }

// IsLocked tells whether Cargo must not change Cargo.lock; it is the default.
func (r Row) IsLocked() bool { return r.Locked == nil || *r.Locked }

// Fields are the template fields of the row.
func (r Row) Fields(version, tag string) Fields {
	return Fields{
		Project: r.project.Name, Version: version, Tag: tag,
		Target: r.Name, Triple: r.Triple, OS: r.Platform.OS, Arch: r.Platform.Arch, Exe: r.Platform.Exe(),
	}
}

// Rows returns all targets in the order of the file.
func (f *File) Rows() []Row {
	rows := make([]Row, 0, len(f.Targets.Keys))
	for _, name := range f.Targets.Keys {
		rows = append(rows, f.row(name))
	}
	return rows
}

// Left is a target that a selection left out, and why.
type Left struct{ Name, Reason string }

// Selection is what a command works on.
type Selection struct {
	Rows []Row
	Left []Left
	// Full tells that every target that is not on request was selected, and no
	// substitute.
	Full bool
}

// SelectionError says that no target, or no toolkit, can be worked on as it was
// asked for.
type SelectionError struct{ Message string }

func (e *SelectionError) Error() string { return e.Message }

func selectionError(format string, args ...any) error {
	return &SelectionError{fmt.Sprintf(format, args...)}
}

// Select picks the rows that the patterns match; without patterns, all that
// host can make and that are not on request.
func (f *File) Select(patterns []string, host Platform) (Selection, error) {
	sel := Selection{Full: true}
	if err := f.checkPatterns(patterns); err != nil {
		return sel, err
	}
	for _, r := range f.Rows() {
		named := slices.Contains(patterns, r.Name)
		switch {
		case len(patterns) > 0 && !named && !Matches(patterns, r.Name):
			sel.Full = sel.Full && r.IsOnRequest()
		case r.IsOnRequest() && !named:
			sel.Left = append(sel.Left, Left{r.Name, "on request only: name it exactly"})
		case !slices.Contains(r.BuildHosts(), host):
			sel.Left = append(sel.Left, Left{r.Name, fmt.Sprintf("needs a %s host, this is %s", hostNames(r), host)})
			sel.Full = sel.Full && r.IsOnRequest()
		case len(patterns) == 0 && r.On(host).IsSubstitute():
			sel.Left = append(sel.Left, Left{r.Name, substituteReason(r.On(host), host)})
			sel.Full = sel.Full && r.IsOnRequest()
		default:
			row := r.On(host)
			sel.Rows = append(sel.Rows, row)
			sel.Full = sel.Full && !row.IsSubstitute()
		}
	}
	if len(sel.Rows) == 0 {
		var why []string
		for _, l := range sel.Left {
			why = append(why, l.Name+" ("+l.Reason+")")
		}
		return sel, selectionError("no target to work on: %s", strings.Join(why, "; "))
	}
	return sel, nil
}

// Match returns the rows that the patterns match, whatever host can build
// them; without patterns, all.
func (f *File) Match(patterns []string) ([]Row, error) {
	if err := f.checkPatterns(patterns); err != nil {
		return nil, err
	}
	var rows []Row
	for _, r := range f.Rows() {
		if Matches(patterns, r.Name) {
			rows = append(rows, r)
		}
	}
	return rows, nil
}

// checkPatterns refuses a pattern that matches no target.
func (f *File) checkPatterns(patterns []string) error {
	for _, p := range patterns {
		if _, err := path.Match(p, ""); err != nil {
			return selectionError("--target %q: %v; a pattern has *, ? and [a-z]", p, err)
		}
		if !slices.ContainsFunc(f.Targets.Keys, func(t string) bool { return Matches([]string{p}, t) }) {
			hint := "targets: " + strings.Join(f.Targets.Keys, ", ")
			if near := nearest(p, f.Targets.Keys); near != "" {
				hint = fmt.Sprintf("did you mean %q? %s", near, hint)
			}
			return selectionError("--target %q matches no target of %s; %s", p, f.Path, hint)
		}
	}
	return nil
}

// hostNames lists the hosts of a row for messages.
func hostNames(r Row) string {
	var names []string
	for _, p := range r.BuildHosts() {
		names = append(names, p.String())
	}
	return strings.Join(names, " or ")
}

// PackagesOf returns the names of the packages that the row makes.
func (f *File) PackagesOf(r Row) []string {
	var names []string
	for _, name := range f.Packages.Keys {
		if Matches(f.Packages.Values[name].Targets, r.Name) {
			names = append(names, name)
		}
	}
	return names
}

// ProgramsOf returns the programs that the row's packages hold, each once.
func (f *File) ProgramsOf(r Row) []string {
	var names []string
	for _, p := range f.PackagesOf(r) {
		for _, prog := range f.Packages.Values[p].Programs {
			if !slices.Contains(names, prog) {
				names = append(names, prog)
			}
		}
	}
	return names
}

// Name is the file name under which smoke steps find the input.
func (in Input) Name() string {
	if in.As != "" {
		return in.As
	}
	return path.Base(in.URL)
}

// BinName is the name of Cargo's binary target.
func (f *File) BinName(program string) string {
	if bin := f.Programs.Values[program].Bin; bin != "" {
		return bin
	}
	return program
}

// Matches tells whether name matches one of the patterns; no patterns match
// every name.
func Matches(patterns []string, name string) bool {
	if len(patterns) == 0 {
		return true
	}
	return slices.ContainsFunc(patterns, func(p string) bool {
		ok, err := path.Match(p, name)
		return err == nil && ok
	})
}

func index(at string, i int) string { return at + "[" + strconv.Itoa(i) + "]" }
