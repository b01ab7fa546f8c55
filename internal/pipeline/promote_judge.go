package pipeline

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/relmat/relmat/internal/manifest"
	"github.com/relmat/relmat/internal/matrix"
	"github.com/relmat/relmat/internal/publish"
)

// State is how a target, an asset or a file of a release stands against the
// matrix.
type State string

// The states. A target's is the worst that is found of it, in this order.
const (
	// Complete is as the matrix wants it.
	Complete State = "complete"
	// OnRequest is a target that nobody has asked for.
	OnRequest State = "on request"
	// Untested is a target whose smoke test was not passed in full.
	Untested State = "untested"
	// Stale was made of something else than is wanted now.
	Stale State = "stale"
	// Broken is there with other bytes, in part, or not readable.
	Broken State = "broken"
	// Missing is not there.
	Missing State = "missing"
	// Unknown is a file that is there, and of which is not known yet what it has
	// to say: the release is not complete.
	Unknown State = "unknown"
)

var badness = []State{Complete, OnRequest, Untested, Stale, Broken, Missing}

func worse(a, b State) State {
	if slices.Index(badness, a) > slices.Index(badness, b) {
		return a
	}
	return b
}

// AssetStatus is an asset that a target is to have.
type AssetStatus struct {
	Name string `json:"name"`
	// Size is in bytes and SHA256 in lower-case hexadecimal, as the part says
	// it; both are missing where there is no part.
	Size   int64  `json:"size,omitempty"`
	SHA256 string `json:"sha256,omitempty"`
	State  State  `json:"state"`
	Why    string `json:"why,omitempty"`
}

// TargetStatus is a target of the matrix in a release.
type TargetStatus struct {
	Target    string `json:"target"`
	OnRequest bool   `json:"on_request"`
	State     State  `json:"state"`
	// Part is the asset that tells of the target: its part manifest, or
	// release.json where the part is joined. Empty where none does.
	Part    string        `json:"part,omitempty"`
	Triple  string        `json:"triple,omitempty"`
	Version string        `json:"version,omitempty"`
	Commit  string        `json:"commit,omitempty"`
	Row     State         `json:"row,omitempty"`
	Passed  int           `json:"steps_passed"`
	NotRun  int           `json:"steps_not_run"`
	Failed  int           `json:"steps_failed"`
	Assets  []AssetStatus `json:"assets"`
	// Problems are what stands in the way of a promotion, Notes what it would
	// say in the release.
	Problems []string `json:"problems,omitempty"`
	Notes    []string `json:"notes,omitempty"`
}

func (t *TargetStatus) problem(s State, format string, args ...any) {
	t.State = worse(s, t.State)
	t.Problems = append(t.Problems, fmt.Sprintf(format, args...))
}

// FileStatus is a file that is made of all parts. Its state may be Unknown.
type FileStatus struct {
	Name  string `json:"name"`
	State State  `json:"state"`
}

// ReleaseStatus is a release against the matrix.
type ReleaseStatus struct {
	Schema int    `json:"schema"`
	Repo   string `json:"repo"`
	Tag    string `json:"tag"`
	// Commit is the tag's on GitHub, empty where there is no such tag.
	Commit string `json:"commit,omitempty"`
	// ID is GitHub's of the release, 0 where there is none. Visibility is draft,
	// prerelease or full.
	ID         int64              `json:"id,omitempty"`
	URL        string             `json:"url,omitempty"`
	Visibility publish.Visibility `json:"visibility,omitempty"`
	Immutable  bool               `json:"immutable"`
	// Complete tells that a promotion would be done, or was; Promoted, that
	// nothing is left for it to do.
	Complete bool           `json:"complete"`
	Promoted bool           `json:"promoted"`
	Targets  []TargetStatus `json:"targets"`
	Files    []FileStatus   `json:"files"`
	// Foreign are assets that are none of relmat's; Leftover are those of
	// replacements that were cut off.
	Foreign  []string `json:"foreign,omitempty"`
	Leftover []string `json:"leftover,omitempty"`
	// SkipCommitCheck tells that parts were taken which a promotion takes by
	// --skip-commit-check alone.
	SkipCommitCheck bool `json:"skip_commit_check,omitempty"`
	// Problems are those of no single target.
	Problems []string `json:"problems,omitempty"`
}

// judgement is what a release is held against.
type judgement struct {
	file *matrix.File
	// rows are the digests of the matrix's rows, by target.
	rows map[string]string
	tag  string
	// anyCommit takes parts that were made of a checkout that was not clean or
	// not at the tag's commit.
	anyCommit bool
}

// judge holds a release against the matrix. It is pure. The joining is nil
// where something stands in the way.
func (j judgement) judge(c *publish.Contents) (*ReleaseStatus, *publish.Joining) {
	st := &ReleaseStatus{Schema: 1, Repo: c.Repo, Tag: c.Tag, Commit: c.Commit}
	problem := func(format string, args ...any) { st.Problems = append(st.Problems, fmt.Sprintf(format, args...)) }
	if r := c.Release; r == nil && c.Blind != "" {
		problem("%s has no release %s that can be seen, and a draft is shown only to who may write: %s", c.Repo, c.Tag, c.Blind)
	} else if r == nil {
		problem("%s has no release %s", c.Repo, c.Tag)
	} else {
		st.ID, st.URL, st.Immutable, st.Visibility = r.ID, r.URL, r.Immutable, publish.Full
		switch {
		case r.Draft:
			st.Visibility = publish.Draft
		case r.Prerelease:
			st.Visibility = publish.Prerelease
		}
	}
	joined := &publish.Joining{ChecksumFiles: j.file.Checksums.Files, Release: manifest.Release{Schema: manifest.ReleaseSchema, Project: j.file.Project.Name, Tag: c.Tag, CommitChecked: true}}
	parts := j.parts(c, problem)
	owner := map[string]string{}
	for _, row := range j.file.Rows() {
		found := parts[row.Name]
		delete(parts, row.Name)
		t := j.target(c, row, found)
		for _, a := range t.Assets {
			if other, ok := owner[strings.ToLower(a.Name)]; ok {
				t.problem(Broken, "asset %s is also one of target %s", a.Name, other)
			}
			owner[strings.ToLower(a.Name)] = row.Name
		}
		st.Targets = append(st.Targets, t)
		if p := found.part; p != nil {
			st.SkipCommitCheck = st.SkipCommitCheck || j.anyCommit && otherCommit(c, p) != ""
			joined.Release.Targets = append(joined.Release.Targets, p.Part)
			joined.Release.Version, joined.Release.Commit = p.Version, p.Commit
			joined.Release.CommitChecked = joined.Release.CommitChecked && p.CommitChecked
			joined.Release.Notes = append(joined.Release.Notes, t.Notes...)
			joined.Remove = append(joined.Remove, p.Supersedes...)
		}
	}
	for _, name := range sorted(parts) {
		problem("%s is of target %s, which %s does not have; delete its assets and the part if nobody needs it", parts[name].at, name, j.file.Path)
	}
	j.agree(c, st, problem)
	// What an earlier part had and another has now stays.
	joined.Remove = slices.DeleteFunc(joined.Remove, func(a manifest.Asset) bool { return owner[strings.ToLower(a.Name)] != "" })
	st.Complete = len(st.Problems) == 0
	for _, t := range st.Targets {
		st.Complete = st.Complete && (t.State == Complete || t.State == OnRequest)
	}
	if !st.Complete {
		joined = nil
	}
	files, err := filesOf(joined)
	if err != nil {
		problem("%v", err)
		st.Complete, joined = false, nil
	}
	j.rest(c, st, owner, files)
	return st, joined
}

func filesOf(j *publish.Joining) ([]publish.File, error) {
	if j == nil {
		return nil, nil
	}
	return j.Files()
}

// foundPart is a target's part, and where it stands.
type foundPart struct {
	part *manifest.PartFile
	at   string
	why  string // it cannot be read
}

// parts finds the part of each target: its own manifest, or what was joined.
func (j judgement) parts(c *publish.Contents, problem func(string, ...any)) map[string]foundPart {
	parts := map[string]foundPart{}
	if c.Joined != nil {
		for _, p := range c.Joined.Targets {
			if part, ok := c.Joined.In(p.Target); ok {
				parts[p.Target] = foundPart{part: &part, at: publish.ReleaseName}
			}
		}
	}
	if c.JoinedProblem != "" && len(c.Parts) == 0 {
		problem("%s cannot be read: %s", publish.ReleaseName, c.JoinedProblem)
	}
	for _, p := range c.Parts {
		parts[p.Target] = foundPart{part: p.Part, at: p.Asset.Name, why: p.Problem}
	}
	return parts
}

// target judges one row.
func (j judgement) target(c *publish.Contents, row matrix.Row, found foundPart) TargetStatus {
	t := TargetStatus{Target: row.Name, OnRequest: row.IsOnRequest(), State: Complete, Part: found.at, Assets: []AssetStatus{}}
	p := found.part
	switch {
	case p == nil && found.at != "":
		t.problem(Broken, "its part %s cannot be read: %s", found.at, found.why)
		return t
	case p == nil && t.OnRequest:
		t.State = OnRequest
		return t
	case p == nil:
		t.problem(Missing, "its part is missing: relmat release --target %s --part --repo %s", row.Name, c.Repo)
		return t
	}
	t.Triple, t.Version, t.Commit = p.Triple, p.Version, p.Commit
	if t.Row = Complete; p.Row != j.rows[row.Name] {
		t.Row = Stale
		t.problem(Stale, "its part is of another row of the matrix (digest %.12s, now %.12s): make it again", p.Row, j.rows[row.Name])
	}
	if p.Triple != row.Triple {
		t.problem(Missing, "its part for %s is missing, what is there was built for %s: build it on a host that makes %[1]s", row.Triple, orNothing(p.Triple))
	}
	if p.Project != j.file.Project.Name || p.Tag != c.Tag {
		t.problem(Stale, "its part is of %s %s, and not of %s %s", p.Project, p.Tag, j.file.Project.Name, c.Tag)
	}
	if why := otherCommit(c, p); why != "" && !j.anyCommit {
		t.problem(Stale, "%s", why)
	}
	j.assets(c, row, p, &t)
	j.smoke(row, p, &t)
	return t
}

// otherCommit says why a part may be of another commit than the tag's, empty
// where it is not.
func otherCommit(c *publish.Contents, p *manifest.PartFile) string {
	switch {
	case p.Commit == "" || !p.CommitChecked:
		return "its part is of a checkout that was not held against the tag: make it without --skip-commit-check"
	case c.Commit != "" && !strings.EqualFold(p.Commit, c.Commit):
		return fmt.Sprintf("its part is of commit %.12s, and the tag is %.12s: make it again", p.Commit, c.Commit)
	}
	return ""
}

func orNothing(s string) string {
	if s == "" {
		return "a triple that it does not name"
	}
	return s
}

// assets holds what the matrix wants against what the part names, and that
// against what is there.
func (j judgement) assets(c *publish.Contents, row matrix.Row, p *manifest.PartFile, t *TargetStatus) {
	has := map[string]manifest.Asset{}
	for _, a := range p.Assets {
		has[a.Name] = a
	}
	for _, pkg := range j.file.PackagesOf(row) {
		stem, _, err := packageNames(j.file.Packages.Values[pkg], row, row.Fields(p.Version, c.Tag))
		if err != nil {
			t.problem(Broken, "package %s: %v", pkg, err)
			continue
		}
		name := stem + "." + row.Archive
		a, ok := has[name]
		if !ok {
			t.Assets = append(t.Assets, AssetStatus{Name: name, State: Missing, Why: "the part does not have it"})
		}
		if a.Package != pkg {
			t.problem(Missing, "asset %s of package %s is not in its part", name, pkg)
		}
	}
	for _, a := range p.Assets {
		s := AssetStatus{Name: a.Name, Size: a.Size, SHA256: a.SHA256, State: Complete}
		switch now, ok := c.Asset(a.Name); {
		case !ok:
			s.State, s.Why = Missing, "it is not there"
		case now.State == publish.Starter:
			s.State, s.Why = Broken, "a broken upload left it"
		case now.State != publish.Uploaded:
			s.State, s.Why = Broken, "GitHub says that it is "+string(now.State)
		case now.Size != a.Size:
			s.State, s.Why = Broken, fmt.Sprintf("it has %d bytes, and the part says %d", now.Size, a.Size)
		case now.SHA256 != a.SHA256:
			s.State, s.Why = Broken, fmt.Sprintf("it has SHA-256 %.12s, and the part says %.12s", now.SHA256, a.SHA256)
		}
		t.Assets = append(t.Assets, s)
		if s.State != Complete {
			t.problem(s.State, "asset %s: %s: relmat release --target %s --part --repo %s", a.Name, s.Why, row.Name, c.Repo)
		}
	}
}

// smoke wants of each package that every step of the matrix was passed.
func (j judgement) smoke(row matrix.Row, p *manifest.PartFile, t *TargetStatus) {
	for _, pkg := range j.file.PackagesOf(row) {
		results := map[string]manifest.StepResult{}
		tested := false
		for _, s := range p.Smoke {
			if s.Package == pkg && s.Target == row.Name {
				tested = true
				for _, step := range s.Steps {
					results[step.Name] = step
				}
			}
		}
		if !tested {
			t.problem(Untested, "package %s has no smoke test", pkg)
			continue
		}
		for _, name := range j.file.Smoke.Steps.Keys {
			step := j.file.Smoke.Steps.Values[name]
			if !matrix.Matches(step.Targets, row.Name) || !slices.Contains(j.file.Packages.Values[pkg].Programs, step.Program) {
				continue
			}
			res, ok := results[name]
			switch {
			case !ok:
				t.problem(Untested, "package %s: step %s is not among the results of its smoke test", pkg, name)
			case res.Status == manifest.Passed:
				t.Passed++
			case res.Status == manifest.NotRun && step.Device != "" && step.Promote == matrix.PromoteNote:
				t.NotRun++
				t.Notes = append(t.Notes, fmt.Sprintf("%s, package %s: step %s was not run: %s", row.Name, pkg, name, res.Reason))
			case res.Status == manifest.NotRun:
				t.NotRun++
				t.problem(Untested, "package %s: step %s was not run (%s): make the part where it can run, or set smoke.steps.%s.promote to note", pkg, name, res.Reason, name)
			default:
				t.Failed++
				t.problem(Untested, "package %s: step %s: %s", pkg, name, res.Status)
			}
		}
	}
}

// agree wants one commit and one version of all parts.
func (j judgement) agree(c *publish.Contents, st *ReleaseStatus, problem func(string, ...any)) {
	commits, versions := map[string][]string{}, map[string][]string{}
	for _, t := range st.Targets {
		if t.Version != "" {
			commits[t.Commit] = append(commits[t.Commit], t.Target)
			versions[t.Version] = append(versions[t.Version], t.Target)
		}
	}
	tell := func(what string, by map[string][]string) {
		if len(by) < 2 {
			return
		}
		var list []string
		for _, v := range sorted(by) {
			list = append(list, fmt.Sprintf("%.12s (%s)", orNone(v), strings.Join(by[v], ", ")))
		}
		problem("the parts are of %d %s: %s", len(by), what, strings.Join(list, "; "))
	}
	tell("commits", commits)
	tell("versions", versions)
	if c.Release != nil && len(c.Duplicates) > 0 && c.Release.Draft {
		problem("%s has more than one draft of %s: %d and %s; delete those that nobody needs", c.Repo, c.Tag, c.Release.ID, strings.Trim(fmt.Sprint(c.Duplicates), "[]"))
	}
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// rest judges the files that are made of all parts, and sorts out what is none
// of relmat's.
func (j judgement) rest(c *publish.Contents, st *ReleaseStatus, owner map[string]string, files []publish.File) {
	own := map[string]bool{}
	made := []string{publish.ReleaseName, publish.ChecksumsName}
	for _, t := range st.Targets {
		for _, a := range t.Assets {
			if j.file.Checksums.Files {
				made = append(made, publish.ChecksumFile(a.Name))
			}
		}
	}
	for _, name := range made {
		own[name] = true
	}
	isMade := maps.Clone(own)
	for _, a := range c.Listed() {
		own[a.Name] = true
		if j.file.Checksums.Files {
			own[publish.ChecksumFile(a.Name)] = true
		}
	}
	leftover := len(c.Parts) > 0
	for _, name := range made {
		f := FileStatus{Name: name, State: Missing}
		if a, ok := c.Asset(name); ok {
			f.State = Stale
			if files == nil {
				f.State = Unknown
			}
			for _, want := range files {
				if want.Name == name && want.SHA256 == a.SHA256 && a.State == publish.Uploaded {
					f.State = Complete
				}
			}
			if a.State != publish.Uploaded {
				f.State = Broken
			}
		}
		leftover = leftover || f.State != Complete
		st.Files = append(st.Files, f)
	}
	for _, a := range c.Assets {
		_, _, temporary := publish.IsTemporary(a.Name)
		_, part := manifest.IsPartName(a.Name)
		switch {
		case temporary:
			st.Leftover = append(st.Leftover, a.Name)
		case part || owner[strings.ToLower(a.Name)] != "":
		case own[a.Name]:
			if !isMade[a.Name] {
				st.Leftover = append(st.Leftover, a.Name) // superseded
			}
		default:
			st.Foreign = append(st.Foreign, a.Name)
		}
	}
	shown := st.Visibility == publish.Full || st.Visibility == publish.Prerelease && publish.IsPrerelease(c.Tag)
	st.Promoted = st.Complete && shown && !leftover && len(st.Leftover) == 0
}
