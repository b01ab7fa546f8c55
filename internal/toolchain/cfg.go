package toolchain

import (
	"slices"
	"strings"
)

// What conditional compilation knows of a platform ("Set Configuration Options",
// The Rust Reference), as far as conditions on dependencies ask for it.
var (
	unixSets = [][]string{
		{"unix", `target_family="unix"`, `target_os="linux"`, `target_env="gnu"`},
		{"unix", `target_family="unix"`, `target_os="macos"`, `target_vendor="apple"`},
	}
	windowsSets = [][]string{
		{"windows", `target_family="windows"`, `target_os="windows"`, `target_env="msvc"`},
		{"windows", `target_family="windows"`, `target_os="windows"`, `target_env="gnu"`},
	}
	architectures = []string{"x86_64", "aarch64"}
)

// unixOnly tells whether a condition of Cargo, cfg(...) or a triple, holds on some
// Unix and on no Windows.
func unixOnly(condition string) bool {
	inner, isCfg := strings.CutPrefix(condition, "cfg(")
	if !isCfg {
		return strings.Contains(condition, "-linux-") || strings.Contains(condition, "-apple-")
	}
	inner = strings.TrimSuffix(inner, ")")
	holds := func(sets [][]string) bool {
		return slices.ContainsFunc(sets, func(set []string) bool {
			return slices.ContainsFunc(architectures, func(arch string) bool {
				p := cfgParser{rest: inner, set: append(slices.Clone(set), `target_arch="`+arch+`"`, `target_pointer_width="64"`, `target_endian="little"`)}
				return p.expr(0) && strings.TrimSpace(p.rest) == ""
			})
		})
	}
	return holds(unixSets) && !holds(windowsSets)
}

// cfgParser evaluates a condition: NAME, NAME = "VALUE", any(...), all(...),
// not(...).
type cfgParser struct {
	rest string
	set  []string
}

// maxDepth is far beyond what people write.
const maxDepth = 64

func (p *cfgParser) expr(depth int) bool {
	if depth > maxDepth {
		p.rest = "?"
		return false
	}
	word := p.word()
	if !p.eat("(") {
		if p.eat("=") {
			p.rest = strings.TrimLeft(p.rest, " \t")
			value, rest, ok := strings.Cut(strings.TrimPrefix(p.rest, `"`), `"`)
			if !ok {
				p.rest = "?"
				return false
			}
			word, p.rest = word+`="`+value+`"`, rest
		}
		return slices.Contains(p.set, word)
	}
	var values []bool
	for !p.eat(")") {
		before := p.rest
		values = append(values, p.expr(depth+1))
		p.eat(",")
		if p.rest == before || p.rest == "" {
			p.rest = "?" // no condition
			return false
		}
		if p.eat(")") {
			break
		}
	}
	switch word {
	case "any":
		return slices.Contains(values, true)
	case "all":
		return !slices.Contains(values, false)
	case "not":
		return len(values) == 1 && !values[0]
	}
	p.rest = "?"
	return false
}

func (p *cfgParser) word() string {
	p.rest = strings.TrimLeft(p.rest, " \t")
	n := strings.IndexFunc(p.rest, func(r rune) bool {
		return r != '_' && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9')
	})
	if n < 0 {
		n = len(p.rest)
	}
	word := p.rest[:n]
	p.rest = p.rest[n:]
	return word
}

func (p *cfgParser) eat(sign string) bool {
	rest, ok := strings.CutPrefix(strings.TrimLeft(p.rest, " \t"), sign)
	if ok {
		p.rest = rest
	}
	return ok
}
