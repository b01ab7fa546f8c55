//go:build unix

package toolchain

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/relmat/relmat/internal/matrix"
)

// A compiler cache that behaves like the real ones: the first compilation of
// its arguments misses, later ones hit, and it counts. %s prints the counts.
const fakeCache = `#!/bin/sh
set -e
mkdir -p "$FAKE_CACHE"
n() { ls "$FAKE_CACHE" | grep -c "^$1" || :; }
case "$1" in
--show-stats|--print-stats) %s; exit ;;
esac
key=$(echo "$@" | cksum | tr -d ' ')
if [ -e "$FAKE_CACHE/miss-$key" ]; then mktemp "$FAKE_CACHE/hit-XXXXXX" >/dev/null; else : >"$FAKE_CACHE/miss-$key"; fi
exec "$@"
`

var fakeStats = map[string]string{
	"sccache": `test "$2 $3" = "--stats-format json"; printf '{"stats":{"compile_requests":9,"cache_hits":{"counts":{"Rust":%d},"adv_counts":{"rust":99}},"cache_misses":{"counts":{"C/C++":%d}}},"cache_size":null}' $(n hit) $(n miss)`,
	"ccache":  `printf 'stats_updated_timestamp\t1\nautoconf_test\t7\ndirect_cache_hit\t%d\npreprocessed_cache_hit\t0\ncache_miss\t%d\n' $(n hit) $(n miss)`,
}

// hostWith is an environment whose PATH has the tools of this test and the fake
// cache, but none of the host's own.
func hostWith(t *testing.T, name, stats string) []string {
	t.Helper()
	dir := t.TempDir()
	script := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, tool := range []string{"sh", "ls", "grep", "cksum", "tr", "mktemp", "mkdir", "cat", "ninja", "cc", "as", "ld", "ar", "ranlib"} {
		path, err := exec.LookPath(tool)
		if err != nil {
			t.Fatal(err)
		}
		script(tool, "#!/bin/sh\nexec '"+path+"' \"$@\"\n")
	}
	if name != "" {
		script(name, fmt.Sprintf(fakeCache, stats))
	}
	return []string{
		"PATH=" + dir, "HOME=" + dir, "FAKE_CACHE=" + filepath.Join(t.TempDir(), "counts"), "GITHUB_TOKEN=secret",
		"SCCACHE_DIR=/s", "SCCACHE_IDLE_TIMEOUT=0", "CCACHE_DIR=/c", "CCACHE_SLOPPINESS=none",
	}
}

func cacheRow(t *testing.T, target string) matrix.Row {
	t.Helper()
	f, err := matrix.Parse("targets.yaml", []byte(`
version: 1
project: {name: p, version-package: p}
programs: {p: {package: p}}
targets:
  x:
    triple: x86_64-unknown-linux-gnu
    pass: [FAKE_CACHE]
`+target+`
packages: {p: {asset: "p-{{.Target}}", programs: [p]}}
`))
	if err != nil {
		t.Fatal(err)
	}
	return f.Rows()[0]
}

// use is UseCompilerCache on a host, with what it noted.
func use(t *testing.T, row matrix.Row, host []string, targetDir string) (*CompilerCache, []string, string) {
	t.Helper()
	var notes []string
	c, env, err := UseCompilerCache(t.Context(), row, host, BuildEnv(host, row, nil), targetDir, func(format string, args ...any) {
		notes = append(notes, fmt.Sprintf(format, args...))
	})
	if err != nil {
		t.Fatal(err)
	}
	return c, env, strings.Join(notes, "\n")
}

func TestCompilerCacheEnvironment(t *testing.T) {
	const launchers = "CMAKE_CUDA_COMPILER_LAUNCHER CMAKE_CXX_COMPILER_LAUNCHER CMAKE_C_COMPILER_LAUNCHER"
	tests := []struct {
		name, target, have string
		// uses are the variables that name the cache, sees the host's of its
		// settings.
		cache, uses, sees, note string
	}{
		{"none", "", "sccache", "", "", "", ""},
		{"sccache", "    compiler-cache: sccache", "sccache", "sccache", launchers + " RUSTC_WRAPPER", "SCCACHE_DIR=/s SCCACHE_IDLE_TIMEOUT=0", ""},
		{"ccache", "    compiler-cache: ccache", "ccache", "ccache", launchers, "CCACHE_DIR=/c CCACHE_SLOPPINESS=none", ""},
		{"absent", "    compiler-cache: sccache", "ccache", "", "", "", "compiler cache sccache is not in PATH; building without it"},
		{
			"the matrix outweighs the host", "    compiler-cache: ccache\n    env: {CCACHE_DIR: /mine, CMAKE_CUDA_COMPILER_LAUNCHER: \"\"}", "ccache",
			"ccache", "CMAKE_CXX_COMPILER_LAUNCHER CMAKE_C_COMPILER_LAUNCHER", "CCACHE_SLOPPINESS=none", "",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, env, note := use(t, cacheRow(t, tt.target), hostWith(t, tt.have, fakeStats[tt.have]), t.TempDir())
			if got := c.HitRate(t.Context()); (c != nil) != (tt.cache != "") || (got == "") != (tt.cache == "") {
				t.Errorf("cache is %+v, its rate %q", c, got)
			}
			var uses, sees []string
			for _, kv := range env {
				k, v, _ := strings.Cut(kv, "=")
				switch {
				case tt.cache != "" && v == tt.cache:
					uses = append(uses, k)
				case strings.HasPrefix(k, "SCCACHE_"), strings.HasPrefix(k, "CCACHE_"), k == "GITHUB_TOKEN":
					sees = append(sees, kv)
				}
			}
			slices.Sort(uses)
			if got := strings.Join(uses, " "); got != tt.uses {
				t.Errorf("it is used by %q, want %q", got, tt.uses)
			}
			if got := strings.Join(sees, " "); got != tt.sees {
				t.Errorf("the build sees %q, want %q", got, tt.sees)
			}
			if note != tt.note {
				t.Errorf("note is %q, want %q", note, tt.note)
			}
		})
	}
}

func TestCompilerCacheThatFails(t *testing.T) {
	for name, stats := range map[string]string{
		"exits":        "echo no server >&2; exit 2",
		"says nothing": ":",
		"is other":     "echo '{\"version\": 1}'",
	} {
		c, env, note := use(t, cacheRow(t, "    compiler-cache: sccache"), hostWith(t, "sccache", stats), t.TempDir())
		if c != nil || !strings.HasPrefix(note, "compiler cache sccache does not work; building without it: ") {
			t.Errorf("%s: cache %v, note %q", name, c, note)
		}
		if slices.Contains(env, "RUSTC_WRAPPER=sccache") || slices.Contains(env, "SCCACHE_DIR=/s") {
			t.Errorf("%s: the build uses it: %q", name, env)
		}
	}
}

func TestHitRate(t *testing.T) {
	counts := filepath.Join(t.TempDir(), "stats")
	say := func(hits, misses int) {
		t.Helper()
		text := fmt.Sprintf("direct_cache_hit\t%d\npreprocessed_cache_hit\t%d\ncache_miss\t%d\n", hits-hits/2, hits/2, misses)
		if err := os.WriteFile(counts, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	host := hostWith(t, "ccache", "cat '"+counts+"'")
	for _, tt := range []struct {
		before, after [2]int
		want          string
	}{
		{[2]int{100, 50}, [2]int{299, 65}, ", ccache 93 % of 214"},
		{[2]int{0, 0}, [2]int{999, 1}, ", ccache 99 % of 1000"}, // not all
		{[2]int{7, 7}, [2]int{9, 7}, ", ccache 100 % of 2"},
		{[2]int{7, 7}, [2]int{7, 8}, ", ccache 0 % of 1"},
		{[2]int{7, 7}, [2]int{7, 7}, ", ccache not asked"},
		{[2]int{7, 7}, [2]int{1, 9}, ", ccache did not count"}, // set to zero meanwhile
	} {
		say(tt.before[0], tt.before[1])
		c, _, note := use(t, cacheRow(t, "    compiler-cache: ccache"), host, t.TempDir())
		if c == nil {
			t.Fatal(note)
		}
		say(tt.after[0], tt.after[1])
		if got := c.HitRate(t.Context()); got != tt.want {
			t.Errorf("%v to %v: %q, want %q", tt.before, tt.after, got, tt.want)
		}
	}
	if err := os.Remove(counts); err != nil {
		t.Fatal(err)
	}
	c := &CompilerCache{Name: "ccache", env: host}
	if got := c.HitRate(t.Context()); got != ", ccache did not count" {
		t.Errorf("a cache that no longer answers: %q", got)
	}
}

// TestCompilerCacheWithCMake: the real CMake takes the launchers from the
// environment, compiles through them, and goes on without them when the cache
// is gone.
func TestCompilerCacheWithCMake(t *testing.T) {
	cmake, err := exec.LookPath("cmake")
	if err != nil {
		t.Fatal(err)
	}
	targetDir := t.TempDir()
	out := filepath.Join(targetDir, "x86_64-unknown-linux-gnu", "release", "build", "core-0123", "out")
	source, build := filepath.Join(targetDir, "source"), filepath.Join(out, "build")
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(source, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("CMakeLists.txt", "cmake_minimum_required(VERSION 3.17)\nproject(p C)\nadd_library(p STATIC a.c b.c)\n")
	write("a.c", "int a(void) { return 1; }\n")
	write("b.c", "int b(void) { return 2; }\n")
	make := func(env []string) {
		t.Helper()
		for _, args := range [][]string{{"-G", "Ninja", "-S", source, "-B", build}, {"--build", build}} {
			cmd := exec.Command(cmake, args...)
			cmd.Env = env
			if text, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("cmake %v: %v\n%s", args, err, text)
			}
		}
	}
	row := cacheRow(t, "    compiler-cache: ccache")
	host := hostWith(t, "ccache", fakeStats["ccache"])
	c, env, note := use(t, row, host, targetDir)
	if c == nil {
		t.Fatal(note)
	}
	make(env)
	// The two files and what CMake itself tries.
	if got := c.HitRate(t.Context()); !strings.HasPrefix(got, ", ccache 0 % of ") {
		t.Errorf("at first: %q", got)
	}
	// The cache still there, CMake's memory of it is not touched.
	c, env, _ = use(t, row, host, targetDir)
	write("b.c", "int b(void) { return 3; }\n")
	make(env)
	if got := c.HitRate(t.Context()); got != ", ccache 100 % of 1" { // the fake knows arguments only
		t.Errorf("with one file changed: %q", got)
	}
	// Gone from the host.
	c, env, note = use(t, row, hostWith(t, "", ""), targetDir)
	if c != nil || !strings.Contains(note, "not in PATH") {
		t.Fatal(c, note)
	}
	write("a.c", "int a(void) { return 4; }\n")
	make(env)
	data, err := os.ReadFile(filepath.Join(build, "CMakeCache.txt"))
	if err != nil || strings.Contains(string(data), "=ccache") || !strings.Contains(string(data), "CMAKE_C_COMPILER:") {
		t.Errorf("CMake's cache, %v:\n%s", err, data)
	}
	// Another cache than the one that CMake remembers.
	c, env, _ = use(t, cacheRow(t, "    compiler-cache: sccache"), hostWith(t, "sccache", fakeStats["sccache"]), targetDir)
	make(env)
	if got := c.HitRate(t.Context()); !strings.HasPrefix(got, ", sccache 0 % of ") {
		t.Errorf("with another cache: %q", got)
	}
}

// What sccache 0.16.0 and ccache 4.7.5 print.
const (
	realSccache = `{"stats":{"compile_requests":3,"requests_unsupported_compiler":0,"requests_not_compile":0,"requests_not_cacheable":0,"requests_executed":3,"cache_errors":{"counts":{},"adv_counts":{}},"cache_hits":{"counts":{"C/C++":1,"Rust":1},"adv_counts":{"c [gcc]":1,"rust":1}},"cache_misses":{"counts":{"C/C++":1},"adv_counts":{"c [gcc]":1}},"cache_timeouts":0,"cache_read_errors":0,"non_cacheable_compilations":0,"forced_recaches":0,"cache_write_errors":0,"cache_writes":1,"cache_write_duration":{"secs":0,"nanos":0},"compilations":1,"compile_fails":0,"not_cached":{},"dist_compiles":{},"dist_errors":0,"multi_level":null},"cache_location":"Local disk: \"/c\"","cache_size":null,"max_cache_size":10737418240,"use_preprocessor_cache_mode":true,"version":"0.16.0","basedirs":[]}` + "\n"
	realCcache  = "stats_updated_timestamp\t1763944000\nstats_zeroed_timestamp\t0\ndirect_cache_hit\t3\npreprocessed_cache_hit\t2\ncache_miss\t4\ncalled_for_link\t7\nlocal_storage_hit\t5\nlocal_storage_miss\t4\n"
)

func TestCacheStats(t *testing.T) {
	if s, err := parseSccache(realSccache); err != nil || s != (cacheStats{2, 1}) {
		t.Errorf("sccache: %+v, %v", s, err)
	}
	if s, err := parseCcache(realCcache); err != nil || s != (cacheStats{5, 4}) {
		t.Errorf("ccache: %+v, %v", s, err)
	}
	for _, text := range []string{"", "{}", "null", "[]", "cache_miss\t1\n", "direct_cache_hit\tx\n", "direct_cache_hit 1"} {
		if _, err := parseSccache(text); err == nil {
			t.Errorf("sccache: %q passes", text)
		}
		if _, err := parseCcache(text); err == nil {
			t.Errorf("ccache: %q passes", text)
		}
	}
}

func FuzzCacheStats(f *testing.F) {
	f.Add(realSccache)
	f.Add(realCcache)
	f.Add("direct_cache_hit\t9223372036854775807\n")
	f.Fuzz(func(t *testing.T, text string) {
		for name, kind := range compilerCaches {
			if s, err := kind.parse(text); err != nil && s != (cacheStats{}) {
				t.Errorf("%s: %+v beside the error %v", name, s, err)
			}
		}
	})
}
