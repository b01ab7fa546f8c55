package corpus

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/relmat/relmat/internal/fatbin"
	"github.com/relmat/relmat/internal/objfile"
)

// Sections in which GPU code is looked for without Options.All: those that
// cuobjdump knows too, and those of NVIDIA's libraries that it does not know.
var (
	knownSections = []string{".nv_fatbin", "__nv_relfatbin", ".nv_fatb", "__nv_rel"}
	otherSections = []string{".cask_resource", ".cask_re", ".data", ".ldata", ".rodata", ".rdata"}
)

// extractLimit is the size of GPU code, in bytes, up to which a file's images
// are unpacked with cuobjdump to compare their sizes: all of it takes long.
const extractLimit = 64 << 20

// compareGPU compares the GPU code of a file with cuobjdump's list.
//
// cuobjdump looks into the known sections of ELF files alone. What lies
// elsewhere, as in .cask_resource of cuBLASLt or .data of cuFFT, and what lies
// in PE files, is cut out: every container of the section that this test finds
// by itself, by its magic number. The containers are put into an ELF file's
// .nv_fatbin, which cuobjdump reads.
func compareGPU(c *check, cuobjdump string, o *objfile.Object) {
	f, err := os.Open(c.path)
	if err != nil {
		c.failf("%v", err)
		return
	}
	defer f.Close()
	var regions []fatbin.Region
	for _, s := range o.Sections {
		if s.Size > 0 && !s.Exec {
			regions = append(regions, fatbin.Region{Name: s.Name, Offset: s.Offset, Size: s.Size})
		}
	}
	images, err := fatbin.Images(f, regions, fatbin.Options{All: true})
	if err != nil {
		c.failf("GPU code: %v", err)
		return
	}
	var direct []string
	var quick []fatbin.Image
	for _, r := range regions {
		var ours []fatbin.Image
		for _, i := range images {
			if i.Section == r.Name && i.Offset >= r.Offset && i.Offset < r.Offset+r.Size {
				ours = append(ours, i)
			}
		}
		cut := filepath.Join(c.t.TempDir(), "cut")
		n, err := cutContainers(f, r, cut)
		if err != nil {
			c.failf("%s: %v", r.Name, err)
			return
		}
		var want []string
		if n > 0 {
			if want, err = wrapped(cuobjdump, cut); err != nil {
				c.failf("%s: %v", r.Name, err)
				return
			}
		}
		field := "GPU code of other sections"
		if slices.Contains(slices.Concat(knownSections, otherSections), r.Name) {
			field = "GPU code of " + r.Name
			quick = append(quick, ours...)
		}
		c.list("cuobjdump", field, imageLines(ours), want)
		c.sizes(cuobjdump, f, cut, n, ours)
		switch {
		case slices.Contains(knownSections, r.Name):
			direct = append(direct, imageLines(ours)...)
		case len(want) > 0:
			c.notes = append(c.notes, fmt.Sprintf("%d images in %s, where cuobjdump does not look; it reads them from a copy", len(want), r.Name))
		}
		_ = os.Remove(cut)
	}
	few, err := fatbin.Images(f, regions, fatbin.Options{})
	if err != nil {
		c.failf("GPU code without Options.All: %v", err)
		return
	}
	c.equal("Options.All", "GPU code without it", imageLines(few), imageLines(quick))
	if o.Format == objfile.ELF {
		// The same file without a copy: the cutting must not hide anything.
		want, err := list(cuobjdump, c.path)
		if errors.Is(err, errDies) {
			c.notes = append(c.notes, "cuobjdump takes one of its cubins for damaged and ends; entry by entry it shows them")
			return
		}
		if err != nil {
			c.failf("%v", err)
			return
		}
		slices.Sort(direct)
		slices.Sort(want)
		c.list("cuobjdump", "GPU code of the file, sorted", direct, want)
	}
}

// imageLines writes images as entries of cuobjdump's.
func imageLines(images []fatbin.Image) (lines []string) {
	for _, i := range images {
		line := fmt.Sprintf("%s sm_%d%s", i.Kind, i.SM, i.Suffix)
		if i.Kind == fatbin.PTX {
			line += " ISA " + i.PTXISA
		}
		if i.Compression != fatbin.None {
			line += " compressed"
		}
		lines = append(lines, line)
	}
	return lines
}

var (
	entry     = regexp.MustCompile(`(?m)^Fatbin (.*) code:\n=+\n((?:[a-zA-Z].*\n)*)`)
	entryLine = regexp.MustCompile(`(?m)^(arch|code version) = \[?([\w,]+)\]?$`)
	// NVVM is the language of LTO-IR.
	kinds = map[string]fatbin.Kind{"elf": fatbin.Cubin, "ptx": fatbin.PTX, "nvvm": fatbin.LTOIR}
)

// errDies says that cuobjdump ended within a file.
var errDies = errors.New("cuobjdump takes a cubin for damaged")

// list is what cuobjdump says of a file, one line an image. Where the error is
// errDies it is a part: up to the entry at which cuobjdump ended, which it
// shows first.
func list(cuobjdump, path string) (lines []string, err error) {
	out, code, err := run(cuobjdump, "-all", path)
	if err != nil {
		return nil, err
	}
	if strings.Contains(out, "does not contain device code") {
		return nil, nil
	}
	if code != 0 && !strings.Contains(out, "cuobjdump fatal   : Invalid ELF in") {
		return nil, fmt.Errorf("cuobjdump %s: exit status %d\n%s", path, code, tail(out))
	}
	for _, m := range entry.FindAllStringSubmatch(out, -1) {
		kind, ok := kinds[m[1]]
		if !ok {
			return nil, fmt.Errorf("cuobjdump shows code of an unknown kind: %q", m[0])
		}
		fields := map[string]string{}
		for _, f := range entryLine.FindAllStringSubmatch(m[2], -1) {
			fields[f[1]] = f[2]
		}
		line := fmt.Sprintf("%s %s", kind, fields["arch"])
		if kind == fatbin.PTX {
			line += " ISA " + strings.Replace(fields["code version"], ",", ".", 1)
		}
		if slices.Contains(strings.Split(m[2], "\n"), "compressed") {
			line += " compressed"
		}
		lines = append(lines, line)
	}
	if n := strings.Count(out, "\nFatbin "); n != len(lines) {
		return nil, fmt.Errorf("read %d of cuobjdump's %d entries", len(lines), n)
	}
	if code != 0 {
		return lines, errDies
	}
	return lines, nil
}

// wrapped is list of containers that lie one behind the other in a file.
func wrapped(cuobjdump, containers string) ([]string, error) {
	object, err := wrap(containers)
	if err != nil {
		return nil, err
	}
	defer os.Remove(object)
	lines, err := list(cuobjdump, object)
	if !errors.Is(err, errDies) {
		return lines, err
	}
	// cuobjdump 13.2 ends at some cubins of code version 1.7 (bitsandbytes' for
	// CUDA 12.1, sm_70; cuFile's, sm_75) once it has shown their entry, and shows
	// nothing of what follows. One entry at a time it shows all of them.
	b, err := os.ReadFile(containers)
	if err != nil {
		return nil, err
	}
	lines = nil
	for len(b) > 0 {
		end := containerHeader + binary.LittleEndian.Uint64(b[8:])
		for e := b[containerHeader:end]; len(e) > 0; {
			size := uint64(binary.LittleEndian.Uint32(e[4:])) + binary.LittleEndian.Uint64(e[8:])
			one := binary.LittleEndian.AppendUint64(slices.Clone(b[:8]), size)
			if err := os.WriteFile(containers+".one", append(one, e[:size]...), 0o644); err != nil {
				return nil, err
			}
			line, err := list(cuobjdump, containers+".one")
			if err != nil && !errors.Is(err, errDies) || len(line) != 1 {
				return nil, fmt.Errorf("cuobjdump shows %q of a single entry: %w", line, err)
			}
			lines = append(lines, line[0])
			e = e[size:]
		}
		b = b[(end+7)&^7:]
	}
	return lines, nil
}

func wrap(containers string) (string, error) {
	object := containers + ".o"
	_, err := output("objcopy", "-I", "binary", "-O", "elf64-x86-64", "--rename-section", ".data=.nv_fatbin", containers, object)
	return object, err
}

const containerHeader = 16

// cutContainers copies the containers of a region, found by their magic number
// and checked by nothing but their header, to a file.
func cutContainers(f io.ReaderAt, r fatbin.Region, to string) (n int, err error) {
	out, err := os.Create(to)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	magic := []byte{0x50, 0xed, 0x55, 0xba}
	b := make([]byte, 8<<20)
	w := bufio.NewWriter(out)
	for at := int64(0); at+containerHeader <= r.Size; {
		part := b[:min(int64(len(b)), r.Size-at)]
		if _, err := f.ReadAt(part, r.Offset+at); err != nil {
			return n, err
		}
		i := bytes.Index(part, magic)
		if i < 0 || i+containerHeader > len(part) {
			if int64(len(part)) == r.Size-at {
				break
			}
			if i < 0 {
				i = len(part) - len(magic) + 1
			}
			at += int64(i)
			continue
		}
		h := part[i:]
		size := binary.LittleEndian.Uint64(h[8:])
		version, header := binary.LittleEndian.Uint16(h[4:]), binary.LittleEndian.Uint16(h[6:])
		at += int64(i)
		if version != 1 || header != containerHeader || size > uint64(r.Size-at-containerHeader) {
			at++
			continue
		}
		whole := containerHeader + int64(size)
		if _, err := io.Copy(w, io.NewSectionReader(f, r.Offset+at, whole)); err != nil {
			return n, err
		}
		if _, err := w.Write(make([]byte, -whole&7)); err != nil {
			return n, err
		}
		at += whole
		n++
	}
	return n, w.Flush()
}
