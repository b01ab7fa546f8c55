package pipeline

import (
	"fmt"
	"strings"

	"github.com/relmat/relmat/internal/matrix"
	"github.com/relmat/relmat/internal/proc"
	"github.com/relmat/relmat/internal/sign"
	"github.com/relmat/relmat/internal/toolchain"
)

// checkSign tells whether this host can sign the target's programs. It never
// blocks the build, which needs no signature.
func (s *Session) checkSign(row matrix.Row) []toolchain.Check {
	if !row.Sign.Signs() {
		return nil
	}
	c := toolchain.Check{Name: "signing", State: toolchain.StateOK, Found: row.Sign.Tool, By: "sign.tool"}
	path, err := sign.Find(row.Sign, s.Env)
	if err != nil {
		c.State, c.Found, c.Detail, c.Get = toolchain.StateMissing, "", "a release needs it: "+err.Error(), sign.Get(row.Sign.Tool, matrix.Host().OS)
		return []toolchain.Check{c}
	}
	c.Path = path
	var unset []string
	for _, name := range row.Sign.SecretVariables() {
		if proc.Getenv(s.Env, name) == "" {
			unset = append(unset, name)
		}
	}
	if len(unset) > 0 {
		c.Detail = fmt.Sprintf("a release also needs %s, which this environment does not set", strings.Join(unset, ", "))
	}
	return []toolchain.Check{c}
}
