package verify

import (
	"fmt"
	"io/fs"
	"runtime"

	"github.com/relmat/relmat/internal/fsx"
	"github.com/relmat/relmat/internal/objfile"
)

// hasModes tells whether the permissions are those that users get. pip gives
// the files of a wheel its own; Windows has none; and an archive that was made
// on Windows has none either, which shows in that all its files are alike.
func (s *subject) hasModes() bool {
	switch {
	case s.wheel != nil:
		return false
	case s.kind == "directory":
		return runtime.GOOS != "windows"
	case s.kind != "zip":
		return true
	}
	for _, e := range s.entries {
		if perm := e.Mode.Perm(); e.regular() && perm != 0o666 && perm != 0o444 {
			return true
		}
	}
	return false
}

// special says what an entry is that is neither a file, a directory nor a link.
func special(mode fs.FileMode) string {
	if mode.IsRegular() || mode.IsDir() || mode&fs.ModeSymlink != 0 {
		return ""
	}
	return fsx.Kind(mode)
}

// modes finds programs that cannot be run once they are unpacked, what is no
// file at all, and files that more than their owner may write or that give away rights.
func modes(s *subject) []Finding {
	has := s.hasModes()
	var out []Finding
	var writable []string
	for _, e := range s.entries {
		if e.Name != "" || e.isLink() {
			continue
		}
		if what := special(e.Mode); what != "" {
			out = append(out, Finding{
				File: e.Path, Message: "is " + what + ": users' programs refuse to unpack it, or make one",
				Hint: "take it out; a package holds files, directories and links",
			})
			continue
		}
		if e.regular() && s.wheel == nil && e.isUnixProgram() && e.Mode&0o100 == 0 && (has || s.kind == "zip") {
			f := Finding{
				File: e.Path, Message: fmt.Sprintf("is a program and has the permissions %#o: it cannot be run", e.Mode.Perm()),
				Hint: "pack it with 0755",
			}
			if !has {
				f.Message = "is a program, and the archive keeps no permissions: it cannot be run once it is unpacked"
				f.Hint = "pack with a tool that keeps them, or use tar.gz"
			}
			out = append(out, f)
		}
		if !has {
			continue
		}
		if e.Mode&(fs.ModeSetuid|fs.ModeSetgid) != 0 && e.regular() {
			out = append(out, Finding{
				File: e.Path, Message: "runs with the rights of its owner or group (setuid, setgid)", Hint: "pack it with 0755",
			})
		}
		// Of other people's directories only what everybody can write matters:
		// what packs them decides about the rest.
		mask := fs.FileMode(0o022)
		if s.kind == "directory" && s.manifest == nil {
			mask = 0o002
		}
		if e.Mode&mask != 0 && e.Mode&fs.ModeSticky == 0 && (e.regular() || e.Mode.IsDir()) {
			writable = append(writable, fmt.Sprintf("%s %#o", text(e.Path), e.Mode.Perm()))
		}
	}
	if len(writable) > 0 {
		out = append(out, Finding{
			Severity: warning,
			Message:  fmt.Sprintf("%s can be written by more users than the owner", count(len(writable), "file")),
			Hint:     "pack files with 0644, programs and directories with 0755", Evidence: evidence(writable),
		})
	}
	return out
}

// isUnixProgram tells whether the file is a program for Linux or macOS.
func (e *entry) isUnixProgram() bool {
	for _, n := range e.slices {
		if n.Kind == objfile.Executable && (n.Format == objfile.ELF || n.Format == objfile.MachO) && n.Machine != "cuda" {
			return true
		}
	}
	return false
}
