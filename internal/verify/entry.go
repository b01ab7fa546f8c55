package verify

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"path"
	"regexp"
	"strings"

	"github.com/relmat/relmat/internal/inspect"
	"github.com/relmat/relmat/internal/manifest"
	"github.com/relmat/relmat/internal/objfile"
)

// entry is a file or link of the package.
type entry struct {
	// Path is relative to the package's root. Name is as the archive spells it,
	// where that is no path in the package; such an entry was not read.
	Path string
	Name string
	Size int64
	Mode fs.FileMode
	// Link is the target of a symbolic or hard link.
	Link string
	Hard bool
	// SHA256 is in lower-case hexadecimal; empty for what has no content.
	SHA256 string
	// Err says why the content could not be read.
	Err error

	// disk is where the bytes lie, if they are on the disk, head the first
	// bytes, data all of what the rules read as text.
	disk string
	head []byte
	data []byte
	// native tells by the first bytes that a reader of native files takes it;
	// slices is what it read.
	native bool
	slices []*native
	// listed is the manifest's line about it, nil where there is none.
	listed *manifest.File
	// vendor is the library table's, nil for what it does not know.
	vendor *vendorFile
	// system is the distribution's library that it is, nil for others.
	system *systemLibrary
}

// native is one program or library: a file, or a slice of a universal one.
type native struct {
	*inspect.Slice
	entry *entry
	// damage is what is wrong with the file.
	damage error
}

func (e *entry) base() string { return path.Base(e.Path) }

func (e *entry) isLink() bool { return e.Mode&fs.ModeSymlink != 0 || e.Hard }

// isNoDir tells whether nothing can lie below it.
func (e *entry) isNoDir() bool { return !e.Mode.IsDir() || e.isLink() }

// kind is what it is, for messages.
func (e *entry) kind() string {
	switch {
	case e.isLink():
		return "a link"
	case e.Mode.IsDir():
		return "a directory"
	case e.Mode.IsRegular():
		return "a file"
	}
	return "neither file nor directory"
}

// regular tells whether it is a file with content of its own.
func (e *entry) regular() bool { return e.Mode.IsRegular() && !e.isLink() && e.Name == "" }

const (
	headSize = 4096
	// maxText bounds what is read as text: lists of files are long.
	maxText    = 16 << 20
	maxLicense = 1 << 20
	// maxTexts bounds all texts together.
	maxTexts = 256 << 20
)

// textFiles are those whose content the rules read.
var textFiles = regexp.MustCompile(`(^|/)(manifest(-[^/]+)?\.json|[^/]+\.dist-info/(RECORD|METADATA|WHEEL))$`)

// licenseFiles are how files with licences are named: as REUSE, npm, GitHub's
// licensee and Debian find them.
var licenseFiles = regexp.MustCompile(`(?i)(^|/)([^/]*[-_. ])?(licen[sc]es?|copying|copyright|notices?|eula|third[-_ ]?party[^/]*|unlicense)([-_. ][^/]*)?$`)

// inLicenses are the files in a directory of licences, whatever their names.
var inLicenses = regexp.MustCompile(`(?i)(^|/)(licen[sc]es?|copyrights?|legal)/`)

// isLicense tells whether a file, by its name, holds a licence.
func isLicense(p string) bool {
	switch strings.ToLower(path.Ext(p)) {
	case ".py", ".h", ".hpp", ".c", ".cc", ".cpp", ".js", ".json", ".so", ".dll", ".exe", ".dylib", ".rs", ".go":
		return false
	}
	return licenseFiles.MatchString(p) || inLicenses.MatchString(p)
}

// wanted tells how much of a file's content is kept as text.
func wanted(p string, size int64) bool {
	switch {
	case textFiles.MatchString(p):
		return size <= maxText
	case isLicense(p):
		return size <= maxLicense
	}
	return false
}

// isNative tells whether the first bytes of a file are those of a native file,
// which may be damaged.
func isNative(head []byte) bool {
	if bytes.HasPrefix(head, []byte("MZ")) {
		return true
	}
	_, err := objfile.Read(bytes.NewReader(head), int64(len(head)))
	return !errors.Is(err, objfile.ErrFormat)
}

// copyAll copies without the shortcuts that would leave out the other writers.
func copyAll(w io.Writer, r io.Reader) (int64, error) {
	return io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{r}, make([]byte, 256<<10))
}
