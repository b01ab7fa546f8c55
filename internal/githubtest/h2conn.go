package githubtest

import (
	"crypto/tls"
	"encoding/binary"
	"net"
	"sync"
)

// Parts of frames ("RFC 9113, HTTP/2", Frame Format, Error Codes).
const (
	preface     = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" // of the client, before its frames
	frameHead   = 9
	typeHeaders = 0x1
	typeReset   = 0x3
	typeGoAway  = 0x7
	resetFrame  = frameHead + 4

	codeNone     = 0x0
	codeInternal = 0x2
	codeRefused  = 0x7
)

// reply is what the client gets in place of a stream's reset.
type reply int

const (
	replyReset  reply = iota // as it is
	replyRefuse              // REFUSED_STREAM: nothing was processed, ask again
	replyGoAway              // GOAWAY with the stream left out
)

// h2conn sees the frames of a connection. When a handler gives up, the engine
// resets the stream with INTERNAL_ERROR; h2conn makes another answer of that,
// which no handler can give.
type h2conn struct {
	// Not the TLS connection itself: net/http would take its state for a sign
	// that HTTP/2 is none of its business any more.
	net.Conn
	tls *tls.Conn

	agreed sync.Once
	h2     bool

	mu     sync.Mutex
	next   []reply // for the resets to come, in order
	newest uint32  // stream that the client opened last
	last   uint32  // of GOAWAY
	gone   bool

	skip int    // bytes from the client until the next frame
	head []byte // what is there of that frame's head
	out  []byte // to the client: of a frame that is not complete
}

func newH2Conn(c *tls.Conn) *h2conn {
	return &h2conn{Conn: c, tls: c, skip: len(preface)}
}

// framed says whether it was HTTP/2 that client and server agreed on. It is
// asked when the handshake is over.
func (h *h2conn) framed() bool {
	h.agreed.Do(func() { h.h2 = h.tls.ConnectionState().NegotiatedProtocol == "h2" })
	return h.h2
}

// instead says what the client gets for the next reset.
func (h *h2conn) instead(r reply) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.next = append(h.next, r)
}

func (h *h2conn) Read(p []byte) (int, error) {
	n, err := h.Conn.Read(p)
	if !h.framed() {
		return n, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.look(p[:n])
	if h.gone && h.newest > h.last {
		// A stream opened after the GOAWAY: the client knows that it is not
		// processed, so it must not be.
		h.Conn.Close()
		return 0, net.ErrClosed
	}
	return n, err
}

// look follows the frames that the client sends.
func (h *h2conn) look(p []byte) {
	for len(p) > 0 {
		if h.skip > 0 {
			n := min(h.skip, len(p))
			h.skip -= n
			p = p[n:]
			continue
		}
		n := min(frameHead-len(h.head), len(p))
		h.head = append(h.head, p[:n]...)
		p = p[n:]
		if len(h.head) < frameHead {
			return
		}
		if stream := streamOf(h.head); h.head[3] == typeHeaders && stream > h.newest {
			h.newest = stream
		}
		h.skip = sizeOf(h.head) - frameHead
		h.head = h.head[:0]
	}
}

// Write passes whole frames on, since only between two of them there is room
// for another one.
func (h *h2conn) Write(p []byte) (int, error) {
	if !h.framed() {
		return h.Conn.Write(p)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.out = append(h.out, p...)
	done := 0
	for {
		rest := h.out[done:]
		if len(rest) < frameHead || len(rest) < sizeOf(rest) {
			break
		}
		size := sizeOf(rest)
		if rest[3] == typeReset && size == resetFrame && len(h.next) > 0 && binary.BigEndian.Uint32(rest[frameHead:]) == codeInternal {
			r := h.next[0]
			h.next = h.next[1:]
			if err := h.replace(h.out[:done], rest[:size], r); err != nil {
				return 0, err
			}
			h.out = append([]byte(nil), rest[size:]...)
			done = 0
			continue
		}
		done += size
	}
	if _, err := h.Conn.Write(h.out[:done]); err != nil {
		return 0, err
	}
	h.out = append(h.out[:0], h.out[done:]...)
	return len(p), nil
}

// replace sends what came before a reset, and then r in its place.
func (h *h2conn) replace(before, reset []byte, r reply) error {
	stream := streamOf(reset)
	if r != replyReset {
		binary.BigEndian.PutUint32(reset[frameHead:], codeRefused)
	}
	frames := append([]byte(nil), before...)
	if r == replyGoAway {
		// Only the newest stream can be left out of what was processed; an
		// older one is refused by itself.
		h.last = h.newest
		if stream == h.newest && stream >= 2 {
			h.last = stream - 2
		} else {
			frames = append(frames, reset...)
		}
		h.gone = true
		h.newest = h.last
		frames = append(frames, 0, 0, 8, typeGoAway, 0, 0, 0, 0, 0)
		frames = binary.BigEndian.AppendUint32(frames, h.last)
		frames = binary.BigEndian.AppendUint32(frames, codeNone)
	} else {
		frames = append(frames, reset...)
	}
	_, err := h.Conn.Write(frames)
	return err
}

// sizeOf is the length of the frame that begins with head, in bytes.
func sizeOf(head []byte) int {
	return frameHead + (int(head[0])<<16 | int(head[1])<<8 | int(head[2]))
}

func streamOf(head []byte) uint32 { return binary.BigEndian.Uint32(head[5:]) & (1<<31 - 1) }
