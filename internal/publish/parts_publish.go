package publish

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/relmat/relmat/internal/manifest"
	"github.com/relmat/relmat/internal/progress"
)

// PublishPart puts a target's assets and its part manifest into the release of
// the tag, whatever that is: a draft, which is made where there is none, a
// pre-release, or a full release that is not immutable. Who sees the release
// stays as it is. Nothing but the target's own is touched, so that the jobs of
// several targets can run at once. The manifest goes first: what a job that was
// killed leaves is named by it. Assets need their paths.
func (g *GitHub) PublishPart(ctx context.Context, part manifest.PartFile, task *progress.Task) (*Result, error) {
	w := Wanted{Tag: part.Tag, Commit: part.Commit, Visibility: Draft}
	for _, a := range part.Assets {
		w.Files = append(w.Files, File{Name: a.Name, Path: a.Path, Size: a.Size, SHA256: a.SHA256})
	}
	r, _, files, err := g.prepare(ctx, w, task)
	if err != nil {
		return nil, err
	}
	defer r.close()
	res, err := r.publishPart(ctx, w, part, files)
	if err != nil {
		return nil, fmt.Errorf("part %s of %s of %s: %w", part.Target, w.Tag, r.Repo, err)
	}
	return res, nil
}

func (r *run) publishPart(ctx context.Context, w Wanted, part manifest.PartFile, files []File) (*Result, error) {
	c := &Contents{Repo: r.Repo, Tag: w.Tag}
	v, err := r.lookFor(ctx, w)
	if err != nil {
		return nil, err
	}
	outcome := Unchanged
	if v.release == nil {
		// The draft bears the mark of its tag; the promotion has the last word.
		if err := r.create(ctx, w, v); err != nil {
			return nil, fmt.Errorf("making the draft: %w", err)
		}
		outcome = Drafted
	}
	r.tellDuplicates(v)
	if err := r.fill(ctx, c, v); err != nil {
		return nil, err
	}
	if err := ownsNames(c, part); err != nil {
		return nil, err
	}
	sources, drop, err := partSources(c, part, files)
	if err != nil {
		return nil, err
	}
	m := newMeter(r)
	changed := false
	for _, s := range sources {
		own := map[string]bool{}
		for _, x := range s {
			own[x.Name] = true
		}
		did, err := r.settle(ctx, c, v, s, own, m)
		if err != nil {
			return nil, err
		}
		changed = changed || did
	}
	if err := r.remove(ctx, drop); err != nil {
		return nil, err
	}
	if outcome == Unchanged && (changed || len(drop) > 0) {
		if outcome = Updated; v.release.Draft {
			outcome = Drafted
		}
	}
	return &Result{
		Outcome: outcome, URL: v.release.URL, ID: v.release.ID, Draft: v.release.Draft, Prerelease: v.release.Prerelease, Assets: files,
	}, nil
}

// ownsNames refuses assets that another target's part has.
func ownsNames(c *Contents, part manifest.PartFile) error {
	for _, p := range c.Parts {
		if p.Part == nil || p.Target == part.Target {
			continue
		}
		for _, other := range p.Part.Assets {
			for _, a := range part.Assets {
				if strings.EqualFold(a.Name, other.Name) {
					return fmt.Errorf("the part of target %s has an asset %s, too; the matrix must name them differently", p.Target, other.Name)
				}
			}
		}
	}
	return nil
}

// partSources lists what is to be there, in two rounds: the manifest, and the
// assets. drop are assets of the target's earlier parts that have other names.
func partSources(c *Contents, part manifest.PartFile, files []File) (rounds [][]source, drop []Remote, err error) {
	var before *manifest.PartFile
	for _, p := range c.Parts {
		if p.Target == part.Target {
			before = p.Part
		}
	}
	var joined manifest.PartFile
	wasJoined := false
	if c.Joined != nil {
		joined, wasJoined = c.Joined.In(part.Target)
	}
	part.Supersedes = superseded(c, part, before, joined)
	data, err := part.Encode()
	if err != nil {
		return nil, nil, err
	}
	name := manifest.PartName(part.Target)
	switch {
	case before != nil && before.SameMade(part) && within(part.Supersedes, before.Supersedes):
		// The same was made again, in another time: the manifest stays.
		for _, p := range c.Parts {
			if p.Target == part.Target {
				rounds = append(rounds, []source{{File: File{Name: name, Size: p.Asset.Size, SHA256: digestOfRemote(c, p.Asset)}}})
			}
		}
	case before == nil && wasJoined && joined.SameMade(part) && len(part.Supersedes) == 0:
		// It was joined already; only its assets may have to be mended.
	default:
		rounds = append(rounds, []source{made(name, data)})
	}
	var assets []source
	for _, f := range files {
		assets = append(assets, source{File: f})
	}
	rounds = append(rounds, assets)
	for _, s := range part.Supersedes {
		if a, ok := c.Asset(s.Name); ok && a.good() && a.SHA256 == s.SHA256 {
			drop = append(drop, a)
		}
	}
	return rounds, drop, nil
}

// digestOfRemote is the digest of a manifest that was read.
func digestOfRemote(c *Contents, a Remote) string {
	now, _ := c.Asset(a.Name)
	return now.SHA256
}

// superseded lists what earlier parts of the target brought, and what neither
// the new part nor another target has under these names.
func superseded(c *Contents, part manifest.PartFile, before *manifest.PartFile, joined manifest.PartFile) []manifest.Asset {
	taken := map[string]bool{}
	for _, a := range part.Assets {
		taken[strings.ToLower(a.Name)] = true
	}
	for _, p := range c.Parts {
		if p.Part != nil && p.Target != part.Target {
			for _, a := range p.Part.Assets {
				taken[strings.ToLower(a.Name)] = true
			}
		}
	}
	if c.Joined != nil {
		for _, p := range c.Joined.Targets {
			if p.Target != part.Target {
				for _, a := range p.Assets {
					taken[strings.ToLower(a.Name)] = true
				}
			}
		}
	}
	old := slices.Clone(joined.Assets)
	if before != nil {
		old = append(append(old, before.Assets...), before.Supersedes...)
	}
	var list []manifest.Asset
	for _, a := range old {
		// What is gone needs no naming; what is there goes with the bytes that it
		// has, and not with others.
		if now, ok := c.Asset(a.Name); ok && now.good() && !taken[strings.ToLower(a.Name)] {
			taken[strings.ToLower(a.Name)] = true
			list = append(list, manifest.Asset{Name: a.Name, Package: a.Package, Size: now.Size, SHA256: now.SHA256})
		}
	}
	slices.SortFunc(list, func(a, b manifest.Asset) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// within tells whether all assets of a are among b.
func within(a, b []manifest.Asset) bool {
	return !slices.ContainsFunc(a, func(x manifest.Asset) bool { return !slices.Contains(b, x) })
}

// Joining is what the parts of a release make together.
type Joining struct {
	Release manifest.Release
	// Remove are assets of earlier parts, which go if they have these bytes.
	Remove []manifest.Asset
	// ChecksumFiles adds ASSET.sha256 for each asset.
	ChecksumFiles bool
}

// Promotion joins the parts of a release and shows it to the world.
type Promotion struct {
	Tag string
	// Visibility is Full, Prerelease, or Auto: by the tag.
	Visibility Visibility
	// Latest, Name, Notes and GenerateNotes are as in Wanted. What the joining
	// has to say comes under the notes.
	Latest, Name  string
	Notes         *string
	GenerateNotes bool
	// Footer is what the release's own notes end with.
	Footer string
	// Judge says what the parts make together, or that they do not. It must be
	// pure: it is asked again after each change. Its error ends the promotion.
	Judge func(*Contents) (*Joining, error)
}

// Promote joins the parts into release.json and SHA256SUMS, removes the part
// manifests, and publishes the release, in this order: each is done when all
// before it is there, by digest. Whatever it is cut off after, the next one
// goes on from there. Where the judge refuses at first, nothing is changed.
func (g *GitHub) Promote(ctx context.Context, p Promotion, task *progress.Task) (*Result, error) {
	r, err := g.start(ctx, task)
	if err != nil {
		return nil, err
	}
	defer r.close()
	if err := r.checkPromotion(ctx, p); err != nil {
		return nil, err
	}
	c, v, err := r.contents(ctx, p.Tag)
	if err != nil {
		return nil, err
	}
	if _, err := p.Judge(c); err != nil {
		// A list may lag behind the part that was uploaded a moment ago.
		if err := r.Sleep(ctx, firstWait); err != nil {
			return nil, err
		}
		if c, v, err = r.contents(ctx, p.Tag); err != nil {
			return nil, err
		}
	}
	if err := r.promotedNotes(ctx, &p, c, v); err != nil {
		return nil, err
	}
	m := newMeter(r)
	changed := false
	for round := 0; ; round++ {
		did, err := r.promote(ctx, p, c, v, m)
		changed = changed || did
		if err != nil {
			return nil, err
		}
		if !did {
			break
		}
		if round > 8 {
			return nil, fmt.Errorf("promoting %s of %s: %w", p.Tag, r.Repo, errOvertaken)
		}
		// What was done is read back before the next step relies on it.
		if v, err = r.look(ctx, p.Tag); err != nil {
			return nil, err
		}
		if err = r.fill(ctx, c, v); err != nil {
			return nil, err
		}
	}
	return r.show(ctx, p, c, v, changed)
}

// sources are the release's files with those that are made of its parts. Those
// of the parts are there.
func (j *Joining) sources() ([]source, error) {
	list, err := Wanted{Files: j.files(), ChecksumFiles: j.ChecksumFiles}.files()
	if err != nil {
		return nil, err
	}
	data, err := j.Release.Encode()
	if err != nil {
		return nil, err
	}
	return append(list, made(releaseName, data), made(sumsName, checksums(j.files()))), nil
}

// removed are the assets that go, with the files of their digests.
func (j *Joining) removed() []File {
	var files []File
	for _, a := range j.Remove {
		files = append(files, File{Name: a.Name, Size: a.Size, SHA256: a.SHA256})
	}
	if j.ChecksumFiles {
		for _, s := range checksumFiles(files) {
			files = append(files, s.File)
		}
	}
	return files
}

func (j *Joining) files() []File {
	var files []File
	for _, a := range j.Release.Assets() {
		files = append(files, File{Name: a.Name, Size: a.Size, SHA256: a.SHA256})
	}
	return files
}

// Files are release.json, SHA256SUMS and the ASSET.sha256 as the joined
// release has them.
func (j *Joining) Files() ([]File, error) {
	list, err := j.sources()
	if err != nil {
		return nil, err
	}
	var files []File
	for _, s := range list {
		if s.data != nil {
			files = append(files, s.File)
		}
	}
	return files, nil
}

// promote takes the next step that is left, and tells whether there was one.
func (r *run) promote(ctx context.Context, p Promotion, c *Contents, v *view, m *meter) (did bool, err error) {
	j, err := p.Judge(c)
	if err != nil {
		return false, err
	}
	sources, err := j.sources()
	if err != nil {
		return false, err
	}
	if c.Commit == "" {
		if err := r.checkTag(ctx, Wanted{Tag: p.Tag, Commit: j.Release.Commit, Visibility: p.Visibility}); err != nil {
			return false, err
		}
	}
	if did, err := r.settle(ctx, c, v, sources, nil, m); did || err != nil {
		return did, err
	}
	var drop []Remote
	for _, part := range c.Parts {
		a := part.Asset
		a.SHA256 = digestOfRemote(c, a)
		drop = append(drop, a)
	}
	for _, old := range j.removed() {
		if a, ok := c.Asset(old.Name); ok && a.good() && a.SHA256 == old.SHA256 {
			drop = append(drop, a)
		}
	}
	if len(drop) > 0 && v.release.Immutable {
		return false, fmt.Errorf("%w (%s), and has part manifests; publish under another tag", ErrImmutable, v.release.URL)
	}
	return len(drop) > 0, r.remove(ctx, drop)
}

// show flips the release to what the world shall see, when all else is done.
func (r *run) show(ctx context.Context, p Promotion, c *Contents, v *view, changed bool) (*Result, error) {
	j, err := p.Judge(c)
	if err != nil {
		return nil, err
	}
	w := Wanted{Tag: p.Tag, Visibility: p.Visibility, Latest: p.Latest}
	e := &releaseEdit{}
	if p.Name != "" && p.Name != v.release.Name {
		e.Name = &p.Name
	}
	if body := p.body(v.release.body, j); sameText(body, v.release.body) != nil {
		e.Body = &body
	}
	if v.release.Draft && c.Commit == "" && v.release.target != j.Release.Commit {
		e.Target = j.Release.Commit
	}
	r.tellStays(w, v.release)
	if e.Latest, err = r.otherLatest(ctx, w, v.release); err != nil {
		return nil, err
	}
	res := &Result{Outcome: Unchanged, Assets: j.files()}
	if len(e.fields()) > 0 {
		if v.release, err = r.edit(ctx, v.release, e); err != nil {
			return nil, fmt.Errorf("changing the release: %w", err)
		}
		changed = true
	}
	if changed {
		res.Outcome = Updated
	}
	if flip := flipOf(w, v.release); flip != nil {
		if v.release, err = r.flip(ctx, v.release, flip); err != nil {
			return nil, fmt.Errorf("publishing %s of %s: %w; all assets are there, run the same command again", p.Tag, r.Repo, err)
		}
		res.Outcome = Published
	}
	res.URL, res.ID, res.Draft, res.Prerelease = v.release.URL, v.release.ID, v.release.Draft, v.release.Prerelease
	return res, nil
}

// The marks around what a promotion adds to a release's notes.
const (
	notesBegin = "<!-- relmat: begin -->"
	notesEnd   = "<!-- relmat: end -->"
)

// withNotes puts what users should know under the release's own notes, in
// place of what an earlier promotion put there.
func withNotes(body string, notes []string) string {
	if before, rest, ok := strings.Cut(body, notesBegin); ok {
		if _, after, ok := strings.Cut(rest, notesEnd); ok {
			body = strings.TrimRight(before, "\r\n ") + after
		}
	}
	if len(notes) == 0 {
		return body
	}
	var b strings.Builder
	if body = strings.TrimRight(body, "\r\n "); body != "" {
		b.WriteString(body + "\n\n")
	}
	b.WriteString(notesBegin + "\nNot tested:\n\n")
	for _, n := range notes {
		b.WriteString("- " + n + "\n")
	}
	b.WriteString(notesEnd + "\n")
	return b.String()
}
