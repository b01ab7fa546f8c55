package corpus

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/relmat/relmat/internal/objfile"
)

// elfTruth is what readelf says of a file.
type elfTruth struct {
	class, machine, kind   string
	interp, soname         string
	needed, rpath, runpath []string
	// versions are the symbol versions needed, by library, libraries in order.
	versions map[string][]string
	buildID  string
	isa      []string
	sections []string
	dynamic  bool
	notes    int // .note.dlopen
}

var (
	readelfHeader  = regexp.MustCompile(`(?m)^  (Class|Type|Machine):\s+(.*)$`)
	readelfInterp  = regexp.MustCompile(`Requesting program interpreter: (.*)\]`)
	readelfDynamic = regexp.MustCompile(`(?m)^ 0x[0-9a-f]+ \((NEEDED|SONAME|RPATH|RUNPATH)\)[^\[]*\[(.*)\]$`)
	readelfFile    = regexp.MustCompile(`^  (?:0x)?[0-9a-f]+: Version: \d+  File: (\S+)  Cnt: \d+$`)
	readelfVersion = regexp.MustCompile(`^  0x[0-9a-f]+:   Name: (\S+)  Flags: .*$`)
	readelfBuildID = regexp.MustCompile(`Build ID: ([0-9a-f]+)`)
	readelfISA     = regexp.MustCompile(`x86 ISA needed: ([^\n]*)`)
	readelfSection = regexp.MustCompile(`(?m)^  \[ *(\d+)\] (.*?) +([A-Z_0-9]+|LOOS\+\S+|0x\w+) +([0-9a-f]{8,16}) ([0-9a-f]{6,}) ([0-9a-f]{6,}) [0-9a-f]{2,} *([A-Za-z]*) +\d+ +\d+ +\d+$`)
)

// elfMachines are readelf's names.
var elfMachines = map[string]string{
	"Advanced Micro Devices X86-64": "x86_64", "AArch64": "aarch64", "Intel 80386": "i386", "NVIDIA CUDA architecture": "cuda",
}

func readelf(path string) (*elfTruth, error) {
	out, err := output("readelf", "-WhlSdVn", path)
	if err != nil {
		return nil, err
	}
	e := &elfTruth{versions: map[string][]string{}}
	for _, m := range readelfHeader.FindAllStringSubmatch(out, -1) {
		switch m[1] {
		case "Class":
			e.class = strings.TrimPrefix(m[2], "ELF")
		case "Type":
			e.kind = m[2]
		case "Machine":
			e.machine = m[2]
			if name := elfMachines[m[2]]; name != "" {
				e.machine = name
			}
		}
	}
	if m := readelfInterp.FindStringSubmatch(out); m != nil {
		e.interp = m[1]
	}
	for _, m := range readelfDynamic.FindAllStringSubmatch(out, -1) {
		switch m[1] {
		case "NEEDED":
			e.needed = append(e.needed, m[2])
		case "SONAME":
			e.soname = m[2]
		case "RPATH":
			e.rpath = append(e.rpath, strings.Split(m[2], ":")...)
		case "RUNPATH":
			e.runpath = append(e.runpath, strings.Split(m[2], ":")...)
		}
	}
	_, needs, _ := strings.Cut(out, "Version needs section")
	var file string
	for line := range strings.Lines(needs) {
		line = strings.TrimRight(line, "\n")
		if m := readelfFile.FindStringSubmatch(line); m != nil {
			file = m[1]
		} else if m := readelfVersion.FindStringSubmatch(line); m != nil {
			e.versions[file] = append(e.versions[file], m[1])
		}
	}
	if m := readelfBuildID.FindStringSubmatch(out); m != nil {
		e.buildID = m[1]
	}
	if m := readelfISA.FindStringSubmatch(out); m != nil {
		e.isa = strings.Split(m[1], ", ")
	}
	e.dynamic = strings.Contains(out, "Dynamic section at offset")
	e.notes = strings.Count(out, "0x407c0c0a")
	e.sections, err = readelfSections(out)
	return e, err
}

// readelfSections lists the sections as sectionLine writes them.
func readelfSections(out string) (lines []string, err error) {
	m := regexp.MustCompile(`There (?:are|is) (\d+) section|Number of section headers: +(\d+)`).FindStringSubmatch(out)
	if m == nil {
		return nil, fmt.Errorf("readelf does not tell the number of sections")
	}
	want, _ := strconv.Atoi(m[1] + m[2])
	read := 0
	for _, m := range readelfSection.FindAllStringSubmatch(out, -1) {
		if n, _ := strconv.Atoi(m[1]); n != read {
			return nil, fmt.Errorf("after section %d readelf shows %q", read-1, m[0])
		}
		read++
		if m[3] == "NULL" {
			continue // the first entry of the table is none
		}
		addr, _ := strconv.ParseUint(m[4], 16, 64)
		off, _ := strconv.ParseInt(m[5], 16, 64)
		size, _ := strconv.ParseInt(m[6], 16, 64)
		if m[3] == "NOBITS" {
			size = 0
		}
		lines = append(lines, sectionLine(m[2], off, size, addr, strings.Contains(m[7], "X"), strings.Contains(m[7], "A")))
	}
	if read != want {
		return nil, fmt.Errorf("read %d of readelf's %d sections", read, want)
	}
	return lines, nil
}

func sectionLine(name string, off, size int64, addr uint64, exec, alloc bool) string {
	if size == 0 {
		off = 0 // where nothing is lies nowhere
	}
	return fmt.Sprintf("%s offset %#x size %#x address %#x exec %v alloc %v", name, off, size, addr, exec, alloc)
}

func sectionLines(sections []objfile.Section) (lines []string) {
	for _, s := range sections {
		lines = append(lines, sectionLine(s.Name, s.Offset, s.Size, s.Addr, s.Exec, s.Alloc))
	}
	return lines
}

func (e *elfTruth) kindOf() objfile.Kind {
	switch {
	case strings.HasPrefix(e.kind, "EXEC"), strings.HasPrefix(e.kind, "DYN (Position-Independent Executable"):
		return objfile.Executable
	case strings.HasPrefix(e.kind, "DYN"):
		return objfile.Library
	case strings.HasPrefix(e.kind, "REL"):
		return objfile.Relocated
	case strings.HasPrefix(e.kind, "CORE"):
		return objfile.Core
	}
	return objfile.Kind(e.kind)
}

// floor is the newest version with the prefix: GLIBC_2.34.
func (e *elfTruth) floor(prefix string) string {
	var newest []int
	for _, versions := range e.versions {
		for _, v := range versions {
			rest, ok := strings.CutPrefix(v, prefix)
			if n, err := numbers(rest); ok && err == nil && slices.Compare(n, newest) > 0 {
				newest = n
			}
		}
	}
	return strings.Trim(strings.ReplaceAll(fmt.Sprint(newest), " ", "."), "[]")
}

func numbers(s string) (n []int, err error) {
	for _, part := range strings.Split(s, ".") {
		i, err := strconv.Atoi(part)
		if err != nil {
			return nil, err
		}
		n = append(n, i)
	}
	return n, nil
}

// level is the CPU level of readelf's words: x86-64-baseline, x86-64-v3.
func (e *elfTruth) level() (level string) {
	for _, isa := range e.isa {
		isa = strings.TrimSuffix(strings.TrimSpace(isa), "-baseline")
		if strings.HasPrefix(isa, "x86-64") && isa > level {
			level = isa
		}
	}
	return level
}

func compareELF(c *check, o *objfile.Object) {
	const tool = "readelf"
	want, err := readelf(c.path)
	if err != nil {
		c.failf("%v", err)
		return
	}
	c.same(tool, "class", o.Bits, want.class)
	c.same(tool, "machine", o.Machine, want.machine)
	c.same(tool, "kind", o.Kind, want.kindOf())
	c.same(tool, "static", o.Static, want.kindOf() == objfile.Executable && want.interp == "" && len(want.needed) == 0)
	c.same(tool, "interpreter", o.Interp, want.interp)
	c.same(tool, "SONAME", o.Soname, want.soname)
	c.list(tool, "RPATH", o.Rpath, want.rpath)
	c.list(tool, "RUNPATH", o.Runpath, want.runpath)
	c.same(tool, "glibc", o.Floors.Glibc, want.floor("GLIBC_"))
	c.same(tool, "GLIBCXX", o.Floors.Glibcxx, want.floor("GLIBCXX_"))
	c.same(tool, "CXXABI", o.Floors.CXXABI, want.floor("CXXABI_"))
	c.same(tool, "libgcc", o.Floors.Libgcc, want.floor("GCC_"))
	var needs, versions, wantVersions []string
	for _, n := range o.Needs {
		needs = append(needs, strings.TrimSpace(n.Name+" "+n.How))
		for _, v := range n.Versions {
			versions = append(versions, n.Name+" "+v)
		}
		for _, v := range want.versions[n.Name] {
			wantVersions = append(wantVersions, n.Name+" "+v)
		}
		delete(want.versions, n.Name)
	}
	c.list(tool, "NEEDED", needs, want.needed)
	c.list(tool, "symbol versions", versions, wantVersions)
	for file := range want.versions {
		c.failf("versions are needed of %s, which is no NEEDED entry", file)
	}
	c.same(tool, "ISA", o.ISA.Level, want.level())
	c.same(tool, "build ID", o.BuildID, want.buildID)
	c.same(tool, "entries of .note.dlopen", len(o.Dlopen), want.notes)
	c.list(tool, "sections", sectionLines(o.Sections), want.sections)
}
