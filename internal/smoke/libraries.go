package smoke

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/relmat/relmat/internal/archive"
	"github.com/relmat/relmat/internal/fsx"
	"github.com/relmat/relmat/internal/manifest"
	"github.com/relmat/relmat/internal/matrix"
)

// searchPath are the variables by which loaders find libraries that a package
// leaves to its users.
var searchPath = map[string]string{"linux": "LD_LIBRARY_PATH", "windows": "PATH", "darwin": "DYLD_LIBRARY_PATH"}

// complete gives the package at root what its users have besides: the packages
// that they unpack over it, in dir, and the libraries of the host. It returns
// the environment in which these are found.
func (o Options) complete(ctx context.Context, dir, root string, row matrix.Row, m manifest.Manifest, r *runner, env []string) ([]string, error) {
	over := map[string]bool{}
	host := false
	for _, l := range m.HostLibraries {
		if l.Package == "" {
			host = true
			continue
		}
		if !over[l.Package] {
			over[l.Package] = true
			if err := o.unpackOver(ctx, dir, row, l.Package); err != nil {
				return nil, fmt.Errorf("package %s needs package %s: %w", m.Package, l.Package, err)
			}
		}
		if _, err := os.Stat(filepath.Join(root, filepath.FromSlash(l.Path))); err != nil {
			return nil, fmt.Errorf("package %s, unpacked over %s, does not put %s at %s; give both packages the same root", l.Package, m.Package, l.Name, l.Path)
		}
	}
	if !host {
		return env, nil
	}
	if o.Libraries == nil {
		return nil, errors.New("the package leaves the vendor's libraries to its users, and this test knows of none on this host")
	}
	dirs, err := o.Libraries(row)
	if err != nil {
		return nil, fmt.Errorf("the package leaves the vendor's libraries to its users: %w", err)
	}
	name := searchPath[runtime.GOOS]
	separator := string(os.PathListSeparator)
	if r != nil {
		name, separator = r.Search, ";"
		for i, dir := range dirs {
			dirs[i] = r.guest(dir)
		}
	}
	value := strings.Join(dirs, separator)
	env = slices.Clone(env)
	for i, kv := range env {
		if old, ok := strings.CutPrefix(kv, name+"="); ok {
			env[i] = name + "=" + value + separator + old
			return env, nil
		}
	}
	return append(env, name+"="+value), nil
}

func (o Options) unpackOver(ctx context.Context, dir string, row matrix.Row, pkg string) error {
	if o.Over == nil {
		return errors.New("its archive is not at hand")
	}
	path, err := o.Over(row, pkg)
	if err != nil {
		return err
	}
	return fsx.TempSpace(archive.Extract(ctx, path, dir, archive.DefaultLimits))
}

// readManifest reads the manifest at a package's root. That of a package of
// libraries bears the package's name.
func readManifest(root string) ([]byte, error) {
	data, err := os.ReadFile(filepath.Join(root, manifest.FileName))
	if !errors.Is(err, fs.ErrNotExist) {
		return data, err
	}
	entries, rerr := os.ReadDir(root)
	if rerr != nil {
		return nil, rerr
	}
	for _, e := range entries {
		if manifest.IsName(e.Name()) {
			return os.ReadFile(filepath.Join(root, e.Name()))
		}
	}
	return nil, err
}
