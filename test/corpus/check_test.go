package corpus

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// check compares what relmat says of one file with what another tool says, and
// counts.
type check struct {
	t    testing.TB
	path string
	// name is the path below the wheel.
	name   string
	fields map[string]int
	// told are the fields of which a tool has said something: not empty, not
	// zero, not false.
	told map[string]bool
	// notes are what ours knows and no tool says of the file as it is.
	notes []string
}

// maxLines bounds what a difference of lists shows.
const maxLines = 8

// same compares one field; tool is whose answer want is.
func (c *check) same(tool, field string, got, want any) {
	c.t.Helper()
	c.fields[tool]++
	if want != nil && !reflect.ValueOf(want).IsZero() {
		c.told[field] = true
	}
	if g, w := show(got), show(want); g != w {
		c.t.Errorf("%s: %s is %s, %s says %s", c.name, field, g, tool, w)
	}
}

// list compares two lists, item by item.
func (c *check) list(tool, field string, got, want []string) {
	c.t.Helper()
	c.fields[tool] += max(1, len(want))
	if len(want) > 0 {
		c.told[field] = true
	}
	c.equal(tool, field, got, want)
}

// equal is list for what no other tool tells: it counts nothing. It shows where
// the lists part.
func (c *check) equal(other, field string, got, want []string) {
	c.t.Helper()
	if slices.Equal(got, want) {
		return
	}
	i := 0
	for i < len(got) && i < len(want) && got[i] == want[i] {
		i++
	}
	part := func(s []string) string {
		return strings.Join(s[i:min(len(s), i+maxLines)], "\n\t")
	}
	c.failf("%s: %d items, %s has %d; from item %d on\n\t%s\n%s:\n\t%s", field, len(got), other, len(want), i, part(got), other, part(want))
}

func (c *check) failf(format string, args ...any) {
	c.t.Helper()
	c.t.Errorf(c.name+": "+format, args...)
}

// show writes a value so that an absent list and an empty one look alike.
func show(v any) string { return fmt.Sprintf("%q", fmt.Sprint(v)) }
