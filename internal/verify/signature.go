package verify

import (
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/relmat/relmat/internal/manifest"
	"github.com/relmat/relmat/internal/matrix"
	"github.com/relmat/relmat/internal/objfile"
)

// signature finds files without the signature that they had, that their system
// wants, or that the matrix promises.
func signature(s *subject) []Finding {
	return append(lostSignatures(s), ownSignatures(s)...)
}

// lostSignatures finds files without the signature that they had, or that their
// system wants.
func lostSignatures(s *subject) []Finding {
	var out []Finding
	for _, e := range s.entries {
		for _, n := range e.slices {
			switch {
			case n.Format == objfile.PE && e.vendor != nil && vendorData.Vendors[e.vendor.Vendor].Signed && n.Signature.Kind != "authenticode" && n.Kind == objfile.Library:
				if s.o.Vendor != nil {
					if _, same := s.o.Vendor(e.SHA256); same {
						continue // it came without
					}
				}
				out = append(out, Finding{
					File:    e.Path,
					Message: fmt.Sprintf("has no Authenticode signature, and %s signs this library: it was changed after it was signed", e.vendor.who),
					Hint:    "take the file as its wheel has it; tools that write into a DLL drop its signature",
				})
			case n.Format == objfile.MachO && (n.Machine == "aarch64" || n.Machine == "arm64e") && n.loads() && n.Signature.Kind == "none":
				out = append(out, Finding{
					File:    e.Path,
					Message: fmt.Sprintf("has no code signature for %s, without which macOS does not start it on Apple silicon", n.Machine),
					Hint:    "sign it at least ad hoc (codesign -s -, rcodesign sign); a tool that changes a file must sign it anew",
				})
			}
		}
	}
	return out
}

// ownSignatures holds the signatures of the project's own files against what
// the matrix promises, and against what the manifest says of them. Unlike
// others they are verified: their digest, the key's signature, the time stamp,
// and the roots where the matrix names some.
func ownSignatures(s *subject) []Finding {
	var out []Finding
	var promised matrix.Sign
	if s.o.Target != nil {
		promised = s.o.Target.Row.Sign
	}
	unsigned := false
	for _, e := range s.entries {
		unsigned = unsigned || e.isBuild() && len(e.slices) > 0 && e.slices[0].Kind == objfile.Executable && e.slices[0].Signature.Kind == "none"
		if !e.ownProgram(promised) {
			continue
		}
		said := ""
		if e.listed != nil {
			said = e.listed.Signed
		}
		must := promised.Signs() && !promised.Excepted(e.Path)
		if !must && said == "" {
			continue
		}
		if message, hint := s.misSigned(e, promised, said); message != "" {
			out = append(out, Finding{File: e.Path, Message: message, Hint: hint})
		}
	}
	if unsigned && s.o.Target != nil && promised.Tool == "" && s.platform.OS == "windows" {
		out = append(out, Finding{
			Severity: warning,
			Message:  "the programs for Windows are not signed, and the matrix does not say whether they shall be: SmartScreen warns those who run them",
			Hint:     "sign: {tool: ..., ...} in the target or in systems.windows signs them; sign: {tool: none, reason: ...} says that it is meant so (docs/windows-signing.md)",
		})
	}
	return out
}

// ownProgram tells whether a file is a program or library of the project's own,
// of a system whose files relmat signs.
func (e *entry) ownProgram(promised matrix.Sign) bool {
	if len(e.slices) == 0 || !e.isBuild() {
		return false
	}
	if e.listed != nil && e.listed.Signed == "" && (e.listed.Origin == manifest.Source || e.listed.Origin == manifest.Prebuilt && !promised.SignsPrebuilt()) {
		return false
	}
	for _, n := range e.slices {
		if n.Format != objfile.PE && n.Format != objfile.MachO || !n.loads() {
			return false
		}
		// What lay in an OUT_DIR with a signature is somebody else's, see sign.Own.
		if e.listed != nil && e.listed.Signed == "" && e.listed.InOutDir() && n.Signature.Identified() {
			return false
		}
	}
	return true
}

const signAnew = "make the package anew with relmat, and change nothing in it afterwards"

// misSigned says what is wrong with the signature of a file that must have one;
// said is who signed it by the manifest.
func (s *subject) misSigned(e *entry, promised matrix.Sign, said string) (message, hint string) {
	who := fmt.Sprintf("the matrix promises one of %s", promised.Tool)
	if said != "" {
		who = fmt.Sprintf("the manifest says that %s signed it", text(said))
	}
	if e.slices[0].Format == objfile.MachO {
		for _, n := range e.slices {
			if n.Signature.Kind != "identity" {
				return fmt.Sprintf("has no signature of an identity for %s, and %s", n.Machine, who), signAnew
			}
		}
		return "", ""
	}
	a, err := objfile.OpenAuthenticode(e.disk)
	switch {
	case errors.Is(err, objfile.ErrUnsigned):
		return "has no Authenticode signature, and " + who, signAnew
	case err != nil:
		return "has a signature that is not right: " + firstLine(err.Error()), signAnew
	case a.Strong() != nil:
		return "has a weak signature: " + firstLine(a.Strong().Error()), signAnew
	case a.Time.IsZero() && promised.Stamped():
		return "has a signature without a time stamp, which ends with its certificate on " + a.Signer.NotAfter.UTC().Format(time.DateOnly), signAnew
	case said != "" && objfile.NameOf(a.Signer) != said:
		return fmt.Sprintf("is signed by %s, and %s", text(objfile.NameOf(a.Signer)), who), signAnew
	}
	now := time.Now()
	if err := a.Valid(now); err != nil {
		return "has a signature that is not valid: " + firstLine(err.Error()), "sign with a certificate for code that is valid, and with a time stamp"
	}
	if s.o.Target == nil || len(s.o.Target.Roots) == 0 {
		return "", ""
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(s.o.Target.Roots)
	if err := a.Trusted(roots, now); err != nil {
		return "has a signature that sign.trust does not lead to: " + firstLine(err.Error()), "sign with a certificate of these roots, or name others in sign.trust"
	}
	return "", ""
}
