package matrix

import "strings"

// rule is what the type of a key does not say.
type rule struct {
	// need tells that the key must be there and hold something.
	need bool
	// some tells that a list that is there must hold something.
	some bool
	// text is what the value, or each value of a list or mapping, is.
	text text
	// names says in the schema of a mapping what its names are.
	names func(*Schema)
	// define names the definition, where a type has more than one.
	define string
	// schema is the whole schema, where it is of its own kind.
	schema func() *Schema
}

// each is the rule for the elements of a list or mapping, which have no key of
// their own that could be left out.
func (r rule) each() rule {
	t := r.text
	t.element = true
	return rule{text: t, define: r.define}
}

// text is a kind of text. Its patterns mean the same in Go and in the regular
// expressions of JavaScript, which editors use.
type text struct {
	kind string
	// types are those of the values that can be such a text when they are
	// written without quotes: 13.0, true. All, if none are given.
	types Types
	// patterns must all match; hint says them in words.
	patterns []string
	hint     string
	enum     []any
	// about describes the words of enum.
	about []string
	// element tells that an empty text is a value, not a key that is not set.
	element bool
}

// schema is the schema of such a text. A text that need not be there may be
// empty, which sets nothing.
func (t text) schema(need bool) *Schema {
	s := &Schema{Type: t.types, Kind: t.kind}
	if s.Kind == "" {
		s.Kind = "text"
	}
	if len(s.Type) == 0 {
		s.AllOf = []*Schema{{Ref: "#/definitions/text"}}
	}
	canBeEmpty := !need && !t.element
	if len(t.enum) > 0 {
		words := &Schema{Enum: t.enum, EnumDescriptions: t.about}
		if !canBeEmpty {
			s.Enum, s.EnumDescriptions = words.Enum, words.EnumDescriptions
			return s
		}
		s.AnyOf = []*Schema{words, {MaxLength: new(int)}}
		return s
	}
	for i, p := range t.patterns {
		if canBeEmpty {
			p = "^$|" + p
		}
		if i == 0 {
			s.Pattern, s.PatternErrorMessage = p, t.hint
			continue
		}
		s.AllOf = append(s.AllOf, &Schema{Pattern: p, PatternErrorMessage: t.hint})
	}
	if need && len(t.patterns) == 0 {
		s.MinLength = 1
	}
	return s
}

// anyText is the schema of text, which may look like a number or a truth value
// where it is written without quotes. That it does not name the type boolean
// keeps editors from proposing true and false for every text.
func anyText() *Schema {
	return &Schema{
		If:   &Schema{Not: &Schema{Type: Types{"boolean"}}},
		Then: &Schema{Type: Types{"string", "number"}, ErrorMessage: "Write text here."},
	}
}

const (
	// pathElement is an element of a path that is neither . nor ..
	pathElement  = `([^/\\:.]|\.[^/\\:.]|\.\.[^/\\:])[^/\\:]*`
	architecture = `[1-9][0-9]{1,2}[af]?(-real|-virtual)?`
)

// Kinds of text.
var (
	aTemplate   = text{kind: "template"}
	anExpr      = text{kind: "expression"}
	aGlob       = text{kind: "pattern"}
	aName       = text{kind: "name", patterns: []string{word.String()}, hint: wordHint}
	aReference  = aName // of an entry, whose name is such a one
	aVariable   = text{kind: "variable", patterns: []string{envName.String()}, hint: "a name of an environment variable: letters, digits and '_', no digit first"}
	aFileName   = text{kind: "file name", patterns: []string{safeName.String()}, hint: "letters, digits, '.', '_', '+' and '-'"}
	aPath       = text{kind: "path", patterns: []string{`^\.$|^` + pathElement + `(/` + pathElement + `)*$`}, hint: "a relative path with '/', without '..', such as include/cccl"}
	anAddress   = text{kind: "address", types: Types{"string"}, patterns: []string{`^[Hh][Tt][Tt][Pp][Ss]?://[^/?#]`}, hint: "an http or https address"}
	aSHA256     = text{kind: "SHA-256", types: Types{"string", "number"}, patterns: []string{`^[0-9a-fA-F]{64}$`}, hint: "64 hexadecimal digits"}
	anArch      = text{kind: "architecture", types: Types{"string", "integer"}, patterns: []string{`^[1-9][0-9]{1,2}[af]?$`}, hint: "an architecture, such as 90a"}
	architects  = text{kind: "architectures", types: Types{"string", "integer"}, patterns: []string{`^` + architecture + `(;` + architecture + `)*$`}, hint: "architectures, separated by semicolons, such as 80-real;86;90a"}
	aTriple     = text{kind: "triple", types: Types{"string"}, patterns: []string{`^[^-]+-[^-]*-`, `(^|-)(linux|darwin|windows)(-|$)`}, hint: "a Rust target triple for Linux, macOS or Windows, such as x86_64-unknown-linux-gnu"}
	aDuration   = text{kind: "duration", types: Types{"string"}, patterns: []string{`^\+?(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+$`, `[1-9]`}, hint: "a duration such as 90s or 5m"}
	anArchive   = text{kind: "word", types: Types{"string"}, enum: anys(Archives)}
	aCache      = text{kind: "word", types: Types{"string"}, enum: anys(CompilerCaches)}
	aPromote    = text{kind: "word", types: Types{"string"}, enum: anys(Promotes)}
	aDevice     = text{kind: "word", types: Types{"string"}, enum: []any{"cuda"}}
	aLevel      = text{kind: "CPU level", types: Types{"string"}, enum: anys(cpuNames("")), about: cpuAbout()}
	aVersion    = text{kind: "version", types: Types{"string", "number"}, patterns: []string{versionNumber.String()}, hint: "numbers with points, such as 2.35"}
	aCapability = text{kind: "compute capability", types: Types{"string", "number"}, patterns: []string{capability.String()}, hint: "a compute capability, such as 9.0"}
	anImage     = text{kind: "image", types: Types{"string"}, patterns: []string{imageName.String()}, hint: "an image, such as sm_121a or compute_120"}
	aRuntime    = text{kind: "word", types: Types{"string"}, enum: anys(Runtimes)}
	aStyle      = text{kind: "word", types: Types{"string"}, enum: anys(layoutNames())}
	aSeverity   = text{kind: "word", types: Types{"string"}, enum: anys(Severities)}
	aRule       = text{kind: "word", types: Types{"string"}, enum: anys(ruleNames())}
	aServer     = text{kind: "URL", types: anAddress.types, patterns: anAddress.patterns, hint: anAddress.hint}
	aSigner     = text{kind: "word", types: Types{"string"}, enum: anys(signerNames())}
	aSecret     = text{kind: "secret's place", types: Types{"string"}, patterns: []string{secretForm}, hint: secretHint}
	aThumbprint = text{kind: "SHA-1", types: Types{"string", "number"}, patterns: []string{thumbprint.String()}, hint: "40 hexadecimal digits"}
	aRelative   = text{kind: "path", patterns: []string{relative.String()}, hint: "a path relative to this file"}
	platformSet = anys(platforms())
)

// rules are by type and key. A key that is not here is any text, number or
// truth value of its type, and can be left out.
var rules = map[string]rule{
	"File.version":          {need: true, schema: formatVersion},
	"File.project":          {need: true},
	"File.pins":             {names: namesLike(aName)},
	"File.toolkits":         {names: namesLike(aName)},
	"File.programs":         {names: namesLike(aName)},
	"File.defaults":         {define: sharedTarget},
	"File.targets":          {names: namesLike(aName), need: true},
	"File.packages":         {names: namesLike(aName), need: true},
	"Systems.linux":         {define: systemTarget},
	"Systems.macos":         {define: systemTarget},
	"Systems.windows":       {define: systemTarget},
	"Project.name":          {text: aName, need: true},
	"Project.source":        {text: text{kind: "path", patterns: []string{relative.String()}, hint: "a path relative to this file"}},
	"Project.version":       {text: aFileName},
	"Project.tag":           {text: aTemplate},
	"Pin.places":            {need: true},
	"Place.file":            {text: aPath, need: true},
	"Place.pattern":         {text: anExpr, need: true},
	"Toolkit.lock":          {text: text{kind: "path"}, need: true},
	"Toolkit.requirements":  {need: true},
	"From.source":           {text: aPath},
	"From.toolkit":          {text: aPath},
	"Target.triple":         {text: aTriple},
	"Target.variant-of":     {text: aReference},
	"Target.toolkit":        {text: aReference},
	"Native.pins":           {text: aReference},
	"Target.hosts":          {names: func(s *Schema) { s.PropertyNames = &Schema{Enum: platformSet} }},
	"Target.env":            {text: aTemplate, names: buildVariables},
	"Target.pass":           {text: aVariable},
	"Target.compiler-cache": {text: aCache},
	"Target.archive":        {text: anArchive},
	"Floors.glibc":          {text: aVersion},
	"Floors.libstdcxx":      {text: aVersion},
	"Floors.macos":          {text: aVersion},
	"Floors.driver":         {text: aVersion},
	"Require.native":        {text: aCapability},
	"Require.jit":           {text: aCapability},
	"Require.images":        {text: anImage},
	"BuildHost.triple":      {text: aTriple},
	"CPU.level":             {text: aLevel},
	"CPU.env":               {text: aVariable},
	"CUDA.architectures":    {text: architects},
	"CUDA.env":              {text: aVariable},
	"CUDA.gates":            {text: anArch},
	"Package.asset":         {text: aTemplate},
	"Package.root":          {text: aTemplate},
	"Package.targets":       {text: aGlob},
	"Package.like":          {text: aReference},
	"Package.programs":      {text: aReference},
	"Package.runtime":       {text: aRuntime},
	"Package.runtime-of":    {text: aReference},
	"Layout.style":          {text: aStyle},
	"Layout.programs":       {text: aPath},
	"Layout.libraries":      {text: aPath},
	"Layout.licenses":       {text: aPath},
	"Files.source":          {text: aPath},
	"Files.out-dir":         {text: aPath},
	"Files.toolkit":         {text: aPath},
	"Files.to":              {text: aPath, need: true},
	"Files.targets":         {text: aGlob},
	"Files.contains":        {text: aPath},
	"Verify.severity":       {text: aSeverity, names: func(s *Schema) { s.PropertyNames = &Schema{Enum: anys(ruleNames())} }},
	"Allow.rule":            {text: aRule, need: true},
	"Allow.file":            {text: aGlob},
	"Allow.targets":         {text: aGlob},
	"Allow.reason":          {need: true},
	"Smoke.inputs":          {names: namesLike(aName)},
	"Smoke.steps":           {names: namesLike(aName)},
	"Input.url":             {text: anAddress, need: true},
	"Input.sha256":          {text: aSHA256, need: true},
	"Input.as":              {text: aFileName},
	"Step.program":          {text: aReference, need: true},
	"Step.args":             {text: aTemplate},
	"Step.targets":          {text: aGlob},
	"Step.device":           {text: aDevice},
	"Expect.stdout":         {text: anExpr},
	"Expect.stderr":         {text: anExpr},
	"Expect.values":         {text: aTemplate},
	"Expect.same":           {text: aReference},
	"Step.promote":          {text: aPromote},
	"Sign.tool":             {text: aSigner},
	"Sign.password":         {text: aSecret},
	"Sign.thumbprint":       {text: aThumbprint},
	"Sign.chain":            {text: aRelative},
	"Sign.metadata":         {text: aRelative},
	"Sign.trust":            {text: aRelative},
	"Sign.command":          {text: aTemplate},
	"Sign.pass":             {text: aVariable},
	"Sign.timestamp":        {text: aServer},
	"Sign.except":           {text: aGlob},
}

// structRules add to the schema of a type what its keys mean together.
var structRules = map[string]func(*Schema){
	"Package": func(s *Schema) {
		s.If, s.Else = holds("like"), holds("asset")
		s.Else.AnyOf = []*Schema{some("programs"), some("runtime-of")}
		const split = "A package of libraries is what others split off."
		s.AllOf = append(s.AllOf, &Schema{If: some("runtime-of"), Then: empty(split, "runtime")}, &Schema{If: some("runtime-of"), Then: none(split, "programs")})
	},
	"Project": func(s *Schema) {
		exactlyOne(s, "Give one of version-package and version.", "version-package", "version")
	},
	"Program": func(s *Schema) {
		const one = "Give one of package and from."
		from := &Schema{Required: []string{"from"}, Properties: &Properties{}}
		from.Properties.put("from", &Schema{AnyOf: []*Schema{holds("source"), holds("toolkit")}})
		s.AnyOf = []*Schema{holds("package"), from}
		not := &Schema{Properties: &Properties{}}
		not.Properties.put("from", empty(one, "source", "toolkit"))
		s.AllOf = append(s.AllOf, &Schema{If: holds("package"), Then: not}, &Schema{If: from, Then: empty("bin is Cargo's.", "bin")})
	},
	"From": func(s *Schema) {
		s.AllOf = append(s.AllOf, &Schema{If: holds("source"), Then: empty("Give one of source and toolkit.", "toolkit")})
	},
	"Files": func(s *Schema) {
		exactlyOne(s, "Give exactly one of source, out-dir and toolkit.", "source", "out-dir", "toolkit")
		s.If, s.Then, s.Else = holds("out-dir"), holds("crate"), empty("crate goes with out-dir.", "crate")
	},
}

// exactlyOne wants one of the keys, which hold text, and only one.
func exactlyOne(s *Schema, why string, keys ...string) {
	for i, key := range keys {
		has := holds(key)
		has.ErrorMessage = why
		s.AnyOf = append(s.AnyOf, has)
		if others := keys[i+1:]; len(others) > 0 {
			s.AllOf = append(s.AllOf, &Schema{If: holds(key), Then: empty(why, others...)})
		}
	}
}

// some is the schema of a mapping in which the list at key has an element,
// none of one in which it has none or is not there.
func some(key string) *Schema {
	s := &Schema{Required: []string{key}, Properties: &Properties{}}
	s.Properties.put(key, &Schema{MinItems: 1})
	return s
}

func none(why, key string) *Schema {
	s := &Schema{Properties: &Properties{}}
	s.Properties.put(key, &Schema{MaxItems: new(int), ErrorMessage: why})
	return s
}

// holds is the schema of a mapping in which key is there and not empty.
func holds(key string) *Schema {
	s := &Schema{Required: []string{key}, Properties: &Properties{}}
	s.Properties.put(key, &Schema{MinLength: 1})
	return s
}

// empty is the schema of a mapping in which the keys are not there or empty.
func empty(why string, keys ...string) *Schema {
	s := &Schema{Properties: &Properties{}}
	for _, key := range keys {
		s.Properties.put(key, &Schema{Enum: []any{""}, ErrorMessage: why})
	}
	return s
}

// shapes are definitions of the same type that allow less.
var shapes = map[string]func(*Schema){
	sharedTarget: func(s *Schema) { forbid(s, "variant-of", "Only a target can be a variant.") },
	systemTarget: func(s *Schema) {
		forbid(s, "variant-of", "Only a target can be a variant.")
		forbid(s, "triple", "The triple decides the system, not the other way round: write it in the target.")
	},
}

// forbid leaves of a key nothing but the empty text, which sets nothing.
func forbid(s *Schema, key, why string) {
	s.Properties.Values[key] = &Schema{Type: Types{"string"}, MaxLength: new(int), Description: why, DoNotSuggest: true}
}

func formatVersion() *Schema {
	return &Schema{Kind: "number", AnyOf: []*Schema{{Const: Version}, {Type: Types{"string"}, Pattern: "^1$"}}}
}

func wholeNumber() *Schema {
	return &Schema{
		Kind: "number", Type: Types{"integer", "string"}, Minimum: new(int),
		Pattern: `^(\+?[0-9]+|-0+)$`, PatternErrorMessage: "a whole number of 0 or more",
	}
}

// namesLike says what the names of a mapping look like. They are always text.
func namesLike(t text) func(*Schema) {
	return func(s *Schema) {
		s.PropertyNames = &Schema{Pattern: t.patterns[0], PatternErrorMessage: t.hint}
	}
}

func buildVariables(s *Schema) {
	namesLike(aVariable)(s)
	s.Properties = &Properties{}
	for _, name := range reservedEnv {
		s.Properties.put(name, nil)
	}
}

func platforms() []string {
	var names []string
	for _, system := range systems {
		for _, arch := range archs {
			names = append(names, Platform{system, arch}.String())
		}
	}
	return names
}

func cpuAbout() []string {
	var about []string
	for _, l := range CPULevels() {
		about = append(about, strings.Join([]string{l.Arch, "since " + l.Since}, ", "))
	}
	return about
}

func anys(list []string) []any {
	out := make([]any, len(list))
	for i, s := range list {
		out[i] = s
	}
	return out
}
