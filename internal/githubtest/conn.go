package githubtest

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"
)

// conn is a connection of a client, as slow as the link is.
type conn struct {
	net.Conn
	link  Link
	first sync.Once
	in    meter
	out   meter
	h2    *h2conn // set where the connection speaks TLS
}

type listener struct {
	net.Listener
	link Link
}

func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if t, ok := c.(*net.TCPConn); ok && l.link.Rate > 0 {
		// What the kernel takes in ahead of a limited reader is bandwidth that
		// the client seems to have.
		t.SetReadBuffer(128 << 10)
		t.SetWriteBuffer(128 << 10)
	}
	return &conn{Conn: c, link: l.link, in: meter{rate: l.link.Rate}, out: meter{rate: l.link.Rate}}, nil
}

func (c *conn) Read(p []byte) (int, error) {
	c.first.Do(func() { time.Sleep(c.link.Latency) })
	if c.link.Rate > 0 {
		// Small steps, so that the stream flows and does not jump.
		p = p[:min(len(p), 64<<10)]
	}
	n, err := c.Conn.Read(p)
	c.in.took(n)
	return n, err
}

func (c *conn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.out.took(n)
	return n, err
}

// reset breaks the connection so that the other side sees it.
func (c *conn) reset() {
	if t, ok := c.Conn.(*net.TCPConn); ok {
		t.SetLinger(0)
	}
	c.Conn.Close()
}

// meter makes a stream take the time that its rate asks for.
type meter struct {
	rate int64 // bytes a second; 0 is no limit
	mu   sync.Mutex
	free time.Time // when what was sent so far has gone through
}

func (m *meter) took(n int) {
	if m.rate <= 0 || n <= 0 {
		return
	}
	m.mu.Lock()
	now := time.Now()
	if m.free.Before(now) {
		m.free = now
	}
	m.free = m.free.Add(time.Duration(float64(n) / float64(m.rate) * float64(time.Second)))
	wait := m.free.Sub(now)
	m.mu.Unlock()
	// A timer is not exact below a millisecond; what is left out here is
	// counted in free.
	if wait > time.Millisecond {
		time.Sleep(wait)
	}
}

type connKey struct{}

func withConn(ctx context.Context, c net.Conn) context.Context {
	if h, ok := c.(*h2conn); ok {
		raw, _ := h.tls.NetConn().(*conn)
		raw.h2 = h
		c = raw
	}
	return context.WithValue(ctx, connKey{}, c)
}

// connOf is the connection that r came over.
func connOf(r *http.Request) *conn {
	c, _ := r.Context().Value(connKey{}).(*conn)
	return c
}
