package publish

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// world is a release to which the steps of plans are done.
type world struct {
	assets []Remote
	next   int64
}

func sumOf(text string) string {
	s := sha256.Sum256([]byte(text))
	return hex.EncodeToString(s[:])
}

func (w *world) put(name string, state AssetState, text string) {
	w.next++
	r := Remote{ID: w.next, Name: name, State: state}
	if state == Uploaded {
		r.Size, r.SHA256 = int64(len(text)), sumOf(text)
	}
	w.assets = append(w.assets, r)
}

func (w *world) find(match func(Remote) bool) int { return slices.IndexFunc(w.assets, match) }

// do does one step as GitHub would; broken uploads leave a starter.
func (w *world) do(a Action, files map[string]File, text map[string]string, broken bool) error {
	at := w.find(func(r Remote) bool { return a.ID != 0 && r.ID == a.ID || a.ID == 0 && r.Name == a.Asset })
	taken := w.find(func(r Remote) bool { return r.Name == a.To }) >= 0
	switch a.Kind {
	case Keep:
		if at < 0 {
			return fmt.Errorf("%+v is not there", a)
		}
	case RemoveStarter, Delete, RemoveTemporary:
		if at < 0 || w.assets[at].Name != a.Asset || (a.Kind == RemoveStarter) != (w.assets[at].State == Starter) {
			return fmt.Errorf("%+v does not fit %+v", a, w.assets)
		}
		w.assets = slices.Delete(w.assets, at, at+1)
	case Upload:
		if taken {
			return fmt.Errorf("%+v: already_exists", a)
		}
		if broken {
			w.put(a.To, Starter, "")
			return nil
		}
		w.put(a.To, Uploaded, text[a.Name])
	case Rename:
		if at < 0 || taken {
			return fmt.Errorf("%+v does not fit %+v", a, w.assets)
		}
		w.assets[at].Name = a.To
	}
	return nil
}

// good are the names that have good bytes, their own or in a replacement.
func (w *world) good() map[string]bool {
	names := map[string]bool{}
	for _, r := range w.assets {
		of, digest, temporary := IsTemporary(r.Name)
		switch {
		case r.State != Uploaded:
		case !temporary:
			names[r.Name] = true
		case strings.HasPrefix(r.SHA256, digest):
			names[of] = true
		}
	}
	return names
}

// TestConvergeFromAnywhere makes releases of all sorts, cuts plans off after
// any step, changes what is wanted, and wants of the last whole run that it
// ends right, and of every step that no good bytes went and nothing foreign
// was touched.
func TestConvergeFromAnywhere(t *testing.T) {
	for seed := range uint64(4000) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		w := &world{}
		w.put("foreign.txt", Uploaded, "foreign")
		names := []string{"a.zip", "b.zip", "c.tar.gz", "SHA256SUMS"}
		for _, name := range names {
			switch rnd.IntN(4) {
			case 0:
				w.put(name, Starter, "")
			case 1:
				w.put(name, Uploaded, fmt.Sprint(name, rnd.IntN(3)))
			}
			for i := range 3 {
				if text := fmt.Sprint(name, i); rnd.IntN(6) == 0 {
					state := Uploaded
					if rnd.IntN(3) == 0 {
						state = Starter
					}
					w.put(Temporary(name, sumOf(text)), state, []string{text, "other"}[rnd.IntN(10)/9])
				}
			}
		}
		for run := 0; ; run++ {
			var wanted []File
			text := map[string]string{}
			files := map[string]File{}
			for _, name := range names {
				if rnd.IntN(5) == 0 {
					continue
				}
				text[name] = fmt.Sprint(name, rnd.IntN(3))
				files[name] = File{Name: name, Size: int64(len(text[name])), SHA256: sumOf(text[name])}
				wanted = append(wanted, files[name])
			}
			alone, full := rnd.IntN(2) == 0, rnd.IntN(2) == 0
			plan, err := Converge(wanted, w.assets, alone, full)
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			cut, last := rnd.IntN(len(plan)+1), run == 3
			if last {
				cut = len(plan)
			}
			for i, a := range plan[:cut] {
				before := w.good()
				if err := w.do(a, files, text, !last && i == cut-1 && rnd.IntN(2) == 0); err != nil {
					t.Fatalf("seed %d: %v\n%+v", seed, err, plan)
				}
				after := w.good()
				for name := range before {
					if !after[name] {
						t.Fatalf("seed %d: %+v takes the last good bytes of %s", seed, a, name)
					}
				}
			}
			if !last {
				continue
			}
			have := map[string]string{}
			for _, r := range w.assets {
				have[r.Name] = r.SHA256
			}
			if have["foreign.txt"] != sumOf("foreign") {
				t.Fatalf("seed %d: foreign.txt was touched", seed)
			}
			for _, f := range wanted {
				if have[f.Name] != f.SHA256 {
					t.Fatalf("seed %d: %s has %q, want %q", seed, f.Name, have[f.Name], f.SHA256)
				}
			}
			for name := range have {
				of, digest, temporary := IsTemporary(name)
				_, isWanted := files[of]
				sum, there := have[of]
				switch {
				case temporary && (alone || isWanted) && (sum != "" || !there):
					t.Fatalf("seed %d: %s stays", seed, name)
				case temporary && !there && strings.HasPrefix(have[name], digest):
					t.Fatalf("seed %d: %s is not finished", seed, name)
				}
			}
			again, err := Converge(wanted, w.assets, alone, full)
			if err != nil || slices.ContainsFunc(again, func(a Action) bool { return a.Kind != Keep }) {
				t.Fatalf("seed %d: another run would do %+v, %v", seed, again, err)
			}
			break
		}
	}
}

func TestConvergeRefuses(t *testing.T) {
	f := File{Name: "a", Size: 1, SHA256: sumOf("a")}
	for want, args := range map[string]struct {
		wanted []File
		have   []Remote
	}{
		"two files have the name a":          {[]File{f, f}, nil},
		`the release has two assets "a"`:     {nil, []Remote{{ID: 1, Name: "a"}, {ID: 2, Name: "a"}}},
		"the digest of asset a is not known": {[]File{f}, []Remote{{ID: 1, Name: "a", State: Uploaded, Size: 1}}},
	} {
		if _, err := Converge(args.wanted, args.have, true, false); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestIsTemporary(t *testing.T) {
	sum := sumOf("x")
	if of, digest, ok := IsTemporary(Temporary("a.relmat-b.zip", sum)); !ok || of != "a.relmat-b.zip" || digest != sum[:16] {
		t.Errorf("got %q, %q, %v", of, digest, ok)
	}
	for _, name := range []string{"", "a.zip", ".relmat-0123456789abcdef", "a.relmat-0123456789abcde", "a.relmat-0123456789ABCDEF", "a.relmat-0123456789abcdef0"} {
		if _, _, ok := IsTemporary(name); ok {
			t.Errorf("%q is taken for a temporary name", name)
		}
	}
}
