package corpus

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/relmat/relmat/internal/archive"
	"github.com/relmat/relmat/internal/fsx"
	"github.com/relmat/relmat/internal/toolkit"
	"github.com/relmat/relmat/internal/verify"
)

// judged are the wheels of other people's programs that relmat verify is shown
// as they are downloaded.
var judged = []string{"mlx-cuda-13", "mlx-metal", "bitsandbytes"}

// TestVerifyWheels confirms each finding about a wheel by what other tools say
// of the files, and wants that no need is left out that these tools see.
func TestVerifyWheels(t *testing.T) {
	needTools(t)
	lock, err := toolkit.ReadLock("corpus.lock.json")
	if err != nil {
		t.Fatal(err)
	}
	pip, err := findPip(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	claim(t)
	for _, platform := range slices.Sorted(maps.Keys(lock.Platforms)) {
		for _, w := range lock.Platforms[platform] {
			if !slices.Contains(judged, w.Name) {
				continue
			}
			t.Run(platform+"/"+w.Name, func(t *testing.T) {
				wheel, err := pip.Download(t.Context(), w, wheelDir(t), func(int64) {})
				if err != nil {
					t.Fatal(err)
				}
				rep, err := verify.Run(t.Context(), verify.Options{Path: wheel})
				if err != nil {
					t.Fatal(err)
				}
				tree, err := fsx.PartialDir(wheelDir(t), w.Name)
				if err != nil {
					t.Fatal(err)
				}
				defer os.RemoveAll(tree)
				if err := archive.ExtractAs(t.Context(), archive.Zip, wheel, tree, archive.DefaultLimits, nil); err != nil {
					t.Fatal(err)
				}
				if os.Getenv("RELMAT_CORPUS_KEEP") == "" {
					if err := os.Remove(wheel); err != nil {
						t.Error(err)
					}
				}
				j := &judge{t: t, tree: tree, told: map[string]bool{}, names: map[string]bool{}}
				j.read()
				for _, f := range rep.Findings {
					j.confirm(f)
				}
				j.complete()
				if platform == "linux-x86_64" && w.Name == "mlx-cuda-13" {
					inDocs(t, rep, w.File)
				}
				t.Logf("%s: %d findings confirmed, %d needs seen by other tools", rep.Summary(), len(rep.Findings), len(j.needs))
			})
		}
	}
}

// inDocs wants a report to stand in the documentation as it is printed.
func inDocs(t *testing.T, rep *verify.Report, wheel string) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "verify.md"))
	if err != nil {
		t.Fatal(err)
	}
	rep.Path = wheel
	var b strings.Builder
	if err := rep.Show(&b, false); err != nil {
		t.Fatal(err)
	}
	want := regexp.MustCompile(`(?m)^(.)`).ReplaceAllString(b.String(), "    $1")
	if !strings.Contains(string(page), want) {
		t.Errorf("docs/verify.md does not show this report as it is printed:\n%s", want)
	}
}

// judge holds a wheel's tree against its report.
type judge struct {
	t    *testing.T
	tree string
	// needs are the names that other tools say a file needs, by file.
	needs map[string][]string
	// names are the base names of all files, in lower case; told those that the
	// report says are missing.
	names, told map[string]bool
	licenses    string
}

// read asks readelf and llvm for the needs of every native file.
func (j *judge) read() {
	j.needs = map[string][]string{}
	err := filepath.WalkDir(j.tree, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		j.names[strings.ToLower(d.Name())] = true
		rel, err := filepath.Rel(j.tree, p)
		if err != nil {
			return err
		}
		if strings.Contains(rel, ".dist-info/licenses/") {
			data, err := os.ReadFile(p)
			j.licenses += string(data)
			return err
		}
		format, err := formatOf(p)
		if err != nil || format == "" || strings.HasSuffix(p, ".metallib") {
			return err
		}
		expression := `\(NEEDED\)[^\[]*\[([^\]]+)\]`
		args := []string{"readelf", "-dW", p}
		switch {
		case strings.HasSuffix(p, ".dll"):
			expression, args = `(?m)^ +Name: (\S+)$`, []string{"llvm-readobj", "--coff-imports", p}
		case strings.HasSuffix(p, ".dylib"):
			expression, args = `(?m)^ +name (\S+) \(offset`, []string{"llvm-objdump", "--macho", "--private-headers", p}
		}
		out, err := output(args[0], args[1:]...)
		if err != nil {
			return err
		}
		for _, m := range regexp.MustCompile(expression).FindAllStringSubmatch(out, -1) {
			j.needs[filepath.ToSlash(rel)] = append(j.needs[filepath.ToSlash(rel)], m[1])
		}
		return nil
	})
	if err != nil {
		j.t.Fatal(err)
	}
}

// system are the libraries that every machine has (PEP 600's and Debian's base
// packages have zlib, too), or its driver or Python, as far as these wheels need
// them.
var system = regexp.MustCompile(`(?i)^(lib(c|m|dl|rt|pthread|gcc_s|stdc\+\+|z)\.so\.\d+|ld-linux[^/]*|libcuda\.so\.1|(kernel32|advapi32|dbghelp|ws2_32|ole32|shell32|user32|msvcrt|ntdll|dxgi|nvcuda|vcruntime140(_1)?|bcrypt|iphlpapi)\.dll|api-ms-win-.*|/usr/lib/.*|/System/.*|@rpath/.*)$`)

// complete wants that everything which is neither in the wheel nor the system's
// is told.
func (j *judge) complete() {
	for _, file := range slices.Sorted(maps.Keys(j.needs)) {
		for _, n := range j.needs[file] {
			if !system.MatchString(n) && !j.names[strings.ToLower(n)] && !j.told[strings.ToLower(n)] {
				j.t.Errorf("%s needs %s, which the report does not tell", file, n)
			}
		}
	}
}

var (
	needed = regexp.MustCompile(`^(?:needs|loads at the first call of it) (\S+?),? `)
	place  = regexp.MustCompile(`^(.*) \((.*), offset (\d+)\)$`)
)

// confirm holds one finding against the files.
func (j *judge) confirm(f verify.Finding) {
	bad := func(format string, args ...any) {
		j.t.Errorf("%s %s: %s: %s", f.Rule, f.File, f.Message, fmt.Sprintf(format, args...))
	}
	p := filepath.Join(j.tree, filepath.FromSlash(f.File))
	switch f.Rule {
	case "closure", "delay-import":
		var names []string
		if f.Severity == "note" { // each line is a library and who brings it
			for _, e := range f.Evidence {
				name, _, _ := strings.Cut(e, ":")
				names = append(names, name)
			}
		} else if m := needed.FindStringSubmatch(f.Message); m != nil {
			names = []string{m[1]}
		}
		if len(names) == 0 {
			bad("it names nothing")
		}
		for _, n := range names {
			j.told[strings.ToLower(n)] = true
			if !slices.Contains(j.needs[f.File], n) || j.names[strings.ToLower(n)] || system.MatchString(n) {
				bad("other tools say that it needs %q", j.needs[f.File])
			}
		}
	case "driver-needed":
		if !slices.Contains(j.needs[f.File], "libcuda.so.1") {
			bad("other tools say that it needs %q", j.needs[f.File])
		}
	case "floor":
		out, err := output("readelf", "-VW", p)
		if version, _, ok := strings.Cut(f.Evidence[0], " of "); err != nil || !ok || !strings.Contains(out, "Name: "+version+" ") {
			bad("readelf -V has no %q: %v", f.Evidence, err)
		}
	case "leak":
		j.confirmLeak(f, p, bad)
	case "license":
		if _, err := os.Stat(p); err != nil || regexp.MustCompile(`(?i)openblas|lapack|gfortran|quadmath|llvm exception|thrust`).MatchString(j.licenses) {
			bad("it is not there (%v), or a licence speaks of it", err)
		}
	default:
		bad("nobody knows how to confirm it")
	}
}

func (j *judge) confirmLeak(f verify.Finding, p string, bad func(string, ...any)) {
	if dirs, ok := strings.CutPrefix(f.Evidence[0], "RUNPATH "); ok {
		out, err := output("readelf", "-dW", p)
		if err != nil || !strings.Contains(out, "Library runpath: ["+dirs+"]") || !path.IsAbs(dirs) {
			bad("readelf says\n%s%v", out, err)
		}
		return
	}
	file, err := os.Open(p)
	if err != nil {
		bad("%v", err)
		return
	}
	defer file.Close()
	for _, e := range f.Evidence {
		m := place.FindStringSubmatch(e)
		if m == nil {
			continue // how many more there are
		}
		at, _ := strconv.ParseInt(m[3], 10, 64)
		text := make([]byte, len(m[1]))
		if _, err := file.ReadAt(text, at); err != nil || string(text) != m[1] {
			bad("at %d stands %q", at, text)
		}
	}
}
