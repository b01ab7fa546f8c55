package publish

import (
	"fmt"
	"regexp"
	"strings"
)

// StepKind is what is done to a release.
type StepKind string

// The kinds of steps.
const (
	CreateDraft    StepKind = "create-draft"
	UpdateRelease  StepKind = "update-release"
	PublishRelease StepKind = "publish"
)

// ReleaseStep is one step that concerns the release and not an asset.
type ReleaseStep struct {
	Kind StepKind `json:"kind"`
	// Fields are those that change.
	Fields []string `json:"fields,omitempty"`
	Why    string   `json:"why"`
}

// Plan is what makes a release right.
type Plan struct {
	// To is the repository, OWNER/NAME, or the directory.
	To  string `json:"to"`
	Tag string `json:"tag"`
	// Release is the one that is there, nil if there is none.
	Release *releaseInfo `json:"release,omitempty"`
	// Before and After are the steps before and after those of the assets.
	Before []ReleaseStep `json:"before,omitempty"`
	Assets []Action      `json:"assets"`
	After  []ReleaseStep `json:"after,omitempty"`
	// Foreign are assets that are left alone, Duplicates the ids of further
	// drafts of the tag.
	Foreign    []string `json:"foreign,omitempty"`
	Duplicates []int64  `json:"duplicates,omitempty"`

	edit *releaseEdit
}

// Done tells that nothing is left to do.
func (p *Plan) Done() bool { return len(p.Before) == 0 && len(p.After) == 0 && settled(p.Assets) }

// settled tells that all assets are as they shall be.
func settled(actions []Action) bool {
	for _, a := range actions {
		if a.Kind != Keep {
			return false
		}
	}
	return true
}

// releaseEdit is what changes in a release, as the API takes it.
type releaseEdit struct {
	Tag        string  `json:"tag_name,omitempty"`
	Target     string  `json:"target_commitish,omitempty"`
	Name       *string `json:"name,omitempty"`
	Body       *string `json:"body,omitempty"`
	Draft      *bool   `json:"draft,omitempty"`
	Prerelease *bool   `json:"prerelease,omitempty"`
	Latest     string  `json:"make_latest,omitempty"`
}

// newPlan compares what there is with what is wanted. It is pure: the same
// arguments give the same plan. alone and full are as in Converge.
func newPlan(repo string, w Wanted, files []File, v *view, alone, full bool) (*Plan, error) {
	p := &Plan{To: repo, Tag: w.Tag, Release: v.release}
	for _, o := range v.others {
		p.Duplicates = append(p.Duplicates, o.ID)
	}
	var err error
	if p.Assets, err = Converge(files, v.assets, alone, full); err != nil {
		return nil, err
	}
	if p.Assets == nil {
		p.Assets = []Action{} // an empty list for programs, too
	}
	wanted := map[string]bool{}
	for _, f := range files {
		wanted[f.Name] = true
	}
	for _, a := range v.assets {
		switch _, _, temporary := IsTemporary(a.Name); {
		case temporary || wanted[a.Name]:
		case w.hasPart(a.Name) && !v.release.Immutable:
			p.Assets = append(p.Assets, Action{Kind: RemovePart, Name: a.Name, ID: a.ID, Asset: a.Name, Why: releaseName + " says what it said"})
		default:
			p.Foreign = append(p.Foreign, a.Name)
		}
	}
	if v.release == nil {
		p.Before = append(p.Before, ReleaseStep{Kind: CreateDraft, Why: "the tag has no release yet"})
	} else {
		p.edit = editOf(w, v.release)
		p.edit.Latest = v.latest
		if fields := p.edit.fields(); len(fields) > 0 {
			p.Before = append(p.Before, ReleaseStep{Kind: UpdateRelease, Fields: fields, Why: "the release has others"})
		}
	}
	if generates(w, v.release) {
		p.Before = append(p.Before, ReleaseStep{Kind: UpdateRelease, Fields: []string{"notes"}, Why: "there are none yet, and GitHub writes them"})
	}
	if flip := flipOf(w, v.release); flip != nil {
		p.After = append(p.After, ReleaseStep{Kind: PublishRelease, Fields: flip.fields(), Why: "all assets are there, by digest"})
	}
	return p, nil
}

// editOf is what to change before the assets: name, notes, target.
func editOf(w Wanted, r *releaseInfo) *releaseEdit {
	e := &releaseEdit{}
	if w.Name != "" && w.Name != r.Name {
		e.Name = &w.Name
	}
	if body := bodyOf(w, r.body); body != nil && sameText(*body, r.body) != nil {
		e.Body = body
	}
	if w.Commit != "" && r.Draft && r.target != w.Commit {
		e.Target = w.Commit
	}
	// Of a draft that stays one, the mark stays as somebody set it.
	if want := w.marked(); r.Draft && w.visibility() != Draft && r.Prerelease != want {
		e.Prerelease = &want
	}
	return e
}

// generates tells whether GitHub is to write the notes.
func generates(w Wanted, r *releaseInfo) bool {
	return w.GenerateNotes && w.Notes == nil && (r == nil || withFooter(r.body, "") == "")
}

var errOtherText = fmt.Errorf("other text")

// sameText compares notes as GitHub keeps them: it may change line ends and
// space around.
func sameText(a, b string) error {
	norm := func(s string) string { return strings.TrimSpace(strings.ReplaceAll(s, "\r\n", "\n")) }
	if norm(a) != norm(b) {
		return errOtherText
	}
	return nil
}

// flipOf is what makes the release visible, nil where it is so already or is
// to stay a draft. What is published stays so, and a full release full.
func flipOf(w Wanted, r *releaseInfo) *releaseEdit {
	if r == nil {
		r = &releaseInfo{Draft: true}
	}
	no, pre := false, w.visibility() == Prerelease
	switch v := w.visibility(); {
	case v == Draft, !r.Draft && (pre || !r.Prerelease):
		return nil
	case v == Full:
		return &releaseEdit{Draft: &no, Prerelease: &pre, Latest: w.Latest}
	}
	return &releaseEdit{Draft: &no, Prerelease: &pre}
}

func (e *releaseEdit) fields() []string {
	var list []string
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"target", e.Target != ""},
		{"name", e.Name != nil},
		{"notes", e.Body != nil},
		{"draft", e.Draft != nil},
		{"prerelease", e.Prerelease != nil},
		{"make_latest", e.Latest != ""},
	} {
		if f.set {
			list = append(list, f.name)
		}
	}
	return list
}

// version finds a version with a pre-release part at the end of a tag, behind
// whatever names the program (Semantic Versioning 2.0.0, 9).
var version = regexp.MustCompile(`(?:^|[^0-9.])[0-9]+\.[0-9]+\.[0-9]+-[0-9A-Za-z.-]+(?:\+[0-9A-Za-z.-]+)?$`)

// IsPrerelease tells whether a tag is that of a pre-release: v1.2.0-rc.1.
func IsPrerelease(tag string) bool { return version.MatchString(tag) }
