package toolchain

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/relmat/relmat/internal/proc"
)

// rust lists the checks of Rust's tools.
func (d *Doctor) rust(ctx context.Context, b Build) []func() Check {
	channel, by := d.channel()
	if proc.Getenv(b.Env, "RUSTUP_TOOLCHAIN") != "" {
		channel = "" // it outweighs the file
	}
	if c, ok := d.rustToolchain(ctx, b, channel, by); !ok {
		return []func() Check{func() Check { return c }} // nothing else of Rust can be asked yet
	}
	cargo := want{name: "cargo", program: "cargo"}
	workspace, minimum := d.workspace(ctx, b)
	switch {
	case minimum != "":
		cargo.minimum, cargo.by = minimum, "rust-version"
	case channel != "":
		if v, ok := ParseVersion(channel); ok {
			cargo.minimum, cargo.by = v.Text, by
		}
	}
	rustc := cargo
	rustc.name, rustc.program = "rustc", rustcName(b.Env)
	return []func() Check{
		func() Check { return d.program(ctx, b.Env, cargo) },
		func() Check { return d.program(ctx, b.Env, rustc) },
		func() Check { return d.rustTarget(ctx, b) },
		func() Check { return workspace },
	}
}

func rustcName(env []string) string { return cmp.Or(proc.Getenv(env, "RUSTC"), "rustc") }

var channelLine = regexp.MustCompile(`(?m)^\s*channel\s*=\s*["']([^"'\n]+)["']`)

// channel is the toolchain that the checkout asks rustup for, and in which file
// ("Overrides", The rustup book).
func (d *Doctor) channel() (channel, file string) {
	for dir := d.Dir; ; dir = filepath.Dir(dir) {
		// The older name comes first for rustup, too.
		for _, name := range []string{"rust-toolchain", "rust-toolchain.toml"} {
			data, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				continue
			}
			if m := channelLine.FindSubmatch(data); m != nil {
				return string(m[1]), name
			}
			if text := strings.TrimSpace(string(data)); name == "rust-toolchain" && text != "" && !strings.ContainsAny(text, "\n[=") {
				return text, name
			}
			return "", name
		}
		if dir == filepath.Dir(dir) {
			return "", ""
		}
	}
}

// rustToolchain checks that rustup has the toolchain; ok is false where it does
// not.
func (d *Doctor) rustToolchain(ctx context.Context, b Build, channel, by string) (c Check, ok bool) {
	if channel == "" {
		return c, true
	}
	a := d.ask(ctx, b.Env, "rustup", "toolchain", "list")
	if a.state != StateOK {
		return c, true // a Rust without rustup does not read the file
	}
	for line := range strings.Lines(a.out) {
		name, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		if name == channel || strings.HasPrefix(name, channel+"-") {
			return c, true
		}
	}
	c = Check{Name: "rust toolchain", State: StateMissing, Path: a.path, Needed: channel, By: by, Detail: "cargo and rustc can be looked at when it is installed"}
	c.Get = advice(known.Tools[c.Name].Get, d.Host, b.Env, channel)
	if proc.Getenv(b.Env, "RUSTUP_AUTO_INSTALL") == "0" {
		c.Blocks = true
		return c, false
	}
	c.Detail = "rustup installs it at its first use; " + c.Detail
	return c, false
}

// cargoPackage is what `cargo metadata` tells of a package.
type cargoPackage struct {
	Name        string `json:"name"`
	Version     string `json:"version"`
	RustVersion string `json:"rust_version"`
}

// workspace checks that Cargo reads the checkout and finds the packages there,
// and returns the newest rust-version that they ask for.
func (d *Doctor) workspace(ctx context.Context, b Build) (c Check, minimum string) {
	c = Check{Name: "source", Path: d.Dir}
	bad := func(state State, format string, args ...any) (Check, string) {
		c.State, c.Detail, c.Blocks = state, fmt.Sprintf(format, args...), true
		c.Get = advice(known.Tools[c.Name].Get, d.Host, b.Env, "")
		return c, ""
	}
	if _, err := os.Stat(d.Dir); errors.Is(err, os.ErrNotExist) {
		return bad(StateMissing, "there is no checkout at %s", d.Dir)
	}
	if a := d.ask(ctx, b.Env, "cargo", known.Tools["cargo"].Args...); a.state != StateOK {
		c.State, c.Detail = StateUnknown, "only cargo can read it"
		return c, ""
	}
	a := d.ask(ctx, b.Env, "cargo", "metadata", "--no-deps", "--format-version", "1")
	if a.state != StateOK {
		return bad(a.state, "%s", a.detail)
	}
	var meta struct {
		Packages []cargoPackage `json:"packages"`
	}
	if err := json.Unmarshal([]byte(a.out), &meta); err != nil {
		return bad(StateFailed, "cargo metadata in %s: %v", d.Dir, err)
	}
	var newest Version
	for _, name := range b.Packages {
		i := slices.IndexFunc(meta.Packages, func(p cargoPackage) bool { return p.Name == name })
		if i < 0 {
			return bad(StateFailed, "the Cargo workspace %s has no package %q", d.Dir, name)
		}
		p := meta.Packages[i]
		if v, ok := ParseVersion(p.RustVersion); ok && v.Compare(newest) > 0 {
			newest = v
		}
		if c.Found == "" {
			c.Found = p.Name + " " + p.Version
		}
	}
	c.State = StateOK
	return c, newest.Text
}

// rustTarget checks that rustc has the standard library of the target.
func (d *Doctor) rustTarget(ctx context.Context, b Build) Check {
	c := Check{Name: "rust target", Needed: b.Row.Triple}
	a := d.ask(ctx, b.Env, rustcName(b.Env), "--print", "sysroot")
	if a.state != StateOK {
		c.State, c.Detail = StateUnknown, "only rustc can tell"
		return c
	}
	sysroot := strings.TrimSpace(a.out)
	c.Path = filepath.Join(sysroot, "lib", "rustlib", b.Row.Triple)
	if asked, can := buildsStd(b.Env, sysroot); can {
		c.State, c.Found = StateOK, "built from source (build-std)"
		return c
	} else if asked {
		c.State, c.Blocks = StateMissing, true
		c.Detail = "CARGO_UNSTABLE_BUILD_STD has Cargo build the standard library, and " + filepath.Join(sysroot, "lib", "rustlib", "src") + " has no source of it"
		c.Get = advice(known.Tools["rust source"].Get, d.Host, b.Env, b.Row.Triple)
		return c
	}
	if _, err := os.Stat(filepath.Join(c.Path, "lib")); err != nil {
		c.State, c.Blocks = StateMissing, true
		c.Get = advice(known.Tools[c.Name].Get, d.Host, b.Env, b.Row.Triple)
		return c
	}
	c.State, c.Found = StateOK, "installed"
	return c
}

// otherLinker tells whether something may name another linker than cc: flags,
// a variable, or a configuration file of Cargo ("Configuration", The Cargo
// Book).
func (d *Doctor) otherLinker(b Build) bool {
	named := func(words []string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(strings.ToLower(w), "linker") })
	}
	if named(b.Row.Rustflags) || slices.ContainsFunc(b.Env, func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		return strings.HasPrefix(name, "CARGO_TARGET_") && strings.HasSuffix(name, "_LINKER")
	}) {
		return true
	}
	homes := []string{proc.Getenv(b.Env, "CARGO_HOME"), filepath.Join(proc.Getenv(b.Env, "HOME"), ".cargo")}
	for dir := d.Dir; ; dir = filepath.Dir(dir) {
		homes = append(homes, filepath.Join(dir, ".cargo"))
		if dir == filepath.Dir(dir) {
			break
		}
	}
	for _, home := range homes {
		for _, name := range []string{"config.toml", "config"} {
			data, err := os.ReadFile(filepath.Join(home, name))
			if home != "" && err == nil && named([]string{string(data)}) {
				return true
			}
		}
	}
	return false
}
