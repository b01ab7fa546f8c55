package matrix

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"
)

// layer is a mapping from which a target takes settings.
type layer struct {
	// at is its place in the file: targets.linux, systems.linux, defaults.
	at     string
	target Target
}

// layers lists where a target takes its settings from, the nearest first.
func (f *File) layers(name string) []layer {
	own := f.Targets.Values[name]
	list := []layer{{"targets." + name, own}}
	if base, ok := f.Targets.Get(own.VariantOf); ok && own.VariantOf != name {
		list = append(list, layer{"targets." + own.VariantOf, base})
	}
	triple := f.Defaults.Triple
	for _, l := range slices.Backward(list) {
		if l.target.Triple != "" {
			triple = l.target.Triple
		}
	}
	if p, err := ParseTriple(triple); err == nil {
		system := map[string]Target{"linux": f.Systems.Linux, "macos": f.Systems.MacOS, "windows": f.Systems.Windows}
		list = append(list, layer{"systems." + p.OS, system[p.OS]})
	}
	list = append(list, layer{"defaults", f.Defaults})
	if own.VariantOf != "" {
		for i := range list[1:] {
			list[1+i].target.OnRequest = nil // a variant decides that for itself
		}
	}
	return list
}

// row resolves a target: what it leaves out comes from the target that it is a
// variant of, from its system, from the defaults, and last from relmat itself.
func (f *File) row(name string) Row {
	r := Row{Name: name, project: f.Project, origins: map[string]string{}}
	t := &r.Target
	for _, l := range f.layers(name) {
		inherit(reflect.ValueOf(t).Elem(), reflect.ValueOf(l.target), "", l.at, r.origins)
	}
	builtIn := func(key string, set bool) {
		if !set {
			r.origins[key] = "relmat"
		}
	}
	builtIn("profile", t.Profile != "")
	if t.Profile == "" {
		t.Profile = "release"
	}
	builtIn("archive", t.Archive != "")
	if t.Archive == "" {
		t.Archive = "zip"
	}
	builtIn("locked", t.Locked != nil)
	if t.Locked == nil {
		t.Locked = new(bool)
		*t.Locked = true
	}
	builtIn("on-request", t.OnRequest != nil)
	if t.OnRequest == nil {
		t.OnRequest = new(bool)
		*t.OnRequest = t.VariantOf != ""
	}
	r.Platform, _ = ParseTriple(t.Triple) // check has judged it
	return r
}

// inherit fills what is not set in dst from src: mappings of text are united,
// lists and single values are taken whole. origins remembers by key which
// layer gave the value.
func inherit(dst, src reflect.Value, key, at string, origins map[string]string) {
	for i := range dst.NumField() {
		d, s := dst.Field(i), src.Field(i)
		name := join(key, dst.Type().Field(i).Tag.Get("yaml"))
		if m, ok := d.Addr().Interface().(*Map[string]); ok {
			more := s.Interface().(Map[string])
			for _, k := range more.Keys {
				if _, ok := m.Values[k]; !ok {
					origins[join(name, k)] = at
				}
			}
			*m = unite(more, *m)
			continue
		}
		if d.Kind() == reflect.Struct && !d.Addr().Type().Implements(mappingType) {
			inherit(d, s, name, at, origins)
			continue
		}
		if d.IsZero() && !s.IsZero() {
			d.Set(s)
			origins[name] = at
		}
	}
}

var mappingType = reflect.TypeFor[mapping]()

func unite(base, over Map[string]) Map[string] {
	var out Map[string]
	for _, k := range base.Keys {
		out.put(k, reflect.ValueOf(base.Values[k]))
	}
	for _, k := range over.Keys {
		if _, ok := out.Values[k]; ok {
			out.Values[k] = over.Values[k]
			continue
		}
		out.put(k, reflect.ValueOf(over.Values[k]))
	}
	return out
}

// Setting is a resolved value of a target.
type Setting struct {
	// Key is the path below the target: cpu.level, env.CC.
	Key   string `json:"key"`
	Value any    `json:"value"`
	// From is the mapping that the value comes from, or relmat; Line its line in
	// the file.
	From string `json:"from"`
	Line int    `json:"line,omitempty"`
}

// Settings lists what the row resolves to and where each value comes from, in
// the order of the schema.
func (f *File) Settings(r Row) []Setting {
	var list []Setting
	var walk func(v reflect.Value, key string)
	add := func(key string, value any) {
		from, ok := r.origins[key]
		if !ok {
			return
		}
		s := Setting{Key: key, Value: value, From: from}
		if n := f.at.nodes[join(from, key)]; n != nil {
			s.Line = n.Line
		}
		list = append(list, s)
	}
	walk = func(v reflect.Value, key string) {
		for i := range v.NumField() {
			field := v.Field(i)
			name := join(key, v.Type().Field(i).Tag.Get("yaml"))
			switch value := field.Interface().(type) {
			case Map[string]:
				for _, k := range value.Keys {
					add(join(name, k), value.Values[k])
				}
			case Map[BuildHost]:
				add(name, value.Keys)
			case *bool:
				if value != nil {
					add(name, *value)
				}
			case time.Duration:
				add(name, duration(value))
			default:
				if field.Kind() == reflect.Struct {
					walk(field, name)
					continue
				}
				add(name, value)
			}
		}
	}
	walk(reflect.ValueOf(r.Target), "")
	return list
}

// duration writes 8h for 8h0m0s.
func duration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// resolvePackages fills what a package leaves out from the one that it is like.
// origins tells, by package, which keys come from where; a package whose like
// is wrong has none, since what it lacks is not known.
func (f *File) resolvePackages() (origins map[string]map[string]string) {
	origins = map[string]map[string]string{}
	written := maps.Clone(f.Packages.Values)
	for _, name := range f.Packages.Keys {
		p := written[name]
		if p.Like == "" {
			origins[name] = map[string]string{}
			continue
		}
		at := "packages." + name + ".like"
		base, ok := written[p.Like]
		switch {
		case !ok || p.Like == name:
			f.reference(at, "packages", p.Like, slices.DeleteFunc(slices.Clone(f.Packages.Keys), func(k string) bool { return k == name }))
			continue
		case base.Like != "":
			f.problem(at, "name a package that has no like", "%q is itself like another", p.Like)
			continue
		}
		origins[name] = map[string]string{}
		inherit(reflect.ValueOf(&p).Elem(), reflect.ValueOf(base), "", "packages."+p.Like, origins[name])
		f.Packages.Values[name] = p
	}
	return origins
}

// BuildHosts lists the platforms that can build the row.
func (r Row) BuildHosts() []Platform {
	if len(r.Hosts.Keys) == 0 {
		return []Platform{r.Platform}
	}
	hosts := make([]Platform, 0, len(r.Hosts.Keys))
	for _, name := range r.Hosts.Keys {
		p, _ := ParsePlatform(name) // check has judged it
		hosts = append(hosts, p)
	}
	return hosts
}

// On is the row as it is built on a host: with the triple for it. A triple that
// is not the target's makes it a substitute.
func (r Row) On(host Platform) Row {
	r.Triple, r.released = r.Released(), ""
	if t := r.Hosts.Values[host.String()].Triple; t != "" && t != r.Triple {
		r.Triple, r.released = t, r.Triple
	}
	return r
}

// ParsePlatform reads a platform's name, such as linux-x86_64.
func ParsePlatform(name string) (Platform, error) {
	system, arch, ok := strings.Cut(name, "-")
	if !ok || !slices.Contains(systems, system) || !slices.Contains(archs, arch) {
		return Platform{}, fmt.Errorf("%q is no platform", name)
	}
	return Platform{OS: system, Arch: arch}, nil
}

var (
	systems = []string{"linux", "macos", "windows"}
	archs   = []string{"x86_64", "aarch64"}
)

const platformHint = "a platform is linux, macos or windows, '-', and x86_64 or aarch64"
