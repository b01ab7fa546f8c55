package githubtest

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

func assetError(code, field, message string) object {
	e := releaseError(code, field, message)
	e["resource"] = "ReleaseAsset"
	return e
}

func (c *call) listAssets() *answer {
	rel := c.repo.byID(c.number("release_id"))
	if rel == nil || rel.draft && !c.rights.Push {
		return failure(http.StatusNotFound, "Not Found")
	}
	assets := stale(c.fault, rel.assets, func(a *asset) int64 { return a.id })
	if c.fault.ghost(c) {
		now := c.s.now()
		assets = append([]*asset{{
			id: 1, name: "ghost.bin", contentType: "application/octet-stream", state: StateUploaded, created: now, updated: now,
		}}, assets...)
	}
	part, h := page(c, assets)
	list := make([]object, 0, len(part))
	for _, a := range part {
		list = append(list, c.asset(rel, a))
	}
	return &answer{status: http.StatusOK, header: h, body: list}
}

// getAsset tells of an asset, or, asked for an octet stream, sends the client
// to its bytes.
func (c *call) getAsset() *answer {
	rel, a := c.repo.assetByID(c.number("asset_id"))
	if a == nil || rel.draft && !c.rights.Push {
		return failure(http.StatusNotFound, "Not Found")
	}
	if !strings.Contains(c.r.Header.Get("Accept"), "application/octet-stream") {
		return &answer{status: http.StatusOK, body: c.asset(rel, a)}
	}
	if a.state != StateUploaded {
		return failure(http.StatusNotFound, "Not Found")
	}
	return c.redirect(a)
}

func (c *call) redirect(a *asset) *answer {
	to := fmt.Sprintf("%s/release-asset/%d?sig=%s", c.s.StorageURL, a.id, fakeSHA("sig", fmt.Sprint(a.id)))
	return &answer{status: http.StatusFound, header: http.Header{"Location": {to}}}
}

// browserDownload is github.com's address of an asset. A draft's is for nobody
// but a browser with a session.
func (c *call) browserDownload() *answer {
	for _, rel := range c.repo.releases {
		if rel.draft || rel.tag != c.params["tag"] {
			continue
		}
		for _, a := range rel.assets {
			if a.name == c.params["name"] && a.state == StateUploaded {
				return c.redirect(a)
			}
		}
	}
	return &answer{status: http.StatusNotFound}
}

// storage sends bytes. The address is signed, and storage that gets a token as
// well refuses the request.
func (c *call) storage() *answer {
	if c.r.Header.Get("Authorization") != "" {
		return &answer{status: http.StatusBadRequest}
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	id := c.number("asset_id")
	if c.r.URL.Query().Get("sig") != fakeSHA("sig", fmt.Sprint(id)) {
		return &answer{status: http.StatusForbidden}
	}
	for _, r := range c.s.repos {
		if _, a := r.assetByID(id); a != nil && a.state == StateUploaded {
			a.downloads++
			file := *a // it may be renamed while it is sent
			return &answer{status: http.StatusOK, file: &file}
		}
	}
	return &answer{status: http.StatusNotFound}
}

func (c *call) sendFile(a *answer) {
	f, err := c.s.store.open(a.file.id)
	if err != nil {
		// Discarded, or deleted meanwhile.
		c.s.answered(c, http.StatusNotFound)
		c.w.WriteHeader(http.StatusNotFound)
		return
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	h := c.w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Disposition", "attachment; filename="+strconv.Quote(a.file.name))
	h.Set("Content-Length", strconv.FormatInt(info.Size(), 10))
	c.fault.cutFile(c, f, info.Size())
	c.s.answered(c, http.StatusOK)
	c.w.WriteHeader(http.StatusOK)
	if c.r.Method != http.MethodHead {
		io.Copy(c.fault.slow(c.w), f)
	}
}

func (c *call) updateAsset() *answer {
	rel, a := c.repo.assetByID(c.number("asset_id"))
	if a == nil {
		return failure(http.StatusNotFound, "Not Found")
	}
	var b struct{ Name, Label, State *string }
	if bad := c.decode(&b); bad != nil {
		return bad
	}
	if rel.immutable {
		return failure(http.StatusUnprocessableEntity, "Cannot update assets of an immutable release.")
	}
	if b.Name != nil {
		name := storedName(*b.Name)
		for _, other := range rel.assets {
			if other != a && other.name == name {
				return invalid(assetError("already_exists", "name", ""))
			}
		}
		a.name = name
	}
	set(&a.label, b.Label)
	a.updated = c.s.now()
	c.s.changed(c.repo, c.op)
	return &answer{status: http.StatusOK, body: c.asset(rel, a)}
}

func (c *call) deleteAsset() *answer {
	rel, a := c.repo.assetByID(c.number("asset_id"))
	switch {
	case a == nil:
		return failure(http.StatusNotFound, "Not Found")
	case rel.immutable:
		return failure(http.StatusUnprocessableEntity, "Cannot delete assets from an immutable release.")
	}
	c.drop(rel, a)
	return &answer{status: http.StatusNoContent}
}

func (c *call) drop(rel *release, a *asset) {
	rel.assets = slices.DeleteFunc(rel.assets, func(x *asset) bool { return x == a })
	c.s.store.drop(a.id)
	c.s.changed(c.repo, c.op)
}

// upload takes an asset's bytes. Its record is there from the first byte on,
// as a starter, and keeps that state when the upload breaks.
func (c *call) upload() *answer {
	c.s.mu.Lock()
	rel, a, bad := c.begin()
	c.s.mu.Unlock()
	if bad != nil {
		// GitHub answers before it has read the body. A client that goes on
		// sending must not wait for ever.
		io.CopyN(io.Discard, c.r.Body, 1<<20)
		return bad
	}
	if bad := c.fault.refuseUpload(c, rel, a); bad != nil {
		return bad
	}
	hash := c.s.o.known == nil
	sum, size, err := c.s.store.put(a.id, c.fault.body(c), c.s.o.discard, hash)
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if err == nil && c.r.ContentLength >= 0 && size != c.r.ContentLength {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		if disk := (keepError{}); errors.As(err, &disk) {
			select {
			case <-c.s.done: // the directory is gone, with the server
			default:
				c.s.problem("keeping asset %s: %v", a.name, disk.error)
			}
		}
		c.s.store.drop(a.id)
		return nil
	}
	if !slices.Contains(rel.assets, a) {
		c.s.store.drop(a.id)
		return failure(http.StatusNotFound, "Not Found")
	}
	if size == 0 || size >= c.s.o.limits.Size {
		c.drop(rel, a)
		return c.sizeError(size)
	}
	if c.s.o.known != nil {
		sum = strings.TrimPrefix(c.s.o.known(a.name, size), "sha256:")
	}
	a.state, a.size, a.sum, a.told, a.updated = StateUploaded, size, sum, true, c.s.now()
	rel.updated = a.updated
	c.s.changed(c.repo, c.op)
	return &answer{status: http.StatusCreated, body: c.asset(rel, a)}
}

// begin judges an upload by what is known before its bytes, and makes the
// starter.
func (c *call) begin() (*release, *asset, *answer) {
	rel := c.repo.byID(c.number("release_id"))
	if rel == nil {
		return nil, nil, failure(http.StatusNotFound, "Not Found")
	}
	if rel.immutable {
		return nil, nil, failure(http.StatusUnprocessableEntity, "Cannot upload assets to an immutable release.")
	}
	if c.r.ContentLength < 0 {
		return nil, nil, failure(http.StatusBadRequest, "Bad Content-Length: ")
	}
	if c.r.ContentLength == 0 || c.r.ContentLength >= c.s.o.limits.Size {
		return nil, nil, c.sizeError(c.r.ContentLength)
	}
	if len(rel.assets) >= c.s.o.limits.Assets {
		return nil, nil, invalid(assetError("custom", "file_count", fmt.Sprintf("file_count limited to %d assets per release", c.s.o.limits.Assets)))
	}
	name := storedName(c.name)
	for _, other := range rel.assets {
		if other.name == name {
			return nil, nil, invalid(assetError("already_exists", "name", ""))
		}
	}
	if a := c.limitCreation(); a != nil {
		return nil, nil, a
	}
	now := c.s.now()
	a := &asset{
		id: c.s.id(), name: name, label: c.r.URL.Query().Get("label"), contentType: c.r.Header.Get("Content-Type"),
		state: StateStarter, created: now, updated: now,
	}
	rel.assets = append(rel.assets, a)
	c.s.changed(c.repo, c.op)
	return rel, a, nil
}

func (c *call) sizeError(size int64) *answer {
	if size == 0 {
		return invalid(assetError("custom", "size", "size must be greater than or equal to 1"))
	}
	return invalid(assetError("custom", "size", fmt.Sprintf("size must be less than %d", c.s.o.limits.Size)))
}
