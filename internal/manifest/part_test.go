package manifest_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/relmat/relmat/internal/manifest"
	"github.com/relmat/relmat/internal/matrix"
)

var partSumA, partSumB = strings.Repeat("a", 64), strings.Repeat("b", 64)

func somePart() manifest.PartFile {
	return manifest.PartFile{
		Schema: manifest.PartSchema, Project: "p", Version: "1.0", Tag: "v1.0", Commit: strings.Repeat("c", 40), CommitChecked: true,
		Part: manifest.Part{
			Target: "linux-x86_64", Triple: "x86_64-unknown-linux-gnu", Row: partSumB,
			Assets:   []manifest.Asset{{Name: "p-1.0+1_a.tar.gz", Package: "p", Size: 1 << 31, SHA256: partSumA}},
			Keys:     map[string]string{"p/archive": partSumB},
			Findings: []manifest.Finding{{Rule: "r", Level: "note", Package: "p", Path: "bin/p", Text: "t"}},
			Smoke: []manifest.SmokeResult{{
				Package: "p", Target: "linux-x86_64", Device: manifest.Device{CPU: "c"},
				Steps: []manifest.StepResult{{Name: "s", Status: manifest.Passed, Seconds: 0.123, Values: map[string]string{"v": "<&>"}}},
			}},
			Seconds: map[string]float64{"build": 12.345},
		},
		Supersedes: []manifest.Asset{{Name: "old.zip", Size: 1, SHA256: partSumB}},
	}
}

func TestPartRoundTrip(t *testing.T) {
	p := somePart()
	data, err := p.Encode()
	if err != nil {
		t.Fatal(err)
	}
	q, err := manifest.ReadPart(data)
	if err != nil || !reflect.DeepEqual(*q, p) {
		t.Fatalf("%v: read\n%+v\nwant\n%+v", err, q, p)
	}
	r := manifest.Release{
		Schema: manifest.ReleaseSchema, Project: p.Project, Version: p.Version, Tag: p.Tag, Commit: p.Commit, CommitChecked: true,
		Targets: []manifest.Part{p.Part}, Notes: []string{"n"},
	}
	if data, err = r.Encode(); err != nil {
		t.Fatal(err)
	}
	s, err := manifest.ReadRelease(data)
	if err != nil || !reflect.DeepEqual(*s, r) {
		t.Fatalf("%v: read\n%+v\nwant\n%+v", err, s, r)
	}
	joined, ok := s.In("linux-x86_64")
	p.Supersedes = nil
	if !ok || !reflect.DeepEqual(joined, p) {
		t.Errorf("in the release the part is\n%+v\nwant\n%+v", joined, p)
	}
	if _, ok := s.In("linux"); ok {
		t.Error("the release has a target that it does not have")
	}
}

func TestSameMade(t *testing.T) {
	p := somePart()
	same := somePart()
	same.Seconds, same.Supersedes, same.Smoke[0].Steps[0].Seconds = nil, nil, 9
	if !p.SameMade(same) || p.Smoke[0].Steps[0].Seconds != 0.123 {
		t.Error("times make another part, or were changed")
	}
	for name, change := range map[string]func(*manifest.PartFile){
		"asset":   func(p *manifest.PartFile) { p.Assets[0].SHA256 = partSumB },
		"commit":  func(p *manifest.PartFile) { p.Commit = "" },
		"row":     func(p *manifest.PartFile) { p.Row = partSumA },
		"triple":  func(p *manifest.PartFile) { p.Triple = "x" },
		"smoke":   func(p *manifest.PartFile) { p.Smoke[0].Steps[0].Status = manifest.NotRun },
		"finding": func(p *manifest.PartFile) { p.Findings = nil },
	} {
		other := somePart()
		change(&other)
		if p.SameMade(other) {
			t.Errorf("another %s makes the same part", name)
		}
	}
}

func TestReadPartRefuses(t *testing.T) {
	for want, change := range map[string]func(*manifest.PartFile){
		`"../x" cannot be a target`:           func(p *manifest.PartFile) { p.Target = "../x" },
		`"" cannot be a target`:               func(p *manifest.PartFile) { p.Target = "" },
		`"a/b.zip" cannot be an asset's name`: func(p *manifest.PartFile) { p.Assets[0].Name = "a/b.zip" },
		`".zip" cannot be an asset's name`:    func(p *manifest.PartFile) { p.Assets[0].Name = ".zip" },
		`"é.zip" cannot be an asset's name`:   func(p *manifest.PartFile) { p.Supersedes[0].Name = "é.zip" },
		"it has asset P-1.0+1_a.tar.gz twice": func(p *manifest.PartFile) {
			p.Assets = append(p.Assets, manifest.Asset{Name: "P-1.0+1_a.tar.gz", Size: 1, SHA256: partSumA})
		},
		"it cannot have 0 bytes":                       func(p *manifest.PartFile) { p.Assets[0].Size = 0 },
		"it cannot have -1 bytes":                      func(p *manifest.PartFile) { p.Assets[0].Size = -1 },
		"is no SHA-256":                                func(p *manifest.PartFile) { p.Assets[0].SHA256 = strings.ToUpper(partSumA) },
		`"short" is no digest of a row`:                func(p *manifest.PartFile) { p.Row = "short" },
		`"v1\x1b[2J" is no plain text`:                 func(p *manifest.PartFile) { p.Tag = "v1\x1b[2J" },
		`"no\nGPU" is no plain text`:                   func(p *manifest.PartFile) { p.Smoke[0].Steps[0].Reason = "no\nGPU" },
		`"x86_64-unknown\u009blinux" is no plain text`: func(p *manifest.PartFile) { p.Triple = "x86_64-unknown\u009blinux" },
	} {
		p := somePart()
		change(&p)
		data, err := p.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := manifest.ReadPart(data); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	for text, want := range map[string]string{
		"":                               "it is no JSON object with a schema",
		"[]":                             "it is no JSON object with a schema",
		`{"schema": 2, "target": 7}`:     "it has schema 2, this relmat reads 1",
		`{"schema": 0}`:                  "it has schema 0, which there never was",
		`{"schema": 1, "target": 7}`:     "cannot unmarshal number",
		strings.Repeat("[", 10_000_000):  "it has more than 8388608 bytes",
		strings.Repeat("[", 1_000_000):   "exceeded max depth",
		`{"schema": 1, "target": "a"} x`: "invalid character",
	} {
		if _, err := manifest.ReadPart([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: got %v, want %q", text, err, want)
		}
	}
	if _, err := manifest.ReadPart([]byte(`{"schema": 2}`)); !errors.Is(err, manifest.ErrNewer) {
		t.Errorf("got %v, want ErrNewer", err)
	}
	for text, want := range map[string]string{
		`{"schema": 1, "targets": [{"target": "a"}, {"target": "a"}]}`: "it has target a twice",
		`{"schema": 1, "targets": [{"target": "a", "assets": [{"name": "x", "size": 1, "sha256": "` + partSumA + `"}]}, {"target": "b", "assets": [{"name": "X", "size": 1, "sha256": "` + partSumA + `"}]}]}`: " twice",
		`{"schema": 1, "notes": ["\u0007"]}`: "is no plain text",
	} {
		if _, err := manifest.ReadRelease([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: got %v, want %q", text, err, want)
		}
	}
}

func TestPartName(t *testing.T) {
	for _, target := range []string{"linux", "linux-x86_64-cuda13", "a_b-c"} {
		name := manifest.PartName(target)
		if got, ok := manifest.IsPartName(name); !ok || got != target {
			t.Errorf("%s is the part of %q, %t", name, got, ok)
		}
		if err := matrix.AssetName(name); err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{"", "relmat-part-.json", "relmat-part-a.zip", "part-a.json", "relmat-part-a/b.json", "xrelmat-part-a.json", "relmat-part-a.json.relmat-0123456789abcdef"} {
		if target, ok := manifest.IsPartName(name); ok {
			t.Errorf("%s is taken for the part of %q", name, target)
		}
	}
}

// FuzzReadPart wants of any bytes an answer or an error, and of an answer that
// it says the same when it is written and read again.
func FuzzReadPart(f *testing.F) {
	data, err := somePart().Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"schema": 1, "target": "a", "assets": null}`))
	f.Add([]byte(`{"schema": 1, "project": "p", "targets": [{"target": "a", "smoke": [{}]}], "notes": []}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if p, err := manifest.ReadPart(data); err == nil {
			again, err := p.Encode()
			if err != nil {
				t.Fatal(err)
			}
			q, err := manifest.ReadPart(again)
			if err != nil || !p.SameMade(*q) {
				t.Errorf("%v: %s", err, again)
			}
		}
		if r, err := manifest.ReadRelease(data); err == nil {
			first, err := r.Encode()
			if err != nil {
				t.Fatal(err)
			}
			s, err := manifest.ReadRelease(first)
			if err != nil {
				t.Fatal(err)
			}
			if second, err := s.Encode(); err != nil || string(first) != string(second) {
				t.Errorf("%v: %s\n%s", err, first, second)
			}
		}
	})
}
