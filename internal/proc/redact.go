package proc

import (
	"regexp"
	"slices"
	"strings"
)

// minSecret keeps short values, which occur in ordinary text, from being
// blotted out everywhere.
const minSecret = 6

// secretName matches names of environment variables that hold credentials.
var secretName = regexp.MustCompile(`(?i)(TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIAL|PRIVATE_KEY|API_KEY|_P12|_P8)`)

// Secrets returns the values of the variables of env whose names say that they
// are credentials.
func Secrets(env []string) []string {
	var values []string
	for _, kv := range env {
		if k, v, ok := strings.Cut(kv, "="); ok && secretName.MatchString(k) {
			values = append(values, v)
		}
	}
	return values
}

// Redactor blots secrets out of text.
type Redactor struct{ r *strings.Replacer }

// NewRedactor makes a Redactor for the given values and their lines.
func NewRedactor(secrets []string) Redactor {
	var found []string
	for _, s := range secrets {
		for _, line := range strings.Split(s, "\n") {
			if line = strings.TrimSpace(line); len(line) >= minSecret {
				found = append(found, line)
			}
		}
	}
	if len(found) == 0 {
		return Redactor{}
	}
	// The longest first: of a secret that begins another no rest may stay.
	slices.SortFunc(found, func(a, b string) int { return len(b) - len(a) })
	pairs := make([]string, 0, 2*len(found))
	for _, s := range found {
		pairs = append(pairs, s, "***")
	}
	return Redactor{strings.NewReplacer(pairs...)}
}

// String returns s without the secrets.
func (r Redactor) String(s string) string {
	if r.r == nil {
		return s
	}
	// Once more until nothing is found: what is left may join to a secret. Each
	// turn makes s shorter.
	for {
		t := r.r.Replace(s)
		if t == s {
			return s
		}
		s = t
	}
}
