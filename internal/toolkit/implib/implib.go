// Package implib makes import libraries out of DLLs, because a linker needs
// one for each DLL and NVIDIA's wheels for Windows leave most of them out. It
// writes the short format that Microsoft's, LLVM's and GNU's linkers read
// (Microsoft, "PE Format", "Archive (Library) File Format" and "Import Library
// Format"), the same bytes for the same DLL on every host.
package implib

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/relmat/relmat/internal/objfile"
)

// Library is what an import library says.
type Library struct {
	// DLL is the file name that programs ask the loader for.
	DLL string
	// Machine is x86_64 or aarch64.
	Machine string
	Symbols []Symbol
}

// Symbol is what programs can link to.
type Symbol struct {
	// Name is the linker's, which the loader looks for in the DLL as well.
	Name string
	// Hint is where the loader looks first in the DLL's table of names.
	Hint uint16
	// Data has no function of its name that jumps to it: programs reach it by
	// __imp_NAME alone, as __declspec(dllimport) does.
	Data bool
}

// Of reads what the import library of the DLL at path says. Exports that have
// only a number are left out: what they are called stands in no file.
func Of(path string) (Library, error) {
	x, err := objfile.OpenExports(path)
	if err != nil {
		return Library{}, err
	}
	l := Library{DLL: filepath.Base(path), Machine: x.Machine}
	for _, e := range x.Symbols {
		if e.Name != "" {
			l.Symbols = append(l.Symbols, Symbol{Name: e.Name, Hint: e.Hint, Data: e.Data})
		}
	}
	if len(l.Symbols) == 0 {
		return l, fmt.Errorf("%s: %w", path, ErrNoSymbols)
	}
	return l, nil
}

// ErrNoSymbols says that nothing can be linked with a DLL: it exports no names.
var ErrNoSymbols = errors.New("the DLL exports no names")

// machines have the numbers of COFF, and those of a relocation that stands for
// an address relative to the image (IMAGE_REL_…_ADDR32NB).
var machines = map[string]machine{
	"x86_64":  {0x8664, 3},
	"aarch64": {0xaa64, 2},
}

type machine struct{ number, addr32NB uint16 }

// Write writes the library.
func (l Library) Write(w io.Writer) error {
	m, ok := machines[l.Machine]
	if !ok {
		return fmt.Errorf("%s is for %s: import libraries are made for x86_64 and aarch64", l.DLL, l.Machine)
	}
	if l.DLL == "" || strings.ContainsAny(l.DLL, "\x00/\\\n") {
		return fmt.Errorf("%q is no file name of a DLL", l.DLL)
	}
	// The name that link.exe makes up when it meets a short import.
	stem := strings.TrimSuffix(l.DLL, filepath.Ext(l.DLL))
	a := archive{name: l.DLL}
	a.add(descriptor(m, l.DLL, stem), descriptorName(stem))
	a.add(nullDescriptor(m), nullDescriptorName)
	a.add(nullThunk(m, stem), nullThunkName(stem))
	seen := make(map[string]bool, len(l.Symbols))
	for _, s := range l.Symbols {
		if s.Name == "" || strings.Contains(s.Name, "\x00") {
			return fmt.Errorf("%s: %q is no name of a symbol", l.DLL, s.Name)
		}
		if seen[s.Name] {
			return fmt.Errorf("%s exports %s twice", l.DLL, s.Name)
		}
		seen[s.Name] = true
		names := []string{"__imp_" + s.Name}
		if !s.Data {
			names = append(names, s.Name)
		}
		a.add(shortImport(m, l.DLL, s), names...)
	}
	return a.write(w)
}
