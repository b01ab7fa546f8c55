package objfile

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// machO is a file of one architecture while it is read.
type machO struct {
	r io.ReaderAt
	// base and size are where it lies in the file; its own offsets count from
	// base.
	base, size int64
	order      binary.ByteOrder
	fileType   uint32
	o          *Object
	// signature is LC_CODE_SIGNATURE's offset and size, nil without one.
	signature *[2]uint32
	// versions are the deployment targets in their order.
	versions []machOVersion
}

type machOVersion struct{ platform, minimum, sdk string }

// File types that are read otherwise than the rest.
const (
	mhExecute   = 2
	mhDylibStub = 9
	mhDSYM      = 10
)

// machOHow tells how the load commands for libraries differ (see Need.How).
var machOHow = map[string]string{
	"LC_LOAD_DYLIB":        "",
	"LC_LOAD_WEAK_DYLIB":   "weak",
	"LC_REEXPORT_DYLIB":    "reexport",
	"LC_LOAD_UPWARD_DYLIB": "upward",
	"LC_LAZY_LOAD_DYLIB":   "lazy",
}

// readThin reads the Mach-O file of one architecture that takes size bytes at
// base.
func readThin(r io.ReaderAt, base, size int64) (*Object, error) {
	m := &machO{r: r, base: base, size: size}
	head, err := m.part(0, 28)
	if err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	m.order = thinOrder(head)
	start, bits := int64(28), 32
	if bytes.HasPrefix(head, machO64Big) || bytes.HasPrefix(head, machO64Little) {
		start, bits = 32, 64 // 4 reserved bytes more
	}
	field := func(i int) uint32 { return m.order.Uint32(head[4*i:]) }
	cpu, subtype := field(1), field(2)
	m.fileType = field(3)
	m.o = &Object{
		Format:    MachO,
		Machine:   machineName(cpu, subtype),
		Bits:      bits,
		Kind:      named(machOTables.Kinds, "macho", m.fileType),
		Signature: Signature{Kind: "none"},
		MachO:     &MachOInfo{},
		Offset:    base,
		Size:      size,
	}
	if level := machOTables.Subtypes[subtypeKey(cpu, subtype)].ISA; level != "" {
		m.o.ISA = ISA{Level: level, Evidence: "CPU subtype"}
	}
	count, length := field(4), int64(field(5))
	if count > maxCommands || length > maxCommandBytes {
		return nil, fmt.Errorf("%d load commands of %d bytes; at most %d of %d bytes are read", count, length, maxCommands, maxCommandBytes)
	}
	commands, err := m.part(start, length)
	if err != nil {
		return nil, fmt.Errorf("load commands: %w", err)
	}
	if err := m.commands(commands, int(count)); err != nil {
		return nil, err
	}
	m.floors()
	m.o.Static = m.fileType == mhExecute && m.o.Interp == "" && len(m.o.Needs) == 0
	if m.signature != nil && m.signature[1] != 0 && !m.apart() {
		s, err := m.readSignature(int64(m.signature[0]), int64(m.signature[1]))
		if err != nil {
			return nil, fmt.Errorf("code signature: %w", err)
		}
		m.o.Signature = s
	}
	return m.o, nil
}

// apart says that the headers are those of another file, from which this one was
// made as a stub or as symbols apart: the bytes they speak of are not there.
func (m *machO) apart() bool { return m.fileType == mhDylibStub || m.fileType == mhDSYM }

// part reads n bytes at an offset that counts from the start of the slice.
func (m *machO) part(offset, n int64) ([]byte, error) {
	if !fits(uint64(offset), uint64(n), m.size) {
		return nil, fmt.Errorf("%d bytes are needed at offset %d, but it has %d: it is cut short; fetch it again", n, offset, m.size)
	}
	return readPart(m.r, m.base+offset, n, m.base+m.size)
}

// commands reads the load commands, which fill b.
func (m *machO) commands(b []byte, count int) error {
	for i := range count {
		if len(b) < 8 {
			return fmt.Errorf("load command %d of %d lies behind the end of all", i, count)
		}
		number, length := m.order.Uint32(b), m.order.Uint32(b[4:])
		name := named(machOTables.Commands, "command", number)
		if length < 8 || uint64(length) > uint64(len(b)) {
			return fmt.Errorf("load command %d (%s) has %d bytes; 8 to %d are possible", i, name, length, len(b))
		}
		if err := m.command(name, b[:length]); err != nil {
			return fmt.Errorf("load command %d (%s): %w", i, name, err)
		}
		b = b[length:]
	}
	return nil
}

var errCommandShort = errors.New("it is shorter than its kind")

func (m *machO) command(name string, c []byte) (err error) {
	o := m.o
	switch name {
	case "LC_SEGMENT", "LC_SEGMENT_64":
		return m.segment(c, name == "LC_SEGMENT_64")
	case "LC_LOAD_DYLIB", "LC_LOAD_WEAK_DYLIB", "LC_REEXPORT_DYLIB", "LC_LOAD_UPWARD_DYLIB", "LC_LAZY_LOAD_DYLIB":
		need, err := m.dylib(c, machOHow[name])
		if err != nil {
			return err
		}
		o.Needs = append(o.Needs, need)
	case "LC_ID_DYLIB":
		o.Soname, err = m.text(c, 24)
	case "LC_LOAD_DYLINKER":
		o.Interp, err = m.text(c, 12)
	case "LC_ID_DYLINKER":
		o.Soname, err = m.text(c, 12)
	case "LC_RPATH":
		path, err := m.text(c, 12)
		if err != nil {
			return err
		}
		o.Rpath = append(o.Rpath, path)
	case "LC_UUID":
		if len(c) < 24 {
			return errCommandShort
		}
		o.BuildID = hex.EncodeToString(c[8:24])
	case "LC_CODE_SIGNATURE":
		if len(c) < 16 {
			return errCommandShort
		}
		if m.signature != nil {
			return errors.New("a second code signature")
		}
		m.signature = &[2]uint32{m.order.Uint32(c[8:]), m.order.Uint32(c[12:])}
	case "LC_BUILD_VERSION":
		if len(c) < 24 {
			return errCommandShort
		}
		m.version(named(machOTables.Platforms, "platform", m.order.Uint32(c[8:])), c[12:])
	case "LC_VERSION_MIN_MACOSX", "LC_VERSION_MIN_IPHONEOS", "LC_VERSION_MIN_TVOS", "LC_VERSION_MIN_WATCHOS":
		if len(c) < 16 {
			return errCommandShort
		}
		m.version(map[string]string{"LC_VERSION_MIN_MACOSX": "macos", "LC_VERSION_MIN_IPHONEOS": "ios", "LC_VERSION_MIN_TVOS": "tvos", "LC_VERSION_MIN_WATCHOS": "watchos"}[name], c[8:])
	}
	return err
}

// text reads the string of a load command, whose offset from the command's
// start stands in bytes 8 to 11. It comes after the command's header bytes.
func (m *machO) text(c []byte, header uint32) (string, error) {
	if uint32(len(c)) < header {
		return "", errCommandShort
	}
	at := m.order.Uint32(c[8:])
	if at < header || at >= uint32(len(c)) {
		return "", fmt.Errorf("its string starts at byte %d; %d to %d are possible", at, header, len(c)-1)
	}
	text, _, ended := bytes.Cut(c[at:], []byte{0})
	if !ended {
		return "", errors.New("its string has no end")
	}
	return string(text), nil
}

// Of dylib_use_command, which newer linkers write where a library is needed in
// more than one way at once (<mach-o/loader.h> of macOS 15).
const (
	dylibUseMarker   = 0x1a741800
	dylibUseHeader   = 28
	dylibUseWeak     = 1
	dylibUseReexport = 2
	dylibUseUpward   = 4
)

func (m *machO) dylib(c []byte, how string) (Need, error) {
	name, err := m.text(c, 24)
	if err != nil {
		return Need{}, err
	}
	if m.order.Uint32(c[12:]) == dylibUseMarker && m.order.Uint32(c[8:]) == dylibUseHeader && how == "" {
		// That a library may be absent weighs more than what else it is.
		switch flags := m.order.Uint32(c[24:]); {
		case flags&dylibUseWeak != 0:
			how = "weak"
		case flags&dylibUseReexport != 0:
			how = "reexport"
		case flags&dylibUseUpward != 0:
			how = "upward"
		}
	}
	v := m.order.Uint32(c[20:])
	return Need{Name: name, How: how, Compatibility: fmt.Sprintf("%d.%d.%d", v>>16, v>>8&0xff, v&0xff)}, nil
}

// version notes a deployment target and SDK, as they follow one another in c.
func (m *machO) version(platform string, c []byte) {
	m.versions = append(m.versions, machOVersion{platform, m.osVersion(c), m.osVersion(c[4:])})
}

// osVersion is a version in nibbles xxxx.yy.zz, as 14.0 or 10.13.2; empty where
// it is zero, which stands for none.
func (m *machO) osVersion(c []byte) string {
	v := m.order.Uint32(c)
	if v == 0 {
		return ""
	}
	s := fmt.Sprintf("%d.%d", v>>16, v>>8&0xff)
	if v&0xff != 0 {
		s += "." + strconv.FormatUint(uint64(v&0xff), 10)
	}
	return s
}

// floors chooses among several deployment targets: libraries may serve macOS
// and Mac Catalyst at once.
func (m *machO) floors() {
	for i, v := range m.versions {
		if i == 0 || v.platform == "macos" && m.o.MachO.Platform != "macos" {
			m.o.MachO.Platform, m.o.MachO.SDK = v.platform, v.sdk
			if v.platform == "macos" {
				m.o.Floors.MacOS = v.minimum
			}
		}
	}
}
