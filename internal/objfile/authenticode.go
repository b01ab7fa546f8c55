package objfile

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"time"
)

// ErrUnsigned says that a file has no Authenticode signature.
var ErrUnsigned = errors.New("it has no Authenticode signature")

// Object identifiers of Authenticode and time stamps.
var (
	oidSPCIndirect = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 2, 1, 4}
	oidSPCStamp    = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 3, 3, 1}
	oidTSTInfo     = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 1, 4}
)

// Authenticode is the signature of a PE file that covers the file as it is:
// its digest is the file's, and the certificate's key has made it. Whether the
// certificate is to be trusted, Trusted says.
type Authenticode struct {
	// Hash is what the file was digested with, Digest the file's.
	Hash   crypto.Hash
	Digest []byte
	// SignerHash is what the signer digested: the entry that holds Digest, and
	// the attributes that the key has signed.
	SignerHash crypto.Hash
	// Signer is the certificate that signed, Certificates are all that the
	// signature comes with.
	Signer       *x509.Certificate
	Certificates []*x509.Certificate
	// Time is that of the RFC 3161 time stamp, zero where there is none, and
	// Stamper the certificate of its authority.
	Time    time.Time
	Stamper *x509.Certificate

	stampers []*x509.Certificate
}

// VerifyAuthenticode checks the first signature of a PE file and its time stamp
// (Microsoft, "Windows Authenticode Portable Executable Signature Format"; RFC
// 3161) by their mathematics. The error is ErrUnsigned where there is none, and
// else says what is wrong.
func VerifyAuthenticode(r io.ReaderAt, size int64) (*Authenticode, error) {
	p, err := openPEImage(newPEReader(r, size))
	if err != nil {
		return nil, err
	}
	message, err := p.authenticode()
	if err != nil {
		return nil, err
	}
	s, err := verifyCMS(message)
	if err != nil {
		return nil, fmt.Errorf("its signature: %w", err)
	}
	if !s.kind.Equal(oidSPCIndirect) {
		return nil, fmt.Errorf("its signature is of content %s, which is not Authenticode's", s.kind)
	}
	a := &Authenticode{SignerHash: s.hash, Signer: s.certificate, Certificates: s.certificates}
	var want []byte
	if a.Hash, want, err = indirectDigest(s.content); err != nil {
		return nil, fmt.Errorf("its signature: %w", err)
	}
	if a.Digest, err = p.authenticodeDigest(a.Hash); err != nil {
		return nil, err
	}
	if !bytes.Equal(a.Digest, want) {
		return nil, fmt.Errorf("it was changed after it was signed: its %v digest is %x, and the signature is of %x", a.Hash, a.Digest, want)
	}
	if err := a.readStamp(s); err != nil {
		return nil, fmt.Errorf("its time stamp: %w", err)
	}
	return a, nil
}

// AuthenticodeDigest is the digest of a PE file that a signature signs: of all
// but the checksum, the certificate table and its directory entry. A signed
// file has the same as it had before.
func AuthenticodeDigest(r io.ReaderAt, size int64, hash crypto.Hash) ([]byte, error) {
	p, err := openPEImage(newPEReader(r, size))
	if err != nil {
		return nil, err
	}
	return p.authenticodeDigest(hash)
}

// authenticode is the message of the first Authenticode entry in the
// certificate table, as signature finds it.
func (p *peImage) authenticode() ([]byte, error) {
	d := p.directory[peCertificate]
	if d.addr == 0 || d.size == 0 {
		return nil, ErrUnsigned
	}
	at, end := int64(d.addr), int64(d.addr)+int64(d.size)
	if end > p.size {
		return nil, errors.New("its certificate table lies past the end of the file: it is cut off or damaged")
	}
	for range peEntryLimit {
		if end-at < peCertificateHeader {
			break
		}
		var b [peCertificateHeader]byte
		if err := p.read(b[:], at); err != nil {
			return nil, err
		}
		length, kind := int64(peOrder.Uint32(b[:])), peOrder.Uint16(b[6:])
		if length < peCertificateHeader || length > end-at {
			return nil, errors.New("its certificate table is damaged")
		}
		if kind == peCertificateSigned {
			data := make([]byte, min(length-peCertificateHeader, peSignatureLimit))
			return data, p.read(data, at+peCertificateHeader)
		}
		at += (length + 7) &^ 7
	}
	return nil, ErrUnsigned
}

// authenticodeDigest reads the file up to its certificate table, behind which
// nothing may stand.
func (p *peImage) authenticodeDigest(hash crypto.Hash) ([]byte, error) {
	var b [4]byte
	if err := p.read(b[:], 0x3c); err != nil {
		return nil, err
	}
	optional := int64(peOrder.Uint32(b[:])) + 4 + peFileHeader
	checksum, entry := optional+64, optional+96+8*peCertificate
	if p.wide {
		entry += 16
	}
	end := p.size
	if d := p.directory[peCertificate]; d.addr != 0 && d.size != 0 {
		if end = int64(d.addr); end+int64(d.size) != p.size {
			return nil, fmt.Errorf("its certificate table ends at %d, and the file has %d bytes: what is behind a signature is not signed", end+int64(d.size), p.size)
		}
	}
	if entry+8 > end {
		return nil, errors.New("its certificate table begins in its headers: it is damaged")
	}
	h := hash.New()
	for _, part := range [][2]int64{{0, checksum}, {checksum + 4, entry}, {entry + 8, end}} {
		if _, err := io.Copy(h, io.NewSectionReader(p.r, part[0], part[1]-part[0])); err != nil {
			return nil, err
		}
	}
	h.Write(make([]byte, -end&7)) // a signer fills the file up to eight bytes
	return h.Sum(nil), nil
}

// indirectDigest reads the digest out of an SpcIndirectDataContent.
func indirectDigest(content []byte) (crypto.Hash, []byte, error) {
	fields, err := berAll(content)
	if err != nil {
		return 0, nil, err
	}
	if len(fields) < 2 || fields[1].tag != berSequence {
		return 0, nil, errors.New("its content is damaged")
	}
	return digestInfo(fields[1])
}

// digestInfo reads a DigestInfo or a MessageImprint: the algorithm and the
// digest.
func digestInfo(e berElement) (crypto.Hash, []byte, error) {
	algorithm, rest, err := berOne(e.content, berSequence)
	if err != nil {
		return 0, nil, err
	}
	hash, err := hashOf(algorithm)
	if err != nil {
		return 0, nil, err
	}
	digest, _, err := berOne(rest, berOctets)
	return hash, digest.content, err
}

// readStamp checks the time stamp of a signature, if it has one.
func (a *Authenticode) readStamp(s *cmsSigned) error {
	for _, u := range s.unsigned {
		if !u.kind.Equal(oidSPCStamp) || len(u.values) == 0 {
			continue
		}
		token, err := verifyCMS(u.values[0].raw)
		if err != nil {
			return err
		}
		if !token.kind.Equal(oidTSTInfo) {
			return fmt.Errorf("it is of content %s, which is no time stamp", token.kind)
		}
		info, _, err := berOne(token.content, berSequence)
		if err != nil {
			return err
		}
		// version, policy, messageImprint, serialNumber, genTime, and more.
		fields, err := berAll(info.content)
		if err != nil || len(fields) < 5 {
			return errors.New("it is damaged")
		}
		hash, imprint, err := digestInfo(fields[2])
		if err != nil {
			return err
		}
		h := hash.New()
		h.Write(s.signature)
		if !bytes.Equal(imprint, h.Sum(nil)) {
			return errors.New("it is that of another signature")
		}
		if _, err := asn1.UnmarshalWithParams(fields[4].raw, &a.Time, "generalized"); err != nil {
			return err
		}
		a.Stamper, a.stampers = token.certificate, token.certificates
		return nil
	}
	return nil
}

// Strong tells whether the signature's digests are ones that Windows accepts. A
// good digest of the file proves nothing where the key has signed a digest that
// can be forged, so both count, and they must be of one algorithm (Microsoft,
// "Windows Authenticode Portable Executable Signature Format", on DigestInfo).
// Time stamps are not asked: their authorities still use SHA-1.
func (a *Authenticode) Strong() error {
	switch {
	case a.Hash == crypto.SHA1:
		return errors.New("the file is digested with SHA-1, which Windows refuses; sign it with SHA-256")
	case a.SignerHash == crypto.SHA1:
		return fmt.Errorf("the file is digested with %v, but its signer's entry with SHA-1, which Windows refuses; sign it with SHA-256 throughout", a.Hash)
	case a.SignerHash != a.Hash:
		return fmt.Errorf("the file is digested with %v, and its signer's entry with %v; Windows wants one for both", a.Hash, a.SignerHash)
	}
	return nil
}

// Valid tells whether the signer's certificate is one that may sign code and
// was valid at the time of the stamp, or is at now where there is none.
func (a *Authenticode) Valid(now time.Time) error {
	at, when := a.Time, "at the time of its time stamp"
	if at.IsZero() {
		at, when = now, "now"
	}
	c := a.Signer
	switch {
	case at.After(c.NotAfter):
		return fmt.Errorf("the certificate of %s expired on %s and is not valid %s", NameOf(c), c.NotAfter.UTC().Format(time.DateOnly), when)
	case at.Before(c.NotBefore):
		return fmt.Errorf("the certificate of %s begins on %s and is not valid %s", NameOf(c), c.NotBefore.UTC().Format(time.DateOnly), when)
	}
	for _, use := range c.ExtKeyUsage {
		if use == x509.ExtKeyUsageCodeSigning || use == x509.ExtKeyUsageAny {
			return nil
		}
	}
	return fmt.Errorf("the certificate of %s is not for signing code (its extended key usage does not name codeSigning)", NameOf(c))
}

// Trusted follows the certificates of signer and time stamp to one of the
// roots.
func (a *Authenticode) Trusted(roots *x509.CertPool, now time.Time) error {
	at := a.Time
	if at.IsZero() {
		at = now
	}
	if err := chain(a.Signer, a.Certificates, roots, at, x509.ExtKeyUsageCodeSigning); err != nil {
		return fmt.Errorf("the certificate of %s: %w", NameOf(a.Signer), err)
	}
	if a.Stamper == nil {
		return nil
	}
	if err := chain(a.Stamper, a.stampers, roots, at, x509.ExtKeyUsageTimeStamping); err != nil {
		return fmt.Errorf("the time stamp's certificate of %s: %w", NameOf(a.Stamper), err)
	}
	return nil
}

func chain(c *x509.Certificate, others []*x509.Certificate, roots *x509.CertPool, at time.Time, use x509.ExtKeyUsage) error {
	between := x509.NewCertPool()
	for _, o := range others {
		between.AddCert(o)
	}
	_, err := c.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{use}})
	return err
}

// NameOf is the common name of a certificate's owner, or the whole name where
// there is none.
func NameOf(c *x509.Certificate) string {
	if c.Subject.CommonName != "" {
		return c.Subject.CommonName
	}
	return c.Subject.String()
}
