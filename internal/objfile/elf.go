// Package objfile reads what a native file needs to be loaded. It answers or
// gives an error for any bytes.
package objfile

import (
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// ErrNotELF says that a file is of another format.
var ErrNotELF = errors.New("not an ELF file")

// ELF is the dynamic section of an ELF file (System V ABI, "Dynamic Section").
type ELF struct {
	Machine elf.Machine
	Type    elf.Type
	// Interp is the program interpreter, of executables.
	Interp string
	// Soname is DT_SONAME.
	Soname string
	// Needed are the DT_NEEDED names in their order.
	Needed []string
	// Rpath and Runpath are the directories of DT_RPATH and DT_RUNPATH, which
	// the loader treats differently.
	Rpath, Runpath []string
}

// OpenELF reads the file at path.
func OpenELF(path string) (*ELF, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	e, err := ReadELF(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return e, nil
}

// ReadELF reads an ELF file. The error is ErrNotELF for any other format.
func ReadELF(r io.ReaderAt) (out *ELF, err error) {
	var magic [4]byte
	if _, err := r.ReadAt(magic[:], 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if string(magic[:]) != elf.ELFMAG {
		return nil, ErrNotELF
	}
	// debug/elf promises no hardening against hostile files.
	defer func() {
		if p := recover(); p != nil {
			out, err = nil, fmt.Errorf("damaged ELF file: %v", p)
		}
	}()
	f, err := elf.NewFile(r)
	if err != nil {
		return nil, fmt.Errorf("damaged ELF file: %w", err)
	}
	out = &ELF{Machine: f.Machine, Type: f.Type}
	for _, p := range f.Progs {
		// debug/elf finds the dynamic section by its section header, and takes a
		// file without one for a static one.
		if p.Type == elf.PT_DYNAMIC && f.SectionByType(elf.SHT_DYNAMIC) == nil {
			return nil, errors.New("damaged ELF file: it has a dynamic segment but no section header for it")
		}
		if p.Type == elf.PT_INTERP && p.Filesz < 4096 {
			b := make([]byte, p.Filesz)
			if _, err := p.ReadAt(b, 0); err != nil {
				return nil, fmt.Errorf("damaged ELF file: interpreter: %w", err)
			}
			out.Interp = strings.TrimRight(string(b), "\x00")
		}
	}
	for _, item := range []struct {
		tag elf.DynTag
		set func([]string)
	}{
		{elf.DT_NEEDED, func(v []string) { out.Needed = v }},
		{elf.DT_SONAME, func(v []string) { out.Soname = strings.Join(v, "") }},
		{elf.DT_RPATH, func(v []string) { out.Rpath = split(v) }},
		{elf.DT_RUNPATH, func(v []string) { out.Runpath = split(v) }},
	} {
		v, err := f.DynString(item.tag)
		if err != nil {
			return nil, fmt.Errorf("damaged ELF file: %s: %w", item.tag, err)
		}
		// DynString leaves out a name that lies outside of the string table.
		if all, err := f.DynValue(item.tag); err != nil || len(all) != len(v) {
			return nil, fmt.Errorf("damaged ELF file: %s names no string", item.tag)
		}
		item.set(v)
	}
	return out, nil
}

func split(values []string) []string {
	var dirs []string
	for _, v := range values {
		dirs = append(dirs, strings.Split(v, ":")...)
	}
	return dirs
}
