package toolkit

import (
	"archive/zip"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/relmat/relmat/internal/fsx"
	"github.com/relmat/relmat/internal/proc"
)

// Pip runs pip, the client by which wheels come: it knows the user's index,
// proxy, certificates and credentials.
type Pip struct {
	// Python is the interpreter: a path or a name in PATH.
	Python string
	Env    []string
}

// FindPip finds an interpreter that has pip.
func FindPip(ctx context.Context, python string, env []string) (Pip, error) {
	names := []string{"python3", "python"}
	if python != "" {
		names = []string{python}
	}
	var last error
	for _, name := range names {
		p := Pip{Python: name, Env: env}
		if last = p.cmd("--version").Run(ctx); last == nil || ctx.Err() != nil {
			return p, last
		}
	}
	return Pip{}, fmt.Errorf("pip is needed to fetch NVIDIA's wheels: install Python 3 with pip (Debian: python3-pip) or name an interpreter with --python: %w", last)
}

func (p Pip) cmd(args ...string) proc.Cmd {
	env := append(slices.Clone(p.Env), "PIP_DISABLE_PIP_VERSION_CHECK=1", "PIP_NO_INPUT=1", "PYTHONUTF8=1", "PIP_NO_COLOR=1", "PIP_PROGRESS_BAR=off")
	return proc.Cmd{Path: p.Python, Args: append([]string{"-m", "pip"}, args...), Env: env, Secrets: proc.Secrets(env)}
}

// macOSReleases are those since 11; Apple went from 15 to 26.
var macOSReleases = []int{11, 12, 13, 14, 15, 26, 27}

// platformTags are the tags of PyPA's platform compatibility tags that pip
// shall accept for a platform; it takes them literally, so all are listed.
func platformTags(platform string) ([]string, error) {
	osName, arch, _ := strings.Cut(platform, "-")
	switch osName {
	case "linux":
		tags := []string{"manylinux2014_" + arch, "manylinux2010_" + arch, "manylinux1_" + arch, "linux_" + arch}
		for minor := 39; minor >= 5; minor-- {
			tags = append(tags, fmt.Sprintf("manylinux_2_%d_%s", minor, arch))
		}
		return tags, nil
	case "windows":
		if arch == "x86_64" {
			return []string{"win_amd64"}, nil
		}
		if arch == "aarch64" {
			return []string{"win_arm64"}, nil
		}
	case "macos":
		// The oldest first: what is made for it runs on all that are newer.
		var tags []string
		if arch == "x86_64" {
			for minor := 9; minor <= 15; minor++ {
				tags = append(tags, fmt.Sprintf("macosx_10_%d_x86_64", minor))
			}
		}
		word := map[string]string{"x86_64": "x86_64", "aarch64": "arm64"}[arch]
		for _, major := range macOSReleases {
			if word != "" {
				tags = append(tags, fmt.Sprintf("macosx_%d_0_%s", major, word))
			}
		}
		if len(tags) > 0 {
			return tags, nil
		}
	}
	return nil, fmt.Errorf("there are no wheels for %s: platforms are linux, windows and macos, '-', and x86_64 or aarch64", platform)
}

// Resolve asks pip which wheels satisfy the requirements on the platform. The
// sizes are not known yet.
func (p Pip) Resolve(ctx context.Context, platform string, requirements []string) ([]Wheel, error) {
	tags, err := platformTags(platform)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "relmat-resolve-")
	if err != nil {
		return nil, err
	}
	defer fsx.RemoveAll(dir)
	report := filepath.Join(dir, "report.json")
	args := []string{
		"install", "--dry-run", "--ignore-installed", "--quiet", "--only-binary=:all:",
		"--target", filepath.Join(dir, "none"), "--report", report,
	}
	for _, t := range tags {
		args = append(args, "--platform", t)
	}
	if err := p.cmd(append(append(args, "--"), requirements...)...).Run(ctx); err != nil {
		return nil, fmt.Errorf("resolving %s for %s: %w", strings.Join(requirements, " "), platform, err)
	}
	data, err := os.ReadFile(report)
	if err != nil {
		return nil, err
	}
	return parseReport(data)
}

// parseReport reads pip's installation report ("Installation Report", pip
// documentation).
func parseReport(data []byte) ([]Wheel, error) {
	var r struct {
		Install []struct {
			Metadata struct {
				Name    string `json:"name"`
				Version string `json:"version"`
			} `json:"metadata"`
			Download struct {
				URL     string `json:"url"`
				Archive struct {
					Hashes map[string]string `json:"hashes"`
				} `json:"archive_info"`
			} `json:"download_info"`
		} `json:"install"`
	}
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, fmt.Errorf("pip's report: %w", err)
	}
	var wheels []Wheel
	for _, i := range r.Install {
		// The path of a URL is escaped: the + of a local version is %2B.
		u, err := url.Parse(i.Download.URL)
		if err != nil {
			return nil, fmt.Errorf("pip's report: %w", err)
		}
		w := Wheel{Name: i.Metadata.Name, Version: i.Metadata.Version, File: path.Base(u.Path), SHA256: i.Download.Archive.Hashes["sha256"]}
		if !wheelFile.MatchString(w.File) || !hexDigest.MatchString(w.SHA256) {
			return nil, fmt.Errorf("pip's report: %s %s comes as %q without a usable name or digest", w.Name, w.Version, w.File)
		}
		wheels = append(wheels, w)
	}
	if len(wheels) == 0 {
		return nil, fmt.Errorf("pip's report names no wheel")
	}
	slices.SortFunc(wheels, func(a, b Wheel) int { return cmp.Compare(a.Name, b.Name) })
	return wheels, nil
}

// Download brings the wheel into dir, checked against its digest, and gives
// it its final name last. grew is called with the bytes that are there so far.
func (p Pip) Download(ctx context.Context, w Wheel, dir string, grew func(int64)) (string, error) {
	final := filepath.Join(dir, w.cacheName())
	if sum, size, err := fsx.SHA256File(final); err == nil {
		if sum == w.SHA256 {
			grew(size)
			return final, nil
		}
		if err := fsx.Remove(final); err != nil {
			return "", err
		}
	}
	tmp, err := fsx.PartialDir(dir, w.File)
	if err != nil {
		return "", err
	}
	defer fsx.RemoveAll(tmp)
	// A requirement with a hash has pip check every byte that arrives.
	req := filepath.Join(tmp, "requirements.txt")
	line := fmt.Sprintf("%s==%s --hash=sha256:%s\n", w.Name, w.Version, w.SHA256)
	if err := os.WriteFile(req, []byte(line), 0o644); err != nil {
		return "", err
	}
	args := []string{"download", "--quiet", "--no-deps", "--no-cache-dir", "--only-binary=:all:", "--require-hashes", "--dest", tmp, "-r", req}
	args = append(args, w.interpreter()...)
	for _, t := range w.tags() {
		if t != "any" {
			args = append(args, "--platform", t)
		}
	}
	c := p.cmd(args...)
	// pip writes to its temporary directory first: watched for progress, and
	// gone with tmp.
	for _, v := range []string{"TMPDIR", "TEMP", "TMP"} {
		c.Env = append(c.Env, v+"="+tmp)
	}
	stop := watch(tmp, w.File, grew)
	err = c.Run(ctx)
	stop()
	if err != nil {
		return "", fmt.Errorf("downloading %s: %w", w.File, err)
	}
	got := filepath.Join(tmp, w.File)
	sum, size, err := fsx.SHA256File(got)
	if err != nil {
		return "", fmt.Errorf("pip did not leave %s: %w", w.File, err)
	}
	if sum != w.SHA256 || w.Size > 0 && size != w.Size {
		return "", fmt.Errorf("%s came with SHA-256 %s (%d bytes), pinned is %s (%d bytes)", w.File, sum, size, w.SHA256, w.Size)
	}
	grew(size)
	return final, fsx.Rename(got, final)
}

// watch reports the size of the file that pip is writing until stopped.
func watch(dir, file string, grew func(int64)) (stop func()) {
	done, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				var size int64
				_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
					if err == nil && d.Name() == file {
						if info, err := d.Info(); err == nil {
							size = max(size, info.Size())
						}
					}
					return nil // files come and go under pip's hands
				})
				grew(size)
			}
		}
	}()
	return func() {
		close(done)
		<-stopped
	}
}

// unpackedSize adds up what the wheel at path holds, in bytes.
func unpackedSize(path string) (int64, error) {
	r, err := zip.OpenReader(path)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	var sum uint64
	for _, f := range r.File {
		sum += f.UncompressedSize64
	}
	return int64(sum), nil
}
