package publish

import (
	"context"
	"errors"
	"fmt"
	"net/http"
)

// release reads one release by its id.
func (r *run) release(ctx context.Context, id int64) (*releaseInfo, error) {
	var rel release
	err := r.retry(ctx, func(ctx context.Context) error {
		return r.do(ctx, request{method: http.MethodGet, path: r.path("/releases/%d", id), read: into(&rel)})
	})
	if err != nil {
		return nil, fmt.Errorf("reading release %d of %s: %w", id, r.Repo, err)
	}
	return rel.info(), nil
}

// create makes the draft. Of several jobs that do so at once all come to use
// the oldest release, and each removes the empty one that it made itself.
func (r *run) create(ctx context.Context, w Wanted, v *view) error {
	name := w.Name
	if name == "" {
		name = w.Tag
	}
	yes, pre := true, w.marked()
	in := releaseEdit{Tag: w.Tag, Target: w.Commit, Name: &name, Body: bodyOf(w, ""), Draft: &yes, Prerelease: &pre}
	p := r.patience()
	for {
		var made release
		err := r.do(ctx, request{method: http.MethodPost, path: r.path("/releases"), in: in, read: into(&made)})
		if err == nil {
			return r.older(ctx, made.info(), v)
		}
		if kindOf(err) == kindReleaseExists {
			err = &staleError{err}
		}
		if err := p.again(ctx, err); err != nil {
			return err
		}
		// An answer that was lost does not mean that nothing was made.
		found, err := r.look(ctx, w.Tag)
		if err != nil {
			return err
		}
		if found.release != nil {
			*v = *found
			return nil
		}
	}
}

// older settles a race: the oldest release of the tag is used, and made, if it
// is another, removed while it is an empty draft.
func (r *run) older(ctx context.Context, made *releaseInfo, v *view) error {
	found, err := r.look(ctx, made.Tag)
	if err != nil {
		return err
	}
	switch {
	case found.release == nil:
		*v = view{release: made} // lists lag behind
		return nil
	case found.release.ID == made.ID:
		*v = *found
		return nil
	}
	assets, err := r.listAssets(ctx, made.ID)
	if err != nil && kindOf(err) != kindMissing {
		return err
	}
	now, err := r.release(ctx, made.ID)
	switch {
	case kindOf(err) == kindMissing:
	case err != nil:
		return err
	case now.Draft && len(assets) == 0:
		err := r.retry(ctx, func(ctx context.Context) error {
			return r.do(ctx, request{method: http.MethodDelete, path: r.path("/releases/%d", made.ID)})
		})
		if err != nil && kindOf(err) != kindMissing {
			return fmt.Errorf("removing the empty draft %d, which lost the race: %w", made.ID, err)
		}
		r.task.Note("another job made the release at the same time; using its %s", found.release)
	}
	*v = view{release: found.release, assets: found.assets}
	for _, o := range found.others {
		if o.ID != made.ID {
			v.others = append(v.others, o)
		}
	}
	return nil
}

// edit changes fields of the release.
func (r *run) edit(ctx context.Context, rel *releaseInfo, e *releaseEdit) (*releaseInfo, error) {
	var got release
	err := r.retry(ctx, func(ctx context.Context) error {
		return r.do(ctx, request{method: http.MethodPatch, path: r.path("/releases/%d", rel.ID), in: e, read: into(&got)})
	})
	if err != nil {
		return rel, err
	}
	return got.info(), nil
}

// otherLatest is what make_latest is to be changed to in a release that is full
// already, empty where nothing is. No release says whether it is the latest, so
// GitHub is asked which one is ("Get the latest release"); of legacy, a rule and
// no state, it tells nothing, so that this is sent each time.
func (r *run) otherLatest(ctx context.Context, w Wanted, rel *releaseInfo) (string, error) {
	if w.Latest == "" || rel == nil || rel.Draft || rel.Prerelease {
		return "", nil
	}
	if w.Latest == "legacy" {
		return w.Latest, nil
	}
	var latest release
	err := r.retry(ctx, func(ctx context.Context) error {
		return r.do(ctx, request{method: http.MethodGet, path: r.path("/releases/latest"), read: into(&latest)})
	})
	if err != nil && kindOf(err) != kindMissing {
		return "", fmt.Errorf("asking which release of %s is the latest: %w", r.Repo, err)
	}
	if (latest.GetID() == rel.ID) == (w.Latest == "true") {
		return "", nil
	}
	return w.Latest, nil
}

// flip publishes the release. A lost answer is looked up and not asked for
// again: what is published may be immutable from then on.
func (r *run) flip(ctx context.Context, rel *releaseInfo, e *releaseEdit) (*releaseInfo, error) {
	done := func(now *releaseInfo) bool { return !now.Draft && now.Prerelease == *e.Prerelease }
	p := r.patience()
	for {
		var got release
		err := r.do(ctx, request{method: http.MethodPatch, path: r.path("/releases/%d", rel.ID), in: e, read: into(&got)})
		if err == nil {
			if now := got.info(); !done(now) {
				return rel, fmt.Errorf("GitHub took the request and left the %s as it was", now)
			}
			return got.info(), nil
		}
		if err := p.again(ctx, err); err != nil {
			return rel, err
		}
		now, err := r.release(ctx, rel.ID)
		if err != nil {
			return rel, err
		}
		if done(now) {
			return now, nil
		}
	}
}

// generateNotes has GitHub write the notes since the release before
// ("Generate release notes content for a release").
func (r *run) generateNotes(ctx context.Context, w Wanted) (*string, error) {
	in := map[string]string{"tag_name": w.Tag}
	if w.Commit != "" {
		in["target_commitish"] = w.Commit
	}
	var got struct{ Body string }
	err := r.retry(ctx, func(ctx context.Context) error {
		return r.do(ctx, request{method: http.MethodPost, path: r.path("/releases/generate-notes"), in: in, read: into(&got)})
	})
	if err != nil {
		return nil, err
	}
	return &got.Body, nil
}

// ErrImmutable says that a release is closed for ever, and lacks something.
var ErrImmutable = errors.New("the release is immutable")

// full tells whether the release has no room for one more asset.
func (r *run) full(v *view) bool { return len(v.assets) >= r.MaxAssets }

// possible says whether GitHub would take the plan.
func (r *run) possible(p *Plan, v *view) error {
	if v.release != nil && v.release.Immutable && !settled(p.Assets) {
		var names []string
		for _, a := range p.Assets {
			if a.Kind != Keep {
				names = append(names, string(a.Kind)+" "+a.Name)
			}
		}
		return fmt.Errorf("%w (%s), and these steps would be needed: %s; publish under another tag", ErrImmutable, v.release.URL, some(names))
	}
	count, replaced := len(v.assets), false
	for _, a := range p.Assets {
		switch {
		case a.Kind == Upload && a.To == a.Name:
			count++
		case a.Kind == Upload:
			replaced = true
		case a.Kind == RemoveStarter || a.Kind == RemoveTemporary:
			count--
		}
	}
	switch {
	case count > r.MaxAssets:
		return fmt.Errorf("the release would have %d assets, %d of them not of this run; %s", count, len(p.Foreign), hints[kindCount])
	case count == r.MaxAssets && replaced:
		return fmt.Errorf("the release has %d assets, and a replacement needs room beside what it replaces; delete one", count)
	}
	return nil
}
