package publish

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/readahead"

	"github.com/relmat/relmat/internal/fsx"
)

// ErrChanged says that a file is not what it was when the release was planned.
var ErrChanged = errors.New("the file changed while it was published")

// mediaTypes are those of the files of a release, by the end of the name. The
// system's own table differs from machine to machine.
var mediaTypes = []struct{ end, media string }{
	{".tar.gz", "application/gzip"},
	{".tgz", "application/gzip"},
	{".gz", "application/gzip"},
	{".tar.zst", "application/zstd"},
	{".zst", "application/zstd"},
	{".tar.xz", "application/x-xz"},
	{".zip", "application/zip"},
	{".whl", "application/zip"},
	{".json", "application/json"},
	{".sha256", "text/plain; charset=utf-8"},
	{".sig", "application/pgp-signature"},
	{".asc", "application/pgp-signature"},
	{".txt", "text/plain; charset=utf-8"},
	{".md", "text/markdown; charset=utf-8"},
	{sumsName, "text/plain; charset=utf-8"},
}

// MediaType is the media type by which an asset of that name is uploaded.
func MediaType(name string) string {
	for _, m := range mediaTypes {
		if strings.HasSuffix(name, m.end) {
			return m.media
		}
	}
	if ext := path.Ext(name); ext == ".html" || ext == ".pdf" || ext == ".xml" {
		return mime.TypeByExtension(ext)
	}
	return "application/octet-stream"
}

// source is a file of a release with where its bytes come from.
type source struct {
	File
	data []byte // in place of a file that is made up here
}

func (s source) reader() (io.ReadCloser, error) {
	if s.data != nil {
		return io.NopCloser(bytes.NewReader(s.data)), nil
	}
	f, err := os.Open(s.Path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", s.Path)
	}
	if err == nil && info.Size() != s.Size {
		err = fmt.Errorf("%s: %w: it has %d bytes, and had %d", s.Path, ErrChanged, info.Size(), s.Size)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// upload is the body of a request, which may have to be sent again.
type upload struct {
	source
	size    int64
	media   string
	digests *fsx.Digests
	sent    func(int64) // told how far the newest reader is
}

// open starts from the beginning.
func (u *upload) open(w *watch) (io.ReadCloser, error) {
	f, err := u.reader()
	if err != nil {
		return nil, &localError{err}
	}
	u.sent(0)
	b := &body{u: u, w: w, file: f, from: f}
	if !u.known(f) {
		b.hash = sha256.New()
		b.from, err = readahead.NewReadCloserSize(struct {
			io.Reader
			io.Closer
		}{io.TeeReader(io.LimitReader(f, u.size), b.hash), f}, aheadBlocks, int(max(1, min(u.size, aheadBlock))))
	}
	if err != nil {
		f.Close()
		return nil, &localError{err}
	}
	return b, nil
}

// known tells whether the file is, by size, time and inode, the one whose
// digest was computed before. GitHub's own digest is the last word.
func (u *upload) known(f io.ReadCloser) bool {
	file, ok := f.(*os.File)
	if !ok {
		return false
	}
	sum, ok := u.digests.Known(file)
	return ok && sum == u.SHA256
}

// A file that has to be hashed is read ahead in that many blocks of so many
// bytes, so that one core hashes while another encrypts.
const (
	aheadBlocks = 4
	aheadBlock  = 256 << 10
)

// body is what is sent. Its last byte leaves only when the digest is right:
// GitHub never has the whole of a file that changed underneath. A file that was
// hashed before is not hashed again: that costs a third of the processor's time.
type body struct {
	u    *upload
	w    *watch
	file io.ReadCloser
	hash hash.Hash // nil where the digest is known

	mu   sync.Mutex    // net/http may close while it reads
	from io.ReadCloser // file, or what reads it ahead
	done int64
	err  error
}

func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return 0, b.err
	}
	if b.done == b.u.size {
		return 0, io.EOF
	}
	n, err := b.from.Read(p[:min(int64(len(p)), b.u.size-b.done)])
	b.done += int64(n)
	switch {
	case b.done == b.u.size:
		if !b.right() {
			return b.fail(fmt.Errorf("%s: %w: it has other bytes", b.u.Path, ErrChanged))
		}
		b.w.answer()
	case err == io.EOF:
		return b.fail(fmt.Errorf("%s: %w: it is shorter", b.u.Path, ErrChanged))
	case err != nil:
		return b.fail(err)
	default:
		b.w.touch()
	}
	b.u.sent(b.done)
	return n, nil
}

// right tells whether all that was read is what was wanted.
func (b *body) right() bool {
	if b.hash == nil {
		return b.u.known(b.file)
	}
	return hex.EncodeToString(b.hash.Sum(nil)) == b.u.SHA256
}

func (b *body) fail(err error) (int, error) {
	b.err = &localError{err}
	return 0, b.err
}

func (b *body) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.err = os.ErrClosed
	}
	return b.from.Close()
}

// uploadTo sends a file as the asset to, and comes back when GitHub has it
// with its digest. An asset that is in the way is a stale plan.
func (r *run) uploadTo(ctx context.Context, rel *releaseInfo, s source, to string, sent func(int64)) (Remote, error) {
	address, err := uploadURL(r.api, rel.upload, to)
	if err != nil {
		return Remote{}, err
	}
	var got Remote
	p := r.patience()
	for {
		var a asset
		err := r.do(ctx, request{
			method: http.MethodPost, path: address,
			body: &upload{source: s, size: s.Size, media: MediaType(s.Name), digests: r.Digests, sent: sent},
			read: into(&a),
		})
		if err == nil {
			got, err = r.judge(ctx, a.remote(), s, to)
		}
		if err == nil {
			return got, nil
		}
		if errors.Is(err, ErrChanged) || ctx.Err() != nil {
			return Remote{}, err
		}
		switch k := kindOf(err); {
		case k == kindAssetExists, k == kindMissing:
			// Something stands in the way, or another job has removed what was on
			// its way. That the release is gone shows when it is read.
			err = &staleError{err}
		case !k.transient() && !isStale(err):
			return Remote{}, err
		}
		if err := p.again(ctx, err); err != nil {
			return Remote{}, err
		}
		// What did the failed try leave? A 502 may have stored the asset.
		there, found, err := r.settleUpload(ctx, rel, s.File, to)
		if err != nil {
			return Remote{}, err
		}
		if found {
			sent(s.Size)
			return there, nil
		}
	}
}

// settleUpload looks at what stands under a name after an upload that failed,
// removes a starter, and tells whether the bytes are there after all.
func (r *run) settleUpload(ctx context.Context, rel *releaseInfo, f File, to string) (Remote, bool, error) {
	assets, err := r.listAssets(ctx, rel.ID)
	if err != nil {
		return Remote{}, false, err
	}
	for _, a := range assets {
		if a.Name != to {
			continue
		}
		if a.State == Starter {
			return Remote{}, false, r.removeStarter(ctx, a)
		}
		if a.Size == f.Size && a.SHA256 == "" && a.good() {
			if a.SHA256, err = r.download(ctx, a); err != nil {
				return Remote{}, false, err
			}
		}
		if a.good() && a.Size == f.Size && a.SHA256 == f.SHA256 {
			return a, true, nil
		}
		return Remote{}, false, stale("asset %s is there now, with other bytes", to)
	}
	return Remote{}, false, nil
}

// judge holds the answer to an upload against what was sent.
func (r *run) judge(ctx context.Context, a Remote, f source, to string) (Remote, error) {
	if a.Name != to {
		// The name is the one thing that GitHub changes without saying so.
		return a, fmt.Errorf("GitHub calls the asset %q, and not %q; rename the file, and delete asset %d", a.Name, to, a.ID)
	}
	if a.good() && a.SHA256 == "" && a.Size == f.Size {
		var err error
		if a.SHA256, err = r.download(ctx, a); err != nil {
			return a, err
		}
	}
	if a.good() && a.Size == f.Size && a.SHA256 == f.SHA256 {
		return a, nil
	}
	// Before good bytes are called bad they are looked at again.
	now, ok, err := r.asset(ctx, a.ID)
	if err != nil {
		return a, err
	}
	switch {
	case !ok:
		return a, stale("asset %s went away", to)
	case now.good() && now.Size == f.Size && now.SHA256 == f.SHA256:
		return now, nil
	case now.Name != to:
		return a, stale("asset %s has the name %s now", to, now.Name)
	case now.State == Starter:
		return a, stale("asset %s is still a starter", to)
	}
	if err := r.deleteAsset(ctx, now.ID); err != nil {
		return a, err
	}
	// Perhaps the file changed and nothing told: the next try hashes it.
	r.Digests.Forget(f.Path)
	return a, stale("GitHub has other bytes of %s than were sent (%d bytes, SHA-256 %s)", to, now.Size, now.SHA256)
}

// uploadURL is where a release's assets go: its upload_url is a template that
// ends in {?name,label} ("Create a release"). Bytes and token do not leave TLS
// for it.
func uploadURL(api *url.URL, template, name string) (string, error) {
	text, _, _ := strings.Cut(template, "{")
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != api.Scheme {
		return "", fmt.Errorf("GitHub names %q as the place for uploads, which is no address to send a token to", clip(template, 200))
	}
	u.RawQuery = url.Values{"name": {name}}.Encode()
	return u.String(), nil
}

// rate spells bytes a second and the time that the rest takes.
func rate(done, total int64, took time.Duration) (perSecond int64, left time.Duration) {
	if took <= 0 || done <= 0 {
		return 0, 0
	}
	perSecond = int64(float64(done) / took.Seconds())
	if perSecond > 0 {
		left = time.Duration(float64(total-done)/float64(perSecond)) * time.Second
	}
	return perSecond, left
}
