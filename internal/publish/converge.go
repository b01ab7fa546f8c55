package publish

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// File is a file that a release shall hold.
type File struct {
	// Name is the asset's name, Path the local file.
	Name string `json:"name"`
	Path string `json:"-"`
	// Size is in bytes; SHA256 in lower-case hexadecimal.
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// AssetState is the state of an asset on GitHub ("REST API endpoints for
// release assets"): an upload that broke leaves a starter.
type AssetState string

// The states.
const (
	Uploaded AssetState = "uploaded"
	Starter  AssetState = "starter"
)

// Remote is an asset that a release has.
type Remote struct {
	ID    int64      `json:"id"`
	Name  string     `json:"name"`
	State AssetState `json:"state"`
	Size  int64      `json:"size"`
	// SHA256 is empty where it is not known. Converge then cannot decide, so
	// Look downloads and hashes such an asset first where its name is wanted.
	SHA256 string `json:"sha256,omitempty"`
}

// good tells whether the asset holds all bytes that it ever will.
func (r Remote) good() bool { return r.State == Uploaded }

// ActionKind is what is done to one asset.
type ActionKind string

// The kinds of actions, in the order in which they may be done to one name.
const (
	// Keep leaves an asset that has the wanted bytes.
	Keep ActionKind = "keep"
	// RemoveStarter removes what a broken upload left, after it was read again.
	RemoveStarter ActionKind = "remove-starter"
	// Upload sends the bytes, to the name To.
	Upload ActionKind = "upload"
	// Delete removes an asset whose replacement is there in full.
	Delete ActionKind = "delete"
	// Rename gives a replacement its final name.
	Rename ActionKind = "rename"
	// RemoveTemporary removes a replacement that nobody needs any more.
	RemoveTemporary ActionKind = "remove-temporary"
	// RemovePart removes the part manifest of a target that release.json has.
	RemovePart ActionKind = "remove-part"
)

// Action is one step of a plan.
type Action struct {
	Kind ActionKind `json:"kind"`
	// Name is the name of the wanted file that the step is for.
	Name string `json:"name"`
	// ID and Asset are the asset that is there; of an upload's own result they
	// are not known yet, and 0 and the temporary name.
	ID    int64  `json:"id,omitempty"`
	Asset string `json:"asset,omitempty"`
	// To is the name after the step.
	To string `json:"to,omitempty"`
	// Why says what was found.
	Why string `json:"why"`
}

// temporaryMark stands between an asset's name and the digest of the bytes
// that are to replace it. GitHub keeps these characters as they are.
const temporaryMark = ".relmat-"

// Temporary is the name under which a replacement is uploaded before the old
// asset goes.
func Temporary(name, sha256 string) string { return name + temporaryMark + sha256[:16] }

// IsTemporary tells whether a name is that of a replacement, of which asset,
// and with which first 16 digits its SHA-256 begins.
func IsTemporary(name string) (of, digest string, ok bool) {
	i := strings.LastIndex(name, temporaryMark)
	if i <= 0 {
		return "", "", false
	}
	of, digest = name[:i], name[i+len(temporaryMark):]
	if len(digest) != 16 || strings.Trim(digest, "0123456789abcdef") != "" {
		return "", "", false
	}
	return of, digest, true
}

// Converge says what makes a release that has these assets hold the wanted
// files. Steps for one name must be done in order; names do not depend on each
// other. An asset that is neither wanted nor temporary is left alone. Of the
// replacements of names that are not wanted another job may be at work on: they
// are settled if alone says that there is none, and else only finished where the
// old asset is gone. full says that the release has no room for one more: then
// other replacements of a name go before the wanted one comes, and else, since
// another job may rely on them, when it has the name. Whatever the steps are cut
// off after, each name that had good bytes still has some, under its own or its
// temporary name, and Converge finds the rest of the way from there.
func Converge(wanted []File, have []Remote, alone, full bool) ([]Action, error) {
	byName := map[string]Remote{}
	temporaries := map[string][]Remote{}
	for _, r := range have {
		if _, twice := byName[r.Name]; twice {
			return nil, fmt.Errorf("the release has two assets %q; delete one of them", r.Name)
		}
		byName[r.Name] = r
		if of, _, ok := IsTemporary(r.Name); ok {
			temporaries[of] = append(temporaries[of], r)
		}
	}
	var actions []Action
	seen := map[string]bool{}
	for _, f := range wanted {
		if seen[f.Name] {
			return nil, fmt.Errorf("two files have the name %s", f.Name)
		}
		seen[f.Name] = true
		old, there := byName[f.Name]
		if there && old.good() && old.SHA256 == "" {
			return nil, fmt.Errorf("the digest of asset %s is not known", f.Name)
		}
		steps, err := convergeOne(f, old, there, temporaries[f.Name], full)
		if err != nil {
			return nil, err
		}
		actions = append(actions, steps...)
	}
	var names []string
	for of := range temporaries {
		if !seen[of] {
			names = append(names, of)
		}
	}
	slices.Sort(names)
	for _, of := range names {
		old, there := byName[of]
		actions = append(actions, settle(of, old, there, temporaries[of], alone)...)
	}
	return actions, nil
}

func convergeOne(f File, old Remote, there bool, temporaries []Remote, full bool) ([]Action, error) {
	var steps []Action
	add := func(kind ActionKind, r Remote, to, why string) {
		steps = append(steps, Action{Kind: kind, Name: f.Name, ID: r.ID, Asset: r.Name, To: to, Why: why})
	}
	// dropTemporaries comes last: until the wanted bytes have their name, a
	// temporary may be the only good ones.
	dropTemporaries := func(except int64) {
		for _, t := range temporaries {
			if t.ID != except && t.State != Starter {
				add(RemoveTemporary, t, "", "the asset has its final bytes")
			}
		}
	}
	for _, t := range temporaries {
		if t.State == Starter {
			add(RemoveStarter, t, "", "a broken upload left it")
		}
	}
	temporary := Temporary(f.Name, f.SHA256)
	var ready *Remote
	for i, t := range temporaries {
		if t.Name == temporary && t.good() && t.SHA256 == f.SHA256 && t.Size == f.Size {
			ready = &temporaries[i]
		}
	}
	if there && old.State == Starter {
		add(RemoveStarter, old, "", "a broken upload left it")
		there = false
	}
	switch {
	case there && old.SHA256 == f.SHA256 && old.Size == f.Size:
		add(Keep, old, f.Name, "it has these bytes")
		dropTemporaries(0)
	case there && ready != nil:
		add(Delete, old, "", "its replacement is there")
		add(Rename, *ready, f.Name, "it is the replacement")
		dropTemporaries(ready.ID)
	case there:
		var rest int64
		for _, t := range temporaries {
			switch {
			case t.State == Starter:
			case t.Name == temporary:
				// Its name promises these bytes and it has others, so nobody's
				// good bytes are lost: the old asset is there.
				add(RemoveTemporary, t, "", "it has other bytes than its name says")
				rest = t.ID
			case full:
				add(RemoveTemporary, t, "", "the release has no room for one more, and the asset is there")
			}
		}
		steps = append(steps, Action{Kind: Upload, Name: f.Name, To: temporary, Why: "the asset has other bytes"})
		add(Delete, old, "", "its replacement is there")
		steps = append(steps, Action{Kind: Rename, Name: f.Name, Asset: temporary, To: f.Name, Why: "it is the replacement"})
		if !full {
			dropTemporaries(rest)
		}
	case ready != nil:
		add(Rename, *ready, f.Name, "an interrupted replacement is finished")
		dropTemporaries(ready.ID)
	default:
		steps = append(steps, Action{Kind: Upload, Name: f.Name, To: f.Name, Why: "it is missing"})
		dropTemporaries(0)
	}
	return steps, nil
}

// settle ends what an earlier run left of a name that is not wanted. If the
// asset went already, its replacement takes the name: it holds the last good
// bytes. That does no harm to a run which is about to do the same.
func settle(of string, old Remote, there bool, temporaries []Remote, alone bool) []Action {
	var steps []Action
	slices.SortFunc(temporaries, func(a, b Remote) int { return cmp.Compare(b.ID, a.ID) })
	if there && !old.good() {
		return nil // somebody may be uploading it
	}
	for _, t := range temporaries {
		step := Action{Name: of, ID: t.ID, Asset: t.Name}
		_, digest, _ := IsTemporary(t.Name)
		switch {
		case t.State == Starter && alone:
			step.Kind, step.Why = RemoveStarter, "a broken upload left it"
		case t.State != Starter && !there && (t.SHA256 == "" || strings.HasPrefix(t.SHA256, digest)):
			step.Kind, step.To, step.Why = Rename, of, "an interrupted replacement is finished"
			there = true
		case alone:
			step.Kind, step.Why = RemoveTemporary, "the asset has its final bytes"
		default:
			continue
		}
		steps = append(steps, step)
	}
	return steps
}
