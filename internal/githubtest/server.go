package githubtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Server is one GitHub.
type Server struct {
	// URL, UploadURL and StorageURL are the API, the host of uploads and the
	// host that bytes come from, without a slash at the end. WebURL is where
	// the browser's addresses lie.
	URL, UploadURL, StorageURL, WebURL string
	// CAFile is a PEM file with the certificate to trust, empty without TLS.
	CAFile string

	o       options
	dir     string
	ownDir  bool
	spec    *spec
	servers []*http.Server
	done    chan struct{}
	close   sync.Once
	store   store

	mu    sync.Mutex // guards what follows, and everything in the repositories
	repos map[string]*Repo
	next  int64
	limit limits

	watch watch
	fault faults
	conns atomic.Int64 // that are open
}

// New starts a server that ends with the test, and fails the test when it has
// [Server.Problems] then.
func New(t testing.TB, opts ...Option) *Server {
	t.Helper()
	s, err := Start(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Close()
		if s.o.keepProblems {
			return
		}
		for _, p := range s.Problems() {
			t.Errorf("githubtest: %s", p)
		}
	})
	return s
}

// Start starts a server outside of a test. Close ends it.
func Start(opts ...Option) (*Server, error) {
	s := &Server{
		o: options{
			tokens: map[string]Rights{Token: {Push: true, Admin: true}},
			limits: Limits{Size: 2 << 30, Assets: 1000},
			now:    time.Now,
			core:   5000,
		},
		repos: map[string]*Repo{},
		next:  1000,
		done:  make(chan struct{}),
	}
	for _, opt := range opts {
		opt(&s.o)
	}
	var err error
	if s.spec, err = loadSpec(); err != nil {
		return nil, fmt.Errorf("reading GitHub's description: %w", err)
	}
	s.dir = s.o.dir
	if s.dir == "" {
		s.ownDir = true
		if s.dir, err = os.MkdirTemp("", "githubtest-"); err != nil {
			return nil, fmt.Errorf("making a directory for assets: %w", err)
		}
	} else if err := os.MkdirAll(s.dir, 0o777); err != nil {
		return nil, fmt.Errorf("making the directory for assets: %w", err)
	}
	s.store = store{dir: s.dir}
	if err := s.listen(); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// listen opens the three hosts.
func (s *Server) listen() error {
	var cert *certificate
	scheme, api, storage := "http", "127.0.0.1", "localhost"
	if s.o.tls {
		var err error
		if cert, err = newCertificate(); err != nil {
			return fmt.Errorf("making a certificate: %w", err)
		}
		s.CAFile = filepath.Join(s.dir, "ca.pem")
		if err := os.WriteFile(s.CAFile, cert.pem, 0o644); err != nil {
			return err
		}
		// gh takes no bare address for a host.
		scheme, api, storage = "https", "localhost", "127.0.0.1"
	}
	for i, h := range []http.HandlerFunc{s.serveAPI, s.serveUpload, s.serveStorage} {
		port := 0
		if i == 0 {
			port = s.o.port
		}
		ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			return fmt.Errorf("listening: %w", err)
		}
		at := ln.Addr().(*net.TCPAddr).Port
		switch i {
		case 0:
			s.URL = fmt.Sprintf("%s://%s:%d", scheme, api, at)
			s.WebURL = s.URL
		case 1:
			s.UploadURL = fmt.Sprintf("%s://%s:%d", scheme, api, at)
		case 2:
			s.StorageURL = fmt.Sprintf("%s://%s:%d", scheme, storage, at)
		}
		srv := &http.Server{
			Handler:           h,
			ReadHeaderTimeout: time.Minute,
			ErrorLog:          log.New(quiet{s}, "", 0),
			ConnState:         s.connState,
			ConnContext:       func(ctx context.Context, c net.Conn) context.Context { return withConn(ctx, c) },
		}
		var l net.Listener = &listener{Listener: ln, link: s.o.link}
		if cert != nil {
			l = cert.wrap(l, srv, s.o.http2)
		}
		s.servers = append(s.servers, srv)
		go func() {
			if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				s.problem("serving: %v", err)
			}
		}()
	}
	return nil
}

func (s *Server) connState(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		s.conns.Add(1)
	case http.StateClosed, http.StateHijacked:
		s.conns.Add(-1)
	}
}

// Drain waits until no client is connected, and tells whether that came about
// within the time. A client that was killed may have sent a request that is
// read later; after Drain, each such request is done. It is for HTTP/1, where a
// connection stays until its request is answered.
func (s *Server) Drain(within time.Duration) bool {
	// A connection that the kernel has taken is not counted for a moment.
	for end, still := time.Now().Add(within), 0; still < 3; time.Sleep(time.Millisecond) {
		if still++; s.conns.Load() != 0 {
			if still = 0; time.Now().After(end) {
				return false
			}
		}
	}
	return true
}

// quiet swallows what net/http says about connections that faults broke. A
// panic of this server's own is a problem.
type quiet struct{ s *Server }

func (q quiet) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte("panic")) {
		q.s.problem("%s", p)
	}
	return len(p), nil
}

// Close ends the server at once, with the requests that it is answering, and
// removes its bytes.
func (s *Server) Close() {
	s.close.Do(func() {
		close(s.done)
		for _, srv := range s.servers {
			srv.Close()
		}
		if s.ownDir {
			os.RemoveAll(s.dir)
		}
	})
}

// now is a date as GitHub writes them: UTC, whole seconds.
func (s *Server) now() time.Time { return s.o.now().UTC().Truncate(time.Second) }
