package objfile

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"strings"
	"testing"
	"time"
)

// peTestCertificate is one with a throw-away key.
func peTestCertificate(t *testing.T, name string, serial int64) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial),
		Subject:      pkix.Name{Organization: []string{"Throw-away"}, CommonName: name},
		NotBefore:    time.Unix(0, 0),
		NotAfter:     time.Unix(1<<32, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

// peTLV is one value of DER.
func peTLV(tag byte, parts ...[]byte) []byte {
	body := bytes.Join(parts, nil)
	out, err := asn1.Marshal(asn1.RawValue{Class: int(tag >> 6), Tag: int(tag & 0x1f), IsCompound: tag&0x20 != 0, Bytes: body})
	if err != nil {
		panic(err)
	}
	return out
}

func peOID(numbers ...int) []byte {
	out, err := asn1.Marshal(asn1.ObjectIdentifier(numbers))
	if err != nil {
		panic(err)
	}
	return out
}

// peSignedData is a PKCS #7 message that one of the certificates signed, with
// unauthenticated attributes of these identifiers. The signature is none.
func peSignedData(t *testing.T, signer *x509.Certificate, all []*x509.Certificate, attributes ...[]byte) []byte {
	t.Helper()
	var raw [][]byte
	for _, c := range all {
		raw = append(raw, c.Raw)
	}
	serial, err := asn1.Marshal(signer.SerialNumber)
	if err != nil {
		t.Fatal(err)
	}
	one := peTLV(0x02, []byte{1})
	algorithm := peTLV(0x30, peOID(2, 16, 840, 1, 101, 3, 4, 2, 1))
	info := [][]byte{one, peTLV(0x30, signer.RawIssuer, serial), algorithm, peTLV(0xa0), algorithm, peTLV(0x04, []byte("none"))}
	if attributes != nil {
		var list [][]byte
		for _, a := range attributes {
			list = append(list, peTLV(0x30, a, peTLV(0x31, one)))
		}
		info = append(info, peTLV(0xa1, list...))
	}
	content := peTLV(0x30, peOID(1, 3, 6, 1, 4, 1, 311, 2, 1, 4))
	signed := peTLV(0x30, one, peTLV(0x31, algorithm), content, peTLV(0xa0, raw...), peTLV(0x31, peTLV(0x30, info...)))
	return peTLV(0x30, peOID(1, 2, 840, 113549, 1, 7, 2), peTLV(0xa0, signed))
}

func TestPESignature(t *testing.T) {
	authority := peTestCertificate(t, "Authority", 1)
	signer := peTestCertificate(t, "Signer Inc.", 2)
	other := peTestCertificate(t, "Other", 3)
	all := []*x509.Certificate{authority, signer, other}
	plain := peSignedData(t, signer, all)
	const x509Certificate = 1
	for _, c := range []struct {
		name  string
		build func(*peBuilder)
		want  Signature
		fails string
	}{
		{"plain", func(b *peBuilder) { b.certificate(peCertificateSigned, plain) }, Signature{Kind: "authenticode", Signer: "Signer Inc."}, ""},
		{"RFC 3161", func(b *peBuilder) {
			b.certificate(peCertificateSigned, peSignedData(t, signer, all, peOID(1, 2, 3), peOID(1, 3, 6, 1, 4, 1, 311, 3, 3, 1)))
		}, Signature{Kind: "authenticode", Signer: "Signer Inc.", Timestamped: true}, ""},
		{"counter-signature", func(b *peBuilder) {
			b.certificate(peCertificateSigned, peSignedData(t, other, all, peOID(1, 2, 840, 113549, 1, 9, 6)))
		}, Signature{Kind: "authenticode", Signer: "Other", Timestamped: true}, ""},
		{"nested only", func(b *peBuilder) {
			b.certificate(peCertificateSigned, peSignedData(t, signer, all, peOID(1, 3, 6, 1, 4, 1, 311, 2, 4, 1)))
		}, Signature{Kind: "authenticode", Signer: "Signer Inc."}, ""},
		{"second entry", func(b *peBuilder) {
			b.certificate(x509Certificate, []byte("something"))
			b.certificate(peCertificateSigned, plain)
		}, Signature{Kind: "authenticode", Signer: "Signer Inc."}, ""},
		{"data behind it", func(b *peBuilder) {
			b.certificate(peCertificateSigned, append(bytes.Clone(plain), make([]byte, 2<<20)...))
		}, Signature{Kind: "authenticode", Signer: "Signer Inc."}, ""},
		{"another kind", func(b *peBuilder) { b.certificate(x509Certificate, authority.Raw) }, Signature{Kind: "none"}, ""},
		{"garbage", func(b *peBuilder) { b.certificate(peCertificateSigned, []byte("garbage!")) }, Signature{}, "signature"},
		{"cut short", func(b *peBuilder) { b.certificate(peCertificateSigned, plain[:len(plain)-40]) }, Signature{}, "signature"},
		{"without certificate", func(b *peBuilder) {
			b.certificate(peCertificateSigned, peSignedData(t, signer, all[:1]))
		}, Signature{Kind: "authenticode"}, ""},
		{"longer than read", func(b *peBuilder) {
			b.certificate(peCertificateSigned, peTLV(0x30, make([]byte, 2<<20)))
		}, Signature{}, "only the first 1048576"},
		{"entry too long", func(b *peBuilder) { b.cert = peWords(0x1000, 0x00020200) }, Signature{}, "certificate table"},
		{"too many", func(b *peBuilder) {
			for range peEntryLimit + 1 {
				b.certificate(x509Certificate, nil)
			}
		}, Signature{}, "certificate table"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newPE64()
			c.build(b)
			data := b.bytes()
			o, err := readPE(bytes.NewReader(data), int64(len(data)))
			if c.fails != "" {
				if err == nil || !strings.Contains(err.Error(), c.fails) {
					t.Fatalf("got %+v, %v; want an error about %q", o, err, c.fails)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if o.Signature != c.want {
				t.Errorf("got %+v, want %+v", o.Signature, c.want)
			}
		})
	}
}

// A file whose end is missing has lost its signature, which must not pass for
// one that never had any.
func TestPECutSignature(t *testing.T) {
	b := newPE64()
	b.certificate(peCertificateSigned, make([]byte, 100))
	data := b.bytes()
	data = data[:len(data)-len(b.cert)]
	_, err := readPE(bytes.NewReader(data), int64(len(data)))
	if err == nil || !strings.Contains(err.Error(), "cut off") {
		t.Errorf("got %v", err)
	}
}
