package toolchain

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/relmat/relmat/internal/matrix"
	"github.com/relmat/relmat/internal/proc"
)

// Crate is a crate of a program's graph, and whether it compiles on this host.
type Crate struct {
	Name    string `json:"name"`
	Version string `json:"version,omitempty"`
	// State is ok, failed, missing where the target's graph has no such crate, or
	// unknown where Cargo cannot compile it alone.
	State State `json:"state"`
	// Error is the first error that the compiler or a build script told, or why
	// the state is unknown.
	Error string `json:"error,omitempty"`
	// Without are features that the target's turn on in a crate of others, which
	// Cargo has left off: it takes features for members of the workspace alone.
	Without []string `json:"without,omitempty"`
	// UnixOnly are its dependencies that Windows has not.
	UnixOnly []UnixOnly `json:"unix_only,omitempty"`

	id     string
	member bool
	// features are those that it has in the target's graph.
	features []string
	// optional tells that it is in the graph by the target's features alone.
	optional bool
}

// UnixOnly is a dependency for Unix alone.
type UnixOnly struct {
	Name string `json:"name"`
	// Cfg is the condition under which it is one, as Cargo.toml has it.
	Cfg string `json:"cfg"`
	// Features are those of the crate that turn an optional one on, On those of
	// them that this target's graph has on.
	Features []string `json:"features,omitempty"`
	On       []string `json:"on,omitempty"`
}

// Crates asks Cargo for a target's graph.
type Crates struct {
	// Dir is the checkout, Env the build's environment with its CARGO_TARGET_DIR.
	Dir string
	Env []string
	Row matrix.Row
	// Packages are the Cargo packages of the row's programs: they have the row's
	// features.
	Packages []string
	// Line gets what Cargo says.
	Line    func(string)
	Secrets []string
}

// cargoGraph is what `cargo metadata` tells ("cargo metadata", The Cargo Book).
type cargoGraph struct {
	Packages []struct {
		ID           string              `json:"id"`
		Name         string              `json:"name"`
		Version      string              `json:"version"`
		Features     map[string][]string `json:"features"`
		Dependencies []struct {
			Name     string `json:"name"`
			Rename   string `json:"rename"`
			Target   string `json:"target"`
			Kind     string `json:"kind"`
			Optional bool   `json:"optional"`
		} `json:"dependencies"`
	} `json:"packages"`
	Members []string `json:"workspace_members"`
	Resolve struct {
		Nodes []struct {
			ID       string   `json:"id"`
			Features []string `json:"features"`
		} `json:"nodes"`
	} `json:"resolve"`
}

// List finds the crates of these names in the target's graph, each version of
// one. A name that the graph has not is in the list as missing.
func (c Crates) List(ctx context.Context, names []string) ([]Crate, error) {
	graph := func(features string) ([]Crate, error) {
		args := []string{"metadata", "--format-version", "1", "--filter-platform", c.Row.Triple}
		if c.Row.IsLocked() {
			args = append(args, "--locked")
		}
		if features != "" {
			args = append(args, "--features", features)
		}
		out, err := proc.Cmd{Path: "cargo", Args: args, Dir: c.Dir, Env: c.Env, Secrets: c.Secrets, Stderr: c.Line, Stdout: nil}.Output(ctx)
		if err != nil {
			return nil, fmt.Errorf("reading the graph of crates for %s: %w", c.Row.Triple, err)
		}
		return parseGraph([]byte(out), names)
	}
	features := c.features(c.Packages)
	list, err := graph(features)
	if err != nil || features == "" {
		return list, err
	}
	plain, err := graph("")
	if err != nil {
		return nil, err
	}
	for i := range list {
		of := &list[i]
		j := slices.IndexFunc(plain, func(p Crate) bool { return p.id == of.id })
		if of.optional = j < 0; !of.optional && !of.member {
			of.Without = slices.DeleteFunc(slices.Clone(of.features), func(f string) bool { return slices.Contains(plain[j].features, f) })
		}
	}
	return list, nil
}

// features spells the row's features for some packages: each has those of its own
// that it knows.
func (c Crates) features(packages []string) string {
	var list []string
	for _, p := range packages {
		for _, f := range c.Row.Features {
			if !strings.Contains(f, "/") {
				f = p + "/" + f
			}
			if !slices.Contains(list, f) {
				list = append(list, f)
			}
		}
	}
	return strings.Join(list, ",")
}

func parseGraph(data []byte, names []string) ([]Crate, error) {
	var g cargoGraph
	if err := json.Unmarshal(data, &g); err != nil {
		return nil, fmt.Errorf("cargo metadata: %w", err)
	}
	on := map[string][]string{}
	for _, n := range g.Resolve.Nodes {
		on[n.ID] = n.Features
	}
	var list []Crate
	for _, name := range names {
		n := len(list)
		for _, p := range g.Packages {
			features, used := on[p.ID]
			if p.Name != name || !used {
				continue
			}
			crate := Crate{Name: name, Version: p.Version, id: p.ID, member: slices.Contains(g.Members, p.ID), features: features}
			for _, d := range p.Dependencies {
				if d.Kind == "dev" || d.Target == "" || !unixOnly(d.Target) {
					continue
				}
				u := UnixOnly{Name: d.Name, Cfg: d.Target}
				if d.Optional {
					key := d.Name
					if d.Rename != "" {
						key = d.Rename
					}
					u.Features = enabling(p.Features, key)
					u.On = slices.DeleteFunc(slices.Clone(u.Features), func(f string) bool { return !slices.Contains(features, f) })
				}
				crate.UnixOnly = append(crate.UnixOnly, u)
			}
			list = append(list, crate)
		}
		if len(list) == n {
			list = append(list, Crate{Name: name, State: StateMissing})
		}
	}
	return list, nil
}

// enabling are the features that turn an optional dependency on, by themselves or
// by way of others.
func enabling(features map[string][]string, dependency string) []string {
	var found []string
	turnsOn := func(words []string) bool {
		return slices.ContainsFunc(words, func(w string) bool {
			head, _, _ := strings.Cut(w, "/")
			return w == "dep:"+dependency || head == dependency || slices.Contains(found, w)
		})
	}
	for more := true; more; {
		more = false
		for name, words := range features {
			if !slices.Contains(found, name) && turnsOn(words) {
				found, more = append(found, name), true
			}
		}
	}
	slices.Sort(found)
	return found
}

// Check runs `cargo check` for one crate of the list.
func (c Crates) Check(ctx context.Context, crate *Crate) error {
	if crate.State == StateMissing {
		crate.Error = "the graph for " + c.Row.Triple + " has no such crate"
		return nil
	}
	if crate.optional && !crate.member {
		// To turn it on, Cargo would have to compile the program that asks for it,
		// with its native code.
		crate.State, crate.Error = StateUnknown, "only features of the target bring it in ("+strings.Join(c.Row.Features, ", ")+"), and Cargo compiles such a crate with the program alone"
		return nil
	}
	args := []string{"check", "--target", c.Row.Triple, "--message-format", "short", "--package", crate.id}
	if c.Row.IsLocked() {
		args = append(args, "--locked")
	}
	// Cargo takes features for members of the workspace alone; other crates have
	// those that the workspace asks of them.
	if crate.member {
		args = append(args, "--no-default-features", "--features", strings.Join(crate.features, ","))
	}
	var said []string
	err := proc.Cmd{Path: "cargo", Args: args, Dir: c.Dir, Env: c.Env, Secrets: c.Secrets, Stderr: func(line string) {
		said = append(said, line)
		if c.Line != nil {
			c.Line(line)
		}
	}}.Run(ctx)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var failed *proc.Error
	switch {
	case err == nil:
		crate.State = StateOK
	case errors.As(err, &failed) && failed.Code > 0:
		crate.State, crate.Error = StateFailed, firstError(said)
	default:
		return fmt.Errorf("checking crate %s: %w", crate.Name, err)
	}
	return nil
}

// firstError is the first error among what Cargo said, with what a build script
// said of it.
func firstError(lines []string) string {
	for i, line := range lines {
		if !strings.HasPrefix(line, "error") && !strings.Contains(line, ": error") {
			continue
		}
		if !strings.Contains(line, "custom build command") {
			return strings.TrimSpace(line)
		}
		script := scriptError(lines[i+1:])
		return strings.TrimSuffix(strings.TrimSpace(line)+": "+script, ": ")
	}
	if len(lines) > 0 {
		return strings.TrimSpace(lines[len(lines)-1])
	}
	return "cargo check says nothing"
}

// scriptError is what a build script says of its failure: its panic, else its
// first line with an error, else its first line.
func scriptError(lines []string) string {
	at := slices.IndexFunc(lines, func(l string) bool { return strings.TrimSpace(l) == "--- stderr" })
	first, worse, panicked := "", "", false
	for _, l := range lines[at+1:] {
		l = strings.TrimSpace(l)
		switch {
		case at < 0 || l == "":
		case strings.HasPrefix(l, "thread '") && strings.Contains(l, "panicked at"):
			panicked = true
		case panicked:
			return l
		case first == "":
			first = l
			fallthrough
		case worse == "" && strings.Contains(strings.ToLower(l), "error"):
			if strings.Contains(strings.ToLower(l), "error") {
				worse = l
			}
		}
	}
	return cmp.Or(worse, first)
}
