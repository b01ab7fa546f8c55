package toolchain

import (
	"runtime"
	"slices"
	"strings"
)

// sameName tells whether two names are of one variable; Windows knows no case.
func sameName(a, b string) bool {
	return a == b || runtime.GOOS == "windows" && strings.EqualFold(a, b)
}

// setenv sets a variable where it stands in env, or adds it; no name stands
// twice then. env itself is not changed.
func setenv(env []string, name, value string) []string {
	env = slices.DeleteFunc(slices.Clone(env), func(kv string) bool {
		k, _, ok := strings.Cut(kv, "=")
		return ok && sameName(k, name)
	})
	return append(env, name+"="+value)
}
