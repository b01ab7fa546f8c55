package publish

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"golang.org/x/sync/errgroup"
)

// nameSteps are the steps for one name.
type nameSteps struct {
	name  string
	steps []Action
}

// execute does the plan's steps for the assets. SHA256SUMS comes when all others
// are there: of one that names a file which is not there yet, another job would
// drop the line. Part manifests go last: until then nothing else may say what
// they say.
func (r *run) execute(ctx context.Context, rel *releaseInfo, plan []Action, v *view, sources map[string]source, m *meter) error {
	var names, sums, parts []nameSteps
	at := map[string]int{}
	for _, a := range plan {
		if a.Kind == RemovePart {
			parts = append(parts, nameSteps{a.Name, []Action{a}})
			continue
		}
		i, ok := at[a.Name]
		if !ok {
			i = len(names)
			at[a.Name] = i
			names = append(names, nameSteps{name: a.Name})
		}
		names[i].steps = append(names[i].steps, a)
	}
	if i, ok := at[sumsName]; ok {
		sums = []nameSteps{names[i]}
		names = slices.Delete(names, i, i+1)
	}
	room := r.room(plan, v)
	for _, some := range [][]nameSteps{names, sums, parts} {
		if err := r.executeSome(ctx, rel, some, v, sources, room, m); err != nil {
			return err
		}
	}
	return nil
}

// executeSome does names side by side, the steps of one in their order. An
// error of a plan that was overtaken is stale, and comes when all other names
// are done.
func (r *run) executeSome(ctx context.Context, rel *releaseInfo, names []nameSteps, v *view, sources map[string]source, room chan struct{}, m *meter) error {
	late := make(chan error, len(names))
	g, inner := errgroup.WithContext(ctx)
	for _, n := range names {
		if settled(n.steps) {
			continue
		}
		if err := r.gov.enter(inner); err != nil {
			break // a step has failed, whose error Wait returns
		}
		g.Go(func() error {
			err := r.executeOne(inner, rel, n.name, n.steps, v, sources[n.name], room, m)
			r.gov.leave(err == nil)
			if isStale(err) && inner.Err() == nil {
				late <- err
				return nil
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	close(late)
	var errs []error
	for err := range late {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// room bounds how many replacements are there beside what they replace, where
// the release is almost full.
func (r *run) room(plan []Action, v *view) chan struct{} {
	count := len(v.assets)
	for _, a := range plan {
		if a.Kind == Upload && a.To == a.Name {
			count++
		}
	}
	return make(chan struct{}, max(1, r.MaxAssets-count))
}

// executeOne does the steps of one name. Before anything goes, what shall
// stand in its place is read again, and so is what goes.
func (r *run) executeOne(ctx context.Context, rel *releaseInfo, name string, steps []Action, v *view, s source, room chan struct{}, m *meter) error {
	have := map[int64]Remote{}
	// final is the asset that has the name, temporary the newest replacement.
	var final, temporary int64
	for _, a := range v.assets {
		have[a.ID] = a
		if a.Name == name && a.good() {
			final = a.ID
		}
	}
	for _, step := range steps {
		if step.Kind == Rename && step.ID != 0 {
			temporary = step.ID
		}
	}
	for _, step := range steps {
		if err := ctx.Err(); err != nil {
			return err
		}
		var err error
		switch step.Kind {
		case Keep:
		case RemoveStarter:
			err = r.removeStarter(ctx, have[step.ID])
		case Upload:
			if step.To != name {
				select {
				case room <- struct{}{}:
					defer func() { <-room }()
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			var got Remote
			sent, done := m.begin(name)
			got, err = r.uploadTo(ctx, rel, s, step.To, sent)
			done(err)
			if step.To == name {
				final = got.ID
			} else {
				temporary = got.ID
			}
		case Delete:
			if err = r.expect(ctx, temporary, Temporary(name, s.SHA256), s.SHA256); err == nil {
				if err = r.unchanged(ctx, have[step.ID]); err == nil {
					err = r.deleteAsset(ctx, step.ID)
				}
			}
		case Rename:
			id := step.ID
			if id == 0 {
				id = temporary
			}
			if err = r.rename(ctx, id, step.To); err == nil {
				final = id
			}
		case RemovePart:
			if err = r.unchanged(ctx, have[step.ID]); err == nil {
				err = r.deleteAsset(ctx, step.ID)
			}
		case RemoveTemporary:
			// A replacement goes when the asset is there, or when both say that
			// it has not the bytes of its name.
			if final != 0 {
				err = r.expect(ctx, final, name, "")
			}
			if err == nil {
				err = r.unchanged(ctx, have[step.ID])
			}
			if err == nil {
				err = r.deleteAsset(ctx, step.ID)
			}
		}
		if errors.Is(err, errGone) {
			if name == sumsName && step.Kind == Delete {
				// Another job has made a new one, and has read more than this one.
				return stale("%s was replaced by another job", name)
			}
			continue // what was to go is not there any more
		}
		if err != nil {
			return fmt.Errorf("%s %s: %w", verbs[step.Kind], name, err)
		}
	}
	return nil
}

// verbs say what a step was doing.
var verbs = map[ActionKind]string{
	RemoveStarter: "removing what a broken upload left of", Upload: "uploading", Delete: "removing the old",
	Rename: "renaming the replacement of", RemoveTemporary: "removing a replacement of",
	RemovePart: "removing the part manifest",
}

// errGone says that an asset is not there any more.
var errGone = errors.New("the asset is gone")

// expect reads an asset again that must be whole, have the name and, unless
// sum is empty, the digest.
func (r *run) expect(ctx context.Context, id int64, name, sum string) error {
	a, ok, err := r.asset(ctx, id)
	switch {
	case err != nil:
		return err
	case !ok:
		return stale("asset %s (id %d) is gone", name, id)
	}
	if sum != "" && a.good() && a.SHA256 == "" {
		if a.SHA256, err = r.download(ctx, a); err != nil {
			return err
		}
	}
	if !a.good() || a.Name != name || sum != "" && a.SHA256 != sum {
		return stale("asset %d is now %s, %s, SHA-256 %.16s", id, a.Name, a.State, a.SHA256)
	}
	return nil
}

// unchanged reads an asset again that is about to go.
func (r *run) unchanged(ctx context.Context, was Remote) error {
	now, ok, err := r.asset(ctx, was.ID)
	switch {
	case err != nil:
		return err
	case !ok:
		return errGone
	case now.Name != was.Name || now.State != was.State:
		return stale("asset %d was %s, %s and is now %s, %s", was.ID, was.Name, was.State, now.Name, now.State)
	case now.SHA256 != "" && was.SHA256 != otherSize && was.SHA256 != "" && now.SHA256 != was.SHA256:
		return stale("asset %s (id %d) is told with different digests", was.Name, was.ID)
	}
	return nil
}

// removeStarter removes what a broken upload left, if it still is that.
func (r *run) removeStarter(ctx context.Context, was Remote) error {
	switch err := r.unchanged(ctx, was); {
	case errors.Is(err, errGone):
		return nil
	case err != nil:
		return err
	}
	return r.deleteAsset(ctx, was.ID)
}

// deleteAsset removes an asset; that it is not there is as good.
func (r *run) deleteAsset(ctx context.Context, id int64) error {
	err := r.retry(ctx, func(ctx context.Context) error {
		return r.do(ctx, request{method: http.MethodDelete, path: r.path("/releases/assets/%d", id)})
	})
	if kindOf(err) == kindMissing {
		return nil
	}
	return err
}

// rename gives an asset another name. Done twice it is done once.
func (r *run) rename(ctx context.Context, id int64, to string) error {
	var a asset
	err := r.retry(ctx, func(ctx context.Context) error {
		return r.do(ctx, request{
			method: http.MethodPatch, path: r.path("/releases/assets/%d", id),
			in: map[string]string{"name": to}, read: into(&a),
		})
	})
	switch k := kindOf(err); {
	case k == kindAssetExists, k == kindMissing:
		return &staleError{err}
	case err != nil:
		return err
	case a.GetName() != to:
		return fmt.Errorf("GitHub calls the asset %q, and not %q", a.GetName(), to)
	}
	return nil
}
