// Package loader finds libraries as each platform's loader does: ld.so on
// Linux, the loader of Windows, dyld on macOS.
package loader

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/relmat/relmat/internal/objfile"
)

// View is the files that a loader sees; Disk and Files make one.
type View interface {
	// Object reads the native file at an absolute, slash-separated path. Links
	// are followed as a kernel does, so that ".." after a link to a directory
	// leads to the parent of its target. real is the path after links. The error
	// is fs.ErrNotExist where nothing is there, fs.ErrPermission where it may not
	// be read, objfile.ErrFormat where it is no native file.
	Object(path string) (objects []*objfile.Object, real string, err error)
}

// Lister is a View that lists directories. Names are compared without case,
// and by pattern, in such views only.
type Lister interface {
	// List returns the names in a directory in order. The error is
	// fs.ErrNotExist where none is there.
	List(dir string) ([]string, error)
}

// File is an open file.
type File interface {
	io.ReaderAt
	io.Closer
	// Size is the file's size in bytes.
	Size() int64
}

// Opener is a View that has the files' bytes: of ld.so.cache, and of libraries
// in whose text the names stand that they load.
type Opener interface {
	// Open opens the file at a path as Object takes it.
	Open(path string) (File, error)
}

// Holder is a View that does not have the files' bytes at hand, and has read
// before the names that they hold.
type Holder interface {
	// Held returns the names in the file at a path, as Object gives it, that a
	// pattern of cuda's table fits; ok is false where it was not read for them.
	Held(real, pattern string) (names []string, ok bool)
}

// Class tells who provides a library.
type Class string

// The classes.
const (
	// Found is a file of the view.
	Found Class = "found"
	// System is part of the platform's base set; see Base.
	System Class = "system"
	// Driver belongs to the GPU's driver.
	Driver Class = "driver"
	// APISet is a contract of Windows.
	APISet Class = "api-set"
	// Missing is found nowhere.
	Missing Class = "missing"
)

// Edge is one library that a file asks for.
type Edge struct {
	// Name is as the file spells it. A library that is loaded by name and is
	// Missing has the pattern of cuda's table.
	Name string
	// How is "needed", "weak" (its absence is no error), "reexport", "upward",
	// "lazy", "delay", "by-name" (loaded by name, from cuda's table) or "dlopen"
	// (the file's own note).
	How   string
	Class Class
	// Path is the file's, after links, where Class is Found (or System or Driver
	// and the view has it).
	Path string
	// Via tells which rule found it, such as "RUNPATH $ORIGIN/../lib",
	// "executable's directory", "LC_RPATH @loader_path of bin/x".
	Via string
	// Searched are the directories that were looked at, in order, where Class is
	// Missing. They are not to be modified.
	Searched []string
	// Hint says what else is worth knowing: a file that was passed over, or what
	// would mend it.
	Hint string
	// Cwd says that a relative or empty entry was looked at on the way, so that
	// the answer depends on the directory in which the program is started.
	Cwd bool
}

// Node is one file of a tree.
type Node struct {
	Path   string
	Object *objfile.Object
	Edges  []Edge
}

// Tree is what a program or library needs, directly and through others.
type Tree struct {
	// Root is the path from which the tree was made, after links; Nodes has each
	// file once, by its real path.
	Root  string
	Nodes map[string]*Node
	// Order are the nodes' paths in the order in which the loader met them
	// (breadth first), and then those that are loaded at run time.
	Order []string
}

// Platforms are those whose loaders the package knows.
const (
	Linux   = "linux"
	Windows = "windows"
	MacOS   = "macos"
)

// Options say how a tree is resolved. The zero value is that of a program which
// is started in an empty environment.
type Options struct {
	// Platform is linux, windows or macos; where it is empty the root's format
	// tells it.
	Platform string
	// Machine chooses the slice of a universal Mach-O root, by Object.Machine;
	// the first where empty.
	Machine string
	// Env are the directories of LD_LIBRARY_PATH, PATH or DYLD_LIBRARY_PATH;
	// Fallback those of DYLD_FALLBACK_LIBRARY_PATH.
	Env, Fallback []string
	// Dir is the current directory. Where it is empty, nothing is found by
	// entries that depend on it.
	Dir string
	// Base is the set of libraries that every machine has; Base(Platform) where
	// nil.
	Base *BaseSet
	// SystemDir is Windows' system directory in the view, where it has one.
	SystemDir string
	// HookDirs are the directories in which a Windows program's delay-load hook
	// looks, by patterns of path.Match for DLL names in lower case. They are
	// relative to the executable's directory. What is loaded by name finds them
	// too, after the usual places, as after AddDllDirectory.
	HookDirs map[string]string
	// ByName follows what is loaded by name at run time: cuda's table, and the
	// files' own notes.
	ByName bool
	// CPU is the level up to which glibc-hwcaps directories are searched, as
	// x86-64-v3; all levels where empty.
	CPU string
	// Executable is the program that loads the root, where that is a library:
	// its closure is loaded first, its directory and run paths count. Without
	// it, a library stands for the program itself, as with ldd.
	Executable string
	// MaxNodes bounds the tree, 10000 where 0.
	MaxNodes int
}

// ErrMusl says that a program is for musl, whose loader has other rules.
var ErrMusl = errors.New("musl's loader searches by other rules than glibc's, which relmat does not know")

const (
	defaultNodes = 10000
	// maxLookups bounds the work of one Resolve: a file may name a million
	// libraries and a million directories.
	maxLookups = 1 << 19
	// maxEntries bounds the entries of one run path.
	maxEntries = 4096
)

// Resolve makes the tree of the program or library at root, an absolute
// slash-separated path of the view. Libraries that are not found are edges of
// class Missing and no error; errors are what makes the answer impossible: a
// root that cannot be read, a platform or interpreter whose rules are not
// known, or a tree that exceeds a limit.
func Resolve(view View, root string, opts Options) (*Tree, error) {
	s := &session{
		view: view, opts: opts, budget: maxLookups, limit: opts.MaxNodes,
		byName: map[string]*module{}, byReal: map[string]*module{}, folded: map[string]map[string]string{},
	}
	if s.limit <= 0 {
		s.limit = defaultNodes
	}
	tree, err := s.resolve(root)
	if err != nil {
		return nil, fmt.Errorf("dependencies of %s: %w", root, err)
	}
	return tree, nil
}

// notThere says that a loader takes a path for absent and goes on.
func notThere(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission)
}

func platformOf(o *objfile.Object) (string, error) {
	switch o.Format {
	case objfile.ELF:
		return Linux, nil
	case objfile.PE:
		return Windows, nil
	case objfile.MachO:
		return MacOS, nil
	}
	return "", fmt.Errorf("a %s file has no loader", o.Format)
}

// formatOf is the format of a platform's native files, for errors.
func formatOf(platform string) (objfile.Format, error) {
	switch platform {
	case Linux:
		return objfile.ELF, nil
	case Windows:
		return objfile.PE, nil
	case MacOS:
		return objfile.MachO, nil
	}
	return "", fmt.Errorf("unknown platform %q: it is %s", platform, strings.Join([]string{Linux, Windows, MacOS}, ", "))
}
