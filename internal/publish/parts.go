package publish

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/relmat/relmat/internal/manifest"
	"github.com/relmat/relmat/internal/progress"
)

// ChecksumsName and ReleaseName are the assets that a release has besides the
// targets': the digests as sha256sum(1) reads them, and what the release is.
const (
	ChecksumsName = sumsName
	ReleaseName   = releaseName
)

// ReleaseInfo is a release of GitHub as it is, without its assets.
type ReleaseInfo = releaseInfo

// FoundPart is a part manifest of a release.
type FoundPart struct {
	Target string
	Asset  Remote
	// Part is nil where it cannot be read; Problem says why then.
	Part    *manifest.PartFile
	Problem string
}

// Contents is what a tag's release holds, with what its manifests say.
type Contents struct {
	Repo, Tag string
	// Commit is the tag's on GitHub, empty where there is no such tag.
	Commit string
	// Release is nil where there is none; then nothing below is set.
	Release *ReleaseInfo
	// Blind says why a draft would not be seen, where there is no release.
	Blind string
	// Duplicates are the ids of further drafts of the tag.
	Duplicates []int64
	// Assets have their digests, but for those that no manifest names.
	Assets []Remote
	// Parts are in the order of their targets.
	Parts []FoundPart
	// Joined is release.json, nil where there is none or it cannot be read;
	// JoinedProblem says why then.
	Joined        *manifest.Release
	JoinedProblem string
}

// Asset is the asset of that name.
func (c *Contents) Asset(name string) (Remote, bool) {
	for _, a := range c.Assets {
		if a.Name == name {
			return a, true
		}
	}
	return Remote{}, false
}

// Listed are the assets that the manifests name, those of a part manifest
// before those of release.json. They are relmat's own.
func (c *Contents) Listed() []manifest.Asset {
	var list []manifest.Asset
	for _, p := range c.Parts {
		if p.Part != nil {
			list = append(append(list, p.Part.Assets...), p.Part.Supersedes...)
		}
	}
	if c.Joined != nil {
		list = append(list, c.Joined.Assets()...)
	}
	return list
}

// Contents reads what the release of a tag holds. It changes nothing.
func (g *GitHub) Contents(ctx context.Context, tag string, task *progress.Task) (*Contents, error) {
	r, err := g.start(ctx, task)
	if err != nil {
		return nil, err
	}
	defer r.close()
	c, _, err := r.contents(ctx, tag)
	switch {
	case kindOf(err) == kindMissing:
		// Of what a token may not see GitHub says that it is not there.
		if why := r.checkRepository(ctx, Wanted{Tag: tag}); why != nil {
			err = fmt.Errorf("%s is not seen: %w", r.Repo, why)
		}
	case err == nil && c.Release == nil:
		c.Blind, err = r.blind(ctx, tag)
	}
	return c, err
}

func (r *run) contents(ctx context.Context, tag string) (*Contents, *view, error) {
	v, err := r.look(ctx, tag)
	if err != nil {
		return nil, nil, err
	}
	c := &Contents{Repo: r.Repo, Tag: tag}
	if c.Commit, _, err = r.tagCommit(ctx, tag); err != nil {
		return nil, nil, fmt.Errorf("asking %s for tag %s: %w", r.Repo, tag, err)
	}
	return c, v, r.fill(ctx, c, v)
}

// fill reads the manifests among the assets of a view.
func (r *run) fill(ctx context.Context, c *Contents, v *view) error {
	c.Release, c.Assets, c.Duplicates, c.Parts, c.Joined, c.JoinedProblem = v.release, v.assets, nil, nil, nil, ""
	for _, o := range v.others {
		c.Duplicates = append(c.Duplicates, o.ID)
	}
	stands := standing(v.assets)
	for name, a := range stands {
		target, ok := manifest.IsPartName(name)
		if !ok {
			continue
		}
		p := FoundPart{Target: target, Asset: a}
		data, problem, err := r.read(ctx, a)
		if err != nil {
			return err
		}
		if p.Problem = problem; problem == "" {
			if p.Part, err = manifest.ReadPart(data); err == nil && p.Part.Target != target {
				p.Part, err = nil, fmt.Errorf("it is the part of target %s", p.Part.Target)
			}
			if err != nil {
				p.Problem = err.Error()
			}
		}
		c.Parts = append(c.Parts, p)
	}
	slices.SortFunc(c.Parts, func(a, b FoundPart) int { return strings.Compare(a.Target, b.Target) })
	if a, ok := stands[releaseName]; ok {
		data, problem, err := r.read(ctx, a)
		if err != nil {
			return err
		}
		if c.JoinedProblem = problem; problem == "" {
			if c.Joined, err = manifest.ReadRelease(data); err != nil {
				c.JoinedProblem = err.Error()
			}
		}
	}
	// Where two manifests name an asset, either may be right.
	own := map[string]bool{sumsName: true}
	for _, a := range c.Listed() {
		own[a.Name] = true
	}
	for i, a := range c.Assets {
		// The bytes that were read count, whatever a list said of them.
		if sum := r.hashed[a.ID]; sum != "" {
			c.Assets[i].SHA256 = sum
		}
		if c.Assets[i].SHA256 == "" && a.good() && own[a.Name] {
			var err error
			if c.Assets[i].SHA256, err = r.download(ctx, a); err != nil {
				return err
			}
		}
	}
	return nil
}

// standing are the assets by the names for which they stand: their own, or that
// of an asset which they were to replace when a run was cut off, after it had
// removed the old one and before it gave the new one the name.
func standing(assets []Remote) map[string]Remote {
	stands := map[string]Remote{}
	for _, a := range assets {
		if _, _, temporary := IsTemporary(a.Name); !temporary {
			stands[a.Name] = a
		}
	}
	for _, a := range assets {
		of, digest, temporary := IsTemporary(a.Name)
		if !temporary || !a.good() || a.SHA256 != "" && !strings.HasPrefix(a.SHA256, digest) {
			continue
		}
		// Of several the newest; own is what stands there by its own name.
		own, there := stands[of]
		if !there || !own.good() || own.Name != of && a.ID > own.ID {
			stands[of] = a
		}
	}
	return stands
}

// read reads a small asset. problem says why there is nothing to be read.
func (r *run) read(ctx context.Context, a Remote) (data []byte, problem string, err error) {
	switch {
	case !a.good():
		return nil, "a broken upload left it", nil
	case a.Size > manifest.MaxFile:
		return nil, fmt.Sprintf("it has %d bytes", a.Size), nil
	}
	err = r.retry(ctx, func(ctx context.Context) error {
		return r.do(ctx, request{
			method: http.MethodGet, path: r.path("/releases/assets/%d", a.ID), accept: "application/octet-stream",
			read: func(body io.Reader, _ http.Header) error {
				var b bytes.Buffer
				n, err := b.ReadFrom(&capped{body, a.Size + 1})
				if err == nil && n != a.Size {
					return fmt.Errorf("asset %s has %d bytes, and GitHub says %d", a.Name, n, a.Size)
				}
				data = b.Bytes()
				return err
			},
		})
	})
	if kindOf(err) == kindMissing {
		return nil, "it went away while the release was read", nil
	}
	if err != nil {
		return nil, "", fmt.Errorf("downloading asset %s of %s: %w", a.Name, r.Repo, err)
	}
	sum := digestOf(data)
	r.mu.Lock()
	r.hashed[a.ID] = sum
	r.mu.Unlock()
	if _, digest, temporary := IsTemporary(a.Name); temporary && !strings.HasPrefix(sum, digest) {
		return nil, "it has other bytes than its name says", nil
	}
	return data, "", nil
}

func digestOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// made is a file that is made up here.
func made(name string, data []byte) source {
	return source{File: File{Name: name, Size: int64(len(data)), SHA256: digestOf(data)}, data: data}
}

// errOvertaken says that somebody else changed the release meanwhile.
var errOvertaken = errors.New("the release changed meanwhile; run the same command again")

// only leaves those assets of a view that belong to the names, and their
// replacements: another job may be at work on the others.
func (v *view) only(names map[string]bool) *view {
	w := *v
	w.assets = nil
	for _, a := range v.assets {
		of, _, temporary := IsTemporary(a.Name)
		if names[a.Name] || temporary && names[of] {
			w.assets = append(w.assets, a)
		}
	}
	return &w
}

// settle makes the release hold the wanted files, touching no name but those
// in own; a nil own is every name. It returns the view that shows it.
func (r *run) settle(ctx context.Context, c *Contents, v *view, wanted []source, own map[string]bool, m *meter) (changed bool, err error) {
	sources := map[string]source{}
	var files []File
	for _, s := range wanted {
		sources[s.Name] = s
		files = append(files, s.File)
	}
	p := r.patience()
	for round := 0; ; round++ {
		if err := r.digests(ctx, v.assets, files); err != nil {
			return changed, err
		}
		mine := v
		if own != nil {
			mine = v.only(own)
		}
		plan, err := newPlan(r.Repo, Wanted{Tag: c.Tag, Visibility: Draft}, files, mine, true, r.full(v))
		switch {
		case err != nil && round > 3:
			return changed, err
		case err != nil:
			err = &staleError{err} // a list that was read while assets were swapped
		default:
			full := *plan
			full.Foreign = nil
			if err := r.possible(&full, v); err != nil {
				return changed, err
			}
			for _, a := range plan.Assets {
				if s := sources[a.Name]; a.Kind == Upload && s.Path == "" && s.data == nil {
					return changed, fmt.Errorf("asset %s: %w", a.Name, errOvertaken)
				}
			}
			if settled(plan.Assets) {
				return changed, nil
			}
			if round > 1 {
				err = p.again(ctx, stale("the release does not hold what was uploaded"))
				if err != nil {
					return changed, err
				}
			}
			changed = true
			m.plan(plan.Assets, files)
			if err = r.execute(ctx, v.release, plan.Assets, v, sources, m); err != nil && !isStale(err) {
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
	}
}

// remove deletes assets that are still what they were.
func (r *run) remove(ctx context.Context, list []Remote) error {
	for _, a := range list {
		err := r.unchanged(ctx, a)
		if err == nil {
			err = r.deleteAsset(ctx, a.ID)
		}
		if err != nil && !errors.Is(err, errGone) {
			return fmt.Errorf("removing %s: %w", a.Name, err)
		}
	}
	return nil
}
