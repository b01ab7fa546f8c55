package objfile_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/relmat/relmat/internal/objfile"
	"github.com/relmat/relmat/internal/objfile/dlltest"
)

// exported is a DLL with an export of every kind.
var exported = []dlltest.Export{
	{Name: "zulu", Ordinal: 1},
	{Name: "alpha", Ordinal: 2},
	{Name: "state", Ordinal: 4, Data: true},
	{Name: "?f@@YAHH@Z", Ordinal: 6},
	{Name: "away", Ordinal: 7, Forwarder: "OTHER.Function"},
	{Ordinal: 8},
	{Ordinal: 9, Forwarder: "OTHER.#12"},
}

func TestExports(t *testing.T) {
	path := filepath.Join(t.TempDir(), "every.dll")
	if err := os.WriteFile(path, dlltest.Build(dlltest.X86_64, "every.dll", exported), 0o644); err != nil {
		t.Fatal(err)
	}
	x, err := objfile.OpenExports(path)
	if err != nil {
		t.Fatal(err)
	}
	want := &objfile.Exports{Machine: "x86_64", Library: "every.dll", Symbols: []objfile.Export{
		{Name: "?f@@YAHH@Z", Ordinal: 6, Hint: 0},
		{Name: "alpha", Ordinal: 2, Hint: 1},
		{Name: "away", Ordinal: 7, Hint: 2, Forwarder: "OTHER.Function"},
		{Name: "state", Ordinal: 4, Hint: 3, Data: true},
		{Name: "zulu", Ordinal: 1, Hint: 4},
		{Ordinal: 8},
		{Ordinal: 9, Forwarder: "OTHER.#12"},
	}}
	if !reflect.DeepEqual(x, want) {
		t.Errorf("got  %+v\nwant %+v", x, want)
	}
	compareExports(t, path, x)
}

// compareExports has objdump say what the DLL exports.
func compareExports(t *testing.T, path string, x *objfile.Exports) {
	t.Helper()
	out, err := exec.Command("objdump", "-p", path).CombinedOutput()
	if err != nil {
		t.Fatalf("objdump -p %s: %v\n%s", path, err, out)
	}
	dump := string(out)
	if m := regexp.MustCompile(`(?m)^Name\s+[0-9a-f]+ (\S+)`).FindStringSubmatch(dump); m == nil || m[1] != x.Library {
		t.Errorf("the library is %q, objdump says %q", x.Library, m)
	}
	// [Ordinal/Name Pointer] Table: index into the addresses, name.
	base := regexp.MustCompile(`(?m)^Ordinal Base\s+(\d+)`).FindStringSubmatch(dump)
	if base == nil {
		t.Fatalf("objdump shows no exports:\n%s", dump)
	}
	first, _ := strconv.Atoi(base[1])
	_, names, _ := strings.Cut(dump, "[Ordinal/Name Pointer] Table")
	var want, got []string
	for _, m := range regexp.MustCompile(`(?m)^\s*\[\s*(\d+)\] (?:\+base\[\s*\d+\]\s+)?(?:[0-9a-f]{4} )?(\S+)`).FindAllStringSubmatch(names, -1) {
		i, _ := strconv.Atoi(m[1])
		want = append(want, strconv.Itoa(i+first)+" "+m[2])
	}
	for _, e := range x.Symbols {
		if e.Name != "" {
			got = append(got, strconv.Itoa(int(e.Ordinal))+" "+e.Name)
		}
	}
	if len(want) == 0 || !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, objdump says %q", got, want)
	}
	// Export Address Table: what is exported, and where forwarders lead.
	var forwards, ours []string
	for _, m := range regexp.MustCompile(`(?m)Forwarder RVA -- (\S+)`).FindAllStringSubmatch(dump, -1) {
		forwards = append(forwards, m[1])
	}
	for _, e := range x.Symbols {
		if e.Forwarder != "" {
			ours = append(ours, e.Forwarder)
		}
	}
	if !reflect.DeepEqual(ours, forwards) {
		t.Errorf("forwarders: got %q, objdump says %q", ours, forwards)
	}
	if n := strings.Count(dump, "Export RVA") + strings.Count(dump, "Forwarder RVA"); n != len(x.Symbols) {
		t.Errorf("%d exports, objdump says %d", len(x.Symbols), n)
	}
}

func TestExportsOfOthers(t *testing.T) {
	for name, data := range map[string][]byte{
		"nothing": nil, "one byte": []byte("M"), "text": []byte("some text that is no DLL"), "ELF": []byte("\x7fELF\x02\x01\x01"),
	} {
		if x, err := objfile.ReadExports(bytes.NewReader(data), int64(len(data))); !errors.Is(err, objfile.ErrFormat) {
			t.Errorf("%s: %+v, %v", name, x, err)
		}
	}
	// A program without exports has none.
	data := dlltest.Build(dlltest.AArch64, "empty.dll", nil)
	binary.LittleEndian.PutUint32(data[68+20+112:], 0)
	x, err := objfile.ReadExports(bytes.NewReader(data), int64(len(data)))
	if err != nil || x.Machine != "aarch64" || len(x.Symbols) != 0 {
		t.Errorf("%+v, %v", x, err)
	}
	if _, err := objfile.OpenExports(filepath.Join(t.TempDir(), "none.dll")); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

// directoryAt is where dlltest puts the export directory in the file.
const directoryAt = 0x800

func TestExportsHostile(t *testing.T) {
	put := func(at int, v uint32) func() []byte {
		return func() []byte {
			data := dlltest.Build(dlltest.X86_64, "every.dll", exported)
			binary.LittleEndian.PutUint32(data[at:], v)
			return data
		}
	}
	// The tables that follow the directory.
	const addresses, names = directoryAt + 40, directoryAt + 40 + 4*9
	const ordinals = names + 4*5
	for name, c := range map[string]struct {
		data func() []byte
		want string
	}{
		"directory nowhere":        {put(68+20+112, 0x80000000), "lies in no section"},
		"name nowhere":             {put(directoryAt+12, 0xf0000000), "name: address 0xf0000000"},
		"ordinals of 17 bits":      {put(directoryAt+16, 65530), "ordinals from 65530 to 65538"},
		"2^32 addresses":           {put(directoryAt+20, 1<<32-1), "more than 65536"},
		"2^32 names":               {put(directoryAt+24, 1<<32-1), "more than 65536"},
		"addresses past the end":   {put(directoryAt+20, 2000), "addresses: "},
		"names past the end":       {put(directoryAt+24, 2000), "name pointers: "},
		"addresses nowhere":        {put(directoryAt+28, 0xf0000000), "addresses: "},
		"names nowhere":            {put(directoryAt+32, 0xf0000000), "name pointers: "},
		"ordinals nowhere":         {put(directoryAt+36, 0xf0000000), "ordinals: "},
		"a name nowhere":           {put(names, 0xf0000000), "name 1: "},
		"a name of another table":  {put(names, 0x2000), "name 1 is empty"},
		"an index past the end":    {put(ordinals, 0xffff), "name 1: address 65536 of 9"},
		"a name without end":       {endlessExport, "longer than 16384 bytes"},
		"names of 32 MiB together": {largeExports, "more than 33554432 bytes together"},
		"cut off":                  {func() []byte { return put(0, 0x5a4d)()[:directoryAt] }, "past the end"},
	} {
		t.Run(name, func(t *testing.T) {
			data := c.data()
			start := time.Now()
			x, err := objfile.ReadExports(bytes.NewReader(data), int64(len(data)))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %+v, %v; want an error about %q", x, err, c.want)
			}
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
	// An address in no section is a symbol all the same: data, as far as known.
	data := put(addresses, 0xf0000000)()
	x, err := objfile.ReadExports(bytes.NewReader(data), int64(len(data)))
	if err != nil || x.Symbols[4].Name != "zulu" || !x.Symbols[4].Data {
		t.Errorf("%+v, %v", x, err)
	}
}

func endlessExport() []byte {
	return dlltest.Build(dlltest.X86_64, "long.dll", []dlltest.Export{{Name: strings.Repeat("a", 20_000), Ordinal: 1}})
}

// largeExports has many exports of one long name.
func largeExports() []byte {
	const count = 20_000
	list := make([]dlltest.Export, count)
	for i := range list {
		list[i] = dlltest.Export{Name: "b", Ordinal: uint16(i + 1)}
	}
	list[0].Name = strings.Repeat("a", 10_000)
	data := dlltest.Build(dlltest.X86_64, "large.dll", list)
	names := directoryAt + 40 + 4*count
	for i := range count {
		copy(data[names+4*i:names+4*i+4], data[names:names+4])
	}
	return data
}

// FuzzExports holds that any bytes are answered, within bounds, twice the same.
func FuzzExports(f *testing.F) {
	f.Add(dlltest.Build(dlltest.X86_64, "every.dll", exported))
	f.Add(dlltest.Build(dlltest.AArch64, "none.dll", nil))
	f.Add([]byte("MZ"))
	f.Fuzz(func(t *testing.T, data []byte) {
		one, err := objfile.ReadExports(bytes.NewReader(data), int64(len(data)))
		two, again := objfile.ReadExports(bytes.NewReader(data), int64(len(data)))
		if (err == nil) != (again == nil) || !reflect.DeepEqual(one, two) {
			t.Errorf("once %+v, %v; then %+v, %v", one, err, two, again)
		}
		if err != nil {
			return
		}
		for _, e := range one.Symbols {
			if len(e.Name) > 16<<10 || e.Forwarder != "" && e.Data {
				t.Errorf("the export %+v", e)
			}
		}
	})
}
