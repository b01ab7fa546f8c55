package manifest

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
)

// Finding is a rule's verdict on a package.
type Finding struct {
	Rule string `json:"rule"`
	// Level is error, warning or note.
	Level   string `json:"level"`
	Package string `json:"package"`
	// Path is that of a file in the package, where it is about one.
	Path string `json:"path,omitempty"`
	Text string `json:"text"`
}

// PartSchema is the version of the part manifest's form.
const PartSchema = 1

// MaxFile bounds what is read of a part manifest or a release.json, in bytes:
// 1000 assets with the results of their smoke tests have a tenth of it.
const MaxFile = 8 << 20

// PartFile is a part manifest: what the release needs to know of a target that
// another machine made. It lies beside the target's assets until all parts are
// joined.
type PartFile struct {
	Schema  int    `json:"schema"`
	Project string `json:"project"`
	Version string `json:"version"`
	Tag     string `json:"tag"`
	// Commit and CommitChecked are as in Release.
	Commit        string `json:"commit,omitempty"`
	CommitChecked bool   `json:"commit_checked"`
	Part
	// Supersedes are assets of an earlier part of the target that this one does
	// not have under their names any more.
	Supersedes []Asset `json:"supersedes,omitempty"`
}

const (
	partPrefix = "relmat-part-"
	partSuffix = ".json"
)

// PartName is the name of the asset that is a target's part manifest: GitHub
// keeps it as it is.
func PartName(target string) string { return partPrefix + target + partSuffix }

// IsPartName tells whether an asset is a part manifest, and of which target.
func IsPartName(name string) (target string, ok bool) {
	rest, ok := strings.CutPrefix(name, partPrefix)
	if !ok {
		return "", false
	}
	target, ok = strings.CutSuffix(rest, partSuffix)
	return target, ok && isWord(target)
}

// Encode is the text of the part manifest.
func (p PartFile) Encode() ([]byte, error) {
	p.Schema = PartSchema
	return indented(p)
}

// Encode is the text of release.json.
func (r Release) Encode() ([]byte, error) {
	r.Schema = ReleaseSchema
	return indented(r)
}

func indented(v any) ([]byte, error) {
	data, err := json.MarshalIndent(v, "", "  ")
	return append(data, '\n'), err
}

// ErrNewer says that a file was written by a later relmat.
var ErrNewer = errors.New("a newer relmat wrote it")

// ReadPart reads a part manifest that may come from anywhere. Its names can be
// asset names, its digests are digests, and its sizes are possible.
func ReadPart(data []byte) (*PartFile, error) {
	var p PartFile
	if err := decode(data, &p, PartSchema, func() int { return p.Schema }); err != nil {
		return nil, err
	}
	if err := checkTexts(p.Project, p.Version, p.Tag, p.Commit); err != nil {
		return nil, err
	}
	if err := p.check(); err != nil {
		return nil, err
	}
	return &p, checkAssets(p.Supersedes)
}

// ReadRelease reads a release.json that may come from anywhere, as ReadPart
// does.
func ReadRelease(data []byte) (*Release, error) {
	var r Release
	if err := decode(data, &r, ReleaseSchema, func() int { return r.Schema }); err != nil {
		return nil, err
	}
	if err := checkTexts(append(slices.Clone(r.Notes), r.Project, r.Version, r.Tag, r.Commit)...); err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for _, p := range r.Targets {
		if err := p.check(); err != nil {
			return nil, fmt.Errorf("target %.100q: %w", p.Target, err)
		}
		if seen[p.Target] {
			return nil, fmt.Errorf("it has target %s twice", p.Target)
		}
		seen[p.Target] = true
	}
	return &r, checkAssets(r.Assets())
}

func decode(data []byte, v any, schema int, got func() int) error {
	if len(data) > MaxFile {
		return fmt.Errorf("it has more than %d bytes", MaxFile)
	}
	// A file of another form is not judged by this one's types.
	var form struct {
		Schema int `json:"schema"`
	}
	if err := json.Unmarshal(data, &form); err != nil {
		return fmt.Errorf("it is no JSON object with a schema: %w", err)
	}
	if form.Schema > schema {
		return fmt.Errorf("%w: it has schema %d, this relmat reads %d", ErrNewer, form.Schema, schema)
	}
	if err := json.Unmarshal(data, v); err != nil {
		return err
	}
	if got() != schema {
		return fmt.Errorf("it has schema %d, which there never was", got())
	}
	return nil
}

func (p Part) check() error {
	if !isWord(p.Target) {
		return fmt.Errorf("%.100q cannot be a target", p.Target)
	}
	if p.Row != "" && !isSHA256(p.Row) {
		return fmt.Errorf("%.100q is no digest of a row", p.Row)
	}
	texts := []string{p.Triple}
	for _, s := range p.Smoke {
		texts = append(texts, s.Package, s.Target)
		for _, step := range s.Steps {
			texts = append(texts, step.Name, string(step.Status), step.Reason)
		}
	}
	texts = slices.AppendSeq(texts, maps.Keys(p.Keys))
	if err := checkTexts(texts...); err != nil {
		return err
	}
	return checkAssets(p.Assets)
}

// maxSize is more than any release host takes, in bytes.
const maxSize = 1 << 50

func checkAssets(list []Asset) error {
	seen := map[string]bool{}
	for _, a := range list {
		name := strings.ToLower(a.Name) // as on Windows and macOS
		switch {
		case !isWord(a.Name):
			return fmt.Errorf("%.100q cannot be an asset's name", a.Name)
		case seen[name]:
			return fmt.Errorf("it has asset %s twice", a.Name)
		case !isSHA256(a.SHA256):
			return fmt.Errorf("asset %s: %.100q is no SHA-256", a.Name, a.SHA256)
		case a.Size <= 0 || a.Size > maxSize:
			return fmt.Errorf("asset %s: it cannot have %d bytes", a.Name, a.Size)
		}
		if err := checkTexts(a.Package); err != nil {
			return err
		}
		seen[name] = true
	}
	return nil
}

// isWord tells whether the text is one that GitHub keeps as a name, and that
// is no path.
func isWord(s string) bool {
	if s == "" || len(s) > 255 || strings.Trim(s[:1], "._-+") == "" {
		return false
	}
	return strings.IndexFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("._+-", r)
	}) < 0
}

func isSHA256(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == 32 && s == strings.ToLower(s)
}

// checkTexts refuses what a terminal would obey.
func checkTexts(list ...string) error {
	for _, s := range list {
		if len(s) > 4096 || strings.IndexFunc(s, unicode.IsControl) >= 0 {
			return fmt.Errorf("%.100q is no plain text", s)
		}
	}
	return nil
}

// SameMade tells whether two parts say the same but for how long it took: then
// the one that is published stands.
func (p PartFile) SameMade(q PartFile) bool {
	a, err := p.timeless().Encode()
	if err != nil {
		return false
	}
	b, err := q.timeless().Encode()
	return err == nil && bytes.Equal(a, b)
}

func (p PartFile) timeless() PartFile {
	p.Supersedes, p.Seconds = nil, nil
	p.Smoke = slices.Clone(p.Smoke)
	for i := range p.Smoke {
		p.Smoke[i].Steps = slices.Clone(p.Smoke[i].Steps)
		for j := range p.Smoke[i].Steps {
			p.Smoke[i].Steps[j].Seconds = 0
		}
	}
	return p
}

// In is the part as it would be read from a release that holds it.
func (r Release) In(target string) (PartFile, bool) {
	for _, p := range r.Targets {
		if p.Target == target {
			return PartFile{
				Schema: PartSchema, Project: r.Project, Version: r.Version, Tag: r.Tag,
				Commit: r.Commit, CommitChecked: r.CommitChecked, Part: p,
			}, true
		}
	}
	return PartFile{}, false
}
