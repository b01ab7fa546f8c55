package pipeline

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/relmat/relmat/internal/manifest"
	"github.com/relmat/relmat/internal/matrix"
	"github.com/relmat/relmat/internal/publish"
)

const judgeMatrix = `
version: 1
project: {name: p, version-package: p}
programs: {p: {package: p}, q: {package: q}}
targets:
  linux: {triple: x86_64-unknown-linux-gnu}
  windows:
    triple: x86_64-pc-windows-msvc
    hosts: {windows-x86_64: {}, linux-x86_64: {triple: x86_64-pc-windows-gnu}}
  extra: {triple: aarch64-unknown-linux-gnu, on-request: true}
packages:
  p: {asset: "p-{{.Version}}-{{.Target}}", programs: [p]}
  q: {asset: "q-{{.Target}}", targets: [linux], programs: [q]}
smoke:
  steps:
    version: {program: p}
    gpu: {program: p, device: cuda, targets: [linux]}
    serve: {program: q}
`

const (
	commitA = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	commitB = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
)

// scene is a release and what it is judged by.
type scene struct {
	j judgement
	c publish.Contents
}

func digits(seed string) string { return keyOf(seed) }

func newScene(t *testing.T, text string) *scene {
	t.Helper()
	f, err := matrix.Parse("targets.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	s := &scene{j: judgement{file: f, tag: "v1", rows: map[string]string{}}}
	for _, row := range f.Rows() {
		s.j.rows[row.Name] = digits(row.Name)
	}
	s.c = publish.Contents{Repo: "o/r", Tag: "v1", Commit: commitA, Release: &publish.ReleaseInfo{ID: 7, Tag: "v1", Draft: true}}
	s.c.Assets = []publish.Remote{{ID: 1, Name: "foreign.txt", State: publish.Uploaded, Size: 3, SHA256: digits("foreign")}}
	for _, name := range []string{"linux", "windows"} {
		s.add(name)
	}
	return s
}

// add puts a target's part and assets into the release, all as they shall be.
func (s *scene) add(target string) {
	for _, row := range s.j.file.Rows() {
		if row.Name != target {
			continue
		}
		p := &manifest.PartFile{
			Schema: manifest.PartSchema, Project: "p", Version: "1.0", Tag: "v1", Commit: commitA, CommitChecked: true,
			Part: manifest.Part{Target: target, Triple: row.Triple, Row: digits(target), Keys: map[string]string{}},
		}
		for _, pkg := range s.j.file.PackagesOf(row) {
			stem, _, _ := packageNames(s.j.file.Packages.Values[pkg], row, row.Fields("1.0", "v1"))
			a := manifest.Asset{Name: stem + ".zip", Package: pkg, Size: 10, SHA256: digits(stem)}
			p.Assets = append(p.Assets, a)
			s.put(a)
			res := manifest.SmokeResult{Package: pkg, Target: target}
			for _, name := range s.j.file.Smoke.Steps.Keys {
				st := s.j.file.Smoke.Steps.Values[name]
				if slices.Contains(s.j.file.Packages.Values[pkg].Programs, st.Program) && matrix.Matches(st.Targets, target) {
					res.Steps = append(res.Steps, manifest.StepResult{Name: name, Status: manifest.Passed})
				}
			}
			p.Smoke = append(p.Smoke, res)
		}
		a := manifest.Asset{Name: manifest.PartName(target), Size: 99, SHA256: digits("part" + target)}
		s.put(a)
		r, _ := s.c.Asset(a.Name)
		s.c.Parts = append(s.c.Parts, publish.FoundPart{Target: target, Asset: r, Part: p})
	}
}

func (s *scene) put(a manifest.Asset) {
	s.c.Assets = append(s.c.Assets, publish.Remote{ID: int64(len(s.c.Assets) + 1), Name: a.Name, State: publish.Uploaded, Size: a.Size, SHA256: a.SHA256})
}

func (s *scene) part(target string) *publish.FoundPart {
	for i := range s.c.Parts {
		if s.c.Parts[i].Target == target {
			return &s.c.Parts[i]
		}
	}
	return nil
}

func (s *scene) remote(name string) *publish.Remote {
	for i := range s.c.Assets {
		if s.c.Assets[i].Name == name {
			return &s.c.Assets[i]
		}
	}
	return nil
}

func (s *scene) drop(names ...string) {
	s.c.Assets = slices.DeleteFunc(s.c.Assets, func(a publish.Remote) bool { return slices.Contains(names, a.Name) })
	s.c.Parts = slices.DeleteFunc(s.c.Parts, func(p publish.FoundPart) bool { return slices.Contains(names, p.Asset.Name) })
}

// step changes the result of a step of a part's smoke test.
func (s *scene) step(target, name string, status manifest.Status, reason string) {
	for _, r := range s.part(target).Part.Smoke {
		for i := range r.Steps {
			if r.Steps[i].Name == name {
				r.Steps[i].Status, r.Steps[i].Reason = status, reason
			}
		}
	}
}

// join makes the release what a promotion makes of it.
func (s *scene) join(t *testing.T) {
	t.Helper()
	_, j := s.j.judge(&s.c)
	if j == nil {
		t.Fatal("the parts cannot be joined")
	}
	files, err := j.Files()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range slices.Clone(s.c.Parts) {
		s.drop(p.Asset.Name)
	}
	for _, f := range files {
		s.drop(f.Name)
		s.put(manifest.Asset{Name: f.Name, Size: f.Size, SHA256: f.SHA256})
	}
	data, err := j.Release.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if s.c.Joined, err = manifest.ReadRelease(data); err != nil {
		t.Fatal(err)
	}
	s.c.Release.Draft = false
}

func TestJudge(t *testing.T) {
	const noGPU = "it needs a CUDA device, and this host has none"
	tests := []struct {
		name   string
		matrix string // replaces OLD by NEW in the matrix: "OLD→NEW"
		change func(t *testing.T, s *scene)
		// want are the problems, each with its target; none means complete.
		want  []string
		state map[string]State
		notes int
	}{
		{name: "all is there"},
		{name: "no release that can be seen", change: func(_ *testing.T, s *scene) {
			s.c = publish.Contents{Repo: "o/r", Tag: "v1", Blind: "there is no token; set GITHUB_TOKEN"}
		}, want: []string{
			"linux: its part is missing", "windows: its part is missing",
			"o/r has no release v1 that can be seen, and a draft is shown only to who may write: there is no token; set GITHUB_TOKEN",
		}},
		{name: "no release", change: func(_ *testing.T, s *scene) { s.c = publish.Contents{Repo: "o/r", Tag: "v1"} }, want: []string{
			"linux: its part is missing: relmat release --target linux --part --repo o/r",
			"windows: its part is missing", "o/r has no release v1",
		}, state: map[string]State{"linux": Missing, "extra": OnRequest}},
		{name: "one platform is missing", change: func(_ *testing.T, s *scene) { s.drop("relmat-part-windows.json") }, want: []string{
			"windows: its part is missing",
		}, state: map[string]State{"windows": Missing, "linux": Complete}},
		{name: "an asset is missing", change: func(_ *testing.T, s *scene) { s.drop("q-linux.zip") }, want: []string{
			"linux: asset q-linux.zip: it is not there",
		}, state: map[string]State{"linux": Missing}},
		{name: "same size, other bytes", change: func(_ *testing.T, s *scene) { s.remote("q-linux.zip").SHA256 = digits("other") }, want: []string{
			"linux: asset q-linux.zip: it has SHA-256",
		}, state: map[string]State{"linux": Broken}},
		{name: "other size", change: func(_ *testing.T, s *scene) { s.remote("q-linux.zip").Size = 11 }, want: []string{
			"linux: asset q-linux.zip: it has 11 bytes, and the part says 10",
		}},
		{name: "a broken upload", change: func(_ *testing.T, s *scene) { s.remote("q-linux.zip").State = publish.Starter }, want: []string{
			"linux: asset q-linux.zip: a broken upload left it",
		}},
		{name: "an asset in a state that nobody knows", change: func(_ *testing.T, s *scene) { s.remote("q-linux.zip").State = "open" }, want: []string{
			"linux: asset q-linux.zip: GitHub says that it is open",
		}},
		{name: "a part that lacks a package", change: func(_ *testing.T, s *scene) {
			p := s.part("linux").Part
			p.Assets = p.Assets[:1]
		}, want: []string{"linux: asset q-linux.zip of package q is not in its part"}},
		{name: "an asset under another package", change: func(_ *testing.T, s *scene) { s.part("linux").Part.Assets[1].Package = "p" }, want: []string{
			"linux: asset q-linux.zip of package q is not in its part",
		}},
		{name: "a stale row", change: func(_ *testing.T, s *scene) { s.j.rows["linux"] = digits("new") }, want: []string{
			"linux: its part is of another row of the matrix",
		}, state: map[string]State{"linux": Stale}},
		{name: "a part of an old relmat, without a row", change: func(_ *testing.T, s *scene) { s.part("linux").Part.Row = "" }, want: []string{
			"linux: its part is of another row of the matrix",
		}},
		{name: "gnu for the msvc row", change: func(_ *testing.T, s *scene) { s.part("windows").Part.Triple = "x86_64-pc-windows-gnu" }, want: []string{
			"windows: its part for x86_64-pc-windows-msvc is missing, what is there was built for x86_64-pc-windows-gnu",
		}, state: map[string]State{"windows": Missing}},
		{name: "one part of another commit", change: func(_ *testing.T, s *scene) { s.part("windows").Part.Commit = commitB }, want: []string{
			"windows: its part is of commit bbbbbbbbbbbb, and the tag is aaaaaaaaaaaa",
			"the parts are of 2 commits: aaaaaaaaaaaa (linux); bbbbbbbbbbbb (windows)",
		}},
		{name: "all parts of another commit", change: func(_ *testing.T, s *scene) { s.c.Commit = commitB }, want: []string{
			"linux: its part is of commit aaaaaaaaaaaa, and the tag is bbbbbbbbbbbb", "windows: its part is of commit",
		}},
		{name: "no tag yet", change: func(_ *testing.T, s *scene) { s.c.Commit = "" }},
		{name: "a part of a dirty checkout", change: func(_ *testing.T, s *scene) { s.part("linux").Part.CommitChecked = false }, want: []string{
			"linux: its part is of a checkout that was not held against the tag",
		}},
		{name: "parts of anything, as the user says", change: func(_ *testing.T, s *scene) {
			s.j.anyCommit = true
			for _, p := range s.c.Parts {
				p.Part.Commit, p.Part.CommitChecked = commitB, false
			}
		}},
		{name: "two versions", change: func(_ *testing.T, s *scene) {
			s.part("windows").Part.Version = "1.1"
		}, want: []string{
			"windows: asset p-1.1-windows.zip of package p is not in its part", "the parts are of 2 versions: 1.0 (linux); 1.1 (windows)",
		}},
		{name: "a part of another project and tag", change: func(_ *testing.T, s *scene) {
			s.part("linux").Part.Project, s.part("linux").Part.Tag = "z", "v0"
		}, want: []string{"linux: its part is of z v0, and not of p v1"}},
		{name: "a failed step", change: func(_ *testing.T, s *scene) { s.step("linux", "version", manifest.Failed, "") }, want: []string{
			"linux: package p: step version: failed",
		}, state: map[string]State{"linux": Untested}},
		{name: "a step that is not there", change: func(_ *testing.T, s *scene) {
			s.part("linux").Part.Smoke[1].Steps = nil
		}, want: []string{"linux: package q: step serve is not among the results"}},
		{name: "no smoke test at all", change: func(_ *testing.T, s *scene) { s.part("windows").Part.Smoke = nil }, want: []string{
			"windows: package p has no smoke test",
		}},
		{name: "the smoke test of another target", change: func(_ *testing.T, s *scene) { s.part("windows").Part.Smoke[0].Target = "linux" }, want: []string{
			"windows: package p has no smoke test",
		}},
		{name: "a step without its device", change: func(_ *testing.T, s *scene) { s.step("linux", "gpu", manifest.NotRun, noGPU) }, want: []string{
			"linux: package p: step gpu was not run (it needs a CUDA device, and this host has none): make the part where it can run, or set smoke.steps.gpu.promote to note",
		}},
		{name: "a step without its device, required by name", matrix: "device: cuda→device: cuda, promote: require", change: func(_ *testing.T, s *scene) {
			s.step("linux", "gpu", manifest.NotRun, noGPU)
		}, want: []string{"linux: package p: step gpu was not run"}},
		{name: "a step without its device, which is noted", matrix: "device: cuda→device: cuda, promote: note", change: func(_ *testing.T, s *scene) {
			s.step("linux", "gpu", manifest.NotRun, noGPU)
		}, notes: 1},
		{name: "a step that was not run without a reason to", matrix: "version: {program: p}→version: {program: p, promote: note}", change: func(_ *testing.T, s *scene) {
			s.step("linux", "version", manifest.NotRun, "")
		}, want: []string{"linux: package p: step version was not run"}},
		{name: "a noted step that failed", matrix: "device: cuda→device: cuda, promote: note", change: func(_ *testing.T, s *scene) {
			s.step("linux", "gpu", manifest.Failed, "")
		}, want: []string{"linux: package p: step gpu: failed"}},
		{name: "a part on request", change: func(_ *testing.T, s *scene) { s.add("extra") }, state: map[string]State{"extra": Complete}},
		{name: "a part on request that is not whole", change: func(_ *testing.T, s *scene) {
			s.add("extra")
			s.drop("p-1.0-extra.zip")
		}, want: []string{"extra: asset p-1.0-extra.zip: it is not there"}},
		{name: "a part that cannot be read", change: func(_ *testing.T, s *scene) {
			s.add("extra")
			p := s.part("extra")
			p.Part, p.Problem = nil, "it has 9 bytes"
		}, want: []string{"extra: its part relmat-part-extra.json cannot be read: it has 9 bytes"}, state: map[string]State{"extra": Broken}},
		{name: "a part of no target of the matrix", change: func(_ *testing.T, s *scene) {
			s.add("extra")
			p := s.part("extra")
			p.Target, p.Part.Target = "gone", "gone"
		}, want: []string{"relmat-part-extra.json is of target gone, which targets.yaml does not have"}},
		{name: "two targets with one asset", change: func(_ *testing.T, s *scene) {
			a := s.part("linux").Part.Assets[1]
			p := s.part("windows").Part
			p.Assets = append(p.Assets, manifest.Asset{Name: strings.ToUpper(a.Name[:1]) + a.Name[1:], Package: "p", Size: a.Size, SHA256: a.SHA256})
			s.put(p.Assets[len(p.Assets)-1])
		}, want: []string{"windows: asset Q-linux.zip is also one of target linux"}},
		{name: "two drafts", change: func(_ *testing.T, s *scene) { s.c.Duplicates = []int64{8, 9} }, want: []string{
			"o/r has more than one draft of v1: 7 and 8 9; delete those that nobody needs",
		}},
		{name: "joined already", change: func(t *testing.T, s *scene) { s.join(t) }},
		{name: "joined, and a new part beside it", change: func(t *testing.T, s *scene) {
			s.join(t)
			s.drop("p-1.0-windows.zip")
			s.add("windows")
		}},
		{name: "joined, and an asset went", change: func(t *testing.T, s *scene) {
			s.join(t)
			s.drop("p-1.0-windows.zip")
		}, want: []string{"windows: asset p-1.0-windows.zip: it is not there"}},
		{name: "joined, and the matrix went on", change: func(t *testing.T, s *scene) {
			s.join(t)
			s.j.rows["linux"] = digits("new")
		}, want: []string{"linux: its part is of another row"}},
		{name: "release.json is damaged and all parts are gone", change: func(t *testing.T, s *scene) {
			s.join(t)
			s.c.Joined, s.c.JoinedProblem = nil, "it is no JSON"
		}, want: []string{"linux: its part is missing", "windows: its part is missing", "release.json cannot be read: it is no JSON"}},
		{name: "release.json is damaged and all parts are there", change: func(_ *testing.T, s *scene) {
			s.c.JoinedProblem = "it is no JSON"
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			text := judgeMatrix
			if from, to, ok := strings.Cut(tt.matrix, "→"); ok {
				if !strings.Contains(text, from) {
					t.Fatalf("the matrix has no %q", from)
				}
				text = strings.Replace(text, from, to, 1)
			}
			s := newScene(t, text)
			if tt.change != nil {
				tt.change(t, s)
			}
			st, joined := s.j.judge(&s.c)
			var got []string
			notes := 0
			for _, ts := range st.Targets {
				for _, p := range ts.Problems {
					got = append(got, ts.Target+": "+p)
				}
				if want, ok := tt.state[ts.Target]; ok && ts.State != want {
					t.Errorf("target %s is %s, want %s", ts.Target, ts.State, want)
				}
				notes += len(ts.Notes)
			}
			got = append(got, st.Problems...)
			if !slices.EqualFunc(got, tt.want, strings.HasPrefix) {
				t.Errorf("the problems are\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(tt.want, "\n  "))
			}
			if (joined != nil) != (len(tt.want) == 0) || st.Complete != (joined != nil) {
				t.Errorf("complete is %t, joined is %v", st.Complete, joined != nil)
			}
			if notes != tt.notes || joined != nil && len(joined.Release.Notes) != tt.notes {
				t.Errorf("there are %d notes, want %d", notes, tt.notes)
			}
			if s.c.Release != nil && !slices.Contains(st.Foreign, "foreign.txt") {
				t.Errorf("foreign are %q", st.Foreign)
			}
			if joined == nil && st.Promoted {
				t.Error("what is not complete is called promoted")
			}
			if err := (&IncompleteError{st}); !st.Complete && !strings.Contains(err.Error(), fmt.Sprintf("%d thing", len(got))) {
				t.Errorf("the error is %v", err)
			}
		})
	}
}

// TestJudgeRoundTrip: what a promotion wrote is judged to be what it would
// write, and a draft of it is not promoted yet.
func TestJudgeRoundTrip(t *testing.T) {
	s := newScene(t, judgeMatrix)
	s.part("linux").Part.Smoke[0].Steps[0].Seconds = 0.1234567
	s.part("linux").Part.Seconds = map[string]float64{"build": 1.25}
	s.part("linux").Part.Supersedes = []manifest.Asset{{Name: "old.zip", Size: 1, SHA256: digits("old")}, {Name: "p-1.0-windows.zip", Size: 1, SHA256: digits("x")}}
	_, first := s.j.judge(&s.c)
	if len(first.Remove) != 1 || first.Remove[0].Name != "old.zip" {
		t.Errorf("removed are %+v: what another target has now must stay", first.Remove)
	}
	s.join(t)
	st, again := s.j.judge(&s.c)
	if !st.Promoted || !st.Complete {
		t.Errorf("the status is %+v", st)
	}
	a, err := first.Release.Encode()
	if err != nil {
		t.Fatal(err)
	}
	b, err := again.Release.Encode()
	if err != nil || string(a) != string(b) {
		t.Errorf("release.json was\n%s\nand is now\n%s, %v", a, b, err)
	}
	for name, change := range map[string]func(){
		"a draft":                  func() { s.c.Release.Draft = true },
		"a pre-release":            func() { s.c.Release.Draft, s.c.Release.Prerelease = false, true },
		"a replacement cut off":    func() { s.put(manifest.Asset{Name: publish.Temporary("x", digits("x"))}) },
		"release.json of old":      func() { s.remote("release.json").SHA256 = digits("old") },
		"SHA256SUMS half uploaded": func() { s.remote("SHA256SUMS").State = publish.Starter },
	} {
		s = newScene(t, judgeMatrix)
		s.join(t)
		change()
		if st, _ := s.j.judge(&s.c); st.Promoted || !st.Complete {
			t.Errorf("%s: promoted is %t, complete is %t", name, st.Promoted, st.Complete)
		}
	}
}

// What is made of all parts is called stale only after it was compared.
func TestJudgeComparesBeforeItCallsStale(t *testing.T) {
	of := func(st *ReleaseStatus, name string) State {
		for _, f := range st.Files {
			if f.Name == name {
				return f.State
			}
		}
		return ""
	}
	s := newScene(t, judgeMatrix)
	s.join(t)
	s.remote("q-linux.zip").SHA256 = digits("other")
	s.remote("SHA256SUMS").State = publish.Starter
	st, _ := s.j.judge(&s.c)
	if got := of(st, "release.json"); got != Unknown || st.Complete {
		t.Errorf("with a broken asset release.json is %q, complete is %t", got, st.Complete)
	}
	if got := of(st, "SHA256SUMS"); got != Broken {
		t.Errorf("half uploaded SHA256SUMS is %q", got)
	}
	s.remote("q-linux.zip").SHA256 = digits("q-linux")
	s.remote("release.json").SHA256 = digits("old")
	st, _ = s.j.judge(&s.c)
	if got := of(st, "release.json"); got != Stale || !st.Complete {
		t.Errorf("an old release.json is %q, complete is %t", got, st.Complete)
	}
}

// A status says whether the promotion needs --skip-commit-check, too.
func TestJudgeTellsOfSkippedCommitChecks(t *testing.T) {
	for name, change := range map[string]func(*scene){
		"another commit": func(s *scene) { s.c.Commit = commitB },
		"not checked":    func(s *scene) { s.part("linux").Part.CommitChecked = false },
		"":               func(*scene) {},
	} {
		s := newScene(t, judgeMatrix)
		s.j.anyCommit = true
		change(s)
		if st, _ := s.j.judge(&s.c); !st.Complete || st.SkipCommitCheck != (name != "") {
			t.Errorf("%s: complete is %t, skip_commit_check %t", name, st.Complete, st.SkipCommitCheck)
		}
	}
}
