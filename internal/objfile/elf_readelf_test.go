package objfile_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/relmat/relmat/internal/objfile"
)

// readelfTruth is what readelf says of a file.
type readelfTruth struct {
	bits                   int
	machine, kind, interp  string
	soname                 string
	needed, rpath, runpath []string
	versions               map[string][]string
	floors                 objfile.Floors
	buildID, level         string
	sections               []objfile.Section
}

// readelfMachines are the names that readelf uses.
var readelfMachines = map[string]string{
	"Advanced Micro Devices X86-64": "x86_64", "Intel 80386": "i386", "AArch64": "aarch64", "ARM": "arm",
	"RISC-V": "riscv64", "PowerPC64": "ppc64le", "IBM S/390": "s390x", "MIPS R3000": "elf-8", "LoongArch": "elf-258",
}

var (
	reVersionFile  = regexp.MustCompile(`^\s+(?:0x)?[0-9a-f]+: Version: 1  File: (\S+)  Cnt`)
	reVersionName  = regexp.MustCompile(`^\s+(?:0x)?[0-9a-f]+:\s+Name: (\S+)  Flags: (.*?)\s+Version: \d+$`)
	reSection      = regexp.MustCompile(`^\s+\[\s*\d+\] (\S*)\s+(\S+(?: \S+)?)\s+([0-9a-f]{8,16}) ([0-9a-f]{6,}) ([0-9a-f]{6,}) [0-9a-f]{2,} ([ A-Za-z]*?)\s+\d+\s+\d+\s+\d+$`)
	reInterp       = regexp.MustCompile(`Requesting program interpreter: ([^\]\n]+)\]`)
	reBuildID      = regexp.MustCompile(`Build ID: ([0-9a-f]+)`)
	reISA          = regexp.MustCompile(`x86 ISA needed: (.*)`)
	reHeader       = regexp.MustCompile(`(?m)^  (Class|Machine|Type):\s+(?:ELF)?(.*?)\s*$`)
	readelfKinds   = map[string]string{"REL": "object", "EXEC": "executable", "CORE": "core"}
	readelfISALast = strings.NewReplacer("x86-64-baseline", "x86-64")
)

func askReadelf(tb testing.TB, data []byte) readelfTruth {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "file")
	if err := os.WriteFile(path, data, 0o644); err != nil {
		tb.Fatal(err)
	}
	cmd := exec.Command("readelf", "-hldVnSW", path)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	// readelf fails where it knows less, and prints all the same.
	out, err := cmd.Output()
	if len(out) == 0 {
		tb.Fatalf("these tests need readelf of binutils: %v: %v", cmd.Args, err)
	}
	text := string(out)
	values := func(tag string) (v []string) {
		for _, m := range regexp.MustCompile(`\(`+tag+`\)[^\[\n]*\[([^\]\n]*)\]`).FindAllStringSubmatch(text, -1) {
			v = append(v, m[1])
		}
		return v
	}
	directories := func(tag string) (dirs []string) {
		for _, v := range values(tag) {
			dirs = append(dirs, strings.Split(v, ":")...)
		}
		return dirs
	}
	first := func(re *regexp.Regexp) string {
		if m := re.FindStringSubmatch(text); m != nil {
			return m[1]
		}
		return ""
	}
	t := readelfTruth{
		interp: first(reInterp), soname: strings.Join(values("SONAME"), ""), needed: values("NEEDED"),
		rpath: directories("RPATH"), runpath: directories("RUNPATH"), buildID: first(reBuildID),
	}
	for _, m := range reHeader.FindAllStringSubmatch(text, -1) {
		switch m[1] {
		case "Class":
			t.bits, _ = strconv.Atoi(m[2])
		case "Machine":
			t.machine = readelfMachines[m[2]]
		case "Type":
			t.kind = readelfKinds[strings.Fields(m[2])[0]]
		}
	}
	if levels := strings.Split(first(reISA), ", "); levels[0] != "" {
		t.level = readelfISALast.Replace(levels[len(levels)-1])
	}
	t.readLines(text)
	return t
}

// readLines reads the tables of symbol versions and of sections.
func (t *readelfTruth) readLines(text string) {
	t.versions = map[string][]string{}
	library := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if m := reVersionFile.FindStringSubmatch(line); m != nil {
			library = m[1]
		} else if m := reVersionName.FindStringSubmatch(line); m != nil && library != "" {
			t.versions[library] = append(t.versions[library], m[1])
			if !strings.Contains(m[2], "WEAK") {
				t.floor(m[1])
			}
		} else if m := reSection.FindStringSubmatch(line); m != nil && m[2] != "NULL" {
			hex := func(s string) int64 {
				v, _ := strconv.ParseUint(s, 16, 64)
				return int64(v)
			}
			s := objfile.Section{Name: m[1], Addr: uint64(hex(m[3])), Exec: strings.Contains(m[6], "X"), Alloc: strings.Contains(m[6], "A")}
			if m[2] != "NOBITS" && hex(m[5]) > 0 {
				s.Offset, s.Size = hex(m[4]), hex(m[5])
			}
			t.sections = append(t.sections, s)
		}
	}
}

// floor raises the floor that a version stands for.
func (t *readelfTruth) floor(version string) {
	for prefix, floor := range map[string]*string{
		"GLIBC": &t.floors.Glibc, "GLIBCXX": &t.floors.Glibcxx, "CXXABI": &t.floors.CXXABI, "GCC": &t.floors.Libgcc,
	} {
		number, ok := strings.CutPrefix(version, prefix+"_")
		if version == "GLIBC_ABI_DT_RELR" && prefix == "GLIBC" {
			number = "2.36" // glibc's NEWS
		}
		if ok && !strings.ContainsFunc(number, func(r rune) bool { return r != '.' && (r < '0' || r > '9') }) &&
			slices.Compare(numbers(number), numbers(*floor)) > 0 {
			*floor = number
		}
	}
}

func numbers(version string) (v []int) {
	for _, part := range strings.Split(version, ".") {
		n, _ := strconv.Atoi(part)
		v = append(v, n)
	}
	return v
}

// compare holds an answer against readelf's.
func (t *readelfTruth) compare(tb testing.TB, got *objfile.Object) {
	tb.Helper()
	equal := func(name string, got, want any) {
		if got != want {
			tb.Errorf("%s is %v, readelf says %v", name, got, want)
		}
	}
	lists := func(name string, got, want []string) {
		if !slices.Equal(got, want) {
			tb.Errorf("%s is %q, readelf says %q", name, got, want)
		}
	}
	equal("class", got.Bits, t.bits)
	equal("machine", got.Machine, t.machine)
	equal("build-id", got.BuildID, t.buildID)
	equal("ISA", got.ISA.Level, t.level)
	if got.Kind == objfile.Debug {
		return // the dynamic section is not in it
	}
	if t.kind != "" {
		equal("kind", string(got.Kind), t.kind)
	}
	equal("interpreter", got.Interp, t.interp)
	equal("SONAME", got.Soname, t.soname)
	equal("floors", got.Floors, t.floors)
	lists("RPATH", got.Rpath, t.rpath)
	lists("RUNPATH", got.Runpath, t.runpath)
	var needed []string
	for _, n := range got.Needs {
		if n.How == "" {
			needed = append(needed, n.Name)
		}
		lists("versions of "+n.Name, n.Versions, t.versions[n.Name])
	}
	lists("NEEDED", needed, t.needed)
	if len(t.sections) > 0 && !slices.Equal(got.Sections, t.sections) {
		tb.Errorf("sections are\n%+v, readelf says\n%+v", got.Sections, t.sections)
	}
}
