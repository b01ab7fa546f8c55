package publish

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/go-github/v60/github"

	"github.com/relmat/relmat/internal/manifest"
	"github.com/relmat/relmat/internal/progress"
)

// A preflight is to end in seconds, and so its tries do. But jobs that start all
// at once run into a secondary limit together, which passes in minutes.
const (
	preflightFor       = 30 * time.Second
	preflightLimitsFor = 5 * time.Minute
)

// maxNotes is how long notes may be, in characters: GitHub answers longer ones
// by "body is too long (maximum is 125000 characters)".
const maxNotes = 125_000

// checkSizes holds the files against GitHub's bounds. Sizes that are not known
// yet are negative.
func (r *run) checkSizes(files []File) error {
	var bad []string
	for _, f := range files {
		switch {
		case f.Size == 0:
			bad = append(bad, f.Name+" is empty")
		case f.Size >= r.MaxSize:
			bad = append(bad, fmt.Sprintf("%s has %d bytes (%s)", f.Name, f.Size, progress.Bytes(f.Size)))
		}
	}
	if len(bad) > 0 {
		return fmt.Errorf("GitHub takes assets of 1 to %d bytes: %s; split what is larger, leave out what is empty", r.MaxSize-1, some(bad))
	}
	if len(files) > r.MaxAssets {
		return fmt.Errorf("%d assets: %s", len(files), hints[kindCount])
	}
	return nil
}

// Preflight asks GitHub all that would refuse the release at its end: the
// token and its rights, the repository, the tag and its commit, the state of
// the release, names, sizes and number of the assets, and the requests left.
func (g *GitHub) Preflight(ctx context.Context, w Wanted, task *progress.Task) error {
	quick := *g
	if quick.RetryFor == 0 || quick.RetryFor > preflightFor {
		quick.RetryFor = preflightFor
	}
	r, _, files, err := quick.prepare(ctx, w, task)
	if err != nil {
		return err
	}
	defer r.close()
	r.limitsFor = preflightLimitsFor
	if err := errors.Join(checkNotes(w, ""), checkLatest(w)); err != nil {
		return err
	}
	if err := r.checkRepository(ctx, w); err != nil {
		return err
	}
	if err := r.checkTag(ctx, w); err != nil {
		return err
	}
	v, err := r.lookFor(ctx, w)
	if err != nil {
		return err
	}
	if v.release != nil {
		r.tellDuplicates(v)
		if err := checkNotes(w, v.release.body); err != nil {
			return err
		}
	}
	if err := r.checkRelease(v, w, files); err != nil {
		return err
	}
	if err := r.checkSetting(ctx, w, v); err != nil {
		return err
	}
	return r.checkBudget(files)
}

// checkNotes refuses notes that would be too long with what relmat adds to
// them, in a release whose notes are current.
func checkNotes(w Wanted, current string) error {
	body := bodyOf(w, current)
	if body == nil {
		return nil
	}
	added := ""
	if w.Notes == nil || *body != *w.Notes {
		added = " with what relmat adds to them"
	}
	return checkBody(*body, added)
}

func checkBody(body, added string) error {
	if n := utf8.RuneCountInString(body); n > maxNotes {
		return fmt.Errorf("the notes have %d characters%s, and GitHub takes %d; shorten them", n, added, maxNotes)
	}
	return nil
}

// checkLatest refuses as the latest release what GitHub would refuse at the
// end ("Latest release cannot be draft or prerelease").
func checkLatest(w Wanted) error {
	if v := w.visibility(); w.Latest == "true" && v != Full {
		return fmt.Errorf("a %s cannot be the latest release; leave --latest out, or publish a full release", v)
	}
	return nil
}

// checkPromotion is a promotion's preflight. Without the right to write, GitHub
// does not show the draft that is to be promoted.
func (r *run) checkPromotion(ctx context.Context, p Promotion) error {
	if err := checkLatest(Wanted{Tag: p.Tag, Visibility: p.Visibility, Latest: p.Latest}); err != nil {
		return err
	}
	return r.checkRepository(ctx, Wanted{Tag: p.Tag})
}

// promotedNotes has GitHub write the notes of a promotion, where it is to and
// there are none, and refuses notes that would be too long. Its error is the
// judge's, too.
func (r *run) promotedNotes(ctx context.Context, p *Promotion, c *Contents, v *view) error {
	j, err := p.Judge(c)
	if err != nil {
		return err
	}
	current := ""
	if v.release != nil {
		current = v.release.body
	}
	if p.Notes == nil && p.GenerateNotes && strings.TrimSpace(ownNotes(current)) == "" {
		w := Wanted{Tag: p.Tag, Commit: j.Release.Commit, Visibility: p.Visibility}
		if c.Commit == "" {
			if err := r.checkTag(ctx, w); err != nil {
				return err
			}
		}
		if p.Notes, err = r.generateNotes(ctx, w); err != nil {
			return fmt.Errorf("generating notes: %w", err)
		}
	}
	return checkBody(p.body(current, j), " with what relmat adds to them")
}

// ownNotes are a release's notes without what relmat added.
func ownNotes(body string) string { return withFooter(withNotes(body, nil), "") }

// body is what the notes of the promoted release are, whose notes are current.
func (p *Promotion) body(current string, j *Joining) string {
	own := ownNotes(current)
	if p.Notes != nil {
		own = *p.Notes
	}
	return withNotes(withFooter(own, p.Footer), j.Release.Notes)
}

// checkSetting tells that what is published now is closed for ever, where the
// token may read that setting of the repository ("Check if immutable releases
// are enabled for a repository"). Without, the release itself says it later.
func (r *run) checkSetting(ctx context.Context, w Wanted, v *view) error {
	if w.visibility() == Draft || v.release != nil && !v.release.Draft {
		return nil
	}
	var setting struct{ Enabled bool }
	err := r.retry(ctx, func(ctx context.Context) error {
		return r.do(ctx, request{method: http.MethodGet, path: r.path("/immutable-releases"), read: into(&setting)})
	})
	switch kindOf(err) {
	case kindMissing, kindForbidden:
		return nil // it is off, the server knows no such thing, or it is not ours to read
	}
	if err != nil {
		return fmt.Errorf("asking whether releases of %s are immutable: %w", r.Repo, err)
	}
	if setting.Enabled {
		r.task.Warn("releases of %s are immutable: once %s is published, nothing can be added or replaced; --draft leaves it open", r.Repo, w.Tag)
	}
	return nil
}

// checkRepository asks whether the token may write releases: the answer about
// a repository names the rights ("Get a repository", permissions).
func (r *run) checkRepository(ctx context.Context, w Wanted) error {
	if r.token == "" {
		return fmt.Errorf("%w: there is none; set GITHUB_TOKEN or GH_TOKEN, or log in with `gh auth login`", ErrAuth)
	}
	var repo github.Repository
	err := r.retry(ctx, func(ctx context.Context) error {
		return r.do(ctx, request{method: http.MethodGet, path: r.path(""), read: into(&repo)})
	})
	switch {
	case kindOf(err) == kindMissing:
		return fmt.Errorf("there is no repository %s, or the token may not see it; look at --repo, and give the token the right to its contents", r.Repo)
	case err != nil:
		return fmt.Errorf("asking for repository %s: %w", r.Repo, err)
	case repo.GetArchived():
		return fmt.Errorf("repository %s is archived, and takes no releases", r.Repo)
	}
	// Of an installation, GitHub Actions' own too, the answer never says that
	// it may push. Notes are written by GitHub for those who may write releases,
	// and kept nowhere ("Generate release notes content for a release").
	if strings.HasPrefix(r.token, "ghs_") || strings.HasPrefix(r.token, "v1.") {
		if _, err := r.generateNotes(ctx, w); errors.Is(err, ErrAuth) {
			return fmt.Errorf("asking whether the token may write releases of %s: %w", r.Repo, err)
		} else if kindOf(err).transient() {
			return err
		}
		return nil
	}
	if repo.Permissions != nil && !repo.Permissions["push"] {
		return fmt.Errorf("%w: it may read %s and not write to it; %s", ErrAuth, r.Repo, hints[kindForbidden])
	}
	if s := r.scopes; s != nil && *s != "" {
		has := func(scope string) bool {
			for _, f := range strings.Split(*s, ",") {
				if strings.TrimSpace(f) == scope {
					return true
				}
			}
			return false
		}
		if !has("repo") && (repo.GetPrivate() || !has("public_repo")) {
			return fmt.Errorf("%w: its scopes are %q, and releases need \"repo\"; make another token", ErrAuth, clip(*s, 200))
		}
	}
	return nil
}

// blind says why the token would not see a draft, empty where it would: GitHub
// lists drafts for those who may write.
func (r *run) blind(ctx context.Context, tag string) (string, error) {
	err := r.checkRepository(ctx, Wanted{Tag: tag})
	switch {
	case errors.Is(err, ErrAuth):
		return err.Error(), nil
	case kindOf(err).transient():
		return "", err
	}
	return "", nil // an archived repository is readable
}

// checkTag holds the tag on GitHub against the commit that is released.
func (r *run) checkTag(ctx context.Context, w Wanted) error {
	commit, ok, err := r.tagCommit(ctx, w.Tag)
	if err != nil {
		return fmt.Errorf("asking %s for tag %s: %w", r.Repo, w.Tag, err)
	}
	switch {
	case ok && w.Commit != "" && !strings.EqualFold(commit, w.Commit):
		return fmt.Errorf("tag %s of %s is commit %.12s, and what is released is %.12s; push the right tag, or release what it names", w.Tag, r.Repo, commit, w.Commit)
	case ok:
		return nil
	case w.visibility() == Draft:
		r.task.Note("%s has no tag %s yet; the draft waits for it", r.Repo, w.Tag)
		return nil
	case w.Commit == "":
		return fmt.Errorf("%s has no tag %s; push it (git push origin %s), or name the commit that GitHub shall put it on (--commit)", r.Repo, w.Tag, w.Tag)
	}
	err = r.retry(ctx, func(ctx context.Context) error {
		return r.do(ctx, request{method: http.MethodGet, path: r.path("/commits/%s", url.PathEscape(w.Commit)), accept: "application/vnd.github.sha"})
	})
	if k := kindOf(err); k == kindMissing || k == kindUnknown && err != nil {
		return fmt.Errorf("%s has neither tag %s nor commit %.12s (%w); push them", r.Repo, w.Tag, w.Commit, err)
	}
	if err == nil {
		r.task.Note("%s has no tag %s; GitHub makes it on commit %.12s when the release is published", r.Repo, w.Tag, w.Commit)
	}
	return err
}

// tagCommit is the commit of a tag. An annotated tag is an object of its own,
// which names it; tags of tags are followed.
func (r *run) tagCommit(ctx context.Context, tag string) (string, bool, error) {
	var ref github.Reference
	err := r.retry(ctx, func(ctx context.Context) error {
		return r.do(ctx, request{method: http.MethodGet, path: r.path("/git/ref/tags/%s", escapeTag(tag)), read: into(&ref)})
	})
	if kindOf(err) == kindMissing {
		return "", false, nil
	}
	if err != nil {
		return "", false, err
	}
	object := ref.GetObject()
	for range 10 {
		if object.GetType() != "tag" {
			return object.GetSHA(), true, nil
		}
		var t github.Tag
		err := r.retry(ctx, func(ctx context.Context) error {
			return r.do(ctx, request{method: http.MethodGet, path: r.path("/git/tags/%s", url.PathEscape(object.GetSHA())), read: into(&t)})
		})
		if err != nil {
			return "", false, err
		}
		object = t.GetObject()
	}
	return "", false, fmt.Errorf("tag %s is a tag of a tag, and so on", tag)
}

// escapeTag spells a tag in a path; its slashes stay.
func escapeTag(tag string) string {
	parts := strings.Split(tag, "/")
	for i, p := range parts {
		parts[i] = url.PathEscape(p)
	}
	return strings.Join(parts, "/")
}

// checkRelease looks at what is there. What is not built yet cannot be
// compared: of an immutable release only the names are then.
func (r *run) checkRelease(v *view, w Wanted, files []File) error {
	have := map[string]bool{}
	for _, a := range v.assets {
		have[a.Name] = a.good()
	}
	unknown, missing, count := false, []string{}, len(v.assets)
	for _, f := range files {
		unknown = unknown || f.Size < 0 || f.SHA256 == ""
		if good, there := have[f.Name]; !good {
			missing = append(missing, f.Name)
			if !there {
				count++
			}
		}
	}
	if v.release != nil && v.release.Immutable {
		// A promotion has joined the part manifests and removed them.
		if have[releaseName] {
			missing = slices.DeleteFunc(missing, func(name string) bool {
				_, part := manifest.IsPartName(name)
				return part
			})
		}
		if len(missing) > 0 {
			return fmt.Errorf("%w (%s), and lacks %s; publish under another tag", ErrImmutable, v.release.URL, some(missing))
		}
		if unknown {
			r.task.Warn("%s is immutable: it stays as it is, and other bytes than its own are refused", v.release.URL)
		}
	}
	if count > r.MaxAssets {
		return fmt.Errorf("the release would have %d assets; %s", count, hints[kindCount])
	}
	if unknown {
		return nil
	}
	p, err := newPlan(r.Repo, w, files, withDigests(v, files), false, r.full(v))
	if err != nil {
		return err
	}
	return r.possible(p, v)
}

// withDigests takes assets without a digest for such as have the wanted one:
// preflight does not read them.
func withDigests(v *view, files []File) *view {
	sums := map[string]string{}
	for _, f := range files {
		sums[f.Name] = f.SHA256
	}
	c := *v
	c.assets = append([]Remote(nil), v.assets...)
	for i, a := range c.assets {
		if a.good() && a.SHA256 == "" {
			c.assets[i].SHA256 = sums[a.Name]
		}
	}
	return &c
}

// requestsPerAsset is what a replacement takes: upload, two readings, delete,
// rename, and one more for the list.
const requestsPerAsset = 6

// checkBudget compares the requests left in this hour with what is needed.
func (r *run) checkBudget(files []File) error {
	need := 10 + requestsPerAsset*len(files)
	if r.remaining < 0 || need <= r.remaining {
		return nil
	}
	r.task.Warn("GitHub lets this token make %d more requests until %s, and up to %d are needed; relmat waits when they are used up",
		r.remaining, r.reset.Format(time.TimeOnly), need)
	return nil
}
