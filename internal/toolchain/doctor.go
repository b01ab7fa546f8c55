package toolchain

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/relmat/relmat/internal/matrix"
	"github.com/relmat/relmat/internal/proc"
)

// State is how a check ended.
type State string

// The states. A note is neither good nor bad.
const (
	StateOK       State = "ok"
	StateMissing  State = "missing"
	StateTooOld   State = "too-old"
	StateTooNew   State = "too-new"
	StateFailed   State = "failed"
	StateTimedOut State = "timed-out"
	StateUnknown  State = "unknown"
	StateNote     State = "note"
)

// Check is one thing that a target's build needs, and what this host has of it.
type Check struct {
	Name  string `json:"name"`
	State State  `json:"state"`
	// Found is the version or the amount, Path the program.
	Found string `json:"found,omitempty"`
	Path  string `json:"path,omitempty"`
	// Needed is the version or the amount, By where that comes from.
	Needed string `json:"needed,omitempty"`
	By     string `json:"needed_by,omitempty"`
	// Get says how this host gets it.
	Get    string `json:"get,omitempty"`
	Detail string `json:"detail,omitempty"`
	// Blocks tells that the target cannot be built as it is.
	Blocks bool `json:"blocks"`
}

// Bad tells whether the host lacks what was checked.
func (c Check) Bad() bool {
	return c.State != StateOK && c.State != StateNote && c.State != StateUnknown
}

// Doctor looks at what a host has. It installs and changes nothing, and asks
// each program once.
type Doctor struct {
	Host matrix.Platform
	// Dir is the program's checkout: rustup chooses its toolchain by it.
	Dir string
	// Timeout is given to each program; 10 seconds if it is 0.
	Timeout time.Duration

	mu      sync.Mutex
	answers map[string]func() answer
}

// answer is what a program said.
type answer struct {
	path, out string
	state     State
	detail    string
}

// errSlow is the cause of a context that a program used up.
var errSlow = errors.New("gave no answer")

// ask runs a program and waits for its answer, once for the same question.
func (d *Doctor) ask(ctx context.Context, env []string, program string, args ...string) answer {
	path, err := proc.LookPath(program, env)
	if err == nil {
		_, err = os.Stat(path)
	}
	if err != nil {
		return answer{state: StateMissing}
	}
	key := strings.Join(append(append([]string{path}, args...), env...), "\x00")
	d.mu.Lock()
	if d.answers == nil {
		d.answers = map[string]func() answer{}
	}
	once, ok := d.answers[key]
	if !ok {
		once = sync.OnceValue(func() answer { return d.run(ctx, env, path, args) })
		d.answers[key] = once
	}
	d.mu.Unlock()
	return once()
}

func (d *Doctor) run(ctx context.Context, env []string, path string, args []string) answer {
	limit := cmp.Or(d.Timeout, 10*time.Second)
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errSlow)
	defer cancel()
	// A rustup that has not got the toolchain of the checkout would install it.
	env = append(env[:len(env):len(env)], "RUSTUP_AUTO_INSTALL=0", "LC_ALL=C")
	out, err := proc.Cmd{Path: path, Args: args, Env: env, Dir: d.dir(), Secrets: proc.Secrets(env)}.Output(ctx)
	a := answer{path: path, out: out, state: StateOK}
	var failed *proc.Error
	switch {
	case err == nil:
	case errors.Is(err, errSlow):
		a.state, a.detail = StateTimedOut, fmt.Sprintf("%s gave no answer in %v", path, limit)
	case errors.As(err, &failed):
		a.state, a.detail = StateFailed, fmt.Sprintf("%s: %v", failed.Command, failed.Err)
		if n := len(failed.Tail); n > 0 {
			a.detail += ": " + strings.TrimSpace(strings.Join(failed.Tail[max(0, n-3):], " "))
		}
	default:
		a.state, a.detail = StateFailed, err.Error()
	}
	return a
}

// dir is where programs run: in the checkout if it is there.
func (d *Doctor) dir() string {
	if info, err := os.Stat(d.Dir); err == nil && info.IsDir() {
		return d.Dir
	}
	return os.TempDir()
}

// want is a program that a build calls.
type want struct {
	// name is that of the check and of the entry in tools.json.
	name, program string
	// minimum is a version, or empty where any will do; by says whose.
	minimum, by string
	optional    bool
	// detail is told where the host lacks it.
	detail string
}

// program checks a program and its version.
func (d *Doctor) program(ctx context.Context, env []string, w want) Check {
	tool := known.Tools[w.name]
	c := Check{Name: w.name, Needed: "any", By: w.by}
	if w.minimum != "" {
		c.Needed = w.minimum + " or newer"
	}
	a := d.ask(ctx, env, w.program, tool.Args...)
	c.State, c.Path, c.Detail = a.state, a.path, a.detail
	switch a.state {
	case StateOK:
		d.judge(&c, w, a.out)
	case StateMissing:
		c.Detail = w.detail
		if w.program != w.name {
			c.Detail = strings.TrimSuffix("there is no "+w.program+"; "+w.detail, "; ")
		}
	}
	switch {
	case c.State == StateTooOld && tool.Newer != nil:
		c.Get = advice(tool.Newer, d.Host, env, w.minimum)
	case c.Bad():
		c.Get = advice(tool.Get, d.Host, env, w.minimum)
	}
	c.Blocks = c.Bad() && !w.optional
	return c
}

// judge holds the version that a program states against what is needed.
func (d *Doctor) judge(c *Check, w want, out string) {
	v, ok := ParseVersion(out)
	if !ok {
		c.State, c.Detail = StateUnknown, fmt.Sprintf("%s states no version, it says %q", c.Path, firstWords(out))
		return
	}
	c.Found = v.Text
	if minimum, ok := ParseVersion(w.minimum); ok && v.Compare(minimum) < 0 {
		c.State = StateTooOld
	}
}

// firstWords is what of an output can be shown in a message.
func firstWords(out string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(out), "\n")
	if r := []rune(line); len(r) > 60 {
		return string(r[:60]) + "…"
	}
	return line
}

// Build says what is built, for the checks.
type Build struct {
	Row matrix.Row
	// Env is the build's environment.
	Env []string
	// Packages are the Cargo packages of its programs.
	Packages []string
	// Windows is what a Windows host has for targets of Microsoft's compiler.
	Windows WindowsHost
}

// Check looks at the programs that the build of a target calls.
func (d *Doctor) Check(ctx context.Context, b Build) []Check {
	list := d.rust(ctx, b)
	program := func(w want) { list = append(list, func() Check { return d.program(ctx, b.Env, w) }) }
	if len(b.Row.Native.Crates) > 0 {
		cmake := want{name: "cmake", program: "cmake"}
		if b.Row.CUDA.Architectures != "" || b.Row.Toolkit != "" {
			m := known.Minimums["cmake with cuda"]
			cmake.minimum, cmake.by = m.Version, m.By
		}
		program(cmake)
		program(want{name: "ninja", program: "ninja"})
	}
	switch {
	case isMinGW(b.Row, d.Host.OS):
		list = append(list, d.mingw(ctx, b)...)
	case NeedsMSVC(b.Row, d.Host):
	case len(b.Row.Native.Crates) > 0:
		program(want{name: "C++ compiler", program: compiler(b.Env)})
	default:
		program(want{
			name: "linker", program: "cc", optional: d.otherLinker(b),
			detail: "rustc links with it where Cargo's configuration names no other",
		})
	}
	if b.Row.Platform.OS == "macos" {
		list = append(list, func() Check { return d.xcode(ctx, b) })
	}
	program(want{name: "git", program: "git", optional: true, detail: "a release asks it for the commit, and CMake's FetchContent may call it"})
	if cache := b.Row.CompilerCache; cache != "" {
		program(want{name: cache, program: cache, optional: true, detail: "the build goes without it"})
	}
	checks := inParallel(list)
	if NeedsMSVC(b.Row, d.Host) {
		checks = append(checks, d.msvc(ctx, b)...)
	}
	return checks
}

// inParallel runs the checks at once: one that hangs does not hold up the rest.
func inParallel(list []func() Check) []Check {
	checks := make([]Check, len(list))
	var wg sync.WaitGroup
	for i, check := range list {
		wg.Go(func() { checks[i] = check() })
	}
	wg.Wait()
	return checks
}

// xcode checks Apple's developer directory, which holds the SDK.
func (d *Doctor) xcode(ctx context.Context, b Build) Check {
	tool := known.Tools["Xcode"]
	a := d.ask(ctx, b.Env, "xcode-select", tool.Args...)
	c := Check{Name: "Xcode", State: a.state, Path: strings.TrimSpace(a.out), Detail: a.detail, Needed: "any"}
	switch {
	case c.State == StateOK && strings.HasSuffix(c.Path, "CommandLineTools"):
		c.Found, c.Detail = "tools alone", "the command line tools do; a build that compiles Metal shaders needs Xcode itself"
	case c.State == StateOK:
		c.Found = "Xcode"
	default:
		c.Get, c.Blocks = advice(tool.Get, d.Host, b.Env, ""), true
	}
	return c
}

// Pip checks the Python that brings toolkits. It is not needed where the
// toolkit is in the cache.
func (d *Doctor) Pip(ctx context.Context, env []string, python string, cached bool) Check {
	names := []string{"python3", "python"}
	if python != "" {
		names = []string{python}
	}
	m := known.Minimums["python with pip"]
	var first Check
	for i, name := range names {
		c := d.program(ctx, env, want{
			name: "python with pip", program: name, minimum: m.Version, by: m.By, optional: cached,
			detail: "pip brings NVIDIA's wheels; --python names another interpreter",
		})
		if !c.Bad() {
			return c
		}
		if c.State == StateTooOld { // it still fetches
			c.Blocks, c.Detail = false, "`relmat toolkit lock` needs the newer one, a fetch does not"
			return c
		}
		if i == 0 || first.State == StateMissing {
			first = c
		}
	}
	return first
}
