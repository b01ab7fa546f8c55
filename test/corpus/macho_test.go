package corpus

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"

	"github.com/relmat/relmat/internal/objfile"
)

var (
	machHeader  = regexp.MustCompile(`(?m)^ ?(?:MH_MAGIC(_64)?|0x\w+) +(\S+) +(\S+) +\S+ +(\S+) +(\d+) `)
	machCommand = regexp.MustCompile(`(?m)^Load command \d+$`)
	machField   = regexp.MustCompile(`(?m)^ *(cmd|name|path|uuid|platform|sdk|minos|version|compatibility version|dataoff|datasize|sectname|segname|addr|size|offset|type) (.*?)(?: \(offset \d+\))?$`)
	machHow     = map[string]string{"LC_LOAD_DYLIB": "", "LC_LOAD_WEAK_DYLIB": "weak", "LC_REEXPORT_DYLIB": "reexport", "LC_LOAD_UPWARD_DYLIB": "upward", "LC_LAZY_LOAD_DYLIB": "lazy"}
	machKind    = map[string]objfile.Kind{"EXECUTE": objfile.Executable, "DYLIB": objfile.Library, "BUNDLE": objfile.Bundle, "OBJECT": objfile.Relocated, "DSYM": objfile.Debug}
	machCPU     = map[string]string{"X86_64": "x86_64", "ARM64": "aarch64", "ARM64 E": "arm64e"}
)

// compareMachO compares a thin file with llvm-objdump's load commands.
func compareMachO(c *check, o *objfile.Object) {
	const tool = "llvm-objdump"
	out, err := output("llvm-objdump", "--macho", "--private-headers", c.path)
	if err != nil {
		c.failf("%v", err)
		return
	}
	h := machHeader.FindStringSubmatch(out)
	commands := machCommand.Split(out, -1)[1:]
	if h == nil || strconv.Itoa(len(commands)) != h[5] {
		c.failf("llvm-objdump shows %d load commands behind the header %q", len(commands), h)
		return
	}
	c.same(tool, "machine", o.Machine, machCPU[h[2]])
	c.same(tool, "bits", o.Bits, map[string]int{"_64": 64, "": 32}[h[1]])
	c.same(tool, "kind", o.Kind, machKind[h[4]])
	want := objfile.Object{Kind: machKind[h[4]], MachO: &objfile.MachOInfo{}}
	var needs, sections []string
	signature := [2]int64{-1, -1}
	for _, command := range commands {
		fields := map[string]string{}
		header, rest, _ := strings.Cut(command, "\nSection\n")
		for _, m := range machField.FindAllStringSubmatch(header, -1) {
			if _, there := fields[m[1]]; !there { // tools have versions as well
				fields[m[1]] = m[2]
			}
		}
		switch cmd := fields["cmd"]; cmd {
		case "LC_LOAD_DYLIB", "LC_LOAD_WEAK_DYLIB", "LC_REEXPORT_DYLIB", "LC_LOAD_UPWARD_DYLIB", "LC_LAZY_LOAD_DYLIB":
			needs = append(needs, strings.TrimSpace(fields["name"]+" "+machHow[cmd])+" "+fields["compatibility version"])
		case "LC_ID_DYLIB":
			want.Soname = fields["name"]
		case "LC_LOAD_DYLINKER":
			want.Interp = fields["name"]
		case "LC_RPATH":
			want.Rpath = append(want.Rpath, fields["path"])
		case "LC_UUID":
			want.BuildID = strings.ToLower(strings.ReplaceAll(fields["uuid"], "-", ""))
		case "LC_BUILD_VERSION":
			want.MachO.Platform, want.MachO.SDK, want.Floors.MacOS = fields["platform"], fields["sdk"], fields["minos"]
		case "LC_VERSION_MIN_MACOSX":
			want.MachO.Platform, want.MachO.SDK, want.Floors.MacOS = "macos", fields["sdk"], fields["version"]
		case "LC_CODE_SIGNATURE":
			signature[0], _ = strconv.ParseInt(fields["dataoff"], 10, 64)
			signature[1], _ = strconv.ParseInt(fields["datasize"], 10, 64)
		case "LC_SEGMENT_64", "LC_SEGMENT":
			for _, section := range strings.Split(rest, "\nSection\n") {
				if rest != "" {
					sections = append(sections, machSection(section))
				}
			}
		}
	}
	var got []string
	for _, n := range o.Needs {
		got = append(got, strings.TrimSpace(n.Name+" "+n.How)+" "+n.Compatibility)
	}
	c.list(tool, "libraries", got, needs)
	c.same(tool, "install name", o.Soname, want.Soname)
	c.same(tool, "dynamic linker", o.Interp, want.Interp)
	c.list(tool, "LC_RPATH", o.Rpath, want.Rpath)
	c.same(tool, "UUID", o.BuildID, want.BuildID)
	c.same(tool, "static", o.Static, want.Kind == objfile.Executable && want.Interp == "" && len(needs) == 0)
	c.same(tool, "oldest macOS", o.Floors.MacOS, want.Floors.MacOS)
	if o.MachO == nil {
		c.failf("there is no MachOInfo")
		return
	}
	c.same(tool, "platform", o.MachO.Platform, want.MachO.Platform)
	c.same(tool, "SDK", o.MachO.SDK, want.MachO.SDK)
	c.same(tool, "universal", o.MachO.Universal, false)
	var ours []string
	for _, s := range o.Sections {
		if strings.Contains(s.Name, ",") { // the others are segments as a whole
			ours = append(ours, machSectionLine(s.Name, s.Offset, s.Size, s.Addr))
		}
	}
	c.list(tool, "sections", ours, sections)
	compareMachSignature(c, o, signature)
}

func machSection(text string) string {
	f := map[string]string{}
	for _, m := range machField.FindAllStringSubmatch("\n"+text, -1) {
		f[m[1]] = m[2]
	}
	addr, _ := strconv.ParseUint(f["addr"], 0, 64)
	size, _ := strconv.ParseInt(f["size"], 0, 64)
	offset, _ := strconv.ParseInt(f["offset"], 10, 64)
	if strings.HasSuffix(f["type"], "ZEROFILL") || strings.HasSuffix(f["type"], "THREAD_LOCAL_ZEROFILL") {
		size = 0
	}
	return machSectionLine(f["segname"]+","+f["sectname"], offset, size, addr)
}

func machSectionLine(name string, offset, size int64, addr uint64) string {
	if size == 0 {
		offset = 0
	}
	return fmt.Sprintf("%s offset %#x size %#x address %#x", name, offset, size, addr)
}

// compareMachSignature reads the signature's blobs (Apple, xnu,
// osfmk/kern/cs_blobs.h) where llvm-objdump says that they lie: none of the
// tools at hand shows them. What is compared is little: whether a certificate's
// signature is there, and the words behind the code directory's header.
func compareMachSignature(c *check, o *objfile.Object, at [2]int64) {
	if at[0] < 0 {
		c.same("llvm-objdump", "signature", o.Signature.Kind, "none")
		return
	}
	f, err := os.Open(c.path)
	if err != nil {
		c.failf("%v", err)
		return
	}
	defer f.Close()
	b := make([]byte, at[1])
	if _, err := f.ReadAt(b, at[0]); err != nil {
		c.failf("%v", err)
		return
	}
	directory := bytes.Index(b, []byte{0xfa, 0xde, 0x0c, 0x02})
	cms := bytes.Index(b, []byte{0xfa, 0xde, 0x0b, 0x01})
	if directory < 0 {
		c.failf("there is no code directory where llvm-objdump says")
		return
	}
	d := b[directory:]
	kind := "adhoc"
	if cms >= 0 && binary.BigEndian.Uint32(b[cms+4:]) > 8 {
		kind = "identity"
	}
	const adhoc, runtime = 0x2, 0x10000
	flags := binary.BigEndian.Uint32(d[12:])
	if (kind == "adhoc") != (flags&adhoc != 0) {
		c.failf("the flags of the code directory are %#x, yet it is of kind %s", flags, kind)
	}
	identifier, _, _ := strings.Cut(string(d[binary.BigEndian.Uint32(d[20:]):]), "\x00")
	c.same("cs_blobs.h", "signature", o.Signature.Kind, kind)
	c.same("cs_blobs.h", "identifier", o.Signature.Identifier, identifier)
	c.same("cs_blobs.h", "hardened", o.Signature.Hardened, flags&runtime != 0)
}
