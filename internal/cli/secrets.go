package cli

import (
	"io"
	"net/url"
	"sync"

	"github.com/relmat/relmat/internal/proc"
	"github.com/relmat/relmat/internal/progress"
)

// secrets are what no output of relmat's may show: the one place where all of
// it leaves asks them.
type secrets struct {
	mu     sync.Mutex
	values []string
	redact proc.Redactor
}

// newSecrets knows those of the environment: variables with the names of
// credentials, and the passwords of proxies.
func newSecrets(env []string) *secrets {
	s := &secrets{}
	s.add(proc.Secrets(env)...)
	for _, name := range []string{"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"} {
		if u, err := url.Parse(proc.Getenv(env, name)); err == nil && u.User != nil {
			if word, ok := u.User.Password(); ok {
				s.add(word, url.QueryEscape(word), url.PathEscape(word))
			}
		}
	}
	return s
}

func (s *secrets) add(values ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.values = append(s.values, values...)
	s.redact = proc.NewRedactor(s.values)
}

func (s *secrets) clean(text string) string {
	s.mu.Lock()
	r := s.redact
	s.mu.Unlock()
	return r.String(text)
}

// sink is another sink that never sees a secret.
func (s *secrets) sink(to progress.Sink) progress.Sink { return &cleanSink{to, s} }

type cleanSink struct {
	to progress.Sink
	s  *secrets
}

func (c *cleanSink) Event(e progress.Event) {
	e.Text = c.s.clean(e.Text)
	c.to.Event(e)
}

func (c *cleanSink) Close() error {
	if cl, ok := c.to.(io.Closer); ok {
		return cl.Close()
	}
	return nil
}
