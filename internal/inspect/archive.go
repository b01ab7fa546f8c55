package inspect

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/relmat/relmat/internal/archive"
	"github.com/relmat/relmat/internal/fsx"
)

// maxMember bounds a native file in an archive, which may have to be written
// to the disk to be read. No linker makes a larger one.
const maxMember = 8 << 30

// maxInMemory is the size up to which a member is kept in memory instead.
const maxInMemory = 1 << 20

// archive looks at the members of an archive. Native ones are read where they
// lie, if they are stored as they are, or else from a temporary file without a
// name; of all others only the first bytes are read.
func (s *surveyor) archive(ctx context.Context, f io.ReaderAt, size int64, format archive.Format, b *basket) error {
	a, err := archive.NewReader(ctx, f, size, format, s.opts.Limits)
	if err != nil {
		return fmt.Errorf("reading it as %s: %w", format, archive.WithRemedy(err))
	}
	// Not deferred: the workers read from it.
	defer func() { _ = s.group.Wait(); a.Close() }()
	seen := map[string]bool{}
	for {
		m, err := a.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading it as %s: %w", format, archive.WithRemedy(err))
		}
		name, err := m.Clean()
		if err != nil {
			b.add(shorten(m.Name), 0).err = err
			continue
		}
		if err := s.keep(1 + len(name)/64); err != nil {
			return err
		}
		switch {
		case m.Mode.IsDir():
			continue
		case m.Mode&fs.ModeSymlink != 0 || m.Hard:
			b.links = append(b.links, Link{Path: name, Target: m.Link, Hard: m.Hard})
			continue
		}
		slot := b.add(name, m.Size)
		if seen[name] {
			slot.err = errors.New("the archive has two entries of this name")
		}
		seen[name] = true
		if !m.Mode.IsRegular() {
			continue
		}
		if err := s.member(ctx, slot, m, a.Concurrent()); err != nil {
			return err
		}
	}
}

// shorten keeps the start of a name that is too long to be one.
func shorten(name string) string {
	if len(name) > 200 {
		return name[:200]
	}
	return name
}

// member looks at one member, beside others where the archive allows it.
func (s *surveyor) member(ctx context.Context, slot *slot, m *archive.Member, concurrent bool) error {
	if at, ok := m.At(); ok {
		s.group.Go(func() error {
			if !isNative(at, slot.size) {
				return nil
			}
			return s.read(ctx, slot, at)
		})
		return nil
	}
	unpack := func() (*spooled, error) {
		sp, err := spool(m)
		err = fsx.TempSpace(err)
		if err != nil && ctx.Err() == nil && !errors.Is(err, archive.ErrTooLarge) {
			slot.err = err
			return nil, nil //nolint:nilnil // the member's own problem
		}
		return sp, err
	}
	look := func(sp *spooled) error {
		if sp == nil {
			return nil
		}
		defer sp.close()
		return s.read(ctx, slot, sp)
	}
	if concurrent {
		s.group.Go(func() error {
			sp, err := unpack()
			if err != nil {
				return err
			}
			return look(sp)
		})
		return nil
	}
	sp, err := unpack()
	if err != nil || sp == nil {
		return err
	}
	s.group.Go(func() error { return look(sp) })
	return nil
}

// spooled is the content of a member, in memory or in a file.
type spooled struct {
	io.ReaderAt
	close func()
}

// spool unpacks a member if it is native, else it returns nil.
func spool(m *archive.Member) (*spooled, error) {
	body, err := m.Open()
	if err != nil {
		return nil, err
	}
	defer body.Close()
	head := make([]byte, min(m.Size, 4096))
	n, err := io.ReadFull(body, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, err
	}
	if !nativeHead(head[:n]) {
		return nil, nil //nolint:nilnil // nothing to unpack
	}
	if m.Size > maxMember {
		return nil, fmt.Errorf("is larger than %d bytes, which no native file is", int64(maxMember))
	}
	content := io.LimitReader(io.MultiReader(bytes.NewReader(head[:n]), body), m.Size+1)
	if m.Size <= maxInMemory {
		data := bytes.NewBuffer(make([]byte, 0, m.Size+bytes.MinRead))
		got, err := data.ReadFrom(content)
		if err != nil {
			return nil, fmt.Errorf("unpacking it: %w", archive.WithRemedy(err))
		}
		return &spooled{bytes.NewReader(data.Bytes()), func() {}}, checkSize(got, m.Size)
	}
	f, err := os.CreateTemp("", "relmat-inspect-")
	if err != nil {
		return nil, err
	}
	// Without a name it goes when relmat does, however that ends. Windows
	// removes no file that is open.
	unlinked := os.Remove(f.Name()) == nil
	discard := func() {
		_ = f.Close()
		if !unlinked {
			_ = os.Remove(f.Name())
		}
	}
	buf := make([]byte, 256<<10)
	got, err := io.CopyBuffer(struct{ io.Writer }{f}, content, buf)
	switch err {
	case nil:
		err = checkSize(got, m.Size)
	default:
		err = fmt.Errorf("unpacking it: %w", archive.WithRemedy(err))
	}
	if err != nil {
		discard()
		return nil, err
	}
	return &spooled{f, discard}, nil
}

func checkSize(got, want int64) error {
	if got != want {
		return errors.New("its content has another size than the archive says")
	}
	return nil
}
