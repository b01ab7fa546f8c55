package objfile

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

func authenticodeFile(tb testing.TB, name string) []byte {
	tb.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "authenticode", name))
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

func verifyBytes(data []byte) (*Authenticode, error) {
	return VerifyAuthenticode(bytes.NewReader(data), int64(len(data)))
}

// osslsigncode's words about stamped.exe are the truth.
func TestVerifyAuthenticode(t *testing.T) {
	said := string(authenticodeFile(t, "stamped.txt"))
	find := func(expr string) string {
		t.Helper()
		m := regexp.MustCompile(expr).FindStringSubmatch(said)
		if m == nil {
			t.Fatalf("stamped.txt has no %s", expr)
		}
		return m[1]
	}
	a, err := verifyBytes(authenticodeFile(t, "stamped.exe"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := strings.ToUpper(fmt.Sprintf("%x", a.Digest)), find(`Calculated message digest : (\w+)`); got != want {
		t.Errorf("digest %s, want %s", got, want)
	}
	if got, want := a.Time.UTC().Format("Jan _2 15:04:05 2006 MST"), strings.Replace(find(`Timestamp time: (.*)`), "GMT", "UTC", 1); got != want {
		t.Errorf("time stamp %s, want %s", got, want)
	}
	if a.Hash != crypto.SHA256 || a.SignerHash != crypto.SHA256 || a.Strong() != nil || NameOf(a.Signer) != "Demo Ltd." || NameOf(a.Stamper) != "Throw-away Time" {
		t.Errorf("%v, %s, %s", a.Hash, NameOf(a.Signer), NameOf(a.Stamper))
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authenticodeFile(t, "roots.pem"))
	// Long after the certificate's end: the time stamp keeps the signature.
	late := a.Signer.NotAfter.AddDate(20, 0, 0)
	if err := a.Valid(late); err != nil {
		t.Error(err)
	}
	if err := a.Trusted(roots, late); err != nil {
		t.Error(err)
	}
	if err := a.Trusted(x509.NewCertPool(), late); err == nil {
		t.Error("it is trusted by no root")
	}
	bare, err := verifyBytes(authenticodeFile(t, "bare.exe"))
	if err != nil {
		t.Fatal(err)
	}
	if !bare.Time.IsZero() || bare.Stamper != nil || !bytes.Equal(bare.Digest, a.Digest) {
		t.Errorf("%v, %v", bare.Time, bare.Stamper)
	}
	if err := bare.Valid(late); err == nil || !strings.Contains(err.Error(), "expired on 2027-11-28") {
		t.Errorf("without a time stamp after its end: %v", err)
	}
	if err := bare.Valid(bare.Signer.NotBefore.Add(-time.Hour)); err == nil || !strings.Contains(err.Error(), "begins on") {
		t.Errorf("before its beginning: %v", err)
	}
	old, err := verifyBytes(authenticodeFile(t, "expired.exe"))
	if err != nil {
		t.Fatal(err)
	}
	if err := old.Valid(time.Now()); err == nil || !strings.Contains(err.Error(), "Late Ltd. expired on 2021-01-01") {
		t.Errorf("%v", err)
	}
	plain := authenticodeFile(t, "plain.exe")
	if _, err := verifyBytes(plain); !errors.Is(err, ErrUnsigned) {
		t.Errorf("unsigned: %v", err)
	}
	// A file has the digest before it is signed that it has afterwards.
	digest, err := AuthenticodeDigest(bytes.NewReader(plain), int64(len(plain)), crypto.SHA256)
	if err != nil || !bytes.Equal(digest, a.Digest) {
		t.Errorf("%x, %v; signed it has %x", digest, err, a.Digest)
	}
}

// TestAuthenticodeStrong reads a file whose digest is SHA-256 and whose signer's
// is SHA-1, and makes up the others.
func TestAuthenticodeStrong(t *testing.T) {
	a, err := verifyBytes(authenticodeFile(t, "weak.exe"))
	if err != nil {
		t.Fatal(err)
	}
	if a.Hash != crypto.SHA256 || a.SignerHash != crypto.SHA1 {
		t.Errorf("weak.exe: file %v, signer %v", a.Hash, a.SignerHash)
	}
	for _, tt := range []struct {
		a     *Authenticode
		fails string
	}{
		{a, "its signer's entry with SHA-1"},
		{&Authenticode{Hash: crypto.SHA1, SignerHash: crypto.SHA1}, "the file is digested with SHA-1"},
		{&Authenticode{Hash: crypto.SHA1, SignerHash: crypto.SHA256}, "the file is digested with SHA-1"},
		{&Authenticode{Hash: crypto.SHA256, SignerHash: crypto.SHA512}, "one for both"},
		{&Authenticode{Hash: crypto.SHA384, SignerHash: crypto.SHA384}, ""},
	} {
		if err := tt.a.Strong(); (err == nil) != (tt.fails == "") || err != nil && !strings.Contains(err.Error(), tt.fails) {
			t.Errorf("file %v, signer %v: %v, want an error about %q", tt.a.Hash, tt.a.SignerHash, err, tt.fails)
		}
	}
	// MD5 is not even read.
	md5, sha1 := []byte{6, 8, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0xd, 2, 5}, []byte{6, 5, 0x2b, 0xe, 3, 2, 0x1a}
	if _, err := hashOf(berElement{content: sha1}); err != nil {
		t.Error(err)
	}
	if _, err := hashOf(berElement{content: md5}); err == nil || !strings.Contains(err.Error(), "is not known") {
		t.Errorf("MD5: %v", err)
	}
}

// TestAuthenticodeEveryByte changes each byte of a signed file. But for those
// that no signature covers, none may pass.
func TestAuthenticodeEveryByte(t *testing.T) {
	data := authenticodeFile(t, "stamped.exe")
	good, err := verifyBytes(data)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authenticodeFile(t, "roots.pem"))
	optional := int(peOrder.Uint32(data[0x3c:])) + 24
	table := int(peOrder.Uint32(data[optional+112+8*peCertificate:]))
	var passed []int
	for i := range data {
		data[i] ^= 1
		a, err := verifyBytes(data)
		data[i] ^= 1
		if err != nil || a.Trusted(roots, good.Time) != nil {
			continue
		}
		if !bytes.Equal(a.Digest, good.Digest) {
			t.Errorf("byte %d: passed with another digest", i)
		}
		passed = append(passed, i)
	}
	for _, i := range passed {
		checksum := i >= optional+64 && i < optional+68
		if i < table && !checksum {
			t.Errorf("byte %d of the program can be changed", i)
		}
	}
	// Of the table: its revision and padding, lists of algorithms, and the root's
	// certificate, which both messages carry and nobody needs.
	root, err := x509.ParseCertificate(mustPEM(t, authenticodeFile(t, "roots.pem")))
	if err != nil {
		t.Fatal(err)
	}
	var other []int
	for _, i := range passed {
		if i >= table && !within(data, root.Raw, i) {
			other = append(other, i)
		}
	}
	if len(other) > 120 {
		t.Errorf("%d of %d bytes outside of the root's certificate can be changed: %d", len(other), len(data)-table, other)
	}
	if _, err := verifyBytes(append(bytes.Clone(data), 0)); err == nil || !strings.Contains(err.Error(), "behind a signature") {
		t.Errorf("a byte behind it: %v", err)
	}
	if _, err := verifyBytes(data[:len(data)-1]); err == nil {
		t.Error("cut short it passes")
	}
}

// within tells whether i lies in a copy of part.
func within(data, part []byte, i int) bool {
	for from := max(0, i-len(part)+1); from <= i && from+len(part) <= len(data); from++ {
		if bytes.Equal(data[from:from+len(part)], part) {
			return true
		}
	}
	return false
}

func mustPEM(t *testing.T, text []byte) []byte {
	t.Helper()
	block, _ := pem.Decode(text)
	if block == nil {
		t.Fatal("no certificate in PEM")
	}
	return block.Bytes
}

// A time stamp of another signature is none.
func TestAuthenticodeForeignStamp(t *testing.T) {
	s, err := verifyCMS(messageOf(t, "stamped.exe"))
	if err != nil {
		t.Fatal(err)
	}
	other, err := verifyCMS(messageOf(t, "expired.exe"))
	if err != nil {
		t.Fatal(err)
	}
	other.unsigned = s.unsigned
	if err := new(Authenticode).readStamp(other); err == nil || !strings.Contains(err.Error(), "another signature") {
		t.Errorf("%v", err)
	}
}

func messageOf(tb testing.TB, name string) []byte {
	tb.Helper()
	data := authenticodeFile(tb, name)
	p, err := openPEImage(newPEReader(bytes.NewReader(data), int64(len(data))))
	if err != nil {
		tb.Fatal(err)
	}
	message, err := p.authenticode()
	if err != nil {
		tb.Fatal(err)
	}
	return message
}

func FuzzVerifyAuthenticode(f *testing.F) {
	for _, name := range []string{"plain.exe", "bare.exe", "stamped.exe", "weak.exe"} {
		f.Add(authenticodeFile(f, name))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := verifyBytes(data)
		if (a == nil) == (err == nil) {
			t.Errorf("%v, %v", a, err)
		}
	})
}

func FuzzVerifyCMS(f *testing.F) {
	f.Add(messageOf(f, "bare.exe"))
	f.Add(messageOf(f, "stamped.exe"))
	f.Fuzz(func(_ *testing.T, data []byte) {
		_, _ = verifyCMS(data)
	})
}
