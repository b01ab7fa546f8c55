package bundle

import (
	"bytes"
	"context"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/relmat/relmat/internal/fsx"
	"github.com/relmat/relmat/internal/manifest"
)

const rpath = "$ORIGIN/../lib"

// sample is a program with two toolkit libraries, a directory of headers that
// a build script copied out of the toolkit, and a licence.
type sample struct {
	options Options
	tkDir   string
}

const sampleFiles = `    files:
      - {source: LICENSE, to: LICENSE}
      - {source: scripts, to: share/scripts}
      - {out-dir: include, crate: core, to: include, contains: [a/b.h], min-files: 2}
      - {toolkit: nvidia.txt, to: nvidia.txt}
      - {source: absent, to: absent, targets: [y*]}
`

func newSample(t *testing.T, pkg string) *sample {
	t.Helper()
	s := &sample{}
	outDir := t.TempDir()
	source := t.TempDir()
	write(t, filepath.Join(source, "LICENSE"), "ours\n")
	if err := os.Chmod(write(t, filepath.Join(source, "scripts", "run.sh"), "#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(source, "scripts", "note.txt"), "note\n")
	write(t, filepath.Join(outDir, "include", "a", "b.h"), "#define B 1\n") // the toolkit's bytes
	write(t, filepath.Join(outDir, "include", "own.h"), "#define OWN 1\n")

	tk := fakeToolkit(t, func(dir string) {
		s.tkDir = dir
		lib := filepath.Join(dir, "nvidia", "cu13", "lib")
		b := sharedLib(t, lib, "libb.so.2", "int b(void) { return 42; }")
		sharedLib(t, lib, "liba.so.1", "int b(void); int a(void) { return b(); }", b)
		write(t, filepath.Join(dir, "nvidia", "cu13", "include", "b.h"), "#define B 1\n")
		write(t, filepath.Join(dir, "nvidia", "cu13", "nvidia.txt"), "nvidia\n")
		for _, dist := range []string{"nvidia-a", "nvidia-b", "nvidia-headers", "nvidia-unused"} {
			write(t, filepath.Join(dir, dist+"-13.dist-info", "LICENSE.txt"), "licence of "+dist+"\n")
		}
	}, func(rel string) string {
		switch {
		case strings.HasSuffix(rel, "liba.so.1"):
			return "nvidia-a"
		case strings.HasSuffix(rel, "libb.so.2"):
			return "nvidia-b"
		case strings.HasSuffix(path.Dir(rel), ".dist-info"):
			return strings.TrimSuffix(path.Dir(rel), "-13.dist-info")
		}
		return "nvidia-headers"
	})
	lib := filepath.Join(tk.Home(), "lib")
	exe := cc(t, filepath.Join(t.TempDir(), "built-prog"), "#include <stdio.h>\nint a(void); int main(void) { printf(\"%d\\n\", a()); return 0; }",
		filepath.Join(lib, "liba.so.1"), "-Wl,--disable-new-dtags,-rpath,"+rpath, "-Wl,-rpath-link,"+lib)
	row, p := parse(t, hostTriple()+"}\n  y: {triple: "+hostTriple()+", toolkit: cuda13", pkg)
	row.Toolkit = "cuda13"
	s.options = Options{
		Row: row, Name: "pkg", Package: p, Project: "p", Release: "1.2.3",
		Programs: map[string]string{"prog": exe}, OutDirs: map[string][]string{"core": {outDir}, "twice": {outDir, outDir + "2"}},
		Source: source, Toolkit: tk, Digests: fsx.OpenDigests(""),
	}
	return s
}

func (s *sample) plan(t *testing.T) *Plan {
	t.Helper()
	p, err := New(t.Context(), s.options)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestNewAndWrite(t *testing.T) {
	s := newSample(t, sampleFiles)
	plan := s.plan(t)
	var have []string
	for _, f := range plan.Manifest.Files {
		have = append(have, strings.Join([]string{f.Path, f.Mode, string(f.Origin), f.From, f.Role, f.Why}, "|"))
	}
	want := []string{
		"LICENSE|0644|source|||",
		"bin/prog|0755|build||program|",
		// The build copied it, but its bytes are a wheel's: so is its licence.
		"include/a/b.h|0644|wheel|nvidia-headers 13.0.1||",
		"include/own.h|0644|build|OUT_DIR of core||",
		"lib/liba.so.1|0644|wheel|nvidia-a 13.0.1|library|needed by prog",
		"lib/libb.so.2|0644|wheel|nvidia-b 13.0.1|library|needed by liba.so.1",
		"licenses/nvidia-a/LICENSE.txt|0644|wheel|nvidia-a 13.0.1|license|",
		"licenses/nvidia-b/LICENSE.txt|0644|wheel|nvidia-b 13.0.1|license|",
		"licenses/nvidia-headers/LICENSE.txt|0644|wheel|nvidia-headers 13.0.1|license|",
		"nvidia.txt|0644|wheel|nvidia-headers 13.0.1||",
		"share/scripts/note.txt|0644|source|||",
		"share/scripts/run.sh|0755|source|||",
	}
	if !slices.Equal(have, want) {
		t.Fatalf("the package holds\n%s\nwant\n%s", strings.Join(have, "\n"), strings.Join(want, "\n"))
	}

	dir := t.TempDir()
	var counted bytes.Buffer
	if err := plan.Write(t.Context(), dir, s.options.Digests, &counted); err != nil {
		t.Fatal(err)
	}
	if int64(counted.Len()) != plan.Size() {
		t.Errorf("%d bytes were counted, the package has %d", counted.Len(), plan.Size())
	}
	if err := plan.Whole(dir); err != nil {
		t.Errorf("Whole of what was just written: %v", err)
	}
	for _, f := range plan.Manifest.Files {
		p := filepath.Join(dir, filepath.FromSlash(f.Path))
		data, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(data)
		info, err := os.Stat(p)
		if err != nil {
			t.Fatal(err)
		}
		if mode := fmt.Sprintf("%04o", info.Mode().Perm()); hex.EncodeToString(sum[:]) != f.SHA256 || info.Size() != f.Size || mode != f.Mode {
			t.Errorf("%s: %d bytes, mode %s, SHA-256 %x; the manifest says %+v", f.Path, len(data), mode, sum, f)
		}
	}
	data, err := os.ReadFile(filepath.Join(dir, manifest.FileName))
	if err != nil {
		t.Fatal(err)
	}
	m, err := manifest.Decode(data)
	if err != nil || m.Programs["prog"] != "bin/prog" || m.Target != "x" || m.Version != "1.2.3" || m.Package != "pkg" {
		t.Errorf("the manifest in the package is %+v, %v", m, err)
	}

	// The loader's own word: the package runs elsewhere, with the toolkit gone.
	if err := os.RemoveAll(s.tkDir); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(dir, "bin", "prog"))
	cmd.Env, cmd.Dir = []string{}, "/"
	if out, err := cmd.CombinedOutput(); err != nil || string(out) != "42\n" {
		t.Errorf("the packed program says %q, %v", out, err)
	}
	out, err := exec.Command("ldd", filepath.Join(dir, "bin", "prog")).CombinedOutput()
	if err != nil || !strings.Contains(string(out), filepath.Join(dir, "lib", "libb.so.2")) && !strings.Contains(string(out), "bin/../lib/libb.so.2") {
		t.Errorf("ldd does not find libb in the package: %v\n%s", err, out)
	}
}

func TestKeyFollowsContent(t *testing.T) {
	s := newSample(t, sampleFiles)
	key := s.plan(t).Key
	if again := s.plan(t).Key; again != key {
		t.Errorf("the same inputs have the keys %s and %s", key, again)
	}
	license := filepath.Join(s.options.Source, "LICENSE")
	write(t, license, "ours, in other words\n")
	changed := s.plan(t).Key
	if changed == key {
		t.Error("another LICENSE has the same key")
	}
	write(t, license, "ours\n")
	if back := s.plan(t).Key; back != key {
		t.Error("the old content does not have the old key")
	}
	s.options.Release = "1.2.4"
	if s.plan(t).Key == key {
		t.Error("another version has the same key")
	}
}

func TestNewRefuses(t *testing.T) {
	tests := []struct {
		name, pkg string
		spoil     func(t *testing.T, s *sample)
		want      string
	}{
		{"program not built", "", func(_ *testing.T, s *sample) { s.options.Programs = nil }, "program prog was not built"},
		{"program gone", "", func(t *testing.T, s *sample) { remove(t, s.options.Programs["prog"]) }, "no such file"},
		{"source missing", "    files: [{source: nope, to: x}]\n", nil, "files[0]: stat "},
		{"source empty", "    files: [{source: empty, to: x}]\n", func(t *testing.T, s *sample) { mkdir(t, filepath.Join(s.options.Source, "empty")) }, "holds 0 files, the matrix wants at least 1"},
		{"too few files", "    files: [{source: scripts, to: x, min-files: 3}]\n", nil, "holds 2 files, the matrix wants at least 3"},
		{"lacks what it must contain", "    files: [{source: scripts, to: x, contains: [run.sh, cuda/std/tuple]}]\n", nil, "lacks cuda/std/tuple, which the matrix says it contains"},
		{"contains a directory of that name", "    files: [{source: scripts, to: x, contains: [sub]}]\n", func(t *testing.T, s *sample) { mkdir(t, filepath.Join(s.options.Source, "scripts", "sub")) }, "lacks sub"},
		{"guards on a file", "    files: [{source: LICENSE, to: x, min-files: 2}]\n", nil, "is a file, and contains or min-files describe a directory"},
		{"link in a directory", "    files: [{source: scripts, to: x}]\n", func(t *testing.T, s *sample) {
			if err := os.Symlink("/etc/passwd", filepath.Join(s.options.Source, "scripts", "link")); err != nil {
				t.Fatal(err)
			}
		}, "only regular files can be packed"},
		{"crate without build script", "    files: [{out-dir: include, crate: nope, to: x}]\n", nil, `no OUT_DIR of crate "nope" was named by Cargo; build scripts ran for core, twice`},
		{"crate of two versions", "    files: [{out-dir: include, crate: twice, to: x}]\n", nil, "crate twice was built 2 times, so its files are ambiguous"},
		{"no toolkit", "    files: [{toolkit: nvidia.txt, to: x}]\n", func(t *testing.T, s *sample) {
			s.options.Toolkit = nil
			s.options.Programs["prog"] = cc(t, filepath.Join(t.TempDir(), "prog"), "int main(void) { return 0; }")
		}, "target x has no toolkit"},
		{"library without toolkit", "", func(_ *testing.T, s *sample) { s.options.Toolkit = nil }, "liba.so.1 is needed by prog, and this system has it not"},
		{"places collide", "    files: [{source: LICENSE, to: t}, {source: scripts/note.txt, to: t}]\n", nil, "would both become t in the package"},
		{"place of a program", "    files: [{source: LICENSE, to: bin/prog}]\n", nil, "would both become bin/prog"},
		{"place of the manifest", "    files: [{source: LICENSE, to: manifest.json}]\n", nil, "is the name of relmat's own list"},
		{"toolkit changed", "", func(t *testing.T, s *sample) {
			// The same size, so only the digest tells.
			p := filepath.Join(s.options.Toolkit.Home(), "lib", "libb.so.2")
			data, err := os.ReadFile(p)
			if err != nil {
				t.Fatal(err)
			}
			data[len(data)-1] ^= 1
			write(t, p, string(data))
		}, "the toolkit in the cache was changed"},
		{"toolkit file of no wheel", "    files: [{toolkit: added.txt, to: x}]\n", func(t *testing.T, s *sample) {
			write(t, filepath.Join(s.options.Toolkit.Home(), "added.txt"), "x")
		}, "no wheel lists it"},
		{"RUNPATH instead of RPATH", "", func(t *testing.T, s *sample) { s.relink(t, "-Wl,--enable-new-dtags,-rpath,"+rpath) }, `needs RPATH "$ORIGIN/../lib" alone`},
		{"RUNPATH beside RPATH", "", func(t *testing.T, s *sample) { addRunpath(t, s.options.Programs["prog"]) }, `and RUNPATH "$ORIGIN/../lib"`},
		{"another RPATH", "", func(t *testing.T, s *sample) { s.relink(t, "-Wl,--disable-new-dtags,-rpath,/opt/cuda/lib") }, `has RPATH "/opt/cuda/lib"`},
		{"no RPATH", "", func(t *testing.T, s *sample) { s.relink(t) }, `has RPATH ""`},
		{"a program of another system", "", func(_ *testing.T, s *sample) { s.options.Row.Platform.OS = "windows" }, "is a file of format elf, and windows loads pe"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newSample(t, tt.pkg)
			if tt.spoil != nil {
				tt.spoil(t, s)
			}
			if _, err := New(t.Context(), s.options); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("the error is %v, want %q", err, tt.want)
			}
		})
	}
}

func (s *sample) relink(t *testing.T, args ...string) {
	t.Helper()
	lib := filepath.Join(s.options.Toolkit.Home(), "lib")
	s.options.Programs["prog"] = cc(t, filepath.Join(t.TempDir(), "built-prog"), "int a(void); int main(void) { return a(); }",
		append([]string{filepath.Join(lib, "liba.so.1"), "-Wl,-rpath-link," + lib}, args...)...)
}

// addRunpath gives a program that has a DT_RPATH the same as DT_RUNPATH, which
// no linker does: it takes the place of DT_DEBUG.
func addRunpath(t *testing.T, exe string) {
	t.Helper()
	f, err := elf.Open(exe)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	dynamic := f.Section(".dynamic")
	data, err := dynamic.Data()
	if err != nil {
		t.Fatal(err)
	}
	const entry = 16 // of a 64-bit file: tag and value
	value := map[elf.DynTag][]byte{}
	for e := range slices.Chunk(data, entry) {
		value[elf.DynTag(f.ByteOrder.Uint64(e))] = e
	}
	f.ByteOrder.PutUint64(value[elf.DT_DEBUG], uint64(elf.DT_RUNPATH))
	copy(value[elf.DT_DEBUG][8:], value[elf.DT_RPATH][8:])
	out, err := os.OpenFile(exe, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := out.WriteAt(data, int64(dynamic.Offset)); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, file string) {
	t.Helper()
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
}

func mkdir(t *testing.T, dir string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
}

func TestNewRefusesWheelWithoutLicence(t *testing.T) {
	tk := fakeToolkit(t, func(dir string) {
		write(t, filepath.Join(dir, "nvidia", "cu13", "include", "x.h"), "x\n")
	}, func(string) string { return "nvidia-unlicensed" })
	row, pkg := parse(t, hostTriple()+"}\n  y: {triple: "+hostTriple()+", toolkit: cuda13", "    files: [{toolkit: include, to: include}]\n")
	_, err := New(t.Context(), Options{
		Row: row, Name: "pkg", Package: pkg, Toolkit: tk, Digests: fsx.OpenDigests(""),
		Programs: map[string]string{"prog": cc(t, filepath.Join(t.TempDir(), "prog"), "int main(void) { return 0; }")},
	})
	if err == nil || !strings.Contains(err.Error(), "wheel nvidia-unlicensed has no licence file") {
		t.Errorf("the error is %v", err)
	}
}

func TestWriteFails(t *testing.T) {
	s := newSample(t, sampleFiles)
	license := filepath.Join(s.options.Source, "LICENSE")
	t.Run("file changed", func(t *testing.T) {
		plan := s.plan(t)
		write(t, license, "OURS\n") // as long as it was
		if err := plan.Write(t.Context(), t.TempDir(), s.options.Digests, io.Discard); err == nil || !strings.Contains(err.Error(), license+" changed while the package was made") {
			t.Errorf("the error is %v", err)
		}
		write(t, license, "ours\n")
	})
	t.Run("file gone", func(t *testing.T) {
		plan := s.plan(t)
		remove(t, license)
		if err := plan.Write(t.Context(), t.TempDir(), s.options.Digests, io.Discard); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the error is %v", err)
		}
		write(t, license, "ours\n")
	})
	t.Run("a file where a directory must be", func(t *testing.T) {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "bin"), "")
		if err := s.plan(t).Write(t.Context(), dir, s.options.Digests, io.Discard); err == nil || !strings.Contains(err.Error(), "not a directory") {
			t.Errorf("the error is %v", err)
		}
	})
	t.Run("a file that is there", func(t *testing.T) {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "LICENSE"), "")
		if err := s.plan(t).Write(t.Context(), dir, s.options.Digests, io.Discard); !errors.Is(err, os.ErrExist) {
			t.Errorf("the error is %v", err)
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		plan := s.plan(t)
		cancel()
		if err := plan.Write(ctx, t.TempDir(), s.options.Digests, io.Discard); !errors.Is(err, context.Canceled) {
			t.Errorf("the error is %v", err)
		}
	})
}

func TestWhole(t *testing.T) {
	s := newSample(t, sampleFiles)
	plan := s.plan(t)
	for name, spoil := range map[string]func(t *testing.T, dir string){
		"file removed":     func(t *testing.T, dir string) { remove(t, filepath.Join(dir, "lib", "libb.so.2")) },
		"file shorter":     func(t *testing.T, dir string) { write(t, filepath.Join(dir, "LICENSE"), "our") },
		"manifest removed": func(t *testing.T, dir string) { remove(t, filepath.Join(dir, manifest.FileName)) },
		"manifest empty":   func(t *testing.T, dir string) { write(t, filepath.Join(dir, manifest.FileName), "") },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := plan.Write(t.Context(), dir, s.options.Digests, io.Discard); err != nil {
				t.Fatal(err)
			}
			spoil(t, dir)
			if err := plan.Whole(dir); err == nil {
				t.Error("the damaged tree passes for whole")
			}
		})
	}
}
