package verify

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/relmat/relmat/internal/matrix"
)

// The severities, as in matrix.Severities.
const (
	errorLevel = "error"
	warning    = "warning"
	note       = "note"
	off        = "off"
)

// rank is 0 for the gravest severity.
func rank(severity string) int { return slices.Index(matrix.Severities, severity) }

// Finding is a rule's verdict about a file.
type Finding struct {
	// Rule is the rule's stable name, Severity error, warning or note.
	Rule     string `json:"rule"`
	Severity string `json:"severity"`
	// File is the path in the package, empty where the finding is about the
	// whole.
	File string `json:"file"`
	// Message says what is wrong, Hint what to do about it.
	Message string `json:"message"`
	Hint    string `json:"hint"`
	// Evidence are the places at which it can be seen.
	Evidence []string `json:"evidence,omitempty"`
	// Allowed says that the matrix knows the finding, so that it does not
	// count; Reason is why.
	Allowed bool   `json:"allowed,omitempty"`
	Reason  string `json:"reason,omitempty"`

	// item is what the message is about, joint the message about several of
	// them, with %s in their place: people are told once what a file lacks.
	item, joint string
}

// maxEvidence bounds the evidence of a finding.
const maxEvidence = 8

// evidence shortens a list to what a reader looks at.
func evidence(list []string) []string {
	if len(list) <= maxEvidence {
		return list
	}
	return append(slices.Clone(list[:maxEvidence]), fmt.Sprintf("and %d more", len(list)-maxEvidence))
}

// NotProven is what no file tells, and what would tell it.
type NotProven struct {
	What string `json:"what"`
	Why  string `json:"why"`
}

// Report is what the rules found in a package; docs/json.md describes it.
type Report struct {
	Schema   int       `json:"schema"`
	Findings []Finding `json:"findings"`
	// Path is as it was given, Kind "directory" or an archive's format, or
	// "wheel". Root is the directory of an archive that holds all of it.
	Path string `json:"path"`
	Kind string `json:"kind"`
	Root string `json:"root,omitempty"`
	// Target is the matrix's, or what the package says that it is for.
	Target string `json:"target,omitempty"`
	// Files counts files, Native those that were read as programs or libraries,
	// Bytes is the sum of all.
	Files  int   `json:"files"`
	Native int   `json:"native"`
	Bytes  int64 `json:"bytes"`
	// Needs are the oldest systems on which all files start.
	Needs Needs `json:"needs"`
	// Off are the rules that the matrix switches off.
	Off       []string    `json:"off,omitempty"`
	NotProven []NotProven `json:"not_proven,omitempty"`
	// Host are the libraries that the package leaves to its users by its
	// declaration.
	Host []string `json:"host,omitempty"`
}

// Needs are the oldest versions of what a system must provide; empty where no
// file tells.
type Needs struct {
	Glibc     string `json:"glibc,omitempty"`
	Libstdcxx string `json:"libstdcxx,omitempty"`
	MacOS     string `json:"macos,omitempty"`
	Windows   string `json:"windows,omitempty"`
	Driver    string `json:"driver,omitempty"`
}

// Count tells how many findings of a severity stand: those that are allowed do
// not.
func (r *Report) Count(severity string) int {
	n := 0
	for _, f := range r.Findings {
		if f.Severity == severity && !f.Allowed {
			n++
		}
	}
	return n
}

// Err is an *Error where an error stands, else nil.
func (r *Report) Err() error {
	if r.Count(errorLevel) == 0 {
		return nil
	}
	return &Error{Report: r}
}

// Error says that a package must not be released.
type Error struct{ Report *Report }

func (e *Error) Error() string {
	var names []string
	for _, f := range e.Report.Findings {
		if f.Severity == errorLevel && !f.Allowed && !slices.Contains(names, f.Rule) {
			names = append(names, f.Rule)
		}
	}
	return fmt.Sprintf("%s: %s by the rules %s; mend them, or allow one with its reason in the matrix's verify.allow",
		e.Report.Path, count(e.Report.Count(errorLevel), "error"), strings.Join(names, ", "))
}

// allow marks the findings that the matrix knows.
func (r *Report) allow(list []matrix.Allow, target string) {
	for i := range r.Findings {
		f := &r.Findings[i]
		for _, a := range list {
			if a.Rule != f.Rule || a.File != "" && !matrix.Matches([]string{a.File}, f.File) || !matrix.Matches(a.Targets, target) {
				continue
			}
			f.Allowed, f.Reason = true, a.Reason
			break
		}
	}
}

// sort puts the gravest findings first and keeps the order of the rules.
func (r *Report) sort() {
	order := map[string]int{}
	for i, ru := range rules {
		order[ru.name] = i
	}
	slices.SortStableFunc(r.Findings, func(a, b Finding) int {
		return cmp.Or(
			cmp.Compare(b2i(a.Allowed), b2i(b.Allowed)),
			cmp.Compare(rank(a.Severity), rank(b.Severity)),
			cmp.Compare(order[a.Rule], order[b.Rule]),
			strings.Compare(a.File, b.File),
			strings.Compare(a.Message, b.Message),
		)
	})
	if r.Findings == nil {
		r.Findings = []Finding{}
	}
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// count is a number with its noun.
func count(n int, noun string) string {
	switch {
	case n == 1:
		return "1 " + noun
	case strings.HasSuffix(noun, "y"):
		return fmt.Sprintf("%d %sies", n, noun[:len(noun)-1])
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
