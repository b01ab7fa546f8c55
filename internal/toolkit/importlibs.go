package toolkit

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/relmat/relmat/internal/fsx"
	"github.com/relmat/relmat/internal/progress"
	"github.com/relmat/relmat/internal/toolkit/implib"
)

//go:embed importlibs.json
var importLibsJSON []byte

var importLibs = mustImportLibs(importLibsJSON)

// importLibTable says how NVIDIA names import libraries. Names of DLLs are
// patterns of path.Match in lower case.
type importLibTable struct {
	// Version is what a DLL's name has after the library's.
	Version string `json:"version"`
	// Apart are libraries that do not lie in lib.
	Apart []struct {
		Library   string `json:"library"`
		Directory string `json:"directory"`
	} `json:"apart"`
	// None are DLLs that no program links.
	None []struct {
		DLL string `json:"dll"`
	} `json:"none"`

	version *regexp.Regexp
}

func mustImportLibs(data []byte) *importLibTable {
	t := new(importLibTable)
	if err := json.Unmarshal(data, t); err != nil {
		panic("toolkit: importlibs.json: " + err.Error())
	}
	t.version = regexp.MustCompile(t.Version)
	return t
}

// of returns where a DLL's import library belongs, in a directory of the home
// that arch ends: lib/x64/cublas.lib. It is empty for what is no DLL, or has
// none.
func (t *importLibTable) of(dll, arch string) string {
	lower := strings.ToLower(dll)
	for _, n := range t.None {
		if ok, err := path.Match(n.DLL, lower); ok && err == nil {
			return ""
		}
	}
	at := t.version.FindStringIndex(dll)
	if at == nil || at[0] == 0 {
		return ""
	}
	library, dir := dll[:at[0]]+".lib", "lib"
	for _, a := range t.Apart {
		if a.Library == library {
			dir = a.Directory
		}
	}
	return path.Join(dir, arch, library)
}

// windowsArch are the words of CUDA's installer for Windows; the wheels have
// directories bin/x86_64 and lib/x64.
var windowsArch = map[string]string{"x86_64": "x64", "aarch64": "arm64"}

// finishWindows adds what nvcc, CMake and the linker look for and the wheels
// lack: import libraries, the installer's directory of DLLs, and in the home's
// directories what other wheels have in theirs.
func finishWindows(dir, platform string, x *index, task *progress.Task) error {
	_, cpu, _ := strings.Cut(platform, "-")
	arch := windowsArch[cpu]
	home := filepath.Join(dir, filepath.FromSlash(x.home()))
	if arch == "" || !isDir(home) {
		return nil // wheels of others
	}
	if err := gather(dir, x, apartWindows); err != nil {
		return err
	}
	if err := makeImportLibs(dir, cpu, x, task); err != nil {
		return err
	}
	wheels, installer := filepath.Join(home, "bin", cpu), filepath.Join(home, "bin", arch)
	if !isDir(wheels) {
		return nil
	}
	return aliasDir(wheels, installer)
}

// makeImportLibs makes the libraries of the DLLs that have none. One that
// cannot be made is missed by few programs, and noted.
func makeImportLibs(dir, cpu string, x *index, task *progress.Task) error {
	arch := windowsArch[cpu]
	x.Made = map[string]int64{}
	for _, rel := range x.paths() {
		lib := importLibs.of(path.Base(rel), arch)
		if lib == "" || !libraryDir.MatchString(path.Dir(rel)+"/") || x.isOtherHome(rel) {
			continue
		}
		lib = path.Join(x.home(), lib)
		if _, ok := x.Made[lib]; ok {
			continue // another version's DLL has the name
		}
		if _, err := os.Lstat(filepath.Join(dir, filepath.FromSlash(lib))); err == nil {
			lib = forMinGW(lib)
		}
		dll := filepath.Join(dir, filepath.FromSlash(rel))
		l, err := implib.Of(dll)
		if err != nil {
			// The directory is temporary, and the note is kept.
			why := strings.TrimPrefix(err.Error(), dll+": ")
			note := fmt.Sprintf("the toolkit has no %s, which only programs that link %s need: %s", path.Base(lib), path.Base(rel), why)
			task.Warn("%s", note)
			x.Notes = append(x.Notes, note)
			continue
		}
		if err := x.make(dir, lib, l); err != nil {
			return err
		}
	}
	return x.makeDriverLib(dir, cpu)
}

// forMinGW is the name that linkers of MinGW prefer, and Microsoft's does not
// know. NVIDIA's own cudart.lib and cuda.lib are no import libraries but code
// that finds the driver's DLLs (nvcudart_hybrid64.dll and nvcuda.dll), compiled
// against Microsoft's run-time library: MinGW cannot link it.
func forMinGW(lib string) string {
	dir, name := path.Split(lib)
	return dir + "lib" + strings.TrimSuffix(name, ".lib") + ".dll.a"
}

// makeDriverLib makes the library of the driver's DLL, which no wheel brings,
// from the entry points of cuda.h.
func (x *index) makeDriverLib(dir, cpu string) error {
	l := implib.Library{DLL: "nvcuda.dll", Machine: cpu}
	for _, name := range driverEntries(filepath.Join(dir, filepath.FromSlash(x.home()))) {
		l.Symbols = append(l.Symbols, implib.Symbol{Name: name})
	}
	if len(l.Symbols) == 0 {
		return nil // a toolkit of libraries alone
	}
	return x.make(dir, path.Join(x.home(), "lib", windowsArch[cpu], "libcuda.dll.a"), l)
}

// make writes a library that is not there.
func (x *index) make(dir, rel string, l implib.Library) error {
	file := filepath.Join(dir, filepath.FromSlash(rel))
	if _, err := os.Lstat(file); err == nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	if err := fsx.WriteTo(file, 0o644, l.Write); err != nil {
		return fmt.Errorf("%s: %w", rel, err)
	}
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	x.Made[rel] = info.Size()
	return nil
}

// isOtherHome tells files of another major version of CUDA than the home's.
func (x index) isOtherHome(rel string) bool {
	return homeDir.MatchString(rel) && !strings.HasPrefix(rel, x.home()+"/")
}

// paths are those of the wheels' files, sorted.
func (x index) paths() []string {
	list := make([]string, 0, len(x.Files))
	for rel := range x.Files {
		list = append(list, rel)
	}
	slices.Sort(list)
	return list
}

func isDir(p string) bool {
	info, err := os.Stat(p)
	return err == nil && info.IsDir()
}
