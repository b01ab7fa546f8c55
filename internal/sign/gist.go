package sign

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/relmat/relmat/internal/proc"
)

// toolError says in one line what a tool said in many.
type toolError struct {
	gist string
	err  *proc.Error
}

func (e *toolError) Error() string {
	return fmt.Sprintf("%s (%v)\ncommand: %s", e.gist, e.err.Err, e.err.Command)
}

func (e *toolError) Unwrap() error { return e.err }

// maxGist is how many lines of a tool are told.
const maxGist = 5

var (
	telling = regexp.MustCompile(`(?i)fail|error|exception|refused|denied|password|unable|unknown|invalid|cannot|can't|no such|not found|expired|timed out|wrong`)
	// noise are lines of a stack trace, of OpenSSL's error queue beyond its
	// reason, and of advice about options.
	noise   = regexp.MustCompile(`^(at |\.\.\. \d+ more|Failed$|Use the "|Try \x60)`)
	queue   = regexp.MustCompile(`^[0-9A-F]+:error:[0-9A-F]*:([^:]*):[^:]*:([^:]*):.*`)
	opening = regexp.MustCompile(`^(Exception in thread "[^"]*" |Caused by: |Suppressed: )`)
	classes = regexp.MustCompile(`\b(?:[a-z][a-z0-9]*\.)+([A-Z]\w*)`)
)

// gistOf picks the lines by which people see what went wrong.
func gistOf(out string) string {
	var told, rest []string
	add := func(list *[]string, line string) {
		for _, have := range *list {
			if have == line {
				return
			}
		}
		*list = append(*list, line)
	}
	for _, line := range strings.Split(out, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || noise.MatchString(line) {
			continue
		}
		if m := queue.FindStringSubmatch(line); m != nil {
			line = m[1] + ": " + m[2]
		}
		line = classes.ReplaceAllString(opening.ReplaceAllString(line, ""), "$1")
		if telling.MatchString(line) {
			add(&told, line)
		} else {
			add(&rest, line)
		}
	}
	switch {
	case len(told) > 0:
		return strings.Join(told[:min(len(told), maxGist)], "; ")
	case len(rest) > 0:
		return rest[len(rest)-1]
	}
	return "it said nothing"
}

// gist is what went wrong, in one line.
func gist(err error) string {
	var failed *toolError
	if errors.As(err, &failed) {
		return fmt.Sprintf("%s (%v)", failed.gist, failed.err.Err)
	}
	return err.Error()
}
