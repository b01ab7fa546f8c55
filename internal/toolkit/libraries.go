package toolkit

import (
	"cmp"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
)

var (
	// libraryDir are the directories of NVIDIA's wheels in which libraries lie
	// that programs load: not those with stubs for the linker.
	libraryDir = regexp.MustCompile(`^nvidia/[a-z0-9_]+/(lib|bin)/(x86_64/|x64/)?$`)
	// libraryFile are shared libraries, by operating system.
	libraryFile = map[string]*regexp.Regexp{
		"linux":   regexp.MustCompile(`\.so(\.[0-9]+)*$`),
		"windows": regexp.MustCompile(`(?i)\.dll$`),
		"macos":   regexp.MustCompile(`\.dylib$`),
	}
)

// isLibrary tells whether a wheel's file is a library that programs load.
func (t *Toolkit) isLibrary(rel string) bool {
	system, _, _ := strings.Cut(t.Platform, "-")
	re := libraryFile[system]
	dir, name := path.Split(rel)
	if re == nil || !re.MatchString(name) {
		return false
	}
	return libraryDir.MatchString(dir) || !strings.HasPrefix(rel, "nvidia/") && !strings.Contains("/"+dir, "/stubs/")
}

// fold is a file name as the toolkit's platform compares it.
func (t *Toolkit) fold(name string) string {
	if strings.HasPrefix(t.Platform, "windows-") {
		return strings.ToLower(name)
	}
	return name
}

// Libraries returns the wheels' shared libraries whose file names match the
// pattern of path.Match; those of Windows are compared without case. What lies
// least deep comes first.
func (t *Toolkit) Libraries(pattern string) []File {
	pattern = t.fold(pattern)
	var found []File
	for rel := range t.index.Files {
		if ok, _ := path.Match(pattern, t.fold(path.Base(rel))); ok && t.isLibrary(rel) {
			f, _ := t.At(rel)
			found = append(found, f)
		}
	}
	slices.SortFunc(found, func(a, b File) int {
		return cmp.Or(cmp.Compare(strings.Count(a.Rel, "/"), strings.Count(b.Rel, "/")), cmp.Compare(a.Rel, b.Rel))
	})
	return found
}

// LibraryDirs returns the directories, among the files of the wheels, in which
// NVIDIA's libraries lie: nvidia/cu13/lib, nvidia/cudnn/lib.
func (t *Toolkit) LibraryDirs() []string {
	dirs := map[string]bool{}
	for rel := range t.index.Files {
		if strings.HasPrefix(rel, "nvidia/") && t.isLibrary(rel) {
			dirs[path.Dir(rel)] = true
		}
	}
	return slices.Sorted(maps.Keys(dirs))
}
