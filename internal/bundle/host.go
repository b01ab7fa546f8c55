package bundle

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/relmat/relmat/internal/manifest"
	"github.com/relmat/relmat/internal/matrix"
	"github.com/relmat/relmat/internal/proc"
)

//go:embed hosts.json
var hostsJSON []byte

type hostTable struct {
	// Variables are those that name a directory of the host's toolkit, in the
	// order in which they count; home says that libraries lie below it, as
	// Libraries tells by platform, and not in it.
	Variables []struct {
		Name string `json:"name"`
		Home bool   `json:"home"`
	} `json:"variables"`
	Libraries map[string][]string `json:"libraries"`
	// Licenses are where texts lie, relative to such a directory.
	Licenses []string `json:"licenses"`
}

var hostFacts = mustHosts(hostsJSON)

func mustHosts(data []byte) hostTable {
	var t hostTable
	if err := json.Unmarshal(data, &t); err != nil {
		panic("bundle: hosts.json: " + err.Error())
	}
	return t
}

// hostToolkit is the CUDA toolkit that is installed on this machine.
type hostToolkit struct {
	// home is the toolkit's own directory, empty where only directories of
	// libraries are named; said are the variables that name them.
	home string
	said []string
	dirs []hostDir
	// from names the toolkit in manifests.
	from string
}

type hostDir struct {
	path string
	// root is the directory that the variable names, near which licences lie.
	root string
}

// findHostToolkit reads the variables of the build's environment; it is nil
// where none is set.
func findHostToolkit(env []string, platform matrix.Platform) (*hostToolkit, error) {
	h := &hostToolkit{from: "CUDA toolkit"}
	for _, v := range hostFacts.Variables {
		dir := proc.Getenv(env, v.Name)
		if dir == "" {
			continue
		}
		info, err := os.Stat(dir)
		if err == nil && !info.IsDir() {
			err = fmt.Errorf("%s is no directory", dir)
		}
		if err != nil {
			return nil, fmt.Errorf("the environment's %s: %w", v.Name, err)
		}
		h.said = append(h.said, v.Name)
		if !v.Home {
			h.dirs = append(h.dirs, hostDir{dir, dir})
			continue
		}
		if h.home == "" {
			h.home = dir
			if version := releaseOf(dir); version != "" {
				h.from = "CUDA " + version
			}
		}
		for _, sub := range hostFacts.Libraries[platform.String()] {
			h.dirs = append(h.dirs, hostDir{filepath.Join(dir, filepath.FromSlash(sub)), dir})
		}
	}
	if len(h.said) == 0 {
		return nil, nil
	}
	return h, nil
}

// HostLibraryDirs are the directories of the CUDA libraries that are installed
// on this machine, in the order in which they are searched: those that the
// environment names, as KEY=VALUE.
func HostLibraryDirs(env []string, platform matrix.Platform) ([]string, error) {
	h, err := findHostToolkit(env, platform)
	if err != nil {
		return nil, err
	}
	var dirs []string
	if h != nil {
		for _, d := range h.dirs {
			if info, err := os.Stat(d.path); err == nil && info.IsDir() {
				dirs = append(dirs, d.path)
			}
		}
	}
	if len(dirs) == 0 {
		var names []string
		for _, v := range hostFacts.Variables {
			names = append(names, v.Name)
		}
		return nil, fmt.Errorf("none of %s names a directory with libraries; let the target have a toolkit, or pass one of them to it", strings.Join(names, ", "))
	}
	return dirs, nil
}

// releaseOf reads the release out of a toolkit's version.json.
func releaseOf(home string) string {
	var v struct {
		CUDA struct {
			Version string `json:"version"`
		} `json:"cuda"`
	}
	data, err := os.ReadFile(filepath.Join(home, "version.json"))
	if err != nil || json.Unmarshal(data, &v) != nil || strings.Trim(v.CUDA.Version, "0123456789.") != "" {
		return ""
	}
	return v.CUDA.Version
}

func (h *hostToolkit) find(_ context.Context, name string, _ *item) ([]found, error) {
	var list []found
	for _, dir := range h.dirs {
		entries, err := os.ReadDir(dir.path)
		if err != nil {
			continue // not every toolkit has every directory
		}
		for _, e := range entries {
			own := e.Name()
			if strings.HasSuffix(name, ".dll") {
				own = strings.ToLower(own)
			}
			if ok, _ := path.Match(name, own); !ok {
				continue
			}
			real, err := filepath.EvalSymlinks(filepath.Join(dir.path, e.Name()))
			if err != nil {
				return nil, err
			}
			if slices.ContainsFunc(list, func(f found) bool { return f.src == real }) {
				continue // another name of the same file
			}
			terms, err := h.terms(dir.root)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", real, err)
			}
			list = append(list, found{src: real, name: e.Name(), origin: manifest.Host, from: h.from, notice: terms, vendor: true})
		}
	}
	return list, nil
}

func (h *hostToolkit) pinned() bool { return true }

func (h *hostToolkit) lacks() string {
	return "the host's toolkit (" + strings.Join(h.said, ", ") + ") lacks it"
}

func (h *hostToolkit) mend() string {
	return "install it there, or give the target a toolkit"
}

// notice is the licence of the toolkit at home.
func (h *hostToolkit) notice() (*notice, error) { return h.terms(h.home) }

// terms are the texts near a directory of the toolkit.
func (h *hostToolkit) terms(root string) (*notice, error) {
	real, err := filepath.EvalSymlinks(root)
	if err != nil {
		return nil, err
	}
	for _, rel := range hostFacts.Licenses {
		p := filepath.Join(real, filepath.FromSlash(rel))
		if info, err := os.Stat(p); err == nil && info.Mode().IsRegular() {
			return &notice{name: strings.ReplaceAll(h.from, " ", "-"), files: []string{p}, origin: manifest.Host, from: h.from}, nil
		}
	}
	return nil, fmt.Errorf("no licence (%s) lies near %s, so nothing of it can be packed lawfully; give the target a toolkit of NVIDIA's wheels, or 'runtime: host'",
		strings.Join(hostFacts.Licenses[:3], ", "), root)
}

// sibling is the file of that name in the directory of another.
func sibling(p, name string) (string, error) {
	at := filepath.Join(filepath.Dir(p), name)
	info, err := os.Stat(at)
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is no regular file", at)
	}
	return at, err
}
