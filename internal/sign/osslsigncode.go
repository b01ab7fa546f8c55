package sign

import "context"

// osslsigncode signs with a PKCS #12 file (https://github.com/mtrojnar/osslsigncode,
// 2.9). Its password comes by its standard input.
type osslsigncode struct{ t *Tool }

var (
	_ Signer   = osslsigncode{}
	_ verifier = osslsigncode{}
)

func newOsslsigncode(t *Tool) Signer { return osslsigncode{t} }

func (s osslsigncode) Sign(ctx context.Context, file string) error {
	return inPlace(file, func(out string) error {
		args := []string{"sign", "-pkcs12", s.t.keystore, "-readpass", "-", "-h", "sha256"}
		if chain := s.t.o.Sign.Chain; chain != "" {
			args = append(args, "-ac", s.t.path(chain))
		}
		_, err := s.t.run(ctx, call{program: s.t.program, args: append(args, "-in", file, "-out", out), stdin: true})
		return err
	})
}

func (s osslsigncode) Stamp(ctx context.Context, file, server string) error {
	return inPlace(file, func(out string) error {
		_, err := s.t.run(ctx, call{program: s.t.program, args: []string{"add", "-ts", server, "-h", "sha256", "-in", file, "-out", out}, limit: stampLimit})
		return err
	})
}

// Verify asks it of the roots of sign.trust. Without them its own would be
// those of web servers, to which few certificates for code go back.
func (s osslsigncode) Verify(ctx context.Context, file string) error {
	trust := s.t.o.Sign.Trust
	if trust == "" {
		return nil
	}
	roots := s.t.path(trust)
	_, err := s.t.run(ctx, call{program: s.t.program, args: []string{"verify", "-CAfile", roots, "-TSA-CAfile", roots, "-ignore-cdp", "-in", file}})
	return err
}
