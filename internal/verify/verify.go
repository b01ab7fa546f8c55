// Package verify judges a package before anyone downloads it: whether it
// starts, finds every library on a machine that has none, runs on the GPUs
// that were promised, and holds nothing that must not be there. It reads files
// and runs none of them.
package verify

import (
	"context"
	"fmt"
	"io"
	"runtime"

	"github.com/relmat/relmat/internal/archive"
	"github.com/relmat/relmat/internal/manifest"
	"github.com/relmat/relmat/internal/matrix"
)

// Version changes with what the rules find in the same package.
const Version = 4

// Options say what is judged, and by what it is judged.
type Options struct {
	// Path is a directory, an archive or a wheel.
	Path string
	// Target is what the matrix promises of the package; without it a package is
	// judged by defaults and by what it says of itself.
	Target *Target
	// Rules have the severities and exceptions of a matrix.
	Rules matrix.Verify
	// Find, if not nil and Target is, finds out by a package's manifest what a
	// matrix promises of it: it may set Target, Rules and Vendor.
	Find func(*manifest.Manifest, *Options) error
	// Vendor names the wheel that brought a file, such as "nvidia-cublas
	// 13.1.0.3", by the file's SHA-256. It is nil where no wheel's list of files
	// is at hand.
	Vendor func(sha256 string) (wheel string, ok bool)
	// Limits bound what an archive may unpack to, and Entries also what a
	// directory may hold. The zero value is archive.DefaultLimits.
	Limits archive.Limits
	// MaxAsset is the size in bytes that an archive must stay below; 0 is what
	// GitHub takes.
	MaxAsset int64
	// Jobs is how many files are read at a time; 0 is one for each processor.
	Jobs int
	// Count, if not nil, receives the content of the package as it is read.
	Count io.Writer
	// Total, if not nil, is told the size of the package in bytes before Count
	// receives any of it.
	Total func(int64)
}

// Target is what a matrix promises of a package.
type Target struct {
	// Row is the target, with its floors, CPU level and GPUs.
	Row matrix.Row
	// Project is the matrix's; empty where it is not known.
	Project string
	// Name is the package's name, Package what the matrix says of it.
	Name    string
	Package matrix.Package
	// Programs are the paths in the package of the programs that it holds, by
	// their names.
	Programs map[string]string
	// Release is the CUDA release that the target is built with, as
	// major.minor; empty where there is none or it is not known.
	Release string
	// Roots are the certificates in PEM that own signatures must come from; nil
	// where the matrix names none.
	Roots []byte
}

// Run reads a package and judges it by all rules that are not switched off.
// What is wrong with the package is told by the report; the error says that it
// could not be read.
func Run(ctx context.Context, o Options) (*Report, error) {
	if o.Jobs <= 0 {
		o.Jobs = runtime.GOMAXPROCS(0)
	}
	if o.Limits == (archive.Limits{}) {
		o.Limits = archive.DefaultLimits
	}
	if o.MaxAsset <= 0 {
		o.MaxAsset = limits.Hosts["github"].Asset
	}
	if o.Count == nil {
		o.Count = io.Discard
	}
	s, err := newSubject(ctx, o)
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, fmt.Errorf("verifying %s: %w", o.Path, err)
	}
	defer s.close()
	o = s.o
	rep := s.report()
	for _, r := range rules {
		rule, _ := matrix.RuleOf(r.name)
		severity := o.Rules.SeverityOf(rule)
		if severity == off {
			rep.Off = append(rep.Off, r.name)
			continue
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		_, set := o.Rules.Severity.Get(r.name)
		for _, f := range r.judge(s) {
			f.Rule = r.name
			f.Severity = effective(f.Severity, severity, set)
			rep.Findings = append(rep.Findings, f)
		}
	}
	rep.NotProven = append(rep.NotProven, s.notProven...)
	rep.allow(o.Rules.Allow, s.targetName())
	rep.sort()
	return rep, nil
}

// effective is the severity of a finding. A rule may find something that is
// less than what it stands for; what the matrix sets holds for all of its
// findings but notes.
func effective(own, rule string, set bool) string {
	switch {
	case own == "" || set && own != note:
		return rule
	case rank(own) < rank(rule):
		return rule
	}
	return own
}
