// Package matrix is targets.yaml: what a project releases, for which
// platforms, out of what, and how it is proven to run. It turns the file into
// checked values and says exactly what is wrong with one that it refuses.
package matrix

import "time"

// File is a whole targets.yaml. docs/targets.md describes each key.
type File struct {
	Version  int          `yaml:"version"`
	Project  Project      `yaml:"project"`
	Toolkits Map[Toolkit] `yaml:"toolkits"`
	Programs Map[Program] `yaml:"programs"`
	Defaults Target       `yaml:"defaults"`
	Targets  Map[Target]  `yaml:"targets"`
	Packages Map[Package] `yaml:"packages"`
	Smoke    Smoke        `yaml:"smoke"`

	// Path is the file itself, Dir the absolute directory that holds it.
	Path, Dir string
	problems  *problems
	at        *decoder
}

// Project names what is released and where its source is.
type Project struct {
	Name string `yaml:"name"`
	// Source is the program's checkout, relative to targets.yaml.
	Source string `yaml:"source"`
	// VersionPackage is the Cargo package whose version is the release's.
	VersionPackage string `yaml:"version-package"`
	// Tag is the template of the release's git tag.
	Tag string `yaml:"tag"`
}

// Toolkit is a CUDA toolkit made of NVIDIA's wheels.
type Toolkit struct {
	// Lock is the lock file, relative to targets.yaml.
	Lock string `yaml:"lock"`
	// Requirements are pip requirements that `relmat toolkit lock` resolves.
	Requirements []string `yaml:"requirements"`
}

// Program is an executable that the build makes.
type Program struct {
	Package string `yaml:"package"`
	// Bin is the name of Cargo's binary target; the program's own name if empty.
	Bin string `yaml:"bin"`
}

// Target is a row of the matrix.
type Target struct {
	Triple string `yaml:"triple"`
	// OnRequest targets are built only when named exactly.
	OnRequest *bool    `yaml:"on-request"`
	Features  []string `yaml:"features"`
	Profile   string   `yaml:"profile"`
	Locked    *bool    `yaml:"locked"`
	Rustflags []string `yaml:"rustflags"`
	// CPU is the oldest CPU level that the programs run on.
	CPU CPU `yaml:"cpu"`
	// Toolkit names an entry of toolkits.
	Toolkit string `yaml:"toolkit"`
	CUDA    CUDA   `yaml:"cuda"`
	// Env is set for the build; Pass names variables of the host that the build
	// also sees.
	Env  Map[string] `yaml:"env"`
	Pass []string    `yaml:"pass"`
	// NativeCrates have a native build of their own behind Cargo.
	NativeCrates []string `yaml:"native-crates"`
	// NativePins are files of the checkout that pin the sources of the native
	// builds.
	NativePins []string `yaml:"native-pins"`
	// SystemLibraries are expected on the user's machine beyond the base system.
	SystemLibraries []string `yaml:"system-libraries"`
	Archive         string   `yaml:"archive"`
}

// CPU says for which level of the architecture code is generated.
type CPU struct {
	// Level is rustc's target-cpu and the C++ compiler's -march.
	Level string `yaml:"level"`
	// Env is the variable by which the build reads the C++ level.
	Env string `yaml:"env"`
}

// CUDA says for which GPUs code is generated.
type CUDA struct {
	// Architectures is handed to the build as it is written.
	Architectures string `yaml:"architectures"`
	// Env is the variable by which the build reads them.
	Env string `yaml:"env"`
}

// Package is a tree that users unpack.
type Package struct {
	// Asset is the template of the archive's name without its extension.
	Asset    string   `yaml:"asset"`
	Root     *string  `yaml:"root"`
	Targets  []string `yaml:"targets"`
	Programs []string `yaml:"programs"`
	Layout   Layout   `yaml:"layout"`
	Files    []Files  `yaml:"files"`
}

// Layout says where in a package things lie, relative to its root.
type Layout struct {
	Programs  string `yaml:"programs"`
	Libraries string `yaml:"libraries"`
	Licenses  string `yaml:"licenses"`
}

// Files is a file or a directory that a package takes besides its programs and
// their libraries. Exactly one of Source, OutDir and Toolkit says where from.
type Files struct {
	// Source is a path in the project's checkout.
	Source string `yaml:"source"`
	// OutDir is a path in the OUT_DIR of Crate's build script.
	OutDir string `yaml:"out-dir"`
	Crate  string `yaml:"crate"`
	// Toolkit is a path in the CUDA toolkit.
	Toolkit string   `yaml:"toolkit"`
	To      string   `yaml:"to"`
	Targets []string `yaml:"targets"`
	// Contains and MinFiles guard against a source that is there but empty or
	// of another shape.
	Contains []string `yaml:"contains"`
	MinFiles int      `yaml:"min-files"`
}

// Smoke says how an unpacked package is proven to run.
type Smoke struct {
	Inputs Map[Input] `yaml:"inputs"`
	Steps  Map[Step]  `yaml:"steps"`
}

// Input is a file that steps need, pinned by its digest.
type Input struct {
	URL    string `yaml:"url"`
	SHA256 string `yaml:"sha256"`
	// As is the name under which steps find it; the URL's last element if empty.
	As string `yaml:"as"`
}

// Step is one command of the smoke test.
type Step struct {
	Program string        `yaml:"program"`
	Args    []string      `yaml:"args"`
	Targets []string      `yaml:"targets"`
	Timeout time.Duration `yaml:"timeout"`
	// Device is what the step needs: "cuda", or empty for no GPU.
	Device string `yaml:"device"`
	Expect Expect `yaml:"expect"`
}

// Expect says how a step's result is judged.
type Expect struct {
	Exit int `yaml:"exit"`
	// Stdout and Stderr are regular expressions (RE2) that must match; their
	// named groups are the step's values.
	Stdout string `yaml:"stdout"`
	Stderr string `yaml:"stderr"`
	// Values are what named groups must have matched.
	Values Map[string] `yaml:"values"`
	// Same names, for a group, the earlier step that must have matched the same.
	Same Map[string] `yaml:"same"`
}
