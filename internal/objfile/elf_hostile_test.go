package objfile_test

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"math"
	"reflect"
	"runtime/metrics"
	"slices"
	"strings"
	"testing"

	"github.com/relmat/relmat/internal/objfile"
)

// elfFields64 are where the fields of a 64-bit file lie in their structures.
const (
	phType, phOff, phAddr, phFile, phMem = 0, 8, 16, 32, 40
	shName, shType, shOff, shSize        = 0, 4, 24, 32
)

// TestELFDamage breaks one thing after another; the error says which.
func TestELFDamage(t *testing.T) {
	type change = func(*elfImage)
	program := func(typ elf.ProgType, field, size int, v uint64) change {
		return func(i *elfImage) { i.set(i.at[typ.String()]+field, size, v) }
	}
	section := func(name string, field, size int, v uint64) change {
		return func(i *elfImage) { i.set(i.at["header of "+name]+field, size, v) }
	}
	dynamic := func(tag elf.DynTag, v uint64) change {
		return func(i *elfImage) { i.set(i.at[tag.String()]+8, 8, v) }
	}
	retag := func(tag, other elf.DynTag) change {
		return func(i *elfImage) { i.set(i.at[tag.String()], 8, uint64(other)) }
	}
	version := func(off, size int, v uint64) change {
		return func(i *elfImage) { i.set(i.at[".gnu.version_r"]+off, size, v) }
	}
	at := func(name string, off, size int, v uint64) change {
		return func(i *elfImage) { i.set(i.at[name]+off, size, v) }
	}
	header := func(off, size int, v uint64) change { return func(i *elfImage) { i.set(off, size, v) } }
	const far = math.MaxUint64 - 1
	for name, c := range map[string]struct {
		change change
		want   string
	}{
		"class":                    {header(elf.EI_CLASS, 2, 3), "class is 3"},
		"data":                     {header(elf.EI_DATA, 2, 3), "encoding is 3"},
		"version":                  {header(elf.EI_VERSION, 2, 7), "version is 7"},
		"other version":            {header(20, 4, 9), "version is 9"},
		"type":                     {header(16, 2, 0xfe10), "type is 65040"},
		"program headers' size":    {header(54, 2, 32), "program header has 32 bytes, not 56"},
		"section headers' size":    {header(58, 2, 40), "section header has 40 bytes, not 64"},
		"program headers far":      {header(32, 8, far), "program headers at offset 0xfffffffffffffffe"},
		"section headers far":      {header(40, 8, far), "section headers: 64 bytes at offset 0xfffffffffffffffe"},
		"section headers nowhere":  {header(40, 8, 0), "says not where"},
		"many section headers":     {header(60, 2, 0xfff0), "65520 section headers"},
		"names nowhere":            {header(62, 2, 999), "should stand in section 999"},
		"names in no string table": {header(62, 2, 1), "section 1, which should hold the names"},
		"a name outside":           {section(".dynamic", shName, 4, 1<<20), "0x100000 of a string table"},
		"names outside":            {section(".shstrtab", shOff, 8, far), "names of sections"},
		"a section outside":        {section(".interp", shSize, 8, far), `(".interp")`},
		"a section before all":     {section(".dynstr", shOff, 8, math.MaxUint64), `(".dynstr")`},
		"sections overlap":         {section(".interp", shSize, 8, 200), `(".interp") and 2 (".note") overlap`},
		"two dynamic segments":     {program(elf.PT_INTERP, phType, 4, uint64(elf.PT_DYNAMIC)), "more than one segment PT_DYNAMIC"},
		"two dynamic sections":     {section(".note", shType, 4, uint64(elf.SHT_DYNAMIC)), "more than one section of type SHT_DYNAMIC"},
		"two interpreters":         {program(elf.PT_NOTE, phType, 4, uint64(elf.PT_INTERP)), "more than one segment PT_INTERP"},
		"endless interpreter":      {program(elf.PT_INTERP, phFile, 8, 5), "PT_INTERP"},
		"interpreter outside":      {program(elf.PT_INTERP, phOff, 8, far), "(PT_INTERP)"},
		"load outside":             {program(elf.PT_LOAD, phFile, 8, far), "(PT_LOAD)"},
		"load too small":           {program(elf.PT_LOAD, phMem, 8, 1), "do not fit into 1 bytes of memory"},
		"load beyond addresses":    {program(elf.PT_LOAD, phMem, 8, far), "beyond the last address"},
		"dynamic hidden":           {program(elf.PT_DYNAMIC, phType, 4, 0), "no segment PT_DYNAMIC"},
		"dynamic not loaded":       {program(elf.PT_DYNAMIC, phAddr, 8, 8), "PT_DYNAMIC is at address 0x8"},
		"dynamic at two places":    {program(elf.PT_DYNAMIC, phAddr, 8, elfBase), "PT_DYNAMIC is at offset"},
		"dynamic and its section":  {program(elf.PT_DYNAMIC, phOff, 8, 64), `by section ".dynamic"`},
		"dynamic longer than load": {program(elf.PT_LOAD, phFile, 8, 0x2e8), "of which"},
		"dynamic without end":      {program(elf.PT_DYNAMIC, phFile, 8, 16), "DT_NULL"},
		"overlapping segments": {func(i *elfImage) {
			i.set(i.at["PT_NOTE"]+phType, 4, uint64(elf.PT_LOAD))
			i.set(i.at["PT_NOTE"]+phAddr, 8, elfBase)
			i.set(i.at["PT_NOTE"]+phMem, 8, 1<<20)
		}, "where segments 0 and 2 overlap"},
		"twice":                     {retag(elf.DT_RUNPATH, elf.DT_RPATH), "DT_RPATH twice"},
		"no strings":                {retag(elf.DT_STRTAB, elf.DT_DEBUG), "no DT_STRTAB"},
		"no size of strings":        {retag(elf.DT_STRSZ, elf.DT_DEBUG), "no DT_STRSZ"},
		"strings nowhere":           {dynamic(elf.DT_STRTAB, 1), "DT_STRTAB is at address 0x1"},
		"strings too long":          {dynamic(elf.DT_STRSZ, far), "DT_STRTAB has 18446744073709551614 bytes"},
		"strings too short":         {dynamic(elf.DT_STRSZ, 3), "string table of 3 bytes"},
		"NEEDED outside":            {dynamic(elf.DT_NEEDED, 1<<40), "DT_NEEDED: its name is at 0x10000000000"},
		"SONAME outside":            {dynamic(elf.DT_SONAME, far), "DT_SONAME"},
		"RUNPATH outside":           {dynamic(elf.DT_RUNPATH, 1<<32), "DT_RUNPATH"},
		"versions nowhere":          {dynamic(elf.DT_VERNEED, 0), "DT_VERNEED is at address 0x0"},
		"versions uncounted":        {retag(elf.DT_VERNEEDNUM, elf.DT_DEBUG), "no DT_VERNEEDNUM"},
		"more versions than there":  {dynamic(elf.DT_VERNEEDNUM, far), "ends after 2 of 18446744073709551614"},
		"fewer versions than there": {dynamic(elf.DT_VERNEEDNUM, 1), "goes on after the last of 1"},
		"version 2":                 {version(0, 2, 2), "version of an entry is 2"},
		"version's library":         {version(4, 4, 1<<30), "DT_VERNEED: its name is at 0x40000000"},
		"version's names":           {version(8, 4, 1<<30), `versions of "libc.so.6" lie outside`},
		"versions overlap":          {version(12, 4, 15), "entries 1 and 2 overlap"},
		"versions' next":            {version(12, 4, 1<<31), "entry 2 of 2 lies outside"},
		"version's name":            {version(16+8, 4, 1<<30), `versions of "libc.so.6": its name`},
		"a version in a circle":     {version(16+12, 4, 0), "ends after 1 of 4"},
		"note too long":             {at(".note", 4, 4, math.MaxUint32), "a description of 4294967295 bytes"},
		"note's name too long":      {at(".note", 0, 4, math.MaxUint32), "a note with a name of 4294967295"},
		"property too long":         {at(".note", 16+4, 4, 100), "property 0xc0008002 has 100 bytes"},
		"property of other size":    {at(".note", 16+4, 4, 8), "8 bytes and not 4"},
	} {
		s := elfSpecs()["x86_64"]
		s.notes, s.noteAlign = []elfNote{property(little, 8, x86Needed, 1, 0)}, 8
		s.notes[0].desc[4] = 4
		i := s.make()
		mustReadELF(t, i.data)
		c.change(i)
		got, err := readELF(i.data)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "damaged ELF file: ") {
			t.Errorf("%s: got %+v, %v; want an error with %q", name, got, err, c.want)
		}
	}
}

// TestELFNotesDamage has what notes can be that are well formed.
func TestELFNotesDamage(t *testing.T) {
	for name, c := range map[string]struct {
		note elfNote
		want string
	}{
		"dlopen is no JSON":  {elfNote{"FDO", 0x407c0c0a, []byte("libz.so.1")}, "JSON array"},
		"dlopen is no array": {elfNote{"FDO", 0x407c0c0a, []byte(`{"soname":["x"]}`)}, "JSON array"},
		"dlopen is huge":     {elfNote{"FDO", 0x407c0c0a, make([]byte, 1<<20)}, "at most 262144 are read"},
		"build-id is huge":   {elfNote{"GNU", 3, make([]byte, 2000)}, "at most 1024 are read"},
	} {
		s := elfSpecs()["x86_64"]
		s.notes = []elfNote{c.note}
		if got, err := readELF(s.make().data); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
	}
	for name, note := range map[string]elfNote{
		"of others":         {"FDO", 1, []byte("x")},
		"without a name":    {"", 3, []byte("xyz")},
		"of Go":             {"Go", 4, []byte("id")},
		"of a process":      {"CORE", 3, make([]byte, 300)},
		"empty build-id":    {"GNU", 3, nil},
		"unknown property":  property(little, 8, 0xc0000002, 3),
		"empty dlopen list": {"FDO", 0x407c0c0a, []byte("[]")},
	} {
		s := elfSpecs()["x86_64"]
		s.notes = []elfNote{note}
		got := mustReadELF(t, s.make().data)
		if got.BuildID != "" || got.ISA != (objfile.ISA{}) || got.Dlopen != nil {
			t.Errorf("a note %s gives build-id %q, level %+v, dlopen %+v", name, got.BuildID, got.ISA, got.Dlopen)
		}
	}
	// A level that nobody knows yet is not taken for a lower one.
	s := elfSpecs()["x86_64"]
	s.notes, s.noteAlign = []elfNote{property(little, 8, x86Needed, 0x1f)}, 8
	if isa := mustReadELF(t, s.make().data).ISA; isa.Level != "" || !strings.Contains(isa.Evidence, "0x10") {
		t.Errorf("got %+v", isa)
	}
}

func repeat(n int, text string) (list []string) {
	for i := range n {
		list = append(list, fmt.Sprintf(text, i))
	}
	return list
}

// longDynamic moves the dynamic section to the end, with a million entries.
func longDynamic(i *elfImage, tag elf.DynTag) {
	const count = 1_000_000
	off := uint64(len(i.data))
	for range count {
		i.put(8, uint64(tag))
		i.put(8, 1)
	}
	i.set(i.at["PT_DYNAMIC"]+phOff, 8, off)
	i.set(i.at["PT_DYNAMIC"]+phAddr, 8, elfBase+off)
	i.set(i.at["PT_DYNAMIC"]+phFile, 8, 16*count)
	i.set(i.at["header of .dynamic"]+shOff, 8, off)
	i.set(i.at["header of .dynamic"]+shSize, 8, 16*count)
	i.set(i.at["PT_LOAD"]+phFile, 8, uint64(len(i.data)))
	i.set(i.at["PT_LOAD"]+phMem, 8, uint64(len(i.data)))
}

// TestELFOfGreatCounts has more of everything than any linker makes.
func TestELFOfGreatCounts(t *testing.T) {
	long := strings.Repeat("x", 60000)
	for name, c := range map[string]struct {
		spec func(*elfSpec)
		then func(*elfImage)
		want string
	}{
		"libraries": {func(s *elfSpec) {}, func(i *elfImage) { longDynamic(i, elf.DT_NEEDED) }, "more than the 65536 libraries"},
		"entries":   {func(s *elfSpec) {}, func(i *elfImage) { longDynamic(i, elf.DT_DEBUG) }, "more than the 131072 entries"},
		"notes":     {func(s *elfSpec) { s.notes = slices.Repeat([]elfNote{{"Go", 4, nil}}, 1e6) }, nil, "more than the 65536 notes"},
		"versions": {func(s *elfSpec) {
			for range 20 {
				s.versions = append(s.versions, elfVersions{"libc.so.6", slices.Repeat([]string{"GLIBC_2.2"}, 60000)})
			}
		}, nil, "more than the 65536 symbol versions"},
		"sections": {func(s *elfSpec) {}, func(i *elfImage) {
			i.set(i.at["shoff"], 8, uint64(len(i.data)))
			i.set(60, 4, 0xffff0000) // the counts are in the first section header
			first := make([]byte, 64*1_000_000)
			i.data = append(i.data, first...)
			i.set(len(i.data)-len(first)+shSize, 8, 1_000_000)
		}, "1000000 section headers, and at most 262144 are read"},
		"segments": {func(s *elfSpec) { s.extended = true }, func(i *elfImage) {
			i.set(32, 8, uint64(len(i.data)))
			i.data = append(i.data, make([]byte, 56*1_000_000)...)
			shoff := i.order.Uint64(i.data[i.at["shoff"]:])
			i.set(int(shoff)+44, 4, 1_000_000)
		}, "1000000 program headers, and at most 65536 are read"},
		"long names":  {func(s *elfSpec) { s.needed = repeat(300, "%d"+long) }, nil, "together longer than"},
		"a long name": {func(s *elfSpec) { s.soname = long + long }, nil, "longer than the 65536 bytes"},
	} {
		s := elfSpecs()["x86_64"]
		c.spec(&s)
		i := s.make()
		if c.then != nil {
			c.then(i)
		}
		r := &countingReader{data: i.data}
		var err error
		spent := allocated(func() { _, err = objfile.Read(r, int64(len(i.data))) })
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: the error is %v, want %q", name, err, c.want)
		}
		if limit := elfMemory(len(i.data)); spent > limit {
			t.Errorf("%s: %d bytes of memory for a file of %d bytes, at most %d are right", name, spent, len(i.data), limit)
		}
		t.Logf("%s: file %d, memory %d, read %d bytes in %d reads", name, len(i.data), spent, r.bytes, r.reads)
	}
}

// elfMemory is the most memory that reading a file of n bytes may allocate,
// what is freed again included.
func elfMemory(n int) uint64 { return uint64(32<<20 + 4*n) }

// allocated is how much memory f allocates, in bytes.
func allocated(f func()) uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	before := sample[0].Value.Uint64()
	f()
	metrics.Read(sample)
	return sample[0].Value.Uint64() - before
}

// TestELFSharedNames gives a thousand sections one long name, all of them from
// another letter on: the file is small, the names are not.
func TestELFSharedNames(t *testing.T) {
	s := elfSpecs()["x86_64"]
	s.extra = 1000
	i := s.make()
	end := len(i.data)
	i.data = append(append(i.data, bytes.Repeat([]byte("n"), 60000)...), 0)
	i.set(i.at["header of .shstrtab"]+shOff, 8, uint64(end))
	i.set(i.at["header of .shstrtab"]+shSize, 8, 60001)
	shoff := int(i.order.Uint64(i.data[i.at["shoff"]:]))
	for n := range 1000 {
		i.set(shoff+64*(5+n), 4, uint64(n))
	}
	if o, err := readELF(i.data); err == nil || !strings.Contains(err.Error(), "together longer than") {
		t.Errorf("got %d sections, %v", len(o.Sections), err)
	}
}

// FuzzELF holds that any bytes are answered, within bounds, twice the same.
func FuzzELF(f *testing.F) {
	for _, s := range elfSpecs() {
		f.Add(s.make().data)
		s.bare = true
		f.Add(s.make().data)
	}
	f.Add([]byte(elf.ELFMAG))
	f.Fuzz(func(t *testing.T, data []byte) {
		if !bytes.HasPrefix(data, []byte(elf.ELFMAG)) {
			return
		}
		r := &countingReader{data: data}
		var got []*objfile.Object
		var err error
		spent := allocated(func() { got, err = objfile.Read(r, int64(len(data))) })
		if limit := elfMemory(len(data)); spent > limit {
			t.Fatalf("%d bytes of memory for a file of %d bytes", spent, len(data))
		}
		// 16 pages are kept, so that a small file is read once.
		if len(data) <= 16*4096 && r.bytes > 2*len(data)+64 {
			t.Fatalf("%d bytes were read of a file of %d bytes", r.bytes, len(data))
		}
		again, err2 := objfile.Read(bytes.NewReader(data), int64(len(data)))
		if !reflect.DeepEqual(got, again) || fmt.Sprint(err) != fmt.Sprint(err2) {
			t.Fatalf("got %+v, %v; then %+v, %v", got, err, again, err2)
		}
		if err != nil {
			if got != nil || errors.Is(err, objfile.ErrFormat) {
				t.Fatalf("got %+v, %v", got, err)
			}
			return
		}
		o := got[0]
		if o.Format != objfile.ELF || o.Kind == "" || o.Machine == "" || o.Bits != 32 && o.Bits != 64 || o.Size != int64(len(data)) {
			t.Fatalf("got %+v", o)
		}
		if o.Static && (o.Kind != objfile.Executable || o.Interp != "" || len(o.Needs) > 0) {
			t.Fatalf("static: %+v", o)
		}
		end := int64(0)
		sections := slices.SortedFunc(slices.Values(o.Sections), func(a, b objfile.Section) int { return int(a.Offset - b.Offset) })
		for _, s := range sections {
			if s.Size == 0 {
				continue
			}
			if s.Offset < 0 || s.Size < 0 || s.Offset+s.Size > o.Size {
				t.Fatalf("section %+v of a file of %d bytes", s, o.Size)
			}
			if s.Offset < end && !strings.HasPrefix(s.Name, "PT_LOAD") {
				t.Fatalf("section %+v overlaps with another", s)
			}
			end = s.Offset + s.Size
		}
	})
}
