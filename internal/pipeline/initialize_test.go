package pipeline

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/relmat/relmat/internal/build"
	"github.com/relmat/relmat/internal/matrix"
	"github.com/relmat/relmat/internal/progress"
	"github.com/relmat/relmat/internal/toolchain"
)

var update = flag.Bool("update", false, "write the golden files")

// workspace unpacks a case of testdata/init, with the host that it is for.
func workspace(t *testing.T, name string) (dir, triple string) {
	t.Helper()
	a, err := txtar.ParseFile(filepath.Join("testdata", "init", name+".txtar"))
	if err != nil {
		t.Fatal(err)
	}
	dir, err = filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	dir = filepath.Join(dir, name)
	for _, f := range a.Files {
		write(t, filepath.Join(dir, filepath.FromSlash(f.Name)), string(f.Data))
	}
	return dir, strings.TrimSpace(strings.TrimPrefix(string(a.Comment), "triple: "))
}

// TestDraft: what Cargo says of workspaces of many kinds makes a matrix that
// loads and reads well.
func TestDraft(t *testing.T) {
	cases, err := filepath.Glob(filepath.Join("testdata", "init", "*.txtar"))
	if err != nil || len(cases) == 0 {
		t.Fatal(cases, err)
	}
	for _, c := range cases {
		name := strings.TrimSuffix(filepath.Base(c), ".txtar")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, triple := workspace(t, name)
			w, err := build.ReadWorkspace(t.Context(), dir, toolchain.FilterEnv(os.Environ(), nil))
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			d, err := newDraft(w, triple)
			if err == nil {
				d.Source = "."
				var text []byte
				if text, err = d.render("targets.yaml"); err == nil {
					got = string(text)
					for _, n := range d.notes {
						got += "# note: " + n + "\n"
					}
				}
			}
			if err != nil {
				got = "error: " + err.Error() + "\n"
			}
			got = strings.ReplaceAll(got, dir, "DIR")
			golden := filepath.Join("testdata", "init", name+".yaml")
			if *update {
				write(t, golden, got)
				return
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("%s: got\n%s\nwant\n%s\n(go test -update writes it)", golden, got, want)
			}
		})
	}
}

// TestDraftFeatures: every target of a draft is found in the packages, and
// no package asks for programs without the target's features.
func TestDraftFeatures(t *testing.T) {
	dir, triple := workspace(t, "mixed")
	w, err := build.ReadWorkspace(t.Context(), dir, toolchain.FilterEnv(os.Environ(), nil))
	if err != nil {
		t.Fatal(err)
	}
	d, err := newDraft(w, triple)
	if err != nil {
		t.Fatal(err)
	}
	text, err := d.render("targets.yaml")
	if err != nil {
		t.Fatal(err)
	}
	f, err := matrix.Parse("targets.yaml", text)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range f.Rows() {
		programs := f.ProgramsOf(r)
		if len(programs) == 0 {
			t.Errorf("target %s makes nothing", r.Name)
		}
		for _, name := range programs {
			p, err := w.Package(f.Programs.Values[name].Package)
			if err != nil || !p.HasBin(f.BinName(name)) {
				t.Errorf("program %s: %v", name, err)
			}
			for _, feature := range r.Features {
				if _, ok := p.Features[feature]; !ok {
					t.Errorf("target %s asks package %s for the feature %s, which it lacks", r.Name, p.Name, feature)
				}
			}
		}
	}
}

func TestInit(t *testing.T) {
	dir, _ := workspace(t, "virtual")
	rec := &recorder{}
	o := InitOptions{Source: dir, Env: os.Environ(), Reporter: progress.New(rec)}
	res, err := Init(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if res.Path != filepath.Join(dir, "targets.yaml") || res.Project != "virtual" || res.VersionPackage != "virtual" ||
		!slices.Equal(res.Programs, []string{"app", "virtual"}) || !slices.Equal(res.NativeCrates, []string{"core-lib", "sys"}) ||
		!slices.Equal(res.Targets, []string{matrix.Host().String()}) {
		t.Errorf("Init = %+v", res)
	}
	if !rec.has(progress.KindNote, "xtask") {
		t.Error("no note tells that xtask is left out")
	}
	text, err := os.ReadFile(res.Path)
	if err != nil {
		t.Fatal(err)
	}
	if first, _, _ := strings.Cut(string(text), "\n"); first != "# yaml-language-server: $schema=https://raw.githubusercontent.com/relmat/relmat/main/docs/targets.schema.json" {
		t.Errorf("the first line is %q", first)
	}
	// It opens, and the session finds version and programs by it.
	s, err := Open(Config{Matrix: res.Path, Cache: t.TempDir(), Env: os.Environ(), Reporter: progress.New(nil)})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.readProject(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s.version != "1.2.3" || s.tag != "v1.2.3" {
		t.Errorf("version %s, tag %s", s.version, s.tag)
	}

	if _, err := Init(t.Context(), o); err == nil || !strings.Contains(err.Error(), "there is already a "+res.Path) {
		t.Errorf("a second time: %v", err)
	}
	if again, err := os.ReadFile(res.Path); err != nil || string(again) != string(text) {
		t.Errorf("the file was overwritten, %v", err)
	}
}

func TestInitPlaces(t *testing.T) {
	dir, _ := workspace(t, "virtual")
	linked := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, linked); err != nil {
		t.Fatal(err)
	}
	apart := filepath.Join(filepath.Dir(dir), "apart")
	for _, tt := range []struct{ source, to, at, want string }{
		{dir, "", filepath.Join(dir, "targets.yaml"), "."},
		{filepath.Join(dir, "crates", "app"), "", filepath.Join(dir, "crates", "app", "targets.yaml"), "../.."}, // a member's directory
		{dir, filepath.Join(dir, "release", "linux", "targets.yaml"), "", "../.."},
		{dir, filepath.Join(apart, "new", "matrix.yaml"), "", "../../virtual"},
		{dir, filepath.Join(filepath.Dir(dir), "above.yaml"), "", "virtual"},
		{linked, filepath.Join(linked, "linked.yaml"), "", "."},
	} {
		res, err := Init(t.Context(), InitOptions{Source: tt.source, To: tt.to, Env: os.Environ()})
		if err != nil {
			t.Fatalf("%+v: %v", tt, err)
		}
		if tt.at != "" && res.Path != tt.at {
			t.Errorf("%+v: wrote %s", tt, res.Path)
		}
		s, err := Open(Config{Matrix: res.Path, Cache: t.TempDir(), Env: os.Environ()})
		if err != nil {
			t.Fatal(err)
		}
		if s.File.Project.Source != tt.want {
			t.Errorf("%+v: source is %q", tt, s.File.Project.Source)
		}
		if err := s.readProject(t.Context()); err != nil {
			t.Errorf("%+v: %v", tt, err)
		}
	}
}

func TestInitFails(t *testing.T) {
	dir, _ := workspace(t, "no-programs")
	for name, tt := range map[string]struct {
		o    InitOptions
		want string
	}{
		"no programs":  {InitOptions{Source: dir, Env: os.Environ()}, "has no program to release"},
		"no workspace": {InitOptions{Source: t.TempDir(), Env: os.Environ()}, "could not find `Cargo.toml`"},
		"no directory": {InitOptions{Source: filepath.Join(dir, "absent"), Env: os.Environ()}, "no such file"},
		"no cargo":     {InitOptions{Source: dir, Env: []string{"PATH=" + dir}}, "this host lacks what the build needs: cargo"},
	} {
		tt.o.To = filepath.Join(t.TempDir(), "sub", "targets.yaml")
		if _, err := Init(t.Context(), tt.o); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error is %v, want %q", name, err, tt.want)
		}
		if _, err := os.Stat(filepath.Dir(tt.o.To)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: a directory was made", name)
		}
	}
	// A link to nowhere is also something that is there.
	link := filepath.Join(dir, "targets.yaml")
	if err := os.Symlink("nowhere", link); err != nil {
		t.Fatal(err)
	}
	if _, err := Init(t.Context(), InitOptions{Source: dir, Env: os.Environ()}); err == nil || !strings.Contains(err.Error(), "there is already") {
		t.Errorf("a link: error is %v", err)
	}
}

// FuzzPlainName: whatever Cargo calls a binary, its names are the matrix's.
func FuzzPlainName(f *testing.F) {
	for _, name := range []string{"a", "_x", "größe", "a.b", "--", "true", "1e3", "", "a: b # c", "\"\\\x00\n", "\xff"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		d := &draft{
			Project: plainName(name), Source: ".", VersionPackage: name + "x",
			Programs: []draftProgram{{Name: plainName(name), Package: name + "x", Bin: name + "y"}},
			Targets:  []draftTarget{{Name: "linux-x86_64", Triple: "x86_64-unknown-linux-gnu", Features: []string{name + "z"}}},
			Packages: []draftPackage{{Name: plainName(name), Asset: "{{.Project}}-{{.Target}}", Programs: []string{plainName(name)}}},
			Native:   []string{name},
		}
		text, err := d.render("targets.yaml")
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		file, err := matrix.Parse("targets.yaml", text)
		if err != nil {
			t.Fatal(err)
		}
		// What is no text in UTF-8 cannot stand in YAML; Cargo has none.
		if want := strings.ToValidUTF8(name, "\uFFFD"); want == name && (file.Project.VersionPackage != name+"x" || file.Rows()[0].Features[0] != name+"z") {
			t.Errorf("%q became %q and %q", name, file.Project.VersionPackage, file.Rows()[0].Features[0])
		}
	})
}
