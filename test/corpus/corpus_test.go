package corpus

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/relmat/relmat/internal/archive"
	"github.com/relmat/relmat/internal/fsx"
	"github.com/relmat/relmat/internal/objfile"
	"github.com/relmat/relmat/internal/toolkit"
)

// TestCorpus compares every native file of every pinned wheel. A wheel is
// fetched, unpacked, read and deleted before the next one, so that it all takes
// the space of a few; RELMAT_CORPUS_KEEP=1 keeps the wheels for another run.
func TestCorpus(t *testing.T) {
	needTools(t)
	lock, err := toolkit.ReadLock("corpus.lock.json")
	if err != nil {
		t.Fatal(err)
	}
	dump := cuobjdump(t)
	claim(t)
	sum := &tally{start: time.Now(), fields: map[string]int{}, told: map[string]bool{}, formats: map[objfile.Format]int{}}
	all := 0
	for _, platform := range slices.Sorted(maps.Keys(lock.Platforms)) {
		all += len(lock.Platforms[platform])
		t.Run(platform, func(t *testing.T) {
			for _, w := range lock.Platforms[platform] {
				t.Run(w.Name+"-"+w.Version, func(t *testing.T) {
					t.Parallel()
					compareWheel(t, dump, w, sum)
				})
			}
		})
	}
	if sum.wheels == all { // -run has chosen every one
		for _, field := range fields {
			if !sum.told[field] {
				t.Errorf("no tool has told %s of any file: nothing of that kind was compared", field)
			}
		}
	}
	sum.report(t)
}

// fields are what must have been compared in some file.
var fields = []string{
	"format", "machine", "kind", "interpreter", "SONAME", "RPATH", "RUNPATH", "NEEDED", "symbol versions", "glibc", "GLIBCXX", "CXXABI", "libgcc",
	"build ID", "sections", "subsystem", "linker", "imports", "delay imports", "PDB", "name in the export directory", "signature", "signer", "time stamp",
	"libraries", "install name", "UUID", "oldest macOS", "platform", "SDK", "identifier",
	"GPU code of .nv_fatbin", "GPU code of __nv_relfatbin", "GPU code of .nv_fatb", "GPU code of .cask_resource", "GPU code of .cask_re",
	"compression of images", "sizes of images", "GPU code of the file, sorted",
}

// tally counts what was compared.
type tally struct {
	mu      sync.Mutex
	start   time.Time
	fields  map[string]int // by tool
	told    map[string]bool
	formats map[objfile.Format]int
	notes   []string
	others  int
	wheels  int
}

func (s *tally) add(c *check, format objfile.Format) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.formats[format]++
	for tool, n := range c.fields {
		s.fields[tool] += n
	}
	maps.Copy(s.told, c.told)
	for _, note := range c.notes {
		platform := strings.Split(c.t.Name(), "/")[1]
		s.notes = append(s.notes, fmt.Sprintf("%s %s: %s", platform, c.name, note))
	}
}

// report writes what was compared to the log, and to the file that
// RELMAT_CORPUS_REPORT names.
func (s *tally) report(t *testing.T) {
	var b strings.Builder
	for _, note := range slices.Sorted(slices.Values(s.notes)) {
		fmt.Fprintln(&b, note)
	}
	files, fields := 0, 0
	for _, format := range slices.Sorted(maps.Keys(s.formats)) {
		files += s.formats[format]
		fmt.Fprintf(&b, "%7d %s files\n", s.formats[format], format)
	}
	for _, tool := range slices.Sorted(maps.Keys(s.fields)) {
		fields += s.fields[tool]
		fmt.Fprintf(&b, "%7d fields told by %s\n", s.fields[tool], tool)
	}
	fmt.Fprintf(&b, "compared %d native files, %d fields, beside %d other files, in %s\n", files, fields, s.others, time.Since(s.start).Round(time.Second))
	t.Log("\n" + b.String())
	if path := os.Getenv("RELMAT_CORPUS_REPORT"); path != "" {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Error(err)
		}
	}
}

// wheelDir holds the wheels and trees of this test.
func wheelDir(t *testing.T) string { return filepath.Join(cacheDir(t), "corpus") }

// claim keeps other runs out of the wheels until the test ends, and removes
// what a run that was killed has left.
func claim(t *testing.T) {
	unlock, err := fsx.Lock(t.Context(), filepath.Join(cacheDir(t), "locks", "corpus.lock"), func() {
		t.Log("another run is at work; waiting for it")
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(unlock)
	dir := wheelDir(t)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := fsx.RemovePartials(dir); err != nil {
		t.Fatal(err)
	}
}

func compareWheel(t *testing.T, dump string, w toolkit.Wheel, sum *tally) {
	pip, err := findPip(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	wheels := wheelDir(t)
	wheel, err := pip.Download(t.Context(), w, wheels, func(int64) {})
	if err != nil {
		t.Fatal(err)
	}
	tree, err := fsx.PartialDir(wheels, w.Name)
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(tree)
	if err := archive.ExtractAs(t.Context(), archive.Zip, wheel, tree, archive.DefaultLimits, nil); err != nil {
		t.Fatal(err)
	}
	if os.Getenv("RELMAT_CORPUS_KEEP") == "" {
		if err := os.Remove(wheel); err != nil {
			t.Error(err)
		}
	}
	err = filepath.WalkDir(tree, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			compareFile(t, dump, tree, path, sum)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	sum.mu.Lock()
	defer sum.mu.Unlock()
	sum.wheels++
}

func compareFile(t *testing.T, dump, tree, path string, sum *tally) {
	want, err := formatOf(path)
	if err != nil {
		t.Error(err)
		return
	}
	c := &check{t: t, path: path, name: strings.TrimPrefix(path, tree+string(filepath.Separator)), fields: map[string]int{}, told: map[string]bool{}}
	objects, err := objfile.Open(path)
	switch {
	case want == "" && errors.Is(err, objfile.ErrFormat):
		sum.mu.Lock()
		sum.others++
		sum.mu.Unlock()
		return
	case err != nil:
		t.Errorf("the file has the magic number of %q, and gives: %v", want, err)
		return
	case len(objects) != 1:
		t.Errorf("%s: it has %d objects; this test knows files of one", c.name, len(objects))
		return
	}
	defer sum.add(c, want)
	o := objects[0]
	info, err := os.Stat(path)
	if err != nil {
		t.Error(err)
		return
	}
	c.same("the magic number", "format", o.Format, want)
	c.same("the file", "size", o.Size, info.Size())
	c.same("the file", "offset", o.Offset, 0)
	switch want {
	case objfile.ELF:
		compareELF(c, o)
	case objfile.PE:
		comparePE(c, o)
	case objfile.MachO:
		compareMachO(c, o)
	case objfile.Metallib:
		c.same("the magic number", "kind", o.Kind, objfile.Shaders)
		return
	}
	if want != objfile.MachO {
		compareGPU(c, dump, o)
	}
}

// formatOf tells a file's format by its magic number; it is empty for files
// that are not native.
func formatOf(path string) (objfile.Format, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	head := make([]byte, 4096)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return "", err
	}
	head = head[:n]
	for magic, format := range map[string]objfile.Format{
		"\x7fELF": objfile.ELF, "\xcf\xfa\xed\xfe": objfile.MachO, "\xce\xfa\xed\xfe": objfile.MachO,
		"\xca\xfe\xba\xbe": objfile.MachO, "MTLB": objfile.Metallib,
	} {
		if strings.HasPrefix(string(head), magic) {
			return format, nil
		}
	}
	if n >= 64 && bytes.HasPrefix(head, []byte("MZ")) {
		if at := int(binary.LittleEndian.Uint32(head[60:])); at+4 <= n && string(head[at:at+4]) == "PE\x00\x00" {
			return objfile.PE, nil
		}
	}
	return "", nil
}
