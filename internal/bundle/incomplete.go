package bundle

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/relmat/relmat/internal/cuda"
	"github.com/relmat/relmat/internal/manifest"
)

// incomplete says of every library that is still needed where it was looked
// for, what needs it, and what helps.
func (b *builder) incomplete(needs []need) error {
	var lines []string
	for _, n := range needs {
		if n.optional {
			continue
		}
		line, err := b.lack(n)
		if err != nil {
			return err
		}
		if line != "" {
			lines = append(lines, line)
		}
	}
	if len(lines) == 0 {
		return nil
	}
	slices.Sort(lines)
	return fmt.Errorf("the package would not run, its libraries are incomplete:\n  %s", strings.Join(slices.Compact(lines), "\n  "))
}

// lack is one line of the error; empty for what is not really needed.
func (b *builder) lack(n need) (string, error) {
	if it := b.inPackage(n.name); it != nil {
		if b.leftToLoader(n) {
			b.notes = append(b.notes, fmt.Sprintf("%s needs %s and has no run path to %s: a program that loads it needs one", n.by.name(), n.name, it.Path))
			return "", nil
		}
		return b.notFound(n, it), nil
	}
	if n.how == "by-name" {
		for _, l := range cuda.LoadedBy(n.by.name()) {
			if l.Pattern == n.name {
				return fmt.Sprintf("%s holds no name like %s: this version loads it otherwise, and relmat's table must learn how", n.by.name(), l.Pattern), nil
			}
		}
		// The table knows what some version loads; this one may not.
		held, err := holds(n.by, n.name)
		if err != nil || !held {
			return "", err
		}
	}
	said := []string{fmt.Sprintf("%s is %s", n.name, why(n))}
	if n.by != n.root && n.by.Origin != manifest.Wheel {
		said[0] += " (of " + n.root.name() + ")"
	}
	var lacks, mend []string
	for _, s := range b.sources {
		lacks = append(lacks, s.lacks())
		mend = append(mend, s.mend())
	}
	if len(lacks) == 0 {
		lacks = append(lacks, fmt.Sprintf("target %s has no toolkit from which it could come", b.o.Row.Name))
		mend = append(mend, "give the target a toolkit that has it")
	}
	said = append(said, "and "+strings.Join(lacks, ", "))
	if !strings.ContainsAny(n.name, "*?[") {
		mend = append(mend, "or name it in system-libraries if users have it")
	}
	line := strings.Join(said, ", ") + "; " + strings.Join(mend, ", ")
	switch {
	case strings.HasPrefix(n.name, "/"):
		line += "; it is asked for by an absolute path, which only a machine set up like the one that linked it has: link against a library whose install name begins with @rpath"
	case n.hint != "":
		line += "; " + n.hint
	}
	return line, nil
}

// leftToLoader tells whether what loads a library decides where its needs are
// found: dyld also follows the LC_RPATHs of those that led to it (dyld(1),
// "@rpath/"), and a package around a library has nothing that does.
func (b *builder) leftToLoader(n need) bool {
	return b.o.Row.Platform.OS == "macos" && n.root.Role == "library" && strings.HasPrefix(n.name, "@rpath/")
}

// notFound explains why a library of the package is not found.
func (b *builder) notFound(n need, it *item) string {
	by := n.by
	text := fmt.Sprintf("%s is %s, and is in the package at %s, where it is not found: ", n.name, why(n), it.Path)
	switch b.o.Row.Platform.OS {
	case "windows":
		return text + fmt.Sprintf("Windows looks for it in %s; a layout whose libraries lie there has it found", strings.Join(n.searched, ", "))
	case "macos":
		return text + fmt.Sprintf("dyld looked in %s; the program needs the run path %s, which relmat asks the linker for", strings.Join(n.searched, ", "), b.runPath())
	}
	exe := n.root.objects[0]
	text += fmt.Sprintf("%s has RPATH %q and RUNPATH %q", n.root.name(), strings.Join(exe.Rpath, ":"), strings.Join(exe.Runpath, ":"))
	if by != n.root {
		if objects, err := by.native(); err == nil && len(objects) > 0 {
			text += fmt.Sprintf(", %s RPATH %q and RUNPATH %q", by.name(), strings.Join(objects[0].Rpath, ":"), strings.Join(objects[0].Runpath, ":"))
		}
	}
	if n.root.Origin == manifest.Prebuilt {
		return text + "; a prebuilt file is never changed, so the package needs the layout that it was built for: layout.style, layout.programs and layout.libraries"
	}
	return text + fmt.Sprintf(", and needs RPATH %q alone to find its libraries; the build or a linker wrapper changes what relmat asked for", b.runPath())
}

// holds tells whether a library holds the fixed part of a name that, by cuda's
// table, libraries of its kind load.
func holds(by *item, pattern string) (bool, error) {
	stem := pattern
	if i := strings.IndexAny(stem, "*?["); i >= 0 {
		stem = stem[:i]
	}
	if stem = strings.TrimRight(stem, "."); stem == "" {
		return true, nil
	}
	found, err := contains(by.src, stem)
	if err != nil {
		return false, fmt.Errorf("looking for %s in %s: %w", stem, by.src, err)
	}
	return found, nil
}

// families refuses libraries that belong together and are of two origins: they
// load each other, and fail where their versions differ.
func (b *builder) families() error {
	first := map[string]*item{}
	var errs []error
	for _, it := range b.items {
		family := cuda.FamilyOf(it.name())
		if family == "" || it.kind() == "" {
			continue
		}
		other := first[family]
		switch {
		case other == nil:
			first[family] = it
		case other.Origin != it.Origin || other.From != it.From:
			errs = append(errs, fmt.Errorf("%s is of %s and %s of %s: the libraries of %s work together only in one version",
				other.name(), originOf(other), it.name(), originOf(it), family))
		}
	}
	return errors.Join(errs...)
}

func originOf(it *item) string {
	if it.From != "" {
		return it.From
	}
	return string(it.Origin)
}

// beside adds the files, no libraries, that libraries read out of their own
// directory.
func (b *builder) beside() error {
	for _, it := range slices.Clone(b.items) {
		if it.kind() == "" || it.apart {
			continue
		}
		for _, name := range cuda.Beside(it.name()) {
			at := path.Join(path.Dir(it.Path), name)
			if b.places[at] != nil {
				continue
			}
			more := *it
			more.File = manifest.File{Path: at, Mode: "0644", Origin: it.Origin, From: it.From, Why: "read by " + it.name()}
			more.objects, more.read = nil, false
			var err error
			if more.src, err = sibling(it.src, name); err != nil {
				return fmt.Errorf("%s reads %s out of its own directory, which lacks it: %w; add it with files", it.name(), name, err)
			}
			b.add(more)
		}
	}
	return b.collisions()
}
