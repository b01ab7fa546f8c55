// Package objfile reads what a native file is, what it needs to be loaded, and
// on what it can run: ELF, PE and Mach-O files, and Apple's metallib. It reads
// headers alone, and answers or gives an error for any bytes, within bounded
// time and memory.
package objfile

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// ErrFormat says that a file is of none of the formats that the package reads.
// What has a format's magic number but is damaged gives another error.
var ErrFormat = errors.New("not a native file")

// Format is the kind of file.
type Format string

// The formats.
const (
	ELF      Format = "elf"
	PE       Format = "pe"
	MachO    Format = "macho"
	Metallib Format = "metallib"
)

// Kind is what a file is for.
type Kind string

// The kinds. A position-independent executable is an Executable.
const (
	Executable Kind = "executable"
	Library    Kind = "library"
	Relocated  Kind = "object" // for the linker: .o, .obj
	Bundle     Kind = "bundle" // Mach-O MH_BUNDLE
	Debug      Kind = "debug"  // symbols without code: .debug, dSYM
	Core       Kind = "core"
	Shaders    Kind = "shaders" // metallib
)

// Object is one native file, or one slice of a universal Mach-O file. Lists
// keep the file's own order.
type Object struct {
	Format Format
	// Machine is x86_64, aarch64, i386, arm, arm64e, arm64ec, riscv64, ppc64le,
	// s390x, cuda or, for others, the number of the format's table, such as
	// "elf-42".
	Machine string
	// Bits is 32 or 64, 0 for a metallib.
	Bits int
	Kind Kind
	// Static says that no loader is needed: an executable without interpreter,
	// imports or load commands for libraries.
	Static bool
	// Soname is the name under which other files need this one: ELF's DT_SONAME,
	// Mach-O's install name, the name in PE's export directory.
	Soname string
	// Needs are the libraries that are loaded with the file.
	Needs []Need
	// DelayNeeds are loaded at the first call: PE's delay imports.
	DelayNeeds []Need
	// Dlopen are the libraries that the file says it loads by name.
	Dlopen []Dlopen
	// Interp is the program interpreter, the dynamic linker (ELF: PT_INTERP,
	// Mach-O: LC_LOAD_DYLINKER).
	Interp string
	// Rpath are the directories of DT_RPATH or of LC_RPATH, Runpath those of
	// DT_RUNPATH, as they stand in the file. An empty entry is kept.
	Rpath, Runpath []string
	// Floors are the oldest versions of what the system must provide.
	Floors Floors
	// ISA is the CPU level that the file asks for.
	ISA ISA
	// BuildID identifies the link: ELF's GNU build-id, Mach-O's LC_UUID, in
	// lower-case hexadecimal; PE's PDB GUID and age as symbol servers write it.
	BuildID string
	// Signature is the code signature of PE and Mach-O files.
	Signature Signature
	// Sections are the parts of the file that the linker made.
	Sections []Section
	// PE and MachO hold what only these formats have.
	PE    *PEInfo
	MachO *MachOInfo
	// Offset and Size are where the slice lies in the file; for all but
	// universal Mach-O files 0 and the size of the file.
	Offset, Size int64
}

// Need is a library that a file is linked with.
type Need struct {
	// Name is as it stands in the file.
	Name string
	// How tells apart what is loaded otherwise than always: "weak" (its absence
	// is no error), "reexport", "upward", "lazy"; empty for all others.
	How string
	// Symbols and Ordinals count what a PE file imports by name and by number.
	Symbols, Ordinals int
	// APISet says that the name is a contract of Windows, resolved by no file of
	// that name (Microsoft, "Windows API sets").
	APISet bool
	// Versions are the symbol versions that an ELF file asks of this library, as
	// in .gnu.version_r, in its order.
	Versions []string
	// Compatibility is the oldest version that a Mach-O file takes, as 1.2.3.
	Compatibility string
}

// Dlopen is one entry of an ELF file's .note.dlopen (systemd, "ELF Package
// Metadata: dlopen").
type Dlopen struct {
	Sonames  []string `json:"soname"`
	Feature  string   `json:"feature,omitempty"`
	Purpose  string   `json:"description,omitempty"`
	Priority string   `json:"priority,omitempty"`
}

// Floors are the oldest versions on which a file starts; empty where it does
// not say. Versions are numbers with points: 2.35, 3.4.30, 14.0.
type Floors struct {
	Glibc, Glibcxx, CXXABI, Libgcc string
	// MacOS is the deployment target.
	MacOS string
	// Windows is the version in the subsystem's fields, as 6.0.
	Windows string
}

// ISA is a CPU level and how it is known.
type ISA struct {
	// Level is x86-64 (v1), x86-64-v2, x86-64-v3 or x86-64-v4; empty where the
	// file does not say.
	Level string
	// Evidence is where that stands, such as ".note.gnu.property".
	Evidence string
}

// Signature is a code signature. It is read, not verified.
type Signature struct {
	// Kind is "none", "adhoc", "identity" (Mach-O) or "authenticode" (PE); empty
	// where the format knows no signature.
	Kind string
	// Signer is the common name of the certificate that signed.
	Signer string
	// Identifier and TeamID are those of Mach-O's code directory.
	Identifier, TeamID string
	// Hardened says that the hardened runtime is asked for (Mach-O).
	Hardened bool
	// Timestamped says that a trusted time stamp is there.
	Timestamped bool
}

// Identified tells whether somebody has signed: a linker's ad-hoc signature says
// nothing of anybody.
func (s Signature) Identified() bool { return s.Kind == "authenticode" || s.Kind == "identity" }

// Section is a part of a file.
type Section struct {
	// Name is the section's; for Mach-O segment and section, as
	// "__TEXT,__cstring".
	Name string
	// Offset and Size are where its bytes lie in the file; Size is 0 where it
	// takes no room there.
	Offset, Size int64
	// Addr is its virtual address (PE: relative to the image base).
	Addr uint64
	// Exec says that the bytes are code, Alloc that they are loaded.
	Exec, Alloc bool
}

// PEInfo is what only PE files have.
type PEInfo struct {
	// Subsystem is the name of Microsoft's PE Format: windows_cui, windows_gui,
	// native, efi_application..., or its number.
	Subsystem string
	// Linker is the linker's version, as 14.44.
	Linker string
	// PDB is the path of the symbol file in the debug directory.
	PDB string
	// Debug says that it links a debug run-time library (ucrtbased.dll,
	// vcruntime140d.dll, msvcp140d.dll).
	Debug bool
}

// MachOInfo is what only Mach-O files have.
type MachOInfo struct {
	// Platform is macos, ios, maccatalyst..., SDK the version built against.
	Platform, SDK string
	// Version is the version of a metallib's format, as 2.7.
	Version string
	// Universal says that the file holds more slices.
	Universal bool
}

// Open reads the native file at path; see Read.
func Open(path string) ([]*Object, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: %w", path, ErrFormat)
	}
	objects, err := Read(f, info.Size())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return objects, nil
}

// Read reads a native file of size bytes: one object, or one for each slice of
// a universal Mach-O file. The error is ErrFormat where the bytes have no
// format's magic number, and another where the file is damaged.
func Read(r io.ReaderAt, size int64) ([]*Object, error) {
	var magic [64]byte
	n, err := r.ReadAt(magic[:min(size, int64(len(magic)))], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	head := magic[:n]
	switch {
	case isELF(head):
		return one(readELF(r, size))
	case isMachO(head):
		return readMachO(r, size)
	case isMetallib(head):
		return one(readMetallib(r, size))
	case isPE(head):
		return one(readPE(r, size))
	}
	return nil, ErrFormat
}

func one(o *Object, err error) ([]*Object, error) {
	if err != nil {
		return nil, err
	}
	return []*Object{o}, nil
}
