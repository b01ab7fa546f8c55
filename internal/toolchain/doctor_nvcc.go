package toolchain

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/relmat/relmat/internal/proc"
)

// Range is the versions of a compiler that nvcc takes, both ends included; an
// end that is 0 is open.
type Range struct{ Min, Max int }

// Has tells whether the range has n.
func (r Range) Has(n int) bool { return n >= r.Min && (r.Max == 0 || n <= r.Max) }

func (r Range) String() string {
	switch {
	case r.Max == 0 && r.Min == 0:
		return "any"
	case r.Max == 0:
		return fmt.Sprintf("%d or newer", r.Min)
	case r.Min == 0:
		return fmt.Sprintf("%d or older", r.Max)
	}
	return fmt.Sprintf("%d to %d", r.Min, r.Max)
}

// HostCompilers are the compilers behind which nvcc works: the major versions
// of gcc and clang, and _MSC_VER.
type HostCompilers struct{ GCC, Clang, MSVC Range }

var (
	hostIf    = regexp.MustCompile(`^\s*#\s*if\b(.*)`)
	hostError = regexp.MustCompile(`^\s*#\s*error\b.*\bunsupported (GNU|clang|Microsoft Visual Studio) version`)
	hostBound = regexp.MustCompile(`\b(__GNUC__|__clang_major__|_MSC_VER)\s*(<=?|>=?)\s*([0-9]{1,6})\b`)
)

// ParseHostConfig reads them out of crt/host_config.h of a toolkit, which
// refuses the others: an #if of bounds, and right below it an #error that names
// the compiler.
func ParseHostConfig(text string) HostCompilers {
	var h HostCompilers
	lines := strings.Split(strings.ReplaceAll(text, "\\\n", " "), "\n")
	condition := ""
	for _, line := range lines {
		if m := hostIf.FindStringSubmatch(line); m != nil {
			condition = m[1]
			continue
		}
		m := hostError.FindStringSubmatch(line)
		if m != nil && condition != "" {
			macro := map[string]string{"GNU": "__GNUC__", "clang": "__clang_major__", "Microsoft Visual Studio": "_MSC_VER"}[m[1]]
			r := bounds(condition, macro)
			switch macro {
			case "__GNUC__":
				h.GCC = r
			case "__clang_major__":
				h.Clang = r
			default:
				h.MSVC = r
			}
		}
		if strings.TrimSpace(line) != "" {
			condition = ""
		}
	}
	return h
}

// bounds turns a condition that refuses versions into the range that it leaves.
func bounds(condition, macro string) Range {
	var r Range
	for _, m := range hostBound.FindAllStringSubmatch(condition, -1) {
		n, err := strconv.Atoi(m[3])
		if err != nil || m[1] != macro {
			continue
		}
		switch m[2] {
		case ">":
			r.Max = n
		case ">=":
			r.Max = max(n-1, 0)
		case "<":
			r.Min = n
		case "<=":
			r.Min = n + 1
		}
	}
	return r
}

// NVCC is the CUDA compiler of a build, as far as it chooses among the compilers
// of the host.
type NVCC struct {
	// Of is its toolkit, as messages call it: toolkit cuda13, CUDA 13.0.2 by
	// CUDA_PATH.
	Of string
	// Header is the toolkit's crt/host_config.h; empty where a toolkit of the
	// matrix is not in the cache.
	Header string
}

// TakesMSVC is the range of _MSC_VER that a build in the environment leaves to it:
// empty where it is not known, and where nvcc is told not to look.
func (n NVCC) TakesMSVC(env []string) Range {
	text, err := os.ReadFile(n.Header)
	if err != nil || takesAll(env) {
		return Range{}
	}
	return ParseHostConfig(string(text)).MSVC
}

// takesAll tells whether nvcc is told to take compilers that it does not know.
func takesAll(env []string) bool {
	return slices.ContainsFunc(env, func(kv string) bool { return strings.Contains(kv, "allow-unsupported-compiler") })
}

// HostCompiler holds the compiler that nvcc calls on this host against what it
// takes.
func (d *Doctor) HostCompiler(ctx context.Context, b Build, nvcc NVCC) Check {
	const check = "nvcc's compiler"
	by, header := nvcc.Of, nvcc.Header
	if header == "" {
		return Check{Name: check, State: StateNote, By: by, Detail: "checked when `relmat toolkit fetch " + b.Row.Toolkit + "` has brought the toolkit"}
	}
	text, err := os.ReadFile(header)
	if err != nil {
		return Check{Name: check, State: StateUnknown, By: by, Detail: err.Error()}
	}
	takes := ParseHostConfig(string(text))
	if d.Host.OS == "windows" {
		return d.hostMSVC(b, takes.MSVC, by)
	}
	// CMake hands CUDAHOSTCXX on, nvcc itself reads NVCC_CCBIN, and calls gcc
	// where neither is set.
	program := cmp.Or(proc.Getenv(b.Env, "CUDAHOSTCXX"), proc.Getenv(b.Env, "NVCC_CCBIN"), "gcc")
	if info, err := os.Stat(program); err == nil && info.IsDir() {
		program = filepath.Join(program, "gcc")
	}
	c := d.program(ctx, b.Env, want{name: check, program: program, by: by})
	kind, takesThis := "gcc", takes.GCC
	if a := d.ask(ctx, b.Env, program, known.Tools[check].Args...); a.state == StateOK && strings.Contains(firstWords(a.out), "clang") {
		kind, takesThis = "clang", takes.Clang
	}
	if takesThis == (Range{}) {
		c.Needed = "any"
		c.Detail = strings.TrimPrefix(c.Detail+"; "+header+" states no range of "+kind, "; ")
		return c
	}
	c.Needed = kind + " " + takesThis.String()
	if v, ok := ParseVersion(c.Found); ok && c.State == StateOK {
		d.within(&c, b, takesThis, v.Major(), strconv.Itoa(takesThis.Max))
		c.Found = kind + " " + c.Found
	}
	return c
}

// within judges a compiler's number by the range.
func (d *Doctor) within(c *Check, b Build, r Range, n int, oldest string) {
	tool := known.Tools[c.Name]
	switch {
	case r.Has(n):
		return
	case n < r.Min:
		c.State, c.Get = StateTooOld, advice(tool.Newer, d.Host, b.Env, "")
	default:
		c.State, c.Get = StateTooNew, advice(tool.Older, d.Host, b.Env, oldest)
	}
	c.Blocks = true
	if takesAll(b.Env) {
		c.Blocks, c.Detail = false, "the matrix lets nvcc take it all the same (-allow-unsupported-compiler)"
	}
}
