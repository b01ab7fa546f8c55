package pipeline

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/relmat/relmat/internal/matrix"
	"github.com/relmat/relmat/internal/progress"
	"github.com/relmat/relmat/internal/toolchain"
)

const minimal = `
version: 1
project: {name: p, version-package: p}
programs: {a: {package: p}, b: {package: p}}
targets:
  x: {triple: x86_64-unknown-linux-gnu}
  y: {triple: x86_64-unknown-linux-gnu, toolkit: cuda}
toolkits: {cuda: {lock: cuda.lock.json, requirements: [r]}}
packages:
  one: {asset: "one-{{.Target}}", programs: [a], layout: {programs: bin, libraries: lib}}
  two: {asset: "two-{{.Target}}", programs: [a, b], layout: {programs: ., libraries: lib}}
  three: {asset: "three-{{.Target}}", programs: [b], layout: {programs: ., libraries: lib}}
`

// recorder keeps the events of a session.
type recorder struct {
	mu   sync.Mutex
	list []progress.Event
}

func (r *recorder) Event(e progress.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(r.list, e)
}

func (r *recorder) has(kind progress.Kind, text string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(r.list, func(e progress.Event) bool { return e.Kind == kind && strings.Contains(e.Text, text) })
}

func open(t *testing.T, text string) (*Session, *recorder) {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "targets.yaml"), text)
	rec := &recorder{}
	s, err := Open(Config{Matrix: filepath.Join(dir, "targets.yaml"), Cache: filepath.Join(dir, "cache"), Env: os.Environ(), Reporter: progress.New(rec)})
	if err != nil {
		t.Fatal(err)
	}
	return s, rec
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func row(t *testing.T, s *Session, name string) matrix.Row {
	t.Helper()
	for _, r := range s.File.Rows() {
		if r.Name == name {
			return r
		}
	}
	t.Fatalf("no target %s", name)
	return matrix.Row{}
}

func TestOpenPlaces(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "targets.yaml"), strings.Replace(minimal, "version-package: p", "version-package: p, source: sub/dir", 1))
	t.Setenv("XDG_CACHE_HOME", filepath.Join(dir, "xdg"))
	s, err := Open(Config{Matrix: filepath.Join(dir, "targets.yaml")})
	if err != nil {
		t.Fatal(err)
	}
	for what, have := range map[string][2]string{
		"source": {s.Source, filepath.Join(dir, "sub", "dir")},
		"state":  {s.State, filepath.Join(dir, ".relmat")},
		"cache":  {s.Cache, filepath.Join(dir, "xdg", "relmat")},
	} {
		if have[0] != have[1] {
			t.Errorf("%s is %s, want %s", what, have[0], have[1])
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("opening and closing left %v, %v", entries, err)
	}
	t.Chdir(dir)
	s, err = Open(Config{Matrix: "targets.yaml", Source: "src", State: "st", Cache: "ca"})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{s.Source, s.State, s.Cache} {
		if filepath.Dir(p) != dir {
			t.Errorf("%s is not below the working directory %s", p, dir)
		}
	}
	if _, err := Open(Config{Matrix: "absent.yaml"}); err == nil {
		t.Error("an absent matrix is opened")
	}
}

func TestPrepareState(t *testing.T) {
	s, _ := open(t, minimal)
	for range 2 {
		if err := s.prepareState(); err != nil {
			t.Fatal(err)
		}
	}
	ignore := filepath.Join(s.State, ".gitignore")
	if data, err := os.ReadFile(ignore); err != nil || !strings.HasSuffix(string(data), "\n*\n") {
		t.Errorf(".gitignore holds %q, %v", data, err)
	}
	// What a user wrote there stays.
	write(t, ignore, "mine\n")
	if err := s.prepareState(); err != nil {
		t.Fatal(err)
	}
	if data, _ := os.ReadFile(ignore); string(data) != "mine\n" {
		t.Errorf(".gitignore was overwritten with %q", data)
	}
	s, _ = open(t, minimal)
	write(t, s.State, "a file")
	if err := s.prepareState(); err == nil {
		t.Error("a file in the state's place passes for a directory")
	}
}

// results lists what is in a stage's directory.
func results(t *testing.T, s *Session, r matrix.Row, stage string) []string {
	t.Helper()
	entries, err := os.ReadDir(s.targetDir(r, stage))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestKeyed(t *testing.T) {
	s, _ := open(t, minimal)
	r := row(t, s, "x")
	keys := map[string]string{"1": keyOf(1), "2": keyOf(2)}
	name := func(pkg, key string) string { return pkg + "-" + keys[key][:16] }
	made := 0
	run := func(pkg, key string, fail error) (string, bool, error) {
		t.Helper()
		return s.keyed(r, "stage", pkg, keys[key], func(dir string) error {
			_, err := os.Stat(filepath.Join(dir, "result"))
			return err
		}, func(tmp string) error {
			made++
			if err := os.WriteFile(filepath.Join(tmp, "result"), []byte(key), 0o644); err != nil {
				return err
			}
			return fail
		})
	}
	want := func(what string, wantMade int, wantNames ...string) {
		t.Helper()
		if got := results(t, s, r, "stage"); made != wantMade || !slices.Equal(got, wantNames) {
			t.Errorf("%s: made %d times, there is %q; want %d and %q", what, made, got, wantMade, wantNames)
		}
	}

	dir, reused, err := run("pkg", "1", nil)
	if err != nil || reused || dir != s.targetDir(r, "stage", name("pkg", "1")) {
		t.Fatal(dir, reused, err)
	}
	want("first", 1, name("pkg", "1"))
	if _, reused, err := run("pkg", "1", nil); err != nil || !reused {
		t.Fatal(reused, err)
	}
	want("again", 1, name("pkg", "1"))

	// What a power failure left under the final name is made again.
	if err := os.Remove(filepath.Join(dir, "result")); err != nil {
		t.Fatal(err)
	}
	if _, reused, err := run("pkg", "1", nil); err != nil || reused {
		t.Fatal(reused, err)
	}
	want("damaged", 2, name("pkg", "1"))

	// Packages whose names begin alike are no concern of each other.
	if _, _, err := run("pkg-more", "1", nil); err != nil {
		t.Fatal(err)
	}
	want("another package", 3, name("pkg", "1"), name("pkg-more", "1"))

	// A failure leaves nothing, and takes nothing of what is there.
	broken := errors.New("broken")
	if _, _, err := run("pkg", "2", broken); !errors.Is(err, broken) {
		t.Fatalf("the error is %v", err)
	}
	want("failed", 4, name("pkg", "1"), name("pkg-more", "1"))

	// A new key takes the place of the old one; a killed run's rest goes.
	write(t, s.targetDir(r, "stage", "."+name("pkg", "2")+".partial-1", "rest"), "half")
	write(t, s.targetDir(r, "stage", "pkg-notes", "mine"), "not a key: it stays")
	if _, _, err := run("pkg", "2", nil); err != nil {
		t.Fatal(err)
	}
	both := []string{name("pkg", "2"), name("pkg-more", "1"), "pkg-notes"}
	slices.Sort(both)
	want("another key", 5, both...)
}

func TestKeyOf(t *testing.T) {
	type device struct{ CPU string }
	keys := []string{
		keyOf("archive", 1, "k", "zip"), keyOf("archive", 2, "k", "zip"), keyOf("archive", 1, "k", "tar.gz"), keyOf("archive", 1, "kzip"),
		keyOf("archive", 1, "k", "", "zip"), keyOf("archive", 1, device{"a"}), keyOf("archive", 1, device{"b"}),
	}
	for i, k := range keys {
		if len(k) != 64 || slices.Index(keys, k) != i {
			t.Errorf("key %d is %q, of 64 digits and its own", i, k)
		}
	}
	if again := keyOf("archive", 1, "k", "zip"); again != keys[0] {
		t.Error("the same parts have two keys")
	}
}

func TestLockTarget(t *testing.T) {
	s, rec := open(t, minimal)
	r := row(t, s, "x")
	unlock, err := s.lockTarget(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	// The other target is free.
	other, err := s.lockTarget(t.Context(), row(t, s, "y"))
	if err != nil {
		t.Fatal(err)
	}
	other()
	if rec.has(progress.KindNote, "waiting") {
		t.Error("target y waited for target x")
	}
	got := make(chan error, 1)
	go func() {
		unlock, err := s.lockTarget(t.Context(), r)
		if err == nil {
			unlock()
		}
		got <- err
	}()
	for !rec.has(progress.KindNote, "another relmat works on x; waiting for it") {
		time.Sleep(time.Millisecond)
	}
	select {
	case err := <-got:
		t.Fatalf("the lock was given twice: %v", err)
	default:
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.lockTarget(ctx, r); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled wait gives %v", err)
	}
	unlock()
	if err := <-got; err != nil {
		t.Error(err)
	}
}

func TestStageTellsWhatHappened(t *testing.T) {
	s, rec := open(t, minimal)
	do := func(said string, reused bool, err error) error {
		return s.stage(t.Context(), "x", "stage", "text", func(*progress.Task) (string, bool, error) { return said, reused, err })
	}
	if err := errors.Join(do("made it", false, nil), do("had it", true, nil)); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	if err := do("not said", false, broken); !errors.Is(err, broken) {
		t.Errorf("the error is %v", err)
	}
	for _, e := range []struct {
		kind progress.Kind
		text string
		want bool
	}{
		{progress.KindDone, "made it", true},
		{progress.KindReused, "had it", true},
		{progress.KindFailed, "", true},
		{progress.KindDone, "not said", false},
	} {
		if rec.has(e.kind, e.text) != e.want {
			t.Errorf("event %s %q: want %t", e.kind, e.text, e.want)
		}
	}
	// A child that died of the interrupt hides its cause.
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("interrupted")
	cancel(why)
	err := s.stage(ctx, "x", "stage", "", func(*progress.Task) (string, bool, error) { return "", false, broken })
	if !errors.Is(err, why) || !errors.Is(err, broken) || !strings.HasPrefix(err.Error(), "interrupted") {
		t.Errorf("an interrupted stage gives %v", err)
	}
}

func TestRunPath(t *testing.T) {
	s, _ := open(t, minimal)
	r := row(t, s, "y")
	for program, want := range map[string]string{"a": "$ORIGIN/../lib:$ORIGIN/lib", "b": "$ORIGIN/lib"} {
		if got := s.runPath(r, program); got != want {
			t.Errorf("run path of %s is %q, want %q", program, got, want)
		}
	}
	// The libraries of the host's distribution may be packed, too.
	if got := s.runPath(row(t, s, "x"), "b"); got != "$ORIGIN/lib" {
		t.Errorf("without a toolkit the run path of b is %q", got)
	}
	for triple, want := range map[string]string{
		"x86_64-unknown-linux-musl": "", "x86_64-pc-windows-msvc": "", "aarch64-apple-darwin": "",
		"aarch64-apple-darwin, toolkit: cuda": "@executable_path/../lib:@executable_path/lib",
	} {
		s, _ := open(t, strings.Replace(minimal, "x86_64-unknown-linux-gnu}", triple+"}", 1))
		if got := s.runPath(row(t, s, "x"), "a"); got != want {
			t.Errorf("%s: the run path is %q, want %q", triple, got, want)
		}
	}
}

// TestRunPathOfWheels names the directories of the toolkit's libraries, or says
// that a toolkit that is not there does not tell them.
func TestRunPathOfWheels(t *testing.T) {
	s, _ := open(t, strings.Replace(minimal, "layout: {programs: bin, libraries: lib}", "layout: {style: wheels}", 1))
	if got, want := s.runPath(row(t, s, "y"), "a"), "$ORIGIN/../<toolkit>:$ORIGIN/../lib:$ORIGIN/lib"; got != want {
		t.Errorf("the run path is %q, want %q", got, want)
	}
}

func TestBuildOptions(t *testing.T) {
	s, _ := open(t, strings.Replace(minimal, "toolkit: cuda}", `toolkit: cuda, env: {TOOLS: "{{.Toolkit}}/bin", NAME: "{{.Project}} {{.Version}} {{.Tag}}"}}`, 1))
	s.version, s.tag = "1.2.3", "v1.2.3"
	s.Env = []string{"PATH=/bin", "GITHUB_TOKEN=secret"}
	o, err := s.buildOptions(row(t, s, "y"), toolchain.Toolkits{Host: "/cu13", Target: "/cu13"})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"CUDA_HOME=/cu13", "CUDA_PATH=/cu13", "PATH=" + filepath.Join("/cu13", "bin") + string(filepath.ListSeparator) + "/bin",
		"TOOLS=/cu13/bin", "NAME=p 1.2.3 v1.2.3", "CARGO_TARGET_DIR=" + s.targetDir(row(t, s, "y"), "cargo"),
	} {
		if !slices.Contains(o.Env, want) {
			t.Errorf("the environment lacks %s: %q", want, o.Env)
		}
	}
	if slices.ContainsFunc(o.Env, func(kv string) bool { return strings.Contains(kv, "secret") }) {
		t.Errorf("the build sees a secret: %q", o.Env)
	}

	s, _ = open(t, strings.Replace(minimal, "toolkit: cuda}", `toolkit: cuda, env: {TOOLS: "{{if .Toolkit}}{{.Inputs.none}}{{end}}"}}`, 1))
	if _, err := s.buildOptions(row(t, s, "y"), toolchain.Toolkits{Host: "/cu13", Target: "/cu13"}); err == nil || !strings.HasPrefix(err.Error(), s.File.Path+": target y: env.TOOLS: template ") {
		t.Errorf("a template that fails gives %v", err)
	}
}

func TestTagFor(t *testing.T) {
	for _, tt := range []struct{ template, flag, want string }{
		{"", "", "v1.2.3"},
		{"{{.Project}}-{{.Version}}", "", "p-1.2.3"},
		{"{{.Project}}-{{.Version}}", "nightly", "nightly"},
	} {
		s, _ := open(t, strings.Replace(minimal, "version-package: p", `version-package: p, tag: "`+tt.template+`"`, 1))
		s.Tag = tt.flag
		if got, err := s.tagFor("1.2.3"); err != nil || got != tt.want {
			t.Errorf("tag of %+v is %q, %v", tt, got, err)
		}
	}
}

func TestCheckCommitRefusesTag(t *testing.T) {
	s, _ := open(t, minimal)
	task := s.Reporter.Begin("", "preflight", "")
	for _, tag := range []string{"../v1", "a/b", `a\b`, ".hidden", "", ".", ".."} {
		s.tag = tag
		if _, _, err := s.checkCommit(t.Context(), true, task); err == nil || !strings.Contains(err.Error(), "cannot name a directory") {
			t.Errorf("tag %q gives %v", tag, err)
		}
	}
}

func TestToolkitNamesAndLocks(t *testing.T) {
	s, _ := open(t, minimal)
	if _, err := s.FetchToolkits(t.Context(), ToolkitOptions{Names: []string{"rocm"}}); err == nil || !strings.Contains(err.Error(), `has no toolkit "rocm"; it has cuda`) {
		t.Errorf("an unknown toolkit gives %v", err)
	}
	if _, err := s.FetchToolkits(t.Context(), ToolkitOptions{}); err == nil || !strings.Contains(err.Error(), "relmat toolkit lock") {
		t.Errorf("an absent lock file gives %v", err)
	}
	write(t, s.lockPath("cuda"), `{"schema":1,"requirements":["other"],"platforms":{}}`)
	if _, err := s.FetchToolkits(t.Context(), ToolkitOptions{}); err == nil || !strings.Contains(err.Error(), "was made for other requirements") {
		t.Errorf("a lock file of other requirements gives %v", err)
	}
	if got := s.platformsOf("cuda"); !slices.Equal(got, []string{"linux-x86_64"}) {
		t.Errorf("the platforms are %q", got)
	}
	// Without toolkits there is nothing to do, and that is said.
	none, _ := open(t, strings.NewReplacer("toolkits: {cuda: {lock: cuda.lock.json, requirements: [r]}}\n", "", ", toolkit: cuda", "").Replace(minimal))
	if _, err := none.LockToolkits(t.Context(), ToolkitOptions{}); err == nil || !strings.Contains(err.Error(), "has no toolkits") {
		t.Errorf("a matrix without toolkits gives %v", err)
	}
	// One that no target uses has no platform to be locked for.
	unused, _ := open(t, strings.Replace(minimal, ", toolkit: cuda", "", 1))
	if _, err := unused.LockToolkits(t.Context(), ToolkitOptions{}); err == nil || !strings.Contains(err.Error(), "--platform") {
		t.Errorf("a toolkit without targets gives %v", err)
	}
}

func TestPipEnv(t *testing.T) {
	s, _ := open(t, minimal)
	s.Env = []string{"PATH=/bin", "PIP_INDEX_URL=https://u:p@host/simple", "PIPX=no", "VIRTUAL_ENV=/v", "GITHUB_TOKEN=secret", "PYTHONPATH=/x", "NETRC=/n"}
	if got, want := s.pipEnv(), []string{"NETRC=/n", "PATH=/bin", "PIP_INDEX_URL=https://u:p@host/simple", "VIRTUAL_ENV=/v"}; !slices.Equal(got, want) {
		t.Errorf("pip sees %q, want %q", got, want)
	}
}
