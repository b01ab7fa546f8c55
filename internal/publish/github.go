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

	"github.com/relmat/relmat/internal/fsx"
	"github.com/relmat/relmat/internal/matrix"
	"github.com/relmat/relmat/internal/progress"
)

// GitHubAPI is where GitHub's API is, unless GITHUB_API_URL names another.
const GitHubAPI = "https://api.github.com/"

// GitHub publishes releases on GitHub, or on a GitHub Enterprise Server. It
// looks at what there is, makes a plan, carries it out, and looks again, so
// that a run after any other, finished or not, ends with the wanted release.
// The zero value of a field is its default.
type GitHub struct {
	// Repo is OWNER/NAME.
	Repo string
	// ReleaseID, where set, is the release to publish to, which another job
	// made; 0 finds it by the tag.
	ReleaseID int64
	// API is the address of the API: GitHubAPI, or https://HOST/api/v3/.
	API string
	// Token returns the token, empty for none; see [Tokens].
	Token func(context.Context) (string, error)
	// Transport makes the connections of one worker.
	Transport func() http.RoundTripper
	// Parallel is how many assets are worked on at once at most: 4.
	Parallel int
	// Stall is after how long without a byte a transfer is broken off: a
	// minute. A whole upload gets five times as long for its answer.
	Stall time.Duration
	// RetryFor is how long one request is tried again: 30 minutes.
	RetryFor time.Duration
	// Paces bound the requests that create content; nil is [Paces], an empty
	// list no bound.
	Paces []Pace
	// MaxSize is the first size in bytes, and MaxAssets the last number of
	// assets of a release, by GitHub's documentation 2 GiB and 1000 ("About
	// releases", Storage and bandwidth quotas).
	MaxSize   int64
	MaxAssets int
	// Digests remembers digests that were computed before; files that it does
	// not know are hashed while they are sent.
	Digests   *fsx.Digests
	UserAgent string
	// Now and Sleep are the clock by which waits are measured.
	Now   func() time.Time
	Sleep func(context.Context, time.Duration) error
}

// start fills in the defaults and gets the token.
func (g *GitHub) start(ctx context.Context, task *progress.Task) (*run, error) {
	d := *g
	def(&d.API, GitHubAPI)
	def(&d.Parallel, 4)
	def(&d.Stall, time.Minute)
	def(&d.RetryFor, 30*time.Minute)
	def(&d.MaxSize, 2<<30)
	def(&d.MaxAssets, 1000)
	def(&d.UserAgent, "relmat")
	if d.Digests == nil {
		d.Digests = fsx.OpenDigests("")
	}
	if d.Paces == nil {
		d.Paces = Paces
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.Sleep == nil {
		d.Sleep = sleep
	}
	make := d.Transport
	if make == nil {
		make = defaultTransport
	}
	d.Transport = func() http.RoundTripper { return bounded{make()} }
	r := &run{GitHub: &d, task: task, gov: newGovernor(d.Parallel), hashed: map[int64]string{}, remaining: -1, limitsFor: limitsFor}
	if err := r.address(); err != nil {
		return nil, err
	}
	if d.Token != nil {
		var err error
		if r.token, err = d.Token(ctx); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func def[T comparable](v *T, to T) {
	var zero T
	if *v == zero {
		*v = to
	}
}

// ErrRepo says that a repository or the API's address is not written right.
var ErrRepo = errors.New("wrong address of a repository")

func (r *run) address() error {
	owner, repo, ok := strings.Cut(r.Repo, "/")
	if !ok || matrix.AssetName(owner) != nil || strings.Trim(repo, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ._-") != "" || repo == "" || repo == "." || repo == ".." {
		return fmt.Errorf("%w: %q is not OWNER/NAME", ErrRepo, r.Repo)
	}
	u, err := url.Parse(r.API)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil {
		return fmt.Errorf("%w: the API's address must be such as %s, see GITHUB_API_URL", ErrRepo, GitHubAPI)
	}
	if !strings.HasSuffix(u.Path, "/") {
		u.Path += "/"
	}
	r.owner, r.repo, r.api = owner, repo, u
	return nil
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// view looks at the tag's release, or the one that another job made and named.
func (r *run) view(ctx context.Context, w Wanted, files []File) (*view, error) {
	v, err := r.lookFor(ctx, w)
	if err != nil {
		return nil, err
	}
	r.tellStays(w, v.release)
	if v.latest, err = r.otherLatest(ctx, w, v.release); err != nil {
		return nil, err
	}
	return v, r.digests(ctx, v.assets, files)
}

func (r *run) lookFor(ctx context.Context, w Wanted) (*view, error) {
	if r.ReleaseID == 0 {
		return r.look(ctx, w.Tag)
	}
	rel, err := r.release(ctx, r.ReleaseID)
	if kindOf(err) == kindMissing {
		return nil, fmt.Errorf("%s has no release %d, or the token may not see it; look at --release-id, or leave it out to find the release by its tag (%w)", r.Repo, r.ReleaseID, err)
	}
	if err != nil {
		return nil, err
	}
	if rel.Tag != w.Tag {
		return nil, fmt.Errorf("release %d of %s is that of tag %s, not of %s; look at --release-id and --tag", r.ReleaseID, r.Repo, rel.Tag, w.Tag)
	}
	v := &view{release: rel}
	v.assets, err = r.listAssets(ctx, rel.ID)
	return v, err
}

// prepare is the beginning of Plan and Publish.
func (g *GitHub) prepare(ctx context.Context, w Wanted, task *progress.Task) (*run, map[string]source, []File, error) {
	list, err := w.files()
	if err != nil {
		return nil, nil, nil, err
	}
	sources := map[string]source{}
	files := []File{}
	for _, s := range list {
		sources[s.Name] = s
		files = append(files, s.File)
	}
	r, err := g.start(ctx, task)
	if err != nil {
		return nil, nil, nil, err
	}
	return r, sources, files, r.checkSizes(files)
}

// Plan looks at the release and says what Publish would do.
func (g *GitHub) Plan(ctx context.Context, w Wanted, task *progress.Task) (*Plan, error) {
	r, sources, files, err := g.prepare(ctx, w, task)
	if err != nil {
		return nil, err
	}
	defer r.close()
	v, err := r.view(ctx, w, files)
	if err != nil {
		return nil, err
	}
	if err := r.mergeSums(ctx, w, files, sources, v); err != nil {
		return nil, err
	}
	p, err := newPlan(r.Repo, w, files, v, false, r.full(v))
	if err != nil {
		return nil, err
	}
	return p, r.possible(p, v)
}

// Publish makes the release of a tag hold the wanted files, whatever was
// before, and shows it to the world as wanted. Whenever it ends early, it can
// be run again.
func (g *GitHub) Publish(ctx context.Context, w Wanted, task *progress.Task) (*Result, error) {
	r, sources, files, err := g.prepare(ctx, w, task)
	if err != nil {
		return nil, err
	}
	defer r.close()
	v, err := r.view(ctx, w, files)
	if err != nil {
		return nil, err
	}
	was := v.release
	changed, err := r.converge(ctx, w, files, sources, v)
	if err != nil {
		return nil, fmt.Errorf("%s of %s: %w", w.Tag, r.Repo, err)
	}
	flipped := false
	if flip := flipOf(w, v.release); flip != nil {
		if v.release, err = r.flip(ctx, v.release, flip); err != nil {
			return nil, fmt.Errorf("publishing %s of %s: %w; all assets are there, run the same command again", w.Tag, r.Repo, err)
		}
		flipped = true
	}
	res := &Result{
		URL: v.release.URL, ID: v.release.ID, Draft: v.release.Draft, Prerelease: v.release.Prerelease, Assets: files,
	}
	switch {
	case flipped:
		res.Outcome = Published
	case !changed && was != nil:
		res.Outcome = Unchanged
	case v.release.Draft:
		res.Outcome = Drafted
	default:
		res.Outcome = Updated
	}
	return res, nil
}

// converge makes the release and its assets right, and reads back what it did.
func (r *run) converge(ctx context.Context, w Wanted, files []File, sources map[string]source, v *view) (changed bool, err error) {
	if v.release == nil {
		if err := r.create(ctx, w, v); err != nil {
			return false, fmt.Errorf("making the draft: %w", err)
		}
		// Another job may have published one meanwhile.
		if v.latest, err = r.otherLatest(ctx, w, v.release); err != nil {
			return true, err
		}
		if err := r.digests(ctx, v.assets, files); err != nil {
			return true, err
		}
		changed = true
	}
	r.tellDuplicates(v)
	if generates(w, v.release) {
		if w.Notes, err = r.generateNotes(ctx, w); err != nil {
			return changed, fmt.Errorf("generating notes: %w", err)
		}
		if err := checkNotes(w, v.release.body); err != nil {
			return changed, err
		}
	}
	m := newMeter(r)
	p := r.patience()
	for round := 0; ; round++ {
		if err := r.mergeSums(ctx, w, files, sources, v); err != nil {
			return changed, err
		}
		plan, err := newPlan(r.Repo, w, files, v, false, r.full(v))
		if err == nil {
			if err := r.possible(plan, v); err != nil {
				return changed, err
			}
			if plan.edit != nil && len(plan.edit.fields()) > 0 {
				if v.release, err = r.edit(ctx, v.release, plan.edit); err != nil {
					return changed, fmt.Errorf("changing the release: %w", err)
				}
				v.latest = ""
				changed = true
			}
			if settled(plan.Assets) {
				return changed, nil
			}
			if round > 1 {
				// It was done and is not seen: lists lag behind, or somebody else
				// is at work.
				if err := p.again(ctx, stale("the release does not hold what was uploaded")); err != nil {
					return changed, err
				}
			}
			changed = true
			if round == 0 {
				r.tellStaleSums(plan)
			}
			m.plan(plan.Assets, files)
			err = r.execute(ctx, v.release, plan.Assets, v, sources, m)
			if err != nil && !isStale(err) {
				return changed, err
			}
		} else {
			// Two assets of one name are what a list shows that was read while
			// one took the place of the other.
			err = &staleError{err}
			if round > 3 {
				return changed, err
			}
		}
		if err != nil {
			if err := p.again(ctx, err); err != nil {
				return changed, err
			}
		}
		if v.assets, err = r.listAssets(ctx, v.release.ID); err != nil {
			return changed, err
		}
		if err = r.digests(ctx, v.assets, files); err != nil {
			return changed, err
		}
	}
}

// tellStays warns where a release is shown to more people than it was asked
// for: what they have seen stays.
func (r *run) tellStays(w Wanted, rel *releaseInfo) {
	switch {
	case rel == nil || rel.Draft:
	case w.Visibility == Draft:
		r.task.Warn("%s of %s is published already, and does not become a draft again", rel, r.Repo)
	case w.Visibility == Prerelease && !rel.Prerelease:
		r.task.Warn("%s of %s is full already, and does not become a pre-release again", rel, r.Repo)
	}
}

// tellStaleSums warns of files with digests that nobody asked to renew.
func (r *run) tellStaleSums(p *Plan) {
	var files []string
	for _, a := range p.Assets {
		if a.Kind == Upload {
			files = append(files, a.Name)
		}
	}
	for _, name := range files {
		if sum := ChecksumFile(name); slices.Contains(p.Foreign, sum) {
			r.task.Warn("%s is of an earlier %s; --checksum-files renews it", sum, name)
		}
	}
	if len(files) > 0 && slices.Contains(p.Foreign, sumsName) {
		r.task.Warn("%s stays without the digest of %s; --checksums renews it", sumsName, some(files))
	}
}

// tellDuplicates reports further drafts of the tag: their assets are nowhere
// to be seen, and whose they are only people know.
func (r *run) tellDuplicates(v *view) {
	for _, o := range v.others {
		r.task.Warn("%s has another %s; this one has id %d. If nobody needs it: gh api -X DELETE repos/%s/releases/%d", r.Repo, o, v.release.ID, r.Repo, o.ID)
	}
}
