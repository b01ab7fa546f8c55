// Package incidents rebuilds releases that went wrong elsewhere, each with real
// compilers, and shows that relmat stops them before anyone downloads them, that
// the mended ones pass, and that it is the rule which makes the difference. It
// needs Linux on x86_64, Go, Cargo, CMake, a C and C++ compiler, binutils,
// Python and qemu-user, and no network.
package incidents

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/relmat/relmat/internal/matrix"
	"github.com/relmat/relmat/internal/verify"
)

// incident is a release that went wrong.
type incident struct {
	// number is that of the list, name says what happened.
	number int
	name   string
	// cases are the ways in which it is rebuilt and stopped by a rule.
	cases []ruleCase
	// also are checks of what a stage other than verify stops, by name.
	also []check
	// serial says that it changes the environment.
	serial bool
}

type check struct {
	name string
	run  func(t *testing.T)
}

// ruleCase is a package that a rule stops.
type ruleCase struct {
	name string
	// rules are those that stop the broken package: with all of them switched
	// off, nothing does.
	rules []string
	// says is an expression for the finding: its file, message, hint and
	// evidence.
	says string
	// target, pkg and file are more keys of the target, of its package and of
	// the file, as YAML; triple is Linux's if empty.
	triple, target, pkg, file string
	// severity sets the severity of rules that only warn unless the matrix says
	// otherwise.
	severity map[string]string
	// vendor names the wheel of a file by its SHA-256.
	vendor func(p *tree) func(string) (string, bool)
	// forms are how the package is given to verify: dir, zip, tar.gz; all of
	// them if nil.
	forms []string
	// packer makes the archive, if relmat's own packing does not.
	packer func(p *tree, form string) string
	// common makes what both packages hold, broken and mended the rest.
	common, broken, mended func(p *tree)
}

// incidents are all of the list "In the files", by number.
func incidents() []incident {
	return slices.Concat(closureIncidents(), gpuIncidents(), machineIncidents(), windowsIncidents(), contentIncidents(), vendorIncidents(), stageIncidents())
}

func TestMain(m *testing.M) {
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		fmt.Fprintln(os.Stderr, "the incidents are rebuilt for Linux on x86_64; run them there")
		os.Exit(1)
	}
	for tool, hint := range map[string]string{
		"cc": "install a C compiler (apt-get install g++)", "c++": "install g++", "cmake": "install cmake", "cargo": "install Rust (rustup.rs)",
		"ninja": "install ninja-build", "objcopy": "install binutils", "readelf": "install binutils", "python3": "install python3",
		"qemu-x86_64": "as root, scripts/incident-tools.sh installs it; else install qemu-user",
	} {
		if _, err := exec.LookPath(tool); err != nil {
			fmt.Fprintf(os.Stderr, "the incidents need %s: %s\n", tool, hint)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// TestIncident stops each incident and lets the mended package pass. What a rule
// stops is not stopped with the rule switched off, so it is that rule.
func TestIncident(t *testing.T) {
	for _, in := range incidents() {
		t.Run(fmt.Sprintf("incident-%02d %s", in.number, in.name), func(t *testing.T) {
			if !in.serial {
				t.Parallel()
			}
			for _, c := range in.cases {
				t.Run(c.name, c.test)
			}
			for _, c := range in.also {
				t.Run(c.name, c.run)
			}
		})
	}
}

// TestIncidentsAreAll holds the tests against the list: none is left out, and
// none stands twice.
func TestIncidentsAreAll(t *testing.T) {
	var numbers []int
	for _, in := range incidents() {
		if len(in.cases)+len(in.also) == 0 {
			t.Errorf("incident-%02d has no test", in.number)
		}
		numbers = append(numbers, in.number)
	}
	slices.Sort(numbers)
	for i, n := range numbers {
		if n != i+1 {
			t.Fatalf("the incidents are %v, want each from 1 to 26 once", numbers)
		}
	}
	if len(numbers) != 26 {
		t.Fatalf("%d incidents, want 26", len(numbers))
	}
}

func (c ruleCase) test(t *testing.T) {
	broken, mended := newTree(t), newTree(t)
	for tr, make := range map[*tree]func(*tree){broken: c.broken, mended: c.mended} {
		if c.common != nil {
			c.common(tr)
		}
		if make != nil {
			make(tr)
		}
	}
	forms := c.forms
	if forms == nil {
		forms = []string{"dir", "zip", "tar.gz"}
	}
	for _, form := range forms {
		path := c.pack(broken, form)
		t.Run("stopped/"+form, func(t *testing.T) {
			if err := c.stopped(c.judge(t, broken, path, nil)); err != nil {
				t.Error(err)
			}
		})
		// The same test fails without the rule: nothing else stops the package.
		t.Run("rule-off/"+form, func(t *testing.T) {
			rep := c.judge(t, broken, path, c.rules)
			if err := c.stopped(rep); err == nil {
				t.Errorf("it is stopped with %s switched off", strings.Join(c.rules, ", "))
			}
			if err := rep.Err(); err != nil {
				t.Errorf("with %s switched off something else stops it:\n%s", strings.Join(c.rules, ", "), show(rep))
			}
		})
		t.Run("mended/"+form, func(t *testing.T) {
			rep := c.judge(t, mended, c.pack(mended, form), nil)
			if err := rep.Err(); err != nil {
				t.Errorf("the mended package is stopped:\n%s", show(rep))
			}
			for _, f := range rep.Findings {
				if slices.Contains(c.rules, f.Rule) && f.Severity != "note" {
					t.Errorf("the mended package has a finding of the rule: %s: %s %s", f.Rule, f.File, f.Message)
				}
			}
		})
	}
}

func (c ruleCase) pack(p *tree, form string) string {
	if c.packer != nil {
		return c.packer(p, form)
	}
	return p.pack(form)
}

// stopped tells whether each of the case's rules stops the package, and for the
// right reason.
func (c ruleCase) stopped(rep *verify.Report) error {
	if rep.Err() == nil {
		return fmt.Errorf("the package is not stopped:\n%s", show(rep))
	}
	says := regexp.MustCompile(c.says)
	for _, rule := range c.rules {
		found := slices.ContainsFunc(rep.Findings, func(f verify.Finding) bool {
			return f.Rule == rule && f.Severity == "error" && !f.Allowed && says.MatchString(whole(f))
		})
		if !found {
			return fmt.Errorf("no error of %s says %q:\n%s", rule, c.says, show(rep))
		}
	}
	return nil
}

func whole(f verify.Finding) string {
	return strings.Join(append([]string{f.File + " " + f.Message, f.Hint}, f.Evidence...), "\n")
}

func show(rep *verify.Report) string {
	var b strings.Builder
	for _, f := range rep.Findings {
		fmt.Fprintf(&b, "  %s %s: %s %s (%s)\n", f.Severity, f.Rule, f.File, f.Message, strings.Join(f.Evidence, "; "))
	}
	if b.Len() == 0 {
		return "  no findings"
	}
	return b.String()
}

// matrixFile is the case's targets.yaml, with more rules switched off.
func (c ruleCase) matrixFile(t *testing.T, off []string) *matrix.File {
	t.Helper()
	triple := c.triple
	if triple == "" {
		triple = "x86_64-unknown-linux-gnu"
	}
	var severities []string
	for rule, s := range c.severity {
		if !slices.Contains(off, rule) {
			severities = append(severities, rule+": "+s)
		}
	}
	for _, rule := range off {
		severities = append(severities, rule+": off")
	}
	text := "version: 1\nproject: {name: app, version-package: app}\nprograms: {app: {package: app}}\n" +
		"targets: {here: {triple: " + triple + with(c.target) + "}}\n" +
		"packages: {app: {asset: \"app-{{.Target}}\", programs: [app]" + with(c.pkg) + "}}\n" +
		"verify: {severity: {" + strings.Join(severities, ", ") + "}}\n" + c.file
	f, err := matrix.Parse("targets.yaml", []byte(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return f
}

func with(keys string) string {
	if keys == "" {
		return ""
	}
	return ", " + keys
}

// judge verifies a package as the pipeline does.
func (c ruleCase) judge(t *testing.T, p *tree, path string, off []string) *verify.Report {
	t.Helper()
	f := c.matrixFile(t, off)
	pkg := f.Packages.Values["app"]
	target := &verify.Target{Row: f.Rows()[0], Name: "app", Package: pkg}
	o := verify.Options{Path: path, Target: target, Rules: f.Verify}
	if c.vendor != nil {
		o.Vendor = c.vendor(p)
	}
	rep, err := verify.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return rep
}
