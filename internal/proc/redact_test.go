//go:build unix

package proc

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestRedactor(t *testing.T) {
	tests := []struct {
		name     string
		secrets  []string
		in, want string
	}{
		{"none", nil, "text", "text"},
		{"one", []string{"s3cr3t"}, "a s3cr3t b s3cr3t", "a *** b ***"},
		{"too short to hide", []string{"", "a", "12345"}, "a 12345", "a 12345"},
		{"just long enough", []string{"123456"}, "x123456x", "x***x"},
		{"one begins another", []string{"secret", "secret-and-more"}, "secret-and-more secret", "*** ***"},
		{"one ends another", []string{"secret", "my-secret"}, "my-secret", "***"},
		{"lines", []string{"-----BEGIN-----\n  abcdefgh\r\nshort\n"}, "x abcdefgh y -----BEGIN----- short", "x *** y *** short"},
		{"blanks around", []string{"  s3cr3t\n"}, "s3cr3t", "***"},
		{"what is left joins", []string{"ab***cd", "middle"}, "abmiddlecd", "***"},
		{"stars", []string{"******"}, "************", "***"},
		{"beyond ASCII", []string{"geheimnüß"}, "das geheimnüß", "das ***"},
	}
	for _, tt := range tests {
		if got := NewRedactor(tt.secrets).String(tt.in); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
	if got := (Redactor{}).String("text"); got != "text" {
		t.Errorf("the zero Redactor: %q", got)
	}
}

func TestSecrets(t *testing.T) {
	got := Secrets([]string{
		"GITHUB_TOKEN=t1", "gh_token=t2", "AWS_SECRET_ACCESS_KEY=t3", "DB_PASSWORD=t4", "SIGN_P12=t5", "X_PRIVATE_KEY=a=b", "MY_API_KEY=t6",
		"KEY_PASSPHRASE=t7", "PATH=/bin", "HOME=/root", "MONKEY=no", "TOKEN", "=TOKEN",
	})
	want := []string{"t1", "t2", "t3", "t4", "t5", "a=b", "t6", "t7"}
	if !slices.Equal(got, want) {
		t.Errorf("Secrets: %q, want %q", got, want)
	}
}

// A secret in the arguments and in the output, also one that the child writes
// in two pieces or that quoting would spell otherwise, is nowhere to be seen.
func TestRunShowsNoSecret(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	secrets := []string{"hunter2hunter3", "it's secret", "first line\nsecond line"}
	var lines []string
	c := sh(`printf hunter; sleep 0.1; printf '2hunter3\n'; echo "$@" >&2; echo "second line" >&2; exit 1`,
		"--token=hunter2hunter3", "it's secret", "first line\nsecond line")
	c.Log, c.Secrets = log, secrets
	c.Stderr = func(l string) { lines = append(lines, l) }
	err := failure(t, c)
	data, rerr := os.ReadFile(log)
	if rerr != nil {
		t.Fatal(rerr)
	}
	for where, text := range map[string]string{
		"lines": strings.Join(lines, "\n"), "log": string(data), "error": err.Error(), "command": err.Command,
		"tail": strings.Join(err.Tail, "\n"),
	} {
		if !strings.Contains(text, "***") {
			t.Errorf("%s: nothing was blotted out:\n%s", where, text)
		}
		for _, s := range []string{"hunter2", "s secret", "second line"} {
			if strings.Contains(text, s) {
				t.Errorf("%s: shows %q:\n%s", where, s, text)
			}
		}
	}
	if c.Args[3] != "--token=hunter2hunter3" {
		t.Errorf("the command itself was changed: %q", c.Args)
	}
}

// FuzzRedact writes text to the two streams of a sink in pieces: however they
// are cut, no secret is in a line, in the log or in the tail.
func FuzzRedact(f *testing.F) {
	f.Add("s3cr3t", "another", "a s3cr3t b another c\ns3cr3ts3cr3t", uint8(1))
	f.Add("abcdef", "defghi", "abcdefghi", uint8(3))
	f.Add("ab***cd", "middle", "abmiddlecd", uint8(2))
	f.Add("******", "*****", "************", uint8(5))
	f.Add("line one\nline two", "\r\n", "line one\r\nline two\nline", uint8(4))
	f.Add("aaaaaa", "aaaaaaa", "aaaaaaaaaaaaaaaaaaaa", uint8(7))
	f.Fuzz(func(t *testing.T, one, two, text string, step uint8) {
		secrets := []string{one, two}
		var log strings.Builder
		var shown []string
		s := &sink{redact: NewRedactor(secrets), log: &log}
		w := &lineWriter{sink: s, emit: func(l string) { shown = append(shown, l) }, remember: true}
		for rest := []byte(text); len(rest) > 0; {
			n := min(len(rest), int(step)+1)
			if m, err := w.Write(rest[:n]); m != n || err != nil {
				t.Fatalf("wrote %d of %d: %v", m, n, err)
			}
			rest = rest[n:]
		}
		w.flush()
		places := append(slices.Clone(shown), s.tail...)
		places = append(places, strings.Split(log.String(), "\n")...)
		for _, secret := range strings.Split(one+"\n"+two, "\n") {
			if secret = strings.TrimSpace(secret); len(secret) < minSecret {
				continue
			}
			for _, p := range places {
				if strings.Contains(p, secret) {
					t.Errorf("secret %q is in %q", secret, p)
				}
			}
		}
		// Without secrets nothing is lost but the carriage returns of line ends.
		if len(one) < minSecret && len(two) < minSecret {
			want := strings.ReplaceAll(text, "\r\n", "\n")
			got := strings.Join(shown, "\n")
			if strings.TrimRight(got, "\r\n") != strings.TrimRight(want, "\r\n") {
				t.Errorf("shown %q of %q", got, text)
			}
		}
	})
}

func BenchmarkLines(b *testing.B) {
	var text strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&text, "   Compiling crate-%d v0.1.0\n", i)
	}
	data := []byte(text.String())
	n := 0
	w := &lineWriter{sink: &sink{redact: NewRedactor([]string{"s3cr3ts3cr3t"})}, emit: func(string) { n++ }}
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if _, err := w.Write(data); err != nil {
			b.Fatal(err)
		}
	}
	if n == 0 {
		b.Fatal("no lines")
	}
}
