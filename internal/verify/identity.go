package verify

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/relmat/relmat/internal/manifest"
	"github.com/relmat/relmat/internal/objfile"
)

// vendorIdentity finds vendors' files that are not, byte for byte, as they came:
// by the wheels' lists of files where they are at hand, else by what tools leave
// behind that change libraries.
func vendorIdentity(s *subject) []Finding {
	var out []Finding
	for _, e := range s.entries {
		if !e.regular() || e.SHA256 == "" {
			continue
		}
		if e.changed() {
			out = append(out, Finding{
				File:     e.Path,
				Message:  fmt.Sprintf("is not as %s has it: its content is another than the manifest says", text(e.listed.From)),
				Hint:     unchanged,
				Evidence: []string{"SHA-256 " + e.SHA256 + ", not " + e.listed.SHA256},
			})
			continue
		}
		if s.o.Vendor != nil {
			_, known := s.o.Vendor(e.SHA256)
			switch {
			case known:
				continue
			case e.listed != nil && e.listed.Origin == manifest.Wheel:
				out = append(out, Finding{
					File:     e.Path,
					Message:  fmt.Sprintf("is from %s by the manifest, and no wheel of the toolkit has a file of this content", text(e.listed.From)),
					Hint:     unchanged,
					Evidence: []string{"SHA-256 " + e.SHA256},
				})
				continue
			}
		}
		if e.vendor == nil {
			continue
		}
		if why, severity := patched(e); why != "" {
			out = append(out, Finding{
				Severity: severity, File: e.Path,
				Message: fmt.Sprintf("is a library of %s, but not as the vendor makes it: %s", e.vendor.who, why),
				Hint:    "take the file as its wheel has it: its licence forbids changes (CUDA EULA, 2.3), and tools that make them break some; the program carries the run path",
			})
		}
	}
	return out
}

const unchanged = "NVIDIA's files must not be changed (CUDA EULA, 2.3): make the package anew from the wheels; the program carries the run path"

// changed tells whether a vendor's file has other content than the manifest
// says.
func (e *entry) changed() bool {
	return e.listed != nil && (e.listed.Origin == manifest.Wheel || e.listed.Origin == manifest.Host) && e.listed.Role != "license" &&
		e.SHA256 != "" && e.SHA256 != e.listed.SHA256
}

// patched says what a tool has left in a vendor's library that changed it,
// empty where there is nothing of the sort. What only the vendor's known
// versions tell is a warning: another version may be made otherwise.
func patched(e *entry) (why, severity string) {
	for _, n := range e.slices {
		if n.Format != objfile.ELF {
			continue
		}
		if soname := path.Base(n.Soname); n.Soname != "" && plainName(soname) != soname {
			return fmt.Sprintf("its SONAME is %s, with a digest in it as auditwheel writes", text(n.Soname)), ""
		}
		dirs := slices.Concat(n.Rpath, n.Runpath)
		for _, d := range dirs {
			if !strings.HasPrefix(d, "$ORIGIN") && !strings.HasPrefix(d, "${ORIGIN}") {
				return fmt.Sprintf("its run path has %s, and the vendor's begin with $ORIGIN", text(d)), ""
			}
		}
		if e.vendor.Bare && len(dirs) > 0 {
			return fmt.Sprintf("its run path is %s, and the vendor's copies in CUDA 13.0 and 13.2 have none", text(strings.Join(dirs, ":"))), warning
		}
		var dynamic, code int64 = -1, -1
		for _, sec := range n.Sections {
			switch sec.Name {
			case ".dynstr":
				dynamic = sec.Offset
			case ".text":
				code = sec.Offset
			}
		}
		if e.vendor.Intact && dynamic > code && code >= 0 {
			return fmt.Sprintf("its dynamic strings lie behind its code (offset %d) as patchelf leaves them, and before it in the vendor's copies in CUDA 13.0 and 13.2", dynamic), warning
		}
	}
	return "", ""
}
