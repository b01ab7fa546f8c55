package sign

import (
	"context"
	"strings"
)

// jsign signs with keystores of files, tokens and clouds, Azure Trusted Signing
// among them (https://ebourg.github.io/jsign, 7.1). It reads its password, or a
// service's access token, from the environment.
type jsign struct{ t *Tool }

var _ Signer = jsign{}

func newJsign(t *Tool) Signer { return jsign{t} }

// call is its command line: a program, or a .jar for java.
func (s jsign) call(args ...string) call {
	if strings.HasSuffix(s.t.program, ".jar") {
		return call{program: "java", args: append([]string{"-jar", s.t.program}, args...)}
	}
	return call{program: s.t.program, args: args}
}

func (s jsign) Sign(ctx context.Context, file string) error {
	sign := s.t.o.Sign
	args := []string{"sign", "--keystore", s.t.keystore, "--storetype", "PKCS12", "--alg", "SHA-256"}
	if sign.StoreType != "" {
		args[4] = sign.StoreType
	}
	if s.t.password != "" {
		args = append(args, "--storepass", "env:"+PasswordVariable)
	}
	if sign.Alias != "" {
		args = append(args, "--alias", sign.Alias)
	}
	if sign.Chain != "" {
		args = append(args, "--certfile", s.t.path(sign.Chain))
	}
	c := s.call(append(args, file)...)
	c.password = s.t.password != ""
	_, err := s.t.run(ctx, c)
	return err
}

func (s jsign) Stamp(ctx context.Context, file, server string) error {
	// --replace: some services' signatures come with a stamp already.
	c := s.call("timestamp", "--tsaurl", server, "--tsmode", "RFC3161", "--tsretries", "0", "--replace", file)
	c.limit = stampLimit
	_, err := s.t.run(ctx, c)
	return err
}
