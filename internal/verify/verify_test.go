package verify_test

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/relmat/relmat/internal/archive"
	"github.com/relmat/relmat/internal/manifest"
	"github.com/relmat/relmat/internal/matrix"
	"github.com/relmat/relmat/internal/verify"
)

func newTree(t *testing.T) tree { return tree{t, t.TempDir()} }

func run(t *testing.T, o verify.Options) *verify.Report {
	t.Helper()
	rep, err := verify.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return rep
}

// sample is a package for Windows with one of everything. All of it is made of
// bytes, so that it is the same on every machine.
func sample(t *testing.T) verify.Options {
	tr := newTree(t)
	tr.pe("bin/app.exe", dll{exe: true, needs: []string{"KERNEL32.dll", "one.dll", "two.dll", "nvcuda.dll"}, delays: []string{"cublas64_13.dll", "later.dll"}, text: `D:\a\app\app\src\main.cpp`})
	tr.pe("bin/other.exe", dll{exe: true, needs: []string{"one.dll"}, text: `D:\a\app\app\src\other.cpp`})
	tr.pe("nvidia/cublas/bin/cublas64_13.dll", dll{needs: []string{"cublasLt64_13.dll"}})
	tr.pe("nvidia/cublas/bin/cublasLt64_13.dll", dll{})
	tr.write("licenses/nvidia-cublas/License.txt", "NVIDIA\nAttachment A\ncublas.dll, cublasLt.dll\n")
	tr.write("include/cuda_runtime.h", "/* NVIDIA Corporation. NOTICE TO LICENSEE: */\n")
	tr.write("aux.h", "x\n")
	target := &verify.Target{Name: "p"}
	target.Row.Name = "windows-x86_64-cuda13"
	target.Row.Platform = matrix.Platform{OS: "windows", Arch: "x86_64"}
	target.Row.CPU.Level = "x86-64-v3"
	target.Package.Layout.Style = "mlx-windows"
	return verify.Options{Path: tr.dir, Target: target, Rules: matrix.Verify{
		Severity: matrix.Map[string]{Keys: []string{"coverage", "signature"}, Values: map[string]string{"coverage": "off", "signature": "note"}},
		Allow: []matrix.Allow{
			{Rule: "driver-needed", File: "bin/*.exe", Reason: "nobody starts it without a GPU"},
			{Rule: "closure", File: "lib/*", Reason: "of another directory"},
			{Rule: "names", Targets: []string{"linux-*"}, Reason: "of another target"},
		},
	}}
}

// TestReport holds the report of the sample against the ones that people and
// programs were shown when it was last looked through.
func TestReport(t *testing.T) {
	t.Parallel()
	rep := run(t, sample(t))
	rep.Path = "app.zip"
	var b bytes.Buffer
	if err := rep.Show(&b, false); err != nil {
		t.Fatal(err)
	}
	golden(t, filepath.Join("testdata", "report.txt"), b.String())
	for line := range strings.Lines(b.String()) {
		if utf8.RuneCountInString(strings.TrimRight(line, "\n")) > 80 {
			t.Errorf("wider than 80 columns: %s", line)
		}
	}
	data, err := json.MarshalIndent(rep, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, filepath.Join("testdata", "report.json"), string(data)+"\n")

	var painted bytes.Buffer
	if err := rep.Show(&painted, true); err != nil {
		t.Fatal(err)
	}
	if plain := strip(painted.String()); plain != b.String() || painted.Len() == b.Len() {
		t.Errorf("with colours the text is another:\n%s", plain)
	}
}

// strip takes the colours out.
func strip(s string) string {
	for {
		i := strings.Index(s, "\x1b[")
		if i < 0 {
			return s
		}
		s = s[:i] + s[i+strings.IndexByte(s[i:], 'm')+1:]
	}
}

func TestErr(t *testing.T) {
	t.Parallel()
	rep := run(t, sample(t))
	var found *verify.Error
	if err := rep.Err(); !errors.As(err, &found) || found.Report != rep || !strings.Contains(err.Error(), "verify.allow") || !strings.Contains(err.Error(), "closure") {
		t.Errorf("the error is %v", err)
	}
	tr := newTree(t)
	tr.license()
	if rep := run(t, verify.Options{Path: tr.dir}); rep.Err() != nil || len(rep.Findings) != 0 || rep.Files != 1 {
		t.Errorf("a licence alone: %+v", rep)
	}
}

// TestSeverities sets a rule's severity: it holds for all that the rule finds
// but notes.
func TestSeverities(t *testing.T) {
	t.Parallel()
	tr := newTree(t)
	tr.exe("bin/app", runpath("/home/karl/lib"))
	tr.license()
	for set, want := range map[string][]string{
		"": {"error", "warning"}, "error": {"error", "error"}, "warning": {"warning", "warning"}, "note": {"note", "note"}, "off": nil,
	} {
		o := verify.Options{Path: tr.dir}
		if set != "" {
			o.Rules.Severity = matrix.Map[string]{Keys: []string{"leak"}, Values: map[string]string{"leak": set}}
		}
		rep := run(t, o)
		var got []string
		for _, f := range rep.Findings {
			if f.Rule == "leak" {
				got = append(got, f.Severity)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("leak: %q gives %q, want %q", set, got, want)
		}
	}
	// What a rule itself calls a note stays one.
	tr = newTree(t)
	tr.lib("p/lib/libp.so", tr.elsewhere("libcublas.so.13"), rpath("$ORIGIN/../../nvidia/cu13/lib"))
	tr.wheel("manylinux_2_35_x86_64", "nvidia-cublas")
	rep := run(t, verify.Options{Path: tr.dir, Rules: matrix.Verify{Severity: matrix.Map[string]{Keys: []string{"closure"}, Values: map[string]string{"closure": "error"}}}})
	if got := of(rep, "closure"); len(got) != 1 || !strings.HasPrefix(got[0], "note ") {
		t.Errorf("a note became %q", got)
	}
}

func TestAllow(t *testing.T) {
	t.Parallel()
	tr := newTree(t)
	tr.exe("bin/app", tr.elsewhere("libone.so"))
	tr.exe("bin/other", tr.elsewhere("libtwo.so"))
	tr.license()
	tr.manifest(nil)
	for _, tt := range []struct {
		allow matrix.Allow
		want  int
	}{
		{matrix.Allow{Rule: "closure", Reason: "known"}, 0},
		{matrix.Allow{Rule: "closure", File: "bin/app", Reason: "known"}, 1},
		{matrix.Allow{Rule: "closure", File: "bin/*", Reason: "known"}, 0},
		{matrix.Allow{Rule: "closure", File: "*", Reason: "of the top alone"}, 2},
		{matrix.Allow{Rule: "leak", Reason: "of another rule"}, 2},
		{matrix.Allow{Rule: "closure", Targets: []string{"her?"}, Reason: "known"}, 0},
		{matrix.Allow{Rule: "closure", Targets: []string{"there"}, Reason: "of another target"}, 2},
	} {
		rep := run(t, verify.Options{Path: tr.dir, Rules: matrix.Verify{Allow: []matrix.Allow{tt.allow}}})
		if got := rep.Count("error"); got != tt.want || (rep.Err() == nil) != (tt.want == 0) || len(of(rep, "closure")) != 2 {
			t.Errorf("%+v leaves %d errors of %q, want %d", tt.allow, got, of(rep, "closure"), tt.want)
		}
		for _, f := range rep.Findings {
			if f.Allowed != (f.Reason != "") {
				t.Errorf("%+v is allowed without its reason", f)
			}
		}
	}
}

// TestArchives finds the same in a package however it is packed.
func TestArchives(t *testing.T) {
	t.Parallel()
	tr := newTree(t)
	tr.exe("bin/app", tr.elsewhere("libone.so"), runpath("/opt/lib"))
	tr.lib("lib/libcuda.so.1", soname("libcuda.so.1"))
	tr.license()
	tr.manifest(nil)
	out := t.TempDir()
	members := tr.members()
	for i := range members {
		members[i].name = "p-1/" + members[i].name
	}
	paths := []string{tr.dir, filepath.Join(out, "a.zip"), filepath.Join(out, "a.tar.gz"), filepath.Join(out, "a.tar"), filepath.Join(out, "wrong.name")}
	zipOf(t, paths[1], 3, members...)
	tarOf(t, paths[2], members...)
	tr.run("sh", "-c", `gzip -dc "$1" > "$2" && cp "$1" "$3"`, "sh", paths[2], paths[3], paths[4])
	var first []string
	for _, p := range paths {
		var total int64
		counted := &counter{}
		rep := run(t, verify.Options{Path: p, Count: counted, Total: func(n int64) { total = n }})
		var got []string
		for _, f := range rep.Findings {
			got = append(got, f.Rule+" "+f.File+": "+f.Message+strings.Join(f.Evidence, "; "))
		}
		if first == nil {
			first = got
			if len(got) != 3 || total != rep.Bytes {
				t.Fatalf("a directory of %d bytes (%d): %q", rep.Bytes, total, got)
			}
			continue
		}
		if !slices.Equal(got, first) || rep.Root != "p-1" || rep.Target != "here" || counted.n != rep.Bytes {
			t.Errorf("%s in %q, %d of %d bytes read: %q\nwant %q", filepath.Base(p), rep.Root, counted.n, rep.Bytes, got, first)
		}
	}
}

type counter struct{ n int64 }

func (c *counter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return len(p), nil
}

// TestFind lets a matrix answer for what the manifest names.
func TestFind(t *testing.T) {
	t.Parallel()
	tr := newTree(t)
	tr.exe("bin/app", "-Wl,-z,x86-64-v4")
	tr.license()
	tr.manifest(nil)
	asked := 0
	find := func(m *manifest.Manifest, o *verify.Options) error {
		asked++
		o.Target = &verify.Target{Name: m.Package}
		o.Target.Row.Name, o.Target.Row.Platform = m.Target, matrix.Host()
		o.Target.Row.CPU.Level = "x86-64-v2"
		o.Rules.Allow = []matrix.Allow{{Rule: "cpu-level", Reason: "known"}}
		return nil
	}
	rep := run(t, verify.Options{Path: tr.dir, Find: find})
	if len(rep.NotProven) != 1 || asked != 1 || matrix.Host().Arch == "x86_64" && (len(of(rep, "cpu-level")) != 1 || rep.Err() != nil) {
		t.Errorf("asked %d times: %+v", asked, rep)
	}
	why := errors.New("no such target")
	if _, err := verify.Run(t.Context(), verify.Options{Path: tr.dir, Find: func(*manifest.Manifest, *verify.Options) error { return why }}); !errors.Is(err, why) {
		t.Errorf("the error is %v", err)
	}
	if err := os.Remove(tr.path("manifest.json")); err != nil {
		t.Fatal(err)
	}
	if run(t, verify.Options{Path: tr.dir, Find: find}); asked != 1 {
		t.Error("a package without a manifest was asked about")
	}
}

func TestUnreadable(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte("no archive\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := verify.Run(t.Context(), verify.Options{Path: text}); err == nil || !strings.Contains(err.Error(), "verifying "+text+": it is neither a directory nor an archive") {
		t.Errorf("a text: %v", err)
	}
	for name, said := range map[string]string{
		"broken.zip": "PK\x03\x04 and no list of files", "cut.tar.gz": "\x1f\x8b\x08\x00",
	} {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(said), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := verify.Run(t.Context(), verify.Options{Path: p}); err == nil || !strings.Contains(err.Error(), "damaged or cut short") {
			t.Errorf("%s: %v", name, err)
		}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := verify.Run(t.Context(), verify.Options{Path: self}); err == nil || !strings.Contains(err.Error(), "relmat inspect") {
		t.Errorf("a program alone: %v", err)
	}
	if _, err := verify.Run(t.Context(), verify.Options{Path: filepath.Join(dir, "absent")}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an absent file: %v", err)
	}
	tr := tree{t, filepath.Join(dir, "pkg")}
	for _, p := range []string{"a", "b", "c"} {
		tr.write(p, noise(100_000))
	}
	if _, err := verify.Run(t.Context(), verify.Options{Path: tr.dir, Limits: archive.Limits{Bytes: 1 << 30, Entries: 2}}); err == nil {
		t.Error("more files than allowed give no error")
	}
	o := verify.Options{Path: tr.dir}
	packed("")(tr, &o)
	o.Limits = archive.Limits{Bytes: 150_000, Entries: 10}
	if _, err := verify.Run(t.Context(), o); !errors.Is(err, archive.ErrTooLarge) {
		t.Errorf("an archive that unpacks to more than allowed: %v", err)
	}
	whole, err := os.ReadFile(o.Path)
	if err != nil {
		t.Fatal(err)
	}
	cut := filepath.Join(dir, "cut.zip")
	if err := os.WriteFile(cut, whole[:len(whole)/2], 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := verify.Run(t.Context(), verify.Options{Path: cut}); err == nil {
		t.Error("half a zip gives no error")
	}
	// A changed byte in the middle of a member is that member's problem.
	whole[len(whole)/2] ^= 1
	if err := os.WriteFile(cut, whole, 0o644); err != nil {
		t.Fatal(err)
	}
	if rep := run(t, verify.Options{Path: cut}); len(of(rep, "manifest")) != 1 {
		t.Errorf("a damaged member: %+v", rep.Findings)
	}
}

// TestPipe wants a named pipe to be refused before it is opened, which would
// last until somebody writes.
func TestPipe(t *testing.T) {
	t.Parallel()
	pipe := filepath.Join(t.TempDir(), "p.zip")
	if out, err := exec.Command("mkfifo", pipe).CombinedOutput(); err != nil {
		t.Fatalf("mkfifo: %v\n%s", err, out)
	}
	if _, err := verify.Run(t.Context(), verify.Options{Path: pipe}); err == nil || err.Error() != "verifying "+pipe+": it is a named pipe, and a package is a directory or an archive" {
		t.Errorf("the error is %v", err)
	}
}

// TestMusl says of what it cannot judge that it is not proven.
func TestMusl(t *testing.T) {
	t.Parallel()
	tr := newTree(t)
	tr.exe("bin/app", tr.elsewhere("libone.so"), "-Wl,--dynamic-linker,/lib/ld-musl-x86_64.so.1")
	tr.license()
	rep := run(t, verify.Options{Path: tr.dir})
	if len(rep.Findings) != 0 || len(rep.NotProven) != 1 || rep.NotProven[0].What != "that bin/app finds its libraries" || !strings.Contains(rep.NotProven[0].Why, "musl") {
		t.Errorf("%+v, not proven: %+v", rep.Findings, rep.NotProven)
	}
}

func TestCancelled(t *testing.T) {
	t.Parallel()
	tr := newTree(t)
	tr.write("a", noise(3_000_000))
	tr.license()
	o := verify.Options{Path: tr.dir}
	packed("")(tr, &o)
	why := errors.New("the user said so")
	for _, p := range []string{tr.dir, o.Path} {
		ctx, cancel := context.WithCancelCause(t.Context())
		count := writer(func(b []byte) (int, error) {
			cancel(why)
			return len(b), nil
		})
		if _, err := verify.Run(ctx, verify.Options{Path: p, Count: count}); !errors.Is(err, why) {
			t.Errorf("%s: %v", p, err)
		}
	}
}

type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

// FuzzArchive wants of any bytes an answer or an error, within bounds.
func FuzzArchive(f *testing.F) {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, content := range map[string]string{
		"bin/app": "\x7fELF\x02\x01\x01", "a.dll": "MZ", "manifest.json": `{"schema": 1, "files": []}`, "x.dist-info/WHEEL": "Tag: py3-none-win_amd64\n",
		"x.dist-info/RECORD": "a,sha256=x,1\n", "../up": "", "CON": "x", "lib/libcudnn.so.9": "\x7fELF",
	} {
		w, err := z.Create(name)
		if err != nil {
			f.Fatal(err)
		}
		_, _ = io.WriteString(w, content)
	}
	_ = z.Close()
	f.Add(b.Bytes())
	f.Add([]byte("PK\x05\x06"))
	f.Fuzz(func(t *testing.T, data []byte) {
		p := filepath.Join(t.TempDir(), "x")
		if err := os.WriteFile(p, data, 0o600); err != nil {
			t.Fatal(err)
		}
		rep, err := verify.Run(t.Context(), verify.Options{Path: p, Limits: archive.Limits{Bytes: 1 << 20, Entries: 100}, Jobs: 1})
		if err != nil {
			return
		}
		var text bytes.Buffer
		if err := rep.Show(&text, false); err != nil {
			t.Fatal(err)
		}
		if strings.ContainsAny(text.String(), "\x1b\x07\r") {
			t.Errorf("the report holds control characters: %q", text.String())
		}
	})
}
