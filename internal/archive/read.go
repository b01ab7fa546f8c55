package archive

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"sync/atomic"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zstd"
	"github.com/klauspost/pgzip"
	"github.com/xi2/xz"
)

// The formats that are read and not written.
const (
	Tar    Format = "tar"
	TarZst Format = "tar.zst"
	TarXz  Format = "tar.xz"
)

// magics are the first bytes of the formats, and where they stand.
var magics = []struct {
	format Format
	at     int
	magic  string
}{
	{Zip, 0, "PK\x03\x04"},
	{Zip, 0, "PK\x05\x06"}, // without entries
	{TarGz, 0, "\x1f\x8b\x08"},
	{TarZst, 0, "\x28\xb5\x2f\xfd"},
	{TarXz, 0, "\xfd7zXZ\x00"},
	{Tar, 257, "ustar"},
}

// Sniff tells the format of an archive by its first bytes, since wheels,
// packages of distributions and others are archives by another name. That a
// compressed stream holds a tar is only seen when it is read.
func Sniff(r io.ReaderAt) (Format, bool) {
	head := make([]byte, 512)
	n, _ := r.ReadAt(head, 0)
	for _, m := range magics {
		if n >= m.at && bytes.HasPrefix(head[m.at:n], []byte(m.magic)) {
			return m.format, true
		}
	}
	return "", false
}

// maxWindow bounds the memory that a stream may ask of its decompressor: what
// zstd --ultra and xz -9 use and no more.
const maxWindow = 128 << 20

// maxName bounds an entry's name as systems do.
const maxName = 4096

// Reader reads the entries of an archive without unpacking it.
type Reader struct {
	ctx context.Context
	r   io.ReaderAt
	// stream and members are the bytes still allowed of the decompressed stream
	// and of what members give: a sparse one gives more than stands in it.
	stream, members atomic.Int64
	count           int // entries still allowed

	zip  *zip.Reader
	next int

	tar *tar.Reader
	in  io.Reader
	// plain is in, where it is not compressed.
	plain *io.SectionReader
	close []func()
}

// Member is one entry of an archive.
type Member struct {
	// Name is as it stands in the archive; see Clean.
	Name string
	Mode fs.FileMode
	// Size is what the archive says.
	Size int64
	// Link is the target of a symbolic or hard link; that of a hard link is the
	// name of another entry.
	Link string
	Hard bool

	reader *Reader
	file   *zip.File
	// at is where the content lies in a tar that is not compressed, else -1.
	at int64
}

// NewReader reads an archive of size bytes. The limits hold for what is
// unpacked on the way: of a zip the members that are opened, of all others the
// whole stream.
func NewReader(ctx context.Context, r io.ReaderAt, size int64, format Format, limits Limits) (*Reader, error) {
	a := &Reader{ctx: ctx, r: r, count: limits.Entries}
	a.stream.Store(limits.Bytes)
	a.members.Store(limits.Bytes)
	if format == Zip {
		// A directory of many entries would fill the memory before its length is
		// known. An entry takes 46 bytes and its name.
		dir := &firstBytes{r: r, left: 1<<20 + 256*int64(limits.Entries)}
		z, err := zip.NewReader(dir, size)
		if dir.left < 0 {
			return nil, errTooMany
		}
		if err != nil {
			return nil, err
		}
		dir.off.Store(true)
		z.RegisterDecompressor(zip.Deflate, flate.NewReader)
		z.RegisterDecompressor(zstd.ZipMethodWinZip, zstd.ZipDecompressor(zstd.WithDecoderMaxWindow(maxWindow)))
		a.zip = z
		return a, nil
	}
	section := io.NewSectionReader(r, 0, size)
	in := &contextReader{ctx, section}
	switch format {
	case Tar:
		// Without anything between, so that tar.Reader seeks over the contents.
		a.in, a.plain = section, section
		a.tar = tar.NewReader(section)
		return a, nil
	case TarGz:
		z, err := pgzip.NewReader(in)
		if err != nil {
			return nil, err
		}
		a.in, a.close = z, append(a.close, func() { _ = z.Close() })
	case TarZst:
		z, err := zstd.NewReader(in, zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, err
		}
		a.in, a.close = z, append(a.close, z.Close)
	case TarXz:
		z, err := xz.NewReader(in, maxWindow)
		if err != nil {
			return nil, err
		}
		a.in = z
	default:
		return nil, fmt.Errorf("unknown archive format %q", format)
	}
	a.in = &limited{a.in, &a.stream}
	a.tar = tar.NewReader(a.in)
	return a, nil
}

// ErrTooLarge says that an archive exceeds the limit of bytes.
var ErrTooLarge = errors.New("the archive unpacks to more bytes than allowed")

var errTooMany = errors.New("the archive has too many entries")

// Close ends the reading; members that are open end with it.
func (a *Reader) Close() {
	for _, c := range a.close {
		c()
	}
}

// Next gives the next entry, and at the end io.EOF.
func (a *Reader) Next() (*Member, error) {
	if err := a.ctx.Err(); err != nil {
		return nil, err
	}
	if a.count--; a.count < -1 {
		return nil, errTooMany
	}
	m, err := a.member()
	if err == nil && a.count < 0 {
		return nil, errTooMany
	}
	return m, err
}

func (a *Reader) member() (*Member, error) {
	if a.zip != nil {
		if a.next == len(a.zip.File) {
			return nil, io.EOF
		}
		f := a.zip.File[a.next]
		a.next++
		return a.zipMember(f)
	}
	for {
		h, err := a.tar.Next()
		if errors.Is(err, io.EOF) {
			// The stream's checksum stands at its end.
			n, err := io.Copy(io.Discard, io.LimitReader(a.in, maxPadding+1))
			if err == nil && n > maxPadding {
				err = errors.New("the archive goes on after its end")
			}
			if err == nil {
				err = io.EOF
			}
			return nil, err
		}
		if err != nil {
			return nil, err
		}
		if h.Typeflag == tar.TypeXGlobalHeader {
			continue // a comment, such as git archive's commit
		}
		m := &Member{
			Name: h.Name, Mode: h.FileInfo().Mode(), Size: h.Size, Link: h.Linkname, Hard: h.Typeflag == tar.TypeLink,
			reader: a, at: -1,
		}
		if a.plain != nil && h.Typeflag == tar.TypeReg && !isSparse(h) {
			if m.at, err = a.plain.Seek(0, io.SeekCurrent); err != nil {
				return nil, err
			}
		}
		return m, nil
	}
}

// isSparse tells whether a member's content does not stand in the archive in
// one piece ("Storing Sparse Files", GNU tar).
func isSparse(h *tar.Header) bool {
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return true
		}
	}
	return h.Typeflag == tar.TypeGNUSparse
}

func (a *Reader) zipMember(f *zip.File) (*Member, error) {
	m := &Member{Name: f.Name, Mode: f.Mode(), Size: int64(f.UncompressedSize64), reader: a, file: f, at: -1}
	if m.Size < 0 {
		return nil, fmt.Errorf("entry %q has an impossible size", f.Name)
	}
	if strings.HasSuffix(f.Name, "/") {
		m.Mode = fs.ModeDir | 0o755
	}
	if m.Mode&fs.ModeSymlink == 0 {
		return m, nil
	}
	body, err := m.Open()
	if err != nil {
		return nil, err
	}
	defer body.Close()
	target, err := io.ReadAll(io.LimitReader(body, maxSymlink+1))
	if err != nil {
		return nil, fmt.Errorf("entry %q: %w", f.Name, err)
	}
	if len(target) > maxSymlink {
		return nil, fmt.Errorf("entry %q is a link longer than any system allows", f.Name)
	}
	m.Link = string(target)
	return m, nil
}

// Clean is the member's name, clean and slash-separated. The error says that
// the name leads elsewhere or is too long.
func (m *Member) Clean() (string, error) {
	if len(m.Name) > maxName {
		return "", fmt.Errorf("entry %q... has a name longer than any system allows", m.Name[:64])
	}
	return cleanName(path.Clean(m.Name))
}

// Open reads the member's content. Those of a zip may be opened at any time
// until Close, and many at once; any other only before the next one is asked
// for, and once.
func (m *Member) Open() (io.ReadCloser, error) {
	if m.file == nil {
		return io.NopCloser(&limited{&contextReader{m.reader.ctx, m.reader.tar}, &m.reader.members}), nil
	}
	if m.file.Flags&zipEncrypted != 0 {
		return nil, fmt.Errorf("entry %q is encrypted", m.Name)
	}
	body, err := m.file.Open()
	if err != nil {
		return nil, fmt.Errorf("entry %q: %w", m.Name, err)
	}
	return struct {
		io.Reader
		io.Closer
	}{&limited{&contextReader{m.reader.ctx, body}, &m.reader.members}, body}, nil
}

// Concurrent tells whether members may be opened after the next one was asked
// for.
func (a *Reader) Concurrent() bool { return a.zip != nil }

// At gives random access to the member where the archive holds it as it is.
func (m *Member) At() (r io.ReaderAt, ok bool) {
	if a := m.reader; m.file == nil && m.at >= 0 && m.Size <= a.plain.Size()-m.at {
		return io.NewSectionReader(a.plain, m.at, m.Size), true
	}
	if m.file == nil || m.file.Method != zip.Store || m.file.Flags&zipEncrypted != 0 || m.file.CompressedSize64 != m.file.UncompressedSize64 {
		return nil, false
	}
	offset, err := m.file.DataOffset()
	if err != nil {
		return nil, false
	}
	return io.NewSectionReader(m.reader.r, offset, m.Size), true
}

// limited takes what it reads from a limit that others share.
type limited struct {
	r    io.Reader
	left *atomic.Int64
}

func (l *limited) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	if l.left.Add(-int64(n)) < 0 {
		return 0, ErrTooLarge
	}
	return n, err
}

// firstBytes lets only so many bytes be read until it is switched off.
type firstBytes struct {
	r    io.ReaderAt
	left int64
	off  atomic.Bool
}

func (f *firstBytes) ReadAt(p []byte, off int64) (int, error) {
	if f.off.Load() {
		return f.r.ReadAt(p, off)
	}
	if f.left -= int64(len(p)); f.left < 0 {
		return 0, errTooMany
	}
	return f.r.ReadAt(p, off)
}
