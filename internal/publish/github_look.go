package publish

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/google/go-github/v60/github"
)

// maxPages bounds a list; GitHub ends the list of releases after 10,000.
const maxPages = 200

// asset is github.ReleaseAsset with what GitHub tells since June 2025: the
// digest as "sha256:" and hexadecimal digits.
type asset struct {
	github.ReleaseAsset
	Digest *string `json:"digest"`
}

func (a asset) remote() Remote {
	r := Remote{ID: a.GetID(), Name: a.GetName(), State: AssetState(a.GetState()), Size: int64(a.GetSize())}
	if a.Digest != nil {
		if sum, ok := strings.CutPrefix(strings.ToLower(*a.Digest), "sha256:"); ok && isSHA256(sum) {
			r.SHA256 = sum
		}
	}
	return r
}

func isSHA256(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == sha256.Size
}

// release is github.RepositoryRelease with whether it is closed for ever, and
// without its assets: a list of releases has those of all of them, megabytes
// that nobody reads.
type release struct {
	github.RepositoryRelease
	Immutable *bool   `json:"immutable"`
	Assets    skipped `json:"assets"`
}

// skipped is a part of an answer that is not kept.
type skipped struct{}

func (*skipped) UnmarshalJSON([]byte) error { return nil }

// releaseInfo is a release as it is.
type releaseInfo struct {
	ID         int64  `json:"id"`
	Tag        string `json:"tag"`
	Name       string `json:"name"`
	Draft      bool   `json:"draft"`
	Prerelease bool   `json:"prerelease"`
	Immutable  bool   `json:"immutable"`
	URL        string `json:"url"`
	body       string
	target     string
	upload     string
}

func (r release) info() *releaseInfo {
	return &releaseInfo{
		ID: r.GetID(), Tag: r.GetTagName(), Name: r.GetName(), Draft: r.GetDraft(), Prerelease: r.GetPrerelease(),
		Immutable: r.Immutable != nil && *r.Immutable, URL: clip(r.GetHTMLURL(), 2000),
		body: r.GetBody(), target: r.GetTargetCommitish(), upload: r.GetUploadURL(),
	}
}

// String names the release for people.
func (r *releaseInfo) String() string {
	what := "release"
	switch {
	case r.Draft:
		what = "draft"
	case r.Prerelease:
		what = "pre-release"
	}
	return fmt.Sprintf("%s %s (id %d)", what, r.Tag, r.ID)
}

// view is what GitHub has of a tag.
type view struct {
	// release is nil where there is none.
	release *releaseInfo
	// others are further drafts of the tag, which nobody looks into.
	others []*releaseInfo
	assets []Remote
	// latest is what make_latest is to be changed to, empty where it is right or
	// comes with the publishing; see [run.otherLatest].
	latest string
}

func (r *run) path(format string, args ...any) string {
	return "repos/" + r.owner + "/" + r.repo + fmt.Sprintf(format, args...)
}

// look finds the release of a tag among all releases, drafts too, which GitHub
// shows in the list alone, and reads its assets. Of several releases of a tag
// the published one counts, else the oldest draft.
func (r *run) look(ctx context.Context, tag string) (*view, error) {
	list, err := r.releasesOf(ctx, tag)
	if err != nil {
		return nil, err
	}
	v := &view{}
	if len(list) == 0 {
		return v, nil
	}
	v.release, v.others = list[0], list[1:]
	v.assets, err = r.listAssets(ctx, v.release.ID)
	return v, err
}

// releasesOf lists the releases of a tag, the one that counts first.
func (r *run) releasesOf(ctx context.Context, tag string) ([]*releaseInfo, error) {
	var list []*releaseInfo
	seen := map[int64]bool{}
	err := pages(ctx, r, r.path("/releases"), func(rel release) {
		// The list may shift while it is read, so that one comes twice.
		if rel.GetTagName() == tag && !seen[rel.GetID()] {
			seen[rel.GetID()] = true
			list = append(list, rel.info())
		}
	})
	slices.SortFunc(list, func(a, b *releaseInfo) int {
		if a.Draft != b.Draft {
			if a.Draft {
				return 1
			}
			return -1
		}
		return int(a.ID - b.ID)
	})
	if err != nil {
		return nil, fmt.Errorf("listing the releases of %s: %w", r.Repo, err)
	}
	return list, nil
}

// listAssets reads all assets of a release from their own list: the release
// object leaves broken uploads out.
func (r *run) listAssets(ctx context.Context, id int64) ([]Remote, error) {
	var list []Remote
	seen := map[int64]bool{}
	err := pages(ctx, r, r.path("/releases/%d/assets", id), func(a asset) {
		if rem := a.remote(); !seen[rem.ID] {
			seen[rem.ID] = true
			list = append(list, rem)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("listing the assets of release %d of %s: %w", id, r.Repo, err)
	}
	return list, nil
}

// pages reads a list page by page and hands its entries to each, one at a
// time: a page may have megabytes.
func pages[T any](ctx context.Context, r *run, path string, each func(T)) error {
	for page := 1; page <= maxPages; page++ {
		var entries []T
		last := false
		err := r.retry(ctx, func(ctx context.Context) error {
			entries = entries[:0]
			return r.do(ctx, request{
				method: http.MethodGet, path: fmt.Sprintf("%s?per_page=100&page=%d", path, page),
				read: func(body io.Reader, h http.Header) error {
					last = !strings.Contains(strings.Join(h["Link"], ","), `rel="next"`)
					return elements(body, func(v T) { entries = append(entries, v) })
				},
			})
		})
		if err != nil {
			return err
		}
		for _, v := range entries {
			each(v)
		}
		if last {
			return nil
		}
	}
	return fmt.Errorf("the list has more than %d pages", maxPages)
}

// elements decodes a JSON array entry by entry.
func elements[T any](r io.Reader, each func(T)) error {
	c := &capped{&capped{r, maxPage}, maxObject}
	dec := json.NewDecoder(c)
	if t, err := dec.Token(); err != nil {
		return err
	} else if t != json.Delim('[') {
		return &localError{fmt.Errorf("the answer is no list")}
	}
	for dec.More() {
		var v T
		if err := dec.Decode(&v); err != nil {
			return err
		}
		each(v)
		c.left = maxObject
	}
	_, err := dec.Token()
	return err
}

// asset reads one asset; ok is false where it is not there any more.
func (r *run) asset(ctx context.Context, id int64) (rem Remote, ok bool, err error) {
	var a asset
	err = r.retry(ctx, func(ctx context.Context) error {
		return r.do(ctx, request{method: http.MethodGet, path: r.path("/releases/assets/%d", id), read: into(&a)})
	})
	if kindOf(err) == kindMissing {
		return Remote{}, false, nil
	}
	if err != nil {
		return Remote{}, false, fmt.Errorf("reading asset %d of %s: %w", id, r.Repo, err)
	}
	rem = a.remote()
	if rem.SHA256 == "" {
		r.mu.Lock()
		rem.SHA256 = r.hashed[id]
		r.mu.Unlock()
	}
	return rem, true, nil
}

// download reads an asset's bytes and returns their digest. What an id holds
// never changes, so that each is read once.
func (r *run) download(ctx context.Context, a Remote) (string, error) {
	r.mu.Lock()
	sum := r.hashed[a.ID]
	r.mu.Unlock()
	if sum != "" {
		return sum, nil
	}
	r.task.Note("GitHub tells no digest of %s: reading it", a.Name)
	err := r.retry(ctx, func(ctx context.Context) error {
		return r.do(ctx, request{
			method: http.MethodGet, path: r.path("/releases/assets/%d", a.ID), accept: "application/octet-stream",
			read: func(body io.Reader, _ http.Header) error {
				h := sha256.New()
				n, err := io.CopyBuffer(h, &capped{body, a.Size + 1}, make([]byte, 256<<10))
				if err == nil && n != a.Size {
					return fmt.Errorf("asset %s has %d bytes, and GitHub says %d", a.Name, n, a.Size)
				}
				sum = hex.EncodeToString(h.Sum(nil))
				return err
			},
		})
	})
	if err != nil {
		return "", fmt.Errorf("downloading asset %s of %s: %w", a.Name, r.Repo, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hashed[a.ID] = sum
	return sum, nil
}

// otherSize stands for the digest of an asset that cannot have the wanted
// bytes, since their number differs.
const otherSize = "(another size)"

// digests fills in what GitHub does not tell of assets that decide about
// something: those with wanted names, and their replacements.
func (r *run) digests(ctx context.Context, assets []Remote, wanted []File) error {
	sizes := map[string]int64{}
	for _, f := range wanted {
		sizes[f.Name] = f.Size
	}
	for i := range assets {
		a := &assets[i]
		of, _, temporary := IsTemporary(a.Name)
		if !temporary {
			of = a.Name
		}
		size, ok := sizes[of]
		if !ok || !a.good() || a.SHA256 != "" {
			continue
		}
		if a.Size != size {
			if !temporary {
				a.SHA256 = otherSize
			}
			continue
		}
		var err error
		if a.SHA256, err = r.download(ctx, *a); err != nil {
			return err
		}
	}
	return nil
}
