package build

import (
	"fmt"
	"slices"
	"strings"

	"github.com/relmat/relmat/internal/objfile"
	"github.com/relmat/relmat/internal/toolchain"
)

// checkDelayLoad holds a program against what its build was told to load with
// delay: what it imports otherwise Windows looks for beside the program alone,
// and without it the program does not even say its version.
func checkDelayLoad(program string, list []toolchain.DelayLoad) error {
	if len(list) == 0 {
		return nil
	}
	objects, err := objfile.Open(program)
	if err != nil {
		return err
	}
	var ordinary []string
	for _, o := range objects {
		for _, n := range o.Needs {
			if slices.ContainsFunc(list, func(d toolchain.DelayLoad) bool { return strings.EqualFold(d.Name, n.Name) }) {
				ordinary = append(ordinary, n.Name)
			}
		}
	}
	if len(ordinary) == 0 {
		return nil
	}
	return fmt.Errorf("%s imports %s when it starts, and not with delay as %s asks; let the build script of the program's own package print cargo:rustc-link-arg-bins=/DELAYLOAD:NAME for each, and delayimp.lib: Cargo drops what a dependency's prints",
		program, strings.Join(ordinary, ", "), toolchain.DelayLoadVariable)
}
