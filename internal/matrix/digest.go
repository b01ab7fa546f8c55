package matrix

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"time"
)

// notInDigest are keys of a target that say where and when it is made, not
// what it is.
var notInDigest = []string{"variant-of", "on-request", "hosts", "runner", "compiler-cache", "check-crates"}

// RowDigest is the SHA-256, in lower-case hexadecimal, of all that the matrix
// says about what a target is: its resolved row, the packages that it makes,
// their programs, the steps that prove them and the inputs of those. Two files
// that mean the same give the same; keys that are not set do not count, so that
// a relmat that knows more of them gives the same, too. extra is what the file
// only points to, such as the digest of a toolkit's lock.
func (f *File) RowDigest(target string, extra ...string) string {
	r := f.row(target)
	flat := map[string]any{"extra": extra}
	flatten(flat, "project", reflect.ValueOf(f.Project))
	delete(flat, "project.source")
	flatten(flat, "target", reflect.ValueOf(r.Target))
	for key := range flat {
		for _, not := range notInDigest {
			if at := "target." + not; key == at || len(key) > len(at) && key[:len(at)+1] == at+"." {
				delete(flat, key)
			}
		}
	}
	flat["target"] = target
	for _, name := range r.Native.Pins {
		flatten(flat, "pins."+name, reflect.ValueOf(f.Pins.Values[name]))
	}
	if r.Toolkit != "" {
		flatten(flat, "toolkit", reflect.ValueOf(f.Toolkits.Values[r.Toolkit].Requirements))
	}
	packages := f.PackagesOf(r)
	flat["packages"] = packages
	for _, name := range packages {
		p := f.Packages.Values[name]
		p.Like, p.Targets, p.Layout = "", nil, p.LayoutOf()
		p.Files = slices.DeleteFunc(slices.Clone(p.Files), func(x Files) bool { return !Matches(x.Targets, target) })
		for i := range p.Files {
			p.Files[i].Targets = nil
		}
		flatten(flat, "packages."+name, reflect.ValueOf(p))
	}
	programs := f.ProgramsOf(r)
	for _, name := range programs {
		flatten(flat, "programs."+name, reflect.ValueOf(f.Programs.Values[name]))
	}
	var steps []string
	for _, name := range f.Smoke.Steps.Keys {
		if s := f.Smoke.Steps.Values[name]; Matches(s.Targets, target) && slices.Contains(programs, s.Program) {
			s.Targets, s.Timeout, s.Promote = nil, 0, ""
			flatten(flat, "steps."+name, reflect.ValueOf(s))
			steps = append(steps, name)
		}
	}
	if flat["steps"] = steps; len(steps) > 0 {
		for _, name := range f.Smoke.Inputs.Keys {
			in := f.Smoke.Inputs.Values[name]
			flat["inputs."+name] = []string{in.SHA256, in.Name()}
		}
	}
	h := sha256.New()
	for _, key := range slices.Sorted(maps.Keys(flat)) {
		value, err := json.Marshal(flat[key])
		if err != nil {
			panic("matrix: digest: " + err.Error()) // only plain data gets here
		}
		_, _ = io.WriteString(h, key+" "+string(value)+"\n")
	}
	return hex.EncodeToString(h.Sum(nil))
}

// flatten lists what is set in v by its path of YAML keys.
func flatten(flat map[string]any, at string, v reflect.Value) {
	if !v.IsValid() || v.IsZero() {
		return
	}
	switch {
	case v.Kind() == reflect.Pointer:
		flat[at] = v.Elem().Interface() // false is a value of its own
	case v.Type() == durationType:
		flat[at] = v.Interface().(time.Duration).String()
	case v.Kind() == reflect.Struct && reflect.PointerTo(v.Type()).Implements(mappingType):
		for _, key := range v.FieldByName("Keys").Interface().([]string) {
			flatten(flat, at+"."+key, v.FieldByName("Values").MapIndex(reflect.ValueOf(key)))
		}
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			if name := v.Type().Field(i).Tag.Get("yaml"); name != "" {
				flatten(flat, join(at, name), v.Field(i))
			}
		}
	case v.Kind() == reflect.Slice:
		flat[at] = v.Len() // an element that is not set counts
		for i := range v.Len() {
			flatten(flat, fmt.Sprintf("%s[%03d]", at, i), v.Index(i))
		}
	default:
		flat[at] = v.Interface()
	}
}
