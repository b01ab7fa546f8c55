// Package sign_test signs real programs for Windows with osslsigncode and
// jsign, a throw-away certificate authority made by openssl, and a local time
// stamp server behind which `openssl ts` stands. What a signature is worth,
// osslsigncode says.
package sign_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
)

// password is looked for in all that a run leaves and shows.
const password = "pAssw0rd-of-the-p12"

// authority is a certificate authority with what it issued, in a directory.
type authority struct {
	t   *testing.T
	dir string
}

// newAuthority makes an authority: roots.pem, sign.p12 (Demo Ltd., valid for a year),
// expired.p12, server.p12 (not for code), tsa.pem with tsa.key, and tsa.cnf.
func newAuthority(t *testing.T) authority {
	t.Helper()
	a := authority{t, t.TempDir()}
	a.make()
	return a
}

// first is where the authority of most tests is made, once.
var first struct {
	sync.Once
	dir string
}

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "relmat-sign-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	first.dir = dir
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// theAuthority is the one of most tests.
func theAuthority(t *testing.T) authority {
	t.Helper()
	a := authority{t, first.dir}
	first.Do(a.make)
	if _, err := os.Stat(a.path("tsa.p12")); err != nil {
		t.Fatal("the authority could not be made; an earlier test says why")
	}
	return a
}

func (a authority) make() {
	a.write("ca.cnf", `[req]
distinguished_name = dn
[dn]
[ca]
basicConstraints = critical,CA:true
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
[code]
basicConstraints = critical,CA:false
keyUsage = critical,digitalSignature
extendedKeyUsage = codeSigning
[server]
extendedKeyUsage = serverAuth
[stamp]
keyUsage = critical,digitalSignature
extendedKeyUsage = critical,timeStamping
[issuing]
dir = .
database = index.txt
new_certs_dir = .
certificate = roots.pem
private_key = ca.key
serial = serial
default_md = sha256
policy = any
unique_subject = no
[any]
commonName = supplied
[tsa]
default_tsa = tsa1
[tsa1]
serial = ./tsaserial
signer_digest = sha256
default_policy = 1.2.3.4.1
other_policies = 1.2.3.4.1
digests = sha256, sha384, sha512
accuracy = secs:1
ordering = no
tsa_name = no
ess_cert_id_chain = no
`)
	a.write("index.txt", "")
	a.write("serial", "1000\n")
	a.write("tsaserial", "01\n")
	a.openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "roots.pem", "-days", "3650", "-subj", "/CN=Throw-away Root", "-config", "ca.cnf", "-extensions", "ca")
	a.issue("sign", "Demo Ltd.", "code", "-days", "365")
	a.issue("expired", "Late Ltd.", "code", "-startdate", "20200101000000Z", "-enddate", "20210101000000Z")
	a.issue("server", "Server Ltd.", "server", "-days", "365")
	a.issue("tsa", "Throw-away Time", "stamp", "-days", "365")
}

// issue makes NAME.key, NAME.pem and NAME.p12.
func (a authority) issue(name, common, extensions string, validity ...string) {
	a.openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", name+".key", "-out", name+".csr", "-subj", "/CN="+common, "-config", "ca.cnf")
	a.openssl(append([]string{"ca", "-batch", "-notext", "-config", "ca.cnf", "-name", "issuing", "-extensions", extensions, "-in", name + ".csr", "-out", name + ".pem"}, validity...)...)
	a.openssl("pkcs12", "-export", "-inkey", name+".key", "-in", name+".pem", "-certfile", "roots.pem", "-name", "key", "-out", name+".p12", "-passout", "pass:"+password)
}

func (a authority) path(name string) string { return filepath.Join(a.dir, name) }

func (a authority) write(name, text string) {
	a.t.Helper()
	if err := os.WriteFile(a.path(name), []byte(text), 0o600); err != nil {
		a.t.Fatal(err)
	}
	if err := os.Chmod(a.path(name), 0o600); err != nil {
		a.t.Fatal(err)
	}
}

func (a authority) openssl(args ...string) {
	a.t.Helper()
	cmd := exec.Command("openssl", args...)
	cmd.Dir = a.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		a.t.Fatalf("openssl %v: %v\n%s", args, err, out)
	}
}

// stampServer is a time stamp server (RFC 3161, section 3.4) on this machine.
// asked counts its answers.
type stampServer struct {
	*httptest.Server
	asked atomic.Int32
}

func (a authority) stamps() *stampServer {
	s := &stampServer{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query, err := io.ReadAll(r.Body)
		if err != nil || r.Header.Get("Content-Type") != "application/timestamp-query" {
			http.Error(w, "no time stamp query", http.StatusBadRequest)
			return
		}
		n := s.asked.Add(1)
		in := fmt.Sprintf("query-%p-%d.tsq", s, n)
		if err := os.WriteFile(a.path(in), query, 0o600); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		cmd := exec.Command("openssl", "ts", "-reply", "-config", "ca.cnf", "-section", "tsa1", "-queryfile", in, "-signer", "tsa.pem", "-inkey", "tsa.key", "-chain", "roots.pem")
		cmd.Dir = a.dir
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		reply, err := cmd.Output()
		if err != nil {
			http.Error(w, stderr.String(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/timestamp-reply")
		_, _ = w.Write(reply)
	}))
	a.t.Cleanup(s.Close)
	return s
}

// down is the address of a server that is not there any more.
func down() string {
	s := httptest.NewServer(http.NotFoundHandler())
	s.Close()
	return s.URL
}

// broken is a server that answers something else than time stamps.
func broken(t *testing.T) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "out of order", http.StatusServiceUnavailable)
	}))
	t.Cleanup(s.Close)
	return s.URL
}
