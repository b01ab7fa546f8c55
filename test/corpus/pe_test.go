package corpus

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/relmat/relmat/internal/objfile"
)

// LLVM's names of what PE files hold.
var (
	peMachines = map[string]string{
		"IMAGE_FILE_MACHINE_AMD64": "x86_64", "IMAGE_FILE_MACHINE_ARM64": "aarch64", "IMAGE_FILE_MACHINE_I386": "i386",
	}
	peSubsystem = strings.NewReplacer("IMAGE_SUBSYSTEM_", "")
	peExport    = regexp.MustCompile(`(?m)^Export Table:\n DLL name: (.*)$`)
	peOrdinal   = regexp.MustCompile(`^ \(\d+\)$`)
)

func comparePE(c *check, o *objfile.Object) {
	const tool = "llvm-readobj"
	out, err := output("llvm-readobj", "--file-headers", "--sections", "--coff-imports", "--coff-debug-directory", c.path)
	if err != nil {
		c.failf("%v", err)
		return
	}
	// The file's name may hold what looks like a part.
	_, out, _ = strings.Cut(out, "\nFormat:")
	s, err := parseScopes("Format:" + out)
	if err != nil {
		c.failf("%v", err)
		return
	}
	c.same(tool, "machine", o.Machine, peMachines[s.word("Machine")])
	bits := map[string]int{"0x20B": 64, "0x10B": 32}[s.all("ImageOptionalHeader")[0].value("Magic")]
	c.same(tool, "bits", o.Bits, bits)
	kind := objfile.Executable
	if s.all("ImageFileHeader")[0].all("Characteristics")[0].has("IMAGE_FILE_DLL") {
		kind = objfile.Library
	}
	c.same(tool, "kind", o.Kind, kind)
	if o.PE == nil {
		c.failf("there is no PEInfo")
		return
	}
	c.same(tool, "subsystem", o.PE.Subsystem, strings.ToLower(peSubsystem.Replace(s.word("Subsystem"))))
	c.same(tool, "linker", o.PE.Linker, s.value("MajorLinkerVersion")+"."+s.value("MinorLinkerVersion"))
	c.same(tool, "Windows", o.Floors.Windows, s.value("MajorSubsystemVersion")+"."+s.value("MinorSubsystemVersion"))
	comparePDB(c, o, s)
	needs, delayed := peImports(s, "Import"), peImports(s, "DelayImport")
	c.list(tool, "imports", needLines(o.Needs), needs)
	c.list(tool, "delay imports", needLines(o.DelayNeeds), delayed)
	c.same(tool, "static", o.Static, kind == objfile.Executable && len(needs) == 0 && len(delayed) == 0)
	var sections []string
	for _, section := range s.all("Section") {
		flags := section.all("Characteristics")[0]
		exec := flags.has("IMAGE_SCN_CNT_CODE") || flags.has("IMAGE_SCN_MEM_EXECUTE")
		// debug information of MinGW is the only kind that is discarded here.
		name := section.word("Name")
		alloc := !flags.has("IMAGE_SCN_MEM_DISCARDABLE") || !strings.HasPrefix(name, ".debug")
		size := section.number("RawDataSize")
		if section.number("PointerToRawData") == 0 {
			size = 0
		}
		sections = append(sections, sectionLine(name, section.number("PointerToRawData"), size, uint64(section.number("VirtualAddress")), exec, alloc))
	}
	c.list(tool, "sections", sectionLines(o.Sections), sections)

	exports, err := output("llvm-objdump", "--private-headers", c.path)
	if err != nil {
		c.failf("%v", err)
		return
	}
	var name string
	if m := peExport.FindStringSubmatch(exports); m != nil {
		name = m[1]
	}
	c.same("llvm-objdump", "name in the export directory", o.Soname, name)
	compareAuthenticode(c, o)
}

// comparePDB compares the first entry of the debug directory that names a PDB.
func comparePDB(c *check, o *objfile.Object, s *scope) {
	var path, id string
	if all := s.all("PDBInfo"); len(all) > 0 {
		info := all[0]
		path = info.value("PDBFileName")
		var guid []byte
		if _, err := fmt.Sscanf(strings.ReplaceAll(strings.Trim(info.value("PDBGUID"), "()"), " ", ""), "%x", &guid); err != nil || len(guid) != 16 {
			c.failf("the GUID of the PDB is %q", info.value("PDBGUID"))
			return
		}
		// A GUID's first three fields are little-endian numbers.
		id = fmt.Sprintf("%X%X%X%X%X%X%X%X%X%X", []byte{guid[3]}, guid[2:3], guid[1:2], guid[0:1], guid[5:6], guid[4:5], guid[7:8], guid[6:7], guid[8:],
			info.number("PDBAge"))
	}
	c.same("llvm-readobj", "PDB", o.PE.PDB, path)
	c.same("llvm-readobj", "build ID", o.BuildID, id)
}

// peImports are the libraries of llvm-readobj's parts with the name, with what
// is imported of them.
func peImports(s *scope, name string) (lines []string) {
	for _, p := range s.parts {
		if p.name != name {
			continue
		}
		symbols, ordinals := 0, 0
		count := func(p *scope) {
			for _, l := range p.lines {
				if l.key != "Symbol" {
					continue
				}
				if peOrdinal.MatchString(l.value) || peOrdinal.MatchString(" "+l.value) {
					ordinals++
				} else {
					symbols++
				}
			}
		}
		count(p)
		for _, inner := range p.parts {
			count(inner)
		}
		name := strings.ToLower(p.value("Name"))
		apiSet := strings.HasPrefix(name, "api-ms-") || strings.HasPrefix(name, "ext-ms-")
		lines = append(lines, needLine(p.value("Name"), symbols, ordinals, apiSet))
	}
	return lines
}

func needLines(needs []objfile.Need) (lines []string) {
	for _, n := range needs {
		lines = append(lines, needLine(n.Name, n.Symbols, n.Ordinals, n.APISet))
	}
	return lines
}

func needLine(name string, symbols, ordinals int, apiSet bool) string {
	return fmt.Sprintf("%s: %d by name, %d by number, API set %v", name, symbols, ordinals, apiSet)
}

var (
	certificate = regexp.MustCompile(`(?s)\n        cert_info: \n.*?\n          serialNumber: (\S+)\n.*?\n          subject: ([^\n]*)\n`)
	signerInfo  = regexp.MustCompile(`\n    signer_info:\n(?:[^\n]*\n)*?          serial: (\S+)\n`)
	// Of a time stamp: Microsoft's RFC 3161 attribute, or a countersignature.
	stamp = regexp.MustCompile(`(?s)\n        unauth_attr:.*object: (?:undefined \(1\.3\.6\.1\.4\.1\.311\.3\.3\.1\)|.*1\.2\.840\.113549\.1\.9\.6\))`)
)

// compareAuthenticode takes the signature out with osslsigncode and reads it
// with openssl.
func compareAuthenticode(c *check, o *objfile.Object) {
	const tool = "osslsigncode"
	pem := filepath.Join(c.t.TempDir(), "signature.pem")
	out, code, err := run("osslsigncode", "extract-signature", "-pem", "-in", c.path, "-out", pem)
	if err != nil {
		c.failf("%v", err)
		return
	}
	if _, err := os.Stat(pem); err != nil || code != 0 {
		if !strings.Contains(out, "No signature found") && !strings.Contains(out, "no signature") {
			c.failf("osslsigncode fails otherwise than for want of a signature:\n%s", out)
		}
		c.same(tool, "signature", o.Signature, objfile.Signature{Kind: "none"})
		return
	}
	c.same(tool, "signature", o.Signature.Kind, "authenticode")
	text, err := output("openssl", "pkcs7", "-print", "-noout", "-in", pem)
	if err != nil {
		c.failf("%v", err)
		return
	}
	info := signerInfo.FindStringSubmatchIndex(text)
	if info == nil {
		c.failf("openssl shows no signer:\n%s", tail(text))
		return
	}
	var subject string
	for _, m := range certificate.FindAllStringSubmatch(text, -1) {
		if m[1] == text[info[2]:info[3]] {
			subject = m[2]
		}
	}
	if !strings.Contains(", "+subject+",", ", CN="+o.Signature.Signer+",") || o.Signature.Signer == "" {
		c.failf("the signer is %q, openssl says %q", o.Signature.Signer, subject)
	}
	c.same("openssl", "signer", true, true)
	c.same("openssl", "time stamp", o.Signature.Timestamped, stamp.MatchString(text[info[0]:]))
}
