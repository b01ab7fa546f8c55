package objfile

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// otoolTruth is what llvm-otool says of a slice, in our words.
type otoolTruth struct {
	cpu, fileType  int
	needs          []Need
	rpath          []string
	soname, interp string
	uuid           string
	platform       string
	minimum, sdk   string
	signed         bool
	sections       []Section
}

// Names of what llvm-otool prints as numbers (<mach/machine.h>,
// <mach-o/loader.h>).
var (
	otoolMachines = map[int]string{
		7: "i386", 12: "arm", 0x01000007: "x86_64", 0x0100000c: "aarch64", 0x0200000c: "arm64_32",
	}
	otoolKinds     = map[int]Kind{1: Relocated, 2: Executable, 6: Library, 8: Bundle, 10: Debug}
	otoolPlatforms = map[string]string{"1": "macos", "4": "watchos", "6": "maccatalyst"}
	otoolNeeds     = map[string]string{
		"LC_LOAD_DYLIB": "", "LC_LOAD_WEAK_DYLIB": "weak", "LC_REEXPORT_DYLIB": "reexport",
	}
	otoolMinimum = map[string]string{"LC_VERSION_MIN_MACOSX": "macos", "LC_VERSION_MIN_IPHONEOS": "ios"}
)

// parseOtool reads the output of llvm-otool -l for one or more slices.
func parseOtool(t *testing.T, text string) (all []otoolTruth) {
	t.Helper()
	number := func(s string) int {
		n, err := strconv.ParseInt(strings.Fields(s)[0], 0, 64)
		if err != nil {
			t.Fatal(err)
		}
		return int(n)
	}
	for _, slice := range strings.Split(text, "Mach header\n")[1:] {
		commands := regexp.MustCompile(`(?m)^Load command \d+\n`).Split(slice, -1)
		head := strings.Fields(strings.Split(commands[0], "\n")[1])
		truth := otoolTruth{cpu: number(head[1]), fileType: number(head[4])}
		for _, c := range commands[1:] {
			get := func(key string) string {
				found := regexp.MustCompile(`(?m)^ *` + key + ` +(.*)$`).FindStringSubmatch(c)
				if found == nil {
					return ""
				}
				return regexp.MustCompile(` \(offset \d+\)$`).ReplaceAllString(found[1], "")
			}
			sdk := strings.ReplaceAll(get("sdk"), "n/a", "")
			switch cmd := get("cmd"); cmd {
			case "LC_LOAD_DYLIB", "LC_LOAD_WEAK_DYLIB", "LC_REEXPORT_DYLIB":
				truth.needs = append(truth.needs, Need{
					Name: get("name"), How: otoolNeeds[cmd], Compatibility: strings.TrimPrefix(get("compatibility"), "version "),
				})
			case "LC_RPATH":
				truth.rpath = append(truth.rpath, get("path"))
			case "LC_ID_DYLIB":
				truth.soname = get("name")
			case "LC_LOAD_DYLINKER":
				truth.interp = get("name")
			case "LC_UUID":
				truth.uuid = strings.ToLower(strings.ReplaceAll(get("uuid"), "-", ""))
			case "LC_BUILD_VERSION":
				truth.platform, truth.minimum, truth.sdk = otoolPlatforms[get("platform")], get("minos"), sdk
			case "LC_VERSION_MIN_MACOSX", "LC_VERSION_MIN_IPHONEOS":
				truth.platform, truth.minimum, truth.sdk = otoolMinimum[cmd], get("version"), sdk
			case "LC_CODE_SIGNATURE":
				truth.signed = true
			case "LC_SEGMENT", "LC_SEGMENT_64":
				parts := strings.Split(c, "Section\n")
				for _, s := range parts[1:] {
					c = s
					flags := number(get("flags"))
					section := Section{
						Name: get("segname") + "," + get("sectname"), Addr: uint64(number(get("addr"))),
						Exec:  flags&0x80000400 != 0,
						Alloc: flags&0x02000000 == 0 && truth.fileType != 10,
					}
					inFile := !regexp.MustCompile(`(?m)^ *filesize 0$`).MatchString(parts[0])
					if size := number(get("size")); flags&0xff != 1 && size != 0 && inFile {
						section.Offset, section.Size = int64(number(get("offset"))), int64(size)
					}
					truth.sections = append(truth.sections, section)
				}
			}
		}
		all = append(all, truth)
	}
	return all
}

// The files of testdata/macho and what llvm-otool says of them are made by
// testdata/macho/make.sh.
func TestMachOAgreesWithOtool(t *testing.T) {
	outputs, err := filepath.Glob("testdata/macho/*.otool")
	if err != nil || len(outputs) < 9 {
		t.Fatalf("%d files, %v", len(outputs), err)
	}
	for _, output := range outputs {
		path := strings.TrimSuffix(output, ".otool")
		t.Run(filepath.Base(path), func(t *testing.T) {
			text, err := os.ReadFile(output)
			if err != nil {
				t.Fatal(err)
			}
			truths := parseOtool(t, string(text))
			objects, err := Open(path)
			if err != nil {
				t.Fatal(err)
			}
			if len(objects) != len(truths) {
				t.Fatalf("%d objects, want %d", len(objects), len(truths))
			}
			for i, want := range truths {
				compareOtool(t, objects[i], want)
			}
		})
	}
}

func compareOtool(t *testing.T, o *Object, want otoolTruth) {
	t.Helper()
	sections := append([]Section(nil), o.Sections...)
	for i := range sections {
		if sections[i].Size != 0 {
			sections[i].Offset -= o.Offset
		}
	}
	machine := otoolMachines[want.cpu]
	if o.Machine == "arm64e" {
		machine = "arm64e"
	}
	macOS := want.minimum
	if want.platform != "macos" {
		macOS = ""
	}
	for _, c := range []struct {
		what      string
		got, want any
	}{
		{"machine", o.Machine, machine},
		{"kind", o.Kind, otoolKinds[want.fileType]},
		{"needs", o.Needs, want.needs},
		{"rpath", o.Rpath, want.rpath},
		{"soname", o.Soname, want.soname},
		{"interp", o.Interp, want.interp},
		{"UUID", o.BuildID, want.uuid},
		{"platform", o.MachO.Platform, want.platform},
		{"SDK", o.MachO.SDK, want.sdk},
		{"macOS", o.Floors.MacOS, macOS},
		{"signed", o.Signature.Kind != "none", want.signed},
		{"sections", sections, append([]Section(nil), want.sections...)},
	} {
		if !reflect.DeepEqual(c.got, c.want) {
			t.Errorf("%s: %+v, want %+v", c.what, c.got, c.want)
		}
	}
}
