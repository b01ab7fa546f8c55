// Command dist makes relmat's own release: one archive a platform, each with
// the program, its licence and those of all modules linked into it. Publishing
// them is relmat's own work:
//
//	go run ./scripts/dist --version v1.2.0 dist
//	relmat publish --tag v1.2.0 --checksums dist/*
//
// The same commit, version and Go give the same bytes on any machine.
package main

import (
	"bytes"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/relmat/relmat/internal/archive"
	"github.com/relmat/relmat/internal/fsx"
)

// platform is where a relmat runs, in the matrix's words and in Go's.
type platform struct{ name, goos, goarch, format string }

var platforms = []platform{
	{"linux-x86_64", "linux", "amd64", "tar.gz"},
	{"linux-aarch64", "linux", "arm64", "tar.gz"},
	{"macos-aarch64", "darwin", "arm64", "tar.gz"},
	{"windows-x86_64", "windows", "amd64", "zip"},
}

func main() {
	version := flag.String("version", "", "the `TAG` that is released, such as v1.2.0")
	only := flag.String("platform", "", "make that of one platform only: `NAME`, such as linux-x86_64")
	flag.Parse()
	if err := run(*version, *only, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "dist:", err)
		os.Exit(1)
	}
}

var isVersion = regexp.MustCompile(`^v\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$`)

func run(version, only string, args []string) error {
	if len(args) != 1 || !isVersion.MatchString(version) {
		return errors.New("usage: go run ./scripts/dist --version v1.2.0 [--platform NAME] DIR")
	}
	out := args[0]
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	made := 0
	for _, p := range platforms {
		if only != "" && only != p.name {
			continue
		}
		if err := p.pack(version, out); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		made++
	}
	if made == 0 {
		return fmt.Errorf("there is no platform %q", only)
	}
	return nil
}

func (p platform) pack(version, out string) error {
	tree, err := os.MkdirTemp("", "relmat-dist-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tree)
	program := filepath.Join(tree, "relmat")
	if p.goos == "windows" {
		program += ".exe"
	}
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w -X github.com/relmat/relmat/internal/cli.version="+strings.TrimPrefix(version, "v"), "-o", program, "./cmd/relmat")
	// Without C, and for the oldest CPUs: it must start on every runner.
	build.Env = append(os.Environ(), "GOOS="+p.goos, "GOARCH="+p.goarch, "CGO_ENABLED=0", "GOAMD64=v1", "GOARM64=v8.0", "GOFLAGS=")
	if err := command(build, nil); err != nil {
		return err
	}
	if err := fsx.CopyFile("LICENSE", filepath.Join(tree, "LICENSE"), 0o644); err != nil {
		return err
	}
	if err := licences(program, filepath.Join(tree, "licenses")); err != nil {
		return err
	}
	stem := "relmat-" + strings.TrimPrefix(version, "v") + "-" + p.name
	path := filepath.Join(out, stem+"."+p.format)
	err = fsx.WriteTo(path, 0o644, func(w io.Writer) error {
		return archive.Write(w, archive.Format(p.format), tree, stem, nil)
	})
	if err != nil {
		return err
	}
	sum, size, err := fsx.SHA256File(path)
	if err != nil {
		return err
	}
	fmt.Printf("%s  %s (%.1f MB)\n", sum, path, float64(size)/1e6)
	return nil
}

func command(c *exec.Cmd, stdout io.Writer) error {
	var stderr bytes.Buffer
	c.Stdout, c.Stderr = stdout, &stderr
	if err := c.Run(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(c.Args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return nil
}

// isLicence tells licence texts among a module's files by their names.
var isLicence = regexp.MustCompile(`(?i)^(licen[sc]e|copying|notice|patents|copyright)([.-].*)?$`)

// licences copies the licences of what is linked into the program: the modules
// that its build information names, and Go's own.
func licences(program, dir string) error {
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	if err := command(exec.Command("go", "env", "GOROOT"), &out); err != nil {
		return err
	}
	if err := copyLicences(strings.TrimSpace(out.String()), filepath.Join(dir, "go")); err != nil {
		return err
	}
	args := []string{"mod", "download", "-json"}
	for _, dep := range info.Deps {
		if dep.Replace != nil {
			dep = dep.Replace
		}
		args = append(args, dep.Path+"@"+dep.Version)
	}
	out.Reset()
	if err := command(exec.Command("go", args...), &out); err != nil {
		return err
	}
	for d := json.NewDecoder(&out); ; {
		var m struct{ Path, Dir string }
		if err := d.Decode(&m); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := copyLicences(m.Dir, filepath.Join(dir, strings.ReplaceAll(m.Path, "/", "-"))); err != nil {
			return fmt.Errorf("module %s: %w", m.Path, err)
		}
	}
}

// copyLicences copies a module's licence texts. One without any must not be
// distributed.
func copyLicences(from, to string) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	entries = slices.DeleteFunc(entries, func(e os.DirEntry) bool {
		// Some modules name Go files so.
		return !e.Type().IsRegular() || !isLicence.MatchString(e.Name()) || filepath.Ext(e.Name()) == ".go"
	})
	if len(entries) == 0 {
		return fmt.Errorf("%s holds no licence text", from)
	}
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	for _, e := range entries {
		if err := fsx.CopyFile(filepath.Join(from, e.Name()), filepath.Join(to, e.Name()), 0o644); err != nil {
			return err
		}
	}
	return nil
}
