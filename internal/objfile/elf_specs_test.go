package objfile_test

import (
	"debug/elf"
	"encoding/binary"
	"reflect"
	"testing"

	"github.com/relmat/relmat/internal/objfile"
)

var (
	little = binary.ByteOrder(binary.LittleEndian)
	big    = binary.ByteOrder(binary.BigEndian)
)

// property is a note of one program property.
func property(order binary.ByteOrder, align int, typ uint32, data ...uint32) elfNote {
	b := make([]byte, 8+4*len(data))
	for i, v := range append([]uint32{typ, uint32(4 * len(data))}, data...) {
		order.PutUint32(b[4*i:], v)
	}
	for len(b)%align != 0 {
		b = append(b, 0)
	}
	return elfNote{"GNU", 5, b}
}

const x86Needed = 0xc0008002

func glibcNeeds() []elfVersions {
	return []elfVersions{
		{"libc.so.6", []string{"GLIBC_2.9", "GLIBC_2.17", "GLIBC_PRIVATE", "?GLIBC_2.34"}},
		{"libgcc_s.so.1", []string{"GCC_4.2.0", "GCC_12.0.0", "GCC_3.0"}},
	}
}

// elfSpecs are files for which no compiler is at hand.
func elfSpecs() map[string]elfSpec {
	id := elfNote{"GNU", 3, []byte{0xde, 0xad, 0xbe, 0xef}}
	common := elfSpec{
		typ: elf.ET_DYN, interp: "/lib/ld.so.1", needed: []string{"libc.so.6", "libgcc_s.so.1"}, soname: "libx.so.1",
		rpath: "$ORIGIN:/opt/x", runpath: ":/y", versions: glibcNeeds(), notes: []elfNote{id},
	}
	with := func(machine elf.Machine, wide bool, order binary.ByteOrder, change func(*elfSpec)) elfSpec {
		s := common
		s.machine, s.wide, s.order = machine, wide, order
		if change != nil {
			change(&s)
		}
		return s
	}
	relr := []elfVersions{{"libc.so.6", []string{"GLIBC_2.4", "GLIBC_ABI_DT_RELR"}}}
	return map[string]elfSpec{
		"x86_64":                  with(elf.EM_X86_64, true, little, nil),
		"i386":                    with(elf.EM_386, false, little, nil),
		"aarch64":                 with(elf.EM_AARCH64, true, little, nil),
		"arm":                     with(elf.EM_ARM, false, little, nil),
		"riscv64":                 with(elf.EM_RISCV, true, little, nil),
		"ppc64le":                 with(elf.EM_PPC64, true, little, nil),
		"s390x":                   with(elf.EM_S390, true, big, nil),
		"mips":                    with(elf.EM_MIPS, false, big, nil),
		"loongarch64":             with(elf.EM_LOONGARCH, true, little, nil),
		"extended counts":         with(elf.EM_X86_64, true, little, func(s *elfSpec) { s.extended = true }),
		"extended counts, 32-bit": with(elf.EM_MIPS, false, big, func(s *elfSpec) { s.extended = true }),
		"sections alone":          with(elf.EM_X86_64, true, little, func(s *elfSpec) { s.unloaded, s.interp = true, "" }),
		"RELR":                    with(elf.EM_X86_64, true, little, func(s *elfSpec) { s.versions = relr }),
		"executable":              with(elf.EM_S390, true, big, func(s *elfSpec) { s.typ = elf.ET_EXEC }),
		"empty run path":          with(elf.EM_X86_64, true, little, func(s *elfSpec) { s.rpath, s.runpath = "", "::" }),
		"x86 level": with(elf.EM_X86_64, true, little, func(s *elfSpec) {
			s.notes, s.noteAlign = []elfNote{property(little, 8, x86Needed, 0xf)}, 8
		}),
		"i386 level": with(elf.EM_386, false, little, func(s *elfSpec) {
			s.notes = []elfNote{property(little, 4, 0xc0000002, 3), id, property(little, 4, x86Needed, 1)}
		}),
		"aarch64 features": with(elf.EM_AARCH64, true, little, func(s *elfSpec) {
			s.notes, s.noteAlign = []elfNote{property(little, 8, 0xc0000000, 3)}, 8
		}),
	}
}

// TestELFOfOtherMachines has what the comparison with readelf derives.
func TestELFOfOtherMachines(t *testing.T) {
	specs := elfSpecs()
	for _, name := range []string{"x86_64", "i386", "s390x", "mips", "extended counts, 32-bit", "sections alone"} {
		got := mustReadELF(t, specs[name].make().data)
		// The version of weak symbols alone does not count.
		if want := (objfile.Floors{Glibc: "2.17", Libgcc: "12.0.0"}); got.Floors != want {
			t.Errorf("%s: floors are %+v, want %+v", name, got.Floors, want)
		}
		if want := glibcNeedsOfObject(); !reflect.DeepEqual(got.Needs, want) {
			t.Errorf("%s: needs %+v, want %+v", name, got.Needs, want)
		}
		if got.Kind != objfile.Library {
			t.Errorf("%s: a library with an interpreter is %s", name, got.Kind)
		}
	}
	if got := mustReadELF(t, specs["RELR"].make().data).Floors.Glibc; got != "2.36" {
		t.Errorf("the floor of a file with DT_RELR is glibc %s", got)
	}
	for name, want := range map[string]string{"x86 level": "x86-64-v4", "i386 level": "x86-64", "aarch64 features": ""} {
		if got := mustReadELF(t, specs[name].make().data).ISA.Level; got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

func glibcNeedsOfObject() []objfile.Need {
	return []objfile.Need{
		{Name: "libc.so.6", Versions: []string{"GLIBC_2.9", "GLIBC_2.17", "GLIBC_PRIVATE", "GLIBC_2.34"}},
		{Name: "libgcc_s.so.1", Versions: []string{"GCC_4.2.0", "GCC_12.0.0", "GCC_3.0"}},
	}
}

// TestELFKinds has the kinds that no compiler at hand makes.
func TestELFKinds(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*elfSpec)
		want   objfile.Kind
	}{
		"core":                       {func(s *elfSpec) { s.typ = elf.ET_CORE }, objfile.Core},
		"interpreter without SONAME": {func(s *elfSpec) { s.soname = "" }, objfile.Executable},
		"SONAME and DF_1_PIE":        {func(s *elfSpec) { s.flags1 = elf.DF_1_PIE | elf.DF_1_NOW }, objfile.Executable},
		"SONAME and DF_1_NOW":        {func(s *elfSpec) { s.flags1 = elf.DF_1_NOW }, objfile.Library},
		"no interpreter":             {func(s *elfSpec) { s.interp = "" }, objfile.Library},
	} {
		s := elfSpecs()["x86_64"]
		c.change(&s)
		if got := mustReadELF(t, s.make().data); got.Kind != c.want || got.Static {
			t.Errorf("%s: got %s, static %v, want %s", name, got.Kind, got.Static, c.want)
		}
	}
	cuda := elfSpec{wide: true, order: little, typ: elf.ET_EXEC, machine: 190}
	if got := mustReadELF(t, cuda.make().data); got.Machine != "cuda" {
		t.Errorf("a cubin is for %s", got.Machine)
	}
}
