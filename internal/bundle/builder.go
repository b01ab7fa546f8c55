package bundle

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/relmat/relmat/internal/manifest"
	"github.com/relmat/relmat/internal/matrix"
	"github.com/relmat/relmat/internal/objfile"
)

// item is a file of the package and where it comes from.
type item struct {
	manifest.File
	src string
	// dist is the wheel whose licence holds for it, notice other texts that do.
	dist   string
	notice *notice
	// vendor says that it is one of the vendor's libraries, which a package may
	// leave to its users, apart that it is not packed.
	vendor, apart bool
	// cached says that src lies in the cache of toolkits, where nobody writes.
	cached bool
	// moved says that it does not lie where the layout has it.
	moved bool
	// objects are what the file holds, if it is native; read says that this is
	// known.
	objects []*objfile.Object
	read    bool
}

// name is the file's own name in the package.
func (it *item) name() string { return path.Base(it.Path) }

// native reads the file's headers; there are none of a file that is not native.
func (it *item) native() ([]*objfile.Object, error) {
	if it.read {
		return it.objects, nil
	}
	objects, err := objfile.Open(it.src)
	if err != nil && !errors.Is(err, objfile.ErrFormat) {
		return nil, err
	}
	it.objects, it.read = objects, true
	return objects, nil
}

// kind is what the file is for: that of its first part.
func (it *item) kind() objfile.Kind {
	if objects, err := it.native(); err == nil && len(objects) > 0 {
		return objects[0].Kind
	}
	return ""
}

type builder struct {
	o      Options
	layout matrix.Layout
	// runtime is where users have the vendor's libraries from.
	runtime string
	sources []source
	host    *hostToolkit
	items   []*item
	// places are the items by path in the package.
	places map[string]*item
	// programsAt are the paths of the programs by name, own the wheels that
	// brought them.
	programsAt map[string]string
	own        map[string]bool
	notes      []string
	errs       []string
}

func newBuilder(o Options) (*builder, error) {
	b := &builder{
		o: o, layout: o.Package.LayoutOf(), runtime: o.Package.Runtime,
		places: map[string]*item{}, programsAt: map[string]string{}, own: map[string]bool{},
	}
	if b.runtime == "" {
		b.runtime = "bundle"
	}
	if o.Toolkit != nil {
		b.sources = append(b.sources, wheels{o.Toolkit})
	} else {
		host, err := findHostToolkit(o.Env, o.Row.Platform)
		if err != nil {
			return nil, err
		}
		if host != nil {
			b.host = host
			b.sources = append(b.sources, host)
		}
	}
	if o.Row.Platform == matrix.Host() && o.Row.Platform.OS == "linux" {
		b.sources = append(b.sources, &distribution{env: o.Env})
	}
	return b, nil
}

func (b *builder) add(it item) *item {
	if other, ok := b.places[it.Path]; ok {
		if other.src != it.src {
			b.errs = append(b.errs, fmt.Sprintf("%s and %s would both become %s in the package", other.src, it.src, it.Path))
		}
		return other
	}
	if manifest.IsName(it.Path) {
		b.errs = append(b.errs, fmt.Sprintf("%s: %s is the name of relmat's own list in the package; give it another with 'to'", it.src, it.Path))
		return &it
	}
	b.places[it.Path] = &it
	b.items = append(b.items, &it)
	return &it
}

// programs adds what the package is made for.
func (b *builder) programs() error {
	for _, name := range b.o.Package.Programs {
		it := item{File: manifest.File{Mode: "0755", Origin: manifest.Build, Role: "program"}}
		if from, ok := b.o.Prebuilt[name]; ok {
			if err := b.prebuilt(&it, from); err != nil {
				return fmt.Errorf("program %s: %w", name, err)
			}
		} else {
			exe, ok := b.o.Programs[name]
			if !ok {
				return fmt.Errorf("program %s was not built", name)
			}
			it.src, it.Path = exe, path.Join(b.layout.Programs, name+b.o.Row.Platform.Exe())
		}
		objects, err := objfile.Open(it.src)
		if err != nil {
			return fmt.Errorf("program %s: %w", name, err)
		}
		it.objects, it.read = objects, true
		if it.kind() != objfile.Executable {
			it.Mode, it.Role = "0644", "library"
		}
		b.add(it)
		b.programsAt[name] = it.Path
	}
	return nil
}

// prebuilt finds a program that somebody else built. It keeps its name: others
// load it by that.
func (b *builder) prebuilt(it *item, from matrix.From) error {
	it.Origin = manifest.Prebuilt
	if from.Source != "" {
		it.src = filepath.Join(b.o.Source, filepath.FromSlash(from.Source))
		if _, err := os.Stat(it.src); err != nil {
			return fmt.Errorf("%w; from.source is a path in the project's checkout", err)
		}
		it.Path = PrebuiltPath(b.o.Package, from)
		return nil
	}
	if b.o.Toolkit == nil {
		return fmt.Errorf("target %s has no toolkit, and from.toolkit names a file of its wheels", b.o.Row.Name)
	}
	f, ok := b.o.Toolkit.At(path.Clean(from.Toolkit))
	if !ok {
		return fmt.Errorf("no wheel of the toolkit for %s has %s%s", b.o.Toolkit.Platform, from.Toolkit, b.likely(path.Base(from.Toolkit)))
	}
	it.src, it.dist, it.From = f.Path, f.Dist, f.Dist+" "+f.Version
	b.own[f.Dist] = true
	it.Path = PrebuiltPath(b.o.Package, from)
	return nil
}

// PrebuiltPath is where a program that somebody else built lies in a package:
// among the programs, under its own name. One of a wheel lies where its wheel
// has it, if the layout keeps the places of wheels and gives programs no other.
func PrebuiltPath(p matrix.Package, from matrix.From) string {
	l := p.LayoutOf()
	if from.Toolkit == "" {
		return path.Join(l.Programs, path.Base(from.Source))
	}
	if p.Layout.Programs == "" && keepsPlaces(l) {
		return path.Clean(from.Toolkit)
	}
	return path.Join(l.Programs, path.Base(from.Toolkit))
}

// likely tells where the wheels have a library of that name.
func (b *builder) likely(name string) string {
	var at []string
	for _, f := range b.o.Toolkit.Libraries(name) {
		at = append(at, f.Rel)
	}
	if len(at) == 0 {
		return ""
	}
	return "; they have " + strings.Join(at, ", ")
}

// files adds an entry of the matrix: a file, or a directory with all below it.
func (b *builder) files(f matrix.Files) error {
	root, rel, origin, from := b.o.Source, f.Source, manifest.Source, ""
	var terms *notice
	switch {
	case f.OutDir != "":
		dir, err := b.outDir(f.Crate)
		if err != nil {
			return err
		}
		root, rel, origin, from = dir, f.OutDir, manifest.Build, manifest.OutDirOf(f.Crate)
	case f.Toolkit != "":
		switch {
		case b.o.Toolkit != nil:
			root, rel, origin = b.o.Toolkit.Home(), f.Toolkit, manifest.Wheel
			// The toolkit's own layout first; other wheels have none.
			if _, err := os.Stat(filepath.Join(root, filepath.FromSlash(rel))); errors.Is(err, fs.ErrNotExist) {
				root = b.o.Toolkit.Dir
			}
		case b.host != nil && b.host.home != "":
			var err error
			if terms, err = b.host.notice(); err != nil {
				return err
			}
			root, rel, origin, from = b.host.home, f.Toolkit, manifest.Host, b.host.from
		default:
			return fmt.Errorf("target %s has no toolkit, and CUDA_HOME and CUDA_PATH name none; restrict the entry with targets", b.o.Row.Name)
		}
	}
	src := filepath.Join(root, filepath.FromSlash(rel))
	info, err := os.Stat(src)
	if err != nil {
		return err
	}
	entry := func(src, at string, info fs.FileInfo) {
		b.add(item{src: src, notice: terms, File: manifest.File{Path: at, Mode: modeOf(info), Origin: origin, From: from}})
	}
	if !info.IsDir() {
		if len(f.Contains) > 0 || f.MinFiles > 1 {
			return fmt.Errorf("%s is a file, and contains or min-files describe a directory", src)
		}
		if src, err = b.real(src, origin); err != nil {
			return err
		}
		entry(src, f.To, info)
		return nil
	}
	files := 0
	err = filepath.WalkDir(src, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(src, p)
		if err != nil {
			return err
		}
		if d.Type()&fs.ModeSymlink != 0 {
			if p, err = b.real(p, origin); err != nil {
				return err
			}
		}
		info, err := os.Lstat(p)
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() {
			return fmt.Errorf("%s is a %s; only regular files can be packed", p, info.Mode().Type())
		}
		files++
		entry(p, path.Join(f.To, filepath.ToSlash(rel)), info)
		return nil
	})
	if err != nil {
		return err
	}
	for _, c := range f.Contains {
		if st, err := os.Stat(filepath.Join(src, filepath.FromSlash(c))); err != nil || st.IsDir() {
			return fmt.Errorf("%s lacks %s, which the matrix says it contains", src, c)
		}
	}
	if files < max(f.MinFiles, 1) {
		return fmt.Errorf("%s holds %d files, the matrix wants at least %d", src, files, max(f.MinFiles, 1))
	}
	return nil
}

// real follows the links of a toolkit, with which libraries and headers of
// several wheels lie in one directory. Links of others stay what they are: they
// may lead anywhere.
func (b *builder) real(p string, origin manifest.Origin) (string, error) {
	if origin != manifest.Wheel && origin != manifest.Host {
		return p, nil
	}
	to, err := filepath.EvalSymlinks(p)
	if err != nil {
		return "", err
	}
	if origin == manifest.Wheel {
		dir, err := filepath.EvalSymlinks(b.o.Toolkit.Dir)
		if err != nil {
			return "", err
		}
		rel, err := filepath.Rel(dir, to)
		if err != nil || !filepath.IsLocal(rel) {
			return "", fmt.Errorf("%s is a link out of the toolkit, to %s", p, to)
		}
		return filepath.Join(b.o.Toolkit.Dir, rel), nil
	}
	return to, nil
}

// outDir is the one OUT_DIR of a crate.
func (b *builder) outDir(crate string) (string, error) {
	dirs := b.o.OutDirs[crate]
	if len(dirs) > 1 {
		return "", fmt.Errorf("crate %s was built %d times, so its files are ambiguous: %s; give all programs the same features, and have one version of it in Cargo.lock",
			crate, len(dirs), strings.Join(dirs, ", "))
	}
	if len(dirs) == 0 {
		var have []string
		for c := range b.o.OutDirs {
			have = append(have, c)
		}
		slices.Sort(have)
		return "", fmt.Errorf("no OUT_DIR of crate %q was named by Cargo; build scripts ran for %s", crate, strings.Join(have, ", "))
	}
	return dirs[0], nil
}

func modeOf(info fs.FileInfo) string {
	if info.Mode()&0o100 != 0 {
		return "0755"
	}
	return "0644"
}
