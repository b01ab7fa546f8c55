package objfile

import (
	"bytes"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
)

// pkcs7Signer is who signed a PKCS#7 message.
type pkcs7Signer struct {
	// Name is the common name of the certificate that signed, or its whole
	// distinguished name where it has no common name; empty where the message
	// comes without that certificate.
	Name string
	// Timestamped says that a time stamp authority's signature stands beside
	// the signer's.
	Timestamped bool
}

// readPKCS7 reads the first signer of a SignedData message (RFC 5652,
// "Cryptographic Message Syntax"; RFC 2315, "PKCS #7"), in DER or, as Apple's
// codesign writes it, in BER with indefinite lengths. Neither signature nor
// certificates are verified. The error says what is missing or damaged.
func readPKCS7(message []byte) (*pkcs7Signer, error) {
	_, certificates, signers, err := openSignedData(message)
	var signer *pkcs7Signer
	if err == nil {
		signer, err = readSigner(signers[0], certificates)
	}
	if err != nil {
		return nil, fmt.Errorf("PKCS #7 signature: %w", err)
	}
	return signer, nil
}

// Object identifiers, as the bytes of their contents.
var (
	oidSignedData   = []byte{0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02}
	oidSubjectKeyID = []byte{0x55, 0x1d, 0x0e}
	// oidTimeStamps are the unsigned attributes that hold a time stamp: the
	// token of RFC 3161, Microsoft's name for the same, and the counter-signature
	// of PKCS #9.
	oidTimeStamps = [][]byte{
		{0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x10, 0x02, 0x0e},
		{0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x03, 0x03, 0x01},
		{0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x06},
	}
)

// Tags of BER, with their class in the two upper bits.
const (
	berInteger     = 0x02
	berOctets      = 0x04
	berOID         = 0x06
	berSequence    = 0x10
	berSet         = 0x11
	berContext     = 0x80 // the context's tag 0; 0x81 is its tag 1
	berMaxDepth    = 32
	berMaxElements = 10000
)

// openSignedData opens a SignedData message: the content with its type, the
// certificates, and the signers, of which there is at least one.
func openSignedData(message []byte) (content berElement, certificates, signers []berElement, err error) {
	info, _, err := berOne(message, berSequence)
	if err != nil {
		return berElement{}, nil, nil, err
	}
	kind, rest, err := berOne(info.content, berOID)
	if err != nil {
		return berElement{}, nil, nil, err
	}
	if !bytes.Equal(kind.content, oidSignedData) {
		return berElement{}, nil, nil, errors.New("it holds something else than signed data")
	}
	explicit, _, err := berOne(rest, berContext)
	if err != nil {
		return berElement{}, nil, nil, err
	}
	signed, _, err := berOne(explicit.content, berSequence)
	if err != nil {
		return berElement{}, nil, nil, err
	}
	parts, err := berAll(signed.content)
	// version, digestAlgorithms, encapContentInfo, [0] certificates, [1] crls,
	// signerInfos. The last alone is a set after the content.
	for i, p := range parts {
		switch {
		case err != nil:
		case p.tag == berContext && certificates == nil:
			certificates, err = berAll(p.content)
		case p.tag == berSet && i >= 3:
			signers, err = berAll(p.content)
		}
	}
	if err != nil {
		return berElement{}, nil, nil, err
	}
	if len(signers) == 0 {
		return berElement{}, nil, nil, errors.New("it names no signer")
	}
	return parts[2], certificates, signers, nil
}

// readSigner reads a SignerInfo and finds its certificate.
func readSigner(info berElement, certificates []berElement) (*pkcs7Signer, error) {
	fields, err := berAll(info.content)
	if err != nil {
		return nil, err
	}
	if info.tag != berSequence || len(fields) < 2 {
		return nil, errors.New("the signer's entry is damaged")
	}
	name, err := signerName(fields[1], certificates)
	if err != nil {
		return nil, err
	}
	signer := &pkcs7Signer{Name: name}
	for _, f := range fields[2:] {
		if f.tag != berContext|1 {
			continue // the unsigned attributes alone are of interest
		}
		attributes, err := berAll(f.content)
		if err != nil {
			return nil, err
		}
		for _, a := range attributes {
			id, _, err := berOne(a.content, berOID)
			if err != nil {
				return nil, err
			}
			for _, oid := range oidTimeStamps {
				signer.Timestamped = signer.Timestamped || bytes.Equal(id.content, oid)
			}
		}
	}
	return signer, nil
}

// signerName finds the certificate that a SignerIdentifier means: by issuer and
// serial number, or by the key's identifier.
func signerName(id berElement, certificates []berElement) (string, error) {
	var issuer, serial berElement
	switch id.tag {
	case berSequence:
		var rest []byte
		var err error
		if issuer, rest, err = berOne(id.content, berSequence); err != nil {
			return "", err
		}
		if serial, _, err = berOne(rest, berInteger); err != nil {
			return "", err
		}
	case berContext:
	default:
		return "", errors.New("the signer is named in an unknown way")
	}
	for _, c := range certificates {
		if c.tag != berSequence {
			continue // an attribute certificate or another format
		}
		cert, err := readCertificate(c)
		if err != nil {
			return "", err
		}
		if id.tag == berContext {
			if len(cert.keyID) == 0 || !bytes.Equal(cert.keyID, id.content) {
				continue
			}
		} else if !bytes.Equal(cert.issuer.raw, issuer.raw) || !bytes.Equal(cert.serial, serial.content) {
			continue
		}
		return commonName(cert.subject.raw)
	}
	return "", nil
}

// certificate is what is read of an X.509 certificate (RFC 5280). It is taken
// apart here since crypto/x509 refuses certificates for faults that have
// nothing to do with whose they are.
type certificate struct {
	serial, keyID   []byte
	issuer, subject berElement
}

func readCertificate(c berElement) (*certificate, error) {
	tbs, _, err := berOne(c.content, berSequence)
	if err != nil {
		return nil, err
	}
	fields, err := berAll(tbs.content)
	if err != nil {
		return nil, err
	}
	if len(fields) > 0 && fields[0].tag == berContext {
		fields = fields[1:] // the version
	}
	// serialNumber, signature, issuer, validity, subject, and more.
	if len(fields) < 5 || fields[0].tag != berInteger || fields[2].tag != berSequence || fields[4].tag != berSequence {
		return nil, errors.New("a certificate is damaged")
	}
	cert := &certificate{serial: fields[0].content, issuer: fields[2], subject: fields[4]}
	for _, f := range fields[5:] {
		if f.tag == berContext|3 {
			if cert.keyID, err = subjectKeyID(f.content); err != nil {
				return nil, err
			}
		}
	}
	return cert, nil
}

func subjectKeyID(extensions []byte) ([]byte, error) {
	list, _, err := berOne(extensions, berSequence)
	if err != nil {
		return nil, err
	}
	all, err := berAll(list.content)
	if err != nil {
		return nil, err
	}
	for _, e := range all {
		fields, err := berAll(e.content)
		if err != nil {
			return nil, err
		}
		if len(fields) < 2 || !bytes.Equal(fields[0].content, oidSubjectKeyID) {
			continue
		}
		// The value is an octet string within an octet string.
		value, _, err := berOne(fields[len(fields)-1].content, berOctets)
		if err != nil {
			return nil, err
		}
		return value.content, nil
	}
	return nil, nil
}

func commonName(der []byte) (string, error) {
	var sequence pkix.RDNSequence
	if _, err := asn1.Unmarshal(der, &sequence); err != nil {
		return "", fmt.Errorf("the signer's name: %w", err)
	}
	var name pkix.Name
	name.FillFromRDNSequence(&sequence)
	if name.CommonName != "" {
		return name.CommonName, nil
	}
	return sequence.String(), nil
}

// berElement is one value of BER (ITU-T X.690).
type berElement struct {
	// tag is the number with the class in its upper bits, without the bit that
	// says whether it is constructed.
	tag byte
	// constructed says that the content is made of elements.
	constructed bool
	// content lacks the two zero bytes that end an indefinite length; raw is all
	// of it.
	content, raw []byte
}

// berOne reads the element at the start of b, which must have the given tag.
func berOne(b []byte, tag byte) (e berElement, rest []byte, err error) {
	budget := berMaxElements
	if e, rest, err = berNext(b, &budget, 0); err != nil {
		return e, nil, err
	}
	if e.tag != tag {
		return e, nil, fmt.Errorf("ASN.1 tag %#x stands where %#x belongs", e.tag, tag)
	}
	return e, rest, nil
}

// berAll reads the elements that follow one another in b.
func berAll(b []byte) ([]berElement, error) {
	var all []berElement
	budget := berMaxElements
	for len(b) > 0 {
		e, rest, err := berNext(b, &budget, 0)
		if err != nil {
			return nil, err
		}
		all = append(all, e)
		b = rest
	}
	return all, nil
}

// berNext reads one element. To find the end of one of indefinite length it
// must walk through what is in it; budget and depth bound that.
func berNext(b []byte, budget *int, depth int) (e berElement, rest []byte, err error) {
	if *budget--; *budget < 0 {
		return e, nil, fmt.Errorf("more than %d ASN.1 elements", berMaxElements)
	}
	if depth > berMaxDepth {
		return e, nil, fmt.Errorf("ASN.1 elements nest deeper than %d", berMaxDepth)
	}
	if len(b) < 2 {
		return e, nil, errASN1Short
	}
	if b[0]&0x1f == 0x1f {
		return e, nil, errors.New("an ASN.1 tag above 30")
	}
	e.tag, e.constructed = b[0]&^0x20, b[0]&0x20 != 0
	length, start := uint64(b[1]), 2
	switch {
	case b[1] == 0x80:
		return berIndefinite(e, b, budget, depth)
	case b[1] > 0x80:
		n := int(b[1] & 0x7f)
		if n > 8 || len(b) < 2+n {
			return e, nil, errASN1Short
		}
		length = 0
		for _, c := range b[2 : 2+n] {
			length = length<<8 | uint64(c)
		}
		start += n
	}
	if length > uint64(len(b)-start) {
		return e, nil, errASN1Short
	}
	end := start + int(length)
	e.content, e.raw = b[start:end], b[:end]
	return e, b[end:], nil
}

func berIndefinite(e berElement, b []byte, budget *int, depth int) (berElement, []byte, error) {
	if !e.constructed {
		return e, nil, errors.New("a primitive ASN.1 element of indefinite length")
	}
	at := b[2:]
	for {
		if len(at) < 2 {
			return e, nil, errASN1Short
		}
		if at[0] == 0 && at[1] == 0 {
			end := len(b) - len(at)
			e.content, e.raw = b[2:end], b[:end+2]
			return e, b[end+2:], nil
		}
		var err error
		if _, at, err = berNext(at, budget, depth+1); err != nil {
			return e, nil, err
		}
	}
}

var errASN1Short = errors.New("an ASN.1 element reaches past its end")
