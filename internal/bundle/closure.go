package bundle

import (
	"bufio"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/relmat/relmat/internal/cuda"
	"github.com/relmat/relmat/internal/objfile"
	"github.com/relmat/relmat/internal/toolkit"
)

//go:embed system.json
var systemJSON []byte

// system lists, by operating system, the libraries that every machine has.
var system = mustSystem(systemJSON)

func mustSystem(data []byte) map[string][]string {
	var t struct {
		Linux []string `json:"linux"`
	}
	if err := json.Unmarshal(data, &t); err != nil {
		panic("bundle: system.json: " + err.Error())
	}
	return map[string][]string{"linux": t.Linux}
}

// library is a library that a package must carry.
type library struct {
	toolkit.File
	// Name is the file name under which it is loaded.
	Name string
	// Why says what needs it, and how.
	Why string
}

// libraries finds toolkit libraries by name; toolkit.Toolkit is the one.
type libraries interface {
	Libraries(pattern string) []toolkit.File
}

// closure walks everything that the programs need at run time: the NEEDED
// entries of programs and libraries, and what libraries load by name. Driver
// libraries and the system's stay out. The error names every need that nothing
// satisfies.
func closure(programs []string, from libraries, systemLibs []string) (libs []library, err error) {
	type need struct{ name, path, label string }
	var queue []need
	for _, p := range programs {
		queue = append(queue, need{path: p, label: filepath.Base(p)})
	}
	seen := map[string]bool{}
	var missing []string
	add := func(pattern, why string, exact bool) {
		name := pattern
		if cuda.IsDriver(name) || slices.Contains(systemLibs, name) {
			return
		}
		found := from.Libraries(pattern)
		if len(found) == 0 {
			msg := fmt.Sprintf("%s is %s, and no toolkit wheel has it", name, why)
			if exact {
				msg += "; add its wheel to the toolkit's requirements, or name it in system-libraries if users have it"
			} else {
				msg += "; add its wheel to the toolkit's requirements"
			}
			missing = append(missing, msg)
			return
		}
		for _, f := range found {
			base := filepath.Base(f.Path)
			if seen[base] {
				continue
			}
			seen[base] = true
			libs = append(libs, library{File: f, Name: base, Why: why})
			queue = append(queue, need{name: base, path: f.Path, label: base})
		}
	}
	for len(queue) > 0 {
		n := queue[0]
		queue = queue[1:]
		obj, err := openELF(n.path)
		if err != nil {
			return nil, err
		}
		for _, need := range obj.Needs {
			add(need.Name, "needed by "+n.label, true)
		}
		for _, l := range cuda.LoadedBy(n.name) {
			for _, pattern := range l.Names {
				add(pattern, "loaded by name by "+n.label, false)
			}
			if l.Pattern == "" {
				continue
			}
			names, err := namesInside(n.path, regexp.MustCompile(l.Pattern))
			if err != nil {
				return nil, err
			}
			if len(names) == 0 {
				missing = append(missing, fmt.Sprintf("%s holds no name like %s: this version loads it otherwise, and relmat's table must learn how", n.label, l.Pattern))
			}
			for _, name := range names {
				add(name, "loaded by name by "+n.label, false)
			}
		}
	}
	if len(missing) > 0 {
		slices.Sort(missing)
		return nil, fmt.Errorf("the package would not run, its libraries are incomplete:\n  %s", strings.Join(slices.Compact(missing), "\n  "))
	}
	slices.SortFunc(libs, func(a, b library) int { return strings.Compare(a.Name, b.Name) })
	return libs, nil
}

// openELF reads a program or library for Linux.
func openELF(path string) (*objfile.Object, error) {
	objects, err := objfile.Open(path)
	if err != nil {
		return nil, err
	}
	if obj := objects[0]; obj.Format == objfile.ELF {
		return obj, nil
	}
	return nil, fmt.Errorf("%s: not an ELF file", path)
}

// maxName bounds a library's name inside of a file; matches that cross the
// pieces of the scan overlap by as much.
const maxName = 256

// namesInside returns the distinct matches of re in the bytes of a file.
func namesInside(path string, re *regexp.Regexp) ([]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	// A cheap search for the literal start keeps the expression off the 100 MB
	// that cannot match.
	literal, _ := re.LiteralPrefix()
	var names []string
	r := bufio.NewReaderSize(f, 1<<20)
	for {
		piece, err := r.Peek(1 << 20)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		last := errors.Is(err, io.EOF)
		// What starts in the last maxName bytes may go on in the next piece, and
		// cut off it would be the name of another version. That piece sees it
		// whole.
		step := len(piece)
		if !last {
			step -= maxName
		}
		text := string(piece)
		for at := 0; ; at += max(len(literal), 1) {
			i := strings.Index(text[at:], literal)
			if i < 0 || at+i >= step {
				break
			}
			at += i
			window := text[at:min(len(text), at+maxName)]
			if loc := re.FindStringIndex(window); loc != nil && loc[0] == 0 && !slices.Contains(names, window[:loc[1]]) {
				names = append(names, window[:loc[1]])
			}
		}
		if _, err := r.Discard(step); err != nil {
			return nil, err
		}
		if last {
			slices.Sort(names)
			return names, nil
		}
	}
}
