package githubtest

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"time"
)

// is says whether there is a fault of one of the kinds.
func (f *Fault) is(kinds ...kind) bool {
	if f == nil {
		return false
	}
	for _, k := range kinds {
		if f.kind == k {
			return true
		}
	}
	return false
}

// before is what comes in place of looking at the request. It says whether the
// request is over.
func (f *Fault) before(c *call) bool {
	if f == nil {
		return false
	}
	upload := c.op == OpUpload
	switch f.kind {
	case kindStatus:
		c.send(failure(f.status, f.message))
	case kindPrimary:
		c.send(c.s.primary(f.status, f.wait, f.retryAfter))
	case kindSecondary:
		c.send(secondary(f.status, f.wait, f.retryAfter))
	case kindRefuse, kindGoAway:
		io.CopyN(io.Discard, c.r.Body, f.at)
		c.give(f.kind)
	case kindReset:
		if upload {
			return false
		}
		c.breakOff()
	case kindHang:
		if upload {
			return false
		}
		c.s.pause(c.r, f.wait)
		c.breakOff()
	case kindGateway:
		if upload || f.stored {
			return false
		}
		c.send(failure(http.StatusBadGateway, "Server Error"))
	case kindServerError:
		if upload {
			return false
		}
		c.send(failure(http.StatusInternalServerError, "Server Error"))
	case kindCall:
		if !upload || f.at == 0 {
			f.do()
			f.kind = 0
		}
		return false
	default:
		return false
	}
	return true
}

// give refuses the stream, or ends the connection around it.
func (c *call) give(k kind) {
	c.s.answered(c, 0)
	cn := connOf(c.r)
	if cn == nil || cn.h2 == nil || !cn.h2.framed() {
		c.breakOff()
	}
	if k == kindGoAway {
		cn.h2.instead(replyGoAway)
	} else {
		cn.h2.instead(replyRefuse)
	}
	panic(http.ErrAbortHandler)
}

// breakOff resets the connection.
func (c *call) breakOff() {
	c.s.answered(c, 0)
	if cn := connOf(c.r); cn != nil {
		cn.reset()
	}
	panic(http.ErrAbortHandler)
}

// refuseUpload is what happens to an upload whose starter is made.
func (f *Fault) refuseUpload(c *call, rel *release, a *asset) *answer {
	if !f.is(kindGateway, kindServerError) || f.stored {
		return nil
	}
	// Read, so that the client comes to see the answer.
	io.Copy(io.Discard, c.r.Body)
	if !f.starter {
		c.s.mu.Lock()
		c.drop(rel, a)
		c.s.mu.Unlock()
	}
	if f.kind == kindServerError {
		return failure(http.StatusInternalServerError, "Error creating asset temp dir")
	}
	return failure(http.StatusBadGateway, "Server Error")
}

// body is the upload's bytes with the fault in it.
func (f *Fault) body(c *call) io.Reader {
	switch {
	case f.is(kindReset):
		return &broken{from: c.r.Body, left: f.at, then: c.breakOff}
	case f.is(kindHang):
		return &broken{from: c.r.Body, left: f.at, then: func() {
			c.s.pause(c.r, f.wait)
			c.breakOff()
		}}
	case f.is(kindCall):
		return &broken{from: c.r.Body, left: f.at, then: f.do, goOn: true}
	case f.is(kindDrip):
		return &dripping{from: c.r.Body, rate: f.at}
	}
	return c.r.Body
}

// broken does something after left bytes.
type broken struct {
	from io.Reader
	left int64
	then func()
	goOn bool
}

func (b *broken) Read(p []byte) (int, error) {
	if b.then == nil {
		return b.from.Read(p)
	}
	if b.left > 0 {
		n, err := b.from.Read(p[:min(int64(len(p)), b.left)])
		b.left -= int64(n)
		if err == io.EOF && b.left > 0 {
			b.left = 0 // a body that is shorter than that
		}
		if n > 0 || err != io.EOF {
			return n, err
		}
	}
	b.then()
	b.then = nil
	return b.from.Read(p)
}

type dripping struct {
	from io.Reader
	to   io.Writer
	rate int64
}

// step is what passes in a hundredth of a second.
func (d *dripping) step() int { return int(max(1, d.rate/100)) }

func (d *dripping) wait(n int) {
	time.Sleep(time.Duration(float64(n) / float64(max(1, d.rate)) * float64(time.Second)))
}

func (d *dripping) Read(p []byte) (int, error) {
	n, err := d.from.Read(p[:min(len(p), d.step())])
	d.wait(n)
	return n, err
}

func (d *dripping) Write(p []byte) (int, error) {
	done := 0
	for done < len(p) {
		n, err := d.to.Write(p[done:min(len(p), done+d.step())])
		done += n
		if err != nil {
			return done, err
		}
		if f, ok := d.to.(http.Flusher); ok {
			f.Flush()
		}
		d.wait(n)
	}
	return done, nil
}

// slow is w, dripping where the fault says so.
func (f *Fault) slow(w http.ResponseWriter) io.Writer {
	if f.is(kindDrip) {
		return &dripping{to: w, rate: f.at}
	}
	return w
}

// shift is by how many entries a page of a list is moved.
func (f *Fault) shift(page int) int {
	if f.is(kindShift) && page > 1 {
		return -1
	}
	return 0
}

// ghost says whether a list has an entry that is not there.
func (f *Fault) ghost(c *call) bool {
	n, _ := strconv.Atoi(c.r.URL.Query().Get("page"))
	return f.is(kindGhost) && n <= 1
}

// stale is a list without its newest entry, where the fault says so.
func stale[T any](f *Fault, list []T, id func(T) int64) []T {
	if !f.is(kindStale) || len(list) == 0 {
		return list
	}
	newest := 0
	for i := range list {
		if id(list[i]) > id(list[newest]) {
			newest = i
		}
	}
	return slices.Delete(slices.Clone(list), newest, newest+1)
}

var digestPattern = regexp.MustCompile(`"sha256:[0-9a-f]{64}"`)

// after is what comes in place of the answer. It says whether the request is
// over.
func (f *Fault) after(c *call, a *answer, body []byte) bool {
	if f == nil {
		return false
	}
	switch f.kind {
	case kindCallAfter:
		f.do()
	case kindLost:
		c.breakOff()
	case kindGateway:
		if !f.stored || a.status >= 300 {
			return false
		}
		f.stored = false
		c.send(failure(http.StatusBadGateway, "Server Error"))
		return true
	case kindTruncate:
		if len(body) > 0 {
			c.half(a.status, bytes.NewReader(body), int64(len(body)))
		}
		c.breakOff()
	case kindDigest:
		wrong := digestPattern.ReplaceAllFunc(body, func(d []byte) []byte {
			return []byte(`"sha256:` + wrongSum(string(d[8:72])) + `"`)
		})
		copy(body, wrong)
	}
	return false
}

// wrongSum is another digest of the same length.
func wrongSum(sum string) string {
	b := []byte(sum)
	for i, d := range b {
		b[i] = "123456789abcdef0"[hexDigit(d)]
	}
	return string(b)
}

func hexDigit(d byte) int {
	if d >= 'a' {
		return int(d-'a') + 10
	}
	return int(d - '0')
}

// half promises size bytes and sends half of them.
func (c *call) half(status int, from io.Reader, size int64) {
	c.s.answered(c, 0)
	c.w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
	c.w.WriteHeader(status)
	io.CopyN(c.w, from, size/2)
	http.NewResponseController(c.w).Flush()
	panic(http.ErrAbortHandler)
}

// cutFile breaks off while an asset is sent.
func (f *Fault) cutFile(c *call, from *os.File, size int64) {
	switch {
	case f.is(kindTruncate):
		c.half(http.StatusOK, from, size)
	case f.is(kindLost):
		c.breakOff()
	case f.is(kindCallAfter):
		f.do()
	}
}
