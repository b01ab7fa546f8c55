package archive

import (
	"archive/tar"
	"archive/zip"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zstd"
	"github.com/klauspost/pgzip"
	"github.com/xi2/xz"
)

// damages are what the formats' readers say of an archive that is not as it was
// made. io.EOF is one where a header is missing; the end of an archive is none
// of its errors.
var damages = []error{
	io.ErrUnexpectedEOF, io.EOF,
	zip.ErrFormat, zip.ErrChecksum, tar.ErrHeader, pgzip.ErrHeader, pgzip.ErrChecksum,
	zstd.ErrMagicMismatch, zstd.ErrCRCMismatch, zstd.ErrReservedBlockType, zstd.ErrUnexpectedBlockSize, zstd.ErrBlockTooSmall, zstd.ErrCompressedSizeTooBig, zstd.ErrFrameSizeMismatch, zstd.ErrFrameSizeExceeded,
	xz.ErrFormat, xz.ErrData, xz.ErrBuf,
}

// WithRemedy adds to the error of an archive that is damaged what may mend it.
func WithRemedy(err error) error {
	damaged := false
	for _, d := range damages {
		damaged = damaged || errors.Is(err, d)
	}
	var corrupt flate.CorruptInputError
	if damaged || errors.As(err, &corrupt) {
		return fmt.Errorf("%w; it may be damaged or cut short: fetch or make it again", err)
	}
	return err
}
