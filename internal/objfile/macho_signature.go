package objfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// Code signatures as Apple's <Kernel/kern/cs_blobs.h> (xnu) defines them. All
// of their numbers are big-endian, whatever the file's order.
const (
	csMagicSuperBlob     = 0xfade0cc0
	csMagicCodeDirectory = 0xfade0c02
	csMagicWrapper       = 0xfade0b01 // around a CMS message

	csSlotCodeDirectory = 0
	csSlotSignature     = 0x10000

	csAdHoc   = 0x00000002
	csRuntime = 0x00010000

	// csTeamVersion is the version of the code directory since which it has a
	// team identifier.
	csTeamVersion = 0x20200

	// The largest values that are read. A real signature has some ten blobs, and
	// its CMS message has about 10 kB.
	maxBlobs      = 1024
	maxCMSBytes   = 1 << 20
	maxIdentifier = 4096
)

// readSignature reads the embedded signature of size bytes at offset. Neither
// hashes nor certificates are verified.
func (m *machO) readSignature(offset, size int64) (s Signature, err error) {
	if !fits(uint64(offset), uint64(size), m.size) {
		return s, fmt.Errorf("it takes %d bytes at offset %d, but the file has %d: it is cut short; fetch it again", size, offset, m.size)
	}
	super, err := m.blob(offset, size, csMagicSuperBlob, 12)
	if err != nil {
		return s, err
	}
	count := int64(binary.BigEndian.Uint32(super.head[8:]))
	if count > maxBlobs || 12+8*count > super.size {
		return s, fmt.Errorf("it counts %d blobs in %d bytes; at most %d are read", count, super.size, maxBlobs)
	}
	index, err := m.part(offset+12, 8*count)
	if err != nil {
		return s, err
	}
	directory, message := int64(-1), int64(-1)
	for ; len(index) > 0; index = index[8:] {
		at := int64(binary.BigEndian.Uint32(index[4:]))
		switch binary.BigEndian.Uint32(index) {
		case csSlotCodeDirectory:
			directory = at
		case csSlotSignature:
			message = at
		}
	}
	if directory < 0 {
		return s, errors.New("it has no code directory")
	}
	flags, err := m.codeDirectory(&s, offset+directory, super.size-directory)
	if err != nil {
		return s, fmt.Errorf("code directory: %w", err)
	}
	s.Hardened = flags&csRuntime != 0
	s.Kind = "adhoc"
	if message < 0 || flags&csAdHoc != 0 {
		return s, nil
	}
	wrapper, err := m.blob(offset+message, super.size-message, csMagicWrapper, 8)
	if err != nil {
		return s, err
	}
	if wrapper.size == 8 {
		// codesign leaves the wrapper empty where there is no identity.
		return s, nil
	}
	if wrapper.size > maxCMSBytes {
		return s, fmt.Errorf("its CMS message has %d bytes; at most %d are read", wrapper.size, maxCMSBytes)
	}
	cms, err := m.part(offset+message+8, wrapper.size-8)
	if err != nil {
		return s, err
	}
	signer, err := readPKCS7(cms)
	if err != nil {
		return s, err
	}
	s.Kind, s.Signer, s.Timestamped = "identity", signer.Name, signer.Timestamped
	return s, nil
}

// csBlob is a blob whose first bytes were read.
type csBlob struct {
	head []byte
	size int64
}

// blob reads the first bytes of a blob at offset, which has room bytes at most.
func (m *machO) blob(offset, room int64, magic uint32, first int64) (csBlob, error) {
	if room < first {
		return csBlob{}, fmt.Errorf("a blob at offset %d lies outside of it", offset)
	}
	b, err := m.part(offset, first)
	if err != nil {
		return csBlob{}, err
	}
	if got := binary.BigEndian.Uint32(b); got != magic {
		return csBlob{}, fmt.Errorf("the blob at offset %d has magic number %#x instead of %#x", offset, got, magic)
	}
	size := int64(binary.BigEndian.Uint32(b[4:]))
	if size < first || size > room {
		return csBlob{}, fmt.Errorf("the blob at offset %d has %d bytes; %d to %d are possible", offset, size, first, room)
	}
	return csBlob{b, size}, nil
}

// codeDirectory reads the names in a code directory, and gives its flags.
func (m *machO) codeDirectory(s *Signature, offset, room int64) (flags uint32, err error) {
	// magic, length, version, flags, hashOffset, identOffset, nSpecialSlots,
	// nCodeSlots, codeLimit, hash's size and type, platform, page size, spare2,
	// then by version scatterOffset and teamOffset.
	blob, err := m.blob(offset, room, csMagicCodeDirectory, 44)
	if err != nil {
		return 0, err
	}
	version := binary.BigEndian.Uint32(blob.head[8:])
	if s.Identifier, err = m.blobText(offset, blob.size, int64(binary.BigEndian.Uint32(blob.head[20:]))); err != nil {
		return 0, fmt.Errorf("identifier: %w", err)
	}
	if version >= csTeamVersion {
		if blob.size < 52 {
			return 0, errors.New("it is shorter than its version says")
		}
		b, err := m.part(offset+48, 4)
		if err != nil {
			return 0, err
		}
		if at := int64(binary.BigEndian.Uint32(b)); at != 0 {
			if s.TeamID, err = m.blobText(offset, blob.size, at); err != nil {
				return 0, fmt.Errorf("team identifier: %w", err)
			}
		}
	}
	return binary.BigEndian.Uint32(blob.head[12:]), nil
}

// blobText reads the string that starts at byte at of a blob.
func (m *machO) blobText(offset, size, at int64) (string, error) {
	if at >= size {
		return "", fmt.Errorf("it starts at byte %d of %d", at, size)
	}
	b, err := m.part(offset+at, min(size-at, maxIdentifier))
	if err != nil {
		return "", err
	}
	text, _, ended := bytes.Cut(b, []byte{0})
	if !ended {
		return "", fmt.Errorf("it has no end within %d bytes", len(b))
	}
	return string(text), nil
}
