package publish_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/relmat/relmat/internal/fsx"
	"github.com/relmat/relmat/internal/manifest"
	"github.com/relmat/relmat/internal/progress"
	"github.com/relmat/relmat/internal/publish"
)

// childVar makes the test binary play another relmat: its value is the
// directory to publish to, its argument the release as JSON with the assets'
// paths beside it.
const childVar = "PUBLISH_TEST_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childVar); dir != "" {
		if err := child(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if text := os.Getenv(githubChildVar); text != "" {
		if err := githubChild(text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// job is what a child process is told.
type job struct {
	Release manifest.Release
	// Paths of the assets, by name: release.json does not hold them.
	Paths map[string]string
}

func child(dir string) error {
	var j job
	if err := json.Unmarshal([]byte(os.Args[1]), &j); err != nil {
		return err
	}
	for _, part := range j.Release.Targets {
		for i := range part.Assets {
			part.Assets[i].Path = j.Paths[part.Assets[i].Name]
		}
	}
	_, err := publish.Directory(context.Background(), dir, j.Release, true, fsx.OpenDigests(""), new(progress.Reporter).Begin("", "publish", ""))
	return err
}

// fixture is a release that is to be published, and where.
type fixture struct {
	t       *testing.T
	dir     string // receives the releases
	src     string // holds the assets
	release manifest.Release
	digests *fsx.Digests
}

func sum(content string) string {
	s := sha256.Sum256([]byte(content))
	return hex.EncodeToString(s[:])
}

// newFixture makes a release v1 of two targets.
func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{t: t, dir: filepath.Join(t.TempDir(), "out"), src: t.TempDir(), digests: fsx.OpenDigests("")}
	f.release = manifest.Release{Project: "tool", Version: "1.0", Tag: "v1", Commit: "abc", Targets: []manifest.Part{
		{Target: "win", Assets: []manifest.Asset{f.asset("tool-win.zip", "for Windows")}},
		{Target: "linux", Assets: []manifest.Asset{f.asset("tool-linux.tar.gz", "for Linux")}, Keys: map[string]string{"tool/archive": "k"}},
	}}
	return f
}

func (f *fixture) asset(name, content string) manifest.Asset {
	f.t.Helper()
	a := manifest.Asset{Name: name, Package: "tool", Path: filepath.Join(f.src, name), Size: int64(len(content)), SHA256: sum(content)}
	f.write(a.Path, content)
	return a
}

func (f *fixture) write(path, content string) {
	f.t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		f.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) final() string { return filepath.Join(f.dir, f.release.Tag) }

func (f *fixture) publish(replace bool) (publish.Outcome, error) {
	return publish.Directory(f.t.Context(), f.dir, f.release, replace, f.digests, new(progress.Reporter).Begin("", "publish", ""))
}

// mustPublish fails unless the outcome is the one wanted and what is published
// is the release.
func (f *fixture) mustPublish(replace bool, want publish.Outcome) {
	f.t.Helper()
	got, err := f.publish(replace)
	if err != nil || got != want {
		f.t.Errorf("outcome %q, %v; want %q", got, err, want)
	}
	f.published()
}

// published holds the final directory against the release, with sha256sum as
// the judge of the digests.
func (f *fixture) published() {
	f.t.Helper()
	want := []string{"SHA256SUMS", "release.json"}
	for _, a := range f.release.Assets() {
		want = append(want, a.Name)
	}
	slices.Sort(want)
	if got := f.names(f.final()); !slices.Equal(got, want) {
		f.t.Errorf("published %q, want %q", got, want)
	}
	for _, n := range want {
		if info, err := os.Stat(filepath.Join(f.final(), n)); err != nil || info.Mode() != 0o644 {
			f.t.Errorf("%s: %v", n, err)
		}
	}
	cmd := exec.Command("sha256sum", "--check", "--strict", "SHA256SUMS")
	cmd.Dir = f.final()
	if out, err := cmd.CombinedOutput(); err != nil {
		f.t.Errorf("sha256sum --check: %v\n%s", err, out)
	}
	cmd = exec.Command("sha256sum", "--")
	for _, a := range f.release.Assets() {
		cmd.Args = append(cmd.Args, a.Name)
	}
	cmd.Dir = f.final()
	said, err := cmd.Output()
	if err != nil {
		f.t.Errorf("sha256sum: %v", err)
	}
	if sums, err := os.ReadFile(filepath.Join(f.final(), "SHA256SUMS")); err != nil || string(sums) != string(said) {
		f.t.Errorf("SHA256SUMS is\n%s\nsha256sum writes\n%s", sums, said)
	}
	data, err := os.ReadFile(filepath.Join(f.final(), "release.json"))
	if err != nil {
		f.t.Error(err)
		return
	}
	var r manifest.Release
	if err := json.Unmarshal(data, &r); err != nil {
		f.t.Errorf("release.json: %v", err)
	}
	if r.Schema != manifest.ReleaseSchema || r.Tag != f.release.Tag || r.Commit != f.release.Commit || len(r.Assets()) != len(f.release.Assets()) {
		f.t.Errorf("release.json says %s", data)
	}
	if strings.Contains(string(data), f.src) {
		f.t.Errorf("release.json tells where the assets were made:\n%s", data)
	}
}

// names lists a directory, but for the lock, which stays.
func (f *fixture) names(dir string) []string {
	f.t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !os.IsNotExist(err) {
		f.t.Error(err)
	}
	var list []string
	for _, e := range entries {
		if e.Name() != ".relmat.lock" {
			list = append(list, e.Name())
		}
	}
	return list
}

// wantReleases fails unless these directories are all that is there.
func (f *fixture) wantReleases(want ...string) {
	f.t.Helper()
	if got := f.names(f.dir); !slices.Equal(got, want) {
		f.t.Errorf("the directory holds %q, want %q", got, want)
	}
}
