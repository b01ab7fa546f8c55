package matrix

import (
	_ "embed"
	"encoding/json"
	"slices"
)

//go:embed rules.json
var rulesJSON []byte

// Severities are those of findings, the gravest first; off switches a rule off.
var Severities = []string{"error", "warning", "note", "off"}

// Rule is a rule that packages are verified by.
type Rule struct {
	Name string `json:"name"`
	// Severity is the one that the matrix can change.
	Severity string `json:"severity"`
	// What is what the rule wants, in one line.
	What string `json:"what"`
}

var verifyRules = mustRules(rulesJSON)

func mustRules(data []byte) []Rule {
	var t struct {
		Rules []Rule `json:"rules"`
	}
	if err := json.Unmarshal(data, &t); err != nil {
		panic("matrix: rules.json: " + err.Error())
	}
	return t.Rules
}

// Rules returns the rules in their order.
func Rules() []Rule { return verifyRules }

// RuleOf returns the rule of that name.
func RuleOf(name string) (Rule, bool) {
	i := slices.IndexFunc(verifyRules, func(r Rule) bool { return r.Name == name })
	if i < 0 {
		return Rule{}, false
	}
	return verifyRules[i], true
}

func ruleNames() []string {
	var names []string
	for _, r := range verifyRules {
		names = append(names, r.Name)
	}
	return names
}

// SeverityOf is the severity of a rule's findings by this matrix.
func (v Verify) SeverityOf(r Rule) string {
	if s := v.Severity.Values[r.Name]; s != "" {
		return s
	}
	return r.Severity
}

// checkVerify checks severities and exceptions.
func (f *File) checkVerify() {
	for _, name := range f.Verify.Severity.Keys {
		at := "verify.severity." + name
		f.reference(at, "the rules", name, ruleNames())
		if s := f.Verify.Severity.Values[name]; !slices.Contains(Severities, s) {
			f.problem(at, "allowed: "+listOr(Severities, ""), "%q is no severity", s)
		}
	}
	for i, a := range f.Verify.Allow {
		at := index("verify.allow", i)
		if a.Rule == "" {
			f.problem(at+".rule", "allowed: "+listOr(ruleNames(), ""), "is missing")
		} else {
			f.reference(at+".rule", "the rules", a.Rule, ruleNames())
		}
		if a.Reason == "" {
			f.problem(at+".reason", "an exception holds by its reason, which the report shows", "is missing")
		}
		f.checkFilePattern(at+".file", a.File)
		f.checkGlobs(at+".targets", a.Targets)
	}
}
