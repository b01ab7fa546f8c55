package objfile

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	_ "crypto/sha1" // hashes of signatures
	_ "crypto/sha256"
	_ "crypto/sha512"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
)

// Object identifiers of what is signed, and how.
var (
	oidMessageDigest = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}
	oidRSAPSS        = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 10}
	oidHashes        = map[string]crypto.Hash{
		"1.3.14.3.2.26":          crypto.SHA1,
		"2.16.840.1.101.3.4.2.1": crypto.SHA256,
		"2.16.840.1.101.3.4.2.2": crypto.SHA384,
		"2.16.840.1.101.3.4.2.3": crypto.SHA512,
	}
)

// cmsSigned is a SignedData message (RFC 5652, section 5) whose signature is
// right: the certificate's key has signed the content.
type cmsSigned struct {
	kind         asn1.ObjectIdentifier // of the content
	content      []byte                // of the content's one element
	hash         crypto.Hash           // by which content and attributes are digested
	certificate  *x509.Certificate
	certificates []*x509.Certificate
	signature    []byte
	unsigned     []cmsAttribute
}

type cmsAttribute struct {
	kind   asn1.ObjectIdentifier
	values []berElement
}

// verifyCMS checks the first signer's signature of a message in DER. Whether
// the certificate is to be trusted is not asked.
func verifyCMS(message []byte) (*cmsSigned, error) {
	content, certificates, signers, err := openSignedData(message)
	if err != nil {
		return nil, err
	}
	s := &cmsSigned{}
	if err := s.readContent(content); err != nil {
		return nil, err
	}
	for _, c := range certificates {
		if parsed, err := x509.ParseCertificate(c.raw); err == nil {
			s.certificates = append(s.certificates, parsed)
		}
	}
	return s, s.verifySigner(signers[0], certificates)
}

// readContent takes the encapContentInfo apart.
func (s *cmsSigned) readContent(e berElement) error {
	kind, rest, err := berOne(e.content, berOID)
	if err != nil {
		return err
	}
	if _, err := asn1.Unmarshal(kind.raw, &s.kind); err != nil {
		return err
	}
	explicit, _, err := berOne(rest, berContext)
	if err != nil {
		return fmt.Errorf("it has no content: %w", err)
	}
	all, err := berAll(explicit.content)
	if err != nil || len(all) != 1 {
		return errors.New("its content is damaged")
	}
	s.content = all[0].content
	return nil
}

// verifySigner holds a SignerInfo against the content and its certificate.
func (s *cmsSigned) verifySigner(info berElement, certificates []berElement) error {
	fields, err := berAll(info.content)
	if err != nil {
		return err
	}
	if len(fields) < 5 {
		return errors.New("the signer's entry is damaged")
	}
	cert, err := findSigner(fields[1], certificates)
	if err != nil {
		return err
	}
	if s.certificate, err = x509.ParseCertificate(cert.raw); err != nil {
		return fmt.Errorf("the signer's certificate: %w", err)
	}
	if s.hash, err = hashOf(fields[2]); err != nil {
		return err
	}
	if fields[3].tag != berContext {
		return errors.New("the signer's entry has no signed attributes")
	}
	attributes, err := cmsAttributes(fields[3])
	if err != nil {
		return err
	}
	algorithm, rest := fields[4], fields[5:]
	if len(rest) == 0 || rest[0].tag != berOctets {
		return errors.New("the signer's entry has no signature")
	}
	s.signature = rest[0].content
	h := s.hash.New()
	h.Write(s.content)
	if digest := octetsOf(attributes, oidMessageDigest); !bytes.Equal(digest, h.Sum(nil)) {
		return errors.New("what is signed is not what it holds: the digests differ")
	}
	// The attributes are signed as the set that they are, not with the tag under
	// which they stand (RFC 5652, section 5.4).
	set := bytes.Clone(fields[3].raw)
	set[0] = berSet | 0x20
	if err := checkSignature(s.certificate, algorithm, s.hash, set, s.signature); err != nil {
		return fmt.Errorf("the signature is not that of its certificate: %w", err)
	}
	for _, f := range rest[1:] {
		if f.tag == berContext|1 {
			s.unsigned, err = cmsAttributes(f)
		}
	}
	return err
}

// findSigner is signerName's certificate itself.
func findSigner(id berElement, certificates []berElement) (berElement, error) {
	for _, c := range certificates {
		if c.tag != berSequence {
			continue
		}
		cert, err := readCertificate(c)
		if err != nil {
			return c, err
		}
		switch id.tag {
		case berContext:
			if len(cert.keyID) > 0 && bytes.Equal(cert.keyID, id.content) {
				return c, nil
			}
		case berSequence:
			issuer, rest, err := berOne(id.content, berSequence)
			if err != nil {
				return c, err
			}
			serial, _, err := berOne(rest, berInteger)
			if err != nil {
				return c, err
			}
			if bytes.Equal(cert.issuer.raw, issuer.raw) && bytes.Equal(cert.serial, serial.content) {
				return c, nil
			}
		}
	}
	return berElement{}, errors.New("the signer's certificate is not with it")
}

func hashOf(algorithm berElement) (crypto.Hash, error) {
	var id asn1.ObjectIdentifier
	if _, err := asn1.Unmarshal(algorithm.content, &id); err != nil {
		return 0, fmt.Errorf("the name of the digest: %w", err)
	}
	h, ok := oidHashes[id.String()]
	if !ok {
		return 0, fmt.Errorf("digest %s is not known", id)
	}
	return h, nil
}

func cmsAttributes(e berElement) ([]cmsAttribute, error) {
	list, err := berAll(e.content)
	if err != nil {
		return nil, err
	}
	var out []cmsAttribute
	for _, a := range list {
		kind, rest, err := berOne(a.content, berOID)
		if err != nil {
			return nil, err
		}
		set, _, err := berOne(rest, berSet)
		if err != nil {
			return nil, err
		}
		var attribute cmsAttribute
		if _, err := asn1.Unmarshal(kind.raw, &attribute.kind); err != nil {
			return nil, err
		}
		if attribute.values, err = berAll(set.content); err != nil {
			return nil, err
		}
		out = append(out, attribute)
	}
	return out, nil
}

// octetsOf is the one value of an attribute that is an octet string.
func octetsOf(list []cmsAttribute, kind asn1.ObjectIdentifier) []byte {
	for _, a := range list {
		if a.kind.Equal(kind) && len(a.values) == 1 && a.values[0].tag == berOctets {
			return a.values[0].content
		}
	}
	return nil
}

// checkSignature is x509.Certificate.CheckSignature without its refusal of
// SHA-1, which time stamps still use for their own certificates.
func checkSignature(cert *x509.Certificate, algorithm berElement, hash crypto.Hash, signed, signature []byte) error {
	h := hash.New()
	h.Write(signed)
	digest := h.Sum(nil)
	var id asn1.ObjectIdentifier
	if _, err := asn1.Unmarshal(algorithm.content, &id); err != nil {
		return err
	}
	switch key := cert.PublicKey.(type) {
	case *rsa.PublicKey:
		if id.Equal(oidRSAPSS) {
			return rsa.VerifyPSS(key, hash, digest, signature, nil)
		}
		return rsa.VerifyPKCS1v15(key, hash, digest, signature)
	case *ecdsa.PublicKey:
		if !ecdsa.VerifyASN1(key, digest, signature) {
			return errors.New("ECDSA verification error")
		}
		return nil
	case ed25519.PublicKey:
		if !ed25519.Verify(key, signed, signature) {
			return errors.New("Ed25519 verification error")
		}
		return nil
	}
	return fmt.Errorf("a key of type %T is not known", cert.PublicKey)
}
