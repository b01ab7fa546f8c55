package matrix_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/relmat/relmat/internal/matrix"
)

// wrong is one mistake in the base file, made by replacing old. Each § in the
// replacement stands before a place that a problem must point at.
type wrong struct{ name, old, replacement string }

var wrongs = []wrong{
	// The shape of the file.
	{"unknown key", "  profile: dist", "  §proflie: dist"},
	{"unknown key at the top", "programs:\n", "§program:\n"},
	{"unknown key in a flow mapping", "{package: demo-cli}", "{package: demo-cli, §bim: x}"},
	{"unknown key like no other", "  profile: dist", "  §somewhere-else: dist"},
	{"unknown key in other letters", "    triple: aarch64-apple-darwin", "    §Triple: aarch64-apple-darwin"},
	{"unknown key after non-ASCII text", "{package: demo-cli}", "{bin: größe, §pakage: x}"},
	{"duplicate key", "  profile: dist", "  profile: dist\n  §profile: release"},
	{"duplicate target", "  macos:\n", "  §linux-cpu:\n"},
	{"key that is a list", "  profile: dist", "  ? §[a, b]\n  : dist"},
	{"list for a mapping", "{package: demo-cli}", "§[demo-cli]"},
	{"text for a mapping", "{level: x86-64-v3, env: DEMO_MARCH}", "§x86-64-v3"},
	{"text for a list", "features: [cuda]", "features: §cuda"},
	{"nothing for a list", "features: [cuda]", "features:§"},
	{"mapping for text", "  profile: dist", "  profile: §{a: b}"},
	{"nothing for text", "  profile: dist", "  profile: §~"},
	{"word for a truth value", "on-request: true", "on-request: §yes"},
	{"quoted truth value", "on-request: true", `on-request: §"true"`},
	{"tagged truth value", "on-request: true", "on-request: §!!bool maybe"},
	{"word for a number", "min-files: 10", "min-files: §ten"},
	{"negative number", "min-files: 10", "min-files: §-1"},
	{"fraction", "min-files: 10", "min-files: §1.5"},
	{"duration without a unit", "timeout: 30s", "timeout: §30"},
	{"duration of nothing", "timeout: 30s", "timeout: §0s"},
	{"alias", "features: [cuda]", "features: §&f [cuda]\n    pass: §*f"},
	{"anchor alone", "  profile: dist", "  profile: §&p dist"},
	{"merge key", "defaults:\n", "defaults:\n  §<<: {locked: true}\n"},
	{"several at once", "  profile: dist\n  rustflags: [-g]", "  rustflags: §-g\n  §profil: dist\n  locked: §perhaps"},

	// The file as a whole.
	{"later version", "version: 1", "version: §2"},
	{"version of another shape", "version: 1", "version: §{major: 1}"},
	{"no version", "version: 1\n", "§"},
	{"two documents", "smoke:\n", "§---\nsmoke:\n"},
	{"second document that is not YAML", "smoke:\n", "---\nx: 1\n§y: [\nsmoke:\n"},

	// What is not YAML.
	{"bracket not closed", "    features: [cuda]", "§    features: [cuda"},
	{"brace not closed", "version: 1\n", "version: 1\n§toolkits: {a: b\n"},
	{"quote not closed", "        same: {version: version}", "§        same: {version: 'version}"},
	{"tab", "  name: demo", "§\tname: demo"},
	{"two values", "  name: demo", "§  name: demo: x"},
	{"item among keys", "programs:\n", "§- item\nprograms:\n"},
	{"alias of nothing", "  profile: dist", "§  profile: *nothing"},
	{"not UTF-8", "  profile: dist", "§  profile: \xff\xfe"},
	{"control character", "  profile: dist", "§  profile: a\x07b"},
	{"undefined tag", "  profile: dist", "§  profile: !x!y dist"},

	// What is missing.
	{"no project", "project:\n  name: demo\n  source: ..\n  version-package: demo-cli\n  tag: \"v{{.Version}}\"\n", ""},
	{"no project name", "project:\n  name: demo\n", "project:\n"},
	{"no lock", "  cuda13:\n    lock: cuda13.lock.json\n", "  §cuda13:\n"},
	{"no requirements", `["cuda-toolkit[nvcc]==13.0.2"]`, "§[]"},
	{"no package of a program", "demo: {package: demo-cli}", "§demo: {bin: demo}"},
	{"no triple", "  macos:\n    triple: aarch64-apple-darwin\n", "  §macos:\n"},
	{"no asset", "packages:\n  demo:\n    asset: \"{{.Project}}-{{.Version}}-{{.Target}}\"\n", "packages:\n  §demo:\n"},
	{"no programs of a package", "programs: [demo, server]", "programs: §[]"},
	{"no place in the package", "{source: LICENSE, to: LICENSE}", "§{source: LICENSE}"},

	// Names.
	{"bad target name", "  macos:\n    triple: aarch64-apple-darwin\n    archive: tar.gz\npackages:\n  demo:\n    asset: ", "  §mac os:\n    triple: aarch64-apple-darwin\n    archive: tar.gz\npackages:\n  demo:\n    asset: §"},
	{"bad program name", "{package: demo-cli}", "{package: demo-cli}\n  §../x: {package: x}"},
	{"bad project name", "  name: demo\n", "  name: 1/2\n"},
	{"bad triple", "triple: aarch64-apple-darwin", "triple: §arm64"},
	{"triple of another system", "triple: aarch64-apple-darwin", "triple: §x86_64-unknown-freebsd"},
	{"bad archive", "archive: tar.gz", "archive: §rar"},
	{"bad variable", "EXTRA: \"2\"", "§EXTRA-2: \"2\""},
	{"bad variable to pass", "features: [cuda]", "pass: [OK, §\"NOT OK\"]"},
	{"bad variable of cuda", "env: DEMO_ARCHS", "env: §2ARCHS"},
	{"reserved variable", "EXTRA: \"2\"", "§RUSTFLAGS: \"-O\""},
	{"reserved variable in defaults", "{COMMON: \"1\", LEVEL: low}", "{§CUDA_HOME: /usr/local/cuda}"},

	// References.
	{"unknown toolkit", "toolkit: cuda13", "toolkit: §cuda12"},
	{"no toolkits at all", "toolkits:\n  cuda13:\n    lock: cuda13.lock.json\n    requirements: [\"cuda-toolkit[nvcc]==13.0.2\"]\nprograms:\n  demo: {package: demo-cli}\n", "programs:\n  demo: {package: demo-cli}\n"},
	{"unknown program", "programs: [demo, server]", "programs: [demo, §sever]"},
	{"unknown program of a step", "      program: demo\n      args: [--version]", "      program: §demoo\n      args: [--version]"},
	{"pattern without a target", `["linux-*"]`, `["linux-*", §"windows-*"]`},
	{"bad pattern", `["linux-*"]`, `[§"linux-["]`},
	{"unknown group", `values: {version: "{{.Version}}"}`, `values: {§verson: "{{.Version}}"}`},
	{"group of a later step", "same: {version: version}", "same: {version: §run}"},
	{"group that this step lacks", "same: {version: version}", "same: {§device: §version}"},
	{"step that is not there", "same: {version: version}", "same: {version: §vresion}"},
	{"unknown device", "device: cuda", "device: §rocm"},
	{"unknown promote", "device: cuda", "device: cuda\n      promote: §ignore"},
	{"architectures that nothing reads", `{architectures: "80-real;90a", env: DEMO_ARCHS}`, `{architectures: §"80-real;90a"}`},
	{"target-cpu twice", "features: [cuda]", "rustflags: §[-C, target-cpu=native]"},

	// Templates and expressions.
	{"unknown field in the tag", "v{{.Version}}\"\npins", "v{{.Versoin}}\"\npins"},
	{"broken template", `tag: "v{{.Version}}"`, `tag: §"v{{.Version}"`},
	{"unknown field in the asset", `"{{.Project}}-{{.Version}}-{{.Target}}"`, `§"{{.Name}}-{{.Target}}"`},
	{"unknown field in the root", `"{{.Asset}}"`, `§"{{.Assets}}"`},
	{"unknown field in an argument", `"{{.Work}}"]`, `§"{{.Workdir}}"]`},
	{"unknown input", "{{.Inputs.model}}\"", "{{.Inputs.weights}}\""},
	{"unknown field in a value", `values: {version: "{{.Version}}"}`, `values: {version: §"{{.Release}}"}`},
	{"bad expression", `'(?P<text>.+)'`, `§'(?P<text>.+'`},
	{"look-ahead", `'(?P<text>.+)'`, `§'(?=x)'`},
	{"group in both streams", `'(?P<text>.+)'`, `'(?P<version>.+)'`},

	// Assets.
	{"same asset twice", "-{{.Target}}\"\n    root", "\"\n    root"},
	{"same asset of two packages", "packages:\n", "packages:\n  other:\n    asset: \"{{.Project}}-{{.Version}}-{{.Target}}\"\n    programs: [demo]\n"},
	{"asset that GitHub would change", `"{{.Project}}-{{.Version}}-{{.Target}}"`, `§"{{.Project}} {{.Target}}"`},
	{"asset with a path", `"{{.Project}}-{{.Version}}-{{.Target}}"`, `§"{{.Project}}/{{.Target}}"`},
	{"hidden asset", `"{{.Project}}-{{.Version}}-{{.Target}}"`, `§".{{.Target}}"`},

	// Paths.
	{"absolute source", "source: ..", "source: §/src/demo"},
	{"source on a drive", "source: ..", `source: §C:\src\demo`},
	{"source on a server", "source: ..", `source: §\\server\src`},
	{"file from above its root", "{source: LICENSE, to", "{source: §../LICENSE, to"},
	{"file to above its root", "to: LICENSE}", "to: §a/../../LICENSE}"},
	{"absolute place", "to: LICENSE}", "to: §/LICENSE}"},
	{"path of Windows", "to: LICENSE}", `to: §'licenses\LICENSE'}`},
	{"path with a drive", "to: LICENSE}", `to: §"C:LICENSE"}`},
	{"path that is not clean", "to: LICENSE}", "to: §./LICENSE}"},
	{"two layouts on one line", "{programs: bin, libraries: lib, licenses: licenses}", "{libraries: §/lib, programs: §../bin, licenses: §a//b}"},
	{"contents above", "[nv/target]", "[§../nv/target]"},
	{"file of a pin above the checkout", "file: docs/dep.txt", "file: §../docs/dep.txt"},
	{"two places to take from", "{source: LICENSE, to", "§{source: LICENSE, toolkit: EULA.txt, to"},
	{"no place to take from", "{source: LICENSE, to", "§{to"},
	{"out-dir without its crate", "crate: demo-sys, ", ""},

	// Pins.
	{"pin without places", "pins:\n", "pins:\n  §mlx: {}\n"},
	{"pin with an empty list of places", "pins:\n", "pins:\n  mlx: {places: §[]}\n"},
	{"pin that is a version", "pins:\n", "pins:\n  mlx: §0.31\n"},
	{"bad name of a pin", "pins:\n", "pins:\n  §m/x: {places: [{file: a, pattern: (b)}]}\n"},
	{"place without a file", "{file: docs/dep.txt, ", "§{"},
	{"place without a pattern", `{file: docs/dep.txt, pattern: '(?m)^dep (\S+)$'}`, "§{file: docs/dep.txt}"},
	{"place with an absolute file", "docs/dep.txt", "§/docs/dep.txt"},
	{"expression of a pin that is wrong", `'(?m)^dep (\S+)$'`, `§'(?m)^dep (\S+$'`},
	{"expression of a pin without a group", `'(?m)^dep (\S+)$'`, `§'(?m)^dep \S+$'`},
	{"expression of a pin with two groups", `'(?m)^dep (\S+)$'`, `§'(?m)^(dep|DEP) (\S+)$'`},
	{"unknown pin", "pins: [dep]", "pins: [§deb]"},
	{"file where a pin's name belongs", "pins: [dep]", "pins: [dep, §docs/dep.txt]"},

	// Native builds and compiler caches.
	{"days", "max-age: 168h", "max-age: §7d"},
	{"list for native", "{crates: [demo-sys], pins: [dep], max-age: 168h}", "§[demo-sys]"},
	{"pins of no native build", "crates: [demo-sys], pins", "pins"},
	{"singular", "{crates: [demo-sys]", "{§crate: [demo-sys]"},
	{"unknown compiler cache", "compiler-cache: sccache", "compiler-cache: §scache"},

	// Systems.
	{"system in another word", "  macos: {env", "  §darwin: {env"},
	{"triple of a system", "  linux:\n", "  linux:\n    triple: §x86_64-unknown-linux-gnu\n"},
	{"setting of a system that is wrong", "  linux:\n", "  linux:\n    archive: §7z\n"},
	{"label without its list", "labels: [self-hosted, linux]", "labels: §self-hosted"},
	{"minutes without their unit", "timeout: 480m", "timeout: §480"},

	// Variants. The target at the end of the list gets company.
	{"variant of no target", "    archive: tar.gz\n", "    archive: tar.gz\n  gh200: {variant-of: §linux-cud}\n"},
	{"variant of itself", "    archive: tar.gz\n", "    archive: tar.gz\n  gh200: {variant-of: §gh200, triple: aarch64-unknown-linux-gnu}\n"},
	{"variant of a variant", "    archive: tar.gz\n", "    archive: tar.gz\n  a: {variant-of: macos}\n  b: {variant-of: §a, triple: aarch64-apple-darwin}\n"},
	{"variants of each other", "    archive: tar.gz\n", "    archive: tar.gz\n  a: {variant-of: §b, triple: aarch64-apple-darwin}\n  b: {variant-of: §a, triple: aarch64-apple-darwin}\n"},
	{"variant in the defaults", "  profile: dist", "  profile: dist\n  variant-of: §linux-cuda"},
	{"variant in a system", "  linux:\n", "  linux:\n    variant-of: §linux-cuda\n"},
	{"mistake that a variant inherits", "level: x86-64-v3, env: DEMO_MARCH}\n", "level: §x86-64-v5, env: DEMO_MARCH}\n    hosts: {linux-x86_64: {triple: §linux}}\n"},
	{"variant of another architecture", "    archive: tar.gz\n", "    archive: tar.gz\n  x: {variant-of: linux-cuda, triple: aarch64-unknown-linux-gnu}\n"},

	// Hosts.
	{"host in another word", "hosts: {linux-x86_64: {}}", "hosts: {§linux-amd64: {}}"},
	{"host that is a triple", "hosts: {linux-x86_64: {}}", "hosts: {§x86_64-unknown-linux-gnu: {}}"},
	{"list of hosts", "hosts: {linux-x86_64: {}}", "hosts: §[linux-x86_64]"},
	{"host with nothing", "hosts: {linux-x86_64: {}}", "hosts:\n      linux-x86_64:§"},
	{"host with text", "hosts: {linux-x86_64: {}}", "hosts: {linux-x86_64: §x86_64-unknown-linux-gnu}"},
	{"host with a triple of another platform", "hosts: {linux-x86_64: {}}", "hosts: {linux-x86_64: {}, windows-x86_64: {triple: §x86_64-pc-windows-gnu}}"},
	{"host with no triple", "hosts: {linux-x86_64: {}}", "hosts: {linux-x86_64: {triple: §linux}}"},
	{"hosts of a system", "  linux:\n", "  linux:\n    hosts: {macos-aarch64: {triple: §aarch64-apple-darwin}}\n"},

	// CPU levels.
	{"unknown level", "level: x86-64-v3", "level: §x86-64v3"},
	{"level of the build machine", "level: x86-64-v3", "level: §native"},
	{"level of another architecture", "level: x86-64-v3", "level: §neoverse-n1"},
	{"level that no target of an architecture can inherit", "  profile: dist", "  profile: dist\n  cpu: {level: §x86-64-v2}"},
	{"architecture without levels", "    archive: tar.gz\n", "    archive: tar.gz\n  x: {triple: riscv64gc-unknown-linux-gnu, cpu: {level: §rva22}}\n"},
	{"variable of the level set twice", `{LEVEL: high, EXTRA: "2"}`, `{LEVEL: high, §DEMO_MARCH: haswell}`},
	{"variable of the architectures set twice", `{COMMON: "1", LEVEL: low}`, `{COMMON: "1", §DEMO_ARCHS: "52"}`},
	{"variable of level and architectures", "env: DEMO_ARCHS", "env: §DEMO_MARCH"},

	// CUDA architectures.
	{"architecture without the suffix of its kernels", `"80-real;90a"`, `§"80-real;90"`},
	{"architecture that the toolkit cannot compile", `"80-real;90a"`, `§"70;80-real;90a"`},
	{"architectures of Jetson modules", `"80-real;90a"`, `§"87;110"`},
	{"architecture that is both", `"80-real;90a"`, `§72`},
	{"architecture of the build machine", `"80-real;90a"`, `§native`},
	{"all architectures", `"80-real;90a"`, `§all`},
	{"all major architectures", `"80-real;90a"`, `§all-major`},
	{"architectures with commas", `"80-real;90a"`, `§"80-real,90a"`},
	{"architectures with spaces", `"80-real;90a"`, `§"80-real; 90a"`},
	{"architecture in nvcc's word", `"80-real;90a"`, `§sm_90a`},
	{"architecture with a point", `"80-real;90a"`, `§9.0`},
	{"semicolon at the end", `"80-real;90a"`, `§"80-real;90a;"`},
	{"architecture twice", `"80-real;90a"`, `§"80-real;90a;80-real"`},
	{"architecture twice in two ways", `"80-real;90a"`, `§"80-real;80;90a"`},
	{"suffix that no GPU has", `"80-real;90a"`, `§"80a"`},
	{"family of an architecture without one", `"80-real;90a"`, `§"90f"`},
	{"gate in nvcc's word", "gates: [90a]", "gates: [§sm_90a]"},
	{"gate with two architectures", "gates: [90a]", "gates: [90a, §\"100a;120a\"]"},
	{"list of architectures", `"80-real;90a"`, `§[80-real, 90a]`},
	{"Jetson in doubt", `{architectures: "80-real;90a", env: DEMO_ARCHS}`, `{architectures: "80-real;90a", env: DEMO_ARCHS, tegra: §perhaps}`},

	// Variables that are templates.
	{"unknown field in a variable", `EXTRA: "2"`, `EXTRA: §"{{.Toolkits}}/bin"`},
	{"template of a variable that is not closed", `EXTRA: "2"`, `EXTRA: §"{{.Toolkit/bin"`},

	{"toolkit of a target without one", "{MACOSX_DEPLOYMENT_TARGET: \"14.0\"}", `{CUTLASS: §"{{.Toolkit}}/include"}`},

	// Packages that are like others. The first gets company.
	{"like no package", "packages:\n", "packages:\n  small: {like: §dem, asset: small}\n"},
	{"like itself", "packages:\n", "packages:\n  small: {like: §small, asset: small}\n"},
	{"like one that is like another", "packages:\n", "packages:\n  a: {like: demo, asset: \"a-{{.Target}}\"}\n  b: {like: §a, asset: \"b-{{.Target}}\"}\n"},
	{"mistake that a like package inherits", "packages:\n  demo:\n", "packages:\n  small: {like: demo, asset: \"small-{{.Target}}\"}\n  demo:\n    targets: [§bsd]\n"},

	// Programs that somebody else built.
	{"program with two makers", "{package: demo-cli}", "{package: demo-cli, from: §{source: a}}"},
	{"program from two places", "{package: demo-cli}", "{from: §{source: a, toolkit: b}}"},
	{"program from above", "{package: demo-cli}", "{from: {source: §../a}}"},
	{"binary of a program that is not built", "{package: demo-cli}", "{bin: §x, from: {source: a}}"},
	{"version twice", "  version-package: demo-cli\n", "  version-package: demo-cli\n  version: §1.2.3\n"},
	{"version that is none", "  version-package: demo-cli\n", "  version: §a b\n"},

	// What users have at least, and what a package must hold.
	{"floor in words", "    archive: tar.gz\n", "    archive: tar.gz\n    floors: {macos: §Sonoma, glibc: §2.x}\n"},
	{"capability in nvcc's word", "env: DEMO_ARCHS}", "env: DEMO_ARCHS, require: {native: [§sm_90, §\"90\"], jit: [§12]}}"},
	{"image that is an architecture", "env: DEMO_ARCHS}", "env: DEMO_ARCHS, require: {images: [§121a]}}"},
	{"unknown layout", "{programs: bin,", "{style: §usr-local, programs: bin,"},
	{"unknown runtime", "    programs: [demo, server]\n", "    programs: [demo, server]\n    runtime: §bundled\n"},
	{"split from nobody", "    programs: [demo, server]\n", "    programs: [demo, server]\n    runtime: §split\n"},
	{"runtime of a whole package", "packages:\n", "packages:\n  libs: {asset: \"libs-{{.Target}}\", runtime-of: [§demo]}\n"},

	// How findings are judged.
	{"unknown rule", "smoke:\n", "verify: {severity: {§leaks: note}}\nsmoke:\n"},
	{"unknown severity", "smoke:\n", "verify: {severity: {leak: §warn}}\nsmoke:\n"},
	{"exception without a reason", "smoke:\n", "verify: {allow: [§{rule: leak}]}\nsmoke:\n"},
	{"exception to an unknown rule", "smoke:\n", "verify: {allow: [{rule: §licence, reason: x, file: §\"[\"}]}\nsmoke:\n"},

	// Signing.
	{"unknown signer", "targets:\n", `targets:
  win: {triple: x86_64-pc-windows-msvc, sign: {tool: §ossl}}
`},
	{"signer of another system", "targets:\n", `targets:
  mac: {triple: x86_64-apple-darwin, sign: {tool: §osslsigncode, keystore: "file:a.p12", password: "env:P", timestamp: []}}
`},
	{"signer that does not run where the target is built", "targets:\n", `targets:
  win: {triple: x86_64-pc-windows-msvc, sign: {tool: §signtool, subject: A, timestamp: []}, hosts: {linux-x86_64: {}, windows-x86_64: {}}}
`},
	{"signer without its key", "targets:\n", `targets:
  win: {triple: x86_64-pc-windows-msvc, sign: {tool: §osslsigncode, password: "env:P", timestamp: []}}
`},
	{"signer without a word about time stamps", "targets:\n", `targets:
  win: {triple: x86_64-pc-windows-msvc, sign: {tool: §signtool, subject: A}}
`},
	{"key of another signer", "targets:\n", `targets:
  win: {triple: x86_64-pc-windows-msvc, sign: {tool: signtool, subject: A, timestamp: [], alias: §a}}
`},
	{"signing without a tool", "targets:\n", `targets:
  win: {triple: x86_64-pc-windows-msvc, sign: {timestamp: §[]}}
`},
	{"unsigned without a reason", "targets:\n", `targets:
  win: {triple: x86_64-pc-windows-msvc, sign: {tool: §none}}
`},
	{"password in the file", "targets:\n", `targets:
  win: {triple: x86_64-pc-windows-msvc, sign: {tool: osslsigncode, keystore: "file:a.p12", password: §hunter2, timestamp: []}}
`},
	{"keystore without its kind", "targets:\n", `targets:
  win: {triple: x86_64-pc-windows-msvc, sign: {tool: osslsigncode, keystore: §a.p12, password: "fd:3", timestamp: []}}
`},
	{"thumbprint with spaces", "targets:\n", `targets:
  win: {triple: x86_64-pc-windows-msvc, sign: {tool: signtool, thumbprint: §"12 34", timestamp: []}}
`},
	{"time stamp of no server", "targets:\n", `targets:
  win: {triple: x86_64-pc-windows-msvc, sign: {tool: signtool, subject: A, timestamp: [§stamp.example.org]}}
`},
	{"absolute root certificates", "targets:\n", `targets:
  win: {triple: x86_64-pc-windows-msvc, sign: {tool: signtool, subject: A, timestamp: [], trust: §/etc/roots.pem}}
`},
	{"library without its metadata", "targets:\n", `targets:
  win: {triple: x86_64-pc-windows-msvc, sign: {tool: §signtool, dlib: a.dll, timestamp: []}}
`},
	{"command of no file", "targets:\n", `targets:
  win: {triple: x86_64-pc-windows-msvc, sign: {tool: command, command: §[sign], timestamp: []}}
`},
	{"field of no command", "targets:\n", `targets:
  win: {triple: x86_64-pc-windows-msvc, sign: {tool: command, command: [sign, "{{.File}}", §"{{.Target}}"], timestamp: []}}
`},
	{"secret of signing in a build", "targets:\n", `targets:
  win: {triple: x86_64-pc-windows-msvc, sign: {tool: osslsigncode, keystore: "file:a.p12", password: "env:P", timestamp: []}, pass: §[P]}
`},
	{"secret of signing set for a build", "targets:\n", `targets:
  win: {triple: x86_64-pc-windows-msvc, sign: {tool: osslsigncode, keystore: "file:a.p12", password: "env:P", timestamp: []}, env: {P: §x}}
`},
	{"secret of signing in a build, in other letters", "targets:\n", `targets:
  win: {triple: x86_64-pc-windows-msvc, sign: {tool: osslsigncode, keystore: "file:a.p12", password: "env:WINDOWS_P12", timestamp: []}, pass: §[windows_p12]}
`},
	{"secret of signing set for a build, in other letters", "targets:\n", `targets:
  win: {triple: x86_64-pc-windows-msvc, sign: {tool: osslsigncode, keystore: "file:a.p12", password: "env:P", timestamp: []}, env: {p: §x}}
`},
	{"pattern that is none", "targets:\n", `targets:
  win: {triple: x86_64-pc-windows-msvc, sign: {tool: signtool, subject: A, timestamp: [], except: [§"["]}}
`},
	{"variable of the signer that is none", "targets:\n", `targets:
  win: {triple: x86_64-pc-windows-msvc, sign: {tool: signtool, subject: A, timestamp: [], pass: [§A-B]}}
`},

	// Settings that no target takes.
	{"level that nobody takes", "systems:\n", "systems:\n  windows: {cpu: {level: §pentium}}\n"},
	{"architectures that nobody takes", "systems:\n", "systems:\n  windows: {cuda: {architectures: §sm_80, env: DEMO_ARCHS}}\n"},
	{"triple that nobody takes", "systems:\n", "systems:\n  windows: {hosts: {linux-x86_64: {triple: §pentium}}}\n"},

	// Inputs.
	{"address of a file", "https://example.org/files/model.bin", "§file:///model.bin"},
	{"digest of another length", "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", "§0123"},
	{"address with a query", "https://example.org/files/model.bin", "https://example.org/model.bin?download=true"},
	{"input with a path", "url: https://example.org/files/model.bin", "as: §../model.bin\n      url: https://example.org/files/model.bin"},
}

// place returns the text without its marks, and where they stood, as
// line:column in characters.
func place(text string) (clean string, at []string) {
	for i, line := range strings.Split(text, "\n") {
		column := 1
		for _, piece := range strings.SplitAfter(line, "§") {
			before, marked := strings.CutSuffix(piece, "§")
			column += utf8.RuneCountInString(before)
			if marked {
				at = append(at, fmt.Sprintf("%d:%d", i+1, column))
			}
		}
	}
	return strings.ReplaceAll(text, "§", ""), at
}

func TestErrors(t *testing.T) {
	var all strings.Builder
	text := base(t)
	for _, w := range wrongs {
		t.Run(w.name, func(t *testing.T) {
			clean, want := place(edit(t, text, w.old, w.replacement))
			err := problemsOf(t, clean)
			fmt.Fprintf(&all, "== %s\n%s\n\n", w.name, err)
			var got []string
			for _, p := range err.Problems {
				at := fmt.Sprintf("%d:%d", p.Line, p.Column)
				got = append(got, at)
				if p.File != "targets.yaml" || !strings.HasPrefix(p.String(), "targets.yaml:"+at+": ") {
					t.Errorf("the problem does not begin with its place: %s", p)
				}
				if line := strings.Split(clean, "\n")[p.Line-1]; p.Text != strings.TrimRight(line, " ") && w.name != "not UTF-8" && w.name != "control character" {
					t.Errorf("it shows %q, the line is %q", p.Text, line)
				}
			}
			if want != nil && !slices.Equal(slices.Compact(got), want) {
				t.Errorf("the problems stand at %q, want %q:\n%s", got, want, err)
			}
		})
	}
	golden(t, "errors.txt", all.String())
}

func TestErrorsOfWholeFiles(t *testing.T) {
	var all strings.Builder
	for _, test := range []struct{ name, text string }{
		{"empty", ""},
		{"comments only", "# nothing yet\n\n"},
		{"null", "~\n"},
		{"a list", "- a\n- b\n"},
		{"a word", "hello\n"},
		{"version only", "version: 1\n"},
		{"another format", `{"version": 1, "targets": []}` + "\n"},
		{"a program", "\x7fELF\x02\x01\x01\x00\x00"},
	} {
		fmt.Fprintf(&all, "== %s\n%s\n\n", test.name, problemsOf(t, test.text))
	}
	golden(t, "errors-whole.txt", all.String())
}

func TestLoadErrors(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "targets.yaml")
	_, err := matrix.Load(missing)
	if _, ok := err.(*matrix.Error); !ok || err.Error() != missing+": there is no such file; name the matrix with --config FILE" {
		t.Errorf("a missing file gives %T %v", err, err)
	}
	dir := filepath.Dir(missing)
	_, err = matrix.Load(dir)
	if _, ok := err.(*matrix.Error); !ok || err.Error() != dir+": it is a directory; name the matrix with --config FILE" {
		t.Errorf("a directory gives %T %v", err, err)
	}
	why := errors.New("enough")
	if _, err := matrix.LoadBy(func(string) ([]byte, error) { return nil, why }, missing); err != why {
		t.Errorf("a reading that was ended gives %v", err)
	}
	if err := os.WriteFile(missing, []byte("version: 1\r\nprojekt: {}\r\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err = matrix.Load(missing)
	if err == nil || !strings.HasPrefix(err.Error(), missing+":2:1: projekt: unknown key; did you mean \"project\"?") || strings.Contains(err.Error(), "\r") {
		t.Errorf("the error is %q", err)
	}
}

// TestErrorsAreStable reads a file with many problems often: their order is
// that of the text and never that of a Go map.
func TestErrorsAreStable(t *testing.T) {
	text := edit(t, base(t), "{programs: bin, libraries: lib, licenses: licenses}", "{licenses: /a, libraries: /b, programs: /c}")
	text = edit(t, text, "{source: LICENSE, to: LICENSE}", "{toolkit: /a, source: /b, out-dir: /c, to: /d}")
	text = edit(t, text, `'(?P<text>.+)'`, `'(?P<version>.+)'`)
	first := problemsOf(t, text).Error()
	for range 50 {
		if again := problemsOf(t, text).Error(); again != first {
			t.Fatalf("the same file gives\n%s\nand\n%s", first, again)
		}
	}
}

// TestLongLines wants of a long line the part around the place that is meant.
func TestLongLines(t *testing.T) {
	text := base(t)
	long := strings.Repeat("ü", 40_000)
	for at, replacement := range map[string]string{
		"at its start": "  profile: [" + long + "]",
		"at its end":   "  profile: dist # " + long + "\n  build: {" + long + ": x, y: z}",
		"not YAML":     "  profile: " + long + "\x07",
	} {
		for _, p := range problemsOf(t, edit(t, text, "  profile: dist", replacement)).Problems {
			if n := utf8.RuneCountInString(p.Text); n > 162 || !strings.Contains(p.Text, "…") {
				t.Errorf("%s: it shows %d characters: %.200q", at, n, p.Text)
			}
		}
	}
	problems := problemsOf(t, edit(t, text, "{package: demo-cli}", "{bin: "+strings.Repeat("x", 1000)+", pakage: x}")).Problems
	if got := problems[0].Text; !strings.HasPrefix(got, "…xxx") || !strings.HasSuffix(got, ", pakage: x}") {
		t.Errorf("around the place it shows %q", got)
	}
}
