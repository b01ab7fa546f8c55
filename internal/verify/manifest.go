package verify

import (
	"fmt"
	"io/fs"
	"maps"
	"path"
	"runtime"
	"slices"
	"strings"

	"github.com/relmat/relmat/internal/manifest"
)

// manifestRule holds the package against its own list: manifest.json, or a
// wheel's RECORD.
func manifestRule(s *subject) []Finding {
	var out []Finding
	for _, e := range s.entries {
		if e.Err != nil {
			out = append(out, Finding{
				File: e.Path, Message: "cannot be read: " + firstLine(e.Err.Error()), Hint: "pack it anew; look whether a download or a copy was cut short",
			})
		}
	}
	for _, p := range slices.Sorted(maps.Keys(s.manifestErrs)) {
		out = append(out, Finding{
			File: p, Message: "the list of what the package holds is damaged: " + firstLine(s.manifestErrs[p].Error()), Hint: "fetch the package again, or make it anew with relmat bundle",
		})
	}
	switch {
	case len(s.manifestErrs) > 0:
	case s.manifest != nil:
		out = append(out, s.ofAnother()...)
		out = append(out, s.againstManifests()...)
	case s.wheel != nil:
		out = append(out, s.againstRecord()...)
	}
	return out
}

// againstManifests holds the package against its lists together: a package of
// libraries is unpacked over another.
func (s *subject) againstManifests() []Finding {
	var out []Finding
	listed := map[string]bool{}
	for _, m := range s.manifests {
		listed[m.Name()] = true
		for _, f := range m.Files {
			listed[f.Path] = true
		}
		out = append(out, s.againstManifest(m)...)
	}
	for _, e := range s.entries {
		if e.Name == "" && !e.Mode.IsDir() && !listed[e.Path] {
			out = append(out, Finding{File: e.Path, Message: "is in the package and not in the manifest", Hint: makeAnew})
		}
	}
	return out
}

// ofAnother finds that the package is not the one that it is verified as.
func (s *subject) ofAnother() []Finding {
	t := s.o.Target
	if t == nil {
		return nil
	}
	const hint = "look whether it is the right package, or name what it is with --config, --target and --package"
	var out []Finding
	add := func(m *manifest.Manifest, what, has, want string) {
		out = append(out, Finding{File: m.Name(), Message: fmt.Sprintf("says %s %s, and it is verified as one of %s", what, text(has), want), Hint: hint})
	}
	same := false
	for _, m := range s.manifests {
		same = same || m.Package == t.Name
		switch {
		case t.Project != "" && m.Project != t.Project:
			add(m, "project", m.Project, t.Project)
		case m.Target != t.Row.Name:
			add(m, "target", m.Target, t.Row.Name)
		}
	}
	if !same && len(out) == 0 {
		add(s.manifest, "package", s.manifest.Package, t.Name)
	}
	return out
}

const makeAnew = "make the package anew, and change nothing in it afterwards"

func (s *subject) againstManifest(m *manifest.Manifest) []Finding {
	var out []Finding
	add := func(file, hint, format string, args ...any) {
		out = append(out, Finding{File: file, Message: fmt.Sprintf(format, args...), Hint: hint})
	}
	for _, f := range m.Files {
		e := s.byPath[f.Path]
		switch {
		case e == nil || e.Mode.IsDir():
			add(f.Path, makeAnew, "is in the manifest and not in the package")
			continue
		case e.isLink():
			continue // followed by the rule about links
		case e.Err != nil || s.told("vendor-identity", e.changed()):
			continue
		case e.Size != f.Size:
			add(f.Path, makeAnew, "has %d bytes, and the manifest says %d", e.Size, f.Size)
		case e.SHA256 != f.SHA256:
			add(f.Path, makeAnew, "has other content than the manifest says: SHA-256 %s, not %s", e.SHA256, f.SHA256)
		}
		if perm, err := f.Perm(); err == nil && s.hasModes() && runtime.GOOS != "windows" && otherModes(e.Mode, perm) {
			add(f.Path, makeAnew, "has the permissions %#o, and the manifest says %#o", e.Mode.Perm(), perm)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(m.Programs)) {
		if p := m.Programs[name]; s.byPath[p] == nil {
			add(p, makeAnew, "is the program %s, and not in the package", text(name))
		}
	}
	return out
}

// otherModes tells whether permissions differ in what every archive keeps: that
// the owner can run the file.
func otherModes(got, want fs.FileMode) bool { return got.Perm()&0o100 != want&0o100 }

// againstRecord holds a wheel against its RECORD (Python Packaging User Guide,
// "Recording installed projects"): every file but the list itself and its
// signatures is in it, with its digest.
func (s *subject) againstRecord() []Finding {
	w := s.wheel
	record := w.info + "/RECORD"
	if w.damage != nil {
		return []Finding{{File: record, Message: "the wheel's list of files " + w.damage.Error(), Hint: "build the wheel anew"}}
	}
	var out []Finding
	add := func(file, format string, args ...any) {
		out = append(out, Finding{File: file, Message: fmt.Sprintf(format, args...), Hint: "build the wheel anew, and change nothing in it afterwards (wheel pack writes its list again)"})
	}
	for _, p := range slices.Sorted(maps.Keys(w.record)) {
		line := w.record[p]
		e := s.byPath[path.Clean(p)]
		switch {
		case e == nil:
			add(text(p), "is in the wheel's RECORD and not in the wheel")
		case e.Err != nil || e.SHA256 == "":
		case line.size >= 0 && line.size != e.Size:
			add(e.Path, "has %d bytes, and RECORD says %d", e.Size, line.size)
		case line.sha256 != "" && line.sha256 != e.SHA256:
			add(e.Path, "has other content than RECORD says: SHA-256 %s, not %s", e.SHA256, line.sha256)
		}
	}
	for _, e := range s.entries {
		if _, ok := w.record[e.Path]; ok || e.Mode.IsDir() || e.Name != "" || strings.HasPrefix(e.Path, record+".") {
			continue
		}
		// Installers write into the directory what is in no list.
		if s.kind == "wheel" && e.Path != record {
			add(e.Path, "is in the wheel and not in its RECORD")
		}
	}
	return out
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return text(line)
}
