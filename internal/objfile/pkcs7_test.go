package objfile

import (
	"bytes"
	"encoding/asn1"
	"strings"
	"testing"
)

// The messages are made by testdata/macho/make.sh with OpenSSL. Each but the
// one without certificates holds that of somebody else, too.
func TestPKCS7Signer(t *testing.T) {
	const signer = "Developer ID Application: Exämple (ABCDE12345)"
	for name, want := range map[string]string{"definite": signer, "indefinite": signer, "keyid": signer, "nocerts": ""} {
		got, err := readPKCS7(message(t, name))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if got.Name != want || got.Timestamped {
			t.Errorf("%s: %+v, want %q", name, got, want)
		}
	}
}

func tlv(tag byte, content ...[]byte) []byte {
	all := bytes.Join(content, nil)
	if len(all) < 128 {
		return append([]byte{tag, byte(len(all))}, all...)
	}
	return append([]byte{tag, 0x83, byte(len(all) >> 16), byte(len(all) >> 8), byte(len(all))}, all...)
}

func oid(t *testing.T, id ...int) []byte {
	t.Helper()
	b, err := asn1.Marshal(asn1.ObjectIdentifier(id))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// signedData is a message whose signer has one unsigned attribute.
func signedData(t *testing.T, attribute []byte) []byte {
	t.Helper()
	name := func(key, value string) []byte {
		id := map[string][]byte{"CN": oid(t, 2, 5, 4, 3), "O": oid(t, 2, 5, 4, 10)}[key]
		return tlv(0x30, tlv(0x31, tlv(0x30, id, tlv(0x0c, []byte(value)))))
	}
	serial := []byte{2, 1, 0x85} // negative: crypto/x509 refuses it
	cert := func(serial, subject []byte) []byte {
		return tlv(0x30, tlv(0x30, tlv(0xa0, []byte{2, 1, 2}), serial, tlv(0x30), name("CN", "CA"), tlv(0x30), subject))
	}
	info := tlv(0x30, []byte{2, 1, 1}, tlv(0x30, name("CN", "CA"), serial), tlv(0x30), tlv(0xa0), tlv(0x30), tlv(4), tlv(0xa1, attribute))
	data := tlv(0x30, []byte{2, 1, 1}, tlv(0x31), tlv(0x30),
		tlv(0xa0, tlv(0xa1), cert([]byte{2, 1, 5}, name("CN", "somebody else")), cert(serial, name("O", "No common name"))), tlv(0x31, info))
	return tlv(0x30, oid(t, 1, 2, 840, 113549, 1, 7, 2), tlv(0xa0, data))
}

func TestPKCS7TimeStamp(t *testing.T) {
	for _, c := range []struct {
		id   []int
		want bool
	}{
		{[]int{1, 2, 840, 113549, 1, 9, 16, 2, 14}, true},
		{[]int{1, 3, 6, 1, 4, 1, 311, 3, 3, 1}, true},
		{[]int{1, 2, 840, 113549, 1, 9, 6}, true},
		{[]int{1, 2, 840, 113549, 1, 9, 5}, false}, // the signer's own clock
	} {
		got, err := readPKCS7(signedData(t, tlv(0x30, oid(t, c.id...), tlv(0x31))))
		if err != nil {
			t.Fatal(err)
		}
		if got.Timestamped != c.want || got.Name != "O=No common name" {
			t.Errorf("%v: %+v, want a time stamp: %t", c.id, got, c.want)
		}
	}
}

func TestPKCS7Damaged(t *testing.T) {
	for _, name := range []string{"definite", "indefinite"} {
		whole := message(t, name)
		for at := range len(whole) {
			if _, err := readPKCS7(whole[:at]); err == nil {
				t.Fatalf("%s cut at %d: no error", name, at)
			}
		}
	}
	nested := bytes.Repeat([]byte{0x30, 0x80}, 100000)
	many := append([]byte{0x30, 0x80}, bytes.Repeat([]byte{5, 0}, 100000)...)
	for want, data := range map[string][]byte{
		"nest deeper":             nested,
		"more than 10000":         many,
		"something else than":     tlv(0x30, oid(t, 1, 2, 3)),
		"stands where":            tlv(0x31),
		"reaches past":            {0x30, 0x88, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
		"tag above 30":            {0x3f, 0x81, 0},
		"primitive ASN.1 element": {0x04, 0x80, 0, 0},
		"names no signer":         tlv(0x30, oid(t, 1, 2, 840, 113549, 1, 7, 2), tlv(0xa0, tlv(0x30))),
	} {
		if _, err := readPKCS7(data); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want something of %q", err, want)
		}
	}
}

func FuzzPKCS7(f *testing.F) {
	f.Add([]byte{0x30, 0x80, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02, 0xa0, 0x80, 0, 0, 0, 0})
	f.Add(bytes.Repeat([]byte{0x30, 0x80}, 40))
	for _, name := range []string{"definite", "indefinite", "keyid", "nocerts"} {
		f.Add(mustFile(f, "testdata/macho/"+name+".cms"))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		signer, err := readPKCS7(b)
		if (signer == nil) == (err == nil) {
			t.Fatalf("%+v and %v", signer, err)
		}
	})
}
