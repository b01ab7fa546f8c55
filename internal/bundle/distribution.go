package bundle

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/relmat/relmat/internal/loader"
	"github.com/relmat/relmat/internal/manifest"
	"github.com/relmat/relmat/internal/proc"
)

// distribution are the libraries of this machine's own packages, such as
// OpenBLAS, as its loader finds them for the files that need them.
type distribution struct {
	env  []string
	view *loader.DiskView
	// trees are by the file that asks.
	trees map[string]*loader.Tree
	// doc replaces /usr/share/doc in tests.
	doc string
}

func (d *distribution) find(ctx context.Context, name string, by *item) ([]found, error) {
	tree, err := d.tree(by.src)
	if err != nil {
		return nil, err
	}
	var list []found
	for _, e := range tree.Nodes[tree.Root].Edges {
		if ok, _ := path.Match(name, path.Base(e.Name)); !ok || e.Path == "" || e.Class == loader.Driver {
			continue
		}
		src := filepath.FromSlash(e.Path)
		o, err := d.owner(ctx, src)
		if err != nil {
			return nil, fmt.Errorf("%s, which %s needs, is %s on this machine: %w", e.Name, by.name(), src, err)
		}
		list = append(list, found{src: src, name: path.Base(e.Name), origin: manifest.System, from: o.from, notice: o})
	}
	return list, nil
}

func (d *distribution) tree(src string) (*loader.Tree, error) {
	if d.view == nil {
		d.view, d.trees = loader.Disk(""), map[string]*loader.Tree{}
	}
	if t := d.trees[src]; t != nil {
		return t, nil
	}
	at, err := d.view.Path(src)
	if err != nil {
		return nil, err
	}
	t, err := loader.Resolve(d.view, at, loader.Options{Platform: loader.Linux, ByName: true})
	if err != nil {
		return nil, err
	}
	d.trees[src] = t
	return t, nil
}

func (d *distribution) pinned() bool  { return false }
func (d *distribution) lacks() string { return "this system has it not" }
func (d *distribution) mend() string  { return "install its package" }

// owner is the package that a file is of, with its licence.
func (d *distribution) owner(ctx context.Context, file string) (*notice, error) {
	for _, ask := range []func(context.Context, string) (*notice, error){d.dpkg, d.rpm} {
		o, err := ask(ctx, file)
		if err != nil {
			return nil, err
		}
		if o != nil {
			return o, nil
		}
	}
	return nil, errors.New("no package of the system (dpkg, rpm) owns it, so its licence is not known; pack it and its licence with files, or name it in system-libraries if users have it")
}

// ask runs a program of the package manager; it is not ok where the program is
// not there or knows no answer.
func (d *distribution) ask(ctx context.Context, program string, args ...string) (out string, ok bool, err error) {
	if _, err := proc.LookPath(program, d.env); err != nil {
		return "", false, nil
	}
	// Words of the answer are read.
	env := append(slices.Clone(d.env), "LC_ALL=C")
	out, err = proc.Cmd{Path: program, Args: args, Env: env}.Output(ctx)
	var failed *proc.Error
	if errors.As(err, &failed) && failed.Code > 0 {
		return "", false, nil
	}
	return out, err == nil, err
}

// dpkg asks Debian's package manager (dpkg-query(1)). It knows a file by the
// path in the package, which is another where /lib is a link to /usr/lib.
func (d *distribution) dpkg(ctx context.Context, file string) (*notice, error) {
	paths := []string{file, "/usr" + file}
	if rest, ok := strings.CutPrefix(file, "/usr/"); ok {
		paths[1] = "/" + rest
	}
	for _, p := range paths {
		out, ok, err := d.ask(ctx, "dpkg-query", "--search", p)
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(out) {
			names, at, cut := strings.Cut(strings.TrimSpace(line), ": ")
			if !ok || !cut || at != p || strings.HasPrefix(line, "diversion ") {
				continue
			}
			name, _, _ := strings.Cut(names, ", ")
			version, known, err := d.ask(ctx, "dpkg-query", "--show", "--showformat=${Version}", name)
			if err != nil || !known {
				return nil, err
			}
			name, _, _ = strings.Cut(name, ":") // of the architecture
			doc := d.doc
			if doc == "" {
				doc = "/usr/share/doc"
			}
			text := filepath.Join(doc, name, "copyright")
			if text, err = filepath.EvalSymlinks(text); err != nil {
				return nil, fmt.Errorf("the licence of package %s is not there (%w); an image without documentation has none: install the package with it", name, err)
			}
			return &notice{name: name, files: []string{text}, origin: manifest.System, from: name + " " + strings.TrimSpace(version)}, nil
		}
	}
	return nil, nil
}

// rpm asks the package manager of Fedora, SUSE and others (rpm(8)).
func (d *distribution) rpm(ctx context.Context, file string) (*notice, error) {
	out, ok, err := d.ask(ctx, "rpm", "--query", "--file", "--queryformat", `%{NAME} %{VERSION}-%{RELEASE}\n`, file)
	if err != nil || !ok {
		return nil, err
	}
	line, _, _ := strings.Cut(out, "\n")
	name, version, cut := strings.Cut(line, " ")
	if !cut {
		return nil, nil
	}
	list, _, err := d.ask(ctx, "rpm", "--query", "--licensefiles", name)
	if err != nil {
		return nil, err
	}
	n := &notice{name: name, origin: manifest.System, from: name + " " + version}
	for line := range strings.Lines(list) {
		p := strings.TrimSpace(line)
		info, err := os.Stat(p)
		switch {
		case errors.Is(err, fs.ErrNotExist), err == nil && !info.Mode().IsRegular():
		case err != nil:
			return nil, err
		default:
			n.files = append(n.files, p)
		}
	}
	if len(n.files) == 0 {
		return nil, fmt.Errorf("package %s brings no licence file that is there; an image without documentation has none: install the package with it", name)
	}
	return n, nil
}
