package matrix

import "strings"

// A substitute is a target as a host builds it for another triple than the one
// that is released: a Windows program by MinGW on Linux. It runs on the same
// platform and serves for tests. It has names of its own, and no release takes
// it for the target.

// IsSubstitute tells whether the row, as On made it, is a substitute.
func (r Row) IsSubstitute() bool { return r.released != "" }

// Released is the triple of what is released of the target.
func (r Row) Released() string {
	if r.released != "" {
		return r.released
	}
	return r.Triple
}

// Suffix is what the names of a substitute's assets have besides: the part of
// its triple in which it differs, such as "-gnu". It is empty for all others.
func (r Row) Suffix() string {
	if !r.IsSubstitute() {
		return ""
	}
	own, released := strings.Split(r.Triple, "-"), strings.Split(r.released, "-")
	for len(own) > 1 && len(released) > 0 && own[0] == released[0] {
		own, released = own[1:], released[1:]
	}
	return "-" + strings.Join(own, "-")
}

// substituteReason says why a row is left out where nobody named it.
func substituteReason(r Row, host Platform) string {
	return "a " + host.String() + " host can build it for " + r.Triple + " only, which is for tests: name it to do so"
}
