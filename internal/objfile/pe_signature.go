package objfile

import "fmt"

const (
	// peSignatureLimit bounds what is read of a signature. Real ones have tens
	// of kilobytes; what installers hide behind it does not count.
	peSignatureLimit = 1 << 20
	// peEntryLimit bounds the entries of the certificate table. Windows reads
	// the first that is Authenticode's.
	peEntryLimit = 64

	peCertificateHeader = 8 // WIN_CERTIFICATE without its contents
	peCertificateSigned = 2 // WIN_CERT_TYPE_PKCS_SIGNED_DATA
)

// signature reads the attribute certificate table (PE Format, "The Attribute
// Certificate Table"), whose directory holds an offset in the file and not an
// address, for the signer of the first signature (Microsoft, "Windows
// Authenticode Portable Executable Signature Format").
func (p *peImage) signature() (Signature, error) {
	none := Signature{Kind: "none"}
	d := p.directory[peCertificate]
	if d.addr == 0 || d.size == 0 {
		return none, nil
	}
	at, end := int64(d.addr), int64(d.addr)+int64(d.size)
	if end > p.size {
		return none, fmt.Errorf("its bytes %#x+%#x lie past the end of the file of %d bytes: it is cut off or damaged", d.addr, d.size, p.size)
	}
	for range peEntryLimit {
		if end-at < peCertificateHeader {
			return none, nil
		}
		var b [peCertificateHeader]byte
		if err := p.read(b[:], at); err != nil {
			return none, err
		}
		length, kind := int64(peOrder.Uint32(b[:])), peOrder.Uint16(b[6:])
		if length < peCertificateHeader || length > end-at {
			return none, fmt.Errorf("an entry of the certificate table at %#x has %d bytes, the table has %d left", at, length, end-at)
		}
		if kind != peCertificateSigned {
			at += (length + 7) &^ 7
			continue
		}
		data := make([]byte, min(length-peCertificateHeader, peSignatureLimit))
		if err := p.read(data, at+peCertificateHeader); err != nil {
			return none, err
		}
		signer, err := readPKCS7(data)
		if err != nil {
			if length-peCertificateHeader > peSignatureLimit {
				err = fmt.Errorf("%w (only the first %d of its %d bytes are read)", err, peSignatureLimit, length-peCertificateHeader)
			}
			return none, err
		}
		return Signature{Kind: "authenticode", Signer: signer.Name, Timestamped: signer.Timestamped}, nil
	}
	return none, fmt.Errorf("none of the first %d entries of the certificate table is one of Authenticode", peEntryLimit)
}
