// Package matrix is targets.yaml: what a project releases, for which
// platforms, out of what, and how it is proven to run. It turns the file into
// checked values and says exactly what is wrong with one that it refuses.
package matrix

import "time"

// File is a whole targets.yaml. docs/targets.md describes each key.
type File struct {
	// Version is the version of the format: 1.
	Version int `yaml:"version"`
	// Project says what is released and where its source is.
	Project Project `yaml:"project"`
	// Pins are versions that the source states, by name.
	Pins Map[Pin] `yaml:"pins"`
	// Toolkits are CUDA toolkits made of NVIDIA's wheels, by name.
	Toolkits Map[Toolkit] `yaml:"toolkits"`
	// Programs are the executables that are released, by name.
	Programs Map[Program] `yaml:"programs"`
	// Defaults are what every target inherits.
	Defaults Target `yaml:"defaults"`
	// Systems are what the targets of an operating system inherit, before the
	// defaults.
	Systems Systems `yaml:"systems"`
	// Targets are the rows of the matrix, by name.
	Targets Map[Target] `yaml:"targets"`
	// Packages are the trees that users unpack, by name.
	Packages Map[Package] `yaml:"packages"`
	// Verify says how the findings about a package are judged.
	Verify Verify `yaml:"verify"`
	// Smoke says how an unpacked package is proven to run.
	Smoke Smoke `yaml:"smoke"`
	// Checksums says which files with digests a release has.
	Checksums Checksums `yaml:"checksums"`

	// Path is the file itself, Dir the absolute directory that holds it.
	Path, Dir string
	problems  *problems
	at        *decoder
}

// Project names what is released and where its source is.
type Project struct {
	// Name is the project's name.
	Name string `yaml:"name"`
	// Source is the program's checkout, a Cargo workspace, relative to
	// targets.yaml. Default: the directory of targets.yaml.
	Source string `yaml:"source"`
	// VersionPackage is the Cargo package whose version is the release's. A
	// project without a Cargo package gives version instead.
	VersionPackage string `yaml:"version-package"`
	// Version is the release's version, where no Cargo package states it.
	Version string `yaml:"version"`
	// Tag is the template of the release's git tag. Default: v{{.Version}}.
	Tag string `yaml:"tag"`
}

// Pin is a version that the source states in one or more places, which must
// agree. Relmat knows by it when a native build is stale.
type Pin struct {
	// Places are where the source states the pin. All must state the same.
	Places []Place `yaml:"places"`
}

// Place is where a pin stands.
type Place struct {
	// File is a path in the project's checkout.
	File string `yaml:"file"`
	// Pattern is a regular expression (RE2) whose one group is the pin. It must
	// match exactly once.
	Pattern string `yaml:"pattern"`
}

// Systems are settings by operating system.
type Systems struct {
	// Linux is what targets for Linux inherit.
	Linux Target `yaml:"linux"`
	// MacOS is what targets for macOS inherit.
	MacOS Target `yaml:"macos"`
	// Windows is what targets for Windows inherit.
	Windows Target `yaml:"windows"`
}

// Toolkit is a CUDA toolkit made of NVIDIA's wheels.
type Toolkit struct {
	// Lock is the lock file, relative to targets.yaml. `relmat toolkit lock`
	// writes it, and it belongs into git.
	Lock string `yaml:"lock"`
	// Requirements are pip requirements that `relmat toolkit lock` resolves, such
	// as cuda-toolkit[nvcc,cudart]==13.0.2.
	Requirements []string `yaml:"requirements"`
}

// Program is an executable that the build makes.
type Program struct {
	// Package is the Cargo package. Either package or from is given.
	Package string `yaml:"package"`
	// Bin is the name of Cargo's binary target. Default: the program's own name.
	Bin string `yaml:"bin"`
	// From takes a program or library that somebody else built.
	From From `yaml:"from"`
}

// From is where a prebuilt program or library comes from: one of source and
// toolkit.
type From struct {
	// Source is its path in the project's checkout.
	Source string `yaml:"source"`
	// Toolkit is its path among the files of the toolkit's wheels, such as
	// mlx/lib/libmlx.so.
	Toolkit string `yaml:"toolkit"`
}

// Target is a row of the matrix.
type Target struct {
	// Triple is the Rust target triple. A target has one, its own or inherited.
	Triple string `yaml:"triple"`
	// VariantOf names the target from which this one inherits first. That one is
	// no variant itself.
	VariantOf string `yaml:"variant-of"`
	// OnRequest keeps the target for when --target names it exactly. It is not
	// inherited from the target that this one is a variant of. Default: true for
	// a variant, else false.
	OnRequest *bool `yaml:"on-request"`
	// Hosts are the platforms that can build the target, such as linux-x86_64.
	// Default: its own platform.
	Hosts Map[BuildHost] `yaml:"hosts"`
	// Runner says what a CI job of the target needs.
	Runner Runner `yaml:"runner"`
	// Features are Cargo features.
	Features []string `yaml:"features"`
	// Profile is the Cargo profile. Default: release.
	Profile string `yaml:"profile"`
	// Locked is Cargo's --locked: Cargo.lock decides, or the build fails.
	// Default: true.
	Locked *bool `yaml:"locked"`
	// Rustflags are flags for rustc. They outweigh those of Cargo's
	// configuration files.
	Rustflags []string `yaml:"rustflags"`
	// CPU is the oldest CPU that the programs run on.
	CPU CPU `yaml:"cpu"`
	// Toolkit names an entry of toolkits. The build gets it as CUDA_HOME and
	// CUDA_PATH and first in PATH.
	Toolkit string `yaml:"toolkit"`
	// CUDA says for which GPUs code is generated.
	CUDA CUDA `yaml:"cuda"`
	// Env are variables that the build gets: templates with the field .Toolkit.
	Env Map[string] `yaml:"env"`
	// Pass names variables that the build gets from the host, besides those that
	// every build gets.
	Pass []string `yaml:"pass"`
	// Native describes the native builds behind Cargo.
	Native Native `yaml:"native"`
	// CheckCrates are crates of the programs' graph that `relmat doctor --crates`
	// compiles one by one: those that may not be made for this platform.
	CheckCrates []string `yaml:"check-crates"`
	// CompilerCache is the compiler cache that the build uses where the host has
	// it. Default: none.
	CompilerCache string `yaml:"compiler-cache"`
	// SystemLibraries are libraries that users have besides the base system's,
	// such as libvulkan.so.1. They are not packed.
	SystemLibraries []string `yaml:"system-libraries"`
	// Archive is the format of the archives. Default: zip.
	Archive string `yaml:"archive"`
	// Sign says how the project's own programs and libraries are signed.
	Sign Sign `yaml:"sign"`
	// Floors are the oldest systems that users have. What a package needs is held
	// against them.
	Floors Floors `yaml:"floors"`
}

// Floors are the oldest systems that users have. A floor that is not given is
// not judged.
type Floors struct {
	// Glibc is the version of the GNU C library, such as 2.35.
	Glibc string `yaml:"glibc"`
	// Libstdcxx is the newest GLIBCXX version of libstdc++, such as 3.4.30.
	Libstdcxx string `yaml:"libstdcxx"`
	// MacOS is the version of macOS, such as 14.0.
	MacOS string `yaml:"macos"`
	// Driver is the version of NVIDIA's driver, such as 580.65.06.
	Driver string `yaml:"driver"`
}

// BuildHost is a platform that can build a target.
type BuildHost struct {
	// Triple is the Rust target triple on that host, where it differs. Default:
	// the target's.
	Triple string `yaml:"triple"`
}

// Runner is what a CI job needs.
type Runner struct {
	// Labels are the labels of GitHub's runs-on.
	Labels []string `yaml:"labels"`
	// Timeout bounds the job, such as 480m.
	Timeout time.Duration `yaml:"timeout"`
}

// Native is what Cargo cannot see of native builds.
type Native struct {
	// Crates are those whose build scripts run CMake. They are built anew when
	// what CMake was configured with changes.
	Crates []string `yaml:"crates"`
	// Pins are entries of pins. A change of one makes the crates stale.
	Pins []string `yaml:"pins"`
	// MaxAge makes native builds stale that are older, such as 168h. Default: no
	// limit.
	MaxAge time.Duration `yaml:"max-age"`
}

// CPU says for which level of the architecture code is generated.
type CPU struct {
	// Level is a name of relmat's table of CPU levels, such as x86-64-v3, which
	// knows rustc's and the C++ compiler's word for it. Default: the compilers'
	// own.
	Level string `yaml:"level"`
	// Env is the variable by which the build reads the C++ compiler's -march.
	Env string `yaml:"env"`
}

// CUDA says for which GPUs code is generated.
type CUDA struct {
	// Architectures are the GPUs, in the words of CMake's CUDA_ARCHITECTURES and
	// handed to the build as they are written: 80-real;86;90a.
	Architectures string `yaml:"architectures"`
	// Env is the variable by which the build reads the architectures.
	Env string `yaml:"env"`
	// Gates are architectures that the program's sources ask for by their exact
	// name to compile kernels in, such as 90a. The plain 90 without it is then an
	// error.
	Gates []string `yaml:"gates"`
	// Tegra allows architectures of Jetson modules, which desktops and servers
	// do not have. Default: false.
	Tegra *bool `yaml:"tegra"`
	// Require says what the GPU code of the build must cover, whatever the
	// build was asked for.
	Require Require `yaml:"require"`
}

// Require says what GPU code a package must hold. It is read from the files
// of origin build.
type Require struct {
	// Native are the compute capabilities on which machine code must run, such as
	// 8.0.
	Native []string `yaml:"native"`
	// JIT are those on which PTX must at least be compiled by the driver.
	JIT []string `yaml:"jit"`
	// Images are images of which one at least must be there, such as sm_121a or
	// compute_120.
	Images []string `yaml:"images"`
}

// Package is a tree that users unpack.
type Package struct {
	// Like names the package from which this one takes what it leaves out. That
	// one has no like itself.
	Like string `yaml:"like"`
	// Asset is the template of the archive's name without its extension.
	Asset string `yaml:"asset"`
	// Root is the template of the directory in the archive, "" for none.
	// Default: the asset's name.
	Root *string `yaml:"root"`
	// Targets are patterns of the targets that make it. Default: all.
	Targets []string `yaml:"targets"`
	// Programs are the programs that it holds.
	Programs []string `yaml:"programs"`
	// Layout says where in the package things lie.
	Layout Layout `yaml:"layout"`
	// Runtime says where users have the vendor's libraries from: bundle, the
	// package; split, a package of their own, see runtime-of; host, their
	// system. Default: bundle.
	Runtime string `yaml:"runtime"`
	// RuntimeOf names the packages with runtime: split whose libraries this one
	// holds. It has no programs of its own.
	RuntimeOf []string `yaml:"runtime-of"`
	// Files are what it holds besides its programs and their libraries.
	Files []Files `yaml:"files"`
}

// Layout says where in a package things lie, relative to its root.
type Layout struct {
	// Style is a layout of relmat's table, on which the other keys build: bin-lib,
	// flat, mlx-windows or wheels. Default: bin-lib.
	Style string `yaml:"style"`
	// Programs is the directory of the programs. Default: the style's.
	Programs string `yaml:"programs"`
	// Libraries is the directory of the libraries that the style gives no place
	// of their own. Default: the style's.
	Libraries string `yaml:"libraries"`
	// Licenses is the directory of the licences of bundled libraries. Default:
	// licenses.
	Licenses string `yaml:"licenses"`
}

// Files is a file or a directory that a package takes besides its programs and
// their libraries. Exactly one of source, out-dir and toolkit says where from.
type Files struct {
	// Source is a path in the project's checkout.
	Source string `yaml:"source"`
	// OutDir is a path in the OUT_DIR of a build script, that of crate.
	OutDir string `yaml:"out-dir"`
	// Crate is the crate whose build script out-dir speaks of.
	Crate string `yaml:"crate"`
	// Toolkit is a path in the CUDA toolkit.
	Toolkit string `yaml:"toolkit"`
	// To is where it goes in the package.
	To string `yaml:"to"`
	// Targets are patterns of the targets that pack it. Default: all.
	Targets []string `yaml:"targets"`
	// Contains are paths that a directory must have: it may be there, but empty
	// or of another shape.
	Contains []string `yaml:"contains"`
	// MinFiles is how many files a directory must have at least. Default: 1.
	MinFiles int `yaml:"min-files"`
}

// Verify says how the findings about a package are judged.
type Verify struct {
	// Severity is by rule: error, warning, note, or off. Default: the rule's own,
	// see docs/rules.
	Severity Map[string] `yaml:"severity"`
	// Allow are findings that are known and do not count.
	Allow []Allow `yaml:"allow"`
}

// Allow is a finding that is known. The report shows it with its reason.
type Allow struct {
	// Rule is the rule's name.
	Rule string `yaml:"rule"`
	// File is a pattern of the files' paths in the package. Default: all.
	File string `yaml:"file"`
	// Targets are patterns of the targets. Default: all.
	Targets []string `yaml:"targets"`
	// Reason says why it is right as it is.
	Reason string `yaml:"reason"`
}

// Smoke says how an unpacked package is proven to run.
type Smoke struct {
	// Inputs are files that steps need, by name.
	Inputs Map[Input] `yaml:"inputs"`
	// Steps are commands, by name. They run in the order of the file, those of
	// programs that the package holds.
	Steps Map[Step] `yaml:"steps"`
}

// Input is a file that steps need, pinned by its digest.
type Input struct {
	// URL is where it is fetched from, by http or https.
	URL string `yaml:"url"`
	// SHA256 is its digest, in hexadecimal.
	SHA256 string `yaml:"sha256"`
	// As is the name under which steps find it. Default: the URL's last element.
	As string `yaml:"as"`
}

// Step is one command of the smoke test.
type Step struct {
	// Program is the program that is run.
	Program string `yaml:"program"`
	// Args are templates of its arguments.
	Args []string `yaml:"args"`
	// Targets are patterns of the targets on which it is run. Default: all.
	Targets []string `yaml:"targets"`
	// Timeout ends the step, such as 90s. Default: 5m.
	Timeout time.Duration `yaml:"timeout"`
	// Device is what the step needs: cuda. It is not run where there is no GPU.
	// Default: none.
	Device string `yaml:"device"`
	// Promote says what `relmat promote` makes of the step where it was not run
	// for want of its device: require refuses, note says so in the release.
	// Default: require.
	Promote string `yaml:"promote"`
	// Expect says how the step's result is judged.
	Expect Expect `yaml:"expect"`
}

// Expect says how a step's result is judged.
type Expect struct {
	// Exit is the exit code. Default: 0.
	Exit int `yaml:"exit"`
	// Stdout is a regular expression (RE2) that must match what the step prints.
	// Its named groups are the step's values.
	Stdout string `yaml:"stdout"`
	// Stderr is the same for what it prints on its standard error.
	Stderr string `yaml:"stderr"`
	// Values are what named groups must have matched, by the name of the group.
	Values Map[string] `yaml:"values"`
	// Same names, for a group, the earlier step in which it must have matched the
	// same.
	Same Map[string] `yaml:"same"`
}

// Checksums says which files with digests a release has besides SHA256SUMS,
// which is always there.
type Checksums struct {
	// Files adds for each asset a file ASSET.sha256, as sha256sum(1) writes it.
	// Default: false.
	Files bool `yaml:"files"`
}
