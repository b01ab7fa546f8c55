package inspect

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/relmat/relmat/internal/objfile"
)

//go:embed words.json
var wordsJSON []byte

// words say what machines and kinds are to somebody who does not know their
// names.
var words = mustWords(wordsJSON)

type wordTable struct {
	Kinds, Machines, Systems, Windows, Signatures, Runs, RunPaths, Archives, How map[string]string
}

func mustWords(data []byte) wordTable {
	var t wordTable
	if err := json.Unmarshal(data, &t); err != nil {
		panic("inspect: words.json: " + err.Error())
	}
	return t
}

// word is what a table says for a name, and else the name.
func word(table map[string]string, name string) string {
	if w, ok := table[name]; ok {
		return w
	}
	return name
}

// Show prints a survey for people, 80 columns wide: a summary of each
// directory and archive, a block for each file, and which GPUs run them.
func (s *Survey) Show(w io.Writer, color bool) error {
	p := newPicture(w, color)
	shown := false
	for _, r := range s.Roots {
		if r.Err != nil && len(r.Files) == 0 {
			continue // Err tells of it
		}
		if shown {
			p.line("")
		}
		p.root(r)
		shown = true
	}
	return p.w.Flush()
}

func (p *picture) root(r *Root) {
	if r.Kind != "file" {
		p.summary(r)
	}
	for i, f := range r.Files {
		if i > 0 || r.Kind != "file" {
			p.line("")
		}
		if len(f.Slices) == 0 {
			p.line(p.paint(bold, middle(text(r.Name(f)), width)))
			p.problems(f, &Slice{})
		}
		for i, sl := range f.Slices {
			if i > 0 {
				p.line("")
			}
			p.block(r, f, sl)
		}
	}
	p.gpuTables(r)
}

// summary tells what a directory or an archive holds.
func (p *picture) summary(r *Root) {
	others := int64(0)
	for _, o := range r.Others {
		others += o.Size
	}
	natives := 0
	for _, f := range r.Files {
		if f.native {
			natives++
		}
	}
	parts := []string{plural(natives, "native file")}
	if n := len(r.Files) - natives; n == 1 {
		parts = append(parts, "1 file with a problem")
	} else if n > 1 {
		parts = append(parts, fmt.Sprintf("%d files with problems", n))
	}
	if n := len(r.Others); n > 0 {
		parts = append(parts, plural(n, "other file")+" ("+size(others)+")")
	}
	if n := len(r.Links); n > 0 {
		parts = append(parts, plural(n, "link"))
	}
	what := word(words.Archives, r.Kind)
	p.line(p.paint(bold, middle(text(r.Path), width)))
	for _, l := range wrap(fmt.Sprintf("%s, %s: %s", what, size(r.Size), strings.Join(parts, ", ")), width-2) {
		p.line("  " + l)
	}
	if len(r.Files) < 2 {
		return
	}
	rows := [][]string{{"FILE", "WHAT", "FOR", "SIZE"}}
	for _, f := range r.Files {
		what, system := "damaged", ""
		if !f.native {
			what = "not known"
		}
		var machines []string
		for _, sl := range f.Slices {
			what, system = word(words.Kinds, string(sl.Kind)), systemOf(sl.Object)
			machines = append(machines, machineOf(sl.Object))
		}
		if f.Err != nil && len(f.Slices) > 0 {
			what += ", damaged"
		}
		rows = append(rows, []string{text(f.Path), what, strings.TrimSpace(system + " " + strings.Join(machines, ", ")), size(f.Size)})
	}
	p.line("")
	p.table("  ", rows, 0)
}

func systemOf(o *objfile.Object) string {
	if o.Machine == "cuda" {
		return ""
	}
	if o.MachO != nil && o.MachO.Platform != "" {
		return word(words.Systems, o.MachO.Platform)
	}
	return word(words.Systems, string(o.Format))
}

func machineOf(o *objfile.Object) string { return word(words.Machines, o.Machine) }

// block is the picture of one file or slice.
func (p *picture) block(r *Root, f *File, sl *Slice) {
	o := sl.Object
	title := text(r.Name(f))
	if len(f.Slices) > 1 {
		title += ", for " + machineOf(o)
	}
	p.line(p.paint(bold, middle(title, width)))
	p.rowText("what", whatOf(o, f))
	if o.Soname != "" && path.Base(o.Soname) != path.Base(f.Path) {
		p.rowText("known as", text(o.Soname))
	}
	p.rowText("oldest system", floorsOf(o))
	if d := sl.Driver(); d != "" {
		p.rowText("oldest driver", "NVIDIA "+d)
	}
	// In a list of many, what is not known is only noise.
	if o.ISA.Level != "" || r.Kind == "file" {
		p.rowText("processor", levelOf(o))
	}
	p.rowText("signature", signatureOf(o))
	p.runPaths(o)
	if o.Interp != "" && o.Format == objfile.ELF {
		p.rowText("started by", text(o.Interp))
	}
	if sl.GPU != nil {
		p.images(sl.GPU)
	}
	if slices.ContainsFunc(o.Sections, func(s objfile.Section) bool { return s.Name == ".hip_fatbin" }) {
		p.rowText("GPU code", "for AMD's GPUs (.hip_fatbin), which relmat does not read")
	}
	p.needs(r, f, sl)
	if o.PE != nil {
		if o.PE.PDB != "" {
			p.row("debug symbols", middle(text(o.PE.PDB), width-labelWidth))
		}
		if o.PE.Debug {
			p.rowText("debug build", "it is linked with a debug run-time library, which users do not have")
		}
	}
	p.leaks(sl)
	p.problems(f, sl)
}

func whatOf(o *objfile.Object, f *File) string {
	n := f.Size
	if o.MachO != nil && o.MachO.Universal {
		n = o.Size
	}
	s := word(words.Kinds, string(o.Kind))
	if o.Static && o.Kind == objfile.Executable {
		s = "static " + s
	}
	if system := strings.TrimSpace(systemOf(o) + " " + machineOf(o)); system != "" {
		s += " for " + system
	}
	form := string(o.Format)
	switch o.Format {
	case objfile.ELF, objfile.PE:
		form = strings.ToUpper(form)
	case objfile.MachO:
		form = "Mach-O"
	}
	if o.Bits == 32 {
		form += ", 32 bits"
	}
	if o.MachO != nil {
		if o.MachO.Universal {
			form += ", one part of a universal file"
		}
		if o.MachO.Version != "" {
			form += " " + o.MachO.Version
		}
	}
	s += " (" + form + "), " + size(n)
	if o.PE != nil && o.Kind == objfile.Executable && o.PE.Subsystem != "" {
		s += ", " + word(words.Systems, o.PE.Subsystem)
	}
	return s
}

// floorsOf names the oldest versions of what the system must provide.
func floorsOf(o *objfile.Object) string {
	var parts []string
	add := func(format, version string) {
		if version != "" {
			parts = append(parts, fmt.Sprintf(format, text(version)))
		}
	}
	fl := o.Floors
	add("glibc %s", fl.Glibc)
	switch {
	case fl.Glibcxx != "" && fl.CXXABI != "":
		parts = append(parts, fmt.Sprintf("libstdc++ (GLIBCXX_%s, CXXABI_%s)", text(fl.Glibcxx), text(fl.CXXABI)))
	default:
		add("libstdc++ (GLIBCXX_%s)", fl.Glibcxx)
		add("libstdc++ (CXXABI_%s)", fl.CXXABI)
	}
	add("libgcc (GCC_%s)", fl.Libgcc)
	if fl.MacOS != "" {
		parts = append(parts, text(word(words.Systems, macPlatform(o))+" "+fl.MacOS))
	}
	if name := words.Windows[fl.Windows]; name != "" {
		parts = append(parts, "Windows "+name)
	} else {
		add("Windows %s", fl.Windows)
	}
	return strings.Join(parts, ", ")
}

func macPlatform(o *objfile.Object) string {
	if o.MachO != nil && o.MachO.Platform != "" {
		return o.MachO.Platform
	}
	return "macos"
}

func levelOf(o *objfile.Object) string {
	switch {
	case o.ISA.Level == "x86-64":
		return fmt.Sprintf("every x86-64, says %s", text(o.ISA.Evidence))
	case o.ISA.Level != "":
		return fmt.Sprintf("%s or newer, says %s", text(o.ISA.Level), text(o.ISA.Evidence))
	case o.Machine == "x86_64" && (o.Kind == objfile.Executable || o.Kind == objfile.Library):
		return "the file does not say which level of x86-64 it needs"
	}
	return ""
}

func signatureOf(o *objfile.Object) string {
	s := o.Signature
	if s.Kind == "" {
		return ""
	}
	out := word(words.Signatures, s.Kind)
	if s.Signer != "" {
		out = "signed by " + text(s.Signer)
	}
	if s.TeamID != "" {
		out += ", team " + text(s.TeamID)
	}
	if s.Hardened {
		out += ", hardened runtime"
	}
	if s.Timestamped {
		out += ", with a time stamp"
	}
	if s.Kind == "authenticode" || s.Kind == "identity" {
		out += " (read, not verified)"
	}
	return out
}

// runPaths lists the directories that the file names for its libraries.
func (p *picture) runPaths(o *objfile.Object) {
	for _, kind := range []struct {
		name string
		dirs []string
	}{{"RPATH", o.Rpath}, {"RUNPATH", o.Runpath}} {
		if len(kind.dirs) == 0 {
			continue
		}
		name := kind.name
		if o.Format == objfile.MachO {
			name = "LC_RPATH"
		}
		var lines []string
		for i, d := range kind.dirs {
			if i == maxShown {
				lines = append(lines, fmt.Sprintf("and %d more", len(kind.dirs)-i))
				break
			}
			if d == "" {
				d = "(empty: the current directory)"
			}
			lines = append(lines, middle(text(d), width-labelWidth))
		}
		p.row("looks in", append(lines, p.paint(dim, words.RunPaths[name]))...)
	}
}

// maxShown is how many of a long list are shown.
const maxShown = 12

// leaks shows the strings that look like paths of the build machine.
func (p *picture) leaks(sl *Slice) {
	if len(sl.Leaks) == 0 {
		return
	}
	n := len(sl.Leaks) + sl.LeaksMore
	lines := []string{plural(n, "string") + " that look like paths of the build machine"}
	if n == 1 {
		lines = []string{"1 string that looks like a path of the build machine"}
	}
	for i, l := range sl.Leaks {
		if i == 5 {
			lines = append(lines, fmt.Sprintf("and %d more; --json has them all", n-i))
			break
		}
		lines = append(lines, middle(text(l.Path), width-labelWidth))
		where := fmt.Sprintf("  at %#x in %s", l.Offset, text(l.Section))
		if l.Section == "" {
			where = fmt.Sprintf("  at %#x", l.Offset)
		}
		if l.Count > 1 {
			where += fmt.Sprintf(", and %s more", plural(l.Count-1, "time"))
		}
		lines = append(lines, p.paint(dim, where))
	}
	p.row("build paths", lines...)
}

func (p *picture) problems(f *File, sl *Slice) {
	label := "problem"
	for _, err := range []error{f.Err, sl.TreeErr} {
		if err == nil {
			continue
		}
		for _, l := range strings.Split(err.Error(), "\n") {
			var painted []string
			for _, l := range wrap(text(l), width-labelWidth) {
				painted = append(painted, p.paint(red, l))
			}
			p.row(label, painted...)
			label = ""
		}
	}
}
