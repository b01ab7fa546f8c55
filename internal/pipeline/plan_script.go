package pipeline

import (
	"fmt"
	"strings"

	"github.com/relmat/relmat/internal/proc"
)

// Script is the plan's build as a shell runs it on one of its hosts: a POSIX
// shell's, or PowerShell for a Windows host. matrixPath is the targets.yaml of
// `relmat toolkit fetch`.
func (p TargetPlan) Script(host HostPlan, matrixPath string) []string {
	var sh shell = posix{}
	if strings.HasPrefix(host.Platform, "windows-") {
		sh = powershell{}
	}
	var lines []string
	if p.Toolkit != "" {
		fetch := []string{"relmat", "--config", matrixPath, "toolkit", "fetch", p.Toolkit}
		lines = append(lines, sh.capture("CUDA_HOME", fetch), sh.path())
		if p.Platform != host.Platform {
			lines = append(lines, sh.keep(targetHome, append(fetch, "--platform", p.Platform)))
		}
	}
	lines = append(lines, sh.command([]string{"cd", p.Dir}))
	for _, v := range host.Env {
		if v.Name != "CUDA_HOME" {
			lines = append(lines, sh.set(v.Name, v.Value))
		}
	}
	if len(host.Found) > 0 {
		lines = append(lines, "# and, to what relmat finds there: "+strings.Join(host.Found, ", "))
	}
	if len(p.CompilerCache) > 0 {
		// A comment in every shell: on a host without it the build would fail.
		lines = append(lines, "# where "+p.CompilerCache[0].Value+" is installed, too:")
		for _, v := range p.CompilerCache {
			lines = append(lines, "# "+sh.set(v.Name, v.Value))
		}
	}
	for _, b := range host.Build {
		lines = append(lines, sh.command(b.Command))
	}
	return lines
}

// targetHome is the shell's own variable for FromTargetToolkit, which no
// command sees.
const targetHome = "target_toolkit"

// shell spells commands for people to paste.
type shell interface {
	set(name, value string) string
	// capture sets the variable to what a command prints, keep one of the shell
	// alone; path puts the bin of CUDA_HOME first in PATH.
	capture(name string, words []string) string
	keep(name string, words []string) string
	path() string
	command(words []string) string
}

// unitSeparator stands between the flags of CARGO_ENCODED_RUSTFLAGS.
const unitSeparator = "\x1f"

// placeholders are the variables of a script in which it has what a plan does
// not know.
var placeholders = map[string]string{FromToolkit: "CUDA_HOME", FromTargetToolkit: targetHome}

type posix struct{}

func (posix) quote(word string) string {
	for from, name := range placeholders {
		if before, after, ok := strings.Cut(word, from); ok {
			return before + `"$` + name + `"` + quoteRest(after)
		}
	}
	return proc.Quote(word)
}

func (s posix) set(name, value string) string {
	if strings.Contains(value, unitSeparator) {
		// %b and not a format of its own: that would be an option if it began
		// with '-'.
		text := strings.NewReplacer(unitSeparator, `\0037`, `\`, `\\`).Replace(value)
		return fmt.Sprintf(`export %s="$(printf %%b %s)"`, name, proc.Quote(text))
	}
	return "export " + name + "=" + s.quote(value)
}

func (s posix) capture(name string, words []string) string {
	return fmt.Sprintf(`export %s="$(%s)"`, name, s.command(words))
}

func (s posix) keep(name string, words []string) string {
	return fmt.Sprintf(`%s="$(%s)"`, name, s.command(words))
}

func (posix) path() string { return `export PATH="$CUDA_HOME/bin:$PATH"` }

func (s posix) command(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = s.quote(w)
	}
	return strings.Join(quoted, " ")
}

type powershell struct{}

func (powershell) quote(word string) string {
	for from, name := range placeholders {
		if before, after, ok := strings.Cut(word, from); ok {
			if name != targetHome {
				name = "env:" + name
			}
			// In double quotes a variable is expanded.
			return `"` + before + "${" + name + "}" + after + `"`
		}
	}
	return quotePowerShell(word)
}

func (s powershell) set(name, value string) string {
	if parts := strings.Split(value, unitSeparator); len(parts) > 1 {
		for i := range parts {
			parts[i] = "'" + strings.ReplaceAll(parts[i], "'", "''") + "'"
		}
		return fmt.Sprintf("$env:%s = %s -join [char]31", name, strings.Join(parts, ", "))
	}
	q := s.quote(value)
	if !strings.HasPrefix(q, "'") && !strings.HasPrefix(q, `"`) {
		q = "'" + q + "'" // a bare word would be a command
	}
	return "$env:" + name + " = " + q
}

func (s powershell) capture(name string, words []string) string {
	return "$env:" + name + " = " + s.command(words)
}

func (s powershell) keep(name string, words []string) string {
	return "$" + name + " = " + s.command(words)
}

func (powershell) path() string { return `$env:PATH = "${env:CUDA_HOME}\bin;${env:PATH}"` }

func (s powershell) command(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = s.quote(w)
	}
	return strings.Join(quoted, " ")
}

// quoteRest is proc.Quote for the end of a word, which may be empty.
func quoteRest(word string) string {
	if word == "" {
		return ""
	}
	return proc.Quote(word)
}

// quotePowerShell spells a word for PowerShell ("about_Quoting_Rules").
func quotePowerShell(word string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_=+:./\\", r)
	}
	if word != "" && word != "--" && strings.IndexFunc(word, func(r rune) bool { return !plain(r) }) < 0 {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", "''") + "'"
}
