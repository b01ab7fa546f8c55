package matrix

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"net/url"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

//go:embed signers.json
var signersJSON []byte

// Signer is a tool that signs, by relmat's table.
type Signer struct {
	Name string `json:"name"`
	// Targets are the operating systems whose files it signs, Hosts those on
	// which it runs.
	Targets []string `json:"targets"`
	Hosts   []string `json:"hosts"`
	// Takes are the keys of sign that it has a use for besides those of all
	// tools; of each of Needs one must be there.
	Takes []string   `json:"takes"`
	Needs [][]string `json:"needs"`
}

// SignNone is the tool of programs that are not signed.
const SignNone = "none"

var signers = mustSigners(signersJSON)

func mustSigners(data []byte) []Signer {
	var t struct {
		Signers []Signer `json:"signers"`
	}
	if err := json.Unmarshal(data, &t); err != nil {
		panic("matrix: signers.json: " + err.Error())
	}
	return t.Signers
}

// Signers returns the table of tools that sign.
func Signers() []Signer { return signers }

func signerNames() []string {
	var names []string
	for _, s := range signers {
		names = append(names, s.Name)
	}
	return names
}

func signerOf(name string) (Signer, bool) {
	i := slices.IndexFunc(signers, func(s Signer) bool { return s.Name == name })
	if i < 0 {
		return Signer{}, false
	}
	return signers[i], true
}

// Signs tells whether own files are signed.
func (s Sign) Signs() bool { return s.Tool != "" && s.Tool != SignNone }

// SignsPrebuilt tells whether programs of somebody else's build are signed, too.
func (s Sign) SignsPrebuilt() bool { return s.Prebuilt != nil && *s.Prebuilt }

// Stamped tells whether signatures have a time stamp.
func (s Sign) Stamped() bool { return len(s.Timestamp) > 0 }

// Excepted tells whether a path of the package is not to be signed.
func (s Sign) Excepted(p string) bool { return len(s.Except) > 0 && Matches(s.Except, p) }

// StoresFile tells whether the keystore is a file, and not the address of a
// service.
func (s Sign) StoresFile() bool {
	switch s.StoreType {
	case "", "PKCS12", "JKS", "JCEKS":
		return true
	}
	return false
}

// SecretVariables are the variables by which the matrix hands secrets to the
// tool: nothing else may get them.
func (s Sign) SecretVariables() []string {
	names := slices.Clone(s.Pass)
	for _, text := range []string{s.Password, s.Keystore} {
		if name, ok := strings.CutPrefix(text, "env:"); ok {
			names = append(names, name)
		}
	}
	return names
}

const (
	secretForm   = `^(env:[A-Za-z_][A-Za-z0-9_]*|file:.+|fd:[0-9]+)$`
	keystoreHint = "file:PATH, or env:VARIABLE that holds it in base64"
	secretHint   = "env:VARIABLE, file:PATH or fd:NUMBER; a secret itself never stands in targets.yaml"
)

var (
	secretRef     = regexp.MustCompile(secretForm)
	thumbprint    = regexp.MustCompile(`^[0-9A-Fa-f]{40}$`)
	keystoreRef   = regexp.MustCompile(`^(env:[A-Za-z_][A-Za-z0-9_]*|file:.+)$`)
	stampAddress  = regexp.MustCompile(`^[Hh][Tt][Tt][Pp][Ss]?://[^/?#]`)
	signTemplates = []string{"{{.File}}", "{{.Timestamp}}"}
)

// checkSign checks each value of sign by itself.
func (f *File) checkSign(at string, s Sign) {
	if s.Tool != "" {
		if _, ok := signerOf(s.Tool); !ok {
			hint := "allowed: " + strings.Join(signerNames(), ", ")
			if near := nearest(s.Tool, signerNames()); near != "" {
				hint = "did you mean \"" + near + "\"? " + hint
			}
			f.problem(at+".tool", hint, "%q is no tool that signs", s.Tool)
		}
	}
	if s.Password != "" && !secretRef.MatchString(s.Password) {
		f.problem(at+".password", secretHint, "does not say where the password is") // it may be one: it is not shown
	}
	if s.Thumbprint != "" && !thumbprint.MatchString(s.Thumbprint) {
		f.problem(at+".thumbprint", "40 hexadecimal digits, without spaces", "%q is no SHA-1 thumbprint", s.Thumbprint)
	}
	for _, p := range []struct{ key, path string }{{"chain", s.Chain}, {"metadata", s.Metadata}, {"trust", s.Trust}} {
		if p.path != "" && !relative.MatchString(p.path) {
			f.problem(at+"."+p.key, "write it relative to this file", "is an absolute path")
		}
	}
	for i, text := range s.Timestamp {
		if u, err := url.Parse(text); err != nil || u.Host == "" || !stampAddress.MatchString(text) {
			f.problem(index(at+".timestamp", i), "for example http://timestamp.digicert.com", "%q is not an http or https address", text)
		}
	}
	for i, name := range s.Pass {
		f.checkEnv(index(at+".pass", i), name)
	}
	for i, p := range s.Except {
		if _, err := path.Match(p, ""); err != nil {
			f.problem(index(at+".except", i), "a pattern has *, ? and [a-z]", "%q: %v", p, err)
		}
	}
	for i, text := range s.Command {
		if _, err := (SignFields{}).Expand(text); err != nil {
			f.problem(index(at+".command", i), "its fields are "+strings.Join(signTemplates, " and "), "%v", err)
		}
	}
}

// checkRowSign checks what only the resolved target tells: the tool with what
// it needs and takes, and that no secret of it reaches a build.
func (f *File) checkRowSign(at string, row Row) {
	s := row.Sign
	tool, ok := signerOf(s.Tool)
	if !ok {
		if key := firstSet(row, "sign."); s.Tool == "" && key != "" {
			f.problem(f.origin(at, row, key), "name the tool: sign.tool", "signs nothing")
		}
		return
	}
	where := f.origin(at, row, "sign.tool")
	if row.Platform.OS != "" && !slices.Contains(tool.Targets, row.Platform.OS) {
		f.problem(where, "it signs for "+strings.Join(tool.Targets, ", "), "%s does not sign files of %s", s.Tool, row.Platform.OS)
		return
	}
	for _, h := range row.BuildHosts() {
		if !slices.Contains(tool.Hosts, h.OS) && row.On(h).Triple == row.Triple {
			f.problem(where, "name a tool that runs there, or leave the host out", "%s does not run on %s, which can build target %s", s.Tool, h, row.Name)
		}
	}
	set := func(key string) bool { _, ok := row.origins["sign."+key]; return ok }
	for _, keys := range tool.Needs {
		if !slices.ContainsFunc(keys, set) {
			f.problem(where, "give "+strings.Join(keys, " or "), "%s needs sign.%s", s.Tool, strings.Join(keys, " or sign."))
		}
	}
	// What another layer says of another tool is not of interest.
	for _, key := range signKeys {
		if set(key) && row.origins["sign."+key] == row.origins["sign.tool"] && !slices.Contains(tool.Takes, key) {
			f.problem(f.origin(at, row, "sign."+key), s.Tool+" takes "+strings.Join(tool.Takes, ", "), "%s has no use for sign.%s", s.Tool, key)
		}
	}
	if s.Tool == SignNone {
		return
	}
	if row.Platform.OS == "windows" && s.Timestamp == nil {
		f.problem(where, "sign.timestamp: [http://...], or [] for signatures that end with the certificate", "%s needs sign.timestamp", s.Tool)
	}
	if s.Keystore != "" && s.Tool != "command" && s.StoresFile() && !keystoreRef.MatchString(s.Keystore) {
		f.problem(f.origin(at, row, "sign.keystore"), keystoreHint, "%q does not say where the keystore's file is, and %s needs sign.keystore so", s.Keystore, s.Tool)
	}
	if s.Tool == "signtool" && (s.Dlib == "") != (s.Metadata == "") {
		f.problem(where, "give both", "signtool needs sign.dlib with sign.metadata")
	}
	if s.Tool == "command" && len(s.Command) > 0 && !strings.Contains(strings.Join(s.Command, " "), ".File") {
		f.problem(f.origin(at, row, "sign.command"), "name the file: {{.File}}", "signs nothing")
	}
	for _, name := range s.SecretVariables() {
		const hint = "take it out: a build must not see a secret of signing"
		// On Windows a name in other letters is the same variable, and a matrix
		// is right on every host or on none.
		for _, other := range row.Pass {
			if strings.EqualFold(other, name) {
				f.problem(f.origin(at, row, "pass"), hint, "%s is a secret of sign%s", other, spelled(other, name))
			}
		}
		for _, other := range row.Env.Keys {
			if strings.EqualFold(other, name) {
				f.problem(f.origin(at, row, "env."+other), hint, "%s is a secret of sign%s", other, spelled(other, name))
			}
		}
	}
}

// spelled says that a variable is another one on Windows, which does not tell
// capital letters from small ones.
func spelled(variable, secret string) string {
	if variable == secret {
		return ""
	}
	return ": on Windows it is " + secret
}

// firstSet is the first key of the row below prefix that has a value.
func firstSet(row Row, prefix string) string {
	var keys []string
	for key := range row.origins {
		if strings.HasPrefix(key, prefix) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	if len(keys) == 0 {
		return ""
	}
	return keys[0]
}

// signKeys are the keys that not every tool has a use for.
var signKeys = func() []string {
	var keys []string
	t := reflect.TypeFor[Sign]()
	for i := range t.NumField() {
		switch key := t.Field(i).Tag.Get("yaml"); key {
		case "tool", "timestamp", "trust", "prebuilt", "except":
		default:
			keys = append(keys, key)
		}
	}
	return keys
}()

// SignFields is what the command template of sign can use.
type SignFields struct {
	// File is the file to sign, Timestamp the address of a time stamp server.
	File, Timestamp string
}

// Expand executes the template text with the fields.
func (f SignFields) Expand(text string) (string, error) {
	out, err := expand(f, text)
	if err != nil {
		return "", fmt.Errorf("%s", strings.TrimSuffix(err.Error(), " in type matrix.SignFields"))
	}
	return out, nil
}
